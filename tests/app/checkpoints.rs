//! D.8 51: the audit's end is signed often enough, and once more when the daemon stops.

use std::fs;
use std::time::{Duration, Instant};

use rebalanced::edge::store::Store;
use rebalanced::model::event::{Actor, Event};
use rebalanced::model::time::Moment;
use serde_json::Value;

use crate::support::{PATIENCE, Scratch};

fn signed(scratch: &Scratch) -> Vec<i64> {
    let text = fs::read_to_string(scratch.path().join("checkpoints.jsonl")).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_i64().unwrap()).collect()
}

/// The other cadence, a minute, is a table in `src/app/checkpoints.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn d8_51_a_thousand_events_are_signed_at_once_and_the_last_ones_at_the_stop() {
    let scratch = Scratch::new();
    let config = fs::read_to_string(scratch.config()).unwrap();
    scratch.secret("audit.key", &"c3".repeat(32));
    let audit = "[audit]\nkey_file = \"audit.key\"\ncheckpoint_file = \"checkpoints.jsonl\"\n";
    fs::write(scratch.config(), format!("{config}{audit}")).unwrap();
    let daemon = scratch.daemon();
    let store = Store::open(&format!("sqlite:{}", scratch.path().join("rebalanced.sqlite").display())).await.unwrap();
    let wait_for = async |wanted: i64| {
        let begun = Instant::now();
        while signed(&scratch).last().is_none_or(|last| *last < wanted) {
            assert!(begun.elapsed() < PATIENCE.min(Duration::from_secs(30)), "{wanted}: {:?}", signed(&scratch));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    wait_for(1).await;
    let happen = async |number: usize| {
        let event = Event::new(Moment::parse("2019-06-03T14:00:00Z").unwrap(), Actor::operator("ann"), "test.happened");
        store.append(&vec![event; number]).await.unwrap();
        store.chain_end().await.unwrap().0
    };
    // Well inside the minute: only their number makes them due.
    wait_for(happen(1_000).await).await;
    let before = signed(&scratch);
    let last = happen(3).await;
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log:?}");
    let after = signed(&scratch);
    assert_eq!(after[..before.len()], before, "appended to, never rewritten");
    assert_eq!(after.last(), Some(&last), "the last events are signed at a polite stop: {after:?}");
    let key = scratch.line("audit public-key").ok().out.trim().to_owned();
    let file = scratch.path().join("checkpoints.jsonl");
    scratch.run(&["audit", "verify", "--public-key", &key, "--checkpoints", file.to_str().unwrap()]).ok();
}
