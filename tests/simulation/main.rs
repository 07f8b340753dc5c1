//! A slice of the simulation, for every test run: the same seeds each time. `cargo run --release --example simulate` runs
//! as many as wanted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::similar_names,
    clippy::too_many_lines,
    clippy::struct_excessive_bools,
    clippy::large_futures,
    dead_code,
    missing_docs,
    reason = "a test may stop"
)]

mod history;

/// So many histories in every test run.
const SEEDS: std::ops::Range<u64> = 0..60;

#[test]
fn the_first_seeds_hold_every_invariant() {
    let mut told: Vec<history::Told> = Vec::new();
    for seed in SEEDS {
        told.push(history::tell(seed, false));
    }
    let red: Vec<_> =
        told.iter().filter(|one| !one.violations.is_empty()).map(|one| (one.seed, &one.violations)).collect();
    let days: u64 = told.iter().map(|one| one.account_days).sum();
    let injected: u64 = told.iter().map(|one| one.injected).sum();
    let orders: u64 = told.iter().map(|one| one.orders).sum();
    println!("{} histories, {days} account-days, {orders} orders, {injected} faults, {} red", told.len(), red.len());
    assert!(red.is_empty(), "{red:#?}");
    assert!(injected > 500 && orders > 500, "a calm slice shows nothing");
}

#[test]
fn s18_the_same_seed_is_the_same_history() {
    for seed in 0..10 {
        let (one, other) = (history::tell(seed, false), history::tell(seed, false));
        assert_eq!(one.hash, other.hash, "seed {seed}");
        assert_eq!((one.requests, one.injected), (other.requests, other.injected), "seed {seed}");
    }
}
