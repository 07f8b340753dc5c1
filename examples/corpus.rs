//! Makes `tests/corpus`: real answers of the simulator, one for each reader. Run by hand when the simulator says more than it
//! did: `cargo run --example corpus`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a program for tests")]

use alpaca_sim::{ApiKey, ConsentMode, ConsentRule, Environment, NewAccount, OAuthApp, Sim, SimConfig};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

const BACK: &str = "http://127.0.0.1:8080/oauth/callback";

const OURS: &str = "rb1-0123456789abcdef0123456789";

struct Broker {
    sim: Sim,
    token: String,
}

impl Broker {
    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = self.sim.call(request.body(Bytes::from(body.to_owned())).unwrap()).await.unwrap();
        let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        let body = String::from_utf8(answer.body().to_vec()).unwrap();
        (answer.status().as_u16(), location.unwrap_or(body))
    }

    fn step(&self, seconds: i64) {
        self.sim.step(jiff::SignedDuration::from_secs(seconds));
    }
}

fn keep(name: &str, body: &str) {
    std::fs::create_dir_all("tests/corpus").unwrap();
    std::fs::write(format!("tests/corpus/{name}.json"), body).unwrap();
}

async fn broker() -> Broker {
    let sim = Sim::new(SimConfig {
        seed: 8,
        start: "2019-06-03T15:00:00Z".parse().unwrap(),
        speed: 0.0,
        partial_fill_percent: 0,
        apps: vec![OAuthApp {
            client_id: "app".to_owned(),
            client_secret: "secret".to_owned(),
            redirect_uris: vec![BACK.to_owned()],
            live_trading_approved: false,
            developer_account_ids: Vec::new(),
            name: "corpus".to_owned(),
        }],
        data_keys: vec![ApiKey { key_id: "DATA".to_owned(), secret: "data".to_owned(), requests_per_minute: 0 }],
        ..SimConfig::default()
    })
    .unwrap();
    sim.create_person(Some("ada"), "ada").unwrap();
    let mut new = NewAccount::new("ada", Environment::Paper);
    new.cash = Decimal::from(20_000);
    sim.create_account(new).unwrap();
    let person = Some("ada".to_owned());
    sim.set_consent(ConsentRule { mode: ConsentMode::Auto, person, ..ConsentRule::default() });
    let mut broker = Broker { sim, token: String::new() };
    let asked = "response_type=code&client_id=app&redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Foauth%2Fcallback&env=paper&scope=account%3Awrite%20trading%20data";
    let (_, back) = broker.ask("GET", &format!("/app/oauth/authorize?{asked}"), "").await;
    let code = back.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let form = format!(
        "grant_type=authorization_code&code={code}&client_id=app&client_secret=secret&redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Foauth%2Fcallback"
    );
    let (status, token) = broker.ask("POST", "/live/oauth/token", &form).await;
    assert_eq!(status, 200, "{token}");
    keep("token", &token);
    let granted: Value = serde_json::from_str(&token).unwrap();
    granted["access_token"].as_str().unwrap().clone_into(&mut broker.token);
    broker
}

#[tokio::main]
async fn main() {
    let broker = broker().await;
    let frames = tokio::spawn(heard(broker.sim.clone(), broker.token.clone()));
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let order = |symbol: &str, amount: (&str, &str), id: &str| {
        let (name, value) = amount;
        json!({"symbol": symbol, name: value, "side": "buy", "type": "market", "time_in_force": "day", "client_order_id": id})
            .to_string()
    };
    let (status, taken) = broker.ask("POST", "/paper/v2/orders", &order("SPY", ("qty", "3.5"), OURS)).await;
    assert_eq!(status, 200, "{taken}");
    keep("submit", &taken);
    broker
        .ask("POST", "/paper/v2/orders", &order("AGG", ("notional", "1250.75"), "rb1-ffffffffffffffffffffffffff"))
        .await;
    broker.step(5);
    let limit = json!({"symbol": "GLD", "qty": "4", "side": "buy", "type": "limit", "limit_price": "50.25",
        "time_in_force": "gtc", "client_order_id": "by-hand"});
    broker.ask("POST", "/paper/v2/orders", &limit.to_string()).await;
    broker.step(5);
    let (status, refusal) = broker.ask("POST", "/paper/v2/orders", &order("SPY", ("qty", "9000"), "too-much")).await;
    assert_eq!(status, 403, "{refusal}");
    keep("refusal", &refusal);
    for (name, path) in [
        ("account", "/paper/v2/account".to_owned()),
        ("positions", "/paper/v2/positions".to_owned()),
        ("activities", "/paper/v2/account/activities".to_owned()),
        ("orders_open", "/paper/v2/orders?status=open".to_owned()),
        ("orders", "/paper/v2/orders?status=all&direction=asc".to_owned()),
        ("order", format!("/paper/v2/orders:by_client_order_id?client_order_id={OURS}")),
        ("asset", "/paper/v2/assets/SPY".to_owned()),
        ("calendar", "/paper/v2/calendar?start=2019-06-03&end=2019-06-07".to_owned()),
        ("quotes", "/data/v2/stocks/quotes/latest?symbols=SPY,AGG,GLD".to_owned()),
        ("trades", "/data/v2/stocks/trades/latest?symbols=SPY,AGG,GLD".to_owned()),
        ("bars", "/data/v2/stocks/bars?symbols=SPY,AGG&timeframe=1Day&start=2019-05-20&end=2019-05-31".to_owned()),
    ] {
        let (status, body) = broker.ask("GET", &path, "").await;
        assert_eq!(status, 200, "{name}: {body}");
        keep(name, &body);
    }
    keep("stream", &frames.await.unwrap().join("\n"));
}

/// What the stream says while two orders are filled, a frame in a line.
async fn heard(sim: Sim, token: String) -> Vec<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { sim.serve(listener, CancellationToken::new()).await });
    let line = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/paper/stream"), line).await.unwrap();
    let who = json!({"action": "authenticate", "data": {"oauth_token": token}});
    let what = json!({"action": "listen", "data": {"streams": ["trade_updates"]}});
    socket.send(Message::text(who.to_string())).await.unwrap();
    socket.send(Message::text(what.to_string())).await.unwrap();
    let mut frames = Vec::new();
    let patience = std::time::Duration::from_secs(2);
    while let Ok(Some(Ok(message))) = tokio::time::timeout(patience, socket.next()).await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            frames.push(String::from_utf8(message.into_data().to_vec()).unwrap());
        }
    }
    assert!(frames.len() >= 4, "{frames:?}");
    frames
}
