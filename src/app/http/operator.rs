//! What operators and Prometheus can reach: metrics, health, and the API behind a bearer token.
//!
//! `/metrics`, `/healthz` and `/readyz` hold nothing about any user. Everything under `/api/v1` needs the operator's token;
//! where none is configured, nobody is let in.

use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use crate::app::http::Shared;
use crate::app::shown;
use crate::edge::store::{self, RunFilter};
use crate::flow::approve::{self, Desk};
use crate::flow::cancel;
use crate::model::event::Actor;
use crate::model::ids::{AccountId, RunId, StrategyName, Symbol};
use crate::model::mandate::HaltScope;
use crate::model::run::RunState;

/// Most rows that one answer holds.
const ROWS_MAX: u32 = 1000;

pub(super) fn routes(shared: Shared) -> Router {
    let api = Router::new()
        .route("/users", get(users))
        .route("/subscriptions", get(subscriptions))
        .route("/runs", get(runs))
        .route("/runs/{id}", get(run))
        .route("/halts", get(halts).post(halt))
        .route("/halts/resume", post(resume))
        .fallback(nothing_here)
        .layer(middleware::from_fn_with_state(shared.clone(), operators_only));
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .nest("/api/v1", api)
        .with_state(shared)
}

/// Why a request was not done.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<store::Error> for Refused {
    fn from(error: store::Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "an operator's request failed");
        Self(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer; the log says why".to_owned())
    }
}

impl From<approve::Error> for Refused {
    fn from(error: approve::Error) -> Self {
        match error {
            approve::Error::Missing(_) => Self(StatusCode::BAD_REQUEST, error.to_string().replace("--", "")),
            approve::Error::Store(error) => error.into(),
            approve::Error::Id(_) => Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

fn bad(error: impl std::fmt::Display) -> Refused {
    Refused(StatusCode::BAD_REQUEST, error.to_string())
}

/// Lets in whoever shows the token. The comparison takes the same time wherever the first difference is.
async fn operators_only(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let Some(token) = shared.operator_token.as_ref() else {
        let why = "no operator token is configured: set web.operator_token_file, then restart".to_owned();
        return Refused(StatusCode::FORBIDDEN, why).into_response();
    };
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if bool::from(shown.as_bytes().ct_eq(token.expose().as_bytes())) {
        return next.run(request).await;
    }
    let why = "this needs the operator token: Authorization: Bearer TOKEN".to_owned();
    let mut refusal = Refused(StatusCode::UNAUTHORIZED, why).into_response();
    refusal.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    refusal
}

async fn nothing_here() -> Refused {
    Refused(StatusCode::NOT_FOUND, "there is nothing here".to_owned())
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, shared.world.metrics.text()).into_response()
}

async fn ready(State(shared): State<Shared>) -> Response {
    let obstacles = shared.readiness.obstacles();
    let status = if obstacles.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": obstacles.is_empty(), "obstacles": obstacles }))).into_response()
}

async fn users(State(shared): State<Shared>) -> Result<Json<Value>, Refused> {
    let subscriptions = shared.world.store.subscriptions(true).await?;
    let accounts = shared.world.store.accounts().await?;
    let rows: Vec<Value> = accounts.iter().map(|account| shown::account(account, &subscriptions)).collect();
    Ok(Json(json!({ "users": rows })))
}

#[derive(Deserialize)]
struct All {
    #[serde(default)]
    all: bool,
}

async fn subscriptions(State(shared): State<Shared>, Query(wish): Query<All>) -> Result<Json<Value>, Refused> {
    let rows = shared.world.store.subscriptions(!wish.all).await?;
    Ok(Json(json!({ "subscriptions": rows.iter().map(shown::subscription).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
struct Which {
    account: Option<String>,
    strategy: Option<String>,
    state: Option<String>,
    limit: Option<u32>,
}

impl Which {
    fn read(self) -> Result<RunFilter, Refused> {
        let state =
            self.state.map(|text| RunState::parse(&text).ok_or_else(|| bad("`state` must be due, running or closed")));
        Ok(RunFilter {
            account: self.account.map(|text| AccountId::parse(&text)).transpose().map_err(bad)?,
            strategy: self.strategy.map(|text| StrategyName::parse(&text)).transpose().map_err(bad)?,
            state: state.transpose()?,
            limit: i64::from(self.limit.unwrap_or(100).min(ROWS_MAX)),
        })
    }
}

async fn runs(State(shared): State<Shared>, Query(which): Query<Which>) -> Result<Json<Value>, Refused> {
    let rows = shared.world.store.runs(&which.read()?).await?;
    Ok(Json(json!({ "runs": rows.iter().map(shown::run).collect::<Vec<_>>() })))
}

async fn run(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    let id = RunId::parse(&id).map_err(bad)?;
    let Some((run, decisions)) = shared.world.store.run(&id).await? else {
        return Err(Refused(StatusCode::NOT_FOUND, format!("there is no run {id}")));
    };
    let intents = shared.world.store.intents_of(&id).await?;
    Ok(Json(shown::run_in_full(&run, decisions.as_deref(), &intents)))
}

async fn halts(State(shared): State<Shared>, Query(wish): Query<All>) -> Result<Json<Value>, Refused> {
    let rows = shared.world.store.halts(!wish.all).await?;
    Ok(Json(json!({ "halts": rows.iter().map(shown::halt).collect::<Vec<_>>() })))
}

/// A halt or a release: who, why, and of what. Neither account nor symbol means the whole service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Act {
    by: String,
    #[serde(default)]
    reason: String,
    account: Option<String>,
    symbol: Option<String>,
    /// For a halt: also cancel our open orders inside the scope.
    #[serde(default)]
    cancel_orders: bool,
}

impl Act {
    fn scope(&self) -> Result<HaltScope, Refused> {
        match (&self.account, &self.symbol) {
            (None, None) => Ok(HaltScope::Service),
            (Some(account), None) => AccountId::parse(account).map(HaltScope::Account).map_err(bad),
            (None, Some(symbol)) => Symbol::parse(symbol).map(HaltScope::Symbol).map_err(bad),
            (Some(_), Some(_)) => Err(bad("name an account or a symbol, not both")),
        }
    }
}

async fn halt(State(shared): State<Shared>, Json(act): Json<Act>) -> Result<Json<Value>, Refused> {
    let scope = act.scope()?;
    let halt = approve::halt(&desk(&shared), scope.clone(), (&act.by, &act.reason)).await?;
    let mut answer = shown::halt(&halt);
    if act.cancel_orders {
        let cancelled = cancel::cancel_open(&shared.world, &scope, &Actor::operator(&halt.by)).await?;
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("orders".to_owned(), cancelled.iter().map(shown::cancelled).collect());
        }
    }
    Ok(Json(answer))
}

async fn resume(State(shared): State<Shared>, Json(act): Json<Act>) -> Result<Json<Value>, Refused> {
    let released = approve::resume(&desk(&shared), &act.scope()?, &act.by).await?;
    Ok(Json(json!({ "released": released })))
}

fn desk(shared: &Shared) -> Desk<'_> {
    let world = &shared.world;
    Desk { store: &world.store, clock: &world.clock, entropy: &world.entropy }
}
