//! Commands: what they print, and with which exit code they end.

use serde_json::{Value, json};

use crate::support::{Ran, SIXTY_FORTY, Scratch};

/// 60/35/5 with everything on its target: 120 SPY at 500, 350 AGG at 100, 5,000 in cash.
const ON_TARGET: &str = include_str!("data/on-target.snapshot.json");
/// The same with 20,000 more in SPY than there should be.
const DRIFTED: &str = include_str!("data/drifted.snapshot.json");

/// A scratch folder whose database exists.
fn with_database() -> Scratch {
    let scratch = Scratch::new();
    let (status, log) = scratch.daemon().stop();
    assert!(status.success(), "{log:?}");
    scratch
}

#[test]
fn help_is_no_failure_and_nonsense_is_bad_input() {
    let scratch = Scratch::new();
    let help = Ran::of(scratch.program().arg("--help")).ok();
    for command in [
        "run",
        "check",
        "schema",
        "plan",
        "users",
        "subscriptions",
        "runs",
        "approvals",
        "halt",
        "resume",
        "audit",
        "keys",
        "doctor",
    ] {
        assert!(help.out.contains(&format!("  {command} ")), "{command} is not in:\n{}", help.out);
    }
    assert_eq!(Ran::of(scratch.program().arg("rebalance-everything")).code, 2);
}

#[test]
fn check_without_a_configuration_says_what_is_missing() {
    let scratch = Scratch::new();
    let ran = Ran::of(scratch.program().arg("check"));
    assert_eq!(ran.code, 64, "{ran:?}");
    for key in ["database.url", "alpaca.client_id", "vault.key_file"] {
        assert!(ran.err.contains(&format!("`{key}` is missing")), "{}", ran.err);
    }
}

#[test]
fn check_shows_what_is_in_force_and_no_secret() {
    let scratch = Scratch::new();
    let ran = scratch.run(&["check", "--json"]).ok();
    let answer = ran.json();
    assert_eq!(answer["settings"]["alpaca.client_secret_file"]["value"], "set");
    assert_eq!(answer["settings"]["alpaca.data_secret_file"]["value"], "missing");
    assert_eq!(answer["settings"]["runs.lease_seconds"]["origin"], "default");
    assert_eq!(answer["strategies"][0]["strategy"], "sixty-forty");
    assert_eq!(answer["faults"], serde_json::json!([]));
    let table = scratch.run(&["check"]).ok();
    for ran in [ran, table] {
        assert!(!ran.out.contains("canary") && !ran.err.contains("canary"), "{ran:?}");
    }
}

#[test]
fn an_unknown_key_ends_with_64_and_names_the_nearest() {
    let scratch = Scratch::new();
    let ran = Ran::of(
        scratch.program().args(["check", "--config"]).arg(scratch.config()).env("REBALANCED_RUNS__MAX_INFLIGHT", "3"),
    );
    assert_eq!(ran.code, 64);
    assert!(ran.err.contains("the nearest known key is `runs.max_in_flight`"), "{}", ran.err);
}

#[test]
fn check_needs_no_configuration_for_strategies_alone() {
    let scratch = Scratch::new();
    Ran::of(scratch.program().args(["check", "--strategies", "strategies"])).ok();
}

#[test]
fn a_broken_strategy_is_bad_input_with_its_file_line_and_mend() {
    let scratch = Scratch::new();
    scratch.write(
        "strategies/broken.toml",
        &SIXTY_FORTY.replace("sixty-forty", "broken").replace("percent = 60", "percent = 61"),
    );
    let ran = scratch.run(&["check"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("broken.toml:") && ran.err.contains("101"), "{}", ran.err);
    let refused = scratch.run(&["run"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("broken.toml:") && refused.err.contains("--skip-invalid"), "{}", refused.err);
}

#[test]
fn the_schema_is_json_schema() {
    let scratch = Scratch::new();
    let schema = Ran::of(scratch.program().arg("schema")).ok().json();
    assert!(schema["properties"]["weights"].is_object(), "{schema}");
}

fn plan(scratch: &Scratch, snapshot: &str, more: &[&str]) -> Ran {
    let snapshot = scratch.write("snapshot.json", snapshot);
    let mut command = scratch.program();
    command.args(["plan", "--strategy", "strategies/sixty-forty.toml", "--snapshot"]).arg(snapshot).args(more);
    Ran::of(&mut command)
}

#[test]
fn a_portfolio_on_its_target_is_held() {
    let scratch = Scratch::new();
    let answer = plan(&scratch, ON_TARGET, &["--json"]).ok().json();
    assert_eq!(answer["decision"], "hold");
    assert_eq!(answer["orders"], serde_json::json!([]));
    assert_eq!(answer["drift"]["portfolio"], "0");
    assert_eq!(answer["cash_after"], "5000.00");
}

#[test]
fn a_drifted_portfolio_is_traded_sells_first_and_the_answer_has_the_documented_form() {
    let scratch = Scratch::new();
    let ran = plan(&scratch, DRIFTED, &["--json"]).ok();
    let answer = ran.json();
    assert_eq!(answer["decision"], "trade");
    let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
    for key in
        ["decision", "reason", "detail", "drift", "orders", "skipped", "weights", "cash_after", "turnover", "refusals"]
    {
        assert!(keys.iter().any(|found| *found == key), "{key} is not in {keys:?}");
    }
    let orders = answer["orders"].as_array().unwrap();
    assert_eq!(orders[0]["phase"], "sell");
    assert_eq!(orders[0]["symbol"], "SPY");
    assert_eq!(orders.last().unwrap()["phase"], "buy");
    for order in orders {
        assert!(order["value"].is_string() && order["time_in_force"] == "day", "{order}");
        assert!(order["qty"].is_string() != order["notional"].is_string(), "exactly one of the two: {order}");
    }
    assert_eq!(plan(&scratch, DRIFTED, &["--json"]).out, ran.out, "the same files give the same bytes");
    let table = plan(&scratch, DRIFTED, &[]).ok();
    assert!(table.out.contains("SPY") && table.out.contains("orders"), "{}", table.out);
}

#[test]
fn bad_input_of_plan_names_the_file_the_place_and_the_mend() {
    let scratch = Scratch::new();
    let cases = [
        ("not json at all".to_owned(), "snapshot.json: "),
        (DRIFTED.replace("\"cash\": \"5000\"", "\"cash\": \"much\""), "`much`"),
        (DRIFTED.replace("\"account\"", "\"acount\""), "account"),
    ];
    for (snapshot, named) in cases {
        let ran = plan(&scratch, &snapshot, &["--json"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("snapshot.json") && ran.err.contains(named) && ran.err.contains("; "), "{}", ran.err);
        assert!(ran.out.is_empty());
    }
    let ran = Ran::of(scratch.program().args(["plan", "--strategy", "nowhere.toml", "--snapshot", "snapshot.json"]));
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("nowhere.toml"), "{}", ran.err);
}

#[test]
fn a_command_never_makes_an_empty_database() {
    let scratch = Scratch::new();
    let ran = scratch.run(&["users"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("there is no database") && ran.err.contains("--config"), "{}", ran.err);
    assert!(!scratch.path().join("rebalanced.sqlite").exists());
}

#[test]
fn lists_of_a_new_database_are_empty() {
    let scratch = with_database();
    for (command, field) in [
        ("users", "users"),
        ("subscriptions", "subscriptions"),
        ("runs", "runs"),
        ("approvals", "approvals"),
        ("halts", "halts"),
    ] {
        assert_eq!(scratch.run(&[command, "--json"]).ok().json()[field], serde_json::json!([]), "{command}");
        assert_eq!(scratch.run(&[command]).ok().out, "none\n");
    }
}

#[test]
fn the_kill_switch_is_pulled_seen_and_released() {
    let scratch = with_database();
    let halted =
        scratch.run(&["halt", "--symbol", "SPY", "--by", "ana", "--reason", "a split today", "--json"]).ok().json();
    assert_eq!((halted["scope"].as_str(), halted["of"].as_str()), (Some("symbol"), Some("SPY")));
    scratch.run(&["halt", "--by", "ana", "--reason", "everything"]).ok();
    assert_eq!(scratch.run(&["halts", "--json"]).ok().json()["halts"].as_array().unwrap().len(), 2);
    assert_eq!(scratch.run(&["resume", "--by", "ben", "--json"]).ok().json()["released"], 1);
    let left = scratch.run(&["halts", "--json"]).ok().json();
    assert_eq!(left["halts"][0]["of"], "SPY");
    let nobody = scratch.run(&["halt", "--by", " ", "--reason", "x"]);
    assert_eq!(nobody.code, 2, "{nobody:?}");
    assert!(nobody.err.contains("--by"), "{}", nobody.err);
}

#[test]
fn approvals_are_granted_with_a_name_and_a_reason_and_withdrawn() {
    let scratch = with_database();
    let said = "--by ana --reason reviewed --json";
    let other = "0".repeat(64);
    let other = scratch.line(&format!("approvals grant strategy --strategy sixty-forty --read {other} {said}"));
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.err.contains("approve what you have read"), "{}", other.err);
    let granted = scratch.line(&format!("approvals grant strategy --strategy sixty-forty {said}")).ok().json();
    assert_eq!((granted["kind"].as_str(), granted["holds"].as_bool()), (Some("strategy"), Some(true)));
    scratch.write("consent.txt", "I agree.");
    let consent = format!("approvals grant consent --account acc-1 --text consent.txt {said}");
    // The text's plain SHA-256, so that anybody can compare it.
    let hash = "826ff0dab649a97ffdd7779a332accafb35cc161012253a19383db19289d6e02";
    assert_eq!(scratch.line(&consent).ok().json()["what"], format!("text {hash}"));
    let bound = "approvals grant subscription --account acc-1 --strategy sixty-forty --max-order 5000";
    assert_eq!(scratch.line(&format!("{bound} {said}")).ok().json()["what"], "order <= 5000.00");
    let id = granted["id"].as_str().unwrap();
    scratch.line(&format!("approvals revoke {id} --by ben")).ok();
    assert_eq!(scratch.line(&format!("approvals revoke {id} --by ben")).code, 2);
    let all = scratch.line("approvals --json").ok().json();
    let all = all["approvals"].as_array().unwrap();
    assert_eq!(all.len(), 3);
    assert!(all.iter().any(|row| row["id"] == id && row["holds"] == false && row["revoked_at"].is_string()));
}

#[test]
fn an_approval_of_a_stranger_or_of_the_past_is_bad_input() {
    let scratch = with_database();
    let stranger = scratch.line("approvals grant strategy --strategy seventy --by ana --reason b");
    assert_eq!(stranger.code, 2);
    assert!(stranger.err.contains("there are: sixty-forty"), "{}", stranger.err);
    let late = "approvals grant strategy --strategy sixty-forty --by ana --reason b --expires 2020-01-01T00:00:00Z";
    assert_eq!(scratch.line(late).code, 2);
    assert_eq!(scratch.line("approvals grant strategy --strategy sixty-forty --reason b").code, 2, "nobody said it");
}

#[test]
fn the_audit_is_walked_and_exported() {
    let scratch = with_database();
    scratch.run(&["halt", "--by", "ana", "--reason", "a drill"]).ok();
    let verified = scratch.run(&["audit", "verify", "--json"]).ok().json();
    assert_eq!(verified["holds"], true);
    let events = verified["events"].as_i64().unwrap();
    let exported = scratch.run(&["audit", "export"]).ok().out;
    assert_eq!(i64::try_from(exported.lines().count()).unwrap(), events);
    let last: serde_json::Value = serde_json::from_str(exported.lines().last().unwrap()).unwrap();
    assert_eq!(last["hash"], verified["head"]);
    assert!(exported.contains("a drill"));
}

#[test]
fn what_does_not_exist_is_bad_input_that_says_where_to_look() {
    let scratch = with_database();
    let cases: [(&[&str], &str); 5] = [
        (&["runs", "show", "run_0"], "`rebalanced runs`"),
        (&["runs", "trigger", "sub_0", "--by", "ana"], "`rebalanced subscriptions`"),
        (&["subscriptions", "end", "sub_0", "--by", "ana"], "`rebalanced subscriptions`"),
        (&["subscriptions", "add", "--account", "a", "--strategy", "sixty-forty", "--by", "ana"], "`rebalanced users`"),
        (&["users", "disconnect", "a", "--by", "ana"], "`rebalanced users`"),
    ];
    for (arguments, named) in cases {
        let ran = scratch.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(named), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn a_new_key_opens_and_never_overwrites_an_old_one() {
    let scratch = Scratch::new();
    let made = Ran::of(scratch.program().args(["keys", "new", "--file", "other.key"])).ok();
    assert!(made.out.contains("other.key"));
    let again = Ran::of(scratch.program().args(["keys", "new", "--file", "other.key"]));
    assert_eq!(again.code, 2, "{again:?}");
    let doctor = Ran::of(
        scratch
            .program()
            .args(["doctor", "--json", "--config"])
            .arg(scratch.config())
            .env("REBALANCED_VAULT__KEY_FILE", "other.key"),
    );
    let findings = doctor.json()["findings"].as_array().unwrap().clone();
    let key = findings.iter().find(|finding| finding["what"] == "vault key").unwrap();
    assert_eq!(key["state"], "well", "{findings:?}");
}

#[test]
fn doctor_names_what_does_not_answer() {
    let scratch = with_database();
    let ran = scratch.run(&["doctor", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let answer = ran.json();
    let state = |what: &str| {
        let findings = answer["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["what"] == what).unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("configuration"), "well");
    assert_eq!(state("database"), "well");
    assert_eq!(state("alpaca.paper_url"), "not well");
}

#[test]
fn the_calendar_of_a_strategy_is_printed_from_its_file_alone() {
    let scratch = Scratch::new();
    let text = SIXTY_FORTY.replace(
        "cron = \"0 45 15 * * Mon-Fri\"\ntimezone = \"America/New_York\"",
        "every = \"month\"\non = 31\nat = \"close-15m\"",
    );
    let file = scratch.write("month-end.toml", &text);
    let calendar = |days: &[&str]| {
        let base = ["strategies", "calendar", file.to_str().unwrap(), "--json"];
        Ran::of(scratch.program().args(base).args(days))
    };
    let moments = calendar(&["--from", "2024-10-15", "--to", "2024-12-31"]).ok().json()["moments"].clone();
    let shown =
        |moment: &Value| format!("{} {}", moment["new_york"].as_str().unwrap(), moment["session"].as_str().unwrap());
    let shown: Vec<String> = moments.as_array().unwrap().iter().map(shown).collect();
    // 31 November does not exist, and the 29th is the half day after Thanksgiving.
    assert_eq!(
        shown,
        [
            "Thu 2024-10-31 15:45:00 09:30 to 16:00",
            "Fri 2024-11-29 12:45:00 09:30 to 13:00",
            "Tue 2024-12-31 15:45:00 09:30 to 16:00"
        ]
    );
    let first = &moments.as_array().unwrap()[0];
    assert_eq!((&first["reason"], &first["until"]), (&json!("scheduled"), &json!("2024-10-31T20:00:00Z")));
    let none = calendar(&["--from", "2031-01-01", "--to", "2031-02-01"]);
    assert!(none.code == 2 && none.err.contains("1990-01-02 to 2030-12-31"), "{none:?}");
    assert_eq!(calendar(&["--from", "2024-02-01", "--to", "2024-01-01"]).code, 2);
    let wrong = scratch.write("wrong.toml", &text.replace("on = 31", "on = \"Mon\""));
    let refused =
        scratch.run(&["strategies", "calendar", wrong.to_str().unwrap(), "--from", "2024-01-01", "--to", "2024-01-31"]);
    assert!(refused.code == 2 && refused.err.contains("`Mon` is no day of a month"), "{refused:?}");
}

#[test]
fn the_calendar_of_several_schedules_names_each_moment_once_with_its_reason_and_its_end() {
    let scratch = Scratch::new();
    let several = "[[schedule]]\nreason = \"month-end\"\nevery = \"month\"\non = \"last\"\nat = \"close-60m\"\nspread_minutes = 90\n\
         [[schedule]]\nreason = \"friday\"\nevery = \"week\"\non = \"last\"\nat = \"close-60m\"\ngrace_minutes = 10\n";
    let one = "[schedule]\ncron = \"0 45 15 * * Mon-Fri\"\ntimezone = \"America/New_York\"\n";
    let file = scratch.write("several.toml", &SIXTY_FORTY.replace(one, several));
    let days = ["--from", "2024-11-18", "--to", "2024-12-06"];
    let base = ["strategies", "calendar", file.to_str().unwrap(), "--json"];
    let moments = Ran::of(scratch.program().args(base).args(days)).ok().json()["moments"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let shown = |moment: &Value| ["new_york", "reason", "until"].map(|name| text(&moment[name])).join(" ");
    let shown: Vec<String> = moments.as_array().unwrap().iter().map(shown).collect();
    // The 29th is both: the first schedule of the file gives the reason. Its wave ends at the half day's last look, 12:45, and who had no turn
    // by the close has none.
    assert_eq!(
        shown,
        [
            "Fri 2024-11-22 15:00:00 friday 2024-11-22T20:10:00Z",
            "Fri 2024-11-29 12:00:00 month-end 2024-11-29T18:00:00Z",
            "Fri 2024-12-06 15:00:00 friday 2024-12-06T20:10:00Z"
        ]
    );
}
