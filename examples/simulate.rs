//! Runs the deterministic simulation over as many seeds as wanted, prints what it found, and replays a red seed.
//!
//! ```text
//! cargo run --release --example simulate -- --seeds 0..1000
//! cargo run --release --example simulate -- --seed 17          one history, with everything that happened
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a program for tests")]

#[path = "../tests/simulation/history/mod.rs"]
mod history;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use history::Told;

/// The deterministic simulation.
#[derive(Debug, Parser)]
struct Arguments {
    /// A range of seeds, `FROM..TO`.
    #[arg(long, default_value = "0..1000")]
    seeds: String,
    /// One seed, told in full.
    #[arg(long)]
    seed: Option<u64>,
    /// Threads; each tells its own histories.
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return replay(seed);
    }
    let Some((from, to)) = range(&arguments.seeds) else {
        eprintln!("`{}` is no range of seeds: FROM..TO is", arguments.seeds);
        return ExitCode::from(2);
    };
    let begun = Instant::now();
    let (next, all) = (AtomicU64::new(from), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= to {
                        return;
                    }
                    let told = history::tell(seed, false);
                    all.lock().unwrap().push(told);
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    report(&arguments, &all, begun.elapsed().as_secs_f64())
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (from, to) = text.split_once("..")?;
    Some((from.parse().ok()?, to.parse().ok()?)).filter(|(from, to)| from < to)
}

fn replay(seed: u64) -> ExitCode {
    let told = history::tell(seed, true);
    for line in &told.lines {
        println!("{line}");
    }
    println!("hash {}", told.hash);
    for violation in &told.violations {
        println!("VIOLATION {violation}");
    }
    if told.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(arguments: &Arguments, all: &[Told], seconds: f64) -> ExitCode {
    let sum = |of: fn(&Told) -> u64| all.iter().map(of).sum::<u64>();
    let days = sum(|told| told.account_days);
    let mut rows: BTreeMap<u32, u64> = BTreeMap::new();
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    for told in all {
        for (row, count) in &told.rows {
            *rows.entry(*row).or_default() += count;
        }
        for (outcome, count) in &told.outcomes {
            *outcomes.entry(outcome).or_default() += count;
        }
    }
    let mut each: Vec<u64> = all.iter().flat_map(|told| told.per_order.iter().copied()).collect();
    each.sort_unstable();
    let at =
        |share: usize| each.get((each.len() * share / 100).min(each.len().saturating_sub(1))).copied().unwrap_or(0);
    println!(
        "seeds {}: {} histories, {days} account-days, {} runs, {} orders, {} requests",
        arguments.seeds,
        all.len(),
        sum(|t| t.runs),
        sum(|t| t.orders),
        sum(|t| t.requests)
    );
    println!("{} faults injected, {} of them kills; rows reached: {rows:?}", sum(|t| t.injected), sum(|t| t.kills));
    println!(
        "requests per order of a run: median {}, 99% {}, most {}",
        at(50),
        at(99),
        each.last().copied().unwrap_or(0)
    );
    for (outcome, count) in &outcomes {
        println!("{count:>8} {outcome}");
    }
    println!("{seconds:.1} s, {:.0} account-days a second", days as f64 / seconds);
    let red: Vec<&Told> = all.iter().filter(|told| !told.violations.is_empty()).collect();
    for told in red.iter().take(20) {
        println!("seed {}: {}", told.seed, told.violations.join("\n    "));
    }
    println!("{} histories with violations", red.len());
    if red.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
