//! Portfolios of Alpaca's Rebalancing API: what comes out as a strategy file is what went in, and what has no equal is said.

use std::fs;

use proptest::prelude::*;
use rebalanced::edge::strategies::portfolio::{At, Days, TakenOver, Wanted, take_over};
use rebalanced::edge::strategies::read_file;
use rebalanced::model::ids::StrategyName;
use rebalanced::model::money::{Fraction, Usd};
use rebalanced::model::schedule::{Every, On, Roll, Rule, SessionPoint, SessionRule};
use rebalanced::model::strategy::{Destination, Strategy};
use rebalanced::model::tolerance::{Mode, Scope};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tempfile::TempDir;

fn taken(portfolio: &str, wanted: &Wanted) -> Result<TakenOver, Vec<String>> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("p.json");
    fs::write(&path, portfolio).unwrap();
    let place = path.display().to_string();
    let said = |faults: Vec<rebalanced::edge::strategies::FileFault>| {
        faults.iter().map(|fault| fault.to_string().replace(&place, "p.json")).collect::<Vec<_>>()
    };
    let taken = take_over(&path, wanted).map_err(said)?;
    // The file on the disk is read as the one in memory was.
    let file = folder.path().join("p.toml");
    fs::write(&file, &taken.text).unwrap();
    let (read, _) = read_file(&file).unwrap_or_else(|faults| panic!("{faults:?}\n{}", taken.text));
    assert_eq!(read.version(), taken.strategy.version());
    Ok(taken)
}

/// A portfolio with these conditions.
fn balanced(conditions: &Value) -> Value {
    json!({
        "id": "2d49d00e-ab1c-4014-89d8-70c5f64df2fc",
        "name": "balanced",
        "description": "A \"balanced\" portfolio\nof stocks and bonds",
        "status": "active",
        "cooldown_days": 7,
        "created_at": "2022-08-06T19:12:32-04:00",
        "updated_at": "2022-08-06T19:12:32-04:00",
        "weights": [
            { "type": "cash", "symbol": null, "percent": "5" },
            { "type": "asset", "symbol": "SPY", "percent": "60.25" },
            { "type": "asset", "symbol": "BRK.B", "percent": "34.75" }
        ],
        "rebalance_conditions": conditions,
    })
}

fn drift(sub_type: &str, percent: &str) -> Value {
    json!({ "type": "drift_band", "sub_type": sub_type, "percent": percent, "day": null })
}

fn calendar(sub_type: &str, day: &Value) -> Value {
    json!({ "type": "calendar", "sub_type": sub_type, "percent": null, "day": day })
}

fn percent(text: &str) -> Fraction {
    Fraction::from_percent(text.parse().unwrap())
}

fn rule(strategy: &Strategy) -> SessionRule {
    let mut all = strategy.when().schedules();
    let (Some(one), None) = (all.next(), all.next()) else { panic!("one schedule") };
    match one.rule {
        Rule::Session(rule) => rule,
        Rule::Cron(_) => panic!("no cron"),
    }
}

#[test]
fn bands_are_looked_at_on_every_session_and_everything_goes_to_its_target() {
    let text =
        balanced(&json!([drift("absolute", "5"), drift("relative", "12.5"), drift("absolute", "3.75")])).to_string();
    let TakenOver { strategy, text, warnings } = taken(&text, &Wanted::default()).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(strategy.name().as_str(), "balanced");
    assert_eq!(strategy.description(), "A \"balanced\" portfolio\nof stocks and bonds");
    let weights: Vec<(&str, Fraction)> =
        strategy.targets().iter().map(|target| (target.symbol.as_str(), target.weight)).collect();
    assert_eq!(weights, [("BRK.B", percent("34.75")), ("SPY", percent("60.25"))]);
    assert_eq!(strategy.cash(), percent("5"));
    let conditions = strategy.conditions();
    assert_eq!(conditions.drift_absolute, Some(percent("3.75")), "the tightest: any of them triggers");
    assert_eq!(conditions.drift_relative, Some(percent("12.5")));
    assert_eq!(conditions.cooldown_days, 7);
    assert_eq!(conditions.tolerance.cash_above, Some(Usd::parse("10").unwrap()));
    assert_eq!(
        (conditions.destination, conditions.scope, conditions.mode, conditions.invest_cash),
        (Destination::Target, Scope::All, Mode::Full, true)
    );
    assert!(strategy.when().on_new_version());
    let at = SessionPoint::BeforeClose(30);
    assert_eq!(rule(&strategy), SessionRule { every: Every::Session, on: On::First, roll: Roll::Preceding, at });
    assert!(
        text.contains("2d49d00e-ab1c-4014-89d8-70c5f64df2fc") && text.contains("The tightest of 5%, 3.75%"),
        "{text}"
    );
}

#[test]
fn a_calendar_keeps_its_day_and_goes_to_the_session_before() {
    use jiff::civil::Weekday;
    for (sub_type, day, every, on) in [
        ("weekly", json!("Wednesday"), Every::Week, On::Weekday(Weekday::Wednesday)),
        ("monthly", json!("31"), Every::Month, On::Day(31)),
        ("monthly", json!(7), Every::Month, On::Day(7)),
        ("quarterly", json!("07"), Every::Quarter, On::Day(7)),
        ("annually", json!("06-30"), Every::Year, On::Date { month: 6, day: 30 }),
        ("annually", json!("02-29"), Every::Year, On::Date { month: 2, day: 29 }),
    ] {
        let portfolio = balanced(&json!([calendar(sub_type, &day)])).to_string();
        let wanted = Wanted { at: Some(At::parse("open+20m").unwrap()), ..Wanted::default() };
        let TakenOver { strategy, text, warnings } = taken(&portfolio, &wanted).unwrap();
        let at = SessionPoint::AfterOpen(20);
        assert_eq!(rule(&strategy), SessionRule { every, on, roll: Roll::Preceding, at }, "{text}");
        assert!(strategy.conditions().is_bandless(), "every moment trades, as Alpaca's calendar does");
        assert!(text.contains("roll = \"preceding\""), "{text}");
        assert!(warnings.len() == 1 && warnings[0].contains("each day"), "{warnings:?}");
        assert!(text.contains(&format!("# Not the same here: {}", warnings[0])), "{text}");
    }
}

#[test]
fn what_has_no_equal_is_refused_unless_the_author_says_what_to_do() {
    let both = balanced(&json!([drift("absolute", "5"), calendar("monthly", &json!("15"))])).to_string();
    let refused = taken(&both, &Wanted::default()).unwrap_err();
    assert!(refused.len() == 1 && refused[0].contains("a calendar and a drift band"), "{refused:?}");
    let daily = Wanted { days: Some(Days::parse("session").unwrap()), ..Wanted::default() };
    let kept = taken(&both, &daily).unwrap();
    assert_eq!(rule(&kept.strategy).every, Every::Session);
    assert_eq!(kept.strategy.conditions().drift_absolute, Some(percent("5")));
    assert!(kept.warnings.iter().any(|it| it.contains("calendar (month:15) is left out")), "{:?}", kept.warnings);
    for none in [balanced(&json!([])), balanced(&Value::Null)] {
        let refused = taken(&none.to_string(), &Wanted::default()).unwrap_err();
        assert!(refused[0].contains("by hand only") && refused[0].contains("--schedule"), "{refused:?}");
        let monthly = Wanted { days: Some(Days::parse("month:last").unwrap()), ..Wanted::default() };
        let taken = taken(&none.to_string(), &monthly).unwrap();
        assert_eq!((rule(&taken.strategy).every, rule(&taken.strategy).on), (Every::Month, On::Last));
        assert!(taken.warnings[0].contains("by hand only"), "{:?}", taken.warnings);
    }
    let mut portfolio = balanced(&json!([drift("absolute", "5")]));
    portfolio["name"] = json!("  Balanced, actual! ");
    portfolio["status"] = json!("needs_adjustment");
    portfolio["frobnicate"] = json!(3);
    portfolio["weights"][1]["note"] = json!("x");
    portfolio.as_object_mut().unwrap().remove("cooldown_days");
    let strange = taken(&portfolio.to_string(), &Wanted::default()).unwrap();
    assert_eq!(strange.strategy.name().as_str(), "balanced-actual");
    for part in ["needs_adjustment", "\"frobnicate\"", "\"weights[1].note\"", "`cooldown_days`", "`balanced-actual`"] {
        assert!(strange.warnings.iter().any(|it| it.contains(part)), "{part}: {:?}", strange.warnings);
    }
    let named = Wanted { name: Some(StrategyName::parse("mine").unwrap()), ..Wanted::default() };
    assert_eq!(taken(&portfolio.to_string(), &named).unwrap().strategy.name().as_str(), "mine");
}

#[test]
fn what_is_wrong_is_named_with_the_path_of_its_field() {
    let good = balanced(&json!([drift("absolute", "5")]));
    let cases: [(&str, Value, &str); 19] = [
        ("/name", json!(7), "`name` is 7; give it as a text"),
        ("/weights", json!({}), "`weights` is an object; write a list"),
        ("/weights/1", json!("SPY"), "`weights[1]` is a text"),
        ("/weights/1/percent", json!("sixty"), "`weights[1].percent` is \"sixty\""),
        ("/weights/1/percent", json!(60.25), "`weights[1].percent` is 60.25; write a text such as \"12.5\""),
        ("/weights/1/percent", json!("-1"), "`weights[1].percent` is \"-1\""),
        ("/weights/1/percent", json!("1e1"), "`weights[1].percent` is \"1e1\""),
        ("/weights/1/percent", json!("0.00"), "`weights[1].percent` is 0"),
        ("/weights/1/percent", json!("60"), "`weights` add up to 99.75%, not 100%"),
        ("/weights/1/symbol", json!("BTC/USD"), "`weights[1].symbol`: `BTC/USD` is no symbol"),
        ("/weights/1/symbol", json!("BRK.B"), "`weights[2].symbol`: BRK.B has two weights"),
        ("/weights/1/symbol", Value::Null, "`weights[1].symbol` is null"),
        (
            "/weights/1/type",
            json!("bond"),
            "`weights[1].type` is \"bond\"; nothing here means that; known are `asset`, `cash`",
        ),
        ("/weights/1/type", json!("cash"), "`weights[1].symbol` stands at cash"),
        ("/cooldown_days", json!(-1), "`cooldown_days` is -1; write a whole number"),
        ("/rebalance_conditions/0/type", json!("moon"), "`rebalance_conditions[0].type` is \"moon\""),
        ("/rebalance_conditions/0/sub_type", json!("wide"), "`rebalance_conditions[0].sub_type` is \"wide\""),
        ("/rebalance_conditions/0/percent", Value::Null, "`rebalance_conditions[0].percent` is null"),
        ("/rebalance_conditions/0/percent", json!("0"), "`rebalance_conditions[0].percent` is 0; a band is above 0"),
    ];
    for (place, value, expected) in cases {
        let mut portfolio = good.clone();
        *portfolio.pointer_mut(place).unwrap() = value;
        let faults = taken(&portfolio.to_string(), &Wanted::default()).unwrap_err();
        assert!(faults.iter().any(|fault| fault.starts_with(&format!("p.json: {expected}"))), "{place}: {faults:?}");
    }
    for (day, sub_type) in [("Saturday", "weekly"), ("first", "monthly"), ("32", "quarterly"), ("13-01", "annually")] {
        let portfolio = balanced(&json!([calendar(sub_type, &json!(day))])).to_string();
        let faults = taken(&portfolio, &Wanted::default()).unwrap_err();
        assert!(faults[0].starts_with(&format!("p.json: `rebalance_conditions[0].day` is \"{day}\"")), "{faults:?}");
    }
    let two = balanced(&json!([calendar("weekly", &json!("Monday")), calendar("monthly", &json!("1"))])).to_string();
    assert!(taken(&two, &Wanted::default()).unwrap_err()[0].contains("`rebalance_conditions[1]` is a second calendar"));
    let list = json!([good]).to_string();
    assert!(taken(&list, &Wanted::default()).unwrap_err()[0].contains("this is a list, not a portfolio"));
    let torn = taken("{\n  \"name\": ", &Wanted::default()).unwrap_err();
    assert!(torn[0].starts_with("p.json:2:") && torn[0].contains("this is not JSON"), "{torn:?}");
    let cash = json!({ "name": "cash", "weights": [{ "type": "cash", "percent": "100" }] }).to_string();
    assert!(taken(&cash, &Wanted::default()).unwrap_err()[0].contains("`weights` holds no asset"));
}

#[test]
fn all_faults_are_told_at_once() {
    let mut portfolio = balanced(&json!([drift("wide", "x")]));
    portfolio["weights"][0]["percent"] = json!(true);
    portfolio["weights"][1]["symbol"] = json!("s p y");
    assert_eq!(taken(&portfolio.to_string(), &Wanted::default()).unwrap_err().len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Percents of up to ten decimals and names of any characters survive digit by digit.
    #[test]
    fn percents_and_names_survive(
        cuts in proptest::collection::btree_set(1_u64..1_000_000_000_000, 1..8),
        name in "\\PC{1,20}[a-z]",
        description in any::<String>(),
        band in 1_i64..10_000,
    ) {
        let mut parts = Vec::new();
        let mut before = 0;
        for cut in cuts.iter().copied().chain([1_000_000_000_000]) {
            parts.push(Decimal::from_i128_with_scale(i128::from(cut - before), 10));
            before = cut;
        }
        let cash = parts.pop().unwrap();
        let mut weights = vec![json!({ "type": "cash", "percent": cash.to_string() })];
        for (place, part) in parts.iter().enumerate() {
            weights.push(json!({ "type": "asset", "symbol": format!("S{place}"), "percent": part.to_string() }));
        }
        let band = Decimal::new(band, 2);
        let portfolio = json!({
            "name": name, "description": description, "weights": weights, "cooldown_days": 0,
            "rebalance_conditions": [drift("relative", &band.to_string())],
        });
        let TakenOver { strategy, .. } = taken(&portfolio.to_string(), &Wanted::default()).unwrap();
        prop_assert_eq!(strategy.cash(), Fraction::from_percent(cash));
        prop_assert_eq!(strategy.description(), description);
        prop_assert_eq!(strategy.conditions().drift_relative, Some(Fraction::from_percent(band)));
        for (place, part) in parts.iter().enumerate() {
            let symbol = format!("S{place}");
            let target = strategy.targets().iter().find(|target| target.symbol.as_str() == symbol).unwrap();
            prop_assert_eq!(target.weight, Fraction::from_percent(*part));
        }
    }
}
