//! `/sim/clock`: reading, setting, stepping and speeding up the clock.
//!
//! Always: the clock goes forward only, and what is due on the way happens in its order.

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;

use crate::http::control::{Answer, bad, body, is};
use crate::http::reply::Reply;
use crate::http::request::Inbound;
use crate::sim::Sim;

/// What `POST /sim/clock` takes; all parts are optional and done in this order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default, alias = "now")]
    set: Option<Timestamp>,
    #[serde(default)]
    step_seconds: Option<f64>,
    #[serde(default)]
    speed: Option<f64>,
}

pub(super) fn route(sim: &Sim, rest: &[&str], inbound: &Inbound) -> Answer {
    if !rest.is_empty() {
        return Err(Reply::no_such_route());
    }
    if is(inbound, &Method::POST) {
        change(sim, &body(inbound)?)?;
    } else if !is(inbound, &Method::GET) {
        return Err(Reply::method_not_allowed());
    }
    Ok(Reply::json(&json!({"now": sim.now().to_string(), "speed": sim.speed()})))
}

fn change(sim: &Sim, change: &Change) -> Result<(), Reply> {
    if let Some(set) = change.set {
        if set < sim.now() {
            return Err(bad("the clock goes forward only"));
        }
        sim.set_clock(set);
    }
    if let Some(seconds) = change.step_seconds {
        let step = SignedDuration::try_from_secs_f64(seconds).map_err(|error| bad(&error.to_string()))?;
        if step.is_negative() {
            return Err(bad("the clock goes forward only"));
        }
        let target = sim.now().checked_add(step).map_err(|error| bad(&error.to_string()))?;
        sim.set_clock(target);
    }
    if let Some(speed) = change.speed {
        if !speed.is_finite() || speed < 0.0 {
            return Err(bad("speed must be a number of zero or more"));
        }
        sim.set_speed(speed);
    }
    Ok(())
}
