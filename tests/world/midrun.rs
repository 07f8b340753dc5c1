//! Row 84: what a run follows is ended or edited while it is under way. The run ends with a reason, and nothing is sent twice.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use rebalanced::edge::points::{self, Point};
use rebalanced::edge::store::RunFilter;
use rebalanced::edge::strategies;
use rebalanced::model::event::Actor;
use rebalanced::model::plan::Phase;

use crate::halfway::{dies_at, starts_again};
use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

/// Trades at every due moment, for it has no bands.
fn strategy(spy: u32, agg: u32) -> String {
    let weight = |symbol: &str, percent: u32| format!("[[weights]]\nsymbol = \"{symbol}\"\npercent = {percent}\n");
    let schedule = "name = \"mine\"\n[schedule]\ncron = \"0 45 10 * * Mon-Fri\"\n";
    format!("{schedule}{}{}[cash]\npercent = 5\n", weight("SPY", spy), weight("AGG", agg))
}

/// One user, whose money is invested on the first day; the second day's strategy wants sells, then buys.
async fn second_day(on: Keeper) -> TestWorld {
    let text = strategy(60, 35);
    let mut service =
        TestWorld::new(Setup { strategies: &[("mine.toml", &text)], database: on, ..Setup::default() }).await;
    service.connect("ada", "mine", cash(20_000)).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    service.ring(new_york("2019-06-03T10:45:00")).await;
    assert_eq!(service.sim.ledger().orders.len(), 2);
    edit(&mut service, Some(&strategy(40, 55))).await;
    service
}

/// The strategy's file is another one from now on, or gone.
pub(crate) async fn edit(service: &mut TestWorld, text: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(text) = text {
        std::fs::write(folder.path().join("mine.toml"), text).unwrap();
    }
    let (catalog, faults) = strategies::load_dir(folder.path()).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    service.world.strategies = catalog;
    for strategy in service.world.strategies.iter() {
        let (name, text) = ((strategy.name(), strategy.version()), text.unwrap());
        service.world.store.remember_strategy(name, text, service.clock.now()).await.unwrap();
    }
}

/// How the newest run ended.
pub(crate) async fn end(service: &TestWorld) -> (String, String, String) {
    let runs = service.world.store.runs(&RunFilter::all()).await.unwrap();
    let run = runs.iter().max_by_key(|run| run.slot).unwrap();
    let outcome = run.outcome.clone().unwrap_or_else(|| panic!("L1: the run has no end: {run:?}"));
    (outcome.kind, outcome.reason, outcome.detail)
}

const POINTS: [Point; 8] = [
    points::SET_OUT,
    points::PLANNED.of(Phase::Sell),
    points::RECORDED.of(Phase::Sell),
    points::SENT.of(Phase::Sell),
    points::FOLLOWED.of(Phase::Sell),
    points::RECORDED.of(Phase::Buy),
    points::SENT.of(Phase::Buy),
    points::CLOSING,
];

async fn row_84_a_strategy_that_is_edited_or_gone_in_mid_run_ends_the_run_with_a_reason(on: Keeper) {
    let mut tried = 0;
    for point in POINTS {
        for edited in [Some(strategy(30, 65)), None] {
            let mut service = second_day(on).await;
            dies_at(&mut service, point, new_york("2019-06-04T10:45:00")).await;
            edit(&mut service, edited.as_deref()).await;
            let sold = |service: &TestWorld| {
                let orders = service.sim.ledger().orders;
                orders.iter().filter(|record| record.order.side.as_str() == "sell").count()
            };
            let sold_before = sold(&service);
            let sent_before = service.sim.ledger().orders.len();
            starts_again(&service).await;
            let (kind, reason, detail) = end(&service).await;
            let case = format!("{point}, edited: {}: {kind}, {reason}, {detail}", edited.is_some());
            if edited.is_some() {
                assert_eq!((kind.as_str(), reason.as_str()), ("completed", "scheduled"), "{case}");
                assert_eq!(sold(&service), 1, "{case}: one sell, whichever version it is of");
            } else {
                assert!(matches!(kind.as_str(), "skipped" | "quarantined" | "partial"), "{case}");
                assert_eq!(service.sim.ledger().orders.len(), sent_before, "{case}: nothing is sent without a file");
                assert!(detail.contains("mine") || point == points::CLOSING, "{case}: it says why");
            }
            assert!(sold(&service) - sold_before <= 1, "{case}");
            service.settle_accounts().await;
            tried += 1;
        }
    }
    println!("{tried} strategies edited or removed in mid-run on {on:?}: 0 orders twice");
}

async fn row_84_after_a_subscription_has_ended_in_mid_run_nothing_is_sent_for_it(on: Keeper) {
    let undisturbed = second_day(on).await;
    undisturbed.steps.at(0, async {}.boxed());
    undisturbed.ring(new_york("2019-06-04T10:45:00")).await;
    let (steps, orders) = (undisturbed.steps.seen(), undisturbed.sim.ledger().orders.len());
    assert_eq!(orders, 4, "a sell and a buy more");
    let (mut tried, mut stopped) = (0, 0);
    for nth in (1..=steps).step_by(if matches!(on, Keeper::Sqlite) { 1 } else { 4 }) {
        let service = second_day(on).await;
        let (store, now) = (service.world.store.clone(), new_york("2019-06-04T10:45:00"));
        let (sent, left_by_then) = (Arc::clone(&service.sent), Arc::new(Mutex::new(0)));
        let noted = Arc::clone(&left_by_then);
        let act = async move {
            let id = store.subscriptions(true).await.unwrap()[0].id.clone();
            assert!(store.unsubscribe(&id, &Actor::operator("ann"), now).await.unwrap());
            *noted.lock().unwrap() = sent.lock().unwrap().len();
        };
        service.steps.at(nth, act.boxed());
        service.ring(now).await;
        let (kind, reason, detail) = end(&service).await;
        let left = service.sent.lock().unwrap().len();
        assert_eq!(left, *left_by_then.lock().unwrap(), "step {nth}: {kind}, {reason}, {detail}");
        assert!(left == orders || kind != "completed", "step {nth}: {reason}: half a rebalance is none");
        assert!(service.ring(new_york("2019-06-05T10:45:00")).await.is_empty(), "step {nth}: nothing begins after it");
        service.settle_accounts().await;
        tried += 1;
        stopped += usize::from(left < orders);
    }
    println!("{tried} subscriptions ended at the steps of a run on {on:?}: {stopped} stopped orders, 0 left after");
}

on_both_databases!(
    row_84_a_strategy_that_is_edited_or_gone_in_mid_run_ends_the_run_with_a_reason,
    row_84_after_a_subscription_has_ended_in_mid_run_nothing_is_sent_for_it,
);
