//! Whether the service is reconciled and able to trade: what `/readyz` says, and why not.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::app::scheduler::Bell;

/// What is known of the service's own state. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Readiness {
    bell: Bell,
    stopping: CancellationToken,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Readiness {
    /// A service that has not recovered yet.
    pub fn new(bell: Bell, stopping: CancellationToken) -> Self {
        let trouble = Some("the service is starting: what an earlier process left is not recovered yet".to_owned());
        Self { bell, stopping, trouble: Arc::new(Mutex::new(trouble)) }
    }

    /// Notes that the last tick went well, or why it did not.
    pub fn note(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Everything that stands in the way of trading; empty when ready.
    pub fn obstacles(&self) -> Vec<String> {
        let mut obstacles = Vec::new();
        obstacles.extend(self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone());
        if self.stopping.is_cancelled() {
            obstacles.push("the service is stopping".to_owned());
        }
        if !self.bell.is_alive() {
            obstacles.push("the scheduler's bell has been silent for more than 30 seconds".to_owned());
        }
        obstacles
    }
}
