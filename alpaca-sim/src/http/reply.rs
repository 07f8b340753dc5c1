//! What a route answers, before it becomes HTTP: status, body, and the few headers that matter.
//!
//! Always: every refusal has the envelope of facts 3.11, `{"code", "message", ...extras}`, except where Alpaca's own
//! answers lack the code (401) or are not JSON at all (the clock's 401 page). Nothing here knows who asked.

use std::borrow::Cow;

use axum::http::{HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

/// The page that stands before the clock and calendar when credentials fail (facts 1.2).
const UNAUTHORIZED_PAGE: &str = "<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<body>\r\n\
<center><h1>401 Authorization Required</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";

/// The kind of a body, hence its `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No body at all.
    Empty,
    /// `application/json; charset=UTF-8`, as Alpaca sends it.
    Json,
    /// A page for people, or for clients that trusted it to be JSON.
    Html,
    /// Plain text.
    Text,
}

impl Kind {
    /// The header's value, or nothing for an empty body.
    pub(crate) fn content_type(self) -> Option<&'static str> {
        match self {
            Self::Empty => None,
            Self::Json => Some("application/json; charset=UTF-8"),
            Self::Html => Some("text/html; charset=utf-8"),
            Self::Text => Some("text/plain; charset=utf-8"),
        }
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) kind: Kind,
    pub(crate) body: Bytes,
    /// Headers beyond the ones that every reply has; almost always empty, and then without an allocation.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// 200 with a JSON body.
    pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        Self::json_with(StatusCode::OK, value)
    }

    /// Any status with a JSON body.
    pub(crate) fn json_with<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => Self::new(status, Kind::Json, bytes),
            // Only a map with keys that are no strings can fail, and no wire shape here has one.
            Err(error) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, Kind::Text, error.to_string()),
        }
    }

    /// Any status, any kind.
    pub(crate) fn new(status: StatusCode, kind: Kind, body: impl Into<Bytes>) -> Self {
        Self { status, kind, body: body.into(), headers: Vec::new() }
    }

    /// 200 with a page.
    pub(crate) fn html(status: StatusCode, page: impl Into<Bytes>) -> Self {
        Self::new(status, Kind::Html, page)
    }

    /// 204, the answer to an accepted cancel.
    pub(crate) fn no_content() -> Self {
        Self::new(StatusCode::NO_CONTENT, Kind::Empty, Bytes::new())
    }

    /// 302 to another address; a target that cannot be a header is a 400.
    pub(crate) fn redirect(target: &str) -> Self {
        match HeaderValue::from_str(target) {
            Ok(value) => {
                Self::new(StatusCode::FOUND, Kind::Empty, Bytes::new()).with(axum::http::header::LOCATION, value)
            }
            Err(_) => Self::refuse(StatusCode::BAD_REQUEST, "redirect target is not a valid address"),
        }
    }

    /// The same reply with one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// An envelope without a code: some routes of Alpaca answer so (facts 3.11, 6).
    pub(crate) fn refuse(status: StatusCode, message: &str) -> Self {
        Self::json_with(status, &Plain { message })
    }

    /// 404 for a path that no host serves.
    pub(crate) fn no_such_route() -> Self {
        Refusal::new(StatusCode::NOT_FOUND, 40_410_000, "endpoint not found.").into()
    }

    /// 405 for a path that is served with another method.
    pub(crate) fn method_not_allowed() -> Self {
        Self::refuse(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
    }

    /// 401 for missing, wrong or revoked credentials: JSON without a code, with the challenge header (facts 1.2).
    pub(crate) fn unauthorized() -> Self {
        Self::refuse(StatusCode::UNAUTHORIZED, "unauthorized.").with(
            axum::http::header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer, Basic realm=\"alpaca.markets\""),
        )
    }

    /// The same refusal as the clock and calendar give it: the page of a proxy, not JSON (facts 1.2).
    pub(crate) fn unauthorized_page() -> Self {
        Self::html(StatusCode::UNAUTHORIZED, UNAUTHORIZED_PAGE).with(
            axum::http::header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer, Basic realm=\"alpaca.markets\""),
        )
    }
}

#[derive(Serialize)]
struct Plain<'a> {
    message: &'a str,
}

/// A refusal with its documented code; extras are strings (facts 3.11).
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// Missing where Alpaca sends none.
    pub(crate) code: Option<i64>,
    pub(crate) message: Cow<'static, str>,
    pub(crate) extras: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal without extras.
    pub(crate) fn new(status: StatusCode, code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: Some(code), message: message.into(), extras: Vec::new() }
    }

    /// 422 with the code of malformed input.
    pub(crate) fn unprocessable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, 40_010_001, message)
    }

    /// The token lacks a scope, or its app may not trade live (facts 1.3).
    pub(crate) fn scope() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 40_110_000, "token is not authorized for this scope")
    }

    /// Over the budget of the minute, in the words of the trading hosts.
    pub(crate) fn rate_limited() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, 42_910_000, "rate limit exceeded")
    }

    /// Over the budget of the minute, in the words of the data host.
    pub(crate) fn too_many_requests() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, 42_910_000, "too many requests.")
    }

    /// The envelope as a JSON value, for replies that carry several refusals.
    pub(crate) fn envelope(&self) -> Value {
        let mut map = Map::new();
        if let Some(code) = self.code {
            map.insert("code".into(), code.into());
        }
        map.insert("message".into(), self.message.as_ref().into());
        for (key, value) in &self.extras {
            map.insert((*key).into(), value.as_str().into());
        }
        Value::Object(map)
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::json_with(refusal.status, &refusal.envelope())
    }
}
