//! The bell: one heartbeat a second, in UTC, that carries no data and decides nothing.
//!
//! `tokio-cron-scheduler` rings it. It is used for this one job only: it freezes a zone's offset when a job is made, keeps
//! no missed ticks, and loses repeated jobs after a stall; for a bell none of that matters, because what is due is a pure
//! function of the time and the ledger of slots. A bell that has stopped is noticed: [`Bell::is_alive`] is what readiness
//! and the service manager's watchdog hang on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// Every second, UTC.
const EVERY_SECOND: &str = "*/1 * * * * *";

/// A bell that is silent for longer than this, in real time, has stopped. Thirty missed beats are no hiccup.
const SILENCE: Duration = Duration::from_secs(30);

/// When the bell last rang, for all who look.
#[derive(Clone)]
pub struct Bell {
    rang: Arc<watch::Sender<Instant>>,
}

impl Default for Bell {
    fn default() -> Self {
        Self { rang: Arc::new(watch::Sender::new(Instant::now())) }
    }
}

impl Bell {
    /// Rings it.
    pub fn ring(&self) {
        self.rang.send_replace(Instant::now());
    }

    /// An ear for it. It hears one ring where several came while it was busy.
    pub fn listen(&self) -> watch::Receiver<Instant> {
        self.rang.subscribe()
    }

    /// Whether it has rung lately.
    pub fn is_alive(&self) -> bool {
        self.rang.borrow().elapsed() <= SILENCE
    }
}

/// The scheduler, as long as it is held.
pub struct Scheduler {
    scheduler: JobScheduler,
}

impl Scheduler {
    /// Starts ringing `bell`.
    ///
    /// # Errors
    /// When the scheduler does not start.
    pub async fn start(bell: &Bell) -> Result<Self, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        let bell = bell.clone();
        let job = Job::new_async(EVERY_SECOND, move |_, _| {
            let bell = bell.clone();
            Box::pin(async move { bell.ring() })
        })?;
        scheduler.add(job).await?;
        scheduler.start().await?;
        Ok(Self { scheduler })
    }

    /// Stops ringing.
    ///
    /// # Errors
    /// When the scheduler does not stop.
    pub async fn stop(mut self) -> Result<(), JobSchedulerError> {
        self.scheduler.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    #[tokio::test]
    async fn the_scheduler_rings_the_bell() {
        let bell = Bell::default();
        let mut ear = bell.listen();
        ear.mark_unchanged();
        let scheduler = Scheduler::start(&bell).await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), ear.changed()).await.unwrap().unwrap();
        scheduler.stop().await.unwrap();
    }

    #[test]
    fn a_silent_bell_is_noticed() {
        let bell = Bell::default();
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        bell.rang.send_replace(ago(29));
        assert!(bell.is_alive());
        bell.rang.send_replace(ago(31));
        assert!(!bell.is_alive());
        bell.ring();
        assert!(bell.is_alive());
    }
}
