//! Trades that the market busts or corrects after they were told (facts 5.1: `trade_bust`, `trade_correct`).
//!
//! The documents name the two events of the stream, and two kinds of execution; how the list of activities shows them, they do
//! not say. Here a bust is a row with the shares of its execution below zero, and a correction is such a row and then the
//! execution as it should have been.
//!
//! Always: cash, position, order, activities and stream change together, as they do for a fill; the order's status stays.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::Exchange;
use super::activity::{ActivityDetail, FillRow};
use super::event::TradeEvent;
use super::figures::cents;
use super::order::{Order, Side};
use super::position::Position;
use super::refusal::Refusal;

impl Exchange {
    /// Control: the last execution of an order is taken back.
    pub fn bust(&mut self, now: Timestamp, account: &str, order: &str) -> Result<Order, Refusal> {
        let now = self.enter(now);
        let place = self.find(account, order)?;
        let row = self.last_execution(place)?;
        self.execute_again(place, now, (TradeEvent::TradeBust, &row), (-row.qty, row.price));
        self.publish_news(place.0, place.1, now, (TradeEvent::TradeBust, Some((row.qty, row.price))));
        self.cell(place.0, place.1).map(|cell| cell.order.clone()).ok_or(Refusal::OrderNotFound)
    }

    /// Control: the last execution of an order had another quantity, or another price.
    pub fn correct(
        &mut self,
        now: Timestamp,
        (account, order): (&str, &str),
        (qty, price): (Decimal, Decimal),
    ) -> Result<Order, Refusal> {
        let now = self.enter(now);
        let place = self.find(account, order)?;
        let row = self.last_execution(place)?;
        self.execute_again(place, now, (TradeEvent::TradeCorrect, &row), (-row.qty, row.price));
        self.execute_again(place, now, (TradeEvent::TradeCorrect, &row), (qty, price));
        self.publish_news(place.0, place.1, now, (TradeEvent::TradeCorrect, Some((qty, price))));
        self.cell(place.0, place.1).map(|cell| cell.order.clone()).ok_or(Refusal::OrderNotFound)
    }

    fn last_execution(&self, (account, order): (usize, usize)) -> Result<FillRow, Refusal> {
        let owner = self.accounts.get(account).ok_or(Refusal::UnknownAccount)?;
        let id = &owner.orders.get(order).ok_or(Refusal::OrderNotFound)?.order.id;
        let rows = owner.activities.iter().rev().filter_map(|row| match &row.detail {
            ActivityDetail::Fill(fill) if fill.order_id == *id => Some(fill),
            _ => None,
        });
        let last = rows.take(1).find(|fill| fill.qty > Decimal::ZERO);
        last.cloned().ok_or_else(|| Refusal::Unprocessable("the order has no execution to correct".into()))
    }

    /// One more execution of an order, of which the market had said something else.
    fn execute_again(
        &mut self,
        (account, order): (usize, usize),
        at: Timestamp,
        (event, was): (TradeEvent, &FillRow),
        (qty, price): (Decimal, Decimal),
    ) {
        self.roll(account, at);
        let Some(owner) = self.accounts.get_mut(account) else { return };
        let Some(cell) = owner.orders.get_mut(order) else { return };
        let symbol = cell.symbol;
        let (amount, filled) = (cents(qty * price), cell.order.filled_qty);
        let spent = cell.order.filled_avg_price.unwrap_or_default() * filled + qty * price;
        let left = (filled + qty).normalize();
        cell.order.filled_qty = left;
        cell.order.filled_avg_price = (!left.is_zero()).then(|| (spent / left).round_dp(9).normalize());
        cell.spent += amount;
        cell.order.updated_at = at;
        let row = FillRow { qty, price, cum_qty: left, event, ..was.clone() };
        let is_buy = cell.order.side == Side::Buy;
        owner.cash += if is_buy { -amount } else { amount };
        let position = Position::after(owner.positions.get(&symbol), if is_buy { qty } else { -qty }, price);
        owner.set_position(symbol, position);
        owner.note(at, Some(symbol));
        self.book(account, at, ActivityDetail::Fill(row));
    }
}
