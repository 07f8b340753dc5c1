//! What authors of strategy files do from the command line: take over a portfolio, compare a new version.

use std::fs;

use crate::pulled::{SYMBOLS, Service, strategy, wait_until};
use crate::support::{Ran, SIXTY_FORTY, Scratch};

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

const DRIFTED: &str = include_str!("data/drifted.snapshot.json");

#[test]
fn a_new_version_is_told_in_words_and_by_what_it_would_trade_with_a_snapshot() {
    let scratch = Scratch::new();
    let text = SIXTY_FORTY.replace("percent = 60", "percent = 50").replace("percent = 35", "percent = 45");
    scratch.write("new.toml", &text.replace("drift_relative_percent = 20\n", ""));
    scratch.write("drifted.json", DRIFTED);
    let diff = |arguments: &[&str]| Ran::of(scratch.program().args(["strategies", "diff"]).args(arguments));
    let files = ["strategies/sixty-forty.toml", "new.toml"];
    let said = diff(&files).ok().out;
    for line in [
        "weight of SPY: 60% becomes 50%",
        "weight of AGG: 35% becomes 45%",
        "band in percent of the target: 20% is gone",
        "old version ",
        "new version ",
        "live accounts trade by the new version once it is approved",
        "live accounts must agree to it anew",
    ] {
        assert!(said.contains(line), "{line}:\n{said}");
    }
    assert_eq!(diff(&[files[0], files[0]]).ok().out, "nothing that it does changes\n");
    // By its name in the configured folder, the same.
    let named = scratch.run(&["strategies", "diff", "sixty-forty", "new.toml"]).ok().out;
    assert_eq!(named, said);
    let compared = [files[0], files[1], "--snapshot", "drifted.json"];
    let answer = diff(&[&compared[..], &["--json"]].concat()).ok().json();
    let plan = |file: &str| {
        let alone = ["plan", "--strategy", file, "--snapshot", "drifted.json", "--json"];
        Ran::of(scratch.program().args(alone)).ok().json()
    };
    assert_eq!(answer["accounts"][0]["old"], plan(files[0]), "the same decision as `plan`");
    assert_eq!(answer["accounts"][0]["new"], plan(files[1]));
    let orders = answer["accounts"][0]["new"]["orders"].as_array().unwrap().len();
    assert!(orders > 0 && answer["sum"]["new"]["orders"] == orders, "{answer}");
    let shown = diff(&compared).ok().out;
    assert!(shown.contains("\ntogether\n") && shown.ends_with("nothing was recorded or sent\n"), "{shown}");
    for (arguments, code, why) in [
        (vec!["nowhere.toml", files[1]], 2, "nowhere.toml"),
        (vec![files[0], files[1], "--snapshot", "drifted.json", "--accounts", "all"], 2, "cannot be used with"),
    ] {
        let ran = diff(&arguments);
        assert!(ran.code == code && ran.err.contains(why), "{ran:?}");
    }
    let stranger = scratch.run(&["strategies", "diff", "seventy", "new.toml"]);
    assert!(stranger.code == 2 && stranger.err.contains("there are: sixty-forty"), "{stranger:?}");
    let without = scratch.run(&["strategies", "diff", "sixty-forty", "new.toml", "--accounts", "all"]);
    assert!(without.code == 1 && without.err.contains("there is no database"), "{without:?}");
}

#[test]
fn the_accounts_that_follow_are_looked_at_beside_a_running_daemon_and_nothing_is_sent() {
    let service = Service::new(&strategy(&SYMBOLS[..4], ""));
    let (account, _) = service.connected("ann");
    service.trigger(&account);
    wait_until("the end of the run", || service.is_closed(&account));
    service.scratch.write("new.toml", &strategy(&SYMBOLS[..5], ""));
    let chain = || service.runtime.block_on(service.store.chain_end()).unwrap();
    let (before, orders) = (chain(), service.sim.ledger().orders.len());
    let diff = |line: &str| service.scratch.line(&format!("strategies diff sixty-forty new.toml {line}"));
    let answer = diff("--accounts all --json").ok().json();
    let row = &answer["accounts"][0];
    assert_eq!(
        (row["account"].as_str(), &row["unseen"]),
        (Some(account.as_str()), &serde_json::Value::Null),
        "{answer}"
    );
    assert_eq!(row["new"]["orders"].as_array().unwrap().len(), 5, "{row}");
    assert_eq!((&answer["sum"]["accounts"], &answer["sum"]["new"]["orders"]), (&1.into(), &5.into()), "{answer}");
    let shown = diff(&format!("--accounts {account}")).ok();
    assert!(shown.out.contains("\norders\n") && shown.out.contains("\ntogether\n"), "{shown:?}");
    let stranger = diff("--accounts nobody");
    assert!(
        stranger.code == 2 && stranger.err.contains("account nobody does not follow `sixty-forty`"),
        "{stranger:?}"
    );
    assert_eq!((chain(), service.sim.ledger().orders.len()), (before, orders), "a dry run leaves nothing behind");
}
