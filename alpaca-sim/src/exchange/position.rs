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

impl Position {
    /// The position after buying (positive) or selling (negative) shares at a price.
    pub(crate) fn after(position: Option<&Self>, change: Decimal, price: Decimal) -> Self {
        let Some(old) = position else { return Self { qty: change, avg_entry_price: price } };
        let qty = old.qty + change;
        let avg_entry_price = if qty.is_zero() || old.qty.is_zero() {
            price
        } else if old.qty.is_sign_positive() == change.is_sign_positive() {
            ((old.qty * old.avg_entry_price + change * price) / qty).round_dp(9)
        } else if old.qty.is_sign_positive() == qty.is_sign_positive() {
            old.avg_entry_price
        } else {
            price
        };
        Self { qty, avg_entry_price }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_price_moves_with_purchases_only() {
        let ten = Position::after(None, Decimal::TEN, Decimal::from(100));
        let twenty = Position::after(Some(&ten), Decimal::TEN, Decimal::from(110));
        assert_eq!((twenty.qty, twenty.avg_entry_price), (Decimal::from(20), Decimal::from(105)));
        let five = Position::after(Some(&twenty), Decimal::from(-15), Decimal::from(90));
        assert_eq!((five.qty, five.avg_entry_price), (Decimal::from(5), Decimal::from(105)));
        let short = Position::after(Some(&five), Decimal::from(-7), Decimal::from(80));
        assert_eq!((short.qty, short.avg_entry_price), (Decimal::from(-2), Decimal::from(80)));
    }
}
