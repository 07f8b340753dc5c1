//! Alpaca's JSON, and its way into our nouns.
//!
//! Unknown fields are ignored and unknown words survive: Alpaca may add either at any time (facts, wire conventions).
//! Trading decimals come as strings and are read as decimals, never through a float; market data comes as JSON numbers,
//! which are read by their shortest decimal text.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::model::ids::{AccountId, ClientOrderId, OrderId, Symbol};
use crate::model::intent::Intent;
use crate::model::money::{LARGEST, Price, Qty, Usd};
use crate::model::plan::{Amount, Pricing, Side};
use crate::model::report::{OrderReport, OrderStatus};
use crate::model::snapshot::{AccountView, AssetView, Holding, OpenOrder, Quote};
use crate::model::time::Moment;

/// A decimal that comes as a string or as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(pub(super) Decimal);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number below 10^15, as a string or a number")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                let value = Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text));
                let value = value.map_err(|_| E::custom(format!("`{}` is not a decimal number", shortened(text))))?;
                if value.abs() < LARGEST { Ok(Number(value)) } else { Err(E::custom("a number of 10^15 or more")) }
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Number, E> {
                self.visit_str(&value.to_string())
            }
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Number, E> {
                self.visit_str(&value.to_string())
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Number, E> {
                self.visit_str(&value.to_string())
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// An answer that does not read as what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Nonsense(String);

/// Reads a body as JSON of some shape; a body that is none is said to be none, and its content is not repeated.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Nonsense> {
    serde_json::from_slice(body).map_err(|error| Nonsense(format!("not the expected JSON: {error}")))
}

fn field<T, E: fmt::Display>(name: &str, value: Result<T, E>) -> Result<T, Nonsense> {
    value.map_err(|error| Nonsense(format!("{name}: {error}")))
}

/// `{"code", "message"}`; both may be missing (facts 3.11).
#[derive(Debug, Default, Deserialize)]
pub(super) struct RawError {
    #[serde(default)]
    pub(super) code: Option<i64>,
    #[serde(default)]
    pub(super) message: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawAccount {
    id: String,
    #[serde(default)]
    account_number: String,
    status: String,
    cash: Number,
    #[serde(default)]
    equity: Option<Number>,
    #[serde(default)]
    buying_power: Option<Number>,
    #[serde(default)]
    trading_blocked: bool,
    #[serde(default)]
    account_blocked: bool,
    #[serde(default)]
    trade_suspended_by_user: bool,
}

impl RawAccount {
    pub(super) fn view(self) -> Result<AccountView, Nonsense> {
        let cash = Usd::new(self.cash.0);
        let flags = [
            (self.trading_blocked, "trading_blocked"),
            (self.account_blocked, "account_blocked"),
            (self.trade_suspended_by_user, "trade_suspended_by_user"),
        ];
        Ok(AccountView {
            id: field("id", AccountId::parse(&self.id))?,
            number: self.account_number,
            status: self.status,
            blocks: flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect(),
            cash,
            equity: self.equity.map_or(cash, |equity| Usd::new(equity.0)),
            buying_power: self.buying_power.map_or(cash, |power| Usd::new(power.0)),
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct RawPosition {
    symbol: String,
    qty: Number,
    #[serde(default)]
    qty_available: Option<Number>,
    #[serde(default)]
    side: Option<String>,
    #[serde(default)]
    current_price: Option<Number>,
    #[serde(default)]
    asset_class: Option<String>,
}

/// Positions by symbol. Crypto is not ours and left out (facts 4.1: its symbols have no slash here).
pub(super) fn holdings(rows: Vec<RawPosition>) -> Result<BTreeMap<Symbol, Holding>, Nonsense> {
    let mut holdings = BTreeMap::new();
    for row in rows {
        if row.asset_class.as_deref().is_some_and(|class| class != "us_equity") {
            continue;
        }
        let short = row.side.as_deref() == Some("short");
        let size = Qty::new(row.qty.0);
        // The sign of a short position is not documented; its side is (facts 4.1).
        let qty = if short { -size.abs() } else { size };
        let available = row.qty_available.map_or(qty, |available| Qty::new(available.0));
        let last_price = row.current_price.map(|price| Price::new(price.0));
        holdings.insert(field("symbol", Symbol::parse(&row.symbol))?, Holding { qty, available, last_price });
    }
    Ok(holdings)
}

#[derive(Debug, Deserialize)]
pub(super) struct RawOrder {
    id: String,
    client_order_id: String,
    symbol: String,
    side: String,
    /// The current name of `order_type`; Alpaca sends both (facts 3.4), so one must not be an alias of the other.
    #[serde(default)]
    r#type: Option<String>,
    /// The older name, for answers that carry only this one.
    #[serde(default)]
    order_type: Option<String>,
    #[serde(default)]
    time_in_force: Option<String>,
    #[serde(default)]
    qty: Option<Number>,
    #[serde(default)]
    notional: Option<Number>,
    #[serde(default)]
    limit_price: Option<Number>,
    #[serde(default)]
    filled_qty: Option<Number>,
    #[serde(default)]
    filled_avg_price: Option<Number>,
    status: String,
    #[serde(default)]
    submitted_at: Option<String>,
}

impl RawOrder {
    pub(super) fn report(self) -> Result<OrderReport, Nonsense> {
        let side = Side::parse(&self.side).ok_or_else(|| Nonsense(format!("side `{}`", shortened(&self.side))))?;
        Ok(OrderReport {
            id: field("id", OrderId::parse(&self.id))?,
            client_order_id: field("client_order_id", ClientOrderId::parse(&self.client_order_id))?,
            symbol: field("symbol", Symbol::parse(&self.symbol))?,
            side,
            kind: self.r#type.or(self.order_type).unwrap_or_default(),
            time_in_force: self.time_in_force.unwrap_or_default(),
            qty: self.qty.map(|qty| Qty::new(qty.0)),
            notional: self.notional.map(|notional| Usd::new(notional.0)),
            limit_price: self.limit_price.map(|price| Price::new(price.0)),
            filled_qty: self.filled_qty.map_or(Qty::ZERO, |qty| Qty::new(qty.0)),
            filled_avg_price: self.filled_avg_price.map(|price| Price::new(price.0)),
            status: OrderStatus::parse(&self.status),
            submitted_at: self.submitted_at.as_deref().and_then(|text| Moment::parse(text).ok()),
        })
    }

    /// An open order of anybody's. What a purchase may still take is known when it has a limit or a value.
    pub(super) fn open(self) -> Result<OpenOrder, Nonsense> {
        let report = self.report()?;
        let remaining = report.qty.map(|qty| qty - report.filled_qty);
        let spent = report.filled_avg_price.map_or(Usd::ZERO, |price| report.filled_qty * price);
        let reserves = match (report.side, report.notional, remaining, report.limit_price) {
            (Side::Sell, ..) => Some(Usd::ZERO),
            (Side::Buy, Some(notional), ..) => Some((notional - spent).max(Usd::ZERO)),
            (Side::Buy, None, Some(remaining), Some(limit)) => Some((remaining * limit).ceil_cents()),
            (Side::Buy, ..) => None,
        };
        Ok(OpenOrder {
            id: report.id,
            client_order_id: report.client_order_id,
            symbol: report.symbol,
            side: report.side,
            reserves,
            remaining,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct RawAsset {
    #[serde(default)]
    pub(super) symbol: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    tradable: bool,
    #[serde(default)]
    fractionable: bool,
}

impl RawAsset {
    pub(super) fn view(&self) -> AssetView {
        let active = self.status.as_deref().is_none_or(|status| status == "active");
        AssetView { tradable: active && self.tradable, fractionable: self.fractionable }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct RawQuotes {
    #[serde(default)]
    pub(super) quotes: Option<BTreeMap<String, RawQuote>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawQuote {
    t: String,
    #[serde(default)]
    bp: Option<Number>,
    #[serde(default)]
    ap: Option<Number>,
}

/// Quotes by symbol; a side that is missing is zero, which is not usable (facts 6).
pub(super) fn quotes(rows: BTreeMap<String, RawQuote>) -> Result<BTreeMap<Symbol, Quote>, Nonsense> {
    let price = |number: Option<Number>| number.map_or(Price::ZERO, |number| Price::new(number.0));
    rows.into_iter()
        .map(|(symbol, row)| {
            let at = field("t", Moment::parse(&row.t))?;
            Ok((field("symbol", Symbol::parse(&symbol))?, Quote { bid: price(row.bp), ask: price(row.ap), at }))
        })
        .collect()
}

/// One row of the calendar; times are the exchange's own, without a zone (facts 4.3).
#[derive(Debug, Deserialize)]
pub(super) struct RawSession {
    pub(super) date: String,
    pub(super) open: String,
    pub(super) close: String,
}

/// `POST /v2/orders`: decimals as strings, one of `qty` and `notional`, always `day` (facts 3.1, 3.2).
#[derive(Debug, Serialize)]
pub(super) struct NewOrder<'a> {
    symbol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    qty: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notional: Option<String>,
    side: &'static str,
    r#type: &'static str,
    time_in_force: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_price: Option<String>,
    client_order_id: &'a str,
}

impl<'a> NewOrder<'a> {
    pub(super) fn of(intent: &'a Intent) -> Self {
        let (qty, notional) = match intent.amount {
            Amount::Qty(qty) => (Some(qty.to_string()), None),
            Amount::Notional(notional) => (None, Some(notional.to_string())),
        };
        let (kind, limit_price) = match intent.pricing {
            Pricing::Market => ("market", None),
            Pricing::Limit(price) => ("limit", Some(price.to_string())),
        };
        Self {
            symbol: intent.symbol.as_str(),
            qty,
            notional,
            side: intent.phase.side().code(),
            r#type: kind,
            time_in_force: "day",
            limit_price,
            client_order_id: intent.client_order_id.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    #[test]
    fn an_order_that_carries_both_names_of_its_type_is_read() {
        let names = |extra: &str| {
            let text = format!(
                r#"{{"id":"o-1","client_order_id":"c-1","symbol":"SPY","side":"buy","status":"new","filled_qty":"0"{extra}}}"#
            );
            serde_json::from_str::<RawOrder>(&text).unwrap().report().unwrap().kind
        };
        assert_eq!(names(r#","order_type":"market","type":"market""#), "market");
        assert_eq!(names(r#","type":"limit""#), "limit");
        assert_eq!(names(r#","order_type":"limit""#), "limit");
    }
}
