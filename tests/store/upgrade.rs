//! An upgrade that is interrupted at each of its statements, and a downgrade (row 24): whoever opens the database next finds
//! it as it was, brings it to where an undisturbed upgrade brings it, and no older program touches it after that.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rebalanced::edge::store::{Error, Store};
use sqlx::{Connection, Row};
use tokio::runtime::Handle;

use crate::cast::{raw, texts};
use crate::older::{Older, WISHES_SINCE, contents, execute, file_of, newest, schema, sqlite_url};
use crate::postgres::as_owner;
use crate::support::Scratch;

/// So many kills of the shipped program at its system calls, for each version that it comes from.
const KILLS: usize = 8;

/// The calls that change a SQLite file.
const WRITES: [&str; 4] = ["pwrite64", "fdatasync", "fsync", "ftruncate"];

/// Opened by the program of today, it is what an undisturbed upgrade makes of it, and the open order is there once.
async fn carried_through(older: &Older, url: &str, undisturbed: &[String], step: &str) {
    let store = Store::open(url).await.unwrap_or_else(|error| panic!("{}, {step}: {error:?}", older.name));
    let open = store.unsettled().await.unwrap();
    assert_eq!(open.len(), usize::from(older.at > 0), "{}, {step}: {open:?}", older.name);
    assert_eq!(store.accounts().await.unwrap().len(), if older.at > 0 { 2 } else { 0 }, "{}, {step}", older.name);
    let wishes = if older.at >= WISHES_SINCE { 3 } else { 0 };
    assert_eq!(store.wishes(None).await.unwrap().len(), wishes, "{}, {step}", older.name);
    rebalanced::flow::verify::audit(&store, Vec::new()).await.unwrap();
    store.shut().await;
    assert_eq!(contents(url).await, undisturbed, "{}, {step}", older.name);
}

/// The statements of a file of ours. A trigger of SQLite has more than one semicolon.
fn statements(sql: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut one = String::new();
    for line in sql.lines().filter(|line| !line.starts_with("--")) {
        one.push_str(line);
        one.push('\n');
        let is_over = if one.trim_start().starts_with("CREATE TRIGGER") { line == "END;" } else { line.ends_with(';') };
        if is_over {
            all.push(std::mem::take(&mut one));
        }
    }
    assert!(one.trim().is_empty(), "{one}");
    all
}

fn migration(folder: &str, version: i64) -> String {
    let begins = format!("{version:04}_");
    let mut files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let file = files.find(|file| file.file_name().to_string_lossy().starts_with(&begins)).unwrap();
    fs::read_to_string(file.path()).unwrap()
}

/// After each statement of each migration: the file and its journal as they lie there while the statement's transaction is
/// open are all that a process leaves that is killed then.
#[tokio::test(flavor = "multi_thread")]
async fn row_24_a_sqlite_file_whose_upgrade_ends_after_any_statement_is_upgraded_by_the_next_start() {
    let (mut steps, mut with_journal) = (0, 0);
    for at in 0..newest() {
        let older = Older::both(at).await.remove(0);
        let undisturbed = older.undisturbed().await;
        let all = statements(&migration("migrations/sqlite", at + 1));
        for done in 0..=all.len() {
            let url = older.again(&format!("step-{done}"));
            let mut link = raw(&url).await;
            // So small a cache brings what is not committed to the file's journal at once.
            execute(&mut link, "PRAGMA journal_mode = WAL; PRAGMA cache_size = 1; BEGIN IMMEDIATE").await;
            for statement in &all[..done] {
                execute(&mut link, statement).await;
            }
            let image = file_of(&older.again(&format!("image-{done}")));
            let journal = |file: &Path| file.with_extension("sqlite-wal");
            fs::copy(file_of(&url), &image).unwrap();
            if fs::copy(journal(&file_of(&url)), journal(&image)).is_ok_and(|bytes| bytes > 0) {
                with_journal += 1;
            }
            drop(link);
            carried_through(&older, &sqlite_url(&image), &undisturbed, &format!("{at} -> {}, {done}", at + 1)).await;
            steps += 1;
        }
    }
    println!("row 24: SQLite, {steps} steps of {} migrations, {with_journal} with a journal, 0 violations", newest());
    assert!(steps > 60 && with_journal > 20, "{steps}, {with_journal}");
}

/// A configuration for the shipped program.
fn configured(url: &str) -> Scratch {
    let scratch = Scratch::new();
    let config = fs::read_to_string(scratch.config()).unwrap().replace("sqlite:rebalanced.sqlite", url);
    fs::write(scratch.config(), config).unwrap();
    scratch
}

fn upgrade(scratch: &Scratch) -> Command {
    let mut command = scratch.program();
    command.args(["migrate", "--config"]).arg(scratch.config()).stdout(Stdio::null());
    command
}

/// The shipped program's upgrade under a tracer.
fn traced(scratch: &Scratch, words: &[String]) -> ExitStatus {
    let program = upgrade(scratch);
    let mut tracer = Command::new("strace");
    tracer.args(["-f", "-qqq", "-e", "signal=none"]).args(words).arg(program.get_program()).args(program.get_args());
    tracer.current_dir(scratch.path()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_24_the_shipped_program_killed_at_its_writes_while_it_upgrades_a_sqlite_file_loses_nothing() {
    let (mut tried, mut killed) = (0, 0);
    for at in 0..newest() {
        let older = Older::both(at).await.remove(0);
        let undisturbed = older.undisturbed().await;
        let scratch = configured(&older.again("reference"));
        let log = scratch.path().join("strace.log");
        let trace = format!("trace={}", WRITES.join(","));
        assert!(traced(&scratch, &["-o".to_owned(), log.display().to_string(), "-e".to_owned(), trace]).success());
        let log = fs::read_to_string(log).unwrap();
        let count = |call: &str| log.lines().filter(|line| line.contains(&format!(" {call}("))).count();
        let points: Vec<(&str, usize)> =
            WRITES.iter().flat_map(|call| (1..=count(call)).map(move |nth| (*call, nth))).collect();
        for place in 0..KILLS.min(points.len()) {
            let (call, nth) = points[place * points.len() / KILLS.min(points.len())];
            let url = older.again(&format!("{call}-{nth}"));
            let inject = format!("inject={call}:signal=KILL:when={nth}");
            let words = ["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject].map(str::to_owned);
            let status = traced(&configured(&url), &words);
            killed += usize::from(status.signal() == Some(9));
            let whole = texts(&url, "PRAGMA integrity_check").await;
            assert_eq!(whole, ["ok"], "{at}, {call} {nth}");
            carried_through(&older, &url, &undisturbed, &format!("{at}, {call} {nth}")).await;
            tried += 1;
        }
    }
    println!("row 24: SQLite, the shipped program: {tried} points at its writes, killed there {killed}, 0 violations");
    assert!(killed * 3 >= tried * 2, "{killed} of {tried}");
}

/// How an upgrade on a server is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The program is killed.
    Killed,
    /// The server ends its connection.
    Severed,
}

/// A server that counts the statements that change its tables, and waits at the one with this number.
fn trap(url: &str, number: i64) {
    let sql = format!(
        "CREATE SCHEMA trap; CREATE SEQUENCE trap.steps;
         CREATE FUNCTION trap.step() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('trap.steps') = {number} THEN PERFORM pg_advisory_xact_lock({LOCK}); END IF;
         END $$;
         CREATE EVENT TRIGGER trap ON ddl_command_end EXECUTE FUNCTION trap.step()"
    );
    as_owner(url, &["-c", &sql]);
}

fn without_trap(url: &str) {
    as_owner(url, &["-c", "DROP EVENT TRIGGER trap", "-c", "DROP SCHEMA trap CASCADE"]);
}

/// What the trap waits for.
const LOCK: i64 = 4242;

/// The connection that waits in the trap.
async fn trapped(url: &str, child: &mut Child) -> i64 {
    let waits = "SELECT CAST(pid AS BIGINT) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4242 AND NOT granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let until = Instant::now() + Duration::from_secs(30);
    let mut link = raw(url).await;
    loop {
        if let Some(row) = sqlx::query(waits).fetch_optional(&mut link).await.unwrap() {
            return row.get(0);
        }
        assert!(
            Instant::now() < until && child.try_wait().unwrap().is_none(),
            "it never came to the trap: {:?}",
            child.try_wait()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The shipped program comes to this statement of its upgrade and no further.
async fn ended_at(url: &str, number: i64, end: End) {
    trap(url, number);
    let mut holder = raw(url).await;
    execute(&mut holder, &format!("SELECT pg_advisory_lock({LOCK})")).await;
    let scratch = configured(url);
    let mut child = upgrade(&scratch).stderr(Stdio::null()).spawn().unwrap();
    let connection = trapped(url, &mut child).await;
    match end {
        End::Killed => {
            child.kill().unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(9));
            execute(&mut holder, &format!("SELECT pg_advisory_unlock({LOCK})")).await;
        }
        End::Severed => {
            execute(&mut holder, &format!("SELECT pg_terminate_backend({connection})")).await;
            assert!(!child.wait().unwrap().success(), "an upgrade that was not done is not called done");
        }
    }
    holder.close().await.unwrap();
    without_trap(url);
}

/// So many are ended at the same time, each on a database of its own: most of it is waiting for a disk.
const WORKERS: i64 = 4;

/// Statements of one migration, one after the other; how often the program was ended.
async fn every_fourth((first, last): (i64, i64), older: &Older, undisturbed: &[String]) -> usize {
    let mut tried = 0;
    for number in (first..=last).step_by(usize::try_from(WORKERS).unwrap()) {
        // Each is a kill; that a connection is lost is tried at each third, for the server does the same then.
        let ends = if number % 3 == 1 { &[End::Killed, End::Severed][..] } else { &[End::Killed] };
        for end in ends {
            let url = older.again("step");
            ended_at(&url, number, *end).await;
            carried_through(older, &url, undisturbed, &format!("{}, statement {number}, {end:?}", older.at)).await;
            tried += 1;
        }
    }
    tried
}

#[tokio::test(flavor = "multi_thread")]
async fn row_24_the_shipped_program_ended_at_any_statement_while_it_upgrades_a_server_loses_nothing() {
    let (mut steps, mut tried) = (0, 0);
    for at in 0..newest() {
        let older = Older::both(at).await.remove(1);
        let undisturbed = older.undisturbed().await;
        let counted = older.again("counted");
        trap(&counted, 0);
        Store::open_as_of(&counted, at + 1).await.unwrap().shut().await;
        let count: i64 = texts(&counted, "SELECT CAST(last_value AS TEXT) FROM trap.steps").await[0].parse().unwrap();
        let (handle, older, undisturbed) = (&Handle::current(), &older, &undisturbed);
        tried += std::thread::scope(|scope| {
            let worker = |first| move || handle.block_on(every_fourth((first, count), older, undisturbed));
            let workers: Vec<_> = (1..=WORKERS).map(|first| scope.spawn(worker(first))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>()
        });
        steps += count;
    }
    println!("row 24: PostgreSQL, the shipped program: {steps} statements, ended there {tried} times, 0 violations");
    assert!(steps > 50, "{steps}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_24_an_older_program_refuses_a_newer_database_and_changes_nothing_in_it() {
    let mut refused = 0;
    let mut fresh: Vec<Option<Vec<String>>> = vec![None, None];
    for at in 0..=newest() {
        for (place, older) in Older::both(at).await.iter().enumerate() {
            let url = older.again("newer");
            let before = contents(&url).await;
            for known in 0..at {
                let error = Store::open_as_of(&url, known).await.unwrap_err();
                let is_refused =
                    matches!(error, Error::NewerSchema { found, known: k } if found == known + 1 && k == known);
                assert!(is_refused, "{}, {at} opened by {known}: {error:?}", older.name);
                refused += 1;
            }
            if at > 0 {
                assert_eq!(contents(&url).await, before, "{}: a program that refuses changes nothing", older.name);
            }
            // Wherever it comes from, its schema is the one that a new database has.
            Store::open(&url).await.unwrap().shut().await;
            let schema = schema(&mut raw(&url).await).await;
            assert_eq!(&schema, fresh[place].get_or_insert_with(|| schema.clone()), "{}, from {at}", older.name);
        }
    }
    println!("row 24: {refused} times opened by an older program, {refused} refused");
    assert_eq!(refused, newest() * (newest() + 1), "every version, by every older program, on both");
}
