//! Which path answers what, host by host.
//!
//! Always: scopes are checked before anything happens (facts 1.1, 1.3); an unknown path is 404, a known one with
//! another method 405. One file per noun.

mod account;
mod activities;
mod assets;
mod data;
mod history;
mod orders;
mod positions;
mod time;

use std::sync::Arc;

use axum::http::Method;

use crate::http::auth::{Caller, Host};
use crate::http::consent;
use crate::http::gate::Trace;
use crate::http::reply::{Refusal, Reply};
use crate::http::request::Inbound;
use crate::http::world::World;

pub(crate) use account::{PatchShape, shape as account_shape};
pub(crate) use activities::shape as activity_shape;
pub(crate) use assets::shape as asset_shape;
pub(crate) use orders::client_order_id;

/// Either an answer, or the answer that says why there is none.
type Answer = Result<Reply, Reply>;

/// One authenticated request on its way to a noun.
pub(crate) struct Call<'a> {
    pub(crate) inbound: &'a Inbound,
    pub(crate) caller: &'a Caller,
}

impl Call<'_> {
    /// The account asked about: always the caller's own.
    fn account(&self) -> &Arc<str> {
        &self.caller.id
    }

    /// Refuses unless orders may be placed, changed and cancelled: the scope, and the app's approval on the live host.
    fn may_trade(&self) -> Result<(), Reply> {
        if self.caller.scopes.trading && self.caller.orders_approved { Ok(()) } else { Err(Refusal::scope().into()) }
    }
}

/// The paths that need no credentials of an account.
pub(crate) fn public(world: &mut World, host: Host, path: &str, inbound: &Inbound) -> Option<Reply> {
    let method = &inbound.method;
    match (host, path) {
        (Host::App, "/oauth/authorize") if method == Method::GET => Some(consent::authorize(world, inbound)),
        (Host::App, "/oauth/authorize") if method == Method::POST => Some(consent::decide(world, inbound)),
        (Host::Live, "/oauth/token") if method == Method::POST => Some(consent::token(world, inbound)),
        (Host::App, "/oauth/authorize") | (Host::Live, "/oauth/token") => Some(Reply::method_not_allowed()),
        // The streams are upgraded before they come here; this is a plain request to them.
        (Host::Live | Host::Paper, "/stream") => {
            Some(Reply::refuse(axum::http::StatusCode::BAD_REQUEST, "a WebSocket upgrade is required"))
        }
        _ => None,
    }
}

/// The paths of a caller who proved who they are.
pub(crate) fn private(world: &mut World, host: Host, path: &str, call: &Call<'_>, trace: &mut Trace) -> Reply {
    let mut parts = [""; 6];
    let mut count = 0;
    for part in path.split('/').skip(1) {
        let Some(place) = parts.get_mut(count) else { return Reply::no_such_route() };
        *place = part;
        count += 1;
    }
    let parts = parts.get(..count).unwrap_or_default();
    let answer = if host == Host::Data { data::route(world, parts, call) } else { trading(world, parts, call, trace) };
    answer.unwrap_or_else(|reply| reply)
}

fn trading(world: &mut World, parts: &[&str], call: &Call<'_>, trace: &mut Trace) -> Answer {
    match parts {
        ["v2", "account"] => account::get(world, call),
        ["v2", "account", "configurations"] => account::configurations(world, call),
        ["v2", "account", "portfolio", "history"] => history::get(world, call),
        ["v2", "account", "activities"] => activities::list(world, None, call),
        ["v2", "account", "activities", kind] => activities::list(world, Some(kind), call),
        ["v2", "positions"] => positions::all(world, call),
        ["v2", "positions", symbol] => positions::one(world, symbol, call),
        ["v2", "orders"] => orders::all(world, call, trace),
        ["v2", "orders:by_client_order_id"] => orders::by_client_order_id(world, call),
        ["v2", "orders", id] => orders::one(world, id, call),
        ["v2", "assets"] => assets::all(world, call),
        ["v2", "assets", symbol] => assets::one(world, symbol, call),
        ["v2", "clock"] => time::clock(world, call),
        ["v3", "clock"] => time::clocks(world, call),
        ["v2", "calendar"] => time::calendar(world, call),
        ["v3", "calendar", market] => time::market_calendar(world, market, call),
        _ => Err(Reply::no_such_route()),
    }
}

/// Refuses any method but GET.
fn only_get(call: &Call<'_>) -> Result<(), Reply> {
    if call.inbound.method == Method::GET { Ok(()) } else { Err(Reply::method_not_allowed()) }
}

/// Reads a parameter, or refuses it by name.
fn parsed<T>(value: Option<&str>, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Reply> {
    match value {
        None => Ok(None),
        Some(text) => {
            read(text).map(Some).ok_or_else(|| Refusal::unprocessable(format!("invalid {name}: {text}")).into())
        }
    }
}
