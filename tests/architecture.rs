//! The walls of the house, as a test: arrows between rooms, bans inside them, heads and sizes.
//!
//! It reads the source as text. A new arrow is an edit of a table here, with a reason.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which room may name which. `app` reaches the edge for wiring, commands and reports; a test below keeps it from
/// deciding about trades.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("decide", &["model"]),
    ("edge", &["model"]),
    ("flow", &["model", "decide", "edge"]),
    ("app", &["model", "flow", "edge"]),
];

/// One arrow of one file: the record transaction itself asks the guard's gate again, so that nothing is durable that it did
/// not let through, whoever calls it.
const ARROW_OF_ONE: (&str, &str) = ("src/edge/store/intents.rs", "decide");

/// Files of `edge` that its other files may name; the rest are siblings that do not know each other.
const EDGE_GROUND: &[&str] = &["clock", "entropy", "metrics", "points", "recorded"];

/// What may stand only in the files named: the one reader of the clock, the one thrower of dice, and so on.
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    ("Timestamp::now", &["src/edge/clock.rs"], "the clock is an argument"),
    ("SystemTime::now", &["src/edge/clock.rs"], "the clock is an argument"),
    ("tokio::time::sleep", &["src/edge/clock.rs", "src/app/"], "sleeping is the clock's"),
    ("rand::", &["src/edge/entropy.rs"], "chance is an argument"),
    ("tokio::spawn", &["src/app/workers.rs", "src/app/lifecycle.rs"], "tasks have one keeper"),
    (
        "std::env",
        &["src/app/settings", "src/main.rs", "src/app/commands/demo/stage.rs"],
        "the environment is read once",
    ),
    ("sqlx::", &["src/edge/store/"], "SQL lives in the store"),
    ("reqwest::", &["src/edge/alpaca/", "src/edge/clock.rs", "src/app/commands/"], "HTTP lives at the edge"),
    ("alpaca_sim", &["src/app/commands/demo"], "only the demo, tests and benches use the simulator"),
    (
        "Snapshot {",
        &["src/flow/observe.rs", "src/model/snapshot.rs", "src/edge/alpaca/", "src/decide/"],
        "only observe and the dry run make a snapshot",
    ),
];

/// What the pure rooms never hold.
const IMPURE: &[&str] = &[
    "async ", ".await", "tokio", "serde", "sqlx", "reqwest", "tracing", "HashMap", "HashSet", "f64", "f32", "std::fs",
    "std::net", "rand::",
];

#[test]
fn every_point_stands_in_the_table_of_the_documents_and_no_other() {
    let text = fs::read_to_string("docs/execution.md").expect("the document");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let told: Vec<&str> = rows.map(|(point, _)| point).filter(|point| !point.contains(' ')).collect();
    let told_once: BTreeSet<&str> = told.iter().copied().collect();
    let known: BTreeSet<&str> = rebalanced::edge::points::all().map(rebalanced::edge::points::Point::name).collect();
    assert_eq!(told.len(), told_once.len(), "a point stands there twice");
    let untold: Vec<_> = known.difference(&told_once).collect();
    let gone: Vec<_> = told_once.difference(&known).collect();
    assert!(untold.is_empty() && gone.is_empty(), "not in docs/execution.md: {untold:?}; there alone: {gone:?}");
    assert!(known.len() >= 100, "{} points", known.len());
}

struct Source {
    path: PathBuf,
    room: String,
    /// Without comments and without the tests at its end.
    code: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    collect(Path::new("src"), &mut files);
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file");
            let room =
                path.components().nth(1).unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
            Source { code: code_of(&text), room, path, text }
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

fn code_of(text: &str) -> String {
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    product.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn named_rooms(code: &str) -> BTreeSet<String> {
    code.match_indices("crate::")
        .map(|(at, found)| {
            let rest = &code[at + found.len()..];
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
        })
        .filter(|room: &String| ARROWS.iter().any(|(name, _)| name == room))
        .collect()
}

#[test]
fn rooms_name_only_rooms_below_them() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(allowed) = arrows.get(source.room.as_str()) else { continue };
        for room in named_rooms(&source.code) {
            let is_excepted = (source.path.to_string_lossy().as_ref(), room.as_str()) == ARROW_OF_ONE;
            if room != source.room && !allowed.contains(&room.as_str()) && !is_excepted {
                wrong.push(format!("{} names {room}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that run up: {wrong:#?}");
}

#[test]
fn files_of_a_room_name_only_files_listed_above_them() {
    let mut wrong = Vec::new();
    for room in ["model", "decide", "edge", "flow"] {
        let order = module_order(&format!("src/{room}/mod.rs"));
        for source in sources().iter().filter(|source| source.room == room) {
            let own = own_module(&source.path);
            let Some(place) = order.iter().position(|name| *name == own) else { continue };
            for named in siblings_named(&source.code, room) {
                let above = order.iter().position(|name| *name == named).is_some_and(|other| other <= place);
                let strangers = room == "edge" && named != own && !EDGE_GROUND.contains(&named.as_str());
                if !above || strangers {
                    wrong.push(format!("{} names {room}::{named}", source.path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "files that name later files or strangers: {wrong:#?}");
}

fn module_order(path: &str) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a room's mod.rs");
    text.lines()
        .filter_map(|line| line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod ")))
        .map(|name| name.trim_end_matches(';').to_owned())
        .collect()
}

fn own_module(path: &Path) -> String {
    path.components()
        .nth(2)
        .map(|part| part.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned())
        .unwrap_or_default()
}

fn siblings_named(code: &str, room: &str) -> BTreeSet<String> {
    let prefix = format!("crate::{room}::");
    code.match_indices(&prefix)
        .map(|(at, found)| {
            code[at + found.len()..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
        })
        .filter(|name| name.chars().next().is_some_and(char::is_lowercase))
        .collect()
}

#[test]
fn what_has_one_place_stands_only_there() {
    let mut wrong = Vec::new();
    for source in sources() {
        let path = source.path.to_string_lossy().replace('\\', "/");
        for (text, places, why) in ONLY_IN {
            if source.code.contains(text) && !places.iter().any(|place| path.starts_with(place)) {
                wrong.push(format!("{path} holds `{text}`: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Statistics are no money: this one file may hold floats, and gives decimals away.
const FLOATS: (&str, &[&str]) = ("src/decide/statistics.rs", &["f64"]);

#[test]
fn the_pure_rooms_are_pure() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.room == "model" || source.room == "decide") {
        for text in IMPURE {
            let may_hold = source.path.ends_with(FLOATS.0) && FLOATS.1.contains(text);
            if source.code.contains(text) && !may_hold {
                wrong.push(format!("{} holds `{text}`", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if !source.text.starts_with("//!") {
            wrong.push(format!("{} has no head", source.path.display()));
        }
        if lines > 600 {
            wrong.push(format!("{} has {lines} lines", source.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_simulator_and_the_daemon_know_nothing_of_each_other() {
    let manifest = fs::read_to_string("alpaca-sim/Cargo.toml").expect("the simulator's manifest");
    assert!(!manifest.lines().any(|line| line.starts_with("rebalanced")), "alpaca-sim must not depend on the daemon");
    let mut files = Vec::new();
    collect(Path::new("alpaca-sim/src"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        assert!(!text.contains("rebalanced::"), "{} names the daemon", file.display());
    }
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |folder: &str| -> BTreeSet<String> {
        fs::read_dir(folder)
            .expect("a migrations folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect()
    };
    let sqlite = names("migrations/sqlite");
    assert!(!sqlite.is_empty(), "no migrations at all");
    assert_eq!(sqlite, names("migrations/postgres"), "the two folders are twins");
}

#[test]
fn documents_name_only_files_that_exist() {
    for document in ["README.md", "docs/ARCHITECTURE.md", "docs/dependencies.md", "alpaca-sim/README.md"] {
        let text = fs::read_to_string(document).unwrap_or_else(|_| panic!("{document} is missing"));
        let folder = Path::new(document).parent().unwrap();
        for word in text.split(|c: char| c.is_whitespace() || "`()[]|,;".contains(c)) {
            let word = word.trim_end_matches(['.', ':']);
            let is_file = [".rs", ".toml", ".md", ".sh", ".sql", ".csv"].iter().any(|end| word.ends_with(end));
            if is_file
                && word.contains('/')
                && !word.contains("://")
                && !word.contains(['*', '<', '{', '~'])
                && !word.starts_with('/')
            {
                let there = Path::new(word).exists() || folder.join(word).exists();
                assert!(there, "{document} names {word}, which does not exist");
            }
        }
    }
}
