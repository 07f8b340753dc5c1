//! Tests of the exchange as its callers see it: one account at a desk, with a clock that is moved by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod changes;
mod corrections;
mod corporate;
mod fills;
mod hours;
mod money;
mod property;
mod refusals;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::account::{AccountView, Environment, NewAccount};
use super::event::TradeEvent;
use super::order::{Order, OrderRequest, OrderStatus, OrderType, Side, TimeInForce};
use super::refusal::Refusal;
use super::{Exchange, ExchangeConfig};
use crate::market::{Market, MarketConfig};

/// Tuesday, half an hour after the opening.
pub(crate) const MORNING: &str = "2022-03-01T15:00:00Z";

pub(crate) fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// One account, one clock.
pub(crate) struct Desk {
    pub(crate) exchange: Exchange,
    pub(crate) now: Timestamp,
    pub(crate) account: Arc<str>,
}

pub(crate) fn exchange(partial_fill_percent: u8) -> Exchange {
    let market = Market::new(MarketConfig { seed: 42, ..MarketConfig::default() }).unwrap();
    Exchange::new(ExchangeConfig { seed: 42, partial_fill_percent, ..ExchangeConfig::default() }, market)
}

impl Desk {
    /// A paper account with 100,000 dollars on a Tuesday morning; orders fill whole.
    pub(crate) fn new() -> Self {
        Self::with(0, NewAccount::new("ann", Environment::Paper))
    }

    pub(crate) fn with(partial_fill_percent: u8, new: NewAccount) -> Self {
        let mut exchange = exchange(partial_fill_percent);
        let now = at(MORNING);
        let account = exchange.open_account(now, new).unwrap();
        Self { exchange, now, account }
    }

    pub(crate) fn holding(symbol: &str, qty: &str) -> Self {
        let mut new = NewAccount::new("ann", Environment::Paper);
        new.positions = vec![(symbol.into(), dec(qty), None)];
        Self::with(0, new)
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.exchange.advance(self.now);
    }

    pub(crate) fn until(&mut self, moment: &str) {
        self.now = at(moment);
        self.exchange.advance(self.now);
    }

    pub(crate) fn submit(&mut self, request: OrderRequest) -> Result<Order, Refusal> {
        self.exchange.submit(self.now, &self.account, request)
    }

    pub(crate) fn order(&mut self, order: &Order) -> Order {
        self.exchange.order(self.now, &self.account, &order.id).unwrap()
    }

    pub(crate) fn status(&mut self, order: &Order) -> OrderStatus {
        self.order(order).status
    }

    pub(crate) fn view(&mut self) -> AccountView {
        self.exchange.account(self.now, &self.account).unwrap()
    }

    pub(crate) fn qty(&mut self, symbol: &str) -> Decimal {
        self.exchange.position(self.now, &self.account, symbol).map_or(Decimal::ZERO, |position| position.qty)
    }

    pub(crate) fn price(&self, symbol: &str) -> Decimal {
        self.exchange.market().trade(symbol, self.now).unwrap().price
    }

    pub(crate) fn events(&mut self) -> Vec<TradeEvent> {
        self.exchange.take_updates().iter().map(|update| update.event).collect()
    }
}

pub(crate) fn market(side: Side, symbol: &str, qty: &str) -> OrderRequest {
    OrderRequest {
        symbol: Some(symbol.into()),
        qty: Some(dec(qty)),
        side: Some(side),
        order_type: Some(OrderType::Market),
        time_in_force: Some(TimeInForce::Day),
        ..OrderRequest::default()
    }
}

pub(crate) fn notional(side: Side, symbol: &str, dollars: &str) -> OrderRequest {
    OrderRequest { qty: None, notional: Some(dec(dollars)), ..market(side, symbol, "1") }
}

pub(crate) fn limit(side: Side, symbol: &str, qty: &str, price: Decimal) -> OrderRequest {
    OrderRequest { order_type: Some(OrderType::Limit), limit_price: Some(price), ..market(side, symbol, qty) }
}

pub(crate) fn stop(side: Side, symbol: &str, qty: &str, price: Decimal) -> OrderRequest {
    OrderRequest { order_type: Some(OrderType::Stop), stop_price: Some(price), ..market(side, symbol, qty) }
}

pub(crate) fn lasting(time_in_force: TimeInForce, request: OrderRequest) -> OrderRequest {
    OrderRequest { time_in_force: Some(time_in_force), ..request }
}
