//! Bad days at the broker: the run ends with its reason, the other users are not touched, nothing is lost or doubled.

use alpaca_sim::{FaultAction, FaultRule};
use rebalanced::model::verdict::{EndReason, OutcomeKind, Reason};
use serde_json::json;

use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");
const SLOT: &str = "2019-06-03T15:45:00";

async fn two_users(on: Keeper) -> (TestWorld, String, String) {
    let setup = Setup { strategies: &[("sixty-forty.toml", SIXTY_FORTY)], database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    let first = service.connect("first", "sixty-forty", cash(20_000)).await;
    let second = service.connect("second", "sixty-forty", cash(20_000)).await;
    // The first bell makes the strategy known; nothing is due yet.
    service.ring(new_york("2019-06-03T10:00:00")).await;
    (service, first, second)
}

/// The runs of both users after the slot: (kind, reason) of the first, then of the second.
async fn slot(service: &TestWorld, accounts: [&String; 2]) -> [(String, String); 2] {
    service.ring(new_york(SLOT)).await;
    let runs = service.world.store.runs(&rebalanced::edge::store::RunFilter::all()).await.unwrap();
    accounts.map(|account| {
        let run = runs.iter().find(|run| run.account.as_str() == account).expect("S-row: every due account has a run");
        let outcome = run.outcome.as_ref().expect("L1: every due run reaches an end");
        (outcome.kind.clone(), outcome.reason.clone())
    })
}

fn ended(kind: OutcomeKind, reason: EndReason) -> (String, String) {
    (kind.code().to_owned(), reason.code().to_owned())
}

fn invested() -> (String, String) {
    (OutcomeKind::Completed.code().to_owned(), Reason::NewCash.code().to_owned())
}

async fn a_good_day_invests_both_users_cash(on: Keeper) {
    let (service, first, second) = two_users(on).await;
    assert_eq!(slot(&service, [&first, &second]).await, [invested(), invested()]);
    assert_eq!(service.sim.ledger().orders.len(), 4);
    assert!(service.ring(new_york(SLOT)).await.is_empty(), "L4: a slot runs once, however often the bell rings");
    service.settle_accounts().await;
}

async fn an_unreachable_broker_ends_only_that_users_run(on: Keeper) {
    let (service, first, second) = two_users(on).await;
    service.sim.add_fault(FaultRule::new(FaultAction::DropBefore).path("/paper/v2/account").account(&first).times(0));
    let ends = slot(&service, [&first, &second]).await;
    assert_eq!(ends, [ended(OutcomeKind::Skipped, EndReason::BrokerUnreachable), invested()]);
    service.settle_accounts().await;
}

async fn row_75_a_revoked_token_ends_only_that_users_run_and_asks_for_a_new_connection(on: Keeper) {
    let (service, first, second) = two_users(on).await;
    service.sim.revoke_person("first");
    let before = service.sim.ledger().requests_total;
    let ends = slot(&service, [&first, &second]).await;
    assert_eq!(ends, [ended(OutcomeKind::Skipped, EndReason::TokenDead), invested()]);
    assert!(service.sim.ledger().requests_total > before);
    let accounts = service.world.store.accounts().await.unwrap();
    let health = |id: &String| accounts.iter().find(|account| account.id.as_str() == id).unwrap().health.code();
    assert_eq!((health(&first), health(&second)), ("reauth", "active"));
    service.settle_accounts().await;
}

async fn an_html_error_page_is_no_answer_and_ends_only_that_users_run(on: Keeper) {
    let (service, first, second) = two_users(on).await;
    service.sim.add_fault(FaultRule::new(FaultAction::Html).path("/paper/v2/positions").account(&first).times(0));
    let ends = slot(&service, [&first, &second]).await;
    assert_eq!(ends, [ended(OutcomeKind::Skipped, EndReason::BrokerUnreachable), invested()]);
    service.settle_accounts().await;
}

async fn row_12_an_unknown_order_status_is_never_an_end(on: Keeper) {
    let (service, first, second) = two_users(on).await;
    let mut lie = FaultRule::new(FaultAction::Mutate).path("/paper/v2/orders*").account(&first).times(0);
    lie.set.insert("/status".to_owned(), json!("teleported"));
    lie.set.insert("/0/status".to_owned(), json!("teleported"));
    lie.set.insert("/1/status".to_owned(), json!("teleported"));
    service.sim.add_fault(lie);
    let ends = slot(&service, [&first, &second]).await;
    assert_eq!(ends, [ended(OutcomeKind::Quarantined, EndReason::OrderUnknown), invested()]);
    let halts = service.world.store.halts(true).await.unwrap();
    assert_eq!(halts.len(), 1, "the account, and only it, waits for a person");
    assert_eq!(service.sim.ledger().orders.len(), 4, "S22: nothing was sent a second time");
}

async fn row_1_a_lost_reply_never_makes_a_second_order(on: Keeper) {
    for nth in 1..=2 {
        let (service, first, second) = two_users(on).await;
        let lost = FaultRule::new(FaultAction::DropAfter).path("/paper/v2/orders").method("POST").account(&first);
        service.sim.add_fault(lost.at_request(nth));
        assert_eq!(slot(&service, [&first, &second]).await, [invested(), invested()]);
        assert_eq!(service.sim.ledger().orders.len(), 4, "S1: order {nth} whose reply was lost exists once");
        service.settle_accounts().await;
    }
}

async fn row_2_a_request_that_never_arrived_is_sent_again_under_the_same_id(on: Keeper) {
    let (service, first, second) = two_users(on).await;
    let lost = FaultRule::new(FaultAction::DropBefore).path("/paper/v2/orders").method("POST").account(&first);
    service.sim.add_fault(lost);
    assert_eq!(slot(&service, [&first, &second]).await, [invested(), invested()]);
    assert_eq!(service.sim.ledger().orders.len(), 4);
    service.settle_accounts().await;
}

async fn row_3_gateway_errors_before_and_after_the_effect_are_resolved_by_asking(on: Keeper) {
    for action in [FaultAction::StatusBefore, FaultAction::StatusAfter] {
        let (service, first, second) = two_users(on).await;
        service.sim.add_fault(FaultRule::new(action).path("/paper/v2/orders").method("POST").account(&first));
        assert_eq!(slot(&service, [&first, &second]).await, [invested(), invested()]);
        assert_eq!(service.sim.ledger().orders.len(), 4);
        service.settle_accounts().await;
    }
}

async fn row_56_a_throttled_order_waits_and_is_sent_once(on: Keeper) {
    let (service, first, second) = two_users(on).await;
    let busy = FaultRule::new(FaultAction::RateLimit).path("/paper/v2/orders").method("POST").account(&first);
    service.sim.add_fault(busy);
    assert_eq!(slot(&service, [&first, &second]).await, [invested(), invested()]);
    assert_eq!(service.sim.ledger().orders.len(), 4);
    service.settle_accounts().await;
}

async fn row_82_a_halt_stops_every_order_and_says_so(on: Keeper) {
    let (service, first, second) = two_users(on).await;
    let desk = rebalanced::flow::approve::Desk {
        store: &service.world.store,
        clock: &service.world.clock,
        entropy: &service.world.entropy,
    };
    let scope = rebalanced::model::mandate::HaltScope::Service;
    rebalanced::flow::approve::halt(&desk, scope.clone(), ("ada", "drill")).await.unwrap();
    let halted = ("refused".to_owned(), "halted_service".to_owned());
    assert_eq!(slot(&service, [&first, &second]).await, [halted.clone(), halted]);
    assert!(service.sim.ledger().orders.is_empty());
    assert_eq!(rebalanced::flow::approve::resume(&desk, &scope, "ada").await.unwrap(), 1);
    let next = service.ring(new_york("2019-06-04T15:45:00")).await;
    assert!(next.iter().all(|outcome| outcome.kind == OutcomeKind::Completed), "{next:?}");
    service.settle_accounts().await;
}

async fn row_28_a_broker_that_says_nothing_is_waited_out_and_halts_nobody(on: Keeper) {
    let mut waited = 0;
    for nth in 2..=6 {
        let (service, first, second) = two_users(on).await;
        let mut silent =
            FaultRule::new(FaultAction::DropBefore).path("/paper/v2/orders*").method("GET").account(&first);
        silent = silent.at_request(nth).times(0);
        // Five minutes of waiting for the fills, one for the cancellation, and six more.
        silent.until = Some(new_york("2019-06-03T15:57:00").timestamp());
        service.sim.add_fault(silent);
        let [ended, other] = slot(&service, [&first, &second]).await;
        assert_eq!(other, invested());
        waited += usize::from(ended == invested());
        assert!(
            ended.0 != "quarantined" && service.world.store.halts(true).await.unwrap().is_empty(),
            "{nth}: {ended:?}"
        );
        service.settle_accounts().await;
    }
    assert!(waited > 0, "no order was ever waited for");
}

on_both_databases!(
    row_28_a_broker_that_says_nothing_is_waited_out_and_halts_nobody,
    a_good_day_invests_both_users_cash,
    an_unreachable_broker_ends_only_that_users_run,
    row_75_a_revoked_token_ends_only_that_users_run_and_asks_for_a_new_connection,
    an_html_error_page_is_no_answer_and_ends_only_that_users_run,
    row_12_an_unknown_order_status_is_never_an_end,
    row_1_a_lost_reply_never_makes_a_second_order,
    row_2_a_request_that_never_arrived_is_sent_again_under_the_same_id,
    row_3_gateway_errors_before_and_after_the_effect_are_resolved_by_asking,
    row_56_a_throttled_order_waits_and_is_sent_once,
    row_82_a_halt_stops_every_order_and_says_so,
);
