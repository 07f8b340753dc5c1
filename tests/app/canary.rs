//! Fifty tokens, with their codes, states, cookies and every other secret, run through the whole service at the log level
//! TRACE, good days and bad ones; then they are searched for everywhere, in every form (D.4).

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use alpaca_sim::{ConsentMode, ConsentRule, Environment, NewAccount, OAuthApp, Sim, SimConfig};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sqlx::{Connection, Row};

use crate::postgres::empty_postgres;
use crate::support::{Daemon, SECRET, Scratch, TOKEN, get, http};

const TOKENS: usize = 50;
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

/// What the broker's side sees: the tokens it hands out and the codes it takes; and the mischief that it makes.
#[derive(Clone, Default)]
struct Broker {
    secrets: Arc<Mutex<BTreeSet<String>>>,
    tokens: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    mischief: Arc<AtomicUsize>,
}

/// Between the service and the simulator: learns the secrets, and now and then answers with an echo of the token.
async fn between(State(broker): State<Broker>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = token.trim_start_matches("Bearer ").to_owned();
    if path.ends_with("/oauth/token") && request.method() == Method::POST {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let code = url::form_urlencoded::parse(&body).find(|(name, _)| name == "code").unwrap().1.into_owned();
        broker.secrets.lock().unwrap().insert(code);
        let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(token) = json["access_token"].as_str() {
            broker.secrets.lock().unwrap().insert(token.to_owned());
            broker.tokens.fetch_add(1, Ordering::SeqCst);
        }
        return Response::from_parts(parts, Body::from(body));
    }
    // After everybody is connected the days are bad: every answer in thirteen is an echo of some kind.
    let is_bad = broker.tokens.load(Ordering::SeqCst) >= TOKENS && path.contains("/v2/");
    let number = broker.asked.fetch_add(1, Ordering::SeqCst);
    if !is_bad || token.is_empty() || !number.is_multiple_of(13) {
        return next.run(request).await;
    }
    let page = format!("<html><h1>Bad gateway</h1>Bearer {token} &amp; {}</html>", hex::encode(&token));
    match broker.mischief.fetch_add(1, Ordering::SeqCst) % 6 {
        0 => (StatusCode::INTERNAL_SERVER_ERROR, page).into_response(),
        1 => (StatusCode::OK, format!("{{\"id\":\"{token}\"")).into_response(),
        2 => (StatusCode::OK, format!("{{\"{token}\":[\"{token}\"]}}")).into_response(),
        3 => (StatusCode::FORBIDDEN, format!("{{\"code\":40310000,\"message\":\"no: {token}\"}}")).into_response(),
        4 => (StatusCode::UNAUTHORIZED, format!("{{\"message\":\"unknown token {token}\"}}")).into_response(),
        _ => (StatusCode::UNPROCESSABLE_ENTITY, [("x-request-id", token.clone())], page).into_response(),
    }
}

/// The simulator behind a socket, with everybody in it, and its address.
async fn broker(state: &Broker) -> (Sim, String) {
    let sim = Sim::new(SimConfig {
        seed: 7,
        start: "2019-06-03T14:00:00Z".parse().unwrap(),
        speed: 60.0,
        // Long enough for runs to listen to the stream, which begins with the token.
        fill_latency_ms: (500, 5_000),
        apps: vec![OAuthApp {
            client_id: "client".to_owned(),
            client_secret: SECRET.to_owned(),
            redirect_uris: vec!["http://127.0.0.1:8080/oauth/callback".to_owned()],
            live_trading_approved: false,
            developer_account_ids: Vec::new(),
            name: "test".to_owned(),
        }],
        ..SimConfig::default()
    })
    .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let routes = sim.router().layer(middleware::from_fn_with_state(state.clone(), between));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let beat = sim.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            beat.advance();
        }
    });
    (sim, address)
}

fn value<'a>(text: &'a str, name: &str) -> &'a str {
    text.split(&format!("{name}=")).nth(1).unwrap_or_default().split(['&', ';', ' ']).next().unwrap_or_default()
}

/// One person goes through the pages; what is secret on the way is noted, and every answer.
fn connects(daemon: &Daemon, sim: &Sim, broker: (&Broker, &str), (name, mode): (&str, ConsentMode), seen: &mut Seen) {
    sim.create_person(Some(name), name).unwrap();
    let mut new = NewAccount::new(name, Environment::Paper);
    new.cash = 20_000.into();
    sim.create_account(new).unwrap();
    sim.set_consent(ConsentRule { mode, person: Some(name.to_owned()), ..ConsentRule::default() });
    let begun = get(&daemon.public, &format!("/connect?strategy=sixty-forty&env=paper&ref={name}"));
    let location = begun.header("location").unwrap().to_owned();
    let cookie = begun.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let mut secrets = broker.0.secrets.lock().unwrap();
    secrets.insert(value(&location, "state").to_owned());
    secrets.insert(cookie.split('=').nth(1).unwrap().to_owned());
    drop(secrets);
    let page = location.split(broker.1).nth(1).unwrap();
    let back = get(broker.1, page).header("location").unwrap().to_owned();
    let path = format!("/oauth/callback?{}", back.split('?').nth(1).unwrap());
    let done = http("GET", &daemon.public, &path, &[("Cookie", &cookie)], "");
    let again = http("GET", &daemon.public, &path, &[("Cookie", &cookie)], "");
    // The redirect carries the state to the browser, which is whose it is; the pages that are shown carry nothing.
    seen.note("HTTP answers", format!("{}{}{}{}", done.head, done.body, again.head, again.body));
}

/// Everything that came out of the service, by where it was seen.
#[derive(Default)]
struct Seen {
    texts: Vec<(String, Vec<u8>)>,
}

impl Seen {
    fn note(&mut self, place: &str, text: impl AsRef<[u8]>) {
        self.texts.push((place.to_owned(), text.as_ref().to_vec()));
    }
}

/// Every form in which a secret could be hidden in a text.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), hex::encode(secret), hex::encode_upper(secret)];
    for shift in 0..3 {
        // Whatever stands before it moves the letters; the first and the last may belong to a neighbour.
        let shifted: Vec<u8> = std::iter::repeat_n(b'x', shift).chain(secret.bytes()).collect();
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            let from = if shift == 0 { 0 } else { shift + 1 };
            forms.push(encoded[from..encoded.len() - 2].to_owned());
        }
    }
    let each = |write: &dyn Fn(u8) -> String| secret.bytes().map(write).collect::<String>();
    forms.extend([
        each(&|b| format!("%{b:02X}")),
        each(&|b| format!("%{b:02x}")),
        each(&|b| format!("\\u{b:04x}")),
        each(&|b| format!("\\u{b:04X}")),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        serde_json::to_string(secret).unwrap().trim_matches('"').to_owned(),
    ]);
    forms.sort();
    forms.dedup();
    forms
}

/// Which secrets are found where.
fn hits(secrets: &[String], seen: &Seen) -> Vec<String> {
    let needles: Vec<(usize, String)> = secrets
        .iter()
        .enumerate()
        .flat_map(|(place, secret)| forms(secret).into_iter().map(move |form| (place, form)))
        .collect();
    let machine = AhoCorasick::new(needles.iter().map(|(_, form)| form.as_bytes())).unwrap();
    let mut hits = Vec::new();
    for (place, text) in &seen.texts {
        for found in machine.find_overlapping_iter(text).take(3) {
            let around =
                String::from_utf8_lossy(&text[found.start().saturating_sub(120)..(found.end() + 40).min(text.len())])
                    .into_owned();
            hits.push(format!(
                "{place}: secret {} as `{}`: ...{around}...",
                needles[found.pattern()].0,
                needles[found.pattern()].1
            ));
        }
    }
    hits
}

#[test]
fn d4_the_search_finds_a_secret_in_every_form() {
    let secret = "c4nary+/=\"&-\u{e9}";
    for form in forms(secret) {
        let mut seen = Seen::default();
        seen.note("a haystack", format!("hay {form} hay"));
        assert!(!hits(&[secret.to_owned()], &seen).is_empty(), "{form}");
    }
    for before in ["", "a", "ab"] {
        let mut seen = Seen::default();
        seen.note("a haystack", STANDARD_NO_PAD.encode(format!("{before}{secret} and more")));
        assert!(!hits(&[secret.to_owned()], &seen).is_empty(), "base64 after {before:?}");
    }
    let mut seen = Seen::default();
    seen.note("a haystack", "nothing of the kind");
    assert!(hits(&[secret.to_owned()], &seen).is_empty());
}

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
    let wrong = http("GET", &daemon.operator, "/api/v1/users", &[("Authorization", "Bearer wrong")], "");
    seen.note("HTTP answers", wrong.body);
    let metrics = get(&daemon.operator, "/metrics").body;
    assert!(metrics.contains("rebalanced_streams_total{event=\"opened\"}"), "no token went into a stream: {metrics}");
    seen.note("metrics", metrics);
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
    let bearer = format!("Bearer {TOKEN}");
    let ask = |path: &str| http("GET", &daemon.operator, path, &[("Authorization", &bearer)], "");
    let until = Instant::now() + Duration::from_secs(40);
    let closed = || ask("/api/v1/runs?state=closed&limit=1000").json()["runs"].as_array().unwrap().len();
    while closed() < RUNS {
        assert!(Instant::now() < until, "{} runs ended", closed());
        std::thread::sleep(Duration::from_millis(200));
    }
    asks_around(&daemon, &bearer, &mut seen);
    for line in
        ["users", "runs", "subscriptions", "approvals", "halts --all", "check", "doctor", "audit export", "operators"]
    {
        let ran = scratch.line(line);
        seen.note("commands", format!("{}{}", ran.out, ran.err));
    }
    assert!(state.mischief.load(Ordering::SeqCst) > 12, "every kind of echo, more than once");
    let orders = sim.ledger().orders.len();
    let (_, log) = daemon.stop();
    seen.note("JSON logs", log.join("\n"));
    seen.note("text logs", for_a_while(&scratch, &[("REBALANCED_LOG__FORMAT", "text")]));
    scratch.secret("other.key", &"7a".repeat(32));
    let other = scratch.path().join("other.key");
    let ran = for_a_while(&scratch, &[("REBALANCED_VAULT__KEY_FILE", other.to_str().unwrap())]);
    seen.note("wrong vault key", ran);
    match database {
        None => {
            for name in ["rebalanced.sqlite", "rebalanced.sqlite-wal", "rebalanced.sqlite-shm"] {
                seen.note(name, std::fs::read(scratch.path().join(name)).unwrap_or_default());
            }
        }
        Some(url) => seen.note("PostgreSQL, all tables", runtime.block_on(dumped(url))),
    }
    let mut secrets: Vec<String> = state.secrets.lock().unwrap().iter().cloned().collect();
    secrets.extend([SECRET.to_owned(), TOKEN.to_owned(), "5e".repeat(32)]);
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
