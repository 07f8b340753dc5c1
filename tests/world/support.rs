//! A whole service in memory: the real line, the real store, the real client, with the clock, the dice and the wire
//! replaced. The wire leads into Alpaca in a box in this same process.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alpaca_sim::{ApiKey, ConsentMode, ConsentRule, Environment, NewAccount, OAuthApp, Sim, SimConfig};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rebalanced::edge::World;
use rebalanced::edge::alpaca::transport::{Lost, Transport};
use rebalanced::edge::alpaca::{AppCredentials, Client, DataKey, Hosts};
use rebalanced::edge::clock::{Clock, VirtualClock};
use rebalanced::edge::entropy::Entropy;
use rebalanced::edge::metrics::Metrics;
use rebalanced::edge::points::Points;
use rebalanced::edge::sessions;
use rebalanced::edge::store::Store;
use rebalanced::edge::strategies;
use rebalanced::edge::switch::Switch;
use rebalanced::edge::vault::Vault;
use rebalanced::flow;
use rebalanced::flow::connect::Begin;
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::StrategyName;
use rebalanced::model::limits::ServiceLimits;
use rebalanced::model::mandate::ServicePolicy;
use rebalanced::model::secret::Secret;
use rebalanced::model::time::{Moment, Span};
use rebalanced::model::verdict::Outcome;
use rust_decimal::Decimal;
use tempfile::TempDir;

use crate::postgres::empty_postgres;

/// Where the broker sends browsers back to.
const REDIRECT: &str = "http://127.0.0.1:8080/oauth/callback";

/// Where the hosts of the simulator would be; nothing listens there.
const BASE: &str = "http://127.0.0.1:9";

/// What a test does at one step of the service: at the n-th request from now on, before it takes effect.
#[derive(Clone, Default)]
pub(crate) struct Steps {
    seen: Arc<Mutex<usize>>,
    act: Arc<Mutex<Option<Planned>>>,
    slow: Arc<Mutex<Duration>>,
    cancels: Arc<Mutex<Vec<Instant>>>,
    slow_account: Arc<Mutex<Option<(String, Duration)>>>,
}

/// The step, and what is done at it.
type Planned = (usize, BoxFuture<'static, ()>);

impl Steps {
    /// How many requests there were since the last call of [`Steps::at`].
    pub(crate) fn seen(&self) -> usize {
        *self.seen.lock().unwrap()
    }

    /// Counts from here, and does this at the n-th request.
    pub(crate) fn at(&self, nth: usize, act: BoxFuture<'static, ()>) {
        *self.seen.lock().unwrap() = 0;
        *self.act.lock().unwrap() = Some((nth, act));
    }

    /// From now on each request really takes this much longer.
    pub(crate) fn slow_down(&self, by: Duration) {
        *self.slow.lock().unwrap() = by;
    }

    /// When each cancellation left, in real time.
    pub(crate) fn cancels(&self) -> Vec<Instant> {
        self.cancels.lock().unwrap().clone()
    }

    /// Makes every request of one account take so long beside what each takes, or of none.
    pub(crate) fn slow(&self, account: Option<(String, Duration)>) {
        *self.slow_account.lock().unwrap() = account;
    }

    async fn step(&self) {
        let number = {
            let mut seen = self.seen.lock().unwrap();
            *seen += 1;
            *seen
        };
        let act = self.act.lock().unwrap().take_if(|(nth, _)| *nth == number);
        if let Some((_, act)) = act {
            act.await;
        }
    }
}

/// The wire, without a wire: the simulator's clock follows the service's own.
struct InMemory {
    sim: Sim,
    clock: VirtualClock,
    latency: Duration,
    sent: Arc<Mutex<Vec<Instant>>>,
    steps: Steps,
}

impl Transport for InMemory {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>, Lost>> {
        async move {
            if request.method() == http::Method::POST && request.uri().path().ends_with("/v2/orders") {
                self.sent.lock().unwrap().push(Instant::now());
            }
            if request.method() == http::Method::DELETE {
                self.steps.cancels.lock().unwrap().push(Instant::now());
            }
            self.steps.step().await;
            let slow = self.steps.slow_account.lock().unwrap().clone();
            let more = slow.filter(|(account, _)| whose(&self.sim, &request).as_deref() == Some(account));
            let more = more.map_or(Duration::ZERO, |(_, latency)| latency) + *self.steps.slow.lock().unwrap();
            let latency = self.latency + more;
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            self.sim.set_clock(self.clock.now().timestamp());
            self.sim.call(request).await.map_err(|dropped| Lost::new(dropped.to_string()))
        }
        .boxed()
    }
}

/// The paper account that a request's token opens.
fn whose(sim: &Sim, request: &http::Request<Bytes>) -> Option<String> {
    let token = request.headers().get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
    sim.account_of_token(token, Environment::Paper).map(|account| account.to_string())
}

/// A whole service and its broker.
pub(crate) struct TestWorld {
    pub world: World,
    pub sim: Sim,
    pub clock: VirtualClock,
    /// When each order left, in real time.
    pub sent: Arc<Mutex<Vec<Instant>>>,
    /// What the test does at a step of the service.
    pub steps: Steps,
    /// The database's address, for what only a test does to it.
    pub url: String,
    wire: Arc<InMemory>,
    /// Held so that it lives as long as the service; it goes when dropped.
    _folder: TempDir,
}

/// Which database keeps the service's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keeper {
    Sqlite,
    PostgreSql,
}

/// Makes a test of each function, once on either database.
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::Keeper::Sqlite).await;
            })+
        }
        mod postgresql {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::Keeper::PostgreSql).await;
            })+
        }
    };
}
pub(crate) use on_both_databases;

/// What a test world begins with.
pub(crate) struct Setup<'a> {
    pub seed: u64,
    pub start: &'a str,
    pub strategies: &'a [(&'a str, &'a str)],
    pub policy: ServicePolicy,
    pub app_approved_at_broker: bool,
    pub price_step_seconds: u32,
    pub database: Keeper,
    pub switch: Switch,
    /// How long each request really takes, in real time.
    pub latency: Duration,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            seed: 1,
            start: "2019-06-03T13:00:00Z",
            strategies: &[],
            policy: policy(),
            app_approved_at_broker: false,
            price_step_seconds: 900,
            database: Keeper::Sqlite,
            switch: Switch::default(),
            latency: Duration::ZERO,
        }
    }
}

/// The default policy: paper only.
pub(crate) fn policy() -> ServicePolicy {
    // Live worlds trade as paper ones do; what the limits refuse is tested by itself.
    let limits = ServiceLimits {
        max_order_notional: None,
        max_order_equity: None,
        live_market_orders: true,
        ..ServiceLimits::default()
    };
    ServicePolicy { max_quote_age_seconds: 15, max_trading_runs_per_day: Some(3), limits, ..ServicePolicy::default() }
}

impl TestWorld {
    pub(crate) async fn new(setup: Setup<'_>) -> Self {
        let folder = scratch();
        let start = Moment::parse(setup.start).unwrap();
        let clock = VirtualClock::new(start);
        let sim = Sim::new(SimConfig {
            seed: setup.seed,
            start: start.timestamp(),
            speed: 0.0,
            price_step_seconds: setup.price_step_seconds,
            apps: vec![OAuthApp {
                client_id: "app".to_owned(),
                client_secret: "app-secret".to_owned(),
                redirect_uris: vec![REDIRECT.to_owned()],
                live_trading_approved: setup.app_approved_at_broker,
                developer_account_ids: Vec::new(),
                name: "test".to_owned(),
            }],
            data_keys: vec![ApiKey {
                key_id: "DATA".to_owned(),
                secret: "data-secret".to_owned(),
                requests_per_minute: 0,
            }],
            ..SimConfig::default()
        })
        .unwrap();
        for (name, text) in setup.strategies {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (catalog, faults) = strategies::load_dir(folder.path()).unwrap();
        assert!(faults.is_empty(), "{faults:?}");
        let entropy = Entropy::seeded(setup.seed);
        let key = folder.path().join("vault.key");
        Vault::create_key_file(&key, &entropy).unwrap();
        let metrics = Metrics::new();
        let (sent, steps) = (Arc::default(), Steps::default());
        let wire = Arc::new(InMemory {
            sim: sim.clone(),
            clock: clock.clone(),
            latency: setup.latency,
            sent: Arc::clone(&sent),
            steps: steps.clone(),
        });
        let shared = Clock::Virtual(clock.clone());
        let url = address(setup.database, folder.path());
        let consent_texts = flow::connect::consent_texts(catalog.iter(), "");
        let world = World {
            store: Store::open(&url).await.unwrap(),
            alpaca: client(hosts(), &wire, metrics.clone()),
            vault: Vault::open(&key).unwrap(),
            clock: shared,
            entropy,
            metrics,
            points: Points::default(),
            strategies: catalog,
            sessions: sessions::builtin().unwrap(),
            policy: ServicePolicy { consent_texts, ..setup.policy },
            consent_note: String::new(),
            switch: setup.switch,
            order_wait: Span::from_secs(300),
        };
        Self { world, sim, clock, sent, steps, url, wire, _folder: folder }
    }

    /// A configuration that takes the live host for the paper host, and the other way round.
    pub(crate) fn exchange_hosts(&mut self) {
        let right = hosts();
        let wrong = Hosts { live: right.paper.clone(), paper: right.live.clone(), ..right };
        self.world.alpaca = client(wrong, &self.wire, self.world.metrics.clone());
    }

    /// A client that remembers nothing, as that of a process that has just begun.
    pub(crate) fn forget_what_was_read(&mut self) {
        self.world.alpaca = client(hosts(), &self.wire, self.world.metrics.clone());
    }

    /// Opens an account at the broker and connects it through the OAuth flow; returns its id.
    pub(crate) async fn connect(&self, name: &str, strategy: &str, new: NewAccount) -> String {
        self.try_connect(name, strategy, new).await.unwrap()
    }

    pub(crate) async fn try_connect(
        &self,
        name: &str,
        strategy: &str,
        mut new: NewAccount,
    ) -> Result<String, flow::connect::Error> {
        self.sim.create_person(Some(name), name).unwrap();
        new.person = name.to_owned();
        let kind = if new.environment == Environment::Live { Kind::Live } else { Kind::Paper };
        let account = self.sim.create_account(new).unwrap().to_string();
        self.sim.set_consent(agreed(name));
        let (back, cookie) = self.at_the_broker(strategy, Some(kind), name).await?;
        flow::connect::finish(&self.world, callback(&back, cookie)).await?;
        Ok(account)
    }

    /// Begins a connection and goes through the broker's page, which answers as the simulator was told; returns where the
    /// browser is sent back to, and its cookie.
    pub(crate) async fn at_the_broker(
        &self,
        strategy: &str,
        environment: Option<Kind>,
        name: &str,
    ) -> Result<(url::Url, Secret), flow::connect::Error> {
        self.wishing(wish(strategy, environment, name)).await
    }

    /// The same for any wish.
    pub(crate) async fn wishing(&self, wish: Begin) -> Result<(url::Url, Secret), flow::connect::Error> {
        let started = flow::connect::begin(&self.world, wish).await?;
        let request = http::Request::get(started.location.as_str()).body(Bytes::new()).unwrap();
        self.sim.set_clock(self.clock.now().timestamp());
        let answer = self.sim.call(request).await.unwrap();
        Ok((answer.headers()["location"].to_str().unwrap().parse().unwrap(), started.cookie))
    }

    /// Moves time forward, rings the bell once, and carries every due run to its close, one after the other.
    pub(crate) async fn ring(&self, at: Moment) -> Vec<Outcome> {
        if at > self.clock.now() {
            self.clock.set(at);
        }
        flow::tick::tick(&self.world, self.clock.now()).await.unwrap();
        self.drain().await
    }

    /// Carries every claimable run to its close.
    pub(crate) async fn drain(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        loop {
            let now = self.clock.now();
            let claims = self.world.store.claim(64, now, now + Span::from_mins(10)).await.unwrap();
            if claims.is_empty() {
                return outcomes;
            }
            for claim in claims {
                outcomes.push(flow::rebalance::rebalance(&self.world, claim).await.unwrap());
            }
        }
    }

    /// What the broker's ledger and ours must agree on, whatever happened.
    pub(crate) async fn settle_accounts(&self) {
        let intents = self.world.store.intents(&rebalanced::edge::store::IntentFilter::all()).await.unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for record in self.sim.ledger().orders {
            let id = record.order.client_order_id.to_string();
            assert!(seen.insert(id.clone()), "S1: {id} was used twice");
            let intent = intents.iter().find(|intent| intent.client_order_id.as_str() == id);
            let intent = intent.unwrap_or_else(|| panic!("S2: order {id} has no recorded intent"));
            assert_eq!(intent.symbol.as_str(), record.order.symbol.as_ref(), "S3");
            assert_eq!(intent.account.as_str(), record.account.as_ref(), "S5");
            if intent.state.is_terminal() {
                assert_eq!(intent.filled_qty.decimal(), record.order.filled_qty, "S15: {id}");
            }
        }
        flow::verify::audit(&self.world.store, Vec::new()).await.expect("S13: the chain holds");
    }
}

/// This person agrees to everything.
pub(crate) fn agreed(name: &str) -> ConsentRule {
    ConsentRule { mode: ConsentMode::Auto, person: Some(name.to_owned()), ..ConsentRule::default() }
}

/// A connection to a strategy, begun without our own page.
pub(crate) fn wish(strategy: &str, environment: Option<Kind>, name: &str) -> Begin {
    Begin {
        strategy: Some(StrategyName::parse(strategy).unwrap()),
        environment,
        reference: Some(name.to_owned()),
        account: None,
        agreed: None,
    }
}

/// What the browser brings back.
pub(crate) fn callback(back: &url::Url, cookie: Secret) -> flow::connect::Callback {
    let part = |name: &str| back.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    flow::connect::Callback {
        code: part("code").map(Secret::new),
        state: part("state").map(Secret::new),
        error: part("error"),
        cookie: Some(cookie),
    }
}

/// A new account with this much cash on paper.
pub(crate) fn cash(amount: i64) -> NewAccount {
    let mut new = NewAccount::new("", Environment::Paper);
    new.cash = Decimal::from(amount);
    new
}

fn address(database: Keeper, folder: &std::path::Path) -> String {
    match database {
        Keeper::Sqlite => format!("sqlite:{}", folder.join("db.sqlite").display()),
        Keeper::PostgreSql => empty_postgres(),
    }
}

fn client(hosts: Hosts, wire: &Arc<InMemory>, metrics: Metrics) -> Client {
    let app = AppCredentials {
        client_id: "app".to_owned(),
        client_secret: Secret::new("app-secret".to_owned()),
        redirect_uri: REDIRECT.to_owned(),
        pkce: false,
    };
    let data = DataKey { id: "DATA".to_owned(), secret: Secret::new("data-secret".to_owned()) };
    let (clock, wire) = (Clock::Virtual(wire.clock.clone()), Arc::clone(wire));
    Client::new(hosts, app, Some(data), wire, clock, metrics, Points::default())
}

fn hosts() -> Hosts {
    let url = |path: &str| format!("{BASE}{path}").parse().unwrap();
    Hosts {
        live: url("/live"),
        paper: url("/paper"),
        data: url("/data"),
        authorize: url("/app/oauth/authorize"),
        token: url("/live/oauth/token"),
        streams: None,
    }
}

/// A scratch folder in memory where the system has one: a test of decisions need not wait for a disk.
fn scratch() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

/// The moment of a local time in New York.
pub(crate) fn new_york(text: &str) -> Moment {
    let local: jiff::civil::DateTime = text.parse().unwrap();
    let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
    Moment::from(local.to_zoned(zone).unwrap().timestamp())
}
