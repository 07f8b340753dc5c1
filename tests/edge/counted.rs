//! Metrics and dice.

use std::collections::BTreeSet;

use rebalanced::edge::entropy::Entropy;
use rebalanced::edge::metrics::Metrics;
use rebalanced::model::environment::{Kind, Paper};
use rebalanced::model::ids::StrategyName;
use rebalanced::model::intent::IntentState;
use rebalanced::model::money::Fraction;
use rebalanced::model::plan::Side;
use rebalanced::model::time::Span;
use rebalanced::model::verdict::{Outcome, Reason, RefusalCode};

use crate::script::{ACCOUNT, Stage, TOKEN, access, at, lost, ok, says};

#[tokio::test]
async fn every_metric_of_the_issue_is_there_with_its_labels_and_none_names_a_person() {
    let stage = Stage::new([ok(r#"{"id":"a","status":"ACTIVE","cash":"5"}"#), says(503, ""), lost("gone")]);
    for _ in 0..3 {
        drop(stage.client.account(&access::<Paper>()).await);
    }
    let metrics = &stage.metrics;
    let strategy = StrategyName::parse("sixty-forty").unwrap();
    metrics.run_closed(&strategy, Kind::Paper, &Outcome::completed(Reason::DriftAbsolute, "done"));
    metrics.order_settled(Side::Buy, IntentState::Filled);
    metrics.refusal(RefusalCode::LiveSwitchedOff);
    metrics.due_not_done(3);
    metrics.queue_depth(2);
    metrics.in_flight(1);
    metrics.drift(&strategy, "before", Fraction::parse("0.042").unwrap());
    metrics.tokens("active", 25);
    metrics.heartbeat(at("2026-11-23T15:00:00.5Z"));
    let text = metrics.text();
    for line in [
        r#"rebalanced_runs_total{environment="paper",outcome="completed",reason="drift_absolute",strategy="sixty-forty"} 1"#,
        r#"rebalanced_orders_total{outcome="filled",side="buy"} 1"#,
        r#"rebalanced_refusals_total{code="live_switched_off"} 1"#,
        r#"rebalanced_broker_request_seconds_count{endpoint="account",status="2xx"} 1"#,
        r#"rebalanced_broker_request_seconds_count{endpoint="account",status="5xx"} 1"#,
        r#"rebalanced_broker_request_seconds_count{endpoint="account",status="lost"} 1"#,
        "rebalanced_runs_due_not_done 3",
        "rebalanced_queue_depth 2",
        "rebalanced_runs_in_flight 1",
        r#"rebalanced_portfolio_drift_ratio_sum{strategy="sixty-forty",when="before"} 0.042"#,
        r#"rebalanced_tokens{health="active"} 25"#,
        "rebalanced_heartbeat_timestamp_seconds 1795446000.5",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains(ACCOUNT) && !text.contains(TOKEN));
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = family.split(' ').next().unwrap();
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
}

#[test]
fn two_sets_of_metrics_do_not_meet() {
    let (one, other) = (Metrics::new(), Metrics::new());
    one.queue_depth(7);
    assert!(one.text().contains("rebalanced_queue_depth 7") && other.text().contains("rebalanced_queue_depth 0"));
    one.clone().queue_depth(8);
    assert!(one.text().contains("rebalanced_queue_depth 8"), "clones share");
}

#[test]
fn the_same_seed_gives_the_same_draws_and_one_use_does_not_disturb_another() {
    let (one, other) = (Entropy::seeded(7), Entropy::seeded(7));
    let quiet: Vec<String> = (0..5).map(|_| one.token("state", 32)).collect();
    let disturbed: Vec<String> = (0..5)
        .map(|_| {
            other.id("gra_");
            other.token("state", 32)
        })
        .collect();
    assert_eq!(quiet, disturbed);
    assert_ne!(quiet[0], Entropy::seeded(8).token("state", 32));
    assert_ne!(one.clone().token("state", 32), quiet[0], "clones share the stream");
}

#[test]
fn draws_have_the_length_that_was_asked_for_and_differ() {
    for entropy in [Entropy::system(), Entropy::seeded(1)] {
        let ids: BTreeSet<String> = (0..1000).map(|_| entropy.id("run_")).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 30 && id[4..].bytes().all(|b| b.is_ascii_hexdigit())));
        assert_eq!(entropy.token("state", 32).len(), 64);
        let jitter: Vec<Span> = (0..1000).map(|_| entropy.jitter("poll", Span::from_secs(1))).collect();
        assert!(jitter.iter().all(|span| (Span::ZERO..=Span::from_secs(1)).contains(span)));
        assert!(
            jitter.iter().any(|span| *span > Span::from_millis(900))
                && jitter.iter().any(|span| *span < Span::from_millis(100))
        );
        assert_eq!(entropy.jitter("poll", Span::ZERO), Span::ZERO);
    }
}
