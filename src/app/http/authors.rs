//! What operators ask about strategies: read their folder again.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::app::http::Shared;
use crate::app::http::entry::Caller;
use crate::app::http::operator::Refused;
use crate::app::telemetry::chain;
use crate::flow::reload;
use crate::model::event::Actor;
use crate::model::ids::StrategyName;

/// Who asks; a named operator may leave it out.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asking {
    by: Option<String>,
}

/// Reads the strategies again, and says what changed.
pub(super) async fn reload(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Json(asking): Json<Asking>,
) -> Result<Json<Value>, Refused> {
    let by = Actor::operator(&caller.acts_as(asking.by.as_deref())?);
    // In a task of its own: what is on record is taken over, also when the caller hangs up in between.
    let (present, (done, told)) = (shared.present.clone(), oneshot::channel());
    shared.life.spawn(async move {
        if done.send(present.reload(&by).await).is_err() {
            tracing::info!("the strategies were read again for somebody who did not wait for the answer");
        }
    });
    let stopped = || Refused(StatusCode::SERVICE_UNAVAILABLE, "the service stops; nothing was taken over".to_owned());
    let reloaded = told.await.map_err(|_| stopped())?;
    let changes = reloaded.map_err(|error| match error {
        reload::Error::Store(error) => error.into(),
        reload::Error::Folder(_) => Refused(StatusCode::INTERNAL_SERVER_ERROR, chain(&error)),
    })?;
    let names = |names: &[StrategyName]| names.iter().map(|name| Value::from(name.as_str())).collect::<Value>();
    Ok(Json(json!({
        "added": names(&changes.added),
        "changed": names(&changes.changed),
        "removed": names(&changes.removed),
        "kept": names(&changes.kept),
        "refused": changes.refused.iter().map(|fault| Value::from(fault.to_string())).collect::<Value>(),
    })))
}
