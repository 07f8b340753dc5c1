//! Accounts: what belongs to one, and the figures that `GET /v2/account` shows (facts 2.1, 2.3).
//!
//! Always: cash has two decimals; orders are kept in the order of submission; the set of open orders names exactly
//! those that are not terminal.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Serialize;

use super::activity::Activity;
use super::order::{Order, words};
use super::position::Position;
use crate::market::SymbolId;

words! {
    /// The host an account lives on.
    Environment {
        /// Real money, as far as the wire can tell.
        Live = "live",
        /// Play money.
        Paper = "paper",
    }
}

impl<'de> serde::Deserialize<'de> for Environment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::parse(&word).ok_or_else(|| serde::de::Error::unknown_variant(&word, &["live", "paper"]))
    }
}

/// What a new account starts with.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Whose it is; any text.
    pub person: String,
    /// Which host.
    pub environment: Environment,
    /// Opening balance; not booked as a deposit.
    pub cash: Decimal,
    /// Opening positions: ticker, signed quantity, average entry price (the price of the moment when absent).
    pub positions: Vec<(String, Decimal, Option<Decimal>)>,
    /// 1, 2 or 4: the broker's ceiling for buying power (facts 2.1).
    pub multiplier: u8,
    /// Whether the broker lets it sell short, its configuration permitting.
    pub shorting: bool,
}

impl NewAccount {
    /// An account with 100,000 dollars (facts 9.4), 2x margin and short selling allowed.
    pub fn new(person: impl Into<String>, environment: Environment) -> Self {
        Self {
            person: person.into(),
            environment,
            cash: Decimal::from(100_000),
            positions: Vec::new(),
            multiplier: 2,
            shorting: true,
        }
    }
}

/// `GET /v2/account/configurations` (facts 2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The user's own switch: no new orders.
    pub suspend_trade: bool,
    /// Long only.
    pub no_shorting: bool,
    /// May it trade fractions and by value?
    pub fractional_trading: bool,
    /// 1, 2 or 4.
    pub max_margin_multiplier: u8,
    /// `all` or `none`.
    pub trade_confirm_email: String,
    /// 0 to 3.
    pub max_options_trading_level: u8,
    /// Publicly traded partnerships without exception allowed.
    pub ptp_no_exception_entry: bool,
    /// No overnight session.
    pub disable_overnight_trading: bool,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            suspend_trade: false,
            no_shorting: false,
            fractional_trading: true,
            max_margin_multiplier: 4,
            trade_confirm_email: "all".into(),
            max_options_trading_level: 0,
            ptp_no_exception_entry: false,
            disable_overnight_trading: false,
        }
    }
}

/// A change of the configuration: any subset.
#[derive(Debug, Clone, Default)]
pub struct ConfigurationPatch {
    /// See [`Configuration`].
    pub suspend_trade: Option<bool>,
    /// See [`Configuration`].
    pub no_shorting: Option<bool>,
    /// See [`Configuration`].
    pub fractional_trading: Option<bool>,
    /// See [`Configuration`].
    pub max_margin_multiplier: Option<u8>,
    /// See [`Configuration`].
    pub trade_confirm_email: Option<String>,
    /// See [`Configuration`].
    pub max_options_trading_level: Option<u8>,
    /// See [`Configuration`].
    pub ptp_no_exception_entry: Option<bool>,
    /// See [`Configuration`].
    pub disable_overnight_trading: Option<bool>,
}

/// What the broker's side may change about an account at any time: any subset.
#[derive(Debug, Clone, Default)]
pub struct Restrictions {
    /// All activity of the user is barred.
    pub account_blocked: Option<bool>,
    /// No orders.
    pub trading_blocked: Option<bool>,
    /// No money movement.
    pub transfers_blocked: Option<bool>,
    /// Only closing orders.
    pub liquidation_only: Option<bool>,
    /// `ACTIVE`, `ACCOUNT_UPDATED`, `ACCOUNT_CLOSED`...; trading only on `ACTIVE`.
    pub status: Option<String>,
    /// The broker's ceiling for buying power: 1, 2 or 4.
    pub multiplier: Option<u8>,
    /// Whether the broker lets it sell short.
    pub shorting: Option<bool>,
}

/// `GET /v2/account` (facts 2.1), as plain values.
#[derive(Debug, Clone)]
pub struct AccountView {
    /// The account's id.
    pub id: Arc<str>,
    /// Nine characters, `PA...` on paper.
    pub account_number: Arc<str>,
    /// Which host.
    pub environment: Environment,
    /// `ACTIVE` and friends.
    pub status: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Settled and unsettled dollars; negative on margin.
    pub cash: Decimal,
    /// cash + long_market_value + short_market_value.
    pub equity: Decimal,
    /// What new orders may cost, open buys already taken off.
    pub buying_power: Decimal,
    /// The same at the overnight multiplier.
    pub regt_buying_power: Decimal,
    /// The same without margin.
    pub non_marginable_buying_power: Decimal,
    /// Options are not traded here: the same as without margin.
    pub options_buying_power: Decimal,
    /// Value of long positions.
    pub long_market_value: Decimal,
    /// Value of short positions, negative.
    pub short_market_value: Decimal,
    /// Half of the position values.
    pub initial_margin: Decimal,
    /// 30 % of the position values (all of a price under $2.50).
    pub maintenance_margin: Decimal,
    /// Equity at the last close.
    pub last_equity: Decimal,
    /// Maintenance margin at the last close.
    pub last_maintenance_margin: Decimal,
    /// The date of the two.
    pub balance_asof: Date,
    /// Special memorandum account: excess of the last close.
    pub sma: Decimal,
    /// Fees not yet booked; 0.
    pub accrued_fees: Decimal,
    /// Today's deposits, withdrawals, dividends and fees, net.
    pub intraday_adjustments: Decimal,
    /// The multiplier in force: 1, 2 or 4.
    pub multiplier: u8,
    /// No orders (the broker's switch).
    pub trading_blocked: bool,
    /// No activity at all.
    pub account_blocked: bool,
    /// No money movement.
    pub transfers_blocked: bool,
    /// The user's own switch.
    pub trade_suspended_by_user: bool,
    /// Whether it may sell short at this moment.
    pub shorting_enabled: bool,
}

/// Equity and margin at a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// The trading day.
    pub date: Date,
    /// Equity at its close.
    pub equity: Decimal,
    /// Maintenance margin at its close.
    pub maintenance_margin: Decimal,
}

/// Everything that belongs to one account.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) id: Arc<str>,
    pub(crate) number: Arc<str>,
    pub(crate) person: String,
    pub(crate) environment: Environment,
    pub(crate) created_at: Timestamp,
    pub(crate) status: String,
    pub(crate) cash: Decimal,
    pub(crate) multiplier: u8,
    pub(crate) shorting: bool,
    pub(crate) account_blocked: bool,
    pub(crate) trading_blocked: bool,
    pub(crate) transfers_blocked: bool,
    pub(crate) liquidation_only: bool,
    pub(crate) configuration: Configuration,
    pub(crate) positions: BTreeMap<SymbolId, Position>,
    pub(crate) orders: Vec<OrderCell>,
    /// Ordinals of the orders that are not terminal.
    pub(crate) open: BTreeSet<usize>,
    pub(crate) by_id: HashMap<Arc<str>, usize>,
    pub(crate) by_client_id: HashMap<Arc<str>, usize>,
    pub(crate) activities: Vec<Activity>,
    /// Cash after every change of it, oldest first: what equity was at any moment follows from this and the fills.
    pub(crate) updates_sent: u64,
}

/// An order with what only the exchange knows of it.
#[derive(Debug, Clone)]
pub(crate) struct OrderCell {
    pub(crate) order: Order,
    pub(crate) symbol: SymbolId,
}
