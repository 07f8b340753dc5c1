//! Positions: the shares of one symbol in one account (facts 4.1).
//!
//! Always: a position with no shares does not exist; the cost follows the average price method.

use std::sync::Arc;

use rust_decimal::Decimal;

/// The shares of one symbol.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    /// Signed: short is negative.
    pub(crate) qty: Decimal,
    /// Average price paid or received.
    pub(crate) avg_entry_price: Decimal,
}

/// `GET /v2/positions/{symbol}` (facts 4.1), as plain values. Fractions, not percents.
#[derive(Debug, Clone)]
pub struct PositionView {
    /// The asset's id.
    pub asset_id: Arc<str>,
    /// The ticker.
    pub symbol: Arc<str>,
    /// Listing exchange.
    pub exchange: &'static str,
    /// Whether it may be bought on margin.
    pub asset_marginable: bool,
    /// Signed quantity.
    pub qty: Decimal,
    /// Quantity not held by open orders.
    pub qty_available: Decimal,
    /// Average price paid.
    pub avg_entry_price: Decimal,
    /// `true` for long.
    pub long: bool,
    /// qty times current price.
    pub market_value: Decimal,
    /// qty times average price.
    pub cost_basis: Decimal,
    /// Gain since entry.
    pub unrealized_pl: Decimal,
    /// The same as a fraction of the cost.
    pub unrealized_plpc: Decimal,
    /// Gain since the last close.
    pub unrealized_intraday_pl: Decimal,
    /// The same as a fraction.
    pub unrealized_intraday_plpc: Decimal,
    /// Last trade.
    pub current_price: Decimal,
    /// Close of the last session before today, adjusted for splits since.
    pub lastday_price: Decimal,
    /// Change since that close, as a fraction.
    pub change_today: Decimal,
}
