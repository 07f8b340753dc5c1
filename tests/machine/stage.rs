//! One service on this machine: the simulator, a folder, an account with a reason to trade, and the program started in
//! whatever way a test wants it to suffer.

use std::cell::Cell;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use alpaca_sim::exchange::asset::AssetPatch;
use alpaca_sim::{ConsentMode, ConsentRule, Environment, NewAccount, OAuthApp, Sim, SimConfig};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rebalanced::edge::store::{RunFilter, Store};
use rebalanced::model::run::RunState;
use rebalanced::model::time::{Moment, Span};
use rust_decimal::Decimal;
use tokio_util::sync::CancellationToken;

use crate::judge::{Verdict, judged};
use crate::support::{SECRET, Scratch, get, http};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// How often progress is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// So fast goes the simulated time, where a test does not want another pace.
pub(crate) const SPEED: f64 = 100.0;

/// What the strategy buys.
pub(crate) const SYMBOLS: [&str; 3] = ["SPY", "AGG", "GLD"];

const STRATEGY: &str = r#"name = "sixty-forty"
[schedule]
cron = "0 * 9-15 * * Mon-Fri"
timezone = "America/New_York"
misfire = "run_once"
grace_minutes = 30
[[weights]]
symbol = "SPY"
percent = 30
[[weights]]
symbol = "AGG"
percent = 30
[[weights]]
symbol = "GLD"
percent = 30
[cash]
percent = 10
[rebalance]
drift_absolute_percent = 0.3
[orders]
min_notional = 10
[limits]
max_turnover_percent = 60
"#;

/// The dice of one test: the same ones each time.
pub(crate) fn dice(test: u64) -> ChaCha8Rng {
    let seed = std::env::var("REBALANCED_MACHINE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1_u64);
    ChaCha8Rng::seed_from_u64(seed * 1000 + test)
}

/// How many points a test takes that takes `usual` by itself.
pub(crate) fn sample(usual: usize) -> usize {
    let times = std::env::var("REBALANCED_MACHINE_TIMES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_usize);
    usual * times.max(1)
}

/// A started program. What is left of it when it is dropped is killed, with what it started itself.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// The program itself, which may have been started by a tracer.
    pub(crate) fn pid(&self) -> u32 {
        let direct = self.child.id();
        let program =
            |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("rebal"));
        if program(direct) { direct } else { children(direct).into_iter().find(|pid| program(*pid)).unwrap_or(direct) }
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends a signal to the program.
    pub(crate) fn signal(&self, name: &str) {
        drop(Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).stderr(Stdio::null()).status());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        until(patience, || self.ended())
    }

    /// What it has written to its log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Stops it politely.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait(PATIENCE);
        assert!(status.is_some_and(|status| status.success()), "{status:?}: {}", tail(&self.log()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal("KILL");
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Looks again and again until there is something.
pub(crate) fn until<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

/// The end of a log, without its small talk.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.contains("DEBUG")).collect();
    lines.iter().skip(lines.len().saturating_sub(8)).copied().collect::<Vec<_>>().join("\n")
}

pub(crate) struct Stage {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) sim: Sim,
    pub(crate) scratch: Scratch,
    pub(crate) account: String,
    day: jiff::civil::Date,
    up: bool,
    logs: Cell<usize>,
}

impl Stage {
    /// A service whose account has invested its cash already.
    pub(crate) fn new() -> Self {
        Self::at_speed(SPEED)
    }

    pub(crate) fn at_speed(speed: f64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let app = OAuthApp {
            client_id: "client".to_owned(),
            client_secret: SECRET.to_owned(),
            redirect_uris: vec!["http://127.0.0.1:8080/oauth/callback".to_owned()],
            live_trading_approved: false,
            developer_account_ids: Vec::new(),
            name: "test".to_owned(),
        };
        let start = "2019-06-03T14:00:00Z".parse().unwrap();
        let sim = Sim::new(SimConfig { seed: 15, start, speed, apps: vec![app], ..SimConfig::default() }).unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = sim.clone();
        runtime.spawn(async move { server.serve(listener, CancellationToken::new()).await });
        let scratch = Scratch::new();
        fs::create_dir(scratch.path().join("state")).unwrap();
        let config = fs::read_to_string(scratch.config()).unwrap().replace("127.0.0.1:9/", &format!("{address}/"));
        let config = config.replace("sqlite:rebalanced.sqlite", "sqlite:state/rebalanced.sqlite");
        let runs = "[runs]\norder_wait_seconds = 30\nlease_seconds = 5\nstop_wait_seconds = 3\n";
        let limits = "[limits]\nmax_trading_runs_per_day = 1000\nmax_quote_age_seconds = 120\n";
        let clock = format!("[clock]\nurl = \"http://{address}/sim/clock\"\n");
        fs::write(scratch.config(), format!("{config}{clock}{runs}{limits}")).unwrap();
        scratch.write("strategies/sixty-forty.toml", STRATEGY);
        let account = connected(&sim, &scratch, &address);
        let day = jiff::civil::date(2019, 6, 3);
        let mut stage = Self { runtime, sim, scratch, account, day, up: false, logs: Cell::new(0) };
        stage.next_day();
        stage.settle();
        assert!(stage.sim.ledger().orders.len() >= SYMBOLS.len(), "the cash was not invested");
        stage
    }

    /// The folder of the database.
    pub(crate) fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.state().join("rebalanced.sqlite")
    }

    /// Looks into the database as another process does, and leaves it.
    pub(crate) fn with_store<T, F: Future<Output = T>>(&self, look: impl FnOnce(Store) -> F) -> T {
        self.with_store_at(&self.database(), look)
    }

    fn with_store_at<T, F: Future<Output = T>>(&self, database: &Path, look: impl FnOnce(Store) -> F) -> T {
        self.runtime.block_on(async {
            let store = Store::open(&format!("sqlite:{}", database.display())).await.unwrap();
            let seen = look(store.clone()).await;
            store.shut().await;
            seen
        })
    }

    /// The next trading day, half an hour after the opening.
    pub(crate) fn next_day(&mut self) {
        let sessions = rebalanced::edge::sessions::builtin().unwrap();
        loop {
            self.day = self.day.tomorrow().unwrap();
            if let Some(session) = sessions.on(self.day) {
                return self.sim.set_clock((session.open + Span::from_mins(30)).timestamp());
            }
        }
    }

    /// A new day, nothing fails, and prices have moved: the next run sells and buys, three orders in all.
    pub(crate) fn reason_to_trade(&mut self) {
        self.fair_weather();
        self.next_day();
        self.up = !self.up;
        let factor = if self.up { Decimal::new(107, 2) } else { Decimal::new(9346, 4) };
        self.sim.with_exchange(|exchange, now| exchange.scale_price(now, "SPY", factor)).unwrap();
    }

    /// What the next run sells.
    pub(crate) fn sold(&self) -> &'static [&'static str] {
        if self.up { &["SPY"] } else { &["AGG", "GLD"] }
    }

    pub(crate) fn fair_weather(&self) {
        self.sim.clear_faults();
        self.halt(&SYMBOLS, false);
    }

    /// Trade in these symbols stops: orders stay open.
    pub(crate) fn halt(&self, symbols: &[&str], halted: bool) {
        for symbol in symbols {
            let patch = AssetPatch { halted: Some(halted), ..AssetPatch::default() };
            self.sim.with_exchange(|exchange, now| exchange.change_asset(now, symbol, patch)).unwrap();
        }
    }

    /// The daemon as the service manager starts it.
    pub(crate) fn start(&self) -> Running {
        self.start_as(&[], &[])
    }

    /// The daemon that kills itself at a point.
    pub(crate) fn start_killed_at(&self, point: &str, nth: u32) -> Running {
        self.start_as(&[], &[("REBALANCED_TESTS__KILL_AT", &format!("{point}:{nth}"))])
    }

    /// The daemon behind another program, with more in its environment.
    pub(crate) fn start_as(&self, before: &[String], environment: &[(&str, &str)]) -> Running {
        let program = env!("CARGO_BIN_EXE_rebalanced").to_owned();
        let words: Vec<String> = before.iter().cloned().chain([program]).collect();
        let mut command = Command::new(&words[0]);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").current_dir(self.scratch.path());
        command.args(&words[1..]).args(["run", "--config"]).arg(self.scratch.config());
        command.envs(environment.iter().copied());
        self.logs.set(self.logs.get() + 1);
        let log = self.scratch.path().join(format!("daemon-{}.log", self.logs.get()));
        let file = fs::File::create(&log).unwrap();
        command.stdout(Stdio::null()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{} is not here ({error}); tests/run.sh", words[0]));
        Running { child, log }
    }

    /// Waits until a run that came due at `since` or later has closed and no order is without an end; `false` when the daemon
    /// ended instead.
    pub(crate) fn carried_through(&self, daemon: &mut Running, since: Moment) -> bool {
        let done = self.with_store(|store| async move {
            let end = Instant::now() + PATIENCE;
            loop {
                if is_done(&store, since).await {
                    return Some(true);
                }
                if daemon.ended().is_some() {
                    return Some(false);
                }
                if Instant::now() > end {
                    println!("{}", tail(&daemon.log()));
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        done.expect("L1: a run reaches an end")
    }

    /// Lets a daemon do what it can: until it ends, or for so many seconds of the exchange's time.
    pub(crate) fn let_try(&self, daemon: &mut Running, seconds: i64) {
        let begun = self.sim.now();
        let is_over =
            |daemon: &mut Running| daemon.ended().is_some() || self.sim.now().duration_since(begun).as_secs() > seconds;
        assert!(until(PATIENCE, || is_over(daemon).then_some(())).is_some(), "time stands still");
    }

    /// A daemon that nothing happens to carries everything to its end and looks at the account once more.
    pub(crate) fn settle(&mut self) {
        self.fair_weather();
        let mut daemon = self.start();
        let since = Moment::from(self.sim.now());
        assert!(self.carried_through(&mut daemon, since), "it ended: {}", tail(&daemon.log()));
        daemon.stop();
    }

    /// The broker's ledger beside ours.
    pub(crate) fn judge(&self) -> Verdict {
        self.judge_at(&self.database())
    }

    /// The same, by a copy of the database.
    pub(crate) fn judge_at(&self, database: &Path) -> Verdict {
        let mut verdict =
            self.with_store_at(database, |store| async move { judged(&self.sim, &self.account, &store).await });
        for nth in 1..=self.logs.get() {
            let log = fs::read_to_string(self.scratch.path().join(format!("daemon-{nth}.log"))).unwrap_or_default();
            if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
                verdict.broken.push(format!("a panic: {line}"));
            }
        }
        verdict
    }

    /// Copies the database with its log, as it stands in the files, to a new folder beside it.
    pub(crate) fn copy_state(&self, name: &str) -> PathBuf {
        let to = self.scratch.path().join(name);
        copy_folder(&self.state(), &to);
        to
    }

    /// Puts a copy in the place of the database. Nothing may be running.
    pub(crate) fn restore_state(&self, from: &Path) {
        copy_folder(from, &self.state());
    }

    /// How many requests there were so far.
    pub(crate) fn requests(&self) -> u64 {
        self.sim.ledger().requests_total
    }
}

/// Copied by another process: one that has the database open would lose its locks.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(to).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let copied = Command::new("cp").arg("-p").arg(format!("{}/.", from.display())).arg("-r").arg(to).status().unwrap();
    assert!(copied.success());
}

/// A run that came due since then has closed, and no order is without an end. An account has one run at a time, the oldest
/// first: with it all that were before it have closed.
async fn is_done(store: &Store, since: Moment) -> bool {
    let Ok(unsettled) = store.unsettled().await else { return false };
    let Ok(runs) = store.runs(&RunFilter { limit: 200, ..RunFilter::default() }).await else { return false };
    unsettled.is_empty() && runs.iter().any(|run| run.slot >= since && run.state == RunState::Closed)
}

/// Opens an account at the broker and connects it over HTTP, as a browser does.
fn connected(sim: &Sim, scratch: &Scratch, address: &str) -> String {
    let daemon = scratch.daemon();
    sim.create_person(Some("ann"), "ann").unwrap();
    let mut new = NewAccount::new("ann", Environment::Paper);
    new.cash = Decimal::from(50_000);
    let account = sim.create_account(new).unwrap().to_string();
    let rule = ConsentRule { mode: ConsentMode::Auto, person: Some("ann".to_owned()), ..ConsentRule::default() };
    sim.set_consent(rule);
    let begun = get(&daemon.public, "/connect?strategy=sixty-forty&env=paper&ref=ann");
    let location = begun.header("location").unwrap().to_owned();
    let cookie = begun.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let back = get(address, location.split(address).nth(1).unwrap()).header("location").unwrap().to_owned();
    let path = format!("/oauth/callback?{}", back.split('?').nth(1).unwrap());
    let done = http("GET", &daemon.public, &path, &[("Cookie", &cookie)], "");
    assert_eq!(done.status, 200, "{done:?}");
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log:?}");
    account
}
