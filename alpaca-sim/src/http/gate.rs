//! The way of one request: fault script, credentials, budget, route, ledger.
//!
//! Always: a request is carried out under one lock at one simulated moment; the lock is never held across an await.
//! Control requests take none of this way. Faults do their damage here and nowhere else.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode};
use jiff::SignedDuration;

use crate::http::auth::{Caller, Host, Presented};
use crate::http::faults::{Answer, FaultAction, FaultRule, Target, mutate};
use crate::http::ratelimit::Standing;
use crate::http::reply::{Kind, Refusal, Reply};
use crate::http::request::Inbound;
use crate::http::requests::RequestRecord;
use crate::http::routes;
use crate::http::world::World;
use crate::sim::Sim;

/// What the caller gets.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// An answer.
    Answer(Reply),
    /// An answer whose body breaks off after so many bytes.
    Cut(Reply, usize),
    /// Nothing: the connection is closed.
    Dropped,
}

/// Handles one request of a trading, data or app host.
pub(crate) async fn pass(sim: &Sim, inbound: &Inbound) -> Outcome {
    let fault = {
        let mut world = sim.lock();
        let Some(fault) = draw(&mut world, inbound) else {
            return Outcome::Answer(carry_out(&mut world, inbound, None, true));
        };
        fault
    };
    damage(sim, inbound, &fault).await
}

fn draw(world: &mut World, inbound: &Inbound) -> Option<FaultRule> {
    if world.faults.is_empty() {
        return None;
    }
    let caller = caller_of(world, inbound);
    let account = caller.as_ref().map(|caller| caller.id.as_ref());
    let target = Target { method: inbound.method.as_str(), path: inbound.path(), account, now: world.now };
    world.faults.draw(target)
}

fn caller_of(world: &World, inbound: &Inbound) -> Option<Caller> {
    let (host, _) = Host::split(inbound.path())?;
    Presented::from_headers(&inbound.headers)?.check(host, &world.people, &world.oauth)
}

/// Does what the rule says to this request.
async fn damage(sim: &Sim, inbound: &Inbound, fault: &FaultRule) -> Outcome {
    let name = fault.action.name();
    let run = |answered| carry_out(&mut sim.lock(), inbound, Some(name), answered);
    let stay_out = |reply: Reply| {
        note(&mut sim.lock(), inbound, Some(reply.status), name);
        reply
    };
    match fault.action {
        FaultAction::DropBefore => {
            note(&mut sim.lock(), inbound, None, name);
            Outcome::Dropped
        }
        FaultAction::DropAfter => {
            run(false);
            Outcome::Dropped
        }
        FaultAction::Delay => {
            let reply = run(true);
            tokio::time::sleep(Duration::from_millis(fault.delay_ms.unwrap_or(1000))).await;
            Outcome::Answer(reply)
        }
        FaultAction::DelayBefore => {
            // A task of its own: a caller who gave up does not undo what is on its way.
            let (sim, inbound, wait) = (sim.clone(), inbound.clone(), fault.delay_ms.unwrap_or(1000));
            let landed = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                carry_out(&mut sim.lock(), &inbound, Some(name), true)
            });
            landed.await.map_or(Outcome::Dropped, Outcome::Answer)
        }
        FaultAction::StatusAfter => {
            run(false);
            Outcome::Answer(scripted(fault, StatusCode::GATEWAY_TIMEOUT))
        }
        FaultAction::LandLater => {
            let delay = SignedDuration::from_secs(fault.delay_seconds.unwrap_or(30));
            sim.lock().land_later(inbound.clone(), delay);
            Outcome::Answer(stay_out(scripted(fault, StatusCode::GATEWAY_TIMEOUT)))
        }
        FaultAction::Truncate => {
            let reply = run(true);
            let bytes = fault.bytes.unwrap_or(reply.body.len() / 2).min(reply.body.len());
            Outcome::Cut(reply, bytes)
        }
        FaultAction::Duplicate => {
            let (first, second) = (run(true), run(true));
            Outcome::Answer(if fault.answer == Answer::First { first } else { second })
        }
        FaultAction::Freeze => Outcome::Answer(frozen(&mut sim.lock(), inbound, fault)),
        FaultAction::Mutate => {
            let mut reply = run(true);
            if let Some(body) = mutate(&reply.body, &fault.set) {
                reply.body = body.into();
            }
            Outcome::Answer(reply)
        }
        _ => Outcome::Answer(stay_out(instead(sim, inbound, fault))),
    }
}

/// The kept answer for this caller and path, or the real one, which is kept as long as the rule holds.
fn frozen(world: &mut World, inbound: &Inbound, fault: &FaultRule) -> Reply {
    let caller = caller_of(world, inbound).map(|caller| caller.id);
    let (who, until) = (caller.as_deref().unwrap_or_default(), fault.until);
    let key = format!("{} {} {who} {until:?}", inbound.method, inbound.uri);
    if let Some(kept) = world.faults.frozen(&key).cloned() {
        note(world, inbound, Some(kept.status), FaultAction::Freeze.name());
        return kept;
    }
    let reply = carry_out(world, inbound, Some(FaultAction::Freeze.name()), true);
    world.faults.keep(key, reply.clone());
    reply
}

/// The opening of a stream: what the fault script has instead of it, if anything. It is a request like any other to
/// the script and to the ledger, with status 101; who it is for is not known before the first message.
pub(crate) async fn handshake(sim: &Sim, inbound: &Inbound) -> Option<Outcome> {
    let fault = draw(&mut sim.lock(), inbound);
    match fault.as_ref().map(|fault| fault.action) {
        Some(FaultAction::DropBefore | FaultAction::DropAfter) => {
            note(&mut sim.lock(), inbound, None, fault?.action.name());
            return Some(Outcome::Dropped);
        }
        Some(FaultAction::Delay | FaultAction::DelayBefore) => {
            let wait = fault.as_ref().and_then(|fault| fault.delay_ms).unwrap_or(1000);
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        Some(
            FaultAction::StatusBefore
            | FaultAction::StatusAfter
            | FaultAction::Html
            | FaultAction::RateLimit
            | FaultAction::Redirect,
        ) => {
            let fault = fault?;
            let reply = instead(sim, inbound, &fault);
            note(&mut sim.lock(), inbound, Some(reply.status), fault.action.name());
            return Some(Outcome::Answer(reply));
        }
        _ => {}
    }
    let name = fault.map_or("", |fault| fault.action.name());
    note(&mut sim.lock(), inbound, Some(StatusCode::SWITCHING_PROTOCOLS), name);
    None
}

/// The answers that stand in place of any effect.
fn instead(sim: &Sim, inbound: &Inbound, fault: &FaultRule) -> Reply {
    match fault.action {
        FaultAction::RateLimit => {
            let reply: Reply = Refusal::rate_limited().into();
            if fault.headers == Some(false) {
                return reply;
            }
            let world = sim.lock();
            let reset = (world.now.as_second().div_euclid(60) + 1) * 60;
            let limit = world.requests_per_minute;
            with_standing(reply, Standing { limit, remaining: 0, reset, exceeded: true, ordinal: 0 })
        }
        FaultAction::Html => {
            let status = status_of(fault, StatusCode::BAD_GATEWAY);
            let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
            Reply::html(
                status,
                format!(
                    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
                     <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
                ),
            )
        }
        FaultAction::Redirect => {
            let mut reply = Reply::redirect(fault.location.as_deref().unwrap_or(inbound.path()));
            reply.status = StatusCode::TEMPORARY_REDIRECT;
            reply
        }
        _ => scripted(fault, StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn status_of(fault: &FaultRule, otherwise: StatusCode) -> StatusCode {
    fault.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(otherwise)
}

/// The status and body of the rule.
fn scripted(fault: &FaultRule, otherwise: StatusCode) -> Reply {
    let status = status_of(fault, otherwise);
    match &fault.body {
        Some(serde_json::Value::String(text)) => Reply::new(status, Kind::Text, text.clone()),
        Some(value) => Reply::json_with(status, value),
        None if status == StatusCode::INTERNAL_SERVER_ERROR => {
            Refusal::new(status, 50_010_000, "internal server error").into()
        }
        None => Reply::new(status, Kind::Text, status.canonical_reason().unwrap_or_default()),
    }
}

/// Credentials, budget, route and ledger; the whole effect of a request.
pub(crate) fn carry_out(world: &mut World, inbound: &Inbound, fault: Option<&'static str>, answered: bool) -> Reply {
    let mut trace = Trace::default();
    let reply = serve(world, inbound, &mut trace);
    let row = RequestRecord {
        n: 0,
        at: world.now,
        method: inbound.method.clone(),
        path: ledger_path(inbound),
        account: trace.caller.as_ref().map(|caller| caller.id.clone()),
        credential: trace.caller.as_ref().map(|caller| caller.credential),
        client_order_id: trace.client_order_id,
        status: reply.status.as_u16(),
        fault,
        answered,
    };
    world.requests.push(row);
    world.tell();
    reply
}

/// What the ledger wants to know of a request on its way.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) caller: Option<Caller>,
    pub(crate) client_order_id: Option<Box<str>>,
}

/// A row for a request that had no effect on the exchange: a fault kept it, or it opened a stream.
fn note(world: &mut World, inbound: &Inbound, status: Option<StatusCode>, fault: &'static str) {
    let caller = caller_of(world, inbound);
    let row = RequestRecord {
        n: 0,
        at: world.now,
        method: inbound.method.clone(),
        path: ledger_path(inbound),
        account: caller.as_ref().map(|caller| caller.id.clone()),
        credential: caller.as_ref().map(|caller| caller.credential),
        client_order_id: routes::client_order_id(inbound),
        status: status.map_or(0, |status| status.as_u16()),
        fault: Some(fault).filter(|fault| !fault.is_empty()),
        answered: status.is_some(),
    };
    world.requests.push(row);
}

fn ledger_path(inbound: &Inbound) -> Box<str> {
    match inbound.uri.path_and_query() {
        // The consent page's query is the app's business.
        Some(whole) if !whole.path().starts_with("/app/") => whole.as_str().into(),
        _ => inbound.path().into(),
    }
}

fn serve(world: &mut World, inbound: &Inbound, trace: &mut Trace) -> Reply {
    let Some((host, path)) = Host::split(inbound.path()) else {
        return Reply::no_such_route();
    };
    if let Some(reply) = routes::public(world, host, path, inbound) {
        return reply;
    }
    if host == Host::App {
        return Reply::no_such_route();
    }
    let caller = Presented::from_headers(&inbound.headers)
        .and_then(|presented| presented.check(host, &world.people, &world.oauth));
    let Some(caller) = caller else {
        // Facts 1.2: on these paths a proxy answers for the service.
        let page = ["/v2/clock", "/v2/calendar", "/v3/clock", "/v3/calendar"].iter().any(|at| path.starts_with(at));
        return if page { Reply::unauthorized_page() } else { Reply::unauthorized() };
    };
    let standing = spend(world, host, &caller);
    let reply = if standing.exceeded {
        let refusal = if host == Host::Data { Refusal::too_many_requests() } else { Refusal::rate_limited() };
        refusal.into()
    } else {
        routes::private(world, host, path, &routes::Call { inbound, caller: &caller }, trace)
    };
    let reply = with_request_id(with_standing(reply, standing), world.seed, &caller.id, standing.ordinal);
    trace.caller = Some(caller);
    reply
}

fn spend(world: &mut World, host: Host, caller: &Caller) -> Standing {
    let data = host == Host::Data;
    let limit = match (data, caller.data_limit) {
        (true, Some(own)) => own,
        (true, None) => world.data_requests_per_minute,
        (false, _) => world.requests_per_minute,
    };
    let now = world.now;
    world.limits.spend(&caller.id, data, limit, now)
}

/// Adds the three headers of facts 7.
fn with_standing(reply: Reply, standing: Standing) -> Reply {
    reply
        .with(HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(standing.limit))
        .with(HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(standing.remaining))
        .with(HeaderName::from_static("x-ratelimit-reset"), HeaderValue::from(standing.reset))
}

/// Names the request by its caller and their count of requests, so that it does not depend on other callers.
fn with_request_id(reply: Reply, seed: u64, caller: &str, ordinal: u64) -> Reply {
    // Fowler, Noll and Vo's hash, 64 bits: cheap, and all it must be is different.
    let hash = caller
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64 ^ seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let text = format!("{hash:016x}{ordinal:016x}");
    match HeaderValue::from_str(&text) {
        Ok(value) => reply.with(HeaderName::from_static("x-request-id"), value),
        Err(_) => reply,
    }
}
