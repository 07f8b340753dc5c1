//! Cancelling, replacing, forcing: and the races between those and fills.

use super::*;
use crate::exchange::order::{OrderFilter, ReplaceRequest, StatusFilter};

fn low(desk: &mut Desk, qty: &str) -> Order {
    let order = desk.submit(limit(Side::Buy, "KO", qty, dec("10"))).unwrap();
    desk.wait(1);
    order
}

fn replace(desk: &mut Desk, order: &Order, request: ReplaceRequest) -> Result<Order, Refusal> {
    desk.exchange.replace(desk.now, &desk.account, &order.id, request)
}

#[test]
fn a_cancel_arrives_a_moment_later() {
    let mut desk = Desk::new();
    let order = low(&mut desk, "10");
    assert_eq!(desk.status(&order), OrderStatus::New);
    desk.exchange.cancel(desk.now, &desk.account, &order.id).unwrap();
    assert_eq!(desk.status(&order), OrderStatus::PendingCancel);
    let again = desk.exchange.cancel(desk.now, &desk.account, &order.id).unwrap_err();
    assert_eq!((again.status(), again.code()), (422, Some(42_210_000)));
    desk.wait(1);
    let end = desk.order(&order);
    assert_eq!(end.status, OrderStatus::Canceled);
    assert!(end.canceled_at.unwrap() > end.cancel_requested_at.unwrap());
    assert!(desk.exchange.cancel(desk.now, &desk.account, &order.id).is_err());
    assert_eq!(desk.exchange.cancel(desk.now, &desk.account, "no").unwrap_err(), Refusal::OrderNotFound);
    let events = desk.events();
    assert_eq!(events[2..], [TradeEvent::PendingCancel, TradeEvent::Canceled]);
}

#[test]
fn a_fill_may_win_against_a_cancel() {
    let (mut fills, mut cancels) = (0, 0);
    for _ in 0..1 {
        let mut desk = Desk::new();
        for _ in 0..40 {
            let order = desk.submit(market(Side::Buy, "KO", "1")).unwrap();
            desk.now += SignedDuration::from_millis(50);
            desk.exchange.cancel(desk.now, &desk.account, &order.id).unwrap();
            desk.wait(2);
            let end = desk.order(&order);
            match end.status {
                OrderStatus::Filled => fills += 1,
                OrderStatus::Canceled => cancels += 1,
                other => panic!("{other:?}"),
            }
            assert_eq!(end.filled_qty.is_zero(), end.status == OrderStatus::Canceled);
        }
        assert_eq!(desk.qty("KO"), Decimal::from(fills));
    }
    assert!(fills > 0 && cancels > 0, "{fills} {cancels}");
}

#[test]
fn a_queued_order_is_cancelled_at_once() {
    let mut desk = Desk::new();
    desk.until("2022-03-01T22:00:00Z");
    let order = desk.submit(market(Side::Buy, "KO", "10")).unwrap();
    desk.exchange.cancel(desk.now, &desk.account, &order.id).unwrap();
    assert_eq!(desk.status(&order), OrderStatus::Canceled);
    assert_eq!(desk.view().buying_power, dec("200000"));
    desk.until("2022-03-02T16:00:00Z");
    assert_eq!(desk.qty("KO"), Decimal::ZERO);
}

#[test]
fn cancelling_everything_tells_each_order_apart() {
    let mut desk = Desk::new();
    let first = low(&mut desk, "1");
    let second = low(&mut desk, "2");
    desk.exchange.cancel(desk.now, &desk.account, &first.id).unwrap();
    let outcomes = desk.exchange.cancel_all(desk.now, &desk.account).unwrap();
    let told: Vec<_> = outcomes.iter().map(|outcome| (outcome.id.clone(), outcome.status)).collect();
    assert_eq!(told, [(first.id, 500), (second.id, 204)]);
}

#[test]
fn a_replacement_takes_over() {
    let mut desk = Desk::new();
    let order = low(&mut desk, "10");
    assert_eq!(desk.view().buying_power, dec("199900"));
    let request = ReplaceRequest { limit_price: Some(dec("20")), qty: Some(dec("8")), ..ReplaceRequest::default() };
    let new = replace(&mut desk, &order, request).unwrap();
    assert_eq!((new.status, new.replaces.as_ref()), (OrderStatus::PendingNew, Some(&order.id)));
    assert_eq!(desk.status(&order), OrderStatus::PendingReplace);
    assert_eq!(desk.view().buying_power, dec("199840"), "the larger of both");
    assert!(desk.exchange.cancel(desk.now, &desk.account, &order.id).is_err());
    desk.wait(1);
    let old = desk.order(&order);
    assert_eq!((old.status, old.replaced_by.as_ref()), (OrderStatus::Replaced, Some(&new.id)));
    assert_eq!(desk.status(&new), OrderStatus::New);
    assert_eq!(desk.view().buying_power, dec("199840"));
    desk.until("2022-03-01T21:00:00Z");
    assert_eq!(desk.status(&new), OrderStatus::Expired);
}

#[test]
fn a_replacement_that_comes_too_late_is_rejected() {
    let mut desk = Desk::new();
    let order = low(&mut desk, "10");
    desk.exchange.pin_price(desk.now, "KO", Some(dec("9"))).unwrap();
    let request = ReplaceRequest { limit_price: Some(dec("11")), ..ReplaceRequest::default() };
    let new = replace(&mut desk, &order, request).unwrap();
    desk.wait(1);
    assert_eq!(desk.status(&order), OrderStatus::Filled);
    assert_eq!(desk.status(&new), OrderStatus::Rejected);
    assert_eq!(desk.qty("KO"), dec("10"), "not both");
    let events = desk.events();
    assert!(events.contains(&TradeEvent::OrderReplaceRejected) && events.contains(&TradeEvent::Rejected));
}

#[test]
fn both_orders_together_never_trade_more_than_asked() {
    let mut desk = Desk::with(100, NewAccount::new("ann", Environment::Paper));
    let order = low(&mut desk, "100");
    desk.exchange.pin_price(desk.now, "KO", Some(dec("9"))).unwrap();
    desk.now += SignedDuration::from_millis(2);
    let part = desk.order(&order);
    assert_eq!(part.status, OrderStatus::PartiallyFilled);
    let request = ReplaceRequest { qty: Some(dec("99")), ..ReplaceRequest::default() };
    let new = replace(&mut desk, &order, request).unwrap();
    assert_eq!(new.qty, Some(dec("99") - part.filled_qty));
    desk.wait(200);
    assert_eq!(desk.qty("KO"), dec("99"));
    assert_eq!(desk.status(&new), OrderStatus::Filled);
}

#[test]
fn what_cannot_be_replaced_is_refused() {
    let mut desk = Desk::holding("KO", "5.5");
    let order = low(&mut desk, "10");
    let nothing = replace(&mut desk, &order, ReplaceRequest::default()).unwrap_err();
    assert_eq!(nothing.message(), "order parameters are not changed");
    let fraction = ReplaceRequest { qty: Some(dec("1.5")), ..ReplaceRequest::default() };
    assert_eq!(replace(&mut desk, &order, fraction).unwrap_err().status(), 422);
    let penny = ReplaceRequest { limit_price: Some(dec("10.123")), ..ReplaceRequest::default() };
    assert!(matches!(replace(&mut desk, &order, penny), Err(Refusal::SubPenny { .. })));
    let dear = ReplaceRequest { limit_price: Some(dec("90000")), ..ReplaceRequest::default() };
    assert!(matches!(replace(&mut desk, &order, dear), Err(Refusal::InsufficientBuyingPower { .. })));
    let client = order.client_order_id.to_string();
    let same = ReplaceRequest { qty: Some(dec("9")), client_order_id: Some(client), ..ReplaceRequest::default() };
    assert_eq!(replace(&mut desk, &order, same).unwrap_err(), Refusal::DuplicateClientOrderId);
    desk.until("2022-03-01T22:00:00Z");
    let queued = desk.submit(limit(Side::Buy, "KO", "1", dec("10"))).unwrap();
    let any = ReplaceRequest { qty: Some(dec("2")), ..ReplaceRequest::default() };
    assert!(matches!(replace(&mut desk, &queued, any), Err(Refusal::NotReplaceable(_))));
}

#[test]
fn rare_states_can_be_forced() {
    let mut desk = Desk::new();
    let order = desk.submit(market(Side::Buy, "KO", "10")).unwrap();
    let held = desk.exchange.force_status(desk.now, &desk.account, &order.id, OrderStatus::Held).unwrap();
    assert_eq!(held.status, OrderStatus::Held);
    desk.wait(60);
    assert_eq!(desk.status(&order), OrderStatus::Held);
    desk.exchange.force_status(desk.now, &desk.account, &order.id, OrderStatus::New).unwrap();
    desk.wait(1);
    assert_eq!(desk.status(&order), OrderStatus::Filled);
    assert!(desk.exchange.force_status(desk.now, &desk.account, &order.id, OrderStatus::Rejected).is_err());
    let other = desk.submit(market(Side::Buy, "KO", "10")).unwrap();
    desk.exchange.force_status(desk.now, &desk.account, &other.id, OrderStatus::Rejected).unwrap();
    assert!(desk.order(&other).failed_at.is_some());
    assert_eq!(desk.view().equity, desk.view().equity);
}

#[test]
fn lists_filter_order_and_page() {
    let mut desk = Desk::new();
    let orders: Vec<Order> = (1..=5).map(|qty| low(&mut desk, &qty.to_string())).collect();
    desk.exchange.cancel(desk.now, &desk.account, &orders[2].id).unwrap();
    desk.wait(1);
    let mut ask = |filter: OrderFilter| -> Vec<String> {
        let found = desk.exchange.orders(desk.now, &desk.account, &filter).unwrap();
        found.iter().map(|order| order.qty.unwrap().to_string()).collect()
    };
    assert_eq!(ask(OrderFilter::default()), ["5", "4", "2", "1"]);
    assert_eq!(ask(OrderFilter { status: StatusFilter::Closed, ..OrderFilter::default() }), ["3"]);
    let all = OrderFilter { status: StatusFilter::All, ascending: true, ..OrderFilter::default() };
    assert_eq!(ask(all.clone()), ["1", "2", "3", "4", "5"]);
    assert_eq!(ask(OrderFilter { limit: 2, ..all.clone() }), ["1", "2"]);
    let (second, fourth) = (orders[1].submitted_at, orders[3].submitted_at);
    assert_eq!(ask(OrderFilter { after: Some(second), until: Some(fourth), ..all.clone() }), ["3"]);
    assert_eq!(ask(OrderFilter { after_order_id: Some(orders[3].id.to_string()), ..all.clone() }), ["5"]);
    assert_eq!(ask(OrderFilter { before_order_id: Some(orders[1].id.to_string()), ..all.clone() }), ["1"]);
    assert_eq!(ask(OrderFilter { side: Some(Side::Sell), ..all.clone() }), Vec::<String>::new());
    assert_eq!(ask(OrderFilter { symbols: vec!["KO".into()], ..all.clone() }).len(), 5);
    assert_eq!(ask(OrderFilter { symbols: vec!["PG".into()], ..all.clone() }).len(), 0);
    let both = OrderFilter { after_order_id: Some(orders[0].id.to_string()), after: Some(second), ..all };
    assert_eq!(desk.exchange.orders(desk.now, &desk.account, &both).unwrap_err().status(), 422);
}
