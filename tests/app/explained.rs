//! What `plan --explain` says, and that decisions of earlier versions still show.

use rebalanced::app::shown;
use serde_json::json;

use crate::support::{Ran, Scratch};

const DRIFTED: &str = include_str!("data/drifted.snapshot.json");

#[test]
fn plan_explains_every_asset_in_one_sentence_when_it_is_asked_to() {
    let scratch = Scratch::new();
    let snapshot = scratch.write("snapshot.json", DRIFTED);
    let plan = |more: &[&str]| {
        let mut command = scratch.program();
        command.args(["plan", "--strategy", "strategies/sixty-forty.toml", "--snapshot"]).arg(&snapshot).args(more);
        Ran::of(&mut command).ok()
    };
    let answer = plan(&["--explain", "--json"]).json();
    let explained = answer["explained"].as_array().unwrap();
    let symbols: Vec<&str> = explained.iter().map(|one| one["symbol"].as_str().unwrap()).collect();
    assert_eq!(symbols, ["AGG", "SPY"]);
    let sentence = explained[1]["sentence"].as_str().unwrap();
    let order = answer["orders"].as_array().unwrap().iter().find(|order| order["symbol"] == "SPY").unwrap();
    assert!(sentence.contains(&format!("sells {} shares", order["qty"].as_str().unwrap())), "{sentence}");
    assert!(plan(&["--explain"]).out.contains(sentence));
    assert!(plan(&["--json"]).json().get("explained").is_none(), "only when asked");
}

#[test]
fn a_decision_of_an_earlier_version_has_no_sentences_and_shows_all_the_same() {
    assert!(shown::sentences(&json!({ "decision": "hold", "reason": "inside_bands" })).is_empty());
    let new = json!({ "explained": [{ "symbol": "SPY", "sentence": "SPY is held." }] });
    assert_eq!(shown::sentences(&new), ["SPY is held."]);
}
