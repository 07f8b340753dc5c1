//! A small world for tests: one person with a live and a paper account, one app, one data key, and short ways to ask.

use std::sync::Arc;

use alpaca_sim::exchange::account::NewAccount;
use alpaca_sim::{ApiKey, ConsentMode, ConsentRule, Dropped, Environment, KeyPair, OAuthApp, Sim, SimConfig};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::Value;

/// Where codes go.
pub(crate) const CALLBACK: &str = "http://127.0.0.1:8080/oauth/callback";

/// One answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The parameter of the address that this answer redirects to.
    pub(crate) fn redirect_param(&self, name: &str) -> Option<String> {
        let location = self.header("location");
        let (_, query) = location.split_once('?')?;
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap();
        pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

/// How a request proves who asks.
#[derive(Debug, Clone)]
pub(crate) enum As {
    Nobody,
    Key(KeyPair),
    Basic(KeyPair),
    Token(String),
}

pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) person: String,
    pub(crate) live: Arc<str>,
    pub(crate) paper: Arc<str>,
}

/// The configuration of the small world; fills are whole, so that tests can say what happens.
pub(crate) fn config() -> SimConfig {
    SimConfig {
        partial_fill_percent: 0,
        apps: vec![app()],
        data_keys: vec![ApiKey { key_id: "DATA".into(), secret: "data".into(), requests_per_minute: 0 }],
        ..SimConfig::default()
    }
}

pub(crate) fn app() -> OAuthApp {
    OAuthApp {
        client_id: "client".into(),
        client_secret: "secret".into(),
        redirect_uris: vec![CALLBACK.into()],
        live_trading_approved: false,
        developer_account_ids: vec![],
        name: "Test <app>".into(),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: SimConfig) -> Self {
        let sim = Sim::new(config).unwrap();
        let person = sim.create_person(None, "Ada").unwrap();
        let live = sim.create_account(NewAccount::new(person.as_str(), Environment::Live)).unwrap();
        let paper = sim.create_account(NewAccount::new(person.as_str(), Environment::Paper)).unwrap();
        Self { sim, person, live, paper }
    }

    pub(crate) fn paper_key(&self) -> As {
        As::Key(self.sim.key_pair(&self.paper).unwrap())
    }

    pub(crate) fn live_key(&self) -> As {
        As::Key(self.sim.key_pair(&self.live).unwrap())
    }

    pub(crate) fn data_key() -> As {
        As::Key(KeyPair { key_id: "DATA".into(), secret: "data".into() })
    }

    pub(crate) fn step(&self, seconds: i64) {
        self.sim.step(SignedDuration::from_secs(seconds));
    }

    pub(crate) async fn try_ask(&self, method: &str, path: &str, who: &As, body: &str) -> Result<Answer, Dropped> {
        let mut request = Request::builder().method(method).uri(path);
        request = match who {
            As::Nobody => request,
            As::Key(pair) => {
                request.header("APCA-API-KEY-ID", &pair.key_id).header("APCA-API-SECRET-KEY", &pair.secret)
            }
            As::Basic(pair) => {
                use base64::Engine as _;
                let text = format!("{}:{}", pair.key_id, pair.secret);
                let text = base64::engine::general_purpose::STANDARD.encode(text);
                request.header("Authorization", format!("Basic {text}"))
            }
            As::Token(token) => request.header("Authorization", format!("Bearer {token}")),
        };
        if path.ends_with("/oauth/token") || path.ends_with("/oauth/authorize") {
            request = request.header("Content-Type", "application/x-www-form-urlencoded");
        }
        let response = self.sim.call(request.body(Bytes::from(body.to_owned())).unwrap()).await?;
        let (parts, body) = response.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, who: &As, body: &str) -> Answer {
        self.try_ask(method, path, who, body).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str, who: &As) -> Answer {
        self.ask("GET", path, who, "").await
    }

    /// A control request.
    pub(crate) async fn control(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &As::Nobody, &body.to_string()).await
    }

    /// An order of the paper account with its own key.
    pub(crate) async fn order(&self, body: Value) -> Answer {
        self.ask("POST", "/paper/v2/orders", &self.paper_key(), &body.to_string()).await
    }

    /// The answer to a consent request.
    pub(crate) async fn authorize(&self, params: &[(&str, &str)]) -> Answer {
        let query = serde_urlencoded::to_string(params).unwrap();
        self.get(&format!("/app/oauth/authorize?{query}"), &As::Nobody).await
    }

    /// A token through the code flow.
    pub(crate) async fn connect(&self, env: Option<&str>, scope: &str) -> As {
        let person = Some(self.person.clone());
        self.sim.set_consent(ConsentRule { mode: ConsentMode::Auto, person, ..ConsentRule::default() });
        let mut params =
            vec![("response_type", "code"), ("client_id", "client"), ("redirect_uri", CALLBACK), ("scope", scope)];
        params.extend(env.map(|env| ("env", env)));
        let code = self.authorize(&params).await.redirect_param("code").unwrap();
        let answer = self.exchange(&code, "secret", CALLBACK).await.expect(200);
        As::Token(answer.json()["access_token"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn exchange(&self, code: &str, secret: &str, redirect_uri: &str) -> Answer {
        let form = serde_urlencoded::to_string([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", "client"),
            ("client_secret", secret),
            ("redirect_uri", redirect_uri),
        ])
        .unwrap();
        self.ask("POST", "/live/oauth/token", &As::Nobody, &form).await
    }
}
