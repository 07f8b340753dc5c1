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
    /// Nine characters, on paper twelve that begin with `PA3`.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// What all its luck is drawn from.
    pub(crate) key: u64,
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
    /// Balances at the closes that have passed, oldest first.
    pub(crate) balances: Vec<Balance>,
    /// Closes up to here are in the balances.
    pub(crate) rolled_until: Timestamp,
    /// Cash, or cash and one position, after every change of them.
    pub(crate) journal: Vec<JournalEntry>,
    /// Equity on the day of opening, before any close.
    pub(crate) opening_equity: Decimal,
    /// Updates sent so far: the sequence of the last one.
    pub(crate) updates_sent: u64,
    /// The last day whose fees are due or booked.
    pub(crate) fees_due: Option<Date>,
    /// Rows of activities so far, for their ids.
    pub(crate) rows: u64,
}

/// What the account held right after a change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JournalEntry {
    pub(crate) at: Timestamp,
    pub(crate) cash: Decimal,
    pub(crate) position: Option<(SymbolId, Decimal)>,
}

/// An order with what only the exchange knows of it.
#[derive(Debug, Clone)]
pub(crate) struct OrderCell {
    pub(crate) order: Order,
    pub(crate) symbol: SymbolId,
    /// Whether it adds to a position: such orders keep buying power, the others hold shares.
    pub(crate) opening: bool,
    /// Dollars that an opening order keeps from the buying power, per share.
    pub(crate) reserve: Decimal,
    /// Shares that a closing order by value holds; orders by quantity hold what is left of them.
    pub(crate) held: Decimal,
    /// Dollars of an order by value that are filled.
    pub(crate) spent: Decimal,
    /// Only timers of this generation count.
    pub(crate) generation: u32,
    /// Whether a stop has been reached.
    pub(crate) triggered: bool,
    /// Until when the path of the price has been followed, for stops.
    pub(crate) looked_at: Timestamp,
    /// When its time in force ends.
    pub(crate) ends_at: Timestamp,
    /// For a replacement on its way: the order it replaces.
    pub(crate) takes_over: Option<usize>,
    /// For a replacement on its way: dollars and shares it keeps beyond what the old order keeps.
    pub(crate) excess: (Decimal, Decimal),
    /// For a replacement: what the old order had filled when it was asked for.
    pub(crate) filled_before: Decimal,
    /// Whether it found trading halted when it looked.
    pub(crate) parked: bool,
    /// Executions so far.
    pub(crate) executions: u64,
}

impl OrderCell {
    /// Shares left of an order by quantity; 0 for one by value.
    pub(crate) fn shares_left(&self) -> Decimal {
        self.order.qty.map_or(Decimal::ZERO, |qty| (qty - self.order.filled_qty).max(Decimal::ZERO))
    }

    /// Dollars left of an order by value; 0 for one by quantity.
    pub(crate) fn dollars_left(&self) -> Decimal {
        self.order.notional.map_or(Decimal::ZERO, |notional| (notional - self.spent).max(Decimal::ZERO))
    }

    /// Buying power it keeps.
    pub(crate) fn reserved(&self) -> Decimal {
        if !self.opening {
            Decimal::ZERO
        } else if self.takes_over.is_some() {
            self.excess.0.max(Decimal::ZERO)
        } else if self.order.notional.is_some() {
            self.dollars_left()
        } else {
            (self.reserve * self.shares_left()).round_dp(2)
        }
    }

    /// Shares it holds.
    pub(crate) fn holds(&self) -> Decimal {
        if self.opening {
            Decimal::ZERO
        } else if self.takes_over.is_some() {
            self.excess.1.max(Decimal::ZERO)
        } else if self.order.notional.is_some() {
            (self.held - self.order.filled_qty).max(Decimal::ZERO)
        } else {
            self.shares_left()
        }
    }
}

impl Account {
    /// Open orders with their ordinals, oldest first.
    pub(crate) fn open_orders(&self) -> impl Iterator<Item = (usize, &OrderCell)> {
        self.open.iter().filter_map(|ordinal| self.orders.get(*ordinal).map(|cell| (*ordinal, cell)))
    }

    /// Signed quantity held of a symbol.
    pub(crate) fn quantity(&self, symbol: SymbolId) -> Decimal {
        self.positions.get(&symbol).map_or(Decimal::ZERO, |position| position.qty)
    }

    /// Shares of a symbol that open orders hold.
    pub(crate) fn held(&self, symbol: SymbolId) -> Decimal {
        self.open_orders().filter(|(_, cell)| cell.symbol == symbol).map(|(_, cell)| cell.holds()).sum()
    }

    /// Buying power that open orders keep.
    pub(crate) fn reserved(&self) -> Decimal {
        self.open_orders().map(|(_, cell)| cell.reserved()).sum()
    }

    /// Writes down what there is after a change.
    pub(crate) fn note(&mut self, at: Timestamp, symbol: Option<SymbolId>) {
        let position = symbol.map(|symbol| (symbol, self.quantity(symbol)));
        self.journal.push(JournalEntry { at, cash: self.cash, position });
    }

    /// Sets a position; no shares, no position.
    pub(crate) fn set_position(&mut self, symbol: SymbolId, position: Position) {
        if position.qty.is_zero() {
            self.positions.remove(&symbol);
        } else {
            self.positions.insert(symbol, position);
        }
    }
}
