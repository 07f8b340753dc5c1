//! What holds whatever is asked for: generated requests against two accounts, checked after every step.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::exchange::CloseAmount;
use crate::exchange::activity::{ActivityDetail, ActivityFilter};
use crate::exchange::order::{OrderFilter, ReplaceRequest, StatusFilter};

const SYMBOLS: [&str; 4] = ["AAPL", "AGG", "KO", "SPY"];

/// One request, in numbers that always mean something.
#[derive(Debug, Clone)]
enum Step {
    Market { sell: bool, symbol: usize, hundredths: u32 },
    Value { sell: bool, symbol: usize, cents: u32 },
    Limit { sell: bool, symbol: usize, shares: u32, percent: u32, gtc: bool },
    Stop { sell: bool, symbol: usize, shares: u32, percent: u32 },
    Cancel { nth: usize },
    Replace { nth: usize, shares: u32 },
    Close { symbol: usize },
    Transfer { dollars: i32 },
    Split { symbol: usize, forward: bool },
    Wait { seconds: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let symbol = || 0..SYMBOLS.len();
    prop_oneof![
        3 => (any::<bool>(), symbol(), 1..20_000_u32)
            .prop_map(|(sell, symbol, hundredths)| Step::Market { sell, symbol, hundredths }),
        3 => (any::<bool>(), symbol(), 50..3_000_000_u32)
            .prop_map(|(sell, symbol, cents)| Step::Value { sell, symbol, cents }),
        3 => (any::<bool>(), symbol(), 1..200_u32, 95..106_u32, any::<bool>())
            .prop_map(|(sell, symbol, shares, percent, gtc)| Step::Limit { sell, symbol, shares, percent, gtc }),
        1 => (any::<bool>(), symbol(), 1..200_u32, 95..106_u32)
            .prop_map(|(sell, symbol, shares, percent)| Step::Stop { sell, symbol, shares, percent }),
        2 => (0..8_usize).prop_map(|nth| Step::Cancel { nth }),
        2 => (0..8_usize, 1..200_u32).prop_map(|(nth, shares)| Step::Replace { nth, shares }),
        1 => symbol().prop_map(|symbol| Step::Close { symbol }),
        1 => (-5_000..5_000_i32).prop_map(|dollars| Step::Transfer { dollars }),
        1 => (symbol(), any::<bool>()).prop_map(|(symbol, forward)| Step::Split { symbol, forward }),
        6 => prop_oneof![0..3_u32, 1..120_u32, 600..40_000_u32].prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// Carries a step out; refusals are fine, they must only change nothing.
fn play(desk: &mut Desk, step: &Step) {
    let side = |sell: bool| if sell { Side::Sell } else { Side::Buy };
    let price = |desk: &Desk, symbol: usize, percent: u32| {
        (desk.price(SYMBOLS[symbol]) * Decimal::from(percent) / dec("100")).round_dp(2)
    };
    let account = desk.account.clone();
    let open = |desk: &mut Desk, nth: usize| {
        let orders = desk.exchange.orders(desk.now, &account, &OrderFilter::default()).unwrap();
        orders.get(nth).map(|order| order.id.clone())
    };
    match *step {
        Step::Market { sell, symbol, hundredths } => {
            let qty = Decimal::new(i64::from(hundredths), 2).to_string();
            let _ = desk.submit(market(side(sell), SYMBOLS[symbol], &qty));
        }
        Step::Value { sell, symbol, cents } => {
            let dollars = Decimal::new(i64::from(cents), 2).to_string();
            let _ = desk.submit(notional(side(sell), SYMBOLS[symbol], &dollars));
        }
        Step::Limit { sell, symbol, shares, percent, gtc } => {
            let time = if gtc { TimeInForce::Gtc } else { TimeInForce::Day };
            let price = price(desk, symbol, percent);
            let _ = desk.submit(lasting(time, limit(side(sell), SYMBOLS[symbol], &shares.to_string(), price)));
        }
        Step::Stop { sell, symbol, shares, percent } => {
            let price = price(desk, symbol, percent);
            let _ = desk.submit(stop(side(sell), SYMBOLS[symbol], &shares.to_string(), price));
        }
        Step::Cancel { nth } => {
            if let Some(id) = open(desk, nth) {
                let _ = desk.exchange.cancel(desk.now, &account, &id);
            }
        }
        Step::Replace { nth, shares } => {
            if let Some(id) = open(desk, nth) {
                let request = ReplaceRequest { qty: Some(shares.into()), ..ReplaceRequest::default() };
                let _ = desk.exchange.replace(desk.now, &account, &id, request);
            }
        }
        Step::Close { symbol } => {
            let _ = desk.exchange.close_position(desk.now, &account, SYMBOLS[symbol], CloseAmount::All);
        }
        Step::Transfer { dollars } => {
            let _ = desk.exchange.transfer(desk.now, &account, dollars.into());
        }
        Step::Split { symbol, forward } => {
            let (old, new) = if forward { (1, 2) } else { (2, 1) };
            desk.exchange.split(desk.now, SYMBOLS[symbol], old, new).unwrap();
        }
        Step::Wait { seconds } => desk.wait(i64::from(seconds)),
    }
}

/// Everything that must hold at any moment.
fn check(desk: &mut Desk, seen: &mut BTreeMap<Arc<str>, Order>, sequence: &mut u64) {
    let view = desk.view();
    assert_eq!(view.equity, view.cash + view.long_market_value + view.short_market_value);
    assert!(view.buying_power >= Decimal::ZERO && view.non_marginable_buying_power >= Decimal::ZERO);
    assert_eq!(view.cash, view.cash.round_dp(2));

    // The activities explain the cash and the shares.
    let everything = ActivityFilter { date: None, page_size: None, ascending: true, ..ActivityFilter::default() };
    let mut rows = desk.exchange.activities(desk.now, &desk.account, &everything).unwrap();
    while rows.len().is_multiple_of(100) && !rows.is_empty() {
        let token = rows.last().map(|row| row.id.to_string());
        let page = ActivityFilter { page_token: token, ..everything.clone() };
        let next = desk.exchange.activities(desk.now, &desk.account, &page).unwrap();
        if next.is_empty() {
            break;
        }
        rows.extend(next);
    }
    let mut cash = dec("100000");
    let mut shares: BTreeMap<Arc<str>, Decimal> = BTreeMap::new();
    for row in &rows {
        match &row.detail {
            ActivityDetail::Fill(fill) => {
                let amount = super::super::figures::cents(fill.qty * fill.price);
                let buy = fill.side == Side::Buy;
                cash += if buy { -amount } else { amount };
                *shares.entry(fill.symbol.clone()).or_default() += if buy { fill.qty } else { -fill.qty };
            }
            ActivityDetail::NonTrade(row) => {
                cash += row.net_amount;
                if let (Some(symbol), Some(qty)) = (&row.symbol, row.qty) {
                    *shares.entry(symbol.clone()).or_default() += qty;
                }
            }
        }
    }
    assert_eq!(cash, view.cash);
    shares.retain(|_, qty| !qty.is_zero());
    let positions = desk.exchange.positions(desk.now, &desk.account).unwrap();
    let held: BTreeMap<Arc<str>, Decimal> =
        positions.iter().map(|position| (position.symbol.clone(), position.qty)).collect();
    assert_eq!(shares, held);
    for position in &positions {
        assert!(position.qty_available.abs() <= position.qty.abs());
    }

    // Orders only move forward.
    let all = OrderFilter { status: StatusFilter::All, limit: 500, ..OrderFilter::default() };
    for order in desk.exchange.orders(desk.now, &desk.account, &all).unwrap() {
        if let Some(qty) = order.qty {
            assert!(order.filled_qty <= qty, "{order:?}");
        }
        assert!(order.qty.is_some() != order.notional.is_some());
        if order.status == OrderStatus::Filled
            && let Some(qty) = order.qty
        {
            assert_eq!(order.filled_qty, qty);
        }
        if let Some(before) = seen.get(&order.id) {
            assert!(order.filled_qty >= before.filled_qty);
            assert!(!before.status.is_terminal() || before.status == order.status, "{before:?} {order:?}");
        }
        seen.insert(order.id.clone(), order);
    }
    for update in desk.exchange.take_updates() {
        if update.account == desk.account {
            *sequence += 1;
            assert_eq!(update.sequence, *sequence);
        }
        assert!(update.at <= desk.now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_books_always_balance(steps in proptest::collection::vec(step(), 1..60), partial in 0..100_u8) {
        let mut desk = Desk::with(partial, NewAccount::new("ann", Environment::Paper));
        let mut seen = BTreeMap::new();
        let mut sequence = 0;
        for step in &steps {
            play(&mut desk, step);
            check(&mut desk, &mut seen, &mut sequence);
        }
        // A week later nothing is left open but orders without an end.
        desk.wait(7 * 86_400);
        check(&mut desk, &mut seen, &mut sequence);
        let left = desk.exchange.orders(desk.now, &desk.account, &OrderFilter::default()).unwrap();
        prop_assert!(left.iter().all(|order| order.time_in_force == TimeInForce::Gtc), "{:?}", left);
        if left.is_empty() {
            let view = desk.view();
            prop_assert_eq!(view.regt_buying_power, if view.multiplier == 1 {
                view.cash.max(Decimal::ZERO)
            } else {
                ((view.equity - view.initial_margin) * dec("2")).max(Decimal::ZERO)
            });
        }
    }

    #[test]
    fn another_account_changes_nothing(
        steps in proptest::collection::vec(step(), 1..30),
        others in proptest::collection::vec(step(), 1..30),
    ) {
        let calm = |step: &Step| !matches!(step, Step::Split { .. });
        let alone = || Desk::with(30, NewAccount::new("ann", Environment::Paper));
        let mut one = alone();
        let mut two = alone();
        let other = two.exchange.open_account(two.now, NewAccount::new("bob", Environment::Paper)).unwrap();
        let own = two.account.clone();
        for (index, step) in steps.iter().enumerate().filter(|(_, step)| calm(step)) {
            play(&mut one, step);
            if let Some(noise) = others.get(index).filter(|step| calm(step) && !matches!(step, Step::Wait { .. })) {
                two.account = other.clone();
                play(&mut two, noise);
                two.account = own.clone();
            }
            play(&mut two, step);
        }
        let orders = |desk: &Desk| {
            let own = desk.account.clone();
            let ledger = desk.exchange.ledger().into_iter();
            ledger.filter(|(account, _)| *account == own).map(|(_, order)| format!("{order:?}")).collect::<Vec<_>>()
        };
        prop_assert_eq!(orders(&one), orders(&two));
        prop_assert_eq!(one.view().equity, two.view().equity);
    }

    #[test]
    fn one_jump_and_many_steps_end_the_same(steps in proptest::collection::vec(step(), 1..20), slices in 1..50_i64) {
        let run = |slices: i64| {
            let mut desk = Desk::with(40, NewAccount::new("ann", Environment::Paper));
            for step in &steps {
                play(&mut desk, step);
            }
            for _ in 0..slices {
                desk.wait(3 * 86_400 / slices);
            }
            desk.wait(3 * 86_400 % slices);
            desk.exchange.ledger().iter().map(|(_, order)| format!("{order:?}")).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(1), run(slices));
    }
}
