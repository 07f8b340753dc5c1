//! New orders: `POST /v2/orders` and the closing of positions (facts 3.1, 4.1).
//!
//! Always: checks go from the request itself over the client's id, the account, the asset and the time of day to the
//! books; the first broken rule answers and nothing has changed. An accepted order is answered as `pending_new`, or
//! as `accepted` when it waits for a session.

use std::sync::Arc;

use jiff::civil::Time;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use rust_decimal::{Decimal, RoundingStrategy};

use super::Exchange;
use super::account::OrderCell;
use super::event::TradeEvent;
use super::funds::{Commitment, Demand};
use super::order::{Order, OrderClass, OrderRequest, OrderStatus, OrderType, Side, TimeInForce};
use super::refusal::Refusal;
use super::rules::{self, Core};
use super::timers::{Action, Timer};
use crate::market::sessions::{self, Calendar, new_york_date};
use crate::market::{SymbolId, dice};
use crate::seeded;

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
    /// Everything.
    #[default]
    All,
    /// So many shares.
    Qty(Decimal),
    /// So much of it, 0 to 100.
    Percentage(Decimal),
}

/// When an order works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    /// From when on it is at the venue; not after `now` for one that goes there at once.
    pub(crate) starts_at: Timestamp,
    /// When its time in force ends.
    pub(crate) ends_at: Timestamp,
}

/// When an order that arrives now works; nothing when the calendar has ended.
pub(crate) fn life(calendar: &Calendar, time_in_force: TimeInForce, extended: bool, now: Timestamp) -> Option<Life> {
    let today = if extended { calendar.next_to_end(now)? } else { calendar.next_to_close(now)? };
    let (opens, closes) =
        if extended { (today.extended_open, today.extended_close) } else { (today.open, today.close) };
    Some(match time_in_force {
        TimeInForce::Day => Life { starts_at: opens, ends_at: closes },
        TimeInForce::Gtc => {
            let date = new_york_date(now).checked_add(90.days()).ok()?;
            Life { starts_at: opens, ends_at: sessions::moment(date, Time::constant(16, 15, 0, 0))? }
        }
        TimeInForce::Opg => {
            let open = calendar.next_to_open(now)?.open;
            Life { starts_at: open, ends_at: open }
        }
        TimeInForce::Cls => Life { starts_at: closes, ends_at: closes },
        TimeInForce::Ioc | TimeInForce::Fok => Life { starts_at: now, ends_at: closes },
    })
}

/// What is known of a request that passed every rule.
#[derive(Debug, Clone, Copy)]
struct Passed {
    symbol: SymbolId,
    core: Core,
    commitment: Commitment,
}

impl Exchange {
    /// `POST /v2/orders`.
    pub fn submit(&mut self, now: Timestamp, account: &str, request: OrderRequest) -> Result<Order, Refusal> {
        let now = self.enter(now);
        let index = self.index(account)?;
        let core = rules::shape(&request)?;
        let found = self.accounts.get(index).ok_or(Refusal::UnknownAccount)?;
        if let Some(id) = &request.client_order_id
            && found.by_client_id.contains_key(id.as_str())
        {
            return Err(Refusal::DuplicateClientOrderId);
        }
        Self::may_trade(found)?;
        let ticker = request.symbol.as_deref().unwrap_or_default();
        let symbol = self.symbol(ticker);
        let symbol = symbol.ok_or_else(|| Refusal::Unprocessable(format!("could not find asset \"{ticker}\"")))?;
        let asset = self.assets.get(symbol.index()).ok_or(Refusal::AssetNotFound(ticker.to_owned()))?;
        rules::asset(asset, core.fractional, found.configuration.fractional_trading)?;
        rules::coherence(&request, core)?;
        rules::window(self.market.calendar(), core.time_in_force, now)?;
        let demand = Demand {
            symbol,
            side: core.side,
            order_type: core.order_type,
            qty: request.qty,
            notional: request.notional,
            limit_price: request.limit_price,
            stop_price: request.stop_price,
            given_back: Decimal::ZERO,
        };
        let commitment = self.commit(found, demand, now)?;
        Ok(self.accept(index, request, Passed { symbol, core, commitment }, now))
    }

    /// Enters an order that passed every rule.
    fn accept(&mut self, account: usize, request: OrderRequest, passed: Passed, now: Timestamp) -> Order {
        let Passed { symbol, core, commitment } = passed;
        let life = life(self.market.calendar(), core.time_in_force, request.extended_hours, now);
        let life = life.unwrap_or(Life { starts_at: Timestamp::MAX, ends_at: Timestamp::MAX });
        let at_once = life.starts_at <= now;
        let (id, client_order_id, ordinal) = self.order_ids(account, request.client_order_id);
        let asset_id = self.assets.get(symbol.index()).map_or_else(|| Arc::from(""), |asset| asset.id.clone());
        let hwm = (core.order_type == OrderType::TrailingStop).then(|| self.market.price_of(symbol, now));
        let order = Order {
            id,
            client_order_id,
            created_at: now,
            updated_at: now,
            submitted_at: now,
            filled_at: None,
            expired_at: None,
            expires_at: (life.ends_at != Timestamp::MAX).then_some(life.ends_at),
            cancel_requested_at: None,
            canceled_at: None,
            failed_at: None,
            replaced_at: None,
            replaced_by: None,
            replaces: None,
            asset_id,
            symbol: self.market.ticker(symbol),
            notional: request.notional.map(|value| value.normalize()),
            qty: request.qty.map(|value| value.normalize()),
            filled_qty: Decimal::ZERO,
            filled_avg_price: None,
            order_class: OrderClass::Simple,
            order_type: core.order_type,
            side: core.side,
            position_intent: request.position_intent.unwrap_or(commitment.intent),
            time_in_force: core.time_in_force,
            limit_price: request.limit_price.map(|value| value.normalize()),
            stop_price: request.stop_price.map(|value| value.normalize()),
            trail_percent: request.trail_percent.map(|value| value.normalize()),
            trail_price: request.trail_price.map(|value| value.normalize()),
            hwm,
            status: if at_once { OrderStatus::PendingNew } else { OrderStatus::Accepted },
            extended_hours: request.extended_hours,
            source: request.source.map(Arc::from),
            ordinal: ordinal as u64,
        };
        let cell = OrderCell::new(order.clone(), symbol, commitment, life.ends_at, now);
        self.enter_cell(account, cell);
        let event = if at_once { TradeEvent::PendingNew } else { TradeEvent::Accepted };
        self.publish(account, ordinal, now, event);
        self.schedule(account, ordinal, life, now);
        order
    }

    /// The exchange's id, the client's id and the ordinal of the account's next order.
    pub(super) fn order_ids(&self, account: usize, client_id: Option<String>) -> (Arc<str>, Arc<str>, usize) {
        let Some(account) = self.accounts.get(account) else { return (Arc::from(""), Arc::from(""), 0) };
        let ordinal = account.orders.len();
        let name = format!("{}/{ordinal}", account.number);
        let id = seeded::uuid(self.config.seed, "order", &name).into();
        let client_id = client_id.filter(|id| !id.is_empty());
        let client_id = client_id.unwrap_or_else(|| seeded::uuid(self.config.seed, "client order id", &name));
        (id, client_id.into(), ordinal)
    }

    /// Adds an order to its account's books.
    pub(super) fn enter_cell(&mut self, account: usize, cell: OrderCell) {
        let Some(account) = self.accounts.get_mut(account) else { return };
        let ordinal = account.orders.len();
        account.by_id.insert(cell.order.id.clone(), ordinal);
        account.by_client_id.insert(cell.order.client_order_id.clone(), ordinal);
        account.open.insert(ordinal);
        account.orders.push(cell);
    }

    /// Sets the timers of a new order.
    fn schedule(&mut self, account: usize, order: usize, life: Life, now: Timestamp) {
        if life.starts_at == Timestamp::MAX {
            return;
        }
        let begins = life.starts_at.max(now);
        let latency = self.latency(account, order, 0);
        let timer = |at, action| Timer { at, account, order, action, generation: 0 };
        let time_in_force = self.cell(account, order).map(|cell| cell.order.time_in_force);
        if matches!(time_in_force, Some(TimeInForce::Opg | TimeInForce::Cls)) {
            self.wake(account, order, life.starts_at);
            return;
        }
        // An order at the venue before the close is filled or waits before the close.
        let last = (life.ends_at - SignedDuration::from_millis(1)).max(begins);
        self.timers.add(timer((begins + latency / 2).min(last), Action::Route));
        self.wake(account, order, (begins + latency).min(last));
        self.timers.add(timer(life.ends_at.max(now), Action::End));
    }

    /// How long a message to the venue takes; every purpose of every order has its own.
    pub(super) fn latency(&self, account: usize, order: usize, purpose: u64) -> SignedDuration {
        let (least, most) = self.config.fill_latency_ms;
        let luck = self.luck(account, order, purpose);
        let spread = u64::from(most.saturating_sub(least)) + 1;
        let extra = u32::try_from(dice::below(luck, spread)).unwrap_or(0);
        SignedDuration::from_millis(i64::from(least) + i64::from(extra))
    }

    /// A number for one purpose of one order.
    pub(super) fn luck(&self, account: usize, order: usize, purpose: u64) -> u64 {
        let key = self.accounts.get(account).map_or(0, |account| account.key);
        dice::pair(dice::pair(key, order as u64), purpose)
    }

    /// `DELETE /v2/positions/{symbol_or_asset_id}`: the closing order, a market order for the day.
    pub fn close_position(
        &mut self,
        now: Timestamp,
        account: &str,
        symbol: &str,
        amount: CloseAmount,
    ) -> Result<Order, Refusal> {
        let now = self.enter(now);
        let found = self.read(account)?;
        let symbol = self.symbol(symbol).ok_or(Refusal::PositionNotFound)?;
        let position = found.quantity(symbol);
        if position.is_zero() {
            return Err(Refusal::PositionNotFound);
        }
        let size = position.abs();
        let qty = match amount {
            CloseAmount::All => size,
            CloseAmount::Qty(qty) => {
                rules::quantity(qty)?;
                qty
            }
            CloseAmount::Percentage(percent) if percent > Decimal::ZERO && percent <= Decimal::from(100) => {
                let digits = if size.fract().is_zero() { 0 } else { 9 };
                let part = size * percent / Decimal::from(100);
                part.round_dp_with_strategy(digits, RoundingStrategy::ToZero)
            }
            CloseAmount::Percentage(_) => {
                return Err(Refusal::Malformed("percentage must be between 0 and 100".into()));
            }
        };
        let request = OrderRequest {
            symbol: Some(self.market.ticker(symbol).to_string()),
            qty: Some(qty),
            side: Some(if position.is_sign_negative() { Side::Buy } else { Side::Sell }),
            order_type: Some(OrderType::Market),
            time_in_force: Some(TimeInForce::Day),
            ..OrderRequest::default()
        };
        self.submit(now, account, request)
    }

    /// `DELETE /v2/positions`. With `cancel_orders`, all open orders are cancelled at once, so that their shares are
    /// free.
    pub fn close_all_positions(
        &mut self,
        now: Timestamp,
        account: &str,
        cancel_orders: bool,
    ) -> Result<Vec<CloseOutcome>, Refusal> {
        let now = self.enter(now);
        let index = self.index(account)?;
        if cancel_orders {
            let open: Vec<usize> = self.read(account)?.open.iter().copied().collect();
            for order in open {
                self.finish(index, order, now, OrderStatus::Canceled);
            }
        }
        let symbols: Vec<SymbolId> = self.read(account)?.positions.keys().copied().collect();
        let close = |symbol| {
            let ticker = self.market.ticker(symbol);
            let result = self.close_position(now, account, &ticker, CloseAmount::All);
            CloseOutcome { symbol: ticker, result }
        };
        Ok(symbols.into_iter().map(close).collect())
    }
}
