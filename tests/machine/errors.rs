//! The disk is broken: a write or a sync answers with an I/O error.
//!
//! After a sync that failed nobody knows what is on the disk, and the next sync says nothing about it. So the process must
//! end at once, with an error, and find out at its next start what is there.

use crate::stage::{Stage, sample, tail};
use crate::strace::{reference, words};
use crate::syscalls::points;

/// So long, in the exchange's time, a daemon whose disk failed may go on before the test has seen enough.
const TRIES: i64 = 150;

#[test]
fn row_63_an_io_error_ends_the_process_and_nothing_is_tried_again() {
    let mut stage = Stage::new();
    let most = reference(&mut stage, &["pwrite64", "fdatasync", "fsync"]);
    stage.settle();
    println!("row 63: calls of a reference run: {most:?}");
    let points = points(&most, sample(9), 63);
    let (mut failed, mut went_on) = (0, Vec::new());
    for (call, nth) in &points {
        stage.reason_to_trade();
        let inject = format!("{call}:error=EIO:when={nth}");
        let log = stage.scratch.path().join("eio.log").display().to_string();
        let mut daemon = stage.start_as(&words(&[call], Some(&inject), Some(&log)), &[]);
        stage.let_try(&mut daemon, TRIES);
        let ended = daemon.ended();
        let traced = std::fs::read_to_string(&log).unwrap();
        // A folder's sync says that a new file's name is there; SQLite goes on without it, and so may we.
        if traced.lines().any(|line| line.contains("(INJECTED)") && line.contains(".sqlite")) {
            failed += 1;
            match ended {
                None => went_on.push(format!("{inject}: the daemon goes on: {}", tail(&daemon.log()))),
                Some(status) if status.code().is_none_or(|code| code == 0) => {
                    went_on.push(format!("{inject}: it ended with {status}"));
                }
                Some(_) => {}
            }
            went_on.extend(again_after(&traced).map(|line| format!("{inject}: tried again: {line}")));
        }
        drop(daemon);
        stage.settle();
        let verdict = stage.judge();
        assert!(verdict.is_clean(), "{inject}: {verdict:#?}");
    }
    println!("row 63: points {}, errors {failed}, orders {}", points.len(), stage.judge().orders);
    assert!(failed * 3 >= points.len() * 2, "{failed} errors");
    assert!(went_on.is_empty(), "{went_on:#?}");
}

/// The next sync of the same file by the same thread, after one that failed: what was written before it may be lost.
fn again_after(traced: &str) -> Option<String> {
    let mut lines = traced.lines().skip_while(|line| !line.contains("(INJECTED)"));
    let synced = |line: &str| {
        let thread = line.split(' ').next()?.to_owned();
        let (_, rest) = line.split_once("sync(")?;
        Some((thread, rest.split(')').next()?.to_owned()))
    };
    let failed = synced(lines.next()?)?;
    lines.find(|line| synced(line).as_ref() == Some(&failed)).map(str::to_owned)
}
