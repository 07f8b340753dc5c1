//! What a changed key of a strategy file changes, in words: every key of the reader's table says something.

use std::fs;

use rebalanced::decide::difference::{Change, asks_anew, changes};
use rebalanced::edge::strategies::read_file;
use rebalanced::model::strategy::Strategy;
use tempfile::TempDir;

const FULL: &str = r#"name = "full"
description = "Two."
[[schedule]]
reason = "friday"
every = "week"
on = "Fri"
at = "close-30m"
misfire = "skip"
grace_minutes = 10
spread_minutes = 5
[[schedule]]
reason = "daily"
cron = "0 45 15 * * Mon-Fri"
[[weights]]
symbol = "SPY"
percent = 60
band_below_percent = 4
[[weights]]
symbol = "AGG"
percent = 35
substitute = "BND"
[cash]
percent = 5
[rebalance]
drift_absolute_percent = 5
drift_relative_percent = 25
drift_portfolio_percent = 6
cash_above = 50
cooldown_days = 5
[rebalance.cooldown]
drift = 7
portfolio = 1
[orders]
min_notional = 10
[limits]
max_order_notional = 25000
max_turnover_percent = 35
[overrides]
exclude = true
max_excluded_percent = 40
hold = true
cash_percent_max = 30
"#;

fn read(text: &str) -> Strategy {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("full.toml");
    fs::write(&path, text).unwrap();
    read_file(&path).unwrap_or_else(|faults| panic!("{faults:?}\n{text}")).0
}

/// What is changed in the file, and what is said of it.
const CHANGES: &[(&str, &str, &[&str])] = &[
    ("\"full\"", "\"fuller\"", &["name: full becomes fuller"]),
    ("description = \"Two.\"", "", &["description: \"Two.\" is gone"]),
    (
        "\"Fri\"",
        "\"Thu\"",
        &[
            "schedule `friday`: on each Friday, or the trading day before it, 30 minutes before the exchange closes (missed moments: skip, 10 minutes of grace; users spread over 5 minutes) becomes on each Thursday, or the trading day before it, 30 minutes before the exchange closes (missed moments: skip, 10 minutes of grace; users spread over 5 minutes)",
        ],
    ),
    ("misfire = \"skip\"", "", &["schedule `friday`"]),
    ("grace_minutes = 10", "", &["schedule `friday`"]),
    ("spread_minutes = 5", "", &["schedule `friday`"]),
    ("on = \"Fri\"", "on = \"Fri\"\nroll = \"following\"", &["schedule `friday`"]),
    ("close-30m", "close-20m", &["schedule `friday`"]),
    ("0 45 15", "0 44 15", &["schedule `daily`"]),
    ("\"daily\"", "\"afternoon\"", &["schedule `daily`", "schedule `afternoon`"]),
    (
        "percent = 60\nband_below_percent = 4",
        "percent = 55\nband_below_percent = 4\n[[weights]]\nsymbol = \"QQQ\"\npercent = 5",
        &["weight of SPY: 60% becomes 55%", "weight of QQQ: 5% is new"],
    ),
    (
        "percent = 35\nsubstitute = \"BND\"\n[cash]\npercent = 5",
        "percent = 32.5\nsubstitute = \"BND\"\n[cash]\npercent = 7.5",
        &["weight of AGG: 35% becomes 32.5%", "cash: 5% becomes 7.5%"],
    ),
    ("band_below_percent = 4", "", &["band of SPY: 4% below and the file's above is gone"]),
    ("band_below_percent", "band_percent", &["band of SPY: 4% below and the file's above becomes 4%"]),
    ("substitute = \"BND\"", "", &["who stands in for AGG: BND is gone"]),
    ("drift_absolute_percent = 5", "", &["band in points of the portfolio: 5% is gone"]),
    ("drift_relative_percent = 25", "drift_relative_percent = 20", &["band in percent of the target: 25% becomes 20%"]),
    (
        "drift_portfolio_percent = 6",
        "drift_portfolio_percent = 7",
        &["limit for the drift of the whole portfolio: 6% becomes 7%"],
    ),
    ("cash_above = 50", "cash_above = 60", &["cash that waits before it is invested: 50 dollars becomes 60 dollars"]),
    ("cooldown_days = 5", "cooldown_days = 1", &["rest after a rebalance: 5 days becomes 1 day"]),
    (
        "cooldown_days = 5",
        "cooldown_days = 5\ndestination = \"halfway\"",
        &["where a rebalance goes: target becomes halfway"],
    ),
    ("cooldown_days = 5", "cooldown_days = 5\nscope = \"out_of_band\"", &["who moves: all becomes out_of_band"]),
    (
        "[orders]",
        "[orders]\ntype = \"limit\"\ncollar_percent = 0.5\nreprice_times = 2\non_unfilled = \"market\"",
        &[
            "type of orders: market becomes limit",
            "how far a limit lies beyond the quote: 0.5% is new",
            "how often an unfilled order is priced anew: 2 is new",
            "what is left unfilled after that: market is new",
        ],
    ),
    ("cooldown_days = 5", "cooldown_days = 5\nmode = \"buy_only\"", &["mode: full becomes buy_only"]),
    (
        "cash_above = 50",
        "invest_cash = false",
        &["new cash: is invested becomes stays", "cash that waits before it is invested: 50 dollars is gone"],
    ),
    (
        "cooldown_days = 5",
        "cooldown_days = 5\nunmanaged = \"sell\"",
        &["holdings without a weight: ignore becomes sell"],
    ),
    (
        "cooldown_days = 5",
        "cooldown_days = 5\non_new_version = true",
        &["a new version: waits for the schedule becomes is looked at once"],
    ),
    ("drift = 7", "drift = 8", &["rest before a single holding counts: 7 days becomes 8 days"]),
    ("portfolio = 1", "portfolio = 2", &["rest before the whole portfolio counts: 1 day becomes 2 days"]),
    (
        "[orders]",
        "[orders]\ntype = \"limit\"",
        &[
            "type of orders: market becomes limit",
            "how far a limit lies beyond the quote: 0% is new",
            "how often an unfilled order is priced anew: 0 is new",
            "what is left unfilled after that: leave is new",
        ],
    ),
    ("min_notional = 10", "min_notional = 12.5", &["smallest order: 10 dollars becomes 12.5 dollars"]),
    ("max_order_notional = 25000", "", &["largest order: 25000 dollars is gone"]),
    ("max_turnover_percent = 35", "max_turnover_percent = 30", &["most that one run may sell: 35% becomes 30%"]),
    ("hold = true", "", &["users may say what is not sold and not bought: yes is gone"]),
    ("hold = true", "hold = true\ncap = true", &["users may have an order cap of their own: yes is new"]),
    ("max_excluded_percent = 40", "max_excluded_percent = 30", &["most that a user may exclude: 40% becomes 30%"]),
    ("hold = true", "hold = true\nexcluded_to = \"cash\"", &["where excluded weights go: others becomes cash"]),
    (
        "hold = true",
        "hold = true\nunavailable = \"skip_run\"",
        &["a target that cannot be bought: hold_cash becomes skip_run"],
    ),
    ("cash_percent_max = 30", "cash_percent_max = 31", &["highest cash target of a user: 30% becomes 31%"]),
];

#[test]
fn each_changed_key_is_said_and_nothing_else() {
    let old = read(FULL);
    assert_eq!(changes(&old, &old), []);
    for (from, to, expected) in CHANGES {
        assert!(FULL.contains(from), "{from}");
        let new = read(&FULL.replacen(from, to, 1));
        let said: Vec<String> = changes(&old, &new).iter().map(Change::sentence).collect();
        assert_eq!(said.len(), expected.len(), "{from} -> {to}: {said:#?}");
        for (said, expected) in said.iter().zip(*expected) {
            assert!(said.starts_with(expected), "{from} -> {to}: {said}");
        }
        let back: Vec<Change> = changes(&new, &old);
        assert_eq!(back.len(), said.len(), "the other way round is as much");
    }
}

#[test]
fn a_comment_changes_the_version_and_nothing_that_it_does() {
    let (old, new) = (read(FULL), read(&format!("# a remark\n{FULL}")));
    assert_ne!(old.version(), new.version());
    assert_eq!(changes(&old, &new), []);
    assert!(!asks_anew(&old, &new), "the text that users read is the same");
    assert!(asks_anew(
        &old,
        &read(&FULL.replacen("percent = 60", "percent = 59\n[[weights]]\nsymbol = \"QQQ\"\npercent = 1", 1))
    ));
}

#[test]
fn models_are_compared_by_what_they_hold() {
    let momentum = |count: u32| {
        read(&format!(
            "name = \"m\"\n[schedule]\nevery = \"session\"\n[model]\nkind = \"momentum\"\nsymbols = [\"SPY\", \"QQQ\", \"IWM\"]\n\
             count = {count}\ndefensive = \"AGG\"\n"
        ))
    };
    let glide = |more: &str| {
        read(&format!(
            "name = \"m\"\n[schedule]\nevery = \"session\"\n[model]\nkind = \"glide\"\ndefault_target_year = 2045\n\
             points = [{{ years_to_target = 9, weights = {{ SPY = 100 }} }}, {{ years_to_target = 0, weights = {{ AGG = 100 }} }}]\n\
             {more}"
        ))
    };
    let chosen = glide("[overrides]\ntarget_year_min = 2030\ntarget_year_max = 2070\n");
    let said: Vec<String> = changes(&glide(""), &chosen).iter().map(Change::sentence).collect();
    assert_eq!(said, ["target years of a user: 2030 to 2070 is new"]);
    assert!(asks_anew(&glide(""), &chosen), "users read of the choice");
    let fixed = read("name = \"m\"\n[schedule]\nevery = \"session\"\n[[weights]]\nsymbol = \"SPY\"\npercent = 100\n");
    let said: Vec<String> = changes(&momentum(1), &momentum(2)).iter().map(Change::sentence).collect();
    assert!(
        said.len() == 1 && said[0].starts_with("weights: It holds, in equal parts, the 1 that rose most"),
        "{said:?}"
    );
    let said: Vec<String> = changes(&fixed, &momentum(2)).iter().map(|change| change.about.clone()).collect();
    assert_eq!(said, ["kind of weights", "weight of SPY", "weights"]);
}
