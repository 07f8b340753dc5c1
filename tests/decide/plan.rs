//! Plans held against arithmetic done by hand, to the cent.

use rebalanced::decide::plan::{Stage, plan};
use rebalanced::model::ids::{ClientOrderId, OrderId};
use rebalanced::model::money::{Fraction, Price, Qty, Usd};
use rebalanced::model::plan::{Decision, Phase, Side};
use rebalanced::model::snapshot::{OpenOrder, Snapshot};
use rebalanced::model::strategy::{Destination, OrderType, Unmanaged};
use rebalanced::model::time::Span;
use rebalanced::model::verdict::{Reason, SkipReason};

use crate::cast::{account, dec, filled, legs, now, open, parts, strategy, symbol, usd, with};

/// 60% SPY, 35% AGG, 5% cash.
fn classic() -> rebalanced::model::strategy::StrategyParts {
    parts(&[("SPY", "60"), ("AGG", "35")])
}

/// 28 SPY at 500 and 50 AGG at 100 with 1,000 dollars: worth 20,000, SPY at 70%, AGG at 25%, cash at 5%.
fn drifted() -> Snapshot {
    let snapshot = with(account("1000"), "SPY", "28", ("500", "500"), true);
    with(snapshot, "AGG", "50", ("100", "100"), true)
}

/// An order of the user's own: what it reserves, or the shares that it may still trade.
fn by_hand(name: &str, side: Side, (reserves, remaining): (Option<&str>, Option<&str>)) -> OpenOrder {
    OpenOrder {
        id: OrderId::parse("o-1").unwrap(),
        client_order_id: ClientOrderId::parse("by-hand").unwrap(),
        symbol: symbol(name),
        side,
        reserves: reserves.map(usd),
        remaining: remaining.map(|shares| Qty::new(dec(shares))),
    }
}

fn percent(text: &str) -> Fraction {
    Fraction::from_percent(dec(text))
}

#[test]
fn sixty_thirty_five_five_without_a_spread_to_the_cent() {
    // SPY: 14,000 -> 12,000 is 2,000 dollars or 4 shares. AGG: 5,000 -> 7,000 is 2,000 dollars. Cash stays 1,000.
    let plan = open(&strategy(classic()), &drifted());
    assert_eq!(legs(&plan), ["sell SPY 4", "buy AGG $2000"]);
    assert_eq!((plan.value, plan.cash_after), (usd("20000"), usd("1000")));
    assert_eq!(plan.reason, Reason::Scheduled);
    assert_eq!(plan.turnover, Fraction::new(dec("0.1")), "2,000 of 20,000 are sold");
    assert_eq!(plan.drift.portfolio, Fraction::new(dec("0.1")), "half of 10 + 10 + 0 points");
}

#[test]
fn sixty_thirty_five_five_with_a_spread_to_the_cent() {
    // Quotes 499.90/500.10 and 99.98/100.02: middles 500 and 100, so the values are as above.
    // What it is worth once the spread is paid, V = 20,000 - cost:
    //   selling d dollars of SPY at the middle costs d * 0.10/500, buying d dollars of AGG costs d * 0.02/100.
    //   round 1: d = 2,000 each: cost 0.40 + 0.40 = 0.80, V = 19,999.20
    //   round 2: SPY to 11,999.52 is d = 2,000.48: 0.400096; AGG to 6,999.72 is d = 1,999.72: 0.399944; V = 19,999.19996
    //   round 3: SPY to 11,999.519976, d = 2,000.480024; AGG to 6,999.719986, d = 1,999.719986; V = 19,999.19996
    // Sale: 2,000.480024 / 500 = 4.000960048 shares, at 499.90 worth 2,000.07992799 -> 2,000.07.
    // To spend: 1,000 + 2,000.07 - 5% of 19,999.19996 (999.959998) = 2,000.110002 -> 2,000.11.
    // Purchase: to 6,999.719986, at the ask 1,999.719986 * 1.0002 = 2,000.119930 -> the 2,000.11 that are there.
    // Cash after: 1,000 + 2,000.07 - 2,000.11 = 999.96.
    let snapshot = with(account("1000"), "SPY", "28", ("499.90", "500.10"), true);
    let snapshot = with(snapshot, "AGG", "50", ("99.98", "100.02"), true);
    let plan = open(&strategy(classic()), &snapshot);
    assert_eq!(legs(&plan), ["sell SPY 4.000960048", "buy AGG $2000.11"]);
    assert_eq!(plan.legs[0].value, usd("2000.07"));
    assert_eq!(plan.cash_after, usd("999.96"));
}

#[test]
fn whole_shares_where_an_asset_cannot_be_split() {
    // AGG in whole shares at 100.50: 5,025 are held, worth 20,025. Its target is 7,008.75, short by 1,983.75: 19 shares
    // for 1,909.50. SPY's target is 12,015, above by 1,985: 3.97 shares.
    let snapshot = with(account("1000"), "SPY", "28", ("500", "500"), true);
    let snapshot = with(snapshot, "AGG", "50", ("100.50", "100.50"), false);
    let plan = open(&strategy(classic()), &snapshot);
    assert_eq!(legs(&plan), ["sell SPY 3.97", "buy AGG 19"]);
    assert_eq!(plan.cash_after, usd("1075.50"), "1,000 + 1,985 - 1,909.50");
}

#[test]
fn limit_orders_go_to_the_far_side_in_ticks_and_by_quantity() {
    let mut parts = classic();
    parts.orders.kind = OrderType::Limit;
    let snapshot = with(account("1000"), "SPY", "28", ("499.999", "500.001"), true);
    let snapshot = with(snapshot, "AGG", "50", ("99.999", "100.001"), true);
    let plan = open(&strategy(parts), &snapshot);
    let [sale, purchase] = legs(&plan).try_into().unwrap();
    // Reckoned at the limits: four shares lose 0.04 dollars and twenty lose 0.20, so 19,999.76 are left to be shared out, and SPY
    // goes to 11,999.856 of its 14,000.
    assert_eq!(sale, "sell SPY 4.000287993 @499.99");
    assert!(purchase.starts_with("buy AGG 19.999") && purchase.ends_with("@100.01"), "{purchase}");
}

#[test]
fn bands_are_left_strictly_and_the_first_that_is_left_is_the_reason() {
    let reason = |absolute: Option<&str>, relative: Option<&str>| {
        let mut parts = classic();
        parts.conditions.drift_absolute = absolute.map(percent);
        parts.conditions.drift_relative = relative.map(percent);
        let plan = open(&strategy(parts), &drifted());
        (plan.decision, plan.reason)
    };
    // Both are 10 points off; AGG by 28.57% of its target, SPY by 16.67%.
    assert_eq!(reason(Some("9.99"), None), (Decision::Trade, Reason::DriftAbsolute));
    assert_eq!(reason(Some("10"), None), (Decision::Hold, Reason::InsideBands), "on the edge is inside (facts 8.3)");
    assert_eq!(reason(None, Some("28")), (Decision::Trade, Reason::DriftRelative));
    assert_eq!(reason(None, Some("29")), (Decision::Hold, Reason::InsideBands));
    assert_eq!(reason(Some("11"), Some("28")), (Decision::Trade, Reason::DriftRelative));
}

#[test]
fn the_band_edge_and_halfway_are_nearer_than_the_target() {
    let to = |destination: Destination| {
        let mut parts = classic();
        parts.conditions.drift_absolute = Some(percent("5"));
        parts.conditions.destination = destination;
        legs(&open(&strategy(parts), &drifted()))
    };
    // From 70% to 65% is 1,000 dollars or 2 shares; AGG from 25% to 30%. Halfway is the same here, by chance of numbers.
    assert_eq!(to(Destination::BandEdge), ["sell SPY 2", "buy AGG $1000"]);
    assert_eq!(to(Destination::Halfway), ["sell SPY 2", "buy AGG $1000"]);
    assert_eq!(to(Destination::Target), ["sell SPY 4", "buy AGG $2000"]);
}

#[test]
fn new_cash_buys_what_is_underweight_and_sells_nothing() {
    let mut parts = classic();
    parts.conditions.drift_absolute = Some(percent("5"));
    // 1,000 dollars more than 5% of 20,000 would be: SPY 11,600 (58%), AGG 6,400 (32%), cash 2,000 (10%).
    let snapshot = with(account("2000"), "SPY", "23.2", ("500", "500"), true);
    let snapshot = with(snapshot, "AGG", "64", ("100", "100"), true);
    // AGG is at 91.4% of its target, SPY at 96.7%. AGG alone up to SPY's level takes 7,000 * 96.67% - 6,400 = 366.67;
    // the other 633.33 lift both, 12,000 : 7,000, to 100%: SPY 400, AGG 366.67 + 233.33 = 600.
    let plan = open(&strategy(parts), &snapshot);
    assert_eq!(plan.reason, Reason::NewCash);
    assert_eq!(legs(&plan), ["buy AGG $600", "buy SPY $400"]);
    assert_eq!(plan.cash_after, usd("1000"));
}

#[test]
fn new_cash_goes_first_only_where_it_is_needed_most() {
    let mut parts = classic();
    parts.conditions.drift_absolute = Some(percent("20"));
    // 200 to spend, SPY far above: all of it goes to AGG.
    let plan = open(
        &strategy(parts.clone()),
        &with(with(account("1210.53"), "SPY", "28", ("500", "500"), true), "AGG", "50", ("100", "100"), true),
    );
    assert_eq!(plan.reason, Reason::NewCash);
    // 5% of 20,210.53 is 1,010.5265: 200.00 may be spent.
    assert_eq!(legs(&plan), ["buy AGG $200"]);
    parts.conditions.invest_cash = false;
    let plan = open(
        &strategy(parts),
        &with(with(account("1210.53"), "SPY", "28", ("500", "500"), true), "AGG", "50", ("100", "100"), true),
    );
    assert_eq!((plan.decision, plan.reason), (Decision::Hold, Reason::InsideBands));
}

#[test]
fn the_second_half_buys_from_the_cash_that_is_really_there() {
    let parts = strategy(classic());
    let snapshot = drifted();
    let first = open(&parts, &snapshot);
    let mut after = filled(&snapshot, &first, Phase::Sell);
    // The sale brought 100 dollars less than the quote said: 2,900 in cash, worth 19,900, 995 of it stays.
    after.account.cash = usd("2900");
    let second = plan(&parts, &after, Stage::Completing { sold: &[] });
    // SPY is below its 11,940 no more; AGG is short by 6,965 - 5,000 = 1,965, and 1,905 are there.
    assert_eq!(legs(&second), ["buy AGG $1905"]);
    assert_eq!((second.reason, second.cash_after), (Reason::Completing, usd("995")));
}

#[test]
fn less_than_the_minimum_is_left_alone_and_said() {
    let mut parts = classic();
    parts.orders.min_notional = usd("2500");
    let plan = open(&strategy(parts), &drifted());
    assert_eq!((plan.decision, plan.reason), (Decision::Hold, Reason::BelowMinimum));
    let skipped: Vec<_> =
        plan.skipped.iter().map(|skip| (skip.symbol.as_str(), skip.side, skip.value, skip.reason)).collect();
    assert_eq!(skipped[0], ("SPY", Side::Sell, usd("2000"), SkipReason::BelowMinimum));
    assert_eq!((skipped[1].0, skipped[1].1), ("AGG", Side::Buy), "every non-trade has its reason");
}

#[test]
fn what_the_strategy_does_not_name_is_ignored_sold_or_blocks() {
    let with_stranger = |unmanaged| {
        let mut parts = classic();
        parts.conditions.unmanaged = unmanaged;
        open(&strategy(parts), &with(drifted(), "KO", "10.5", ("60", "60"), true))
    };
    let ignored = with_stranger(Unmanaged::Ignore);
    assert_eq!((legs(&ignored), ignored.value), (vec!["sell SPY 4".into(), "buy AGG $2000".into()], usd("20000")));
    let blocked = with_stranger(Unmanaged::Block);
    assert_eq!((blocked.decision, blocked.reason), (Decision::Hold, Reason::UnmanagedBlocks));
    // Sold: 630 dollars more, worth 20,630: SPY to 12,378 sells 1,622 or 3.244 shares, AGG to 7,220.50 buys 2,220.50.
    let sold = with_stranger(Unmanaged::Sell);
    assert_eq!(sold.reason, Reason::UnmanagedSold);
    assert_eq!(legs(&sold), ["sell KO 10.5", "sell SPY 3.244", "buy AGG $2220.5"]);
    assert_eq!(sold.cash_after, usd("1031.50"), "5% of 20,630");
}

#[test]
fn a_symbol_with_an_open_order_is_not_touched_and_its_cash_is_not_spent() {
    let mut snapshot = drifted();
    snapshot.open_orders.push(by_hand("SPY", Side::Buy, (Some("700"), None)));
    let plan = open(&strategy(classic()), &snapshot);
    // SPY's sale is left out; of the 1,000 dollars 1,000 are the cash target, so nothing can be bought either.
    assert_eq!(plan.decision, Decision::Hold);
    let why: Vec<_> = plan.skipped.iter().map(|skip| (skip.symbol.as_str(), skip.reason)).collect();
    assert_eq!(why, [("SPY", SkipReason::OpenOrder), ("AGG", SkipReason::NoCash)]);
}

#[test]
fn shares_that_are_held_for_an_order_of_the_user_are_not_sold() {
    let mut snapshot = drifted();
    snapshot.holdings.get_mut(&symbol("SPY")).unwrap().available = Qty::new(dec("1.5"));
    let plan = open(&strategy(classic()), &snapshot);
    assert_eq!(legs(&plan), ["sell SPY 1.5", "buy AGG $750"]);
}

#[test]
fn a_cooldown_rests_and_new_cash_does_not() {
    let mut parts = classic();
    parts.conditions.drift_absolute = Some(percent("5"));
    parts.conditions.cooldown_days = 3;
    let parts = strategy(parts);
    let mut snapshot = drifted();
    snapshot.last_rebalanced_at = Some(now() - Span::from_hours(71));
    let plan = open(&parts, &snapshot);
    assert_eq!((plan.decision, plan.reason), (Decision::Hold, Reason::Cooldown));
    snapshot.account.cash = usd("1500");
    snapshot.account.buying_power = usd("1500");
    let plan = open(&parts, &snapshot);
    assert_eq!(plan.reason, Reason::NewCash);
    // 5% of 20,500 is 1,025: 475 are new.
    assert_eq!(legs(&plan), ["buy AGG $475"]);
    snapshot.last_rebalanced_at = Some(now() - Span::from_hours(72));
    assert_eq!(open(&parts, &snapshot).reason, Reason::DriftAbsolute);
}

#[test]
fn unknown_means_no_and_says_what_is_unknown() {
    let why = |change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = drifted();
        change(&mut snapshot);
        let plan = open(&strategy(classic()), &snapshot);
        assert!(plan.legs.is_empty());
        plan.reason
    };
    assert_eq!(
        why(&|snapshot| {
            snapshot.quotes.remove(&symbol("AGG"));
        }),
        Reason::PriceMissing
    );
    assert_eq!(
        why(&|snapshot| snapshot.holdings.get_mut(&symbol("AGG")).unwrap().qty = Qty::new(dec("-1"))),
        Reason::ShortPosition
    );
    assert_eq!(
        why(&|snapshot| {
            snapshot.holdings.clear();
            snapshot.account.cash = Usd::ZERO;
        }),
        Reason::EmptyAccount
    );
}

#[test]
fn cash_below_zero_is_raised_by_sales_alone() {
    let mut parts = classic();
    parts.conditions.drift_absolute = Some(percent("5"));
    let mut snapshot = drifted();
    snapshot.account.cash = usd("-50");
    snapshot.account.buying_power = Usd::ZERO;
    let plan = open(&strategy(parts), &snapshot);
    assert_eq!(plan.reason, Reason::RaiseCash);
    // Worth 18,950: SPY to 11,370 sells 2,630 or 5.26 shares; AGG to 6,632.50 buys 1,632.50; 947.50 remain.
    assert_eq!(legs(&plan), ["sell SPY 5.26", "buy AGG $1632.5"]);
    assert_eq!(plan.cash_after, usd("947.5"));
}

#[test]
fn s21_what_cannot_be_traded_costs_nothing_so_no_other_is_sold_for_it_and_bought_back() {
    // A is far above but has an order of the user's own, C cannot be traded; only B has somewhere to go.
    let strategy = strategy(parts(&[("A", "30"), ("B", "35"), ("C", "30")]));
    let snapshot = with(account("2000"), "A", "100", ("99", "101"), true);
    let snapshot = with(snapshot, "B", "80", ("100", "100"), true);
    let mut snapshot = with(snapshot, "C", "0", ("49", "51"), true);
    snapshot.assets.get_mut(&symbol("C")).unwrap().tradable = false;
    snapshot.open_orders.push(by_hand("A", Side::Sell, (Some("0"), None)));
    let first = open(&strategy, &snapshot);
    // Worth 20,000: B's 35% are 7,000, so 1,000 dollars or 10 shares are sold, whatever selling A would have cost.
    assert_eq!(legs(&first), ["sell B 10"]);
    let skipped: Vec<_> = first.skipped.iter().map(|skip| (skip.symbol.as_str(), skip.value, skip.reason)).collect();
    assert_eq!(
        skipped,
        [("A", usd("4000"), SkipReason::OpenOrder), ("C", usd("6000"), SkipReason::NotTradable)],
        "10,000 - 30% of 20,000, and 30% of it"
    );
    let second = plan(&strategy, &filled(&snapshot, &first, Phase::Sell), Stage::Completing { sold: &[] });
    assert_eq!(second.legs, [], "B stands where it should");
}

#[test]
fn an_open_purchase_by_quantity_takes_its_price_out_of_the_cash() {
    let mut snapshot = with(drifted(), "KO", "0", ("99.999", "100.001"), true);
    snapshot.account.cash = usd("1500");
    snapshot.open_orders.push(by_hand("KO", Side::Buy, (None, Some("3"))));
    // Worth 20,500: SPY to 12,300 sells 1,700 or 3.4 shares; AGG to 7,175 is short by 2,175.
    // Three KO at 100.001 are 300.003 -> 300.01: 1,500 + 1,700 - 300.01 - 5% (1,025) = 1,874.99 are there.
    let plan = open(&strategy(classic()), &snapshot);
    assert_eq!(legs(&plan), ["sell SPY 3.4", "buy AGG $1874.99"]);
    assert_eq!(plan.cash_after, usd("1325.01"), "1,025 and the 300.01 that are spoken for");
    snapshot.quotes.get_mut(&symbol("KO")).unwrap().ask = Price::ZERO;
    assert_eq!(
        open(&strategy(classic()), &snapshot).reason,
        Reason::PriceMissing,
        "no price is not a price of nothing"
    );
    snapshot.quotes.remove(&symbol("KO"));
    assert_eq!(open(&strategy(classic()), &snapshot).reason, Reason::PriceMissing);
}

#[test]
fn on_target_and_less_than_one_share_are_said() {
    let mut banded = classic();
    banded.conditions.drift_absolute = Some(percent("5"));
    // 12,000 : 7,000 : 1,000.
    let snapshot = with(account("1000"), "SPY", "24", ("500", "500"), true);
    let plan = open(&strategy(banded), &with(snapshot, "AGG", "70", ("100", "100"), true));
    assert_eq!((plan.decision, plan.reason), (Decision::Hold, Reason::OnTarget));
    // AGG at 2,500 a share, two held: worth 20,000, short by 2,000, which is no share.
    let snapshot = with(account("1000"), "SPY", "28", ("500", "500"), true);
    let plan = open(&strategy(classic()), &with(snapshot, "AGG", "2", ("2500", "2500"), false));
    assert_eq!(legs(&plan), ["sell SPY 4"]);
    let skipped: Vec<_> = plan.skipped.iter().map(|skip| (skip.symbol.as_str(), skip.value, skip.reason)).collect();
    assert_eq!(skipped, [("AGG", usd("2000"), SkipReason::LessThanOneShare)]);
}

#[test]
fn s21_what_a_run_sold_it_does_not_buy_back_when_prices_move() {
    let strategy = strategy(classic());
    let first = open(&strategy, &drifted());
    let mut after = filled(&drifted(), &first, Phase::Sell);
    // SPY falls by a tenth between the halves: now it is below its target.
    after = with(after, "SPY", "24", ("450", "450"), true);
    let sold = [symbol("SPY")];
    let plan_with = |sold| plan(&strategy, &after, Stage::Completing { sold });
    assert!(legs(&plan_with(&[])).iter().any(|leg| leg.starts_with("buy SPY")), "this is what is prevented");
    let second = plan_with(&sold);
    // Worth 10,800 + 5,000 + 3,000 = 18,800: AGG to 6,580 takes 1,580.
    assert_eq!(legs(&second), ["buy AGG $1580"]);
    assert_eq!(second.skipped[0].reason, SkipReason::SoldThisRun);
}

#[test]
fn a_remnant_that_cannot_be_sold_moves_nothing_else() {
    let mut parts = classic();
    parts.conditions.unmanaged = Unmanaged::Sell;
    parts.conditions.drift_absolute = Some(percent("12"));
    parts.conditions.drift_relative = Some(percent("40"));
    let parts = strategy(parts);
    let dust = with(drifted(), "KO", "0.001", ("60", "60"), true);
    let plan = open(&parts, &dust);
    assert_eq!((plan.decision, plan.reason), (Decision::Hold, Reason::InsideBands), "six cents are below the minimum");
    let mut frozen = with(drifted(), "KO", "10", ("60", "60"), true);
    frozen.assets.get_mut(&symbol("KO")).unwrap().tradable = false;
    assert_eq!(open(&parts, &frozen).decision, Decision::Hold);
    assert_eq!(open(&parts, &with(drifted(), "KO", "10", ("60", "60"), true)).reason, Reason::UnmanagedSold);
}

#[test]
fn row_42_half_a_market_is_no_price() {
    let quoted = |bid, ask| open(&strategy(classic()), &with(drifted(), "AGG", "50", (bid, ask), true)).reason;
    assert_eq!(quoted("50", "300"), Reason::PriceMissing);
    assert_eq!(quoted("97", "103"), Reason::PriceMissing, "six percent wide");
    assert_eq!(quoted("98", "102"), Reason::Scheduled);
}
