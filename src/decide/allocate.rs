//! Money to amounts with the least turnover: how far each holding is to go, and how cash is poured into what is
//! underweight.
//!
//! Pouring is water-filling on the ratio of worth to desired worth: the relatively most underweight holding is raised
//! first until it stands level with the next, then both, and so on, never above what is desired. It is the lazy
//! rebalancing of contributions: among all ways to spend the budget without selling it leaves the largest relative
//! shortfall as small as it can be.

use crate::decide::drift::{Valuation, Valued};
use crate::model::money::{Fraction, Usd};
use crate::model::strategy::{Destination, Strategy};
use crate::model::tolerance::Scope;

/// A holding that may be raised.
#[derive(Debug, Clone, Copy)]
pub struct Vessel {
    /// Its place among the rows of the valuation.
    pub row: usize,
    /// What it is worth.
    pub worth: Usd,
    /// What it should be worth; above its worth.
    pub desired: Usd,
    /// What a dollar of it costs: the price at which it is bought over the middle.
    pub cost: Fraction,
}

/// What is poured into a vessel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Poured {
    /// At the middle price.
    pub added: Usd,
    /// What that costs.
    pub at_cost: Usd,
}

impl Vessel {
    fn full(&self) -> Poured {
        self.filled_by(self.desired - self.worth)
    }

    fn filled_by(&self, added: Usd) -> Poured {
        Poured { added, at_cost: added * self.cost }
    }
}

/// Pours a budget; returns what is poured into each vessel, in the order given. Never more than the budget at cost, never
/// above what is desired, and never less than `least` at cost: the smallest addition is left out and the rest poured
/// again, so a small budget goes to the few most underweight.
pub fn pour_at_least(vessels: &[Vessel], budget: Usd, least: Usd) -> Vec<Usd> {
    pour(vessels, budget, least).into_iter().map(|poured| poured.added).collect()
}

/// The same with what each addition costs.
pub fn pour(vessels: &[Vessel], budget: Usd, least: Usd) -> Vec<Poured> {
    let mut poured = vec![Poured::default(); vessels.len()];
    if !budget.is_positive() {
        return poured;
    }
    let is_small = |poured: &Poured| poured.at_cost.floor_cents() < least;
    let full: Vec<Poured> = vessels.iter().map(Vessel::full).collect();
    let mut cost: Usd = full.iter().map(|full| full.at_cost).sum();
    if cost <= budget {
        // There is enough for all: nobody's amount depends on another's.
        for (slot, full) in poured.iter_mut().zip(full).filter(|(_, full)| !is_small(full)) {
            *slot = full;
        }
        return poured;
    }
    let mut ranks = ranked(vessels);
    while cost > budget {
        let level = level(vessels, &full, &ranks, budget);
        for (ratio, place) in &ranks {
            if let (Some(vessel), Some(slot)) = (vessels.get(*place), poured.get_mut(*place)) {
                let raised = if *ratio < level { vessel.desired * level - vessel.worth } else { Usd::ZERO };
                *slot = if raised.is_positive() { vessel.filled_by(raised) } else { Poured::default() };
            }
        }
        let amount = |place: usize| poured.get(place).copied().unwrap_or_default();
        // Who stays dry would leave first, and changes nothing for the others.
        ranks.retain(|(_, place)| amount(*place).added.is_positive());
        let small = ranks.iter().filter(|(_, place)| is_small(&amount(*place)));
        // The smallest leaves first; among equals the one that is relatively least underweight.
        let leaves = small.min_by(|(x, a), (y, b)| {
            amount(*a).added.cmp(&amount(*b).added).then_with(|| y.cmp(x)).then_with(|| a.cmp(b))
        });
        let Some(leaves) = leaves.map(|(_, place)| *place) else { return poured };
        if let Some(slot) = poured.get_mut(leaves) {
            *slot = Poured::default();
        }
        ranks.retain(|(_, place)| *place != leaves);
        cost = ranks.iter().filter_map(|(_, place)| full.get(*place)).map(|full| full.at_cost).sum();
    }
    for (_, place) in &ranks {
        if let (Some(slot), Some(full)) = (poured.get_mut(*place), full.get(*place)) {
            *slot = if is_small(full) { Poured::default() } else { *full };
        }
    }
    poured
}

/// The vessels by their ratio of worth to desired worth, the emptiest first.
fn ranked(vessels: &[Vessel]) -> Vec<(Fraction, usize)> {
    let mut ranks: Vec<_> =
        vessels.iter().enumerate().map(|(place, vessel)| (vessel.worth.over(vessel.desired), place)).collect();
    ranks.sort_unstable();
    ranks
}

/// The ratio at which the budget is spent: with the first `k` vessels wet, `sum(cost * (level * desired - worth))`
/// equals the budget, and the next vessel stands at or above that level.
fn level(vessels: &[Vessel], full: &[Poured], ranks: &[(Fraction, usize)], budget: Usd) -> Fraction {
    let mut sums = Sums { filled: budget, desired: Usd::ZERO };
    let steps: Vec<(Fraction, Sums, Sums)> = ranks
        .iter()
        .filter_map(|(ratio, place)| {
            let (vessel, full) = (vessels.get(*place)?, full.get(*place)?);
            let before = sums;
            let worth = vessel.worth * vessel.cost;
            sums.filled += worth;
            sums.desired += worth + full.at_cost;
            Some((*ratio, before, sums))
        })
        .collect();
    // Where one stands at or above the level of those before it, all that come after it do: the level only nears their ratios.
    let wet = steps.partition_point(|(ratio, before, _)| before.desired * *ratio < before.filled);
    let last = wet.checked_sub(1).and_then(|last| steps.get(last));
    last.map_or(Fraction::ZERO, |(_, _, sums)| sums.filled.over(sums.desired))
}

/// What the wet vessels add up to: the budget and their worths, and what they should be worth, both at cost; or the same of
/// sources, at what they bring.
#[derive(Debug, Clone, Copy)]
struct Sums {
    filled: Usd,
    desired: Usd,
}

/// A holding that may be lowered.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// Its place among the rows of the valuation.
    pub row: usize,
    /// What it is worth.
    pub worth: Usd,
    /// What of it can be sold.
    pub free: Usd,
    /// What it should be worth.
    pub desired: Usd,
    /// What a dollar of it brings: the price at which it is sold over the middle.
    pub brings: Fraction,
}

/// Draws what is needed; returns what is taken from each source at the middle price, in the order given. The mirror of
/// [`pour`]: the relatively most overweight is lowered first until it stands level with the next, then both, and so on, each as
/// far as it is free. What should not be there at all goes before everything else.
pub fn drain(sources: &[Source], need: Usd) -> Vec<Usd> {
    let mut drawn = vec![Usd::ZERO; sources.len()];
    let mut left = need;
    for (source, slot) in sources.iter().zip(&mut drawn).filter(|(source, _)| source.desired.is_zero()) {
        if left.is_positive() {
            *slot = source.free.min(left * Fraction::ONE.over(source.brings));
            left -= *slot * source.brings;
        }
    }
    if left.is_positive() {
        let level = surface(sources, left);
        for (source, slot) in sources.iter().zip(&mut drawn).filter(|(source, _)| !source.desired.is_zero()) {
            *slot = (source.worth - source.desired * level).min(source.free).max(Usd::ZERO);
        }
    }
    drawn
}

/// The ratio of worth to desired worth to which all are lowered that stand above it: at it they bring what is needed. Zero
/// where all of them together do not.
fn surface(sources: &[Source], need: Usd) -> Fraction {
    // Each begins to give at its own ratio, and has given all at that of what is not free.
    let wanted = sources.iter().filter(|source| !source.desired.is_zero());
    let mut turns: Vec<(Fraction, bool, &Source)> = wanted
        .flat_map(|source| {
            let all = (source.worth - source.free).over(source.desired);
            [(source.worth.over(source.desired), true, source), (all, false, source)]
        })
        .collect();
    turns.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.cmp(&a.1)));
    let (mut given, mut giving) = (Usd::ZERO, Sums { filled: Usd::ZERO, desired: Usd::ZERO });
    for (ratio, begins, source) in turns {
        if given + giving.filled - giving.desired * ratio >= need {
            break;
        }
        let (worth, desired) = (source.worth * source.brings, source.desired * source.brings);
        if begins {
            giving = Sums { filled: giving.filled + worth, desired: giving.desired + desired };
        } else {
            giving = Sums { filled: giving.filled - worth, desired: giving.desired - desired };
            given += source.free * source.brings;
        }
    }
    (given + giving.filled - need).over(giving.desired).max(Fraction::ZERO)
}

/// Where each row is to go, as fractions of a portfolio that is worth `value`; with the cash target they make a whole.
/// With `scope = "out_of_band"` a row inside its band stays where it is.
pub fn desired(strategy: &Strategy, valuation: &Valuation<'_>, scope: Scope, value: Usd) -> Vec<Fraction> {
    let targets = || valuation.rows.iter().map(|row| row.target);
    let conditions = strategy.conditions();
    let place = |row: &Valued<'_>| {
        // What the model does not hold now goes altogether, not to the edge of a band around nothing.
        if row.target.is_zero() && strategy.names(row.symbol) {
            return Fraction::ZERO;
        }
        let actual = row.worth.over(value);
        if scope == Scope::OutOfBand && row.target.is_positive() && row.band.holds(actual - row.target) {
            return actual;
        }
        match conditions.destination {
            Destination::Target => row.target,
            Destination::Halfway => (actual + row.target) * Fraction::HALF,
            // Without a band there is no edge to stop at.
            Destination::BandEdge if row.band.is_open() => row.target,
            Destination::BandEdge => actual.clamp(row.band.floor(row.target), row.band.ceiling(row.target)),
        }
    };
    let mut desired: Vec<Fraction> =
        valuation.rows.iter().map(place).map(|weight| weight.max(Fraction::ZERO)).collect();
    let reaches: Vec<Reach> = valuation.rows.iter().map(|row| Reach::of(strategy, row, value)).collect();
    let ends = desired.iter().zip(&reaches).map(|(wish, reach)| reach.end(*wish)).sum::<Fraction>();
    let left = Fraction::ONE - strategy.cash() - valuation.reserved.over(value) - ends;
    even_out(&mut desired, &targets().collect::<Vec<_>>(), &reaches, left);
    desired
}

/// How far a row can go now, as shares of what is left: what cannot be traded stays where it is, whatever it should be.
#[derive(Debug, Clone, Copy)]
struct Reach {
    lowest: Fraction,
    highest: Fraction,
}

impl Reach {
    fn of(strategy: &Strategy, row: &Valued<'_>, value: Usd) -> Self {
        let actual = row.worth.over(value);
        let is_open = row.tradable && !row.busy;
        let lowest = if !is_open || !strategy.may_sell(row.symbol) {
            actual
        } else if row.available == row.qty {
            Fraction::ZERO
        } else {
            (row.worth - row.free_worth()).over(value)
        };
        let can_buy = is_open && strategy.may_buy(row.symbol);
        let highest = if can_buy { actual.max(Fraction::ONE) } else { actual };
        Self { lowest, highest: highest.max(lowest) }
    }

    fn end(&self, wish: Fraction) -> Fraction {
        wish.clamp(self.lowest, self.highest)
    }
}

/// Gives what is left to those below their targets, or takes what is missing from those above, each in proportion to
/// its room: nobody crosses its target, and nobody goes further than it can.
fn even_out(desired: &mut [Fraction], targets: &[Fraction], reaches: &[Reach], left: Fraction) {
    let room = |wish: Fraction, target: Fraction, reach: &Reach| {
        let end = reach.end(wish);
        let most = reach.end(target);
        let room = if left.is_positive() { most - end } else { end - most };
        // Who cannot go where it wishes has no room: a wish that stays tells why it is not traded.
        if end == wish { room.max(Fraction::ZERO) } else { Fraction::ZERO }
    };
    let rooms: Vec<Fraction> =
        desired.iter().zip(targets).zip(reaches).map(|((wish, target), reach)| room(*wish, *target, reach)).collect();
    let sum: Fraction = rooms.iter().copied().sum();
    if sum.is_zero() || left.is_zero() {
        return;
    }
    let moved = left.abs().min(sum);
    for (wish, room) in desired.iter_mut().zip(rooms) {
        let by = (moved * room).over(sum);
        *wish = if left.is_positive() { *wish + by } else { *wish - by };
    }
}
