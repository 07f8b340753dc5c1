//! The wire, and the one seam where a test replaces it. Above it everything is real: client, limiter, JSON, classification.
//!
//! [`Wire`] talks to the configured hosts and to no other, refuses before a name is looked up, follows no redirect (row
//! 13), uses no proxy, sends nothing twice, and bounds time and size.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Origin, Url};

use super::hosts::{Hosts, carried, is_loopback};

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long a whole exchange may take; Alpaca answers orders within hundreds of milliseconds, at times seconds (facts 9.4).
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// No answer we ask for is larger: 500 orders are about 1 MiB.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// No usable answer: whether the request had an effect is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Lost {
    why: String,
}

impl Lost {
    /// Says what happened; never with a token or a query in it.
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into() }
    }
}

/// A line that is open in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// Carries one request there and one answer back.
pub trait Transport: Send + Sync {
    /// Sends one request, once.
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>, Lost>>;

    /// Sends a request to switch protocols, and hands over the line if the other side agrees. A wire that cannot is no
    /// fault: what comes over such a line is a hint.
    fn open(&self, _request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Box<dyn Duplex>>, Lost>> {
        future::ready(Err(Lost::new("this wire carries no streams"))).boxed()
    }
}

/// Why the wire cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client does not start.
    #[error("the HTTP client does not start")]
    Start(#[source] reqwest::Error),
    /// Tokens would travel in the open.
    #[error("{0} is on another machine and not https: tokens would travel in the open")]
    Plain(String),
}

/// Real HTTP, to the configured hosts only.
#[derive(Debug)]
pub struct Wire {
    http: reqwest::Client,
    allowed: BTreeSet<String>,
}

impl Wire {
    /// Opens the wire to these hosts.
    ///
    /// # Errors
    /// When the HTTP client does not start, or a host on another machine is not reached by https.
    pub fn new(hosts: &Hosts) -> Result<Self, Error> {
        for url in hosts.all() {
            if carried(url).scheme() != "https" && !is_loopback(url) {
                return Err(Error::Plain(place(url)));
            }
        }
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .build()
            .map_err(Error::Start)?;
        Ok(Self { http, allowed: hosts.all().into_iter().map(|url| place(&carried(url))).collect() })
    }

    async fn execute(&self, request: http::Request<Bytes>) -> Result<reqwest::Response, Lost> {
        let url: Url = request.uri().to_string().parse().map_err(|_| Lost::new("the address is none"))?;
        if !self.allowed.contains(&place(&url)) {
            return Err(Lost::new(format!("{} is not one of the configured hosts; nothing was sent", place(&url))));
        }
        let request = reqwest::Request::try_from(request).map_err(lost)?;
        self.http.execute(request).await.map_err(lost)
    }

    async fn upgrade(&self, request: http::Request<Bytes>) -> Result<http::Response<Box<dyn Duplex>>, Lost> {
        let mut answer = self.execute(request).await?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        if status != http::StatusCode::SWITCHING_PROTOCOLS {
            return Err(Lost::new(format!("answered {}", status.as_u16())));
        }
        let mut response = http::Response::new(Box::new(answer.upgrade().await.map_err(lost)?) as Box<dyn Duplex>);
        *response.headers_mut() = headers;
        Ok(response)
    }

    async fn exchange(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Lost> {
        let mut answer = self.execute(request).await?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > BYTES_MAX {
                return Err(Lost::new("the answer is larger than any we ask for"));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = http::Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

impl Transport for Wire {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>, Lost>> {
        self.exchange(request).boxed()
    }

    fn open(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Box<dyn Duplex>>, Lost>> {
        self.upgrade(request).boxed()
    }
}

fn lost(error: reqwest::Error) -> Lost {
    Lost::new(chain(&error.without_url()))
}

/// Scheme, host and port: what the allow-list is made of.
fn place(url: &Url) -> String {
    match url.origin() {
        origin @ Origin::Tuple(..) => origin.ascii_serialization(),
        Origin::Opaque(_) => url.scheme().to_owned(),
    }
}

/// An error with its causes, in one line: "error sending request" alone tells nobody anything.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
