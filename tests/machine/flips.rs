//! The database is damaged: one bit flipped, a file cut short, the log gone.

use std::fs;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rebalanced::edge::store::{IntentFilter, RunFilter, Store};

use crate::judge::wrong_orders;
use crate::stage::{PATIENCE, Stage, dice, sample, tail};
use crate::syscalls::integrity;

/// So long, in the exchange's time, a daemon on a damaged database may do what it can.
const WHILE: i64 = 200;

/// What came of one damage, by the program's own reading of every row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// It does not open.
    AtOpening,
    /// SQLite's own check finds it.
    ByCheck,
    /// A row does not read, or the audit does not hold.
    ByReading,
    /// Every row is as it was.
    Harmless,
    /// The log ends earlier, and the history with it: what an older copy is (rows 22 and 23).
    Older,
    /// A row is another, and nothing shows it.
    Silent,
}

/// A database in the middle of a run, whose log is full.
fn in_the_middle(stage: &mut Stage, point: &str) -> PathBuf {
    // Whoever leaves the database last empties its log into it.
    assert!(stage.judge().is_clean());
    stage.reason_to_trade();
    let mut daemon = stage.start_killed_at(point, 1);
    assert!(daemon.wait(PATIENCE).is_some(), "{}", tail(&daemon.log()));
    stage.copy_state("base")
}

/// What is in a database: its rows that an order may hang on, as text, and each event's hash.
#[derive(PartialEq)]
struct Content {
    rows: String,
    chain: Vec<String>,
}

async fn content(store: &Store) -> Option<Content> {
    let intents = store.intents(&IntentFilter::all()).await.ok()?;
    let runs = store.runs(&RunFilter::all()).await.ok()?;
    let accounts = store.accounts().await.ok()?;
    let (halts, subscriptions) = (store.halts(false).await.ok()?, store.subscriptions(false).await.ok()?);
    let ledger = store.ledger().await.ok()?;
    let mut looks = Vec::new();
    for account in &accounts {
        looks.push((store.last_seen(&account.id).await.ok()?, store.books(&account.id).await.ok()?));
    }
    rebalanced::flow::verify::audit(store, Vec::new()).await.ok()?;
    let events = store.events(0, i64::MAX).await.ok()?;
    let rows = format!("{intents:?}{runs:?}{accounts:?}{halts:?}{subscriptions:?}{ledger:?}{looks:?}");
    Some(Content { rows, chain: events.into_iter().map(|event| event.hash).collect() })
}

/// `Err` when it does not open, `None` when a row does not read or the audit does not hold.
fn read(stage: &Stage, folder: &Path) -> Result<Option<Content>, ()> {
    let url = format!("sqlite:{}", folder.join("rebalanced.sqlite").display());
    stage.runtime.block_on(async {
        let store = Store::open(&url).await.map_err(drop)?;
        let content = content(&store).await;
        store.shut().await;
        Ok(content)
    })
}

fn seen(stage: &Stage, folder: &Path, before: &Content) -> Seen {
    let check = folder.with_extension("check");
    lay(folder, &check);
    match read(stage, folder) {
        Err(()) => Seen::AtOpening,
        Ok(Some(content)) if content == *before => Seen::Harmless,
        Ok(Some(content)) if content.chain.len() < before.chain.len() && before.chain.starts_with(&content.chain) => {
            Seen::Older
        }
        Ok(_) if integrity(stage, &check.join("rebalanced.sqlite")) != "ok" => Seen::ByCheck,
        Ok(None) => Seen::ByReading,
        Ok(Some(_)) => Seen::Silent,
    }
}

/// A copy of a database that nobody has open.
fn lay(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    drop(fs::remove_file(to.join("rebalanced.sqlite-shm")));
    for name in ["rebalanced.sqlite", "rebalanced.sqlite-wal"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// Turns one bit of the database or of its log.
fn flip(folder: &Path, dice: &mut ChaCha8Rng) -> String {
    let name = if dice.random_bool(0.5) { "rebalanced.sqlite" } else { "rebalanced.sqlite-wal" };
    let path = folder.join(name);
    let mut bytes = fs::read(&path).unwrap();
    let (at, bit) = (dice.random_range(0..bytes.len()), dice.random_range(0..8));
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
    drop(fs::remove_file(folder.join("rebalanced.sqlite-shm")));
    format!("{name}, byte {at}, bit {bit}")
}

#[test]
fn row_65_a_flipped_bit_is_found_or_harmless() {
    let mut stage = Stage::new();
    let base = in_the_middle(&mut stage, "sell.followed");
    // In memory where there is such a folder: here no disk has to be waited for.
    let quick = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let folder = quick.path().join("flip");
    lay(&base, &folder);
    let before = read(&stage, &folder).unwrap().unwrap();
    let mut dice = dice(65);
    let mut counts = [0_usize; 6];
    let mut silent = Vec::new();
    let number = sample(100);
    for _ in 0..number {
        lay(&base, &folder);
        let what = flip(&folder, &mut dice);
        let found = seen(&stage, &folder, &before);
        counts[found as usize] += 1;
        if found == Seen::Silent {
            silent.push(what);
        }
    }
    let [opening, check, reading, harmless, older, unseen] = counts;
    println!(
        "row 65: flips {number}: do not open {opening}, found by the check {check}, by reading {reading}, harmless {harmless}, an older history {older}, silent {unseen}"
    );
    println!("row 65: silent: {silent:?}");
    assert!(opening + check + reading > 0, "no flip was found");
    assert!(unseen * 100 <= number * 2, "{unseen} of {number} flips changed a row and nothing shows it");
}

#[test]
fn row_65_on_a_damaged_database_no_wrong_order_is_sent() {
    let mut dice = dice(66);
    let (number, mut refused, mut traded) = (sample(4), 0, 0);
    for nth in 0..number {
        let mut stage = Stage::new();
        // Nothing is sent yet, or the sales are and the purchases are not.
        in_the_middle(&mut stage, if nth % 8 < 4 { "sell.considering" } else { "sell.followed" });
        let what = damage(&stage.state(), nth, &mut dice);
        let orders = stage.sim.ledger().orders.len();
        let mut daemon = stage.start();
        stage.let_try(&mut daemon, WHILE);
        let ended = daemon.ended();
        assert!(ended.is_none_or(|status| !status.success()), "{what}: {ended:?}");
        assert!(!daemon.log().contains("panicked at"), "{what}: {}", tail(&daemon.log()));
        refused += usize::from(ended.is_some());
        let new = stage.sim.ledger().orders.len() - orders;
        traded += usize::from(new > 0);
        daemon.signal("KILL");
        drop(daemon);
        println!("row 65: {what}: ended {}, new orders {new}", ended.is_some());
        let wrong = wrong_orders(&stage.sim, &stage.account);
        assert!(wrong.is_empty(), "{what}: {wrong:#?}");
    }
    println!("row 65: damaged databases {number}, refused at the start {refused}, traded on {traded}, wrong orders 0");
}

/// One of the kinds of damage.
fn damage(folder: &Path, nth: usize, dice: &mut ChaCha8Rng) -> String {
    let database = folder.join("rebalanced.sqlite");
    let length = fs::metadata(&database).unwrap().len();
    drop(fs::remove_file(folder.join("rebalanced.sqlite-shm")));
    match nth % 4 {
        0 => {
            let keep = dice.random_range(1..length);
            fs::File::options().write(true).open(&database).unwrap().set_len(keep).unwrap();
            format!("cut to {keep} of {length} bytes")
        }
        1 => {
            fs::remove_file(folder.join("rebalanced.sqlite-wal")).unwrap();
            "the log is gone".to_owned()
        }
        _ => {
            let flips: Vec<String> = (0..2).map(|_| flip(folder, dice)).collect();
            format!("two bits: {}", flips.join("; "))
        }
    }
}
