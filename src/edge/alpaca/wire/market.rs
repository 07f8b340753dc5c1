//! `GET /v2/calendar`, and of the data host the latest quotes and trades and the daily bars (facts 4.3, 6).

use std::collections::BTreeMap;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use super::number::Market;
use super::{Fault, parsed, plain, read};
use crate::model::closes::DailyCloses;
use crate::model::ids::Symbol;
use crate::model::money::{Price, Qty};
use crate::model::session::Session;
use crate::model::snapshot::{Quote, Trade};
use crate::model::time::Moment;

#[derive(Debug, Deserialize)]
struct DayJson {
    date: String,
    open: String,
    close: String,
}

/// Reads the broker's calendar; its hours carry no zone and are the exchange's.
pub(in super::super) fn calendar(body: &[u8], zone: &TimeZone) -> Result<Vec<Session>, Fault> {
    let rows: Vec<DayJson> = read(body)?;
    let rows = rows.iter().enumerate();
    rows.map(|(index, row)| session(row, zone).map_err(|fault| fault.under(&format!("[{index}]")))).collect()
}

fn session(row: &DayJson, zone: &TimeZone) -> Result<Session, Fault> {
    let day: Date = parsed(&row.date, "date", str::parse)?;
    let moment = |text: &str, field| {
        let time: Time = parsed(text, field, |text| Time::strptime("%H:%M", text))?;
        let zoned = day.to_datetime(time).to_zoned(zone.clone());
        zoned.map(|zoned| Moment::from(zoned.timestamp())).map_err(|error| Fault::new(field, error.to_string()))
    };
    let (open, close) = (moment(&row.open, "open")?, moment(&row.close, "close")?);
    if open >= close {
        return Err(Fault::new("close", "is not after the open"));
    }
    Ok(Session { day, open, close })
}

#[derive(Debug, Deserialize)]
struct QuoteJson {
    bp: Option<Market>,
    ap: Option<Market>,
    t: String,
}

#[derive(Debug, Deserialize)]
struct QuotesJson {
    quotes: Option<BTreeMap<String, Value>>,
}

/// Reads the latest quotes. A symbol whose quote cannot be read has none, which is a price that is missing; the others
/// are not touched by it (row 43).
pub(in super::super) fn quotes(body: &[u8]) -> Result<BTreeMap<Symbol, Quote>, Fault> {
    let rows = read::<QuotesJson>(body)?.quotes.unwrap_or_default();
    Ok(rows.iter().filter_map(|(symbol, row)| quote(symbol, row).ok()).collect())
}

#[derive(Debug, Deserialize)]
struct TradeJson {
    p: Market,
    t: String,
}

#[derive(Debug, Deserialize)]
struct TradesJson {
    trades: Option<BTreeMap<String, Value>>,
}

/// Reads the latest trades. A symbol whose trade cannot be read has none.
pub(in super::super) fn trades(body: &[u8]) -> Result<BTreeMap<Symbol, Trade>, Fault> {
    let rows = read::<TradesJson>(body)?.trades.unwrap_or_default();
    let trade = |symbol: &str, row: &Value| {
        let json = TradeJson::deserialize(row).ok()?;
        let at = Moment::parse(&json.t).ok()?;
        Some((Symbol::parse(symbol).ok()?, Trade { price: Price::new(json.p.0), at }))
    };
    Ok(rows.iter().filter_map(|(symbol, row)| trade(symbol, row)).collect())
}

/// Sessions over which a volume is averaged.
const SESSIONS: usize = 20;

#[derive(Debug, Deserialize)]
struct BarJson {
    v: Market,
}

#[derive(Debug, Deserialize)]
struct BarsJson {
    bars: Option<BTreeMap<String, Value>>,
}

/// Reads daily bars, oldest first, and averages the volumes of the last twenty. A symbol whose bars cannot be read has no
/// volume.
pub(in super::super) fn average_volumes(body: &[u8]) -> Result<BTreeMap<Symbol, Qty>, Fault> {
    let rows = read::<BarsJson>(body)?.bars.unwrap_or_default();
    let average = |symbol: &str, bars: &Value| {
        let bars = Vec::<BarJson>::deserialize(bars).ok()?;
        let last: Vec<Decimal> = bars.iter().rev().take(SESSIONS).map(|bar| bar.v.0).collect();
        let count = Decimal::from(u32::try_from(last.len()).ok()?);
        let average = last.iter().sum::<Decimal>().checked_div(count)?;
        Some((Symbol::parse(symbol).ok()?, Qty::new(average.trunc())))
    };
    Ok(rows.iter().filter_map(|(symbol, row)| average(symbol, row)).collect())
}

#[derive(Debug, Deserialize)]
struct CloseJson {
    t: String,
    c: Market,
}

#[derive(Debug, Deserialize)]
struct PageJson {
    bars: Option<BTreeMap<String, Value>>,
    next_page_token: Option<String>,
}

/// Daily closes by symbol, and the token of the page that goes on where this one ends.
pub(in super::super) type ClosesPage = (BTreeMap<Symbol, DailyCloses>, Option<String>);

/// Reads the closes of daily bars. A bar's time is midnight at the exchange (facts 6). A symbol whose bars cannot be read has
/// none.
pub(in super::super) fn closes(body: &[u8], zone: &TimeZone) -> Result<ClosesPage, Fault> {
    let page: PageJson = read(body)?;
    let rows = page.bars.unwrap_or_default();
    let closes = rows.iter().filter_map(|(symbol, bars)| closes_of(symbol, bars, zone).ok()).collect();
    Ok((closes, page.next_page_token.filter(|token| !token.is_empty())))
}

/// Reads the daily closes of one symbol.
pub(super) fn closes_of(symbol: &str, bars: &Value, zone: &TimeZone) -> Result<(Symbol, DailyCloses), Fault> {
    let parsed_symbol = parsed(symbol, symbol, Symbol::parse)?;
    let bars = bars.as_array().ok_or_else(|| Fault::new(symbol, "is no list of bars"))?;
    let mut closes = DailyCloses::new();
    for (index, bar) in bars.iter().enumerate() {
        let at = |field: &str| format!("{symbol}[{index}].{field}");
        let json: CloseJson = serde_path_to_error::deserialize(bar)
            .map_err(|error| Fault::new(at(&error.path().to_string()), plain(&error.inner().to_string())))?;
        let moment = parsed(&json.t, &at("t"), Moment::parse)?;
        closes.insert(moment.day_in(zone), Price::new(json.c.0));
    }
    Ok((parsed_symbol, closes))
}

/// Reads the quote of one symbol. A side that is not active is zero, which no plan takes for a price.
pub(super) fn quote(symbol: &str, row: &Value) -> Result<(Symbol, Quote), Fault> {
    let parsed_symbol = parsed(symbol, symbol, Symbol::parse)?;
    let at = |field: &str| if field == "." { symbol.to_owned() } else { format!("{symbol}.{field}") };
    let json: QuoteJson = serde_path_to_error::deserialize(row)
        .map_err(|error| Fault::new(at(&error.path().to_string()), plain(&error.inner().to_string())))?;
    let price = |side: Option<Market>| side.map_or(Price::ZERO, |price| Price::new(price.0));
    let moment = parsed(&json.t, &at("t"), Moment::parse)?;
    Ok((parsed_symbol, Quote { bid: price(json.bp), ask: price(json.ap), at: moment }))
}
