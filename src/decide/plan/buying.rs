//! The purchases of a plan: who is below its goal, what cash buys of it, and what is left out and why.

use crate::decide::allocate::Vessel;
use crate::decide::legs::barred;
use crate::decide::plan::Draft;
use crate::decide::prices::highest;
use crate::decide::purchases::Buyer;
use crate::decide::spread::Spread;
use crate::model::money::{Qty, Usd};
use crate::model::plan::{Side, Skip};
use crate::model::tolerance::Mode;
use crate::model::verdict::SkipReason;

impl Draft<'_> {
    /// Buys towards the goals with so much cash.
    pub(super) fn buy(&mut self, spread: &Spread<'_>, goals: &[Usd], worth_after: Usd, spendable: Usd) {
        self.skip_barred(goals);
        let least = self.strategy.orders().min_notional;
        let cash = self.valuation.cash + self.sold - self.valuation.reserved;
        let buyer = Buyer { strategy: self.strategy, valuation: self.valuation, cash, worth: worth_after };
        let mut open = self.vessels(spread, goals);
        let (mut bought, left) = buyer.within(&open, spendable);
        // What whole shares leave over goes on towards the targets, where a destination lies before them; but not by more
        // orders where they are to be few.
        if left >= least
            && self.strategy.conditions().mode != Mode::FewestTrades
            && let Some(goals) = self.further(goals, worth_after, left)
        {
            open = self.vessels(spread, &goals);
            bought = buyer.within(&open, spendable).0;
        }
        for (vessel, (added, purchase)) in open.iter().zip(bought) {
            match purchase {
                Ok((leg, moved)) => {
                    if let Some(slot) = self.moved.get_mut(vessel.row) {
                        *slot = moved;
                    }
                    self.bought += leg.value;
                    self.legs.push(leg);
                }
                Err(reason) => {
                    let gap = vessel.desired - vessel.worth;
                    let reason = if added.is_zero() && gap >= least { SkipReason::NoCash } else { reason };
                    self.skip(vessel.row, Side::Buy, gap, reason);
                }
            }
        }
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

    /// Goals that lie further towards the targets, so that this much more is spent: each in proportion to its room. `None`
    /// where there is none.
    fn further(&self, goals: &[Usd], worth_after: Usd, left: Usd) -> Option<Vec<Usd>> {
        let rows = self.valuation.rows.iter().zip(goals).zip(&self.moved);
        let rooms: Vec<Usd> = rows
            .map(|((row, goal), moved)| {
                // A whole share that it does not pay for would keep it from the others.
                let is_paid = row.fractionable || Qty::ONE * highest(row, self.strategy) <= left;
                let is_open = is_paid && moved.is_zero() && barred(row, self.strategy, self.sold_before).is_none();
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
