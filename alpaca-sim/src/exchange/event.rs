//! What the exchange tells the streams: one message per change of an order (facts 5.1).
//!
//! Always: the messages of one account are in the order in which things happened and carry a copy of the order as it
//! was right after the change.

use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

use super::order::{Order, words};

words! {
    /// What happened to an order.
    TradeEvent {
        /// Received, waits for a session.
        Accepted = "accepted",
        /// Received, on its way to the venue.
        PendingNew = "pending_new",
        /// At the venue.
        New = "new",
        /// Some of it filled.
        PartialFill = "partial_fill",
        /// The last of it filled.
        Fill = "fill",
        /// Cancelled.
        Canceled = "canceled",
        /// Its time ran out.
        Expired = "expired",
        /// No more fills today.
        DoneForDay = "done_for_day",
        /// Another order took its place.
        Replaced = "replaced",
        /// Refused after it was accepted.
        Rejected = "rejected",
        /// Waits for another order.
        Held = "held",
        /// A price is guaranteed.
        Stopped = "stopped",
        /// Not eligible at the moment.
        Suspended = "suspended",
        /// Settlement is being computed.
        Calculated = "calculated",
        /// A cancel is on its way.
        PendingCancel = "pending_cancel",
        /// A replacement is on its way.
        PendingReplace = "pending_replace",
        /// The cancel came too late.
        OrderCancelRejected = "order_cancel_rejected",
        /// The replacement came too late.
        OrderReplaceRejected = "order_replace_rejected",
        /// Changed from outside.
        Restated = "restated",
        /// An execution is taken back.
        TradeBust = "trade_bust",
        /// An execution is corrected.
        TradeCorrect = "trade_correct",
    }
}

/// One message for the account's streams.
#[derive(Debug, Clone)]
pub struct TradeUpdate {
    /// Whose.
    pub account: Arc<str>,
    /// Number within the account, from 1, without gaps.
    pub sequence: u64,
    /// What happened.
    pub event: TradeEvent,
    /// When.
    pub at: Timestamp,
    /// Id of the execution report; every message has one.
    pub execution_id: Arc<str>,
    /// Price of this execution.
    pub price: Option<Decimal>,
    /// Shares of this execution.
    pub qty: Option<Decimal>,
    /// Signed position after this execution.
    pub position_qty: Option<Decimal>,
    /// The order after the change.
    pub order: Order,
}
