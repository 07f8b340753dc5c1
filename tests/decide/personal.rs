//! What a user wishes, and what cannot be had: the effective strategy, by hand and by generated cases.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::subsequence;
use rebalanced::decide::personal::{completing, effective, misfits};
use rebalanced::model::ids::WishId;
use rebalanced::model::money::{Fraction, Usd};
use rebalanced::model::personal::{Allowance, ExcludedTo, Personal, Said, Unavailable, Wish};
use rebalanced::model::snapshot::Snapshot;
use rebalanced::model::strategy::Strategy;
use rebalanced::model::time::{Moment, Span};
use rebalanced::model::verdict::Reason;

use crate::cast::{account, dec, legs, now, open, parts, strategy, symbol, usd, with};

fn percent(text: &str) -> Fraction {
    Fraction::from_percent(dec(text))
}

/// 50% SPY, 30% AGG, 15% GLD, 5% cash; everything is allowed.
fn all_allowed(change: impl FnOnce(&mut Allowance)) -> Strategy {
    let mut allowance =
        Allowance { exclude: true, hold: true, cap: true, cash_max: Some(percent("40")), ..Allowance::default() };
    change(&mut allowance);
    strategy(parts(&[("SPY", "50"), ("AGG", "30"), ("GLD", "15")])).allowing(allowance).unwrap()
}

fn substitutes(pairs: &[(&str, &str)]) -> Strategy {
    all_allowed(|allowed| {
        allowed.substitutes = pairs.iter().map(|(one, other)| (symbol(one), symbol(other))).collect();
    })
}

/// Cash, and quotes of 100 for all that anybody here names.
fn market(cash: &str) -> Snapshot {
    let names = ["SPY", "AGG", "GLD", "VTI", "BND"];
    names.iter().fold(account(cash), |snapshot, name| with(snapshot, name, "0", ("100", "100"), true))
}

fn untradable(mut snapshot: Snapshot, name: &str) -> Snapshot {
    snapshot.assets.get_mut(&symbol(name)).unwrap().tradable = false;
    snapshot
}

fn said(wish: Wish) -> Said {
    said_until(wish, None)
}

fn said_until(wish: Wish, until: Option<Moment>) -> Said {
    Said {
        id: WishId::parse("wsh_1").unwrap(),
        account: account("0").account.id,
        wish,
        by: "ada".to_owned(),
        reason: "asked for it".to_owned(),
        at: now() - Span::from_hours(1),
        until,
        ended: None,
    }
}

fn wishes(all: impl IntoIterator<Item = Wish>) -> Personal {
    Personal { said: all.into_iter().map(said).collect() }
}

fn weights(strategy: &Strategy) -> Vec<String> {
    let rows = strategy.targets().iter().map(|it| format!("{} {}", it.symbol, it.weight.percent().normalize()));
    rows.chain([format!("cash {}", strategy.cash().percent().normalize())]).collect()
}

#[test]
fn an_excluded_weight_goes_to_the_substitute_or_to_the_others_or_to_cash() {
    let out = wishes([Wish::Exclude(symbol("SPY"))]);
    let with_vti = effective(&substitutes(&[("SPY", "VTI")]), &out, &market("1000")).unwrap();
    assert_eq!(weights(&with_vti), ["AGG 30", "GLD 15", "VTI 50", "cash 5"]);
    let others = effective(&all_allowed(|_| ()), &out, &market("1000")).unwrap();
    assert_eq!(weights(&others), ["AGG 63.3333333333", "GLD 31.6666666667", "cash 5"]);
    let cash = effective(&all_allowed(|allowed| allowed.excluded_to = ExcludedTo::Cash), &out, &market("1000"));
    assert_eq!(weights(&cash.unwrap()), ["AGG 30", "GLD 15", "cash 55"]);
    let broken = untradable(market("1000"), "VTI");
    let fallen_back = effective(&substitutes(&[("SPY", "VTI")]), &out, &broken).unwrap();
    assert!(fallen_back.targets().iter().all(|target| target.symbol != symbol("VTI")), "it cannot be had itself");
}

#[test]
fn what_the_file_does_not_allow_stops_the_run_and_says_so() {
    let plain = strategy(parts(&[("SPY", "60"), ("AGG", "40")]));
    let all = [
        (Wish::Exclude(symbol("SPY")), "exclude = true"),
        (Wish::DoNotSell(symbol("SPY")), "hold = true"),
        (Wish::DoNotBuy(symbol("SPY")), "hold = true"),
        (Wish::Cash(percent("10")), "cash_percent_max"),
        (Wish::Cap(usd("500")), "cap = true"),
        (Wish::TargetYear(2050), "target_year_min and target_year_max, now none"),
    ];
    for (wish, named) in all {
        let unfit = effective(&plain, &wishes([wish.clone()]), &market("1000")).unwrap_err();
        assert_eq!(unfit.reason, Reason::OverridesNotAllowed);
        assert!(unfit.detail.contains(named) && unfit.detail.contains("`example`"), "{}", unfit.detail);
        assert!(unfit.reason.is_blocked());
        if !matches!(wish, Wish::TargetYear(_)) {
            assert!(effective(&all_allowed(|_| ()), &wishes([wish]), &market("1000")).is_ok());
        }
    }
    let pending = wishes([Wish::Withdraw { amount: usd("100"), left: usd("30") }]);
    assert_eq!(effective(&plain, &pending, &market("1000")).unwrap().aside(), usd("70"), "their own money");
}

#[test]
fn bounds_of_the_file_hold() {
    let bounded = all_allowed(|allowed| allowed.max_excluded = Some(percent("40")));
    let two = wishes([Wish::Exclude(symbol("AGG")), Wish::Exclude(symbol("GLD"))]);
    assert!(misfits(&bounded, &two, now())[0].contains("45% of `example` would be excluded, and it allows 40%"));
    assert_eq!(misfits(&bounded, &wishes([Wish::Exclude(symbol("AGG"))]), now()), [] as [String; 0]);
    assert!(misfits(&bounded, &wishes([Wish::Cash(percent("41"))]), now())[0].contains("now 40%"));
    let all = ["SPY", "AGG", "GLD"].map(|name| Wish::Exclude(symbol(name)));
    assert_eq!(misfits(&all_allowed(|_| ()), &wishes(all), now()), ["nothing of `example` would be left"]);
}

#[test]
fn a_wish_ends_at_its_very_moment() {
    let base = all_allowed(|_| ());
    let until = |end| Personal { said: vec![said_until(Wish::DoNotSell(symbol("SPY")), Some(end))] };
    let at_the_end = effective(&base, &until(now()), &market("1000")).unwrap();
    assert!(at_the_end.may_sell(&symbol("SPY")), "at its end it counts no more");
    let before = effective(&base, &until(now() + Span::from_micros(1)), &market("1000")).unwrap();
    assert!(!before.may_sell(&symbol("SPY")), "a microsecond before it does");
}

#[test]
fn a_target_that_cannot_be_bought_is_left_to_cash_or_stops_the_run_or_has_a_substitute() {
    let snapshot = untradable(market("1000"), "SPY");
    let nobody = Personal::default();
    let kept = effective(&all_allowed(|_| ()), &nobody, &snapshot).unwrap();
    assert_eq!(legs(&open(&kept, &snapshot)), ["buy AGG $300", "buy GLD $150"], "hold_cash, as ever");
    let skips = all_allowed(|allowed| allowed.unavailable = Unavailable::SkipRun);
    let unfit = effective(&skips, &nobody, &snapshot).unwrap_err();
    assert_eq!(unfit.reason, Reason::AssetUnavailable);
    assert!(unfit.detail.starts_with("SPY cannot be bought now"), "{}", unfit.detail);
    assert!(effective(&skips, &nobody, &market("1000")).is_ok());
    let named = effective(&substitutes(&[("SPY", "VTI")]), &nobody, &snapshot).unwrap();
    assert_eq!(legs(&open(&named, &snapshot)), ["buy AGG $300", "buy GLD $150", "buy VTI $500"]);
}

#[test]
fn a_weight_below_one_whole_share_goes_to_its_substitute() {
    let whole = |price: (&str, &str)| with(market("1000"), "SPY", "0", price, false);
    let base = substitutes(&[("SPY", "VTI")]);
    let dear = whole(("501", "501"));
    let made = effective(&base, &Personal::default(), &dear).unwrap();
    assert_eq!(legs(&open(&made, &dear)), ["buy AGG $300", "buy GLD $150", "buy VTI $500"]);
    let fits = whole(("499", "499"));
    let made = effective(&base, &Personal::default(), &fits).unwrap();
    assert_eq!(weights(&made), weights(&base), "one share fits into 500 dollars");
}

#[test]
fn shares_of_either_count_and_nothing_is_sold_to_change_one_for_the_other() {
    let base = substitutes(&[("SPY", "VTI")]);
    // 3,000 in SPY, which is halted now, of a portfolio of 10,000: VTI takes the 2,000 that are missing.
    let halted = untradable(with(market("7000"), "SPY", "30", ("100", "100"), true), "SPY");
    let made = effective(&base, &Personal::default(), &halted).unwrap();
    assert_eq!(weights(&made), ["AGG 30", "GLD 15", "SPY 30", "VTI 20", "cash 5"]);
    // It trades again; the VTI stays and counts, and new money goes to SPY.
    let both = with(with(market("6000"), "SPY", "30", ("100", "100"), true), "VTI", "20", ("100", "100"), true);
    let both = with(with(both, "AGG", "30", ("100", "100"), true), "GLD", "15", ("100", "100"), true);
    let made = effective(&base, &Personal::default(), &both).unwrap();
    assert!(open(&made, &both).legs_of(rebalanced::model::plan::Phase::Sell).next().is_none());
    assert_eq!(open(&made, &both).drift.symbols.len(), 4);
    let bought = legs(&open(&made, &both));
    assert!(
        bought.iter().any(|leg| leg.starts_with("buy SPY")) && !bought.iter().any(|leg| leg.contains("VTI")),
        "{bought:?}"
    );
}

#[test]
fn own_cash_shrinks_the_weights_in_proportion_and_the_sum_stays() {
    let made = effective(&all_allowed(|_| ()), &wishes([Wish::Cash(percent("24"))]), &market("1000")).unwrap();
    assert_eq!(weights(&made), ["AGG 24", "GLD 12", "SPY 40", "cash 24"]);
}

#[test]
fn the_second_half_keeps_what_the_first_decided_and_only_more_is_stopped() {
    let base = substitutes(&[("SPY", "VTI")]);
    let then = wishes([Wish::Exclude(symbol("SPY")), Wish::DoNotSell(symbol("AGG")), Wish::Cap(usd("900"))]);
    let first = effective(&base, &then, &market("1000")).unwrap();
    let changed = wishes([
        Wish::DoNotBuy(symbol("GLD")),
        Wish::Exclude(symbol("VTI")),
        Wish::Cap(usd("5000")),
        Wish::Cash(percent("40")),
        Wish::Withdraw { amount: usd("50"), left: Usd::ZERO },
    ]);
    let second = completing(&first, &changed, now());
    assert_eq!(weights(&second), weights(&first), "the weights are those of the first half");
    assert!(!second.may_buy(&symbol("GLD")) && !second.may_buy(&symbol("VTI")), "what came meanwhile stops more");
    assert!(!second.may_sell(&symbol("AGG")), "what was lifted meanwhile holds on until the run has ended");
    assert_eq!((second.own().cap, second.aside()), (Some(usd("900")), usd("50")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Whatever is wished, held and halted: weights and cash add up to exactly one, nothing excluded is a target, and
    /// nothing comes in that the file does not name.
    #[test]
    fn the_effective_strategy_is_whole_and_stays_inside_what_the_file_names(
        shares in prop::collection::vec(1_u32..400, 2..7),
        cash in 0_u32..300,
        own_cash in prop::option::of(0_u32..39),
        out in subsequence((0..6_usize).collect::<Vec<_>>(), 0..3),
        paired in subsequence((0..6_usize).collect::<Vec<_>>(), 0..6),
        halted in subsequence((0..12_usize).collect::<Vec<_>>(), 0..5),
        held in prop::collection::vec(0_u32..50, 12),
        whole in any::<u16>(),
        (to_cash, skips) in any::<(bool, bool)>(),
    ) {
        let sum: u32 = shares.iter().sum::<u32>() + cash;
        let name = |place: usize| symbol(&format!("T{place}"));
        let stand_in = |place: usize| symbol(&format!("S{}", place % 4));
        let mut made = parts(&[("T0", "100")]);
        made.targets = shares.iter().enumerate().map(|(place, share)| rebalanced::model::strategy::Target {
            symbol: name(place),
            weight: Fraction::new((rust_decimal::Decimal::from(*share) / rust_decimal::Decimal::from(sum)).round_dp(6)),
        }).collect();
        made.cash = Fraction::ONE - made.targets.iter().map(|target| target.weight).sum::<Fraction>();
        prop_assume!(made.cash >= Fraction::ZERO && made.targets.iter().all(|target| target.weight.is_positive()));
        prop_assume!(made.cash < percent("39"));
        let allowance = Allowance {
            exclude: true, hold: true, cap: true, cash_max: Some(percent("39")),
            excluded_to: if to_cash { ExcludedTo::Cash } else { ExcludedTo::Others },
            unavailable: if skips { Unavailable::SkipRun } else { Unavailable::HoldCash },
            substitutes: paired.iter().filter(|place| **place < shares.len()).map(|place| (name(*place), stand_in(*place))).collect(),
            ..Allowance::default()
        };
        let base = strategy(made).allowing(allowance).unwrap();
        let mut snapshot = account("5000");
        for (place, shares) in held.iter().enumerate() {
            let named = if place < 6 { format!("T{place}") } else { format!("S{}", place - 6) };
            snapshot = with(snapshot, &named, &shares.to_string(), ("99.9", "100.1"), whole & (1 << place) == 0);
            snapshot.assets.get_mut(&symbol(&named)).unwrap().tradable = !halted.contains(&place);
        }
        let mut all: Vec<Wish> = out.iter().map(|place| Wish::Exclude(name(*place))).collect();
        all.extend(own_cash.map(|cash| Wish::Cash(percent(&cash.to_string()))));
        let personal = wishes(all);
        match effective(&base, &personal, &snapshot) {
            Err(unfit) => {
                let nothing_left = (0..shares.len()).all(|place| out.contains(&place));
                prop_assert!(nothing_left || (skips && unfit.reason == Reason::AssetUnavailable), "{}", unfit.detail);
            }
            Ok(made) => {
                let sum = made.targets().iter().map(|target| target.weight).sum::<Fraction>() + made.cash();
                prop_assert_eq!(sum, Fraction::ONE);
                let universe = base.universe();
                let excluded: BTreeSet<_> = out.iter().map(|place| name(*place)).collect();
                for target in made.targets() {
                    prop_assert!(target.weight.is_positive());
                    prop_assert!(universe.contains(&target.symbol), "{} is nobody's", target.symbol);
                    prop_assert!(!excluded.contains(&target.symbol), "{} is excluded", target.symbol);
                }
                let plan = open(&made, &snapshot);
                for leg in &plan.legs {
                    prop_assert!(universe.contains(&leg.symbol) && !excluded.contains(&leg.symbol));
                    prop_assert!(snapshot.assets[&leg.symbol].tradable);
                }
                // Nothing held of a pair that is wanted drops out of the count.
                for (one, other) in &base.allowance().substitutes {
                    let is_wanted = made.targets().iter().any(|target| target.symbol == *one || target.symbol == *other);
                    if is_wanted && !excluded.contains(one) && snapshot.holdings.contains_key(one) {
                        prop_assert!(made.targets().iter().any(|target| target.symbol == *one), "{one} is held and lost");
                    }
                }
            }
        }
    }

    /// A file without `[overrides]` and an account without wishes come out as they went in.
    #[test]
    fn without_wishes_nothing_changes(halted in any::<bool>(), held in 0_u32..90) {
        let base = strategy(parts(&[("SPY", "50"), ("AGG", "30"), ("GLD", "15")]));
        let mut snapshot = with(market("3000"), "SPY", &held.to_string(), ("99.9", "100.1"), true);
        if halted {
            snapshot = untradable(snapshot, "SPY");
        }
        let made = effective(&base, &Personal::default(), &snapshot).unwrap();
        prop_assert_eq!(open(&made, &snapshot), open(&base, &snapshot));
    }
}
