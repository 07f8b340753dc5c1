//! The exchange: accounts, orders, positions and money; no HTTP, no clock of its own.
//!
//! Always: time is an argument and never runs backwards (an earlier `now` counts as the latest one seen); everything
//! that falls due until `now` happens first, in the order of time; the same seed and the same requests at the same
//! times give the same answers, and one account's requests never change another account's luck.
//!
//! Reading order: `order`, `account`, `position`, `asset`, `activity`, `event`, `refusal` are nouns; `admin` opens
//! accounts; `figures` values them; `rules` and `funds` say no; `submit` and `lifecycle` move orders; `matching` fills
//! them; `timers` remembers what is due; `corporate` splits and pays; `fees` charges; `query` and `history` look back.
//!
//! Where the documents leave a choice, this exchange: cancels and replaces a moment after it was asked to (at once for
//! queued orders); ends an unfilled day order as `expired`; takes client ids as unique for ever within an account;
//! lets after-hours orders trade around the last close; knows no overnight session (20:00 to 04:00), orders for it
//! wait until 04:00; takes simple orders only; lends and borrows without interest; has no intraday margin calls.

#![allow(
    clippy::missing_errors_doc,
    reason = "every method refuses with `Refusal`, which says what can be refused and why"
)]
#![allow(
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    reason = "accounts and assets are sets of switches on the wire, with these names"
)]

pub mod account;
pub mod activity;
mod admin;
pub mod asset;
mod corporate;
mod corrections;
pub mod event;
mod fees;
mod figures;
mod funds;
mod history;
mod lifecycle;
mod matching;
pub mod order;
pub mod position;
mod query;
pub mod refusal;
mod rules;
mod submit;
mod timers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;

use self::account::{Account, OrderCell};
use self::activity::{Activity, ActivityDetail};
use self::asset::Asset;
use self::event::{TradeEvent, TradeUpdate};
pub use self::history::{History, HistoryPoint, HistoryRequest, HistoryStep};
pub use self::lifecycle::CancelOutcome;
use self::order::Order;
use self::refusal::Refusal;
pub use self::submit::{CloseAmount, CloseOutcome};
use self::timers::{Action, Timer, Timers};
use crate::market::sessions::{in_new_york, new_york_date};
use crate::market::{Market, SymbolId};
use crate::seeded;

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

impl Default for ExchangeConfig {
    fn default() -> Self {
        Self { seed: 0, partial_fill_percent: 10, fill_latency_ms: (100, 700) }
    }
}

/// The beginning of 1990, the first year of prices and sessions.
const EARLIEST: Timestamp = Timestamp::constant(631_152_000, 0);
/// The beginning of 2100, long after the last session.
const LATEST: Timestamp = Timestamp::constant(4_102_444_800, 0);

/// The exchange.
#[derive(Debug)]
pub struct Exchange {
    config: ExchangeConfig,
    market: Market,
    /// The latest moment seen.
    now: Timestamp,
    accounts: Vec<Account>,
    by_account: HashMap<Arc<str>, usize>,
    /// By symbol number.
    assets: Vec<Asset>,
    by_asset: HashMap<Arc<str>, SymbolId>,
    timers: Timers,
    updates: Vec<TradeUpdate>,
}

impl Exchange {
    /// An exchange without accounts.
    pub fn new(config: ExchangeConfig, market: Market) -> Self {
        let assets: Vec<Asset> = market.listings().iter().map(Asset::listed).collect();
        let by_asset = (0_u32..).zip(&assets).map(|(number, asset)| (asset.id.clone(), SymbolId(number))).collect();
        Self {
            config,
            market,
            now: EARLIEST,
            accounts: Vec::new(),
            by_account: HashMap::new(),
            assets,
            by_asset,
            timers: Timers::default(),
            updates: Vec::new(),
        }
    }

    /// Prices and sessions. Latest quotes: `market().quote(symbol, now)`.
    pub fn market(&self) -> &Market {
        &self.market
    }

    /// Lets everything happen that is due until `now`, in the order of time. Every other method does so first.
    /// Moments outside 1990 to 2100 count as the nearest of these.
    pub fn advance(&mut self, now: Timestamp) {
        let now = now.clamp(EARLIEST, LATEST);
        while let Some(timer) = self.timers.pop_due(now) {
            self.now = self.now.max(timer.at);
            self.ring(timer);
        }
        self.now = self.now.max(now);
    }

    /// When the next thing falls due, so that a ticker can sleep until then.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Takes all messages for the streams since the last call, oldest first.
    pub fn take_updates(&mut self) -> Vec<TradeUpdate> {
        std::mem::take(&mut self.updates)
    }

    /// Ids of all accounts, in the order of opening.
    pub fn accounts(&self) -> Vec<Arc<str>> {
        self.accounts.iter().map(|account| account.id.clone()).collect()
    }

    /// Every order of every account, by account in the order of opening, then in the order of submission, each with
    /// the account's id.
    pub fn ledger(&self) -> Vec<(Arc<str>, Order)> {
        let orders = |account: &Account| {
            let id = account.id.clone();
            account.orders.iter().map(move |cell| (id.clone(), cell.order.clone())).collect::<Vec<_>>()
        };
        self.accounts.iter().flat_map(orders).collect()
    }

    fn ring(&mut self, timer: Timer) {
        let Timer { at, account, order, action, generation } = timer;
        match action {
            Action::End => self.end(account, order, at),
            Action::Route => self.route(account, order, at),
            Action::TakeOver => self.take_over(account, order, at),
            Action::Cancel => self.cancel_arrives(account, order, at),
            Action::Fees => self.book_fees(account, at),
            Action::Work => {
                if self.cell(account, order).is_some_and(|cell| cell.generation == generation) {
                    self.work(account, order, at);
                }
            }
        }
    }

    /// Advances, and says what time it is.
    fn enter(&mut self, now: Timestamp) -> Timestamp {
        self.advance(now);
        self.now
    }

    fn index(&self, account: &str) -> Result<usize, Refusal> {
        self.by_account.get(account).copied().ok_or(Refusal::UnknownAccount)
    }

    fn read(&self, account: &str) -> Result<&Account, Refusal> {
        self.accounts.get(self.index(account)?).ok_or(Refusal::UnknownAccount)
    }

    fn write(&mut self, account: &str) -> Result<&mut Account, Refusal> {
        let index = self.index(account)?;
        self.accounts.get_mut(index).ok_or(Refusal::UnknownAccount)
    }

    fn cell(&self, account: usize, order: usize) -> Option<&OrderCell> {
        self.accounts.get(account)?.orders.get(order)
    }

    fn cell_mut(&mut self, account: usize, order: usize) -> Option<&mut OrderCell> {
        self.accounts.get_mut(account)?.orders.get_mut(order)
    }

    /// The symbol of a ticker or an asset id.
    fn symbol(&self, symbol_or_id: &str) -> Option<SymbolId> {
        self.market.symbol(symbol_or_id).or_else(|| self.by_asset.get(symbol_or_id).copied())
    }

    /// Tells the account's streams what happened to an order.
    fn publish(&mut self, account: usize, order: usize, at: Timestamp, event: TradeEvent) {
        self.publish_news(account, order, at, (event, None));
    }

    /// The same with the quantity and price of an execution.
    fn publish_news(
        &mut self,
        account: usize,
        order: usize,
        at: Timestamp,
        (event, execution): (TradeEvent, Option<(Decimal, Decimal)>),
    ) {
        let seed = self.config.seed;
        let Some(account) = self.accounts.get_mut(account) else { return };
        account.updates_sent += 1;
        let sequence = account.updates_sent;
        let Some(cell) = account.orders.get(order) else { return };
        let name = format!("{}/{sequence}", account.number);
        self.updates.push(TradeUpdate {
            account: account.id.clone(),
            sequence,
            event,
            at,
            execution_id: seeded::uuid(seed, "execution", &name).into(),
            price: execution.map(|(_, price)| price),
            qty: execution.map(|(qty, _)| qty),
            position_qty: execution.map(|_| account.quantity(cell.symbol)),
            order: cell.order.clone(),
        });
    }

    /// Books a row; its id begins with the moment in New York.
    fn book(&mut self, account: usize, at: Timestamp, detail: ActivityDetail) -> Option<Activity> {
        let seed = self.config.seed;
        let account = self.accounts.get_mut(account)?;
        account.rows += 1;
        let uuid = seeded::uuid(seed, "activity", &format!("{}/{}", account.number, account.rows));
        let id = format!("{}::{uuid}", in_new_york(at).strftime("%Y%m%d%H%M%S%3f"));
        let row = Activity { id: id.into(), at, date: new_york_date(at), detail };
        account.activities.push(row.clone());
        Some(row)
    }
}
