//! Every asset has one sentence, with the order or the reason for which there is none.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rebalanced::decide::plan::{Stage, plan};
use rebalanced::decide::reasons::reasons;
use rebalanced::model::ids::Symbol;
use rebalanced::model::money::Fraction;
use rebalanced::model::plan::{Amount, Plan, Side};
use rebalanced::model::snapshot::Snapshot;
use rebalanced::model::strategy::{Strategy, Unmanaged};
use rebalanced::model::time::Moment;

use crate::cast::{account, dec, open, parts, strategy, usd, with};
use crate::property::{any_account, any_strategy};

const CASES: u64 = 10_000;

fn sentences(strategy: &Strategy, snapshot: &Snapshot) -> Vec<String> {
    reasons(strategy, snapshot, &open(strategy, snapshot)).into_iter().map(|one| one.sentence).collect()
}

/// 60/35/5 with a band of five points, and this much of each.
fn sixty_forty(spy: &str, agg: &str, cash: &str) -> (Strategy, Snapshot) {
    let mut parts = parts(&[("SPY", "60"), ("AGG", "35")]);
    parts.conditions.drift_absolute = Some(Fraction::from_percent(dec("5")));
    parts.orders.min_notional = usd("10");
    let snapshot = with(account(cash), "SPY", spy, ("500", "500"), true);
    (strategy(parts), with(snapshot, "AGG", agg, ("100", "100"), true))
}

#[test]
fn who_left_its_band_says_so_and_who_did_not_names_the_one_that_did() {
    let (strategy, snapshot) = sixty_forty("140", "250", "5000");
    assert_eq!(
        sentences(&strategy, &snapshot),
        [
            "AGG is 25% of the portfolio, 10 points below its target of 35% (band 30% to 40%): buys 10000.00 dollars of it \
             at the market, because it left its band, and then the whole portfolio goes to its targets.",
            "SPY is 70% of the portfolio, 10 points above its target of 60% (band 55% to 65%): sells 20 shares at the \
             market, about 10000.00 dollars, because it left its band, and then the whole portfolio goes to its targets.",
        ]
    );
    let mut parts = parts(&[("AGG", "35"), ("BIL", "5"), ("SPY", "55")]);
    parts.conditions.drift_absolute = Some(Fraction::from_percent(dec("5")));
    let snapshot = with(snapshot, "BIL", "30", ("100", "100"), true);
    let said = sentences(&crate::cast::strategy(parts), &snapshot);
    assert!(said[1].contains("because AGG left its band, and then the whole"), "{said:#?}");
}

#[test]
fn who_is_held_says_why() {
    let (mut strategy, mut snapshot) = sixty_forty("120", "350", "5000");
    assert_eq!(
        sentences(&strategy, &snapshot)[0],
        "AGG is 35% of the portfolio, on its target of 35% (band 30% to 40%): not traded, because it is on its target."
    );
    (strategy, snapshot) = sixty_forty("124", "330", "5000");
    assert_eq!(
        sentences(&strategy, &snapshot)[1],
        "SPY is 62% of the portfolio, 2 points above its target of 60% (band 55% to 65%): not traded, because it is inside \
         its band."
    );
    (_, snapshot) = sixty_forty("140", "250", "5000");
    snapshot.last_rebalanced_at = Some(Moment::parse("2019-06-01T19:45:00Z").unwrap());
    let mut parts = parts(&[("SPY", "60"), ("AGG", "35")]);
    parts.conditions.drift_absolute = Some(Fraction::from_percent(dec("5")));
    parts.conditions.cooldown_days = 3;
    let said = sentences(&crate::cast::strategy(parts), &snapshot);
    let why = "not traded, because the account was rebalanced at 2019-06-01T19:45:00Z and rests 3 days, until 2019-06-04T19:45:00Z.";
    assert!(said.iter().all(|sentence| sentence.ends_with(why)), "{said:#?}");
}

#[test]
fn what_the_broker_or_the_money_does_not_allow_is_said_with_its_numbers() {
    let parts = parts(&[("SPY", "50"), ("AGG", "50")]);
    let snapshot = with(account("400"), "SPY", "0", ("500", "501"), false);
    let snapshot = with(snapshot, "AGG", "0", ("100", "100"), true);
    let said = sentences(&strategy(parts.clone()), &snapshot);
    assert!(said[1].contains("199.90 dollars of it are not bought"), "{said:#?}");
    assert!(said[1].contains("less than one share at 501 dollars, and it does not trade in fractions"), "{said:#?}");
    let mut snapshot = with(account("1000"), "SPY", "2", ("500", "500"), true);
    let said = sentences(&strategy(parts.clone()), &snapshot);
    assert!(said[0].ends_with("is not traded: it has no usable price."), "{said:#?}");
    assert!(said[1].ends_with("is not traded: there is no usable price of AGG."), "{said:#?}");
    snapshot = with(snapshot, "AGG", "0", ("100", "100"), true);
    snapshot.assets.get_mut(&crate::cast::symbol("AGG")).unwrap().tradable = false;
    let said = sentences(&strategy(parts), &snapshot);
    assert!(said[0].contains("are not bought, because the broker does not let it be traded"), "{said:#?}");
}

#[test]
fn strangers_have_their_sentence_too() {
    for (unmanaged, part) in [
        (Unmanaged::Ignore, "it is neither traded nor counted."),
        (Unmanaged::Block, "which trades nothing while the account holds such a thing."),
        (Unmanaged::Sell, "sells 3 shares at the market, about 150.00 dollars, because the strategy does not name it"),
    ] {
        let mut parts = parts(&[("SPY", "95")]);
        parts.conditions.unmanaged = unmanaged;
        let snapshot = with(with(account("500"), "SPY", "19", ("500", "500"), true), "XYZ", "3", ("50", "50"), true);
        let said = sentences(&strategy(parts), &snapshot);
        assert!(said[1].starts_with("XYZ ") && said[1].contains(part), "{said:#?}");
    }
}

/// Exactly one sentence for each target and holding; who is traded names its order, and nobody else any.
fn hold_together(strategy: &Strategy, snapshot: &Snapshot, plan: &Plan) -> usize {
    let said = reasons(strategy, snapshot, plan);
    let of: Vec<&Symbol> = said.iter().map(|one| &one.symbol).collect();
    let mut expected: BTreeSet<&Symbol> = strategy.targets().iter().map(|target| &target.symbol).collect();
    expected.extend(snapshot.holdings.iter().filter(|(_, held)| !held.qty.is_zero()).map(|(symbol, _)| symbol));
    assert_eq!(of, expected.into_iter().collect::<Vec<_>>(), "one sentence each, in order");
    for one in &said {
        let sentence = &one.sentence;
        assert!(sentence.starts_with(one.symbol.as_str()) && sentence.ends_with('.'), "{sentence}");
        let leg = plan.legs.iter().find(|leg| leg.symbol == one.symbol);
        let named = leg.map(|leg| {
            let verb = if leg.phase.side() == Side::Buy { "buys" } else { "sells" };
            match leg.amount {
                Amount::Qty(qty) => format!(": {verb} {qty} shares "),
                Amount::Notional(sum) => format!(": {verb} {:.2} dollars ", sum.decimal()),
            }
        });
        match named {
            Some(order) => assert!(sentence.contains(&order), "{order} is not in: {sentence}"),
            None => assert!(!sentence.contains(": buys") && !sentence.contains(": sells"), "{sentence}"),
        }
        if let Some(skip) = plan.skipped.iter().find(|skip| skip.symbol == one.symbol) {
            assert!(sentence.contains(&format!("{:.2} dollars of it are not", skip.value.decimal())), "{sentence}");
        }
        assert!(!sentence.contains("because of `") && !sentence.contains(": `"), "a bare code: {sentence}");
    }
    said.len()
}

#[test]
fn ten_thousand_generated_plans_have_one_sentence_for_every_asset() {
    let mut told = 0;
    for case in 0..CASES {
        let dice = &mut StdRng::seed_from_u64(case);
        let strategy = any_strategy(dice);
        let snapshot = any_account(dice, &strategy);
        println!("case {case}");
        told += hold_together(&strategy, &snapshot, &plan(&strategy, &snapshot, Stage::Opening));
        let second = plan(&strategy, &snapshot, Stage::Completing { sold: &[] });
        told += hold_together(&strategy, &snapshot, &second);
    }
    println!("{told} sentences");
    assert!(told > 50_000, "{told}");
}
