//! The database is another than the one that the broker's orders were recorded in: the power failed and what was not synced
//! is gone or torn, or an old copy was put back.

use std::fs;
use std::path::Path;

use rand::Rng;

use crate::judge::Verdict;
use crate::stage::{PATIENCE, Stage, dice, sample, tail, until};

/// What the power left of SQLite's log.
#[derive(Debug, Clone, Copy)]
enum Image {
    /// Everything.
    Whole,
    /// The last frame in part: its commit was not confirmed.
    Torn,
    /// Without the last so many commits. More than the system may lose: a disk that lies about its syncs.
    Without(usize),
    /// Nothing: as before the daemon was started. The control, in which the intent is surely lost.
    Nothing,
}

/// Where the power fails: right after something is durable, and right after the broker has an order.
const POINTS: [&str; 8] = [
    "sell.recorded",
    "sell.leaving",
    "broker.submit.answered",
    "sell.replied",
    "sell.settled",
    "buy.recorded",
    "buy.replied",
    "buy.settled",
];

/// Where each frame that counts ends in the log, and whether it ends a commit.
fn frames(log: &[u8]) -> Vec<(usize, bool)> {
    let word = |at: usize| log.get(at..at + 4).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
    let page = word(8) as usize;
    let mut frames = Vec::new();
    let mut at = 32;
    while page > 0 && at + 24 + page <= log.len() && log[at + 8..at + 16] == log[16..24] {
        frames.push((at + 24 + page, word(at + 4) != 0));
        at += 24 + page;
    }
    frames
}

/// Leaves of the log in this folder what the power left.
fn cut(folder: &Path, image: Image) -> usize {
    drop(fs::remove_file(folder.join("rebalanced.sqlite-shm")));
    let path = folder.join("rebalanced.sqlite-wal");
    let log = fs::read(&path).unwrap_or_default();
    let frames = frames(&log);
    let commits: Vec<usize> = frames.iter().filter(|(_, is_commit)| *is_commit).map(|(end, _)| *end).collect();
    let keep = match image {
        Image::Whole => log.len(),
        Image::Torn => frames.last().map_or(0, |(end, _)| end - 2000),
        Image::Without(last) => commits.len().checked_sub(last + 1).map_or(0, |nth| commits[nth]),
        Image::Nothing => 0,
    };
    fs::write(&path, &log[..keep.min(log.len())]).unwrap();
    commits.len()
}

#[test]
fn row_22_after_a_power_cut_no_order_is_doubled_and_each_is_found_again() {
    let mut stage = Stage::new();
    let mut dice = dice(22);
    let number = sample(8);
    let (mut lost, mut adopted) = (0, 0);
    for nth in 0..number {
        let point = POINTS[nth % POINTS.len()];
        let image = match (nth + nth / 8) % 4 {
            0 => Image::Torn,
            1 => Image::Without(dice.random_range(1..=3)),
            2 => Image::Whole,
            _ => Image::Nothing,
        };
        stage.reason_to_trade();
        // Orders that stay open, or that have filled when the power comes back.
        stage.halt(stage.sold(), point.starts_with("sell.") && dice.random_bool(0.5));
        let orders = stage.sim.ledger().orders.len();
        let mut daemon = stage.start_killed_at(point, 1);
        assert!(daemon.wait(PATIENCE).is_some(), "{point}: never came to it: {}", tail(&daemon.log()));
        let commits = cut(&stage.state(), image);
        let trial = format!(
            "{point}, {image:?} of {commits} commits, {} orders sent",
            stage.sim.ledger().orders.len() - orders
        );
        let unknown = stage.judge().unrecorded.len();
        lost += unknown;
        stage.settle();
        let verdict = stage.judge();
        adopted += unknown.saturating_sub(verdict.unrecorded.len());
        println!("{trial}: unknown {unknown}, after it {}, halted {}", verdict.unrecorded.len(), verdict.halted);
        assert!(is_found_or_halted(&verdict), "{trial}: {verdict:#?}");
        if verdict.halted {
            // A person has looked; the next trial begins with a service of its own.
            stage = Stage::new();
        }
    }
    println!("row 22: images {number}, intents lost in them {lost}, adopted by their ids {adopted}");
    assert!(lost > 0, "the control images lost no intent");
}

/// Nothing is doubled, quantities agree, the audit holds; what nobody recorded has halted its account.
fn is_found_or_halted(verdict: &Verdict) -> bool {
    let is_sound = verdict.doubled.is_empty() && verdict.unequal.is_empty() && verdict.broken.is_empty();
    is_sound && (verdict.halted || verdict.unrecorded.is_empty())
}

#[test]
fn row_23_an_old_copy_that_is_put_back_doubles_nothing() {
    let mut dice = dice(23);
    let number = sample(5);
    let (mut lost, mut halted) = (0, 0);
    for nth in 0..number {
        let mut stage = Stage::new();
        let copied_at = [None, Some("sell.considering"), Some("buy.considering"), None, Some("sell.recorded")][nth % 5];
        let stays_open = if nth < 5 { nth % 2 == 1 } else { dice.random_bool(0.5) };
        stage.reason_to_trade();
        if let Some(point) = copied_at {
            let mut daemon = stage.start_killed_at(point, 1);
            assert!(daemon.wait(PATIENCE).is_some(), "{point}: {}", tail(&daemon.log()));
        }
        let copy = stage.copy_state("backup");
        traded(&mut stage, stays_open);
        stage.restore_state(&copy);
        let orders = stage.sim.ledger().orders.len();
        let unknown = stage.judge().unrecorded.len();
        assert!(unknown > 0, "the copy knows all orders");
        lost += unknown;
        stage.settle();
        let verdict = stage.judge();
        let trial = format!("copied at {copied_at:?}, orders stay open {stays_open}");
        println!(
            "{trial}: unknown {unknown}, after it {}, new {}, halted {}",
            verdict.unrecorded.len(),
            verdict.orders - orders,
            verdict.halted
        );
        assert!(is_found_or_halted(&verdict), "{trial}: {verdict:#?}");
        halted += usize::from(verdict.halted);
    }
    println!("row 23: copies {number}, orders they did not know {lost}, accounts halted {halted}");
}

/// The service goes on after the copy was made, and trades.
fn traded(stage: &mut Stage, stays_open: bool) {
    if !stays_open {
        return stage.settle();
    }
    stage.halt(&crate::stage::SYMBOLS, true);
    let orders = stage.sim.ledger().orders.len();
    let daemon = stage.start();
    let sent = until(PATIENCE, || (stage.sim.ledger().orders.len() > orders).then_some(()));
    assert!(sent.is_some(), "nothing was sent: {}", tail(&daemon.log()));
    daemon.signal("KILL");
}
