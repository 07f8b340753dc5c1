//! What accounts are worth: margin, balances, transfers, activities and history.

use super::*;
use crate::exchange::account::ConfigurationPatch;
use crate::exchange::activity::ActivityFilter;
use crate::exchange::{CloseAmount, HistoryRequest, HistoryStep};

fn account(cash: &str, multiplier: u8) -> Desk {
    let mut new = NewAccount::new("ann", Environment::Paper);
    new.cash = dec(cash);
    new.multiplier = multiplier;
    Desk::with(0, new)
}

#[test]
fn buying_power_follows_the_multiplier() {
    for (cash, multiplier, power) in
        [("100000", 1, "100000"), ("100000", 2, "200000"), ("100000", 4, "400000"), ("1999.99", 4, "1999.99")]
    {
        assert_eq!(account(cash, multiplier).view().buying_power, dec(power));
    }
    let mut desk = account("100000", 2);
    let patch = ConfigurationPatch { max_margin_multiplier: Some(1), ..ConfigurationPatch::default() };
    desk.exchange.configure(desk.now, &desk.account, patch).unwrap();
    assert_eq!((desk.view().multiplier, desk.view().buying_power), (1, dec("100000")));
    let dear = desk.submit(notional(Side::Buy, "KO", "100000.01")).unwrap_err();
    assert_eq!(dear.message(), "insufficient buying power");
}

#[test]
fn sells_give_buying_power_only_when_they_fill() {
    let mut new = NewAccount::new("ann", Environment::Paper);
    new.cash = dec("10");
    new.multiplier = 1;
    new.positions = vec![("KO".into(), dec("10"), None)];
    let mut desk = Desk::with(0, new);
    desk.submit(market(Side::Sell, "KO", "10")).unwrap();
    let buy = || notional(Side::Buy, "PG", "300");
    assert!(matches!(desk.submit(buy()), Err(Refusal::InsufficientBuyingPower { .. })));
    desk.wait(1);
    desk.submit(buy()).unwrap();
}

#[test]
fn margin_lets_cash_go_below_zero() {
    let mut desk = account("10000", 2);
    desk.submit(notional(Side::Buy, "AGG", "15000")).unwrap();
    desk.wait(1);
    let view = desk.view();
    assert_eq!(view.cash, dec("-5000"));
    assert_eq!(view.equity, view.cash + view.long_market_value);
    assert!(view.buying_power < dec("5100") && view.buying_power > dec("4900"), "{}", view.buying_power);
    assert_eq!(view.non_marginable_buying_power, Decimal::ZERO);
}

#[test]
fn last_equity_is_that_of_the_close_before_today() {
    let mut desk = Desk::holding("AAPL", "100");
    let opening = desk.view();
    assert_eq!(opening.last_equity, opening.equity);
    desk.until("2022-03-01T21:00:00Z");
    let close = desk.view();
    assert_eq!(close.last_equity, opening.equity, "until midnight");
    desk.until("2022-03-02T16:00:00Z");
    desk.exchange.transfer(desk.now, &desk.account, dec("500")).unwrap();
    let next = desk.view();
    assert_eq!(next.last_equity, close.equity);
    assert_eq!(next.balance_asof.to_string(), "2022-03-01");
    assert_eq!(next.intraday_adjustments, dec("500"));
    desk.until("2022-03-03T16:00:00Z");
    assert_eq!(desk.view().intraday_adjustments, Decimal::ZERO);
    let position = desk.exchange.position(desk.now, &desk.account, "AAPL").unwrap();
    assert_eq!(position.unrealized_intraday_pl, dec("100") * (position.current_price - position.lastday_price));
    let close = desk.exchange.market().trade("AAPL", at("2022-03-02T21:00:00Z")).unwrap().price;
    assert_eq!(position.lastday_price, close);
}

#[test]
fn transfers_are_activities_and_stop_at_the_cash() {
    let mut desk = account("100", 2);
    desk.exchange.transfer(desk.now, &desk.account, dec("50")).unwrap();
    desk.exchange.transfer(desk.now, &desk.account, dec("-30")).unwrap();
    desk.exchange.charge_fee(desk.now, &desk.account, dec("0.05"), "TAF").unwrap();
    assert!(desk.exchange.transfer(desk.now, &desk.account, dec("-120")).is_err());
    assert_eq!(desk.view().cash, dec("119.95"));
    let mut ask = |filter: ActivityFilter| -> Vec<&'static str> {
        let rows = desk.exchange.activities(desk.now, &desk.account, &filter).unwrap();
        rows.iter().map(crate::exchange::activity::Activity::activity_type).collect()
    };
    assert_eq!(ask(ActivityFilter::default()), ["FEE", "CSW", "CSD"]);
    assert_eq!(ask(ActivityFilter { types: vec!["TRANS".into()], ..ActivityFilter::default() }), ["CSW", "CSD"]);
    assert_eq!(ask(ActivityFilter { trades: Some(true), ..ActivityFilter::default() }), Vec::<&str>::new());
    assert_eq!(ask(ActivityFilter { ascending: true, ..ActivityFilter::default() }), ["CSD", "CSW", "FEE"]);
}

#[test]
fn activities_page_by_token() {
    let mut desk = Desk::new();
    for _ in 0..7 {
        desk.wait(1);
        desk.exchange.transfer(desk.now, &desk.account, dec("1")).unwrap();
    }
    for ascending in [false, true] {
        let mut token = None;
        let mut seen = Vec::new();
        loop {
            let filter =
                ActivityFilter { page_size: Some(3), page_token: token, ascending, ..ActivityFilter::default() };
            let page = desk.exchange.activities(desk.now, &desk.account, &filter).unwrap();
            seen.extend(page.iter().map(|row| row.id.to_string()));
            token = page.last().map(|row| row.id.to_string());
            if page.len() < 3 {
                break;
            }
        }
        assert_eq!(seen.len(), 7);
        let mut sorted = seen.clone();
        sorted.sort();
        if !ascending {
            sorted.reverse();
        }
        assert_eq!(seen, sorted);
    }
}

#[test]
fn history_says_what_the_account_said() {
    let mut desk = Desk::holding("AAPL", "100");
    let mut told = Vec::new();
    for day in 1..=4 {
        desk.until(&format!("2022-03-0{day}T16:00:00Z"));
        desk.submit(notional(Side::Buy, "MSFT", "1000")).unwrap();
        if day == 3 {
            desk.exchange.transfer(desk.now, &desk.account, dec("250")).unwrap();
        }
        desk.until(&format!("2022-03-0{day}T21:00:00Z"));
        told.push(desk.view().equity);
    }
    let request = |step| HistoryRequest {
        start: at("2022-02-01T00:00:00Z"),
        end: at("2022-03-05T00:00:00Z"),
        step,
        extended_hours: false,
    };
    let daily = desk.exchange.history(desk.now, &desk.account, &request(HistoryStep::Day)).unwrap();
    assert_eq!(daily.points.iter().map(|point| point.equity).collect::<Vec<_>>(), told);
    assert_eq!(daily.points[2].deposits, dec("250"));
    assert_eq!(daily.points[0].at, at("2022-03-01T05:00:00Z"));
    let hours = desk.exchange.history(desk.now, &desk.account, &request(HistoryStep::Minutes(15))).unwrap();
    assert_eq!(hours.points.len(), 24 + 3 * 26);
    assert_eq!(hours.points.last().unwrap().equity, told[3]);
    assert_eq!(hours.points.iter().map(|point| point.deposits).sum::<Decimal>(), dec("250"));
}

#[test]
fn positions_close_by_part() {
    for (amount, sold) in [
        (CloseAmount::All, "10"),
        (CloseAmount::Qty(dec("2.5")), "2.5"),
        (CloseAmount::Percentage(dec("50")), "5"),
        (CloseAmount::Percentage(dec("33.3")), "3"),
    ] {
        let mut desk = Desk::holding("KO", "10");
        let order = desk.exchange.close_position(desk.now, &desk.account, "KO", amount).unwrap();
        assert_eq!((order.qty, order.side), (Some(dec(sold)), Side::Sell));
    }
    let mut desk = Desk::holding("KO", "1.5");
    let half = CloseAmount::Percentage(dec("50"));
    let order = desk.exchange.close_position(desk.now, &desk.account, "KO", half).unwrap();
    assert_eq!(order.qty, Some(dec("0.75")));
    let over = CloseAmount::Percentage(dec("101"));
    assert_eq!(desk.exchange.close_position(desk.now, &desk.account, "KO", over).unwrap_err().status(), 422);
}

#[test]
fn closing_everything_frees_shares_first_when_told_to() {
    for cancel_orders in [false, true] {
        let mut desk = Desk::holding("KO", "10");
        desk.submit(limit(Side::Sell, "KO", "4", dec("900"))).unwrap();
        desk.wait(1);
        let outcomes = desk.exchange.close_all_positions(desk.now, &desk.account, cancel_orders).unwrap();
        assert_eq!(outcomes.len(), 1);
        assert_eq!(outcomes[0].result.is_ok(), cancel_orders);
        desk.wait(1);
        assert_eq!(desk.qty("KO").is_zero(), cancel_orders);
    }
}

#[test]
fn a_live_account_pays_fees_in_the_evening_and_a_paper_account_none() {
    let fees = ActivityFilter { types: vec!["FEE".into()], ascending: true, ..ActivityFilter::default() };
    for (environment, expected) in [(Environment::Live, vec!["REG", "TAF", "CAT"]), (Environment::Paper, vec![])] {
        let mut new = NewAccount::new("ann", environment);
        new.positions = vec![("AAPL".into(), dec("100"), None)];
        let mut desk = Desk::with(0, new);
        let sale = desk.submit(market(Side::Sell, "AAPL", "100")).unwrap();
        desk.until("2022-03-02T03:59:59Z");
        let before = desk.view().cash;
        desk.until("2022-03-02T04:00:00Z");
        let rows = desk.exchange.activities(desk.now, &desk.account, &fees).unwrap();
        let mut told = Vec::new();
        for row in &rows {
            let crate::exchange::activity::ActivityDetail::NonTrade(row) = &row.detail else { panic!("a fee") };
            told.push((row.activity_sub_type, -row.net_amount));
        }
        assert_eq!(told.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), expected);
        let paid: Decimal = told.iter().map(|(_, amount)| *amount).sum();
        assert_eq!(desk.view().cash, before - paid);
        if let [(_, sec), (_, taf), (_, cat)] = told[..] {
            let sold = desk.order(&sale).filled_avg_price.unwrap() * dec("100");
            assert!(sec >= sold * dec("0.0000206") && sec < sold * dec("0.0000206") + dec("0.01"));
            assert_eq!((taf, cat), (dec("0.02"), dec("0.01")));
        }
    }
}
