//! What the broker said, unjudged.

use crate::model::ids::{ClientOrderId, OrderId, Symbol};
use crate::model::money::{Price, Qty, Usd};
use crate::model::plan::Side;
use crate::model::time::Moment;

/// A status in Alpaca's words (facts 3.5). An unknown one is kept as it came and never taken for an end (S14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderStatus {
    /// Received, waiting or working: `accepted`, `pending_new`, `new`, `partially_filled`, `accepted_for_bidding`,
    /// `held`, `pending_review`, and the rare `stopped`, `suspended`, `calculated`, `done_for_day`.
    Working(String),
    /// Being cancelled or replaced: `pending_cancel`, `pending_replace`.
    Changing(String),
    /// Completely filled.
    Filled,
    /// Cancelled; may carry fills.
    Canceled,
    /// Ended with its time in force; may carry fills.
    Expired,
    /// Refused after it was accepted.
    Rejected,
    /// Replaced by another order: somebody else's doing, for we replace none.
    Replaced,
    /// A word that no document knows.
    Unheard(String),
}

impl OrderStatus {
    /// Whether nothing more can come of the order.
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Filled | Self::Canceled | Self::Expired | Self::Rejected | Self::Replaced)
    }

    /// Reads Alpaca's word.
    pub fn parse(text: &str) -> Self {
        match text {
            "filled" => Self::Filled,
            "canceled" => Self::Canceled,
            "expired" => Self::Expired,
            "rejected" => Self::Rejected,
            "replaced" => Self::Replaced,
            "pending_cancel" | "pending_replace" => Self::Changing(text.to_owned()),
            "accepted"
            | "pending_new"
            | "new"
            | "partially_filled"
            | "accepted_for_bidding"
            | "held"
            | "pending_review"
            | "stopped"
            | "suspended"
            | "calculated"
            | "done_for_day" => Self::Working(text.to_owned()),
            other => Self::Unheard(other.to_owned()),
        }
    }

    /// Alpaca's word.
    pub fn word(&self) -> &str {
        match self {
            Self::Working(word) | Self::Changing(word) | Self::Unheard(word) => word,
            Self::Filled => "filled",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Replaced => "replaced",
        }
    }

    /// Whether the order can never trade again.
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Filled | Self::Canceled | Self::Expired | Self::Rejected | Self::Replaced)
    }
}

/// The broker's own account of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderReport {
    /// The broker's id.
    pub id: OrderId,
    /// The client's id.
    pub client_order_id: ClientOrderId,
    /// What.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// `market`, `limit`, ...
    pub kind: String,
    /// `day`, ...
    pub time_in_force: String,
    /// Shares asked for, when by quantity.
    pub qty: Option<Qty>,
    /// Dollars asked for, when by value.
    pub notional: Option<Usd>,
    /// The limit, if it has one.
    pub limit_price: Option<Price>,
    /// Shares filled so far.
    pub filled_qty: Qty,
    /// Their average price.
    pub filled_avg_price: Option<Price>,
    /// Where it stands.
    pub status: OrderStatus,
    /// When the broker took it.
    pub submitted_at: Option<Moment>,
}

/// What came of sending one order. Three outcomes, never two (rule 3); `Throttled` is a proven "not taken".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The broker has the order.
    Accepted(Box<OrderReport>),
    /// The broker said no, in documented words; the order does not exist.
    Refused {
        /// HTTP status.
        status: u16,
        /// Alpaca's code, if it gave one.
        code: Option<i64>,
        /// Alpaca's message.
        message: String,
    },
    /// The client order id is taken: an order under it exists and must be looked up (facts 3.3).
    Exists,
    /// Too many requests; nothing was placed. The same id may be sent again after the moment.
    Throttled {
        /// When the broker's window ends, if it said so.
        until: Option<Moment>,
    },
    /// The token was refused.
    Unauthorized {
        /// What the broker said, without the token.
        message: String,
    },
    /// The order may or may not exist. Only asking for its client id resolves this.
    Unknown {
        /// What happened.
        why: String,
    },
}
