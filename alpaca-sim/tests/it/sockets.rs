//! Over real sockets: resets, cut bodies, and the stream of trade updates.

use std::time::Duration;

use alpaca_sim::{FaultAction, FaultRule, KeyPair};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

use crate::support::{As, World};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Server {
    world: World,
    address: String,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start() -> Self {
        let world = World::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let (sim, token) = (world.sim.clone(), stop.clone());
        let task = tokio::spawn(async move { sim.serve(listener, token).await });
        Self { world, address, stop, task }
    }

    fn key(&self) -> KeyPair {
        self.world.sim.key_pair(&self.world.paper).unwrap()
    }

    async fn get(&self, path: &str) -> Result<reqwest::Response, reqwest::Error> {
        let key = self.key();
        let client = reqwest::Client::builder().no_proxy().build()?;
        client
            .get(format!("http://{}{path}", self.address))
            .header("APCA-API-KEY-ID", key.key_id)
            .header("APCA-API-SECRET-KEY", key.secret)
            .send()
            .await
    }

    async fn connect(&self, host: &str) -> Socket {
        tokio_tungstenite::connect_async(format!("ws://{}/{host}/stream", self.address)).await.unwrap().0
    }

    /// A socket on the paper host that listens.
    async fn listening(&self) -> Socket {
        let mut socket = self.connect("paper").await;
        let key = self.key();
        say(&mut socket, &json!({"action": "authenticate", "data": {"key_id": key.key_id, "secret_key": key.secret}}))
            .await;
        assert_eq!(hear(&mut socket).await["data"]["status"], "authorized");
        say(&mut socket, &json!({"action": "listen", "data": {"streams": ["trade_updates"]}})).await;
        assert_eq!(hear(&mut socket).await, json!({"stream": "listening", "data": {"streams": ["trade_updates"]}}));
        socket
    }

    async fn buy(&self, id: &str) {
        let order = json!({"symbol": "AAPL", "side": "buy", "qty": "1", "type": "market", "time_in_force": "day",
            "client_order_id": id});
        self.world.order(order).await.expect(200);
        self.world.step(5);
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.unwrap().unwrap().unwrap();
    }
}

async fn say(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn next(socket: &mut Socket) -> Option<Message> {
    let received = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("a frame within 10 s");
    received.and_then(Result::ok)
}

async fn hear(socket: &mut Socket) -> Value {
    let message = next(socket).await.unwrap();
    serde_json::from_slice(&message.into_data()).unwrap()
}

/// Frames until the fill of this order.
async fn hear_fill(socket: &mut Socket, id: &str) -> Vec<Value> {
    let mut frames = Vec::new();
    loop {
        let frame = hear(socket).await;
        let done = frame["data"]["event"] == "fill" && frame["data"]["order"]["client_order_id"] == id;
        frames.push(frame);
        if done {
            return frames;
        }
    }
}

#[tokio::test]
async fn a_dropped_request_is_a_reset_and_the_next_one_is_fine() {
    let server = Server::start().await;
    server.world.sim.add_fault(FaultRule::new(FaultAction::DropAfter).path("/paper/v2/account"));
    let error = server.get("/paper/v2/account").await.unwrap_err();
    let mut chain = format!("{error:?}");
    chain.make_ascii_lowercase();
    assert!(chain.contains("connectionreset") || chain.contains("connection reset"), "{chain}");
    let mut cut = FaultRule::new(FaultAction::Truncate).path("/paper/v2/account");
    cut.bytes = Some(12);
    server.world.sim.add_fault(cut);
    let answer = server.get("/paper/v2/account").await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().await.is_err(), "the body breaks off");
    let answer = server.get("/paper/v2/account").await.unwrap();
    assert_eq!(answer.headers()["x-ratelimit-limit"], "200");
    assert_eq!(answer.json::<Value>().await.unwrap()["cash"], "100000");
    server.end().await;
}

#[tokio::test]
async fn a_stream_speaks_after_its_handshake_in_binary_on_paper() {
    let server = Server::start().await;
    let mut socket = server.connect("paper").await;
    say(&mut socket, &json!({"action": "listen", "data": {"streams": ["trade_updates"]}})).await;
    let refused = json!({"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}});
    assert_eq!(hear(&mut socket).await, refused);
    say(&mut socket, &json!({"action": "authenticate", "data": {"key_id": "PKX", "secret_key": "y"}})).await;
    let refused = json!({"stream": "authorization", "data": {"status": "unauthorized", "action": "authenticate"}});
    assert_eq!(hear(&mut socket).await, refused);
    let key = server.key();
    say(&mut socket, &json!({"action": "auth", "key": key.key_id, "secret": key.secret})).await;
    let message = next(&mut socket).await.unwrap();
    assert!(message.is_binary(), "{message:?}");
    say(&mut socket, &json!({"action": "listen", "data": {"streams": ["trade_updates"]}})).await;
    hear(&mut socket).await;
    server.buy("a").await;
    let frames = hear_fill(&mut socket, "a").await;
    let fill = &frames.last().unwrap()["data"];
    for (member, value) in [("qty", json!("1")), ("position_qty", json!("1"))] {
        assert_eq!(fill[member], value);
    }
    assert!(fill["price"].is_string() && fill["execution_id"].is_string() && fill["timestamp"].is_string(), "{fill}");
    assert_eq!((&fill["order"]["status"], &fill["order"]["filled_qty"]), (&json!("filled"), &json!("1")));
    say(&mut socket, &json!({"action": "listen", "data": {"streams": []}})).await;
    assert_eq!(hear(&mut socket).await["data"]["streams"], json!([]));
    server.end().await;
}

#[tokio::test]
async fn a_token_opens_the_live_stream_in_text_and_its_revocation_closes_it() {
    let server = Server::start().await;
    let As::Token(token) = server.world.connect(None, "trading").await else { unreachable!() };
    let mut socket = server.connect("live").await;
    say(&mut socket, &json!({"action": "authenticate", "data": {"oauth_token": token}})).await;
    let message = next(&mut socket).await.unwrap();
    assert!(message.is_text(), "{message:?}");
    say(&mut socket, &json!({"action": "listen", "data": {"streams": ["trade_updates"]}})).await;
    hear(&mut socket).await;
    server.world.sim.revoke_person(&server.world.person);
    assert!(matches!(next(&mut socket).await, Some(Message::Close(_)) | None));
    server.end().await;
}

#[tokio::test]
async fn frames_are_muted_doubled_changed_and_cut_off() {
    let server = Server::start().await;
    let mut socket = server.listening().await;
    let mute = server.world.sim.add_fault(FaultRule::new(FaultAction::MuteStream).account(&server.world.paper));
    server.buy("muted").await;
    socket.send(Message::Ping("still there".into())).await.unwrap();
    assert!(next(&mut socket).await.unwrap().is_pong(), "a mute socket answers pings and says nothing else");
    let answer = server.world.ask("DELETE", &format!("/sim/faults/{mute}"), &As::Nobody, "").await.expect(200);
    assert_eq!(answer.json()["cleared"], 1);
    server.world.sim.add_fault(FaultRule::new(FaultAction::DuplicateStream).times(0));
    server.buy("doubled").await;
    let frames = hear_fill(&mut socket, "doubled").await;
    assert_eq!(frames[0], frames[1]);
    assert_eq!(hear(&mut socket).await, *frames.last().unwrap());
    server.world.sim.clear_faults();
    let mut odd = FaultRule::new(FaultAction::MutateStream);
    odd.set = json!({"/data/event": "surprise"}).as_object().unwrap().clone();
    server.world.sim.add_fault(odd);
    server.buy("odd").await;
    assert_eq!(hear_fill(&mut socket, "odd").await[0]["data"]["event"], "surprise");
    server.world.sim.add_fault(FaultRule::new(FaultAction::CloseStream));
    server.buy("closed").await;
    assert!(matches!(next(&mut socket).await, Some(Message::Close(_)) | None));
    server.end().await;
}

#[tokio::test]
async fn a_handshake_can_be_refused_or_dropped_and_is_in_the_ledger() {
    let server = Server::start().await;
    server.world.sim.add_fault(FaultRule::new(FaultAction::RateLimit).path("/paper/stream"));
    server.world.sim.add_fault(FaultRule::new(FaultAction::DropBefore).path("/paper/stream"));
    let url = format!("ws://{}/paper/stream", server.address);
    let refused = tokio_tungstenite::connect_async(&url).await.unwrap_err();
    assert!(matches!(refused, Error::Http(ref answer) if answer.status() == 429), "{refused:?}");
    let dropped = tokio_tungstenite::connect_async(&url).await.unwrap_err();
    assert!(!matches!(dropped, Error::Http(_)), "{dropped:?}");
    server.listening().await;
    let statuses: Vec<u16> = server.world.sim.ledger().requests.iter().map(|row| row.status).collect();
    assert_eq!(statuses, [429, 0, 101]);
    server.end().await;
}

#[tokio::test]
async fn the_beat_fills_and_tells_without_anybody_asking() {
    let server = Server::start().await;
    let mut socket = server.listening().await;
    let order = json!({"symbol": "AAPL", "side": "buy", "qty": "1", "type": "market", "time_in_force": "day",
        "client_order_id": "alone"});
    server.world.order(order).await.expect(200);
    server.world.sim.set_speed(100.0);
    hear_fill(&mut socket, "alone").await;
    server.end().await;
}
