//! What a user's browser can reach: `GET /connect` shows what the strategy may do, `POST /connect` agrees to it and goes on to
//! the broker, `GET /oauth/callback` ends the connection.
//!
//! The browser is bound to the connection it started by a cookie that scripts cannot read. Neither code, state nor cookie
//! is ever shown or logged.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::app::http::pages::{Hidden, consent_page, guarded, page};
use crate::app::http::{Hall, Shared};
use crate::app::lifecycle::stop_if_broken;
use crate::flow::connect::{self, Agreed, Begin, Callback, Connected, Error};
use crate::model::canon::digest;
use crate::model::environment::Kind;
use crate::model::ids::{AccountId, StrategyName};
use crate::model::secret::Secret;

/// How long the browser keeps the cookie: as long as a started connection may be finished.
const COOKIE_SECONDS: u32 = 600;

pub(super) fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/connect", get(begin).post(agree))
        .route("/oauth/callback", get(finish))
        .layer(middleware::from_fn_with_state(shared.clone(), throttled))
        .fallback(nowhere)
        .with_state(Hall(shared))
}

async fn nowhere() -> Response {
    page(StatusCode::NOT_FOUND, "There is nothing here", &[])
}

/// What a link or a form asks for.
#[derive(Debug, Default, Deserialize)]
struct Wish {
    strategy: Option<String>,
    env: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    account: Option<String>,
}

impl Wish {
    fn read(&self) -> Result<Begin, String> {
        // A form sends the fields that were not chosen as empty texts.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let strategy = given(&self.strategy).map(|name| StrategyName::parse(&name)).transpose();
        let environment = match given(&self.env).as_deref() {
            None | Some("both") => None,
            Some(text) => Some(Kind::parse(text).ok_or("`env` must be paper, live or both")?),
        };
        let account = given(&self.account).map(|id| AccountId::parse(&id)).transpose();
        Ok(Begin {
            strategy: strategy.map_err(|error| error.to_string())?,
            environment,
            reference: given(&self.reference),
            account: account.map_err(|error| error.to_string())?,
            agreed: None,
        })
    }
}

/// Counts who starts a connection, and turns away whoever starts too many.
async fn throttled(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if shared.throttle.admits(peer.ip()) {
        return next.run(request).await;
    }
    let why = "Too many connections are being started. Please try again in a minute.".to_owned();
    let mut response = page(StatusCode::TOO_MANY_REQUESTS, "Please wait", &[why]);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
    response
}

/// A browser reads our own page first. Whoever does not ask for a page is sent on at once, and has agreed to nothing: that is
/// enough for paper, and never for live.
async fn begin(State(shared): State<Shared>, headers: HeaderMap, Query(wish): Query<Wish>) -> Response {
    let begin = match wish.read() {
        Ok(begin) => begin,
        Err(why) => return page(StatusCode::BAD_REQUEST, "This link is not complete", &[why]),
    };
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wants_page = accepts.into_iter().any(|accepted| accepted.contains("text/html"));
    let Some(name) = begin.strategy.clone().filter(|_| wants_page) else {
        return go_on(&shared, begin).await;
    };
    let Some(strategy) = shared.world.strategies.get(&name) else {
        return failed(&Error::UnknownStrategy(name.to_string()));
    };
    let consent = connect::consent(strategy, &shared.world.consent_note);
    let cookie = Secret::new(shared.world.entropy.token("consent_cookie", 32));
    let token = form_token(&cookie);
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (env, reference, account) = (text(&wish.env), text(&wish.reference), text(&wish.account));
    let fields = [
        ("strategy", name.as_str()),
        ("env", env.as_str()),
        ("ref", reference.as_str()),
        ("account", account.as_str()),
        ("text", consent.hash.as_str()),
        ("token", token.as_str()),
    ];
    let form = Hidden { fields: &fields, live: begin.environment != Some(Kind::Paper) };
    with_cookie(consent_page(&consent, &form), &cookie, shared.secure)
}

/// What the consent page's form brings.
#[derive(Deserialize)]
struct Form {
    #[serde(flatten)]
    wish: Wish,
    text: String,
    token: String,
    read: Option<String>,
    live: Option<String>,
}

/// The user has read our page and goes on. Another site cannot send this form in their name: it has neither the cookie, which
/// does not travel with its posts, nor the token that is made of it.
async fn agree(State(shared): State<Shared>, headers: HeaderMap, axum::Form(form): axum::Form<Form>) -> Response {
    let is_ours = cookie_of(&headers, shared.secure).is_some_and(|cookie| is_same(&form_token(&cookie), &form.token));
    if !is_ours {
        return failed(&Error::StateRefused);
    }
    let mut begin = match form.wish.read() {
        Ok(begin) if form.read.is_some() => begin,
        Ok(_) => return page(StatusCode::BAD_REQUEST, "Not connected", &["The first tick is missing.".to_owned()]),
        Err(why) => return page(StatusCode::BAD_REQUEST, "This form is not complete", &[why]),
    };
    begin.agreed = Some(Agreed { text_hash: form.text, live: form.live.is_some() });
    go_on(&shared, begin).await
}

/// Compares in a time that does not tell how much of it is right.
fn is_same(wanted: &str, shown: &str) -> bool {
    wanted.as_bytes().ct_eq(shown.as_bytes()).into()
}

/// Binds the form to the browser that was shown it: both are made of one secret, and only the cookie holds that.
fn form_token(cookie: &Secret) -> String {
    digest("consent form", &[cookie.expose()])
}

/// To the broker's page.
async fn go_on(shared: &Shared, begin: Begin) -> Response {
    match connect::begin(&shared.world, begin).await {
        Ok(started) => {
            let Ok(location) = HeaderValue::from_str(started.location.as_str()) else {
                return failed(&Error::StateRefused);
            };
            let mut headers = guarded();
            headers.insert(header::LOCATION, location);
            with_cookie((StatusCode::SEE_OTHER, headers).into_response(), &started.cookie, shared.secure)
        }
        Err(error) => failed(&error),
    }
}

fn with_cookie(mut response: Response, value: &Secret, secure: bool) -> Response {
    let Ok(mut cookie) = HeaderValue::from_str(&cookie(value.expose(), COOKIE_SECONDS, secure)) else {
        return failed(&Error::StateRefused);
    };
    cookie.set_sensitive(true);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
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
    if connected.consented {
        paragraphs.push("You agreed to live trading. It begins once the operator has approved it too.".to_owned());
    } else if connected.accounts.iter().any(|account| account.environment == Kind::Live) {
        paragraphs
            .push("You did not agree to live trading: nothing is ordered in the account with real money.".to_owned());
    }
    paragraphs.push("You can withdraw this at any time on Alpaca's page of connected apps.".to_owned());
    paragraphs.push("You may close this window.".to_owned());
    page(StatusCode::OK, "Connected", &paragraphs)
}

fn failed(error: &Error) -> Response {
    let (status, is_ours) = match error {
        Error::UnknownStrategy(_) => (StatusCode::NOT_FOUND, false),
        Error::BadReference
        | Error::StateRefused
        | Error::TextChanged
        | Error::WrongAccount(_)
        | Error::Denied(_)
        | Error::NoAccount(_) => (StatusCode::BAD_REQUEST, false),
        Error::Broker(_) => (StatusCode::BAD_GATEWAY, true),
        Error::Vault(_) | Error::Store(_) | Error::Id(_) => (StatusCode::SERVICE_UNAVAILABLE, true),
    };
    if is_ours {
        tracing::warn!(error = error as &(dyn std::error::Error + 'static), "a connection did not come about");
    } else {
        tracing::info!(%error, "a connection was not granted");
    }
    if let Error::Store(error) = error {
        stop_if_broken(error);
    }
    page(status, "Not connected", &[format!("{}.", capitalised(&error.to_string()))])
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}
