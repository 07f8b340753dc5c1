//! The fault script in memory: every action, and that it does what its name says to the exchange.

use alpaca_sim::{Answer, Dropped, FaultAction, FaultRule};
use serde_json::{Value, json};

use crate::support::World;

const ORDERS: &str = "/paper/v2/orders";

fn body(id: &str) -> String {
    json!({"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day", "client_order_id": id})
        .to_string()
}

fn on_orders(action: FaultAction) -> FaultRule {
    FaultRule::new(action).path(ORDERS).method("POST")
}

/// How many orders with this client id the exchange has.
fn orders(world: &World, id: &str) -> usize {
    world.sim.ledger().orders.iter().filter(|row| row.order.client_order_id.as_ref() == id).count()
}

#[tokio::test]
async fn a_dropped_request_has_no_answer_with_or_without_effect() {
    let world = World::new();
    let key = world.paper_key();
    world.sim.add_fault(on_orders(FaultAction::DropBefore));
    world.sim.add_fault(on_orders(FaultAction::DropAfter));
    assert_eq!(world.try_ask("POST", ORDERS, &key, &body("a")).await.unwrap_err(), Dropped);
    assert_eq!(orders(&world, "a"), 0);
    assert_eq!(world.try_ask("POST", ORDERS, &key, &body("a")).await.unwrap_err(), Dropped);
    assert_eq!(orders(&world, "a"), 1);
    let refused = world.ask("POST", ORDERS, &key, &body("a")).await.expect(422);
    assert_eq!(refused.text(), r#"{"code":40010001,"message":"client_order_id must be unique"}"#);
    let rows: Vec<_> =
        world.sim.ledger().requests.into_iter().map(|row| (row.fault, row.answered, row.status)).collect();
    assert_eq!(rows, [(Some("drop_before"), false, 0), (Some("drop_after"), false, 200), (None, true, 422)]);
}

#[tokio::test]
async fn statuses_come_before_or_after_the_effect() {
    let world = World::new();
    let key = world.paper_key();
    world.sim.add_fault(on_orders(FaultAction::StatusBefore));
    assert_eq!(world.ask("POST", ORDERS, &key, &body("a")).await.expect(503).text(), "Service Unavailable");
    assert_eq!(orders(&world, "a"), 0);
    world.sim.add_fault(on_orders(FaultAction::StatusAfter).status(502));
    world.ask("POST", ORDERS, &key, &body("a")).await.expect(502);
    assert_eq!(orders(&world, "a"), 1);
    world.sim.add_fault(on_orders(FaultAction::StatusBefore).status(500));
    let internal = world.ask("POST", ORDERS, &key, &body("b")).await.expect(500);
    assert_eq!(internal.text(), r#"{"code":50010000,"message":"internal server error"}"#);
    world.sim.add_fault(on_orders(FaultAction::Html));
    let page = world.ask("POST", ORDERS, &key, &body("b")).await.expect(502);
    assert!(page.text().contains("<h1>502 Bad Gateway</h1>"));
    assert_eq!(orders(&world, "b"), 0);
}

#[tokio::test]
async fn a_late_order_lands_when_its_time_has_come() {
    let world = World::new();
    let key = world.paper_key();
    let mut rule = on_orders(FaultAction::LandLater);
    rule.delay_seconds = Some(30);
    world.sim.add_fault(rule);
    world.ask("POST", ORDERS, &key, &body("a")).await.expect(504);
    let look = "/paper/v2/orders:by_client_order_id?client_order_id=a";
    world.step(29);
    world.get(look, &key).await.expect(404);
    world.step(31);
    let found = world.get(look, &key).await.expect(200).json();
    assert_eq!(found["submitted_at"], "2019-06-03T14:00:30Z");
    assert_eq!(found["status"], "filled");
}

#[tokio::test]
async fn a_duplicated_request_is_carried_out_twice() {
    let world = World::new();
    let key = world.paper_key();
    world.sim.add_fault(on_orders(FaultAction::Duplicate));
    world.ask("POST", ORDERS, &key, &body("a")).await.expect(200);
    let mut last = on_orders(FaultAction::Duplicate);
    last.answer = Answer::Last;
    world.sim.add_fault(last);
    world.ask("POST", ORDERS, &key, &body("b")).await.expect(422);
    assert_eq!((orders(&world, "a"), orders(&world, "b")), (1, 1));
}

#[tokio::test]
async fn a_body_is_cut_or_changed_after_the_effect() {
    let world = World::new();
    let key = world.paper_key();
    let mut cut = on_orders(FaultAction::Truncate);
    cut.bytes = Some(10);
    world.sim.add_fault(cut);
    let answer = world.ask("POST", ORDERS, &key, &body("a")).await.expect(200);
    assert_eq!(answer.body.len(), 10);
    assert!(10 < answer.header("content-length").parse::<usize>().unwrap());
    let mut lie = on_orders(FaultAction::Mutate);
    lie.set = json!({"/status": "levitating", "/qty": "2", "/news": [1]}).as_object().unwrap().clone();
    world.sim.add_fault(lie);
    let answer = world.ask("POST", ORDERS, &key, &body("b")).await.expect(200).json();
    assert_eq!((&answer["status"], &answer["qty"], &answer["news"]), (&json!("levitating"), &json!("2"), &json!([1])));
    let stored = world.get("/paper/v2/orders:by_client_order_id?client_order_id=b", &key).await.expect(200).json();
    assert_eq!(stored["qty"], "1");
}

#[tokio::test]
async fn rate_limits_can_come_with_and_without_headers() {
    let world = World::new();
    let key = world.paper_key();
    world.sim.add_fault(FaultRule::new(FaultAction::RateLimit));
    let answer = world.get("/paper/v2/account", &key).await.expect(429);
    assert_eq!(answer.text(), r#"{"code":42910000,"message":"rate limit exceeded"}"#);
    assert_eq!(answer.header("x-ratelimit-reset"), "1559570460");
    let mut bare = FaultRule::new(FaultAction::RateLimit);
    bare.headers = Some(false);
    world.sim.add_fault(bare);
    assert_eq!(world.get("/paper/v2/account", &key).await.expect(429).header("x-ratelimit-reset"), "");
    let mut away = FaultRule::new(FaultAction::Redirect);
    away.location = Some("http://127.0.0.1:1/elsewhere".into());
    world.sim.add_fault(away);
    let answer = world.get("/paper/v2/account", &key).await.expect(307);
    assert_eq!(answer.header("location"), "http://127.0.0.1:1/elsewhere");
}

#[tokio::test]
async fn rules_match_account_time_count_and_path() {
    let world = World::new();
    let rules: Value = json!({"rules": [
        {"action": "status_before", "account": world.live, "times": 0},
        {"action": "html", "at_time": "2019-06-03T14:01:00Z", "until": "2019-06-03T14:02:00Z", "times": 0},
        {"action": "status_before", "status": 418, "path": "/paper/*/account", "at_request": 2},
    ]});
    let ids = world.control("/sim/faults", &rules).await.expect(200).json();
    assert_eq!(ids["ids"], json!([1, 2, 3]));
    world.get("/live/v2/account", &world.live_key()).await.expect(503);
    let key = world.paper_key();
    world.get("/paper/v2/account", &key).await.expect(200);
    world.get("/paper/v2/account", &key).await.expect(418);
    world.get("/paper/v2/account", &key).await.expect(200);
    world.step(60);
    world.get("/paper/v2/clock", &key).await.expect(502);
    world.step(60);
    world.get("/paper/v2/clock", &key).await.expect(200);
    let list = world.get("/sim/faults", &crate::support::As::Nobody).await.expect(200).json();
    assert_eq!((&list["rules"][2]["fired"], &list["rules"][2]["seen"]), (&json!(1), &json!(3)));
    world.control("/sim/faults", &json!({"action": "explode"})).await.expect(400);
    world.control("/sim/faults", &json!({"action": "html", "pth": "/x"})).await.expect(400);
    let cleared = world.ask("DELETE", "/sim/faults", &crate::support::As::Nobody, "").await.expect(200).json();
    assert_eq!(cleared["cleared"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_delay_holds_the_answer_and_not_the_effect_unless_told() {
    let world = World::new();
    let key = world.paper_key();
    let mut slow = on_orders(FaultAction::Delay);
    slow.delay_ms = Some(5_000);
    world.sim.add_fault(slow);
    let mut stuck = on_orders(FaultAction::DelayBefore);
    stuck.delay_ms = Some(5_000);
    world.sim.add_fault(stuck);
    for (id, at_once) in [("a", 1), ("b", 0)] {
        let text = body(id);
        let asked = world.ask("POST", ORDERS, &key, &text);
        let early = tokio::time::timeout(std::time::Duration::from_millis(4_999), asked).await;
        assert!(early.is_err());
        assert_eq!(orders(&world, id), at_once, "{id}");
    }
}

#[tokio::test]
async fn a_frozen_answer_lags_behind_until_the_rule_goes() {
    let world = World::new();
    let key = world.paper_key();
    let rule = world.sim.add_fault(FaultRule::new(FaultAction::Freeze).path("/paper/v2/positions"));
    assert_eq!(world.get("/paper/v2/positions", &key).await.expect(200).json(), json!([]));
    world.ask("POST", ORDERS, &key, &body("a")).await.expect(200);
    world.step(30);
    assert_eq!(world.get("/paper/v2/positions", &key).await.expect(200).json(), json!([]));
    world.get("/paper/v2/positions/AAPL", &key).await.expect(200);
    world.ask("DELETE", &format!("/sim/faults/{rule}"), &crate::support::As::Nobody, "").await.expect(200);
    assert_eq!(world.get("/paper/v2/positions", &key).await.expect(200).json()[0]["qty"], "1");
}
