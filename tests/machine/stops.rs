//! The process stands still in the middle of its work, for longer than its looks are fresh, its orders may wait and its lease
//! lasts, and goes on as if nothing had been.

use std::fs;
use std::time::Duration;

use alpaca_sim::{FaultAction, FaultRule};
use rand::Rng;
use rebalanced::edge::store::IntentFilter;
use rebalanced::model::event::Actor;
use rebalanced::model::mandate::HaltScope;
use rebalanced::model::time::{Moment, Span};
use rust_decimal::Decimal;

use crate::stage::{PATIENCE, Running, Stage, dice, sample, tail, until};

/// So long, in the exchange's time, the daemon is watched after it has been let go on.
const AFTER: i64 = 300;

/// How long a recorded order may wait for its first byte, and what a slow machine and a fast clock add to it.
const SEND_WITHIN: Span = Span::from_mins(15);
const SLOW: Span = Span::from_mins(3);

#[test]
fn row_50_a_process_that_was_stopped_and_goes_on_sends_nothing_that_is_not_allowed_any_more() {
    let mut stage = Stage::new();
    let mut dice = dice(50);
    let number = sample(9);
    let (mut between, mut forbidden, mut sent_after) = (0, 0, 0);
    for nth in 0..number {
        // Longer than a look is fresh, than the lease lasts, than an order may wait.
        let still = [100, 700, 1_200][nth % 3];
        let is_forbidden = nth % 2 == 1;
        stage.reason_to_trade();
        let mut daemon = come_to(&stage, if nth % 3 == 2 { None } else { Some(dice.random_range(1..=3)) }, &mut dice);
        daemon.signal("STOP");
        assert!(until(PATIENCE, || is_still(&daemon).then_some(())).is_some(), "it does not stand still");
        // What has left is at the broker a moment later.
        std::thread::sleep(Duration::from_millis(100));
        let (orders, begun) = (stage.sim.ledger().orders.len(), stage.sim.now());
        let is_over = || (stage.sim.now().duration_since(begun).as_secs() > still).then_some(());
        assert!(until(PATIENCE, is_over).is_some(), "time stands still");
        // The database may be out of reach: whoever stands still may hold it. The file is not.
        if is_forbidden {
            stage.scratch.write("halt", "pulled while it stood still");
        }
        let (since, now) = (Moment::from(begun), Moment::from(stage.sim.now()));
        daemon.signal("CONT");
        stage.let_try(&mut daemon, AFTER);
        let more = stage.sim.ledger().orders.len() - orders;
        if is_forbidden {
            assert_eq!(more, 0, "still for {still} s: an order left after the halt: {}", tail(&daemon.log()));
            forbidden += 1;
        }
        sent_after += more;
        daemon.signal("TERM");
        assert!(daemon.wait(PATIENCE).is_some(), "it does not stop: {}", tail(&daemon.log()));
        between += usize::from(in_time(&stage, still, (since, now)));
        if is_forbidden {
            fs::remove_file(stage.scratch.path().join("halt")).unwrap();
            let by = Actor::operator("ada");
            stage.with_store(|store| async move { store.resume(&HaltScope::Service, &by, now).await.unwrap() });
        }
        stage.settle();
        let mut verdict = stage.judge();
        // A half that was withdrawn leaves its cash, and the plan of the next moment may buy back some of what was sold for it.
        verdict.doubled.retain(|line| !line.contains("was bought and sold"));
        let view = stage.sim.with_exchange(|exchange, now| exchange.account(now, &stage.account)).unwrap();
        assert!(view.cash >= Decimal::ZERO, "still for {still} s: S7: {} dollars of cash", view.cash);
        assert!(verdict.is_clean(), "still for {still} s: {verdict:#?}");
    }
    println!(
        "row 50: stops {number}, with orders on the way {between}, then forbidden {forbidden}, orders sent after {sent_after}, orders {}",
        stage.judge().orders
    );
    assert!(between > 0, "no stop came between the record of an order and its end");
}

/// A daemon whose n-th order is at the broker and not answered, or that has had so many answers.
fn come_to(stage: &Stage, order: Option<u64>, dice: &mut impl Rng) -> Running {
    let (before, requests) = (stage.requests(), dice.random_range(1..=40));
    if let Some(nth) = order {
        let mut rule = FaultRule::new(FaultAction::Delay).method("POST").path("/paper/v2/orders").at_request(nth);
        rule.delay_ms = Some(400);
        stage.sim.add_fault(rule);
    }
    let file = stage.scratch.path().join("halt").display().to_string();
    let daemon = stage.start_as(&[], &[("REBALANCED_RUNS__HALT_FILE", &file)]);
    let is_there = || match order {
        Some(_) => stage.sim.faults().iter().any(|rule| rule.fired > 0),
        None => stage.requests() >= before + requests,
    };
    let come = until(PATIENCE, || is_there().then_some(()));
    assert!(come.is_some(), "{order:?}, {requests} requests: never came to it: {}", tail(&daemon.log()));
    daemon
}

/// No order came to the broker longer after its record than it may wait. Says whether an order was recorded before the stop
/// and known only after it.
fn in_time(stage: &Stage, still: i64, (since, until): (Moment, Moment)) -> bool {
    let intents = stage.with_store(|store| async move { store.intents(&IntentFilter::all()).await.unwrap() });
    for record in stage.sim.ledger().orders {
        let id = record.order.client_order_id.to_string();
        let Some(intent) = intents.iter().find(|intent| intent.client_order_id.as_str() == id) else { continue };
        let waited = Moment::from(record.order.submitted_at).since(intent.recorded_at);
        assert!(waited <= SEND_WITHIN + SLOW, "still for {still} s: {id} left {} s after its record", waited.as_secs());
    }
    intents.iter().any(|intent| intent.recorded_at <= since && intent.settled_at.is_none_or(|known| known >= until))
}

/// Whether the system has stopped it: the state behind its name is `T`.
fn is_still(daemon: &Running) -> bool {
    let line = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap_or_default();
    line.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}
