//! Orders that are open when a halt asks for their end or a user leaves: each is cancelled or named, and nothing is sent
//! after it. Accounts that the broker closes to trading are parked, and go on by themselves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alpaca_sim::exchange::asset::AssetPatch;
use alpaca_sim::{FaultAction, FaultRule};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rebalanced::edge::points::{self, Point, Points, Watcher};
use rebalanced::edge::store::IntentFilter;
use rebalanced::flow;
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::cancel::{Fate, cancel_open};
use rebalanced::flow::tokens;
use rebalanced::model::event::Actor;
use rebalanced::model::ids::{AccountId, Symbol};
use rebalanced::model::mandate::HaltScope;
use rebalanced::model::plan::Phase;
use rebalanced::model::time::Span;
use rebalanced::model::verdict::{EndReason, OutcomeKind};

use sqlx::Connection;
use tokio::sync::watch;

use crate::halfway::dies_at;
use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

/// Limit orders far from being filled: the market is made to stand still above them by the test.
const LIMITS: &str = r#"
name = "limits"
[schedule]
cron = "0 45 10 * * Mon-Fri"
[[weights]]
symbol = "SPY"
percent = 60
[[weights]]
symbol = "AGG"
percent = 35
[cash]
percent = 5
[orders]
type = "limit"
min_notional = 10
"#;
const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");
pub(crate) const SLOT: &str = "2019-06-03T10:45:00";

fn by() -> Actor {
    Actor::operator("ada")
}

fn desk(service: &TestWorld) -> Desk<'_> {
    Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy }
}

/// Each request really takes this long, so that the test can step in: the service's own time runs as fast as it can.
pub(crate) const LATENCY: Duration = Duration::from_millis(5);

/// How long it may really take until the orders are at the broker, on the slowest of machines.
const PATIENCE: Duration = Duration::from_mins(3);

async fn service(on: Keeper, users: usize) -> (TestWorld, Vec<AccountId>) {
    let files = [("limits.toml", LIMITS), ("sixty-forty.toml", SIXTY_FORTY)];
    let mut service =
        TestWorld::new(Setup { strategies: &files, database: on, latency: LATENCY, ..Setup::default() }).await;
    service.world.order_wait = Span::from_hours(4);
    let mut accounts = Vec::new();
    for user in 0..users {
        let account = service.connect(&format!("user-{user}"), "limits", cash(20_000)).await;
        accounts.push(AccountId::parse(&account).unwrap());
    }
    service.ring(new_york("2019-06-03T10:00:00")).await;
    // No order fills: the exchange has stopped trading both symbols.
    for symbol in ["SPY", "AGG"] {
        let stopped = AssetPatch { halted: Some(true), ..AssetPatch::default() };
        service.sim.with_exchange(|exchange, now| exchange.change_asset(now, symbol, stopped)).unwrap();
    }
    (service, accounts)
}

/// Holds every run at the point where all orders of its second half have been sent, and counts them.
#[derive(Default)]
struct HoldWhenSent {
    held: watch::Sender<usize>,
}

impl Watcher for HoldWhenSent {
    fn crossed(&self, point: Point) -> BoxFuture<'static, ()> {
        if point == points::SENT.of(Phase::Buy) {
            self.held.send_modify(|held| *held += 1);
            return futures_util::future::pending().boxed();
        }
        futures_util::future::ready(()).boxed()
    }
}

/// Runs every due run until its orders are at the broker, and there it dies. No run waits for its orders before all have been
/// sent: who waits moves the clock, under the feet of those who send.
pub(crate) async fn with_open_orders(service: &mut TestWorld, orders: usize) {
    let slot = new_york(SLOT);
    service.clock.set(slot);
    flow::tick::tick(&service.world, slot).await.unwrap();
    let claims = service.world.store.claim(1000, slot, slot + Span::from_mins(10)).await.unwrap();
    let hold = Arc::new(HoldWhenSent::default());
    service.world.points = Points::watched(hold.clone());
    let mut seen = hold.held.subscribe();
    let expected = claims.len();
    let runs = futures_util::future::join_all(
        claims.into_iter().map(|claim| flow::rebalance::rebalance(&service.world, claim)),
    );
    tokio::select! {
        outcomes = runs => panic!("they were to wait for their orders: {outcomes:?}"),
        all = seen.wait_for(|held| *held == expected) => drop(all.unwrap()),
        () = tokio::time::sleep(PATIENCE) => panic!("{} of {expected} runs have sent their orders", *hold.held.borrow()),
    }
    service.world.points = Points::default();
    assert_eq!(service.sim.ledger().orders.len(), orders);
    assert!(service.world.store.unsettled().await.unwrap().iter().all(|intent| intent.order.is_some()));
}

async fn row_82_a_halt_cancels_open_orders_if_asked_and_names_each(on: Keeper) {
    let users = if matches!(on, Keeper::Sqlite) { 50 } else { 10 };
    let (mut service, accounts) = service(on, users).await;
    with_open_orders(&mut service, 2 * users).await;
    let scope = HaltScope::Symbol(Symbol::parse("SPY").unwrap());
    approve::halt(&desk(&service), scope.clone(), ("ada", "drill")).await.unwrap();
    let some = cancel_open(&service.world, &scope, &by()).await.unwrap();
    assert_eq!(some.len(), users, "only those inside the scope");
    assert!(some.iter().all(|order| order.fate == Fate::Cancelled), "{some:?}");
    approve::halt(&desk(&service), HaltScope::Service, ("ada", "drill")).await.unwrap();
    let begun = Instant::now();
    let all = cancel_open(&service.world, &HaltScope::Service, &by()).await.unwrap();
    let took = begun.elapsed();
    assert!(all.len() >= users && all.iter().all(|order| order.fate == Fate::Cancelled), "{all:?}");
    assert!(service.sim.ledger().orders.iter().all(|record| record.order.status.as_str() == "canceled"));
    println!(
        "{} orders of {} accounts cancelled and confirmed in {} ms, at {} ms a request",
        all.len(),
        accounts.len(),
        took.as_millis(),
        LATENCY.as_millis()
    );
    assert!(took <= Duration::from_secs(5), "row 82: cancels are out within five seconds");
    let events = service.world.store.events(0, 100_000).await.unwrap();
    let named = events.iter().filter(|event| event.kind == "order.cancelled").count();
    assert_eq!(named, some.len() + all.len(), "each is recorded");
}

async fn a_cancellation_that_the_broker_does_not_confirm_is_never_called_one(on: Keeper) {
    let (mut service, accounts) = service(on, 2).await;
    with_open_orders(&mut service, 4).await;
    let deaf = FaultRule::new(FaultAction::DropBefore).path("/paper/v2/orders/*").account(accounts[0].as_str());
    service.sim.add_fault(deaf.times(0));
    let silent = FaultRule::new(FaultAction::DropBefore)
        .path("/paper/v2/orders:by_client_order_id")
        .account(accounts[0].as_str());
    service.sim.add_fault(silent.times(0));
    let orders = cancel_open(&service.world, &HaltScope::Service, &by()).await.unwrap();
    for order in &orders {
        let expected = if order.intent.account == accounts[0] { Fate::Unknown } else { Fate::Cancelled };
        assert_eq!(order.fate, expected, "{order:?}");
    }
}

async fn row_84_who_leaves_takes_their_open_orders_along_and_nothing_is_sent_after(on: Keeper) {
    let (mut service, accounts) = service(on, 2).await;
    with_open_orders(&mut service, 4).await;
    let orders = tokens::leave(&service.world, &desk(&service), &accounts[0], &by()).await.unwrap();
    assert_eq!(orders.len(), 2);
    assert!(orders.iter().all(|order| order.fate == Fate::Cancelled), "{orders:?}");
    assert!(service.world.store.sealed_token(&accounts[0]).await.unwrap().is_none(), "the token is destroyed");
    assert!(service.world.store.sealed_token(&accounts[1]).await.unwrap().is_some(), "the other's is not");
    // The next worker finds the run, and can do nothing for who has left; the other user's goes on.
    let later = service.clock.now() + Span::from_mins(11);
    service.clock.set(later);
    let before = service.sim.ledger().orders.len();
    for claim in service.world.store.claim(10, later, later + Span::from_mins(10)).await.unwrap() {
        flow::rebalance::rebalance(&service.world, claim).await.unwrap();
    }
    assert_eq!(service.sim.ledger().orders.len(), before, "0 sends after");
    service.settle_accounts().await;
}

async fn row_4_an_order_that_may_be_on_its_way_is_waited_for_and_cancelled_when_it_lands(on: Keeper) {
    for (lands_after, fate) in [(60, Fate::Cancelled), (110, Fate::Cancelled), (7_200, Fate::Absent)] {
        let (mut service, accounts) = service(on, 1).await;
        let mut late = FaultRule::new(FaultAction::LandLater).path("/paper/v2/orders").method("POST");
        late.delay_seconds = Some(lands_after);
        service.sim.add_fault(late.account(accounts[0].as_str()));
        // Its request is lost, and the process dies before it knows what became of it.
        dies_at(&mut service, points::REPLIED.of(Phase::Buy), new_york(SLOT)).await;
        approve::halt(&desk(&service), HaltScope::Service, ("ada", "drill")).await.unwrap();
        let begun = service.clock.now();
        let orders = cancel_open(&service.world, &HaltScope::Service, &by()).await.unwrap();
        let took = service.clock.now().since(begun).as_secs();
        // The second order was recorded and never sent.
        let fates: Vec<Fate> = orders.iter().map(|order| order.fate).collect();
        assert_eq!(fates, [fate, Fate::Absent], "it lands after {lands_after} s: {orders:?}");
        assert!(took >= 120, "it was asked for through the quiet period: {took} s");
        let ends: Vec<_> = service.sim.ledger().orders.iter().map(|record| record.order.status.as_str()).collect();
        assert!(ends.iter().all(|end| *end == "canceled"), "{ends:?}");
        assert_eq!(ends.len(), usize::from(fate == Fate::Cancelled));
    }
}

async fn a_first_cancellation_that_is_lost_is_repeated(on: Keeper) {
    let (mut service, accounts) = service(on, 1).await;
    service.world.order_wait = Span::from_mins(5);
    // The deadline comes, and the broker loses the first cancellations of both orders.
    let lost = FaultRule::new(FaultAction::DropBefore).path("/paper/v2/orders/*").method("DELETE");
    service.sim.add_fault(lost.account(accounts[0].as_str()).times(3));
    let subscription = service.world.store.subscriptions(true).await.unwrap()[0].id.clone();
    let now = service.clock.now();
    service.world.store.trigger(&subscription, now, &by()).await.unwrap();
    let outcomes = service.drain().await;
    assert_eq!((outcomes[0].kind, outcomes[0].reason), (OutcomeKind::Partial, EndReason::OrdersUnfilled.code()));
    let intents = service.world.store.intents(&IntentFilter::all()).await.unwrap();
    assert!(intents.iter().all(|intent| intent.state.is_terminal()), "{intents:?}");
    assert!(service.world.store.halts(true).await.unwrap().is_empty(), "nobody is quarantined for it");
    service.settle_accounts().await;
}

async fn a_worker_whose_database_is_gone_cancels_its_own_orders_from_memory(on: Keeper) {
    let (service, _) = service(on, 1).await;
    let slot = new_york(SLOT);
    service.clock.set(slot);
    flow::tick::tick(&service.world, slot).await.unwrap();
    let claim = service.world.store.claim(1, slot, slot + Span::from_mins(10)).await.unwrap().remove(0);
    let url = service.url.clone();
    let gone = async {
        while service.sim.ledger().orders.len() < 2 {
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        while service.world.store.unsettled().await.unwrap().iter().any(|intent| intent.order.is_none()) {
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        let mut link = sqlx::AnyConnection::connect(&url).await.unwrap();
        // The simulated time goes on while the server is about it.
        let since = service.clock.now();
        sqlx::query("ALTER TABLE runs RENAME TO runs_out_of_reach").execute(&mut link).await.unwrap();
        since
    };
    let (ended, since) = tokio::join!(flow::rebalance::rebalance(&service.world, claim), gone);
    assert!(ended.is_err(), "the run is let go: {ended:?}");
    let took = service.clock.now().since(since).as_secs();
    assert!((30..300).contains(&took), "after half a minute of silence: {took} s");
    // The broker takes a moment for it.
    service.sim.set_clock((service.clock.now() + Span::from_secs(5)).timestamp());
    let orders = service.sim.ledger().orders;
    let ends: Vec<&str> = orders.iter().map(|record| record.order.status.as_str()).collect();
    assert_eq!(ends, ["canceled", "canceled"], "nothing of ours is left open");
}

async fn an_account_that_the_broker_blocks_is_parked_and_goes_on_by_itself(on: Keeper) {
    let files = [("sixty-forty.toml", SIXTY_FORTY)];
    let service = TestWorld::new(Setup { strategies: &files, database: on, ..Setup::default() }).await;
    let account = service.connect("ada", "sixty-forty", cash(20_000)).await;
    let other = service.connect("bob", "sixty-forty", cash(20_000)).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    let blocks = [
        ("/status", serde_json::json!("ACCOUNT_CLOSED")),
        ("/status", serde_json::json!("ACTION_REQUIRED")),
        ("/trading_blocked", serde_json::json!(true)),
        ("/account_blocked", serde_json::json!(true)),
        ("/trade_suspended_by_user", serde_json::json!(true)),
    ];
    let days = ["2019-06-03", "2019-06-04", "2019-06-05", "2019-06-06", "2019-06-07"];
    for (day, (field, value)) in days.iter().zip(&blocks) {
        let mut rule = FaultRule::new(FaultAction::Mutate).path("/paper/v2/account").account(&account).times(0);
        rule.set.insert((*field).to_owned(), value.clone());
        service.sim.add_fault(rule);
        let outcomes = service.ring(new_york(&format!("{day}T15:45:00"))).await;
        let parked = outcomes.iter().filter(|outcome| outcome.reason == "account_blocked").count();
        assert_eq!(parked, 1, "{field} {value}: {outcomes:?}");
        service.sim.clear_faults();
    }
    assert!(service.sim.ledger().orders.iter().all(|record| record.account.as_ref() == other));
    assert!(service.world.store.halts(true).await.unwrap().is_empty(), "nobody needs to resume it");
    let outcomes = service.ring(new_york("2019-06-10T15:45:00")).await;
    assert!(outcomes.iter().any(|outcome| outcome.kind == OutcomeKind::Completed && outcome.reason == "new_cash"));
    service.settle_accounts().await;
}

on_both_databases!(
    row_82_a_halt_cancels_open_orders_if_asked_and_names_each,
    a_cancellation_that_the_broker_does_not_confirm_is_never_called_one,
    row_84_who_leaves_takes_their_open_orders_along_and_nothing_is_sent_after,
    row_4_an_order_that_may_be_on_its_way_is_waited_for_and_cancelled_when_it_lands,
    a_first_cancellation_that_is_lost_is_repeated,
    a_worker_whose_database_is_gone_cancels_its_own_orders_from_memory,
    an_account_that_the_broker_blocks_is_parked_and_goes_on_by_itself,
);
