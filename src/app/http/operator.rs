//! What operators and Prometheus can reach: metrics, health, and the API behind a bearer token.
//!
//! `/metrics`, `/healthz` and `/readyz` hold nothing about any user. Everything under `/api/v1` needs an operator's token
//! with the scope for it; each act is recorded with its operator's name.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::app::http::entry::{self, Caller};
use crate::app::http::{Hall, Shared, authors, wishes};
use crate::app::lifecycle::stop_if_broken;
use crate::app::shown;
use crate::app::telemetry::chain;
use crate::edge::store::{self, RunFilter};
use crate::flow::approve::{self, Desk};
use crate::flow::cancel::{self, Cancelled};
use crate::flow::operators;
use crate::model::event::Actor;
use crate::model::ids::{AccountId, ApprovalId, RunId, StrategyName, Symbol};
use crate::model::limits::Raise;
use crate::model::mandate::{ApprovalKind, Bound, HaltScope};
use crate::model::money::Usd;
use crate::model::operator::Scope;
use crate::model::plan::Side;
use crate::model::run::RunState;
use crate::model::time::Moment;

/// Most rows that one answer holds.
const ROWS_MAX: u32 = 1000;

pub(super) fn routes(shared: Shared) -> Router {
    let needs = |scope| middleware::from_fn_with_state((shared.clone(), scope), entry::check);
    let seen = Router::new()
        .route("/users", get(users))
        .route("/subscriptions", get(subscriptions))
        .route("/runs", get(runs))
        .route("/runs/{id}", get(run))
        .route("/halts", get(halts))
        .route("/approvals", get(approvals))
        .route("/overrides", get(wishes::list))
        .fallback(nothing_here)
        .layer(needs(Scope::Read));
    let operated = Router::new()
        .route("/halts", post(halt))
        .route("/halts/resume", post(resume))
        .route("/strategies/reload", post(authors::reload))
        .route("/overrides", post(wishes::set))
        .route("/overrides/clear", post(wishes::clear))
        .route_layer(needs(Scope::Operate));
    let approved = Router::new()
        .route("/approvals", post(approve))
        .route("/approvals/{id}/revoke", post(revoke))
        .route_layer(needs(Scope::Approve));
    let api = seen.merge(operated).merge(approved);
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .nest("/api/v1", api)
        .with_state(Hall(shared))
}

/// Why a request was not done.
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<store::Error> for Refused {
    fn from(error: store::Error) -> Self {
        tracing::error!(error = chain(&error), "an operator's request failed");
        stop_if_broken(&error);
        Self(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer; the log says why".to_owned())
    }
}

impl From<approve::Error> for Refused {
    fn from(error: approve::Error) -> Self {
        match error {
            approve::Error::Missing(_) => Self(StatusCode::BAD_REQUEST, error.to_string().replace("--", "")),
            approve::Error::TakenName => Self(StatusCode::BAD_REQUEST, error.to_string()),
            approve::Error::MayNot { .. } => Self(StatusCode::FORBIDDEN, error.to_string()),
            approve::Error::OtherVersion { .. } => Self(StatusCode::CONFLICT, error.to_string()),
            approve::Error::Store(error) => error.into(),
            approve::Error::Id(_) => Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

pub(super) fn bad(error: impl std::fmt::Display) -> Refused {
    Refused(StatusCode::BAD_REQUEST, error.to_string())
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
    let ledgers = shared.world.store.ledgers(&id).await?;
    Ok(Json(shown::run_in_full(&run, (decisions.as_deref(), ledgers.as_deref()), &intents)))
}

async fn halts(State(shared): State<Shared>, Query(wish): Query<All>) -> Result<Json<Value>, Refused> {
    let rows = shared.world.store.halts(!wish.all).await?;
    Ok(Json(json!({ "halts": rows.iter().map(shown::halt).collect::<Vec<_>>() })))
}

/// A halt or a release: who, why, and of what. Neither account nor symbol means the whole service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Act {
    /// Who does it; a named operator may leave it out.
    by: Option<String>,
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

async fn halt(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Json(act): Json<Act>,
) -> Result<Json<Value>, Refused> {
    let (scope, by) = (act.scope()?, caller.acts_as(act.by.as_deref())?);
    let halt = approve::halt(&desk(&shared), scope.clone(), (&by, &act.reason)).await?;
    let mut answer = shown::halt(&halt);
    if act.cancel_orders {
        let cancelled = cancelling(&shared, scope, Actor::operator(&halt.by)).await?;
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("orders".to_owned(), cancelled.iter().map(shown::cancelled).collect());
        }
    }
    Ok(Json(answer))
}

/// Cancels open orders in a task of its own: a caller who hangs up does not stop it.
async fn cancelling(shared: &Shared, scope: HaltScope, by: Actor) -> Result<Vec<Cancelled>, Refused> {
    let (world, (done, told)) = (Arc::clone(&shared.world), oneshot::channel());
    shared.life.spawn(async move {
        let cancelled = cancel::cancel_open(&world, &scope, &by).await;
        if done.send(cancelled).is_err() {
            tracing::info!("orders were cancelled for somebody who did not wait for the answer; the audit has it");
        }
    });
    let stopped = || Refused(StatusCode::SERVICE_UNAVAILABLE, "the service stops; look at the orders".to_owned());
    Ok(told.await.map_err(|_| stopped())??)
}

async fn resume(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Json(act): Json<Act>,
) -> Result<Json<Value>, Refused> {
    let by = caller.acts_as(act.by.as_deref())?;
    if matches!(caller, Caller::Configured(_)) {
        let world = &shared.world;
        let required = operators::required(&world.store, world.policy.operators_required).await?;
        operators::releaser(&world.store, required, (Some(&by), None)).await.map_err(released_by_name)?;
    }
    let released = approve::resume(&desk(&shared), &act.scope()?, &by).await?;
    Ok(Json(json!({ "released": released })))
}

/// The one token of the configuration proves no name.
fn released_by_name(error: operators::Error) -> Refused {
    match error {
        operators::Error::Act(error) => error.into(),
        operators::Error::Store(error) => error.into(),
        other => {
            Refused(StatusCode::FORBIDDEN, other.to_string().replace("with --operator-token-file", "as the bearer"))
        }
    }
}

async fn approvals(State(shared): State<Shared>) -> Result<Json<Value>, Refused> {
    let now = shared.world.clock.now();
    let rows = shared.world.store.approvals().await?;
    Ok(Json(json!({ "approvals": rows.iter().map(|row| shown::approval(row, now)).collect::<Vec<_>>() })))
}

/// What is to be approved: a strategy as it is loaded, or an account with a strategy inside a bound.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    kind: String,
    by: Option<String>,
    #[serde(default)]
    reason: String,
    account: Option<String>,
    strategy: Option<String>,
    /// The version that the approver has read: another one that was loaded meanwhile is not approved.
    version: Option<String>,
    symbols: Option<Vec<String>>,
    sides: Option<Vec<String>>,
    max_order_notional: Option<String>,
    max_run_notional: Option<String>,
    /// Raised limits, in the configuration's words: `max_order_notional=60000 once`.
    raises: Option<String>,
    expires_at: Option<String>,
}

impl Wanted {
    fn account(&self) -> Result<AccountId, Refused> {
        AccountId::parse(self.account.as_deref().unwrap_or_default()).map_err(bad)
    }

    fn kind(&self, shared: &Shared) -> Result<ApprovalKind, Refused> {
        let strategy = || {
            let name = StrategyName::parse(self.strategy.as_deref().unwrap_or_default()).map_err(bad)?;
            let none = || Refused(StatusCode::NOT_FOUND, format!("no strategy is named `{name}`"));
            shared.world.strategies.get(&name).cloned().ok_or_else(none)
        };
        Ok(match self.kind.as_str() {
            "strategy" => approve::of_strategy(&*strategy()?, self.version.as_deref())?,
            "subscription" => ApprovalKind::Subscription {
                account: self.account()?,
                name: strategy()?.name().clone(),
                bound: self.bound()?,
            },
            "limits" => {
                let raise = Raise::parse(self.raises.as_deref().unwrap_or_default()).filter(|raise| !raise.is_empty());
                let raise =
                    raise.ok_or_else(|| bad("`raises` must name limits, such as max_order_notional=60000 once"))?;
                ApprovalKind::Limits { account: self.account()?, raise }
            }
            _ => return Err(bad("`kind` must be strategy, subscription or limits; a consent is the user's own")),
        })
    }

    fn bound(&self) -> Result<Bound, Refused> {
        let usd = |text: &Option<String>| text.as_deref().map(Usd::parse).transpose().map_err(bad);
        let symbols = self.symbols.as_ref().map(|all| all.iter().map(|text| Symbol::parse(text)).collect());
        let side = |text: &String| Side::parse(text).ok_or_else(|| bad("`sides` are buy and sell"));
        Ok(Bound {
            symbols: symbols.transpose().map_err(bad)?,
            sides: self.sides.as_ref().map(|all| all.iter().map(side).collect()).transpose()?,
            max_order_notional: usd(&self.max_order_notional)?,
            max_run_notional: usd(&self.max_run_notional)?,
        })
    }
}

async fn approve(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Refused> {
    let (kind, by) = (wanted.kind(&shared)?, caller.acts_as(wanted.by.as_deref())?);
    let (desk, now) = (desk(&shared), shared.world.clock.now());
    let expires = wanted.expires_at.as_deref().map(Moment::parse).transpose().map_err(bad)?;
    if expires.is_some_and(|end| end <= now) {
        return Err(bad("`expires_at` has passed already"));
    }
    let approval = match &caller {
        Caller::Named(operator) => approve::grant_proven(&desk, kind, (operator, &wanted.reason), expires).await?,
        Caller::Configured(_) => approve::grant(&desk, kind, (&by, &wanted.reason), expires).await?,
    };
    Ok(Json(shown::approval(&approval, now)))
}

/// Who withdraws.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Withdrawing {
    by: Option<String>,
}

async fn revoke(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(withdrawing): Json<Withdrawing>,
) -> Result<Json<Value>, Refused> {
    let (id, by) = (ApprovalId::parse(&id).map_err(bad)?, caller.acts_as(withdrawing.by.as_deref())?);
    if approve::revoke(&desk(&shared), &id, &by).await? {
        return Ok(Json(json!({ "revoked": id.as_str() })));
    }
    Err(Refused(StatusCode::NOT_FOUND, format!("no approval {id} is in force")))
}

pub(super) fn desk(shared: &Shared) -> Desk<'_> {
    let world = &shared.world;
    Desk { store: &world.store, clock: &world.clock, entropy: &world.entropy }
}
