//! Strategy files: what is right is read exactly, and what is wrong is named with file, line and mend.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use rebalanced::edge::strategies::{json_schema, load_dir, read_file};
use rebalanced::model::ids::StrategyName;
use rebalanced::model::money::{Fraction, Usd};
use rebalanced::model::schedule::{Every, Misfire, On, Roll, Rule, SessionPoint, SessionRule};
use rebalanced::model::strategy::{Destination, OnUnfilled, OrderStyle, OrderType, Unmanaged};
use rebalanced::model::tolerance::{Band, Cooldowns, Mode, Scope};
use rust_decimal::Decimal;
use tempfile::TempDir;

/// Line numbers in the tests below count from the first line of this text.
const GOOD: &str = r#"name = "sixty-forty"
description = "60% US stocks, 35% US bonds, 5% cash."

[schedule]
cron = "0 45 15 * * Mon-Fri"
timezone = "America/New_York"
misfire = "run_once"
grace_minutes = 30

[[weights]]
symbol = "SPY"
percent = 60
[[weights]]
symbol = "AGG"
percent = 35
[cash]
percent = 5

[rebalance]
drift_absolute_percent = 5
drift_relative_percent = 20
destination = "target"
cooldown_days = 0
invest_cash = true
unmanaged = "ignore"

[orders]
type = "market"
min_notional = 1

[limits]
max_order_notional = 25000
max_turnover_percent = 35
"#;

fn faults_of(text: &str) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.toml");
    fs::write(&path, text).unwrap();
    let faults = read_file(&path).map(|_| ()).unwrap_err();
    let place = format!("{}", path.display());
    faults.iter().map(|fault| fault.to_string().replace(&place, "a.toml")).collect()
}

/// What is changed in the good file, and what must be said of it.
const FAULTS: &[(&str, &str, &str)] = &[
    ("percent = 60", "percent = 61", "a.toml:17:11: weights and cash add up to 101%, not 100%; 1 percent are too many"),
    (
        "percent = 60",
        "percent = 59.5",
        "a.toml:17:11: weights and cash add up to 99.5%, not 100%; 0.5 percent are missing",
    ),
    (
        "cooldown_days",
        "cooldown_dais",
        "a.toml:23:1: unknown key `rebalance.cooldown_dais`; the nearest known key is `cooldown_days`",
    ),
    ("[limits]", "[limit]", "a.toml:31:2: unknown key `limit`; the nearest known key is `limits`"),
    (
        "symbol = \"SPY\"",
        "ticker = \"SPY\"",
        "a.toml:11:1: unknown key `weights.ticker`; known here: `symbol`, `percent`",
    ),
    (
        "symbol = \"SPY\"",
        "ticker = \"SPY\"",
        "a.toml:10:1: `weights.symbol` is missing; add a line `symbol = ...` here",
    ),
    (
        "invest_cash = true",
        "min_notional = 1",
        "a.toml:24:1: unknown key `rebalance.min_notional`; it belongs into [orders]",
    ),
    ("symbol = \"SPY\"", "symbol = \"spy\"", "a.toml:11:10: `spy` is no symbol; write `SPY`"),
    ("symbol = \"SPY\"", "symbol = \"brk-b\"", "a.toml:11:10: `brk-b` is no symbol; write `BRK.B`"),
    (
        "symbol = \"SPY\"",
        "symbol = \"BTC/USD\"",
        "a.toml:11:10: `BTC/USD` is no symbol; write the ticker of a US stock",
    ),
    ("symbol = \"SPY\"", "symbol = 7", "a.toml:11:10: `weights.symbol` is 7; put it in \"quotes\""),
    ("symbol = \"AGG\"", "symbol = \"SPY\"", "a.toml:14:10: SPY has two weights; add them up into one"),
    (
        "percent = 60",
        "percent = \"60\"",
        "a.toml:12:11: `weights.percent` is \"60\"; write a plain number without quotes",
    ),
    ("percent = 60", "percent = nan", "a.toml:12:11: `weights.percent` is nan; write a plain number"),
    ("percent = 60", "percent = 6e1", "a.toml:12:11: `weights.percent` is 6e1; write a plain number"),
    ("percent = 60", "percent = 0x3c", "a.toml:12:11: `weights.percent` is 0x3c; write a plain number"),
    ("percent = 60", "percent = -60", "a.toml:12:11: the weight of SPY is -60%; a weight is above 0 and at most 100"),
    ("percent = 5", "percent = -5", "a.toml:17:11: cash is -5%; it is 0 or above, and below 100"),
    (
        "America/New_York",
        "America/NewYork",
        "a.toml:6:12: `America/NewYork` is no time zone; the nearest is `America/New_York`",
    ),
    ("America/New_York", "new york", "a.toml:6:12: `new york` is no time zone; the nearest is `America/New_York`"),
    ("0 45 15 * * Mon-Fri", "45 15 * * Mon-Fri", "; seconds come first: write `0 45 15 * * Mon-Fri`"),
    ("0 45 15 * * Mon-Fri", "at teatime", "a.toml:5:8: `at teatime` is no cron rule"),
    ("0 45 15 * * Mon-Fri", "0 0 0 31 2 *", "a.toml:5:8: the cron rule `0 0 0 31 2 *` never comes due"),
    ("cron = ", "every = \"session\"\ncron = ", "[schedule] has both `cron` and `every`; keep one of the two"),
    ("cron = \"0 45 15 * * Mon-Fri\"", "", "a.toml:4:2: [schedule] has neither `cron` nor `every`; add cron"),
    (
        "misfire = \"run_once\"",
        "misfire = \"run_onse\"",
        "a.toml:7:11: `run_onse` is no schedule.misfire; the nearest is `run_once`",
    ),
    (
        "grace_minutes = 30",
        "grace_minutes = -1",
        "a.toml:8:17: `schedule.grace_minutes` is -1; write a whole number from 0 to 10080",
    ),
    (
        "grace_minutes = 30",
        "spread_minutes = 400",
        "a.toml:8:18: `schedule.spread_minutes` is 400; write a whole number from 0 to 390",
    ),
    (
        "misfire = ",
        "reason = \"Month end\"\nmisfire = ",
        "a.toml:7:10: `Month end` is no reason; small letters, digits",
    ),
    ("misfire = ", "reason = \"webhook\"\nmisfire = ", "a.toml:7:10: `webhook` is no reason; small letters, digits"),
    (
        "[schedule]",
        "[[schedule]]\nreason = \"a\"\nevery = \"week\"\n[[schedule]]",
        "a.toml:7:1: `schedule.reason` is missing",
    ),
    (
        "[schedule]",
        "[[schedule]]\nreason = \"a\"\nevery = \"week\"\n[[schedule]]\nreason = \"a\"",
        "a.toml:8:10: two schedules have the reason `a`; give each one of its own",
    ),
    (
        "[schedule]",
        "[[schedule]]\nreason = \"a\"\nevery = \"week\"\nat = \"noon\"\n[[schedule]]\nreason = \"b\"",
        "a.toml:7:6: `noon` is no point in a session",
    ),
    ("destination = \"target\"", "destination = \"edge\"", "a.toml:22:15: `edge` is no rebalance.destination"),
    (
        "invest_cash = true",
        "invest_cash = \"yes\"",
        "a.toml:24:15: `rebalance.invest_cash` is \"yes\"; write true or false",
    ),
    ("min_notional = 1", "min_notional = 0.5", "a.toml:29:16: orders.min_notional is 0.5; it is 1 or more"),
    (
        "max_order_notional = 25000",
        "max_order_notional = 0.5",
        "a.toml:32:22: limits.max_order_notional is 0.5; it is at least",
    ),
    (
        "max_turnover_percent = 35",
        "max_turnover_percent = 350",
        "a.toml:33:24: limits.max_turnover_percent is 350; it is above 0",
    ),
    ("name = \"sixty-forty\"\n", "", "a.toml:1:1: `name` is missing; add a line `name = ...` here"),
    ("sixty-forty", "sixty forty", "a.toml:1:8: `sixty forty` is not a strategy name"),
    ("[cash]", "[[cash]]", "`cash` is a list, not a table; write [cash] on a line of its own"),
    ("percent = 5\n", "percent = 5\npercent = 5\n", "a.toml:18:1: this is not TOML: duplicate key"),
    ("min_notional = 1", "min_notional = ", "a.toml:29:1"),
];

#[test]
fn every_fault_names_line_and_column_what_is_wrong_and_the_mend() {
    for (from, to, expected) in FAULTS {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let faults = faults_of(&text);
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{to}: {faults:#?} should hold {expected}");
    }
}

#[test]
fn one_look_tells_every_fault() {
    let text = GOOD
        .replace("cooldown_days", "cooldown_dais")
        .replace("percent = 60", "percent = 61")
        .replace("America/New_York", "America/NewYork")
        .replace("min_notional = 1", "min_notional = 0");
    let faults = faults_of(&text);
    assert_eq!(faults.len(), 4, "{faults:#?}");
    assert!(faults_of("").len() >= 3, "name, schedule and weights are missing");
}

#[test]
fn a_file_is_read_exactly() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.toml");
    let text = r#"name = "x"
[schedule]
every = "quarter"
at = "open+30m"
misfire = "skip"
grace_minutes = 1_0
[[weights]]
symbol = "BRK.B"
percent = 33.3333333333333333
[[weights]]
symbol = "AGG"
percent = 66.6666666666666667
[rebalance]
drift_relative_percent = 12.5
destination = "band_edge"
unmanaged = "block"
invest_cash = false
cooldown_days = 7
[orders]
type = "limit"
min_notional = 5.01
collar_percent = 0.25
reprice_times = 3
on_unfilled = "market"
"#;
    fs::write(&path, text).unwrap();
    let (strategy, kept) = read_file(&path).unwrap();
    assert_eq!(kept, text);
    let schedule = strategy.when().schedules().next().unwrap();
    assert!(matches!(
        schedule.rule,
        Rule::Session(SessionRule {
            every: Every::Quarter,
            on: On::First,
            roll: Roll::Preceding,
            at: SessionPoint::AfterOpen(30)
        })
    ));
    assert_eq!((schedule.misfire, schedule.grace_minutes), (Misfire::Skip, 10));
    assert_eq!(strategy.targets()[1].weight.decimal().to_string(), "0.333333333333333333");
    assert_eq!(strategy.cash(), Fraction::ZERO);
    assert_eq!(strategy.conditions().drift_relative, Some(Fraction::parse("0.125").unwrap()));
    assert_eq!(strategy.conditions().destination, Destination::BandEdge);
    assert_eq!(strategy.conditions().unmanaged, Unmanaged::Block);
    assert!(!strategy.conditions().invest_cash);
    assert_eq!(strategy.orders().kind, OrderType::Limit);
    let wanted = OrderStyle {
        kind: OrderType::Limit,
        min_notional: Usd::parse("5.01").unwrap(),
        collar: Fraction::parse("0.0025").unwrap(),
        reprice_times: 3,
        on_unfilled: OnUnfilled::Market,
    };
    assert_eq!((strategy.orders(), strategy.orders().tries()), (&wanted, 5));
    assert_eq!((strategy.limits().max_order_notional, strategy.limits().max_turnover), (None, None));
    let changed = text.replace("min_notional = 5.01", "min_notional = 5.02");
    fs::write(&path, changed).unwrap();
    assert_ne!(read_file(&path).unwrap().0.version(), strategy.version(), "an edited file is a new version");
}

#[test]
fn several_schedules_are_read_in_the_order_of_the_file_and_one_may_stand_in_either_form() {
    let read = |text: &str| {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.toml");
        fs::write(&path, text).unwrap();
        read_file(&path).map(|(strategy, _)| strategy)
    };
    let several = GOOD.replacen(
        "[schedule]",
        "[[schedule]]\nreason = \"month-end\"\nevery = \"month\"\non = \"last\"\nmisfire = \"skip\"\nspread_minutes = 20\n\
         [[schedule]]\nreason = \"daily\"",
        1,
    );
    let strategy = read(&several).unwrap();
    let told: Vec<_> = strategy
        .when()
        .schedules()
        .map(|one| (one.reason.as_str(), one.misfire, one.grace_minutes, one.spread_minutes))
        .collect();
    assert_eq!(told, [("month-end", Misfire::Skip, 30, 20), ("daily", Misfire::RunOnce, 30, 0)]);
    for one in [GOOD.to_owned(), GOOD.replacen("[schedule]", "[[schedule]]", 1)] {
        let strategy = read(&one).unwrap();
        let told: Vec<_> = strategy.when().schedules().map(|one| one.reason.as_str()).collect();
        assert_eq!(told, ["scheduled"]);
    }
    let none = "[cash]\npercent = 5\n";
    let text = format!("schedule = []\nname = \"x\"\n[[weights]]\nsymbol = \"SPY\"\npercent = 95\n{none}");
    assert!(read(&text).unwrap_err()[0].to_string().contains("`schedule` is an empty list"), "never none");
}

#[test]
fn bands_triggers_and_modes_are_read_exactly() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.toml");
    let text = GOOD
        .replace("percent = 60", "percent = 60\nband_below_percent = 4\nband_above_percent = 6.5")
        .replace("AGG\"\npercent = 35\n", "AGG\"\npercent = 35\nband_percent = 5\n")
        .replace(
            "cooldown_days = 0",
            "cooldown_days = 5\ndrift_portfolio_percent = 8\ncash_above = 500\nscope = \"out_of_band\"",
        )
        .replace("[orders]", "[rebalance.cooldown]\ndrift = 10\nscheduled = 0\n[orders]");
    fs::write(&path, text).unwrap();
    let (strategy, _) = read_file(&path).unwrap();
    let conditions = strategy.conditions();
    let points = |text: &str| Some(Fraction::parse(text).unwrap());
    let bands: Vec<_> = strategy.targets_in_bands().map(|(target, band)| (target.symbol.as_str(), band)).collect();
    let even = Band { below: points("0.05"), above: points("0.05") };
    assert_eq!(bands, [("AGG", even), ("SPY", Band { below: points("0.04"), above: points("0.065") })]);
    assert_eq!(conditions.tolerance.drift_portfolio, points("0.08"));
    assert_eq!(conditions.tolerance.cash_above, Some(Usd::parse("500").unwrap()));
    assert_eq!(conditions.tolerance.cooldowns, Cooldowns { drift: Some(10), portfolio: None, scheduled: Some(0) });
    assert_eq!((conditions.scope, conditions.mode, conditions.cooldown_days), (Scope::OutOfBand, Mode::Full, 5));
    for (word, mode) in
        [("buy_only", Mode::BuyOnly), ("sell_only", Mode::SellOnly), ("fewest_trades", Mode::FewestTrades)]
    {
        fs::write(&path, GOOD.replace("cooldown_days = 0", &format!("mode = \"{word}\""))).unwrap();
        assert_eq!(read_file(&path).unwrap().0.conditions().mode, mode);
    }
}

#[test]
fn what_is_wrong_with_bands_and_modes_is_said_where_it_stands() {
    let faults: [(&str, &str, &str); 9] = [
        (
            "AGG\"\npercent = 35\n",
            "AGG\"\npercent = 35\nband_percent = 5\nband_above_percent = 6\n",
            "a.toml:16:16: `weights.band_percent` stands beside a band of one side; keep band_percent, or \
             band_below_percent and band_above_percent",
        ),
        (
            "AGG\"\npercent = 35\n",
            "AGG\"\npercent = 35\nband_percent = 101\n",
            "a.toml:16:16: the band of AGG is 101%; it is above 0 and at most 100",
        ),
        (
            "cooldown_days = 0",
            "mode = \"buy_onyl\"",
            "a.toml:23:8: `buy_onyl` is no rebalance.mode; the nearest is `buy_only`",
        ),
        (
            "unmanaged = \"ignore\"",
            "unmanaged = \"sell\"\nmode = \"buy_only\"",
            "a.toml:26:8: rebalance.mode is `buy_only`, but `unmanaged = \"sell\"` sells; use unmanaged = \"ignore\" or \
             \"block\"",
        ),
        (
            "invest_cash = true",
            "invest_cash = false\ncash_above = 500",
            "a.toml:25:14: rebalance.cash_above says when cash is invested, but `invest_cash = false` never invests it; \
             remove one of the two",
        ),
        (
            "cooldown_days = 0",
            "cash_above = 0.5",
            "a.toml:23:14: rebalance.cash_above is 0.5; it is at least orders.min_notional",
        ),
        (
            "[orders]",
            "[rebalance.cooldown]\ndrifft = 3\n[orders]",
            "a.toml:28:1: unknown key `rebalance.cooldown.drifft`; the nearest known key is `drift`",
        ),
        (
            "[orders]",
            "[rebalance.cooldown]\ndrift = 3661\n[orders]",
            "a.toml:28:9: `rebalance.cooldown.drift` is 3661; write a whole number from 0 to 3660",
        ),
        (
            "cooldown_days = 0",
            "cooldown = 3",
            "a.toml:23:1: `rebalance.cooldown` is a number, not a table; write [rebalance.cooldown] on a line of its own",
        ),
    ];
    for (from, to, said) in faults {
        assert_eq!(faults_of(&GOOD.replace(from, to)), [said]);
    }
}

#[test]
fn the_schema_knows_the_tables_inside_tables() {
    let schema: serde_json::Value = serde_json::from_str(&json_schema()).unwrap();
    let rebalance = &schema["properties"]["rebalance"]["properties"];
    assert_eq!(rebalance["cooldown"]["properties"]["drift"]["maximum"], 3660);
    assert_eq!(rebalance["cooldown"]["additionalProperties"], false);
    assert_eq!(rebalance["mode"]["enum"][3], "fewest_trades");
    assert!(schema["properties"].get("rebalance.cooldown").is_none());
    assert!(schema["properties"]["weights"]["items"]["properties"].get("band_below_percent").is_some());
}

#[test]
fn a_folder_is_read_in_order_and_one_bad_file_does_not_touch_the_others() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("b.toml", &GOOD.replace("sixty-forty", "b"));
    write("a.toml", &GOOD.replace("sixty-forty", "a"));
    write("bad.toml", "name = ");
    write("not-text.toml", "");
    fs::write(folder.path().join("not-text.toml"), [0xff, 0xfe]).unwrap();
    write(".half-written.toml", "name = ");
    write("notes.txt", "name = ");
    let (catalog, faults) = load_dir(folder.path()).unwrap();
    let names: Vec<&str> = catalog.iter().map(|strategy| strategy.name().as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!((catalog.len(), catalog.is_empty()), (2, false));
    assert!(catalog.text(&StrategyName::parse("a").unwrap()).unwrap().starts_with("name = \"a\""));
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[1].to_string().contains("not-text.toml: this strategy cannot be read"), "{}", faults[1]);
    assert!(load_dir(&folder.path().join("absent")).is_err());
}

#[test]
fn two_files_with_one_name_are_both_out_and_name_each_other() {
    let folder = TempDir::new().unwrap();
    for file in ["a.toml", "b.toml"] {
        fs::write(folder.path().join(file), GOOD).unwrap();
    }
    fs::write(folder.path().join("c.toml"), GOOD.replace("sixty-forty", "c")).unwrap();
    let (catalog, faults) = load_dir(folder.path()).unwrap();
    assert_eq!(catalog.len(), 1, "nobody can tell which was meant");
    assert_eq!(faults.len(), 2);
    let said = faults[0].to_string();
    assert!(
        said.contains("a.toml:1:9: the name `sixty-forty` is also that of ") && said.contains("b.toml; "),
        "{said}"
    );
    assert!(faults[1].to_string().contains("b.toml:1:9"), "{}", faults[1]);
}

#[test]
fn every_example_is_valid_explained_and_bounded() {
    let (catalog, faults) = load_dir(Path::new("strategies")).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    assert!(catalog.len() >= 5);
    for strategy in catalog.iter() {
        let name = strategy.name();
        assert!(
            catalog.text(name).unwrap().starts_with("#:schema ./strategy.schema.json\n# "),
            "{name} begins with a comment for newcomers"
        );
        assert!(!strategy.description().is_empty(), "{name}");
        assert!(strategy.limits().max_order_notional.is_some() && strategy.limits().max_turnover.is_some(), "{name}");
        assert!(Path::new("strategies").join(format!("{name}.toml")).exists(), "{name} lies in the file of its name");
    }
}

#[test]
fn the_schema_knows_every_key_of_the_documented_file() {
    let schema: serde_json::Value = serde_json::from_str(&json_schema()).unwrap();
    let file: toml::Table = GOOD.parse().unwrap();
    for (table, value) in &file {
        let described = &schema["properties"][table];
        assert!(described.is_object(), "{table}");
        let (keys, inside) = match value {
            toml::Value::Table(keys) => (keys.clone(), &described["properties"]),
            toml::Value::Array(rows) => (rows[0].as_table().unwrap().clone(), &described["items"]["properties"]),
            _ => continue,
        };
        for key in keys.keys() {
            assert!(inside[key]["description"].is_string(), "{table}.{key}");
        }
    }
    assert_eq!(schema["required"], serde_json::json!(["name", "schedule"]));
    let one_of = serde_json::json!([{ "required": ["weights"] }, { "required": ["model"] }]);
    assert_eq!(schema["oneOf"], one_of, "exactly one of the two");
    assert_eq!(schema["properties"]["schedule"]["properties"]["grace_minutes"]["default"], 30);
}

proptest! {
    #[test]
    fn row_85_percents_are_taken_as_written_and_no_text_panics(cents in 1_u32..9_999, noise in "[ -~\n]{0,120}") {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.toml");
        let (one, other) = (Decimal::new(i64::from(cents), 2), Decimal::new(i64::from(10_000 - cents), 2));
        let text = format!("name=\"x\"\n[schedule]\nevery=\"session\"\n[[weights]]\nsymbol=\"A\"\npercent={one}\n[[weights]]\nsymbol=\"B\"\npercent={other}\n");
        fs::write(&path, &text).unwrap();
        let (strategy, _) = read_file(&path).unwrap();
        prop_assert_eq!(strategy.targets()[0].weight, Fraction::from_percent(one));
        fs::write(&path, format!("{text}{noise}")).unwrap();
        drop(read_file(&path));
        fs::write(&path, noise).unwrap();
        prop_assert!(read_file(&path).is_err());
    }
}
