//! Live orders: refused unless every flag is set, and the refusal names every flag that is missing.

use alpaca_sim::{Environment, NewAccount};
use rebalanced::flow::approve::{self, Desk};
use rebalanced::model::ids::{AccountId, StrategyName};
use rebalanced::model::mandate::{ApprovalKind, Bound, ServicePolicy};
use rebalanced::model::verdict::OutcomeKind;
use rust_decimal::Decimal;

use crate::support::{Keeper, Setup, TestWorld, new_york, on_both_databases, policy};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");

/// The five flags that a person can give; the kill switch and the limits are tested elsewhere.
const FLAGS: [&str; 5] =
    ["live_switched_off", "app_not_approved", "consent_missing", "strategy_not_approved", "subscription_not_approved"];

async fn run_with(on: Keeper, flags: u32) -> (TestWorld, Vec<String>) {
    let given = |index: u32| flags & (1 << index) != 0;
    let policy = ServicePolicy { live_trading: given(0), app_approved: given(1), ..policy() };
    let setup = Setup {
        strategies: &[("sixty-forty.toml", SIXTY_FORTY)],
        policy,
        app_approved_at_broker: true,
        database: on,
        ..Setup::default()
    };
    let service = TestWorld::new(setup).await;
    let mut new = NewAccount::new("", Environment::Live);
    new.cash = Decimal::from(20_000);
    let account = AccountId::parse(&service.connect("live", "sixty-forty", new).await).unwrap();
    let name = StrategyName::parse("sixty-forty").unwrap();
    let version = service.world.strategies.get(&name).unwrap().version().clone();
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    let kinds = [
        (2, ApprovalKind::Consent { account: account.clone(), text_hash: "0".repeat(64) }),
        (3, ApprovalKind::Strategy { name: name.clone(), version }),
        (4, ApprovalKind::Subscription { account, name, bound: Bound::default() }),
    ];
    for (index, kind) in kinds {
        if given(index) {
            approve::grant(&desk, kind, ("ada", "test"), None).await.unwrap();
        }
    }
    service.ring(new_york("2019-06-03T10:00:00")).await;
    let outcomes = service.ring(new_york("2019-06-03T15:45:00")).await;
    let lines =
        outcomes.iter().map(|outcome| format!("{} {} {}", outcome.kind, outcome.reason, outcome.detail)).collect();
    (service, lines)
}

async fn s4_no_live_order_leaves_unless_every_flag_is_set(on: Keeper) {
    let all = (1 << FLAGS.len()) - 1;
    for flags in 0..=all {
        let (service, outcomes) = run_with(on, flags).await;
        let orders = service.sim.ledger().orders.len();
        let [outcome] = outcomes.as_slice() else { panic!("one run, one outcome: {outcomes:?}") };
        if flags == all {
            assert!(outcome.starts_with(OutcomeKind::Completed.code()), "{outcome}");
            assert_eq!(orders, 2, "with every flag the live orders leave");
        } else {
            assert!(outcome.starts_with(OutcomeKind::Refused.code()), "{flags:05b}: {outcome}");
            assert_eq!(orders, 0, "{flags:05b}: no live order");
            let stored = service.world.store.events(0, 10_000).await.unwrap();
            let refused = stored.iter().rev().find(|event| event.kind == "run.refused" || event.kind == "run.closed");
            assert!(refused.is_some(), "a refusal is recorded");
        }
        service.settle_accounts().await;
    }
}

on_both_databases!(s4_no_live_order_leaves_unless_every_flag_is_set,);
