//! Shapes of market data: short names, JSON numbers (facts 6).
//!
//! Always: whole numbers are written without a fraction, as Alpaca's own encoder does.

#![expect(clippy::float_arithmetic, reason = "market data travels as JSON numbers")]

use jiff::Timestamp;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde::{Serialize, Serializer};

use crate::http::world::World;
use crate::market::{Bar, Quote, Trade};

/// A JSON number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(f64);

impl From<Decimal> for Number {
    fn from(decimal: Decimal) -> Self {
        Self(decimal.to_f64().unwrap_or_default())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0
            && let Some(whole) = self.0.to_i64()
        {
            return serializer.serialize_i64(whole);
        }
        serializer.serialize_f64(self.0)
    }
}

/// Letters of the exchange and the tape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Venue {
    exchange: &'static str,
    tape: &'static str,
}

impl Venue {
    /// Where a symbol trades; the IEX feed sees only `V`.
    pub(super) fn of(world: &World, symbol: &str, iex: bool) -> Self {
        let listed = world.exchange.asset(symbol).map_or("NYSE", |asset| asset.exchange);
        let (letter, tape) = match listed {
            "NASDAQ" => ("Q", "C"),
            "ARCA" | "NYSEARCA" => ("P", "B"),
            "BATS" => ("Z", "B"),
            _ => ("N", "A"),
        };
        Self { exchange: if iex { "V" } else { letter }, tape }
    }
}

#[derive(Serialize)]
pub(super) struct QuoteShape {
    ap: Number,
    #[serde(rename = "as")]
    ask_size: u32,
    ax: &'static str,
    bp: Number,
    bs: u32,
    bx: &'static str,
    c: [&'static str; 1],
    t: Timestamp,
    z: &'static str,
}

impl QuoteShape {
    pub(super) fn new(quote: &Quote, venue: Venue) -> Self {
        Self {
            ap: quote.ask.into(),
            ask_size: quote.ask_size,
            ax: venue.exchange,
            bp: quote.bid.into(),
            bs: quote.bid_size,
            bx: venue.exchange,
            c: ["R"],
            t: quote.at,
            z: venue.tape,
        }
    }
}

#[derive(Serialize)]
pub(super) struct TradeShape {
    c: [&'static str; 1],
    i: u64,
    p: Number,
    s: u32,
    t: Timestamp,
    x: &'static str,
    z: &'static str,
}

impl TradeShape {
    pub(super) fn new(trade: &Trade, venue: Venue) -> Self {
        // One trade a step: its second of the epoch tells it from its neighbours.
        let id = u64::try_from(trade.at.as_second()).unwrap_or_default();
        Self { c: ["@"], i: id, p: trade.price.into(), s: trade.size, t: trade.at, x: venue.exchange, z: venue.tape }
    }
}

#[derive(Serialize)]
pub(super) struct BarShape {
    c: Number,
    h: Number,
    l: Number,
    n: u64,
    o: Number,
    pub(super) t: Timestamp,
    v: u64,
    vw: Number,
}

impl From<Bar> for BarShape {
    fn from(bar: Bar) -> Self {
        let cents = |value: f64| Number((value * 10_000.0).round() / 10_000.0);
        Self {
            c: cents(bar.close),
            h: cents(bar.high),
            l: cents(bar.low),
            n: bar.trades,
            o: cents(bar.open),
            t: bar.at,
            v: bar.volume,
            vw: Number((bar.vwap * 1_000_000.0).round() / 1_000_000.0),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SnapshotShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) daily_bar: Option<BarShape>,
    pub(super) latest_quote: QuoteShape,
    pub(super) latest_trade: TradeShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) minute_bar: Option<BarShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prev_daily_bar: Option<BarShape>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn whole_numbers_have_no_fraction() {
        let numbers = [Number::from(Decimal::new(17_270, 2)), Number::from(Decimal::new(17_300, 2))];
        assert_eq!(serde_json::to_string(&numbers).unwrap(), "[172.7,173]");
    }
}
