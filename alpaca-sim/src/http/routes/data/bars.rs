//! Historical bars, page by page (facts 6).
//!
//! Always: a page's token names the symbol and the moment at which the next page begins, so pages never overlap and
//! never leave a gap, also when bars are added at the end between two requests.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::shapes::BarShape;
use super::{Feed, bad, symbols, ticker};
use crate::http::reply::Reply;
use crate::http::request::Params;
use crate::http::routes::Answer;
use crate::http::routes::time::midnight;
use crate::http::wire::moment;
use crate::http::world::World;
use crate::market::sessions::new_york_date;
use crate::market::{BarRequest, Timeframe};

/// What all symbols of a request share.
struct Wanted {
    request: BarRequest,
    /// Where the page begins: a symbol and a moment.
    from: Option<(String, Timestamp)>,
}

impl Wanted {
    fn read(world: &World, query: &Params<'_>, feed: Feed) -> Result<Self, Reply> {
        let text = query.get("timeframe").ok_or_else(|| bad("timeframe is required"))?;
        let timeframe = Timeframe::parse(text).ok_or_else(|| bad(&format!("invalid timeframe: {text}")))?;
        let time = |name: &str| match query.get(name) {
            None => Ok(None),
            Some(text) => moment(text).map(Some).ok_or_else(|| bad(&format!("invalid {name}: {text}"))),
        };
        let now = world.now;
        let start = time("start")?.or_else(|| midnight(new_york_date(now))).unwrap_or(now);
        let end = time("end")?;
        let recent = now.checked_sub(SignedDuration::from_mins(15)).unwrap_or(now);
        let end = match end {
            Some(end) => {
                if recent < end {
                    feed.may_be_recent()?;
                }
                end
            }
            // Without an end the free plan gets what it may have.
            None if feed.sip_by_name && feed.free_plan => recent,
            None => now,
        };
        if end < start {
            return Err(bad("end should not be before start"));
        }
        let limit = match query.get("limit") {
            None => 1000,
            Some(text) => text
                .parse::<usize>()
                .ok()
                .filter(|limit| (1..=10_000).contains(limit))
                .ok_or_else(|| bad("invalid limit: must be between 1 and 10000"))?,
        };
        let ascending = match query.get("sort") {
            None | Some("asc") => true,
            Some("desc") => false,
            Some(_) => return Err(bad("invalid sort: must be asc or desc")),
        };
        let split_adjusted = match query.get("adjustment") {
            None | Some("raw") => false,
            Some(list) => adjusted_for_splits(list)?,
        };
        let from = query.get("page_token").map(read_token).transpose()?;
        Ok(Self { request: BarRequest { timeframe, start, end, ascending, limit, split_adjusted }, from })
    }
}

/// Whether a list of adjustments has the splits in it; dividends and spin-offs leave these prices alone.
fn adjusted_for_splits(list: &str) -> Result<bool, Reply> {
    let mut splits = false;
    for word in list.split(',') {
        match word.trim() {
            "split" | "all" => splits = true,
            "raw" | "dividend" | "spin-off" => {}
            other => return Err(bad(&format!("invalid adjustment: {other}"))),
        }
    }
    Ok(splits)
}

fn write_token(symbol: &str, at: Timestamp) -> String {
    STANDARD.encode(format!("{symbol}|{at:.9}"))
}

fn read_token(text: &str) -> Result<(String, Timestamp), Reply> {
    let read = || {
        let decoded = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
        let (symbol, at) = decoded.split_once('|')?;
        Some((symbol.to_owned(), at.parse().ok()?))
    };
    read().ok_or_else(|| bad("invalid page_token"))
}

/// One page: bars by symbol, and the token of the next page.
fn page(world: &World, list: &[String], wanted: &Wanted) -> (BTreeMap<String, Vec<BarShape>>, Option<String>) {
    let mut left = wanted.request.limit;
    let mut found = BTreeMap::new();
    for symbol in list {
        let mut request = wanted.request;
        if let Some((first, at)) = &wanted.from {
            if symbol < first {
                continue;
            }
            if symbol == first {
                if request.ascending {
                    request.start = *at;
                } else {
                    request.end = *at;
                }
            }
        }
        // One more than fits tells whether, and where, the next page begins.
        request.limit = left + 1;
        let mut bars = world.exchange.market().bars(symbol, &request, world.now).unwrap_or_default();
        if left < bars.len() {
            let next = bars.get(left).map(|bar| write_token(symbol, bar.at));
            bars.truncate(left);
            if !bars.is_empty() {
                found.insert(symbol.clone(), bars.into_iter().map(BarShape::from).collect());
            }
            return (found, next);
        }
        left -= bars.len();
        if !bars.is_empty() {
            found.insert(symbol.clone(), bars.into_iter().map(BarShape::from).collect());
        }
    }
    (found, None)
}

/// `GET /v2/stocks/bars`.
pub(super) fn many(world: &World, query: &Params<'_>, feed: Feed) -> Answer {
    let wanted = Wanted::read(world, query, feed)?;
    let list = symbols(query)?;
    let (bars, next) = page(world, &list, &wanted);
    Ok(Reply::json(&json!({"bars": bars, "next_page_token": next})))
}

/// `GET /v2/stocks/{symbol}/bars`.
pub(super) fn one(world: &World, symbol: &str, query: &Params<'_>, feed: Feed) -> Answer {
    let wanted = Wanted::read(world, query, feed)?;
    let list = [ticker(symbol)?.to_owned()];
    let (mut bars, next) = page(world, &list, &wanted);
    Ok(Reply::json(&json!({"bars": bars.remove(symbol), "next_page_token": next, "symbol": symbol})))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_token_survives_the_way_out_and_back() {
        let at: Timestamp = "2022-01-03T09:00:00Z".parse().unwrap();
        assert_eq!(read_token(&write_token("BRK.B", at)).unwrap(), ("BRK.B".to_owned(), at));
        assert!(read_token("nonsense").is_err());
    }
}
