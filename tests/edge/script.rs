//! A wire that answers from a script and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rebalanced::edge::alpaca::transport::{Lost, Transport};
use rebalanced::edge::alpaca::{Access, AppCredentials, Client, DataKey, Hosts};
use rebalanced::edge::clock::{Clock, VirtualClock};
use rebalanced::edge::metrics::Metrics;
use rebalanced::edge::points::Points;
use rebalanced::model::environment::Environment;
use rebalanced::model::ids::{AccountId, ClientOrderId, Symbol};
use rebalanced::model::secret::{AccessToken, Secret};
use rebalanced::model::time::Moment;

pub const TOKEN: &str = "canary-token-5c9a";
pub const DATA_SECRET: &str = "canary-data-secret";
pub const CLIENT_SECRET: &str = "canary-client-secret";
pub const ACCOUNT: &str = "904837e3-3b76-47ec-b432-046db621571b";
/// The id of the purchase in `durable.rs`: derived from its account, run and leg.
pub const ORDER_ID: &str = "rb1-a98f4c3c8105bdce80fb403f7f";

/// One scripted answer.
pub struct Said {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    lost: Option<&'static str>,
}

pub fn says(status: u16, body: impl AsRef<[u8]>) -> Said {
    Said { status, headers: Vec::new(), body: body.as_ref().to_vec(), lost: None }
}

pub fn ok(body: impl AsRef<[u8]>) -> Said {
    says(200, body)
}

pub fn lost(why: &'static str) -> Said {
    Said { status: 0, headers: Vec::new(), body: Vec::new(), lost: Some(why) }
}

impl Said {
    pub fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

#[derive(Default)]
pub struct Script {
    answers: Mutex<VecDeque<Said>>,
    pub seen: Mutex<Vec<http::Request<Bytes>>>,
}

impl Transport for Script {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>, Lost>> {
        self.seen.lock().unwrap().push(request);
        let said = self.answers.lock().unwrap().pop_front().expect("the script has an answer for each request");
        async move {
            if let Some(why) = said.lost {
                return Err(Lost::new(why));
            }
            let mut response = http::Response::builder().status(said.status);
            for (name, value) in said.headers {
                response = response.header(name, value);
            }
            Ok(response.body(Bytes::from(said.body)).unwrap())
        }
        .boxed()
    }
}

/// A client on a script, at a moment in a session.
pub struct Stage {
    pub client: Client,
    pub script: Arc<Script>,
    pub clock: VirtualClock,
    pub metrics: Metrics,
}

pub fn at(text: &str) -> Moment {
    Moment::parse(text).unwrap()
}

pub fn symbol(text: &str) -> Symbol {
    Symbol::parse(text).unwrap()
}

pub fn hosts() -> Hosts {
    let url = |text: &str| text.parse().unwrap();
    Hosts {
        live: url("https://live.example/prefix"),
        paper: url("https://paper.example"),
        data: url("https://data.example/"),
        authorize: url("https://app.example/oauth/authorize"),
        token: url("https://live.example/oauth/token"),
        streams: None,
    }
}

pub fn app() -> AppCredentials {
    AppCredentials {
        client_id: "the-app".to_owned(),
        client_secret: Secret::new(CLIENT_SECRET.to_owned()),
        redirect_uri: "https://rebalance.example".to_owned(),
        pkce: false,
    }
}

impl Stage {
    pub fn new(answers: impl IntoIterator<Item = Said>) -> Self {
        Self::with_key(answers, Some(DataKey { id: "DATA".to_owned(), secret: Secret::new(DATA_SECRET.to_owned()) }))
    }

    pub fn with_key(answers: impl IntoIterator<Item = Said>, key: Option<DataKey>) -> Self {
        Self::with_app(answers, key, app())
    }

    pub fn with_pkce(answers: impl IntoIterator<Item = Said>) -> Self {
        Self::with_app(answers, None, AppCredentials { pkce: true, ..app() })
    }

    fn with_app(answers: impl IntoIterator<Item = Said>, key: Option<DataKey>, app: AppCredentials) -> Self {
        let script = Arc::new(Script { answers: Mutex::new(answers.into_iter().collect()), ..Script::default() });
        let clock = VirtualClock::new(at("2026-11-23T15:00:00Z"));
        let metrics = Metrics::new();
        let shared = Clock::Virtual(clock.clone());
        let client = Client::new(hosts(), app, key, script.clone(), shared, metrics.clone(), Points::default());
        Self { client, script, clock, metrics }
    }

    pub fn asked(&self) -> Vec<String> {
        let seen = self.script.seen.lock().unwrap();
        seen.iter().map(|request| format!("{} {}", request.method(), request.uri())).collect()
    }

    pub fn header(&self, index: usize, name: &str) -> Option<String> {
        let seen = self.script.seen.lock().unwrap();
        seen[index].headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    pub fn body(&self, index: usize) -> String {
        String::from_utf8(self.script.seen.lock().unwrap()[index].body().to_vec()).unwrap()
    }
}

pub fn access<E: Environment>() -> Access<E> {
    access_of(ACCOUNT)
}

pub fn access_of<E: Environment>(account: &str) -> Access<E> {
    Access { account: AccountId::parse(account).unwrap(), token: AccessToken::new(Secret::new(TOKEN.to_owned())) }
}

pub fn client_order_id() -> ClientOrderId {
    ClientOrderId::parse(ORDER_ID).unwrap()
}

/// An order as Alpaca's documents show one, with fields that nobody needs and one that nobody knows.
pub fn order_json() -> String {
    format!(
        r#"{{"id":"61e69015-8549-4bfd-b9c3-01e75843f47d","client_order_id":"{ORDER_ID}",
        "created_at":"2026-11-23T15:00:00.123456789Z","updated_at":"2026-11-23T15:00:00.2Z",
        "submitted_at":"2026-11-23T10:00:00.1234567-05:00","filled_at":null,"expired_at":null,"canceled_at":null,
        "failed_at":null,"replaced_at":null,"replaced_by":null,"replaces":null,"asset_id":"b28f4066",
        "symbol":"SPY","asset_class":"us_equity","notional":"12.300000000","qty":null,"filled_qty":"0",
        "filled_avg_price":null,"order_class":"","order_type":"market","type":"market","side":"buy",
        "position_intent":"buy_to_open","time_in_force":"day","limit_price":null,"stop_price":null,
        "status":"pending_new","extended_hours":false,"legs":null,"trail_percent":null,"trail_price":null,"hwm":null,
        "subtag":null,"source":"access_key","a_field_of_tomorrow":{{"with":["anything",1,null]}}}}"#
    )
}
