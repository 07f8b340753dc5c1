//! `/v2/account/activities` (facts 4.4).
//!
//! Always: a bare array, newest first unless told otherwise; the id of the last row is the next page's token.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::exchange::activity::{Activity, ActivityDetail, ActivityFilter};
use crate::exchange::order::OrderStatus;
use crate::http::reply::{Refusal, Reply};
use crate::http::routes::{Answer, Call, only_get, parsed};
use crate::http::wire::{Text, moment};
use crate::http::world::World;

#[derive(Serialize)]
struct FillShape<'a> {
    activity_type: &'static str,
    id: &'a str,
    cum_qty: Text,
    leaves_qty: Text,
    price: Text,
    qty: Text,
    side: &'static str,
    symbol: &'a str,
    transaction_time: Timestamp,
    order_id: &'a str,
    order_status: OrderStatus,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct NonTradeShape<'a> {
    activity_type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    activity_sub_type: &'static str,
    id: &'a str,
    date: Date,
    created_at: Timestamp,
    net_amount: Text,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbol: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qty: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_share_amount: Option<Text>,
    currency: &'static str,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum RowShape<'a> {
    Fill(FillShape<'a>),
    NonTrade(NonTradeShape<'a>),
}

impl<'a> From<&'a Activity> for RowShape<'a> {
    fn from(row: &'a Activity) -> Self {
        match &row.detail {
            ActivityDetail::Fill(fill) => Self::Fill(FillShape {
                activity_type: "FILL",
                id: &row.id,
                cum_qty: Text(fill.cum_qty),
                leaves_qty: Text(fill.leaves_qty),
                price: Text(fill.price),
                qty: Text(fill.qty),
                side: if fill.short { "sell_short" } else { fill.side.as_str() },
                symbol: &fill.symbol,
                transaction_time: row.at,
                order_id: &fill.order_id,
                order_status: fill.order_status,
                kind: fill.event.as_str(),
            }),
            ActivityDetail::NonTrade(other) => Self::NonTrade(NonTradeShape {
                activity_type: other.activity_type,
                activity_sub_type: other.activity_sub_type,
                id: &row.id,
                date: row.date,
                created_at: row.at,
                net_amount: Text(other.net_amount),
                description: &other.description,
                symbol: other.symbol.as_deref(),
                qty: other.qty.map(Text),
                per_share_amount: other.per_share_amount.map(Text),
                currency: "USD",
                status: "executed",
            }),
        }
    }
}

/// An activity as the control side shows it.
pub(crate) fn shape(row: &Activity) -> serde_json::Value {
    serde_json::to_value(RowShape::from(row)).unwrap_or_default()
}

/// `GET /v2/account/activities` and `/v2/account/activities/{activity_type}`.
pub(super) fn list(world: &mut World, kind: Option<&str>, call: &Call<'_>) -> Answer {
    only_get(call)?;
    let query = call.inbound.query();
    let named = kind.or(query.get("activity_types"));
    let trades = parsed(query.get("category"), "category", |text| match text {
        "trade_activity" => Some(true),
        "non_trade_activity" => Some(false),
        _ => None,
    })?;
    if named.is_some() && trades.is_some() {
        return Err(Refusal::unprocessable("only one of activity_types or category is accepted").into());
    }
    let direction = parsed(query.get("direction"), "direction", |text| match text {
        "asc" => Some(true),
        "desc" => Some(false),
        _ => None,
    })?;
    let types = named.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty());
    let filter = ActivityFilter {
        types: types.map(str::to_owned).collect(),
        trades,
        date: parsed(query.get("date"), "date", |text| text.parse().ok())?,
        after: parsed(query.get("after"), "after", moment)?,
        until: parsed(query.get("until"), "until", moment)?,
        ascending: direction.unwrap_or(false),
        page_size: parsed(query.get("page_size"), "page_size", |text| {
            text.parse().ok().filter(|size| (1..=100).contains(size))
        })?,
        page_token: query.get("page_token").map(str::to_owned),
    };
    let rows = world.exchange.activities(world.now, call.account(), &filter)?;
    Ok(Reply::json(&rows.iter().map(RowShape::from).collect::<Vec<_>>()))
}
