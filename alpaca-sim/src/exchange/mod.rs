//! The exchange: accounts, orders, positions and money; no HTTP, no clock of its own.
//!
//! Always: time is an argument and never runs backwards (an earlier `now` counts as the latest one seen); everything
//! that falls due until `now` happens first, in the order of time; the same seed and the same requests at the same
//! times give the same answers, and one account's requests never change another account's luck.
//!
//! Reading order: `order`, `account`, `position`, `asset`, `activity`, `event`, `refusal` are nouns; `rules` says no;
//! `lifecycle` moves orders; `matching` fills them; `timers` remembers what is due; `corporate` splits and pays;
//! `history` looks back; `ledger` is the judge's view.

pub mod account;
pub mod activity;
pub mod asset;
pub mod event;
pub mod order;
pub mod position;
pub mod refusal;

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;

use self::account::{AccountView, Configuration, ConfigurationPatch, NewAccount, Restrictions};
use self::activity::{Activity, ActivityFilter};
use self::asset::{Asset, AssetFilter, AssetPatch};
use self::event::TradeUpdate;
use self::order::{Order, OrderFilter, OrderRequest, OrderStatus, ReplaceRequest};
use self::position::PositionView;
use self::refusal::Refusal;
use crate::market::Market;

/// How the exchange behaves.
#[derive(Debug, Clone)]
pub struct ExchangeConfig {
    /// Every choice follows from it.
    pub seed: u64,
    /// Share of eligible fills that are partial, in percent (facts 9.4).
    pub partial_fill_percent: u8,
    /// Milliseconds from submission to fill: least and most.
    pub fill_latency_ms: (u32, u32),
}

/// One item of `DELETE /v2/orders`: the order and whether it could be cancelled (204, else 500; facts 3.7).
#[derive(Debug, Clone)]
pub struct CancelOutcome {
    /// The order.
    pub id: Arc<str>,
    /// 204 or 500.
    pub status: u16,
}

/// One item of `DELETE /v2/positions`.
#[derive(Debug, Clone)]
pub struct CloseOutcome {
    /// The ticker.
    pub symbol: Arc<str>,
    /// The closing order, or why there is none.
    pub result: Result<Order, Refusal>,
}

/// How much of a position to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CloseAmount {
    /// Everything that is available.
    #[default]
    All,
    /// So many shares.
    Qty(Decimal),
    /// So much of it, 0 to 100.
    Percentage(Decimal),
}

/// What `GET /v2/account/portfolio/history` asks for, resolved by the caller to a span (facts 4.5).
#[derive(Debug, Clone)]
pub struct HistoryRequest {
    /// First moment.
    pub start: Timestamp,
    /// Last moment; cut at `now`.
    pub end: Timestamp,
    /// Length of a step.
    pub step: HistoryStep,
    /// Only the regular session (the default) or 04:00 to 20:00; no meaning for days.
    pub extended_hours: bool,
}

/// Length of a step of the portfolio history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryStep {
    /// 1, 5, 15 or 60 minutes.
    Minutes(u32),
    /// Trading days, at their closes.
    Day,
}

/// One point of the portfolio history.
#[derive(Debug, Clone, Copy)]
pub struct HistoryPoint {
    /// Beginning of the step; for days, midnight in New York.
    pub at: Timestamp,
    /// Equity at the end of the step.
    pub equity: Decimal,
    /// Deposits less withdrawals within the step.
    pub deposits: Decimal,
    /// Dividends within the step.
    pub dividends: Decimal,
    /// Fees within the step, negative.
    pub fees: Decimal,
}

/// The answer: points, and the close before the first of them.
#[derive(Debug, Clone)]
pub struct History {
    /// Oldest first.
    pub points: Vec<HistoryPoint>,
    /// Equity to compare with.
    pub base_value: Decimal,
    /// The trading day whose close that is, if it is one.
    pub base_value_asof: Option<Date>,
}

/// The exchange.
#[derive(Debug)]
pub struct Exchange {
    config: ExchangeConfig,
    market: Market,
}

impl Exchange {
    /// An exchange without accounts.
    pub fn new(config: ExchangeConfig, market: Market) -> Self {
        Self { config, market }
    }

    /// Prices and sessions. Latest quotes: `market().quote(symbol, now)`.
    pub fn market(&self) -> &Market {
        &self.market
    }

    /// Lets everything happen that is due until `now`, in the order of time. Every other method does so first.
    pub fn advance(&mut self, now: Timestamp) {
        todo!()
    }

    /// When the next thing falls due, so that a ticker can sleep until then.
    pub fn next_due(&self) -> Option<Timestamp> {
        todo!()
    }

    /// Takes all messages for the streams since the last call, oldest first.
    pub fn take_updates(&mut self) -> Vec<TradeUpdate> {
        todo!()
    }

    // Accounts.

    /// Opens an account and returns its id.
    pub fn open_account(&mut self, now: Timestamp, new: NewAccount) -> Result<Arc<str>, Refusal> {
        todo!()
    }

    /// Ids of all accounts, in the order of opening.
    pub fn accounts(&self) -> Vec<Arc<str>> {
        todo!()
    }

    /// The account's figures.
    pub fn account(&mut self, now: Timestamp, account: &str) -> Result<AccountView, Refusal> {
        todo!()
    }

    /// Its configuration.
    pub fn configuration(&self, account: &str) -> Result<Configuration, Refusal> {
        todo!()
    }

    /// Changes its configuration and returns the whole.
    pub fn configure(
        &mut self,
        now: Timestamp,
        account: &str,
        patch: ConfigurationPatch,
    ) -> Result<Configuration, Refusal> {
        todo!()
    }

    /// Control: blocks, status, ceiling.
    pub fn restrict(&mut self, now: Timestamp, account: &str, change: Restrictions) -> Result<(), Refusal> {
        todo!()
    }

    /// Control: money in (`CSD`, positive) or out (`CSW`, negative).
    pub fn transfer(&mut self, now: Timestamp, account: &str, amount: Decimal) -> Result<Activity, Refusal> {
        todo!()
    }

    /// Control: a fee (positive amount taken from the cash; `FEE`).
    pub fn charge_fee(
        &mut self,
        now: Timestamp,
        account: &str,
        amount: Decimal,
        description: &str,
    ) -> Result<Activity, Refusal> {
        todo!()
    }

    /// Control: sets a position to a quantity, without any order or money, as a journal of shares would (`JNLS`).
    pub fn set_position(
        &mut self,
        now: Timestamp,
        account: &str,
        symbol: &str,
        qty: Decimal,
        avg_entry_price: Option<Decimal>,
    ) -> Result<(), Refusal> {
        todo!()
    }

    // Orders.

    /// `POST /v2/orders`.
    pub fn submit(&mut self, now: Timestamp, account: &str, request: OrderRequest) -> Result<Order, Refusal> {
        todo!()
    }

    /// `GET /v2/orders`.
    pub fn orders(&mut self, now: Timestamp, account: &str, filter: &OrderFilter) -> Result<Vec<Order>, Refusal> {
        todo!()
    }

    /// `GET /v2/orders/{id}`.
    pub fn order(&mut self, now: Timestamp, account: &str, id: &str) -> Result<Order, Refusal> {
        todo!()
    }

    /// `GET /v2/orders:by_client_order_id`.
    pub fn order_by_client_id(
        &mut self,
        now: Timestamp,
        account: &str,
        client_order_id: &str,
    ) -> Result<Order, Refusal> {
        todo!()
    }

    /// `PATCH /v2/orders/{id}`: the new order.
    pub fn replace(
        &mut self,
        now: Timestamp,
        account: &str,
        id: &str,
        request: ReplaceRequest,
    ) -> Result<Order, Refusal> {
        todo!()
    }

    /// `DELETE /v2/orders/{id}`: accepted, and carried out a moment later.
    pub fn cancel(&mut self, now: Timestamp, account: &str, id: &str) -> Result<(), Refusal> {
        todo!()
    }

    /// `DELETE /v2/orders`.
    pub fn cancel_all(&mut self, now: Timestamp, account: &str) -> Result<Vec<CancelOutcome>, Refusal> {
        todo!()
    }

    /// Control: puts an order that is not terminal into any status, e.g. `rejected`, `held`, `done_for_day`,
    /// `suspended`; in a status other than the working ones it does not fill until it is set back to `new`.
    pub fn force_status(
        &mut self,
        now: Timestamp,
        account: &str,
        id: &str,
        status: OrderStatus,
    ) -> Result<Order, Refusal> {
        todo!()
    }

    // Positions.

    /// `GET /v2/positions`, by ticker.
    pub fn positions(&mut self, now: Timestamp, account: &str) -> Result<Vec<PositionView>, Refusal> {
        todo!()
    }

    /// `GET /v2/positions/{symbol_or_asset_id}`.
    pub fn position(&mut self, now: Timestamp, account: &str, symbol: &str) -> Result<PositionView, Refusal> {
        todo!()
    }

    /// `DELETE /v2/positions/{symbol_or_asset_id}`: the closing order.
    pub fn close_position(
        &mut self,
        now: Timestamp,
        account: &str,
        symbol: &str,
        amount: CloseAmount,
    ) -> Result<Order, Refusal> {
        todo!()
    }

    /// `DELETE /v2/positions`.
    pub fn close_all_positions(
        &mut self,
        now: Timestamp,
        account: &str,
        cancel_orders: bool,
    ) -> Result<Vec<CloseOutcome>, Refusal> {
        todo!()
    }

    // Assets.

    /// `GET /v2/assets`, by ticker.
    pub fn assets(&self, filter: &AssetFilter) -> Vec<Asset> {
        todo!()
    }

    /// `GET /v2/assets/{symbol_or_id}`.
    pub fn asset(&self, symbol_or_id: &str) -> Result<Asset, Refusal> {
        todo!()
    }

    /// Control: halts, lists, delists.
    pub fn change_asset(&mut self, now: Timestamp, symbol: &str, patch: AssetPatch) -> Result<Asset, Refusal> {
        todo!()
    }

    /// Control: a split of `new` shares for `old` ones, effective at `now` in all accounts and prices.
    pub fn split(&mut self, now: Timestamp, symbol: &str, old: u32, new: u32) -> Result<(), Refusal> {
        todo!()
    }

    /// Control: a cash dividend per share, paid at `now` on what every account holds (short positions pay).
    /// Alpaca's paper accounts get none (facts 9.4), so only live accounts do, unless `paper_too`.
    pub fn dividend(
        &mut self,
        now: Timestamp,
        symbol: &str,
        per_share: Decimal,
        paper_too: bool,
    ) -> Result<usize, Refusal> {
        todo!()
    }

    /// Control: pins the price of a symbol from `now` on, or lets it go back to its path (`None`).
    pub fn pin_price(&mut self, now: Timestamp, symbol: &str, price: Option<Decimal>) -> Result<(), Refusal> {
        todo!()
    }

    /// Control: multiplies the path of a symbol from `now` on (1.1 = a jump up by 10 %).
    pub fn scale_price(&mut self, now: Timestamp, symbol: &str, factor: Decimal) -> Result<(), Refusal> {
        todo!()
    }

    // Looking back.

    /// `GET /v2/account/activities`.
    pub fn activities(
        &mut self,
        now: Timestamp,
        account: &str,
        filter: &ActivityFilter,
    ) -> Result<Vec<Activity>, Refusal> {
        todo!()
    }

    /// `GET /v2/account/portfolio/history`.
    pub fn history(&mut self, now: Timestamp, account: &str, request: &HistoryRequest) -> Result<History, Refusal> {
        todo!()
    }

    /// Every order of every account, by account in the order of opening, then in the order of submission, each with
    /// the account's id.
    pub fn ledger(&self) -> Vec<(Arc<str>, Order)> {
        todo!()
    }
}
