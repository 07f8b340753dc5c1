//! What triggers, exactly where, and how long each trigger rests.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rebalanced::model::money::Fraction;
use rebalanced::model::plan::{Decision, Phase};
use rebalanced::model::snapshot::Snapshot;
use rebalanced::model::strategy::{NotAStrategy, Strategy, StrategyParts, Unmanaged};
use rebalanced::model::time::Span;
use rebalanced::model::tolerance::{Band, Cooldowns, Mode, Scope};
use rebalanced::model::verdict::Reason;
use rust_decimal::Decimal;

use crate::cast::{account, dec, legs, now, open, parts, strategy, symbol, usd, with};

/// 28 SPY at 500 and 50 AGG at 100 with 1,000 dollars: worth 20,000, SPY at 70%, AGG at 25%, cash at 5%.
fn drifted() -> Snapshot {
    let snapshot = with(account("1000"), "SPY", "28", ("500", "500"), true);
    with(snapshot, "AGG", "50", ("100", "100"), true)
}

fn percent(text: &str) -> Fraction {
    Fraction::from_percent(dec(text))
}

/// 60% SPY, 35% AGG, 5% cash, with changes.
fn made(change: impl FnOnce(&mut StrategyParts)) -> Strategy {
    let mut parts = parts(&[("SPY", "60"), ("AGG", "35")]);
    change(&mut parts);
    strategy(parts)
}

fn asked(strategy: &Strategy) -> (Decision, Reason) {
    let plan = open(strategy, &drifted());
    (plan.decision, plan.reason)
}

fn own(parts: &mut StrategyParts, name: &str, below: Option<&str>, above: Option<&str>) {
    let band = Band { below: below.map(percent), above: above.map(percent) };
    parts.conditions.tolerance.bands.insert(symbol(name), band);
}

#[test]
fn a_band_of_its_own_stands_in_for_the_files_on_each_side_that_it_has() {
    // SPY is 10 points above, AGG 10 below.
    let trades = |name: &str, below: Option<&str>, above: Option<&str>, file: Option<&str>| {
        asked(&made(|parts| {
            parts.conditions.drift_absolute = file.map(percent);
            own(parts, name, below, above);
        }))
    };
    assert_eq!(trades("SPY", None, Some("10"), None), (Decision::Hold, Reason::InsideBands), "on the edge is inside");
    assert_eq!(trades("SPY", None, Some("9.99"), None), (Decision::Trade, Reason::DriftBand));
    assert_eq!(trades("SPY", Some("1"), None, None), (Decision::Hold, Reason::InsideBands), "the other side");
    assert_eq!(trades("AGG", Some("9.99"), Some("20"), None), (Decision::Trade, Reason::DriftBand));
    assert_eq!(trades("AGG", Some("20"), None, Some("12")), (Decision::Hold, Reason::InsideBands));
    assert_eq!(
        trades("AGG", Some("20"), None, Some("9")),
        (Decision::Trade, Reason::DriftAbsolute),
        "SPY has the file's"
    );
    assert_eq!(trades("SPY", Some("1"), None, Some("9")).1, Reason::DriftAbsolute, "above it SPY has the file's too");
}

#[test]
fn of_five_and_twenty_five_the_tighter_counts() {
    // 60%: 5 points are tighter than a quarter of it, 15. 4%: a quarter, 1 point, is tighter than 5.
    let rule = |worth_spy: &str, worth_ko: &str| {
        let mut parts = parts(&[("SPY", "60"), ("KO", "4"), ("AGG", "36")]);
        parts.conditions.drift_absolute = Some(percent("5"));
        parts.conditions.drift_relative = Some(percent("25"));
        parts.conditions.invest_cash = false;
        let rest = dec("100") - dec(worth_spy) - dec(worth_ko);
        let snapshot = with(account("0"), "SPY", worth_spy, ("1", "1"), true);
        let snapshot = with(snapshot, "KO", worth_ko, ("1", "1"), true);
        open(&strategy(parts), &with(snapshot, "AGG", &rest.to_string(), ("1", "1"), true)).reason
    };
    assert_eq!(rule("65", "4"), Reason::InsideBands);
    assert_eq!(rule("65.01", "4"), Reason::DriftAbsolute);
    assert_eq!(rule("60", "5"), Reason::InsideBands);
    assert_eq!(rule("60", "5.01"), Reason::DriftRelative);
    assert_eq!(rule("60", "2.99"), Reason::DriftRelative);
}

#[test]
fn asymmetric_bands_trigger_exactly_outside() {
    let (mut inside, mut outside) = (0, 0);
    for case in 0..4_000 {
        let dice = &mut StdRng::seed_from_u64(case);
        let (below, above) = (dice.random_range(1..=60), dice.random_range(1..=60));
        let off: i64 = dice.random_range(-70..=70);
        // A at 40% with its own band, B without one; both worth 1,000 together, to a tenth of a percent.
        let strategy = strategy({
            let mut parts = parts(&[("A", "40"), ("B", "60")]);
            let band = Band {
                below: Some(Fraction::new(Decimal::new(below, 3))),
                above: Some(Fraction::new(Decimal::new(above, 3))),
            };
            parts.conditions.tolerance.bands.insert(symbol("A"), band);
            parts
        });
        let snapshot = with(account("0"), "A", &(400 + off).to_string(), ("1", "1"), true);
        let snapshot = with(snapshot, "B", &(600 - off).to_string(), ("1", "1"), true);
        let is_outside = off > above || off < -below;
        assert_eq!(open(&strategy, &snapshot).decision == Decision::Trade, is_outside, "{below} {above} {off}");
        inside += u32::from(!is_outside);
        outside += u32::from(is_outside);
    }
    assert!(inside > 1_000 && outside > 1_000, "{inside} {outside}");
}

#[test]
fn the_portfolios_drift_triggers_by_itself() {
    // Half of 10 + 10 + 0 points.
    let limit = |text: &str| asked(&made(|parts| parts.conditions.tolerance.drift_portfolio = Some(percent(text))));
    assert_eq!(limit("10"), (Decision::Hold, Reason::InsideBands));
    assert_eq!(limit("9.99"), (Decision::Trade, Reason::DriftPortfolio));
    let plan = open(&made(|parts| parts.conditions.tolerance.drift_portfolio = Some(percent("8"))), &drifted());
    assert_eq!(legs(&plan), ["sell SPY 4", "buy AGG $2000"]);
}

#[test]
fn cash_waits_until_there_is_more_than_the_file_says() {
    let mut snapshot = drifted();
    snapshot.account.cash = usd("1210.53");
    snapshot.account.buying_power = usd("1210.53");
    // 5% of 20,210.53 is 1,010.5265: 200.00 are above the target.
    let above = |text: &str| {
        let strategy = made(|parts| {
            parts.conditions.drift_absolute = Some(percent("20"));
            parts.conditions.tolerance.cash_above = Some(usd(text));
        });
        let plan = open(&strategy, &snapshot);
        (plan.reason, legs(&plan))
    };
    assert_eq!(above("200"), (Reason::InsideBands, vec![]));
    assert_eq!(above("199.99"), (Reason::CashAbove, vec!["buy AGG $200".to_owned()]));
}

#[test]
fn each_trigger_rests_for_its_own_days_and_cash_never_does() {
    let rested = |hours: i64, change: &dyn Fn(&mut StrategyParts)| {
        let strategy = made(|parts| {
            parts.conditions.cooldown_days = 5;
            change(parts);
        });
        let mut snapshot = drifted();
        snapshot.last_rebalanced_at = Some(now() - Span::from_hours(hours));
        open(&strategy, &snapshot).reason
    };
    let drift = |parts: &mut StrategyParts| parts.conditions.drift_absolute = Some(percent("5"));
    let portfolio = |parts: &mut StrategyParts| parts.conditions.tolerance.drift_portfolio = Some(percent("5"));
    let days = |cooldowns: Cooldowns| move |parts: &mut StrategyParts| parts.conditions.tolerance.cooldowns = cooldowns;
    let own = Cooldowns { drift: Some(10), portfolio: Some(2), scheduled: Some(1) };
    assert_eq!(rested(119, &drift), Reason::Cooldown);
    assert_eq!(rested(120, &drift), Reason::DriftAbsolute);
    let both = |parts: &mut StrategyParts| {
        drift(parts);
        portfolio(parts);
        days(own)(parts);
    };
    assert_eq!(rested(47, &both), Reason::Cooldown);
    assert_eq!(rested(48, &both), Reason::DriftPortfolio, "the bands rest for ten days, the portfolio for two");
    assert_eq!(rested(239, &both), Reason::DriftPortfolio);
    assert_eq!(rested(240, &both), Reason::DriftAbsolute);
    assert_eq!(rested(23, &days(own)), Reason::Cooldown);
    assert_eq!(rested(24, &days(own)), Reason::Scheduled);
    let mut snapshot = drifted();
    snapshot.last_rebalanced_at = Some(now() - Span::from_hours(1));
    snapshot.account.cash = usd("1500");
    snapshot.account.buying_power = usd("1500");
    assert_eq!(open(&made(both), &snapshot).reason, Reason::NewCash);
}

#[test]
fn only_what_is_out_of_its_band_goes_and_the_rest_makes_room() {
    // A 40% at 50, B 30% at 28, C 30% at 22: worth 100. A and C are outside their five points; B, inside, is below its
    // target and stays: A gives its 10, C takes 8, and the 2 that are left go to B, the only one below its target.
    let to = |scope: Scope| {
        let mut parts = parts(&[("A", "40"), ("B", "30"), ("C", "30")]);
        parts.conditions.drift_absolute = Some(percent("5"));
        parts.conditions.scope = scope;
        let snapshot = with(account("0"), "A", "500", ("1", "1"), true);
        let snapshot = with(snapshot, "B", "280", ("1", "1"), true);
        legs(&open(&strategy(parts), &with(snapshot, "C", "220", ("1", "1"), true)))
    };
    assert_eq!(to(Scope::OutOfBand), ["sell A 100", "buy B $20", "buy C $80"]);
    assert_eq!(to(Scope::All), to(Scope::OutOfBand), "here it is the same");
    // A 40% at 48, B 30% at 26, C 30% at 26: only A is outside. All: A sells 8, both buy 4. The same money, from A alone.
    // A 40% at 46, B 30% at 31, C 30% at 23: A sells 6, C buys 7; all: B sells 1; out of band: B, above its target, gives 1.
    // D shows the difference: it and E are inside and on either side of their targets.
    let five = |scope: Scope| {
        let mut parts = parts(&[("A", "40"), ("B", "20"), ("C", "20"), ("D", "20")]);
        parts.conditions.drift_absolute = Some(percent("5"));
        parts.conditions.scope = scope;
        let snapshot = with(account("0"), "A", "460", ("1", "1"), true);
        let snapshot = with(snapshot, "B", "140", ("1", "1"), true);
        let snapshot = with(snapshot, "C", "230", ("1", "1"), true);
        legs(&open(&strategy(parts), &with(snapshot, "D", "170", ("1", "1"), true)))
    };
    assert_eq!(five(Scope::All), ["sell A 60", "sell C 30", "buy B $60", "buy D $30"]);
    assert_eq!(five(Scope::OutOfBand), ["sell A 60", "buy B $60"]);
}

#[test]
fn what_cannot_be_meant_together_is_no_strategy() {
    let clash = |change: &dyn Fn(&mut StrategyParts)| {
        let mut parts = parts(&[("SPY", "60"), ("AGG", "35")]);
        change(&mut parts);
        match Strategy::new(parts) {
            Ok(_) => "fine",
            Err(faults) => match faults.as_slice() {
                [NotAStrategy::Clash { field, .. } | NotAStrategy::Range { field, .. }] => field,
                [NotAStrategy::Band { .. }] => "band",
                _ => "other",
            },
        }
    };
    assert_eq!(clash(&|parts| parts.conditions.scope = Scope::OutOfBand), "rebalance.scope");
    assert_eq!(clash(&|parts| parts.conditions.mode = Mode::FewestTrades), "rebalance.mode");
    assert_eq!(
        clash(&|parts| (parts.conditions.mode, parts.conditions.invest_cash) = (Mode::BuyOnly, false)),
        "rebalance.mode"
    );
    assert_eq!(
        clash(&|parts| (parts.conditions.mode, parts.conditions.unmanaged) = (Mode::BuyOnly, Unmanaged::Sell)),
        "rebalance.mode"
    );
    assert_eq!(clash(&|parts| parts.conditions.tolerance.cash_above = Some(usd("0.5"))), "rebalance.cash_above");
    assert_eq!(
        clash(&|parts| {
            parts.conditions.invest_cash = false;
            parts.conditions.tolerance.cash_above = Some(usd("500"));
        }),
        "rebalance.cash_above"
    );
    assert_eq!(clash(&|parts| own(parts, "SPY", Some("101"), None)), "band");
    assert_eq!(
        clash(&|parts| parts.conditions.tolerance.drift_portfolio = Some(percent("0"))),
        "rebalance.drift_portfolio_percent"
    );
    assert_eq!(clash(&|parts| parts.conditions.mode = Mode::BuyOnly), "fine");
}

#[test]
fn a_trade_by_a_single_band_sells_and_buys() {
    let plan = open(&made(|parts| own(parts, "SPY", None, Some("5"))), &drifted());
    assert_eq!((plan.legs_of(Phase::Sell).count(), plan.legs_of(Phase::Buy).count()), (1, 1));
}
