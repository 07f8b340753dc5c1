//! What becomes of a moment: missed, made up for, or in a wave; each leaves its own trace.

use std::collections::BTreeMap;

use rebalanced::edge::store::RunFilter;
use rebalanced::model::event::ChainedEvent;
use rebalanced::model::run::{Run, RunState};
use rebalanced::model::time::Span;
use serde_json::Value;

use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

/// Two schedules: 10:00 on each session, patient; 11:00 on each session, which is left out when it is missed.
const TWO: &str = "name = \"two\"\n\
    [[schedule]]\nreason = \"morning\"\nevery = \"session\"\nat = \"open+30m\"\ngrace_minutes = 100\n\
    [[schedule]]\nreason = \"eleven\"\nevery = \"session\"\nat = \"open+90m\"\nmisfire = \"skip\"\n\
    [[weights]]\nsymbol = \"SPY\"\npercent = 95\n[cash]\npercent = 5\n";

const WAVE: &str = "name = \"wave\"\n\
    [schedule]\nreason = \"monthly\"\nevery = \"month\"\nat = \"open+30m\"\ngrace_minutes = 10\nspread_minutes = 60\n\
    [[weights]]\nsymbol = \"SPY\"\npercent = 95\n[cash]\npercent = 5\n";

fn facts(event: &ChainedEvent) -> BTreeMap<String, Value> {
    serde_json::from_str(&event.facts).unwrap()
}

async fn told(service: &TestWorld, kind: &str) -> Vec<BTreeMap<String, Value>> {
    let events = service.world.store.events(0, i64::MAX).await.unwrap();
    events.iter().filter(|event| event.kind == kind).map(facts).collect()
}

async fn runs(service: &TestWorld, state: RunState) -> Vec<Run> {
    service.world.store.runs(&RunFilter { state: Some(state), ..RunFilter::all() }).await.unwrap()
}

async fn row_51_a_missed_moment_and_one_that_is_made_up_for_are_events_of_their_own(on: Keeper) {
    let setup = Setup { strategies: &[("two.toml", TWO)], database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    service.connect("ann", "two", cash(10_000)).await;
    service.connect("ben", "two", cash(10_000)).await;
    service.ring(new_york("2019-06-03T09:00:00")).await;
    // The service sleeps from 9:00 to 11:20: 11:00 is left out, 10:00 is made up for.
    let outcomes = service.ring(new_york("2019-06-03T11:20:00")).await;
    assert_eq!(outcomes.len(), 2, "the one that is made up for, once for each account: {outcomes:?}");
    for (kind, reason, moment, late, policy) in [
        ("moment.made_up", "morning", "2019-06-03T14:00:00Z", "4800", "run_once"),
        ("moment.missed", "eleven", "2019-06-03T15:00:00Z", "1200", "skip"),
    ] {
        let told = told(&service, kind).await;
        assert_eq!(told.len(), 1, "once for the strategy, not for each user: {told:?}");
        let said = |name: &str| told[0][name].as_str().unwrap().to_owned();
        assert_eq!(
            ["strategy", "reason", "moment", "late_seconds", "policy"].map(said),
            ["two", reason, moment, late, policy].map(str::to_owned)
        );
    }
    // What the runs and the audit say they were for.
    let runs = service.world.store.runs(&RunFilter::all()).await.unwrap();
    let mut reasons: Vec<_> = runs
        .iter()
        .map(|run| (run.slot_reason.as_str(), run.outcome.as_ref().map(|end| end.reason == "missed").unwrap()))
        .collect();
    reasons.sort_unstable();
    assert_eq!(reasons, [("eleven", true), ("eleven", true), ("morning", false), ("morning", false)]);
    let closed = told(&service, "run.closed").await;
    assert!(closed.iter().all(|facts| ["morning", "eleven"].contains(&facts["slot_reason"].as_str().unwrap())));
    assert_eq!(told(&service, "slots.enqueued").await[0]["reasons"], "eleven morning");
    // Nothing is told of moments that come on time, and nothing a second time.
    service.ring(new_york("2019-06-03T11:20:01")).await;
    service.ring(new_york("2019-06-04T10:00:00")).await;
    assert_eq!((told(&service, "moment.made_up").await.len(), told(&service, "moment.missed").await.len()), (1, 1));
    service.settle_accounts().await;
}

async fn two_daemons_that_see_one_missed_moment_tell_it_once(on: Keeper) {
    let setup = Setup { strategies: &[("two.toml", TWO)], database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    service.connect("ann", "two", cash(10_000)).await;
    service.ring(new_york("2019-06-03T09:00:00")).await;
    service.clock.set(new_york("2019-06-03T13:00:00"));
    let now = service.clock.now();
    let strategy = service.world.strategies.iter().next().unwrap();
    let ledger = service.world.store.ledger().await.unwrap()[strategy.name()];
    let due = rebalanced::decide::due::due(strategy, &service.world.sessions, ledger, now);
    assert_eq!(due.len(), 2);
    let one = service.world.store.enqueue(strategy.name(), &due, now, now);
    let other = service.world.store.enqueue(strategy.name(), &due, now, now);
    let (one, other) = tokio::join!(one, other);
    assert_eq!(one.unwrap() + other.unwrap(), 2, "two runs, both closed as missed");
    assert_eq!(told(&service, "moment.missed").await.len(), 2, "each moment once");
}

async fn a_wave_ends_at_its_stated_time_and_who_has_not_begun_by_then_is_missed(on: Keeper) {
    let setup = Setup { strategies: &[("wave.toml", WAVE)], database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    for number in 0..6 {
        service.connect(&format!("user-{number}"), "wave", cash(10_000)).await;
    }
    service.ring(new_york("2019-06-03T09:00:00")).await;
    let moment = new_york("2019-06-03T10:00:00");
    service.ring(moment).await;
    let mut turns: Vec<_> = runs(&service, RunState::Due).await.into_iter().map(|run| run.turn).collect();
    turns.sort_unstable();
    assert_eq!(turns.len(), 6, "nobody's turn is at the very moment");
    assert!(turns.iter().all(|turn| *turn > moment && turn.since(moment) < Span::from_mins(60)));
    // Half of them have their turns; then the service is busy until the wave has ended.
    service.ring(turns[2]).await;
    assert_eq!(runs(&service, RunState::Due).await.len(), 3, "the others still wait");
    let outcomes = service.ring(moment + Span::from_mins(70) + Span::from_secs(1)).await;
    let ends: Vec<_> = outcomes.iter().map(|outcome| outcome.reason).collect();
    assert_eq!(ends, ["missed"; 3]);
    assert_eq!(runs(&service, RunState::Closed).await.len(), 6);
    service.settle_accounts().await;
}

on_both_databases!(
    row_51_a_missed_moment_and_one_that_is_made_up_for_are_events_of_their_own,
    two_daemons_that_see_one_missed_moment_tell_it_once,
    a_wave_ends_at_its_stated_time_and_who_has_not_begun_by_then_is_missed,
);
