//! What is left of an unfilled limit order, tried again: never more shares, never more dollars, at the prices of now.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rebalanced::decide::intents::{is_superseded, unfilled};
use rebalanced::decide::plan::{Stage, plan};
use rebalanced::model::canon;
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::{AccountId, RunId};
use rebalanced::model::intent::{Intent, IntentState, Unfilled};
use rebalanced::model::money::{Fraction, Price, Qty, Usd};
use rebalanced::model::plan::{Amount, Phase, Plan, Pricing};
use rebalanced::model::snapshot::Snapshot;
use rebalanced::model::strategy::{OnUnfilled, OrderType, Strategy};
use rebalanced::model::time::Span;
use rust_decimal::Decimal;

use crate::cast::{account, legs, now, parts, strategy, symbol, usd, with};

fn by_limits(collar: &str) -> Strategy {
    let mut parts = parts(&[("SPY", "60"), ("AGG", "40")]);
    parts.orders.kind = OrderType::Limit;
    parts.orders.collar = Fraction::from_percent(collar.parse().unwrap());
    strategy(parts)
}

fn left(phase: Phase, name: &str, (qty, value): (&str, &str)) -> Unfilled {
    Unfilled { phase, symbol: symbol(name), qty: Qty::parse(qty).unwrap(), value: usd(value) }
}

fn again(strategy: &Strategy, snapshot: &Snapshot, left: &[Unfilled], kind: OrderType) -> Plan {
    plan(strategy, snapshot, Stage::Again { unfilled: left, kind })
}

/// A limit order for ten shares of AGG at 100.02.
fn ordered(attempt: u32, state: IntentState, (filled, price): (&str, Option<&str>)) -> Intent {
    let run = RunId::parse("run_1").unwrap();
    let account = AccountId::parse("a0000000-0000-4000-8000-000000000001").unwrap();
    let leg = (Phase::Buy, &symbol("AGG"));
    Intent {
        id: canon::intent_id(&run, leg.0, leg.1, attempt).unwrap(),
        client_order_id: canon::client_order_id((Kind::Paper, &account), &run, leg, attempt).unwrap(),
        run,
        account,
        environment: Kind::Paper,
        phase: leg.0,
        attempt,
        symbol: leg.1.clone(),
        amount: Amount::Qty(Qty::parse("10").unwrap()),
        pricing: Pricing::Limit(Price::parse("100.02").unwrap()),
        value: usd("1000.20"),
        state,
        order: None,
        filled_qty: Qty::parse(filled).unwrap(),
        filled_avg_price: price.map(|price| Price::parse(price).unwrap()),
        note: String::new(),
        recorded_at: now(),
        settled_at: Some(now() + wait()),
    }
}

/// How long a try waits here.
fn wait() -> Span {
    Span::from_secs(100)
}

#[test]
fn what_is_left_has_the_shares_and_the_dollars_that_the_first_try_did_not_use() {
    let partly = ordered(1, IntentState::Ended, ("4", Some("100.01")));
    assert_eq!(
        unfilled(std::slice::from_ref(&partly), (Phase::Buy, 1), wait()),
        [left(Phase::Buy, "AGG", ("6", "600.16"))]
    );
    assert_eq!(unfilled(std::slice::from_ref(&partly), (Phase::Buy, 2), wait()), [], "another try");
    assert_eq!(unfilled(std::slice::from_ref(&partly), (Phase::Sell, 1), wait()), [], "another half");
    let others = [IntentState::Rejected, IntentState::Withdrawn, IntentState::Quarantined, IntentState::Open];
    for state in others.into_iter().chain([IntentState::Filled, IntentState::Unknown, IntentState::Disputed]) {
        assert_eq!(
            unfilled(&[ordered(1, state, ("0", None))], (Phase::Buy, 1), wait()),
            [],
            "{state:?}: its end is not that"
        );
    }
    let market = Intent { pricing: Pricing::Market, ..partly.clone() };
    assert_eq!(unfilled(&[market], (Phase::Buy, 1), wait()), [], "a market order is not tried again");
    let sooner = Intent { settled_at: Some(now() + Span::from_secs(99)), ..partly.clone() };
    assert_eq!(unfilled(&[sooner], (Phase::Buy, 1), wait()), [], "somebody else ended it, and it is theirs to end");
    // 9.6 of 10 shares brought more than all ten were reckoned at, for the limit lies far below the bid: 0.4 are left.
    let sale = ordered(1, IntentState::Ended, ("9.6", Some("105")));
    let rest = unfilled(&[Intent { phase: Phase::Sell, ..sale }], (Phase::Sell, 1), wait());
    assert_eq!(rest, [left(Phase::Sell, "AGG", ("0.4", "0.01"))]);
    let unpriced = ordered(1, IntentState::Ended, ("4", None));
    let rest = unfilled(&[unpriced], (Phase::Buy, 1), wait());
    assert_eq!(rest, [left(Phase::Buy, "AGG", ("6", "600.12"))], "what has no price cost its limit");
    let second = ordered(2, IntentState::Filled, ("5", Some("100.4")));
    let both = [partly.clone(), second.clone()];
    assert!(is_superseded(&partly, &both) && !is_superseded(&second, &both));
}

#[test]
fn the_example_of_the_guide() {
    let strategy = by_limits("0");
    let rest = [left(Phase::Buy, "AGG", ("6", "600.16"))];
    let at = |fractions| with(account("5000"), "AGG", "4", ("100.36", "100.40"), fractions);
    let quoted = |snapshot: Snapshot| with(snapshot, "SPY", "1", ("500", "500"), true);
    let plan = again(&strategy, &quoted(at(true)), &rest, OrderType::Limit);
    assert_eq!(legs(&plan), ["buy AGG 5.977689243 @100.4"]);
    assert_eq!(legs(&again(&strategy, &quoted(at(false)), &rest, OrderType::Limit)), ["buy AGG 5 @100.4"]);
    assert_eq!(legs(&again(&strategy, &quoted(at(true)), &rest, OrderType::Market)), ["buy AGG $600.15"]);
    // 5 * 100.40 * 1.04 = 522.08 fit into 600.16.
    assert_eq!(legs(&again(&strategy, &quoted(at(false)), &rest, OrderType::Market)), ["buy AGG 5"]);
    let collared = again(&by_limits("0.1"), &quoted(at(true)), &rest, OrderType::Limit);
    assert_eq!(legs(&collared), ["buy AGG 5.971147149 @100.51"], "100.40 * 1.001 = 100.5004, up to a cent: 100.51");
}

#[test]
fn no_try_is_for_more_than_is_left_or_more_than_there_is() {
    let (mut tried, mut none) = (0, 0);
    for case in 0..20_000_u64 {
        let dice = &mut StdRng::seed_from_u64(case);
        let strategy = by_limits(["0", "0.1", "5"][dice.random_range(0..3)]);
        let cents = dice.random_range(150..60_000_i64);
        let quote = [cents - dice.random_range(0..20), cents + dice.random_range(0..20)]
            .map(|cents| Decimal::new(cents, 2).to_string());
        let held = dice.random_range(0..50).to_string();
        let cash = Decimal::new(dice.random_range(0..2_000_000), 2);
        let snapshot = with(account(&cash.to_string()), "AGG", &held, (&quote[0], &quote[1]), dice.random_bool(0.5));
        let snapshot = with(snapshot, "SPY", "10", ("499", "501"), true);
        let phase = if dice.random_bool(0.5) { Phase::Buy } else { Phase::Sell };
        let rest = Unfilled {
            phase,
            symbol: symbol("AGG"),
            qty: Qty::new(Decimal::new(dice.random_range(1..40_000_000_000), 9)),
            value: Usd::new(Decimal::new(dice.random_range(1..1_500_000), 2)),
        };
        let kind = if dice.random_bool(0.5) { OrderType::Limit } else { OrderType::Market };
        let plan = again(&strategy, &snapshot, std::slice::from_ref(&rest), kind);
        let Some(leg) = plan.legs.first() else {
            none += 1;
            continue;
        };
        tried += 1;
        assert!(plan.legs.len() == 1 && leg.phase == phase && leg.symbol == rest.symbol, "{case}: {:?}", plan.legs);
        assert_eq!(matches!(leg.pricing, Pricing::Limit(_)), kind == OrderType::Limit, "{case}");
        if let Amount::Qty(qty) = leg.amount {
            assert!(qty <= rest.qty && qty.is_positive(), "{case}: {leg:?} of {rest:?}");
        }
        if phase == Phase::Buy {
            assert!(leg.value <= rest.value && leg.value.decimal() <= cash, "{case}: {leg:?} of {rest:?}");
        } else {
            assert!(matches!(leg.amount, Amount::Qty(qty) if qty <= Qty::parse(&held).unwrap()), "{case}: {leg:?}");
        }
        if let Pricing::Limit(limit) = leg.pricing {
            let quote = snapshot.quotes[&rest.symbol];
            let by = if phase == Phase::Buy { strategy.orders().collar } else { -strategy.orders().collar };
            let far = if phase == Phase::Buy { quote.ask } else { quote.bid };
            let off = (limit.decimal() - far.moved(by).decimal()).abs();
            assert!(off < Decimal::new(1, 2), "{case}: {limit} beside {quote:?}");
        }
    }
    println!("{tried} tries, {none} times nothing to try");
    assert!(tried > 10_000 && none > 500, "{tried} {none}");
}

#[test]
fn tries_are_counted_and_only_the_last_one_may_go_to_the_market() {
    let mut parts = parts(&[("SPY", "100")]);
    assert_eq!(parts.orders.tries(), 1);
    parts.orders.kind = OrderType::Limit;
    parts.orders.reprice_times = 2;
    let kinds = |parts: &rebalanced::model::strategy::StrategyParts| {
        (1..=parts.orders.tries()).map(|attempt| parts.orders.kind_of(attempt)).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&parts), [OrderType::Limit; 3]);
    parts.orders.on_unfilled = OnUnfilled::Market;
    assert_eq!(kinds(&parts), [OrderType::Limit, OrderType::Limit, OrderType::Limit, OrderType::Market]);
    parts.orders.reprice_times = 0;
    assert_eq!(kinds(&parts), [OrderType::Limit, OrderType::Market]);
    assert_eq!(Fraction::ZERO, parts.orders.collar);
}
