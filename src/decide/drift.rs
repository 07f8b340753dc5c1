//! Where an account stands against its targets.
//!
//! The portfolio is cash plus the holdings that the strategy manages, each at the middle of its quote. A holding without
//! a usable price makes the whole unknowable, and unknown means no trade (rule 5).

use std::collections::BTreeSet;

use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Price, Qty, Usd};
use crate::model::plan::{Drift, SymbolDrift};
use crate::model::snapshot::{Quote, Snapshot};
use crate::model::strategy::{Strategy, Unmanaged};
use crate::model::verdict::Reason;

/// One managed symbol with its price and its worth.
#[derive(Debug, Clone)]
pub struct Valued<'a> {
    /// What.
    pub symbol: &'a Symbol,
    /// Where it should be; zero for a holding that is to be sold because the strategy does not name it, or because its model
    /// does not hold it now.
    pub target: Fraction,
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

const A_CENT: Usd = Usd::new(rust_decimal::Decimal::from_parts(1, 0, 0, false, 2));

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
    let busy: BTreeSet<&Symbol> = snapshot.open_orders.iter().map(|order| &order.symbol).collect();
    let mut rows = Vec::with_capacity(strategy.targets().len());
    for target in strategy.targets() {
        rows.push(row(snapshot, &target.symbol, target.weight, &busy)?);
    }
    if strategy.conditions().unmanaged == Unmanaged::Sell {
        for symbol in unmanaged(strategy, snapshot) {
            rows.push(row(snapshot, symbol, Fraction::ZERO, &busy)?);
        }
        rows.sort_by(|a, b| a.symbol.cmp(b.symbol));
    }
    let whole = rows.iter().map(|row| row.worth).sum::<Usd>() + snapshot.account.cash;
    if !whole.is_positive() {
        return Err(Reason::EmptyAccount);
    }
    // A cent stays a portfolio where everything is to leave: what is worth nothing has no weights.
    let aside = strategy.aside().min(whole - A_CENT).max(Usd::ZERO);
    let (value, cash) = (whole - aside, snapshot.account.cash - aside);
    Ok(Valuation { value, cash, aside, reserved: reserved(snapshot)?, rows })
}

/// Holdings that the strategy does not name.
pub fn unmanaged<'a>(strategy: &'a Strategy, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Symbol> {
    snapshot
        .holdings
        .iter()
        .filter(|(symbol, holding)| !holding.qty.is_zero() && !strategy.names(symbol))
        .map(|(symbol, _)| symbol)
}

fn row<'a>(
    snapshot: &'a Snapshot,
    symbol: &'a Symbol,
    target: Fraction,
    busy: &BTreeSet<&Symbol>,
) -> Result<Valued<'a>, Reason> {
    let quote = snapshot.quotes.get(symbol).filter(|quote| quote.is_usable()).ok_or(Reason::PriceMissing)?;
    let holding = snapshot.holdings.get(symbol);
    let qty = holding.map_or(Qty::ZERO, |holding| holding.qty);
    let asset = snapshot.assets.get(symbol);
    let middle = quote.middle();
    Ok(Valued {
        symbol,
        target,
        qty,
        available: holding.map_or(Qty::ZERO, |holding| holding.available.min(holding.qty)),
        quote: *quote,
        middle,
        worth: qty * middle,
        tradable: asset.is_some_and(|asset| asset.tradable),
        fractionable: asset.is_some_and(|asset| asset.fractionable),
        busy: busy.contains(symbol),
    })
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
        symbols.push(SymbolDrift {
            symbol: row.symbol.clone(),
            target: row.target,
            actual,
            absolute,
            relative: absolute.over(row.target),
        });
    }
    let half = Fraction::new(rust_decimal::Decimal::new(5, 1));
    Drift { portfolio: sum * half, symbols }
}
