//! The data host: latest quotes, trades and bars, snapshots and historical bars of stocks (facts 6).
//!
//! Always: numbers are JSON numbers; errors have no code; a symbol without data is absent from the answer; pages are
//! sorted by symbol, then time, and the limit counts across symbols.

mod bars;
mod shapes;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::auth::Credential;
use crate::http::reply::{Refusal, Reply};
use crate::http::request::Params;
use crate::http::routes::{Answer, Call, only_get};
use crate::http::world::World;

use shapes::{BarShape, QuoteShape, SnapshotShape, TradeShape, Venue};

/// All feeds that Alpaca names.
const FEEDS: [&str; 7] = ["sip", "iex", "delayed_sip", "boats", "overnight", "otc", "v1"];

/// 400 in this host's words.
fn bad(why: &str) -> Reply {
    Reply::refuse(StatusCode::BAD_REQUEST, why)
}

/// Answers a request to the data host.
pub(super) fn route(world: &mut World, parts: &[&str], call: &Call<'_>) -> Answer {
    only_get(call)?;
    if call.caller.credential == Credential::OAuth {
        if !world.data_over_oauth {
            return Err(Reply::refuse(StatusCode::FORBIDDEN, "forbidden."));
        }
        if !call.caller.scopes.data {
            return Err(Refusal::scope().into());
        }
    }
    let ["v2", "stocks", rest @ ..] = parts else { return Err(Reply::no_such_route()) };
    let query = call.inbound.query();
    let feed = Feed::read(&query, call)?;
    match rest {
        ["quotes", "latest"] => latest::<QuoteShape>(world, &query, "quotes", feed),
        ["trades", "latest"] => latest::<TradeShape>(world, &query, "trades", feed),
        ["bars", "latest"] => latest::<BarShape>(world, &query, "bars", feed),
        ["snapshots"] => snapshots(world, &query, feed),
        ["bars"] => bars::many(world, &query, feed),
        [symbol, "quotes", "latest"] => single::<QuoteShape>(world, symbol, "quote", feed),
        [symbol, "trades", "latest"] => single::<TradeShape>(world, symbol, "trade", feed),
        [symbol, "bars", "latest"] => single::<BarShape>(world, symbol, "bar", feed),
        [symbol, "snapshot"] => snapshot(world, symbol, feed),
        [symbol, "bars"] => bars::one(world, symbol, &query, feed),
        _ => Err(Reply::no_such_route()),
    }
}

/// Which feed is asked, and whether it is the free plan's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Feed {
    /// `feed=sip` was sent.
    sip_by_name: bool,
    /// One exchange only.
    iex: bool,
    /// The service's own keys have the paid plan; accounts and user tokens have the free one.
    free_plan: bool,
}

impl Feed {
    fn read(query: &Params<'_>, call: &Call<'_>) -> Result<Self, Reply> {
        let name = query.get("feed");
        if let Some(name) = name
            && !FEEDS.contains(&name)
        {
            return Err(bad(&format!("invalid feed: {name}")));
        }
        let free_plan = call.caller.data_limit.is_none();
        let iex = name == Some("iex") || (name.is_none() && free_plan);
        Ok(Self { sip_by_name: name == Some("sip"), iex, free_plan })
    }

    /// The free plan may not ask the consolidated tape about the last 15 minutes.
    fn may_be_recent(self) -> Result<(), Reply> {
        if self.sip_by_name && self.free_plan {
            let text = "subscription does not permit querying recent SIP data";
            return Err(Refusal::new(StatusCode::FORBIDDEN, 42_210_000, text).into());
        }
        Ok(())
    }
}

/// A list of tickers, each once, sorted; a text that cannot be a ticker is refused.
fn symbols(query: &Params<'_>) -> Result<Vec<String>, Reply> {
    let text = query.get("symbols").ok_or_else(|| bad("symbols is required"))?;
    let mut list: Vec<String> = Vec::new();
    for symbol in text.split(',').map(str::trim) {
        list.push(ticker(symbol)?.to_owned());
    }
    list.sort_unstable();
    list.dedup();
    Ok(list)
}

fn ticker(text: &str) -> Result<&str, Reply> {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'.';
    if !text.is_empty() && text.len() <= 12 && text.bytes().all(allowed) {
        Ok(text)
    } else {
        Err(bad(&format!("invalid symbol: {text}")))
    }
}

/// Something there is one of per symbol and moment.
trait Latest: Serialize + Sized {
    fn of(world: &World, symbol: &str, feed: Feed) -> Option<Self>;
}

impl Latest for QuoteShape {
    fn of(world: &World, symbol: &str, feed: Feed) -> Option<Self> {
        let quote = world.exchange.market().quote(symbol, world.now)?;
        Some(Self::new(&quote, Venue::of(world, symbol, feed.iex)))
    }
}

impl Latest for TradeShape {
    fn of(world: &World, symbol: &str, feed: Feed) -> Option<Self> {
        let trade = world.exchange.market().trade(symbol, world.now)?;
        Some(Self::new(&trade, Venue::of(world, symbol, feed.iex)))
    }
}

impl Latest for BarShape {
    fn of(world: &World, symbol: &str, _: Feed) -> Option<Self> {
        world.exchange.market().minute_bar(symbol, world.now).map(Self::from)
    }
}

fn latest<T: Latest>(world: &World, query: &Params<'_>, noun: &str, feed: Feed) -> Answer {
    feed.may_be_recent()?;
    let list = symbols(query)?;
    let found: BTreeMap<&str, T> =
        list.iter().filter_map(|symbol| T::of(world, symbol, feed).map(|item| (symbol.as_str(), item))).collect();
    Ok(Reply::json(&BTreeMap::from([(noun, found)])))
}

fn single<T: Latest>(world: &World, symbol: &str, noun: &str, feed: Feed) -> Answer {
    feed.may_be_recent()?;
    let symbol = ticker(symbol)?;
    let item = T::of(world, symbol, feed).ok_or_else(|| missing(noun, symbol))?;
    Ok(Reply::json(&json!({"symbol": symbol, noun: item})))
}

fn missing(noun: &str, symbol: &str) -> Reply {
    Reply::refuse(StatusCode::NOT_FOUND, &format!("no {noun} found for {symbol}"))
}

fn snapshot_of(world: &World, symbol: &str, feed: Feed) -> Option<SnapshotShape> {
    let market = world.exchange.market();
    Some(SnapshotShape {
        latest_trade: TradeShape::of(world, symbol, feed)?,
        latest_quote: QuoteShape::of(world, symbol, feed)?,
        minute_bar: market.minute_bar(symbol, world.now).map(BarShape::from),
        daily_bar: market.daily_bar(symbol, world.now).map(BarShape::from),
        prev_daily_bar: market.previous_daily_bar(symbol, world.now).map(BarShape::from),
    })
}

fn snapshots(world: &World, query: &Params<'_>, feed: Feed) -> Answer {
    feed.may_be_recent()?;
    let list = symbols(query)?;
    let found: BTreeMap<&str, SnapshotShape> =
        list.iter().filter_map(|symbol| snapshot_of(world, symbol, feed).map(|item| (symbol.as_str(), item))).collect();
    Ok(Reply::json(&found))
}

fn snapshot(world: &World, symbol: &str, feed: Feed) -> Answer {
    feed.may_be_recent()?;
    let symbol = ticker(symbol)?;
    let item = snapshot_of(world, symbol, feed).ok_or_else(|| missing("snapshot", symbol))?;
    let mut value = serde_json::to_value(&item).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        map.insert("symbol".to_owned(), symbol.into());
    }
    Ok(Reply::json(&value))
}
