//! Every way the exchange says no, with the documented status, code, message and extras (facts 3.11).
//!
//! Always: a refusal changed nothing. Where no source gives the text, the wording is this simulator's own; those are
//! marked "own words".

use rust_decimal::Decimal;

/// A refusal of one request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub enum Refusal {
    /// The account is not known (Broker words; a caller who proved who they are cannot see it).
    UnknownAccount,
    /// No such order.
    OrderNotFound,
    /// No position in this symbol.
    PositionNotFound,
    /// No such asset; carries what was asked for.
    AssetNotFound(String),
    /// A member that must be there is missing.
    Required(&'static str),
    /// Both `qty` and `notional` (facts 3.1: 400).
    QtyAndNotional,
    /// Malformed or out of range; 422 with 40010001 and this text.
    Malformed(String),
    /// Understood but not allowed; 422 with 42210000 and this text.
    Unprocessable(String),
    /// Forbidden; 403 with 40310000 and this text.
    Forbidden(String),
    /// The client's id was used before.
    DuplicateClientOrderId,
    /// A limit or stop with too many decimals; names the field and the value.
    SubPenny {
        /// `limit_price` or `stop_price`.
        field: &'static str,
        /// As it was given.
        value: Decimal,
    },
    /// More than the account can pay for.
    InsufficientBuyingPower {
        /// What there is.
        buying_power: Decimal,
        /// What it would take.
        cost_basis: Decimal,
    },
    /// More shares than are free.
    InsufficientQty {
        /// Shares asked for.
        requested: Decimal,
        /// Shares not held by other orders.
        available: Decimal,
        /// Shares in the position.
        existing: Decimal,
        /// Shares held by other orders.
        held: Decimal,
        /// The ticker.
        symbol: String,
    },
    /// Below the least value of an order.
    BelowMinimum,
    /// An own order waits on the other side.
    WashTrade {
        /// `market/stop` or `limit`.
        existing: &'static str,
    },
    /// The user's own switch (facts 2.1).
    SuspendedByUser,
    /// The account or its trading is blocked.
    NotAuthorizedToTrade,
    /// Only closing orders are taken.
    LiquidationOnly,
    /// Not a short seller.
    ShortNotAllowed,
    /// The order is in no state to be cancelled; own words.
    NotCancelable(&'static str),
    /// The order is in no state to be replaced; own words.
    NotReplaceable(String),
}

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::UnknownAccount => 401,
            Self::OrderNotFound | Self::PositionNotFound | Self::AssetNotFound(_) => 404,
            Self::QtyAndNotional => 400,
            Self::Required(_)
            | Self::Malformed(_)
            | Self::Unprocessable(_)
            | Self::DuplicateClientOrderId
            | Self::SubPenny { .. }
            | Self::NotCancelable(_)
            | Self::NotReplaceable(_) => 422,
            Self::Forbidden(_)
            | Self::InsufficientBuyingPower { .. }
            | Self::InsufficientQty { .. }
            | Self::BelowMinimum
            | Self::WashTrade { .. }
            | Self::SuspendedByUser
            | Self::NotAuthorizedToTrade
            | Self::LiquidationOnly
            | Self::ShortNotAllowed => 403,
        }
    }

    /// The `code` of the envelope.
    pub fn code(&self) -> Option<i64> {
        Some(match self {
            Self::UnknownAccount => 40_110_000,
            Self::OrderNotFound | Self::PositionNotFound | Self::AssetNotFound(_) => 40_410_000,
            Self::QtyAndNotional | Self::Required(_) | Self::Malformed(_) | Self::DuplicateClientOrderId => 40_010_001,
            Self::Unprocessable(_) | Self::SubPenny { .. } | Self::NotCancelable(_) | Self::NotReplaceable(_) => {
                42_210_000
            }
            _ => 40_310_000,
        })
    }

    /// The `message` of the envelope.
    pub fn message(&self) -> String {
        match self {
            Self::UnknownAccount => "request is not authorized".into(),
            Self::OrderNotFound => "order not found".into(),
            Self::PositionNotFound => "position does not exist".into(),
            Self::AssetNotFound(symbol) => format!("asset not found for {symbol}"),
            Self::Required(field) => format!("{field} is required"),
            Self::QtyAndNotional => "only one of qty or notional is accepted".into(),
            Self::Malformed(text) | Self::Unprocessable(text) | Self::Forbidden(text) => text.clone(),
            Self::DuplicateClientOrderId => "client_order_id must be unique".into(),
            Self::SubPenny { field, value } => {
                format!("invalid {field} {value}. sub-penny increment does not fulfill minimum pricing criteria")
            }
            Self::InsufficientBuyingPower { .. } => "insufficient buying power".into(),
            Self::InsufficientQty { requested, available, .. } => format!(
                "insufficient qty available for order (requested: {}, available: {})",
                requested.normalize(),
                available.normalize()
            ),
            Self::BelowMinimum => "cost basis must be >= minimal amount of order 1".into(),
            Self::WashTrade { .. } => "potential wash trade detected. use complex orders".into(),
            Self::SuspendedByUser => "new orders are rejected by user request".into(),
            Self::NotAuthorizedToTrade => "account is not authorized to trade".into(),
            Self::LiquidationOnly => "account is restricted to liquidation only".into(),
            Self::ShortNotAllowed => "account is not allowed to short".into(),
            Self::NotCancelable(status) => format!("order is not cancelable: order status is {status}"),
            Self::NotReplaceable(why) => format!("order is not replaceable: {why}"),
        }
    }

    /// Further members of the envelope, all strings.
    pub fn extras(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::InsufficientBuyingPower { buying_power, cost_basis } => {
                let text = |amount: &Decimal| amount.normalize().to_string();
                vec![("buying_power", text(buying_power)), ("cost_basis", text(cost_basis))]
            }
            Self::InsufficientQty { available, existing, held, symbol, .. } => vec![
                ("available", available.normalize().to_string()),
                ("existing_qty", existing.normalize().to_string()),
                ("held_for_orders", held.normalize().to_string()),
                ("symbol", symbol.clone()),
            ],
            Self::WashTrade { existing } => {
                vec![("reject_reason", format!("opposite side {existing} order exists"))]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_speak_the_documented_words() {
        let qty = Refusal::InsufficientQty {
            requested: Decimal::from(1000),
            available: Decimal::ZERO,
            existing: Decimal::from(5),
            held: Decimal::from(5),
            symbol: "AAPL".into(),
        };
        assert_eq!((qty.status(), qty.code()), (403, Some(40_310_000)));
        assert_eq!(qty.message(), "insufficient qty available for order (requested: 1000, available: 0)");
        assert_eq!(qty.extras()[2], ("held_for_orders", "5".to_owned()));
        let penny = Refusal::SubPenny { field: "limit_price", value: Decimal::new(290_123, 3) };
        assert_eq!((penny.status(), penny.code()), (422, Some(42_210_000)));
        assert_eq!(
            penny.message(),
            "invalid limit_price 290.123. sub-penny increment does not fulfill minimum pricing criteria"
        );
        assert_eq!(Refusal::DuplicateClientOrderId.code(), Some(40_010_001));
    }
}
