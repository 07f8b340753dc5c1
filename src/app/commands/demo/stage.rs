//! The stage: a scratch folder with an operator's files, Alpaca in a box on a free port, and the daemon as a child.
//!
//! The daemon is watched the way a service manager would: when it dies it is started again, and that is said.

use std::fs;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use alpaca_sim::{ApiKey, OAuthApp, Sim, SimConfig};
use anyhow::{Context, bail};
use jiff::civil::{Date, date};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::Args;
use crate::edge::sessions;
use crate::edge::store::Store;
use crate::edge::strategies::{self, Catalog};
use crate::model::canon::digest;
use crate::model::session::Sessions;
use crate::model::time::{Moment, Span};

/// The first day: a lively week, inside the years for which there are real prices.
const FIRST_DAY: Date = date(2022, 5, 2);

/// How fast the clock runs while orders are under way. Prices stand still for [`PRICE_STEP`] seconds, so that runs take
/// a small part of one step also on a slow machine.
const SPEED: f64 = 10.0;

/// Seconds for which prices stand still; every scheduled moment of the example strategies begins such a step.
pub(super) const PRICE_STEP: u32 = 900;

/// How long a daemon may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The example strategies and the lists beside them, so that the binary alone can show the demo.
const EXAMPLES: &[(&str, &str)] = &[
    ("buy-only.toml", include_str!("../../../../strategies/buy-only.toml")),
    ("calm-factors.toml", include_str!("../../../../strategies/calm-factors.toml")),
    ("cautious.toml", include_str!("../../../../strategies/cautious.toml")),
    ("core-and-factors.toml", include_str!("../../../../strategies/core-and-factors.toml")),
    ("dividend-ten.toml", include_str!("../../../../strategies/dividend-ten.toml")),
    ("equal-eight.toml", include_str!("../../../../strategies/equal-eight.toml")),
    ("factor-five.toml", include_str!("../../../../strategies/factor-five.toml")),
    ("fewest-trades.toml", include_str!("../../../../strategies/fewest-trades.toml")),
    ("glide-2045.toml", include_str!("../../../../strategies/glide-2045.toml")),
    ("index-list.csv", include_str!("../../../../strategies/index-list.csv")),
    ("index-list.toml", include_str!("../../../../strategies/index-list.toml")),
    ("least-variance.toml", include_str!("../../../../strategies/least-variance.toml")),
    ("momentum-four.toml", include_str!("../../../../strategies/momentum-four.toml")),
    ("own-bands.toml", include_str!("../../../../strategies/own-bands.toml")),
    ("own-words.toml", include_str!("../../../../strategies/own-words.toml")),
    ("sixty-forty.toml", include_str!("../../../../strategies/sixty-forty.toml")),
    ("tech-and-bonds.toml", include_str!("../../../../strategies/tech-and-bonds.toml")),
    ("three-fund.toml", include_str!("../../../../strategies/three-fund.toml")),
    ("two-looks.toml", include_str!("../../../../strategies/two-looks.toml")),
];

/// Everything that is on stage.
pub(super) struct Stage {
    pub(super) sim: Sim,
    pub(super) http: reqwest::Client,
    pub(super) folder: PathBuf,
    pub(super) simulator: String,
    pub(super) public: String,
    pub(super) operator: String,
    pub(super) database: String,
    pub(super) catalog: Catalog,
    pub(super) sessions: Sessions,
    pub(super) first_day: Date,
    daemon: Option<Child>,
    pub(super) restarts: u32,
    store: Option<Store>,
}

impl Stage {
    /// Writes the files and opens the simulator's listener; nothing runs yet.
    pub(super) async fn set(args: &Args) -> anyhow::Result<(Self, TcpListener)> {
        let folder = std::env::temp_dir().join(format!("rebalanced-demo-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the scratch folder {}", folder.display()))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free port on loopback")?;
        let simulator = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let public = format!("127.0.0.1:{}", free_port()?);
        let operator = format!("127.0.0.1:{}", free_port()?);
        let sessions = sessions::builtin().context("the built-in session table does not read")?;
        let first = sessions.on(FIRST_DAY).context("the first day of the demo has no session")?;
        let start = first.open - Span::from_mins(30);
        let secret = digest("demo client secret", &[&args.seed.to_string()]);
        let data_secret = digest("demo data secret", &[&args.seed.to_string()]);
        let sim = simulate(args.seed, start, (&secret, &data_secret), &format!("http://{public}/oauth/callback"))?;
        let database =
            args.database.clone().unwrap_or_else(|| format!("sqlite:{}", folder.join("rebalanced.sqlite").display()));
        write_files(&folder, &secret, &data_secret)?;
        let (catalog, faults) = strategies::load_dir(&folder.join("strategies"))?;
        if let Some(fault) = faults.first() {
            bail!("an example strategy is invalid: {fault}");
        }
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .context("no HTTP client")?;
        let stage = Self {
            sim,
            http,
            folder,
            simulator,
            public: format!("http://{public}"),
            operator: format!("http://{operator}"),
            database,
            catalog,
            sessions,
            first_day: FIRST_DAY,
            daemon: None,
            restarts: 0,
            store: None,
        };
        stage.write_configuration((&public, &operator))?;
        Ok((stage, listener))
    }

    fn write_configuration(&self, (public, operator): (&str, &str)) -> anyhow::Result<()> {
        let (folder, simulator, database) = (self.folder.display(), &self.simulator, &self.database);
        let streams = simulator.replace("http://", "ws://");
        let text = format!(
            r#"# Written by `rebalanced demo`. Every key is explained in config/rebalanced.toml.
[database]
url = {database:?}
[alpaca]
client_id = "demo-app"
client_secret_file = "{folder}/client-secret"
redirect_uri = "{public}/oauth/callback"
authorize_url = "{simulator}/app/oauth/authorize"
token_url = "{simulator}/live/oauth/token"
live_url = "{simulator}/live"
paper_url = "{simulator}/paper"
data_url = "{simulator}/data"
live_stream_url = "{streams}/live/stream"
paper_stream_url = "{streams}/paper/stream"
# One seed gives one demo: how soon a socket brings its news would be chance.
trade_updates = false
data_key_id = "DEMODATAKEY"
data_secret_file = "{folder}/data-secret"
[vault]
key_file = "{folder}/vault.key"
[web]
public_listen = "{public_listen}"
operator_listen = "{operator}"
[strategies]
dir = "{folder}/strategies"
[runs]
lease_seconds = 15
[clock]
url = "{simulator}/sim/clock"
"#,
            public = self.public,
            public_listen = public,
        );
        write_private(&self.config(), &text)
    }

    /// The daemon's configuration file.
    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("rebalanced.toml")
    }

    /// The daemon's log.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("daemon.log")
    }

    /// Starts the daemon and waits until it is ready.
    pub(super) async fn start_daemon(&mut self) -> anyhow::Result<()> {
        self.sim.set_speed(SPEED);
        let program = std::env::current_exe().context("this program has no path")?;
        let log = fs::File::options().create(true).append(true).open(self.log())?;
        let child = Command::new(program)
            .arg("run")
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("the daemon does not start")?;
        eprintln!("daemon pid {} (log: {})", child.id().unwrap_or_default(), self.log().display());
        self.daemon = Some(child);
        let begun = std::time::Instant::now();
        while begun.elapsed() < READY_WITHIN {
            let ready = self.http.get(format!("{}/readyz", self.operator)).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().ok().flatten()) {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                let last = log.lines().last().unwrap_or("its log is empty");
                bail!("the daemon ended before it was ready ({status}): {last}; its log is {}", self.log().display());
            }
            pause().await;
        }
        bail!("the daemon was not ready within {} s; its log is {}", READY_WITHIN.as_secs(), self.log().display())
    }

    /// Starts the daemon again if it has died, as a service manager would.
    pub(super) async fn watch_daemon(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().ok().flatten()) else {
            return Ok(());
        };
        eprintln!("the daemon ended ({status}); starting it again");
        self.restarts += 1;
        if self.restarts > 20 {
            bail!("the daemon ended {} times; its log is {}", self.restarts, self.log().display());
        }
        self.start_daemon().await
    }

    /// The daemon's database, opened beside it as any command does.
    pub(super) async fn store(&mut self) -> anyhow::Result<Store> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        let store = Store::open(&self.database).await.with_context(|| format!("cannot open {}", self.database))?;
        self.store = Some(store.clone());
        Ok(store)
    }

    /// Refuses a database in which somebody lives already: its runs would be judged by this demo's books.
    pub(super) async fn insist_on_an_empty_database(&mut self) -> anyhow::Result<()> {
        let inhabitants = self.store().await?.accounts().await?.len();
        if inhabitants > 0 {
            bail!("{} holds {inhabitants} accounts already; the demo needs a new, empty database", self.database);
        }
        Ok(())
    }

    /// When the first session opens.
    pub(super) fn first_moment(&self) -> anyhow::Result<Moment> {
        let session = self.sessions.on(self.first_day).context("the first day of the demo has no session")?;
        Ok(session.open)
    }

    /// Moves the simulated clock forward to a moment.
    pub(super) fn jump(&self, to: Moment) {
        self.sim.set_clock(to.timestamp());
    }

    /// Keeps the last metrics as a file, for after the daemon has stopped.
    pub(super) async fn keep_metrics(&self) {
        if let Ok(answer) = self.http.get(format!("{}/metrics", self.operator)).send().await
            && let Ok(text) = answer.text().await
            && fs::write(self.folder.join("metrics.txt"), text).is_err()
        {
            eprintln!("the metrics could not be kept in {}", self.folder.display());
        }
    }

    /// Waits for Ctrl-C with everything running at the pace of real time.
    pub(super) async fn keep_running(&mut self) -> anyhow::Result<()> {
        self.sim.set_speed(1.0);
        eprintln!("still running; metrics: {}/metrics, simulator: {}; Ctrl-C ends it", self.operator, self.simulator);
        loop {
            self.watch_daemon().await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Asks the daemon to stop, and waits until it has.
    pub(super) async fn stop_daemon(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        if let Some(pid) = daemon.id() {
            let asked = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await;
            if asked.is_ok_and(|status| status.success())
                && tokio::time::timeout(Duration::from_secs(12), daemon.wait()).await.is_ok()
            {
                return;
            }
        }
        if let Err(error) = daemon.kill().await {
            eprintln!("the daemon could not be stopped: {error}");
        }
    }
}

/// A short pause of real time between two looks.
pub(super) async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn free_port() -> anyhow::Result<u16> {
    Ok(StdListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?.local_addr()?.port())
}

fn simulate(seed: u64, start: Moment, secrets: (&str, &str), redirect: &str) -> anyhow::Result<Sim> {
    let config = SimConfig {
        seed,
        start: start.timestamp(),
        speed: SPEED,
        price_step_seconds: PRICE_STEP,
        apps: vec![OAuthApp {
            client_id: "demo-app".to_owned(),
            client_secret: secrets.0.to_owned(),
            redirect_uris: vec![redirect.to_owned()],
            live_trading_approved: false,
            developer_account_ids: Vec::new(),
            name: "The demo's app".to_owned(),
        }],
        data_keys: vec![ApiKey {
            key_id: "DEMODATAKEY".to_owned(),
            secret: secrets.1.to_owned(),
            requests_per_minute: 10_000,
        }],
        ..SimConfig::default()
    };
    Sim::new(config).context("the simulator does not start")
}

fn write_files(folder: &Path, secret: &str, data_secret: &str) -> anyhow::Result<()> {
    let strategies = folder.join("strategies");
    fs::create_dir_all(&strategies)?;
    for (name, text) in EXAMPLES {
        fs::write(strategies.join(name), text)?;
    }
    write_private(&folder.join("client-secret"), secret)?;
    write_private(&folder.join("data-secret"), data_secret)?;
    write_private(&folder.join("vault.key"), &digest("demo vault key", &[secret]))
}

/// A file that only its owner can read, as the daemon demands of secrets.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    #[test]
    fn every_example_is_on_stage() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/strategies")).unwrap();
        let files = folder.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let mut there: Vec<String> = files.filter(|name| name != "strategy.schema.json").collect();
        there.sort();
        assert_eq!(EXAMPLES.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>(), there);
    }
}
