//! L6: what waits for a person is seen by one: each quarantine, halt, refusal and missed moment is counted and is an event,
//! and the counts are read every fifteen seconds (`deploy/alerts.yml` wakes somebody).

use alpaca_sim::{FaultAction, FaultRule};
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::tick;
use rebalanced::model::ids::Symbol;
use rebalanced::model::mandate::HaltScope;
use serde_json::json;

use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

/// 10:00 on each session; what is missed is left out.
const TEN: &str = "name = \"ten\"\n[schedule]\nevery = \"session\"\nat = \"open+30m\"\nmisfire = \"skip\"\n\
    [[weights]]\nsymbol = \"SPY\"\npercent = 95\n[cash]\npercent = 5\n[orders]\nmin_notional = 10\n";

async fn service(on: Keeper) -> (TestWorld, String) {
    let service = TestWorld::new(Setup { strategies: &[("ten.toml", TEN)], database: on, ..Setup::default() }).await;
    let account = service.connect("ann", "ten", cash(20_000)).await;
    service.ring(new_york("2019-06-03T09:00:00")).await;
    (service, account)
}

/// What the metrics say of this series; zero when there is none.
async fn counted(service: &TestWorld, series: &str) -> u64 {
    tick::count(&service.world).await.unwrap();
    let text = service.world.metrics.text();
    let lines = text.lines().filter_map(|line| line.strip_prefix(series)?.trim().parse::<u64>().ok());
    lines.sum()
}

async fn events(service: &TestWorld, kind: &str) -> usize {
    let events = service.world.store.events(0, i64::MAX).await.unwrap();
    events.iter().filter(|event| event.kind == kind).count()
}

fn desk(service: &TestWorld) -> Desk<'_> {
    Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy }
}

async fn l6_a_halt_is_counted_until_it_is_released(on: Keeper) {
    let (service, _) = service(on).await;
    assert_eq!(counted(&service, "rebalanced_halts{scope=\"service\"}").await, 0);
    approve::halt(&desk(&service), HaltScope::Service, ("ada", "drill")).await.unwrap();
    approve::halt(&desk(&service), HaltScope::Symbol(Symbol::parse("SPY").unwrap()), ("ada", "drill")).await.unwrap();
    assert_eq!(counted(&service, "rebalanced_halts{scope=\"service\"}").await, 1);
    assert_eq!(counted(&service, "rebalanced_halts{scope=\"symbol\"}").await, 1);
    assert_eq!(events(&service, "halt.pulled").await, 2);
    approve::resume(&desk(&service), &HaltScope::Service, "ada").await.unwrap();
    assert_eq!(counted(&service, "rebalanced_halts{scope=\"service\"}").await, 0);
    // And what it refuses is counted, too.
    let outcomes = service.ring(new_york("2019-06-03T10:00:00")).await;
    assert_eq!(outcomes[0].kind.code(), "refused", "{outcomes:?}");
    assert_eq!(counted(&service, "rebalanced_refusals_total{code=\"halted_symbol\"}").await, 1);
    let refused =
        "rebalanced_runs_total{environment=\"paper\",outcome=\"refused\",reason=\"halted_symbol\",strategy=\"ten\"}";
    assert_eq!(counted(&service, refused).await, 1);
    assert_eq!(events(&service, "run.closed").await, 1);
}

async fn l6_a_quarantine_is_counted_and_halts_its_account(on: Keeper) {
    let (service, account) = service(on).await;
    let mut lie = FaultRule::new(FaultAction::Mutate).path("/paper/v2/orders*").account(&account).times(0);
    lie.set.insert("/status".to_owned(), json!("teleported"));
    lie.set.insert("/0/status".to_owned(), json!("teleported"));
    service.sim.add_fault(lie);
    let outcomes = service.ring(new_york("2019-06-03T10:00:00")).await;
    assert_eq!(outcomes[0].kind.code(), "quarantined", "{outcomes:?}");
    let quarantined = "rebalanced_runs_total{environment=\"paper\",outcome=\"quarantined\",reason=\"order_unknown\",strategy=\"ten\"}";
    assert_eq!(counted(&service, quarantined).await, 1);
    assert_eq!(counted(&service, "rebalanced_orders_total{outcome=\"quarantined\",side=\"buy\"}").await, 1);
    assert_eq!(counted(&service, "rebalanced_halts{scope=\"account\"}").await, 1);
    assert_eq!(events(&service, "halt.pulled").await, 1);
}

async fn l6_a_missed_moment_is_counted_whether_or_not_it_has_a_row(on: Keeper) {
    let (service, _) = service(on).await;
    service.ring(new_york("2019-06-03T12:00:00")).await;
    assert_eq!(counted(&service, "rebalanced_moments_missed_total{strategy=\"ten\"}").await, 1);
    assert_eq!(events(&service, "moment.missed").await, 1);
    // So long asleep that the oldest ones are told in one event.
    service.ring(new_york("2019-12-02T12:00:00")).await;
    let missed = counted(&service, "rebalanced_moments_missed_total{strategy=\"ten\"}").await;
    let days = (jiff::civil::date(2019, 6, 3), jiff::civil::date(2019, 12, 2));
    let sessions = service.world.sessions.between(days.0, days.1).count();
    assert_eq!(missed, u64::try_from(sessions).unwrap(), "each session's");
    assert_eq!(events(&service, "slots.left_out").await, 1);
}

on_both_databases!(
    l6_a_halt_is_counted_until_it_is_released,
    l6_a_quarantine_is_counted_and_halts_its_account,
    l6_a_missed_moment_is_counted_whether_or_not_it_has_a_row,
);
