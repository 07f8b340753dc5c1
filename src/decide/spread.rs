//! What trading costs: half the spread of each row, or what a limit order may cost beside it, and what the portfolio is worth
//! once it is paid.
//!
//! Where everything is to stand depends on what is left, and what is left depends on what is traded:
//! `V' = V - sum(|d * V' - w| * half spread)`. Each round from `V' = V` shrinks the error by the half spread, and rounds
//! go on until nothing changes that a portfolio could notice. As long as nobody changes sides the sum is a straight line in
//! `V'`, so the rounds need no look at every row.

use rust_decimal::Decimal;

use crate::decide::drift::{Valuation, Valued};
use crate::decide::prices::{highest, lowest};
use crate::model::money::{Fraction, Usd};
use crate::model::strategy::{OrderType, Strategy};

/// Rounds of the estimate at most; a spread of a twentieth, the widest that is a price, needs half of them.
const ROUNDS: usize = 20;

/// The estimate stands still when a round moves it by less than this share of it: a tenth of a cent of a billion.
const STILL: Fraction = Fraction::new(Decimal::from_parts(1, 0, 0, false, 12));

/// What every row of a portfolio costs to trade.
pub struct Spread<'v> {
    strategy: &'v Strategy,
    valuation: &'v Valuation<'v>,
    /// For each row, what a dollar of it costs beyond a dollar.
    rates: Vec<Rates>,
    /// What is left is never less than the value by more than this, in no round.
    reach: Usd,
}

/// What a dollar of a row costs beyond a dollar, each way: half the spread, and for limit orders what they may cost at worst.
#[derive(Debug, Clone, Copy)]
struct Rates {
    bought: Fraction,
    sold: Fraction,
}

impl Rates {
    const NONE: Self = Self { bought: Fraction::ZERO, sold: Fraction::ZERO };

    fn of(row: &Valued<'_>, strategy: &Strategy) -> Self {
        let (lowest, highest) = (lowest(row, strategy), highest(row, strategy));
        if !row.tradable || row.busy || highest == lowest {
            return Self::NONE;
        }
        let bought = (highest - row.middle).over(row.middle);
        // The middle is exact, so its distance to both sides of a quote is the same.
        let is_even = strategy.orders().kind == OrderType::Market;
        let sold = if is_even { bought } else { (row.middle - lowest).over(row.middle) };
        Self { bought, sold }
    }
}

/// What the rows that are sure of their side cost: `slope * V' - offset`.
struct Line {
    slope: Fraction,
    offset: Usd,
    /// The rows that may change sides.
    unsure: Vec<usize>,
}

impl<'v> Spread<'v> {
    /// Measures every row. What cannot be traded costs nothing: else the others would be sold for a cost that never comes,
    /// and bought back in the second half of the same run (S21).
    pub fn new(strategy: &'v Strategy, valuation: &'v Valuation<'v>) -> Self {
        let rates: Vec<Rates> = valuation.rows.iter().map(|row| Rates::of(row, strategy)).collect();
        let widest = rates.iter().map(|rates| rates.bought.max(rates.sold)).max().unwrap_or(Fraction::ZERO);
        // At most everything is sold and as much is bought: twice the value at the widest; doubled again for the rounds.
        let reach = valuation.value * (widest + widest + widest + widest);
        Self { strategy, valuation, rates, reach }
    }

    /// What a dollar of a row costs when it is bought: the price at which it is reckoned over the middle.
    pub fn cost(&self, place: usize) -> Fraction {
        Fraction::ONE + self.rates(place).bought
    }

    /// What is lost of a dollar of a row when it is sold.
    pub fn lost(&self, place: usize) -> Fraction {
        self.rates(place).sold
    }

    fn rates(&self, place: usize) -> Rates {
        self.rates.get(place).copied().unwrap_or(Rates::NONE)
    }

    /// What the portfolio is worth once the spread is paid, when each row goes to a share that does not move.
    pub fn worth_after(&self, desired: &[Fraction], with_sales: bool) -> Usd {
        let line = self.line(desired, with_sales);
        let cost = |estimate: Usd| {
            let unsure = line.unsure.iter().map(|place| self.of_row(*place, desired, estimate, with_sales));
            estimate * line.slope - line.offset + unsure.sum::<Usd>()
        };
        self.left_after(self.valuation.value, cost)
    }

    /// A round that moves an estimate by no more than this is the last one.
    pub fn still(&self) -> Usd {
        self.valuation.value.abs() * STILL
    }

    /// What is left when the spread costs so much of what is left: the fixed point, sought from `estimate` on.
    pub fn left_after(&self, mut estimate: Usd, mut cost: impl FnMut(Usd) -> Usd) -> Usd {
        let still = self.still();
        for _ in 0..ROUNDS {
            // Where nearly everything is to leave, its spread may be more than what stays.
            let left = (self.valuation.value - cost(estimate)).max(Usd::CENT);
            let moved = (left - estimate).abs();
            estimate = left;
            if moved <= still {
                break;
            }
        }
        estimate
    }

    fn line(&self, desired: &[Fraction], with_sales: bool) -> Line {
        let mut line = Line { slope: Fraction::ZERO, offset: Usd::ZERO, unsure: Vec::new() };
        for (place, ((row, rates), desired)) in self.valuation.rows.iter().zip(&self.rates).zip(desired).enumerate() {
            if rates.bought.is_zero() && rates.sold.is_zero() {
                continue;
            }
            let gap = self.valuation.value * *desired - row.worth;
            let (may_buy, may_sell) = (self.strategy.may_buy(row.symbol), self.strategy.may_sell(row.symbol));
            if gap.is_positive() && may_buy && gap > self.reach * *desired {
                line.slope += rates.bought * *desired;
                line.offset += row.worth * rates.bought;
            } else if gap.is_positive() {
                line.unsure.push(place);
            } else if with_sales && row.available == row.qty && may_sell {
                // Less is left than there was, so who sells now sells in every round.
                line.slope -= rates.sold * *desired;
                line.offset -= row.worth * rates.sold;
            } else if with_sales {
                line.unsure.push(place);
            }
        }
        line
    }

    /// What a row costs when `estimate` is left.
    fn of_row(&self, place: usize, desired: &[Fraction], estimate: Usd, with_sales: bool) -> Usd {
        let (Some(row), rates) = (self.valuation.rows.get(place), self.rates(place)) else { return Usd::ZERO };
        let desired = desired.get(place).copied().unwrap_or(Fraction::ZERO);
        let gap = estimate * desired - row.worth;
        if gap.is_positive() {
            if self.strategy.may_buy(row.symbol) { gap * rates.bought } else { Usd::ZERO }
        } else if with_sales && self.strategy.may_sell(row.symbol) {
            (-gap).min(row.free_worth()) * rates.sold
        } else {
            Usd::ZERO
        }
    }
}
