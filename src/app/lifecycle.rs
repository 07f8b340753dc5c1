//! How the process lives and stops: signals, background tasks, and what the service manager is told.
//!
//! The first SIGTERM or SIGINT is a soft stop: nothing new is begun, and what is under way goes on to its end. A second
//! signal, or the end of patience, is a hard stop: what is left is dropped where it waits, and recovery carries it on at
//! the next start. The watchdog is fed only while the bell rings.

use std::future::Future;
use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::scheduler::Bell;
use crate::edge::store;

/// How often the watchdog is fed; units with `WatchdogSec=` of half a minute or more are safe.
const FEED_EVERY: Duration = Duration::from_secs(5);

/// The two stages of stopping, and the tasks that live until then.
#[derive(Clone, Default)]
pub struct Lifecycle {
    /// Begin nothing new.
    pub soft: CancellationToken,
    /// Drop what is left.
    pub hard: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Runs a task in the background until it ends or the hard stop.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let hard = self.hard.clone();
        drop(self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = hard.cancelled() => {}
                () = task => {}
            }
        }));
    }

    /// Ends all background tasks and waits until they have ended.
    pub async fn end(&self) {
        self.soft.cancel();
        self.hard.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Listens for signals from now on.
    ///
    /// # Errors
    /// When the signals cannot be listened for.
    pub fn obey_signals(&self, patience: Duration) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let life = self.clone();
        self.spawn(async move {
            tokio::select! {
                biased;
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping: runs under way are finished first");
            tell(&[NotifyState::Stopping]);
            life.soft.cancel();
            let why = tokio::select! {
                biased;
                _ = terminate.recv() => "a second signal",
                _ = interrupt.recv() => "a second signal",
                () = tokio::time::sleep(patience) => "the end of patience",
            };
            tracing::warn!(why, "stopping hard: runs under way are dropped, and the next start carries them on");
            life.hard.cancel();
        });
        Ok(())
    }

    /// Feeds the service manager's watchdog for as long as `bell` rings.
    pub fn feed_watchdog(&self, bell: Bell) {
        let mut was_alive = true;
        self.spawn(async move {
            loop {
                let alive = bell.is_alive();
                if alive {
                    tell(&[NotifyState::Watchdog]);
                } else if was_alive {
                    tracing::error!("the bell has stopped ringing: the service is not ready, and its watchdog starves");
                }
                was_alive = alive;
                tokio::time::sleep(FEED_EVERY).await;
            }
        });
    }
}

/// Tells the service manager that the service is ready.
pub fn tell_ready() {
    tell(&[NotifyState::Ready]);
}

/// Ends the process at once if the database must not be asked any more: after a sync that failed nobody knows what is on
/// the disk, and the next one says nothing about it (row 63).
pub fn stop_if_broken(error: &store::Error) {
    if error.is_fatal() {
        stop_at_once("the database's disk failed, or its file is damaged");
    }
}

/// Ends the process here and now: nothing is closed, written or sent any more. What is durable is read again at the next start.
fn stop_at_once(why: &str) -> ! {
    tracing::error!(why, "the service stops at once");
    std::process::exit(1)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
