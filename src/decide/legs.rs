//! One row to one order: how much of it, at which price, or why there is none.

use rust_decimal::Decimal;

use crate::decide::allocate::Poured;
use crate::decide::drift::Valued;
use crate::decide::prices::{bought_at, highest, sold_at};
use crate::model::ids::Symbol;
use crate::model::intent::Unfilled;
use crate::model::money::{Fraction, Price, Qty, Usd};
use crate::model::plan::{Amount, Leg, Phase, Pricing};
use crate::model::strategy::{OrderType, Strategy};
use crate::model::verdict::SkipReason;

/// Cash that stays beside a market order by whole shares, as a share of its value: Alpaca may reserve up to 4% more than
/// the asked price for it (facts 3.9, 10).
pub const CUSHION: Fraction = Fraction::new(Decimal::from_parts(4, 0, 0, false, 2));

/// An order with what it moves at the middle price, or why there is none.
pub type Purchase = Result<(Leg, Usd), SkipReason>;

/// Why a row cannot be bought now: `sold_before` is what the first half of the run sold.
pub fn barred(row: &Valued<'_>, strategy: &Strategy, sold_before: &[Symbol]) -> Option<SkipReason> {
    if row.busy {
        Some(SkipReason::OpenOrder)
    } else if !row.tradable {
        Some(SkipReason::NotTradable)
    } else if !strategy.may_buy(row.symbol) {
        Some(SkipReason::DoNotBuy)
    } else if sold_before.contains(row.symbol) {
        Some(SkipReason::SoldThisRun)
    } else {
        None
    }
}

/// A sale of `wanted` at the middle, or of all that is free. A part of a share that cannot be sold by itself is rounded up
/// where that is no more than `most`, and down where it is.
///
/// # Errors
/// Why there is none.
pub fn sale(row: &Valued<'_>, strategy: &Strategy, (wanted, most): (Usd, Usd), whole: bool) -> Result<Leg, SkipReason> {
    if let Some(reason) = kept(row, strategy) {
        return Err(reason);
    }
    // The whole of a holding goes with the broker's own digits, so that no dust is left (facts 3.2).
    let least = strategy.orders().min_notional;
    let qty = if whole { row.available } else { rounded(row, (wanted, most), least).min(row.available) };
    sale_of_shares(row, strategy, (qty, strategy.orders().kind))
}

/// Why a row cannot be sold now.
fn kept(row: &Valued<'_>, strategy: &Strategy) -> Option<SkipReason> {
    if row.busy {
        Some(SkipReason::OpenOrder)
    } else if !row.tradable {
        Some(SkipReason::NotTradable)
    } else if !strategy.may_sell(row.symbol) {
        Some(SkipReason::DoNotSell)
    } else if !row.available.is_positive() {
        Some(SkipReason::SharesHeld)
    } else {
        None
    }
}

fn sale_of_shares(row: &Valued<'_>, strategy: &Strategy, (qty, kind): (Qty, OrderType)) -> Result<Leg, SkipReason> {
    let price = sold_at(row, strategy, kind);
    let pricing = if kind == OrderType::Limit { Pricing::Limit(price) } else { Pricing::Market };
    let value = (qty * price).floor_cents();
    if !qty.is_positive() {
        return Err(SkipReason::LessThanOneShare);
    }
    if value < strategy.orders().min_notional {
        return Err(SkipReason::BelowMinimum);
    }
    Ok(leg(Phase::Sell, row.symbol, (Amount::Qty(qty), pricing), (value, price)))
}

fn rounded(row: &Valued<'_>, (wanted, most): (Usd, Usd), least: Usd) -> Qty {
    let exact = wanted.settle_division().at(row.middle);
    let down = exact.floor_shares(row.fractionable);
    // Less than the smallest order is no wish to trade: it may be what a division left over of a row that stays.
    if row.fractionable || down == exact || wanted.floor_cents() < least {
        return down;
    }
    let up = down + Qty::ONE;
    if up * row.middle <= most { up } else { down }
}

fn leg(phase: Phase, symbol: &Symbol, (amount, pricing): (Amount, Pricing), (value, price): (Usd, Price)) -> Leg {
    Leg { phase, symbol: symbol.clone(), amount, pricing, value, reference_price: price }
}

/// An order for what is poured into a row; with what it moves at the middle.
///
/// # Errors
/// Why there is none.
pub fn purchase(row: &Valued<'_>, strategy: &Strategy, Poured { added, at_cost: cost }: Poured) -> Purchase {
    let limit = strategy.orders().kind == OrderType::Limit;
    if row.fractionable && !limit {
        return of_dollars(row, strategy, cost.settle_division().floor_cents());
    }
    let price = highest(row, strategy);
    let (added, cost) = (added.settle_division(), cost.settle_division());
    let qty: Qty = added.at(row.middle).min(cost.at(price)).floor_shares(row.fractionable);
    if !qty.is_positive() {
        return Err(if added.is_positive() { SkipReason::LessThanOneShare } else { SkipReason::BelowMinimum });
    }
    of_shares(row, strategy, qty)
}

/// A market order for so many dollars; with what it moves at the middle.
fn of_dollars(row: &Valued<'_>, strategy: &Strategy, notional: Usd) -> Purchase {
    if notional < strategy.orders().min_notional {
        return Err(SkipReason::BelowMinimum);
    }
    let moved = notional.at(row.quote.ask).floor_shares(true) * row.middle;
    let how = (Amount::Notional(notional), Pricing::Market);
    Ok((leg(Phase::Buy, row.symbol, how, (notional, row.quote.ask)), moved))
}

/// An order for so many shares; with what it moves at the middle.
///
/// # Errors
/// When it is too small.
pub fn of_shares(row: &Valued<'_>, strategy: &Strategy, qty: Qty) -> Purchase {
    shares(row, strategy, (qty, strategy.orders().kind))
}

fn shares(row: &Valued<'_>, strategy: &Strategy, (qty, kind): (Qty, OrderType)) -> Purchase {
    let limit = kind == OrderType::Limit;
    let price = bought_at(row, strategy, kind);
    let value = (qty * price).ceil_cents();
    if value < strategy.orders().min_notional {
        return Err(SkipReason::BelowMinimum);
    }
    let pricing = if limit { Pricing::Limit(price) } else { Pricing::Market };
    Ok((leg(Phase::Buy, row.symbol, (Amount::Qty(qty), pricing), (value, price)), qty * row.middle))
}

/// The next try of what is left: never more shares than are left, never more dollars.
///
/// # Errors
/// Why there is none.
pub fn again(row: &Valued<'_>, strategy: &Strategy, left: &Unfilled, kind: OrderType) -> Purchase {
    if left.phase == Phase::Sell {
        if let Some(reason) = kept(row, strategy) {
            return Err(reason);
        }
        let qty = left.qty.min(row.available);
        return sale_of_shares(row, strategy, (qty, kind)).map(|leg| (leg, -(qty * row.middle)));
    }
    if let Some(reason) = barred(row, strategy, &[]) {
        return Err(reason);
    }
    let price = match kind {
        OrderType::Limit => bought_at(row, strategy, kind),
        OrderType::Market if row.fractionable => row.quote.ask,
        OrderType::Market => row.quote.ask.moved(CUSHION),
    };
    let qty = left.qty.min(left.value.at(price)).floor_shares(row.fractionable);
    if !qty.is_positive() {
        return Err(SkipReason::LessThanOneShare);
    }
    if kind == OrderType::Market && row.fractionable {
        return of_dollars(row, strategy, (qty * price).floor_cents());
    }
    shares(row, strategy, (qty, kind))
}
