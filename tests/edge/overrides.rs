//! `[overrides]` and substitutes: read exactly, and each fault with its line and its mend.

use rebalanced::edge::strategies::{json_schema, read_file};
use rebalanced::model::ids::Symbol;
use rebalanced::model::money::Fraction;
use rebalanced::model::personal::{Allowance, ExcludedTo, TargetYears, Unavailable};
use rebalanced::model::strategy::Strategy;

/// Nine lines; what a test adds begins on the tenth.
const BASE: &str = r#"name = "mine"
[schedule]
every = "session"
[[weights]]
symbol = "SPY"
percent = 60
[[weights]]
symbol = "AGG"
percent = 40
"#;

fn read(more: &str) -> Result<Strategy, Vec<String>> {
    read_text(&format!("{BASE}{more}"))
}

fn read_text(text: &str) -> Result<Strategy, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, text).unwrap();
    let lines = |faults: Vec<rebalanced::edge::strategies::FileFault>| {
        faults.iter().map(|fault| fault.to_string().replace(&path.display().to_string(), "F")).collect()
    };
    read_file(&path).map(|(strategy, _)| strategy).map_err(lines)
}

#[test]
fn every_key_is_read() {
    let made = read(
        "[overrides]\nexclude = true\nmax_excluded_percent = 12.5\nexcluded_to = \"cash\"\nhold = true\ncap = true\n\
         cash_percent_max = 30\nunavailable = \"skip_run\"\nsubstitutes = { SPY = \"VTI\", AGG = \"BND\" }\n",
    )
    .unwrap();
    let symbol = |text| Symbol::parse(text).unwrap();
    let percent = |text: &str| Some(Fraction::from_percent(text.parse().unwrap()));
    let wanted = Allowance {
        exclude: true,
        hold: true,
        cap: true,
        cash_max: percent("30"),
        target_years: None,
        max_excluded: percent("12.5"),
        excluded_to: ExcludedTo::Cash,
        unavailable: Unavailable::SkipRun,
        substitutes: [(symbol("SPY"), symbol("VTI")), (symbol("AGG"), symbol("BND"))].into(),
    };
    assert_eq!(*made.allowance(), wanted);
    assert_eq!(made.universe().len(), 4);
}

/// Ten lines; what a test adds begins on the eleventh.
const GLIDE: &str = r#"name = "mine"
[schedule]
every = "session"
[model]
kind = "glide"
default_target_year = 2045
points = [
    { years_to_target = 20, weights = { SPY = 100 } },
    { years_to_target = 0, weights = { SPY = 40, AGG = 60 } },
]
"#;

#[test]
fn target_years_have_both_ends_and_need_a_path_that_goes_by_them() {
    let years = |more: &str| read_text(&format!("{GLIDE}[overrides]\n{more}"));
    let made = years("target_year_min = 2030\ntarget_year_max = 2070\n").unwrap();
    assert_eq!(made.allowance().target_years, Some(TargetYears { first: 2030, last: 2070 }));
    assert_eq!(
        years("target_year_min = 2030\ntarget_year_max = 2030\n").unwrap().allowance().target_years,
        Some(TargetYears { first: 2030, last: 2030 })
    );
    let cases = [
        ("target_year_min = 2030\n", "F:12", "give both target_year_min and target_year_max"),
        ("target_year_max = 2070\n", "F:12", "give both target_year_min and target_year_max"),
        ("target_year_min = 2070\ntarget_year_max = 2030\n", "F:12", "the earlier one as target_year_min"),
        ("target_year_min = 1989\ntarget_year_max = 2030\n", "F:12", "years from 1990 to 2200"),
        ("target_year_min = 2030\ntarget_year_max = 2201\n", "F:13", "from 0 to 2200"),
        ("target_year_min = \"2030\"\ntarget_year_max = 2031\n", "F:12", "write a whole number"),
    ];
    for (text, place, mend) in cases {
        let faults = years(text).unwrap_err();
        assert!(faults[0].starts_with(place) && faults[0].contains(mend), "{text}: {faults:?}");
    }
    let fixed = read("[overrides]\ntarget_year_min = 2030\ntarget_year_max = 2070\n").unwrap_err();
    assert!(fixed.len() == 1 && fixed[0].starts_with("F:11") && fixed[0].contains("years_to_target"), "{fixed:?}");
}

#[test]
fn a_file_without_it_allows_nothing_and_a_substitute_may_stand_at_its_weight() {
    assert_eq!(*read("").unwrap().allowance(), Allowance::default());
    let beside = read("substitute = \"BND\"\n").unwrap();
    assert_eq!(beside.allowance().substitutes[&Symbol::parse("AGG").unwrap()].as_str(), "BND");
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_its_mend() {
    let cases = [
        ("[overrides]\nexlude = true\n", "F:11", "exclude"),
        ("[overrides]\nexclude = 1\n", "F:11", "write true or false without quotes"),
        ("[overrides]\nmax_excluded_percent = 10\n", "F:11", "add exclude = true"),
        ("[overrides]\nexcluded_to = \"cash\"\n", "F:11", "add exclude = true"),
        ("[overrides]\nexclude = true\nexcluded_to = \"chash\"\n", "F:12", "the nearest is `cash`"),
        ("[overrides]\ncash_percent_max = 100\n", "F:11", "above 0 and below 100"),
        ("[overrides]\nunavailable = \"guess\"\n", "F:11", "hold_cash"),
        ("[overrides]\nsubstitutes = \"VTI\"\n", "F:11", "substitutes = { SPY = \"VTI\" }"),
        ("[overrides]\nsubstitutes = { SPY = 1 }\n", "F:11", "put it in \"quotes\""),
        ("[overrides]\nsubstitutes = { SPY = \"SPY\" }\n", "F:11", "name another symbol"),
        ("[overrides]\nsubstitutes = { GLD = \"IAU\" }\n", "F:11", "give it a weight"),
        ("[overrides]\nsubstitutes = { SPY = \"vti\" }\n", "F:11", "write `VTI`"),
        ("substitute = \"BND\"\n[overrides]\nsubstitutes = { AGG = \"GOVT\" }\n", "F:12", "keep one of them"),
        ("[cash]\npercent = 0\n[overrides]\ncash_percent_max = 0\n", "F:13", "above 0 and below 100"),
    ];
    for (text, place, mend) in cases {
        let faults = read(text).unwrap_err();
        assert!(faults.len() == 1 && faults[0].starts_with(place) && faults[0].contains(mend), "{text}: {faults:?}");
    }
}

#[test]
fn the_schema_has_every_key() {
    let schema: serde_json::Value = serde_json::from_str(&json_schema()).unwrap();
    let keys = schema["properties"]["overrides"]["properties"].as_object().unwrap();
    assert_eq!(keys.len(), 10);
    assert_eq!(keys["substitutes"]["additionalProperties"]["type"], "string");
    assert!(schema["properties"]["weights"]["items"]["properties"].get("substitute").is_some());
}
