//! From one state of an order to the next: routing, cancelling, replacing, expiring (facts 3.5, 3.7, 3.8).
//!
//! Always: every change of state is told to the streams; a terminal order is out of the set of open ones and keeps no
//! money and no shares. A cancel or a replacement arrives a moment after it was asked for, and an order may fill
//! before it does; orders that wait for a session are changed at once.

use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::Exchange;
use super::account::OrderCell;
use super::event::TradeEvent;
use super::funds::{Commitment, Demand};
use super::order::{Order, OrderStatus, OrderType, ReplaceRequest, TimeInForce};
use super::refusal::Refusal;
use super::rules;
use super::timers::{Action, Timer};

/// Purposes of an order's luck.
const CANCEL: u64 = 1;
const REPLACE: u64 = 2;

/// One item of `DELETE /v2/orders`: the order and whether it could be cancelled (204, else 500; facts 3.7).
#[derive(Debug, Clone)]
pub struct CancelOutcome {
    /// The order.
    pub id: Arc<str>,
    /// 204 or 500.
    pub status: u16,
}

impl Exchange {
    /// The order reaches the venue.
    pub(super) fn route(&mut self, account: usize, order: usize, at: Timestamp) {
        let Some(cell) = self.cell_mut(account, order) else { return };
        if !matches!(cell.order.status, OrderStatus::PendingNew | OrderStatus::Accepted) {
            return;
        }
        cell.order.status = OrderStatus::New;
        cell.order.updated_at = at;
        self.publish(account, order, at, TradeEvent::New);
    }

    /// The order's time in force ends: what is left of it expires (day) or is cancelled (facts 3.8).
    pub(super) fn end(&mut self, account: usize, order: usize, at: Timestamp) {
        let Some(cell) = self.cell(account, order) else { return };
        let cancelled = cell.order.status == OrderStatus::PendingCancel || cell.order.time_in_force != TimeInForce::Day;
        let status = if cancelled { OrderStatus::Canceled } else { OrderStatus::Expired };
        self.finish(account, order, at, status);
    }

    /// Puts an order into a terminal state, unless it is in one.
    pub(super) fn finish(&mut self, account: usize, order: usize, at: Timestamp, status: OrderStatus) {
        let Some(owner) = self.accounts.get_mut(account) else { return };
        let Some(cell) = owner.orders.get_mut(order) else { return };
        if cell.order.status.is_terminal() {
            return;
        }
        cell.order.status = status;
        cell.order.updated_at = at;
        cell.generation += 1;
        let event = match status {
            OrderStatus::Filled => {
                cell.order.filled_at = Some(at);
                None // Told with its execution.
            }
            OrderStatus::Expired => {
                cell.order.expired_at = Some(at);
                Some(TradeEvent::Expired)
            }
            OrderStatus::Rejected => {
                cell.order.failed_at = Some(at);
                Some(TradeEvent::Rejected)
            }
            OrderStatus::Replaced => {
                cell.order.replaced_at = Some(at);
                Some(TradeEvent::Replaced)
            }
            _ => {
                cell.order.canceled_at = Some(at);
                Some(TradeEvent::Canceled)
            }
        };
        owner.open.remove(&order);
        if let Some(event) = event {
            self.publish(account, order, at, event);
        }
    }

    /// `DELETE /v2/orders/{id}`: accepted, and carried out a moment later; at once for an order that waits.
    pub fn cancel(&mut self, now: Timestamp, account: &str, id: &str) -> Result<(), Refusal> {
        let now = self.enter(now);
        let (account, order) = self.find(account, id)?;
        let status = self.cell(account, order).ok_or(Refusal::OrderNotFound)?.order.status;
        let on_its_way = self.cell(account, order).is_some_and(|cell| cell.takes_over.is_some());
        let barred = matches!(status, OrderStatus::PendingCancel | OrderStatus::PendingReplace);
        if status.is_terminal() || barred || on_its_way {
            return Err(Refusal::NotCancelable(status.as_str()));
        }
        if let Some(cell) = self.cell_mut(account, order) {
            cell.order.cancel_requested_at = Some(now);
        }
        if status == OrderStatus::Accepted {
            self.finish(account, order, now, OrderStatus::Canceled);
            return Ok(());
        }
        self.set_status(account, order, now, OrderStatus::PendingCancel);
        self.publish(account, order, now, TradeEvent::PendingCancel);
        let at = now + self.latency(account, order, CANCEL);
        self.timers.add(Timer { at, account, order, action: Action::Cancel, generation: 0 });
        Ok(())
    }

    /// `DELETE /v2/orders`, oldest first.
    pub fn cancel_all(&mut self, now: Timestamp, account: &str) -> Result<Vec<CancelOutcome>, Refusal> {
        let now = self.enter(now);
        let open: Vec<Arc<str>> = self.read(account)?.open_orders().map(|(_, cell)| cell.order.id.clone()).collect();
        let mut outcomes = Vec::with_capacity(open.len());
        for id in open {
            let status = if self.cancel(now, account, &id).is_ok() { 204 } else { 500 };
            outcomes.push(CancelOutcome { id, status });
        }
        Ok(outcomes)
    }

    /// The cancel reaches the venue.
    pub(super) fn cancel_arrives(&mut self, account: usize, order: usize, at: Timestamp) {
        if self.cell(account, order).is_some_and(|cell| cell.order.status == OrderStatus::PendingCancel) {
            self.finish(account, order, at, OrderStatus::Canceled);
        }
    }

    /// `PATCH /v2/orders/{id}`: the new order, which takes the old one's place a moment later. Its quantity is what was
    /// asked for less what the old one has filled by now, so that both together never trade more than asked.
    pub fn replace(
        &mut self,
        now: Timestamp,
        account: &str,
        id: &str,
        request: ReplaceRequest,
    ) -> Result<Order, Refusal> {
        let now = self.enter(now);
        let (index, ordinal) = self.find(account, id)?;
        let old = self.cell(index, ordinal).ok_or(Refusal::OrderNotFound)?;
        let mut new = replacement(&old.order, &request)?;
        if let Some(id) = &request.client_order_id
            && self.read(account)?.by_client_id.contains_key(id.as_str())
        {
            return Err(Refusal::DuplicateClientOrderId);
        }
        let demand = Demand {
            symbol: old.symbol,
            side: new.side,
            order_type: new.order_type,
            qty: new.qty,
            notional: None,
            limit_price: new.limit_price,
            stop_price: new.stop_price,
            given_back: if old.opening { old.reserved() } else { old.holds() },
        };
        let (symbol, old_reserved, old_holds) = (old.symbol, old.reserved(), old.holds());
        let filled_before = old.order.filled_qty;
        let commitment = self.commit(self.read(account)?, demand, now)?;
        let (id, client_order_id, new_ordinal) = self.order_ids(index, request.client_order_id);
        new.id = id;
        new.client_order_id = client_order_id;
        new.ordinal = new_ordinal as u64;
        new.created_at = now;
        new.submitted_at = now;
        new.updated_at = now;
        let life = super::submit::life(self.market.calendar(), new.time_in_force, new.extended_hours, now);
        let ends_at = life.map_or(Timestamp::MAX, |life| life.ends_at);
        new.expires_at = (ends_at != Timestamp::MAX).then_some(ends_at);
        let mut cell = OrderCell::new(new.clone(), symbol, commitment, ends_at, now);
        // Until it takes over, both together keep the larger of the two (facts 3.7).
        cell.excess = (cell.reserved() - old_reserved, cell.holds() - old_holds);
        cell.takes_over = Some(ordinal);
        cell.filled_before = filled_before;
        self.enter_cell(index, cell);
        self.set_status(index, ordinal, now, OrderStatus::PendingReplace);
        self.publish(index, ordinal, now, TradeEvent::PendingReplace);
        self.publish(index, new_ordinal, now, TradeEvent::PendingNew);
        let at = now + self.latency(index, ordinal, REPLACE);
        self.timers.add(Timer { at, account: index, order: new_ordinal, action: Action::TakeOver, generation: 0 });
        Ok(new)
    }

    /// A replacement reaches the venue: it takes over, or is rejected when the old order has ended.
    pub(super) fn take_over(&mut self, account: usize, order: usize, at: Timestamp) {
        let Some(cell) = self.cell_mut(account, order) else { return };
        let Some(old) = cell.takes_over.take() else { return };
        if cell.order.status.is_terminal() {
            return;
        }
        let (id, ends_at) = (cell.order.id.clone(), cell.ends_at);
        let filled_meanwhile = self.cell(account, old).map_or(Decimal::ZERO, |old| old.order.filled_qty);
        let still = self.cell(account, old).is_some_and(|old| old.order.status == OrderStatus::PendingReplace);
        let left = self
            .cell(account, order)
            .and_then(|cell| cell.order.qty.map(|qty| qty - (filled_meanwhile - cell.filled_before)));
        if !still || left.is_none_or(|left| left <= Decimal::ZERO) {
            if still {
                self.set_status(account, old, at, OrderStatus::New);
                self.wake(account, old, at);
            }
            self.publish(account, old, at, TradeEvent::OrderReplaceRejected);
            self.finish(account, order, at, OrderStatus::Rejected);
            return;
        }
        if let Some(old) = self.cell_mut(account, old) {
            old.order.replaced_by = Some(id);
        }
        self.finish(account, old, at, OrderStatus::Replaced);
        if let Some(cell) = self.cell_mut(account, order) {
            cell.order.qty = left;
        }
        self.set_status(account, order, at, OrderStatus::New);
        self.publish(account, order, at, TradeEvent::New);
        self.wake(account, order, at);
        self.timers.add(Timer { at: ends_at.max(at), account, order, action: Action::End, generation: 0 });
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
        let now = self.enter(now);
        let (account, order) = self.find(account, id)?;
        let current = self.cell(account, order).ok_or(Refusal::OrderNotFound)?.order.status;
        if current.is_terminal() || status == OrderStatus::Filled {
            return Err(Refusal::Unprocessable(format!("cannot set {} on {}", status.as_str(), current.as_str())));
        }
        if status.is_terminal() {
            self.finish(account, order, now, status);
        } else {
            self.set_status(account, order, now, status);
            self.publish(account, order, now, event_of(status));
            if matches!(status, OrderStatus::New | OrderStatus::PartiallyFilled) {
                let at = now + self.latency(account, order, 0);
                self.wake(account, order, at);
            }
        }
        self.cell(account, order).map(|cell| cell.order.clone()).ok_or(Refusal::OrderNotFound)
    }

    /// Makes an order look at the market at a moment; earlier appointments are void.
    pub(super) fn wake(&mut self, account: usize, order: usize, at: Timestamp) {
        let Some(cell) = self.cell_mut(account, order) else { return };
        cell.generation += 1;
        cell.parked = false;
        let generation = cell.generation;
        self.timers.add(Timer { at, account, order, action: Action::Work, generation });
    }

    fn set_status(&mut self, account: usize, order: usize, at: Timestamp, status: OrderStatus) {
        if let Some(cell) = self.cell_mut(account, order) {
            cell.order.status = status;
            cell.order.updated_at = at;
        }
    }

    pub(super) fn find(&self, account: &str, id: &str) -> Result<(usize, usize), Refusal> {
        let index = self.index(account)?;
        let order = self.read(account)?.by_id.get(id).copied().ok_or(Refusal::OrderNotFound)?;
        Ok((index, order))
    }
}

/// The event that tells of a status set from outside.
fn event_of(status: OrderStatus) -> TradeEvent {
    TradeEvent::parse(status.as_str()).unwrap_or(TradeEvent::Restated)
}

/// The order that a replacement asks for, if the old one may be replaced (facts 3.7). Texts are this simulator's own.
fn replacement(old: &Order, request: &ReplaceRequest) -> Result<Order, Refusal> {
    let no = |why: String| Err(Refusal::NotReplaceable(why));
    if !matches!(old.status, OrderStatus::New | OrderStatus::PartiallyFilled) {
        return no(format!("order status is {}", old.status.as_str()));
    }
    let Some(old_qty) = old.qty else { return no("notional orders cannot be replaced".into()) };
    let mut new = old.clone();
    let total = match request.qty {
        Some(_) if !old_qty.fract().is_zero() => return no("the qty of a fractional order cannot change".into()),
        Some(qty) => {
            rules::quantity(qty)?;
            if !qty.fract().is_zero() {
                return no("qty must be whole shares".into());
            }
            qty
        }
        None => old_qty,
    };
    if total <= old.filled_qty {
        return no("qty must be above what is filled".into());
    }
    if let Some(limit) = request.limit_price {
        if !matches!(old.order_type, OrderType::Limit | OrderType::StopLimit) {
            return no("the order has no limit_price".into());
        }
        rules::tick("limit_price", limit)?;
        new.limit_price = Some(limit);
    }
    if let Some(stop) = request.stop_price {
        if !matches!(old.order_type, OrderType::Stop | OrderType::StopLimit) {
            return no("the order has no stop_price".into());
        }
        rules::tick("stop_price", stop)?;
        new.stop_price = Some(stop);
    }
    if let Some(trail) = request.trail {
        match (old.trail_price, old.trail_percent) {
            (Some(_), _) => {
                rules::distance(trail, 1_000_000)?;
                new.trail_price = Some(trail);
            }
            (None, Some(_)) => {
                rules::distance(trail, 99)?;
                new.trail_percent = Some(trail);
            }
            (None, None) => return no("the order has no trail".into()),
        }
    }
    if let Some(time_in_force) = request.time_in_force {
        if !matches!(time_in_force, TimeInForce::Day | TimeInForce::Gtc) {
            return no("time_in_force must be day or gtc".into());
        }
        if time_in_force != TimeInForce::Day && !old_qty.fract().is_zero() {
            return Err(Refusal::Unprocessable("fractional orders must be DAY orders".into()));
        }
        new.time_in_force = time_in_force;
    }
    let same = new.limit_price == old.limit_price
        && new.stop_price == old.stop_price
        && (new.trail_price, new.trail_percent) == (old.trail_price, old.trail_percent)
        && new.time_in_force == old.time_in_force
        && total == old_qty;
    if same {
        return Err(Refusal::Unprocessable("order parameters are not changed".into()));
    }
    new.qty = Some(total - old.filled_qty);
    new.filled_qty = Decimal::ZERO;
    new.filled_avg_price = None;
    new.status = OrderStatus::PendingNew;
    new.replaces = Some(old.id.clone());
    Ok(new)
}

impl OrderCell {
    /// A new order's place in the books.
    pub(super) fn new(
        order: Order,
        symbol: crate::market::SymbolId,
        commitment: Commitment,
        ends_at: Timestamp,
        now: Timestamp,
    ) -> Self {
        let opening = commitment.opens();
        Self {
            order,
            symbol,
            opening,
            reserve: commitment.reserve,
            held: commitment.held,
            spent: Decimal::ZERO,
            generation: 0,
            triggered: false,
            looked_at: now,
            ends_at,
            takes_over: None,
            excess: (Decimal::ZERO, Decimal::ZERO),
            filled_before: Decimal::ZERO,
            parked: false,
            executions: 0,
        }
    }
}
