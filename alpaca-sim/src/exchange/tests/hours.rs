//! Orders and the time of day: queues, auctions, expiry, extended sessions, halts.

use super::*;
use crate::exchange::asset::AssetPatch;

#[test]
fn a_market_order_at_night_waits_for_the_opening() {
    for moment in ["2022-03-01T21:00:00Z", "2022-03-02T03:00:00Z", "2022-03-02T14:29:59Z"] {
        let mut desk = Desk::new();
        desk.until(moment);
        let order = desk.submit(market(Side::Buy, "AAPL", "1.5")).unwrap();
        assert_eq!(order.status, OrderStatus::Accepted);
        assert_eq!(desk.events(), [TradeEvent::Accepted]);
        desk.until("2022-03-02T14:29:59.999Z");
        assert_eq!(desk.status(&order), OrderStatus::Accepted);
        desk.until("2022-03-02T14:30:01Z");
        let filled = desk.order(&order);
        assert_eq!(filled.status, OrderStatus::Filled);
        assert!(filled.filled_at.unwrap() > at("2022-03-02T14:30:00Z"));
        assert_eq!(filled.expires_at, Some(at("2022-03-02T21:00:00Z")));
    }
}

#[test]
fn a_day_order_expires_at_the_close_also_of_a_half_day() {
    for (moment, close) in
        [("2022-03-01T15:00:00Z", "2022-03-01T21:00:00Z"), ("2022-11-25T15:00:00Z", "2022-11-25T18:00:00Z")]
    {
        let mut desk = Desk::new();
        desk.until(moment);
        let order = desk.submit(limit(Side::Buy, "AAPL", "1", dec("1"))).unwrap();
        desk.now = at(close) - SignedDuration::from_millis(1);
        assert_eq!(desk.status(&order), OrderStatus::New);
        desk.until(close);
        let end = desk.order(&order);
        assert_eq!((end.status, end.expired_at), (OrderStatus::Expired, Some(at(close))));
        assert_eq!(desk.view().buying_power, dec("200000"));
    }
}

#[test]
fn a_market_order_in_the_last_millisecond_still_fills() {
    let mut desk = Desk::new();
    desk.until("2022-03-01T20:59:59.9995Z");
    let order = desk.submit(market(Side::Buy, "AAPL", "1")).unwrap();
    desk.until("2022-03-01T21:00:00Z");
    assert_eq!(desk.status(&order), OrderStatus::Filled);
}

#[test]
fn a_gtc_order_lives_for_ninety_days() {
    let mut desk = Desk::new();
    let order = desk.submit(lasting(TimeInForce::Gtc, limit(Side::Buy, "AAPL", "1", dec("1")))).unwrap();
    assert_eq!(order.expires_at, Some(at("2022-05-30T20:15:00Z")));
    desk.until("2022-05-30T20:14:59Z");
    assert_eq!(desk.status(&order), OrderStatus::New);
    desk.until("2022-05-30T20:15:00Z");
    assert_eq!(desk.status(&order), OrderStatus::Canceled);
}

#[test]
fn a_gtc_order_fills_on_a_later_day() {
    let mut desk = Desk::new();
    let price = (desk.price("XOM") * dec("0.98")).round_dp(2);
    let order = desk.submit(lasting(TimeInForce::Gtc, limit(Side::Buy, "XOM", "1", price))).unwrap();
    desk.until("2022-03-01T23:00:00Z");
    assert_eq!(desk.status(&order), OrderStatus::New);
    desk.exchange.pin_price(desk.now, "XOM", Some(price - dec("1"))).unwrap();
    desk.until("2022-03-02T14:29:00Z");
    assert_eq!(desk.status(&order), OrderStatus::New, "no trading at night");
    desk.until("2022-03-02T14:30:00Z");
    assert_eq!(desk.status(&order), OrderStatus::Filled);
}

#[test]
fn auction_orders_trade_at_the_official_prices() {
    let mut desk = Desk::new();
    desk.until("2022-03-02T00:30:00Z"); // 19:30 in New York
    let open = desk.submit(lasting(TimeInForce::Opg, market(Side::Buy, "AAPL", "3"))).unwrap();
    let close = desk.submit(lasting(TimeInForce::Cls, market(Side::Buy, "MSFT", "3"))).unwrap();
    let low = desk.submit(lasting(TimeInForce::Opg, limit(Side::Buy, "KO", "3", dec("1")))).unwrap();
    desk.until("2022-03-02T14:30:00Z");
    let filled = desk.order(&open);
    assert_eq!(filled.filled_avg_price, Some(desk.price("AAPL").normalize()));
    assert_eq!(desk.status(&low), OrderStatus::Canceled);
    assert_eq!(desk.status(&close), OrderStatus::Accepted);
    desk.until("2022-03-02T21:00:00Z");
    assert_eq!(desk.order(&close).filled_avg_price, Some(desk.price("MSFT").normalize()));
}

#[test]
fn auction_orders_have_windows() {
    for (time_in_force, refused, taken) in [
        (TimeInForce::Opg, "2022-03-02T14:28:00Z", "2022-03-02T14:27:59Z"),
        (TimeInForce::Opg, "2022-03-02T23:59:59Z", "2022-03-03T00:00:00Z"),
        (TimeInForce::Cls, "2022-03-02T20:50:00Z", "2022-03-02T20:49:59Z"),
        (TimeInForce::Cls, "2022-11-25T17:50:00Z", "2022-11-25T17:49:59Z"),
    ] {
        for (moment, fine) in [(refused, false), (taken, true)] {
            let mut desk = Desk::new();
            desk.until(moment);
            let answer = desk.submit(lasting(time_in_force, market(Side::Buy, "AAPL", "3")));
            assert_eq!(answer.is_ok(), fine, "{time_in_force:?} {moment}");
        }
    }
}

#[test]
fn instant_orders_fill_at_once_or_end() {
    for time_in_force in [TimeInForce::Ioc, TimeInForce::Fok] {
        let mut desk = Desk::with(100, NewAccount::new("ann", Environment::Paper));
        let fits = desk.submit(lasting(time_in_force, market(Side::Buy, "AAPL", "20"))).unwrap();
        let low = desk.submit(lasting(time_in_force, limit(Side::Buy, "KO", "20", dec("1")))).unwrap();
        desk.wait(1);
        let end = desk.order(&fits);
        if time_in_force == TimeInForce::Fok {
            assert_eq!((end.status, end.filled_qty), (OrderStatus::Filled, dec("20")));
        } else {
            assert_eq!(end.status, OrderStatus::Canceled);
            assert!(end.filled_qty > Decimal::ZERO && end.filled_qty < dec("20"));
        }
        assert_eq!(desk.order(&low).status, OrderStatus::Canceled);
        desk.until("2022-03-01T22:00:00Z");
        let night = desk.submit(lasting(time_in_force, market(Side::Buy, "AAPL", "2"))).unwrap();
        desk.wait(1);
        assert_eq!(desk.status(&night), OrderStatus::Canceled);
    }
}

#[test]
fn extended_hours_trade_around_the_last_close() {
    let mut desk = Desk::new();
    desk.until("2022-03-01T22:00:00Z");
    let price = desk.price("AAPL") + dec("1");
    let request = OrderRequest { extended_hours: true, ..limit(Side::Buy, "AAPL", "2", price) };
    let order = desk.submit(request.clone()).unwrap();
    assert_eq!(order.expires_at, Some(at("2022-03-02T01:00:00Z")));
    desk.wait(1);
    assert_eq!(desk.status(&order), OrderStatus::Filled);
    desk.until("2022-03-02T02:00:00Z"); // 21:00, after the extended session
    let night = desk.submit(request).unwrap();
    assert_eq!(night.status, OrderStatus::Accepted);
    desk.until("2022-03-02T08:59:59Z");
    assert_eq!(desk.status(&night), OrderStatus::Accepted);
    desk.until("2022-03-02T09:00:02Z");
    assert_eq!(desk.status(&night), OrderStatus::Filled);
}

#[test]
fn an_extended_limit_runs_through_the_whole_day() {
    let mut desk = Desk::new();
    desk.until("2022-03-02T10:00:00Z");
    let price = desk.price("AAPL") - dec("5");
    let request = OrderRequest { extended_hours: true, ..limit(Side::Buy, "AAPL", "2", price) };
    let order = desk.submit(request).unwrap();
    desk.until("2022-03-02T18:00:00Z");
    desk.exchange.pin_price(desk.now, "AAPL", Some(price - dec("1"))).unwrap();
    desk.wait(1);
    assert_eq!(desk.status(&order), OrderStatus::Filled);
}

#[test]
fn a_halt_holds_orders_until_it_is_lifted() {
    let mut desk = Desk::new();
    let halt = |halted| AssetPatch { halted: Some(halted), ..AssetPatch::default() };
    desk.exchange.change_asset(desk.now, "AAPL", halt(true)).unwrap();
    let order = desk.submit(market(Side::Buy, "AAPL", "1")).unwrap();
    desk.wait(600);
    assert_eq!(desk.status(&order), OrderStatus::New);
    desk.exchange.change_asset(desk.now, "AAPL", halt(false)).unwrap();
    desk.wait(1);
    assert_eq!(desk.status(&order), OrderStatus::Filled);
    desk.exchange.change_asset(desk.now, "AAPL", halt(true)).unwrap();
    let lost = desk.submit(market(Side::Buy, "AAPL", "1")).unwrap();
    desk.until("2022-03-02T10:00:00Z");
    assert_eq!(desk.status(&lost), OrderStatus::Expired);
}

#[test]
fn the_end_of_the_calendar_is_no_accident() {
    let mut desk = Desk::new();
    for moment in [Timestamp::MIN, at("2030-12-31T22:00:00Z"), Timestamp::MAX] {
        desk.now = moment;
        let order = desk.submit(market(Side::Buy, "AAPL", "1"));
        desk.exchange.advance(Timestamp::MAX);
        desk.view();
        assert!(order.is_ok());
    }
}

#[test]
fn time_never_runs_backwards() {
    let mut desk = Desk::new();
    let order = desk.submit(market(Side::Buy, "AAPL", "1")).unwrap();
    desk.wait(10);
    let early = at("2022-03-01T14:31:00Z");
    let second = desk.exchange.submit(early, &desk.account, market(Side::Buy, "AAPL", "1")).unwrap();
    assert_eq!(second.submitted_at, desk.now);
    assert!(second.submitted_at > order.submitted_at);
}
