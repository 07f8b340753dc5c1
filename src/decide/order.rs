//! The state machine of one intent: what the broker says, in; where the intent stands, out.
//!
//! ```text
//!  recorded ──> open ──> filled | ended | rejected
//!     │  ╲       ↑ ╲
//!     │   ╲──> unknown ──> filled | ended | rejected | withdrawn
//!     ╰──> withdrawn | rejected          any of the first three ──> quarantined
//!
//!  filled | ended | rejected | withdrawn ──> disputed
//! ```
//!
//! The database refuses every other move (migrations, 0004 and 0005), and a test compares its triggers with [`MOVES`].
//!
//! Ends absorb, but for one move: the broker's rows can say of an order that had ended that its executions were taken back or
//! corrected, or that there are more of them. Such a record is disputed, and its account is halted (S14, S15). A status that
//! no document knows is never an end (S14). What the broker shows must be what was sent, field by field, or the intent is
//! quarantined (S3). A filled quantity never shrinks: a smaller one is an old reading, and an order that ends with less than
//! was shown is quarantined.

use rust_decimal::Decimal;

use crate::model::intent::{Intent, IntentState, IntentUpdate};
use crate::model::money::{Price, Qty, Usd};
use crate::model::plan::{Amount, Pricing};
use crate::model::report::{OrderReport, OrderStatus};
use crate::model::time::Moment;
use crate::model::zoo::{Bug, planted};

/// Every allowed move; staying is always allowed before an end.
pub const MOVES: &[(IntentState, IntentState)] = &[
    (IntentState::Recorded, IntentState::Open),
    (IntentState::Recorded, IntentState::Unknown),
    (IntentState::Recorded, IntentState::Filled),
    (IntentState::Recorded, IntentState::Ended),
    (IntentState::Recorded, IntentState::Rejected),
    (IntentState::Recorded, IntentState::Withdrawn),
    (IntentState::Recorded, IntentState::Quarantined),
    (IntentState::Unknown, IntentState::Open),
    (IntentState::Unknown, IntentState::Filled),
    (IntentState::Unknown, IntentState::Ended),
    (IntentState::Unknown, IntentState::Rejected),
    (IntentState::Unknown, IntentState::Withdrawn),
    (IntentState::Unknown, IntentState::Quarantined),
    (IntentState::Open, IntentState::Unknown),
    (IntentState::Open, IntentState::Filled),
    (IntentState::Open, IntentState::Ended),
    (IntentState::Open, IntentState::Rejected),
    (IntentState::Open, IntentState::Quarantined),
    (IntentState::Filled, IntentState::Disputed),
    (IntentState::Ended, IntentState::Disputed),
    (IntentState::Rejected, IntentState::Disputed),
    (IntentState::Withdrawn, IntentState::Disputed),
];

/// Whether an intent may go from one state to another.
pub fn may_move(from: IntentState, to: IntentState) -> bool {
    (from == to && !from.is_terminal()) || MOVES.contains(&(from, to))
}

fn update(intent: &Intent, state: IntentState, note: String, now: Moment) -> IntentUpdate {
    // An end absorbs: whatever comes later changes nothing.
    let (state, note) = if may_move(intent.state, state) { (state, note) } else { (intent.state, intent.note.clone()) };
    let settled_at = if state.is_terminal() { intent.settled_at.or(Some(now)) } else { None };
    IntentUpdate {
        id: intent.id.clone(),
        state,
        order: intent.order.clone(),
        filled_qty: intent.filled_qty,
        filled_avg_price: intent.filled_avg_price,
        note,
        settled_at,
    }
}

/// The broker shows an order under the intent's id.
pub fn apply(intent: &Intent, report: &OrderReport, now: Moment) -> IntentUpdate {
    if intent.state.is_terminal() {
        return update(intent, intent.state, intent.note.clone(), now);
    }
    if let Some(difference) = difference(intent, report).filter(|_| !planted(Bug::EchoNotCompared)) {
        return with_what_was_filled(quarantined(intent, &difference, now), intent, report);
    }
    if let Some(why) = misfilled(intent, report) {
        return with_what_was_filled(quarantined(intent, &why, now), intent, report);
    }
    if report.filled_qty < intent.filled_qty {
        if !report.status.is_end() {
            // A list that lags behind what was shown before: nothing new is in it.
            return update(intent, intent.state, intent.note.clone(), now);
        }
        let why = format!("the filled quantity shrank from {} to {}", intent.filled_qty, report.filled_qty);
        return quarantined(intent, &why, now);
    }
    let state = match &report.status {
        OrderStatus::Working(word) if planted(Bug::PartIsWhole) && word == "partially_filled" => IntentState::Filled,
        OrderStatus::Changing(_) if planted(Bug::CancellingIsCancelled) => IntentState::Ended,
        OrderStatus::Unheard(_) if planted(Bug::UnknownIsEnd) => IntentState::Ended,
        OrderStatus::Working(_) | OrderStatus::Changing(_) => IntentState::Open,
        OrderStatus::Unheard(_) => IntentState::Unknown,
        OrderStatus::Filled => IntentState::Filled,
        OrderStatus::Rejected if report.filled_qty.is_zero() => IntentState::Rejected,
        OrderStatus::Canceled | OrderStatus::Expired | OrderStatus::Rejected => IntentState::Ended,
        OrderStatus::Replaced => {
            let why = "it was replaced at the broker by somebody else";
            return with_what_was_filled(quarantined(intent, why, now), intent, report);
        }
    };
    let note = match &report.status {
        OrderStatus::Unheard(word) => format!("the broker's status `{word}` is in no document"),
        known => known.word().to_owned(),
    };
    let filled_qty = match report.status {
        OrderStatus::Canceled | OrderStatus::Expired if planted(Bug::PartialFillForgotten) => Qty::ZERO,
        _ if planted(Bug::FillCountedTwice) => intent.filled_qty + report.filled_qty,
        _ if planted(Bug::FillRounded) => Qty::new(report.filled_qty.decimal().round_dp(4)),
        _ => report.filled_qty,
    };
    IntentUpdate {
        order: Some(report.id.clone()),
        filled_qty,
        filled_avg_price: report.filled_avg_price,
        ..update(intent, state, note, now)
    }
}

/// A person finds the broker's own id and what was filled, as far as it is of the same symbol and side; it never shrinks.
fn with_what_was_filled(update: IntentUpdate, intent: &Intent, report: &OrderReport) -> IntentUpdate {
    let is_same = report.symbol == intent.symbol && report.side == intent.phase.side();
    if !is_same || report.filled_qty < intent.filled_qty {
        return update;
    }
    IntentUpdate {
        order: Some(report.id.clone()),
        filled_qty: report.filled_qty,
        filled_avg_price: report.filled_avg_price,
        ..update
    }
}

/// More was filled than was ordered, or the order is called filled and is not (row 32).
fn misfilled(intent: &Intent, report: &OrderReport) -> Option<String> {
    let (filled, called) = (report.filled_qty, report.status.word());
    match intent.amount {
        Amount::Qty(ordered) => {
            let is_wrong = filled > ordered || (report.status == OrderStatus::Filled && filled != ordered);
            is_wrong.then(|| format!("the broker shows {filled} filled of {ordered} ordered, and calls it {called}"))
        }
        Amount::Notional(ordered) => {
            let price = report.filled_avg_price?;
            let worth = filled * price;
            (worth > ordered + inexact(filled, price)).then(|| {
                format!("the broker shows {filled} filled at {price}, {worth} dollars of {ordered} ordered, and calls it {called}")
            })
        }
    }
}

/// By how much quantity times average price may be beyond the dollars that were ordered, and nothing be wrong: a cent, and
/// half the step to which the broker may have rounded the average price. How it rounds that is in no document; its coarsest
/// step is that of the prices themselves, a cent from one dollar on and a hundredth of a cent below.
fn inexact(filled: Qty, price: Price) -> Usd {
    const CENT: Decimal = Decimal::from_parts(1, 0, 0, false, 2);
    const HALF_A_CENT: Decimal = Decimal::from_parts(5, 0, 0, false, 3);
    const BELOW_A_DOLLAR: Decimal = Decimal::from_parts(5, 0, 0, false, 5);
    let half = if price.decimal() < Decimal::ONE { BELOW_A_DOLLAR } else { HALF_A_CENT };
    Usd::new(CENT) + filled * Price::new(half)
}

/// The first field in which the broker's order is not what was sent (S3).
fn difference(intent: &Intent, report: &OrderReport) -> Option<String> {
    let (qty, notional) = match intent.amount {
        Amount::Qty(qty) => (Some(qty), None),
        Amount::Notional(notional) => (None, Some(notional)),
    };
    let (kind, limit) = match intent.pricing {
        Pricing::Market => ("market", None),
        Pricing::Limit(price) => ("limit", Some(price)),
    };
    let differs = |field: &str, sent: &dyn std::fmt::Debug, shown: &dyn std::fmt::Debug| {
        Some(format!("the broker's order has another {field}: sent {sent:?}, shown {shown:?}"))
    };
    if report.client_order_id != intent.client_order_id {
        return differs("client order id", &intent.client_order_id, &report.client_order_id);
    }
    if report.symbol != intent.symbol {
        return differs("symbol", &intent.symbol, &report.symbol);
    }
    if report.side != intent.phase.side() {
        return differs("side", &intent.phase.side(), &report.side);
    }
    if report.kind != kind {
        return differs("type", &kind, &report.kind);
    }
    if report.time_in_force != "day" {
        return differs("time in force", &"day", &report.time_in_force);
    }
    if report.notional != notional {
        return differs("value", &notional, &report.notional);
    }
    // An order by value may show the quantity it came to; an order by quantity must show its own.
    if qty.is_some() && report.qty != qty {
        return differs("quantity", &qty, &report.qty);
    }
    if report.limit_price != limit {
        return differs("limit", &limit, &report.limit_price);
    }
    None
}

/// Refused by the broker; nothing was filled.
pub fn rejected(intent: &Intent, message: &str, now: Moment) -> IntentUpdate {
    update(intent, IntentState::Rejected, message.to_owned(), now)
}

/// Sent without an answer that means something.
pub fn unknown(intent: &Intent, why: &str, now: Moment) -> IntentUpdate {
    update(intent, IntentState::Unknown, why.to_owned(), now)
}

/// Not to be sent any more: its request never left, or the broker said that it did not take it, or did not show it through
/// the whole quiet period. The last is no proof: one that lands later still is found by the books
/// ([`executions`](crate::decide::executions)).
pub fn withdrawn(intent: &Intent, why: &str, now: Moment) -> IntentUpdate {
    update(intent, IntentState::Withdrawn, why.to_owned(), now)
}

/// The broker's rows say otherwise than the record of an order that has ended. Its figures stay what we had counted: which of
/// the two is right is for a person to say.
pub fn disputed(intent: &Intent, why: &str, now: Moment) -> IntentUpdate {
    update(intent, IntentState::Disputed, why.to_owned(), now)
}

/// A person must look.
pub fn quarantined(intent: &Intent, why: &str, now: Moment) -> IntentUpdate {
    let missing = planted(Bug::MissingQuarantine) || planted(Bug::CancelIsEnd);
    let state = if missing { IntentState::Ended } else { IntentState::Quarantined };
    update(intent, state, why.to_owned(), now)
}
