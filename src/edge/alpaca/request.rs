//! One request, there and back: the credential in its header, the purse it is paid from, how long it took.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request};
use url::Url;

use super::answer::{Answer, Error};
use super::limiter::{Limiter, Purse, Rate};
use super::transport::Transport;
use crate::edge::clock::{Clock, Stopwatch};
use crate::edge::metrics::Metrics;
use crate::model::secret::Secret;
use crate::model::time::Moment;

const KEY_ID: HeaderName = HeaderName::from_static("apca-api-key-id");
const KEY_SECRET: HeaderName = HeaderName::from_static("apca-api-secret-key");

/// The service's own market data key.
pub struct DataKey {
    /// Public.
    pub id: String,
    /// Not public.
    pub secret: Secret,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey([redacted])")
    }
}

/// Who asks.
pub(super) enum Credential<'a> {
    Token(&'a str),
    Key(&'a DataKey),
}

/// What is asked.
pub(super) struct Question {
    endpoint: &'static str,
    method: Method,
    url: Url,
    body: Option<String>,
}

impl Question {
    pub(super) fn get(endpoint: &'static str, url: Url) -> Self {
        Self { endpoint, method: Method::GET, url, body: None }
    }

    pub(super) fn delete(endpoint: &'static str, url: Url) -> Self {
        Self { endpoint, method: Method::DELETE, url, body: None }
    }

    pub(super) fn post(endpoint: &'static str, url: Url, body: String) -> Self {
        Self { endpoint, method: Method::POST, url, body: Some(body) }
    }
}

/// The line to the broker.
pub(super) struct Line {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) limiter: Limiter,
}

impl Line {
    /// Waits for the budget, then asks.
    pub(super) async fn ask(
        &self,
        question: Question,
        credential: &Credential<'_>,
        purse: &Purse,
    ) -> Result<Answer, Error> {
        self.limiter.admit(purse, &self.clock).await;
        self.send(question, credential, purse).await.map_err(|why| Error::Lost { why })
    }

    /// Sends at once; the budget has been asked. Without an answer, says why.
    pub(super) async fn send(
        &self,
        question: Question,
        credential: &Credential<'_>,
        purse: &Purse,
    ) -> Result<Answer, String> {
        let mut request = Request::new(Bytes::from(question.body.unwrap_or_default()));
        *request.uri_mut() = question.url.as_str().parse().map_err(|_| "the address is none".to_owned())?;
        if question.method == Method::POST {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        *request.method_mut() = question.method;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        sign(request.headers_mut(), credential)?;
        let mut answer = self.carry(question.endpoint, request, purse).await?;
        if !(200..300).contains(&answer.status) {
            // What a refusal says ends up in rows and logs; a broker that echoes the token must not put it there (S9).
            answer.body = without(answer.body, credential);
        }
        Ok(answer)
    }

    /// Carries a finished request, measures it, and takes the rate headers to heart.
    pub(super) async fn carry(
        &self,
        endpoint: &'static str,
        mut request: Request<Bytes>,
        purse: &Purse,
    ) -> Result<Answer, String> {
        let agent = concat!("rebalanced/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(agent));
        let watch = Stopwatch::start();
        let carried = self.transport.send(request).await;
        let status = carried.as_ref().map_or_else(|_| "lost".to_owned(), |answer| answer.status().as_u16().to_string());
        self.metrics.request(endpoint, &status, watch.seconds());
        let answer = match carried {
            Ok(answer) => answer,
            Err(lost) => {
                tracing::debug!(endpoint, "no answer: {lost}");
                return Err(lost.to_string());
            }
        };
        let (parts, body) = answer.into_parts();
        let request_id = parts.headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        tracing::debug!(endpoint, status, request.id = request_id, "answered");
        let throttled = parts.status.as_u16() == 429;
        let until = self.limiter.learn(purse, (throttled, rate(&parts.headers)), self.clock.now());
        Ok(Answer { status: parts.status.as_u16(), body, until: until.filter(|_| throttled) })
    }
}

fn sign(headers: &mut HeaderMap, credential: &Credential<'_>) -> Result<(), String> {
    let secret = |text: &str| {
        let mut value = HeaderValue::from_str(text).map_err(|_| "the credential fits in no header".to_owned())?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    match credential {
        Credential::Token(token) => {
            headers.insert(AUTHORIZATION, secret(&format!("Bearer {token}"))?);
        }
        Credential::Key(key) => {
            headers.insert(KEY_ID, secret(&key.id)?);
            headers.insert(KEY_SECRET, secret(key.secret.expose())?);
        }
    }
    Ok(())
}

fn without(body: Bytes, credential: &Credential<'_>) -> Bytes {
    let secret = match credential {
        Credential::Token(token) => token,
        Credential::Key(key) => key.secret.expose(),
    };
    match std::str::from_utf8(&body) {
        Ok(text) if !secret.is_empty() && text.contains(secret) => Bytes::from(text.replace(secret, "[redacted]")),
        _ => body,
    }
}

fn rate(headers: &HeaderMap) -> Rate {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let reset = number("x-ratelimit-reset").and_then(|seconds| seconds.checked_mul(1_000_000));
    Rate {
        remaining: number("x-ratelimit-remaining").and_then(|left| u64::try_from(left).ok()),
        reset: reset.map(Moment::from_micros),
        retry_after: number("retry-after").filter(|seconds| (0..=3600).contains(seconds)),
    }
}
