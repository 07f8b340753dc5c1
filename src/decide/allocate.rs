//! Money to amounts with the least turnover: how far each holding is to go, and how cash is poured into what is
//! underweight.
//!
//! Pouring is water-filling on the ratio of worth to desired worth: the relatively most underweight holding is raised
//! first until it stands level with the next, then both, and so on, never above what is desired. It is the lazy
//! rebalancing of contributions: among all ways to spend the budget without selling it leaves the largest relative
//! shortfall as small as it can be.

use std::cmp::Ordering;

use crate::decide::drift::{Valuation, Valued};
use crate::model::money::{Fraction, Usd};
use crate::model::strategy::{Conditions, Destination, Strategy};

/// A holding that may be raised.
#[derive(Debug, Clone, Copy)]
pub struct Vessel {
    /// Its place among the rows of the valuation.
    pub row: usize,
    /// What it is worth.
    pub worth: Usd,
    /// What it should be worth; above its worth.
    pub desired: Usd,
    /// What a dollar of it costs: the asked price over the middle.
    pub cost: Fraction,
}

/// Pours a budget; returns what is added to each vessel at the middle price, in the order given. Never more than the
/// budget at cost, never above what is desired.
pub fn pour(vessels: &[Vessel], budget: Usd) -> Vec<Usd> {
    let mut added = vec![Usd::ZERO; vessels.len()];
    if !budget.is_positive() || vessels.is_empty() {
        return added;
    }
    let full: Usd = vessels.iter().map(|vessel| (vessel.desired - vessel.worth) * vessel.cost).sum();
    if full <= budget {
        for (slot, vessel) in added.iter_mut().zip(vessels) {
            *slot = vessel.desired - vessel.worth;
        }
        return added;
    }
    let ratio = |vessel: &Vessel| vessel.worth.over(vessel.desired);
    let mut order: Vec<(Fraction, usize)> = vessels.iter().enumerate().map(|(place, v)| (ratio(v), place)).collect();
    order.sort_unstable();
    let level = level(vessels, &order, budget);
    for (slot, vessel) in added.iter_mut().zip(vessels) {
        let raised = vessel.desired * level - vessel.worth;
        if raised.is_positive() {
            *slot = raised;
        }
    }
    added
}

/// The ratio at which the budget is spent: with the first `k` vessels wet, `sum(cost * (level * desired - worth))`
/// equals the budget, and the next vessel stands at or above that level.
fn level(vessels: &[Vessel], order: &[(Fraction, usize)], budget: Usd) -> Fraction {
    let (mut worth, mut desired) = (Usd::ZERO, Usd::ZERO);
    let mut level = Fraction::ZERO;
    for (place, (_, vessel)) in order.iter().enumerate() {
        let Some(vessel) = vessels.get(*vessel) else { continue };
        worth += vessel.worth * vessel.cost;
        desired += vessel.desired * vessel.cost;
        level = (budget + worth).over(desired);
        if order.get(place + 1).is_none_or(|(next, _)| *next >= level) {
            break;
        }
    }
    level
}

/// Like [`pour`], but no addition is smaller than `least` at cost: the smallest is left out and the rest poured again,
/// so a small budget goes to the few most underweight.
pub fn pour_at_least(vessels: &[Vessel], budget: Usd, least: Usd) -> Vec<Usd> {
    let mut in_use: Vec<usize> = (0..vessels.len()).collect();
    loop {
        let chosen: Vec<Vessel> = in_use.iter().filter_map(|place| vessels.get(*place)).copied().collect();
        let poured = pour(&chosen, budget);
        let small = poured
            .iter()
            .zip(&chosen)
            .enumerate()
            .filter(|(_, (added, vessel))| (**added * vessel.cost).floor_cents() < least)
            .min_by(|(_, (a, x)), (_, (b, y))| order_of_leaving((**a, x), (**b, y)))
            .map(|(place, _)| place);
        let Some(place) = small else {
            let mut added = vec![Usd::ZERO; vessels.len()];
            for (place, amount) in in_use.iter().zip(poured) {
                if let Some(slot) = added.get_mut(*place) {
                    *slot = amount;
                }
            }
            return added;
        };
        in_use.remove(place);
    }
}

/// Draws what is needed; returns what is taken from each vessel at the middle price, in the order given. The mirror of
/// [`pour`]: the relatively most overweight is lowered first until it stands level with the next, then both, and so on.
/// What should not be there at all goes before everything else. `cost` is what a dollar of it brings.
pub fn drain(vessels: &[Vessel], need: Usd) -> Vec<Usd> {
    let mut drawn = vec![Usd::ZERO; vessels.len()];
    let mut left = need;
    let mut wanted = Vec::with_capacity(vessels.len());
    for (place, vessel) in vessels.iter().enumerate() {
        if !vessel.desired.is_zero() {
            wanted.push((vessel.worth.over(vessel.desired), place));
        } else if left.is_positive()
            && let Some(slot) = drawn.get_mut(place)
        {
            *slot = vessel.worth.min(left * Fraction::ONE.over(vessel.cost));
            left -= *slot * vessel.cost;
        }
    }
    if !left.is_positive() {
        return drawn;
    }
    wanted.sort_unstable_by(|a, b| b.cmp(a));
    let (mut worth, mut desired, mut level) = (Usd::ZERO, Usd::ZERO, Fraction::ZERO);
    for (at, (_, place)) in wanted.iter().enumerate() {
        let Some(vessel) = vessels.get(*place) else { continue };
        worth += vessel.worth * vessel.cost;
        desired += vessel.desired * vessel.cost;
        level = (worth - left).over(desired).max(Fraction::ZERO);
        if wanted.get(at + 1).is_none_or(|(next, _)| *next <= level) {
            break;
        }
    }
    for (_, place) in wanted {
        if let (Some(vessel), Some(slot)) = (vessels.get(place), drawn.get_mut(place)) {
            *slot = (vessel.worth - vessel.desired * level).max(Usd::ZERO);
        }
    }
    drawn
}

/// The smallest addition leaves first; among equals the one that is relatively least underweight.
fn order_of_leaving((a, x): (Usd, &Vessel), (b, y): (Usd, &Vessel)) -> Ordering {
    a.cmp(&b).then_with(|| y.worth.over(y.desired).cmp(&x.worth.over(x.desired)))
}

/// The band of one symbol in fractions of the portfolio: the tighter of the two that are set.
pub fn band(conditions: &Conditions, target: Fraction) -> Option<Fraction> {
    let relative = conditions.drift_relative.map(|relative| relative * target);
    match (conditions.drift_absolute, relative) {
        (Some(absolute), Some(relative)) => Some(absolute.min(relative)),
        (one, other) => one.or(other),
    }
}

/// Where each row is to go, as fractions of a portfolio that is worth `value`; with the cash target they make a whole.
pub fn desired(strategy: &Strategy, valuation: &Valuation<'_>, value: Usd) -> Vec<Fraction> {
    let targets = || valuation.rows.iter().map(|row| row.target);
    let conditions = strategy.conditions();
    if conditions.destination == Destination::Target {
        return targets().collect();
    }
    let half = Fraction::new(rust_decimal::Decimal::new(5, 1));
    let place = |row: &Valued<'_>| {
        // What the model does not hold now goes altogether, not to the edge of a band around nothing.
        if row.target.is_zero() && strategy.names(row.symbol) {
            return Fraction::ZERO;
        }
        let actual = row.worth.over(value);
        match (conditions.destination, band(conditions, row.target)) {
            (Destination::Halfway, _) => (actual + row.target) * half,
            (_, Some(band)) => actual.clamp(row.target - band, row.target + band),
            // Without a band there is no edge to stop at.
            (_, None) => row.target,
        }
    };
    let mut desired: Vec<Fraction> =
        valuation.rows.iter().map(place).map(|weight| weight.max(Fraction::ZERO)).collect();
    let left = Fraction::ONE - strategy.cash() - desired.iter().copied().sum::<Fraction>();
    even_out(&mut desired, &targets().collect::<Vec<_>>(), left);
    desired
}

/// Gives what is left to those below their targets, or takes what is missing from those above, each in proportion to
/// its distance: nobody crosses its target.
fn even_out(desired: &mut [Fraction], targets: &[Fraction], left: Fraction) {
    let distance = |weight: Fraction, target: Fraction| {
        let gap = if left.is_positive() { target - weight } else { weight - target };
        gap.max(Fraction::ZERO)
    };
    let sum: Fraction = desired.iter().zip(targets).map(|(weight, target)| distance(*weight, *target)).sum();
    if sum.is_zero() || left.is_zero() {
        return;
    }
    for (weight, target) in desired.iter_mut().zip(targets) {
        *weight += (left * distance(*weight, *target)).over(sum);
    }
}
