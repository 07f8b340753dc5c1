//! `/sim/assets` and `/sim/prices`: halts, switches, splits, dividends, and prices out of the ordinary.
//!
//! Always: effective at once, in all accounts.

use axum::http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::exchange::asset::AssetPatch;
use crate::http::control::{Answer, body, is};
use crate::http::reply::Reply;
use crate::http::request::Inbound;
use crate::http::routes;
use crate::http::wire::Given;
use crate::http::world::World;
use crate::sim::Sim;

/// Any subset.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Patch {
    active: Option<bool>,
    tradable: Option<bool>,
    fractionable: Option<bool>,
    marginable: Option<bool>,
    shortable: Option<bool>,
    halted: Option<bool>,
}

impl From<Patch> for AssetPatch {
    fn from(patch: Patch) -> Self {
        Self {
            active: patch.active,
            tradable: patch.tradable,
            fractionable: patch.fractionable,
            marginable: patch.marginable,
            shortable: patch.shortable,
            halted: patch.halted,
        }
    }
}

/// `new` shares for `old` ones.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Split {
    old: u32,
    new: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dividend {
    per_share: Given,
    #[serde(default)]
    paper_too: bool,
}

/// `GET` and `POST /sim/assets/{symbol}`, `POST /sim/assets/{symbol}/{halt,resume,untradable,tradable,split,dividend}`.
pub(super) fn route(sim: &Sim, rest: &[&str], inbound: &Inbound) -> Answer {
    let mut world = sim.lock();
    match rest {
        [symbol] if is(inbound, &Method::GET) => show(&world, symbol),
        [symbol] if is(inbound, &Method::POST) => patch(&mut world, symbol, body::<Patch>(inbound)?),
        [symbol, verb] if is(inbound, &Method::POST) => act(&mut world, symbol, verb, inbound),
        _ => Err(Reply::no_such_route()),
    }
}

fn show(world: &World, symbol: &str) -> Answer {
    Ok(Reply::json(&routes::asset_shape(&world.exchange.asset(symbol)?)))
}

fn patch(world: &mut World, symbol: &str, patch: Patch) -> Answer {
    let asset = world.exchange.change_asset(world.now, symbol, patch.into())?;
    world.tell();
    Ok(Reply::json(&routes::asset_shape(&asset)))
}

fn act(world: &mut World, symbol: &str, verb: &str, inbound: &Inbound) -> Answer {
    let now = world.now;
    match verb {
        "halt" => patch(world, symbol, Patch { halted: Some(true), ..Patch::default() }),
        "resume" => patch(world, symbol, Patch { halted: Some(false), ..Patch::default() }),
        "untradable" => patch(world, symbol, Patch { tradable: Some(false), ..Patch::default() }),
        "tradable" => patch(world, symbol, Patch { tradable: Some(true), ..Patch::default() }),
        "non_fractionable" => patch(world, symbol, Patch { fractionable: Some(false), ..Patch::default() }),
        "fractionable" => patch(world, symbol, Patch { fractionable: Some(true), ..Patch::default() }),
        "split" => {
            let split: Split = body(inbound)?;
            world.exchange.split(now, symbol, split.old, split.new)?;
            world.tell();
            show(world, symbol)
        }
        "dividend" => {
            let dividend: Dividend = body(inbound)?;
            let paid = world.exchange.dividend(now, symbol, dividend.per_share.0, dividend.paper_too)?;
            Ok(Reply::json(&json!({"accounts_paid": paid})))
        }
        _ => Err(Reply::no_such_route()),
    }
}

/// A price from now on; `null` gives it back to its path. Or a factor on the path.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPrice {
    #[serde(default)]
    pin: Option<Given>,
    #[serde(default)]
    scale: Option<Given>,
}

/// `GET /sim/prices?symbols=...`, `POST /sim/prices/{symbol}`.
pub(super) fn prices(sim: &Sim, rest: &[&str], inbound: &Inbound) -> Answer {
    let mut world = sim.lock();
    match rest {
        [] if is(inbound, &Method::GET) => {
            let query = inbound.query();
            let market = world.exchange.market();
            let mut map = Map::new();
            let mut add = |symbol: &str| {
                if let Some((quote, trade)) = market.quote(symbol, world.now).zip(market.trade(symbol, world.now)) {
                    map.insert(symbol.to_owned(), price(quote.bid, quote.ask, trade.price));
                }
            };
            match query.get("symbols") {
                Some(list) => list.split(',').for_each(&mut add),
                None => market.symbols().for_each(&mut add),
            }
            Ok(Reply::json(&json!({"prices": map})))
        }
        [symbol] if is(inbound, &Method::POST) => {
            let new: NewPrice = body(inbound)?;
            let now = world.now;
            match new.scale {
                Some(factor) => world.exchange.scale_price(now, symbol, factor.0)?,
                None => world.exchange.pin_price(now, symbol, new.pin.map(|pin| pin.0))?,
            }
            world.tell();
            let market = world.exchange.market();
            let found = market.quote(symbol, now).zip(market.trade(symbol, now));
            let shown = found.map(|(quote, trade)| price(quote.bid, quote.ask, trade.price));
            Ok(Reply::json(&json!({"symbol": symbol, "price": shown})))
        }
        _ => Err(Reply::no_such_route()),
    }
}

fn price(bid: rust_decimal::Decimal, ask: rust_decimal::Decimal, last: rust_decimal::Decimal) -> Value {
    json!({"bid": bid.to_string(), "ask": ask.to_string(), "last": last.to_string()})
}
