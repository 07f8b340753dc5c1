//! The shapes of the trading interface: decimals as strings, times as RFC 3339 (facts 0, 2 to 5).
//!
//! Always: one shape per noun, members in the order of Alpaca's own examples; nothing is computed here.

use std::borrow::Cow;
use std::str::FromStr as _;

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::exchange::event::TradeUpdate;
use crate::exchange::order::{Order, OrderClass, OrderStatus, OrderType, PositionIntent, Side, TimeInForce};
use crate::http::reply::{Refusal, Reply};

/// A decimal on the wire: a string without trailing zeros.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text(pub(crate) Decimal);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.normalize())
    }
}

/// A decimal as clients send it: a string or a number (facts 0).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given(pub(crate) Decimal);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<'a> {
            Text(#[serde(borrow)] Cow<'a, str>),
            Number(serde_json::Number),
        }
        let text = match Either::deserialize(deserializer)? {
            Either::Text(text) => text,
            Either::Number(number) => Cow::Owned(number.to_string()),
        };
        decimal(text.trim()).map(Self).ok_or_else(|| serde::de::Error::custom(format!("{text} is not a number")))
    }
}

/// Reads a decimal, in scientific notation too.
pub(crate) fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text)).ok()
}

/// An order (facts 3.4).
#[derive(Serialize)]
pub(crate) struct OrderShape<'a> {
    id: &'a str,
    client_order_id: &'a str,
    created_at: Timestamp,
    updated_at: Timestamp,
    submitted_at: Timestamp,
    filled_at: Option<Timestamp>,
    expired_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    canceled_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    replaced_at: Option<Timestamp>,
    replaced_by: Option<&'a str>,
    replaces: Option<&'a str>,
    asset_id: &'a str,
    symbol: &'a str,
    asset_class: &'static str,
    notional: Option<Text>,
    qty: Option<Text>,
    filled_qty: Text,
    filled_avg_price: Option<Text>,
    order_class: &'static str,
    order_type: OrderType,
    #[serde(rename = "type")]
    kind: OrderType,
    side: Side,
    position_intent: PositionIntent,
    time_in_force: TimeInForce,
    limit_price: Option<Text>,
    stop_price: Option<Text>,
    status: OrderStatus,
    extended_hours: bool,
    legs: Option<()>,
    trail_percent: Option<Text>,
    trail_price: Option<Text>,
    hwm: Option<Text>,
    subtag: Option<()>,
    source: Option<&'a str>,
}

impl<'a> From<&'a Order> for OrderShape<'a> {
    fn from(order: &'a Order) -> Self {
        // Alpaca's examples show a simple order with an empty class.
        let order_class = if order.order_class == OrderClass::Simple { "" } else { order.order_class.as_str() };
        Self {
            id: &order.id,
            client_order_id: &order.client_order_id,
            created_at: order.created_at,
            updated_at: order.updated_at,
            submitted_at: order.submitted_at,
            filled_at: order.filled_at,
            expired_at: order.expired_at,
            expires_at: order.expires_at,
            canceled_at: order.canceled_at,
            failed_at: order.failed_at,
            replaced_at: order.replaced_at,
            replaced_by: order.replaced_by.as_deref(),
            replaces: order.replaces.as_deref(),
            asset_id: &order.asset_id,
            symbol: &order.symbol,
            asset_class: "us_equity",
            notional: order.notional.map(Text),
            qty: order.qty.map(Text),
            filled_qty: Text(order.filled_qty),
            filled_avg_price: order.filled_avg_price.map(Text),
            order_class,
            order_type: order.order_type,
            kind: order.order_type,
            side: order.side,
            position_intent: order.position_intent,
            time_in_force: order.time_in_force,
            limit_price: order.limit_price.map(Text),
            stop_price: order.stop_price.map(Text),
            status: order.status,
            extended_hours: order.extended_hours,
            legs: None,
            trail_percent: order.trail_percent.map(Text),
            trail_price: order.trail_price.map(Text),
            hwm: order.hwm.map(Text),
            subtag: None,
            source: order.source.as_deref(),
        }
    }
}

/// An order inside another shape.
pub(crate) fn serialize_order<S: Serializer>(order: &Order, serializer: S) -> Result<S::Ok, S::Error> {
    OrderShape::from(order).serialize(serializer)
}

/// A message of the stream (facts 5.1).
#[derive(Serialize)]
struct UpdateShape<'a> {
    stream: &'static str,
    data: UpdateData<'a>,
}

#[derive(Serialize)]
struct UpdateData<'a> {
    at: Timestamp,
    event: &'static str,
    event_id: String,
    execution_id: &'a str,
    order: OrderShape<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position_qty: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qty: Option<Text>,
    timestamp: Timestamp,
}

/// The frame of one message.
pub(crate) fn trade_update(update: &TradeUpdate) -> Vec<u8> {
    let shape = UpdateShape {
        stream: "trade_updates",
        data: UpdateData {
            at: update.at,
            event: update.event.as_str(),
            event_id: ulid(update.at, update.sequence),
            execution_id: &update.execution_id,
            order: OrderShape::from(&update.order),
            position_qty: update.position_qty.map(Text),
            price: update.price.map(Text),
            qty: update.qty.map(Text),
            timestamp: update.at,
        },
    };
    serde_json::to_vec(&shape).unwrap_or_default()
}

/// 26 characters that sort by time and then by number: 48 bits of milliseconds, 80 bits of number.
fn ulid(at: Timestamp, sequence: u64) -> String {
    const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let millis = u128::try_from(at.as_millisecond()).unwrap_or_default();
    let value = (millis << 80) | u128::from(sequence);
    let digit = |place: u32| {
        let bits = usize::try_from((value >> (place * 5)) & 31).unwrap_or_default();
        char::from(CROCKFORD[bits])
    };
    (0..26).rev().map(digit).collect()
}

/// Reads a moment: RFC 3339, or a date, which means its midnight in New York.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    let date: Date = text.parse().ok()?;
    date.in_tz("America/New_York").ok().map(|zoned| zoned.timestamp())
}

impl From<crate::exchange::refusal::Refusal> for Reply {
    fn from(refusal: crate::exchange::refusal::Refusal) -> Self {
        Refusal::from(refusal).into()
    }
}

impl From<crate::exchange::refusal::Refusal> for Refusal {
    fn from(refusal: crate::exchange::refusal::Refusal) -> Self {
        Self {
            status: axum::http::StatusCode::from_u16(refusal.status())
                .unwrap_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR),
            code: refusal.code(),
            message: refusal.message().into(),
            extras: refusal.extras(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn decimals_come_as_strings_or_numbers_and_leave_as_strings() {
        let given: Vec<Given> = serde_json::from_str(r#"["1.50", 1.5, 3, "1e2"]"#).unwrap();
        let back: Vec<Text> = given.into_iter().map(|given| Text(given.0)).collect();
        assert_eq!(serde_json::to_string(&back).unwrap(), r#"["1.5","1.5","3","100"]"#);
        assert!(serde_json::from_str::<Given>("\"many\"").is_err());
    }

    #[test]
    fn event_ids_sort_by_time_and_number() {
        let at: Timestamp = "2024-03-01T15:00:00Z".parse().unwrap();
        let later: Timestamp = "2024-03-01T15:00:00.001Z".parse().unwrap();
        let mut ids = [ulid(later, 1), ulid(at, 20), ulid(at, 3)];
        ids.sort();
        assert_eq!(ids, [ulid(at, 3), ulid(at, 20), ulid(later, 1)]);
        assert!(ids[0].starts_with("01"));
        assert_eq!(ids[0].len(), 26);
    }

    #[test]
    fn a_date_is_its_midnight_in_new_york() {
        assert_eq!(moment("2024-07-01").unwrap().to_string(), "2024-07-01T04:00:00Z");
        assert_eq!(moment("2024-07-01T01:00:00-04:00").unwrap().to_string(), "2024-07-01T05:00:00Z");
        assert!(moment("yesterday").is_none());
    }
}
