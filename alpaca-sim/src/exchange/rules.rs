//! The rules of an order that follow from the order, its asset and the time of day (facts 3.1, 3.2, 3.8).
//!
//! Always: nothing here changes anything; the first rule that is broken names the refusal. What depends on the account
//! (funds, shares, wash trades) is in `funds`.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::asset::Asset;
use super::order::{OrderClass, OrderRequest, OrderType, Side, TimeInForce};
use super::refusal::Refusal;
use crate::market::sessions::Calendar;

/// The members every order has, once their presence is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Core {
    pub(crate) side: Side,
    pub(crate) order_type: OrderType,
    pub(crate) time_in_force: TimeInForce,
    /// In fractions or by value.
    pub(crate) fractional: bool,
}

/// The most shares or dollars of one order; products of two such figures are far inside what a decimal holds.
pub(crate) const MOST: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);

/// The distance of a trailing stop, in dollars or percent.
pub(crate) fn distance(trail: Decimal, most: u32) -> Result<(), Refusal> {
    if trail <= Decimal::ZERO || trail > Decimal::from(most) || finer_than(trail, 4) {
        return Err(Refusal::Unprocessable("the trail of a trailing_stop order is out of range".into()));
    }
    Ok(())
}

/// Whether a decimal has more than so many digits after the point, trailing zeros aside.
fn finer_than(value: Decimal, digits: u32) -> bool {
    value.normalize().scale() > digits
}

/// Presence, amounts and lengths: what can be said of a request by itself.
pub(crate) fn shape(request: &OrderRequest) -> Result<Core, Refusal> {
    let order_type = request.order_type.ok_or(Refusal::Required("type"))?;
    let time_in_force = request.time_in_force.ok_or(Refusal::Required("time_in_force"))?;
    if request.symbol.as_deref().is_none_or(str::is_empty) {
        return Err(Refusal::Required("symbol"));
    }
    let side = request.side.ok_or(Refusal::Required("side"))?;
    match (request.qty, request.notional) {
        (Some(_), Some(_)) => return Err(Refusal::QtyAndNotional),
        (None, None) => return Err(Refusal::Required("qty")),
        (Some(qty), None) => quantity(qty)?,
        (None, Some(notional)) => {
            if notional <= Decimal::ZERO {
                return Err(Refusal::Malformed("notional must be > 0".into()));
            }
            if finer_than(notional, 2) {
                return Err(Refusal::Unprocessable("notional value must be limited to 2 decimal places".into()));
            }
            if notional > MOST {
                return Err(Refusal::Malformed("notional is too large".into()));
            }
        }
    }
    if request.client_order_id.as_deref().is_some_and(|id| id.chars().count() > 128) {
        return Err(Refusal::Malformed("client_order_id must be no more than 128 characters".into()));
    }
    let fractional = request.notional.is_some() || request.qty.is_some_and(|qty| !qty.fract().is_zero());
    Ok(Core { side, order_type, time_in_force, fractional })
}

/// A quantity of shares: above zero, at most nine decimals, and of a size that a ledger can hold.
pub(crate) fn quantity(qty: Decimal) -> Result<(), Refusal> {
    if qty <= Decimal::ZERO {
        return Err(Refusal::Malformed("qty must be > 0".into()));
    }
    if finer_than(qty, 9) {
        return Err(Refusal::Unprocessable("qty must be limited to 9 decimal places".into()));
    }
    if qty > MOST {
        return Err(Refusal::Malformed("qty is too large".into()));
    }
    Ok(())
}

/// Type, prices, class and time in force against each other.
pub(crate) fn coherence(request: &OrderRequest, core: Core) -> Result<(), Refusal> {
    prices(request, core.order_type)?;
    let no = |text: &str| Err(Refusal::Unprocessable(text.into()));
    let simple = matches!(request.order_class, None | Some(OrderClass::Simple));
    if core.fractional {
        if core.order_type == OrderType::TrailingStop {
            return no("fractional orders must be market, limit, stop or stop_limit orders");
        }
        if core.time_in_force != TimeInForce::Day {
            return no("fractional orders must be DAY orders");
        }
        if !simple {
            return no("fractional orders must be simple orders");
        }
    }
    if !simple {
        return no("only simple orders are simulated");
    }
    if request.extended_hours {
        let in_time = matches!(core.time_in_force, TimeInForce::Day | TimeInForce::Gtc);
        if core.order_type != OrderType::Limit || !in_time {
            return no("extended hours order must be DAY or GTC limit orders");
        }
    }
    let auction_or_instant = !matches!(core.time_in_force, TimeInForce::Day | TimeInForce::Gtc);
    if auction_or_instant && !matches!(core.order_type, OrderType::Market | OrderType::Limit) {
        return no("invalid time_in_force");
    }
    Ok(())
}

/// The prices that the type needs are there, and no others; none is finer than the exchange quotes.
fn prices(request: &OrderRequest, order_type: OrderType) -> Result<(), Refusal> {
    let (limit, stop, trail) = match order_type {
        OrderType::Market => (false, false, false),
        OrderType::Limit => (true, false, false),
        OrderType::Stop => (false, true, false),
        OrderType::StopLimit => (true, true, false),
        OrderType::TrailingStop => (false, false, true),
    };
    let word = order_type.as_str();
    let check = |needed: bool, given: Option<Decimal>, name: &'static str| match (needed, given) {
        (true, None) => Err(Refusal::Unprocessable(format!("{word} orders require {name}"))),
        (false, Some(_)) => Err(Refusal::Unprocessable(format!("{word} orders must not have {name}"))),
        (true, Some(price)) => tick(name, price),
        (false, None) => Ok(()),
    };
    check(limit, request.limit_price, "limit_price")?;
    check(stop, request.stop_price, "stop_price")?;
    match (trail, request.trail_price, request.trail_percent) {
        (false, None, None) => Ok(()),
        (false, ..) => Err(Refusal::Unprocessable(format!("{word} orders must not have a trail"))),
        (true, Some(dollars), None) => distance(dollars, 1_000_000),
        (true, None, Some(percent)) => distance(percent, 99),
        (true, ..) => {
            Err(Refusal::Unprocessable("trailing_stop orders require one of trail_price or trail_percent".into()))
        }
    }
}

/// Two decimals from a dollar up, four below (facts 3.1).
pub(crate) fn tick(field: &'static str, price: Decimal) -> Result<(), Refusal> {
    if price <= Decimal::ZERO {
        return Err(Refusal::Unprocessable(format!("{field} must be > 0")));
    }
    let digits = if price >= Decimal::ONE { 2 } else { 4 };
    if finer_than(price, digits) {
        return Err(Refusal::SubPenny { field, value: price });
    }
    if price > Decimal::from(100_000_000) {
        return Err(Refusal::Malformed(format!("{field} is too large")));
    }
    Ok(())
}

/// Whether the asset takes such an order. The texts are this simulator's own, except the one on fractions.
pub(crate) fn asset(asset: &Asset, fractional: bool, fractional_account: bool) -> Result<(), Refusal> {
    if !asset.active {
        return Err(Refusal::Unprocessable(format!("asset {} is not active", asset.symbol)));
    }
    if !asset.tradable {
        return Err(Refusal::Unprocessable(format!("asset {} is not tradable", asset.symbol)));
    }
    if fractional && !asset.fractionable {
        return Err(Refusal::Unprocessable("requested asset is not fractionable".into()));
    }
    if fractional && !fractional_account {
        return Err(Refusal::Forbidden("fractional trading is disabled for this account".into()));
    }
    Ok(())
}

/// The windows of auction orders (facts 3.8): opg is refused from 09:28 to 19:00, cls from 15:50 to 19:00 New York
/// time, on trading days; on half days cls is refused from ten minutes before the close.
pub(crate) fn window(calendar: &Calendar, time_in_force: TimeInForce, now: Timestamp) -> Result<(), Refusal> {
    let Some(today) = calendar.today(now) else { return Ok(()) };
    let from = match time_in_force {
        TimeInForce::Opg => today.open - SignedDuration::from_mins(2),
        TimeInForce::Cls => today.close - SignedDuration::from_mins(10),
        _ => return Ok(()),
    };
    let evening = today.day_end - SignedDuration::from_hours(5);
    if from <= now && now < evening {
        let word = time_in_force.as_str();
        return Err(Refusal::Unprocessable(format!("{word} orders are not accepted at this time of day")));
    }
    Ok(())
}
