//! Whether what the broker shows of an account fits together, fits what we did to it, and fits the broker's own rows of
//! what moved its cash and shares.
//!
//! A look that does not is no look: it lags behind (row 36), it is wrong (row 44), or somebody else was there (rows 34 and
//! 53). None of it is repaired by guessing; the caller looks again, and then stops (S15).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rust_decimal::Decimal;

use crate::decide::executions;
use crate::decide::reconcile::{Finding, disputed};
use crate::model::books::{Activity, Books, Ledgers, Sums};
use crate::model::ids::Symbol;
use crate::model::intent::Intent;
use crate::model::money::{Qty, Usd};
use crate::model::plan::Phase;
use crate::model::snapshot::{AccountView, Shares};
use crate::model::time::{Moment, Span};
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

/// Rows are asked for again from so long before the last agreement on: one may be booked late, with an older time.
pub const LATE_BY: Span = Span::from_hours(72);

/// How the broker rounds the dollars of one execution is in no document: half a cent each way is no difference.
const HALF_A_CENT: Decimal = Decimal::from_parts(5, 0, 0, false, 3);

/// So long after a row the figures may still lag behind it (row 36), twice.
const SETTLED: Span = Span::from_secs(120);

/// The first books of an account: what it shows, with every row that is there already. Not where nothing is shown, for that
/// may be an answer that shows nothing (row 44), and not while a row is so young that the figures may lag behind it.
pub fn opened(shown: &Sums, rows: &[Activity], at: Moment) -> Option<Books> {
    let is_young = |row: &Activity| row.at.is_some_and(|booked| at.since(booked) < SETTLED);
    (*shown != Sums::default() && !rows.iter().any(is_young)).then(|| Books {
        at,
        sums: shown.clone(),
        counted: rows.iter().map(|row| row.id.clone()).collect(),
    })
}

/// The next books, when the old ones and the broker's rows since come to what the broker shows, to the cent and the ninth
/// decimal of a share, and when its executions of our orders are what we have on record: of the run's own here, and of all
/// others by what was `found` of them. Otherwise both ledgers.
///
/// # Errors
/// The two ledgers and what differs.
pub fn carried_on(
    books: &Books,
    (rows, intents): (&[Activity], &[Intent]),
    found: Vec<Finding>,
    (shown, at): (&Sums, Moment),
) -> Result<Books, Box<Ledgers>> {
    let mut ours = books.sums.clone();
    let mut allowed = Decimal::ZERO;
    for row in rows.iter().filter(|row| !books.counted.contains(&row.id)) {
        ours.cash += row.cash;
        if row.order.is_some() {
            allowed += HALF_A_CENT;
        }
        if let Some((symbol, qty)) = &row.shares {
            ours.shares.change(symbol, *qty);
        }
    }
    let mut findings = misfilled(intents, rows);
    findings.extend(found);
    let mut differences: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let apart = (ours.cash - shown.cash).decimal().abs();
    if apart > allowed {
        let (expected, found) = (ours.cash, shown.cash);
        differences.push(format!("the broker shows {found} dollars of cash, its own rows come to {expected}"));
    }
    differences.extend(changes(&ours.shares, &shown.shares).iter().map(ToString::to_string));
    if differences.is_empty() || planted(Bug::BooksNotCompared) {
        let counted: BTreeSet<String> = rows.iter().map(|row| row.id.clone()).collect();
        Ok(Books { at, sums: shown.clone(), counted })
    } else {
        let disputed = disputed(&findings);
        Err(Box::new(Ledgers { at, ours, theirs: shown.clone(), differences, disputed }))
    }
}

/// The rows since the last agreement. An account without books has none yet: there only those count whose moment is known.
pub fn fresh(books: Option<&Books>, rows: &[Activity]) -> Vec<Activity> {
    let is_fresh = |row: &&Activity| match books {
        Some(books) => !books.counted.contains(&row.id),
        None => row.at.is_some() && left(row),
    };
    rows.iter().filter(is_fresh).cloned().collect()
}

/// Whether the user took money out of the account: a withdrawal, or cash moved to another account.
pub fn left(row: &Activity) -> bool {
    matches!(row.kind.as_str(), "CSW" | "JNLC" | "TRANS" | "JNL") && row.cash < Usd::ZERO && row.shares.is_none()
}

/// What moved the cash besides trades, in words; `None` when nothing did.
pub fn told(rows: &[Activity]) -> Option<String> {
    let mut sums: BTreeMap<&str, Usd> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.cash.is_zero()) {
        let what = match row.kind.as_str() {
            "FILL" => continue,
            "CSD" | "CSW" | "TRANS" | "JNLC" | "JNL" if row.cash.is_positive() => "a deposit of",
            "CSD" | "CSW" | "TRANS" | "JNLC" | "JNL" => "a withdrawal of",
            kind if kind.starts_with("DIV") && row.cash.is_positive() => "dividends of",
            kind if kind.starts_with("DIV") => "taxes and fees on dividends of",
            kind if kind.starts_with("INT") && row.cash.is_positive() => "interest of",
            "FEE" | "CFEE" | "PTC" | "INT" => "fees of",
            _ => "other cash of",
        };
        let sum = sums.entry(what).or_default();
        *sum += row.cash;
    }
    let parts: Vec<String> = sums.iter().map(|(what, sum)| format!("{what} {:.2}", sum.decimal().abs())).collect();
    (!parts.is_empty()).then(|| format!("since the last look: {}", parts.join(", ")))
}

/// Orders of ours whose executions, by the broker's rows, are not what we have on record.
fn misfilled(intents: &[Intent], rows: &[Activity]) -> Vec<Finding> {
    let executed = executions::sums(rows);
    let count = |intent: &Intent| {
        let theirs = intent.order.as_ref().and_then(|order| executed.get(order)).copied();
        executions::unlike(intent, theirs.unwrap_or_default())
    };
    intents.iter().filter_map(count).collect()
}
