//! One request, there and back: the credential in its header, the purse it is paid from, how long it took.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request};
use url::Url;
use zeroize::Zeroizing;

use super::answer::{Answer, Error};
use super::limiter::{Limiter, Purse, Rate};
use super::transport::Transport;
use crate::edge::clock::{Clock, Stopwatch};
use crate::edge::metrics::Metrics;
use crate::edge::points::Points;
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

/// Who asks: finished headers, marked as sensitive.
pub(super) struct Credential(Result<HeaderMap, String>);

impl Credential {
    /// A user's token.
    pub(super) fn token(token: &str) -> Self {
        Self::of([(AUTHORIZATION, format!("Bearer {token}"))])
    }

    /// The service's own key.
    pub(super) fn key(key: &DataKey) -> Self {
        Self::of([(KEY_ID, key.id.clone()), (KEY_SECRET, key.secret.expose().to_owned())])
    }

    fn of<const N: usize>(pairs: [(HeaderName, String); N]) -> Self {
        let mut headers = HeaderMap::new();
        for (name, text) in pairs {
            let Ok(mut value) = HeaderValue::try_from(Zeroizing::new(text).as_str()) else {
                return Self(Err("the credential fits in no header".to_owned()));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Self(Ok(headers))
    }

    /// What must not come back in a message: the token or the key's secret.
    fn secret(&self) -> &str {
        let Ok(headers) = &self.0 else { return "" };
        let value =
            headers.get(AUTHORIZATION).or_else(|| headers.get(KEY_SECRET)).and_then(|value| value.to_str().ok());
        value.map(|value| value.strip_prefix("Bearer ").unwrap_or(value)).unwrap_or_default()
    }
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
    pub(super) points: Points,
    pub(super) limiter: Limiter,
}

impl Line {
    /// Waits for the budget, then asks.
    pub(super) async fn ask(
        &self,
        question: Question,
        credential: &Credential,
        purse: &Purse,
    ) -> Result<Answer, Error> {
        self.limiter.admit(purse, &self.clock).await;
        self.send(question, credential, purse).await.map_err(|why| Error::Lost { why })
    }

    /// Sends at once; the budget has been asked. Without an answer, says why.
    pub(super) async fn send(
        &self,
        question: Question,
        credential: &Credential,
        purse: &Purse,
    ) -> Result<Answer, String> {
        let mut request = Request::new(Bytes::from(question.body.unwrap_or_default()));
        *request.uri_mut() = question.url.as_str().parse().map_err(|_| "the address is none".to_owned())?;
        if question.method == Method::POST {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        *request.method_mut() = question.method;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        request.headers_mut().extend(credential.0.clone()?);
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
        let (headers, sent) = (request.headers().clone(), request.body().clone());
        self.points.asking(endpoint).await;
        let watch = Stopwatch::start();
        let carried = self.transport.send(request).await;
        let status = carried.as_ref().map_or("lost", |answer| class(answer.status().as_u16()));
        self.metrics.request(endpoint, status, watch.seconds());
        self.points.answered(endpoint).await;
        let answer = match carried {
            Ok(answer) => answer,
            Err(lost) => {
                tracing::debug!(endpoint, "no answer: {lost}");
                return Err(lost.to_string());
            }
        };
        let (parts, body) = answer.into_parts();
        let request_id = parts.headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let request_id = if is_echo(request_id, &headers, &sent) { "[redacted]" } else { request_id };
        tracing::debug!(endpoint, status, request.id = request_id, "answered");
        let throttled = parts.status.as_u16() == 429;
        let until = self.limiter.learn(purse, (throttled, rate(&parts.headers)), self.clock.now());
        Ok(Answer { status: parts.status.as_u16(), body, until: until.filter(|_| throttled) })
    }
}

/// An HTTP status as a label: those that mean something to an operator by themselves, and classes for the others.
const fn class(status: u16) -> &'static str {
    match status {
        401 => "401",
        403 => "403",
        404 => "404",
        422 => "422",
        429 => "429",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// Whether a text of the broker's is made of what we sent: then it may hold a secret, and is not for the log.
fn is_echo(text: &str, headers: &HeaderMap, body: &Bytes) -> bool {
    let values = headers.values().filter_map(|value| value.to_str().ok());
    let body = std::str::from_utf8(body).unwrap_or_default();
    let words = values.chain([body]).flat_map(|value| value.split([' ', '=', '&', '"']));
    !text.is_empty() && words.filter(|word| word.len() >= 8).any(|word| word.contains(text) || text.contains(word))
}

fn without(body: Bytes, credential: &Credential) -> Bytes {
    let secret = credential.secret();
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
