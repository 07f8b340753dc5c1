//! The program is asked to stop in the middle of its work, and killed again and again at its start.

use std::time::{Duration, Instant};

use alpaca_sim::{FaultAction, FaultRule};
use rand::Rng;

use crate::stage::{PATIENCE, Running, Stage, dice, sample, tail, until};

/// A stop takes no longer than this; the configuration lets runs under way go on for three seconds.
const STOP: Duration = Duration::from_secs(10);

/// No more requests than this may a restart cost that comes to nothing.
const REQUESTS_A_RESTART: u64 = 20;

/// Where in its work the program is when the signal comes.
#[derive(Debug, Clone, Copy)]
enum Progress {
    /// So many requests have been answered since it started.
    Requests(u64),
    /// The n-th order is at the broker, and the answer takes so many milliseconds.
    InFlight(u64, u64),
    /// An order stays open.
    Open,
}

#[test]
fn row_18_a_stop_in_the_middle_drops_no_order_and_takes_at_most_ten_seconds() {
    let mut stage = Stage::new();
    let mut dice = dice(18);
    let mut progress = vec![Progress::Open, Progress::InFlight(1, 6_000), Progress::InFlight(3, 500)];
    let more = sample(9);
    progress.extend((0..more).map(|nth| match nth % 3 {
        0 => Progress::InFlight(dice.random_range(1..=3), 500),
        _ => Progress::Requests(dice.random_range(1..=45)),
    }));
    let (mut slowest, mut hard, mut open_after) = (Duration::ZERO, 0, 0);
    for (nth, progress) in progress.iter().enumerate() {
        let signal = if nth % 2 == 0 { "TERM" } else { "INT" };
        stage.reason_to_trade();
        let mut daemon = come_to(&stage, *progress);
        let begun = Instant::now();
        daemon.signal(signal);
        let status = daemon.wait(STOP).unwrap_or_else(|| panic!("{signal} at {progress:?}: it does not stop"));
        slowest = slowest.max(begun.elapsed());
        let code = status.code().unwrap_or_else(|| panic!("{signal} at {progress:?}: {status}"));
        hard += usize::from(code != 0);
        let left = stage.judge();
        assert!(left.unrecorded.is_empty() && left.doubled.is_empty(), "{signal} at {progress:?}: {left:#?}");
        open_after += usize::from(!left.waiting.is_empty());
        stage.settle();
        let verdict = stage.judge();
        assert!(verdict.is_clean(), "{signal} at {progress:?}: {verdict:#?}");
    }
    println!(
        "row 18: signals {}, slowest stop {} ms, stopped hard {hard}, orders left to the next start {open_after}, orders {}",
        progress.len(),
        slowest.as_millis(),
        stage.judge().orders
    );
    assert!(hard > 0, "no stop came while an order was in flight");
}

/// A daemon that has come so far.
fn come_to(stage: &Stage, progress: Progress) -> Running {
    let (before, orders) = (stage.requests(), stage.sim.ledger().orders.len());
    match progress {
        Progress::Requests(_) => {}
        Progress::InFlight(nth, delay) => {
            let mut rule = FaultRule::new(FaultAction::Delay).method("POST").path("/paper/v2/orders").at_request(nth);
            rule.delay_ms = Some(delay);
            stage.sim.add_fault(rule);
        }
        Progress::Open => stage.halt(stage.sold(), true),
    }
    let daemon = stage.start();
    let come = until(PATIENCE, || {
        let there = match progress {
            Progress::Requests(requests) => stage.requests() >= before + requests,
            Progress::InFlight(..) => stage.sim.faults().iter().any(|rule| rule.fired > 0),
            Progress::Open => stage.sim.ledger().orders.len() > orders,
        };
        there.then_some(())
    });
    assert!(come.is_some(), "{progress:?}: never came to it: {}", tail(&daemon.log()));
    daemon
}

#[test]
fn row_17_a_crash_loop_after_the_send_makes_no_order_more_and_few_requests() {
    let mut stage = Stage::new();
    // A run that was taken up fifty times is given to a person, so a loop stays below that.
    let restarts = sample(20).min(45);
    // Where the first dies, where all others die, and whether the order is lost on its way. From the first on each start is
    // a recovery of the same orders, and dies before it has stored what became of them.
    let loops = [
        ("sell.polled", "sell.polled", false),
        ("sell.asking", "broker.orders_since.answered", true),
        ("broker.submit.answered", "store.settle.committing", false),
    ];
    for (first, later, is_lost) in loops {
        stage.reason_to_trade();
        if is_lost {
            let rule = FaultRule::new(FaultAction::DropBefore).method("POST").path("/paper/v2/orders");
            stage.sim.add_fault(rule);
        } else {
            stage.halt(stage.sold(), true);
        }
        let requests = killed(&stage, first);
        let orders = stage.sim.ledger().orders.len();
        let mut most = 0;
        for nth in 1..restarts {
            most = most.max(killed(&stage, later));
            assert_eq!(stage.sim.ledger().orders.len(), orders, "{later}: restart {nth} made an order");
        }
        println!("row 17: {later}: restarts {restarts}, requests of the first {requests}, most of a restart {most}");
        assert!((1..=REQUESTS_A_RESTART).contains(&most), "{most} requests");
        stage.settle();
        let verdict = stage.judge();
        assert!(verdict.is_clean(), "{later}: {verdict:#?}");
    }
}

/// Lets the program come to a point and die there. Returns how many requests to the broker that took.
fn killed(stage: &Stage, point: &str) -> u64 {
    let before = stage.requests();
    let mut daemon = stage.start_killed_at(point, 1);
    let status = daemon.wait(PATIENCE);
    let is_killed = status.is_some_and(|status| std::os::unix::process::ExitStatusExt::signal(&status) == Some(9));
    assert!(is_killed, "{point}: {status:?}: {}", tail(&daemon.log()));
    stage.requests() - before
}
