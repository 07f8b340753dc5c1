//! Executions that come after the run has judged their order (S15, S16): hours after we had stopped asking for it, or after
//! the broker had called it ended. Every later look at the broker's rows finds them and halts the account; what the user
//! trades by hand halts nobody.

use alpaca_sim::exchange::CloseAmount;
use alpaca_sim::exchange::asset::AssetPatch;
use alpaca_sim::exchange::order::{OrderRequest, OrderType, Side, TimeInForce};
use alpaca_sim::{FaultAction, FaultRule};
use rebalanced::edge::points;
use rebalanced::edge::store::IntentFilter;
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::balance::{Balanced, Unseen, balance};
use rebalanced::model::ids::AccountId;
use rebalanced::model::intent::{Intent, IntentState};
use rebalanced::model::mandate::HaltScope;
use rebalanced::model::plan::Phase;
use rebalanced::model::time::Span;
use rebalanced::model::verdict::{EndReason, OutcomeKind};
use rust_decimal::Decimal;
use serde_json::json;

use crate::doubt::sends_in_our_name;
use crate::halfway::{dies_at, starts_again};
use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

/// Bands so wide that only a large deposit makes a run trade.
const WIDE: &str = r#"
name = "wide"
[schedule]
cron = "0 45 10 * * Mon-Fri"
[[weights]]
symbol = "SPY"
percent = 60
[[weights]]
symbol = "AGG"
percent = 35
[cash]
percent = 5
[rebalance]
drift_absolute_percent = 20
invest_cash = false
"#;
const ORDERS: &str = "/paper/v2/orders";

/// Who looks at the rows first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finder {
    Daily,
    RunThatHolds,
    RunThatTrades,
}

pub(crate) const FINDERS: [Finder; 3] = [Finder::Daily, Finder::RunThatHolds, Finder::RunThatTrades];

async fn connected(on: Keeper) -> (TestWorld, AccountId) {
    let files = [("wide.toml", WIDE)];
    let service = TestWorld::new(Setup { strategies: &files, database: on, ..Setup::default() }).await;
    let account = service.connect("ada", "wide", cash(10_000)).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    (service, AccountId::parse(&account).unwrap())
}

/// Invested on Monday, in the books on Tuesday, and with as much new cash on Wednesday morning.
pub(crate) async fn on_wednesday(on: Keeper) -> (TestWorld, AccountId) {
    let (service, account) = connected(on).await;
    service.ring(new_york("2019-06-03T10:45:00")).await;
    assert_eq!(service.sim.ledger().orders.len(), 2);
    service.ring(new_york("2019-06-04T10:45:00")).await;
    assert!(service.world.store.books(&account).await.unwrap().is_some());
    service.clock.set(new_york("2019-06-05T10:00:00"));
    pay(&service, &account, 10_000);
    (service, account)
}

pub(crate) fn pay(service: &TestWorld, account: &AccountId, dollars: i64) {
    service.sim.set_clock(service.clock.now().timestamp());
    service.sim.with_exchange(|exchange, now| exchange.transfer(now, account.as_str(), dollars.into())).unwrap();
}

/// The first request is lost, the process dies, the next one asks in vain for longer than an order may wait, and takes both
/// orders back. Three hours later the first one lands.
async fn judged_absent(service: &mut TestWorld, account: &AccountId, slot: &str) {
    let mut late = FaultRule::new(FaultAction::LandLater).path(ORDERS).method("POST").account(account.as_str());
    late.delay_seconds = Some(3 * 3600);
    service.sim.add_fault(late);
    dies_at(service, points::REPLIED.of(Phase::Buy), new_york(slot)).await;
    service.clock.set(service.clock.now() + Span::from_mins(20));
    starts_again(service).await;
    let newest = newest(service).await;
    assert_eq!(newest.map(|intent| intent.state), [IntentState::Withdrawn; 2], "both were taken back");
    assert_eq!(halted(service).await, [], "and nobody is halted for it");
}

/// The broker calls the two orders cancelled, and they are not.
async fn judged_ended(service: &TestWorld) {
    let stopped = |halted| AssetPatch { halted: Some(halted), ..AssetPatch::default() };
    for symbol in ["SPY", "AGG"] {
        service.sim.with_exchange(|exchange, now| exchange.change_asset(now, symbol, stopped(true))).unwrap();
    }
    let mut rule = FaultRule::new(FaultAction::Mutate).path(ORDERS).method("GET").times(0);
    for place in ["/0/status", "/1/status", "/2/status", "/3/status"] {
        rule.set.insert(place.to_owned(), json!("canceled"));
    }
    // The list of the day before has other orders, which had been filled.
    rule.at_time = Some(new_york("2019-06-05T10:45:00").timestamp());
    service.sim.add_fault(rule);
    service.ring(new_york("2019-06-05T10:45:00")).await;
    service.sim.clear_faults();
    for symbol in ["SPY", "AGG"] {
        service.sim.with_exchange(|exchange, now| exchange.change_asset(now, symbol, stopped(false))).unwrap();
    }
    let newest = newest(service).await;
    assert_eq!(newest.map(|intent| intent.state), [IntentState::Ended; 2], "by our record nothing was filled");
    assert_eq!(halted(service).await, []);
}

/// The two orders of the last run.
async fn newest(service: &TestWorld) -> [Intent; 2] {
    let intents = service.world.store.intents(&IntentFilter { limit: 2, ..IntentFilter::all() }).await.unwrap();
    intents.try_into().unwrap()
}

pub(crate) async fn halted(service: &TestWorld) -> Vec<HaltScope> {
    service.world.store.halts(true).await.unwrap().into_iter().map(|halt| halt.scope).collect()
}

/// Looks, and says what was found: why the account is halted.
pub(crate) async fn looks(service: &TestWorld, account: &AccountId, finder: Finder) -> Option<String> {
    // What is on its way lands on its day.
    service.sim.set_clock(new_york("2019-06-05T14:00:00").timestamp());
    if finder == Finder::Daily {
        service.clock.set(new_york("2019-06-06T16:00:00"));
        service.sim.set_clock(service.clock.now().timestamp());
        let done = balance(&service.world, &mut Unseen::new()).await.unwrap();
        let halt = service.world.store.halts(true).await.unwrap().pop();
        let expected = if halt.is_some() { (0, 1) } else { (1, 0) };
        assert_eq!(done, Balanced { agreed: expected.0, halted: expected.1, unseen: 0 });
        return halt.map(|halt| halt.reason);
    }
    service.clock.set(new_york("2019-06-06T10:00:00"));
    if finder == Finder::RunThatTrades {
        pay(service, account, 30_000);
    }
    let before = service.sent.lock().unwrap().len();
    let outcome = service.ring(new_york("2019-06-06T10:45:00")).await.remove(0);
    let sent = service.sent.lock().unwrap().len() - before;
    if outcome.kind == OutcomeKind::Quarantined {
        assert_eq!((outcome.reason, sent), (EndReason::LedgerMismatch.code(), 0), "{finder:?}: {outcome:?}");
        return Some(outcome.detail);
    }
    assert_eq!(sent > 0, finder == Finder::RunThatTrades, "{finder:?}: {outcome:?}");
    None
}

async fn s15_an_order_that_lands_hours_after_it_was_judged_absent_halts_its_account(on: Keeper) {
    for finder in FINDERS {
        let (mut service, account) = on_wednesday(on).await;
        judged_absent(&mut service, &account, "2019-06-05T10:45:00").await;
        let why = looks(&service, &account, finder).await.unwrap_or_else(|| panic!("{finder:?}: nobody saw it"));
        let ledger = service.sim.ledger().orders;
        let late = &ledger.last().unwrap().order;
        assert_eq!((ledger.len(), late.status.as_str()), (3, "filled"), "{finder:?}: it landed, once");
        assert!(why.contains(late.client_order_id.as_ref()), "{finder:?}: {why}");
        assert_eq!(halted(&service).await, [HaltScope::Account(account.clone())], "{finder:?}");
        // A person looked, and says that the broker is right: it goes on.
        let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
        approve::resume(&desk, &HaltScope::Account(account.clone()), "ada").await.unwrap();
        let next = service.ring(new_york("2019-06-07T10:45:00")).await;
        assert_eq!(next.last().unwrap().kind, OutcomeKind::Completed, "{finder:?}: {next:?}");
        assert_eq!(halted(&service).await, [], "{finder:?}");
    }
}

async fn s15_an_order_that_lands_late_is_found_before_the_first_books_are_opened(on: Keeper) {
    let (mut service, account) = connected(on).await;
    judged_absent(&mut service, &account, "2019-06-03T10:45:00").await;
    assert!(service.world.store.books(&account).await.unwrap().is_none());
    let outcome = service.ring(new_york("2019-06-04T10:45:00")).await.remove(0);
    assert_eq!((outcome.kind, outcome.reason), (OutcomeKind::Quarantined, EndReason::LedgerMismatch.code()));
    assert_eq!(halted(&service).await, [HaltScope::Account(account)], "{outcome:?}");
    assert_eq!(service.sim.ledger().orders.len(), 1, "nothing was sent beside it");
}

async fn row_27_s15_what_fills_after_the_broker_called_it_ended_halts_its_account(on: Keeper) {
    for finder in FINDERS {
        let (service, account) = on_wednesday(on).await;
        judged_ended(&service).await;
        let ended = newest(&service).await;
        let why = looks(&service, &account, finder).await.unwrap_or_else(|| panic!("{finder:?}: nobody saw it"));
        for intent in ended {
            assert!(why.contains(intent.client_order_id.as_str()), "{finder:?}: {why}");
        }
        assert_eq!(halted(&service).await, [HaltScope::Account(account)], "{finder:?}");
    }
}

async fn s16_an_order_in_our_form_that_comes_between_two_looks_halts_its_account(on: Keeper) {
    for finder in FINDERS {
        let (service, account) = on_wednesday(on).await;
        service.ring(new_york("2019-06-05T10:45:00")).await;
        let id = "rb1-zzzzzzzzzzzzzzzzzzzzzzzzzz";
        service.clock.set(new_york("2019-06-05T12:00:00"));
        sends_in_our_name(&service, account.as_str(), id).await;
        let why = looks(&service, &account, finder).await.unwrap_or_else(|| panic!("{finder:?}: nobody saw it"));
        assert!(why.contains(id), "{finder:?}: {why}");
        assert_eq!(halted(&service).await, [HaltScope::Account(account)], "{finder:?}");
    }
}

async fn row_34_what_the_user_trades_by_hand_halts_nobody(on: Keeper) {
    for finder in FINDERS {
        let (service, account) = on_wednesday(on).await;
        pay(&service, &account, -10_000);
        service.ring(new_york("2019-06-05T10:45:00")).await;
        service.clock.set(new_york("2019-06-05T12:00:00"));
        service.sim.set_clock(service.clock.now().timestamp());
        let order = OrderRequest {
            symbol: Some("AGG".to_owned()),
            notional: Some(Decimal::from(50)),
            side: Some(Side::Buy),
            order_type: Some(OrderType::Market),
            time_in_force: Some(TimeInForce::Day),
            client_order_id: Some("my-own".to_owned()),
            ..OrderRequest::default()
        };
        let id = account.as_str();
        service.sim.with_exchange(|exchange, now| exchange.submit(now, id, order)).unwrap();
        let part = CloseAmount::Percentage(Decimal::from(2));
        service.sim.with_exchange(|exchange, now| exchange.close_position(now, id, "SPY", part)).unwrap();
        assert_eq!(looks(&service, &account, finder).await, None, "{finder:?}");
        assert_eq!(halted(&service).await, [], "{finder:?}");
    }
}

on_both_databases!(
    s15_an_order_that_lands_hours_after_it_was_judged_absent_halts_its_account,
    s15_an_order_that_lands_late_is_found_before_the_first_books_are_opened,
    row_27_s15_what_fills_after_the_broker_called_it_ended_halts_its_account,
    s16_an_order_in_our_form_that_comes_between_two_looks_halts_its_account,
    row_34_what_the_user_trades_by_hand_halts_nobody,
);
