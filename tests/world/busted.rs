//! Trades that the market takes back or corrects after they were told (row 32): whoever looks next halts the account, the
//! order's record is disputed and keeps what we had counted (S14), and both ledgers are shown.

use std::sync::Arc;

use alpaca_sim::Sim;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use rebalanced::edge::points::{self, Point, Points, Watcher};
use rebalanced::edge::store::{IntentFilter, RunFilter};
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::verify;
use rebalanced::model::ids::AccountId;
use rebalanced::model::intent::{Intent, IntentState};
use rebalanced::model::mandate::HaltScope;
use rebalanced::model::plan::Phase;
use rebalanced::model::verdict::{EndReason, OutcomeKind};
use rust_decimal::Decimal;
use serde_json::Value;

use crate::afterwards::{FINDERS, Finder, halted, looks, on_wednesday};
use crate::support::{Keeper, TestWorld, new_york, on_both_databases};

/// What the market says of an execution afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Busted,
    OtherShares,
    OtherPrice,
}

const CHANGES: [Change; 3] = [Change::Busted, Change::OtherShares, Change::OtherPrice];

/// The market changes the last order that was filled; its client id.
fn happens(sim: &Sim, account: &AccountId, change: Change) -> String {
    let ledger = sim.ledger().orders;
    let order = &ledger.last().unwrap().order;
    let (qty, price) = (order.filled_qty, order.filled_avg_price.unwrap());
    let (account, id) = (account.as_str(), order.id.as_ref());
    let changed = sim.with_exchange(|exchange, now| match change {
        Change::Busted => exchange.bust(now, account, id),
        Change::OtherShares => exchange.correct(now, (account, id), (qty - Decimal::new(5, 1), price)),
        Change::OtherPrice => exchange.correct(now, (account, id), (qty, price - Decimal::ONE)),
    });
    let changed = changed.unwrap();
    assert_eq!(changed.filled_qty == qty, change == Change::OtherPrice);
    changed.client_order_id.to_string()
}

async fn intent(service: &TestWorld, id: &str) -> Intent {
    service.world.store.intent_named(id).await.unwrap().unwrap()
}

/// The account and nothing else is halted, the order's record is disputed, once, and nothing else of it has changed.
async fn shown(service: &TestWorld, account: &AccountId, before: &Intent, what: &str) {
    assert_eq!(halted(service).await, [HaltScope::Account(account.clone())], "{what}");
    let after = intent(service, before.client_order_id.as_str()).await;
    assert!(after.note.contains(before.client_order_id.as_str()), "{what}: {after:?}");
    let expected = Intent { state: IntentState::Disputed, note: after.note.clone(), ..before.clone() };
    assert_eq!(after, expected, "{what}");
    let all = service.world.store.intents(&IntentFilter::all()).await.unwrap();
    assert_eq!(all.iter().filter(|intent| intent.state == IntentState::Disputed).count(), 1, "{what}: only this one");
    let events = service.world.store.events(0, i64::MAX).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.kind == "intent.disputed").count(), 1, "{what}");
    verify::audit(&service.world.store, Vec::new()).await.unwrap();
    let metrics = service.world.metrics.text();
    assert!(metrics.contains(r#"rebalanced_orders_total{outcome="disputed",side="buy"} 1"#), "{what}: {metrics}");
}

/// Both ledgers, as `runs explain` shows them: of the newest run, or of the daily comparison.
async fn ledgers(service: &TestWorld, account: &AccountId, is_daily: bool) -> Value {
    let store = &service.world.store;
    let text = if is_daily {
        let told = store.last_event(account, "account.unexplained").await.unwrap().unwrap();
        let facts: Value = serde_json::from_str(&told.facts).unwrap();
        facts["ledgers"].as_str().unwrap().to_owned()
    } else {
        let runs = store.runs(&RunFilter::all()).await.unwrap();
        store.ledgers(&runs.iter().max_by_key(|run| run.slot).unwrap().id).await.unwrap().unwrap()
    };
    serde_json::from_str(&text).unwrap()
}

async fn row_32_s14_a_trade_that_is_busted_or_corrected_later_halts_its_account_and_its_order_is_disputed(on: Keeper) {
    let mut halts = 0;
    for (change, finder) in CHANGES.into_iter().flat_map(|change| FINDERS.map(|finder| (change, finder))) {
        let what = format!("{change:?}, {finder:?}");
        let (service, account) = on_wednesday(on).await;
        service.ring(new_york("2019-06-05T10:45:00")).await;
        service.clock.set(new_york("2019-06-05T12:00:00"));
        service.sim.set_clock(service.clock.now().timestamp());
        let newest = service.sim.ledger().orders.last().unwrap().order.client_order_id.to_string();
        let before = intent(&service, &newest).await;
        assert_eq!((before.state, halted(&service).await), (IntentState::Filled, Vec::new()), "{what}");
        assert_eq!(happens(&service.sim, &account, change), newest);
        let why = looks(&service, &account, finder).await.unwrap_or_else(|| panic!("{what}: nobody saw it"));
        assert!(why.contains(&newest) && why.contains("took back or corrected"), "{what}: {why}");
        shown(&service, &account, &before, &what).await;
        let ledgers = ledgers(&service, &account, finder == Finder::Daily).await;
        assert!(ledgers["differences"].to_string().contains(&newest), "{what}: {ledgers}");
        assert!(ledgers["ours"]["cash"].is_string() && ledgers["theirs"]["cash"].is_string(), "{what}: {ledgers}");
        halts += 1;
        // A person has looked, and says that the broker is right: the account goes on, and its record stays disputed.
        let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
        approve::resume(&desk, &HaltScope::Account(account.clone()), "ada").await.unwrap();
        let next = service.ring(new_york("2019-06-07T10:45:00")).await;
        assert_eq!(next.last().unwrap().kind, OutcomeKind::Completed, "{what}: {next:?}");
        assert_eq!(halted(&service).await, [], "{what}");
        assert_eq!(intent(&service, &newest).await.state, IntentState::Disputed, "{what}");
        // What was accepted then says nothing of what the market changes after it.
        if finder == Finder::Daily && change != Change::Busted {
            service.clock.set(new_york("2019-06-10T12:00:00"));
            service.sim.set_clock(service.clock.now().timestamp());
            let orders = service.sim.ledger().orders;
            let order =
                orders.iter().map(|record| &record.order).find(|order| order.client_order_id.as_ref() == newest);
            let order = order.unwrap();
            let to = (order.filled_qty, order.filled_avg_price.unwrap() - Decimal::TWO);
            let id = order.id.as_ref();
            service.sim.with_exchange(|exchange, now| exchange.correct(now, (account.as_str(), id), to)).unwrap();
            let why =
                looks(&service, &account, finder).await.unwrap_or_else(|| panic!("{what}: nobody looks any more"));
            assert!(why.contains(&newest), "{what}: {why}");
        }
    }
    println!("row 32: busted or corrected later: {halts} of {} halted", CHANGES.len() * FINDERS.len());
}

/// The market changes its mind when a run comes to this point.
struct Market {
    at: Point,
    sim: Sim,
    account: AccountId,
    change: Change,
}

impl Watcher for Market {
    fn crossed(&self, point: Point) -> BoxFuture<'static, ()> {
        if point == self.at {
            happens(&self.sim, &self.account, self.change);
        }
        future::ready(()).boxed()
    }
}

async fn row_32_s14_a_trade_that_is_busted_or_corrected_before_its_run_has_ended_is_found_by_that_run(on: Keeper) {
    let mut halts = 0;
    let moments = [points::FOLLOWED.of(Phase::Buy), points::COMPARED];
    for (change, at) in CHANGES.into_iter().flat_map(|change| moments.map(|at| (change, at))) {
        let what = format!("{change:?} at {at}");
        let (mut service, account) = on_wednesday(on).await;
        let market = Market { at, sim: service.sim.clone(), account: account.clone(), change };
        service.world.points = Points::watched(Arc::new(market));
        let outcome = service.ring(new_york("2019-06-05T10:45:00")).await.remove(0);
        let reason = EndReason::LedgerMismatch.code();
        assert_eq!((outcome.kind, outcome.reason), (OutcomeKind::Quarantined, reason), "{what}: {outcome:?}");
        let order = service.sim.ledger().orders.last().unwrap().order.clone();
        let after = intent(&service, order.client_order_id.as_ref()).await;
        let before = Intent { state: IntentState::Filled, ..after.clone() };
        assert!(after.filled_qty.is_positive(), "{what}: what we had counted stays: {after:?}");
        shown(&service, &account, &before, &what).await;
        let ledgers = ledgers(&service, &account, false).await;
        assert!(ledgers["differences"].to_string().contains(order.client_order_id.as_ref()), "{what}: {ledgers}");
        halts += 1;
    }
    println!("row 32: busted or corrected during the run: {halts} of {} halted", CHANGES.len() * moments.len());
}

on_both_databases!(
    row_32_s14_a_trade_that_is_busted_or_corrected_later_halts_its_account_and_its_order_is_disputed,
    row_32_s14_a_trade_that_is_busted_or_corrected_before_its_run_has_ended_is_found_by_that_run,
);
