//! What cash pays for: where money does not reach for everything, less is bought, less spread is paid, and more is left.
//!
//! `spread` can reckon as if every row came where it is to go. That is so when nothing stands in the way. What cannot be sold
//! brings no money, what cannot be bought costs none, and what cash does not pay for is poured like any purchase: then what
//! is left is the fixed point of what is really sold and poured.

use crate::decide::allocate::{self, Vessel};
use crate::decide::drift::Valuation;
use crate::decide::legs::barred;
use crate::decide::spread::Spread;
use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Usd};
use crate::model::strategy::Strategy;

/// What purchases may be paid with.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// The strategy.
    pub strategy: &'a Strategy,
    /// The portfolio.
    pub valuation: &'a Valuation<'a>,
    /// Whether sales bring money first.
    pub with_sales: bool,
    /// What the first half of the run sold, and the second does not buy back (S21).
    pub sold_before: &'a [Symbol],
    /// The broker lets no more be spent, whatever the cash is.
    pub most: Option<Usd>,
}

impl Means<'_> {
    /// What is left when each row goes to a share that does not move, as far as it can be sold and paid for. `first` is a guess:
    /// the better it is, the sooner this is done.
    pub fn left(&self, spread: &Spread<'_>, shares: &[Fraction], first: Usd) -> Usd {
        spread.left_after(first, |worth| self.spread_paid(spread, shares, worth))
    }

    /// The same where the shares themselves depend on what is left, as edges and halves of a band do: with the shares.
    pub fn settle(&self, spread: &Spread<'_>, desired: impl Fn(Usd) -> Vec<Fraction>) -> (Vec<Fraction>, Usd) {
        let worth = spread.left_after(self.valuation.value, |worth| self.spread_paid(spread, &desired(worth), worth));
        (desired(worth), worth)
    }

    /// The spread that is paid on the way to these shares of a portfolio that is worth `worth` afterwards.
    fn spread_paid(&self, spread: &Spread<'_>, shares: &[Fraction], worth: Usd) -> Usd {
        let mut cash = self.valuation.cash - self.valuation.reserved - worth * self.strategy.cash();
        let mut paid = Usd::ZERO;
        let mut vessels = Vec::with_capacity(shares.len());
        for (place, (row, share)) in self.valuation.rows.iter().zip(shares).enumerate() {
            let goal = worth * *share;
            if goal > row.worth {
                if barred(row, self.strategy, self.sold_before).is_none() {
                    vessels.push(Vessel { row: place, worth: row.worth, desired: goal, cost: spread.cost(place) });
                }
            } else if self.with_sales && row.tradable && !row.busy && self.strategy.may_sell(row.symbol) {
                let sold = (row.worth - goal).min(row.free_worth());
                let half = sold * spread.lost(place);
                paid += half;
                cash += sold - half;
            }
        }
        let budget = self.most.map_or(cash, |most| cash.min(most));
        // A budget that is short by no more than the estimate itself may be off fills everything, and nothing is ranked.
        let poured = allocate::pour(&vessels, budget + spread.still(), Usd::ZERO);
        paid + poured.iter().map(|poured| poured.at_cost - poured.added).sum()
    }
}
