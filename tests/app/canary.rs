//! Fifty tokens, with their codes, states, cookies and every other secret, run through the whole service at the log level
//! TRACE, good days and bad ones; then they are searched for everywhere, in every form (D.4).

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alpaca_sim::{ConsentMode, Sim};
use sqlx::{Connection, Row};

use crate::broker::{Broker, TOKENS, broker, connects};
use crate::postgres::empty_postgres;
use crate::search::{Seen, forms, hits};
use crate::support::{Daemon, SECRET, Scratch, TOKEN, get, http};

const RUNS: usize = 120;
const EVERY_MINUTE: &str = r#"name = "sixty-forty"
[schedule]
cron = "0 * * * * *"
[[weights]]
symbol = "SPY"
percent = 60
[[weights]]
symbol = "AGG"
percent = 40
[orders]
min_notional = 10
"#;

/// The daemon for a while with another configuration, killed in the middle; what it wrote to its standard error.
fn for_a_while(scratch: &Scratch, variables: &[(&str, &str)]) -> Vec<u8> {
    let mut command = scratch.program();
    command.args(["run", "--config"]).arg(scratch.config()).envs(variables.iter().copied());
    let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    drop(Command::new("kill").args(["-KILL", &child.id().to_string()]).status());
    child.wait_with_output().unwrap().stderr
}

fn configured(scratch: &Scratch, address: &str, database: Option<&str>) {
    let config = std::fs::read_to_string(scratch.config()).unwrap();
    let config =
        config.replace("127.0.0.1:9/", &format!("{address}/")).replace("level = \"debug\"", "level = \"trace\"");
    let config = format!("{config}[clock]\nurl = \"http://{address}/sim/clock\"\n[runs]\norder_wait_seconds = 30\n");
    let config = database.map_or(config.clone(), |url| config.replace("sqlite:rebalanced.sqlite", url));
    std::fs::write(scratch.config(), config).unwrap();
    scratch.write("strategies/sixty-forty.toml", EVERY_MINUTE);
}

/// Everything that the service answers over HTTP, also to those who show no good token.
fn asks_around(daemon: &Daemon, bearer: &str, seen: &mut Seen) {
    for path in ["users", "subscriptions", "runs?limit=1000", "halts?all=true", "approvals", "nothing"] {
        let answer = http("GET", &daemon.operator, &format!("/api/v1/{path}"), &[("Authorization", bearer)], "");
        seen.note("HTTP answers", format!("{}{}", answer.head, answer.body));
    }
    let html = ("Accept", "text/html,*/*;q=0.8");
    let page = http("GET", &daemon.public, "/connect?strategy=sixty-forty&env=live&ref=a-browser", &[html], "");
    assert!(page.status == 200 && page.body.contains("you can lose all of it"), "{page:?}");
    seen.note("consent page", page.body);
    let wrong = http("GET", &daemon.operator, "/api/v1/users", &[("Authorization", "Bearer wrong")], "");
    seen.note("HTTP answers", wrong.body);
    let metrics = get(&daemon.operator, "/metrics").body;
    assert!(metrics.contains("rebalanced_streams_total{event=\"opened\"}"), "no token went into a stream: {metrics}");
    seen.note("metrics", metrics);
}

/// A second vault key, half a byte at a time.
const OTHER_KEY: &str = "7a";

/// An operator with every scope; their token is a secret like any other.
fn named_operator(scratch: &Scratch) -> String {
    scratch
        .run(&["operators", "add", "ann", "--scopes", "read,operate,approve", "--by", "founder", "--token-file", "ann"])
        .ok();
    std::fs::read_to_string(scratch.path().join("ann")).unwrap().trim().to_owned()
}

/// What the program prints, whatever it is asked: also of one run, of one order, of a halt and of a user who leaves.
fn commands(scratch: &Scratch, sim: &Sim, runs: &serde_json::Value, seen: &mut Seen) {
    let run = runs["runs"][0]["id"].as_str().unwrap();
    let orders = sim.ledger().orders;
    let (order, account) = (&orders[0].order.client_order_id, &orders[0].account);
    for (line, codes) in [
        ("users", [0, 0]),
        ("runs", [0, 0]),
        ("subscriptions", [0, 0]),
        ("approvals", [0, 0]),
        ("halts --all", [0, 0]),
        ("check", [0, 0]),
        ("doctor", [0, 1]),
        ("audit export", [0, 0]),
        ("operators", [0, 0]),
        (&format!("runs show {run}"), [0, 0]),
        (&format!("runs explain {run}"), [0, 0]),
        (&format!("audit trace {order}"), [0, 0]),
        ("halt --by ann --reason drill --cancel-orders", [0, 0]),
        (&format!("users disconnect {account} --by ann"), [0, 0]),
    ] {
        let ran = scratch.line(line);
        assert!(codes.contains(&ran.code), "{line}: {ran:?}");
        seen.note("commands", format!("{}{}", ran.out, ran.err));
    }
}

fn canaries(database: Option<&str>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let state = Broker::default();
    let (sim, address) = runtime.block_on(broker(&state));
    let scratch = Scratch::new();
    configured(&scratch, &address, database);
    let daemon = scratch.daemon();
    let mut seen = Seen::default();
    connects(&daemon, &sim, (&state, &address), ("denier", ConsentMode::Deny), &mut seen);
    for number in 0..TOKENS {
        connects(&daemon, &sim, (&state, &address), (&format!("user-{number}"), ConsentMode::Auto), &mut seen);
    }
    assert_eq!(state.tokens.load(Ordering::SeqCst), TOKENS, "everybody has a token");
    let operator = named_operator(&scratch);
    let bearer = format!("Bearer {operator}");
    let ask = |path: &str| http("GET", &daemon.operator, path, &[("Authorization", &bearer)], "");
    let until = Instant::now() + Duration::from_secs(40);
    let closed = || ask("/api/v1/runs?state=closed&limit=1000").json()["runs"].as_array().unwrap().len();
    while closed() < RUNS {
        assert!(Instant::now() < until, "{} runs ended", closed());
        std::thread::sleep(Duration::from_millis(200));
    }
    asks_around(&daemon, &bearer, &mut seen);
    commands(&scratch, &sim, &ask("/api/v1/runs?state=closed&limit=1000").json(), &mut seen);
    assert!(state.mischief.load(Ordering::SeqCst) > 12, "every kind of echo, more than once");
    let orders = sim.ledger().orders.len();
    let (_, log) = daemon.stop();
    seen.note("JSON logs", log.join("\n"));
    seen.note("text logs", for_a_while(&scratch, &[("REBALANCED_LOG__FORMAT", "text")]));
    scratch.secret("other.key", &OTHER_KEY.repeat(32));
    let other = scratch.path().join("other.key");
    let other = [("REBALANCED_VAULT__KEY_FILE", other.to_str().unwrap())];
    seen.note("wrong vault key", for_a_while(&scratch, &other));
    let both = [other[0], ("REBALANCED_VAULT__PREVIOUS_KEY_FILE", "vault.key")];
    let rotated =
        scratch.program().args(["keys", "rotate", "--by", "ann", "--config", "rebalanced.toml"]).envs(both).output();
    let rotated = rotated.unwrap();
    assert!(rotated.status.success(), "{rotated:?}");
    seen.note("commands", [rotated.stdout, rotated.stderr].concat());
    match database {
        None => {
            for name in ["rebalanced.sqlite", "rebalanced.sqlite-wal", "rebalanced.sqlite-shm"] {
                seen.note(name, std::fs::read(scratch.path().join(name)).unwrap_or_default());
            }
        }
        Some(url) => seen.note("PostgreSQL, all tables", runtime.block_on(dumped(url))),
    }
    let mut secrets: Vec<String> = state.secrets.lock().unwrap().iter().cloned().collect();
    secrets.extend([SECRET.to_owned(), TOKEN.to_owned(), "5e".repeat(32), OTHER_KEY.repeat(32), operator]);
    assert!(secrets.len() > 4 * TOKENS && secrets.iter().all(|secret| secret.len() >= 16), "{}", secrets.len());
    let found = hits(&secrets, &seen);
    let bytes: usize = seen.texts.iter().map(|(_, text)| text.len()).sum();
    let places: BTreeSet<&str> = seen.texts.iter().map(|(place, _)| place.as_str()).collect();
    println!(
        "{} secrets in up to {} forms, {TOKENS} tokens, {orders} orders, {} echoes: {} hits in {} MB of {} kinds: {}",
        secrets.len(),
        forms("0123456789abcdef+").len(),
        state.mischief.load(Ordering::SeqCst),
        found.len(),
        bytes / 1_000_000,
        places.len(),
        places.into_iter().collect::<Vec<_>>().join(", ")
    );
    assert!(bytes > 1_000_000, "TRACE is not silent: {bytes} bytes");
    assert!(orders > 20, "the service has worked: {orders} orders");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Every row of every table as text.
async fn dumped(url: &str) -> String {
    let mut link = sqlx::AnyConnection::connect(url).await.unwrap();
    let tables = "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'public'";
    let tables: Vec<String> =
        sqlx::query(tables).fetch_all(&mut link).await.unwrap().iter().map(|row| row.get(0)).collect();
    let mut dump = String::new();
    for table in tables {
        let sql = sqlx::AssertSqlSafe(format!("SELECT CAST(row_to_json(t) AS TEXT) FROM {table} t"));
        for row in sqlx::query(sql).fetch_all(&mut link).await.unwrap() {
            dump.push_str(&row.get::<String, _>(0));
            dump.push('\n');
        }
    }
    dump
}

#[test]
fn d4_no_secret_leaves_the_service_in_any_form_on_sqlite() {
    canaries(None);
}

#[test]
fn d4_no_secret_leaves_the_service_in_any_form_on_postgresql() {
    sqlx::any::install_default_drivers();
    canaries(Some(&empty_postgres()));
}
