//! The demo as a newcomer runs it, and as nobody should: with the daemon killed in the middle.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

#[path = "../support/postgres.rs"]
mod postgres;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// How the line of a finished run is known.
const OUTCOMES: [&str; 3] = [" completed ", " partial ", " skipped "];

/// Kill the daemon this many milliseconds after so many runs were reported.
type Kill = (usize, u64);

/// Runs a small demo; the daemon is killed with SIGKILL at each of these points.
fn demo(seed: &str, database: Option<&str>, kills: &[Kill]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rebalanced"));
    command.args(["demo", "--users", "18", "--days", "3", "--json", "--seed", seed]);
    if let Some(url) = database {
        command.args(["--database", url]);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut kills: Vec<Kill> = kills.to_vec();
    let listener = std::thread::spawn(move || {
        let (mut log, mut runs, mut daemon, mut done) = (String::new(), 0, None, 0);
        for line in stderr.lines().map_while(Result::ok) {
            let pid = line.strip_prefix("daemon pid ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
            daemon = pid.or(daemon);
            runs += usize::from(OUTCOMES.iter().any(|outcome| line.contains(outcome)));
            log.push_str(&line);
            log.push('\n');
            let due = kills.first().copied().filter(|(after, _)| runs >= *after && daemon.is_some());
            if let (Some((_, pause)), Some(pid)) = (due, daemon.take_if(|_| due.is_some())) {
                kills.remove(0);
                std::thread::sleep(Duration::from_millis(pause));
                done += usize::from(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
            }
        }
        (log, done)
    });
    let output = child.wait_with_output().unwrap();
    let (log, done) = listener.join().unwrap();
    assert!(output.status.success(), "the demo failed:\n{log}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}:\n{log}"));
    assert_eq!(summary["violations"], Value::Array(Vec::new()), "{log}");
    println!("demo: {} orders, {done} kills", summary["orders"].as_array().unwrap().len());
    summary
}

#[test]
fn row_14_a_demo_whose_daemon_is_killed_ends_with_the_same_holdings_and_no_order_twice() {
    let postgres = postgres::empty_postgres();
    let calm = demo("5", None, &[]);
    assert!(calm["orders"].as_array().unwrap().len() > 10);
    // Each kill comes when some runs of a moment have been reported: others of it are in the middle, or the next moment's
    // are about to begin. The demo starts a killed daemon again.
    let on_file: &[Kill] = &[(1, 0), (9, 40), (16, 5), (23, 80)];
    let on_server: &[Kill] = &[(2, 0), (13, 20)];
    let trials = [(on_file, None), (on_server, Some(postgres.as_str()))];
    for (kills, database) in trials {
        let hurt = demo("5", database, kills);
        assert_eq!(calm["holdings"], hurt["holdings"], "the same final holdings");
        assert_eq!(calm["orders"], hurt["orders"], "the same orders, none twice");
        assert_eq!(hurt["daemon_restarts"].as_u64().unwrap(), kills.len() as u64, "every kill struck a living daemon");
    }
}
