//! The books of an account: the cash and the shares that it must have, and the broker's own rows that explain how it came
//! to them (S15).

use std::collections::BTreeSet;
use std::fmt;

use crate::model::ids::{ClientOrderId, OrderId, Symbol};
use crate::model::money::{Qty, Usd};
use crate::model::snapshot::Shares;
use crate::model::time::Moment;

/// One row of the broker's account activities (facts 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// The broker's id: `YYYYMMDDHHMMSSmmm::` and something unique.
    pub id: String,
    /// Alpaca's word: `FILL`, `CSD`, `DIV`, `FEE`, `SPLIT` ...
    pub kind: String,
    /// When it was booked, if the broker says so to the second.
    pub at: Option<Moment>,
    /// What it did to the cash.
    pub cash: Usd,
    /// What it did to shares, if anything.
    pub shares: Option<(Symbol, Qty)>,
    /// The order that was executed, of a `FILL`.
    pub order: Option<OrderId>,
    /// Shares of that order that were executed; below zero where an execution is taken back.
    pub executed: Qty,
    /// It takes back or corrects an execution that was told before (row 32).
    pub corrects: bool,
}

/// Cash and shares at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// Dollars.
    pub cash: Usd,
    /// Shares by symbol.
    pub shares: Shares,
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dollars; {}", self.cash, self.shares)
    }
}

/// What an account was when the broker's figures and its rows agreed the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Books {
    /// When that was.
    pub at: Moment,
    /// What was there.
    pub sums: Sums,
    /// Ids of the rows of the last days that are in it already: a row may be booked late, and none counts twice.
    pub counted: BTreeSet<String>,
}

/// Our count of an account beside the broker's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledgers {
    /// When they were compared.
    pub at: Moment,
    /// What must be there by our books and the broker's rows.
    pub ours: Sums,
    /// What the broker shows.
    pub theirs: Sums,
    /// What differs, one sentence each; empty when they agree.
    pub differences: Vec<String>,
    /// Orders of ours of which the broker's rows say otherwise than our record, each with that sentence.
    pub disputed: Vec<(ClientOrderId, String)>,
}
