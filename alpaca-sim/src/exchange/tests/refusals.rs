//! Everything that is refused, with the words it is refused in.

use super::*;
use crate::exchange::account::{ConfigurationPatch, Restrictions};
use crate::exchange::asset::AssetPatch;
use crate::exchange::order::OrderClass;

/// Status, code and message of a refusal on a desk that holds ten shares of KO.
fn refused(request: OrderRequest) -> (u16, i64, String) {
    let mut desk = Desk::holding("KO", "10");
    let refusal = desk.submit(request).unwrap_err();
    assert!(desk.events().is_empty());
    (refusal.status(), refusal.code().unwrap(), refusal.message())
}

#[test]
fn malformed_orders_are_refused_in_the_documented_words() {
    let base = || market(Side::Buy, "KO", "1");
    let fraction = || market(Side::Buy, "KO", "1.5");
    let both = OrderRequest { notional: Some(dec("5")), ..base() };
    for (request, status, code, text) in [
        (OrderRequest { order_type: None, ..base() }, 422, 40_010_001, "type is required"),
        (OrderRequest { time_in_force: None, ..base() }, 422, 40_010_001, "time_in_force is required"),
        (OrderRequest { side: None, ..base() }, 422, 40_010_001, "side is required"),
        (OrderRequest { symbol: None, ..base() }, 422, 40_010_001, "symbol is required"),
        (OrderRequest { qty: None, ..base() }, 422, 40_010_001, "qty is required"),
        (both, 400, 40_010_001, "only one of qty or notional is accepted"),
        (market(Side::Buy, "KO", "0"), 422, 40_010_001, "qty must be > 0"),
        (market(Side::Buy, "KO", "-1"), 422, 40_010_001, "qty must be > 0"),
        (market(Side::Buy, "KO", "1.0000000001"), 422, 42_210_000, "qty must be limited to 9 decimal places"),
        (notional(Side::Buy, "KO", "10.001"), 422, 42_210_000, "notional value must be limited to 2 decimal places"),
        (
            OrderRequest { client_order_id: Some("x".repeat(129)), ..base() },
            422,
            40_010_001,
            "client_order_id must be no more than 128 characters",
        ),
        (lasting(TimeInForce::Gtc, fraction()), 422, 42_210_000, "fractional orders must be DAY orders"),
        (lasting(TimeInForce::Ioc, fraction()), 422, 42_210_000, "fractional orders must be DAY orders"),
        (
            OrderRequest { order_class: Some(OrderClass::Bracket), ..fraction() },
            422,
            42_210_000,
            "fractional orders must be simple orders",
        ),
        (
            OrderRequest { extended_hours: true, ..base() },
            422,
            42_210_000,
            "extended hours order must be DAY or GTC limit orders",
        ),
        (lasting(TimeInForce::Opg, stop(Side::Buy, "KO", "1", dec("99"))), 422, 42_210_000, "invalid time_in_force"),
        (
            limit(Side::Buy, "KO", "1", dec("290.123")),
            422,
            42_210_000,
            "invalid limit_price 290.123. sub-penny increment does not fulfill minimum pricing criteria",
        ),
        (
            stop(Side::Buy, "KO", "1", dec("290.123")),
            422,
            42_210_000,
            "invalid stop_price 290.123. sub-penny increment does not fulfill minimum pricing criteria",
        ),
        (market(Side::Buy, "KO", "79228162514264337593543950335"), 422, 40_010_001, "qty is too large"),
        (notional(Side::Sell, "KO", "79228162514264337593543950335"), 422, 40_010_001, "notional is too large"),
        (
            OrderRequest { order_type: Some(OrderType::TrailingStop), trail_percent: Some(Decimal::MAX), ..base() },
            422,
            42_210_000,
            "the trail of a trailing_stop order is out of range",
        ),
        (limit(Side::Buy, "KO", "1", Decimal::MAX), 422, 40_010_001, "limit_price is too large"),
        (market(Side::Buy, "NOSUCH", "1"), 422, 42_210_000, "could not find asset \"NOSUCH\""),
        (notional(Side::Buy, "KO", "0.99"), 403, 40_310_000, "cost basis must be >= minimal amount of order 1"),
        (market(Side::Buy, "KO", "0.001"), 403, 40_310_000, "cost basis must be >= minimal amount of order 1"),
        (market(Side::Buy, "KO", "100000"), 403, 40_310_000, "insufficient buying power"),
        (
            market(Side::Sell, "KO", "11"),
            403,
            40_310_000,
            "insufficient qty available for order (requested: 11, available: 10)",
        ),
        (market(Side::Sell, "PG", "0.5"), 422, 42_210_000, "fractional orders cannot be sold short"),
    ] {
        assert_eq!(refused(request), (status, code, text.to_owned()));
    }
}

#[test]
fn four_decimals_are_fine_below_a_dollar() {
    let mut desk = Desk::new();
    desk.submit(limit(Side::Buy, "KO", "10", dec("0.1234"))).unwrap();
    assert!(desk.submit(limit(Side::Buy, "KO", "10", dec("0.12345"))).is_err());
    desk.submit(limit(Side::Buy, "KO", "10", dec("12.3400"))).unwrap();
}

#[test]
fn funds_and_shares_are_told_in_extras() {
    let mut desk = Desk::holding("KO", "10");
    let dear = desk.submit(limit(Side::Buy, "PG", "10000", dec("100"))).unwrap_err();
    let power = desk.view().buying_power;
    assert_eq!(dear.extras(), [("buying_power", power.normalize().to_string()), ("cost_basis", "1000000".to_owned())]);
    desk.submit(limit(Side::Sell, "KO", "4", dec("900"))).unwrap();
    let short = desk.submit(market(Side::Sell, "KO", "7")).unwrap_err();
    let told = [("available", "6"), ("existing_qty", "10"), ("held_for_orders", "4"), ("symbol", "KO")];
    assert_eq!(short.extras(), told.map(|(key, value)| (key, value.to_owned())));
}

#[test]
fn a_client_id_is_unique_for_ever() {
    let mut desk = Desk::new();
    let named = || OrderRequest { client_order_id: Some("mine".into()), ..limit(Side::Buy, "KO", "1", dec("9")) };
    let order = desk.submit(named()).unwrap();
    assert_eq!(desk.submit(named()).unwrap_err(), Refusal::DuplicateClientOrderId);
    desk.wait(1);
    desk.exchange.cancel(desk.now, &desk.account, &order.id).unwrap();
    desk.wait(1);
    assert_eq!(desk.submit(named()).unwrap_err(), Refusal::DuplicateClientOrderId);
    let found = desk.exchange.order_by_client_id(desk.now, &desk.account, "mine").unwrap();
    assert_eq!(found.id, order.id);
    let other = desk.exchange.open_account(desk.now, NewAccount::new("bob", Environment::Paper)).unwrap();
    desk.exchange.submit(desk.now, &other, named()).unwrap();
    assert_eq!(desk.exchange.order_by_client_id(desk.now, &desk.account, "other").unwrap_err(), Refusal::OrderNotFound);
}

#[test]
fn a_refused_order_does_not_use_up_its_client_id() {
    let mut desk = Desk::new();
    let named = |qty: &str| OrderRequest { client_order_id: Some("mine".into()), ..market(Side::Buy, "KO", qty) };
    desk.submit(named("100000")).unwrap_err();
    desk.submit(named("1")).unwrap();
}

#[test]
fn wash_trades_are_refused() {
    let price = Desk::new().price("KO");
    let sell_high = || limit(Side::Sell, "KO", "5", price + dec("10"));
    let resting_stop = || stop(Side::Sell, "KO", "5", price - dec("10"));
    let buy_limit = |limit_price| limit(Side::Buy, "KO", "1", limit_price);
    for (resting, new, fine) in [
        (sell_high(), market(Side::Buy, "KO", "1"), false),
        (resting_stop(), market(Side::Buy, "KO", "1"), false),
        (resting_stop(), buy_limit(price - dec("20")), false),
        (sell_high(), buy_limit(price + dec("10")), false),
        (sell_high(), buy_limit(price + dec("9.99")), true),
        (sell_high(), market(Side::Sell, "KO", "1"), true),
        (sell_high(), market(Side::Buy, "PG", "1"), true),
    ] {
        let mut desk = Desk::holding("KO", "10");
        desk.submit(resting.clone()).unwrap();
        desk.wait(1);
        let answer = desk.submit(new.clone());
        assert_eq!(answer.is_ok(), fine, "{resting:?} {new:?}");
        if let Err(refusal) = answer {
            assert_eq!((refusal.status(), refusal.code()), (403, Some(40_310_000)));
            assert_eq!(refusal.message(), "potential wash trade detected. use complex orders");
            let existing = if resting.stop_price.is_some() { "market/stop" } else { "limit" };
            let reason = format!("opposite side {existing} order exists");
            assert_eq!(refusal.extras(), [("reject_reason", reason)]);
        }
    }
}

#[test]
fn switched_off_accounts_do_not_trade() {
    let blocked = Restrictions { trading_blocked: Some(true), ..Restrictions::default() };
    let closed = Restrictions { status: Some("ACCOUNT_CLOSED".into()), ..Restrictions::default() };
    for change in [blocked, closed] {
        let mut desk = Desk::new();
        desk.exchange.restrict(desk.now, &desk.account, change).unwrap();
        assert_eq!(desk.submit(market(Side::Buy, "KO", "1")).unwrap_err(), Refusal::NotAuthorizedToTrade);
        desk.view();
    }
    let mut desk = Desk::new();
    let suspend = ConfigurationPatch { suspend_trade: Some(true), ..ConfigurationPatch::default() };
    assert!(desk.exchange.configure(desk.now, &desk.account, suspend).unwrap().suspend_trade);
    let refusal = desk.submit(market(Side::Buy, "KO", "1")).unwrap_err();
    assert_eq!(refusal.message(), "new orders are rejected by user request");
    assert!(desk.view().trade_suspended_by_user);
    let mut desk = Desk::holding("KO", "10");
    let only_out = Restrictions { liquidation_only: Some(true), ..Restrictions::default() };
    desk.exchange.restrict(desk.now, &desk.account, only_out).unwrap();
    assert_eq!(desk.submit(market(Side::Buy, "KO", "1")).unwrap_err(), Refusal::LiquidationOnly);
    desk.submit(market(Side::Sell, "KO", "1")).unwrap();
}

#[test]
fn assets_and_accounts_say_what_they_do_not_take() {
    let mut desk = Desk::new();
    let patch = |active, tradable, fractionable| AssetPatch { active, tradable, fractionable, ..AssetPatch::default() };
    for (patch, request, text) in [
        (patch(Some(false), None, None), market(Side::Buy, "KO", "1"), "asset KO is not active"),
        (patch(Some(true), Some(false), None), market(Side::Buy, "KO", "1"), "asset KO is not tradable"),
        (patch(None, Some(true), Some(false)), notional(Side::Buy, "KO", "10"), "requested asset is not fractionable"),
    ] {
        desk.exchange.change_asset(desk.now, "KO", patch).unwrap();
        assert_eq!(desk.submit(request).unwrap_err().message(), text);
    }
    desk.submit(market(Side::Buy, "KO", "1")).unwrap();
    let whole = ConfigurationPatch { fractional_trading: Some(false), ..ConfigurationPatch::default() };
    desk.exchange.configure(desk.now, &desk.account, whole).unwrap();
    assert_eq!(desk.submit(market(Side::Buy, "PG", "1.5")).unwrap_err().status(), 403);
    let no_short = ConfigurationPatch { no_shorting: Some(true), ..ConfigurationPatch::default() };
    desk.exchange.configure(desk.now, &desk.account, no_short).unwrap();
    let refusal = desk.submit(market(Side::Sell, "PG", "1")).unwrap_err();
    assert_eq!(refusal.message(), "account is not allowed to short");
    let bad = ConfigurationPatch { max_margin_multiplier: Some(3), ..ConfigurationPatch::default() };
    assert_eq!(desk.exchange.configure(desk.now, &desk.account, bad).unwrap_err().status(), 422);
}

#[test]
fn at_night_orders_by_value_close_alone() {
    let text = "unable to open new notional orders while having open closing position orders";
    for (first, second, fine) in [
        (notional(Side::Sell, "KO", "10"), market(Side::Sell, "KO", "1"), false),
        (notional(Side::Sell, "KO", "10"), notional(Side::Sell, "KO", "10"), false),
        (market(Side::Sell, "KO", "1"), notional(Side::Sell, "KO", "10"), false),
        (market(Side::Sell, "KO", "1"), market(Side::Sell, "KO", "9"), true),
    ] {
        let mut desk = Desk::holding("KO", "10");
        desk.until("2022-03-01T23:00:00Z");
        desk.submit(first).unwrap();
        match desk.submit(second) {
            Ok(_) => assert!(fine),
            Err(refusal) => assert_eq!((refusal.message().as_str(), fine), (text, false)),
        }
    }
}

#[test]
fn unknown_things_are_told_apart() {
    let mut desk = Desk::new();
    assert_eq!(desk.exchange.account(desk.now, "nobody").unwrap_err().status(), 401);
    assert_eq!(desk.exchange.asset("NOSUCH").unwrap_err().message(), "asset not found for NOSUCH");
    let none = desk.exchange.position(desk.now, &desk.account, "KO").unwrap_err();
    assert_eq!((none.status(), none.message().as_str()), (404, "position does not exist"));
    let asset = desk.exchange.asset("KO").unwrap();
    assert_eq!(desk.exchange.asset(&asset.id).unwrap().symbol, asset.symbol);
    let by_id = desk.submit(market(Side::Buy, &asset.id, "1")).unwrap();
    assert_eq!(&*by_id.symbol, "KO");
}
