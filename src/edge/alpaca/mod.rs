//! Alpaca, as a client: one method per question or order we have.
//!
//! Reads may be repeated; an order is sent once and its answer is never guessed. The token travels only in the
//! `Authorization` header, marked as sensitive. Prices come from one shared feed for all users, read with the service's
//! own key, because data over users' tokens may be refused (facts 1.1).

pub mod transport;
mod limiter;
mod wire;
mod files;
mod oauth;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use url::Url;

use self::limiter::Limiter;
use self::transport::Transport;
use self::wire::{NewOrder, RawAccount, RawAsset, RawError, RawOrder, RawPosition, RawQuotes, RawSession};
use crate::edge::clock::Clock;
use crate::edge::metrics::Metrics;
use crate::model::environment::{Environment, Kind};
use crate::model::ids::{AccountId, ClientOrderId, OrderId, Symbol};
use crate::model::intent::Intent;
use crate::model::report::{OrderReport, Reply};
use crate::model::secret::{AccessToken, Secret};
use crate::model::session::Session;
use crate::model::snapshot::{AccountView, AssetView, Holding, OpenOrder, Quote};
use crate::model::time::{Day, Moment, Span};

pub use self::files::{SnapshotFault, snapshot_from_json};
pub use self::oauth::Granted;

/// How long a quote is shared before it is asked for again.
const QUOTES_SHARED: Span = Span::from_secs(1);

/// Symbols in one question to the data host; the length of a URL is the bound (facts 6).
const SYMBOLS_PER_REQUEST: usize = 100;

/// Orders in one page (facts 3.6).
const PAGE: usize = 500;

/// What a request failed with, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No usable answer: ask again later.
    #[error("the broker did not answer: {why}")]
    Lost {
        /// What happened.
        why: String,
    },
    /// Too many requests: wait.
    #[error("the broker asks for fewer requests")]
    Throttled {
        /// Until then, if it said so.
        until: Option<Moment>,
    },
    /// The token was refused: the user must connect again.
    #[error("the broker refuses the token: {message}")]
    Unauthorized {
        /// The broker's words.
        message: String,
    },
    /// The broker said no.
    #[error("the broker refused ({status}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Alpaca's code, if it gave one.
        code: Option<i64>,
        /// Alpaca's words.
        message: String,
    },
    /// An answer that does not read as what it should be.
    #[error("the broker's answer makes no sense: {why}")]
    Nonsense {
        /// What is wrong.
        why: String,
    },
}

impl From<wire::Nonsense> for Error {
    fn from(nonsense: wire::Nonsense) -> Self {
        Self::Nonsense { why: nonsense.to_string() }
    }
}

/// Where Alpaca is. Any of them may carry a path prefix.
#[derive(Debug, Clone)]
pub struct Hosts {
    /// Live trading.
    pub live: Url,
    /// Paper trading.
    pub paper: Url,
    /// Market data.
    pub data: Url,
    /// The consent page.
    pub authorize: Url,
    /// The token endpoint.
    pub token: Url,
}

impl Hosts {
    fn all(&self) -> [&Url; 5] {
        [&self.live, &self.paper, &self.data, &self.authorize, &self.token]
    }

    /// Whether every host is this machine.
    pub fn all_loopback(&self) -> bool {
        self.all().iter().all(|url| match url.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        })
    }

    /// Hosts and ports that may be spoken to.
    pub(crate) fn allowed(&self) -> BTreeSet<(String, Option<u16>)> {
        let spoken = [&self.live, &self.paper, &self.data, &self.token];
        spoken.iter().filter_map(|url| url.host_str().map(|host| (host.to_owned(), url.port()))).collect()
    }
}

/// Who we are to Alpaca.
#[derive(Debug)]
pub struct AppCredentials {
    /// The app's public id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// Where users come back to; exactly as registered.
    pub redirect_uri: String,
}

/// The service's own market data key.
#[derive(Debug)]
pub struct DataKey {
    /// Key id.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
}

/// An account with the token that opens it.
#[derive(Debug)]
pub struct Access<E> {
    /// The account that the token was given for.
    pub account: AccountId,
    /// The token.
    pub token: AccessToken<E>,
}

/// The client. Cheap to clone; all clones share budgets and caches.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    hosts: Hosts,
    app: AppCredentials,
    data: Option<DataKey>,
    transport: Arc<dyn Transport>,
    clock: Clock,
    metrics: Metrics,
    limiter: Limiter,
    quotes: Mutex<BTreeMap<Symbol, (Moment, Quote)>>,
    assets: Mutex<BTreeMap<(Kind, Symbol), (Day, Option<AssetView>)>>,
    sessions: Mutex<BTreeMap<(Kind, Day, Day), (Moment, Vec<Session>)>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.0.hosts)
    }
}

/// A question before it is sent.
struct Ask<'a> {
    endpoint: &'static str,
    method: Method,
    base: &'a Url,
    path: &'a str,
    query: Vec<(&'static str, String)>,
    body: Option<String>,
}

impl<'a> Ask<'a> {
    fn get(endpoint: &'static str, base: &'a Url, path: &'a str) -> Self {
        Self { endpoint, method: Method::GET, base, path, query: Vec::new(), body: None }
    }
}

impl Client {
    /// A client over a transport.
    #[expect(clippy::too_many_arguments, reason = "the wiring of one part, done in one place")]
    pub fn new(
        hosts: Hosts,
        app: AppCredentials,
        data: Option<DataKey>,
        transport: Arc<dyn Transport>,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Inner {
            hosts,
            app,
            data,
            transport,
            clock,
            metrics,
            limiter: Limiter::default(),
            quotes: Mutex::default(),
            assets: Mutex::default(),
            sessions: Mutex::default(),
        }))
    }

    fn host<E: Environment>(&self) -> &Url {
        match E::KIND {
            Kind::Live => &self.0.hosts.live,
            Kind::Paper => &self.0.hosts.paper,
        }
    }

    /// `GET /v2/account`.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn account<E: Environment>(&self, access: &Access<E>) -> Result<AccountView, Error> {
        let ask = Ask::get("account", self.host::<E>(), "/v2/account");
        Ok(self.read::<E, RawAccount>(access, ask).await?.view()?)
    }

    /// Who a token belongs to, before its account is known.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn whoami<E: Environment>(&self, token: &AccessToken<E>) -> Result<AccountView, Error> {
        let ask = Ask::get("account", self.host::<E>(), "/v2/account");
        let response = self.send(ask, "connect", bearer(token.expose())).await?;
        Ok(self.parse::<RawAccount>(&response)?.view()?)
    }

    /// `GET /v2/positions`, by symbol.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn positions<E: Environment>(&self, access: &Access<E>) -> Result<BTreeMap<Symbol, Holding>, Error> {
        let ask = Ask::get("positions", self.host::<E>(), "/v2/positions");
        Ok(wire::holdings(self.read::<E, Vec<RawPosition>>(access, ask).await?)?)
    }

    /// Open orders, ours and the user's own.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn open_orders<E: Environment>(&self, access: &Access<E>) -> Result<Vec<OpenOrder>, Error> {
        let mut ask = Ask::get("orders", self.host::<E>(), "/v2/orders");
        ask.query = vec![("status", "open".to_owned()), ("limit", PAGE.to_string())];
        let rows = self.read::<E, Vec<RawOrder>>(access, ask).await?;
        Ok(rows.into_iter().map(RawOrder::open).collect::<Result<_, _>>()?)
    }

    /// Every order submitted after a moment, oldest first, page by page.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn orders_since<E: Environment>(
        &self,
        access: &Access<E>,
        after: Moment,
    ) -> Result<Vec<OrderReport>, Error> {
        let mut reports: Vec<OrderReport> = Vec::new();
        let mut cursor = after;
        loop {
            let mut ask = Ask::get("orders", self.host::<E>(), "/v2/orders");
            ask.query = vec![
                ("status", "all".to_owned()),
                ("direction", "asc".to_owned()),
                ("limit", PAGE.to_string()),
                ("after", cursor.to_string()),
            ];
            let rows = self.read::<E, Vec<RawOrder>>(access, ask).await?;
            let full = rows.len() >= PAGE;
            for row in rows {
                reports.push(row.report()?);
            }
            let last = reports.last().and_then(|report| report.submitted_at);
            match last {
                Some(last) if full && last > cursor => cursor = last,
                _ => return Ok(reports),
            }
        }
    }

    /// The order under a client order id, if the broker has one.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn order_by_client_id<E: Environment>(
        &self,
        access: &Access<E>,
        id: &ClientOrderId,
    ) -> Result<Option<OrderReport>, Error> {
        let mut ask = Ask::get("order_by_client_id", self.host::<E>(), "/v2/orders:by_client_order_id");
        ask.query = vec![("client_order_id", id.as_str().to_owned())];
        match self.read::<E, RawOrder>(access, ask).await {
            Ok(row) => Ok(Some(row.report()?)),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What may be done with an asset; kept for the day.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn asset<E: Environment>(&self, access: &Access<E>, symbol: &Symbol) -> Result<Option<AssetView>, Error> {
        let today = self.0.clock.now().day_in(&TimeZone::UTC);
        let key = (E::KIND, symbol.clone());
        let kept = self.0.assets.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some((day, view)) = kept
            && day == today
        {
            return Ok(view);
        }
        let path = format!("/v2/assets/{symbol}");
        let view = match self.read::<E, RawAsset>(access, Ask::get("asset", self.host::<E>(), &path)).await {
            Ok(asset) => Some(asset.view()),
            Err(Error::Refused { status: 404, .. }) => None,
            Err(error) => return Err(error),
        };
        self.0.assets.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (today, view));
        Ok(view)
    }

    /// The broker's calendar from `first` to `last`; kept for an hour.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn sessions<E: Environment>(
        &self,
        access: &Access<E>,
        first: Day,
        last: Day,
    ) -> Result<Vec<Session>, Error> {
        let now = self.0.clock.now();
        let key = (E::KIND, first, last);
        let kept = self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((at, sessions)) = kept
            && now.since(at) < Span::from_hours(1)
        {
            return Ok(sessions);
        }
        let mut ask = Ask::get("calendar", self.host::<E>(), "/v2/calendar");
        ask.query = vec![("start", first.to_string()), ("end", last.to_string())];
        let rows = self.read::<E, Vec<RawSession>>(access, ask).await?;
        let sessions = rows.iter().map(session).collect::<Result<Vec<_>, _>>()?;
        let mut kept = self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (at, _)| now.since(*at) < Span::from_hours(1));
        kept.insert(key, (now, sessions.clone()));
        Ok(sessions)
    }

    /// Prices from the shared feed. A symbol without a quote is absent.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn quotes<E: Environment>(
        &self,
        access: &Access<E>,
        symbols: &BTreeSet<Symbol>,
    ) -> Result<BTreeMap<Symbol, Quote>, Error> {
        let now = self.0.clock.now();
        let mut quotes = BTreeMap::new();
        let mut missing: Vec<&Symbol> = Vec::new();
        {
            let kept = self.0.quotes.lock().unwrap_or_else(PoisonError::into_inner);
            for symbol in symbols {
                match kept.get(symbol) {
                    Some((at, quote)) if now.since(*at) < QUOTES_SHARED => {
                        quotes.insert(symbol.clone(), *quote);
                    }
                    _ => missing.push(symbol),
                }
            }
        }
        for chunk in missing.chunks(SYMBOLS_PER_REQUEST) {
            let names: Vec<&str> = chunk.iter().map(|symbol| symbol.as_str()).collect();
            let mut ask = Ask::get("quotes", &self.0.hosts.data, "/v2/stocks/quotes/latest");
            ask.query = vec![("symbols", names.join(","))];
            let (key, headers) = match &self.0.data {
                Some(data) => ("data", key_headers(data)),
                None => (access.account.as_str(), bearer(access.token.expose())),
            };
            let response = self.send(ask, key, headers).await?;
            let found = wire::quotes(self.parse::<RawQuotes>(&response)?.quotes.unwrap_or_default())?;
            let mut kept = self.0.quotes.lock().unwrap_or_else(PoisonError::into_inner);
            for (symbol, quote) in found {
                kept.insert(symbol.clone(), (now, quote));
                quotes.insert(symbol, quote);
            }
        }
        Ok(quotes)
    }

    /// Sends one order, once. Called only by `dispatch`, with an intent that is durable.
    pub async fn submit<E: Environment>(&self, access: &Access<E>, intent: &Intent) -> Reply {
        let body = match serde_json::to_string(&NewOrder::of(intent)) {
            Ok(body) => body,
            Err(error) => return Reply::Refused { status: 0, code: None, message: error.to_string() },
        };
        let ask = Ask {
            endpoint: "submit",
            method: Method::POST,
            base: self.host::<E>(),
            path: "/v2/orders",
            query: Vec::new(),
            body: Some(body),
        };
        match self.deliver(ask, access.account.as_str(), bearer(access.token.expose())).await {
            Err(Error::Throttled { until }) => Reply::Throttled { until },
            Err(error) => Reply::Unknown { why: error.to_string() },
            Ok(response) => reply(&response),
        }
    }

    /// Asks for an order to be cancelled; what became of it is read from the order.
    ///
    /// # Errors
    /// Any of [`Error`]; an order that is gone already is refused with 404 or 422.
    pub async fn cancel<E: Environment>(&self, access: &Access<E>, order: &OrderId) -> Result<(), Error> {
        let path = format!("/v2/orders/{order}");
        let mut ask = Ask::get("cancel", self.host::<E>(), &path);
        ask.method = Method::DELETE;
        self.send(ask, access.account.as_str(), bearer(access.token.expose())).await.map(drop)
    }

    async fn read<E: Environment, T: DeserializeOwned>(&self, access: &Access<E>, ask: Ask<'_>) -> Result<T, Error> {
        let response = self.send(ask, access.account.as_str(), bearer(access.token.expose())).await?;
        self.parse(&response)
    }

    #[expect(clippy::unused_self, reason = "read as a step of the client's line")]
    fn parse<T: DeserializeOwned>(&self, response: &Response<Bytes>) -> Result<T, Error> {
        Ok(wire::read(response.body())?)
    }

    /// Sends and judges the status: only a success comes back.
    async fn send(&self, ask: Ask<'_>, budget: &str, headers: HeaderMap) -> Result<Response<Bytes>, Error> {
        let response = self.deliver(ask, budget, headers).await?;
        if response.status().is_success() { Ok(response) } else { Err(judged(&response)) }
    }

    /// Sends inside the budget; whatever status comes back is an answer, except 429.
    async fn deliver(&self, ask: Ask<'_>, budget: &str, headers: HeaderMap) -> Result<Response<Bytes>, Error> {
        let endpoint = ask.endpoint;
        let request = request(ask, headers).map_err(|why| Error::Nonsense { why })?;
        self.0.limiter.admit(budget, &self.0.clock).await;
        let begun = Instant::now();
        let answer = self.0.transport.send(request).await;
        let status = answer.as_ref().map_or("lost", |response| status_class(response.status()));
        self.0.metrics.request(endpoint, status, begun.elapsed().as_secs_f64());
        let response = answer.map_err(|lost| Error::Lost { why: lost.to_string() })?;
        let number =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
        let reset = number("x-ratelimit-reset").map(|seconds| Moment::from_micros(seconds.saturating_mul(1_000_000)));
        let throttled = response.status() == StatusCode::TOO_MANY_REQUESTS;
        self.0.limiter.learn(budget, number("x-ratelimit-remaining"), reset, throttled);
        if throttled { Err(Error::Throttled { until: reset }) } else { Ok(response) }
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..=299 => "2xx",
        401 => "401",
        403 => "403",
        404 => "404",
        422 => "422",
        429 => "429",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

fn request(ask: Ask<'_>, headers: HeaderMap) -> Result<Request<Bytes>, String> {
    let mut url = ask.base.clone();
    url.set_path(&format!("{}{}", ask.base.path().trim_end_matches('/'), ask.path));
    if !ask.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&ask.query);
    }
    let mut request = Request::new(ask.body.map_or_else(Bytes::new, Bytes::from));
    *request.method_mut() = ask.method;
    *request.uri_mut() = url.as_str().parse().map_err(|_| "a request has no usable address".to_owned())?;
    *request.headers_mut() = headers;
    if !request.body().is_empty() {
        request.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(request)
}

/// A token that no header can carry is no token: the request goes without, and the broker says so.
fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}")) {
        value.set_sensitive(true);
        headers.insert(http::header::AUTHORIZATION, value);
    }
    headers
}

fn key_headers(data: &DataKey) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let (Ok(id), Ok(mut secret)) = (HeaderValue::from_str(&data.id), HeaderValue::from_str(data.secret.expose())) {
        secret.set_sensitive(true);
        headers.insert("APCA-API-KEY-ID", id);
        headers.insert("APCA-API-SECRET-KEY", secret);
    }
    headers
}

/// The broker's words, kept short and on one line.
fn words(response: &Response<Bytes>) -> (Option<i64>, Option<String>) {
    let raw: RawError = wire::read(response.body()).unwrap_or_default();
    let clean = |text: String| text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    (raw.code, raw.message.map(clean))
}

/// What a status other than success means to a read.
fn judged(response: &Response<Bytes>) -> Error {
    let status = response.status();
    let (code, message) = words(response);
    let text = message.clone().unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason").to_owned());
    if is_unauthorized(status, code, message.as_deref()) {
        return Error::Unauthorized { message: text };
    }
    if status.is_client_error() && message.is_some() {
        return Error::Refused { status: status.as_u16(), code, message: text };
    }
    Error::Lost { why: format!("status {} {text}", status.as_u16()) }
}

/// 401 and a bare `forbidden.` mean a dead token (facts 1.2). Code 40110000 does not: it is said of an app that is not
/// approved, or of a missing scope (facts 1.3).
fn is_unauthorized(status: StatusCode, code: Option<i64>, message: Option<&str>) -> bool {
    match status {
        StatusCode::UNAUTHORIZED => code != Some(40_110_000),
        StatusCode::FORBIDDEN => code.is_none() && message.is_some_and(|text| text.starts_with("forbidden")),
        _ => false,
    }
}

/// What an answer to a sent order means. Only documented words are a refusal; everything odd is unknown (rule 3).
fn reply(response: &Response<Bytes>) -> Reply {
    let status = response.status();
    if status.is_success() {
        let report = wire::read::<RawOrder>(response.body()).and_then(RawOrder::report);
        return match report {
            Ok(report) => Reply::Accepted(Box::new(report)),
            Err(nonsense) => Reply::Unknown { why: format!("status {}, {nonsense}", status.as_u16()) },
        };
    }
    let (code, message) = words(response);
    if is_unauthorized(status, code, message.as_deref()) {
        return Reply::Unauthorized { message: message.unwrap_or_else(|| "unauthorized".to_owned()) };
    }
    match (status.as_u16(), message) {
        (400 | 422, Some(message)) if message.contains("client_order_id must be unique") => Reply::Exists,
        (400 | 401 | 403 | 404 | 422, Some(message)) => Reply::Refused { status: status.as_u16(), code, message },
        (status, _) => Reply::Unknown { why: format!("status {status} without a word that means no") },
    }
}

/// A calendar row as a session; its times are New York's (facts 4.3).
fn session(row: &RawSession) -> Result<Session, Error> {
    let nonsense = |why: String| Error::Nonsense { why };
    let zone = TimeZone::get("America/New_York").map_err(|error| nonsense(error.to_string()))?;
    let day: Day = row.date.parse().map_err(|_| nonsense(format!("calendar date {}", row.date)))?;
    let moment = |text: &str| {
        let time: jiff::civil::Time = text.parse().map_err(|_| nonsense(format!("calendar time {text}")))?;
        let zoned = day.to_datetime(time).to_zoned(zone.clone()).map_err(|error| nonsense(error.to_string()))?;
        Ok::<Moment, Error>(Moment::from(zoned.timestamp()))
    };
    Ok(Session { day, open: moment(&row.open)?, close: moment(&row.close)? })
}
