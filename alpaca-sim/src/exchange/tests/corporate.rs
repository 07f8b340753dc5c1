//! Splits, dividends, and prices moved by hand.

use super::*;
use crate::exchange::activity::{ActivityDetail, ActivityFilter};

#[test]
fn a_split_keeps_the_value_of_a_position() {
    for (old, new) in [(1, 4), (10, 1), (2, 3)] {
        let mut desk = Desk::holding("AAPL", "30.5");
        desk.until("2022-03-02T12:00:00Z");
        let before = desk.exchange.position(desk.now, &desk.account, "AAPL").unwrap();
        desk.exchange.split(desk.now, "AAPL", old, new).unwrap();
        let after = desk.exchange.position(desk.now, &desk.account, "AAPL").unwrap();
        let ratio = Decimal::from(new) / Decimal::from(old);
        assert_eq!(after.qty, before.qty * ratio);
        // Prices are whole cents before and after.
        let cent = (after.qty + before.qty) * dec("0.01");
        assert!((after.market_value - before.market_value).abs() <= cent, "{old}:{new}");
        assert!((after.cost_basis - before.cost_basis).abs() < dec("0.001"));
        assert!(after.change_today.abs() < dec("0.001"), "{}", after.change_today);
        let rows = desk.exchange.activities(desk.now, &desk.account, &ActivityFilter::default()).unwrap();
        let ActivityDetail::NonTrade(row) = &rows[0].detail else { panic!("no fill") };
        assert_eq!(row.activity_sub_type, if new > old { "FSPLIT" } else { "RSPLIT" });
        assert_eq!(row.qty, Some(after.qty - before.qty));
        assert_eq!(desk.exchange.ledger().len(), 0);
    }
}

#[test]
fn a_split_treats_waiting_orders_as_documented() {
    for (old, new) in [(1, 2), (2, 1)] {
        let mut desk = Desk::holding("KO", "100");
        let buy = desk.submit(lasting(TimeInForce::Gtc, limit(Side::Buy, "KO", "10", dec("20")))).unwrap();
        let day = desk.submit(limit(Side::Buy, "KO", "10", dec("22"))).unwrap();
        desk.wait(1);
        desk.exchange.split(desk.now, "KO", old, new).unwrap();
        let (buy, day) = (desk.order(&buy), desk.order(&day));
        assert_eq!((day.qty, day.limit_price), (Some(dec("10")), Some(dec("22"))));
        if new > old {
            assert_eq!((buy.qty, buy.limit_price), (Some(dec("20")), Some(dec("10"))));
        } else {
            assert_eq!(buy.status, OrderStatus::Canceled);
        }
    }
}

#[test]
fn dividends_reach_live_accounts_and_paper_ones_only_when_told_to() {
    let mut desk = Desk::holding("KO", "10.5");
    let mut live = NewAccount::new("bob", Environment::Live);
    live.positions = vec![("KO".into(), dec("20"), None)];
    let live = desk.exchange.open_account(desk.now, live).unwrap();
    assert_eq!(desk.exchange.dividend(desk.now, "KO", dec("0.44"), false).unwrap(), 1);
    assert_eq!(desk.exchange.account(desk.now, &live).unwrap().cash, dec("100008.80"));
    assert_eq!(desk.view().cash, dec("100000"));
    assert_eq!(desk.exchange.dividend(desk.now, "KO", dec("0.44"), true).unwrap(), 2);
    assert_eq!(desk.view().cash, dec("100004.62"));
}

#[test]
fn prices_can_be_pinned_and_released() {
    let mut desk = Desk::new();
    desk.exchange.pin_price(desk.now, "KO", Some(dec("12.34"))).unwrap();
    desk.wait(3_600);
    assert_eq!(desk.price("KO"), dec("12.34"));
    desk.exchange.pin_price(desk.now, "KO", None).unwrap();
    let path = exchange(0).market().trade("KO", desk.now).unwrap().price;
    assert_eq!(desk.price("KO"), path);
    desk.exchange.scale_price(desk.now, "KO", dec("2")).unwrap();
    assert!((desk.price("KO") - path * dec("2")).abs() <= dec("0.02"));
    assert!(desk.exchange.pin_price(desk.now, "KO", Some(dec("0.01"))).is_err());
    assert!(desk.exchange.scale_price(desk.now, "KO", dec("0")).is_err());
    assert!(desk.exchange.split(desk.now, "KO", 1, 1).is_err());
}

#[test]
fn a_position_that_vanishes_takes_its_orders_with_it() {
    let mut desk = Desk::holding("KO", "10");
    let sale = desk.submit(market(Side::Sell, "KO", "10")).unwrap();
    desk.exchange.set_position(desk.now, &desk.account, "KO", dec("4"), None).unwrap();
    desk.wait(1);
    let sold = desk.order(&sale);
    assert_eq!((sold.status, sold.filled_qty), (OrderStatus::Canceled, dec("4")), "no more than there is");
    desk.exchange.set_position(desk.now, &desk.account, "KO", dec("5"), None).unwrap();
    let sale = desk.submit(market(Side::Sell, "KO", "5")).unwrap();
    desk.exchange.set_position(desk.now, &desk.account, "KO", dec("0"), None).unwrap();
    desk.wait(1);
    assert_eq!(desk.status(&sale), OrderStatus::Rejected);
}
