//! A million portfolios of 20 holdings, decided on two threads: `cargo bench --bench million` prints the seconds and the
//! peak of memory, and fails beyond 15 seconds on two cores or 64 megabytes.
//!
//! Each thread keeps one account and moves its shares, prices and cash before each decision, so that nothing is stored and
//! no two portfolios are alike: of ten some three hold, and the others trade. So memory does not grow with their number.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench is nobody's library and may stop")]

#[path = "../tests/decide/cast.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod cast;

use std::thread;
use std::time::Instant;

use rebalanced::model::money::{Fraction, Qty, Usd};
use rebalanced::model::plan::Decision;
use rebalanced::model::snapshot::Snapshot;
use rebalanced::model::strategy::Strategy;
use rust_decimal::Decimal;

const PORTFOLIOS: u64 = 1_000_000;
const THREADS: u64 = 2;
const HOLDINGS: i64 = 20;
const SECONDS: f32 = 15.0;
const MEGABYTES: u64 = 64;

/// Twenty holdings of 4.9% each and 2% cash, a band of a tenth of each weight.
fn start() -> (Strategy, Snapshot) {
    let names: Vec<String> = (0..HOLDINGS).map(|place| format!("S{place:02}")).collect();
    let weights: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "4.9")).collect();
    let mut parts = cast::parts(&weights);
    parts.conditions.drift_relative = Some(Fraction::from_percent(Decimal::from(10)));
    let mut snapshot = cast::account("2000");
    for (place, name) in (0..).zip(&names) {
        let cents: i64 = 1_000 + 7_919 * place % 50_000;
        let (bid, ask) = (Decimal::new(cents - 1, 2).to_string(), Decimal::new(cents + 1, 2).to_string());
        snapshot = cast::with(snapshot, name, "1", (&bid, &ask), true);
    }
    (cast::strategy(parts), snapshot)
}

/// Small numbers that look like chance.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from(self.0 % most).unwrap()
    }
}

/// Another portfolio in the same place: each holding is off its weight by up to some percent of it.
fn shuffle(snapshot: &mut Snapshot, dice: &mut Dice) {
    let percent = 3 + dice.below(12);
    let quotes = snapshot.quotes.values();
    for (holding, quote) in snapshot.holdings.values_mut().zip(quotes) {
        let off = 100 - percent + dice.below(u64::try_from(2 * percent + 1).unwrap());
        let shares = Qty::new(Decimal::from(4_900 * off / 100)).decimal() / quote.ask.decimal();
        holding.qty = Qty::new(shares).floor_shares(true);
        holding.available = holding.qty;
    }
    snapshot.account.cash = Usd::new(Decimal::new(190_000 + dice.below(20_000), 2));
    snapshot.account.buying_power = snapshot.account.cash;
}

/// Decides its part of them; how many trade.
fn part(seed: u64) -> u64 {
    let (strategy, mut snapshot) = start();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ seed);
    let mut trades = 0;
    for _ in 0..PORTFOLIOS / THREADS {
        shuffle(&mut snapshot, &mut dice);
        trades += u64::from(cast::open(&strategy, &snapshot).decision == Decision::Trade);
    }
    trades
}

fn main() {
    let begun = Instant::now();
    let threads: Vec<_> = (0..THREADS).map(|thread| thread::spawn(move || part(thread + 1))).collect();
    let trades: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let seconds = begun.elapsed().as_secs_f32();
    assert!(trades > PORTFOLIOS / 4 && trades < PORTFOLIOS, "both kinds: {trades} trade");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or(" unknown");
    let peak = peak.trim();
    let kilobytes: u64 = peak.trim_end_matches(" kB").parse().unwrap_or(u64::MAX);
    println!(
        "{PORTFOLIOS} portfolios of {HOLDINGS} holdings on {THREADS} threads: {seconds:.1} s, {trades} trade, peak of memory {peak}"
    );
    assert!(seconds <= SECONDS, "more than {SECONDS} s");
    assert!(kilobytes <= 1024 * MEGABYTES, "more than {MEGABYTES} MB");
}
