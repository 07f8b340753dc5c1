//! What the sentences say of models, substitutes, exclusions, rests and cash that waits: each with its numbers.

use std::collections::BTreeSet;

use rebalanced::decide::personal::effective;
use rebalanced::decide::plan::{Stage, plan, refused};
use rebalanced::decide::reasons::reasons;
use rebalanced::model::composition::{Composition, Momentum};
use rebalanced::model::ids::WishId;
use rebalanced::model::money::Fraction;
use rebalanced::model::personal::{Allowance, ExcludedTo, Personal, Said, Unavailable, Wish};
use rebalanced::model::snapshot::Snapshot;
use rebalanced::model::strategy::{Strategy, StrategyParts, Unmanaged};
use rebalanced::model::time::Span;
use rebalanced::model::tolerance::Mode;
use rebalanced::model::verdict::Reason;

use crate::cast::{account, dec, now, open, parts, strategy, symbol, usd, with};

fn percent(text: &str) -> Fraction {
    Fraction::from_percent(dec(text))
}

/// Sentences by symbol, without the symbol and what stands before the first colon where `after` says so.
fn said(strategy: &Strategy, snapshot: &Snapshot) -> Vec<String> {
    reasons(strategy, snapshot, &open(strategy, snapshot)).into_iter().map(|one| one.sentence).collect()
}

fn untradable(mut snapshot: Snapshot, name: &str) -> Snapshot {
    snapshot.assets.get_mut(&symbol(name)).unwrap().tradable = false;
    snapshot
}

fn momentum() -> Strategy {
    let symbols: BTreeSet<_> = ["AAA", "BBB", "CCC"].iter().map(|name| symbol(name)).collect();
    let momentum = Momentum { symbols, count: 1, window_days: 5, average_days: 5, defensive: symbol("DEF") };
    let mut parts = parts(&[]);
    parts.conditions.drift_absolute = Some(percent("5"));
    Strategy::composed(StrategyParts { cash: Fraction::ZERO, ..parts }, Composition::Momentum(momentum)).unwrap()
}

#[test]
fn what_a_model_does_not_hold_now_is_the_models_and_no_strangers() {
    let of_today = momentum().resolved(&[(symbol("AAA"), Fraction::ONE)].into_iter().collect()).unwrap();
    let market = |snapshot: Snapshot| {
        ["AAA", "BBB", "CCC", "DEF"]
            .iter()
            .fold(snapshot, |snapshot, name| with(snapshot, name, "0", ("10", "10"), true))
    };
    let held = with(market(account("0")), "AAA", "10", ("10", "10"), true);
    let none =
        "of the portfolio and the strategy's model holds none of it now: not traded, because nothing of it is held.";
    assert_eq!(
        said(&of_today, &held),
        [
            "AAA is 100% of the portfolio, on its target of 100% (band 95% to 100%): not traded, because it is on its target.",
            &format!("BBB is 0% {none}"),
            &format!("CCC is 0% {none}"),
            &format!("DEF is 0% {none}"),
        ]
    );
    let left = with(held, "BBB", "10", ("10", "10"), true);
    let sentences = said(&of_today, &left);
    assert!(
        sentences[0]
            .ends_with("because what the strategy's model holds no longer is sold, and the rest goes to its target."),
        "{sentences:#?}"
    );
    assert_eq!(
        sentences[1],
        "BBB is 50% of the portfolio and the strategy's model holds none of it now: sells 10 shares at the market, about \
         100.00 dollars, because the strategy's model holds none of it now."
    );
}

#[test]
fn a_model_without_its_prices_names_all_that_it_may_hold_and_why_nothing_moves() {
    let model = momentum();
    let snapshot = with(account("500"), "BBB", "3", ("10", "10"), true);
    let plan = refused(&model, &snapshot, (Reason::HistoryMissing, "CCC has no closing price of 2019-05-31"));
    let sentences: Vec<String> = reasons(&model, &snapshot, &plan).into_iter().map(|one| one.sentence).collect();
    assert_eq!(sentences.len(), 4, "{sentences:#?}");
    for (sentence, (name, held)) in sentences.iter().zip([("AAA", 0), ("BBB", 3), ("CCC", 0), ("DEF", 0)]) {
        let expected = format!(
            "{name} ({held} shares held) may be held by the strategy and is not traded: CCC has no closing price of 2019-05-31."
        );
        assert_eq!(*sentence, expected);
    }
}

/// 50% SPY, 45% AGG, 5% cash, and VTI for SPY.
fn shared(change: impl FnOnce(&mut Allowance)) -> Strategy {
    let mut allowance = Allowance { exclude: true, ..Allowance::default() };
    allowance.substitutes.insert(symbol("SPY"), symbol("VTI"));
    change(&mut allowance);
    strategy(parts(&[("SPY", "50"), ("AGG", "45")])).allowing(allowance).unwrap()
}

fn market(cash: &str) -> Snapshot {
    ["SPY", "AGG", "VTI"].iter().fold(account(cash), |snapshot, name| with(snapshot, name, "0", ("100", "100"), true))
}

fn nobody() -> Personal {
    Personal::default()
}

fn excluding(name: &str) -> Personal {
    let id = WishId::parse("wsh_1").unwrap();
    let (by, reason) = ("ada".to_owned(), "works there".to_owned());
    let account = account("0").account.id;
    let wish = Wish::Exclude(symbol(name));
    let at = now() - Span::from_hours(1);
    Personal { said: vec![Said { id, account, wish, by, reason, at, until: None, ended: None }] }
}

#[test]
fn who_stands_in_for_whom_is_said_of_both() {
    let snapshot = untradable(with(market("7000"), "SPY", "30", ("100", "100"), true), "SPY");
    let made = effective(&shared(|_| ()), &nobody(), &snapshot).unwrap();
    let sentences = said(&made, &snapshot);
    assert!(
        sentences[1].starts_with(
            "SPY is 30% of the portfolio, on its target of 30% (no band), cannot be bought now, and VTI takes the rest of its weight: "
        ),
        "{sentences:#?}"
    );
    assert!(
        sentences[2].starts_with(
            "VTI is 0% of the portfolio, 20 points below its target of 20% (no band), and takes the weight of SPY: buys "
        ),
        "{sentences:#?}"
    );
    // None of it is held: it is no target now, and is still spoken of.
    let snapshot = untradable(market("10000"), "SPY");
    let made = effective(&shared(|_| ()), &nobody(), &snapshot).unwrap();
    let sentences = said(&made, &snapshot);
    assert_eq!(sentences[1], "SPY (0 shares held) cannot be bought now, and VTI takes its weight: not traded.");
    assert!(sentences[2].contains("and takes the weight of SPY: buys "), "{sentences:#?}");
}

#[test]
fn an_exclusion_says_where_the_weight_goes() {
    let snapshot = with(market("5000"), "SPY", "30", ("100", "100"), true);
    let ours = "is excluded by the account's user";
    for (name, to, place, goes) in [
        ("SPY", ExcludedTo::Others, 1, "SPY (30 shares held) # : VTI takes its weight"),
        ("AGG", ExcludedTo::Others, 0, "AGG (0 shares held) # : its weight goes to the others"),
        ("AGG", ExcludedTo::Cash, 0, "AGG (0 shares held) # : its weight stays cash"),
    ] {
        let made = effective(&shared(|allowed| allowed.excluded_to = to), &excluding(name), &snapshot).unwrap();
        let expected = format!("{}, and what is held of it is neither traded nor counted.", goes.replace("# ", ours));
        assert_eq!(said(&made, &snapshot)[place], expected);
    }
    let mut sold = parts(&[("SPY", "50"), ("AGG", "45")]);
    sold.conditions.unmanaged = Unmanaged::Sell;
    let sold = strategy(sold).allowing(Allowance { exclude: true, ..Allowance::default() }).unwrap();
    let made = effective(&sold, &excluding("SPY"), &snapshot).unwrap();
    let sentence = &said(&made, &snapshot)[1];
    assert!(sentence.starts_with("SPY is 37.5% of the portfolio and excluded by the account's user"), "{sentence}");
    assert!(
        sentence.ends_with("because the account's user excludes it, and the strategy says to sell such holdings."),
        "{sentence}"
    );
}

#[test]
fn a_run_that_is_skipped_says_for_what() {
    let strict = strategy(parts(&[("SPY", "50"), ("AGG", "45")]))
        .allowing(Allowance { unavailable: Unavailable::SkipRun, ..Allowance::default() })
        .unwrap();
    let snapshot = untradable(market("10000"), "SPY");
    let unfit = effective(&strict, &nobody(), &snapshot).unwrap_err();
    let plan = refused(&strict, &snapshot, (unfit.reason, &unfit.detail));
    for one in reasons(&strict, &snapshot, &plan) {
        assert!(one.sentence.ends_with(&format!("not traded, because {}.", unfit.detail)), "{}", one.sentence);
    }
}

#[test]
fn the_rest_is_that_of_the_trigger_that_would_act() {
    let drifted = with(with(account("500"), "SPY", "75", ("100", "100"), true), "AGG", "20", ("100", "100"), true);
    let rested = Snapshot { last_rebalanced_at: Some(now() - Span::from_hours(1)), ..drifted };
    for (band, limit, expected) in [(Some("5"), Some("5"), 10), (None, Some("5"), 2), (None, None, 7)] {
        let mut parts = parts(&[("SPY", "60"), ("AGG", "35")]);
        parts.conditions.drift_absolute = band.map(percent);
        parts.conditions.tolerance.drift_portfolio = limit.map(percent);
        parts.conditions.cooldown_days = 3;
        let own = &mut parts.conditions.tolerance.cooldowns;
        own.drift = band.map(|_| 10);
        own.portfolio = limit.map(|_| if band.is_some() { 8 } else { 2 });
        own.scheduled = (band.is_none() && limit.is_none()).then_some(7);
        let (strategy, rested) = (strategy(parts), rested.clone());
        let plan = open(&strategy, &rested);
        assert_eq!(plan.reason, Reason::Cooldown);
        let until = now() - Span::from_hours(1) + Span::from_hours(24 * expected);
        for sentence in said(&strategy, &rested) {
            assert!(sentence.ends_with(&format!("rests {expected} days, until {until}.")), "{sentence}");
        }
    }
}

#[test]
fn the_portfolios_own_limit_is_told_with_both_numbers() {
    let mut limited = parts(&[("SPY", "60"), ("AGG", "35")]);
    let snapshot = with(with(account("500"), "SPY", "66", ("100", "100"), true), "AGG", "29", ("100", "100"), true);
    limited.conditions.tolerance.drift_portfolio = Some(percent("7"));
    let sentences = said(&strategy(limited.clone()), &snapshot);
    let why = "not traded, because half of all distances together is 6 points, inside the strategy's limit of 7.";
    assert!(sentences.iter().all(|sentence| sentence.ends_with(why)), "{sentences:#?}");
    limited.conditions.tolerance.drift_portfolio = Some(percent("5.5"));
    let why = "because half of all distances together is 6 points, beyond the strategy's limit of 5.5, and then the whole \
               portfolio goes to its targets.";
    let sentences = said(&strategy(limited), &snapshot);
    assert!(sentences.iter().all(|sentence| sentence.ends_with(why)), "{sentences:#?}");
}

#[test]
fn cash_that_waits_is_told_with_what_it_waits_for() {
    let mut waits = parts(&[("SPY", "60"), ("AGG", "35")]);
    waits.conditions.drift_absolute = Some(percent("5"));
    let snapshot = with(with(account("700"), "SPY", "60", ("100", "100"), true), "AGG", "33", ("100", "100"), true);
    waits.conditions.tolerance.cash_above = Some(usd("500"));
    let sentences = said(&strategy(waits.clone()), &snapshot);
    let wait = "not traded, because it is inside its band; 200.00 dollars of cash above its target wait until they are more \
                than 500.00.";
    assert!(sentences[0].ends_with(wait), "{sentences:#?}");
    waits.conditions.tolerance.cash_above = None;
    waits.conditions.invest_cash = false;
    let sentences = said(&strategy(waits), &snapshot);
    let stays =
        "inside its band; 200.00 dollars of cash above its target stay, because the strategy does not invest cash.";
    assert!(sentences[0].ends_with(stays), "{sentences:#?}");
}

#[test]
fn nothing_to_do_and_nothing_that_can_be_done_are_told_apart() {
    let on_target = with(with(account("5"), "SPY", "0.6", ("100", "100"), true), "AGG", "0.35", ("100", "100"), true);
    let bandless = strategy(parts(&[("SPY", "60"), ("AGG", "35")]));
    assert_eq!(open(&bandless, &on_target).reason, Reason::OnTarget);
    let off = with(with(account("500"), "SPY", "70", ("100", "100"), true), "AGG", "25", ("100", "100"), true);
    let stuck = untradable(untradable(off, "SPY"), "AGG");
    let plan = open(&bandless, &stuck);
    assert_eq!(plan.reason, Reason::Hindered, "{plan:#?}");
    assert!(plan.detail.ends_with("and what is to move cannot be traded now"), "{}", plan.detail);
    // A wish of two dollars where the least order is ten.
    let mut small = parts(&[("SPY", "60"), ("AGG", "35")]);
    small.orders.min_notional = usd("10");
    let near = with(with(account("500"), "SPY", "60.02", ("100", "100"), true), "AGG", "34.98", ("100", "100"), true);
    assert_eq!(open(&strategy(small), &near).reason, Reason::BelowMinimum);
}

#[test]
fn who_only_sells_says_who_brings_the_cash() {
    let mut seller = parts(&[("SPY", "60"), ("AGG", "35")]);
    seller.conditions.mode = Mode::SellOnly;
    let snapshot = with(with(account("100"), "SPY", "70", ("100", "100"), true), "AGG", "29", ("100", "100"), true);
    let seller = strategy(seller);
    let plan = plan(&seller, &snapshot, Stage::Opening);
    assert_eq!(plan.reason, Reason::RaiseCash);
    let sentences = said(&seller, &snapshot);
    assert!(sentences[0].ends_with("not sold, because what is above its target brings the cash."), "{sentences:#?}");
}
