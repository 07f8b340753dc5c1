//! The demo as a newcomer runs it, and as nobody should: with the daemon killed in the middle.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

#[path = "../support/postgres.rs"]
mod postgres;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

/// Runs a small demo; after each of `kills` milliseconds the daemon is killed with SIGKILL.
fn demo(seed: &str, database: Option<&str>, kills: &[u64]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rebalanced"));
    command.args(["demo", "--users", "10", "--days", "3", "--json", "--seed", seed]);
    if let Some(url) = database {
        command.args(["--database", url]);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (told, pids) = mpsc::channel::<u32>();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let listener = std::thread::spawn(move || {
        let mut log = String::new();
        for line in stderr.lines().map_while(Result::ok) {
            let pid = line.strip_prefix("daemon pid ").and_then(|rest| rest.split(' ').next()).map(str::parse);
            if let Some(Ok(pid)) = pid {
                told.send(pid).ok();
            }
            log.push_str(&line);
            log.push('\n');
        }
        log
    });
    let kills = kills.to_vec();
    let killer = std::thread::spawn(move || {
        let mut done = 0;
        for pause in kills {
            let Ok(pid) = pids.recv_timeout(Duration::from_mins(1)) else { break };
            std::thread::sleep(Duration::from_millis(pause));
            let killed = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status().unwrap();
            done += u32::from(killed.success());
        }
        done
    });
    let output = child.wait_with_output().unwrap();
    let log = listener.join().unwrap();
    let done = killer.join().unwrap();
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
    // Soon after it is ready it connects users; later it is in the middle of runs. Each restart gets its own pause.
    let trials = [(&[1_900_u64, 700, 1_300][..], None), (&[2_600, 900, 450, 1_100], Some(postgres.as_str()))];
    for (kills, database) in trials {
        let hurt = demo("5", database, kills);
        assert_eq!(calm["holdings"], hurt["holdings"], "the same final holdings");
        assert_eq!(calm["orders"], hurt["orders"], "the same orders, none twice");
        assert!(hurt["daemon_restarts"].as_u64().unwrap() >= 1, "the daemon was killed at least once");
    }
}
