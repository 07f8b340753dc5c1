//! The limits of the service in a whole world: a raise that is used up, an account that goes in circles, a world that is
//! suddenly empty.

use alpaca_sim::exchange::CloseAmount;
use alpaca_sim::{FaultAction, FaultRule};
use rebalanced::flow::approve::{self, Desk};
use rebalanced::model::event::Actor;
use rebalanced::model::ids::AccountId;
use rebalanced::model::limits::{Raise, ServiceLimits};
use rebalanced::model::mandate::{ApprovalKind, HaltScope};
use rebalanced::model::money::{Fraction, Usd};
use rebalanced::model::time::{Moment, Span};
use rebalanced::model::verdict::{Outcome, OutcomeKind, RefusalCode};
use serde_json::json;

use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases, policy};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");

async fn one_user(on: Keeper, limits: ServiceLimits) -> (TestWorld, AccountId) {
    let mut policy = policy();
    policy.limits = limits;
    let files = [("sixty-forty.toml", SIXTY_FORTY)];
    let service = TestWorld::new(Setup { strategies: &files, database: on, policy, ..Setup::default() }).await;
    let account = service.connect("ada", "sixty-forty", cash(20_000)).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    (service, AccountId::parse(&account).unwrap())
}

async fn triggered(service: &TestWorld, at: Moment) -> Outcome {
    let subscription = service.world.store.subscriptions(true).await.unwrap()[0].id.clone();
    service.clock.set(at);
    service.world.store.trigger(&subscription, at, &Actor::operator("ada")).await.unwrap();
    service.drain().await.remove(0)
}

fn pay(service: &TestWorld, account: &AccountId, dollars: i64) {
    service.sim.set_clock(service.clock.now().timestamp());
    service.sim.with_exchange(|exchange, now| exchange.transfer(now, account.as_str(), dollars.into())).unwrap();
}

async fn raise(service: &TestWorld, account: &AccountId, raise: Raise) {
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    let kind = ApprovalKind::Limits { account: account.clone(), raise };
    approve::grant(&desk, kind, ("ada", "asked for by the user"), None).await.unwrap();
}

async fn a_raise_for_one_run_is_used_up_by_the_run_that_sends_orders(on: Keeper) {
    let limits = ServiceLimits { max_run_notional: Some(Usd::parse("1000").unwrap()), ..ServiceLimits::default() };
    let (service, account) = one_user(on, limits).await;
    let refused = triggered(&service, new_york("2019-06-03T11:00:00")).await;
    assert_eq!((refused.kind, refused.reason), (OutcomeKind::Refused, RefusalCode::MaxRunNotional.code()));
    assert!(service.sim.ledger().orders.is_empty());
    assert!(service.world.metrics.text().contains(r#"rebalanced_refusals_total{code="max_run_notional"}"#));
    let most = Some(Usd::parse("20000").unwrap());
    raise(&service, &account, Raise { max_run_notional: most, once: true, ..Raise::default() }).await;
    let allowed = triggered(&service, new_york("2019-06-03T12:00:00")).await;
    assert_eq!(allowed.kind, OutcomeKind::Completed, "{allowed:?}");
    pay(&service, &account, 10_000);
    let again = triggered(&service, new_york("2019-06-03T13:00:00")).await;
    assert_eq!(again.reason, RefusalCode::MaxRunNotional.code(), "the raise was for one run: {again:?}");
    let events = service.world.store.events(0, 1000).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.kind == "approval.used_up").count(), 1);
    service.settle_accounts().await;
}

async fn row_61_an_account_that_goes_in_circles_is_halted_until_a_person_has_looked(on: Keeper) {
    let (service, account) = one_user(on, ServiceLimits::default()).await;
    for hour in 10..13 {
        pay(&service, &account, 5_000);
        let run = triggered(&service, new_york(&format!("2019-06-03T{hour}:30:00"))).await;
        assert_eq!(run.kind, OutcomeKind::Completed, "{run:?}");
    }
    pay(&service, &account, 5_000);
    let fourth = triggered(&service, new_york("2019-06-03T13:30:00")).await;
    assert_eq!((fourth.kind, fourth.reason), (OutcomeKind::Refused, RefusalCode::MaxRunsPerDay.code()));
    // Something asks for run after run: the switch of the account is pulled, and not one order more leaves.
    let orders = service.sim.ledger().orders.len();
    for minute in 31..60 {
        let asked = triggered(&service, new_york(&format!("2019-06-03T13:{minute}:00"))).await;
        assert_eq!(asked.reason, RefusalCode::HaltedAccount.code(), "{asked:?}");
    }
    assert_eq!(service.sim.ledger().orders.len(), orders, "S10");
    let next_day = triggered(&service, new_york("2019-06-04T10:30:00")).await;
    assert_eq!(next_day.reason, RefusalCode::HaltedAccount.code(), "a new day does not let it go on: {next_day:?}");
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    assert_eq!(approve::resume(&desk, &HaltScope::Account(account), "ada").await.unwrap(), 1);
    let resumed = triggered(&service, new_york("2019-06-04T11:30:00")).await;
    assert_eq!(resumed.kind, OutcomeKind::Completed, "{resumed:?}");
    service.settle_accounts().await;
}

async fn row_61_more_orders_than_a_day_may_have_pull_the_switch_of_the_account(on: Keeper) {
    let limits =
        ServiceLimits { orders_per_holding: 1, orders_beside: 0, runs_worth_per_day: 1, ..ServiceLimits::default() };
    let (service, account) = one_user(on, limits).await;
    pay(&service, &account, 5_000);
    let first = triggered(&service, new_york("2019-06-03T10:30:00")).await;
    assert_eq!(first.kind, OutcomeKind::Completed, "{first:?}");
    let orders = service.sim.ledger().orders.len();
    pay(&service, &account, 5_000);
    let second = triggered(&service, new_york("2019-06-03T11:30:00")).await;
    assert_eq!((second.kind, second.reason), (OutcomeKind::Refused, RefusalCode::MaxOrdersPerDay.code()), "{second:?}");
    let third = triggered(&service, new_york("2019-06-04T10:30:00")).await;
    assert_eq!(third.reason, RefusalCode::HaltedAccount.code(), "{third:?}");
    assert_eq!(service.sim.ledger().orders.len(), orders, "S10");
    service.settle_accounts().await;
}

async fn a_world_that_is_suddenly_empty_is_not_traded_until_a_person_says_that_it_is_right(on: Keeper) {
    let (service, account) = one_user(on, ServiceLimits::default()).await;
    service.ring(new_york("2019-06-03T15:45:00")).await;
    let bought = service.sim.ledger().orders.len();
    assert_eq!(bought, 2);
    // The broker shows no positions any more, and cash enough to buy them all again.
    let empty = FaultRule::new(FaultAction::StatusBefore).path("/paper/v2/positions").account(account.as_str());
    let mut empty = empty.times(0);
    empty.status = Some(200);
    empty.body = Some(json!([]));
    service.sim.add_fault(empty);
    pay(&service, &account, 19_000);
    // Its account says the same: positions that do not fit their account would be no look at all.
    let cash = service.sim.with_exchange(|exchange, now| exchange.account(now, account.as_str())).unwrap().cash;
    let mut equal = FaultRule::new(FaultAction::Mutate).path("/paper/v2/account").account(account.as_str()).times(0);
    equal.set.insert("/equity".to_owned(), json!(cash.to_string()));
    service.sim.add_fault(equal);
    for day in ["2019-06-04", "2019-06-05"] {
        let outcomes = service.ring(new_york(&format!("{day}T15:45:00"))).await;
        assert_eq!(outcomes[0].reason, RefusalCode::EmptyWorld.code(), "{outcomes:?}");
    }
    assert_eq!(service.sim.ledger().orders.len(), bought, "nothing was bought a second time");
    // What was a lie goes by itself; what is true is believed when a person says so: the user has sold everything by hand.
    service.sim.clear_faults();
    for symbol in ["SPY", "AGG"] {
        service
            .sim
            .with_exchange(|exchange, now| exchange.close_position(now, account.as_str(), symbol, CloseAmount::All))
            .unwrap();
    }
    let sold = service.ring(new_york("2019-06-06T15:45:00")).await;
    assert_eq!(sold[0].reason, RefusalCode::EmptyWorld.code(), "{sold:?}");
    raise(&service, &account, Raise { max_equity_drop: Some(Fraction::ONE), once: true, ..Raise::default() }).await;
    let believed = service.ring(new_york("2019-06-07T15:45:00")).await;
    assert_ne!(believed[0].reason, RefusalCode::EmptyWorld.code(), "{believed:?}");
    assert!(service.world.store.halts(true).await.unwrap().is_empty(), "the broker's rows explain all of it");
}

async fn s11_orders_are_bounded_by_the_volume_of_the_market_and_the_last_trade(on: Keeper) {
    let tiny = Some(Fraction::from_percent("0.0001".parse().unwrap()));
    let (service, _) = one_user(on, ServiceLimits { max_order_volume: tiny, ..ServiceLimits::default() }).await;
    let refused = triggered(&service, new_york("2019-06-03T11:00:00")).await;
    assert_eq!(refused.reason, RefusalCode::MaxVolume.code(), "{refused:?}");
    let (service, _) = one_user(on, ServiceLimits::default()).await;
    let mut lie = FaultRule::new(FaultAction::Mutate).path("/data/v2/stocks/trades/latest").times(0);
    lie.set.insert("/trades/SPY/p".to_owned(), json!(100));
    service.sim.add_fault(lie);
    let refused = triggered(&service, new_york("2019-06-03T11:00:00")).await;
    assert_eq!(refused.reason, RefusalCode::PriceCollar.code(), "{refused:?}");
    assert!(service.sim.ledger().orders.is_empty());
    service.sim.clear_faults();
    let next = triggered(&service, new_york("2019-06-03T11:00:00") + Span::from_mins(5)).await;
    assert_eq!(next.kind, OutcomeKind::Completed, "{next:?}");
}

on_both_databases!(
    a_raise_for_one_run_is_used_up_by_the_run_that_sends_orders,
    row_61_an_account_that_goes_in_circles_is_halted_until_a_person_has_looked,
    row_61_more_orders_than_a_day_may_have_pull_the_switch_of_the_account,
    a_world_that_is_suddenly_empty_is_not_traded_until_a_person_says_that_it_is_right,
    s11_orders_are_bounded_by_the_volume_of_the_market_and_the_last_trade,
);
