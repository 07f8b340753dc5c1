//! The control side: clock, people, accounts, assets, prices, ledger.

use serde_json::{Value, json};

use crate::support::{As, World};

fn buy(symbol: &str, qty: &str) -> Value {
    json!({"symbol": symbol, "side": "buy", "qty": qty, "type": "market", "time_in_force": "day"})
}

async fn see(world: &World, path: &str) -> Value {
    world.get(path, &As::Nobody).await.expect(200).json()
}

#[tokio::test]
async fn the_clock_is_read_set_stepped_and_sped_up_and_never_goes_back() {
    let world = World::new();
    assert_eq!(see(&world, "/sim/clock").await, json!({"now": "2019-06-03T14:00:00Z", "speed": 0.0}));
    let stepped = world.control("/sim/clock", &json!({"step_seconds": 90})).await.expect(200).json();
    assert_eq!(stepped["now"], "2019-06-03T14:01:30Z");
    let set = world.control("/sim/clock", &json!({"set": "2019-06-04T13:30:00Z"})).await.expect(200).json();
    assert_eq!(set["now"], "2019-06-04T13:30:00Z");
    world.control("/sim/clock", &json!({"set": "2019-06-03T13:30:00Z"})).await.expect(400);
    world.control("/sim/clock", &json!({"step_seconds": -1})).await.expect(400);
    world.control("/sim/clock", &json!({"speed": -1})).await.expect(400);
    world.control("/sim/clock", &json!({"hurry": 1})).await.expect(400);
    assert_eq!(world.control("/sim/clock", &json!({"speed": 50})).await.expect(200).json()["speed"], 50.0);
}

#[tokio::test]
async fn people_and_accounts_are_created_with_cash_and_positions() {
    let world = World::new();
    let bob = world.control("/sim/people", &json!({"id": "bob", "name": "Bob"})).await.expect(200).json();
    assert_eq!(bob, json!({"id": "bob", "name": "Bob", "live": null, "paper": []}));
    world.control("/sim/people", &json!({"id": "bob"})).await.expect(400);
    let new = json!({
        "person": "bob", "environment": "paper", "cash": "2500.50",
        "positions": [{"symbol": "AAPL", "qty": "1.5"}, {"symbol": "SPY", "qty": 2, "avg_entry_price": "100"}],
    });
    let account = world.control("/sim/accounts", &new).await.expect(200).json();
    let key: alpaca_sim::KeyPair = serde_json::from_value(account["key"].clone()).unwrap();
    assert!(key.key_id.starts_with("PK"));
    let key = As::Key(key);
    assert_eq!(world.get("/paper/v2/account", &key).await.expect(200).json()["cash"], "2500.5");
    let positions = world.get("/paper/v2/positions", &key).await.expect(200).json();
    assert_eq!((&positions[0]["symbol"], &positions[0]["qty"]), (&json!("AAPL"), &json!("1.5")));
    assert_eq!(positions[1]["avg_entry_price"], "100");
    world.control("/sim/accounts", &json!({"person": "eve"})).await.expect(400);
    world.control("/sim/accounts", &json!({"person": "bob", "environment": "live"})).await.expect(200);
    world.control("/sim/accounts", &json!({"person": "bob", "environment": "live"})).await.expect(400);
    world
        .control("/sim/accounts", &json!({"person": "bob", "positions": [{"symbol": "NOSUCH", "qty": 1}]}))
        .await
        .expect(400);
    assert_eq!(see(&world, "/sim/people/bob").await["paper"].as_array().unwrap().len(), 1);
    assert_eq!(see(&world, "/sim/accounts").await["accounts"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn money_moves_and_leaves_an_activity() {
    let world = World::new();
    let at = |verb: &str| format!("/sim/accounts/{}/{verb}", world.paper);
    let row = world.control(&at("deposit"), &json!({"amount": "1000"})).await.expect(200).json();
    assert_eq!((&row["activity_type"], &row["net_amount"]), (&json!("CSD"), &json!("1000")));
    let row = world.control(&at("withdraw"), &json!({"amount": 250})).await.expect(200).json();
    assert_eq!((&row["activity_type"], &row["net_amount"]), (&json!("CSW"), &json!("-250")));
    world.control(&at("fee"), &json!({"amount": "0.05", "description": "TAF"})).await.expect(200);
    let account = world.get("/paper/v2/account", &world.paper_key()).await.expect(200).json();
    assert_eq!(account["cash"], "100749.95");
    let rows =
        world.get("/paper/v2/account/activities?activity_types=TRANS", &world.paper_key()).await.expect(200).json();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(rows[0]["status"], "executed");
    let page = world.get("/paper/v2/account/activities?page_size=1", &world.paper_key()).await.expect(200).json();
    let token = page[0]["id"].as_str().unwrap().replace(':', "%3A");
    let next = format!("/paper/v2/account/activities?page_size=1&page_token={token}");
    assert_ne!(world.get(&next, &world.paper_key()).await.expect(200).json()[0]["id"], page[0]["id"]);
    world.control("/sim/accounts/nobody/deposit", &json!({"amount": 1})).await.expect(401);
}

#[tokio::test]
async fn blocks_and_suspensions_refuse_orders_in_their_own_words() {
    let world = World::new();
    let at = |verb: &str| format!("/sim/accounts/{}/{verb}", world.paper);
    world.control(&at("suspend"), &json!({})).await.expect(200);
    let told = world.order(buy("AAPL", "1")).await.expect(403);
    assert_eq!(told.text(), r#"{"code":40310000,"message":"new orders are rejected by user request"}"#);
    assert_eq!(world.get("/paper/v2/account", &world.paper_key()).await.json()["trade_suspended_by_user"], true);
    world.control(&at("resume"), &json!({})).await.expect(200);
    world.control(&at("block"), &json!({"trading_blocked": true})).await.expect(200);
    let told = world.order(buy("AAPL", "1")).await.expect(403).json();
    assert_eq!(told["message"], "account is not authorized to trade");
    world.control(&at("block"), &json!({"trading_blocked": false})).await.expect(200);
    world.order(buy("AAPL", "1")).await.expect(200);
}

#[tokio::test]
async fn assets_are_halted_switched_split_and_pay() {
    let world = World::new();
    let key = world.paper_key();
    world.control("/sim/assets/MSFT/untradable", &json!({})).await.expect(200);
    world.order(buy("MSFT", "1")).await.expect(422);
    world.control("/sim/assets/JPM/non_fractionable", &json!({})).await.expect(200);
    let told = world.order(buy("JPM", "0.5")).await.expect(422).json();
    assert_eq!(told["message"], "requested asset is not fractionable");
    world.control("/sim/assets/AAPL/halt", &json!({})).await.expect(200);
    let waiting = world.order(buy("AAPL", "10")).await.expect(200).json();
    world.step(60);
    let path = format!("/paper/v2/orders/{}", waiting["id"].as_str().unwrap());
    assert_eq!(world.get(&path, &key).await.json()["filled_qty"], "0");
    world.control("/sim/assets/AAPL/resume", &json!({})).await.expect(200);
    world.step(60);
    assert_eq!(world.get(&path, &key).await.json()["status"], "filled");
    let before = see(&world, "/sim/prices?symbols=AAPL").await;
    world.control("/sim/assets/AAPL/split", &json!({"old": 1, "new": 4})).await.expect(200);
    assert_eq!(world.get("/paper/v2/positions/AAPL", &key).await.json()["qty"], "40");
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let after = see(&world, "/sim/prices?symbols=AAPL").await;
    let ratio = number(&before["prices"]["AAPL"]["last"]) / number(&after["prices"]["AAPL"]["last"]);
    assert!((3.9..4.1).contains(&ratio), "{before} {after}");
    let paid = json!({"per_share": "0.25", "paper_too": true});
    assert_eq!(world.control("/sim/assets/AAPL/dividend", &paid).await.expect(200).json()["accounts_paid"], 1);
    let rows = world.get("/paper/v2/account/activities/DIV", &key).await.expect(200).json();
    assert_eq!((&rows[0]["net_amount"], &rows[0]["per_share_amount"]), (&json!("10"), &json!("0.25")));
    world.control("/sim/assets/NOSUCH/halt", &json!({})).await.expect(404);
}

#[tokio::test]
async fn prices_are_pinned_and_let_go() {
    let world = World::new();
    world.control("/sim/prices/SPY", &json!({"pin": "123.45"})).await.expect(200);
    assert_eq!(see(&world, "/sim/prices?symbols=SPY").await["prices"]["SPY"]["last"], "123.45");
    let path = "/data/v2/stocks/trades/latest?symbols=SPY";
    assert_eq!(world.get(path, &World::data_key()).await.expect(200).json()["trades"]["SPY"]["p"], 123.45);
    world.control("/sim/prices/SPY", &json!({"pin": null})).await.expect(200);
    assert_ne!(see(&world, "/sim/prices?symbols=SPY").await["prices"]["SPY"]["last"], "123.45");
    world.control("/sim/prices/SPY", &json!({"scale": "1.5"})).await.expect(200);
}

#[tokio::test]
async fn the_ledger_knows_requests_and_orders_and_no_secret() {
    let world = World::new();
    let token = world.connect(Some("paper"), "trading").await;
    let mut order = buy("AAPL", "1");
    order["client_order_id"] = "mine".into();
    world.ask("POST", "/paper/v2/orders", &token, &order.to_string()).await.expect(200);
    world.order(buy("MSFT", "1")).await.expect(200);
    world.get("/paper/v2/account", &As::Nobody).await.expect(401);
    let ledger = see(&world, "/sim/ledger").await;
    let posts: Vec<&Value> =
        ledger["requests"].as_array().unwrap().iter().filter(|row| row["method"] == "POST").collect();
    assert_eq!(posts.len(), 3, "{ledger}");
    assert_eq!(
        *posts[1],
        json!({
            "n": 3, "at": "2019-06-03T14:00:00Z", "method": "POST", "path": "/paper/v2/orders", "account": world.paper,
            "credential": "oauth", "client_order_id": "mine", "status": 200, "fault": null, "answered": true,
        })
    );
    let mine = &ledger["orders"][0];
    assert_eq!((&mine["account"], &mine["environment"]), (&json!(world.paper), &json!("paper")));
    assert_eq!((&mine["client_order_id"], &mine["symbol"]), (&json!("mine"), &json!("AAPL")));
    let As::Token(token) = token else { unreachable!() };
    let As::Key(pair) = world.paper_key() else { unreachable!() };
    for secret in [token.as_str(), pair.secret.as_str(), "code="] {
        assert!(!ledger.to_string().contains(secret));
    }
    assert_eq!(see(&world, "/sim/ledger/orders").await["orders"], ledger["orders"]);
}

#[tokio::test]
async fn rare_states_can_be_forced() {
    let world = World::new();
    let id = world.order(buy("AAPL", "1")).await.expect(200).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/sim/accounts/{}/orders/{id}", world.paper);
    for status in ["held", "suspended", "rejected"] {
        let order = world.control(&path, &json!({"status": status})).await.expect(200).json();
        assert_eq!(order["status"], status);
    }
    world.control(&path, &json!({"status": "odd"})).await.expect(400);
}
