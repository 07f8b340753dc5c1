//! `overrides` as a command and over HTTP: what is asked for wrongly is told, and nothing is stored.

use crate::support::{Scratch, TOKEN, http};

const NOBODY: &str = "a0000000-0000-4000-8000-000000000001";

#[test]
fn the_command_says_what_is_missing_and_whom_it_does_not_know() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let none = scratch.run(&["overrides", "--json"]).ok();
    assert_eq!(none.json()["overrides"], serde_json::json!([]));
    let words = ["--by", "ada", "--reason", "asked"];
    let tried: [(&[&str], &str); 7] = [
        (&["set", NOBODY, "--exclude", "SPY"], "no account"),
        (&["withdraw", NOBODY, "--amount", "500"], "no account"),
        (&["withdraw", NOBODY, "--amount", "much"], "--amount"),
        (&["set", NOBODY, "--exclude", "SPY", "--cap", "5"], "cannot be used with"),
        (&["set", NOBODY, "--target-year", "2055"], "no account"),
        (&["set", NOBODY, "--target-year", "soon"], "--target-year"),
        (&["set", NOBODY], "required"),
    ];
    for (arguments, told) in tried {
        let ran = scratch.run(&[&["overrides"], arguments, &words].concat());
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(told), "{arguments:?}: {ran:?}");
    }
    assert!(
        scratch
            .run(&["overrides", "clear", NOBODY, "--all", "--by", "ada", "--reason", "x"])
            .ok()
            .out
            .contains("nothing")
    );
    drop(daemon);
}

#[test]
fn the_interface_reads_kinds_symbols_and_amounts_and_nothing_else() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let post = |path: &str, body: &str| http("POST", &daemon.operator, path, &headers, body);
    let listed = http("GET", &daemon.operator, "/api/v1/overrides", &headers, "");
    assert_eq!((listed.status, &listed.json()["overrides"]), (200, &serde_json::json!([])));
    let body = |rest: &str| format!(r#"{{"account":"{NOBODY}","by":"ada","reason":"x",{rest}}}"#);
    for (rest, status, told) in [
        (r#""kind":"exclude","symbol":"SPY""#, 404, "no account"),
        (r#""kind":"exclude""#, 400, "`symbol` is missing"),
        (r#""kind":"withdraw""#, 400, "`amount` is missing"),
        (r#""kind":"cap","amount":"five""#, 400, "five"),
        (r#""kind":"target_year","amount":"2055""#, 404, "no account"),
        (r#""kind":"target_year","amount":"2055.5""#, 400, "the target year, such as"),
        (r#""kind":"buy","symbol":"SPY""#, 400, "`kind` must be"),
    ] {
        let answer = post("/api/v1/overrides", &body(rest));
        assert!(answer.status == status && answer.body.contains(told), "{rest}: {answer:?}");
    }
    let cleared = post("/api/v1/overrides/clear", &body(r#""kind":"cap""#));
    assert_eq!((cleared.status, &cleared.json()["cleared"]), (200, &serde_json::json!([])));
    assert_eq!(http("POST", &daemon.operator, "/api/v1/overrides", &[], "{}").status, 401);
}
