//! The `trade_updates` WebSocket of both trading hosts (facts 5.1).
//!
//! Always: binary frames on paper, text frames live; nothing is sent before a `listen`; a socket hears one account.
//! No replay, no sequence numbers: what happens while nobody listens is not sent. Frames go out in the order in which
//! the exchange made the events. MessagePack is not spoken.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::http::auth::{Host, Presented};
use crate::http::faults::{FaultAction, Faults, Target, mutate};
use crate::sim::Sim;

/// The only stream there is.
const TRADE_UPDATES: &str = "trade_updates";

/// What a socket's task is told.
#[derive(Debug)]
enum Note {
    Frame(Bytes),
    Close,
}

#[derive(Debug)]
struct Listener {
    id: u64,
    token: Option<String>,
    sender: mpsc::UnboundedSender<Note>,
}

/// All sockets that listen to `trade_updates`, by host and account.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    listeners: BTreeMap<Arc<str>, Vec<Listener>>,
    opened: u64,
}

impl Streams {
    /// Whether rendering an event of this account would be wasted.
    pub(crate) fn is_quiet(&self, account: &str) -> bool {
        !self.listeners.contains_key(account)
    }

    /// How many sockets listen.
    pub(crate) fn count(&self) -> usize {
        self.listeners.values().map(Vec::len).sum()
    }

    /// Sends one frame to every socket of the account, as the fault script lets it.
    pub(crate) fn deliver(&mut self, faults: &mut Faults, account: &str, frame: Vec<u8>, now: jiff::Timestamp) {
        let Some(listeners) = self.listeners.get_mut(account) else { return };
        let target = Target { method: "STREAM", path: "/stream", account: Some(account), now };
        let fault = if faults.is_empty() { None } else { faults.draw_frame(target) };
        let (frame, copies) = match fault.as_ref().map(|fault| fault.action) {
            Some(FaultAction::MuteStream) => return,
            Some(FaultAction::CloseStream) => {
                listeners.retain(|listener| listener.sender.send(Note::Close).is_err());
                self.listeners.remove(account);
                return;
            }
            Some(FaultAction::MutateStream) => {
                let set = fault.map(|fault| fault.set).unwrap_or_default();
                (mutate(&frame, &set).unwrap_or(frame), 1)
            }
            Some(FaultAction::DuplicateStream) => (frame, 2),
            _ => (frame, 1),
        };
        let frame = Bytes::from(frame);
        for _ in 0..copies {
            listeners.retain(|listener| listener.sender.send(Note::Frame(frame.clone())).is_ok());
        }
        if listeners.is_empty() {
            self.listeners.remove(account);
        }
    }

    /// Closes the sockets that a token opened: its person took it back.
    pub(crate) fn close_token(&mut self, token: &str) {
        for listeners in self.listeners.values_mut() {
            listeners.retain(|listener| {
                let hit = listener.token.as_deref() == Some(token);
                !hit || listener.sender.send(Note::Close).is_err()
            });
        }
        self.listeners.retain(|_, listeners| !listeners.is_empty());
    }

    fn listen(&mut self, account: &Arc<str>, listener: Listener) {
        self.leave(account, listener.id);
        self.listeners.entry(account.clone()).or_default().push(listener);
    }

    fn leave(&mut self, account: &Arc<str>, id: u64) {
        if let Some(listeners) = self.listeners.get_mut(account) {
            listeners.retain(|listener| listener.id != id);
            if listeners.is_empty() {
                self.listeners.remove(account);
            }
        }
    }

    fn next_id(&mut self) -> u64 {
        self.opened += 1;
        self.opened
    }
}

/// One socket's own state.
struct Session<'a> {
    sim: &'a Sim,
    host: Host,
    id: u64,
    account: Option<Arc<str>>,
    token: Option<String>,
    sender: mpsc::UnboundedSender<Note>,
}

impl Session<'_> {
    /// The answer to one message of the client; `None` for what is not understood.
    fn answer(&mut self, text: &[u8]) -> Option<Value> {
        let message: Value = serde_json::from_slice(text).ok()?;
        match message.get("action").and_then(Value::as_str)? {
            "authenticate" => {
                let data = message.get("data")?;
                let token = data.get("oauth_token").and_then(Value::as_str);
                Some(self.authenticate(token, data.get("key_id"), data.get("secret_key")))
            }
            "auth" => {
                let key = message.get("key");
                // The data stream's way of passing a token, taken here as well.
                let token = key.filter(|key| *key == "oauth").and(message.get("secret")).and_then(Value::as_str);
                Some(self.authenticate(token, key, message.get("secret")))
            }
            "listen" => Some(self.listen(message.pointer("/data/streams"))),
            _ => None,
        }
    }

    fn authenticate(&mut self, token: Option<&str>, key: Option<&Value>, secret: Option<&Value>) -> Value {
        let presented = match (token, key.and_then(Value::as_str), secret.and_then(Value::as_str)) {
            (Some(token), _, _) => Some(Presented::Token(token.to_owned())),
            (None, Some(key), Some(secret)) => Some(Presented::Key(key.to_owned(), secret.to_owned())),
            _ => None,
        };
        let caller = {
            let world = self.sim.lock();
            presented.and_then(|presented| presented.check(self.host, &world.people, &world.oauth))
        };
        let status = if caller.is_some() { "authorized" } else { "unauthorized" };
        if let Some(caller) = caller {
            self.account = Some(caller.id);
            self.token = token.map(str::to_owned);
        }
        json!({"stream": "authorization", "data": {"status": status, "action": "authenticate"}})
    }

    fn listen(&mut self, streams: Option<&Value>) -> Value {
        let Some(account) = self.account.clone() else {
            return json!({"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}});
        };
        let wanted = streams.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let listens = wanted.iter().any(|stream| stream == TRADE_UPDATES);
        let mut world = self.sim.lock();
        if listens {
            let listener = Listener { id: self.id, token: self.token.clone(), sender: self.sender.clone() };
            world.streams.listen(&account, listener);
        } else {
            world.streams.leave(&account, self.id);
        }
        let heard: &[&str] = if listens { &[TRADE_UPDATES] } else { &[] };
        json!({"stream": "listening", "data": {"streams": heard}})
    }
}

/// Serves one socket until it closes or the server stops.
pub(crate) async fn serve(sim: Sim, host: Host, socket: WebSocket, stop: CancellationToken) {
    let (mut out, mut inn) = socket.split();
    let (sender, mut notes) = mpsc::unbounded_channel();
    let id = sim.lock().streams.next_id();
    let mut session = Session { sim: &sim, host, id, account: None, token: None, sender };
    loop {
        let message = tokio::select! {
            biased;
            () = stop.cancelled() => Some(closing()),
            note = notes.recv() => match note {
                Some(Note::Frame(frame)) => Some(framed(host, frame)),
                Some(Note::Close) | None => Some(closing()),
            },
            received = inn.next() => match received {
                Some(Ok(Message::Text(text))) => session.answer(text.as_bytes()).map(|value| answer_frame(host, &value)),
                Some(Ok(Message::Binary(bytes))) => session.answer(&bytes).map(|value| answer_frame(host, &value)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
            },
        };
        let Some(message) = message else { continue };
        let closes = matches!(message, Message::Close(_));
        if out.send(message).await.is_err() || closes {
            break;
        }
    }
    if let Some(account) = session.account.take() {
        sim.lock().streams.leave(&account, id);
    }
}

fn closing() -> Message {
    Message::Close(Some(CloseFrame { code: 1001, reason: Utf8Bytes::from_static("going away") }))
}

fn answer_frame(host: Host, value: &Value) -> Message {
    framed(host, Bytes::from(value.to_string()))
}

/// Facts 5.1: the paper host sends binary frames.
fn framed(host: Host, frame: Bytes) -> Message {
    if host == Host::Paper {
        return Message::Binary(frame);
    }
    match Utf8Bytes::try_from(frame) {
        Ok(text) => Message::Text(text),
        Err(_) => closing(),
    }
}
