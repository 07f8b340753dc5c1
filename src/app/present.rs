//! The world as it is now. Strategies are read again while the service runs: then there is a new world, which shares
//! everything that is open with the one before it. Whoever has begun something goes on in the world that it began in.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, watch};

use crate::app::lifecycle::stop_if_broken;
use crate::app::telemetry::chain;
use crate::edge::World;
use crate::edge::strategies::Changes;
use crate::flow::reload::{self, reload};
use crate::model::event::Actor;

/// The world as it is now; clones are the same.
#[derive(Clone)]
pub struct Present {
    world: Arc<watch::Sender<Arc<World>>>,
    folder: Arc<Path>,
    /// One reading at a time: the second one begins with what the first one left.
    turn: Arc<Mutex<()>>,
}

impl Present {
    /// Begins with this world, whose strategies lie in this folder.
    pub fn new(world: Arc<World>, folder: &Path) -> Self {
        Self { world: Arc::new(watch::Sender::new(world)), folder: folder.into(), turn: Arc::default() }
    }

    /// The world as it is now.
    pub fn world(&self) -> Arc<World> {
        Arc::clone(&self.world.borrow())
    }

    /// Reads the strategies again, takes over what is valid, and says in the log what changed.
    ///
    /// # Errors
    /// When the folder or the database cannot be read; then everything stays as it is.
    pub async fn reload(&self, by: &Actor) -> Result<Changes, reload::Error> {
        let _turn = self.turn.lock().await;
        let (world, changes) = reload(&self.world(), &self.folder, by).await?;
        let world = Arc::new(world);
        self.world.send_replace(Arc::clone(&world));
        for fault in &changes.refused {
            tracing::warn!("{fault}; this file changes nothing");
        }
        for name in &changes.kept {
            tracing::warn!(strategy = %name, "its file is invalid: the version before it is kept");
        }
        for (names, what) in [
            (&changes.added, "a strategy was added"),
            (&changes.changed, "a strategy was changed: live accounts trade by it once this version is approved"),
            (
                &changes.removed,
                "a strategy was removed: nothing comes due for those who follow it, and what waits ends as strategy_unavailable",
            ),
        ] {
            for name in names {
                let version = world.strategies.get(name).map(|strategy| strategy.version().as_str().to_owned());
                tracing::info!(strategy = %name, version, "{what}");
            }
        }
        tracing::info!(by = by.as_str(), strategies = world.strategies.len(), "the strategies were read again");
        Ok(changes)
    }

    /// Reads the strategies again at each signal, until the process ends.
    pub async fn obey(self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            if let Err(error) = self.reload(&Actor::service()).await {
                tracing::error!(
                    error = chain(&error),
                    "the strategies could not be read again; everything stays as it is"
                );
                if let reload::Error::Store(error) = &error {
                    stop_if_broken(error);
                }
            }
        }
    }
}

/// Listens for SIGHUP from now on.
///
/// # Errors
/// When the signal cannot be listened for.
pub fn listen() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
