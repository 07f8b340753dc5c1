//! One account whose broker is slow, beside others whose is not (row 59, L5): measured in real time, with the ten seconds of
//! the row scaled down.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rebalanced::flow;
use rebalanced::model::time::Span;

use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");

/// What a request of an ordinary account takes, and one of the slow account: fifty times as long.
const ORDINARY: Duration = Duration::from_millis(4);
const SLOW: Duration = Duration::from_millis(200);

/// The others are delayed by a fifth at most.
const ALLOWED_PERCENT: u32 = 120;

/// Each pair of days is one try: the usual one, and the one with the slow account. Other programs on this machine disturb a
/// measurement, but not each in the same way; a queue behind the slow account would delay the others each time.
const TRIES: [[&str; 2]; 4] = [
    ["2019-06-04", "2019-06-05"],
    ["2019-06-06", "2019-06-07"],
    ["2019-06-10", "2019-06-11"],
    ["2019-06-12", "2019-06-13"],
];

/// Carries all runs of a day at the same time; how long each account's run took.
async fn day(service: &TestWorld, day: &str) -> BTreeMap<String, Duration> {
    for account in service.world.store.accounts().await.unwrap() {
        service.clock.set(new_york(&format!("{day}T15:00:00")));
        service.sim.set_clock(service.clock.now().timestamp());
        let paid = |exchange: &mut alpaca_sim::exchange::Exchange, now| {
            exchange.transfer(now, account.id.as_str(), 2_000.into()).map(drop)
        };
        service.sim.with_exchange(paid).unwrap();
    }
    let slot = new_york(&format!("{day}T15:45:00"));
    service.clock.set(slot);
    flow::tick::tick(&service.world, slot).await.unwrap();
    let claims = service.world.store.claim(64, slot, slot + Span::from_mins(10)).await.unwrap();
    let runs = claims.into_iter().map(|claim| async {
        let (account, begun) = (claim.run().account.to_string(), Instant::now());
        flow::rebalance::rebalance(&service.world, claim).await.unwrap();
        (account, begun.elapsed())
    });
    join_all(runs).await.into_iter().collect()
}

/// The slowest of the others: with so few runs that is the 99th of a hundred.
fn slowest(took: &BTreeMap<String, Duration>, but: &str) -> Duration {
    took.iter().filter(|(account, _)| *account != but).map(|(_, took)| *took).max().unwrap()
}

async fn row_59_l5_an_account_whose_broker_is_slow_delays_no_other(on: Keeper) {
    let files = [("sixty-forty.toml", SIXTY_FORTY)];
    let setup = Setup { strategies: &files, database: on, latency: ORDINARY, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    let mut accounts = Vec::new();
    for number in 0..6 {
        accounts.push(service.connect(&format!("person-{number}"), "sixty-forty", cash(20_000)).await);
    }
    service.ring(new_york("2019-06-03T10:00:00")).await;
    day(&service, "2019-06-03").await;
    let mut tried = Vec::new();
    for [usually, beside] in TRIES {
        service.steps.slow(None);
        let before = day(&service, usually).await;
        service.steps.slow(Some((accounts[0].clone(), SLOW)));
        let beside = day(&service, beside).await;
        let (usual, others) = (slowest(&before, &accounts[0]), slowest(&beside, &accounts[0]));
        let slow = beside[&accounts[0]];
        println!(
            "others {} ms, beside a slow account {} ms, which takes {} ms",
            usual.as_millis(),
            others.as_millis(),
            slow.as_millis()
        );
        assert!(slow > others * 4, "the slow account is slow: {slow:?} beside {others:?}");
        if others * 100 <= usual * ALLOWED_PERCENT {
            service.settle_accounts().await;
            return;
        }
        tried.push((usual, others));
    }
    panic!("L5: {tried:?}");
}

on_both_databases!(row_59_l5_an_account_whose_broker_is_slow_delays_no_other);
