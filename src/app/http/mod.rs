//! HTTP, a thin skin: parse, call a story, render. Two listeners: one for users' browsers, one for operators.
//!
//! The public listener knows three paths and nothing of operators; an operator's path never appears on it.

mod pages;
mod throttle;
mod public;
mod operator;
mod wishes;
mod authors;
mod entry;
mod hooks;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use throttle::Throttle;

use crate::app::lifecycle::Lifecycle;
use crate::app::present::Present;
use crate::app::readiness::Readiness;
use crate::edge::World;
use crate::model::secret::Secret;

/// What the handlers share.
#[derive(Clone)]
pub struct Shared {
    /// The outside, as it is when a request comes.
    pub world: Arc<World>,
    /// Where the next request finds it.
    pub present: Present,
    /// Whether the service can trade.
    pub readiness: Readiness,
    /// What an operator must show; nobody is let in without one.
    pub operator_token: Arc<Option<Secret>>,
    /// Whether users arrive by https, so that cookies may be bound to it.
    pub secure: bool,
    /// How many connections may be started.
    pub throttle: Arc<Throttle>,
    /// How many wrong tokens are answered before they are told to wait.
    pub wrong_tokens: Arc<Throttle>,
    /// Who may ask for runs by signed messages, if anybody.
    pub hooks: Hooks,
    /// Keeps what must go on when a caller hangs up.
    pub life: Lifecycle,
}

/// What stands behind the routes: each request is given the world as it is when it comes.
#[derive(Clone)]
struct Hall(Shared);

impl FromRef<Hall> for Shared {
    fn from_ref(hall: &Hall) -> Self {
        hall.0.now()
    }
}

impl Shared {
    /// The same, with the world as it is now.
    fn now(&self) -> Self {
        Self { world: self.present.world(), ..self.clone() }
    }
}

/// What signed messages need.
#[derive(Clone)]
pub struct Hooks {
    /// The secret that both sides hold; without one there is no such path.
    pub secret: Option<Arc<Secret>>,
    /// How many messages may come.
    pub throttle: Arc<Throttle>,
}

/// The routes for users' browsers, and for signed messages.
pub fn public(shared: Shared) -> Router {
    hooks::routes(&shared).merge(public::routes(shared))
}

/// The routes for operators.
pub fn operator(shared: Shared) -> Router {
    operator::routes(shared)
}

/// Opens a listener.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn listen(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    use anyhow::Context;
    TcpListener::bind(address).await.with_context(|| {
        format!("`{key}` is {address}, which cannot be listened on; give a free address of this machine")
    })
}

/// Serves until `stop`; requests under way are finished.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "a listener has failed");
    }
}
