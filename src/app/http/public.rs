//! What a user's browser can reach: `GET /connect` starts a connection, `GET /oauth/callback` ends it.
//!
//! The browser is bound to the connection it started by a cookie that scripts cannot read. Neither code, state nor cookie
//! is ever shown or logged.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::app::http::Shared;
use crate::app::http::pages::{guarded, page};
use crate::flow::connect::{self, Begin, Callback, Connected, Error};
use crate::model::environment::Kind;
use crate::model::ids::StrategyName;
use crate::model::secret::Secret;

/// How long the browser keeps the cookie: as long as a started connection may be finished.
const COOKIE_SECONDS: u32 = 600;

pub(super) fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/connect", get(begin))
        .route("/oauth/callback", get(finish))
        .fallback(nowhere)
        .with_state(shared)
}

async fn nowhere() -> Response {
    page(StatusCode::NOT_FOUND, "There is nothing here", &[])
}

#[derive(Deserialize)]
struct Wish {
    strategy: Option<String>,
    env: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

impl Wish {
    fn read(self) -> Result<Begin, String> {
        let strategy =
            self.strategy.map(|name| StrategyName::parse(&name).map_err(|error| error.to_string())).transpose()?;
        let environment = match self.env {
            None => None,
            Some(text) => Some(Kind::parse(&text).ok_or("`env` must be paper or live")?),
        };
        Ok(Begin { strategy, environment, reference: self.reference })
    }
}

async fn begin(State(shared): State<Shared>, Query(wish): Query<Wish>) -> Response {
    let wish = match wish.read() {
        Ok(wish) => wish,
        Err(why) => return page(StatusCode::BAD_REQUEST, "This link is not complete", &[why]),
    };
    match connect::begin(&shared.world, wish).await {
        Ok(started) => {
            let mut headers = guarded();
            let location = HeaderValue::from_str(started.location.as_str());
            let cookie = HeaderValue::from_str(&cookie(started.cookie.expose(), COOKIE_SECONDS, shared.secure));
            let (Ok(location), Ok(mut cookie)) = (location, cookie) else {
                return failed(&Error::StateRefused);
            };
            cookie.set_sensitive(true);
            headers.insert(header::LOCATION, location);
            headers.insert(header::SET_COOKIE, cookie);
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        Err(error) => failed(&error),
    }
}

/// `__Host-` ties the cookie to https and to this very host; on plain loopback a browser would refuse it.
fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-rebalanced" } else { "rebalanced" }
}

fn cookie(value: &str, seconds: u32, secure: bool) -> String {
    let flag = if secure { "; Secure" } else { "" };
    // `Lax`, because the way back from the broker is a cross-site navigation.
    format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{flag}", cookie_name(secure))
}

fn cookie_of(headers: &HeaderMap, secure: bool) -> Option<Secret> {
    let prefix = format!("{}=", cookie_name(secure));
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(&prefix))
        .map(|value| Secret::new(value.to_owned()))
}

#[derive(Deserialize)]
struct Answer {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

async fn finish(State(shared): State<Shared>, headers: HeaderMap, Query(answer): Query<Answer>) -> Response {
    let callback = Callback {
        code: answer.code.map(Secret::new),
        state: answer.state.map(Secret::new),
        error: answer.error,
        cookie: cookie_of(&headers, shared.secure),
    };
    let mut response = match connect::finish(&shared.world, callback).await {
        Ok(connected) => welcome(&connected),
        Err(error) => failed(&error),
    };
    if let Ok(spent) = HeaderValue::from_str(&cookie("", 0, shared.secure)) {
        response.headers_mut().insert(header::SET_COOKIE, spent);
    }
    response
}

fn welcome(connected: &Connected) -> Response {
    let mut paragraphs: Vec<String> = connected
        .accounts
        .iter()
        .map(|account| format!("Your {} account {} is connected.", account.environment, account.number))
        .collect();
    if !connected.scopes.iter().any(|scope| scope == "trading") {
        paragraphs.push(
            "You did not allow trading, so nothing will be bought or sold. Connect again and allow it if you want that."
                .to_owned(),
        );
    }
    paragraphs.push(match &connected.strategy {
        Some(strategy) => format!("It follows the strategy {strategy} from its next scheduled moment on."),
        None => "It follows no strategy yet.".to_owned(),
    });
    paragraphs.push("You can withdraw this at any time on Alpaca's page of connected apps.".to_owned());
    paragraphs.push("You may close this window.".to_owned());
    page(StatusCode::OK, "Connected", &paragraphs)
}

fn failed(error: &Error) -> Response {
    let (status, is_ours) = match error {
        Error::UnknownStrategy(_) => (StatusCode::NOT_FOUND, false),
        Error::BadReference | Error::StateRefused | Error::Denied(_) | Error::NoAccount(_) => {
            (StatusCode::BAD_REQUEST, false)
        }
        Error::Broker(_) => (StatusCode::BAD_GATEWAY, true),
        Error::Vault(_) | Error::Store(_) | Error::Id(_) => (StatusCode::SERVICE_UNAVAILABLE, true),
    };
    if is_ours {
        tracing::warn!(error = error as &(dyn std::error::Error + 'static), "a connection did not come about");
    } else {
        tracing::info!(%error, "a connection was not granted");
    }
    page(status, "Not connected", &[format!("{}.", capitalised(&error.to_string()))])
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}
