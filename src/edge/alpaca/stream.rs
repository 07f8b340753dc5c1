//! News of one account's orders: the `trade_updates` stream (facts 5.1), opened while a run waits for them.
//!
//! Always: news are a hint. What a frame says is never believed, only that it is time to look: a stream that is mute,
//! late, doubled, torn or refused changes how soon an order is looked at, and nothing else (rows 35, 38 to 40). One socket
//! for an account, a bounded number of hints, a growing pause before it is opened again. No clock is slept on here: whoever
//! waits has a pause of its own.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{self, BoxFuture};
use futures_util::{FutureExt, SinkExt, StreamExt};
use http::Request;
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use serde::Deserialize;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use url::Url;

use super::limiter::Purse;
use super::request::Line;
use super::transport::Duplex;
use crate::model::secret::Secret;
use crate::model::time::{Moment, Span};

/// The only stream we listen to.
const TRADE_UPDATES: &str = "trade_updates";

/// No frame we wait for is larger: one order is about 2 KiB.
const FRAME_MAX: usize = 1024 * 1024;

/// So many hints are given in one wait, and so many more for each order that is waited for: a stream that never falls
/// silent must not become a loop of requests (L10).
const HINTS_MAX: usize = 10;
const HINTS_PER_ORDER: usize = 5;

/// So many other frames may come before the answer to what we said.
const GREETINGS_MAX: usize = 16;

/// So many frames that wait already are passed over in one go.
const FRAMES_AT_ONCE: usize = 1_000;

/// The pause before a stream is opened again, doubling: ten attempts in the first hour (row 39).
const REST_FIRST: Span = Span::from_secs(10);

/// The longest of these pauses.
const REST_MAX: Span = Span::from_secs(600);

type Socket = WebSocketStream<Pin<Box<dyn Duplex>>>;

/// Why there are no news.
#[derive(Debug, thiserror::Error)]
enum Silence {
    /// The socket did not open, or broke.
    #[error("{0}")]
    Lost(String),
    /// The broker knows this token not, or not for streams: asking again would not help.
    #[error("the broker does not authorize this token to listen")]
    Unauthorized,
}

/// Who listens, and where.
pub(super) struct Listener {
    pub(super) line: Arc<Line>,
    pub(super) purse: Purse,
    pub(super) url: Url,
    pub(super) token: Secret,
}

/// News of one account's orders.
pub struct News {
    listener: Option<Arc<Listener>>,
    state: State,
    attempts: u32,
    hints: usize,
}

enum State {
    Resting { until: Moment },
    Opening(BoxFuture<'static, Result<Socket, Silence>>),
    Open(Box<Socket>),
}

impl News {
    /// News for a listener; without one there are none. Nothing is opened before somebody listens.
    pub(super) fn of(listener: Option<Listener>, orders: usize) -> Self {
        let state = State::Resting { until: Moment::from_micros(i64::MIN) };
        let hints = HINTS_MAX + HINTS_PER_ORDER * orders;
        Self { listener: listener.map(Arc::new), state, attempts: 0, hints }
    }

    /// Waits until it is time to look at the orders: one of them moved, or the stream has just opened and may have missed
    /// something (facts 5.1: no replay). May be dropped at any moment and called again. Without news it never returns.
    pub async fn heard(&mut self) {
        let Some(listener) = self.listener.clone().filter(|_| self.hints > 0) else {
            return future::pending().await;
        };
        loop {
            let silence = match &mut self.state {
                State::Resting { until } if listener.line.clock.now() < *until => return future::pending().await,
                State::Resting { .. } => {
                    self.attempts += 1;
                    self.state = State::Opening(open(Arc::clone(&listener)).boxed());
                    continue;
                }
                State::Opening(opening) => match opening.await {
                    Ok(socket) => {
                        listener.line.metrics.stream("opened");
                        self.state = State::Open(Box::new(socket));
                        self.hints -= 1;
                        return;
                    }
                    Err(silence) => silence,
                },
                State::Open(socket) => match socket.next().await {
                    Some(Ok(message)) if stream_of(&message).as_deref() == Some(TRADE_UPDATES) => {
                        listener.line.metrics.stream("heard");
                        self.hints -= 1;
                        return;
                    }
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => Silence::Lost(error.to_string()),
                    None => Silence::Lost("the broker closed it".to_owned()),
                },
            };
            self.fall_silent(&listener, &silence);
        }
    }

    /// Forgets what has come by now: the look that follows sees it all.
    pub fn forget(&mut self) {
        let State::Open(socket) = &mut self.state else { return };
        for _ in 0..FRAMES_AT_ONCE {
            // An end or a fault of the socket comes again when it is listened to next.
            if !matches!(socket.next().now_or_never(), Some(Some(Ok(_)))) {
                return;
            }
        }
    }

    fn fall_silent(&mut self, listener: &Listener, silence: &Silence) {
        tracing::debug!("no news of orders, polling goes on: {silence}");
        listener.line.metrics.stream("silent");
        if matches!(silence, Silence::Unauthorized) {
            self.listener = None;
        }
        let rest = rest_after(self.attempts, &listener.purse);
        self.state = State::Resting { until: listener.line.clock.now() + rest };
    }
}

/// Longer for some accounts than for others, by up to half: sockets that one fault has closed do not come back at once.
fn rest_after(attempts: u32, purse: &Purse) -> Span {
    let doubled = REST_FIRST.as_secs().saturating_mul(1_i64 << attempts.saturating_sub(1).min(10));
    let spread = match purse {
        Purse::Account(name) => name.bytes().map(i64::from).sum::<i64>() % 50,
        Purse::Data | Purse::None => 0,
    };
    Span::from_millis(doubled.min(REST_MAX.as_secs()).saturating_mul(10 * (100 + spread)))
}

/// Opens the socket, says who we are, and listens.
async fn open(listener: Arc<Listener>) -> Result<Socket, Silence> {
    let line = &listener.line;
    // Opening is a request like any other to the broker's limiter.
    line.limiter.try_admit(&listener.purse, line.clock.now()).map_err(|_| lost("the budget of requests is spent"))?;
    let key = generate_key();
    let answer = line.transport.open(request(&listener.url, &key)?).await.map_err(|why| lost(why.to_string()))?;
    let proof = answer.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if proof != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(lost("what answers there speaks no WebSocket"));
    }
    let config = WebSocketConfig::default().max_message_size(Some(FRAME_MAX)).max_frame_size(Some(FRAME_MAX));
    let stream = Pin::from(answer.into_body());
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await;
    let who = json!({"action": "authenticate", "data": {"oauth_token": listener.token.expose()}});
    if said(&mut socket, &who, "authorization").await?.as_deref() != Some("authorized") {
        return Err(Silence::Unauthorized);
    }
    let what = json!({"action": "listen", "data": {"streams": [TRADE_UPDATES]}});
    said(&mut socket, &what, "listening").await?;
    Ok(socket)
}

fn request(url: &Url, key: &str) -> Result<Request<Bytes>, Silence> {
    Request::get(url.as_str())
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, key)
        .body(Bytes::new())
        .map_err(|error| lost(error.to_string()))
}

/// Says something and waits for the frame that answers it; the status in it, if there is one.
async fn said(socket: &mut Socket, what: &serde_json::Value, answer: &str) -> Result<Option<String>, Silence> {
    let broken = |error: tokio_tungstenite::tungstenite::Error| lost(error.to_string());
    socket.send(Message::text(what.to_string())).await.map_err(broken)?;
    for _ in 0..GREETINGS_MAX {
        let message = socket.next().await.ok_or_else(|| lost("the broker closed it"))?.map_err(broken)?;
        let Some(frame) = frame_of(&message) else { continue };
        if frame.stream == answer {
            return Ok(frame.data.status);
        }
        // Listening without authority is answered in the stream of the authority (facts 5.1).
        if frame.data.status.as_deref() == Some("unauthorized") {
            return Err(Silence::Unauthorized);
        }
    }
    Err(lost("the broker talks of other things"))
}

fn lost(why: impl Into<String>) -> Silence {
    Silence::Lost(why.into())
}

/// As much of a frame as we look at.
#[derive(Debug, Default, Deserialize)]
struct Frame {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    data: FrameData,
}

#[derive(Debug, Default, Deserialize)]
struct FrameData {
    #[serde(default)]
    status: Option<String>,
}

/// Text and binary frames carry the same JSON: paper sends binary ones (facts 5.1).
fn frame_of(message: &Message) -> Option<Frame> {
    match message {
        Message::Text(text) => serde_json::from_str(text).ok(),
        Message::Binary(bytes) => serde_json::from_slice(bytes).ok(),
        _ => None,
    }
}

fn stream_of(message: &Message) -> Option<String> {
    frame_of(message).map(|frame| frame.stream)
}
