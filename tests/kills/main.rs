//! The shipped program against the simulator over HTTP, killed with SIGKILL at every named point of an order's way, and
//! started again (row 14); judged by the simulator's ledger.
//!
//! One service, one account, one database: each point in turn ends the daemon, and the next daemon carries on what the one
//! before it left, with the next point waiting for it. So most kills fall on a recovery, too; pairs of points, in an order of
//! their own, make sure of it (row 16).
//!
//! `REBALANCED_KILL_PAIRS=0..500 cargo test --test kills row_16 -- --nocapture` tries as many pairs as wanted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../app/support.rs"]
#[allow(unreachable_pub, reason = "another test's tools")]
mod support;

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alpaca_sim::exchange::asset::AssetPatch;
use alpaca_sim::exchange::order::Order;
use alpaca_sim::{ConsentMode, ConsentRule, Environment, FaultAction, FaultRule, NewAccount, OAuthApp, Sim, SimConfig};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rebalanced::edge::points;
use rebalanced::edge::store::{IntentFilter, RunFilter, Store};
use rebalanced::model::ids::RunId;
use rebalanced::model::intent::{Intent, IntentState};
use rebalanced::model::plan::{Amount, Pricing};
use rebalanced::model::run::RunState;
use rebalanced::model::time::Moment;
use rust_decimal::Decimal;
use tokio_util::sync::CancellationToken;

use support::{SECRET, Scratch, get, http};

/// So fast goes the simulated time.
const SPEED: f64 = 60.0;

/// How long a daemon may take to come to its point.
const PATIENCE: Duration = Duration::from_mins(1);

/// So long the weather stays: a run that found nothing to do gets a reason for another.
const WEATHER: Duration = Duration::from_millis(1_500);

/// So many pairs are tried in every test run.
const A_SLICE: usize = 20;

/// So many points share a trading day: the limits of a day hold here, too.
const A_DAYS_POINTS: usize = 4;

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

/// The service: broker, folder, and the database as the judge reads it.
struct Service {
    runtime: tokio::runtime::Runtime,
    sim: Sim,
    scratch: Scratch,
    account: String,
    store: Store,
    day: jiff::civil::Date,
    up: bool,
}

impl Service {
    fn new(database: Option<&str>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let sim = Sim::new(SimConfig {
            seed: 14,
            start: "2019-06-03T14:00:00Z".parse().unwrap(),
            speed: SPEED,
            apps: vec![OAuthApp {
                client_id: "client".to_owned(),
                client_secret: SECRET.to_owned(),
                redirect_uris: vec!["http://127.0.0.1:8080/oauth/callback".to_owned()],
                live_trading_approved: false,
                developer_account_ids: Vec::new(),
                name: "test".to_owned(),
            }],
            ..SimConfig::default()
        })
        .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = sim.clone();
        runtime.spawn(async move { server.serve(listener, CancellationToken::new()).await });
        let scratch = Scratch::new();
        let config = std::fs::read_to_string(scratch.config()).unwrap().replace("127.0.0.1:9/", &format!("{address}/"));
        let more = "[runs]\norder_wait_seconds = 30\nlease_seconds = 5\n[limits]\nmax_trading_runs_per_day = 1000\n";
        let config =
            format!("{config}[clock]\nurl = \"http://{address}/sim/clock\"\n{more}max_quote_age_seconds = 120\n");
        let config = database.map_or(config.clone(), |url| config.replace("sqlite:rebalanced.sqlite", url));
        std::fs::write(scratch.config(), config).unwrap();
        scratch.write("strategies/sixty-forty.toml", STRATEGY);
        let url = database
            .map_or_else(|| format!("sqlite:{}", scratch.path().join("rebalanced.sqlite").display()), str::to_owned);
        let account = connected(&sim, &scratch, &address);
        let store = runtime.block_on(Store::open(&url)).unwrap();
        Self { runtime, sim, scratch, account, store, day: jiff::civil::date(2019, 6, 3), up: false }
    }

    /// The next trading day, half an hour after the opening; nothing is open, nothing fails.
    fn next_day(&mut self) {
        loop {
            self.day = self.day.tomorrow().unwrap();
            let sessions = rebalanced::edge::sessions::builtin().unwrap();
            if let Some(session) = sessions.on(self.day) {
                let morning = session.open + rebalanced::model::time::Span::from_mins(30);
                self.sim.set_clock(morning.timestamp());
                return;
            }
        }
    }

    /// Prices move, so that the next run sells one symbol and buys the others.
    fn shake(&mut self) {
        self.up = !self.up;
        let factor = if self.up { Decimal::new(106, 2) } else { Decimal::new(9434, 4) };
        self.sim.with_exchange(|exchange, now| exchange.scale_price(now, "SPY", factor)).unwrap();
    }

    fn halt(&self, symbols: &[&str], halted: bool) {
        for symbol in symbols {
            let patch = AssetPatch { halted: Some(halted), ..AssetPatch::default() };
            self.sim.with_exchange(|exchange, now| exchange.change_asset(now, symbol, patch)).unwrap();
        }
    }

    /// What must go wrong at the broker for this point to be on the way.
    fn weather(&mut self, point: &str) {
        self.sim.clear_faults();
        self.halt(&["SPY", "AGG", "GLD"], false);
        self.shake();
        // What is sold: SPY when it has risen, the others when it has fallen.
        let (sold, bought): (&[&str], &[&str]) =
            if self.up { (&["SPY"], &["AGG", "GLD"]) } else { (&["AGG", "GLD"], &["SPY"]) };
        let lost = FaultRule::new(FaultAction::DropBefore).method("POST").path("/paper/v2/orders");
        match point {
            "sell.asking" | "broker.order_by_client_id.asking" | "broker.order_by_client_id.answered" => {
                self.sim.add_fault(lost);
            }
            "buy.asking" => {
                self.sim.add_fault(lost.at_request(1 + sold.len() as u64));
            }
            "buy.cancelling" => self.halt(bought, true),
            "sell.cancelling" => self.halt(sold, true),
            _ if point.starts_with("broker.cancel.") || point.starts_with("store.renew.") => self.halt(sold, true),
            _ => {}
        }
    }

    fn start(&self, point: Option<&str>) -> Child {
        let mut command = self.scratch.program();
        command.args(["run", "--config"]).arg(self.scratch.config());
        if let Some(point) = point {
            command.env("REBALANCED_TESTS__KILL_AT", format!("{point}:1"));
        }
        let log = std::fs::File::create(self.scratch.path().join("daemon.log")).unwrap();
        command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// Has the program killed at this point; says how it ended if it was not.
    fn kill_at(&mut self, point: &str) -> Result<(), String> {
        self.weather(point);
        let mut child = if point.starts_with("store.trigger.") { self.trigger(point) } else { self.start(Some(point)) };
        let until = Instant::now() + PATIENCE;
        let mut changes = Instant::now() + WEATHER;
        loop {
            if Instant::now() > changes {
                self.weather(point);
                changes += WEATHER;
            }
            if let Some(status) = child.try_wait().unwrap() {
                return if status.signal() == Some(9) { Ok(()) } else { Err(format!("{point}: ended with {status}")) };
            }
            if Instant::now() > until {
                drop(child.kill());
                drop(child.wait());
                let log = std::fs::read_to_string(self.scratch.path().join("daemon.log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().filter(|line| !line.contains("DEBUG")).take(12).collect();
                return Err(format!("{point}: never came to it\n{}", tail.join("\n")));
            }
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    fn trigger(&self, point: &str) -> Child {
        let subscriptions = self.runtime.block_on(self.store.subscriptions(true)).unwrap();
        let mut command = self.scratch.program();
        command.args(["runs", "trigger", subscriptions[0].id.as_str(), "--by", "ada", "--config"]);
        command.arg(self.scratch.config()).env("REBALANCED_TESTS__KILL_AT", format!("{point}:1"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The runs that a worker has, or had when it was killed.
    fn under_way(&self) -> Vec<RunId> {
        let runs = self.runtime.block_on(self.store.runs(&RunFilter::all())).unwrap();
        runs.into_iter().filter(|run| run.state == RunState::Running).map(|run| run.id).collect()
    }

    /// A daemon that nobody kills carries everything to its end.
    fn settle(&mut self) {
        self.sim.clear_faults();
        self.halt(&["SPY", "AGG", "GLD"], false);
        let mut child = self.start(None);
        let until = Instant::now() + PATIENCE;
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let now = Moment::from(self.sim.now());
            let queue = self.runtime.block_on(self.store.queue(now)).unwrap();
            let unsettled = self.runtime.block_on(self.store.unsettled()).unwrap();
            if queue.running == 0 && unsettled.is_empty() {
                break;
            }
            assert!(Instant::now() < until, "L1: {queue:?}, {unsettled:?}");
        }
        let stopped = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(stopped.success() && child.wait().unwrap().success());
    }

    /// The judge: the broker's ledger beside ours, both ways.
    fn judge(&self) -> Judged {
        let intents = self.runtime.block_on(self.store.intents(&IntentFilter::all())).unwrap();
        let runs = self.runtime.block_on(self.store.runs(&RunFilter::all())).unwrap();
        let ours: BTreeMap<&str, _> = intents.iter().map(|it| (it.client_order_id.as_str(), it)).collect();
        let mut judged = Judged::default();
        let orders = self.sim.ledger().orders;
        judged.orders = orders.len();
        let mut theirs: BTreeMap<String, &Order> = BTreeMap::new();
        for record in &orders {
            let id = record.order.client_order_id.to_string();
            if !ours.contains_key(id.as_str()) {
                judged.unrecorded += 1;
                judged.wrong.push(format!("S2: nobody recorded {id}"));
            }
            if theirs.insert(id.clone(), &record.order).is_some() {
                judged.doubled += 1;
                judged.wrong.push(format!("S1: {id} twice"));
            }
        }
        for it in &intents {
            let (id, order) = (&it.client_order_id, theirs.get(it.client_order_id.as_str()));
            match order {
                None if matches!(it.state, IntentState::Filled | IntentState::Ended) => {
                    judged.lost += 1;
                    judged
                        .wrong
                        .push(format!("S3: {id} is {} here, and the broker has no such order", it.state.code()));
                }
                None => {}
                Some(order) if it.filled_qty.decimal() != order.filled_qty => {
                    let (ours, theirs) = (it.filled_qty, order.filled_qty);
                    judged.wrong.push(format!("S15: {id} is filled with {ours} here, {theirs} there"));
                }
                Some(order) => judged.wrong.extend(difference(it, order)),
            }
        }
        let wrong = &mut judged.wrong;
        for it in intents
            .iter()
            .filter(|it| !it.state.is_terminal() || ["quarantined", "disputed"].contains(&it.state.code()))
        {
            wrong.push(format!("L2: {} is {} ({})", it.client_order_id, it.state.code(), it.note));
        }
        for run in runs.iter().filter(|run| run.outcome.as_ref().is_some_and(|end| end.kind == "quarantined")) {
            wrong.push(format!("a kill alone left a person waiting: {:?}", run.outcome));
        }
        if let Err(error) = self.runtime.block_on(rebalanced::flow::verify::audit(&self.store, Vec::new())) {
            wrong.push(format!("S13: {error}"));
        }
        let positions = self.sim.with_exchange(|exchange, now| exchange.positions(now, &self.account)).unwrap();
        if positions.iter().any(|held| held.qty < Decimal::ZERO) {
            wrong.push("S6: short".to_owned());
        }
        judged
    }
}

/// What the judge found.
#[derive(Default)]
struct Judged {
    orders: usize,
    doubled: usize,
    lost: usize,
    unrecorded: usize,
    wrong: Vec<String>,
}

/// The broker's order is the one that was recorded, field by field (S3).
fn difference(it: &Intent, order: &Order) -> Option<String> {
    let (qty, notional) = match it.amount {
        Amount::Qty(qty) => (Some(qty.decimal()), None),
        Amount::Notional(notional) => (None, Some(notional.decimal())),
    };
    let (kind, limit) = match it.pricing {
        Pricing::Market => ("market", None),
        Pricing::Limit(price) => ("limit", Some(price.decimal())),
    };
    let same = *order.symbol == *it.symbol.as_str()
        && order.side.as_str() == it.phase.side().code()
        && order.order_type.as_str() == kind
        && order.limit_price == limit
        && order.notional == notional
        // An order by value may show the quantity it came to.
        && (qty.is_none() || order.qty == qty);
    (!same).then(|| format!("S3: {} was recorded as {it:?}, and the broker has {order:?}", it.client_order_id))
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

fn every_point(database: Option<&str>, left_out: &[&str]) {
    let begun = Instant::now();
    let mut service = Service::new(database);
    let all: Vec<&str> = points::all()
        .map(points::Point::name)
        .filter(|name| !left_out.iter().any(|out| name.starts_with(out)))
        .collect();
    // The first day invests the cash, and nothing is killed.
    service.next_day();
    service.settle();
    let (mut kills, mut missed) = (0, Vec::new());
    for day in all.chunks(A_DAYS_POINTS) {
        service.next_day();
        for point in day {
            let since = Instant::now();
            let killed = service.kill_at(point);
            println!("{point}: {} ms", since.elapsed().as_millis());
            match killed {
                Ok(()) => kills += 1,
                Err(why) => missed.push(why),
            }
        }
        service.settle();
    }
    let Judged { orders, doubled, lost, unrecorded, wrong } = service.judge();
    let seconds = begun.elapsed().as_secs();
    println!(
        "kills tried {}, done {kills}, orders {orders}, doubled {doubled}, lost {lost}, unrecorded {unrecorded}, \
         violations {}, in {seconds} s",
        all.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(all.len() >= 100 && orders > 50, "{} points, {orders} orders", all.len());
}

/// Every pair of points, in the same order each time.
fn all_pairs() -> Vec<(&'static str, &'static str)> {
    let names = || points::all().map(points::Point::name);
    let mut pairs: Vec<_> = names().flat_map(|one| names().map(move |other| (one, other))).collect();
    pairs.shuffle(&mut ChaCha8Rng::seed_from_u64(16));
    pairs
}

/// Which of them: a slice that is short enough for every test run, or what the environment says.
fn chosen(number: usize) -> Range<usize> {
    let Ok(text) = std::env::var("REBALANCED_KILL_PAIRS") else { return 0..A_SLICE };
    let ends = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    let Some((from, to)) = ends.filter(|(from, to): &(usize, usize)| from < to && *to <= number) else {
        panic!("REBALANCED_KILL_PAIRS is a range `FROM..TO` of the {number} pairs, and not `{text}`")
    };
    from..to
}

#[test]
fn row_16_killed_at_one_point_and_again_at_another_while_it_recovers_no_order_is_lost_or_doubled() {
    let begun = Instant::now();
    let all = all_pairs();
    let pairs = &all[chosen(all.len())];
    let mut service = Service::new(None);
    service.next_day();
    service.settle();
    let (mut recovering, mut missed) = (0, Vec::new());
    for day in pairs.chunks(A_DAYS_POINTS / 2) {
        service.next_day();
        for (first, second) in day {
            let first_killed = service.kill_at(first);
            let left = service.under_way();
            let again = service.kill_at(second);
            // What the first kill left was still under way when the second one fell.
            recovering += usize::from(service.under_way().iter().any(|run| left.contains(run)));
            missed.extend(first_killed.and(again).err().map(|why| format!("{first}, then {second}: {why}")));
        }
        service.settle();
        let wrong = service.judge().wrong;
        assert!(wrong.is_empty(), "{day:?}: {wrong:#?}");
    }
    let Judged { orders, doubled, lost, unrecorded, wrong } = service.judge();
    println!(
        "row 16: pairs of kills tried {} of {}, {recovering} of them in the middle of the same run, orders {orders}, \
         doubled {doubled}, lost {lost}, unrecorded {unrecorded}, violations {}, in {} s",
        pairs.len(),
        all.len(),
        wrong.len(),
        begun.elapsed().as_secs()
    );
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(orders > 0 && recovering > 0, "{orders} orders, {recovering} recoveries");
}

#[test]
fn row_14_killed_at_every_point_on_sqlite_no_order_is_lost_or_doubled() {
    every_point(None, &[]);
}

#[test]
fn row_14_killed_at_every_point_on_postgresql_no_order_is_lost_or_doubled() {
    // A server's leases of the dead run out by themselves: nothing is released at a start.
    every_point(Some(&postgres::empty_postgres()), &["store.release."]);
}
