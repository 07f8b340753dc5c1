//! Row 75: a token that the broker refuses from one call on, at every call of a run and in every shape that a refusal has.
//!
//! Always: the grant waits for its user, the run ends and says why, the token is asked with once more and then never, and
//! another user's run completes.

use std::collections::{BTreeMap, BTreeSet};

use alpaca_sim::exchange::asset::AssetPatch;
use alpaca_sim::{FaultAction, FaultRule};
use rebalanced::edge::store::{IntentFilter, RunFilter};
use rebalanced::flow;
use rebalanced::model::intent::IntentState;
use rebalanced::model::time::Span;
use serde_json::json;

use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

const SLOT: &str = "2019-06-03T10:45:00";

/// What the first user follows on a day whose orders are filled, ...
const MARKET: &str = r#"
name = "mine"
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
"#;

/// ... and what the other one follows, in other symbols: what is remembered of a symbol serves both.
const OTHER: &str = r#"
name = "other"
[schedule]
cron = "0 45 10 * * Mon-Fri"
[[weights]]
symbol = "KO"
percent = 95
[cash]
percent = 5
"#;

/// The days that together make a run ask everything it ever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    /// Everything is filled.
    Good,
    /// The answer to the first order is lost, so that it is asked for by its own id.
    Lost,
    /// Nothing is filled, so that the orders are cancelled.
    Open,
}

#[derive(Debug, Clone, Copy)]
enum Shape {
    Json401,
    Bare403,
    Html401,
}

impl Shape {
    /// The token is refused so from this account's `nth` call on.
    fn starting_at(self, account: &str, nth: u64) -> FaultRule {
        let (action, status, body) = match self {
            Self::Json401 => (FaultAction::StatusBefore, 401, Some(json!({"message": "unauthorized."}))),
            Self::Bare403 => (FaultAction::StatusBefore, 403, Some(json!({"message": "forbidden."}))),
            Self::Html401 => (FaultAction::Html, 401, None),
        };
        let mut rule = FaultRule::new(action).account(account).at_request(nth).times(0).status(status);
        rule.body = body;
        rule
    }
}

/// Two users on such a day, at the moment of their slot.
async fn morning(on: Keeper, day: Day) -> (TestWorld, [String; 2]) {
    let mine = if day == Day::Open { format!("{MARKET}[orders]\ntype = \"limit\"\n") } else { MARKET.to_owned() };
    let files = [("mine.toml", mine.as_str()), ("other.toml", OTHER)];
    let mut service = TestWorld::new(Setup { strategies: &files, database: on, ..Setup::default() }).await;
    service.world.order_wait = Span::from_secs(60);
    let first = service.connect("first", "mine", cash(20_000)).await;
    let second = service.connect("second", "other", cash(20_000)).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    if day == Day::Open {
        for symbol in ["SPY", "AGG"] {
            let stopped = AssetPatch { halted: Some(true), ..AssetPatch::default() };
            service.sim.with_exchange(|exchange, now| exchange.change_asset(now, symbol, stopped)).unwrap();
        }
    }
    (service, [first, second])
}

/// Both runs, the first user's first; what the first user's were asked for, in order.
async fn slot(service: &TestWorld, day: Day, first: &str) -> Vec<&'static str> {
    if day == Day::Lost {
        service
            .sim
            .add_fault(FaultRule::new(FaultAction::DropAfter).path("/paper/v2/orders").method("POST").account(first));
    }
    let before = service.sim.ledger().requests_total;
    let slot = new_york(SLOT);
    service.clock.set(slot);
    flow::tick::tick(&service.world, slot).await.unwrap();
    let mut claims = service.world.store.claim(10, slot, slot + Span::from_mins(30)).await.unwrap();
    claims.sort_by_key(|claim| claim.run().account.as_str() != first);
    assert_eq!(claims.len(), 2);
    for claim in claims {
        flow::rebalance::rebalance(&service.world, claim).await.unwrap();
    }
    let requests = service.sim.ledger().requests;
    let mine = requests.iter().filter(|request| request.n > before && request.account.as_deref() == Some(first));
    mine.map(|request| endpoint(request.method.as_str(), &request.path)).collect()
}

fn endpoint(method: &str, path: &str) -> &'static str {
    let path = path.strip_prefix("/paper/v2/").unwrap();
    match (method, path) {
        ("POST", "orders") => "submit",
        ("DELETE", _) if path.starts_with("orders/") => "cancel",
        ("GET", "account") => "account",
        ("GET", "positions") => "positions",
        ("GET", _) if path.starts_with("orders:by_client_order_id") => "order by client id",
        ("GET", _) if path.starts_with("orders?status=open") => "open orders",
        ("GET", _) if path.starts_with("orders?status=all") => "orders list",
        ("GET", _) if path.starts_with("assets/") => "asset",
        ("GET", _) if path.starts_with("calendar") => "calendar",
        ("GET", _) if path.starts_with("account/activities") => "activities",
        _ => panic!("{method} {path} is in no list"),
    }
}

/// One case; how often the refused token was asked with.
async fn refused_from(on: Keeper, day: Day, (nth, asked): (u64, &str), shape: Shape) -> (usize, Vec<String>) {
    let (service, [first, second]) = morning(on, day).await;
    service.sim.add_fault(shape.starting_at(&first, nth));
    slot(&service, day, &first).await;
    let case = format!("{day:?}, {shape:?}, refused from call {nth} on ({asked})");
    let accounts = service.world.store.accounts().await.unwrap();
    let health = |id: &str| accounts.iter().find(|account| account.id.as_str() == id).unwrap().health.code();
    let runs = service.world.store.runs(&RunFilter::all()).await.unwrap();
    let end = |id: &str| runs.iter().find(|run| run.account.as_str() == id).unwrap().outcome.clone();
    let intents = service.world.store.intents(&IntentFilter::all()).await.unwrap();
    let is_done = intents
        .iter()
        .filter(|intent| intent.account.as_str() == first)
        .all(|intent| matches!(intent.state, IntentState::Filled | IntentState::Ended));
    let mine = end(&first).unwrap_or_else(|| panic!("L1: {case}: the run has no end"));
    // Who was refused after the last order had ended has a run that is done; everybody else's says it.
    let says = mine.reason == "token_dead" || mine.detail.contains("the token");
    let mut wrong = Vec::new();
    if !says && (!is_done || intents.is_empty()) {
        wrong.push(format!("{case}: the run does not say it: {mine:?}"));
    }
    if (health(&first), health(&second)) != ("reauth", "active") {
        wrong.push(format!("{case}: {}, the other {}: {mine:?}", health(&first), health(&second)));
    }
    let other = end(&second).unwrap();
    assert_eq!(other.kind, "completed", "{case}: {other:?}");
    // What became of an order that cannot be followed is not in our books; that it is there once is.
    let orders = service.sim.ledger().orders;
    let ids: BTreeSet<String> = orders.iter().map(|record| record.order.client_order_id.to_string()).collect();
    assert_eq!(ids.len(), orders.len(), "S1: {case}");
    assert!(ids.iter().all(|id| intents.iter().any(|intent| intent.client_order_id.as_str() == id)), "S2: {case}");
    let requests = service.sim.ledger().requests;
    let refused = |status: u16| matches!(status, 401 | 403);
    let with_it =
        requests.iter().filter(|request| request.account.as_deref() == Some(&first) && refused(request.status));
    (with_it.count(), wrong)
}

async fn row_75_refused_at_any_call_in_any_shape_the_grant_waits_and_nobody_else_notices(on: Keeper) {
    let stride = if matches!(on, Keeper::Sqlite) { 1 } else { 7 };
    let mut tried: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut most, mut wrong) = (BTreeMap::new(), Vec::new());
    for day in [Day::Good, Day::Lost, Day::Open] {
        let (undisturbed, [first, _]) = morning(on, day).await;
        let asked = slot(&undisturbed, day, &first).await;
        for (place, endpoint) in asked.iter().enumerate() {
            for (turn, shape) in [Shape::Json401, Shape::Bare403, Shape::Html401].into_iter().enumerate() {
                if (place + turn) % stride != 0 {
                    continue;
                }
                let nth = u64::try_from(place).unwrap() + 1;
                let (refused, faults) = Box::pin(refused_from(on, day, (nth, endpoint), shape)).await;
                wrong.extend(faults);
                *tried.entry(endpoint).or_default() += 1;
                let most = most.entry(*endpoint).or_insert(0);
                *most = refused.max(*most);
            }
        }
    }
    let combinations: usize = tried.values().sum();
    println!(
        "{combinations} refusals ({} endpoints, 3 shapes, 3 days) on {on:?}; asked with the dead token: {most:?}",
        tried.len()
    );
    if stride == 1 {
        let all = ["account", "activities", "asset", "calendar", "cancel", "open orders", "order by client id"];
        let all: BTreeSet<&str> = all.into_iter().chain(["orders list", "positions", "submit"]).collect();
        assert_eq!(tried.keys().copied().collect::<BTreeSet<_>>(), all, "every endpoint that a run uses");
    }
    assert!(wrong.is_empty(), "{} of {combinations}:\n{}", wrong.len(), wrong.join("\n"));
    for (endpoint, refused) in most {
        // The call that was refused and the one that confirms it; three reads of one look leave together.
        let together = if matches!(endpoint, "account" | "positions" | "open orders") { 3 } else { 1 };
        assert!(refused <= together + 1, "L8: {endpoint}: {refused} calls with a dead token");
    }
}

on_both_databases!(row_75_refused_at_any_call_in_any_shape_the_grant_waits_and_nobody_else_notices,);
