//! Who may ask what, and how a no sounds.

use serde_json::json;

use crate::support::{As, World, app};

const UNAUTHORIZED: &str = r#"{"message":"unauthorized."}"#;
const NOT_FOR_THIS_SCOPE: &str = r#"{"code":40110000,"message":"token is not authorized for this scope"}"#;

#[tokio::test]
async fn a_wrong_credential_is_a_401_without_a_code() {
    let world = World::new();
    let wrong = As::Key(alpaca_sim::KeyPair { key_id: "PKNOBODY".into(), secret: "x".into() });
    for who in [As::Nobody, wrong, As::Token("no-such-token".into())] {
        for path in ["/paper/v2/account", "/live/v2/orders", "/data/v2/stocks/quotes/latest?symbols=AAPL"] {
            let answer = world.get(path, &who).await.expect(401);
            assert_eq!(answer.text(), UNAUTHORIZED);
            assert_eq!(answer.header("www-authenticate"), "Bearer, Basic realm=\"alpaca.markets\"");
            assert_eq!(answer.header("content-type"), "application/json; charset=UTF-8");
            assert_eq!(answer.header("x-ratelimit-limit"), "");
        }
        for path in ["/paper/v2/clock", "/live/v2/calendar", "/paper/v3/clock"] {
            let answer = world.get(path, &who).await.expect(401);
            assert!(answer.text().contains("<h1>401 Authorization Required</h1>"), "{}", answer.text());
            assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        }
    }
}

#[tokio::test]
async fn keys_open_their_own_host_and_the_data_host_in_headers_or_as_basic() {
    let world = World::new();
    let As::Key(pair) = world.paper_key() else { unreachable!() };
    for who in [As::Key(pair.clone()), As::Basic(pair)] {
        let account = world.get("/paper/v2/account", &who).await.expect(200).json();
        assert_eq!(account["id"], world.paper.as_ref());
        assert_eq!(account["cash"], "100000");
        world.get("/live/v2/account", &who).await.expect(401);
        world.get("/data/v2/stocks/quotes/latest?symbols=AAPL", &who).await.expect(200);
    }
    assert_eq!(world.get("/live/v2/account", &world.live_key()).await.expect(200).json()["id"], world.live.as_ref());
    world.get("/data/v2/stocks/quotes/latest?symbols=AAPL", &World::data_key()).await.expect(200);
    world.get("/paper/v2/account", &World::data_key()).await.expect(401);
}

#[tokio::test]
async fn a_token_opens_the_environments_it_was_granted_for() {
    let world = World::new();
    let paper = world.connect(Some("paper"), "trading").await;
    assert_eq!(world.get("/paper/v2/account", &paper).await.expect(200).json()["id"], world.paper.as_ref());
    world.get("/live/v2/account", &paper).await.expect(401);
    let both = world.connect(None, "trading").await;
    assert_eq!(world.get("/paper/v2/account", &both).await.expect(200).json()["id"], world.paper.as_ref());
    assert_eq!(world.get("/live/v2/account", &both).await.expect(200).json()["id"], world.live.as_ref());
}

#[tokio::test]
async fn scopes_are_needed_for_writing_and_for_data_and_not_for_reading() {
    let world = World::new();
    let order = json!({"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"});
    let patch = json!({"no_shorting": true}).to_string();
    let reader = world.connect(Some("paper"), "").await;
    for path in ["/paper/v2/account", "/paper/v2/orders", "/paper/v2/positions", "/paper/v2/clock", "/paper/v2/assets"]
    {
        world.get(path, &reader).await.expect(200);
    }
    for (method, path, body) in [
        ("POST", "/paper/v2/orders", order.to_string()),
        ("DELETE", "/paper/v2/orders", String::new()),
        ("DELETE", "/paper/v2/positions", String::new()),
        ("PATCH", "/paper/v2/account/configurations", patch.clone()),
        ("GET", "/data/v2/stocks/quotes/latest?symbols=AAPL", String::new()),
    ] {
        let answer = world.ask(method, path, &reader, &body).await.expect(401);
        assert_eq!(answer.text(), NOT_FOR_THIS_SCOPE, "{method} {path}");
    }
    let all = world.connect(Some("paper"), "account:write trading data").await;
    world.ask("POST", "/paper/v2/orders", &all, &order.to_string()).await.expect(200);
    let changed = world.ask("PATCH", "/paper/v2/account/configurations", &all, &patch).await.expect(200).json();
    assert_eq!(
        changed,
        json!({
            "disable_overnight_trading": false, "fractional_trading": true, "max_margin_multiplier": "4",
            "max_options_trading_level": 0, "no_shorting": true, "ptp_no_exception_entry": false,
            "suspend_trade": false, "trade_confirm_email": "all",
        })
    );
    world.get("/data/v2/stocks/quotes/latest?symbols=AAPL", &all).await.expect(200);
}

#[tokio::test]
async fn live_orders_need_an_approved_app_or_the_developers_own_account() {
    let world = World::new();
    let token = world.connect(None, "trading").await;
    let order = |id: &str| {
        json!({"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day",
            "client_order_id": id})
        .to_string()
    };
    let refused = world.ask("POST", "/live/v2/orders", &token, &order("a")).await.expect(401);
    assert_eq!(refused.text(), NOT_FOR_THIS_SCOPE);
    world.get("/live/v2/account", &token).await.expect(200);
    world.ask("POST", "/paper/v2/orders", &token, &order("a")).await.expect(200);
    world.ask("POST", "/live/v2/orders", &world.live_key(), &order("b")).await.expect(200);
    let mut own = app();
    own.developer_account_ids = vec![world.live.to_string()];
    world.sim.add_app(own);
    world.ask("POST", "/live/v2/orders", &token, &order("c")).await.expect(200);
    let mut approved = app();
    world.sim.add_app(approved.clone());
    world.ask("POST", "/live/v2/orders", &token, &order("d")).await.expect(401);
    approved.live_trading_approved = true;
    world.sim.add_app(approved);
    world.ask("POST", "/live/v2/orders", &token, &order("d")).await.expect(200);
}

#[tokio::test]
async fn a_revoked_token_is_as_good_as_unknown() {
    let world = World::new();
    let token = world.connect(None, "trading").await;
    world.get("/paper/v2/account", &token).await.expect(200);
    let answer = world.control("/sim/oauth/revoke", &json!({"person": world.person})).await.expect(200).json();
    assert_eq!(answer["revoked"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/paper/v2/account", &token).await.expect(401).text(), UNAUTHORIZED);
    world.control("/sim/oauth/revoke", &json!({})).await.expect(400);
}
