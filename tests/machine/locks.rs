//! Another process holds the database's write lock.

use std::time::{Duration, Instant};

use rand::Rng;
use rebalanced::model::time::Moment;
use sqlx::{Connection, SqliteConnection};

use crate::stage::{PATIENCE, Stage, dice, sample, tail, until};

/// A slower day than elsewhere: the lock is held in real time, and an order's deadlines are not what is tested.
const SPEED: f64 = 30.0;

#[test]
fn row_64_a_write_lock_held_by_another_process_loses_no_row_and_doubles_no_order() {
    let mut stage = Stage::at_speed(SPEED);
    let mut dice = dice(64);
    // The last one is longer than the daemon waits for the lock.
    let mut holds: Vec<u64> = (0..sample(3)).map(|_| dice.random_range(50..=2_500)).collect();
    holds.push(11_500);
    let (mut longest, mut refused) = (Duration::ZERO, 0);
    for hold in &holds {
        let after = dice.random_range(1..=30);
        // The longest comes when a run has just looked and is about to write.
        let after = if *hold > 10_000 { 4 } else { after };
        stage.reason_to_trade();
        let requests = stage.requests();
        let since = Moment::from(stage.sim.now());
        let mut daemon = stage.start();
        let come = until(PATIENCE, || (stage.requests() >= requests + after).then_some(()));
        assert!(come.is_some(), "{after} requests never came: {}", tail(&daemon.log()));
        let begun = Instant::now();
        hold_lock(&stage, Duration::from_millis(*hold));
        longest = longest.max(begun.elapsed());
        assert!(stage.carried_through(&mut daemon, since), "{hold} ms: it ended: {}", tail(&daemon.log()));
        refused += usize::from(daemon.log().contains("the database cannot be used now"));
        daemon.stop();
        let verdict = stage.judge();
        assert!(verdict.is_clean(), "{hold} ms after {after} requests: {verdict:#?}");
    }
    let verdict = stage.judge();
    println!(
        "row 64: locks {}, longest {} ms, longer than the daemon waits {refused}, orders {}",
        holds.len(),
        longest.as_millis(),
        verdict.orders
    );
    assert!(refused > 0, "no lock was longer than the daemon waits");
}

/// Takes the lock as soon as it is free, and keeps it for so long.
fn hold_lock(stage: &Stage, hold: Duration) {
    let url = format!("sqlite:{}", stage.database().display());
    stage.runtime.block_on(async {
        let mut link = SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE").execute(&mut link).await.unwrap();
        tokio::time::sleep(hold).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut link).await.unwrap();
        link.close().await.unwrap();
    });
}
