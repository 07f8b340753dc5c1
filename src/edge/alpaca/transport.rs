//! The seam between the service and the wire: a request goes out, a response comes back, or it is lost.
//!
//! Above it everything is real in every test. On the wire: no redirects, no proxy, a time-out, and no host that is not in
//! the list; a request to another host is refused before its name is looked up.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Hosts;

/// How long one request may take. Longer than Alpaca's slow days, shorter than a run's patience.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A request without a usable response: whether it took effect is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Lost {
    why: String,
}

impl Lost {
    /// Says what happened, without anything secret in it.
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into() }
    }
}

/// Sends requests.
pub trait Transport: Send + Sync {
    /// Sends one request, once.
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>, Lost>>;
}

/// Why there is no wire.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be built; are the system's CA certificates installed?")]
pub struct NoWire(#[source] reqwest::Error);

/// The wire itself.
#[derive(Debug)]
pub struct Wire {
    http: reqwest::Client,
    allowed: BTreeSet<(String, Option<u16>)>,
}

impl Wire {
    /// A client for these hosts and no others.
    ///
    /// # Errors
    /// When the system has no CA certificates.
    pub fn new(hosts: &Hosts) -> Result<Self, NoWire> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("rebalanced/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(NoWire)?;
        Ok(Self { http, allowed: hosts.allowed() })
    }

    async fn exchange(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Lost> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        if !self.allowed.contains(&(host.clone(), request.uri().port_u16())) {
            return Err(Lost::new(format!(
                "{host} is not a host of Alpaca's or of the configuration; nothing was sent"
            )));
        }
        // The URL of a request holds no secret, but an error's text is kept short all the same.
        let lost = |error: reqwest::Error| Lost::new(reason(&error));
        let request = reqwest::Request::try_from(request).map_err(lost)?;
        let response = self.http.execute(request).await.map_err(lost)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(lost)?;
        let mut answer = http::Response::new(body);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

fn reason(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "the request timed out"
    } else if error.is_connect() {
        "no connection"
    } else if error.is_body() || error.is_decode() {
        "the answer was cut short"
    } else {
        "the connection failed"
    };
    kind.to_owned()
}

impl Transport for Wire {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>, Lost>> {
        self.exchange(request).boxed()
    }
}
