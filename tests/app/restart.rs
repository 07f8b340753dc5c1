//! How long a start takes beside a long past: 1,000 accounts, 100,000 orders, and a hundred runs that an earlier process left
//! in the middle (L3).

use std::time::{Duration, Instant};

use sqlx::{AnyConnection, Connection};

use crate::postgres::empty_postgres;
use crate::support::{PATIENCE, Scratch, get};

/// What L3 allows.
const READY: Duration = Duration::from_secs(5);

/// The past, in statements that both databases understand. A state is entered as the triggers allow it.
const PAST: &[&str] = &[
    "INSERT INTO users (id, created_at) WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
     SELECT 'usr_' || i, 1 FROM n",
    "INSERT INTO grants (id, user_id, scopes, granted_at)
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
     SELECT 'grt_' || i, 'usr_' || i, 'account:write trading', 1 FROM n",
    "INSERT INTO accounts (id, environment, number, user_id, grant_id, connected_at)
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
     SELECT 'acc-' || i, 'paper', 'PA' || i, 'usr_' || i, 'grt_' || i, 1 FROM n",
    "INSERT INTO subscriptions (id, account, strategy, started_at)
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
     SELECT 'sub_' || i, 'acc-' || i, 'sixty-forty', 1 FROM n",
    "INSERT INTO runs (id, subscription, account, environment, strategy, slot, cause, state, epoch, made_at, closed_at,
         outcome, outcome_reason, outcome_detail)
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 24999)
     SELECT 'run_' || i, 'sub_' || (i % 1000), 'acc-' || (i % 1000), 'paper', 'sixty-forty', CAST(1000000 AS BIGINT) * i, 'schedule',
         'closed', 1, 1, 2, 'completed', 'drift_absolute', 'done' FROM n",
    "INSERT INTO runs (id, subscription, account, environment, strategy, slot, cause, state, epoch, made_at)
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99)
     SELECT 'run_left' || i, 'sub_' || i, 'acc-' || i, 'paper', 'sixty-forty', 1700000000000000, 'schedule', 'due', 0, 1
     FROM n",
    "UPDATE runs SET state = 'running', epoch = 1, lease_until = 9000000000000000, reason = 'drift_absolute'
     WHERE state = 'due'",
    "INSERT INTO intents (id, run, place, account, environment, phase, attempt, client_order_id, symbol, qty,
         reckoned_value, state, order_id, filled_qty, note, recorded_at)
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999)
     SELECT 'int_' || i, 'run_' || (i % 25000), i / 25000, 'acc-' || (i % 1000), 'paper', 'buy', 1, 'rb1-' || i,
         'S' || (i / 25000), '1', '100', 'recorded', 'order-' || i, '0', '', CAST(1000000 AS BIGINT) * i FROM n",
    "UPDATE intents SET state = 'filled', filled_qty = '1', settled_at = 2 WHERE state = 'recorded'",
    "INSERT INTO intents (id, run, place, account, environment, phase, attempt, client_order_id, symbol, qty,
         reckoned_value, state, filled_qty, note, recorded_at)
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99)
     SELECT 'int_left' || i, 'run_left' || i, 0, 'acc-' || i, 'paper', 'buy', 1, 'rb1-left' || i, 'SPY', '1', '100',
         'recorded', '0', '', 1700000000000000 FROM n",
];

fn ready_beside_a_long_past(url: Option<&str>) {
    let scratch = Scratch::new();
    if let Some(url) = url {
        let config = std::fs::read_to_string(scratch.config()).unwrap().replace("sqlite:rebalanced.sqlite", url);
        std::fs::write(scratch.config(), config).unwrap();
    }
    let (status, log) = scratch.daemon().stop();
    assert!(status.success(), "{log:?}");
    let url =
        url.map_or_else(|| format!("sqlite:{}", scratch.path().join("rebalanced.sqlite").display()), str::to_owned);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let mut past = AnyConnection::connect(&url).await.unwrap();
        for statement in PAST {
            sqlx::query(*statement).execute(&mut past).await.unwrap();
        }
        let intents: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM intents").fetch_one(&mut past).await.unwrap();
        assert_eq!(intents, 100_100);
        past.close().await.unwrap();
    });
    let begun = Instant::now();
    let daemon = scratch.daemon();
    let took = begun.elapsed();
    assert_eq!(get(&daemon.operator, "/readyz").status, 200);
    let database = if url.starts_with("sqlite") { "SQLite" } else { "PostgreSQL" };
    println!("restart to ready beside 1000 accounts and 100100 orders on {database}: {} ms", took.as_millis());
    assert!(took <= READY, "L3: it took {took:?}");
    drop(daemon);
}

#[test]
fn row_49_a_clock_that_was_ahead_is_an_alarm_and_not_a_silence() {
    let scratch = Scratch::new();
    let first = scratch.daemon();
    while get(&first.operator, "/metrics").body.contains("rebalanced_heartbeat_timestamp_seconds 0\n") {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (status, _) = first.stop();
    assert!(status.success());
    // As if the clock had shown a time a month from now, and was then set right.
    let url = format!("sqlite:{}", scratch.path().join("rebalanced.sqlite").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let moved = "UPDATE ledger SET evaluated_until = evaluated_until + CAST(2592000000000 AS BIGINT)";
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let mut past = AnyConnection::connect(&url).await.unwrap();
        let strategies = sqlx::query(moved).execute(&mut past).await.unwrap().rows_affected();
        assert_eq!(strategies, 1, "the first bell has made the strategy known");
        past.close().await.unwrap();
    });
    let daemon = scratch.daemon();
    let begun = Instant::now();
    let told = loop {
        let ready = get(&daemon.operator, "/readyz");
        if ready.status == 503 {
            break ready.body;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody is told: {ready:?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(told.contains("the clock was ahead"), "{told}");
    let metrics = get(&daemon.operator, "/metrics").body;
    let gauge = metrics.lines().find_map(|line| line.strip_prefix("rebalanced_ledger_ahead_seconds ")).unwrap();
    let ahead: i64 = gauge.parse().unwrap();
    assert!((2_591_000..=2_592_000).contains(&ahead), "{ahead}");
}

#[test]
fn l3_ready_within_five_seconds_beside_a_long_past_on_sqlite() {
    ready_beside_a_long_past(None);
}

#[test]
fn l3_ready_within_five_seconds_beside_a_long_past_on_postgresql() {
    ready_beside_a_long_past(Some(&empty_postgres()));
}
