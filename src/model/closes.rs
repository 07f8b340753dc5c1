//! Closing prices of days gone by, for the models that ask for them.
//!
//! They are adjusted for splits and dividends, so that the rise from one to another is the total return. A day that is not
//! over is not among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::ids::Symbol;
use crate::model::money::Price;
use crate::model::time::Day;

/// Closing prices of one symbol, by day.
pub type DailyCloses = BTreeMap<Day, Price>;

/// Closing prices, by symbol and day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closes(BTreeMap<Symbol, Arc<DailyCloses>>);

impl Closes {
    /// These.
    pub fn new(by_symbol: impl IntoIterator<Item = (Symbol, DailyCloses)>) -> Self {
        Self(by_symbol.into_iter().map(|(symbol, closes)| (symbol, Arc::new(closes))).collect())
    }

    /// These, shared with whoever else keeps them.
    pub fn shared(by_symbol: BTreeMap<Symbol, Arc<DailyCloses>>) -> Self {
        Self(by_symbol)
    }

    /// Those of one symbol.
    pub fn of(&self, symbol: &Symbol) -> Option<&DailyCloses> {
        self.0.get(symbol).map(Arc::as_ref)
    }
}
