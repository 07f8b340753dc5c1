//! Accounts and strategies that try the planner: drawn from a seed, each case from its own number.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::case::{Case, Destination, Orders, Row};

/// What a case is drawn to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Amounts of any size: everything but whole shares and least orders.
    Continuous,
    /// Whole shares of some or all symbols.
    WholeShares,
    /// Orders that must be worth a good deal.
    LeastOrder,
}

fn pick<T: Copy, const N: usize>(dice: &mut StdRng, of: [T; N]) -> T {
    of[dice.random_range(0..N)]
}

fn chance(dice: &mut StdRng, percent: u32) -> bool {
    dice.random_range(0..100) < percent
}

/// Weights in hundredths of a percent that add up to `whole`, none below `least`.
fn weights(dice: &mut StdRng, count: i128, whole: i128, least: i128) -> Vec<i128> {
    let (mut left, mut weights) = (whole, Vec::new());
    let equal = chance(dice, 20);
    for rest in (0..count).rev() {
        let most = left - rest * least;
        let weight = match (rest, equal) {
            (0, _) => left,
            (_, true) => left / (rest + 1),
            (_, false) => dice.random_range(least..=(2 * left / (rest + 1)).clamp(least, most)),
        };
        left -= weight;
        weights.push(weight);
    }
    weights
}

/// What a row holds as hundredths of what its target says.
fn filling(dice: &mut StdRng, style: u32) -> i128 {
    match style {
        0 => 0,
        1 => dice.random_range(94..=106),
        2 => dice.random_range(60..=140),
        3 => 100,
        _ => {
            let (under, over) = (dice.random_range(5..=95), dice.random_range(105..=300));
            pick(dice, [0, under, over])
        }
    }
}

fn row(dice: &mut StdRng, weight: i128, worth_cents: i128, (style, family, hinder): (u32, Family, bool)) -> Row {
    let floor = pick(dice, [150, 2_000, 30_000]);
    let middle: i128 = dice.random_range(floor..=60_000);
    let half = match dice.random_range(0..10) {
        0 => 0,
        1 => dice.random_range(0..=middle / 42),
        _ => dice.random_range(0..=middle / 500 + 1),
    };
    let split = family != Family::WholeShares || chance(dice, 40);
    let meant = worth_cents * weight / 10_000 * filling(dice, style) / 100;
    let held = meant * 1_000_000_000 / middle;
    let held = if split { held } else { held / 1_000_000_000 * 1_000_000_000 };
    let mut row = Row {
        weight,
        held,
        free: held,
        bid_cents: middle - half,
        ask_cents: middle + half,
        split,
        tradable: true,
        order: None,
    };
    match if hinder { dice.random_range(0..12) } else { 12 } {
        0 => row.tradable = false,
        1 => row.free = if split { held / 2 } else { held / 2_000_000_000 * 1_000_000_000 },
        2 => row.order = Some(0),
        3 => row.order = Some(dice.random_range(1..=worth_cents / 50 + 1)),
        _ => {}
    }
    row
}

/// The case of this number, and what it tries.
pub(crate) fn draw(seed: u64, number: u64) -> (Case, Family) {
    let dice = &mut StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
    let family = match number % 10 {
        0..6 => Family::Continuous,
        6..9 => Family::WholeShares,
        _ => Family::LeastOrder,
    };
    let count = match family {
        Family::Continuous => pick(dice, [1, 2, 3, 4, 6, 9, 14, 25]),
        _ => pick(dice, [1, 2, 3, 4, 6, 9, 12]),
    };
    let cash_target = pick(dice, [0, 0, 100, 500, 2_000]);
    // From ninety dollars to a billion.
    let power = dice.random_range(0..=7);
    let worth_cents = 10_i128.pow(power) * dice.random_range(9_000..=90_000) / if power > 0 { 10 } else { 1 };
    let style = dice.random_range(0..5);
    let hinder = chance(dice, 35);
    let rows: Vec<Row> = weights(dice, count, 10_000 - cash_target, 20)
        .into_iter()
        .map(|weight| row(dice, weight, worth_cents, (style, family, hinder)))
        .collect();
    let on_target = worth_cents * cash_target / 10_000;
    let cash_cents = match (style, dice.random_range(0..10)) {
        (0, _) => worth_cents,
        (_, 0..4) => on_target,
        (_, 4..8) => on_target + worth_cents * dice.random_range(1..=40) / 100,
        _ => -(worth_cents * dice.random_range(1..=15) / 100),
    };
    let destination =
        pick(dice, [Destination::Target, Destination::Target, Destination::BandEdge, Destination::Halfway]);
    let (mut absolute, mut relative) = (None, None);
    if destination == Destination::BandEdge || chance(dice, 70) {
        let which = dice.random_range(0..3);
        absolute = (which != 1).then(|| dice.random_range(1..=8));
        relative = (which != 0).then(|| dice.random_range(5..=40));
    }
    let mut case = Case {
        number,
        rows,
        cash_target,
        cash_cents,
        absolute,
        relative,
        destination,
        invest_cash: chance(dice, 60),
        orders: Orders::Full,
        only_outside: false,
        aside: 0,
        limit_orders: family != Family::Continuous && chance(dice, 20),
        collar: 0,
        least: if family == Family::LeastOrder { pick(dice, [5, 25, 100, 500]) } else { 1 },
    };
    if family == Family::Continuous {
        vary(dice, &mut case, worth_cents);
    }
    (case, family)
}

/// Half of the cases in amounts of any size try something else than a whole rebalance at the market.
fn vary(dice: &mut StdRng, case: &mut Case, worth_cents: i128) {
    let has_bands = case.absolute.is_some() || case.relative.is_some();
    match dice.random_range(0..12) {
        0 => (case.orders, case.invest_cash) = (Orders::BuyOnly, true),
        1 => case.orders = Orders::SellOnly,
        2 => {
            case.orders = pick(dice, [Orders::Full, Orders::SellOnly]);
            case.aside = worth_cents * dice.random_range(1..=40) / 100;
        }
        3 if has_bands && case.destination != Destination::BandEdge => case.only_outside = true,
        4 if has_bands => (case.orders, case.destination) = (Orders::FewestTrades, Destination::Target),
        5 => (case.limit_orders, case.collar) = (true, dice.random_range(0..=300)),
        _ => {}
    }
}
