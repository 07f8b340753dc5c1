//! The market's clock and calendar, old and new (facts 4.3).
//!
//! Always: `is_open` is the regular session only; times of the old interface are New York's, with their offset.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use jiff::civil::{Date, Time, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::Serialize;
use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::http::reply::Reply;
use crate::http::routes::{Answer, Call, only_get};
use crate::http::wire::moment;
use crate::http::world::World;
use crate::market::sessions::{Session, in_new_york, new_york_date};

/// RFC 3339 with the offset, without jiff's annotation of the zone.
fn with_offset(zoned: &Zoned) -> String {
    let format = if zoned.subsec_nanosecond() == 0 { "%Y-%m-%dT%H:%M:%S%:z" } else { "%Y-%m-%dT%H:%M:%S%.f%:z" };
    zoned.strftime(format).to_string()
}

fn local(at: Timestamp) -> String {
    with_offset(&in_new_york(at))
}

/// `GET /v2/clock`.
pub(super) fn clock(world: &mut World, call: &Call<'_>) -> Answer {
    only_get(call)?;
    let calendar = world.exchange.market().calendar();
    let now = world.now;
    let next = calendar.next_to_open(now).zip(calendar.next_to_close(now));
    let Some((opens, closes)) = next else {
        return Err(Reply::refuse(StatusCode::INTERNAL_SERVER_ERROR, "the calendar ends here"));
    };
    Ok(Reply::json(&json!({
        "timestamp": local(now),
        "is_open": calendar.is_open(now),
        "next_open": local(opens.open),
        "next_close": local(closes.close),
    })))
}

#[derive(Serialize)]
struct DayShape {
    date: Date,
    open: String,
    close: String,
    session_open: String,
    session_close: String,
    settlement_date: Date,
}

/// `GET /v2/calendar`.
pub(super) fn calendar(world: &mut World, call: &Call<'_>) -> Answer {
    only_get(call)?;
    let query = call.inbound.query();
    let start = day(query.get("start"), "start")?.unwrap_or(date(1970, 1, 1));
    let end = day(query.get("end"), "end")?.unwrap_or(date(2029, 12, 31));
    let by_settlement = match query.get("date_type") {
        None | Some("TRADING") => false,
        Some("SETTLEMENT") => true,
        Some(_) => return Err(invalid("date_type")),
    };
    if end < start {
        return Err(Reply::refuse(StatusCode::BAD_REQUEST, "end must not be before start"));
    }
    let calendar = world.exchange.market().calendar();
    let days: Vec<DayShape> = if by_settlement {
        // A day settles on the next trading day, at most five calendar days later.
        let from = start.checked_sub(jiff::Span::new().days(5)).unwrap_or(start);
        let sessions = calendar.between(from, end).iter();
        sessions.filter(|session| start <= session.settlement && session.settlement <= end).map(shape).collect()
    } else {
        calendar.between(start, end).iter().map(shape).collect()
    };
    Ok(Reply::json(&days))
}

fn shape(session: &Session) -> DayShape {
    let clock = |at: Timestamp, format: &str| in_new_york(at).strftime(format).to_string();
    DayShape {
        date: session.date,
        open: clock(session.open, "%H:%M"),
        close: clock(session.close, "%H:%M"),
        session_open: clock(session.extended_open, "%H%M"),
        session_close: clock(session.extended_close, "%H%M"),
        settlement_date: session.settlement,
    }
}

/// A date, or a moment whose date counts.
fn day(text: Option<&str>, name: &str) -> Result<Option<Date>, Reply> {
    let Some(text) = text else { return Ok(None) };
    let date = text.parse::<Date>().ok();
    date.or_else(|| text.parse::<Timestamp>().ok().map(new_york_date)).map(Some).ok_or_else(|| invalid(name))
}

fn invalid(name: &str) -> Reply {
    Reply::refuse(StatusCode::BAD_REQUEST, &format!("invalid {name}"))
}

/// The markets of the new interface that this simulator knows: the exchanges that share New York's hours.
const MARKETS: [(&str, &str, &str); 3] = [
    ("NYSE", "New York Stock Exchange", "XNYS"),
    ("NASDAQ", "Nasdaq Stock Market", "XNAS"),
    ("ARCA", "NYSE Arca", "ARCX"),
];

fn market(acronym: &str) -> Option<Value> {
    let (acronym, name, mic) = MARKETS.iter().find(|(known, _, _)| known.eq_ignore_ascii_case(acronym))?;
    Some(json!({"acronym": acronym, "name": name, "timezone": "America/New_York", "mic": mic, "bic": ""}))
}

/// `GET /v3/clock`.
pub(super) fn clocks(world: &mut World, call: &Call<'_>) -> Answer {
    only_get(call)?;
    let query = call.inbound.query();
    let at = match query.get("time") {
        None => world.now,
        Some(text) => moment(text).ok_or_else(|| invalid("time"))?,
    };
    let mut clocks = Vec::new();
    for name in query.get("markets").unwrap_or("NYSE").split(',') {
        let market = market(name.trim()).ok_or_else(|| invalid("markets"))?;
        clocks.push(phase(&world.exchange, at, &market).ok_or_else(|| invalid("time"))?);
    }
    Ok(Reply::json(&json!({"clocks": clocks})))
}

fn phase(exchange: &Exchange, at: Timestamp, market: &Value) -> Option<Value> {
    let calendar = exchange.market().calendar();
    let today = calendar.on(new_york_date(at));
    let next_open = calendar.next_to_open(at)?;
    let next_close = calendar.next_to_close(at)?;
    let next_start = match today {
        Some(session) if at < session.extended_open => session.extended_open,
        _ => next_open.extended_open,
    };
    let (phase, until) = match today {
        Some(session) if session.extended_open <= at && at < session.open => ("pre", session.open),
        Some(session) if session.open <= at && at < session.close => ("core", session.close),
        Some(session) if session.close <= at && at < session.extended_close => ("post", session.extended_close),
        _ => ("closed", next_start),
    };
    Some(json!({
        "market": market,
        "timestamp": local(at),
        "is_market_day": today.is_some(),
        "next_market_open": local(next_open.open),
        "next_market_close": local(next_close.close),
        "phase": phase,
        "phase_until": local(until),
    }))
}

/// `GET /v3/calendar/{market}`.
pub(super) fn market_calendar(world: &mut World, name: &str, call: &Call<'_>) -> Answer {
    only_get(call)?;
    let market = market(name).ok_or_else(|| invalid("market"))?;
    let query = call.inbound.query();
    let zone = TimeZone::get(query.get("timezone").unwrap_or("UTC")).map_err(|_| invalid("timezone"))?;
    let today = new_york_date(world.now);
    let start = day(query.get("start"), "start")?.unwrap_or(today);
    let week_later = start.checked_add(jiff::Span::new().days(7)).unwrap_or(start);
    let end = day(query.get("end"), "end")?.unwrap_or(week_later);
    if end < start {
        return Err(Reply::refuse(StatusCode::BAD_REQUEST, "end must not be before start"));
    }
    let text = |at: Timestamp| with_offset(&at.to_zoned(zone.clone()));
    let days: Vec<BTreeMap<&str, String>> = world
        .exchange
        .market()
        .calendar()
        .between(start, end)
        .iter()
        .map(|session| {
            BTreeMap::from([
                ("date", session.date.to_string()),
                ("pre_start", text(session.extended_open)),
                ("pre_end", text(session.open)),
                ("core_start", text(session.open)),
                ("core_end", text(session.close)),
                ("post_start", text(session.close)),
                ("post_end", text(session.extended_close)),
                ("settlement_date", session.settlement.to_string()),
            ])
        })
        .collect();
    Ok(Reply::json(&json!({"market": market, "calendar": days})))
}

/// Midnight in New York of a date.
pub(super) fn midnight(date: Date) -> Option<Timestamp> {
    date.to_datetime(Time::midnight()).in_tz("America/New_York").ok().map(|zoned| zoned.timestamp())
}
