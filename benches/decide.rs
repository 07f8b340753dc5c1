//! How long one decision takes: strategy and snapshot in, plan out, on one core.
//!
//! `cargo bench --bench decide`. The goal for 50 holdings is 20 microseconds.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench is nobody's library and may stop")]

#[path = "../tests/decide/cast.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod cast;

use divan::{Bencher, black_box};
use rebalanced::model::money::Fraction;
use rebalanced::model::plan::Decision;
use rebalanced::model::snapshot::Snapshot;
use rebalanced::model::strategy::{Destination, Strategy};
use rust_decimal::Decimal;

fn main() {
    divan::main();
}

/// Equal weights and 2% cash; each holding is off its target by up to `tilt` percent of itself, up and down in turn.
fn portfolio(holdings: usize, tilt: i64, (is_split, destination): (bool, Destination)) -> (Strategy, Snapshot) {
    let names: Vec<String> = (0..holdings).map(|place| format!("S{place:03}")).collect();
    let percent = (Decimal::from(98) / Decimal::from(holdings)).round_dp(4).to_string();
    let weights: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), percent.as_str())).collect();
    let mut parts = cast::parts(&weights);
    parts.conditions.drift_relative = Some(Fraction::from_percent(Decimal::from(10)));
    parts.conditions.destination = destination;
    let mut snapshot = cast::account("2000");
    for (place, name) in names.iter().enumerate() {
        let cents = 1_000 + 7_919 * i64::try_from(place).unwrap() % 50_000;
        let (bid, ask) = (Decimal::new(cents - 1, 2), Decimal::new(cents + 1, 2));
        let off = if place % 2 == 0 { 100 + tilt } else { 100 - tilt };
        let worth = Decimal::from(98_000) / Decimal::from(holdings) * Decimal::new(off, 2);
        let shares = (worth / Decimal::new(cents, 2)).trunc_with_scale(if is_split { 9 } else { 0 }).to_string();
        snapshot = cast::with(snapshot, name, &shares, (&bid.to_string(), &ask.to_string()), is_split);
    }
    (cast::strategy(parts), snapshot)
}

#[divan::bench(args = [10, 50, 500])]
fn plan_that_trades_every_holding(bencher: Bencher<'_, '_>, holdings: usize) {
    let (strategy, snapshot) = portfolio(holdings, 12, (true, Destination::Target));
    assert_eq!(cast::open(&strategy, &snapshot).legs.len(), holdings);
    bencher.bench_local(|| cast::open(black_box(&strategy), black_box(&snapshot)));
}

#[divan::bench(args = [10, 50, 500])]
fn plan_that_holds(bencher: Bencher<'_, '_>, holdings: usize) {
    let (strategy, snapshot) = portfolio(holdings, 3, (true, Destination::Target));
    assert_eq!(cast::open(&strategy, &snapshot).decision, Decision::Hold);
    bencher.bench_local(|| cast::open(black_box(&strategy), black_box(&snapshot)));
}

/// By whole shares, to the target and halfway: there what they leave over goes on in rounds.
#[divan::bench(args = [10, 50, 500], consts = [false, true])]
fn plan_in_whole_shares<const HALFWAY: bool>(bencher: Bencher<'_, '_>, holdings: usize) {
    let destination = if HALFWAY { Destination::Halfway } else { Destination::Target };
    let (strategy, snapshot) = portfolio(holdings, 12, (false, destination));
    assert_eq!(cast::open(&strategy, &snapshot).decision, Decision::Trade);
    bencher.bench_local(|| cast::open(black_box(&strategy), black_box(&snapshot)));
}
