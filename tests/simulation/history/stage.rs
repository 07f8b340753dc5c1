//! What outlives a process of the daemon: the broker, the clock, the database's file, the people. And the process itself:
//! the real line, store, vault and client on a wire of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use alpaca_sim::{ApiKey, ConsentMode, ConsentRule, Environment, NewAccount, OAuthApp, Sim, SimConfig};
use bytes::Bytes;
use rebalanced::edge::World;
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
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::connect::{Begin, Callback};
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::{AccountId, StrategyName};
use rebalanced::model::limits::ServiceLimits;
use rebalanced::model::mandate::{ApprovalKind, Bound, ServicePolicy};
use rebalanced::model::secret::Secret;
use rebalanced::model::session::Sessions;
use rebalanced::model::time::{Moment, Span};
use tempfile::TempDir;

use super::notes::Shared;
use super::wire::FaultyWire;

/// Bands so narrow that it trades nearly every day.
const BUSY: &str = include_str!("busy.toml");

/// The strategies of a history: two that trade nearly every day, one of them by limit orders that are priced anew and go to
/// the market in the end, and two as users have them.
fn strategies() -> [(&'static str, String); 4] {
    let (market, limits) =
        ("type = \"market\"", "type = \"limit\"\nreprice_times = 1\non_unfilled = \"market\"\ncollar_percent = 0.05");
    assert!(BUSY.contains(market));
    [
        ("busy.toml", BUSY.to_owned()),
        ("patient.toml", BUSY.replace("\"busy\"", "\"patient\"").replace(market, limits)),
        ("sixty-forty.toml", include_str!("../../../strategies/sixty-forty.toml").to_owned()),
        ("three-fund.toml", include_str!("../../../strategies/three-fund.toml").to_owned()),
    ]
}

const REDIRECT: &str = "http://127.0.0.1:8080/oauth/callback";

/// One user with one account.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub person: String,
    pub account: String,
    pub live: bool,
    pub strategy: &'static str,
}

/// What outlives a process.
pub(crate) struct Stage {
    pub seed: u64,
    /// When it began.
    pub begun: Moment,
    pub sim: Sim,
    pub clock: VirtualClock,
    pub notes: Shared,
    pub sessions: Arc<Sessions>,
    members: Mutex<Vec<Member>>,
    processes: AtomicU64,
    folder: TempDir,
}

impl Stage {
    /// An empty stage at this moment.
    pub(crate) fn new(seed: u64, start: Moment, notes: Shared) -> Arc<Self> {
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() };
        for (name, text) in strategies() {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Vault::create_key_file(&folder.path().join("vault.key"), &Entropy::seeded(seed)).unwrap();
        let partial_fill_percent = notes.lock().character.partial_fills;
        let sim = Sim::new(SimConfig {
            seed,
            start: start.timestamp(),
            speed: 0.0,
            price_step_seconds: 900,
            partial_fill_percent,
            ledger_rows: 1_000,
            apps: vec![OAuthApp {
                client_id: "app".to_owned(),
                client_secret: "app-secret".to_owned(),
                redirect_uris: vec![REDIRECT.to_owned()],
                live_trading_approved: true,
                developer_account_ids: Vec::new(),
                name: "history".to_owned(),
            }],
            data_keys: vec![ApiKey {
                key_id: "DATA".to_owned(),
                secret: "data-secret".to_owned(),
                requests_per_minute: 0,
            }],
            ..SimConfig::default()
        })
        .unwrap();
        Arc::new(Self {
            seed,
            begun: start,
            sim,
            clock: VirtualClock::new(start),
            notes,
            sessions: Arc::new(sessions::builtin().unwrap()),
            members: Mutex::default(),
            processes: AtomicU64::new(0),
            folder,
        })
    }

    /// Everybody who ever joined.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All accounts.
    pub(crate) fn accounts(&self) -> Vec<String> {
        self.members().into_iter().map(|member| member.account).collect()
    }

    /// Who owns an account.
    pub(crate) fn person_of(&self, account: &str) -> Option<String> {
        self.members().into_iter().find(|member| member.account == account).map(|member| member.person)
    }

    /// Whether an account is live.
    pub(crate) fn is_live(&self, account: &str) -> bool {
        self.members().into_iter().any(|member| member.account == account && member.live)
    }

    /// Whether an approval is one of those that this account's live orders need.
    pub(crate) fn concerns(&self, approval: &ApprovalKind, account: &str) -> bool {
        let Some(member) = self.members().into_iter().find(|member| member.account == account && member.live) else {
            return false;
        };
        match approval {
            ApprovalKind::Consent { account: whose, .. } | ApprovalKind::Subscription { account: whose, .. } => {
                whose.as_str() == account
            }
            ApprovalKind::Strategy { name, .. } => name.as_str() == member.strategy,
            ApprovalKind::Limits { .. } => false,
        }
    }

    /// Lets the broker's time follow ours.
    pub(crate) fn sync(&self) {
        self.sim.set_clock(self.clock.now().timestamp());
    }

    /// Opens an account at the broker and connects it; a live one gets every approval.
    pub(crate) async fn join(
        &self,
        process: &Process,
        number: usize,
        (live, strategy): (bool, &'static str),
        new: NewAccount,
    ) {
        let person = format!("person-{number:02}");
        self.sim.create_person(Some(&person), &person).unwrap();
        let environment = if live { Environment::Live } else { Environment::Paper };
        let account = self.sim.create_account(NewAccount { person: person.clone(), environment, ..new }).unwrap();
        let member = Member { person, account: account.to_string(), live, strategy };
        self.members.lock().unwrap_or_else(PoisonError::into_inner).push(member.clone());
        self.connect(process, &member).await;
    }

    /// Connects an account, or connects it again.
    pub(crate) async fn connect(&self, process: &Process, member: &Member) {
        self.sim.set_consent(ConsentRule {
            mode: ConsentMode::Auto,
            person: Some(member.person.clone()),
            ..ConsentRule::default()
        });
        let kind = if member.live { Kind::Live } else { Kind::Paper };
        let wish = Begin {
            strategy: Some(StrategyName::parse(member.strategy).unwrap()),
            environment: Some(kind),
            reference: Some(member.person.clone()),
            account: None,
            agreed: None,
        };
        let started = flow::connect::begin(&process.world, wish).await.unwrap();
        self.sync();
        let request = http::Request::get(started.location.as_str()).body(Bytes::new()).unwrap();
        let answer = self.sim.call(request).await.unwrap();
        let back: url::Url = answer.headers()["location"].to_str().unwrap().parse().unwrap();
        let part = |name: &str| back.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let callback = Callback {
            code: part("code").map(Secret::new),
            state: part("state").map(Secret::new),
            error: part("error"),
            cookie: Some(started.cookie),
        };
        flow::connect::finish(&process.world, callback).await.unwrap();
        if member.live {
            self.approve(process, member).await;
        }
    }

    /// Gives a live account every approval that it needs.
    pub(crate) async fn approve(&self, process: &Process, member: &Member) {
        let world = &process.world;
        let desk = Desk { store: &world.store, clock: &world.clock, entropy: &world.entropy };
        let name = StrategyName::parse(member.strategy).unwrap();
        let account = AccountId::parse(&member.account).unwrap();
        let version = world.strategies.get(&name).unwrap().version().clone();
        let text_hash = world.policy.consent_texts[&name].clone();
        for kind in [
            ApprovalKind::Consent { account: account.clone(), text_hash },
            ApprovalKind::Strategy { name: name.clone(), version },
            ApprovalKind::Subscription { account, name, bound: Bound::default() },
        ] {
            approve::grant(&desk, kind, ("ada", "drawn"), None).await.unwrap();
        }
    }

    pub(super) fn url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("db.sqlite").display())
    }
}

/// One process of the daemon.
pub(crate) struct Process {
    pub world: World,
}

impl Process {
    /// Opens everything as a start does. What watches its points may be nobody.
    pub(crate) async fn open(stage: &Arc<Stage>, points: Option<Points>, second: bool) -> Self {
        let number = stage.processes.fetch_add(1, Ordering::SeqCst);
        let points = points.unwrap_or_default();
        let (catalog, faults) = strategies::load_dir(stage.folder.path()).unwrap();
        assert!(faults.is_empty(), "{faults:?}");
        let store = Store::open(&stage.url()).await.unwrap().with_points(points.clone());
        let wire = Arc::new(FaultyWire {
            sim: stage.sim.clone(),
            clock: stage.clock.clone(),
            notes: stage.notes.clone(),
            store: store.clone(),
            sessions: Arc::clone(&stage.sessions),
            second,
        });
        let metrics = Metrics::new();
        let clock = Clock::Virtual(stage.clock.clone());
        let app = AppCredentials {
            client_id: "app".to_owned(),
            client_secret: Secret::new("app-secret".to_owned()),
            redirect_uri: REDIRECT.to_owned(),
            pkce: false,
        };
        let data = DataKey { id: "DATA".to_owned(), secret: Secret::new("data-secret".to_owned()) };
        let consent_texts = flow::connect::consent_texts(catalog.iter(), "");
        let world = World {
            store,
            alpaca: Client::new(hosts(), app, Some(data), wire, clock.clone(), metrics.clone(), points.clone()),
            vault: Vault::open(&stage.folder.path().join("vault.key")).unwrap(),
            clock,
            entropy: Entropy::seeded(stage.seed.wrapping_mul(1_000).wrapping_add(number)),
            metrics,
            points,
            strategies: catalog,
            sessions: (*stage.sessions).clone(),
            policy: ServicePolicy { consent_texts, ..policy() },
            consent_note: String::new(),
            switch: Switch::default(),
            order_wait: Span::from_secs(300),
        };
        Self { world }
    }
}

fn policy() -> ServicePolicy {
    let limits = ServiceLimits {
        max_order_notional: None,
        max_order_equity: None,
        live_market_orders: true,
        ..ServiceLimits::default()
    };
    ServicePolicy {
        live_trading: true,
        app_approved: true,
        max_quote_age_seconds: 15,
        max_trading_runs_per_day: Some(3),
        limits,
        ..ServicePolicy::default()
    }
}

fn hosts() -> Hosts {
    let url = |path: &str| format!("http://127.0.0.1:9{path}").parse().unwrap();
    Hosts {
        live: url("/live"),
        paper: url("/paper"),
        data: url("/data"),
        authorize: url("/app/oauth/authorize"),
        token: url("/live/oauth/token"),
        streams: None,
    }
}
