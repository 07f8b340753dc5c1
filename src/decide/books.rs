//! Whether what the broker shows of an account fits together, and fits what we did to it.
//!
//! A look that does not is no look: it lags behind (row 36), it is wrong (row 44), or somebody else was there (rows 34 and
//! 53). None of it is repaired by guessing; the caller looks again, and then stops.

use std::fmt;

use rust_decimal::Decimal;

use crate::model::ids::Symbol;
use crate::model::intent::Intent;
use crate::model::money::{Qty, Usd};
use crate::model::plan::Phase;
use crate::model::snapshot::{AccountView, Shares};
use crate::model::zoo::{Bug, planted};

/// The account and its positions are read a moment apart, and prices move: this much of the larger side may lie between.
const APART: Decimal = Decimal::from_parts(5, 0, 0, false, 2);

/// Below this many dollars a difference is none.
const NOT_WORTH_IT: Decimal = Decimal::ONE;

/// Why the account and its positions cannot both be right: equity is cash and positions, and nothing else (facts 2.1).
/// Nothing is said where the broker does not say what each position is worth.
pub fn unfit(account: &AccountView, worth: Option<Usd>) -> Option<String> {
    let (by_account, by_positions) = ((account.equity - account.cash).decimal(), worth?.decimal());
    let larger = by_account.abs().max(by_positions.abs());
    let apart = (by_account - by_positions).abs();
    (!planted(Bug::EmptyWorldBelieved) && apart > NOT_WORTH_IT && apart > larger * APART).then(|| {
        format!("by the account its positions are worth {by_account} dollars, by the positions {by_positions}")
    })
}

/// The shares that an account must have after these orders.
#[must_use]
pub fn after(held: &Shares, intents: &[Intent]) -> Shares {
    let mut shares = held.clone();
    for intent in intents {
        let change = match intent.phase {
            Phase::Sell => -intent.filled_qty,
            Phase::Buy => intent.filled_qty,
        };
        shares.change(&intent.symbol, change);
    }
    shares
}

/// A symbol of which there is more or less than there must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub symbol: Symbol,
    /// What must be there.
    pub expected: Qty,
    /// What is there.
    pub shown: Qty,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} shares of {} where {} must be", self.shown, self.symbol, self.expected)
    }
}

/// What is not as it must be, to the ninth decimal (S15).
pub fn changes(expected: &Shares, shown: &Shares) -> Vec<Change> {
    let symbols = expected.symbols().chain(shown.symbols().filter(|symbol| expected.of(symbol).is_zero()));
    let change =
        |symbol: &Symbol| Change { symbol: symbol.clone(), expected: expected.of(symbol), shown: shown.of(symbol) };
    symbols.map(change).filter(|change| change.expected != change.shown).collect()
}
