//! What authors of strategy files do from the command line: take over a portfolio.

use std::fs;

use crate::support::{Ran, Scratch};

/// A portfolio as Alpaca's documents show one.
const PORTFOLIO: &str = r#"{
    "name": "Balanced", "description": "A balanced portfolio of stocks and bonds", "cooldown_days": 7,
    "weights": [
        { "type": "cash", "percent": "5" },
        { "type": "asset", "symbol": "SPY", "percent": "60" },
        { "type": "asset", "symbol": "TLT", "percent": "35" }
    ],
    "rebalance_conditions": [{ "type": "drift_band", "sub_type": "absolute", "percent": "5" }]
}"#;

#[test]
fn a_portfolio_is_printed_or_written_as_a_file_that_check_accepts_and_never_over_another() {
    let scratch = Scratch::new();
    scratch.write("portfolio.json", PORTFOLIO);
    let import = |more: &[&str]| Ran::of(scratch.program().args(["strategies", "import", "portfolio.json"]).args(more));
    let printed = import(&[]).ok();
    assert!(printed.out.starts_with("#:schema ./strategy.schema.json\n") && printed.err.is_empty(), "{printed:?}");
    let out = ["--out", "strategies/balanced.toml", "--name", "balanced", "--schedule", "week:Fri", "--json"];
    let written = import(&out).ok();
    assert_eq!(written.json()["strategy"], "balanced");
    assert!(written.err.starts_with("not the same here: ") && written.err.contains("fewer looks"), "{}", written.err);
    let text = fs::read_to_string(scratch.path().join("strategies/balanced.toml")).unwrap();
    assert_eq!(written.json()["toml"], text.as_str());
    let checked = Ran::of(scratch.program().args(["check", "--strategies", "strategies", "--json"])).ok().json();
    assert_eq!(checked["faults"], serde_json::json!([]));
    let again = import(&out);
    assert!(again.code == 2 && again.err.contains("is there already and was left as it is"), "{again:?}");
    assert_eq!(fs::read_to_string(scratch.path().join("strategies/balanced.toml")).unwrap(), text);
    let nonsense = import(&["--schedule", "fortnight"]);
    assert!(nonsense.code == 2 && nonsense.err.contains("`fortnight` is no period"), "{nonsense:?}");
    scratch.write("portfolio.json", &PORTFOLIO.replace("\"60\"", "\"61\""));
    let wrong = import(&[]);
    assert!(wrong.code == 2 && wrong.err.contains("`weights` add up to 101%"), "{wrong:?}");
}
