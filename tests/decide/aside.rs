//! Money that is kept aside for a withdrawal: no part of the portfolio, raised from what is most overweight, not invested.

use proptest::prelude::*;
use rebalanced::decide::drift::drift;
use rebalanced::decide::plan::{Stage, plan};
use rebalanced::model::money::{Fraction, Usd};
use rebalanced::model::personal::Own;
use rebalanced::model::plan::Phase;
use rebalanced::model::snapshot::Snapshot;
use rebalanced::model::strategy::Strategy;
use rebalanced::model::verdict::{Reason, SkipReason};

use crate::cast::{account, dec, filled, legs, open, parts, strategy, symbol, usd, with};

fn aside(strategy: &Strategy, dollars: &str) -> Strategy {
    let own = Own { aside: usd(dollars), ..Own::default() };
    strategy.with_own((strategy.targets().to_vec(), strategy.cash()), own).unwrap()
}

/// Bands that nothing here leaves.
fn banded(weights: &[(&str, &str)]) -> Strategy {
    let mut made = parts(weights);
    made.conditions.drift_absolute = Some(Fraction::from_percent(dec("20")));
    strategy(made)
}

/// 6,100 in SPY, 3,400 in AGG, 500 in cash: SPY is a little overweight.
fn near() -> Snapshot {
    let snapshot = with(account("500"), "SPY", "61", ("100", "100"), true);
    with(snapshot, "AGG", "34", ("100", "100"), true)
}

#[test]
fn it_is_raised_from_what_is_most_overweight_and_nothing_is_bought() {
    let strategy = aside(&banded(&[("SPY", "60"), ("AGG", "35")]), "100");
    let made = open(&strategy, &near());
    // 9,900 are left as portfolio: 495 of it are to be cash, and 400 are there beside the 100.
    assert_eq!(made.reason, Reason::RaiseCash);
    assert_eq!(legs(&made), ["sell SPY 0.9502"], "95 are missing, and two cents for the rounding of two holdings");
    assert_eq!(made.cash_after, usd("595.02"));
    assert_eq!(made.value, usd("9900"));
}

#[test]
fn a_larger_one_is_taken_from_all_so_that_they_stand_level() {
    let strategy = aside(&banded(&[("SPY", "60"), ("AGG", "35")]), "2000");
    let made = open(&strategy, &near());
    assert_eq!(made.reason, Reason::RaiseCash);
    assert!(made.legs.iter().all(|leg| leg.phase == Phase::Sell));
    let after = filled(&near(), &made, Phase::Sell);
    assert!(after.account.cash >= usd("2400"), "{}", after.account.cash);
    let ratio = |name: &str, percent: &str| {
        let qty = after.holdings[&symbol(name)].qty.decimal();
        (qty / dec(percent)).round_dp(4)
    };
    assert_eq!(ratio("SPY", "60"), ratio("AGG", "35"));
    assert_eq!(
        plan(&strategy, &after, Stage::Opening).legs,
        [],
        "the cash is there: nothing more is sold, none invested"
    );
}

#[test]
fn cash_that_is_there_is_kept_and_not_invested() {
    let strategy = aside(&banded(&[("SPY", "60"), ("AGG", "35")]), "800");
    let snapshot = with(account("1300"), "SPY", "60", ("100", "100"), true);
    let snapshot = with(snapshot, "AGG", "35", ("100", "100"), true);
    let made = open(&strategy, &snapshot);
    assert_eq!(made.legs, [], "{}", made.detail);
    let without = open(&banded(&[("SPY", "60"), ("AGG", "35")]), &snapshot);
    assert_eq!(without.reason, Reason::NewCash, "without it the same cash is invested");
}

#[test]
fn a_breach_that_only_the_withdrawal_makes_is_mended_by_raising_it() {
    let mut made = parts(&[("SPY", "60"), ("AGG", "35")]);
    made.conditions.drift_absolute = Some(Fraction::from_percent(dec("5")));
    let strategy = aside(&strategy(made), "1500");
    let snapshot = with(account("500"), "SPY", "60", ("100", "100"), true);
    let made = open(&strategy, &with(snapshot, "AGG", "35", ("100", "100"), true));
    assert!(
        made.drift.symbols.iter().any(|row| row.absolute > Fraction::from_percent(dec("5"))),
        "SPY is 70.6% of 8,500"
    );
    assert_eq!(made.reason, Reason::RaiseCash);
    assert!(made.legs_of(Phase::Buy).next().is_none());
}

#[test]
fn a_breach_rebalances_the_rest_and_raises_it_on_the_way() {
    let mut made = parts(&[("SPY", "60"), ("AGG", "35")]);
    made.conditions.drift_absolute = Some(Fraction::from_percent(dec("5")));
    let strategy = aside(&strategy(made), "1000");
    let snapshot = with(account("500"), "SPY", "80", ("100", "100"), true);
    let snapshot = with(snapshot, "AGG", "15", ("100", "100"), true);
    let made = open(&strategy, &snapshot);
    assert_eq!(made.reason, Reason::DriftAbsolute);
    assert_eq!(legs(&made), ["sell SPY 26", "buy AGG $1650"]);
    assert_eq!(made.cash_after, usd("1450"), "5% of 9,000, and the 1,000");
}

#[test]
fn everything_is_sold_when_everything_is_to_leave() {
    let strategy = aside(&banded(&[("SPY", "60"), ("AGG", "35")]), "50000");
    let made = open(&strategy, &near());
    let after = filled(&near(), &made, Phase::Sell);
    assert!(after.account.cash >= usd("9999.9"), "{}: {:?}", after.account.cash, legs(&made));
    assert!(made.legs.iter().all(|leg| leg.phase == Phase::Sell));
}

#[test]
fn what_may_not_be_sold_raises_nothing() {
    let base = banded(&[("SPY", "60"), ("AGG", "35")]);
    let mut own = Own { aside: usd("100"), ..Own::default() };
    own.do_not_sell.insert(symbol("SPY"));
    let strategy = base.with_own((base.targets().to_vec(), base.cash()), own).unwrap();
    assert_eq!(legs(&open(&strategy, &near())), ["sell AGG 0.9501"]);
}

#[test]
fn hold_lists_stop_one_side_of_one_symbol_and_the_rest_is_planned_with_the_cash_that_is_there() {
    let base = strategy(parts(&[("SPY", "50"), ("AGG", "30"), ("GLD", "20")]));
    let snapshot = with(account("1000"), "SPY", "70", ("100", "100"), true);
    let snapshot = with(with(snapshot, "AGG", "10", ("100", "100"), true), "GLD", "10", ("100", "100"), true);
    let mut own = Own::default();
    own.do_not_sell.insert(symbol("SPY"));
    let kept = base.with_own((base.targets().to_vec(), base.cash()), own.clone()).unwrap();
    let made = open(&kept, &snapshot);
    assert_eq!(
        legs(&made),
        ["buy AGG $800", "buy GLD $200"],
        "what is not sold funds nothing; both come to 60% of their shares"
    );
    assert_eq!(made.skipped[0].reason, SkipReason::DoNotSell);
    own.do_not_buy.insert(symbol("AGG"));
    let both = base.with_own((base.targets().to_vec(), base.cash()), own).unwrap();
    let made = open(&both, &snapshot);
    assert_eq!(legs(&made), ["buy GLD $1000"]);
    let skipped: Vec<_> = made.skipped.iter().map(|skip| (skip.symbol.as_str(), skip.reason)).collect();
    assert_eq!(skipped, [("SPY", SkipReason::DoNotSell), ("AGG", SkipReason::DoNotBuy)]);
    assert!(SkipReason::parse("do_not_sell").is_some() && SkipReason::parse("do_not_buy").is_some());
}

fn cents(most: i64) -> impl Strategy2<Value = Usd> {
    (0..most).prop_map(|cents| Usd::new(rust_decimal::Decimal::new(cents, 2)))
}

use proptest::strategy::Strategy as Strategy2;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is held: cash never falls below what is kept aside by a purchase, and what was raised stays raised.
    #[test]
    fn what_is_kept_aside_is_never_spent(
        cash in cents(1_000_000), spy in 0_i64..200, agg in 0_i64..200, kept in cents(2_000_000), bands in any::<bool>(),
    ) {
        let base = if bands { banded(&[("SPY", "60"), ("AGG", "35")]) } else { strategy(parts(&[("SPY", "60"), ("AGG", "40")])) };
        let own = Own { aside: kept, ..Own::default() };
        let strategy = base.with_own((base.targets().to_vec(), base.cash()), own).unwrap();
        let snapshot = with(account(&cash.to_string()), "SPY", &spy.to_string(), ("99.99", "100.01"), true);
        let snapshot = with(snapshot, "AGG", &agg.to_string(), ("99.98", "100.02"), true);
        let Ok((valuation, _)) = drift(&strategy, &snapshot) else { return Ok(()) };
        let made = open(&strategy, &snapshot);
        let bought: Usd = made.legs_of(Phase::Buy).map(|leg| leg.value).sum();
        let sold: Usd = made.legs_of(Phase::Sell).map(|leg| leg.value).sum();
        prop_assert_eq!(made.cash_after, cash + sold - bought);
        if bought.is_positive() {
            prop_assert!(made.cash_after >= valuation.aside, "{} after, {} aside", made.cash_after, valuation.aside);
        }
        if made.reason == Reason::RaiseCash {
            let wanted = valuation.aside + valuation.value * strategy.cash();
            let halves = Usd::new(rust_decimal::Decimal::new(2 * 200, 2));
            prop_assert!(made.cash_after + halves >= wanted.min(valuation.aside + valuation.value), "{} after, {wanted} wanted", made.cash_after);
        }
    }
}
