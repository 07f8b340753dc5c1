//! Matching: an order looks at the market, and fills, waits or gives up (facts 3.8, 9.4).
//!
//! Always: a fill is at the far side of the quote of its moment, never worse than the limit; a closing order never
//! fills more than the position has; cash, position, order, activity and stream change together. An order that waits
//! computes from the path when it will be reached, so nothing ticks.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::prelude::ToPrimitive as _;
use rust_decimal::{Decimal, RoundingStrategy};

use super::Exchange;
use super::account::OrderCell;
use super::activity::{ActivityDetail, FillRow};
use super::event::TradeEvent;
use super::figures::cents as to_cents;
use super::funds::stop_limit_of_buy_stop;
use super::order::{Order, OrderStatus, OrderType, Side, TimeInForce};
use super::position::Position;
use crate::market::sessions::Session;
use crate::market::{Market, SymbolId, dice, dollars};

/// Purposes of an order's luck from here on belong to its executions: three each.
const EXECUTIONS: u64 = 16;

/// What an order waits for; prices in hundredths of a cent, so that limits below a dollar fit.
#[derive(Debug, Clone, Copy)]
struct Terms {
    side: Side,
    order_type: OrderType,
    limit: Option<i64>,
    stop: Option<i64>,
    trail: Option<i64>,
    trail_percent: Option<Decimal>,
    best: i64,
    triggered: bool,
}

fn fine(price: Decimal) -> i64 {
    (price * Decimal::from(10_000)).round().to_i64().unwrap_or(i64::MAX)
}

fn price_of_fine(fine: i64) -> Decimal {
    Decimal::new(fine, 4).normalize()
}

impl Terms {
    fn of(cell: &OrderCell) -> Self {
        let order = &cell.order;
        Self {
            side: order.side,
            order_type: order.order_type,
            limit: order.limit_price.map(fine),
            stop: order.stop_price.map(fine),
            trail: order.trail_price.map(fine),
            trail_percent: order.trail_percent,
            best: order.hwm.map_or(0, fine),
            triggered: cell.triggered,
        }
    }

    /// Whether what happened before matters.
    fn remembers(&self) -> bool {
        matches!(self.order_type, OrderType::Stop | OrderType::StopLimit | OrderType::TrailingStop) && !self.triggered
    }

    /// Looks at one price step; the price in cents at which the order fills, if it does.
    fn look(&mut self, cents: i64, half_spread: i64) -> Option<i64> {
        let far = if self.side == Side::Buy { cents + half_spread } else { cents - half_spread };
        if self.order_type == OrderType::TrailingStop {
            self.follow(cents * 100);
        }
        if let Some(stop) = self.stop
            && !self.triggered
        {
            let reached = if self.side == Side::Buy { cents * 100 >= stop } else { cents * 100 <= stop };
            self.triggered = reached;
            if reached && self.order_type == OrderType::Stop && self.side == Side::Buy {
                self.limit = Some(fine(stop_limit_of_buy_stop(price_of_fine(stop))));
            }
        }
        let waits_for_stop = !matches!(self.order_type, OrderType::Market | OrderType::Limit);
        if waits_for_stop && !self.triggered {
            return None;
        }
        let fits = self.limit.is_none_or(|limit| match self.side {
            Side::Buy => far * 100 <= limit,
            Side::Sell => far * 100 >= limit,
        });
        fits.then_some(far)
    }

    /// Moves a trailing stop after the best price.
    fn follow(&mut self, price: i64) {
        self.best = if self.side == Side::Buy { self.best.min(price) } else { self.best.max(price) };
        let distance = self.trail.or_else(|| {
            let percent = self.trail_percent?;
            (Decimal::from(self.best) * percent / Decimal::from(100)).round().to_i64()
        });
        let distance = distance.unwrap_or(0);
        self.stop = Some(if self.side == Side::Buy { self.best + distance } else { self.best - distance });
    }
}

/// One execution.
#[derive(Debug, Clone, Copy)]
struct Execution {
    qty: Decimal,
    price: Decimal,
    /// Nothing is left.
    done: bool,
    /// The position has no more to give: what is left is cancelled.
    exhausted: bool,
}

impl Exchange {
    /// The order looks at the market.
    pub(super) fn work(&mut self, account: usize, order: usize, at: Timestamp) {
        let Some(cell) = self.cell(account, order) else { return };
        let symbol = cell.symbol;
        let auction = matches!(cell.order.time_in_force, TimeInForce::Opg | TimeInForce::Cls);
        if auction {
            self.auction(account, order, at);
            return;
        }
        let works = matches!(
            cell.order.status,
            OrderStatus::New | OrderStatus::PartiallyFilled | OrderStatus::PendingCancel | OrderStatus::PendingReplace
        );
        let trades = self.assets.get(symbol.index()).is_some_and(super::asset::Asset::trades);
        if !works || !trades {
            // Woken again when that changes.
            if let Some(cell) = self.cell_mut(account, order) {
                cell.parked = !trades;
            }
            return;
        }
        let extended = cell.order.extended_hours;
        let instant = matches!(cell.order.time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
        let calendar = self.market.calendar();
        let session = calendar.running(at).copied();
        let Some(until) = trading_until(&self.market, extended, at) else {
            if instant {
                self.finish(account, order, at, OrderStatus::Canceled);
            } else if let Some(start) = next_start(&self.market, extended, at) {
                self.wake(account, order, start);
            }
            return;
        };
        let mut terms = Terms::of(cell);
        if terms.remembers()
            && let Some(session) = &session
        {
            let from = cell.looked_at.max(session.open);
            let _reached_before = self.follow(&mut terms, symbol, session, (from, at));
        }
        let (cents, _) = self.market.cents(symbol, at);
        let price = terms.look(cents, self.market.half_spread(cents));
        let next = session.map(|session| (self.scan(terms, symbol, &session, at), session));
        self.remember(account, order, at, &terms);
        match (price, next) {
            (Some(price), _) => self.fill(account, order, at, dollars(price)),
            (None, _) if instant => self.finish(account, order, at, OrderStatus::Canceled),
            (None, Some((next, _))) => self.wake(account, order, next),
            // Outside the regular session the price stands still until the next part of the day.
            (None, None) => self.wake(account, order, until),
        }
    }

    /// Follows the steps strictly between two moments of a session; the first at which the order would fill.
    fn follow(
        &self,
        terms: &mut Terms,
        symbol: SymbolId,
        session: &Session,
        span: (Timestamp, Timestamp),
    ) -> Option<Timestamp> {
        let shared = std::cell::Cell::new(*terms);
        let may = |low, high| {
            let before = shared.get();
            before.order_type == OrderType::TrailingStop
                || [low, high].into_iter().any(|cents| {
                    let mut terms = before;
                    terms.look(cents, self.market.half_spread(cents)).is_some() || terms.triggered != before.triggered
                })
        };
        let found = self.market.first_step((symbol, session), span, may, |cents| {
            let mut terms = shared.get();
            let reached = terms.look(cents, self.market.half_spread(cents)).is_some();
            shared.set(terms);
            reached
        });
        *terms = shared.get();
        found
    }

    /// When an order that waits should look again: when it is reached, or at the close.
    fn scan(&self, mut terms: Terms, symbol: SymbolId, session: &Session, at: Timestamp) -> Timestamp {
        if terms.order_type == OrderType::Market {
            return at; // Fills now; nobody asks.
        }
        self.follow(&mut terms, symbol, session, (at, session.close)).unwrap_or(session.close)
    }

    fn remember(&mut self, account: usize, order: usize, at: Timestamp, terms: &Terms) {
        let Some(cell) = self.cell_mut(account, order) else { return };
        cell.looked_at = at;
        cell.triggered = terms.triggered;
        if cell.order.limit_price.map(fine) != terms.limit {
            cell.order.limit_price = terms.limit.map(price_of_fine); // A buy stop was reached.
        }
        if cell.order.order_type == OrderType::TrailingStop {
            cell.order.hwm = Some(price_of_fine(terms.best));
            cell.order.stop_price = terms.stop.map(price_of_fine);
        }
    }

    /// An order for an auction: all of it at the opening or closing price, or nothing.
    fn auction(&mut self, account: usize, order: usize, at: Timestamp) {
        let Some(cell) = self.cell(account, order) else { return };
        if cell.order.status.is_terminal() {
            return;
        }
        let trades = self.assets.get(cell.symbol.index()).is_some_and(super::asset::Asset::trades);
        let mut terms = Terms::of(cell);
        let (cents, _) = self.market.cents(cell.symbol, at);
        match terms.look(cents, 0) {
            Some(price) if trades => self.fill(account, order, at, dollars(price)),
            _ => self.finish(account, order, at, OrderStatus::Canceled),
        }
    }

    /// Fills an order, wholly or in part, and decides what becomes of the rest.
    fn fill(&mut self, account: usize, order: usize, at: Timestamp, price: Decimal) {
        self.roll(account, at);
        let Some(execution) = self.portion(account, order, price) else {
            self.finish(account, order, at, OrderStatus::Rejected);
            return;
        };
        let Some(owner) = self.accounts.get_mut(account) else { return };
        let Some(cell) = owner.orders.get_mut(order) else { return };
        let symbol = cell.symbol;
        let amount = to_cents(execution.qty * price);
        let filled = cell.order.filled_qty;
        let before = cell.order.filled_avg_price.unwrap_or_default() * filled;
        cell.order.filled_qty = (filled + execution.qty).normalize();
        cell.order.filled_avg_price =
            Some(((before + execution.qty * price) / cell.order.filled_qty).round_dp(9).normalize());
        cell.spent += amount;
        cell.executions += 1;
        cell.order.updated_at = at;
        let status = cell.order.status;
        let waiting = matches!(status, OrderStatus::PendingCancel | OrderStatus::PendingReplace);
        if !execution.done && !waiting {
            cell.order.status = OrderStatus::PartiallyFilled;
        }
        let (side, instant) = (cell.order.side, matches!(cell.order.time_in_force, TimeInForce::Ioc));
        let executions = cell.executions;
        let signed = if side == Side::Buy { execution.qty } else { -execution.qty };
        owner.cash += if side == Side::Buy { -amount } else { amount };
        let position = Position::after(owner.positions.get(&symbol), signed, price);
        owner.set_position(symbol, position);
        owner.note(at, Some(symbol));
        if execution.done {
            self.finish(account, order, at, OrderStatus::Filled);
        }
        let event = if execution.done { TradeEvent::Fill } else { TradeEvent::PartialFill };
        self.publish_news(account, order, at, (event, Some((execution.qty, price))));
        self.book_fill(account, order, at, execution);
        self.owe_fees(account, at);
        if execution.done {
            return;
        }
        if instant || execution.exhausted {
            self.finish(account, order, at, OrderStatus::Canceled);
        } else {
            let wait = 1_000 + dice::below(self.luck(account, order, EXECUTIONS + 3 * executions + 2), 4_000);
            self.wake(account, order, at + SignedDuration::from_millis(i64::try_from(wait).unwrap_or(1_000)));
        }
    }

    /// How much of an order fills at a price; nothing when a closing order finds no position.
    fn portion(&self, account: usize, order: usize, price: Decimal) -> Option<Execution> {
        let owner = self.accounts.get(account)?;
        let cell = owner.orders.get(order)?;
        let by_value = cell.order.notional.is_some();
        let mut left = if by_value {
            (cell.dollars_left() / price).round_dp_with_strategy(9, RoundingStrategy::ToZero)
        } else {
            cell.shares_left()
        };
        let wanted = left;
        if !cell.opening {
            let quantity = owner.quantity(cell.symbol);
            let there = if cell.order.side == Side::Sell { quantity } else { -quantity };
            left = left.min(there);
        }
        if left <= Decimal::ZERO {
            return None;
        }
        if left < wanted {
            // An order by value is content with the last share; one by quantity was promised more.
            return Some(Execution { qty: left, price, done: by_value, exhausted: !by_value });
        }
        let roll = |purpose| self.luck(account, order, EXECUTIONS + 3 * cell.executions + purpose);
        let unlucky = dice::below(roll(0), 100) < u64::from(self.config.partial_fill_percent);
        let whole_order = matches!(cell.order.time_in_force, TimeInForce::Fok | TimeInForce::Opg | TimeInForce::Cls);
        if !unlucky || whole_order || left <= Decimal::ONE {
            return Some(Execution { qty: left, price, done: true, exhausted: false });
        }
        let percent = Decimal::from(10 + dice::below(roll(1), 81));
        let digits = if left.fract().is_zero() { 0 } else { 9 };
        let part = (left * percent / Decimal::from(100)).round_dp_with_strategy(digits, RoundingStrategy::AwayFromZero);
        Some(Execution { qty: part.min(left), price, done: part >= left, exhausted: false })
    }

    fn book_fill(&mut self, account: usize, order: usize, at: Timestamp, execution: Execution) {
        let Some(cell) = self.cell(account, order) else { return };
        let Order { symbol, side, id, status, filled_qty, .. } = &cell.order;
        let leaves = if execution.done {
            Decimal::ZERO
        } else if cell.order.notional.is_some() {
            (cell.dollars_left() / execution.price).round_dp_with_strategy(9, RoundingStrategy::ToZero)
        } else {
            cell.shares_left()
        };
        let row = FillRow {
            symbol: symbol.clone(),
            side: *side,
            short: cell.opening && *side == Side::Sell,
            qty: execution.qty.normalize(),
            price: execution.price,
            cum_qty: *filled_qty,
            leaves_qty: leaves.normalize(),
            order_id: id.clone(),
            order_status: *status,
            event: if leaves.is_zero() { TradeEvent::Fill } else { TradeEvent::PartialFill },
        };
        self.book(account, at, ActivityDetail::Fill(row));
    }
}

/// Until when an order may trade without a break; nothing when it may not trade now.
fn trading_until(market: &Market, extended: bool, at: Timestamp) -> Option<Timestamp> {
    let calendar = market.calendar();
    if let Some(session) = calendar.running(at) {
        return Some(session.close);
    }
    let session = calendar.today(at).filter(|session| extended && session.contains_extended(at))?;
    Some(if at < session.open { session.open } else { session.extended_close })
}

/// When an order that may not trade now may trade next.
fn next_start(market: &Market, extended: bool, at: Timestamp) -> Option<Timestamp> {
    let calendar = market.calendar();
    if extended {
        calendar.next_to_end(at).map(|session| session.extended_open.max(at))
    } else {
        calendar.next_to_open(at).map(|session| session.open)
    }
}
