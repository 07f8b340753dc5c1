//! `check` as a linter, `explain`, and the schema beside the examples: what authors of strategy files see.

use std::fs;
use std::path::Path;

use rebalanced::decide::explain::codes;
use rebalanced::model::verdict::LintCode;

use crate::support::{Ran, SIXTY_FORTY, Scratch};

/// The repository's own examples.
fn examples() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/strategies"))
}

fn check(scratch: &Scratch, more: &[&str]) -> Ran {
    Ran::of(scratch.program().args(["check", "--strategies", "strategies"]).args(more))
}

#[test]
fn every_example_is_free_of_warnings() {
    let scratch = Scratch::new();
    let ran = Ran::of(scratch.program().args(["check", "--strict", "--json", "--strategies"]).arg(examples()));
    assert_eq!(ran.ok().json()["findings"], serde_json::json!([]));
}

#[test]
fn a_warning_has_file_line_code_and_mend_and_fails_only_when_it_is_to() {
    let scratch = Scratch::new();
    let text = SIXTY_FORTY.replace("0 45 15 * * Mon-Fri", "0 45 18 * * Mon-Fri");
    scratch.write("strategies/sixty-forty.toml", &text);
    let answer = check(&scratch, &["--json"]).ok().json();
    let finding = &answer["findings"][0];
    assert_eq!(finding["file"], "strategies/sixty-forty.toml");
    assert_eq!(finding["line"], 5, "the line of `cron`: {finding}");
    assert_eq!((&finding["code"], &finding["severity"]), (&"never_due".into(), &"warning".into()));
    assert!(finding["message"].as_str().unwrap().contains("outside the exchange's hours"), "{finding}");
    assert!(finding["mend"].as_str().unwrap().contains("9:30 to 16:00"), "{finding}");
    assert_eq!(answer["faults"], serde_json::json!([]));
    let shown = check(&scratch, &[]).ok();
    assert!(
        shown.out.contains("strategies/sixty-forty.toml:5:1: ") && shown.out.contains("[never_due]"),
        "{}",
        shown.out
    );
    let strict = check(&scratch, &["--strict"]);
    assert_eq!(strict.code, 2, "{strict:?}");
    assert!(strict.err.contains("[never_due]"), "{}", strict.err);
}

#[test]
fn a_weight_is_found_on_its_own_line_and_a_fault_is_a_finding_too() {
    let scratch = Scratch::new();
    let text = SIXTY_FORTY.replace("percent = 60", "percent = 94.99").replace("percent = 35", "percent = 0.01");
    scratch.write("strategies/sixty-forty.toml", &text.replace("drift_relative_percent = 20", ""));
    scratch.write("strategies/broken.toml", "name = \"broken\"\n");
    let ran = check(&scratch, &["--json", "--portfolio", "5000"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let findings = ran.json()["findings"].clone();
    let of = |code: &str| findings.as_array().unwrap().iter().find(|one| one["code"] == code).unwrap().clone();
    assert_eq!(of("weight_tiny")["line"], 12, "the line of AGG: {findings}");
    assert!(of("weight_tiny")["message"].as_str().unwrap().contains("0.50 of 5000 dollars"), "{findings}");
    assert_eq!(of("invalid_file")["severity"], "fault");
    assert_eq!(check(&scratch, &["--portfolio", "0"]).code, 2, "a portfolio of nothing");
}

#[test]
fn every_code_is_explained() {
    let scratch = Scratch::new();
    let all = Ran::of(scratch.program().args(["explain", "--json"])).ok().json();
    for code in codes() {
        let told: Vec<_> = all["codes"].as_array().unwrap().iter().filter(|row| row["code"] == code).collect();
        assert!(
            !told.is_empty() && told.iter().all(|row| row["means"].as_str().unwrap().len() > 15),
            "{code}: {told:?}"
        );
    }
    for code in LintCode::ALL.iter().map(|it| it.code()).chain(["inside_bands", "market_closed"]) {
        let ran = Ran::of(scratch.program().args(["explain", code])).ok();
        assert!(ran.out.starts_with(&format!("{code} (")), "{}", ran.out);
    }
    let both = Ran::of(scratch.program().args(["explain", "market_closed"])).ok();
    assert_eq!(both.out.lines().count(), 2, "as a refusal and as an end: {}", both.out);
    let none = Ran::of(scratch.program().args(["explain", "no_such_code"]));
    assert!(none.code == 2 && none.err.contains("`no_such_code` is no code of ours"), "{none:?}");
    let near = Ran::of(scratch.program().args(["explain", "inside_band"]));
    assert!(near.code == 2 && near.err.contains("did you mean `inside_bands`?"), "{near:?}");
}

#[test]
fn the_schema_beside_the_examples_is_the_programs_own_and_every_example_names_it() {
    let scratch = Scratch::new();
    let kept = fs::read_to_string(examples().join("strategy.schema.json")).unwrap();
    assert_eq!(Ran::of(scratch.program().arg("schema")).ok().out, kept, "`rebalanced schema` writes this file");
    let mut seen = 0;
    for entry in fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "toml") {
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().next(), Some("#:schema ./strategy.schema.json"), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen} examples");
}
