//! `/v2/account/portfolio/history` (facts 4.5).
//!
//! Always: parallel arrays of numbers, not strings; times are the beginnings of their steps, in seconds.

#![expect(clippy::float_arithmetic, reason = "this answer travels as JSON numbers, and gains are shown, not traded on")]

use axum::http::StatusCode;
use jiff::{Span, Timestamp};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Map, Value, json};

use crate::exchange::{History, HistoryPoint, HistoryRequest, HistoryStep};
use crate::http::reply::Reply;
use crate::http::request::Params;
use crate::http::routes::time::midnight;
use crate::http::routes::{Answer, Call, only_get};
use crate::http::wire::moment;
use crate::http::world::World;
use crate::market::sessions::{in_new_york, new_york_date};

fn bad(why: &str) -> Reply {
    crate::http::reply::Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, 42_210_000, why.to_owned()).into()
}

/// `GET /v2/account/portfolio/history`.
pub(super) fn get(world: &mut World, call: &Call<'_>) -> Answer {
    only_get(call)?;
    let query = call.inbound.query();
    let (start, end) = span(&query, world.now)?;
    let days = (end.as_second() - start.as_second()) / 86_400;
    let (name, step) = timeframe(query.get("timeframe"), days)?;
    if matches!(step, HistoryStep::Minutes(_)) && 31 < days {
        return Err(bad("intraday timeframes reach back 30 days at most"));
    }
    let extended = match query.get("intraday_reporting") {
        None => query.get("extended_hours") == Some("true"),
        Some("market_hours") => false,
        Some("extended_hours" | "continuous") => true,
        Some(_) => return Err(bad("invalid intraday_reporting")),
    };
    let per_day = match query.get("pnl_reset") {
        None | Some("per_day") => true,
        Some("no_reset") => false,
        Some(_) => return Err(bad("invalid pnl_reset")),
    };
    let request = HistoryRequest { start, end, step, extended_hours: extended };
    let history = world.exchange.history(world.now, call.account(), &request)?;
    let mut answer = arrays(&history, per_day);
    answer.insert("timeframe".to_owned(), name.into());
    if let Some(wanted) = query.get("cashflow_types").filter(|wanted| *wanted != "NONE") {
        answer.insert("cashflow".to_owned(), cashflow(&history, wanted));
    }
    Ok(Reply::json(&answer))
}

/// From when to when: two of `start`, `end` and `period` at most; a month up to now by default.
fn span(query: &Params<'_>, now: Timestamp) -> Result<(Timestamp, Timestamp), Reply> {
    let read = |name: &str| match query.get(name) {
        None => Ok(None),
        Some(text) => moment(text).map(Some).ok_or_else(|| bad(&format!("invalid {name}"))),
    };
    // The old name of the end is still sent by some clients.
    let (start, end) = (read("start")?, read("end")?.or(read("date_end")?));
    let period = query.get("period");
    if start.is_some() && end.is_some() && period.is_some() {
        return Err(bad("only two of start, end and period are accepted"));
    }
    let length = period_span(period.unwrap_or("1M"), now).ok_or_else(|| bad("invalid period"))?;
    let shift = |at: Timestamp, length: Span| in_new_york(at).checked_add(length).map(|zoned| zoned.timestamp());
    let range = || bad("out of range");
    match (start, end) {
        (Some(start), Some(end)) => Ok((start, end.min(now))),
        (Some(start), None) if period.is_some() => Ok((start, shift(start, length).map_err(|_| range())?.min(now))),
        (Some(start), None) => Ok((start, now)),
        (None, end) => {
            let end = end.unwrap_or(now).min(now);
            let start = shift(end, length.negate()).map_err(|_| range())?;
            Ok((midnight(new_york_date(start)).unwrap_or(start), end))
        }
    }
}

fn period_span(text: &str, now: Timestamp) -> Option<Span> {
    if text == "all" {
        return Some(Span::new().years(10));
    }
    if text == "YTD" {
        let today = new_york_date(now);
        return Some(Span::new().days(i64::from(today.day_of_year()) - 1));
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: i64 = number.parse().ok().filter(|number| (1..=10_000).contains(number))?;
    let span = Span::new();
    match unit {
        // A period of one day is today.
        "D" => span.try_days(number - 1).ok(),
        "W" => span.try_weeks(number).ok(),
        "M" => span.try_months(number).ok(),
        "A" | "Y" => span.try_years(number).ok(),
        _ => None,
    }
}

/// By default a minute for a day, a quarter of an hour for a week, else days.
fn timeframe(text: Option<&str>, days: i64) -> Result<(&'static str, HistoryStep), Reply> {
    Ok(match text {
        Some("1Min") => ("1Min", HistoryStep::Minutes(1)),
        Some("5Min") => ("5Min", HistoryStep::Minutes(5)),
        Some("15Min") => ("15Min", HistoryStep::Minutes(15)),
        Some("1H") => ("1H", HistoryStep::Minutes(60)),
        Some("1D") => ("1D", HistoryStep::Day),
        Some(_) => return Err(bad("invalid timeframe")),
        None if days < 7 => ("1Min", HistoryStep::Minutes(1)),
        None if days < 30 => ("15Min", HistoryStep::Minutes(15)),
        None => ("1D", HistoryStep::Day),
    })
}

fn number(decimal: Decimal) -> f64 {
    decimal.to_f64().unwrap_or_default()
}

/// Gains are counted from the base value; when `per_day`, from the end of the day before, so that steps of a day show
/// the day's own gain. Money paid in counts as a gain, as in the documents' own examples.
fn arrays(history: &History, per_day: bool) -> Map<String, Value> {
    let (mut times, mut equity, mut gains, mut parts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut base = history.base_value;
    let mut last: Option<&HistoryPoint> = None;
    for point in &history.points {
        if let Some(last) = last
            && per_day
            && new_york_date(last.at) != new_york_date(point.at)
        {
            base = last.equity;
        }
        let gain = point.equity - base;
        times.push(point.at.as_second());
        equity.push(number(point.equity));
        gains.push(number(gain));
        let part = if base.is_zero() { 0.0 } else { number(gain) / number(base) };
        parts.push((part * 10_000.0).round() / 10_000.0);
        last = Some(point);
    }
    let mut map = Map::new();
    map.insert("timestamp".to_owned(), json!(times));
    map.insert("equity".to_owned(), json!(equity));
    map.insert("profit_loss".to_owned(), json!(gains));
    map.insert("profit_loss_pct".to_owned(), json!(parts));
    map.insert("base_value".to_owned(), json!(number(history.base_value)));
    if let Some(asof) = history.base_value_asof {
        map.insert("base_value_asof".to_owned(), json!(asof.to_string()));
    }
    map
}

/// Reads one kind of cash flow off a point.
type Amount = fn(&HistoryPoint) -> Decimal;

fn cashflow(history: &History, wanted: &str) -> Value {
    let kinds: [(&str, Amount); 4] = [
        ("CSD", |point| point.deposits.max(Decimal::ZERO)),
        ("CSW", |point| point.deposits.min(Decimal::ZERO)),
        ("DIV", |point| point.dividends),
        ("FEE", |point| point.fees),
    ];
    let mut map = Map::new();
    for (kind, amount) in kinds {
        let asked = wanted == "ALL" || wanted.split(',').any(|word| word.trim() == kind);
        let amounts: Vec<f64> = history.points.iter().map(|point| number(amount(point))).collect();
        if asked && amounts.iter().any(|amount| amount.abs() > 0.0) {
            map.insert(kind.to_owned(), json!(amounts));
        }
    }
    Value::Object(map)
}
