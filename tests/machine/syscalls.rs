//! Killed at a system call that writes.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use rand::Rng;
use rand::seq::SliceRandom;
use rebalanced::model::time::Moment;
use sqlx::{Connection, SqliteConnection};

use crate::stage::{PATIENCE, Running, Stage, dice, sample, tail};
use crate::strace::{reference, words};

/// The calls by which anything leaves the process.
const WRITES: [&str; 6] = ["pwrite64", "fdatasync", "fsync", "write", "writev", "sendto"];

/// Points of a reference run: so many of them, spread over the calls that it makes.
pub(crate) fn points(most: &BTreeMap<String, usize>, number: usize, test: u64) -> Vec<(String, usize)> {
    let mut dice = dice(test);
    let calls: Vec<(&String, usize)> = most.iter().map(|(call, count)| (call, *count)).collect();
    let mut points: Vec<(String, usize)> = (0..number)
        .map(|nth| {
            let (call, count) = calls[nth % calls.len()];
            (call.clone(), dice.random_range(1..=count))
        })
        .collect();
    points.shuffle(&mut dice);
    points
}

/// The database's own check of itself, on a copy as it lies there.
pub(crate) fn integrity(stage: &Stage, database: &Path) -> String {
    let url = format!("sqlite:{}", database.display());
    stage.runtime.block_on(async {
        let mut link = SqliteConnection::connect(&url).await.unwrap();
        let answer = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut link).await;
        link.close().await.unwrap();
        answer.unwrap_or_else(|error| error.to_string())
    })
}

#[test]
fn row_15_killed_at_calls_that_write_the_database_is_whole_and_no_order_is_doubled() {
    let mut stage = Stage::new();
    let most = reference(&mut stage, &WRITES);
    stage.settle();
    println!("row 15: calls of a reference run, the most of one thread: {most:?}");
    assert!(most.contains_key("pwrite64") && most.keys().any(|call| call.ends_with("sync")), "{most:?}");
    let points = points(&most, sample(12), 15);
    let mut kills = 0;
    for (call, nth) in &points {
        stage.reason_to_trade();
        let inject = format!("{call}:signal=KILL:when={nth}");
        let mut daemon = stage.start_as(&words(&[call], Some(&inject), None), &[]);
        kills += usize::from(died_or_done(&stage, &mut daemon, 9));
        drop(daemon);
        let copy = stage.copy_state("image").join("rebalanced.sqlite");
        assert_eq!(integrity(&stage, &copy), "ok", "{inject}");
        stage.settle();
        let verdict = stage.judge();
        assert!(verdict.is_clean(), "{inject}: {verdict:#?}");
    }
    println!("row 15: points {}, killed there {kills}, orders {}", points.len(), stage.judge().orders);
    assert!(kills * 3 >= points.len() * 2, "{kills} kills");
}

/// Waits until the program has died of this signal, or has done its work without coming to the point.
fn died_or_done(stage: &Stage, daemon: &mut Running, signal: i32) -> bool {
    let since = Moment::from(stage.sim.now());
    if stage.carried_through(daemon, since) {
        return false;
    }
    let status = daemon.wait(PATIENCE).unwrap();
    assert_eq!(status.signal(), Some(signal), "{status}: {}", tail(&daemon.log()));
    true
}
