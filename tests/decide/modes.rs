//! What each mode may send, and that it is as little as it says, on generated accounts.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rebalanced::decide::plan::{Stage, plan};
use rebalanced::model::ids::Symbol;
use rebalanced::model::money::{Fraction, Usd};
use rebalanced::model::personal::Own;
use rebalanced::model::plan::{Decision, Phase};
use rebalanced::model::snapshot::Snapshot;
use rebalanced::model::strategy::{Destination, OrderType, Strategy, Unmanaged};
use rebalanced::model::tolerance::{Band, Mode, Scope};
use rebalanced::model::verdict::Reason;
use rust_decimal::Decimal;

use crate::cast::{account, dec, filled, legs, open, parts, strategy, symbol, usd, with};
use crate::property::{any_account, any_parts, chance, hindered, holds_together, pick};

const CASES: u64 = 4_000;

/// 28 SPY at 500 and 50 AGG at 100 with this cash.
fn drifted(cash: &str) -> Snapshot {
    let snapshot = with(account(cash), "SPY", "28", ("500", "500"), true);
    with(snapshot, "AGG", "50", ("100", "100"), true)
}

/// The same strategy with dollars kept aside.
fn aside(strategy: &Strategy, dollars: Usd) -> Strategy {
    let own = Own { aside: dollars, ..Own::default() };
    strategy.with_own((strategy.targets().to_vec(), strategy.cash()), own).unwrap()
}

/// Any strategy in a mode.
fn any(dice: &mut StdRng, mode: Mode) -> Strategy {
    let mut parts = any_parts(dice);
    parts.conditions.mode = mode;
    parts.conditions.invest_cash |= mode == Mode::BuyOnly;
    if mode == Mode::BuyOnly && parts.conditions.unmanaged == Unmanaged::Sell {
        parts.conditions.unmanaged = Unmanaged::Ignore;
    }
    if chance(dice, 30) {
        parts.conditions.tolerance.drift_portfolio = Some(Fraction::new(Decimal::new(dice.random_range(1..15), 2)));
    }
    let names: Vec<_> = parts.targets.iter().map(|target| target.symbol.clone()).collect();
    for name in names {
        if chance(dice, 30) {
            let side = |dice: &mut StdRng| Some(Fraction::new(Decimal::new(dice.random_range(1..80), 3)));
            parts.conditions.tolerance.bands.insert(name, Band { below: side(dice), above: side(dice) });
        }
    }
    if parts.conditions.has_bands() && chance(dice, 50) {
        parts.conditions.scope = Scope::OutOfBand;
    }
    strategy(parts)
}

/// After perfect fills of both halves.
fn after(strategy: &Strategy, snapshot: &Snapshot) -> Snapshot {
    let first = open(strategy, snapshot);
    let between = filled(snapshot, &first, Phase::Sell);
    let sold: Vec<_> = first.legs_of(Phase::Sell).map(|leg| leg.symbol.clone()).collect();
    let second = if sold.is_empty() { first } else { plan(strategy, &between, Stage::Completing { sold: &sold }) };
    filled(&between, &second, Phase::Buy)
}

#[test]
fn buy_only_invests_and_never_sells() {
    let mut bought = 0;
    for case in 0..CASES {
        let dice = &mut StdRng::seed_from_u64(case);
        let strategy = any(dice, Mode::BuyOnly);
        let snapshot = any_account(dice, &strategy);
        let plan = open(&strategy, &snapshot);
        assert_eq!(plan.legs_of(Phase::Sell).count(), 0, "{case}: {}", plan.detail);
        holds_together(&strategy, &snapshot, &plan);
        bought += u32::from(plan.decision == Decision::Trade);
    }
    assert!(bought > 1_000, "{bought}");
    let mut parts = parts(&[("SPY", "60"), ("AGG", "35")]);
    parts.conditions.mode = Mode::BuyOnly;
    let strategy = strategy(parts);
    assert_eq!(open(&strategy, &drifted("1000")).reason, Reason::NoNewCash, "SPY stays ten points above");
    // 5% of 19,500 + 1,000 are 1,025: 475 are new, and all of them go to AGG.
    assert_eq!(legs(&open(&strategy, &drifted("1500"))), ["buy AGG $475"]);
}

#[test]
fn sell_only_raises_what_is_wanted_and_never_buys() {
    let (mut sold, mut short) = (0, 0);
    for case in 0..CASES {
        let dice = &mut StdRng::seed_from_u64(case);
        let strategy = any(dice, Mode::SellOnly);
        let snapshot = any_account(dice, &strategy);
        let kept = snapshot.account.cash + usd(pick(dice, ["0", "3", "500", "20000"]));
        let strategy = aside(&strategy, kept);
        let plan = open(&strategy, &snapshot);
        assert_eq!(plan.legs_of(Phase::Buy).count(), 0, "{case}: {}", plan.detail);
        holds_together(&strategy, &snapshot, &plan);
        if plan.reason == Reason::RaiseCash {
            sold += 1;
            let is_left = plan.cash_after >= kept;
            // Less only where nothing that is free is left, or only what no order can carry.
            let rest = snapshot.holdings.iter().filter(|(symbol, holding)| {
                let asset = snapshot.assets[symbol];
                let leg = plan.legs.iter().find(|leg| leg.symbol == **symbol);
                asset.tradable && leg.is_none() && holding.available.is_positive()
            });
            let named = |symbol: &Symbol| strategy.targets().iter().any(|target| target.symbol == *symbol);
            let rest = rest.filter(|(symbol, _)| named(symbol)).count();
            assert!(is_left || rest == 0 || hindered(&snapshot) || is_small(&strategy, &snapshot), "{case}: {plan:?}");
            short += u32::from(!is_left);
        }
        let again = filled(&snapshot, &plan, Phase::Sell);
        let completing = rebalanced::decide::plan::plan(&strategy, &again, Stage::Completing { sold: &[] });
        assert!(completing.legs.is_empty(), "{case}: {:?}", completing.legs);
        if !hindered(&snapshot) && plan.cash_after >= kept {
            assert_eq!(open(&strategy, &again).decision, Decision::Hold, "{case}: a second look holds");
        }
    }
    assert!(sold > 1_000 && short < sold, "{sold} {short}");
}

/// An account with a holding below the smallest order.
fn is_small(strategy: &Strategy, snapshot: &Snapshot) -> bool {
    let least = strategy.orders().min_notional;
    snapshot.holdings.iter().any(|(symbol, holding)| holding.available * snapshot.quotes[symbol].bid < least + least)
}

#[test]
fn only_what_is_missing_is_sold_from_the_most_overweight_first() {
    // Worth 20,000 with 500 aside: 19,500 count. Cash is to be 975, and 500 are there: 475 are missing.
    // SPY stands at 14,000 of 11,700, AGG at 5,000 of 6,825: SPY alone gives, a cent more for each that may.
    let mut parts = parts(&[("SPY", "60"), ("AGG", "35")]);
    parts.conditions.mode = Mode::SellOnly;
    let strategy = strategy(parts);
    let plan = open(&aside(&strategy, usd("500")), &drifted("1000"));
    assert_eq!((plan.reason, legs(&plan)), (Reason::RaiseCash, vec!["sell SPY 0.95004".to_owned()]));
    assert_eq!(plan.cash_after, usd("1475.02"), "500 that wait and 975 that stay");
    assert_eq!(open(&strategy, &drifted("1000")).reason, Reason::CashSuffices, "SPY stays ten points above");
}

#[test]
fn who_takes_out_everything_sells_everything() {
    let mut parts = parts(&[("SPY", "60"), ("AGG", "35")]);
    parts.conditions.mode = Mode::SellOnly;
    let plan = open(&aside(&strategy(parts), usd("1000000")), &drifted("1000"));
    assert_eq!(legs(&plan), ["sell AGG 50", "sell SPY 28"]);
}

#[test]
fn a_second_look_holds_in_every_mode() {
    let mut traded = 0;
    for case in 0..CASES {
        let dice = &mut StdRng::seed_from_u64(case);
        let mode = pick(dice, [Mode::Full, Mode::BuyOnly]);
        let strategy = any(dice, mode);
        let snapshot = any_account(dice, &strategy);
        if hindered(&snapshot) || strategy.conditions().destination == Destination::Halfway {
            continue;
        }
        let first = open(&strategy, &snapshot);
        holds_together(&strategy, &snapshot, &first);
        if first.decision == Decision::Hold {
            continue;
        }
        traded += 1;
        let again = open(&strategy, &after(&strategy, &snapshot));
        assert_eq!(again.decision, Decision::Hold, "{case}: {} then {} {:?}", first.detail, again.detail, again.legs);
    }
    assert!(traded > 200, "{traded}");
}

/// The least number of orders by trying every set of holdings, in shares of the portfolio: the others stay, those of the
/// set may end anywhere inside their bands, and cash must not end below its target, nor above it by an order.
fn least_orders(rows: &[(Decimal, Decimal, Decimal)], cash: Decimal, kept: Decimal, least: Decimal) -> Option<u32> {
    let inside = |(actual, low, high): &(Decimal, Decimal, Decimal)| actual >= low && actual <= high;
    let mut best = None;
    for set in 0_u32..1 << rows.len() {
        let is_in = |place: usize| set >> place & 1 == 1;
        if rows.iter().enumerate().any(|(place, row)| !is_in(place) && !inside(row)) {
            continue;
        }
        let traded = || rows.iter().enumerate().filter(|(place, _)| is_in(*place)).map(|(_, row)| row);
        // Cash afterwards is what is there, less what the set takes.
        let most = cash - traded().map(|(actual, low, _)| low - actual).sum::<Decimal>();
        let fewest = cash - traded().map(|(actual, _, high)| high - actual).sum::<Decimal>();
        if most >= kept && fewest < kept + least {
            best = Some(best.map_or(set.count_ones(), |best: u32| best.min(set.count_ones())));
        }
    }
    best
}

#[test]
fn fewest_trades_sends_as_few_orders_as_any_set_of_holdings_could() {
    let (mut compared, mut helped) = (0, 0);
    for case in 0..3_000 {
        let dice = &mut StdRng::seed_from_u64(case);
        let count = dice.random_range(2..=8_i64);
        let mut left = 100 - pick(dice, [0, 2, 5]);
        let kept = Decimal::new(100 - left, 2);
        let mut weights = Vec::new();
        for place in 0..count {
            let rest = count - place - 1;
            let weight = if rest == 0 { left } else { dice.random_range(1..=left - rest) };
            left -= weight;
            weights.push((format!("S{place}"), weight));
        }
        let percents: Vec<_> = weights.iter().map(|(name, weight)| (name.clone(), weight.to_string())).collect();
        let mut parts =
            parts(&percents.iter().map(|(name, percent)| (name.as_str(), percent.as_str())).collect::<Vec<_>>());
        parts.conditions.mode = Mode::FewestTrades;
        parts.orders.kind = OrderType::Market;
        let mut snapshot = account("0");
        let mut rows = Vec::new();
        let mut worth = Decimal::ZERO;
        for (name, weight) in &weights {
            let side = |dice: &mut StdRng| Decimal::new(dice.random_range(2..60), 3);
            let band = (side(dice), side(dice));
            let own = Band { below: Some(Fraction::new(band.0)), above: Some(Fraction::new(band.1)) };
            parts.conditions.tolerance.bands.insert(symbol(name), own);
            let off = dice.random_range(-80..=80_i64);
            let shares = (weight * 10_000 + off * 1_000).max(0);
            snapshot = with(snapshot, name, &shares.to_string(), ("1", "1"), true);
            let target = Decimal::new(*weight, 2);
            rows.push((
                Decimal::from(shares),
                (target - band.0).max(Decimal::ZERO),
                (target + band.1).min(Decimal::ONE),
            ));
            worth += Decimal::from(shares);
        }
        let cash = Decimal::from(dice.random_range(0..60_000));
        snapshot.account.cash = Usd::new(cash);
        snapshot.account.buying_power = Usd::new(cash);
        let value = worth + cash;
        let rows: Vec<_> = rows.iter().map(|(worth, low, high)| (worth / value, *low, *high)).collect();
        let strategy = strategy(parts);
        let first = open(&strategy, &snapshot);
        holds_together(&strategy, &snapshot, &first);
        if first.reason != Reason::DriftBand {
            continue;
        }
        let Some(least) = least_orders(&rows, cash / value, kept, Decimal::ONE / value) else { continue };
        compared += 1;
        helped += u32::from(
            usize::try_from(least).unwrap() > rows.iter().filter(|(at, low, high)| at < low || at > high).count(),
        );
        assert_eq!(first.legs.len(), usize::try_from(least).unwrap(), "{case}: {rows:?} {:?}", legs(&first));
        let then = after(&strategy, &snapshot);
        let again = open(&strategy, &then);
        assert_eq!(again.decision, Decision::Hold, "{case}: {} {:?}", again.detail, again.legs);
        let nearly = Decimal::new(1, 8);
        for row in &again.weights {
            let place = weights.iter().position(|(name, _)| *name == row.symbol.as_str()).unwrap();
            let (_, low, high) = rows[place];
            let at = row.before.decimal();
            assert!(at >= low - nearly && at <= high + nearly, "{case}: {row:?}");
        }
    }
    assert!(compared > 1_000 && helped > 100, "{compared} {helped}");
}

#[test]
fn what_whole_shares_leave_over_goes_on_towards_the_targets_and_makes_no_order_where_they_are_few() {
    // Half the way is 100 of A, and 50 each to B and C. One share of B costs 40, so ten are over: they go on to C, but for
    // the 4% that must stay beside a market order by whole shares.
    let mut parts = parts(&[("A", "40"), ("B", "30"), ("C", "30")]);
    parts.conditions.destination = Destination::Halfway;
    let snapshot = with(account("0"), "A", "600", ("1", "1"), true);
    let snapshot = with(with(snapshot, "B", "5", ("40", "40"), false), "C", "200", ("1", "1"), true);
    let plan = open(&strategy(parts), &snapshot);
    assert_eq!(legs(&plan), ["sell A 100", "buy B 1", "buy C $58.4"], "1.60 stay beside the share of 40");
    // A alone is outside and D helps, by whole shares of fifteen: what they leave over buys neither B nor C.
    let mut few = crate::cast::parts(&[("A", "40"), ("B", "20"), ("C", "20"), ("D", "20")]);
    few.conditions.mode = Mode::FewestTrades;
    few.conditions.drift_absolute = Some(Fraction::from_percent(dec("5")));
    let snapshot = with(with(account("5"), "A", "470", ("1", "1"), true), "B", "180", ("1", "1"), true);
    let snapshot = with(with(snapshot, "C", "180", ("1", "1"), true), "D", "11", ("15", "15"), false);
    let plan = open(&strategy(few), &snapshot);
    let traded: Vec<&str> = plan.legs.iter().map(|leg| leg.symbol.as_str()).collect();
    assert_eq!(traded, ["A", "D"], "{plan:#?}");
}
