//! Runs per second, end to end: 1,000 users against Alpaca in a box over real HTTP, on a SQLite file with full syncs.
//!
//! `cargo bench --bench end_to_end` prints one line for the day on which every user invests cash (two orders each) and
//! one for a day on which everybody is inside the bands (no orders). `USERS=N` and `IN_FLIGHT=N` change the size.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a bench may stop")]
#![allow(clippy::float_arithmetic, reason = "rates, not money")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use alpaca_sim::{ApiKey, ConsentMode, ConsentRule, Environment, NewAccount, OAuthApp, Sim, SimConfig};
use futures_util::StreamExt;
use futures_util::stream;
use rebalanced::edge::World;
use rebalanced::edge::alpaca::transport::Wire;
use rebalanced::edge::alpaca::{AppCredentials, Client, DataKey, Hosts};
use rebalanced::edge::clock::{Clock, RemoteClock};
use rebalanced::edge::entropy::Entropy;
use rebalanced::edge::metrics::Metrics;
use rebalanced::edge::points::Points;
use rebalanced::edge::store::Store;
use rebalanced::edge::vault::Vault;
use rebalanced::edge::{sessions, strategies};
use rebalanced::flow;
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::StrategyName;
use rebalanced::model::mandate::ServicePolicy;
use rebalanced::model::secret::Secret;
use rebalanced::model::time::{Moment, Span};
use rust_decimal::Decimal;
use tokio_util::sync::CancellationToken;

const REDIRECT: &str = "http://127.0.0.1:8080/oauth/callback";

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    // `cargo test --benches` runs benches too, with `--test`: a small round is enough there.
    let quick = std::env::args().any(|argument| argument == "--test") || cfg!(debug_assertions);
    let users = number("USERS", if quick { 20 } else { 1000 });
    let in_flight = number("IN_FLIGHT", 64);
    let folder = tempfile::TempDir::new().unwrap();
    let start = Moment::parse("2019-06-03T13:00:00Z").unwrap();
    let sim = simulator(start);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let stop = CancellationToken::new();
    let served = tokio::spawn({
        let (sim, stop) = (sim.clone(), stop.clone());
        async move { sim.serve(listener, stop).await }
    });
    let world = Arc::new(world(&base, folder.path()).await);
    connect(&world, &sim, users).await;
    flow::tick::tick(&world, world.clock.now()).await.unwrap();
    for (day, what) in [("2019-06-03T19:45:00Z", "two orders each"), ("2019-06-04T19:45:00Z", "no orders")] {
        sim.set_clock(Moment::parse(day).unwrap().timestamp());
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = sim.ledger().requests_total;
        let begun = Instant::now();
        flow::tick::tick(&world, world.clock.now()).await.unwrap();
        let runs = drain(&world, in_flight).await;
        let seconds = begun.elapsed().as_secs_f64();
        let per_second = |count: u32| f64::from(count) / seconds;
        let requests = sim.ledger().requests_total - before;
        assert_eq!(runs, users, "every user has a run");
        println!(
            "end_to_end: {runs} runs ({what}), {requests} requests in {seconds:.2} s: {:.0} runs/s, {:.0} requests/s",
            per_second(u32::try_from(runs).unwrap()),
            per_second(u32::try_from(requests).unwrap()),
        );
    }
    stop.cancel();
    served.await.unwrap().unwrap();
}

fn simulator(start: Moment) -> Sim {
    Sim::new(SimConfig {
        start: start.timestamp(),
        speed: 1.0,
        price_step_seconds: 900,
        apps: vec![OAuthApp {
            client_id: "app".to_owned(),
            client_secret: "app-secret".to_owned(),
            redirect_uris: vec![REDIRECT.to_owned()],
            live_trading_approved: false,
            developer_account_ids: Vec::new(),
            name: "bench".to_owned(),
        }],
        data_keys: vec![ApiKey { key_id: "DATA".to_owned(), secret: "data-secret".to_owned(), requests_per_minute: 0 }],
        ..SimConfig::default()
    })
    .unwrap()
}

async fn world(base: &str, folder: &std::path::Path) -> World {
    std::fs::write(folder.join("sixty-forty.toml"), include_str!("../strategies/sixty-forty.toml")).unwrap();
    let (catalog, faults) = strategies::load_dir(folder).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    let url = |path: &str| format!("{base}{path}").parse().unwrap();
    let hosts = Hosts {
        live: url("/live"),
        paper: url("/paper"),
        data: url("/data"),
        authorize: url("/app/oauth/authorize"),
        token: url("/live/oauth/token"),
        streams: None,
    };
    let remote = RemoteClock::connect(url("/sim/clock")).await.unwrap();
    tokio::spawn({
        let remote = remote.clone();
        async move { remote.follow().await }
    });
    let clock = Clock::Remote(remote);
    let metrics = Metrics::new();
    let entropy = Entropy::seeded(1);
    let key = folder.join("vault.key");
    Vault::create_key_file(&key, &entropy).unwrap();
    let app = AppCredentials {
        client_id: "app".to_owned(),
        client_secret: Secret::new("app-secret".to_owned()),
        redirect_uri: REDIRECT.to_owned(),
        pkce: false,
    };
    let data = DataKey { id: "DATA".to_owned(), secret: Secret::new("data-secret".to_owned()) };
    let wire = Arc::new(Wire::new(&hosts).unwrap());
    World {
        store: Store::open(&format!("sqlite:{}", folder.join("db.sqlite").display())).await.unwrap(),
        alpaca: Client::new(hosts, app, Some(data), wire, clock.clone(), metrics.clone(), Points::default()),
        vault: Vault::open(&key).unwrap(),
        clock,
        entropy,
        metrics,
        points: Points::default(),
        strategies: catalog,
        sessions: sessions::builtin().unwrap(),
        policy: ServicePolicy { max_quote_age_seconds: 15, ..ServicePolicy::default() },
        consent_note: String::new(),
        switch: rebalanced::edge::switch::Switch::default(),
        order_wait: Span::from_secs(300),
    }
}

async fn connect(world: &World, sim: &Sim, users: usize) {
    for user in 0..users {
        let name = format!("user-{user:04}");
        sim.create_person(Some(&name), &name).unwrap();
        let mut new = NewAccount::new(name.clone(), Environment::Paper);
        new.cash = Decimal::from(10_000 + user % 1000);
        sim.create_account(new).unwrap();
        sim.set_consent(ConsentRule { mode: ConsentMode::Auto, person: Some(name.clone()), ..ConsentRule::default() });
        let wish = flow::connect::Begin {
            strategy: Some(StrategyName::parse("sixty-forty").unwrap()),
            environment: Some(Kind::Paper),
            reference: Some(name),
            account: None,
            agreed: None,
        };
        let started = flow::connect::begin(world, wish).await.unwrap();
        let request = http::Request::get(started.location.as_str()).body(bytes::Bytes::new()).unwrap();
        let answer = sim.call(request).await.unwrap();
        let back: url::Url = answer.headers()["location"].to_str().unwrap().parse().unwrap();
        let part = |name: &str| {
            back.query_pairs().find(|(key, _)| key == name).map(|(_, value)| Secret::new(value.into_owned()))
        };
        let callback = flow::connect::Callback {
            code: part("code"),
            state: part("state"),
            error: None,
            cookie: Some(started.cookie),
        };
        flow::connect::finish(world, callback).await.unwrap();
    }
}

async fn drain(world: &World, in_flight: usize) -> usize {
    let mut closed = 0;
    loop {
        let now = world.clock.now();
        let claims = world.store.claim(1024, now, now + Span::from_mins(10)).await.unwrap();
        if claims.is_empty() {
            return closed;
        }
        let outcomes = stream::iter(claims)
            .map(|claim| async move { flow::rebalance::rebalance(world, claim).await.unwrap() })
            .buffer_unordered(in_flight)
            .collect::<Vec<_>>()
            .await;
        closed += outcomes.len();
    }
}
