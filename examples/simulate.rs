//! Runs the deterministic simulation over as many seeds as wanted, prints what it found, and replays a red seed.
//!
//! ```text
//! cargo run --release --example simulate -- --seeds 0..1000
//! cargo run --release --example simulate -- --seed 17          one history, with everything that happened
//! ```

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
    reason = "a program for tests"
)]

#[path = "../tests/simulation/history/mod.rs"]
mod history;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
    /// Lets every bug of the zoo out, one after the other, and shows which history finds it. Needs `--features zoo`.
    #[arg(long)]
    zoo: bool,
    /// How long one bug may stay at large, in seconds.
    #[arg(long, default_value_t = 120)]
    within: u64,
    /// Writes the figures to this file as JSON, for `trust`.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Threads; each tells its own histories.
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return replay(seed);
    }
    if arguments.zoo {
        return zoo::hunt(&arguments);
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
    report(&arguments, &all, begun.elapsed())
}

#[cfg(not(feature = "zoo"))]
mod zoo {
    /// There is no zoo in this build.
    pub(super) fn hunt(_arguments: &super::Arguments) -> std::process::ExitCode {
        eprintln!("the zoo is not in this build: cargo run --release --features zoo --example simulate -- --zoo");
        std::process::ExitCode::from(2)
    }
}

#[cfg(feature = "zoo")]
mod zoo {
    use std::process::ExitCode;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use rebalanced::model::zoo::{Bug, let_out};

    use crate::{Arguments, history, write};

    /// The goal for each bug, in seconds.
    const SOON: f64 = 120.0;

    /// The histories by which the shyest bugs were found before. They are told first, as a fuzzer begins with what it kept.
    const KEPT: [u64; 8] = [548, 316, 272, 117, 37, 28, 395, 163];

    /// Lets each bug out and tells histories until one is red.
    pub(super) fn hunt(arguments: &Arguments) -> ExitCode {
        let (within, threads) = (arguments.within, arguments.threads);
        let (next, found) = (AtomicUsize::new(0), Mutex::new(0_usize));
        let (slowest, soon) = (Mutex::new(0.0_f64), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    while let Some(bug) = Bug::ALL.get(next.fetch_add(1, Ordering::SeqCst)) {
                        let_out(Some(*bug));
                        let (line, seconds) = one(*bug, Duration::from_secs(within));
                        let_out(None);
                        println!("{line}");
                        if let Some(seconds) = seconds {
                            *found.lock().unwrap() += 1;
                            soon.fetch_add(usize::from(seconds <= SOON), Ordering::SeqCst);
                            let mut slowest = slowest.lock().unwrap();
                            *slowest = slowest.max(seconds);
                        }
                    }
                });
            }
        });
        let (found, slowest) = (found.into_inner().unwrap(), slowest.into_inner().unwrap());
        let soon = soon.into_inner();
        let bugs = Bug::ALL.len();
        println!("zoo: {found} of {bugs} bugs found, {soon} within {SOON:.0} s, the slowest in {slowest:.1} s");
        write(
            arguments,
            &serde_json::json!({ "bugs": bugs, "found": found, "found_soon": soon, "slowest_seconds": slowest }),
        );
        if found == Bug::ALL.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn one(bug: Bug, within: Duration) -> (String, Option<f64>) {
        let begun = Instant::now();
        let mut tried = 0;
        let seeds = KEPT.into_iter().chain((0..).filter(|seed| !KEPT.contains(seed)));
        for seed in seeds.take_while(|_| begun.elapsed() < within) {
            let told = history::tell(seed, false);
            if let Some(violation) = told.violations.first() {
                let seconds = begun.elapsed().as_secs_f64();
                let short: String = violation.chars().take(110).collect();
                return (format!("{:32} seed {seed:4} {seconds:6.1} s  {short}", bug.name()), Some(seconds));
            }
            tried += 1;
        }
        (format!("{:32} NOT FOUND in {tried} histories", bug.name()), None)
    }
}

/// Writes the figures where they were asked for.
fn write(arguments: &Arguments, figures: &serde_json::Value) {
    if let Some(file) = &arguments.report {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, figures.to_string()).unwrap();
    }
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

fn report(arguments: &Arguments, all: &[Told], took: Duration) -> ExitCode {
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
        "requests for one order, with all those for its run together: median {}, 99% {}, most {}",
        at(50),
        at(99),
        each.last().copied().unwrap_or(0)
    );
    let alone = all.iter().map(|told| told.alone).max().unwrap_or(0);
    println!("requests that name one order alone: most {alone}");
    let again = sum(|t| t.again);
    println!("orders that were priced anew or sent to the market after an earlier try: {again}");
    let beyond = all.iter().map(|told| told.beyond).max().unwrap_or(0);
    println!("where nothing goes wrong, a run takes at most {beyond} requests beyond twelve for each of its orders");
    for (outcome, count) in &outcomes {
        println!("{count:>8} {outcome}");
    }
    println!("{} ms, {} account-days a second", took.as_millis(), u128::from(days) * 1000 / took.as_millis().max(1));
    let red: Vec<&Told> = all.iter().filter(|told| !told.violations.is_empty()).collect();
    for told in red.iter().take(20) {
        println!("seed {}: {}", told.seed, told.violations.join("\n    "));
    }
    println!("{} histories with violations", red.len());
    let rows: BTreeMap<String, u64> = rows.iter().map(|(row, count)| (row.to_string(), *count)).collect();
    let figures = serde_json::json!({
        "seeds": arguments.seeds, "histories": all.len(), "account_days": days, "runs": sum(|t| t.runs),
        "orders": sum(|t| t.orders), "requests": sum(|t| t.requests), "faults": sum(|t| t.injected),
        "kills": sum(|t| t.kills), "rows": rows, "quiet_beyond": beyond, "per_order_median": at(50), "per_order_99": at(99),
        "per_order_most": each.last(), "per_order_alone": alone, "again": again, "violations": red.iter().map(|t| t.violations.len()).sum::<usize>(),
        "seconds": took.as_secs(), "threads": arguments.threads,
    });
    write(arguments, &figures);
    if red.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
