//! Orders whose fate is in doubt: a refused token, a crash with many unsent orders, a ledger that lags, a run that another
//! worker has. What is not known is asked for, once and together; what is not proven is never an end.

use std::time::Duration;

use alpaca_sim::exchange::CloseAmount;
use alpaca_sim::exchange::order::{OrderRequest, OrderType, Side, TimeInForce};
use alpaca_sim::{FaultAction, FaultRule, OrderRecord};
use rebalanced::edge::store::{IntentFilter, RunFilter, Store};
use rebalanced::flow;
use rebalanced::model::intent::IntentState;
use rebalanced::model::plan::Phase;
use rebalanced::model::time::{Moment, Span};
use rebalanced::model::verdict::{EndReason, OutcomeKind, Reason};
use rust_decimal::Decimal;
use serde_json::json;

use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");
const SLOT: &str = "2019-06-03T15:45:00";
const ORDERS: &str = "/paper/v2/orders";

async fn one_user(on: Keeper, latency: Duration) -> (TestWorld, String) {
    seeded(on, latency, 1).await
}

async fn seeded(on: Keeper, latency: Duration, seed: u64) -> (TestWorld, String) {
    let files = [("sixty-forty.toml", SIXTY_FORTY)];
    let setup = Setup { strategies: &files, database: on, latency, seed, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    let account = service.connect("ada", "sixty-forty", cash(20_000)).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    (service, account)
}

fn refused_token(nth: u64) -> FaultRule {
    let mut rule = FaultRule::new(FaultAction::StatusBefore).path(ORDERS).method("POST").at_request(nth);
    rule.status = Some(401);
    rule
}

async fn end_of(service: &TestWorld) -> (String, String, String) {
    let runs = service.world.store.runs(&RunFilter::all()).await.unwrap();
    let outcome = runs[0].outcome.as_ref().expect("L1: the run has an end");
    (outcome.kind.clone(), outcome.reason.clone(), outcome.detail.clone())
}

async fn health(service: &TestWorld) -> &'static str {
    service.world.store.accounts().await.unwrap()[0].health.code()
}

async fn l8_one_refusal_of_an_order_is_confirmed_before_the_token_counts_as_dead(on: Keeper) {
    for nth in 1..=2 {
        let (service, account) = one_user(on, Duration::ZERO).await;
        service.sim.add_fault(refused_token(nth).account(&account));
        let outcomes = service.ring(new_york(SLOT)).await;
        assert_eq!(outcomes[0].kind, OutcomeKind::Completed, "{outcomes:?}");
        assert_eq!(service.sim.ledger().orders.len(), 2, "both orders are there, each once");
        assert_eq!(health(&service).await, "active");
        service.settle_accounts().await;
    }
}

async fn row_75_a_token_revoked_between_two_orders_is_asked_with_once_more_and_then_never(on: Keeper) {
    let (service, account) = one_user(on, Duration::from_millis(5)).await;
    // Fills are held back, so that the first order is still open when the token dies.
    let revoked = async {
        while service.sim.ledger().orders.is_empty() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        service.sim.revoke_person("ada");
        service.sim.ledger().requests_total
    };
    let (outcomes, at_revocation) = tokio::join!(service.ring(new_york(SLOT)), revoked);
    assert_eq!(service.sim.ledger().orders.len(), 1, "{account}: only the first order was there before");
    let after = service.sim.ledger().requests_total - at_revocation;
    // The answer to the first order may still be on its way; then: the refused one, and the one that confirms it.
    assert!(after <= 3, "{after} requests after the token was revoked");
    assert_eq!(outcomes[0].kind, OutcomeKind::Quarantined, "an order that cannot be followed waits for a person");
    assert!(outcomes[0].detail.contains("connect again"), "{outcomes:?}");
    assert_eq!(health(&service).await, "reauth");
    let states: Vec<IntentState> =
        service.world.store.intents(&IntentFilter::all()).await.unwrap().iter().map(|intent| intent.state).collect();
    assert!(states.contains(&IntentState::Withdrawn), "the second never left: {states:?}");
}

async fn a_refusal_after_an_ambiguous_send_is_not_believed_before_the_broker_was_asked(on: Keeper) {
    let (service, account) = one_user(on, Duration::ZERO).await;
    // The first send times out and lands three minutes later, after the quiet period; the second is refused meanwhile.
    let mut late = FaultRule::new(FaultAction::LandLater).path(ORDERS).method("POST").account(&account).at_request(1);
    late.delay_seconds = Some(125);
    service.sim.add_fault(late);
    let mut refused = FaultRule::new(FaultAction::StatusBefore).path(ORDERS).method("POST").account(&account);
    refused.status = Some(403);
    refused.body = Some(json!({"code": 40_310_000, "message": "insufficient buying power"}));
    service.sim.add_fault(refused.at_request(1));
    service.ring(new_york(SLOT)).await;
    let (kind, ..) = end_of(&service).await;
    assert_ne!(kind, "skipped");
    service.settle_accounts().await;
    let records = service.sim.ledger().orders;
    let intents = service.world.store.intents(&IntentFilter::all()).await.unwrap();
    for record in &records {
        let id = record.order.client_order_id.to_string();
        let intent = intents.iter().find(|intent| intent.client_order_id.as_str() == id).unwrap();
        assert_eq!(intent.state, IntentState::Filled, "{id} is there, and our books say so");
    }
}

async fn a_crash_with_unsent_orders_costs_one_quiet_period_for_all_of_them(on: Keeper) {
    let (service, _) = one_user(on, Duration::from_millis(20)).await;
    let first = async {
        while service.sent.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
    };
    tokio::select! {
        outcomes = service.ring(new_york(SLOT)) => panic!("it was to die: {outcomes:?}"),
        () = first => {}
    }
    let recorded = service.world.store.unsettled().await.unwrap().len();
    assert_eq!(recorded, 2);
    flow::recover::recover(&service.world).await.unwrap();
    // Where daemons share a server, the lease of the dead one must run out first.
    service.clock.set(service.clock.now() + Span::from_mins(if matches!(on, Keeper::Sqlite) { 0 } else { 11 }));
    let begun = service.clock.now();
    let outcomes = service.drain().await;
    assert_eq!(outcomes[0].kind, OutcomeKind::Completed, "{outcomes:?}");
    let took = service.clock.now().since(begun).as_secs();
    assert!(took < 200, "one quiet period of two minutes, not one for each order: {took} s");
    assert_eq!(service.sim.ledger().orders.len(), 2);
    service.settle_accounts().await;
}

async fn s12_a_worker_whose_run_was_taken_over_sends_nothing_more(on: Keeper) {
    let (service, _) = one_user(on, Duration::from_millis(20)).await;
    let first = async {
        while service.sent.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        // Its lease is over, and another worker takes the run while the first order of the old one is on its way.
        let later = service.clock.now() + Span::from_hours(1);
        let taken = service.world.store.claim(1, later, later + Span::from_mins(10)).await.unwrap();
        assert_eq!(taken.len(), 1);
    };
    let slot = new_york(SLOT);
    service.clock.set(slot);
    flow::tick::tick(&service.world, slot).await.unwrap();
    let claim = service.world.store.claim(1, slot, slot + Span::from_mins(10)).await.unwrap().remove(0);
    let (outcome, ()) = tokio::join!(flow::rebalance::rebalance(&service.world, claim), first);
    assert!(outcome.is_err(), "the old worker can close nothing: {outcome:?}");
    assert_eq!(service.sent.lock().unwrap().len(), 1, "one order was on its way already, the second never left");
}

/// Somebody who has the user's keys buys a little, under an id in our form.
pub(crate) async fn sends_in_our_name(service: &TestWorld, account: &str, id: &str) {
    service.sim.set_clock(service.clock.now().timestamp());
    let keys = service.sim.key_pair(account).unwrap();
    let order = json!({
        "symbol": "MSFT", "notional": "50", "side": "buy", "type": "market", "time_in_force": "day",
        "client_order_id": id,
    });
    let request = http::Request::post("http://127.0.0.1:9/paper/v2/orders")
        .header("APCA-API-KEY-ID", keys.key_id)
        .header("APCA-API-SECRET-KEY", keys.secret)
        .body(bytes::Bytes::from(order.to_string()))
        .unwrap();
    assert_eq!(service.sim.call(request).await.unwrap().status(), 200);
}

async fn s16_an_order_in_our_form_that_nobody_recorded_halts_the_account(on: Keeper) {
    let (service, account) = one_user(on, Duration::ZERO).await;
    // Somebody else sends in our name, a few seconds before our own run.
    let slot = new_york(SLOT);
    service.clock.set(slot - Span::from_secs(10));
    sends_in_our_name(&service, &account, "rb1-zzzzzzzzzzzzzzzzzzzzzzzzzz").await;
    service.ring(slot).await;
    let (kind, reason, detail) = end_of(&service).await;
    assert_eq!((kind.as_str(), reason.as_str()), ("quarantined", "ledger_mismatch"), "{detail}");
}

async fn row_36_a_ledger_that_lags_is_asked_again_before_it_is_believed(on: Keeper) {
    for nth in 2..=6 {
        Box::pin(a_lagging_reading(on, nth)).await;
    }
}

async fn a_lagging_reading(on: Keeper, nth: u64) {
    let (service, account) = one_user(on, Duration::ZERO).await;
    // Once, after both orders have filled, the list is as it was before the last fill.
    let mut stale = FaultRule::new(FaultAction::Mutate).path(ORDERS).method("GET").account(&account).at_request(nth);
    stale.set.insert("/0/filled_qty".to_owned(), json!("0.5"));
    stale.set.insert("/0/status".to_owned(), json!("partially_filled"));
    service.sim.add_fault(stale.times(1));
    service.ring(new_york(SLOT)).await;
    let (kind, reason, detail) = end_of(&service).await;
    assert_eq!((kind.as_str(), reason.as_str()), ("completed", Reason::NewCash.code()), "{detail}");
    service.settle_accounts().await;
}

async fn a_run_that_waited_longer_than_its_grace_is_not_begun(on: Keeper) {
    let (service, _) = one_user(on, Duration::ZERO).await;
    let slot: Moment = new_york("2019-06-03T15:20:00");
    let subscription = service.world.store.subscriptions(true).await.unwrap()[0].id.clone();
    let by = rebalanced::model::event::Actor::operator("ada");
    service.world.store.trigger(&subscription, slot, &by).await.unwrap();
    service.clock.set(slot + Span::from_mins(31));
    let outcomes = service.drain().await;
    assert_eq!((outcomes[0].kind, outcomes[0].reason), (OutcomeKind::Skipped, EndReason::Missed.code()));
    assert!(service.sim.ledger().orders.is_empty());
}

async fn row_81_a_vault_without_the_right_key_halts_nobody(on: Keeper) {
    let (mut service, _) = one_user(on, Duration::ZERO).await;
    let other = seeded(on, Duration::ZERO, 2).await.0;
    let right = std::mem::replace(&mut service.world.vault, other.world.vault);
    let outcomes = service.ring(new_york(SLOT)).await;
    assert_eq!((outcomes[0].kind, outcomes[0].reason), (OutcomeKind::Skipped, EndReason::VaultLocked.code()));
    assert!(service.world.store.halts(true).await.unwrap().is_empty());
    service.world.vault = right;
    let next = service.ring(new_york("2019-06-04T15:45:00")).await;
    assert_eq!(next[0].kind, OutcomeKind::Completed, "with the right key everything goes on: {next:?}");
}

async fn row_48_one_wrong_answer_about_the_calendar_does_not_stand_for_the_day(on: Keeper) {
    let (service, account) = one_user(on, Duration::ZERO).await;
    let mut lie = FaultRule::new(FaultAction::Mutate).path("/paper/v2/calendar").account(&account);
    lie.set.insert("/0/close".to_owned(), json!("13:00"));
    service.sim.add_fault(lie);
    let outcomes = service.ring(new_york(SLOT)).await;
    assert_eq!(outcomes[0].reason, EndReason::CalendarUnknown.code());
    let subscription = service.world.store.subscriptions(true).await.unwrap()[0].id.clone();
    let by = rebalanced::model::event::Actor::operator("ada");
    service.world.store.trigger(&subscription, service.clock.now() + Span::from_secs(1), &by).await.unwrap();
    service.clock.set(service.clock.now() + Span::from_secs(2));
    let again = service.drain().await;
    assert_eq!(again[0].kind, OutcomeKind::Completed, "{again:?}");
}

/// The database is an older copy: what was traded since then stands at the broker and nowhere here (row 23).
async fn row_23_a_database_that_is_too_old_sends_nothing_and_halts_what_it_does_not_know(on: Keeper) {
    let (mut service, account) = one_user(on, Duration::ZERO).await;
    let other = service.connect("other", "sixty-forty", cash(20_000)).await;
    service.ring(new_york(SLOT)).await;
    // After this the file is an older copy to the next process: for the first account somebody traded in our form.
    let id = "rb1-abcdefghijklmnopqrstuvwxyz";
    let before = service.sim.ledger().orders.len();
    for day in ["04", "05"] {
        service.clock.set(new_york(&format!("2019-06-{day}T11:00:00")));
        if day == "04" {
            sends_in_our_name(&service, &account, id).await;
            service.sim.with_exchange(|exchange, now| {
                exchange.transfer(now, &account, Decimal::from(3_000)).unwrap();
                exchange.transfer(now, &other, Decimal::from(3_000)).unwrap();
            });
            service.world.store = Store::open(&service.url).await.unwrap();
        }
        let ended = service.ring(new_york(&format!("2019-06-{day}T15:45:00"))).await;
        let ledger = service.sim.ledger().orders;
        let is_ours = |it: &OrderRecord, whose: &str| *it.account == *whose && *it.order.client_order_id != *id;
        let sent = |whose: &str| ledger.iter().skip(before).filter(|it| is_ours(it, whose)).count();
        if day == "04" {
            let ends: Vec<(&str, &str)> = ended.iter().map(|end| (end.kind.code(), end.reason)).collect();
            assert!(ends.contains(&("quarantined", "ledger_mismatch")), "{ends:?}");
            assert_eq!(sent(&account), 0, "nothing was sent for it");
            assert!(sent(&other) > 0, "everybody else goes on");
            let halts = service.world.store.halts(true).await.unwrap();
            assert!(halts.len() == 1 && halts[0].reason.contains(id), "{halts:?}");
            // A person has looked, and what the broker shows is right.
            let by = rebalanced::model::event::Actor::operator("ada");
            service.world.store.resume(&halts[0].scope, &by, service.clock.now()).await.unwrap();
        } else {
            assert!(sent(&account) > 0, "it goes on: {ended:?}");
            assert!(service.world.store.halts(true).await.unwrap().is_empty());
        }
    }
}

/// A day later is no day for the second half of a run (row 51).
async fn row_51_what_was_sold_yesterday_is_no_reason_to_buy_today(on: Keeper) {
    let (service, account) = one_user(on, Duration::from_millis(5)).await;
    service.ring(new_york(SLOT)).await;
    // The user moves most of the bonds into stocks by hand.
    service.clock.set(new_york("2019-06-04T11:00:00"));
    service.sim.set_clock(service.clock.now().timestamp());
    let stocks = OrderRequest {
        symbol: Some("SPY".to_owned()),
        notional: Some(Decimal::from(4_000)),
        side: Some(Side::Buy),
        order_type: Some(OrderType::Market),
        time_in_force: Some(TimeInForce::Day),
        ..OrderRequest::default()
    };
    service.sim.with_exchange(|exchange, now| {
        exchange.close_position(now, &account, "AGG", CloseAmount::Percentage(Decimal::from(70))).unwrap();
        exchange.submit(now, &account, stocks).unwrap();
    });
    let before = service.sim.ledger().orders.len();
    // It dies when its sales have ended and are on record, before it looks anew for its purchases.
    let sold = async {
        loop {
            let intents = service.world.store.intents(&IntentFilter::all()).await.unwrap();
            let sales: Vec<_> = intents.iter().filter(|intent| intent.phase == Phase::Sell).collect();
            if !sales.is_empty() && sales.iter().all(|intent| intent.state.is_terminal()) {
                return sales.len();
            }
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
    };
    let sold = tokio::select! {
        outcomes = service.ring(new_york("2019-06-04T15:45:00")) => panic!("it was to die: {outcomes:?}"),
        sold = sold => sold
    };
    let died = before + sold;
    let next = new_york("2019-06-05T10:00:00");
    service.clock.set(next);
    let ended = service.drain().await;
    assert_eq!(ended.len(), 1, "the run is carried on: {ended:?}");
    assert_eq!((ended[0].kind, ended[0].reason), (OutcomeKind::Partial, "session_ended"), "{ended:?}");
    assert_eq!(service.sim.ledger().orders.len(), died, "nothing was bought on another day");
}

on_both_databases!(
    row_23_a_database_that_is_too_old_sends_nothing_and_halts_what_it_does_not_know,
    row_51_what_was_sold_yesterday_is_no_reason_to_buy_today,
    l8_one_refusal_of_an_order_is_confirmed_before_the_token_counts_as_dead,
    row_75_a_token_revoked_between_two_orders_is_asked_with_once_more_and_then_never,
    a_refusal_after_an_ambiguous_send_is_not_believed_before_the_broker_was_asked,
    a_crash_with_unsent_orders_costs_one_quiet_period_for_all_of_them,
    s12_a_worker_whose_run_was_taken_over_sends_nothing_more,
    s16_an_order_in_our_form_that_nobody_recorded_halts_the_account,
    row_36_a_ledger_that_lags_is_asked_again_before_it_is_believed,
    a_run_that_waited_longer_than_its_grace_is_not_begun,
    row_81_a_vault_without_the_right_key_halts_nobody,
    row_48_one_wrong_answer_about_the_calendar_does_not_stand_for_the_day,
);
