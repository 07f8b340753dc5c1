//! Every documented answer, and every undocumented one, means what it should.

use rebalanced::edge::alpaca::Error;
use rebalanced::model::environment::Paper;
use rebalanced::model::report::{OrderStatus, Reply};

use crate::durable::purchase;
use crate::script::{ORDER_ID, Said, Stage, TOKEN, access, access_of, at, client_order_id, lost, ok, order_json, says};

async fn submitted(said: Said) -> Reply {
    Stage::new([said]).client.submit(&access::<Paper>(), purchase().await).await
}

fn refused(reply: Reply) -> (u16, Option<i64>, String) {
    match reply {
        Reply::Refused { status, code, message } => (status, code, message),
        other => panic!("not a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn row_10_every_documented_refusal_is_a_refusal_with_its_words() {
    let cases: &[(u16, &str, Option<i64>, &str)] = &[
        (400, r#"{"message":"only one of qty or notional is accepted"}"#, None, "only one of qty"),
        (400, r#"{"code":40010001,"message":"qty is required"}"#, Some(40_010_001), "qty is required"),
        (422, r#"{"code":40010001,"message":"notional must be >= 1.00"}"#, Some(40_010_001), "notional must be"),
        (
            403,
            r#"{"code":40310000,"message":"insufficient buying power","buying_power":"10","cost_basis":"20"}"#,
            Some(40_310_000),
            "insufficient buying power (buying_power 10, cost_basis 20)",
        ),
        (
            403,
            r#"{"code":40310000,"message":"insufficient qty available for order (requested: 5, available: 0)","available":"0","existing_qty":"5","held_for_orders":"5","symbol":"SPY"}"#,
            Some(40_310_000),
            "held_for_orders 5",
        ),
        (
            403,
            r#"{"code":40310000,"message":"account is not allowed to short"}"#,
            Some(40_310_000),
            "not allowed to short",
        ),
        (
            403,
            r#"{"code":40310000,"message":"potential wash trade detected. use complex orders","reject_reason":"opposite side limit order exists"}"#,
            Some(40_310_000),
            "reject_reason opposite side limit order exists",
        ),
        (403, r#"{"code":40310000,"message":"new orders are rejected by user request"}"#, Some(40_310_000), "by user"),
        (
            403,
            r#"{"code":40310000,"message":"cost basis must be >= minimal amount of order 1"}"#,
            Some(40_310_000),
            "cost",
        ),
        (403, r#"{"message":"account is not authorized to trade"}"#, None, "account is not authorized to trade"),
        (
            403,
            r#"{"code":40310100,"message":"trade denied due to pattern day trading protection"}"#,
            Some(40_310_100),
            "",
        ),
        (404, r#"{"code":40410000,"message":"asset not found for XYZ"}"#, Some(40_410_000), "asset not found"),
        (422, r#"{"code":42210000,"message":"fractional orders must be DAY orders"}"#, Some(42_210_000), "DAY"),
        (422, r#"{"message":"requested asset is not fractionable"}"#, None, "not fractionable"),
        (422, r#"{"code":"42210000","message":"a code as text"}"#, Some(42_210_000), "a code as text"),
        // The app is not approved for live orders: the text speaks of the token, but the token is alive (facts 1.3).
        (401, r#"{"code":40110000,"message":"token is not authorized for this scope"}"#, Some(40_110_000), "scope"),
        (403, r#"{"code":40110000,"message":"token is not authorized for this scope"}"#, Some(40_110_000), "scope"),
    ];
    for (status, body, code, words) in cases {
        let (found_status, found_code, message) = refused(submitted(says(*status, body)).await);
        assert_eq!((found_status, found_code), (*status, *code), "{body}");
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn row_5_a_taken_id_means_the_order_exists_whatever_the_status_and_code() {
    for (status, body) in [
        (422, r#"{"code":40010001,"message":"client_order_id must be unique"}"#),
        (422, r#"{"message":"client_order_id must be unique"}"#),
        (403, r#"{"code":40310000,"message":"client_order_id must be unique"}"#),
        (409, r#"{"message":"client_order_id must be unique"}"#),
    ] {
        assert_eq!(submitted(says(status, body)).await, Reply::Exists, "{status} {body}");
    }
}

#[tokio::test]
async fn rows_1_3_13_what_says_nothing_of_the_order_is_unknown() {
    let html = "<html><head><title>502 Bad Gateway</title></head></html>";
    let cases = [
        lost("the connection was reset"),
        says(500, r#"{"code":50010000,"message":"internal server error"}"#),
        says(502, html),
        says(503, ""),
        says(504, html),
        says(408, r#"{"message":"request timeout"}"#),
        says(301, "").with("location", "http://127.0.0.1:1/v2/orders"),
        says(307, "").with("location", "http://127.0.0.1:1/v2/orders"),
        says(204, ""),
        says(202, order_json()),
        says(404, html),
        says(404, r#"{"message":"not found"}"#),
        says(403, html),
        says(422, "unprocessable"),
        says(405, r#"{"message":"method not allowed"}"#),
        ok(""),
        ok(html),
        ok("[]"),
        ok("null"),
        ok("\"accepted\""),
        ok(r#"{"message":"ok"}"#),
        ok(order_json().replace("\"filled_qty\":\"0\"", "\"filled_qty\":\"lots\"")),
        ok(order_json().replace(ORDER_ID, "rb1-ffffffffffffffffffffffffff")),
    ];
    for said in cases {
        let reply = submitted(said).await;
        assert!(matches!(&reply, Reply::Unknown { why } if !why.is_empty()), "{reply:?}");
    }
}

#[tokio::test]
async fn a_refused_token_is_told_from_a_refused_order() {
    for said in [
        says(401, r#"{"message":"unauthorized."}"#),
        says(401, "<html>401 Authorization Required</html>"),
        says(401, ""),
        says(403, r#"{"message":"forbidden."}"#),
    ] {
        let reply = submitted(said).await;
        assert!(matches!(reply, Reply::Unauthorized { .. }), "{reply:?}");
    }
}

#[tokio::test]
async fn row_56_too_many_requests_says_when_to_come_again() {
    let now = at("2026-11-23T15:00:00Z");
    let reset = at("2026-11-23T15:00:40Z");
    let said = says(429, r#"{"code":42910000,"message":"rate limit exceeded"}"#);
    let reply = submitted(said.with("x-ratelimit-reset", reset.micros() / 1_000_000)).await;
    assert_eq!(reply, Reply::Throttled { until: Some(at("2026-11-23T15:00:41Z")) });
    let Reply::Throttled { until: Some(until) } = submitted(says(429, "<html>")).await else { panic!("not throttled") };
    assert_eq!(until.since(now).as_secs(), 60, "without a word, the whole window");
    let Reply::Throttled { until: Some(until) } = submitted(says(429, "").with("retry-after", 7)).await else {
        panic!()
    };
    assert_eq!(until.since(now).as_secs(), 8);
    let far = says(429, "").with("x-ratelimit-reset", 99_999_999_999_i64);
    let Reply::Throttled { until: Some(until) } = submitted(far).await else { panic!("not throttled") };
    assert_eq!(until.since(now).as_secs(), 65, "a clock that is far off locks nobody out for hours");
}

#[tokio::test]
async fn row_8_an_answer_cut_at_any_byte_is_unknown_and_never_a_panic() {
    let body = order_json();
    for end in 0..body.len() {
        let reply = submitted(ok(&body.as_bytes()[..end])).await;
        assert!(matches!(reply, Reply::Unknown { .. }), "cut at {end}: {reply:?}");
    }
    let Reply::Accepted(report) = submitted(ok(&body)).await else { panic!("the whole body is an order") };
    assert_eq!(report.client_order_id, client_order_id());
    assert_eq!(report.status, OrderStatus::Working("pending_new".to_owned()));
    assert_eq!(report.notional.unwrap().to_string(), "12.3");
    assert_eq!(report.submitted_at.unwrap(), at("2026-11-23T15:00:00.123456Z"));
}

#[tokio::test]
async fn row_8_reads_cut_at_any_byte_are_errors_and_never_a_panic() {
    let account = format!(r#"{{"id":"a","status":"ACTIVE","cash":"1","x":{}}}"#, order_json());
    let position = r#"[{"symbol":"SPY","qty":"1.5","qty_available":"1","side":"long","current_price":"500.1"}]"#;
    let orders = format!("[{}]", order_json());
    let quotes = r#"{"quotes":{"SPY":{"ap":500.2,"as":1,"bp":500.1,"bs":2,"t":"2026-11-23T15:00:00Z"}}}"#;
    let calendar = r#"[{"date":"2026-11-27","open":"09:30","close":"13:00","settlement_date":"2026-11-30"}]"#;
    let asset = r#"{"id":"b","symbol":"SPY","status":"active","tradable":true,"fractionable":true}"#;
    let access = access::<Paper>();
    let day = jiff::civil::date(2026, 11, 27);
    let wanted = [crate::script::symbol("SPY")].into();
    for end in 0..account.len() {
        assert!(Stage::new([ok(&account[..end])]).client.account(&access).await.is_err());
    }
    for end in 0..position.len() {
        assert!(Stage::new([ok(&position[..end])]).client.positions(&access).await.is_err());
    }
    for end in 0..orders.len() {
        assert!(Stage::new([ok(&orders[..end])]).client.open_orders(&access).await.is_err());
        assert!(
            Stage::new([ok(&orders[..end])]).client.orders_since(&access, at("2026-11-23T15:00:00Z")).await.is_err()
        );
    }
    for end in 0..quotes.len() {
        assert!(Stage::new([ok(&quotes[..end])]).client.quotes(&access, &wanted).await.is_err());
    }
    for end in 0..calendar.len() {
        assert!(Stage::new([ok(&calendar[..end])]).client.sessions(&access, day, day).await.is_err());
    }
    for end in 0..asset.len() {
        assert!(Stage::new([ok(&asset[..end])]).client.asset(&access, &crate::script::symbol("SPY")).await.is_err());
    }
}

#[tokio::test]
async fn answers_to_questions_are_classified_by_what_to_do_next() {
    let asked = async |said| Stage::new([said]).client.account(&access::<Paper>()).await.unwrap_err();
    assert!(matches!(asked(lost("reset")).await, Error::Lost { why } if why == "reset"));
    for status in [408, 500, 502, 503, 504] {
        assert!(matches!(asked(says(status, "<html>")).await, Error::Lost { .. }), "{status}");
    }
    assert!(matches!(asked(says(401, "<html>nginx</html>")).await, Error::Unauthorized { .. }));
    assert!(matches!(asked(says(401, r#"{"message":"unauthorized."}"#)).await, Error::Unauthorized { .. }));
    assert!(matches!(asked(says(403, r#"{"message":"forbidden."}"#)).await, Error::Unauthorized { .. }));
    let other = r#"{"code":40110000,"message":"request is not authorized"}"#;
    assert!(matches!(asked(says(401, other)).await, Error::Unauthorized { .. }));
    let scope = r#"{"code":40110000,"message":"token is not authorized for this scope"}"#;
    assert!(matches!(asked(says(401, scope)).await, Error::Refused { code: Some(40_110_000), .. }));
    assert!(matches!(asked(says(422, r#"{"message":"no"}"#)).await, Error::Refused { status: 422, code: None, .. }));
    assert!(matches!(asked(says(302, "")).await, Error::Nonsense { .. }));
    assert!(matches!(asked(ok("<html>maintenance</html>")).await, Error::Nonsense { .. }));
    assert!(matches!(asked(says(429, "")).await, Error::Throttled { until: Some(_) }));
}

#[tokio::test]
async fn row_79_an_intent_of_another_account_never_leaves() {
    // Of another environment: that does not compile (tests/types).
    let stage = Stage::new([]);
    let reply = stage.client.submit(&access_of::<Paper>("somebody-else"), purchase().await).await;
    let (status, _, message) = refused(reply);
    assert_eq!(status, 0);
    assert!(message.contains("was not sent"), "{message}");
    assert!(stage.asked().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn a_broker_that_echoes_the_token_does_not_put_it_into_our_rows() {
    let body = format!(r#"{{"code":40310000,"message":"token {TOKEN} may not do this\n\u001b[31m"}}"#);
    let (_, _, message) = refused(submitted(says(403, body)).await);
    assert_eq!(message, "token [redacted] may not do this [31m");
    let page = format!("<html>{TOKEN}</html>");
    let reply = submitted(says(401, &page)).await;
    assert!(!format!("{reply:?}").contains(TOKEN));
    let odd = submitted(says(418, format!("plain {TOKEN}"))).await;
    assert!(!format!("{odd:?}").contains(TOKEN), "{odd:?}");
}

#[tokio::test]
async fn nothing_that_can_be_printed_shows_a_secret() {
    let stage = Stage::new([lost("gone")]);
    let access = access::<Paper>();
    drop(stage.client.account(&access).await);
    let shown = format!("{access:?} {:?} {:?}", stage.client, stage.script.seen.lock().unwrap());
    for secret in [TOKEN, crate::script::DATA_SECRET, crate::script::CLIENT_SECRET] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("Sensitive"), "the header is marked: {shown}");
}

#[tokio::test]
async fn row_32_a_row_that_takes_an_execution_back_is_never_one_more_execution() {
    let row = |kind: &str, side: &str, qty: &str| {
        format!(
            r#"[{{"activity_type":"FILL","id":"20260603110000358::x","price":"10","qty":"{qty}","side":"{side}","symbol":"SPY",
                "transaction_time":"2026-06-03T15:00:00Z","order_id":"97adbc79-11b0-44ee-974d-91f458f3681a","type":"{kind}"}}]"#
        )
    };
    // What the row is called, its side and shares; what is executed, what moves, the cash, and whether it corrects.
    let table = [
        ("fill", "buy", "4", "4", "4", "-40.00", false),
        ("partial_fill", "sell", "4", "4", "-4", "40.00", false),
        ("fill", "buy", "-4", "-4", "-4", "40.00", true),
        ("trade_bust", "buy", "4", "-4", "-4", "40.00", true),
        ("trade_bust", "sell", "-4", "-4", "4", "-40.00", true),
        ("trade_correct", "buy", "3", "3", "3", "-30.00", true),
        ("a word of tomorrow", "buy", "4", "4", "4", "-40.00", false),
    ];
    for (kind, side, qty, executed, shares, cash, corrects) in table {
        let stage = Stage::new([ok(row(kind, side, qty))]);
        let rows = stage.client.activities(&access::<Paper>(), at("2026-06-01T00:00:00Z")).await.unwrap();
        let what = format!("{kind}, {side} {qty}");
        assert_eq!((rows[0].executed.to_string(), rows[0].corrects), (executed.to_owned(), corrects), "{what}");
        assert_eq!(rows[0].shares.as_ref().unwrap().1.to_string(), shares, "{what}");
        assert_eq!(rows[0].cash, rebalanced::model::money::Usd::parse(cash).unwrap(), "{what}");
    }
}
