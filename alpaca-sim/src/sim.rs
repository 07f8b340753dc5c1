//! The front door: configuration, and the simulator as a value to embed or to serve.
//!
//! Always: one lock around the whole world, never held across an await; time is an argument of everything behind that
//! lock. A `Sim` is cheap to clone and all clones are the same simulator.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{Request, Response};
use bytes::Bytes;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::clock::SimClock;
use crate::exchange::order::Order;
use crate::exchange::{Exchange, ExchangeConfig};
use crate::http::faults::{FaultRule, FaultStatus};
use crate::http::gate::Outcome;
use crate::http::oauth::{ConsentRule, Grant, GrantRecord};
use crate::http::people::{KeyPair, Person};
use crate::http::request::Inbound;
use crate::http::requests::RequestRecord;
use crate::http::server;
use crate::http::world::World;
use crate::market::{Market, MarketConfig, PriceSource};

pub(crate) use crate::exchange::account::Environment;
pub use crate::exchange::account::NewAccount;

/// An app registered with Alpaca Connect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OAuthApp {
    /// Public id.
    pub client_id: String,
    /// Secret of the token endpoint.
    #[serde(skip_serializing)]
    pub client_secret: String,
    /// Addresses that a code may be sent to, character for character.
    pub redirect_uris: Vec<String>,
    /// Whether Alpaca approved it for live orders of other people.
    #[serde(default)]
    pub live_trading_approved: bool,
    /// Live accounts of its developer, which need no approval.
    #[serde(default)]
    pub developer_account_ids: Vec<String>,
    /// What the consent page calls it.
    #[serde(default)]
    pub name: String,
}

/// A market data key of the service, on a paid plan with its own limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiKey {
    /// Key id.
    pub key_id: String,
    /// Secret.
    #[serde(skip_serializing)]
    pub secret: String,
    /// The plan's limit; 0 is none.
    pub requests_per_minute: u32,
}

/// A request in memory that got no answer: over a socket, the connection was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection was closed without an answer")]
pub struct Dropped;

/// Why there is no simulator, or why a control call was refused.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The market data cannot be read.
    #[error("cannot load the market: {0}")]
    Market(#[from] crate::market::MarketError),
    /// The exchange refused.
    #[error("{0}")]
    Exchange(#[from] crate::exchange::refusal::Refusal),
    /// People or accounts do not fit together; the text says how.
    #[error("{0}")]
    People(String),
}

/// How the simulator behaves. Everything has a default.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Prices, luck, ids, tokens and keys follow from it.
    pub seed: u64,
    /// Where the clock starts.
    pub start: Timestamp,
    /// How fast it runs; 0 stands still until it is set.
    pub speed: f64,
    /// Prices are constant within a step of so many seconds.
    pub price_step_seconds: u32,
    /// Full spread of the quote in basis points.
    pub spread_bps: Decimal,
    /// Share of fills that are partial (facts 9.4).
    pub partial_fill_percent: u8,
    /// Least and most milliseconds from submission to fill.
    pub fill_latency_ms: (u32, u32),
    /// Where the daily closes come from.
    pub prices: PriceSource,
    /// Registered OAuth apps.
    pub apps: Vec<OAuthApp>,
    /// Market data keys of the service.
    pub data_keys: Vec<ApiKey>,
    /// Budget of an account on the trading hosts (facts 7); 0 is none.
    pub requests_per_minute: u32,
    /// Budget of an account or token on the data host; the service's data keys have their own. 0 is none.
    pub data_requests_per_minute: u32,
    /// Whether user tokens with the `data` scope open the data host; staff once said they do not (facts 1.1).
    pub data_over_oauth: bool,
    /// How many requests the ledger keeps; the oldest go first.
    pub ledger_rows: usize,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            // Monday, 3 June 2019, half an hour after the opening.
            start: Timestamp::constant(1_559_570_400, 0),
            speed: 0.0,
            price_step_seconds: 1,
            spread_bps: Decimal::TWO,
            partial_fill_percent: 10,
            fill_latency_ms: (50, 400),
            prices: PriceSource::Builtin,
            apps: Vec::new(),
            data_keys: Vec::new(),
            requests_per_minute: 200,
            data_requests_per_minute: 200,
            data_over_oauth: true,
            ledger_rows: 1_000_000,
        }
    }
}

/// One order of the ledger.
#[derive(Debug, Clone, Serialize)]
pub struct OrderRecord {
    /// Whose.
    pub account: Arc<str>,
    /// Which host it is on.
    pub environment: Environment,
    /// The order as it stands.
    #[serde(flatten, serialize_with = "crate::http::wire::serialize_order")]
    pub order: Order,
}

/// What happened, as the judge of tests sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Ledger {
    /// Every request that is kept, in the order of handling.
    pub requests: Vec<RequestRecord>,
    /// How many requests there were, kept or not.
    pub requests_total: u64,
    /// Every order, by account in the order of opening, then in the order of submission.
    pub orders: Vec<OrderRecord>,
}

/// The simulator.
#[derive(Debug, Clone)]
pub struct Sim(Arc<Mutex<World>>);

impl Sim {
    /// A simulator without people; loads the market.
    ///
    /// # Errors
    /// When the prices cannot be read.
    pub fn new(config: SimConfig) -> Result<Self, SimError> {
        let market = Market::new(MarketConfig {
            seed: config.seed,
            price_step_seconds: config.price_step_seconds,
            spread_bps: config.spread_bps,
            prices: config.prices,
        })?;
        let exchange = Exchange::new(
            ExchangeConfig {
                seed: config.seed,
                partial_fill_percent: config.partial_fill_percent,
                fill_latency_ms: config.fill_latency_ms,
            },
            market,
        );
        let clock = SimClock::new(config.start, config.speed);
        let mut world = World::new(config.seed, clock, exchange, config.ledger_rows);
        world.requests_per_minute = config.requests_per_minute;
        world.data_requests_per_minute = config.data_requests_per_minute;
        world.data_over_oauth = config.data_over_oauth;
        world.people.add_data_keys(&config.data_keys);
        for app in config.apps {
            world.oauth.add_app(app);
        }
        Ok(Self(Arc::new(Mutex::new(world))))
    }

    /// The router over all hosts and the control paths, for a server of one's own. Such a server should also call
    /// [`Sim::advance`] now and then, or streams hear of fills only when somebody asks for something.
    pub fn router(&self) -> axum::Router {
        server::router(self, CancellationToken::new())
    }

    /// Serves until `stop`, with a beat that carries out what falls due and pushes it to the streams.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(&self, listener: tokio::net::TcpListener, stop: CancellationToken) -> io::Result<()> {
        server::serve(self, listener, stop).await
    }

    /// One request in memory: the same way as over a socket, without one. A body that a fault cut short comes with the
    /// `Content-Length` of the whole.
    ///
    /// # Errors
    /// When the fault script closed the connection without an answer.
    pub async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Dropped> {
        let (parts, body) = request.into_parts();
        let inbound = Inbound { method: parts.method, uri: parts.uri, headers: parts.headers, body };
        match server::outcome(self, &inbound).await {
            Outcome::Answer(reply) => {
                let body = reply.body.clone();
                Ok(server::head(reply, body))
            }
            Outcome::Cut(reply, bytes) => {
                let body = reply.body.slice(..bytes.min(reply.body.len()));
                Ok(server::head(reply, body))
            }
            Outcome::Dropped => Err(Dropped),
        }
    }

    /// The simulated time.
    pub fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// How fast it runs.
    pub fn speed(&self) -> f64 {
        self.lock().clock.speed()
    }

    /// Sets the clock forward; everything due on the way happens in its order. An earlier moment changes nothing.
    pub fn set_clock(&self, now: Timestamp) {
        let mut world = self.lock();
        world.clock.set(now);
        world.settle();
    }

    /// Sets the clock forward by a span.
    pub fn step(&self, by: jiff::SignedDuration) {
        let mut world = self.lock();
        world.clock.step(by);
        world.settle();
    }

    /// Changes how fast the clock runs; 0 stands still.
    pub fn set_speed(&self, speed: f64) {
        self.lock().clock.set_speed(speed);
    }

    /// Carries out what is due and tells the streams.
    pub fn advance(&self) {
        drop(self.lock());
    }

    /// Adds a person; returns their id (`person-N` unless given).
    ///
    /// # Errors
    /// When the id is taken.
    pub fn create_person(&self, id: Option<&str>, name: &str) -> Result<String, SimError> {
        self.lock().people.add_person(id, name).map_err(SimError::People)
    }

    /// Opens an account for a person; returns its id. Cash and positions are there from the start.
    ///
    /// # Errors
    /// When there is no such person, they have a live account already, or a position is in an unknown symbol.
    pub fn create_account(&self, new: NewAccount) -> Result<Arc<str>, SimError> {
        let mut world = self.lock();
        let (person, environment) = (new.person.clone(), new.environment);
        world.people.may_open(&person, environment).map_err(SimError::People)?;
        let (now, seed) = (world.now, world.seed);
        let account = world.exchange.open_account(now, new)?;
        world.people.bind(seed, &person, environment, &account);
        Ok(account)
    }

    /// Everybody with their accounts.
    pub fn people(&self) -> Vec<Person> {
        self.lock().people.persons().cloned().collect()
    }

    /// The key pair of an account.
    pub fn key_pair(&self, account: &str) -> Option<KeyPair> {
        self.lock().people.key_pair(account).cloned()
    }

    /// Registers an app, or replaces the one with its client id.
    pub fn add_app(&self, app: OAuthApp) {
        self.lock().oauth.add_app(app);
    }

    /// Sets how consent requests are answered.
    pub fn set_consent(&self, rule: ConsentRule) {
        self.lock().oauth.set_rule(rule);
    }

    /// All grants, revoked ones too.
    pub fn grants(&self) -> Vec<GrantRecord> {
        self.lock().oauth.grants().map(GrantRecord::from).collect()
    }

    /// The account that a token opens in this environment, while nobody has taken it back.
    pub fn account_of_token(&self, token: &str, environment: Environment) -> Option<Arc<str>> {
        self.lock().oauth.grant(token)?.account(environment).cloned()
    }

    /// Takes back all grants of a person, as they would on the dashboard; returns them.
    pub fn revoke_person(&self, person: &str) -> Vec<GrantRecord> {
        self.revoke(|grant| grant.person == person)
    }

    /// Takes back the grants that match, and closes their streams.
    pub(crate) fn revoke(&self, matches: impl Fn(&Grant) -> bool) -> Vec<GrantRecord> {
        let mut world = self.lock();
        let now = world.now;
        let tokens: Vec<String> = world
            .oauth
            .grants()
            .filter(|grant| grant.revoked_at.is_none() && matches(grant))
            .map(|grant| grant.token.clone())
            .collect();
        let revoked = world.oauth.revoke(matches, now);
        for token in tokens {
            world.streams.close_token(&token);
        }
        revoked
    }

    /// Adds a rule to the fault script; returns its number.
    pub fn add_fault(&self, rule: FaultRule) -> u64 {
        self.lock().faults.add(rule)
    }

    /// Forgets the fault script; returns how many rules there were.
    pub fn clear_faults(&self) -> usize {
        self.lock().faults.clear(None)
    }

    /// The fault script with its counters.
    pub fn faults(&self) -> Vec<FaultStatus> {
        self.lock().faults.list().to_vec()
    }

    /// Every request and every order.
    pub fn ledger(&self) -> Ledger {
        let world = self.lock();
        let mut orders: Vec<OrderRecord> = Vec::new();
        for (account, order) in world.exchange.ledger() {
            let environment =
                world.people.owner_of(&account).map_or(Environment::Paper, |(_, environment)| environment);
            orders.push(OrderRecord { account, environment, order });
        }
        let requests = world.requests.rows().cloned().collect();
        Ledger { requests, requests_total: world.requests.count(), orders }
    }

    /// The exchange itself, at the present moment, for what the front door has no word for.
    pub fn with_exchange<T>(&self, work: impl FnOnce(&mut Exchange, Timestamp) -> T) -> T {
        let mut world = self.lock();
        let now = world.now;
        let result = work(&mut world.exchange, now);
        world.tell();
        result
    }

    /// The world at the clock's moment. A panic of another thread while it held the lock is no reason to stop.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        world.settle();
        world
    }
}
