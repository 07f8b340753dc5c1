//! Writes `TRUST.md`: the figures of the proof, as the last `tests/proof.sh` measured them. Nobody writes them by hand.
//!
//! It ends with an error when a figure is not what it must be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a program for tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::Value;

/// Where `tests/run.sh` and `tests/proof.sh` leave what they measured.
const PROOF: &str = "target/proof";

/// The rows of the fault matrix that execution answers for.
fn rows_wanted() -> impl Iterator<Item = u32> {
    (1..=55).chain(59..=66).chain(68..=68).chain(75..=88)
}

fn main() -> ExitCode {
    let tests = Tests::read(&text("tests.log"));
    let (simulation, zoo) = (json("simulation.json"), json("zoo.json"));
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    let number = |of: &Value, name: &str| of[name].as_u64().unwrap_or_default();
    must(tests.failed == 0 && tests.passed > 500, "every test passes");
    must(number(&simulation, "account_days") >= 50_000, "50,000 account-days");
    must(number(&simulation, "faults") >= 250_000, "250,000 faults");
    must(simulation["violations"] == 0, "no violation");
    must(zoo["found"] == zoo["bugs"] && number(&zoo, "bugs") >= 40, "every bug of the zoo is found");
    let seconds = number(&simulation, "seconds").max(1) * number(&simulation, "threads").max(1);
    must(number(&simulation, "account_days") / seconds >= 25, "25 account-days a second and core");
    must(number(&simulation, "per_order_most") <= 240, "at most 240 requests for an order, whatever goes wrong");
    let alone = simulation["per_order_alone"].as_u64().unwrap_or(u64::MAX);
    must(number(&simulation, "again") > 0, "limit orders that are priced anew");
    must(alone <= 60, "at most 60 requests that name one order (L10)");
    must(number(&simulation, "quiet_beyond") <= 20, "a quiet run looks at most 20 times beside its orders");
    must(tests.kills.len() == 2, "both databases see their kills");
    let kill_figures: Vec<_> = tests.kills.iter().map(|line| Kills::read(line)).collect();
    for kills in &kill_figures {
        must(kills.tried >= 100 && kills.done == kills.tried, "every point has its kill");
        must(kills.doubled == 0 && kills.lost == 0 && kills.unrecorded == 0, "no order is doubled, lost or unrecorded");
        must(kills.violations == 0, "the kills violate nothing");
    }
    must(tests.restarts.len() == 2, "a restart is measured on both databases");
    let missing = not_reached(&tests, &simulation);
    must(missing.is_empty(), &format!("each wanted row is reached; not so {}", missing.join(", ")));
    let page = page(&tests, &kill_figures, &simulation, &zoo);
    std::fs::write("TRUST.md", &page).unwrap();
    print!("{page}");
    for what in &wrong {
        eprintln!("trust: it does not hold: {what}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn text(name: &str) -> String {
    let path = format!("{PROOF}/{name}");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}; tests/proof.sh measures it"))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap()
}

/// The figures of one line that begins with `kills tried`; one that is not there is as bad as can be.
struct Kills {
    tried: u64,
    done: u64,
    doubled: u64,
    lost: u64,
    unrecorded: u64,
    violations: u64,
}

impl Kills {
    fn read(line: &str) -> Self {
        let figure = |name: &str| {
            let found = line.split(", ").find_map(|part| part.strip_prefix(name)?.trim().parse().ok());
            found.unwrap_or(u64::MAX)
        };
        Self {
            tried: figure("kills tried"),
            done: figure("done"),
            doubled: figure("doubled"),
            lost: figure("lost"),
            unrecorded: figure("unrecorded"),
            violations: figure("violations"),
        }
    }
}

/// Wanted rows that neither the simulation nor a named test reaches.
fn not_reached(tests: &Tests, simulation: &Value) -> Vec<String> {
    let simulated = |row: u32| simulation["rows"][row.to_string()].as_u64().unwrap_or_default();
    let missing = rows_wanted().filter(|row| simulated(*row) == 0 && !tests.rows.contains_key(row));
    missing.map(|row| row.to_string()).collect()
}

/// The commit that is measured; `dirty` when files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let ran = std::process::Command::new("git").args(arguments).output().unwrap();
        assert!(ran.status.success(), "git {arguments:?}: {ran:?}");
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    };
    let is_dirty = git(&["status", "--porcelain", "--", "."]).lines().any(|line| !line.ends_with("TRUST.md"));
    format!("{}{}", git(&["rev-parse", "--short", "HEAD"]), if is_dirty { " (dirty)" } else { "" })
}

/// The day of the measurement.
fn date() -> String {
    let ran = std::process::Command::new("date").args(["-u", "+%Y-%m-%d"]).output().unwrap();
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

/// What the suite's own output says.
struct Tests {
    passed: usize,
    failed: usize,
    /// Named tests for each row.
    rows: BTreeMap<u32, BTreeSet<String>>,
    kills: Vec<String>,
    restarts: Vec<String>,
}

impl Tests {
    fn read(log: &str) -> Self {
        let mut tests = Self { passed: 0, failed: 0, rows: BTreeMap::new(), kills: Vec::new(), restarts: Vec::new() };
        for line in log.lines() {
            if let Some((name, end)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) {
                match end {
                    "ok" => tests.passed += 1,
                    "FAILED" => tests.failed += 1,
                    _ => continue,
                }
                // Only a test that passed shows that its row was reached, and survived.
                for row in rows_of(name).into_iter().filter(|_| end == "ok") {
                    tests.rows.entry(row).or_default().insert(name.to_owned());
                }
            }
            if line.starts_with("kills tried") {
                tests.kills.push(line.to_owned());
            }
            if line.starts_with("restart to ready") {
                tests.restarts.push(line.to_owned());
            }
        }
        tests
    }
}

/// The rows that a test's name names: `row_14_...`, `rows_41_to_44_...`, `row_76_77_...`, `rows_76_and_77_...`.
fn rows_of(name: &str) -> Vec<u32> {
    let last = name.rsplit("::").next().unwrap_or(name);
    let Some(rest) = last.strip_prefix("row_").or_else(|| last.strip_prefix("rows_")) else { return Vec::new() };
    let words: Vec<&str> = rest.split('_').collect();
    let leading = words.iter().take_while(|word| **word == "and" || word.parse::<u32>().is_ok());
    let numbers: Vec<u32> = leading.filter_map(|word| word.parse().ok()).collect();
    if let ([first], Some(&"to"), Some(last)) =
        (numbers.as_slice(), words.get(1), words.get(2).and_then(|word| word.parse().ok()))
    {
        return (*first..=last).collect();
    }
    numbers
}

/// The lines of the simulation.
fn simulated(simulation: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |text: String| lines.push(text);
    let seeds = simulation["seeds"].as_str().unwrap_or("?");
    line(format!(
        "| simulated: histories, account-days, runs, orders | {}, {}, {}, {} | `cargo run --example simulate -- --seeds {seeds}` |",
        simulation["histories"], simulation["account_days"], simulation["runs"], simulation["orders"]
    ));
    line(format!(
        "| faults injected there, kills among them | {}, {} | the same |",
        simulation["faults"], simulation["kills"]
    ));
    line(format!(
        "| invariants violated: orders doubled, lost, unrecorded, or anything else | {} | the same |",
        simulation["violations"]
    ));
    let number = |name: &str| simulation[name].as_u64().unwrap_or_default();
    let (seconds, threads) = (number("seconds").max(1), number("threads").max(1));
    line(format!(
        "| account-days a second and core | {} on {threads} | the same |",
        number("account_days") / seconds / threads
    ));
    line(format!(
        "| requests for one order, with all those for its run together: median, 99%, most | {}, {}, {} | the same |",
        simulation["per_order_median"], simulation["per_order_99"], simulation["per_order_most"]
    ));
    line(format!(
        "| orders that were a later try of what an earlier one left unfilled | {} | the same |",
        simulation["again"]
    ));
    line(format!("| requests that name one order alone: most | {} | the same |", simulation["per_order_alone"]));
    line(format!(
        "| requests of a run in which nothing goes wrong, beyond twelve for each of its orders: most | {} | the same |",
        simulation["quiet_beyond"]
    ));
    lines
}

fn page(tests: &Tests, kill_figures: &[Kills], simulation: &Value, zoo: &Value) -> String {
    let mut page = String::new();
    let mut line = |text: String| writeln!(page, "{text}").unwrap();
    line("# What machines have shown\n".to_owned());
    line("Written by `tests/proof.sh`, never by hand. What the words mean stands in [docs/execution.md](docs/execution.md).".to_owned());
    line(format!("Version {}, commit {}, {}.\n", env!("CARGO_PKG_VERSION"), commit(), date()));
    line("| what | figure | shown by |\n| --- | --- | --- |".to_owned());
    line(format!("| tests passed, failed | {}, {} | `tests/run.sh` |", tests.passed, tests.failed));
    for kills in kill_figures {
        line(format!(
            "| the shipped program killed at every named point: kills tried, done | {}, {} | `cargo test --test kills -- --nocapture` |",
            kills.tried, kills.done
        ));
        line(format!(
            "| orders doubled, lost, unrecorded after them | {}, {}, {} | the same |",
            kills.doubled, kills.lost, kills.unrecorded
        ));
    }
    simulated(simulation).into_iter().for_each(&mut line);
    line(format!(
        "| planted bugs found, within 120 s, and the slowest | {} of {}, {}, {:.0} s | `cargo run --features zoo --example simulate -- --zoo` |",
        zoo["found"],
        zoo["bugs"],
        zoo["found_soon"],
        zoo["slowest_seconds"].as_f64().unwrap_or_default()
    ));
    for restart in &tests.restarts {
        line(format!("| {} | {} | `cargo test --test app restart -- --nocapture` |", "start after a kill", restart));
    }
    line("\n## Fault rows\n".to_owned());
    line("How often each row of the fault matrix really happened: in the simulation above, and in tests that carry its number.\n".to_owned());
    line("| row | in the simulation | named tests |\n| --- | --- | --- |".to_owned());
    for row in rows_wanted() {
        let simulated = simulation["rows"][row.to_string()].as_u64().unwrap_or_default();
        let named = tests.rows.get(&row).map_or(0, BTreeSet::len);
        if simulated > 0 || named > 0 {
            line(format!("| {row} | {simulated} | {named} |"));
        }
    }
    let missing = not_reached(tests, simulation);
    let missing = if missing.is_empty() { "none".to_owned() } else { missing.join(", ") };
    line(format!("\nNot reached by any of them: {missing}."));
    page
}
