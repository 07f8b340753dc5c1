//! The broker behind a socket, as the shipped program meets it: the simulator, and in front of it somebody who notes what
//! passes and now and then makes mischief.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alpaca_sim::{ConsentMode, ConsentRule, Environment, NewAccount, OAuthApp, Sim, SimConfig};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::search::Seen;
use crate::support::{Daemon, SECRET, get, http};

/// After so many people are connected the mischief begins.
pub const TOKENS: usize = 50;

/// What the broker's side sees: the tokens it hands out and the codes it takes; and the mischief that it makes.
#[derive(Clone, Default)]
pub struct Broker {
    pub secrets: Arc<Mutex<BTreeSet<String>>>,
    pub tokens: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    pub mischief: Arc<AtomicUsize>,
    /// When each order came, and with which token.
    pub orders: Arc<Mutex<Vec<(Instant, String)>>>,
    /// How much longer each order takes to be answered, in milliseconds.
    pub slow: Arc<AtomicU64>,
}

/// Between the service and the simulator: learns the secrets, and now and then answers with an echo of the token.
async fn between(State(broker): State<Broker>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = token.trim_start_matches("Bearer ").to_owned();
    if path.ends_with("/v2/orders") && request.method() == Method::POST {
        broker.orders.lock().unwrap().push((Instant::now(), token.clone()));
        tokio::time::sleep(Duration::from_millis(broker.slow.load(Ordering::SeqCst))).await;
    }
    if path.ends_with("/oauth/token") && request.method() == Method::POST {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let code = url::form_urlencoded::parse(&body).find(|(name, _)| name == "code").unwrap().1.into_owned();
        broker.secrets.lock().unwrap().insert(code);
        let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(token) = json["access_token"].as_str() {
            broker.secrets.lock().unwrap().insert(token.to_owned());
            broker.tokens.fetch_add(1, Ordering::SeqCst);
        }
        return Response::from_parts(parts, Body::from(body));
    }
    // After everybody is connected the days are bad: every answer in thirteen is an echo of some kind.
    let is_bad = broker.tokens.load(Ordering::SeqCst) >= TOKENS && path.contains("/v2/");
    let number = broker.asked.fetch_add(1, Ordering::SeqCst);
    if !is_bad || token.is_empty() || !number.is_multiple_of(13) {
        return next.run(request).await;
    }
    let page = format!("<html><h1>Bad gateway</h1>Bearer {token} &amp; {}</html>", hex::encode(&token));
    match broker.mischief.fetch_add(1, Ordering::SeqCst) % 6 {
        0 => (StatusCode::INTERNAL_SERVER_ERROR, page).into_response(),
        1 => (StatusCode::OK, format!("{{\"id\":\"{token}\"")).into_response(),
        2 => (StatusCode::OK, format!("{{\"{token}\":[\"{token}\"]}}")).into_response(),
        3 => (StatusCode::FORBIDDEN, format!("{{\"code\":40310000,\"message\":\"no: {token}\"}}")).into_response(),
        4 => (StatusCode::UNAUTHORIZED, format!("{{\"message\":\"unknown token {token}\"}}")).into_response(),
        _ => (StatusCode::UNPROCESSABLE_ENTITY, [("x-request-id", token.clone())], page).into_response(),
    }
}

/// The simulator behind a socket, with everybody in it, and its address.
pub async fn broker(state: &Broker) -> (Sim, String) {
    let sim = Sim::new(SimConfig {
        seed: 7,
        start: "2019-06-03T14:00:00Z".parse().unwrap(),
        speed: 60.0,
        // Long enough for runs to listen to the stream, which begins with the token.
        fill_latency_ms: (500, 5_000),
        apps: vec![OAuthApp {
            client_id: "client".to_owned(),
            client_secret: SECRET.to_owned(),
            redirect_uris: vec!["http://127.0.0.1:8080/oauth/callback".to_owned()],
            live_trading_approved: false,
            developer_account_ids: Vec::new(),
            name: "test".to_owned(),
        }],
        ..SimConfig::default()
    })
    .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let routes = sim.router().layer(middleware::from_fn_with_state(state.clone(), between));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let beat = sim.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            beat.advance();
        }
    });
    (sim, address)
}

fn value<'a>(text: &'a str, name: &str) -> &'a str {
    text.split(&format!("{name}=")).nth(1).unwrap_or_default().split(['&', ';', ' ']).next().unwrap_or_default()
}

/// One person goes through the pages; what is secret on the way is noted, and every answer. Returns their account.
pub fn connects(
    daemon: &Daemon,
    sim: &Sim,
    broker: (&Broker, &str),
    (name, mode): (&str, ConsentMode),
    seen: &mut Seen,
) {
    sim.create_person(Some(name), name).unwrap();
    let mut new = NewAccount::new(name, Environment::Paper);
    new.cash = 20_000.into();
    sim.create_account(new).unwrap();
    sim.set_consent(ConsentRule { mode, person: Some(name.to_owned()), ..ConsentRule::default() });
    let begun = get(&daemon.public, &format!("/connect?strategy=sixty-forty&env=paper&ref={name}"));
    let location = begun.header("location").unwrap().to_owned();
    let cookie = begun.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let mut secrets = broker.0.secrets.lock().unwrap();
    secrets.insert(value(&location, "state").to_owned());
    secrets.insert(cookie.split('=').nth(1).unwrap().to_owned());
    drop(secrets);
    let page = location.split(broker.1).nth(1).unwrap();
    let back = get(broker.1, page).header("location").unwrap().to_owned();
    let path = format!("/oauth/callback?{}", back.split('?').nth(1).unwrap());
    let done = http("GET", &daemon.public, &path, &[("Cookie", &cookie)], "");
    let again = http("GET", &daemon.public, &path, &[("Cookie", &cookie)], "");
    // The redirect carries the state to the browser, which is whose it is; the pages that are shown carry nothing.
    seen.note("HTTP answers", format!("{}{}{}{}", done.head, done.body, again.head, again.body));
}
