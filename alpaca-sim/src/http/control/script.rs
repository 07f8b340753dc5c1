//! `/sim/faults`, `/sim/ledger` and `/sim/streams`: the fault script, and the judge's records.
//!
//! Always: a rule that cannot be read is refused whole; the ledger is what happened, not what was answered.

use axum::http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::http::control::{Answer, bad, body, is};
use crate::http::faults::FaultRule;
use crate::http::reply::Reply;
use crate::http::request::Inbound;
use crate::sim::Sim;

/// One rule, or a list of rules.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Rules {
    Many { rules: Vec<serde_json::Value> },
    One(serde_json::Value),
}

pub(super) fn faults(sim: &Sim, rest: &[&str], inbound: &Inbound) -> Answer {
    match rest {
        [] if is(inbound, &Method::GET) => Ok(Reply::json(&json!({"rules": sim.faults()}))),
        [] if is(inbound, &Method::POST) => {
            let given = match body::<Rules>(inbound)? {
                Rules::Many { rules } => rules,
                Rules::One(rule) => vec![rule],
            };
            let read = |rule| serde_json::from_value::<FaultRule>(rule).map_err(|error| bad(&error.to_string()));
            let rules = given.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
            let ids: Vec<u64> = rules.into_iter().map(|rule| sim.add_fault(rule)).collect();
            Ok(Reply::json(&json!({"ids": ids})))
        }
        [] if is(inbound, &Method::DELETE) => Ok(Reply::json(&json!({"cleared": sim.clear_faults()}))),
        [id] if is(inbound, &Method::DELETE) => {
            let id = id.parse().map_err(|_| bad("the id of a rule is a number"))?;
            Ok(Reply::json(&json!({"cleared": sim.lock().faults.clear(Some(id))})))
        }
        _ => Err(Reply::no_such_route()),
    }
}

pub(super) fn ledger(sim: &Sim, rest: &[&str], inbound: &Inbound) -> Answer {
    if !is(inbound, &Method::GET) {
        return Err(Reply::method_not_allowed());
    }
    match rest {
        [] => Ok(Reply::json(&sim.ledger())),
        ["requests"] => Ok(Reply::json(&json!({"requests": sim.ledger().requests}))),
        ["orders"] => Ok(Reply::json(&json!({"orders": sim.ledger().orders}))),
        _ => Err(Reply::no_such_route()),
    }
}

pub(super) fn streams(sim: &Sim) -> Reply {
    Reply::json(&json!({"listening": sim.lock().streams.count()}))
}
