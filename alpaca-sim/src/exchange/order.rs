//! Orders: the request, the order itself and everything a client may ask about them (facts 3.1 to 3.8).
//!
//! Always: exactly one of `qty` and `notional` is set; `filled_qty` never falls; an order in a terminal state never
//! leaves it. Texts of enums are Alpaca's own.

use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

/// A closed set of words that travel over the wire.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of a word on the wire.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Direction of an order.
    Side {
        /// Adds shares.
        Buy = "buy",
        /// Removes shares.
        Sell = "sell",
    }
}

words! {
    /// How an order finds its price.
    OrderType {
        /// At the far side of the quote.
        Market = "market",
        /// At its limit or better.
        Limit = "limit",
        /// A market order once the stop price trades.
        Stop = "stop",
        /// A limit order once the stop price trades.
        StopLimit = "stop_limit",
        /// A stop that follows the best price.
        TrailingStop = "trailing_stop",
    }
}

words! {
    /// How long an order lives (facts 3.8).
    TimeInForce {
        /// Until the end of the trading day.
        Day = "day",
        /// 90 days.
        Gtc = "gtc",
        /// The opening auction only.
        Opg = "opg",
        /// The closing auction only.
        Cls = "cls",
        /// At once, the rest is cancelled.
        Ioc = "ioc",
        /// At once and whole, or not at all.
        Fok = "fok",
    }
}

words! {
    /// Grouping of orders (facts 3.12); only `simple` is taken here.
    OrderClass {
        /// One order by itself.
        Simple = "simple",
        /// Entry with two exits.
        Bracket = "bracket",
        /// Two exits, one cancels the other.
        Oco = "oco",
        /// Entry with one exit.
        Oto = "oto",
        /// Several option legs.
        Mleg = "mleg",
    }
}

words! {
    /// What an order does to its position.
    PositionIntent {
        /// A buy of a long or flat position.
        BuyToOpen = "buy_to_open",
        /// A buy that covers a short.
        BuyToClose = "buy_to_close",
        /// A short sale.
        SellToOpen = "sell_to_open",
        /// A sale of shares held.
        SellToClose = "sell_to_close",
    }
}

words! {
    /// Where an order stands (facts 3.5). Those that this exchange never sets by itself can be set by the control side.
    OrderStatus {
        /// Received, waits for a session.
        Accepted = "accepted",
        /// Received, on its way to the venue.
        PendingNew = "pending_new",
        /// At the venue.
        New = "new",
        /// Some of it filled, the rest at the venue.
        PartiallyFilled = "partially_filled",
        /// All of it filled.
        Filled = "filled",
        /// No more fills today.
        DoneForDay = "done_for_day",
        /// Cancelled; may carry fills.
        Canceled = "canceled",
        /// Its time ran out; may carry fills.
        Expired = "expired",
        /// Another order took its place.
        Replaced = "replaced",
        /// A cancel is on its way.
        PendingCancel = "pending_cancel",
        /// A replacement is on its way.
        PendingReplace = "pending_replace",
        /// Received for the opening auction.
        AcceptedForBidding = "accepted_for_bidding",
        /// A price is guaranteed, the fill is not there yet.
        Stopped = "stopped",
        /// Refused after it was accepted.
        Rejected = "rejected",
        /// Not eligible for trading at the moment.
        Suspended = "suspended",
        /// Done for the day, settlement is being computed.
        Calculated = "calculated",
        /// Waits for another order of its group.
        Held = "held",
    }
}

impl OrderStatus {
    /// Whether nothing can happen to the order any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Filled | Self::Canceled | Self::Expired | Self::Replaced | Self::Rejected)
    }
}

/// What `POST /v2/orders` asks for, already parsed. Absent members are `None`.
#[derive(Debug, Clone, Default)]
pub struct OrderRequest {
    /// Ticker or asset id.
    pub symbol: Option<String>,
    /// Shares; up to 9 decimals.
    pub qty: Option<Decimal>,
    /// Dollars instead of shares.
    pub notional: Option<Decimal>,
    /// Direction.
    pub side: Option<Side>,
    /// How it finds its price.
    pub order_type: Option<OrderType>,
    /// How long it lives.
    pub time_in_force: Option<TimeInForce>,
    /// For limit and stop_limit.
    pub limit_price: Option<Decimal>,
    /// For stop and stop_limit.
    pub stop_price: Option<Decimal>,
    /// Distance of a trailing stop in dollars.
    pub trail_price: Option<Decimal>,
    /// Distance of a trailing stop in percent.
    pub trail_percent: Option<Decimal>,
    /// May it trade from 04:00 to 20:00?
    pub extended_hours: bool,
    /// The client's own id; a UUID is made when it is absent.
    pub client_order_id: Option<String>,
    /// Grouping.
    pub order_class: Option<OrderClass>,
    /// What it should do to the position.
    pub position_intent: Option<PositionIntent>,
    /// Who sent it, e.g. `access_key` or the app's client id; shown on the order.
    pub source: Option<String>,
}

/// What `PATCH /v2/orders/{id}` asks for.
#[derive(Debug, Clone, Default)]
pub struct ReplaceRequest {
    /// New total quantity, whole shares.
    pub qty: Option<Decimal>,
    /// New life.
    pub time_in_force: Option<TimeInForce>,
    /// New limit.
    pub limit_price: Option<Decimal>,
    /// New stop.
    pub stop_price: Option<Decimal>,
    /// New trail, in the unit the order has.
    pub trail: Option<Decimal>,
    /// The client's id for the new order.
    pub client_order_id: Option<String>,
}

/// One order.
#[derive(Debug, Clone)]
pub struct Order {
    /// The exchange's id.
    pub id: Arc<str>,
    /// The client's id, unique for ever within the account.
    pub client_order_id: Arc<str>,
    /// Receipt.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
    /// Submission; equals the receipt.
    pub submitted_at: Timestamp,
    /// When the last share filled.
    pub filled_at: Option<Timestamp>,
    /// When its time ran out.
    pub expired_at: Option<Timestamp>,
    /// When its time will run out.
    pub expires_at: Option<Timestamp>,
    /// When a cancel was asked for.
    pub cancel_requested_at: Option<Timestamp>,
    /// When it was cancelled.
    pub canceled_at: Option<Timestamp>,
    /// When it was rejected.
    pub failed_at: Option<Timestamp>,
    /// When it was replaced.
    pub replaced_at: Option<Timestamp>,
    /// The order that took its place.
    pub replaced_by: Option<Arc<str>>,
    /// The order whose place it took.
    pub replaces: Option<Arc<str>>,
    /// The asset's id.
    pub asset_id: Arc<str>,
    /// The ticker.
    pub symbol: Arc<str>,
    /// Dollars, for an order by value.
    pub notional: Option<Decimal>,
    /// Shares, for an order by quantity.
    pub qty: Option<Decimal>,
    /// Shares filled so far.
    pub filled_qty: Decimal,
    /// Average price of those.
    pub filled_avg_price: Option<Decimal>,
    /// Grouping; always simple.
    pub order_class: OrderClass,
    /// How it finds its price.
    pub order_type: OrderType,
    /// Direction.
    pub side: Side,
    /// What it does to the position.
    pub position_intent: PositionIntent,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// Limit, also the one a triggered buy stop gets (facts 3.8).
    pub limit_price: Option<Decimal>,
    /// Stop.
    pub stop_price: Option<Decimal>,
    /// Trail in percent.
    pub trail_percent: Option<Decimal>,
    /// Trail in dollars.
    pub trail_price: Option<Decimal>,
    /// Best price since the trailing stop was placed.
    pub hwm: Option<Decimal>,
    /// Where it stands.
    pub status: OrderStatus,
    /// May it trade outside the regular session?
    pub extended_hours: bool,
    /// Who sent it.
    pub source: Option<Arc<str>>,
    /// Number within the account, from 0, in the order of submission.
    pub ordinal: u64,
}

/// Which orders `GET /v2/orders` wants by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatusFilter {
    /// Not terminal; the default.
    #[default]
    Open,
    /// Terminal.
    Closed,
    /// Both.
    All,
}

/// The filters of `GET /v2/orders` (facts 3.6).
#[derive(Debug, Clone)]
pub struct OrderFilter {
    /// By state.
    pub status: StatusFilter,
    /// At most so many, 1 to 500.
    pub limit: usize,
    /// Submitted after, exclusive.
    pub after: Option<Timestamp>,
    /// Submitted before, exclusive.
    pub until: Option<Timestamp>,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// Only these tickers, if any are named.
    pub symbols: Vec<String>,
    /// Only this direction.
    pub side: Option<Side>,
    /// Only orders older than this one, exclusive.
    pub before_order_id: Option<String>,
    /// Only orders newer than this one, exclusive.
    pub after_order_id: Option<String>,
}

impl Default for OrderFilter {
    fn default() -> Self {
        Self {
            status: StatusFilter::Open,
            limit: 50,
            after: None,
            until: None,
            ascending: false,
            symbols: Vec::new(),
            side: None,
            before_order_id: None,
            after_order_id: None,
        }
    }
}
