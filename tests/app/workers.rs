//! Workers: a panic ends one run and harms no other; what is left at a hard stop can be carried on.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rebalanced::app::workers::Workers;
use rebalanced::edge::World;
use rebalanced::edge::alpaca::transport::{Lost, Transport};
use rebalanced::edge::alpaca::{AppCredentials, Client, Hosts};
use rebalanced::edge::clock::{Clock, VirtualClock};
use rebalanced::edge::entropy::Entropy;
use rebalanced::edge::metrics::Metrics;
use rebalanced::edge::points::Points;
use rebalanced::edge::store::{Connection, RunFilter, Store};
use rebalanced::edge::switch::Switch;
use rebalanced::edge::vault::{Owner, Vault};
use rebalanced::edge::{sessions, strategies};
use rebalanced::flow::tick::tick;
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::{AccountId, GrantId, StrategyName, SubscriptionId, UserId};
use rebalanced::model::mandate::{HaltScope, ServicePolicy};
use rebalanced::model::run::Run;
use rebalanced::model::secret::Secret;
use rebalanced::model::time::{Moment, Span};

use crate::support::{SIXTY_FORTY, Scratch};

/// A broker whose answers to one user make the code fail, and who does not answer the others.
struct Trap;

impl Transport for Trap {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>, Lost>> {
        async move {
            let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            assert!(!bearer.unwrap_or_default().contains("trapped"), "a fault in the code");
            Err(Lost::new("nobody answers here"))
        }
        .boxed()
    }
}

async fn world(scratch: &Scratch, clock: &VirtualClock) -> World {
    let clock = Clock::Virtual(clock.clone());
    let metrics = Metrics::new();
    let url = |path: &str| format!("http://127.0.0.1:9{path}").parse().unwrap();
    let hosts = Hosts {
        live: url("/live"),
        paper: url("/paper"),
        data: url("/data"),
        authorize: url("/app"),
        token: url("/live/oauth/token"),
        streams: None,
    };
    let app = AppCredentials {
        client_id: "app".to_owned(),
        client_secret: Secret::new("app-secret".to_owned()),
        redirect_uri: "http://127.0.0.1:8080/oauth/callback".to_owned(),
        pkce: false,
    };
    scratch.write("strategies/sixty-forty.toml", SIXTY_FORTY);
    let database = format!("sqlite:{}", scratch.path().join("workers.sqlite").display());
    World {
        store: Store::open(&database).await.unwrap(),
        alpaca: Client::new(hosts, app, None, Arc::new(Trap), clock.clone(), metrics.clone(), Points::default()),
        vault: Vault::open(&scratch.path().join("vault.key")).unwrap(),
        clock,
        entropy: Entropy::seeded(1),
        metrics,
        points: Points::default(),
        strategies: strategies::load_dir(&scratch.path().join("strategies")).unwrap().0,
        sessions: sessions::builtin().unwrap(),
        policy: ServicePolicy { max_quote_age_seconds: 15, ..ServicePolicy::default() },
        consent_note: String::new(),
        switch: Switch::default(),
        order_wait: Span::from_secs(60),
    }
}

async fn connect(world: &World, name: &str) -> AccountId {
    let grant = GrantId::parse(&format!("gra_{name}")).unwrap();
    let token = Secret::new(format!("token-{name}"));
    let account = AccountId::parse(&format!("account-{name}")).unwrap();
    let user = UserId::parse(&format!("usr_{name}")).unwrap();
    let connection = Connection {
        sealed: world.vault.seal(Owner { grant: &grant, user: &user }, &token, &world.entropy).unwrap(),
        user,
        grant,
        reference: None,
        account: account.clone(),
        number: name.to_owned(),
        environment: Kind::Paper,
        scopes: vec!["trading".to_owned()],
        strategy: Some(StrategyName::parse("sixty-forty").unwrap()),
        subscription: SubscriptionId::parse(&format!("sub_{name}")).unwrap(),
        consent: None,
        at: world.clock.now(),
    };
    world.store.connect(&connection).await.unwrap();
    account
}

/// Two users at 15:45 in New York on a trading day, their runs due and nothing begun.
async fn at_the_slot(scratch: &Scratch) -> (Arc<World>, AccountId, AccountId) {
    let clock = VirtualClock::new(Moment::parse("2019-06-03T14:00:00Z").unwrap());
    let world = Arc::new(world(scratch, &clock).await);
    let trapped = connect(&world, "trapped").await;
    let other = connect(&world, "other").await;
    tick(&world, clock.now()).await.unwrap();
    clock.set(Moment::parse("2019-06-03T19:45:00Z").unwrap());
    assert_eq!(tick(&world, clock.now()).await.unwrap(), 2);
    (world, trapped, other)
}

async fn begin_all(world: &Arc<World>, workers: &mut Workers) -> usize {
    let now = world.clock.now();
    let claims = world.store.claim(workers.free(), now, now + Span::from_mins(1)).await.unwrap();
    let begun = claims.len();
    for claim in claims {
        workers.begin(claim);
    }
    begun
}

async fn run_of(world: &World, account: &AccountId) -> Run {
    let runs = world.store.runs(&RunFilter::all()).await.unwrap();
    runs.into_iter().find(|run| run.account == *account).unwrap()
}

#[tokio::test]
async fn row_20_a_panic_quarantines_one_run_and_harms_no_other() {
    let scratch = Scratch::new();
    let (world, trapped, other) = at_the_slot(&scratch).await;
    let mut workers = Workers::new(Arc::clone(&world), 8);
    assert_eq!(begin_all(&world, &mut workers).await, 2);
    while workers.busy() > 0 {
        let ended = workers.next().await;
        workers.learn(ended).await;
    }
    let outcome = run_of(&world, &trapped).await.outcome.expect("the failed run is closed");
    assert_eq!((outcome.kind.as_str(), outcome.reason.as_str()), ("quarantined", "internal_fault"));
    let outcome = run_of(&world, &other).await.outcome.expect("the other run went its way");
    assert_eq!((outcome.kind.as_str(), outcome.reason.as_str()), ("skipped", "broker_unreachable"));
    let halts = world.store.halts(true).await.unwrap();
    assert_eq!(halts.len(), 1);
    assert_eq!(halts[0].scope, HaltScope::Account(trapped));
    assert_eq!(begin_all(&world, &mut workers).await, 0, "nothing is taken up again");
}

#[tokio::test]
async fn no_more_runs_are_begun_than_there_are_places() {
    let scratch = Scratch::new();
    let (world, _, _) = at_the_slot(&scratch).await;
    let mut workers = Workers::new(Arc::clone(&world), 1);
    assert_eq!(begin_all(&world, &mut workers).await, 1);
    assert_eq!((workers.free(), workers.busy()), (0, 1));
}

#[tokio::test]
async fn runs_that_were_dropped_are_carried_on_after_a_restart() {
    let scratch = Scratch::new();
    let (world, _, _) = at_the_slot(&scratch).await;
    let mut workers = Workers::new(Arc::clone(&world), 8);
    begin_all(&world, &mut workers).await;
    assert_eq!(workers.abandon().await, 2);
    assert_eq!(begin_all(&world, &mut workers).await, 0, "they are still claimed");
    assert_eq!(rebalanced::flow::recover::recover(&world).await.unwrap(), 2);
    assert_eq!(begin_all(&world, &mut workers).await, 2);
}
