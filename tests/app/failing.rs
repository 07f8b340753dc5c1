//! D.4 26 and 27: what is logged when the code fails with secrets in its hands, and when somebody's text tries to be more
//! than text.
//!
//! The log is the process's own, so each test starts this program once more and reads what that process logs.

use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rebalanced::app::settings::{Log, LogFormat};
use rebalanced::app::telemetry;
use rebalanced::edge::alpaca::transport::{Lost, Transport};
use rebalanced::edge::alpaca::{Access, AppCredentials, Client, Hosts};
use rebalanced::edge::clock::{Clock, VirtualClock};
use rebalanced::edge::metrics::Metrics;
use rebalanced::edge::points::Points;
use rebalanced::model::environment::Paper;
use rebalanced::model::ids::AccountId;
use rebalanced::model::secret::{AccessToken, Secret};
use rebalanced::model::time::Moment;
use serde_json::Value;

use crate::search::{Seen, forms, hits};

/// Tells the other process that it is one.
const CHILD: &str = "LOG_TEST_CHILD";
const STRINGS: usize = 10_000;
const BEARER: &str = "canary-of-a-token-3f1c9a";
const APP_SECRET: &str = "canary-of-the-app-77d0e2";

/// Runs one test of this program in a process of its own; what it wrote to its standard error.
fn logged_by(test: &str, format: &str) -> String {
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, format)
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    String::from_utf8(ran.stderr).expect("the log is UTF-8")
}

/// Starts the shipped log, if this is the other process.
fn is_child() -> bool {
    let Ok(format) = std::env::var(CHILD) else { return false };
    let format = if format == "text" { LogFormat::Text } else { LogFormat::Json };
    telemetry::start(&Log { format, level: "trace".to_owned() });
    true
}

/// A broker who fails, or who says what it is told to say.
struct Broker(Option<String>);

impl Transport for Broker {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>, Lost>> {
        async move {
            let headers = request.headers().clone();
            assert!(self.0.is_some(), "a fault beside {} headers", headers.len());
            let body = serde_json::json!({"code": 40_310_000, "message": self.0}).to_string();
            Ok(http::Response::builder().status(403).body(Bytes::from(body)).unwrap())
        }
        .boxed()
    }
}

fn client(broker: Broker) -> Client {
    let url = |path: &str| format!("http://127.0.0.1:9{path}").parse().unwrap();
    let hosts = Hosts {
        live: url("/live"),
        paper: url("/paper"),
        data: url("/data"),
        authorize: url("/app"),
        token: url("/token"),
        streams: None,
    };
    let app = AppCredentials {
        client_id: "app".to_owned(),
        client_secret: Secret::new(APP_SECRET.to_owned()),
        redirect_uri: "http://127.0.0.1:8080/oauth/callback".to_owned(),
        pkce: false,
    };
    let clock = Clock::Virtual(VirtualClock::new(Moment::parse("2019-06-03T14:00:00Z").unwrap()));
    Client::new(hosts, app, None, Arc::new(broker), clock, Metrics::new(), Points::default())
}

fn access() -> Access<Paper> {
    let account = AccountId::parse("account-1").unwrap();
    Access { account, token: AccessToken::new(Secret::new(BEARER.to_owned())) }
}

#[test]
fn d4_26_a_panic_beside_secrets_is_logged_without_them() {
    for format in ["json", "text"] {
        let log = logged_by("failing::panics_beside_secrets", format);
        assert_eq!(log.matches("the code failed: a fault").count(), 3, "{log}");
        let mut seen = Seen::default();
        seen.note("a panic", &log);
        let secrets = [BEARER.to_owned(), APP_SECRET.to_owned()];
        let found = hits(&secrets, &seen);
        assert!(found.is_empty(), "{}", found.join("\n"));
        println!("3 panics in {format} beside 2 secrets in up to {} forms: {} hits", forms(BEARER).len(), found.len());
    }
}

/// The other process: the request of a token, an order's account and a code are in scope when the code fails.
#[tokio::test]
async fn panics_beside_secrets() {
    if !is_child() {
        return;
    }
    let broker = client(Broker(None));
    let (one, other) = (broker.clone(), broker.clone());
    let asked = tokio::spawn(async move { one.account(&access()).await });
    assert!(asked.await.unwrap_err().is_panic());
    let asked = tokio::spawn(async move { other.whoami(&access().token).await });
    assert!(asked.await.unwrap_err().is_panic());
    let asked = tokio::spawn(async move {
        let code = Secret::new(BEARER.to_owned());
        broker.exchange_code(&code, &Secret::new(APP_SECRET.to_owned())).await
    });
    assert!(asked.await.unwrap_err().is_panic());
}

/// Text that wants to be a line, a colour, an end or another direction.
fn hostile(number: usize) -> String {
    const PARTS: [&str; 12] = [
        "\r\n",
        "\n{\"level\":\"INFO\"}\n",
        "\u{1b}[31m",
        "\u{1b}]0;x\u{7}",
        "\0",
        "\u{202e}",
        "\u{2066}",
        "\u{2028}",
        "\u{85}",
        "\"},{\"",
        "\\",
        "\u{9b}2J",
    ];
    let part = |shift: usize| PARTS[(number / PARTS.len().pow(u32::try_from(shift).unwrap())) % PARTS.len()];
    format!("ref-{number}{}a{}b{}c{}", part(0), part(1), part(2), part(3))
}

#[test]
fn d4_27_ten_thousand_hostile_strings_are_a_line_of_json_each() {
    let log = logged_by("failing::logs_hostile_strings", "json");
    let (mut as_field, mut as_message) = (0, 0);
    for line in log.split('\n').filter(|line| !line.is_empty()) {
        assert!(line.chars().all(|letter| letter >= ' '), "a control character left as it is: {line:?}");
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        if let Some(number) = record["number"].as_u64() {
            let expected = hostile(usize::try_from(number).unwrap());
            // The broker's words lose at the door what is not text; the reference stays as its user wrote it.
            let said = record["message"].as_str().unwrap();
            assert!(said.starts_with(&format!("the broker refused (403): ref-{number}")), "{said:?}");
            as_message += 1;
            as_field += usize::from(record["reference"] == expected);
        }
    }
    println!("{STRINGS} hostile strings: {as_field} as fields and {as_message} in messages, a line of JSON each");
    assert_eq!((as_field, as_message), (STRINGS, STRINGS));
}

/// The other process: each string is a user's reference and the broker's words.
#[tokio::test]
async fn logs_hostile_strings() {
    if !is_child() {
        return;
    }
    for number in 0..STRINGS {
        let reference = hostile(number);
        let refused = client(Broker(Some(reference.clone()))).account(&access()).await.unwrap_err();
        tracing::warn!(number, reference, "{refused}");
    }
}
