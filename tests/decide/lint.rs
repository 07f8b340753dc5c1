//! Each warning on a strategy that deserves it, and not on the one beside it that does not.

use std::collections::BTreeMap;

use rebalanced::decide::lint::{Circumstances, lint};
use rebalanced::edge::sessions;
use rebalanced::edge::strategies::usual_moves;
use rebalanced::model::composition::{Composition, Momentum};
use rebalanced::model::ids::Symbol;
use rebalanced::model::lint::{Place, Warning};
use rebalanced::model::money::Fraction;
use rebalanced::model::schedule::{
    CronRule, Every, On, Roll, Rule, Schedule, SessionPoint, SessionRule, SlotReason, When,
};
use rebalanced::model::snapshot::Snapshot;
use rebalanced::model::strategy::{Destination, Strategy, StrategyParts};
use rebalanced::model::time::Moment;
use rebalanced::model::tolerance::Mode;
use rebalanced::model::verdict::LintCode;

use crate::cast::{account, dec, looking, parts, strategy, usd, with};

fn percent(text: &str) -> Fraction {
    Fraction::from_percent(dec(text))
}

/// 60/35/5 with a band of five points: nothing to say about it.
fn sound() -> StrategyParts {
    let mut parts = parts(&[("SPY", "60"), ("AGG", "35")]);
    parts.conditions.drift_absolute = Some(percent("5"));
    parts
}

fn warned(parts: StrategyParts, portfolio: &str, snapshot: Option<&Snapshot>) -> Vec<Warning> {
    lint_of(&strategy(parts), portfolio, snapshot)
}

fn lint_of(strategy: &Strategy, portfolio: &str, snapshot: Option<&Snapshot>) -> Vec<Warning> {
    let (sessions, moves): (_, BTreeMap<Symbol, Fraction>) = (sessions::builtin().unwrap(), usual_moves());
    let from = Moment::parse("2026-01-01T00:00:00Z").unwrap();
    let around = Circumstances { sessions: &sessions, from, moves: &moves, portfolio: usd(portfolio), snapshot };
    lint(strategy, &around)
}

fn codes(parts: StrategyParts) -> Vec<LintCode> {
    warned(parts, "10000", None).into_iter().map(|one| one.code).collect()
}

fn every(every: Every, at: SessionPoint) -> Rule {
    Rule::Session(SessionRule { every, on: On::First, roll: Roll::Preceding, at })
}

fn cron(rule: &str) -> Rule {
    Rule::Cron(Box::new(CronRule::parse(rule, "America/New_York").unwrap()))
}

#[test]
fn a_sound_strategy_has_no_warning() {
    assert_eq!(warned(sound(), "10000", None), []);
}

#[test]
fn a_band_is_measured_by_what_the_price_does_between_two_moments() {
    // A day of SPY is 1.11%: its weight of 60% moves by 1.11 * 0.6 * 0.4 = 0.2664 points.
    for (band, is_narrow) in [("0.2663", true), ("0.2665", false)] {
        let mut parts = sound();
        parts.conditions.drift_absolute = Some(percent(band));
        parts.when = looking(every(Every::Session, SessionPoint::BeforeClose(15)));
        let found = warned(parts, "1000000", None);
        assert_eq!(found.iter().any(|one| one.code == LintCode::BandNarrow), is_narrow, "{band}: {found:?}");
    }
    // A quarter of 63 sessions: nearly eight times as much, 2.1 points.
    for (band, is_narrow) in [("2", true), ("2.3", false)] {
        let mut parts = sound();
        parts.conditions.drift_absolute = Some(percent(band));
        parts.when = looking(every(Every::Quarter, SessionPoint::BeforeClose(15)));
        let found = warned(parts, "1000000", None);
        assert_eq!(found.iter().any(|one| one.code == LintCode::BandNarrow), is_narrow, "{band}: {found:?}");
    }
    // Who is in no table moves 1.5% a day.
    let mut parts = parts(&[("QQQQ", "50"), ("AGG", "45")]);
    parts.conditions.drift_absolute = Some(percent("0.37"));
    let found = warned(parts, "1000000", None);
    assert!(found[0].message.contains("(1.5% a day, assumed, "), "{found:?}");
    assert!(found[0].message.contains("usually moves 0.38 points"), "{found:?}");
}

#[test]
fn cash_pays_the_fees_of_a_day() {
    let mut without = parts(&[("SPY", "65"), ("AGG", "35")]);
    without.conditions.drift_absolute = Some(percent("5"));
    assert_eq!(codes(without.clone()), [LintCode::CashBelowFees]);
    let found = warned(without, "10000", None);
    // 10,000 * 0.0000404 is 40.4 cents, and three cents of rounding: 43.4.
    assert!(found[0].message.contains("may come to 0.44:"), "{found:?}");
    let mut buyer = parts(&[("SPY", "65"), ("AGG", "35")]);
    buyer.conditions.mode = Mode::BuyOnly;
    assert_eq!(codes(buyer), [], "who never sells has no fees of sales");
}

#[test]
fn what_can_never_be_bought_is_told() {
    let mut tiny = parts(&[("SPY", "94.9"), ("AGG", "0.1")]);
    tiny.orders.min_notional = usd("10.01");
    assert_eq!(codes(tiny.clone()), [LintCode::WeightTiny]);
    tiny.orders.min_notional = usd("10");
    assert_eq!(codes(tiny.clone()), [], "exactly the smallest order");
    // With an account at hand: a share of AGG costs 100.01, a tenth of a percent of 100,000 is 100.
    for (split, ask, expected) in [(true, "100.01", 0), (false, "100.01", 1), (false, "100", 0)] {
        let snapshot = with(with(account("100000"), "AGG", "0", ("99", ask), split), "SPY", "0", ("500", "500"), true);
        let found = warned(tiny.clone(), "100000", Some(&snapshot));
        assert_eq!(found.len(), expected, "{split} {ask}: {found:?}");
    }
}

#[test]
fn a_schedule_that_no_session_meets_is_told() {
    let mut parts = sound();
    for (schedule, expected) in [
        (cron("0 0 20 * * Mon-Fri"), vec![LintCode::NeverDue]),
        (cron("0 0 12 * * Sat"), vec![LintCode::NeverDue]),
        (cron("0 0 12 * * Mon-Fri"), vec![]),
        (cron("0 30 9 * * Mon-Fri"), vec![LintCode::AtTheEdge]),
        (every(Every::Session, SessionPoint::AfterOpen(0)), vec![LintCode::AtTheEdge]),
        (every(Every::Session, SessionPoint::BeforeClose(390)), vec![LintCode::AtTheEdge]),
        (every(Every::Session, SessionPoint::BeforeClose(1)), vec![LintCode::AtTheEdge]),
        (every(Every::Session, SessionPoint::BeforeClose(15)), vec![]),
        (every(Every::Session, SessionPoint::AfterOpen(2)), vec![]),
    ] {
        parts.when = looking(schedule);
        assert_eq!(codes(parts.clone()), expected, "{:?}", parts.when);
    }
}

#[test]
fn a_rest_that_swallows_moments_is_told() {
    let bandless = || parts(&[("SPY", "60"), ("AGG", "35")]);
    for (mut parts, schedule, days, expected) in [
        (bandless(), every(Every::Week, SessionPoint::AfterOpen(30)), 7, true),
        (bandless(), every(Every::Week, SessionPoint::AfterOpen(30)), 5, false),
        (bandless(), cron("0 45 15 * * Mon-Fri"), 1, true),
        (sound(), cron("0 45 15 * * Mon-Fri"), 30, false),
        (sound(), every(Every::Month, SessionPoint::AfterOpen(30)), 40, true),
        (sound(), every(Every::Month, SessionPoint::AfterOpen(30)), 20, false),
    ] {
        parts.when = looking(schedule);
        parts.conditions.cooldown_days = days;
        let found = warned(parts, "10000", None);
        let is_told = found.iter().any(|one| one.code == LintCode::RestsTooLong);
        assert_eq!(is_told, expected, "{days} days: {found:?}");
    }
}

#[test]
fn each_of_several_schedules_and_each_rest_is_looked_at_by_itself() {
    let several = |rules: [Rule; 2]| {
        let mut others = rules.into_iter().zip(["first", "second"]).map(|(rule, reason)| {
            let mut schedule = Schedule::of(rule);
            schedule.reason = SlotReason::parse(reason).unwrap();
            schedule
        });
        When::new(others.next().unwrap(), others.collect()).unwrap()
    };
    let daily = || every(Every::Session, SessionPoint::BeforeClose(15));
    let mut parts = sound();
    for (second, code, key) in [
        (cron("0 0 22 * * Mon-Fri"), LintCode::NeverDue, "cron"),
        (every(Every::Session, SessionPoint::AfterOpen(0)), LintCode::AtTheEdge, "at"),
    ] {
        parts.when = several([daily(), second]);
        let found = warned(parts.clone(), "10000", None);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].code, &found[0].place), (code, &Place::Schedule(1, key)));
        assert!(found[0].message.contains("`second`"), "{found:?}");
    }
    // The rest of the trigger that would act, not the one beside it.
    let mut rests = crate::cast::parts(&[("SPY", "60"), ("AGG", "35")]);
    rests.when = looking(every(Every::Week, SessionPoint::AfterOpen(30)));
    rests.conditions.tolerance.cooldowns.scheduled = Some(30);
    let found = warned(rests.clone(), "10000", None);
    assert_eq!(found.iter().map(|one| one.code).collect::<Vec<_>>(), [LintCode::RestsTooLong]);
    assert_eq!(found[0].place, Place::Key("rebalance.cooldown", "scheduled"));
    rests.conditions.tolerance.cooldowns.scheduled = Some(2);
    rests.conditions.cooldown_days = 30;
    assert_eq!(codes(rests.clone()), []);
    // What rests for nobody is told.
    for (own, expected) in [(1, vec![]), (2, vec![LintCode::RestUnused]), (3, vec![LintCode::RestUnused])] {
        let mut parts = rests.clone();
        let cooldowns = &mut parts.conditions.tolerance.cooldowns;
        cooldowns.portfolio = (own == 2).then_some(1);
        cooldowns.drift = (own == 3).then_some(1);
        assert_eq!(codes(parts), expected, "{own}");
    }
}

#[test]
fn a_model_over_prices_is_held_against_the_weights_that_it_has_when_it_holds_something() {
    let names = ["SPY", "AGG", "GLD", "VTI"];
    let momentum = Momentum {
        symbols: names.iter().map(|name| crate::cast::symbol(name)).collect(),
        count: 2,
        window_days: 5,
        average_days: 5,
        defensive: crate::cast::symbol("BIL"),
    };
    let mut parts = crate::cast::parts(&[]);
    parts.cash = percent("2");
    parts.conditions.drift_absolute = Some(percent("5"));
    parts.limits.max_order_notional = Some(usd("4000"));
    let model = Strategy::composed(parts, Composition::Momentum(momentum)).unwrap();
    let found = lint_of(&model, "10000", None);
    // Two of four: each of them is 49% of 10,000 dollars when it is held.
    assert_eq!(found.iter().map(|one| one.code).collect::<Vec<_>>(), [LintCode::FirstInvestmentBlocked]);
    assert!(found[0].message.contains("with 10000 dollars is 4900,"), "{found:?}");
    let found = lint_of(&model, "20", None);
    assert!(
        found.iter().all(|one| one.code != LintCode::WeightTiny),
        "9.80 dollars are more than the least order: {found:?}"
    );
    let found = lint_of(&model, "2", None);
    let tiny: Vec<&Place> = found.iter().filter(|one| one.code == LintCode::WeightTiny).map(|one| &one.place).collect();
    assert_eq!(tiny.len(), 5, "each that it may hold: {found:?}");
}

#[test]
fn limits_that_forbid_what_the_bands_ask_for_are_told() {
    let mut small = sound();
    small.orders.min_notional = usd("100");
    let told = |parts: &StrategyParts, portfolio| {
        warned(parts.clone(), portfolio, None).into_iter().map(|one| one.code).collect::<Vec<_>>()
    };
    assert_eq!(told(&small, "1999"), [LintCode::MinimumAboveBand, LintCode::MinimumAboveBand]);
    assert_eq!(told(&small, "2000"), []);
    let mut parts = sound();
    for (destination, most, expected) in [
        (Destination::Target, "4.9", vec![LintCode::TurnoverBelowBand]),
        (Destination::Target, "5", vec![]),
        (Destination::Halfway, "2.4", vec![LintCode::TurnoverBelowBand]),
        (Destination::Halfway, "2.5", vec![]),
        (Destination::BandEdge, "1", vec![]),
    ] {
        parts.conditions.destination = destination;
        parts.limits.max_turnover = Some(percent(most));
        assert_eq!(codes(parts.clone()), expected, "{destination:?} {most}");
    }
    let mut parts = sound();
    parts.limits.max_order_notional = Some(usd("5999.99"));
    assert_eq!(codes(parts.clone()), [LintCode::FirstInvestmentBlocked]);
    parts.limits.max_order_notional = Some(usd("6000"));
    assert_eq!(codes(parts), []);
}
