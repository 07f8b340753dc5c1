//! Orders that fill: at which price, when, in which parts, and what that does to the account.

use super::*;
use crate::exchange::CloseAmount;
use crate::exchange::activity::{ActivityDetail, ActivityFilter};

#[test]
fn a_market_order_fills_at_the_far_side_of_its_moment() {
    let mut desk = Desk::new();
    let order = desk.submit(market(Side::Buy, "AAPL", "10")).unwrap();
    assert_eq!((order.status, order.filled_qty), (OrderStatus::PendingNew, Decimal::ZERO));
    assert_eq!(desk.status(&order), OrderStatus::PendingNew, "the clock stands still");
    desk.wait(1);
    let filled = desk.order(&order);
    assert_eq!(filled.status, OrderStatus::Filled);
    let moment = filled.filled_at.unwrap();
    assert!(moment > order.submitted_at && moment <= desk.now);
    let ask = desk.exchange.market().quote("AAPL", moment).unwrap().ask;
    assert_eq!(filled.filled_avg_price, Some(ask.normalize()));
    let view = desk.view();
    assert_eq!(view.cash, dec("100000") - ask * dec("10"));
    assert_eq!(view.equity, view.cash + desk.price("AAPL") * dec("10"));
    assert_eq!(desk.events(), [TradeEvent::PendingNew, TradeEvent::New, TradeEvent::Fill]);
    let rows = desk.exchange.activities(desk.now, &desk.account, &ActivityFilter::default()).unwrap();
    let ActivityDetail::Fill(row) = &rows[0].detail else { panic!("a fill") };
    assert_eq!((row.qty, row.price, row.leaves_qty), (dec("10"), ask, Decimal::ZERO));
    assert!(rows[0].id.starts_with("20220301100000"), "{}", rows[0].id);
}

#[test]
fn a_notional_buy_spends_exactly_its_dollars() {
    for (symbol, dollars) in [("AAPL", "1"), ("AGG", "5000"), ("RRC", "33.33"), ("UNH", "1234.56")] {
        let mut desk = Desk::new();
        let order = desk.submit(notional(Side::Buy, symbol, dollars)).unwrap();
        assert_eq!((order.qty, order.notional), (None, Some(dec(dollars))));
        assert_eq!(desk.view().buying_power, dec("200000") - dec(dollars), "kept while open");
        desk.wait(1);
        let filled = desk.order(&order);
        assert_eq!(filled.status, OrderStatus::Filled);
        assert!(filled.filled_qty.scale() <= 9);
        assert_eq!(desk.view().cash, dec("100000") - dec(dollars));
        assert_eq!(desk.qty(symbol), filled.filled_qty);
    }
}

#[test]
fn a_position_is_sold_to_the_last_fraction_or_by_value() {
    let mut desk = Desk::holding("AAPL", "3.123456789");
    let sale = desk.submit(notional(Side::Sell, "AAPL", "100")).unwrap();
    let held = desk.exchange.position(desk.now, &desk.account, "AAPL").unwrap();
    assert!(held.qty_available < held.qty);
    desk.wait(1);
    let sold = desk.order(&sale).filled_qty;
    let got = desk.view().cash - dec("100000");
    assert!((dec("99.99")..=dec("100")).contains(&got), "{got}");
    let rest = desk.exchange.position(desk.now, &desk.account, "AAPL").unwrap().qty_available;
    assert_eq!(rest, dec("3.123456789") - sold);
    desk.submit(OrderRequest { qty: Some(rest), ..market(Side::Sell, "AAPL", "1") }).unwrap();
    desk.wait(1);
    assert!(desk.exchange.positions(desk.now, &desk.account).unwrap().is_empty());
}

#[test]
fn partial_fills_add_up() {
    for request in
        [market(Side::Buy, "MSFT", "50"), market(Side::Buy, "MSFT", "7.5"), notional(Side::Buy, "MSFT", "9999.99")]
    {
        let mut desk = Desk::with(100, NewAccount::new("ann", Environment::Paper));
        let order = desk.submit(request.clone()).unwrap();
        desk.wait(1);
        let first = desk.order(&order);
        assert_eq!(first.status, OrderStatus::PartiallyFilled);
        assert!(first.filled_qty > Decimal::ZERO);
        desk.wait(120);
        let filled = desk.order(&order);
        assert_eq!(filled.status, OrderStatus::Filled);
        let updates = desk.exchange.take_updates();
        let parts: Vec<Decimal> = updates.iter().filter_map(|update| update.qty).collect();
        assert!(parts.len() > 1);
        assert_eq!(parts.iter().sum::<Decimal>(), filled.filled_qty);
        assert_eq!(updates.last().unwrap().event, TradeEvent::Fill);
        assert_eq!(updates.last().unwrap().position_qty, Some(filled.filled_qty));
        assert_eq!(desk.qty("MSFT"), filled.filled_qty);
        let spent = dec("100000") - desk.view().cash;
        match (request.qty, request.notional) {
            (Some(qty), _) => assert_eq!(filled.filled_qty, qty),
            (_, Some(dollars)) => assert!((spent - dollars).abs() <= dec("0.05"), "{spent}"),
            _ => unreachable!(),
        }
        let average = filled.filled_avg_price.unwrap() * filled.filled_qty;
        assert!((average - spent).abs() <= dec("0.05"), "{average} {spent}");
    }
}

/// The first second of the session after `from` at which a buy limit is reached, by looking at every one.
fn first_reach(desk: &Desk, symbol: &str, price: Decimal, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
    let mut moment = from;
    while moment < to {
        if desk.exchange.market().quote(symbol, moment).unwrap().ask <= price {
            return Some(moment);
        }
        moment += SignedDuration::from_secs(1);
    }
    None
}

#[test]
fn a_limit_order_waits_for_exactly_the_first_second_that_reaches_it() {
    let close = at("2022-03-01T21:00:00Z");
    for percent in ["0.9995", "0.998", "0.995", "0.99", "0.5"] {
        let mut desk = Desk::new();
        let price = (desk.price("XOM") * dec(percent)).round_dp(2);
        let order = desk.submit(limit(Side::Buy, "XOM", "10", price)).unwrap();
        desk.wait(5);
        let expected = first_reach(&desk, "XOM", price, desk.now, close);
        desk.until("2022-03-01T21:00:00Z");
        let end = desk.order(&order);
        match expected {
            Some(moment) if end.filled_at.is_some_and(|filled| filled >= at("2022-03-01T15:00:05Z")) => {
                assert_eq!(end.filled_at, Some(moment), "{percent}");
                assert!(end.filled_avg_price.unwrap() <= price);
            }
            Some(_) => assert_eq!(end.status, OrderStatus::Filled, "{percent}: within the first seconds"),
            None => assert_eq!(end.status, OrderStatus::Expired, "{percent}"),
        }
    }
}

#[test]
fn a_marketable_limit_fills_at_the_quote_and_not_at_the_limit() {
    let mut desk = Desk::new();
    let price = (desk.price("XOM") * dec("1.05")).round_dp(2);
    let order = desk.submit(limit(Side::Buy, "XOM", "1.5", price)).unwrap();
    desk.wait(1);
    let filled = desk.order(&order);
    let ask = desk.exchange.market().quote("XOM", filled.filled_at.unwrap()).unwrap().ask;
    assert_eq!(filled.filled_avg_price.unwrap(), ask.normalize());
}

#[test]
fn a_stop_sells_when_its_price_trades() {
    let mut desk = Desk::holding("XOM", "10");
    let price = desk.price("XOM");
    let order = desk.submit(stop(Side::Sell, "XOM", "10", price - dec("1"))).unwrap();
    desk.wait(2);
    desk.exchange.pin_price(desk.now, "XOM", Some(price - dec("0.99"))).unwrap();
    desk.wait(60);
    assert_eq!(desk.status(&order), OrderStatus::New);
    desk.exchange.pin_price(desk.now, "XOM", Some(price - dec("2"))).unwrap();
    desk.wait(1);
    let filled = desk.order(&order);
    assert_eq!(filled.status, OrderStatus::Filled);
    assert!(filled.filled_avg_price.unwrap() < price - dec("2"));
}

#[test]
fn a_buy_stop_becomes_a_limit_above_its_stop() {
    let mut desk = Desk::new();
    desk.exchange.pin_price(desk.now, "XOM", Some(dec("80"))).unwrap();
    let order = desk.submit(stop(Side::Buy, "XOM", "10", dec("81"))).unwrap();
    desk.wait(2);
    desk.exchange.pin_price(desk.now, "XOM", Some(dec("90"))).unwrap();
    desk.wait(2);
    let reached = desk.order(&order);
    assert_eq!((reached.status, reached.limit_price), (OrderStatus::New, Some(dec("83.02"))));
    desk.exchange.pin_price(desk.now, "XOM", Some(dec("82"))).unwrap();
    desk.wait(2);
    assert_eq!(desk.status(&order), OrderStatus::Filled);
}

#[test]
fn a_trailing_stop_follows_the_best_price() {
    let mut desk = Desk::holding("XOM", "10");
    desk.exchange.pin_price(desk.now, "XOM", Some(dec("80"))).unwrap();
    let request = OrderRequest {
        order_type: Some(OrderType::TrailingStop),
        trail_percent: Some(dec("5")),
        ..market(Side::Sell, "XOM", "10")
    };
    let order = desk.submit(request).unwrap();
    for price in ["90", "100", "96"] {
        desk.wait(2);
        desk.exchange.pin_price(desk.now, "XOM", Some(dec(price))).unwrap();
    }
    desk.wait(2);
    let order = desk.order(&order);
    assert_eq!((order.status, order.hwm, order.stop_price), (OrderStatus::New, Some(dec("100")), Some(dec("95"))));
    desk.exchange.pin_price(desk.now, "XOM", Some(dec("94.9"))).unwrap();
    desk.wait(2);
    assert_eq!(desk.status(&order), OrderStatus::Filled);
}

#[test]
fn a_stop_limit_waits_for_both_prices() {
    let mut desk = Desk::new();
    desk.exchange.pin_price(desk.now, "XOM", Some(dec("80"))).unwrap();
    let request = OrderRequest {
        order_type: Some(OrderType::StopLimit),
        limit_price: Some(dec("81.5")),
        ..stop(Side::Buy, "XOM", "10", dec("81"))
    };
    let order = desk.submit(request).unwrap();
    for (price, status) in [("82", OrderStatus::New), ("81.2", OrderStatus::Filled)] {
        desk.wait(2);
        desk.exchange.pin_price(desk.now, "XOM", Some(dec(price))).unwrap();
        desk.wait(2);
        assert_eq!(desk.status(&order), status, "{price}");
    }
}

#[test]
fn a_short_sale_and_its_cover() {
    let mut desk = Desk::new();
    desk.submit(market(Side::Sell, "KO", "100")).unwrap();
    desk.wait(1);
    let position = desk.exchange.position(desk.now, &desk.account, "KO").unwrap();
    assert_eq!((position.qty, position.long), (dec("-100"), false));
    let view = desk.view();
    assert!(view.short_market_value < Decimal::ZERO);
    assert_eq!(view.equity, view.cash + view.long_market_value + view.short_market_value);
    desk.exchange.close_position(desk.now, &desk.account, "KO", CloseAmount::All).unwrap();
    desk.wait(1);
    assert_eq!(desk.qty("KO"), Decimal::ZERO);
}
