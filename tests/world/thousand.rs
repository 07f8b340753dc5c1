//! Row 82, L7: a thousand open orders, and a halt that asks for their end.

use std::time::{Duration, Instant};

use alpaca_sim::exchange::asset::AssetPatch;
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::cancel::{Fate, cancel_open};
use rebalanced::model::event::Actor;
use rebalanced::model::mandate::HaltScope;
use rebalanced::model::time::Span;

use crate::leaving::{LATENCY, with_open_orders};
use crate::support::{Setup, TestWorld, cash, new_york};

const USERS: usize = 50;
const SYMBOLS: [&str; 20] = [
    "AAPL", "AMD", "BAC", "BBY", "CVX", "HD", "JNJ", "JPM", "KO", "LLY", "MRK", "MSFT", "PEP", "PFE", "PG", "QUAL",
    "UNH", "USMV", "WMT", "XOM",
];

/// What a request to the broker takes while the orders are cancelled; its answers take that long over the internet.
const A_REQUEST: Duration = Duration::from_millis(100);

fn twenty() -> String {
    let weights: Vec<String> =
        SYMBOLS.iter().map(|name| format!("[[weights]]\nsymbol = \"{name}\"\npercent = 4.75\n")).collect();
    let weights = weights.concat();
    let schedule = "name = \"twenty\"\n[schedule]\ncron = \"0 45 10 * * Mon-Fri\"\n";
    format!("{schedule}{weights}[cash]\npercent = 5\n[orders]\ntype = \"limit\"\nmin_notional = 10\n")
}

#[tokio::test]
async fn row_82_the_cancellations_of_a_thousand_open_orders_leave_within_five_seconds() {
    let text = twenty();
    let setup = Setup { strategies: &[("twenty.toml", &text)], latency: LATENCY, ..Setup::default() };
    let mut service = TestWorld::new(setup).await;
    service.world.order_wait = Span::from_hours(4);
    for user in 0..USERS {
        service.connect(&format!("user-{user}"), "twenty", cash(100_000)).await;
    }
    service.ring(new_york("2019-06-03T10:00:00")).await;
    for symbol in SYMBOLS {
        let stopped = AssetPatch { halted: Some(true), ..AssetPatch::default() };
        service.sim.with_exchange(|exchange, now| exchange.change_asset(now, symbol, stopped)).unwrap();
    }
    with_open_orders(&mut service, USERS * SYMBOLS.len()).await;
    service.steps.slow_down(A_REQUEST.saturating_sub(LATENCY));
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    let begun = Instant::now();
    approve::halt(&desk, HaltScope::Service, ("ada", "drill")).await.unwrap();
    let orders = cancel_open(&service.world, &HaltScope::Service, &Actor::operator("ada")).await.unwrap();
    let took = begun.elapsed();
    // Every cancellation leaves once before any is asked for again.
    let mut cancels = service.steps.cancels();
    cancels.sort_unstable();
    let last = cancels[USERS * SYMBOLS.len() - 1].saturating_duration_since(begun);
    println!(
        "{} open orders of {USERS} accounts at {} ms a request: the last cancellation left after {} ms, all were confirmed after {} ms",
        orders.len(),
        A_REQUEST.as_millis(),
        last.as_millis(),
        took.as_millis()
    );
    assert_eq!(orders.len(), USERS * SYMBOLS.len());
    assert!(orders.iter().all(|order| order.fate == Fate::Cancelled), "each is named with its end");
    assert!(service.sim.ledger().orders.iter().all(|record| record.order.status.as_str() == "canceled"));
    assert!(last <= Duration::from_secs(5), "L7: {last:?}");
}
