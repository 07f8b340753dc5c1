//! The budget of each account, by a clock that moves when somebody waits.

use rebalanced::edge::alpaca::Error;
use rebalanced::model::environment::Paper;
use rebalanced::model::report::Reply;
use rebalanced::model::time::{Moment, Span};

use crate::durable::purchase;
use crate::script::{Said, Stage, access, access_of, at, ok, order_json, says};

const START: &str = "2026-11-23T15:00:00Z";

fn account() -> Said {
    ok(r#"{"id":"a","status":"ACTIVE","cash":"5"}"#)
}

fn seconds_from_start(moment: Moment) -> i64 {
    moment.since(at(START)).as_secs()
}

#[tokio::test]
async fn at_most_150_requests_leave_in_any_minute_for_one_account() {
    let stage = Stage::new((0..451).map(|_| account()));
    let mut sent = Vec::new();
    for _ in 0..451 {
        stage.client.account(&access::<Paper>()).await.unwrap();
        sent.push(stage.clock.now());
        stage.clock.set(stage.clock.now() + Span::from_millis(10));
    }
    for (index, moment) in sent.iter().enumerate().skip(150) {
        assert!(moment.since(sent[index - 150]) >= Span::from_secs(60), "request {index}");
    }
    assert_eq!(seconds_from_start(*sent.last().unwrap()), 180, "and no slower than that");
}

#[tokio::test]
async fn l5_one_account_that_has_spent_its_budget_holds_up_no_other() {
    let stage = Stage::new((0..151).map(|_| account()));
    for _ in 0..150 {
        stage.client.account(&access_of::<Paper>("one")).await.unwrap();
    }
    stage.client.account(&access_of::<Paper>("two")).await.unwrap();
    assert_eq!(stage.clock.now(), at(START));
}

#[tokio::test]
async fn an_empty_window_is_waited_for_and_a_full_one_is_not() {
    let reset = at("2026-11-23T15:00:30Z").micros() / 1_000_000;
    let left = |remaining: u32| account().with("x-ratelimit-remaining", remaining).with("x-ratelimit-reset", reset);
    let stage = Stage::new([left(1), left(0), account()]);
    stage.client.account(&access::<Paper>()).await.unwrap();
    stage.client.account(&access::<Paper>()).await.unwrap();
    assert_eq!(stage.clock.now(), at(START));
    stage.client.account(&access::<Paper>()).await.unwrap();
    assert_eq!(seconds_from_start(stage.clock.now()), 31, "a second after the reset");
}

#[tokio::test]
async fn row_56_after_a_429_nothing_leaves_before_the_reset() {
    let reset = at("2026-11-23T15:00:20Z").micros() / 1_000_000;
    let stage = Stage::new([says(429, "").with("x-ratelimit-reset", reset), account()]);
    let error = stage.client.account(&access::<Paper>()).await.unwrap_err();
    assert_eq!(error, Error::Throttled { until: Some(at("2026-11-23T15:00:21Z")) });
    stage.client.account(&access::<Paper>()).await.unwrap();
    assert_eq!(seconds_from_start(stage.clock.now()), 21);
}

#[tokio::test]
async fn s8_an_order_is_never_held_back_inside_the_client() {
    let reset = at("2026-11-23T15:00:20Z").micros() / 1_000_000;
    let stage = Stage::new([says(429, "").with("x-ratelimit-reset", reset), ok(order_json())]);
    stage.client.account(&access::<Paper>()).await.unwrap_err();
    let reply = stage.client.submit(&access::<Paper>(), purchase().await).await;
    assert_eq!(reply, Reply::Throttled { until: Some(at("2026-11-23T15:00:21Z")) });
    assert_eq!(stage.clock.now(), at(START), "whoever waits looks at the halts again first");
    assert_eq!(stage.asked().len(), 1, "nothing was sent");
    stage.clock.set(at("2026-11-23T15:00:21Z"));
    assert!(matches!(stage.client.submit(&access::<Paper>(), purchase().await).await, Reply::Accepted(_)));
}

#[tokio::test]
async fn headers_that_make_no_sense_are_ignored() {
    let odd = account().with("x-ratelimit-remaining", "none").with("x-ratelimit-reset", "9223372036854775807");
    let past = account().with("x-ratelimit-remaining", 0).with("x-ratelimit-reset", 5);
    let stage = Stage::new([odd, past, account()]);
    for _ in 0..3 {
        stage.client.account(&access::<Paper>()).await.unwrap();
    }
    assert_eq!(seconds_from_start(stage.clock.now()), 1, "a reset in the past costs a second");
}
