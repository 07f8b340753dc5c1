//! What another system can ask for: `POST /hooks/trigger`, signed with a secret that both sides hold.
//!
//! Always: nothing is looked up before the signature holds, it is compared in a time that tells nothing, it holds for five
//! minutes, and an id asks once, however often its message comes. Without a secret there is no such path.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::app::http::operator::Refused;
use crate::app::http::{Shared, Throttle};
use crate::edge::store::{Hook, Hooked};
use crate::model::ids::{AccountId, HookId, RunId, StrategyName};
use crate::model::secret::Secret;
use crate::model::time::{Moment, Span};

/// No message is larger: a name and two ids.
const BODY_MAX: usize = 4096;

/// How far the sender's clock may be from ours, and how old a message may be.
const TOLERANCE: Span = Span::from_mins(5);

/// Messages with a wrong signature that are answered as such a minute: of all together, and of one address.
const WRONG: (u32, u32) = (600, 30);

/// Runs that one answer names.
const NAMED_MAX: usize = 1000;

/// What the path needs beside what all handlers share.
#[derive(Clone)]
struct Door {
    shared: Shared,
    secret: Arc<Secret>,
    wrong: Arc<Throttle>,
}

/// The path, if there is a secret for it.
pub(super) fn routes(shared: &Shared) -> Router {
    let Some(secret) = shared.hooks.secret.clone() else { return Router::new() };
    let door = Door { shared: shared.clone(), secret, wrong: Arc::new(Throttle::new(WRONG)) };
    Router::new().route("/hooks/trigger", post(trigger)).layer(DefaultBodyLimit::max(BODY_MAX)).with_state(door)
}

/// What a message asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    strategy: String,
    account: Option<String>,
    id: String,
}

async fn trigger(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Refused> {
    let body = body.map_err(|refused| Refused(refused.status(), format!("a message has at most {BODY_MAX} bytes")))?;
    let now = door.shared.world.clock.now();
    if let Err(why) = signed(&door.secret, &headers, &body, now) {
        return Err(if door.wrong.admits(peer.ip()) {
            // No stranger fills the log: what is beyond the limit is answered only.
            tracing::warn!(peer = %peer.ip(), "a message to /hooks/trigger was turned away: {why}");
            Refused(StatusCode::UNAUTHORIZED, why.to_owned())
        } else {
            Refused(StatusCode::TOO_MANY_REQUESTS, "too many wrong signatures; wait a minute".to_owned())
        });
    }
    if !door.shared.hooks.throttle.admits(peer.ip()) {
        return Err(Refused(StatusCode::TOO_MANY_REQUESTS, "too many messages; wait a minute".to_owned()));
    }
    let hook = read(&body)?;
    // As they are now: they may have been read again since the door was hung.
    let world = door.shared.present.world();
    let is_loaded = world.strategies.get(&hook.strategy).is_some();
    match world.store.trigger_by_hook(&hook, is_loaded, now).await? {
        Hooked::Made(runs) => Ok(told(&hook, &runs, false)),
        Hooked::Again(runs) => Ok(told(&hook, &runs, true)),
        Hooked::Other => {
            let why = format!("the id {} was used for another strategy or account", hook.id);
            Err(Refused(StatusCode::CONFLICT, why))
        }
        Hooked::Unknown => Err(Refused(StatusCode::NOT_FOUND, format!("no strategy is named `{}`", hook.strategy))),
        Hooked::Nobody => {
            let why = format!("that account does not follow `{}`", hook.strategy);
            Err(Refused(StatusCode::NOT_FOUND, why))
        }
    }
}

fn read(body: &[u8]) -> Result<Hook, Refused> {
    let bad = |error: String| Refused(StatusCode::BAD_REQUEST, error);
    let wish: Wish = serde_json::from_slice(body).map_err(|error| {
        bad(format!("this is no {{\"strategy\": NAME, \"id\": UNIQUE}}, with \"account\": ID if for one: {error}"))
    })?;
    Ok(Hook {
        id: HookId::parse(&wish.id).map_err(|error| bad(error.to_string()))?,
        strategy: StrategyName::parse(&wish.strategy).map_err(|error| bad(error.to_string()))?,
        account: wish.account.as_deref().map(AccountId::parse).transpose().map_err(|error| bad(error.to_string()))?,
    })
}

fn told(hook: &Hook, runs: &[RunId], replayed: bool) -> Json<Value> {
    let named: Vec<&str> = runs.iter().take(NAMED_MAX).map(RunId::as_str).collect();
    Json(json!({ "id": hook.id.as_str(), "replayed": replayed, "count": runs.len(), "runs": named }))
}

/// Whether the message is the sender's, and of now.
fn signed(secret: &Secret, headers: &HeaderMap, body: &[u8], now: Moment) -> Result<(), &'static str> {
    const FORM: &str = "this needs the header X-Rebalanced-Signature: t=UNIXSECONDS,v1=HEX";
    let shown = headers.get("x-rebalanced-signature").and_then(|value| value.to_str().ok()).ok_or(FORM)?;
    let part = |name: &str| {
        let mut found = shown.split(',').filter_map(|part| part.trim().strip_prefix(name));
        found.next().filter(|_| found.next().is_none())
    };
    let (time, code) = (part("t=").ok_or(FORM)?, part("v1=").ok_or(FORM)?);
    let code = hex::decode(code).map_err(|_| FORM)?;
    let seconds: i64 = time.parse().map_err(|_| FORM)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).map_err(|_| "the secret is unusable")?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.verify_slice(&code).map_err(|_| "the signature is not that of this time and body under our secret")?;
    let sent = Moment::from_micros(seconds.saturating_mul(1_000_000));
    if now.since(sent).abs() > TOLERANCE {
        return Err("the message is not of now: its time and ours are more than five minutes apart");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn answer(header: &str, body: &[u8]) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert("x-rebalanced-signature", header.parse().unwrap());
        signed(&Secret::new("a-secret-of-two".to_owned()), &headers, body, Moment::from_micros(1_700_000_000_000_000))
    }

    #[test]
    fn a_signature_is_what_any_tool_makes_of_time_and_body() {
        // printf '1700000000.{"id":"1"}' | openssl dgst -sha256 -hmac a-secret-of-two
        let code = "d6f1c2037c41975c416eda002e953872d1d2334a68a17e0758e5297625e2b32d";
        answer(&format!("t=1700000000,v1={code}"), br#"{"id":"1"}"#).unwrap();
        answer(&format!("v1={code}, t=1700000000"), br#"{"id":"1"}"#).unwrap();
        for (header, body) in [
            (format!("t=1700000001,v1={code}"), r#"{"id":"1"}"#),
            (format!("t=1700000000,v1={code}"), r#"{"id":"2"}"#),
            (format!("t=1700000000,v1={}", &code[..62]), r#"{"id":"1"}"#),
            (format!("t=1700000000,v1={code},v1={code}"), r#"{"id":"1"}"#),
            (format!("t=1700000000;v1={code}"), r#"{"id":"1"}"#),
            (format!("v1={code}"), r#"{"id":"1"}"#),
            ("t=1700000000,v1=".to_owned(), r#"{"id":"1"}"#),
        ] {
            assert!(answer(&header, body.as_bytes()).is_err(), "{header} {body}");
        }
    }
}
