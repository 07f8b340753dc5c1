//! Every reader of what the broker says, from outside: one function takes a reader's name and a body, as the wire would bring
//! it. `fuzz.rs` calls it with bodies that were changed, and so does `fuzz/`, where a nightly compiler exists.
//!
//! It stops where an order is taken over that is not the one that was sent.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rebalanced::decide::order::apply;
use rebalanced::edge::alpaca::hosts::Streams;
use rebalanced::edge::alpaca::transport::{Duplex, Lost, Transport};
use rebalanced::edge::alpaca::{Access, AppCredentials, Client, Hosts, reply_to};
use rebalanced::edge::clock::{Clock, VirtualClock};
use rebalanced::edge::metrics::Metrics;
use rebalanced::edge::points::Points;
use rebalanced::model::environment::{Kind, Paper};
use rebalanced::model::ids::{AccountId, ClientOrderId, IntentId, RunId, Symbol};
use rebalanced::model::intent::{Intent, IntentState};
use rebalanced::model::money::{Qty, Usd};
use rebalanced::model::plan::{Amount, Phase, Pricing, Side};
use rebalanced::model::report::{OrderReport, Reply};
use rebalanced::model::secret::{AccessToken, Secret};
use rebalanced::model::time::Moment;
use rust_decimal::Decimal;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Every reader, by the name of its body in `tests/corpus`.
pub const READERS: &[&str] = &[
    "account",
    "positions",
    "activities",
    "orders_open",
    "orders",
    "order",
    "submit",
    "asset",
    "calendar",
    "quotes",
    "trades",
    "bars",
    "token",
    "refusal",
    "stream",
];

/// A moment in the session in which the corpus was made.
const NOW: &str = "2019-06-03T15:00:00Z";

/// The wire: every request has the same answer, and every stream says the same.
struct Same {
    status: u16,
    body: Bytes,
    /// Held open until the reader is done.
    lines: Mutex<Vec<tokio::io::DuplexStream>>,
}

impl Transport for Same {
    fn send(&self, _: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>, Lost>> {
        async move { Ok(http::Response::builder().status(self.status).body(self.body.clone()).unwrap()) }.boxed()
    }

    fn open(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Box<dyn Duplex>>, Lost>> {
        async move {
            let key = request.headers()["sec-websocket-key"].as_bytes().to_vec();
            let (ours, mut theirs) = tokio::io::duplex(1 << 20);
            for frame in frames(&self.body) {
                theirs.write_all(&frame).await.map_err(|error| Lost::new(error.to_string()))?;
            }
            self.lines.lock().unwrap().push(theirs);
            let line: Box<dyn Duplex> = Box::new(ours);
            let accept = derive_accept_key(&key);
            Ok(http::Response::builder().status(101).header("sec-websocket-accept", accept).body(line).unwrap())
        }
        .boxed()
    }
}

/// The lines of a body, each as a binary frame of a server.
fn frames(body: &[u8]) -> VecDeque<Vec<u8>> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line.len() < 60_000);
    lines
        .map(|line| {
            let mut frame = vec![0x82, 126];
            frame.extend(u16::try_from(line.len()).unwrap_or(0).to_be_bytes());
            frame.extend(line);
            frame
        })
        .collect()
}

fn client(status: u16, body: &[u8]) -> Client {
    let url = |text: &str| text.parse().unwrap();
    let hosts = Hosts {
        live: url("https://live.example"),
        paper: url("https://paper.example"),
        data: url("https://data.example"),
        authorize: url("https://app.example/oauth/authorize"),
        token: url("https://live.example/oauth/token"),
        streams: Some(Streams { live: url("wss://live.example/stream"), paper: url("wss://paper.example/stream") }),
    };
    let app = AppCredentials {
        client_id: "app".to_owned(),
        client_secret: Secret::new("secret".to_owned()),
        redirect_uri: "https://rebalance.example".to_owned(),
        pkce: false,
    };
    let wire = Same { status, body: Bytes::copy_from_slice(body), lines: Mutex::default() };
    let clock = Clock::Virtual(VirtualClock::new(now()));
    Client::new(hosts, app, None, Arc::new(wire), clock, Metrics::new(), Points::default())
}

/// The order that was sent, read from the untouched answer to it; the corpus knows no other kind than these.
pub fn sent(answer: &[u8]) -> Intent {
    let json: Value = serde_json::from_slice(answer).unwrap();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    let amount = match (json["qty"].as_str(), json["notional"].as_str()) {
        (_, Some(notional)) => Amount::Notional(Usd::parse(notional).unwrap()),
        (Some(qty), None) => Amount::Qty(Qty::parse(qty).unwrap()),
        (None, None) => panic!("an order has an amount"),
    };
    Intent {
        id: IntentId::parse("int_1").unwrap(),
        run: RunId::parse("run_1").unwrap(),
        account: AccountId::parse("904837e3-3b76-47ec-b432-046db621571b").unwrap(),
        environment: Kind::Paper,
        phase: if text("side") == "sell" { Phase::Sell } else { Phase::Buy },
        attempt: 1,
        client_order_id: ClientOrderId::parse(&text("client_order_id")).unwrap(),
        symbol: Symbol::parse(&text("symbol")).unwrap(),
        amount,
        pricing: Pricing::Market,
        value: Usd::parse("100").unwrap(),
        state: IntentState::Recorded,
        order: None,
        filled_qty: Qty::ZERO,
        filled_avg_price: None,
        note: String::new(),
        recorded_at: now(),
        settled_at: None,
    }
}

/// Lets one reader read one body; whether it took anything from it. `intent` is the order that was sent, for the readers of
/// orders.
///
/// # Errors
/// What was taken over although it must not be.
pub async fn read(reader: &str, (status, body): (u16, &[u8]), intent: &Intent) -> Result<bool, String> {
    let client = client(status, body);
    let token = || AccessToken::<Paper>::new(Secret::new("token".to_owned()));
    let access = Access { account: intent.account.clone(), token: token() };
    let symbols: BTreeSet<Symbol> = ["SPY", "AGG", "GLD"].iter().map(|name| Symbol::parse(name).unwrap()).collect();
    let day = jiff::civil::date(2019, 6, 3);
    Ok(match reader {
        "account" => client.whoami(&token()).await.is_ok() && client.account(&access).await.is_ok(),
        "positions" => client.positions(&access).await.is_ok_and(|(held, _)| !held.is_empty()),
        "activities" => client.activities(&access, now()).await.is_ok_and(|rows| !rows.is_empty()),
        "orders_open" => client.open_orders(&access).await.is_ok_and(|open| !open.is_empty()),
        "orders" => {
            let reports = client.orders_since(&access, now()).await.unwrap_or_default();
            for report in &reports {
                judge(intent, report, body)?;
            }
            !reports.is_empty()
        }
        "order" => match client.order_by_client_id(&access, &intent.client_order_id).await {
            Ok(Some(report)) => judge(intent, &report, body).map(|()| true)?,
            _ => false,
        },
        "submit" | "refusal" => match reply_to(intent, status, body) {
            Reply::Accepted(report) => judge(intent, &report, body).map(|()| true)?,
            Reply::Refused { .. } if status == 200 => return Err("a success is a refusal".to_owned()),
            Reply::Refused { .. } => true,
            _ => false,
        },
        "asset" => client.asset(&access, &intent.symbol).await.is_ok_and(|asset| asset.is_some()),
        "calendar" => client.sessions(&access, day, day).await.is_ok_and(|sessions| !sessions.is_empty()),
        "quotes" => client.quotes(&access, &symbols).await.is_ok_and(|quotes| !quotes.is_empty()),
        "trades" => client.trades(&access, &symbols).await.is_ok_and(|trades| !trades.is_empty()),
        "bars" => client.volumes(&access, &symbols).await.is_ok_and(|volumes| !volumes.is_empty()),
        "token" => {
            let code = Secret::new("code".to_owned());
            client.exchange_code(&code, &Secret::new("verifier".to_owned())).await.is_ok()
        }
        "stream" => {
            let mut news = client.news(&access, 1);
            // The first is that the stream has opened, the second is the first frame of news.
            let heard = (0..6).filter(|_| news.heard().now_or_never().is_some()).count();
            news.forget();
            heard >= 2
        }
        other => panic!("`{other}` is no reader"),
    })
}

fn now() -> Moment {
    Moment::parse(NOW).unwrap()
}

/// The order that a body shows, for tests of the judge.
pub async fn order_of(body: &[u8], intent: &Intent) -> Option<OrderReport> {
    let token = AccessToken::<Paper>::new(Secret::new("token".to_owned()));
    let access = Access { account: intent.account.clone(), token };
    client(200, body).order_by_client_id(&access, &intent.client_order_id).await.ok().flatten()
}

/// An order that is taken over as ours is, in the broker's own words, the one that was sent.
///
/// # Errors
/// What was taken over.
pub fn judge(intent: &Intent, report: &OrderReport, body: &[u8]) -> Result<(), String> {
    if report.client_order_id != intent.client_order_id {
        return Ok(()); // Somebody else's: nothing of it is taken over.
    }
    let state = apply(intent, report, now()).state;
    // Bytes that are no text may stand where nobody reads.
    let body = value_of(&String::from_utf8_lossy(body));
    let rows = body.as_array().map_or(std::slice::from_ref(&body), Vec::as_slice);
    let is_kept = matches!(state, IntentState::Quarantined | IntentState::Recorded);
    if is_kept || rows.iter().any(|row| is_it(intent, row)) {
        return Ok(());
    }
    Err(format!("taken over as {}: {body} for {intent:?}", state.code()))
}

/// A body as a value: whole, or without the fields that nobody reads where they are nested deeper than a value may be.
fn value_of(body: &str) -> Value {
    #[derive(serde::Deserialize, serde::Serialize)]
    struct Read {
        client_order_id: Value,
        symbol: Value,
        side: Value,
        r#type: Option<Value>,
        order_type: Option<Value>,
        time_in_force: Value,
        limit_price: Option<Value>,
        qty: Option<Value>,
        notional: Option<Value>,
        filled_qty: Value,
    }
    let read = || serde_json::from_str::<Read>(body).ok().and_then(|read| serde_json::to_value(read).ok());
    serde_json::from_str(body).ok().or_else(read).unwrap_or_default()
}

fn is_it(intent: &Intent, row: &Value) -> bool {
    let number = |name: &str| match &row[name] {
        Value::String(text) => text.parse::<Decimal>().ok(),
        Value::Number(number) => {
            number.to_string().parse().ok().or_else(|| Decimal::from_scientific(&number.to_string()).ok())
        }
        _ => None,
    };
    let kind = if row["type"].is_null() { &row["order_type"] } else { &row["type"] };
    let amount = match intent.amount {
        Amount::Qty(qty) => number("qty") == Some(qty.decimal()) && row["notional"].is_null(),
        Amount::Notional(notional) => number("notional") == Some(notional.decimal()),
    };
    let side = if intent.phase.side() == Side::Sell { "sell" } else { "buy" };
    let filled = match (intent.amount, number("filled_qty")) {
        (Amount::Qty(qty), Some(filled)) => filled <= qty.decimal(),
        (Amount::Notional(_), Some(_)) => true,
        (_, None) => false,
    };
    row["client_order_id"] == intent.client_order_id.as_str()
        && row["symbol"] == intent.symbol.as_str()
        && row["side"] == side
        && *kind == "market"
        && row["time_in_force"] == "day"
        && row["limit_price"].is_null()
        && amount
        && filled
}
