//! The stream of order news, between the shipped program and the simulator over real sockets: with it orders are found
//! sooner; mute, doubled, torn, closed or refused, it changes how soon and nothing else (rows 35, 38 to 40).
//!
//! These tests measure time on a clock that runs faster than the machine's, so they are a program of their own and take
//! turns: a neighbour's work would be counted as ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]
#![allow(unreachable_pub, missing_docs, reason = "a test is nobody's library")]

#[path = "../app/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use alpaca_sim::{ConsentMode, ConsentRule, Environment, FaultAction, FaultRule, NewAccount, OAuthApp, Sim, SimConfig};
use rebalanced::edge::store::{IntentFilter, Store};
use rebalanced::model::time::Moment;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{Daemon, PATIENCE, SECRET, Scratch, get, http};

/// So fast goes the simulated time: with many accounts slower, because the machine is real.
fn speed(accounts: usize) -> f64 {
    if accounts > 50 { 10.0 } else { 20.0 }
}

/// One at a time.
static TURN: Mutex<()> = Mutex::new(());

/// One account, ten orders each.
const SYMBOLS: [&str; 10] = ["SPY", "AGG", "GLD", "AAPL", "MSFT", "JPM", "JNJ", "XOM", "WMT", "KO"];

/// Orders fill so many milliseconds after they were sent: most of them after the quick looks of the beginning.
const FILL_AFTER_MS: (u32, u32) = (5_000, 60_000);

/// What is wrong with the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Off,
    Fine,
    Mute,
    EveryThirdFrameLost,
    DoubledAndOdd,
    ClosedAndRefused,
}

/// What was seen from outside.
struct Seen {
    orders: usize,
    /// Milliseconds of simulated time between a fill and our knowing of it, sorted.
    delays: Vec<i64>,
    /// How often each account's stream was opened or tried.
    attempts: BTreeMap<String, usize>,
    metrics: String,
}

impl Seen {
    fn at(&self, percent: usize) -> i64 {
        self.delays[(self.delays.len() - 1) * percent / 100]
    }
}

fn strategy() -> String {
    let weights = SYMBOLS.map(|symbol| format!("[[weights]]\nsymbol = \"{symbol}\"\npercent = 9\n")).concat();
    format!(
        "name = \"ten\"\n[schedule]\ncron = \"0 45 15 * * Mon-Fri\"\ntimezone = \"America/New_York\"\n{weights}\
         [cash]\npercent = 10\n[orders]\nmin_notional = 10\n"
    )
}

fn simulator(runtime: &tokio::runtime::Runtime) -> (Sim, String) {
    let sim = Sim::new(SimConfig {
        seed: 38,
        start: "2019-06-03T19:40:00Z".parse().unwrap(),
        speed: 0.0,
        fill_latency_ms: FILL_AFTER_MS,
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
    (sim, address)
}

fn connects(daemon: &Daemon, sim: &Sim, address: &str, name: &str) {
    sim.create_person(Some(name), name).unwrap();
    let mut new = NewAccount::new(name, Environment::Paper);
    new.cash = 50_000.into();
    sim.create_account(new).unwrap();
    let rule = ConsentRule { mode: ConsentMode::Auto, person: Some(name.to_owned()), ..ConsentRule::default() };
    sim.set_consent(rule);
    let begun = get(&daemon.public, &format!("/connect?strategy=ten&env=paper&ref={name}"));
    let location = begun.header("location").unwrap().to_owned();
    let cookie = begun.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let back = get(address, location.split(address).nth(1).unwrap()).header("location").unwrap().to_owned();
    let path = format!("/oauth/callback?{}", back.split('?').nth(1).unwrap());
    let done = http("GET", &daemon.public, &path, &[("Cookie", &cookie)], "");
    assert_eq!(done.status, 200, "{done:?}");
}

fn spoil(sim: &Sim, stream: Stream) {
    match stream {
        Stream::Off | Stream::Fine => {}
        Stream::Mute => drop(sim.add_fault(FaultRule::new(FaultAction::MuteStream).times(0))),
        Stream::EveryThirdFrameLost => {
            for frame in (3..=6_000).step_by(3) {
                sim.add_fault(FaultRule::new(FaultAction::MuteStream).times(1).at_request(frame));
            }
        }
        Stream::DoubledAndOdd => {
            for frame in (1..=3_000).step_by(2) {
                let mut odd = FaultRule::new(FaultAction::MutateStream).times(1).at_request(frame);
                let lie = json!({"/data/event": "fill", "/data/order/status": "filled", "/data/qty": "-7",
                    "/data/order/filled_qty": "1e9", "/data/order/client_order_id": "another"});
                odd.set.extend(lie.as_object().unwrap().clone());
                sim.add_fault(odd);
            }
            sim.add_fault(FaultRule::new(FaultAction::DuplicateStream).times(0));
        }
        Stream::ClosedAndRefused => {
            sim.add_fault(FaultRule::new(FaultAction::CloseStream).times(0));
            sim.add_fault(FaultRule::new(FaultAction::RateLimit).path("/paper/stream").times(0).at_request(30));
        }
    }
}

/// So many accounts trade once, with this stream.
fn trade(accounts: usize, stream: Stream) -> Seen {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (sim, address) = simulator(&runtime);
    let scratch = Scratch::new();
    scratch.write("strategies/ten.toml", &strategy());
    let config = std::fs::read_to_string(scratch.config()).unwrap().replace("127.0.0.1:9/", &format!("{address}/"));
    let config = config
        .replace("[web]\n", "[web]\nconnects_per_minute_and_address = 100000\nconnects_per_minute = 100000\n")
        .replace("[vault]\n", &format!("trade_updates = {}\n[vault]\n", stream != Stream::Off))
        .replace("level = \"debug\"", "level = \"info\"");
    let config =
        format!("{config}[clock]\nurl = \"http://{address}/sim/clock\"\n[limits]\nmax_quote_age_seconds = 120\n");
    std::fs::write(scratch.config(), config).unwrap();
    let daemon = scratch.daemon();
    for number in 0..accounts {
        connects(&daemon, &sim, &address, &format!("p{number}"));
    }
    let before = sim.ledger().requests.len();
    spoil(&sim, stream);
    sim.set_speed(speed(accounts));
    let store = runtime
        .block_on(Store::open(&format!("sqlite:{}", scratch.path().join("rebalanced.sqlite").display())))
        .unwrap();
    let begun = Instant::now();
    let intents = loop {
        std::thread::sleep(Duration::from_millis(100));
        let now = Moment::from(sim.now());
        let intents = runtime.block_on(store.intents(&IntentFilter::all())).unwrap();
        let queue = runtime.block_on(store.queue(now)).unwrap();
        let done = intents.iter().filter(|it| it.state.is_terminal()).count();
        if done == accounts * SYMBOLS.len() && queue.running == 0 {
            break intents;
        }
        assert!(begun.elapsed() < PATIENCE, "{stream:?}: {done} orders have ended; {queue:?}");
    };
    let metrics = get(&daemon.operator, "/metrics").body;
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log:?}");
    judged(&sim, &intents, before, metrics)
}

fn judged(sim: &Sim, intents: &[rebalanced::model::intent::Intent], before: usize, metrics: String) -> Seen {
    let ledger = sim.ledger();
    let ours: BTreeMap<&str, _> = intents.iter().map(|it| (it.client_order_id.as_str(), it)).collect();
    let mut ids = BTreeSet::new();
    let mut delays = Vec::new();
    for record in &ledger.orders {
        let id = record.order.client_order_id.to_string();
        let it = ours.get(id.as_str()).unwrap_or_else(|| panic!("S2: nobody recorded {id}"));
        assert_eq!(it.filled_qty.decimal(), record.order.filled_qty, "S15: {id}");
        assert_eq!(it.state.code(), "filled", "{id}: {}", it.note);
        let filled = Moment::from(record.order.filled_at.unwrap());
        delays.push(i64::try_from(it.settled_at.unwrap().since(filled).as_millis()).unwrap());
        assert!(ids.insert(id), "S1");
    }
    assert_eq!(ids.len(), intents.len(), "S1: each exactly once");
    delays.sort_unstable();
    let mut attempts: BTreeMap<String, usize> = BTreeMap::new();
    for request in ledger.requests.iter().skip(before).filter(|request| request.path.ends_with("/stream")) {
        *attempts.entry(request.account.clone().map(|it| it.to_string()).unwrap_or_default()).or_default() += 1;
    }
    Seen { orders: ids.len(), delays, attempts, metrics }
}

fn told(name: &str, seen: &Seen) {
    println!(
        "{name}: {} orders found, after their fill in simulated milliseconds: median {}, 99% {}, most {}; streams tried {}",
        seen.orders,
        seen.at(50),
        seen.at(99),
        seen.at(100),
        seen.attempts.values().sum::<usize>()
    );
}

#[test]
fn with_news_orders_are_found_sooner_than_by_looking() {
    let (without, with) = (trade(10, Stream::Off), trade(10, Stream::Fine));
    told("without a stream", &without);
    told("with a stream", &with);
    assert!(without.attempts.is_empty(), "off is off");
    assert_eq!(with.attempts.values().sum::<usize>(), 10, "one socket for each account");
    assert!(with.at(50) * 2 < without.at(50), "{} and {}", with.at(50), without.at(50));
    assert!(with.metrics.contains("rebalanced_streams_total{event=\"opened\"} 10"), "{}", with.metrics);
}

#[test]
fn row_38_a_mute_stream_is_noticed_by_looking() {
    let seen = trade(100, Stream::Mute);
    told("row 38, mute", &seen);
    assert_eq!(seen.orders, 1_000);
    assert!(seen.at(100) <= 30_000, "L9: {}", seen.at(100));
}

#[test]
fn row_39_a_stream_that_closes_and_is_refused_is_left_alone() {
    let seen = trade(20, Stream::ClosedAndRefused);
    told("row 39, closed and refused", &seen);
    let tried: usize = seen.attempts.values().sum();
    assert!(tried > 20 && tried <= 20 * 6, "{tried} attempts of 20 accounts in two minutes");
    assert!(seen.at(100) <= 30_000, "{}", seen.at(100));
}

#[test]
fn row_40_lost_frames_cost_time_and_nothing_else() {
    let seen = trade(20, Stream::EveryThirdFrameLost);
    told("row 40, every third frame lost", &seen);
    assert!(seen.at(100) <= 30_000, "{}", seen.at(100));
}

#[test]
fn row_35_doubled_and_false_frames_are_believed_in_nothing() {
    let seen = trade(20, Stream::DoubledAndOdd);
    told("row 35, doubled and odd", &seen);
    assert!(seen.at(100) <= 30_000, "{}", seen.at(100));
}
