//! Account activities: every fill and every other movement of money or shares (facts 4.4).
//!
//! Always: rows are appended in the order of time and never changed; ids sort like the rows.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;

use super::event::TradeEvent;
use super::order::{OrderStatus, Side};

/// One row.
#[derive(Debug, Clone)]
pub struct Activity {
    /// `YYYYMMDDHHMMSSmmm::uuid`; pages continue after it.
    pub id: Arc<str>,
    /// When it was booked: `created_at` of non-trade rows, `transaction_time` of fills.
    pub at: Timestamp,
    /// The trading or settlement date it belongs to, in New York.
    pub date: Date,
    /// What happened.
    pub detail: ActivityDetail,
}

/// What a row tells.
#[derive(Debug, Clone)]
pub enum ActivityDetail {
    /// An execution.
    Fill(FillRow),
    /// Anything else.
    NonTrade(NonTradeRow),
}

/// An execution.
#[derive(Debug, Clone)]
pub struct FillRow {
    /// The ticker.
    pub symbol: Arc<str>,
    /// Direction.
    pub side: Side,
    /// A sale of shares not held.
    pub short: bool,
    /// Shares of this execution; below zero where an earlier one is taken back.
    pub qty: Decimal,
    /// Its price.
    pub price: Decimal,
    /// Shares of the order filled so far.
    pub cum_qty: Decimal,
    /// Shares of the order left.
    pub leaves_qty: Decimal,
    /// The order.
    pub order_id: Arc<str>,
    /// Where the order stands after it.
    pub order_status: OrderStatus,
    /// What it is: a fill, or the taking back or correction of one.
    pub event: TradeEvent,
}

/// A movement that is no execution.
#[derive(Debug, Clone)]
pub struct NonTradeRow {
    /// `CSD`, `CSW`, `DIV`, `SPLIT`, `FEE`, `JNLC`...
    pub activity_type: &'static str,
    /// `CDIV`, `FSPLIT`, `RSPLIT`..., or empty.
    pub activity_sub_type: &'static str,
    /// Signed dollars.
    pub net_amount: Decimal,
    /// The ticker, where one is concerned.
    pub symbol: Option<Arc<str>>,
    /// Shares concerned, signed for splits.
    pub qty: Option<Decimal>,
    /// Dollars a share.
    pub per_share_amount: Option<Decimal>,
    /// For people.
    pub description: String,
}

impl Activity {
    /// The value of `activity_type` on the wire.
    pub fn activity_type(&self) -> &'static str {
        match &self.detail {
            ActivityDetail::Fill(_) => "FILL",
            ActivityDetail::NonTrade(row) => row.activity_type,
        }
    }

    /// Whether the row is in `category=trade_activity`.
    pub fn is_trade(&self) -> bool {
        matches!(self.detail, ActivityDetail::Fill(_))
    }
}

/// The filters of `GET /v2/account/activities`.
#[derive(Debug, Clone, Default)]
pub struct ActivityFilter {
    /// Only these types; `TRANS` stands for `CSD` and `CSW`. Empty means all.
    pub types: Vec<String>,
    /// `Some(true)` only fills, `Some(false)` only the rest.
    pub trades: Option<bool>,
    /// Only this date; then everything comes at once unless `page_size` is given.
    pub date: Option<Date>,
    /// Booked after, exclusive.
    pub after: Option<Timestamp>,
    /// Booked before, exclusive.
    pub until: Option<Timestamp>,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// 1 to 100; 100 when absent and no date is set.
    pub page_size: Option<usize>,
    /// Id of the last row of the page before.
    pub page_token: Option<String>,
}
