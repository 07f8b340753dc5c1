//! Every example strategy and what it does with a handful of accounts, kept as files: a change of the planner that changes
//! an order shows here, in the review of the change that made it.
//!
//! `tests/golden/NAME.json` holds the answers of `plan --json --explain` for `strategies/NAME.toml`. The accounts are made from the
//! strategy's own symbols at fixed prices (`accounts.rs`), so a new example needs nothing but
//!
//! ```text
//! GOLDEN=write cargo test --test golden
//! ```
//!
//! Each answer is judged by arithmetic of its own (`judge.rs`) before it is compared, and before it is written: a wrong one
//! cannot become golden by being written down.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

mod accounts;
mod bars;
mod judge;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rebalanced::edge::alpaca::closes_from_json;
use rebalanced::edge::sessions;
use rebalanced::edge::strategies::read_file;
use rebalanced::flow::rehearse::on_day;
use rebalanced::model::strategy::Strategy;
use serde_json::{Map, Value};

/// What writes the files.
const WRITE: &str = "GOLDEN=write cargo test --test golden";

/// The example strategies, by the name of their file. Where a `[model]` reckons the weights from prices, the snapshots have
/// those prices (`bars.rs`); that the weights are right is shown in `tests/decide/compose.rs`.
fn examples() -> Vec<(String, PathBuf)> {
    let files = fs::read_dir("strategies").unwrap().map(|entry| entry.unwrap().path());
    let mut examples: Vec<(String, PathBuf)> = files
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    examples.sort();
    examples
}

fn golden(name: &str) -> PathBuf {
    Path::new("tests/golden").join(name).with_extension("json")
}

/// The strategy with the targets of the accounts' day: they hold something of each.
fn on_the_day(strategy: &Strategy, history: Option<&Value>) -> Strategy {
    let bars = history.map_or_else(|| "{}".to_owned(), |bars| serde_json::json!({ "bars": bars }).to_string());
    let closes = closes_from_json(&bars).unwrap();
    on_day(strategy, &closes, &sessions::builtin().unwrap(), accounts::day()).unwrap()
}

/// What the program answers for one account.
fn answer(strategy: &Path, name: &str, account: &str, snapshot: &Value) -> Value {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden").join(name);
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{}.snapshot.json", account.replace(' ', "-")));
    fs::write(&file, serde_json::to_string_pretty(snapshot).unwrap()).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_rebalanced"));
    program.args(["plan", "--json", "--explain", "--strategy"]).arg(strategy).arg("--snapshot").arg(&file);
    let ran = program.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{name}, {account}: {program:?} ended with {}: {said}", ran.status);
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{name}, {account}: no JSON: {error}"))
}

/// The first line in which two texts differ.
fn first_difference(golden: &str, now: &str) -> String {
    let (mut kept, mut new) = (golden.lines(), now.lines());
    for line in 1.. {
        match (kept.next(), new.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => return format!("line {line} was `{}`, is `{}`", a.unwrap_or("").trim(), b.unwrap_or("").trim()),
        }
    }
    "only their line ends differ".to_owned()
}

#[test]
fn every_example_strategy_answers_as_its_golden_file_says() {
    let write = std::env::var("GOLDEN").is_ok_and(|word| word == "write");
    let (mut wrong, mut orders) = (Vec::new(), 0);
    let examples = examples();
    for (name, file) in &examples {
        let (strategy, _) = read_file(file).unwrap_or_else(|faults| panic!("{}: {faults:?}", file.display()));
        let mut answers = Map::new();
        let history = (!strategy.is_resolved()).then(|| bars::bars(&strategy));
        let strategy = on_the_day(&strategy, history.as_ref());
        for (account, mut snapshot) in accounts::accounts(&strategy) {
            if let Some(history) = &history {
                snapshot["bars"] = history.clone();
            }
            let answer = answer(file, name, account, &snapshot);
            if let Err(why) = judge::judge(file, &snapshot, &answer) {
                panic!("{name}, {account}: {why}; nothing was written: {answer:#}");
            }
            orders += answer["orders"].as_array().unwrap().len();
            answers.insert(account.to_owned(), answer);
        }
        let now = serde_json::to_string_pretty(&answers).unwrap() + "\n";
        let kept = golden(name);
        if write {
            fs::write(&kept, &now).unwrap();
        }
        match fs::read_to_string(&kept) {
            Err(_) => wrong.push(format!("{} has no golden file", file.display())),
            Ok(text) if text != now => wrong.push(format!("{}: {}", kept.display(), first_difference(&text, &now))),
            Ok(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\nwhere the new answers are meant, `{WRITE}` writes them; then read the diff");
    println!("{} strategies, {orders} orders", examples.len());
    assert!(orders > 5 * examples.len(), "{orders} orders: accounts that trade");
}

#[test]
fn no_golden_file_outlives_its_strategy() {
    let names: BTreeSet<String> = examples().into_iter().map(|(name, _)| name).collect();
    assert!(!names.is_empty(), "no example at all");
    for entry in fs::read_dir("tests/golden").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "json") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(names.contains(&name), "{} belongs to no strategy: remove it", path.display());
        }
    }
}

/// The judge is worth something only if it refuses: one right answer, made wrong in one place after the other.
#[test]
fn the_judge_refuses_what_cannot_be_right() {
    let file = Path::new("strategies/sixty-forty.toml");
    let (strategy, _) = read_file(file).unwrap();
    for (account, snapshot) in accounts::accounts(&strategy) {
        let right = answer(file, "judged", account, &snapshot);
        judge::judge(file, &snapshot, &right).unwrap();
        if right["orders"].as_array().unwrap().len() < 2 {
            continue;
        }
        let mut changed: Vec<(&str, Value)> = vec![
            ("/decision", "hold".into()),
            ("/value", "100000.01".into()),
            ("/cash_after", "5000.01".into()),
            ("/turnover", "0.5".into()),
            ("/weights/0/target", "0.36".into()),
            ("/weights/0/before", "0.36".into()),
            ("/weights/1/after", "0.59".into()),
            ("/orders/0/value", "12.34".into()),
            ("/orders/1/value", "0.99".into()),
            ("/orders/0/symbol", right["orders"][1]["symbol"].clone()),
            ("/orders/0/symbol", "TSLA".into()),
            ("/orders", serde_json::json!([])),
        ];
        let first = &right["orders"][0];
        let (field, side) = if first.get("qty").is_some() { ("qty", "buy") } else { ("notional", "sell") };
        changed.push(("/orders/0/side", side.into()));
        let amount = if field == "qty" { "/orders/0/qty" } else { "/orders/0/notional" };
        changed.extend([(amount, "1000000".into()), (amount, "0".into()), (amount, "-1".into()), (amount, "x".into())]);
        for (place, value) in changed {
            let mut wrong = right.clone();
            *wrong.pointer_mut(place).unwrap() = value;
            assert!(judge::judge(file, &snapshot, &wrong).is_err(), "{account}: {place} is wrong: {wrong:#}");
        }
    }
}
