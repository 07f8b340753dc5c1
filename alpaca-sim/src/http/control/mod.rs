//! The control interface under `/sim/`: clock, people, accounts, assets, prices, OAuth, faults, ledger.
//!
//! Always: reachable only under `/sim/`, never under a host prefix, so no trading path has its power; JSON in and out;
//! a bad body is a 400 that says what is wrong; nothing here is rate limited, faulted or written into the ledger.

mod accounts;
mod assets;
mod connect;
mod script;
mod time;

use axum::http::{Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::http::reply::Reply;
use crate::http::request::Inbound;
use crate::sim::{Sim, SimError};

/// Either an answer, or the answer that says why there is none.
pub(crate) type Answer = Result<Reply, Reply>;

/// Answers one control request; `path` is what follows `/sim/`.
pub(crate) fn route(sim: &Sim, path: &str, inbound: &Inbound) -> Reply {
    let (noun, rest) = path.split_once('/').unwrap_or((path, ""));
    let rest: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    let answer = match noun {
        "clock" => time::route(sim, &rest, inbound),
        "people" => accounts::people(sim, &rest, inbound),
        "accounts" => accounts::route(sim, &rest, inbound),
        "assets" => assets::route(sim, &rest, inbound),
        "prices" => assets::prices(sim, &rest, inbound),
        "oauth" => connect::route(sim, &rest, inbound),
        "faults" => script::faults(sim, &rest, inbound),
        "ledger" => script::ledger(sim, &rest, inbound),
        "streams" => Ok(script::streams(sim)),
        _ => Err(Reply::no_such_route()),
    };
    answer.unwrap_or_else(|reply| reply)
}

/// Reads a JSON body; an empty one is an empty object.
pub(crate) fn body<T: DeserializeOwned>(inbound: &Inbound) -> Result<T, Reply> {
    let bytes: &[u8] = if inbound.body.is_empty() { b"{}" } else { &inbound.body };
    serde_json::from_slice(bytes).map_err(|error| bad(&error.to_string()))
}

/// 400 with a reason.
pub(crate) fn bad(why: &str) -> Reply {
    Reply::refuse(StatusCode::BAD_REQUEST, why)
}

/// Whether the request has this method.
pub(crate) fn is(inbound: &Inbound, method: &Method) -> bool {
    inbound.method == *method
}

impl From<SimError> for Reply {
    fn from(error: SimError) -> Self {
        bad(&error.to_string())
    }
}
