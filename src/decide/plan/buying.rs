//! The purchases of a plan: who is below its goal, what cash buys of it, and what is left out and why.

use crate::decide::allocate::Vessel;
use crate::decide::legs::{Purchase, barred};
use crate::decide::plan::Draft;
use crate::decide::prices::highest;
use crate::decide::purchases::Buyer;
use crate::decide::spread::Spread;
use crate::model::money::{Qty, Usd};
use crate::model::plan::{Side, Skip};
use crate::model::tolerance::Mode;
use crate::model::verdict::SkipReason;

/// Rounds in which what whole shares leave over goes on: each finds out who cannot use its part.
const FURTHER_ROUNDS: usize = 16;

/// Who is below its goal, what is bought of it, and what whole shares leave of the cash.
struct Basket {
    vessels: Vec<Vessel>,
    bought: Vec<(Usd, Purchase)>,
    left: Usd,
}

impl Draft<'_> {
    /// Buys towards the goals with so much cash.
    pub(super) fn buy(&mut self, spread: &Spread<'_>, goals: &[Usd], worth_after: Usd, spendable: Usd) {
        self.skip_barred(goals);
        let least = self.strategy.orders().min_notional;
        let cash = self.valuation.cash + self.sold - self.valuation.reserved;
        let buyer = Buyer { strategy: self.strategy, valuation: self.valuation, cash, worth: worth_after };
        let mut basket = self.basket(spread, goals, (&buyer, spendable));
        // More orders are not sent where they are to be few.
        if basket.left >= least && self.strategy.conditions().mode != Mode::FewestTrades {
            basket = self.fuller(spread, (goals, basket), (&buyer, spendable));
        }
        for (vessel, (added, purchase)) in basket.vessels.iter().zip(basket.bought) {
            match purchase {
                Ok((leg, moved)) => {
                    if let Some(slot) = self.moved.get_mut(vessel.row) {
                        *slot = moved;
                    }
                    self.bought += leg.value;
                    self.legs.push(leg);
                }
                Err(reason) => {
                    // Beyond its destination nothing was asked for.
                    let gap = goals.get(vessel.row).copied().unwrap_or_default() - vessel.worth;
                    let share = self.valuation.rows.get(vessel.row).map(|row| Qty::ONE * highest(row, self.strategy));
                    let is_more = reason == SkipReason::LessThanOneShare && share.is_some_and(|share| gap >= share);
                    let reason = if gap >= least && (added.is_zero() || is_more) { SkipReason::NoCash } else { reason };
                    self.skip(vessel.row, Side::Buy, gap, reason);
                }
            }
        }
    }

    fn basket(&self, spread: &Spread<'_>, goals: &[Usd], (buyer, spendable): (&Buyer<'_>, Usd)) -> Basket {
        let vessels = self.vessels(spread, goals);
        let (bought, left) = buyer.within(&vessels, spendable);
        Basket { vessels, bought, left }
    }

    /// What whole shares leave over goes on towards the targets, where a destination lies before them.
    fn fuller(
        &self,
        spread: &Spread<'_>,
        (goals, mut basket): (&[Usd], Basket),
        (buyer, spendable): (&Buyer<'_>, Usd),
    ) -> Basket {
        let mut goals = goals.to_vec();
        let mut closed = vec![false; goals.len()];
        for _ in 0..FURTHER_ROUNDS {
            let Some(further) = self.further(&goals, buyer.worth, (basket.left, &closed)) else { break };
            let fuller = self.basket(spread, &further, (buyer, spendable));
            // Whose part buys nothing leaves it to the others.
            let mut is_one_closed = false;
            for (vessel, (_, purchase)) in fuller.vessels.iter().zip(&fuller.bought) {
                let is_in_vain = purchase.is_err() && further.get(vessel.row) > goals.get(vessel.row);
                if let Some(slot) = closed.get_mut(vessel.row).filter(|_| is_in_vain) {
                    (*slot, is_one_closed) = (true, true);
                }
            }
            if fuller.left < basket.left {
                (goals, basket) = (further, fuller);
            } else if !is_one_closed {
                break;
            }
            if basket.left < self.strategy.orders().min_notional {
                break;
            }
        }
        basket
    }

    /// What is below its goal and may be bought.
    fn vessels(&self, spread: &Spread<'_>, goals: &[Usd]) -> Vec<Vessel> {
        let rows = self.valuation.rows.iter().zip(goals).enumerate();
        let below = rows.filter(|(_, (row, goal))| **goal > row.worth);
        below
            .filter(|(_, (row, _))| barred(row, self.strategy, self.sold_before).is_none())
            .map(|(row, (valued, goal))| Vessel { row, worth: valued.worth, desired: *goal, cost: spread.cost(row) })
            .collect()
    }

    /// What is below its goal and may not be bought.
    fn skip_barred(&mut self, goals: &[Usd]) {
        let valuation = self.valuation;
        for (place, (row, goal)) in valuation.rows.iter().zip(goals).enumerate() {
            if *goal > row.worth
                && let Some(reason) = barred(row, self.strategy, self.sold_before)
            {
                self.skip(place, Side::Buy, *goal - row.worth, reason);
            }
        }
    }

    /// Goals that lie further towards the targets, so that this much more is spent: each in proportion to its room, but those
    /// that are closed. `None` where there is no room.
    fn further(&self, goals: &[Usd], worth_after: Usd, (left, closed): (Usd, &[bool])) -> Option<Vec<Usd>> {
        let rows = self.valuation.rows.iter().zip(goals).zip(&self.moved).zip(closed);
        let rooms: Vec<Usd> = rows
            .map(|(((row, goal), moved), is_closed)| {
                // A whole share that it does not pay for would keep it from the others.
                let is_paid = row.fractionable || Qty::ONE * highest(row, self.strategy) <= left;
                let is_open =
                    is_paid && !is_closed && moved.is_zero() && barred(row, self.strategy, self.sold_before).is_none();
                let room = worth_after * row.target - row.worth.max(*goal);
                if is_open { room.max(Usd::ZERO) } else { Usd::ZERO }
            })
            .collect();
        let all: Usd = rooms.iter().copied().sum();
        if !all.is_positive() {
            return None;
        }
        let part = left.min(all).over(all);
        let further = self.valuation.rows.iter().zip(goals).zip(rooms);
        Some(
            further
                .map(|((row, goal), room)| if room.is_zero() { *goal } else { row.worth.max(*goal) + room * part })
                .collect(),
        )
    }

    pub(super) fn skip(&mut self, place: usize, side: Side, value: Usd, reason: SkipReason) {
        let value = value.floor_cents();
        if let Some(row) = self.valuation.rows.get(place).filter(|_| value.is_positive()) {
            self.skipped.push(Skip { symbol: row.symbol.clone(), side, value, reason });
        }
    }
}
