//! What to do, and why: legs with their reasons, non-trades with theirs.

use crate::model::codes::codes;
use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Price, Qty, Usd};
use crate::model::verdict::{Reason, SkipReason};

codes! {
    /// Buy or sell, in Alpaca's words. There is no short sale here: `sell_short` is none of ours.
    Side {
        /// More of it.
        Buy = "buy",
        /// Less of it.
        Sell = "sell",
    }
}

codes! {
    /// A run has two halves: buys are sized from cash that is really there once the sells are filled.
    Phase {
        /// First.
        Sell = "sell",
        /// Second, from a fresh snapshot.
        Buy = "buy",
    }
}

impl Phase {
    /// The side of every order in this half.
    pub const fn side(self) -> Side {
        match self {
            Self::Sell => Side::Sell,
            Self::Buy => Side::Buy,
        }
    }
}

/// How much an order asks for: exactly one of the two (facts 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Shares.
    Qty(Qty),
    /// Dollars, whole cents.
    Notional(Usd),
}

/// At which price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pricing {
    /// At the market.
    Market,
    /// At this price or better.
    Limit(Price),
}

/// One order of a plan. The time in force is always `day`: fractional orders allow no other (facts 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Which half of the run.
    pub phase: Phase,
    /// What.
    pub symbol: Symbol,
    /// How much.
    pub amount: Amount,
    /// At which price.
    pub pricing: Pricing,
    /// Its value in whole cents: what a buy may cost at most, what a sale should bring at least, at the quote.
    pub value: Usd,
    /// The quote's side that the value was reckoned at; the audit keeps it.
    pub reference_price: Price,
}

/// A symbol that is not traded although its weight says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// What.
    pub symbol: Symbol,
    /// Which way it would have gone.
    pub side: Side,
    /// The value that is left out.
    pub value: Usd,
    /// Why.
    pub reason: SkipReason,
}

/// Where one symbol stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolDrift {
    /// What.
    pub symbol: Symbol,
    /// Where it should be.
    pub target: Fraction,
    /// Where it is.
    pub actual: Fraction,
    /// `actual - target`.
    pub absolute: Fraction,
}

impl SymbolDrift {
    /// `absolute / target`; zero when the target is zero.
    pub fn relative(&self) -> Fraction {
        self.absolute.over(self.target)
    }
}

/// Where the whole portfolio stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// Half the sum of all absolute deviations, cash included.
    pub portfolio: Fraction,
    /// Each managed symbol, in order.
    pub symbols: Vec<SymbolDrift>,
}

/// A weight before and after a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightRow {
    /// What.
    pub symbol: Symbol,
    /// Where it should be.
    pub target: Fraction,
    /// Where it is.
    pub before: Fraction,
    /// What it will be worth if every order fills at the quote.
    pub worth_after: Usd,
}

/// Why one asset is traded or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// What.
    pub symbol: Symbol,
    /// One sentence for a person, with the numbers.
    pub sentence: String,
}

/// Trade or hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// There are legs.
    Trade,
    /// There are none.
    Hold,
}

impl Decision {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Hold => "hold",
        }
    }
}

/// What a run is to do for one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Trade or hold.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// One sentence with the numbers.
    pub detail: String,
    /// Where the portfolio stands.
    pub drift: Drift,
    /// Orders, sells first, each half in the order of its symbols.
    pub legs: Vec<Leg>,
    /// What is not traded, and why.
    pub skipped: Vec<Skip>,
    /// Weights before and after, in the order of the symbols.
    pub weights: Vec<WeightRow>,
    /// What the portfolio is worth: cash plus managed holdings at the middle of their quotes, less what is kept aside.
    pub value: Usd,
    /// Cash if every order fills at its value.
    pub cash_after: Usd,
    /// What the portfolio is worth if every order fills at the quote: less than before by the spread.
    pub value_after: Usd,
    /// The share of the portfolio that is sold. Investing new cash sells nothing and is no turnover.
    pub turnover: Fraction,
}

impl Plan {
    /// Where a symbol will be if every order fills at the quote.
    pub fn weight_after(&self, row: &WeightRow) -> Fraction {
        row.worth_after.over(self.value_after)
    }

    /// The legs of one half.
    pub fn legs_of(&self, phase: Phase) -> impl Iterator<Item = &Leg> {
        self.legs.iter().filter(move |leg| leg.phase == phase)
    }
}
