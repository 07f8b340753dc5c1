//! Signs the end of the audit's chain now and then, to a file on another path and to the log.
//!
//! Whoever can write the database can write it anew; a checkpoint that was kept elsewhere shows it. The last events are signed
//! when the daemon stops.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::edge::World;
use crate::edge::notary::Notary;
use crate::model::event::Checkpoint;

/// A new end of the chain is signed at the latest after this long ...
const AT_LEAST_EVERY: Duration = Duration::from_mins(1);

/// ... or after this many events.
const EVENTS_BETWEEN: i64 = 1000;

/// How often the end of the chain is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Signs what happens, and knows what it signed last.
pub struct Checkpoints {
    world: Arc<World>,
    notary: Notary,
    /// Appended to, never rewritten.
    file: PathBuf,
    /// The last event that was signed, and when.
    signed: Mutex<(i64, Option<Instant>)>,
}

impl Checkpoints {
    /// Nothing is signed yet: the first look signs what is there.
    pub fn new(world: Arc<World>, notary: Notary, file: PathBuf) -> Self {
        Self { world, notary, file, signed: Mutex::new((0, None)) }
    }

    /// Signs until the process ends.
    pub async fn keep(self: Arc<Self>) {
        loop {
            self.look(is_due).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Signs the last events, when nothing more will happen.
    pub async fn end(&self) {
        self.look(|_, _| true).await;
    }

    async fn look(&self, is_due: impl Fn(Option<Duration>, i64) -> bool) {
        let mut signed = self.signed.lock().await;
        let Ok((sequence, hash)) = self.world.store.chain_end().await else { return };
        let unsigned = sequence - signed.0;
        if unsigned <= 0 || !is_due(signed.1.map(|at| at.elapsed()), unsigned) {
            return;
        }
        let line = self.notary.sign(&Checkpoint { sequence, hash, at: self.world.clock.now() });
        tracing::info!(checkpoint = line, "the audit's end is signed");
        match append(&self.file, &line) {
            Ok(()) => *signed = (sequence, Some(Instant::now())),
            Err(error) => {
                tracing::error!(%error, file = %self.file.display(), "a checkpoint could not be written");
            }
        }
    }
}

/// Whether so many events are signed now, so long after the last signature.
fn is_due(since: Option<Duration>, unsigned: i64) -> bool {
    since.is_none_or(|since| since >= AT_LEAST_EVERY) || unsigned >= EVENTS_BETWEEN
}

fn append(file: &PathBuf, line: &str) -> std::io::Result<()> {
    let mut file = File::options().create(true).append(true).open(file)?;
    writeln!(file, "{line}")?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d8_a_minute_or_a_thousand_events_make_a_signature_due() {
        for (since, unsigned, expected) in [
            (None, 1, true),
            (Some(0), 999, false),
            (Some(0), 1000, true),
            (Some(59), 999, false),
            (Some(60), 1, true),
            (Some(60), 5000, true),
        ] {
            assert_eq!(is_due(since.map(Duration::from_secs), unsigned), expected, "{since:?} s, {unsigned} events");
        }
    }
}
