//! Where an account stands against its targets.
//!
//! The portfolio is cash plus the holdings that the strategy manages, each at the middle of its quote. A holding without
//! a usable price makes the whole unknowable, and unknown means no trade (rule 5).

use std::cmp::Ordering;
use std::collections::{BTreeSet, btree_map};
use std::iter::Peekable;

use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Price, Qty, Usd};
use crate::model::plan::{Drift, SymbolDrift};
use crate::model::snapshot::{AssetView, Holding, Quote, Snapshot};
use crate::model::strategy::{Strategy, Unmanaged};
use crate::model::tolerance::Band;
use crate::model::verdict::Reason;

/// One managed symbol with its price and its worth.
#[derive(Debug, Clone)]
pub struct Valued<'a> {
    /// What.
    pub symbol: &'a Symbol,
    /// Where it should be; zero for a holding that is to be sold because the strategy does not name it, or because its model
    /// does not hold it now.
    pub target: Fraction,
    /// How far from there it may be.
    pub band: Band,
    /// Shares held.
    pub qty: Qty,
    /// Shares not held by other orders.
    pub available: Qty,
    /// The quote.
    pub quote: Quote,
    /// The middle of the quote.
    pub middle: Price,
    /// `qty * middle`.
    pub worth: Usd,
    /// May be traded at all.
    pub tradable: bool,
    /// Fractions of a share may be ordered.
    pub fractionable: bool,
    /// An order on it is open already.
    pub busy: bool,
}

impl Valued<'_> {
    /// What can be sold of it, at the middle.
    pub fn free_worth(&self) -> Usd {
        if self.available == self.qty { self.worth } else { self.available * self.middle }
    }
}

/// What a portfolio is worth, and its parts in the order of their symbols.
#[derive(Debug, Clone)]
pub struct Valuation<'a> {
    /// Cash plus all worths.
    pub value: Usd,
    /// Cash as the broker counts it, less what is kept aside.
    pub cash: Usd,
    /// What is kept aside for a withdrawal: no part of the portfolio.
    pub aside: Usd,
    /// Cash that open purchases may still take.
    pub reserved: Usd,
    /// The managed symbols.
    pub rows: Vec<Valued<'a>>,
}

/// Values the managed part of an account and measures it against the targets.
///
/// # Errors
/// The reason to hold: a missing price, a short position, an empty account.
pub fn drift<'a>(strategy: &'a Strategy, snapshot: &'a Snapshot) -> Result<(Valuation<'a>, Drift), Reason> {
    if !strategy.is_resolved() {
        return Err(Reason::HistoryMissing);
    }
    let valuation = value(strategy, snapshot)?;
    let drift = measure(strategy, &valuation);
    Ok((valuation, drift))
}

fn value<'a>(strategy: &'a Strategy, snapshot: &'a Snapshot) -> Result<Valuation<'a>, Reason> {
    if snapshot.holdings.values().any(|holding| holding.qty < Qty::ZERO) {
        return Err(Reason::ShortPosition);
    }
    let wanted = strategy.targets_in_bands().map(|(target, band)| (&target.symbol, target.weight, band));
    let rows = if strategy.conditions().unmanaged == Unmanaged::Sell {
        let others = unmanaged(strategy, snapshot).map(|symbol| (symbol, Fraction::ZERO, Band::default()));
        let mut wanted: Vec<_> = wanted.chain(others).collect();
        wanted.sort_by(|a, b| a.0.cmp(b.0));
        rows(snapshot, wanted.into_iter())?
    } else {
        rows(snapshot, wanted)?
    };
    let whole = rows.iter().map(|row| row.worth).sum::<Usd>() + snapshot.account.cash;
    if !whole.is_positive() {
        return Err(Reason::EmptyAccount);
    }
    // A cent stays a portfolio where everything is to leave: what is worth nothing has no weights.
    let aside = strategy.aside().min(whole - Usd::CENT).max(Usd::ZERO);
    let (value, cash) = (whole - aside, snapshot.account.cash - aside);
    Ok(Valuation { value, cash, aside, reserved: reserved(snapshot)?, rows })
}

/// The rows of these symbols, which stand in their order.
fn rows<'a>(
    snapshot: &'a Snapshot,
    wanted: impl ExactSizeIterator<Item = (&'a Symbol, Fraction, Band)>,
) -> Result<Vec<Valued<'a>>, Reason> {
    let mut look = Look::new(snapshot);
    let mut rows = Vec::with_capacity(wanted.len());
    for (symbol, target, band) in wanted {
        rows.push(look.row(symbol, target, band)?);
    }
    Ok(rows)
}

/// Holdings that the strategy does not name.
pub fn unmanaged<'a>(strategy: &'a Strategy, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Symbol> {
    snapshot
        .holdings
        .iter()
        .filter(|(symbol, holding)| !holding.qty.is_zero() && !strategy.names(symbol))
        .map(|(symbol, _)| symbol)
}

/// A snapshot that is asked for one symbol after the other, in their order: every table of it is walked once.
struct Look<'a> {
    quotes: Walk<'a, Quote>,
    holdings: Walk<'a, Holding>,
    assets: Walk<'a, AssetView>,
    busy: BTreeSet<&'a Symbol>,
}

impl<'a> Look<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            quotes: Walk(snapshot.quotes.iter().peekable()),
            holdings: Walk(snapshot.holdings.iter().peekable()),
            assets: Walk(snapshot.assets.iter().peekable()),
            busy: snapshot.open_orders.iter().map(|order| &order.symbol).collect(),
        }
    }

    fn row(&mut self, symbol: &'a Symbol, target: Fraction, band: Band) -> Result<Valued<'a>, Reason> {
        let quote = self.quotes.at(symbol).filter(|quote| quote.is_usable()).ok_or(Reason::PriceMissing)?;
        let holding = self.holdings.at(symbol);
        let qty = holding.map_or(Qty::ZERO, |holding| holding.qty);
        let asset = self.assets.at(symbol);
        let middle = quote.middle();
        Ok(Valued {
            symbol,
            target,
            band,
            qty,
            available: holding.map_or(Qty::ZERO, |holding| holding.available.min(holding.qty)),
            quote: *quote,
            middle,
            worth: qty * middle,
            tradable: asset.is_some_and(|asset| asset.tradable),
            fractionable: asset.is_some_and(|asset| asset.fractionable),
            busy: !self.busy.is_empty() && self.busy.contains(symbol),
        })
    }
}

/// A table whose symbols are asked for in their order.
struct Walk<'a, T>(Peekable<btree_map::Iter<'a, Symbol, T>>);

impl<'a, T> Walk<'a, T> {
    fn at(&mut self, symbol: &Symbol) -> Option<&'a T> {
        while let Some((found, value)) = self.0.peek() {
            match (*found).cmp(symbol) {
                Ordering::Less => drop(self.0.next()),
                Ordering::Equal => return Some(*value),
                Ordering::Greater => return None,
            }
        }
        None
    }
}

/// What open purchases may still take.
///
/// # Errors
/// One that cannot be priced makes the cash unknowable.
pub fn reserved(snapshot: &Snapshot) -> Result<Usd, Reason> {
    let mut sum = Usd::ZERO;
    for order in snapshot.open_orders.iter().filter(|order| order.side == crate::model::plan::Side::Buy) {
        let quote = snapshot.quotes.get(&order.symbol).filter(|quote| quote.is_usable());
        sum += match (order.reserves, order.remaining, quote) {
            (Some(reserves), _, _) => reserves,
            (None, Some(remaining), Some(quote)) => (remaining * quote.ask).ceil_cents(),
            _ => return Err(Reason::PriceMissing),
        };
    }
    Ok(sum)
}

fn measure(strategy: &Strategy, valuation: &Valuation<'_>) -> Drift {
    let mut sum = (valuation.cash.over(valuation.value) - strategy.cash()).abs();
    let mut symbols = Vec::with_capacity(valuation.rows.len());
    for row in &valuation.rows {
        let actual = row.worth.over(valuation.value);
        let absolute = actual - row.target;
        sum += absolute.abs();
        symbols.push(SymbolDrift { symbol: row.symbol.clone(), target: row.target, actual, absolute });
    }
    Drift { portfolio: sum * Fraction::HALF, symbols }
}
