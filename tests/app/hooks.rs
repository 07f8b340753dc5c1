//! Signed messages, against the real server: who may ask, for what, and how often.

use hmac::{Hmac, KeyInit, Mac};
use rebalanced::edge::clock::Clock;
use rebalanced::edge::store::{Connection, RunFilter, Store};
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::{AccountId, GrantId, StrategyName, SubscriptionId, UserId};
use rebalanced::model::run::Trigger;
use rebalanced::model::secret::Sealed;
use rebalanced::model::time::Moment;
use serde_json::json;
use sha2::Sha256;

use crate::support::{Answer, Daemon, Scratch, http};

const SECRET: &str = "a-secret-of-the-hooks-that-both-sides-hold";

fn now() -> i64 {
    Clock::System.now().micros() / 1_000_000
}

fn signature(secret: &str, time: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()))
}

fn post(daemon: &Daemon, signed: &str, body: &str) -> Answer {
    let headers = [("Content-Type", "application/json"), ("X-Rebalanced-Signature", signed)];
    http("POST", &daemon.public, "/hooks/trigger", &headers, body)
}

fn send(daemon: &Daemon, body: &str) -> Answer {
    post(daemon, &signature(SECRET, now(), body), body)
}

/// A folder whose daemon takes messages, with two accounts that follow `sixty-forty`.
async fn stage(more: &str) -> (Scratch, String) {
    let scratch = Scratch::new();
    scratch.secret("hook-secret", SECRET);
    let config = std::fs::read_to_string(scratch.config()).unwrap();
    let web = format!("[web]\nhook_secret_file = \"hook-secret\"\n{more}");
    std::fs::write(scratch.config(), config.replace("[web]\n", &web)).unwrap();
    let url = format!("sqlite:{}", scratch.path().join("rebalanced.sqlite").display());
    let store = Store::open(&url).await.unwrap();
    for number in 1..=2 {
        let connection = Connection {
            user: UserId::parse(&format!("usr_{number}")).unwrap(),
            grant: GrantId::parse(&format!("gra_{number}")).unwrap(),
            reference: None,
            account: AccountId::parse(&format!("acc-{number}")).unwrap(),
            number: format!("PA{number}"),
            environment: Kind::Paper,
            scopes: vec!["account:write".to_owned(), "trading".to_owned()],
            // Sealed with a key that the daemon has not: its runs end before they ask the broker anything.
            sealed: Sealed { key_id: "another".to_owned(), bytes: b"sealed".to_vec() },
            strategy: Some(StrategyName::parse("sixty-forty").unwrap()),
            subscription: SubscriptionId::parse(&format!("sub_{number}")).unwrap(),
            consent: None,
            at: Moment::from_micros(1),
        };
        store.connect(&connection).await.unwrap();
    }
    (scratch, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_message_makes_its_runs_once_also_after_a_restart() {
    let (scratch, url) = stage("").await;
    let daemon = scratch.daemon();
    let all = r#"{"strategy":"sixty-forty","id":"deposit-1"}"#;
    let made = send(&daemon, all);
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!((made.json()["count"].clone(), made.json()["replayed"].clone()), (json!(2), json!(false)));
    let one = send(&daemon, r#"{"strategy":"sixty-forty","account":"acc-2","id":"deposit-2"}"#);
    assert_eq!((one.status, one.json()["count"].clone()), (200, json!(1)), "{one:?}");
    let again = send(&daemon, all);
    assert_eq!(again.status, 200);
    assert_eq!((&again.json()["runs"], &again.json()["replayed"]), (&made.json()["runs"], &json!(true)));
    let other = send(&daemon, r#"{"strategy":"sixty-forty","account":"acc-1","id":"deposit-1"}"#);
    assert_eq!(other.status, 409, "{other:?}");
    assert!(daemon.stop().0.success());
    let daemon = scratch.daemon();
    let again = send(&daemon, all);
    assert_eq!((&again.json()["runs"], &again.json()["replayed"]), (&made.json()["runs"], &json!(true)));
    assert!(daemon.stop().0.success());
    let store = Store::open(&url).await.unwrap();
    let runs = store.runs(&RunFilter::all()).await.unwrap();
    assert_eq!(runs.len(), 3, "{runs:?}");
    assert!(runs.iter().all(|run| run.trigger == Trigger::Webhook && run.slot_reason.as_str() == "webhook"));
    let events = store.events(0, i64::MAX).await.unwrap();
    let accepted: Vec<_> = events.iter().filter(|event| event.kind == "hook.accepted").collect();
    assert!(accepted.len() == 2 && accepted[0].facts.contains("deposit-1") && accepted[0].actor == "webhook");
    let triggered = events.iter().filter(|event| event.kind == "run.triggered" && event.facts.contains("deposit-"));
    assert_eq!(triggered.count(), 3);
    assert_eq!(scratch.run(&["audit", "verify", "--json"]).ok().json()["holds"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_not_signed_now_by_us_and_in_order_is_refused_and_makes_nothing() {
    let (scratch, url) = stage("").await;
    let daemon = scratch.daemon();
    let body = r#"{"strategy":"sixty-forty","id":"one"}"#;
    let right = signature(SECRET, now(), body);
    let flipped = format!("{}{}", &right[..right.len() - 1], if right.ends_with('0') { "1" } else { "0" });
    for signed in [
        signature("a-secret-that-somebody-else-made-up-by-chance", now(), body),
        flipped,
        signature(SECRET, now() - 301, body),
        signature(SECRET, now() + 310, body),
        right.replace("v1=", "v2="),
        String::new(),
        "t=1,v1=zz".to_owned(),
    ] {
        let answer = post(&daemon, &signed, body);
        assert_eq!(answer.status, 401, "{signed}: {answer:?}");
    }
    assert_eq!(post(&daemon, &right, r#"{"strategy":"sixty-forty","id":"two"}"#).status, 401, "another body");
    assert_eq!(http("POST", &daemon.public, "/hooks/trigger", &[], body).status, 401, "no header");
    for (status, body) in [
        (404, r#"{"strategy":"unknown","id":"one"}"#.to_owned()),
        (404, r#"{"strategy":"sixty-forty","account":"acc-9","id":"one"}"#.to_owned()),
        (400, r#"{"strategy":"sixty-forty"}"#.to_owned()),
        (400, r#"{"strategy":"sixty-forty","id":""}"#.to_owned()),
        (400, r#"{"strategy":"sixty-forty","id":"one","acount":"acc-1"}"#.to_owned()),
        (400, "strategy=sixty-forty".to_owned()),
        (413, format!("{{\"strategy\":\"sixty-forty\",\"id\":\"{}\"}}", "x".repeat(5_000))),
    ] {
        let answer = send(&daemon, &body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
    assert_eq!(http("GET", &daemon.public, "/hooks/trigger", &[], "").status, 405);
    assert_eq!(http("POST", &daemon.operator, "/hooks/trigger", &[], body).status, 404, "not on the operators' side");
    let store = Store::open(&url).await.unwrap();
    assert!(store.runs(&RunFilter::all()).await.unwrap().is_empty());
    // None of them used the id up; and within the tolerance a clock may be wrong.
    assert_eq!(post(&daemon, &signature(SECRET, now() - 280, body), body).status, 200);
    let (_, log) = daemon.stop();
    let log = log.join("\n");
    assert!(
        !log.contains(SECRET) && !log.contains(&right[right.len() - 64..]),
        "neither secret nor signature is logged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn d3_messages_beyond_the_limit_of_a_minute_wait_and_wrong_ones_do_not_use_it_up() {
    let (scratch, _) = stage("hooks_per_minute = 3\n").await;
    let daemon = scratch.daemon();
    for number in 0..10 {
        let body = format!("{{\"strategy\":\"sixty-forty\",\"id\":\"wrong-{number}\"}}");
        assert_eq!(post(&daemon, &signature(&SECRET.replace('a', "b"), now(), &body), &body).status, 401);
    }
    let answers: Vec<u16> = (0..5)
        .map(|number| send(&daemon, &format!("{{\"strategy\":\"sixty-forty\",\"id\":\"right-{number}\"}}")).status)
        .collect();
    assert_eq!(answers, [200, 200, 200, 429, 429]);
}

#[test]
fn without_a_secret_there_is_no_such_path_and_a_short_one_is_refused() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    assert_eq!(send(&daemon, r#"{"strategy":"sixty-forty","id":"one"}"#).status, 404);
    assert!(daemon.stop().0.success());
    scratch.secret("hook-secret", "too-short");
    let config = std::fs::read_to_string(scratch.config()).unwrap();
    let config = config.replace("[web]\n", "[web]\nhook_secret_file = \"hook-secret\"\n");
    std::fs::write(scratch.config(), config).unwrap();
    let refused = scratch.run(&["check"]);
    assert!(refused.code == 64 && refused.err.contains("shorter than 32 characters"), "{refused:?}");
}
