//! Accounts, positions and orders: read exactly, asked for at the right host, sent as documented.

use proptest::prelude::*;
use rebalanced::edge::alpaca::Error;
use rebalanced::model::environment::{Live, Paper};
use rebalanced::model::ids::OrderId;
use rebalanced::model::money::{Price, Qty, Usd};
use rebalanced::model::plan::Side;
use rebalanced::model::report::{OrderStatus, Reply};
use rust_decimal::Decimal;

use crate::durable::{purchase, sale};
use crate::script::{ORDER_ID, Stage, TOKEN, access, at, client_order_id, ok, order_json, says, symbol};

fn usd(text: &str) -> Usd {
    Usd::parse(text).unwrap()
}

fn qty(text: &str) -> Qty {
    Qty::parse(text).unwrap()
}

#[tokio::test]
async fn an_account_is_read_exactly_and_what_blocks_it_is_named() {
    let body = r#"{"id":"904837e3","account_number":"PA3717PJAYWN","status":"ACTIVE","crypto_status":"ACTIVE",
        "currency":"USD","cash":"-1234.567890123","equity":"100000000000.01","buying_power":"7","multiplier":"4",
        "trading_blocked":false,"account_blocked":false,"trade_suspended_by_user":false,"transfers_blocked":true,
        "pattern_day_trader":false,"daytrade_count":3,"a_field_of_tomorrow":[1,{"x":null}]}"#;
    let stage = Stage::new([ok(body)]);
    let account = stage.client.account(&access::<Paper>()).await.unwrap();
    assert_eq!(account.cash, usd("-1234.567890123"));
    assert_eq!(account.equity, usd("100000000000.01"));
    assert_eq!(account.buying_power, usd("7"));
    assert!(account.can_trade(), "transfers may be blocked, trading is not");
    let blocked = body.replace("\"account_blocked\":false", "\"account_blocked\":true");
    let account = Stage::new([ok(&blocked)]).client.account(&access::<Paper>()).await.unwrap();
    assert_eq!((account.blocks.as_slice(), account.can_trade()), (["account_blocked"].as_slice(), false));
    let foreign = body.replace("USD", "EUR");
    assert!(!Stage::new([ok(&foreign)]).client.account(&access::<Paper>()).await.unwrap().can_trade());
    let tomorrow = body.replace("\"status\":\"ACTIVE\"", "\"status\":\"A_WORD_OF_TOMORROW\"");
    assert!(!Stage::new([ok(&tomorrow)]).client.account(&access::<Paper>()).await.unwrap().can_trade());
    let least = r#"{"id":"a","status":"ACTIVE","cash":"5"}"#;
    let account = Stage::new([ok(least)]).client.account(&access::<Paper>()).await.unwrap();
    assert_eq!((account.equity, account.buying_power), (usd("5"), usd("5")));
}

#[tokio::test]
async fn what_is_needed_and_missing_is_named_and_never_guessed() {
    for (body, named) in [
        (r#"{"id":"a","status":"ACTIVE"}"#, "cash: is missing"),
        (r#"{"status":"ACTIVE","cash":"5"}"#, "id: is missing"),
        (r#"{"id":"a","cash":"5"}"#, "status: is missing"),
        (r#"{"id":"a","status":"ACTIVE","cash":"NaN"}"#, "cash: `NaN`"),
        (r#"{"id":"a","status":"ACTIVE","cash":"1e9"}"#, "cash: `1e9`"),
        (r#"{"id":"a","status":"ACTIVE","cash":"1000000000000000"}"#, "cash: "),
        (r#"{"id":"a","status":"ACTIVE","cash":true}"#, "cash: "),
    ] {
        let error = Stage::new([ok(body)]).client.account(&access::<Paper>()).await.unwrap_err();
        assert!(matches!(&error, Error::Nonsense { why } if why.starts_with(named)), "{error}");
    }
}

#[tokio::test]
async fn positions_keep_every_digit_and_a_short_one_is_negative() {
    let body = r#"[
        {"symbol":"SPY","qty":"201.9617035750071243","qty_available":"0.5","side":"long","current_price":"512.345","exchange":""},
        {"symbol":"GE","qty":"-3","qty_available":"-3","side":"short","current_price":null},
        {"symbol":"BTCUSD","asset_class":"crypto","qty":"0.000000001","side":"long","current_price":""}]"#;
    let (held, _) = Stage::new([ok(body)]).client.positions(&access::<Paper>()).await.unwrap();
    assert_eq!(held[&symbol("SPY")].qty, qty("201.9617035750071243"));
    assert_eq!(held[&symbol("SPY")].available, qty("0.5"));
    assert_eq!(held[&symbol("SPY")].last_price, Some(Price::parse("512.345").unwrap()));
    assert_eq!(held[&symbol("GE")].qty, qty("-3"));
    assert_eq!(held[&symbol("BTCUSD")].available, qty("0.000000001"));
    assert_eq!(held[&symbol("BTCUSD")].last_price, None);
    for (body, named) in [
        (r#"[{"symbol":"A","qty":"1"},{"symbol":"A","qty":"2"}]"#, "[1].symbol: stands twice"),
        (r#"[{"symbol":"A","qty":"1"},{"symbol":"B"}]"#, "[1].qty: is missing"),
        (r#"[{"symbol":"A","qty":"1"},{"symbol":"B","qty":{}}]"#, "[1].qty: "),
        (r#"{"message":"odd"}"#, "the text: "),
    ] {
        let error = Stage::new([ok(body)]).client.positions(&access::<Paper>()).await.unwrap_err();
        assert!(matches!(&error, Error::Nonsense { why } if why.starts_with(named)), "{error}");
    }
}

#[tokio::test]
async fn open_orders_tell_what_cash_they_may_still_take() {
    let order =
        |more: &str| format!(r#"{{"id":"o","client_order_id":"my \"own\" id","symbol":"SPY","status":"new",{more}}}"#);
    let cases = [
        (r#""side":"buy","type":"limit","qty":"10","filled_qty":"4","limit_price":"50.25""#, Some("301.50"), Some("6")),
        (r#""side":"buy","type":"market","notional":"100","filled_qty":"0""#, Some("100"), None),
        (r#""side":"buy","notional":"100","filled_qty":"0.5","filled_avg_price":"120""#, Some("40"), None),
        (r#""side":"buy","type":"market","qty":"10","filled_qty":"4""#, None, Some("6")),
        (r#""side":"sell","type":"market","qty":"10","filled_qty":"4""#, Some("0"), Some("6")),
        (r#""side":"a_side_of_tomorrow","qty":"10","filled_qty":"0""#, None, Some("10")),
    ];
    for (more, reserves, remaining) in cases {
        let open = Stage::new([ok(format!("[{}]", order(more)))]).client.open_orders(&access::<Paper>()).await.unwrap();
        assert_eq!(open[0].reserves, reserves.map(usd), "{more}");
        assert_eq!(open[0].remaining, remaining.map(qty), "{more}");
        assert_eq!(open[0].client_order_id.as_str(), "my__own__id", "a stranger's id is tamed, not refused");
    }
    let legs = r#"[{"id":"m","client_order_id":"x","symbol":null,"side":null,"qty":"1","status":"new","legs":[
        {"id":"l1","client_order_id":"x1","symbol":"SPY260116C00500000","side":"buy","qty":"1","status":"new"},
        {"id":"l2","client_order_id":"x2","symbol":"SPY260116C00510000","side":"sell","qty":"1","status":"new"}]}]"#;
    let open = Stage::new([ok(legs)]).client.open_orders(&access::<Paper>()).await.unwrap();
    assert_eq!((open.len(), open[1].side), (2, Side::Sell));
    let unreadable = r#"[{"id":"m","client_order_id":"x","side":"buy","qty":"1","status":"new"}]"#;
    assert!(Stage::new([ok(unreadable)]).client.open_orders(&access::<Paper>()).await.is_err(), "unknown is closed");
}

fn numbered(number: usize, moment: &str) -> String {
    order_json()
        .replace(ORDER_ID, &format!("rb1-{number:026}"))
        .replace("61e69015", &format!("{number:08}"))
        .replace("2026-11-23T10:00:00.1234567-05:00", moment)
}

#[tokio::test]
async fn orders_are_read_page_by_page_and_none_is_lost_between_two_of_one_moment() {
    let early: Vec<String> = (0..499).map(|number| numbered(number, "2026-11-23T15:00:01Z")).collect();
    let same = "2026-11-23T15:00:02.000005Z";
    let first = format!("[{},{}]", early.join(","), numbered(499, same));
    // The second page begins before the last order of the first: 499 comes again, 500 has its very moment.
    let second = format!("[{},{},{}]", numbered(499, same), numbered(500, same), numbered(501, "2026-11-23T15:00:03Z"));
    let stage = Stage::new([ok(first), ok(second)]);
    let reports = stage.client.orders_since(&access::<Paper>(), at("2026-11-23T15:00:00Z")).await.unwrap();
    assert_eq!(reports.len(), 502);
    let asked = stage.asked();
    let fixed = "GET https://paper.example/v2/orders?status=all&direction=asc&limit=500&after=";
    assert_eq!(asked[0], format!("{fixed}2026-11-23T15%3A00%3A00Z"));
    assert_eq!(asked[1], format!("{fixed}2026-11-23T15%3A00%3A02.000004Z"));
}

#[tokio::test]
async fn pages_that_do_not_move_on_end_with_an_error() {
    let rows: Vec<String> = (0..500).map(|number| numbered(number, "2026-11-23T15:00:01Z")).collect();
    let page = format!("[{}]", rows.join(","));
    let stage = Stage::new([ok(&page), ok(&page)]);
    let error = stage.client.orders_since(&access::<Paper>(), at("2026-11-23T15:00:00Z")).await.unwrap_err();
    assert!(error.to_string().contains("do not move on"), "{error}");
}

#[tokio::test]
async fn a_strangers_order_that_nobody_understands_does_not_hide_ours() {
    let strange = r#"{"id":"s","client_order_id":"theirs","symbol":null,"side":"mixed","qty":{"odd":1},"status":7}"#;
    let spaced = order_json().replace(ORDER_ID, "my order").replace("61e69015", "00000000");
    let body = format!("[{strange},{spaced},{}]", order_json());
    let reports =
        Stage::new([ok(body)]).client.orders_since(&access::<Paper>(), at("2026-11-23T15:00:00Z")).await.unwrap();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].client_order_id, client_order_id());
    let ours = format!("[{}]", order_json().replace("\"symbol\":\"SPY\"", "\"symbol\":7"));
    let error = Stage::new([ok(ours)]).client.orders_since(&access::<Paper>(), at("2026-11-23T15:00:00Z")).await;
    assert!(matches!(error, Err(Error::Nonsense { why }) if why.contains("symbol")));
}

#[tokio::test]
async fn an_order_is_absent_only_if_the_broker_itself_says_so() {
    let ask = async |said| Stage::new([said]).client.order_by_client_id(&access::<Paper>(), &client_order_id()).await;
    assert_eq!(ask(says(404, r#"{"code":40410000,"message":"order not found"}"#)).await, Ok(None));
    assert_eq!(ask(says(404, r#"{"message":"order not found"}"#)).await, Ok(None));
    assert!(matches!(ask(says(404, "<html>404</html>")).await, Err(Error::Nonsense { .. })));
    assert!(matches!(ask(says(404, "")).await, Err(Error::Nonsense { .. })));
    assert!(ask(ok(order_json())).await.unwrap().is_some());
    let other = order_json().replace(ORDER_ID, "rb1-ffffffffffffffffffffffffff");
    assert!(matches!(ask(ok(other)).await, Err(Error::Nonsense { .. })), "another order proves nothing of this one");
}

#[tokio::test]
async fn s5_the_environment_chooses_the_host_and_the_token_stands_in_one_header_only() {
    let account = r#"{"id":"a","status":"ACTIVE","cash":"5"}"#;
    let stage = Stage::new([
        ok(account),
        ok(account),
        ok("[]"),
        ok("[]"),
        ok("[]"),
        says(404, r#"{"message":"no"}"#),
        says(204, ""),
    ]);
    let (paper, live) = (access::<Paper>(), access::<Live>());
    stage.client.account(&live).await.unwrap();
    stage.client.whoami(&paper.token).await.unwrap();
    stage.client.positions(&paper).await.unwrap();
    stage.client.open_orders(&live).await.unwrap();
    stage.client.orders_since(&paper, at("2026-11-23T15:00:00Z")).await.unwrap();
    stage.client.order_by_client_id(&paper, &client_order_id()).await.unwrap();
    stage.client.cancel(&paper, &OrderId::parse("61e6/../9015?x=1").unwrap()).await.unwrap();
    let asked = stage.asked();
    assert_eq!(asked[0], "GET https://live.example/prefix/v2/account");
    assert_eq!(asked[1], "GET https://paper.example/v2/account");
    assert_eq!(asked[3], "GET https://live.example/prefix/v2/orders?status=open&direction=asc&limit=500");
    assert_eq!(asked[5], format!("GET https://paper.example/v2/orders:by_client_order_id?client_order_id={ORDER_ID}"));
    assert_eq!(asked[6], "DELETE https://paper.example/v2/orders/61e6%2F..%2F9015%3Fx=1");
    for (index, asked) in asked.iter().enumerate() {
        assert!(!asked.contains(TOKEN), "{asked}");
        assert_eq!(stage.header(index, "authorization").unwrap(), format!("Bearer {TOKEN}"));
        assert!(stage.body(index).is_empty());
    }
}

#[tokio::test]
async fn an_order_is_sent_as_documented_with_strings_for_numbers() {
    let stage = Stage::new([ok(order_json()), ok(order_json())]);
    let reply = stage.client.submit(&access::<Paper>(), purchase().await).await;
    assert!(matches!(reply, Reply::Accepted(_)), "{reply:?}");
    assert_eq!(stage.asked()[0], "POST https://paper.example/v2/orders");
    assert_eq!(stage.header(0, "content-type").unwrap(), "application/json");
    let body = format!(
        r#"{{"symbol":"SPY","notional":"12.3","side":"buy","type":"market","time_in_force":"day","client_order_id":"{ORDER_ID}"}}"#
    );
    assert_eq!(stage.body(0), body);
    stage.client.submit(&access::<Paper>(), sale().await).await;
    let body: serde_json::Value = serde_json::from_str(&stage.body(1)).unwrap();
    assert_eq!(body["qty"], "0.123456789");
    assert_eq!(body["limit_price"], "501.5");
    assert_eq!((&body["type"], &body["side"]), (&"limit".into(), &"sell".into()));
    assert!(body.get("notional").is_none());
}

/// Any plain decimal with up to 15 digits before the point and 13 after it: 28 in all.
fn decimal_text() -> impl Strategy<Value = String> {
    let whole = prop_oneof![Just("0".to_owned()), "[1-9][0-9]{0,14}"];
    let part = prop_oneof![Just(String::new()), "\\.[0-9]{1,13}"];
    ("-?", whole, part).prop_map(|(sign, whole, part)| format!("{sign}{whole}{part}"))
}

fn read_cash(json: &str) -> Result<Usd, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = format!(r#"{{"id":"a","status":"ACTIVE","cash":{json}}}"#);
    runtime.block_on(async { Stage::new([ok(body)]).client.account(&access::<Paper>()).await }).map(|view| view.cash)
}

proptest! {
    #[test]
    fn s19_every_decimal_string_survives_exactly(text in decimal_text()) {
        let exact = Decimal::from_str_exact(&text).unwrap();
        prop_assert_eq!(read_cash(&format!("\"{text}\"")).unwrap().decimal(), exact);
    }

    #[test]
    fn a_json_number_survives_exactly_or_is_refused(text in "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,12})?") {
        let exact = Decimal::from_str_exact(&text).unwrap();
        let digits = exact.normalize().to_string().bytes().filter(u8::is_ascii_digit).count();
        match read_cash(&text) {
            // More digits than a double holds cannot be seen when what is left of them is short; a hair is lost, no more.
            Ok(read) => {
                let hair = exact.abs() * Decimal::new(1, 15);
                prop_assert!((read.decimal() - exact).abs() <= hair, "{} became {}", text, read);
            }
            Err(_) => prop_assert!(digits > 15, "{} has {} digits", text, digits),
        }
        if digits <= 15 {
            prop_assert_eq!(read_cash(&text).unwrap().decimal(), exact);
        }
    }

    #[test]
    fn row_12_a_status_of_tomorrow_is_kept_and_never_an_end(status in "[a-z_]{1,24}") {
        let body = order_json().replace("pending_new", &status);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reply = runtime.block_on(async { Stage::new([ok(body)]).client.submit(&access::<Paper>(), purchase().await).await });
        let Reply::Accepted(report) = reply else { return Err(TestCaseError::fail(format!("{reply:?}"))) };
        prop_assert_eq!(report.status.word(), &status);
        let known = ["filled", "canceled", "expired", "rejected", "replaced"];
        prop_assert_eq!(report.status.is_terminal(), known.contains(&status.as_str()));
        prop_assert!(report.status != OrderStatus::Filled || status == "filled");
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stage = Stage::new([ok(&bytes), ok(&bytes), ok(&bytes)]);
            drop(stage.client.account(&access::<Paper>()).await);
            drop(stage.client.open_orders(&access::<Paper>()).await);
            drop(stage.client.submit(&access::<Paper>(), purchase().await).await);
        });
    }
}
