//! Orders and positions over the wire: exact shapes, and each documented refusal to the letter.

use serde_json::{Value, json};

use crate::support::{As, World};

const ORDER_MEMBERS: [&str; 36] = [
    "id",
    "client_order_id",
    "created_at",
    "updated_at",
    "submitted_at",
    "filled_at",
    "expired_at",
    "expires_at",
    "canceled_at",
    "failed_at",
    "replaced_at",
    "replaced_by",
    "replaces",
    "asset_id",
    "symbol",
    "asset_class",
    "notional",
    "qty",
    "filled_qty",
    "filled_avg_price",
    "order_class",
    "order_type",
    "type",
    "side",
    "position_intent",
    "time_in_force",
    "limit_price",
    "stop_price",
    "status",
    "extended_hours",
    "legs",
    "trail_percent",
    "trail_price",
    "hwm",
    "subtag",
    "source",
];

fn market(symbol: &str, side: &str, amount: (&str, &str)) -> Value {
    let mut order = json!({"symbol": symbol, "side": side, "type": "market", "time_in_force": "day"});
    order[amount.0] = amount.1.into();
    order
}

fn limit(symbol: &str, side: &str, qty: &str, price: &str) -> Value {
    json!({"symbol": symbol, "side": side, "type": "limit", "time_in_force": "day", "qty": qty, "limit_price": price})
}

fn id_of(order: &Value) -> String {
    order["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_order_has_all_documented_members_and_its_numbers_are_strings() {
    let world = World::new();
    let sent = world.order(market("AAPL", "buy", ("qty", "3"))).await.expect(200).json();
    let names: Vec<&str> = sent.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ORDER_MEMBERS);
    assert_eq!((&sent["qty"], &sent["filled_qty"], &sent["notional"]), (&json!("3"), &json!("0"), &Value::Null));
    assert!(["accepted", "pending_new"].contains(&sent["status"].as_str().unwrap()), "{sent}");
    assert_eq!(sent["submitted_at"], "2019-06-03T14:00:00Z");
    world.step(5);
    let path = format!("/paper/v2/orders/{}", id_of(&sent));
    let filled = world.get(&path, &world.paper_key()).await.expect(200).json();
    assert_eq!((&filled["status"], &filled["filled_qty"]), (&json!("filled"), &json!("3")));
    let price: f64 = filled["filled_avg_price"].as_str().unwrap().parse().unwrap();
    let account = world.get("/paper/v2/account", &world.paper_key()).await.expect(200).json();
    let cash: f64 = account["cash"].as_str().unwrap().parse().unwrap();
    assert!((100_000.0 - 3.0 * price - cash).abs() < 0.005, "{account}");
    let position = world.get("/paper/v2/positions/AAPL", &world.paper_key()).await.expect(200).json();
    assert_eq!((&position["qty"], &position["side"]), (&json!("3"), &json!("long")));
    assert_eq!(position["avg_entry_price"], filled["filled_avg_price"]);
    let rows = world.get("/paper/v2/account/activities/FILL", &world.paper_key()).await.expect(200).json();
    assert_eq!((&rows[0]["order_id"], &rows[0]["type"]), (&sent["id"], &json!("fill")));
}

#[tokio::test]
async fn each_refusal_has_its_documented_words() {
    let world = World::new();
    world.order(market("AAPL", "buy", ("qty", "10"))).await.expect(200);
    world.step(5);
    world
        .order(json!({"symbol": "AAPL", "side": "sell", "qty": "4", "type": "limit", "limit_price": "9000",
        "time_in_force": "day", "client_order_id": "resting"}))
        .await
        .expect(200);
    let mut both = market("AAPL", "buy", ("qty", "1"));
    both["notional"] = "5".into();
    let mut gtc = market("AAPL", "buy", ("qty", "0.5"));
    gtc["time_in_force"] = "gtc".into();
    let mut odd = market("AAPL", "buy", ("qty", "1"));
    odd["time_in_force"] = "eon".into();
    let mut again = market("MSFT", "buy", ("qty", "1"));
    again["client_order_id"] = "resting".into();
    let none = json!({"symbol": "AAPL", "side": "buy", "type": "market", "time_in_force": "day"});
    for (order, status, code, message) in [
        (both, 400, 40_010_001, "only one of qty or notional is accepted"),
        (none, 422, 40_010_001, "qty is required"),
        (again, 422, 40_010_001, "client_order_id must be unique"),
        (
            limit("MSFT", "buy", "1", "10.123"),
            422,
            42_210_000,
            "invalid limit_price 10.123. sub-penny increment does not fulfill minimum pricing criteria",
        ),
        (gtc, 422, 42_210_000, "fractional orders must be DAY orders"),
        (odd, 422, 42_210_000, "invalid time_in_force"),
        (market("AAPL", "buy", ("qty", "many")), 422, 40_010_001, "invalid qty"),
        (
            market("AAPL", "buy", ("notional", "10.123")),
            422,
            42_210_000,
            "notional value must be limited to 2 decimal places",
        ),
        (
            market("MSFT", "buy", ("notional", "0.5")),
            403,
            40_310_000,
            "cost basis must be >= minimal amount of order 1",
        ),
        (
            market("AAPL", "sell", ("qty", "7")),
            403,
            40_310_000,
            "insufficient qty available for order (requested: 7, available: 6)",
        ),
        (market("AAPL", "buy", ("qty", "1")), 403, 40_310_000, "potential wash trade detected. use complex orders"),
        (market("MSFT", "buy", ("qty", "99999")), 403, 40_310_000, "insufficient buying power"),
    ] {
        let answer = world.order(order.clone()).await;
        let told = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &told["code"], &told["message"]),
            (status, &json!(code), &json!(message)),
            "{order}"
        );
    }
}

#[tokio::test]
async fn refusals_carry_their_extras_as_strings() {
    let world = World::new();
    world.order(market("AAPL", "buy", ("qty", "10"))).await.expect(200);
    world.step(5);
    world.order(limit("AAPL", "sell", "4", "9000")).await.expect(200);
    let qty = world.order(market("AAPL", "sell", ("qty", "7"))).await.json();
    assert_eq!(
        qty,
        json!({"code": 40_310_000, "message": "insufficient qty available for order (requested: 7, available: 6)",
            "available": "6", "existing_qty": "10", "held_for_orders": "4", "symbol": "AAPL"})
    );
    let poor = world.order(market("MSFT", "buy", ("qty", "99999"))).await.json();
    assert!(poor["buying_power"].is_string() && poor["cost_basis"].is_string(), "{poor}");
    let wash = world.order(market("AAPL", "buy", ("qty", "1"))).await.json();
    assert_eq!(wash["reject_reason"], "opposite side limit order exists");
    let malformed = world.ask("POST", "/paper/v2/orders", &world.paper_key(), "{").await.expect(400);
    assert_eq!(malformed.text(), r#"{"code":40010000,"message":"request body format is invalid"}"#);
}

#[tokio::test]
async fn missing_things_are_404_with_their_code() {
    let world = World::new();
    let key = world.paper_key();
    for (path, message) in [
        ("/paper/v2/orders/00000000-0000-4000-8000-000000000000", "order not found"),
        ("/paper/v2/orders:by_client_order_id?client_order_id=none", "order not found"),
        ("/paper/v2/positions/AAPL", "position does not exist"),
        ("/paper/v2/assets/NOSUCH", "asset not found for NOSUCH"),
    ] {
        let answer = world.get(path, &key).await.expect(404);
        assert_eq!(answer.text(), format!(r#"{{"code":40410000,"message":"{message}"}}"#), "{path}");
    }
    world.get("/paper/v2/orders?limit=501", &key).await.expect(422);
    world.get("/paper/v2/orders?status=sleeping", &key).await.expect(422);
}

#[tokio::test]
async fn orders_are_listed_replaced_and_cancelled() {
    let world = World::new();
    let key = world.paper_key();
    let mut ids = Vec::new();
    for (n, symbol) in ["AAPL", "MSFT", "JPM"].iter().enumerate() {
        world.step(1);
        let mut order = limit(symbol, "buy", "1", "1.50");
        order["client_order_id"] = format!("c{n}").into();
        ids.push(id_of(&world.order(order).await.expect(200).json()));
    }
    world.step(5);
    let list = |query: &'static str| {
        let (world, key) = (&world, key.clone());
        async move {
            let rows = world.get(&format!("/paper/v2/orders{query}"), &key).await.expect(200).json();
            rows.as_array().unwrap().iter().map(id_of).collect::<Vec<_>>()
        }
    };
    let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(list("").await, newest_first);
    assert_eq!(list("?direction=asc&limit=2").await, ids[..2]);
    assert_eq!(list("?symbols=MSFT,NOSUCH").await, ids[1..2]);
    assert_eq!(list("?after=2019-06-03T14:00:01Z&until=2019-06-03T14:00:03Z").await, ids[1..2]);
    assert_eq!(list("?status=closed").await, Vec::<String>::new());
    let path = format!("/paper/v2/orders/{}", ids[0]);
    let new = world.ask("PATCH", &path, &key, r#"{"limit_price":"1.75"}"#).await.expect(200).json();
    assert_eq!((&new["replaces"], &new["limit_price"]), (&json!(ids[0]), &json!("1.75")));
    world.step(5);
    let old = world.get(&path, &key).await.expect(200).json();
    assert_eq!((&old["status"], &old["replaced_by"]), (&json!("replaced"), &new["id"]));
    let cancelled = world.ask("DELETE", &format!("/paper/v2/orders/{}", ids[1]), &key, "").await.expect(204);
    assert!(cancelled.body.is_empty());
    world.step(5);
    let again = world.ask("DELETE", &format!("/paper/v2/orders/{}", ids[1]), &key, "").await.expect(422);
    assert_eq!(again.json()["code"], 42_210_000);
    let rest = world.ask("DELETE", "/paper/v2/orders", &key, "").await.expect(207).json();
    assert!(rest.as_array().unwrap().iter().all(|row| row["status"] == 200), "{rest}");
    world.step(5);
    assert_eq!(list("").await, Vec::<String>::new());
}

#[tokio::test]
async fn positions_are_closed_one_by_one_or_all_at_once() {
    let world = World::new();
    let key = world.paper_key();
    for symbol in ["AAPL", "MSFT"] {
        world.order(market(symbol, "buy", ("qty", "10"))).await.expect(200);
    }
    world.step(5);
    let part = world.ask("DELETE", "/paper/v2/positions/AAPL?percentage=25", &key, "").await.expect(200).json();
    assert_eq!((&part["side"], &part["qty"], &part["type"]), (&json!("sell"), &json!("2"), &json!("market")));
    // Facts 4.1: a percentage makes fractions only of a position that has some.
    world.ask("DELETE", "/paper/v2/positions/AAPL?percentage=25&qty=1", &key, "").await.expect(422);
    world.ask("DELETE", "/paper/v2/positions/JPM", &key, "").await.expect(404);
    world.step(5);
    world.order(limit("MSFT", "sell", "4", "9000")).await.expect(200);
    world.step(5);
    let all = world.ask("DELETE", "/paper/v2/positions?cancel_orders=true", &key, "").await.expect(207).json();
    let symbols: Vec<&Value> = all.as_array().unwrap().iter().map(|row| &row["symbol"]).collect();
    assert_eq!(symbols, ["AAPL", "MSFT"]);
    assert!(all.as_array().unwrap().iter().all(|row| row["status"] == 200 && row["body"]["id"].is_string()), "{all}");
    world.step(10);
    assert_eq!(world.get("/paper/v2/positions", &key).await.expect(200).json(), json!([]));
}

#[tokio::test]
async fn assets_and_history_are_there() {
    let world = World::new();
    let key = world.paper_key();
    let all = world.get("/paper/v2/assets?status=active&asset_class=us_equity", &key).await.expect(200).json();
    assert!(all.as_array().unwrap().iter().any(|asset| asset["symbol"] == "SPY" && asset["fractionable"] == true));
    let one = world.get("/paper/v2/assets/AAPL", &key).await.expect(200).json();
    assert_eq!((&one["class"], &one["status"]), (&json!("us_equity"), &json!("active")));
    let same = world.get(&format!("/paper/v2/assets/{}", one["id"].as_str().unwrap()), &key).await.expect(200).json();
    assert_eq!(same, one);
    assert_eq!(world.get("/paper/v2/assets?asset_class=crypto", &key).await.expect(200).json(), json!([]));
    world.sim.set_clock("2019-06-06T21:00:00Z".parse().unwrap());
    let path = "/paper/v2/account/portfolio/history?period=1W&timeframe=1D";
    let history = world.get(path, &key).await.expect(200).json();
    let points = history["timestamp"].as_array().unwrap().len();
    assert!(0 < points, "{history}");
    for member in ["equity", "profit_loss", "profit_loss_pct"] {
        assert_eq!(history[member].as_array().unwrap().len(), points, "{member}");
        assert!(history[member].as_array().unwrap().iter().all(Value::is_number));
    }
    assert_eq!(history["timeframe"], "1D");
    world.order(market("AAPL", "buy", ("qty", "100"))).await.expect(200);
    world.sim.set_clock("2019-06-11T21:00:00Z".parse().unwrap());
    let daily = world.get(path, &key).await.expect(200).json();
    let whole = world.get(&format!("{path}&pnl_reset=no_reset"), &key).await.expect(200).json();
    let number = |value: &Value| value.as_f64().unwrap();
    for n in 1..daily["equity"].as_array().unwrap().len() {
        let day = number(&daily["equity"][n]) - number(&daily["equity"][n - 1]);
        assert!((number(&daily["profit_loss"][n]) - day).abs() < 1e-6, "{daily}");
        let all = number(&whole["equity"][n]) - number(&whole["base_value"]);
        assert!((number(&whole["profit_loss"][n]) - all).abs() < 1e-6, "{whole}");
    }
    world.get("/paper/v2/account/portfolio/history?timeframe=2D", &key).await.expect(422);
}

#[tokio::test]
async fn the_same_seed_and_requests_give_the_same_bytes_whoever_else_is_busy() {
    async fn run(busy: bool) -> Vec<String> {
        let world = World::with(alpaca_sim::SimConfig { partial_fill_percent: 50, ..crate::support::config() });
        let mut seen = Vec::new();
        for n in 0..20 {
            if busy {
                let order = market("AAPL", "buy", ("qty", "1")).to_string();
                world.ask("POST", "/live/v2/orders", &world.live_key(), &order).await.expect(200);
            }
            let side = if n % 3 == 2 { "sell" } else { "buy" };
            seen.push(world.order(market("MSFT", side, ("qty", "1.5"))).await.text().to_owned());
            world.step(30);
            seen.push(world.get("/paper/v2/orders?status=all", &world.paper_key()).await.text().to_owned());
            seen.push(world.get("/paper/v2/account", &world.paper_key()).await.text().to_owned());
        }
        seen
    }
    let (alone, busy) = (run(false).await, run(true).await);
    assert_eq!(alone, busy);
}

#[tokio::test]
async fn an_account_sees_its_own_orders_only() {
    let world = World::new();
    let placed = world.order(market("AAPL", "buy", ("qty", "1"))).await.expect(200).json();
    world.get(&format!("/live/v2/orders/{}", id_of(&placed)), &world.live_key()).await.expect(404);
    world.get("/live/v2/orders:by_client_order_id?client_order_id=x", &As::Nobody).await.expect(401);
}
