//! The kill switch from outside: SIGUSR1, or a file. Both hold at once; here they become halts in the database, with a
//! reason and an author, that hold on until somebody resumes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::lifecycle::stop_if_broken;
use crate::app::telemetry::chain;
use crate::edge::World;
use crate::flow::approve::{self, Desk};
use crate::model::mandate::HaltScope;

/// How often the file is looked for. Sending looks by itself, before every order; this only writes it down.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Listens for SIGUSR1 from now on.
///
/// # Errors
/// When the signal cannot be listened for.
pub fn listen() -> io::Result<Signal> {
    signal(SignalKind::user_defined1())
}

/// Watches until the process ends.
pub async fn watch(world: Arc<World>, mut pulled: Signal) {
    let mut file_is_known = false;
    let mut signal_waits = false;
    loop {
        tokio::select! {
            biased;
            _ = pulled.recv() => {
                world.switch.signal();
                signal_waits = true;
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if signal_waits && record(&world, "signal", "SIGUSR1").await {
            world.switch.recorded();
            signal_waits = false;
        }
        match world.switch.file().map(|_| world.switch.pulled()) {
            Some(Some(why)) if !file_is_known => file_is_known = record(&world, "file", &why).await,
            Some(None) => file_is_known = false,
            _ => {}
        }
    }
}

/// Whether it is in the database. If not it is tried again; meanwhile the switch itself holds.
async fn record(world: &World, by: &str, why: &str) -> bool {
    let desk = Desk { store: &world.store, clock: &world.clock, entropy: &world.entropy };
    match approve::halt(&desk, HaltScope::Service, (by, why)).await {
        Ok(halt) => {
            tracing::warn!(halt.id = %halt.id, by, reason = why, "the service is halted; `rebalanced resume` ends it");
            true
        }
        Err(error) => {
            tracing::error!(error = chain(&error), "a halt could not be recorded; it holds all the same");
            if let approve::Error::Store(error) = &error {
                stop_if_broken(error);
            }
            false
        }
    }
}
