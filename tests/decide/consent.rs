//! The text that users agree to: made from the strategy, the same for the same strategy, and saying what matters.

use rebalanced::decide::consent::{hash, sections, text};
use rebalanced::edge::strategies::load_dir;
use rebalanced::model::money::Fraction;
use rebalanced::model::schedule::{
    CronRule, Every, On, Roll, Rule, Schedule, SessionPoint, SessionRule, SlotReason, When,
};
use rebalanced::model::strategy::{OrderType, StrategyParts, Unmanaged};
use rebalanced::model::tolerance::{Band, Mode, Scope};

use sha2::Digest;

use crate::cast::{dec, looking, parts, strategy, symbol, usd};

fn said(change: impl FnOnce(&mut StrategyParts)) -> String {
    let mut made = parts(&[("SPY", "60"), ("AGG", "35")]);
    change(&mut made);
    text(&strategy(made), "")
}

#[test]
fn it_says_what_is_bought_when_what_is_sold_what_it_costs_and_what_can_be_lost() {
    let text = said(|_| ());
    for words in [
        "35% AGG, 60% SPY, 5% cash",
        "at 15:45 (America/New_York), Mon-Fri",
        "left alone",
        "market orders",
        "you can lose all of it",
        "no investment advice",
        "regulatory fees",
        "must tax",
        "Alpaca has not reviewed, endorsed or recommended",
        "without asking you each time",
        "You can end it at any time",
        "never borrows money",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn every_term_that_changes_what_may_happen_changes_the_text() {
    type Change = fn(&mut StrategyParts);
    let changes: [Change; 25] = [
        |parts| {
            parts.targets[1].weight = Fraction::from_percent(dec("36"));
            parts.cash = Fraction::from_percent(dec("4"));
        },
        |parts| parts.description = "Something else.".to_owned(),
        |parts| parts.conditions.unmanaged = Unmanaged::Sell,
        |parts| parts.conditions.unmanaged = Unmanaged::Block,
        |parts| parts.conditions.drift_absolute = Some(Fraction::from_percent(dec("5"))),
        |parts| parts.conditions.drift_relative = Some(Fraction::from_percent(dec("5"))),
        |parts| parts.conditions.invest_cash = false,
        |parts| parts.conditions.mode = Mode::BuyOnly,
        |parts| parts.conditions.mode = Mode::SellOnly,
        |parts| parts.conditions.tolerance.drift_portfolio = Some(Fraction::from_percent(dec("5"))),
        |parts| parts.conditions.tolerance.cash_above = Some(usd("500")),
        |parts| parts.conditions.tolerance.cooldowns.drift = Some(3),
        |parts| parts.conditions.tolerance.cooldowns.portfolio = Some(3),
        |parts| parts.conditions.tolerance.cooldowns.scheduled = Some(3),
        |parts| {
            let band = Band { below: Some(Fraction::from_percent(dec("5"))), above: None };
            parts.conditions.tolerance.bands.insert(symbol("SPY"), band);
        },
        |parts| {
            let band = Band { below: None, above: Some(Fraction::from_percent(dec("5"))) };
            parts.conditions.tolerance.bands.insert(symbol("SPY"), band);
        },
        |parts| parts.conditions.cooldown_days = 7,
        |parts| parts.orders.kind = OrderType::Limit,
        |parts| parts.orders.min_notional = usd("50"),
        |parts| parts.limits.max_order_notional = Some(usd("900")),
        |parts| parts.limits.max_turnover = Some(Fraction::from_percent(dec("10"))),
        |parts| {
            let at = "open+15m".parse::<SessionPoint>().unwrap();
            let rule = SessionRule { every: Every::Month, on: On::First, roll: Roll::Preceding, at };
            parts.when = looking(Rule::Session(rule));
        },
        |parts| parts.when = parts.when.clone().and_on_new_version(true),
        |parts| {
            let schedule = parts.when.schedules().next().unwrap().clone();
            parts.when = When::only(Schedule { spread_minutes: 20, ..schedule });
        },
        |parts| {
            let schedule = parts.when.schedules().next().unwrap().clone();
            let noon = Rule::Cron(Box::new(CronRule::parse("0 0 12 * * Mon-Fri", "America/New_York").unwrap()));
            let reason = SlotReason::of_schedule("noon").unwrap();
            parts.when = When::new(schedule, vec![Schedule { reason, ..Schedule::of(noon) }]).unwrap();
        },
    ];
    let mut seen = vec![hash(&said(|_| ()))];
    for change in changes {
        let mut made = parts(&[("SPY", "60"), ("AGG", "35")]);
        change(&mut made);
        seen.push(hash(&text(&strategy(made), "")));
    }
    seen.push(hash(&text(&strategy(parts(&[("SPY", "60"), ("AGG", "35")])), "We take 10 dollars a month.")));
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "no two of them have one hash");
    assert_eq!(said(|_| ()), said(|_| ()));
}

#[test]
fn a_rule_that_is_not_plain_is_shown_as_it_is_written() {
    let schedule = |rule: &str| {
        said(|parts| {
            parts.when = looking(Rule::Cron(Box::new(CronRule::parse(rule, "UTC").unwrap())));
        })
    };
    assert!(schedule("0 5 9 * * *").contains("at 09:05 (UTC), every day"));
    assert!(schedule("0 */5 9-11 1 * *").contains("0 */5 9-11 1 * * (second, minute, hour, day, month, weekday; UTC)"));
}

#[test]
fn every_example_has_a_text_without_gaps_and_a_hash_that_any_tool_can_check() {
    let (catalog, faults) = load_dir(std::path::Path::new("strategies")).unwrap();
    assert!(faults.is_empty() && catalog.len() >= 6);
    for strategy in catalog.iter() {
        assert!(sections(strategy, "").iter().all(|section| !section.paragraphs.is_empty()));
        let text = text(strategy, "");
        assert!(!text.contains("  ") && !text.contains('{') && text.ends_with("\n\n"), "{text}");
        assert_eq!(hash(&text), hex::encode(sha2::Sha256::digest(text.as_bytes())));
    }
}

#[test]
fn how_little_is_traded_changes_the_text_of_a_strategy_with_bands() {
    let banded = |change: fn(&mut StrategyParts)| {
        said(|parts| {
            parts.conditions.drift_absolute = Some(Fraction::from_percent(dec("5")));
            change(parts);
        })
    };
    let (full, few) = (banded(|_| ()), banded(|parts| parts.conditions.mode = Mode::FewestTrades));
    let out_of_band = banded(|parts| parts.conditions.scope = Scope::OutOfBand);
    assert!(full != few && full != out_of_band && few != out_of_band);
    assert!(few.contains("as few orders as"), "{few}");
    assert!(banded(|parts| parts.conditions.mode = Mode::BuyOnly).contains("It sells nothing."));
}
