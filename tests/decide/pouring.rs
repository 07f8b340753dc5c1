//! New money poured into what is most underweight, held against a reckoning in whole numbers that shares no line with it.
//!
//! Everything is a whole number of ten-thousandths of a cent, and a level is a fraction of two of them, so nothing is
//! rounded until an expected amount is written down. The vessels are filled the slow way: the lowest is raised to the
//! next, then both to the one after, and so on, as long as the money lasts.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rebalanced::decide::allocate::{Vessel, pour_at_least};
use rebalanced::decide::plan::{Stage, plan};
use rebalanced::model::money::{Fraction, Usd};
use rebalanced::model::plan::{Amount, Decision};
use rebalanced::model::verdict::Reason;
use rust_decimal::Decimal;

use crate::cast::{account, parts, strategy, with};

const CASES: u64 = 10_000;

/// A vessel in whole numbers: cents, and the cost of a dollar in ten-thousandths.
#[derive(Debug, Clone, Copy)]
struct Whole {
    worth: i128,
    desired: i128,
    cost: i128,
}

/// The level at which the money is spent, as a fraction; one when there is enough for everybody.
fn level(vessels: &[Whole], cents: i128) -> (i128, i128) {
    let mut dry = vessels.to_vec();
    // a.worth / a.desired < b.worth / b.desired, without a division.
    dry.sort_by(|a, b| (a.worth * b.desired).cmp(&(b.worth * a.desired)));
    let budget = cents * 10_000;
    let (mut worth, mut desired) = (0, 0);
    for vessel in dry {
        // Raising all that are wet to this one's ratio costs (desired * ratio - worth), here times this one's desired.
        if desired * vessel.worth - worth * vessel.desired >= budget * vessel.desired {
            break;
        }
        worth += vessel.worth * vessel.cost;
        desired += vessel.desired * vessel.cost;
    }
    if budget + worth >= desired { (1, 1) } else { (budget + worth, desired) }
}

/// What a vessel lacks to a level, in cents: a fraction, never below zero.
fn lacks(vessel: Whole, (above, below): (i128, i128)) -> (i128, i128) {
    ((above * vessel.desired - below * vessel.worth).max(0), below)
}

/// A fraction of cents as dollars, its last twelve decimals rounded down.
fn dollars((above, below): (i128, i128)) -> Decimal {
    let rest = (above % below) * 1_000_000_000_000 / below;
    (Decimal::from(above / below) + Decimal::from_i128_with_scale(rest, 12)) / Decimal::ONE_HUNDRED
}

fn money(cents: i128) -> Usd {
    Usd::new(Decimal::from_i128_with_scale(cents, 2))
}

fn fraction(ten_thousandths: i128) -> Fraction {
    Fraction::new(Decimal::from_i128_with_scale(ten_thousandths, 4))
}

/// What the planner adds to each vessel.
fn poured(whole: &[Whole], cents: i128, least: i128) -> Vec<Usd> {
    let vessel = |(row, whole): (usize, &Whole)| Vessel {
        row,
        worth: money(whole.worth),
        desired: money(whole.desired),
        cost: fraction(whole.cost),
    };
    let vessels: Vec<Vessel> = whole.iter().enumerate().map(vessel).collect();
    pour_at_least(&vessels, money(cents), money(least))
}

/// One to forty vessels from dollars to billions, some empty, some of one level, and a budget that seldom suffices.
fn any(dice: &mut StdRng) -> (Vec<Whole>, i128) {
    let size = [1_000, 1_000_000, 100_000_000_000][dice.random_range(0..3)];
    let count = dice.random_range(1..=40);
    let mut whole: Vec<Whole> = Vec::new();
    for _ in 0..count {
        let desired = dice.random_range(100..=size);
        let worth = match dice.random_range(0..4) {
            0 => 0,
            1 => desired / 2,
            _ => dice.random_range(0..desired),
        };
        whole.push(Whole { worth, desired, cost: dice.random_range(10_000..=10_250) });
    }
    let full: i128 = whole.iter().map(|vessel| (vessel.desired - vessel.worth) * vessel.cost / 10_000).sum();
    let cents = full * dice.random_range(1..=110) / 100;
    (whole, cents)
}

/// Twelve decimals of a cent are what [`dollars`] keeps; a level has eighteen decimals, as every quotient.
fn same(found: Usd, expected: Decimal, vessel: Whole) -> bool {
    let by_level = money(vessel.desired).decimal() * Decimal::new(1, 18);
    (found.decimal() - expected).abs() <= Decimal::new(1, 13) + by_level
}

#[test]
fn pouring_equals_the_exact_reckoning() {
    let (mut short, mut enough, mut dry) = (0, 0, 0);
    for case in 0..CASES {
        let dice = &mut StdRng::seed_from_u64(case);
        let (whole, cents) = any(dice);
        let level = level(&whole, cents);
        let poured = poured(&whole, cents, 0);
        for (vessel, added) in whole.iter().zip(&poured) {
            let expected = dollars(lacks(*vessel, level));
            assert!(
                same(*added, expected, *vessel),
                "case {case}: {added} is not {expected} for {vessel:?} at {level:?}"
            );
            dry += usize::from(added.is_zero());
        }
        short += usize::from(level.0 < level.1);
        enough += usize::from(level.0 == level.1);
    }
    assert!(short > 5_000 && enough > 500 && dry > 5_000, "{short} {enough} {dry}: cases of every kind");
}

#[test]
fn with_a_least_amount_each_gets_none_or_its_exact_share_among_those_that_get_some() {
    let (mut left_out, mut had_room, mut alone) = (0, 0, 0);
    for case in 0..CASES {
        let dice = &mut StdRng::seed_from_u64(case);
        let (whole, cents) = any(dice);
        let least = [100, 500, 5_000][dice.random_range(0..3)];
        let cents = cents / [1, 10, 100][dice.random_range(0..3)];
        let poured = poured(&whole, cents, least);
        let chosen: Vec<Whole> =
            whole.iter().zip(&poured).filter(|(_, added)| !added.is_zero()).map(|(vessel, _)| *vessel).collect();
        let level = level(&chosen, cents);
        for (vessel, added) in whole.iter().zip(&poured).filter(|(_, added)| !added.is_zero()) {
            let (above, below) = lacks(*vessel, level);
            assert!(same(*added, dollars((above, below)), *vessel), "case {case}: {added} for {vessel:?} at {level:?}");
            assert!(above * vessel.cost >= least * below * 10_000, "case {case}: {added} is less than {least} cents");
        }
        // Nothing is kept back: the rest stays only where everybody chosen is full.
        let spent: Usd = whole.iter().zip(&poured).map(|(v, added)| *added * fraction(v.cost)).sum();
        let rest = (money(cents) - spent).decimal();
        let all = money(chosen.iter().map(|vessel| vessel.desired).sum()).decimal();
        let nothing = Decimal::new(1, 9) + all * Decimal::new(1, 18);
        assert!(rest >= -nothing, "case {case}: {rest} too much is spent");
        assert!(chosen.is_empty() || level == (1, 1) || rest <= nothing, "case {case}: {rest} is kept back");
        // Who gets nothing would mostly get too little beside the chosen; a few left before others made room.
        for vessel in whole.iter().zip(&poured).filter(|(_, added)| added.is_zero()).map(|(vessel, _)| *vessel) {
            let with: Vec<Whole> = chosen.iter().copied().chain([vessel]).collect();
            let then = self::level(&with, cents.max(1));
            let room = with.iter().all(|vessel| {
                let (above, below) = lacks(*vessel, then);
                above * vessel.cost >= least * below * 10_000
            });
            left_out += 1;
            had_room += usize::from(room);
        }
        alone += usize::from(chosen.len() == 1);
    }
    println!("{left_out} left out, {had_room} of them before others made room; {alone} times one alone");
    assert!(left_out > 5_000 && alone > 100, "{left_out} {alone}: cases of every kind");
    assert!(had_room * 1_000 < left_out, "{had_room} of {left_out} could have had a share");
}

/// A deposit through the whole planner, to the cent: whole shares held, no spread, weights in hundredths of a percent.
#[test]
fn a_deposit_buys_the_exact_amounts_to_the_cent() {
    let (mut compared, mut short) = (0, 0);
    for case in 0..CASES {
        let dice = &mut StdRng::seed_from_u64(case);
        let count = dice.random_range(1..=10);
        let cash_target: i128 = [0, 100, 500][dice.random_range(0..3)];
        let mut left = 10_000 - cash_target;
        let mut weights = Vec::new();
        for rest in (0..count).rev() {
            let weight = if rest == 0 { left } else { dice.random_range(50..=(2 * left / (rest + 1)).max(51)) };
            let weight = weight.min(left - rest * 50);
            left -= weight;
            weights.push(weight);
        }
        let near = dice.random_range(1_000_000..=500_000_000_i128);
        let cash: i128 = near * dice.random_range(1..=30) / 100;
        let cash_text = Decimal::from_i128_with_scale(cash, 2).to_string();
        let (mut snapshot, mut value, mut worths) = (account(&cash_text), cash, Vec::new());
        let names: Vec<String> = (0..weights.len()).map(|place| format!("S{place:02}")).collect();
        for (name, weight) in names.iter().zip(&weights) {
            let price = dice.random_range(500..=60_000_i128);
            let shares = near * weight / 10_000 * dice.random_range(70..=100) / 100 / price;
            let at = Decimal::from_i128_with_scale(price, 2).to_string();
            snapshot = with(snapshot, name, &shares.to_string(), (&at, &at), true);
            value += shares * price;
            worths.push(shares * price);
        }
        let texts: Vec<String> = weights.iter().map(|w| Decimal::from_i128_with_scale(*w, 2).to_string()).collect();
        let lines: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
        let mut parts = parts(&lines);
        // Bands that nothing leaves: only the new money moves.
        parts.conditions.drift_absolute = Some(Fraction::ONE);
        let budget = (cash * 10_000 - cash_target * value).div_euclid(10_000);
        // Less than a dollar waits.
        if budget < 100 {
            continue;
        }
        // A ten-thousandth of a cent is the unit, so that targets are whole.
        let whole: Vec<Whole> = worths
            .iter()
            .zip(&weights)
            .map(|(worth, weight)| Whole { worth: worth * 10_000, desired: weight * value, cost: 10_000 })
            .filter(|vessel| vessel.worth < vessel.desired)
            .collect();
        let level = level(&whole, budget * 10_000);
        let shares: Vec<i128> = whole
            .iter()
            .map(|vessel| {
                let (above, below) = lacks(*vessel, level);
                above / (below * 10_000)
            })
            .collect();
        // What is less than a dollar is no order, and its money goes to the others: the test above has that.
        if whole.iter().zip(&shares).any(|(v, cents)| *cents < 100 && lacks(*v, level).0 > 0) {
            continue;
        }
        let plan = plan(&strategy(parts), &snapshot, Stage::Opening);
        assert_eq!((plan.decision, plan.reason), (Decision::Trade, Reason::NewCash), "case {case}");
        let bought: Vec<i128> = plan
            .legs
            .iter()
            .map(|leg| match leg.amount {
                Amount::Notional(dollars) => (dollars.decimal() * Decimal::ONE_HUNDRED).try_into().unwrap(),
                Amount::Qty(_) => panic!("case {case}: an order by quantity"),
            })
            .collect();
        let expected: Vec<i128> = shares.into_iter().filter(|cents| *cents > 0).collect();
        assert_eq!(bought, expected, "case {case}: at {level:?}");
        compared += 1;
        short += usize::from(level.0 < level.1);
    }
    println!("{compared} deposits compared, {short} of them too small for everybody");
    assert!(compared > 4_000 && short > 2_000, "{compared} {short}: cases of every kind");
}
