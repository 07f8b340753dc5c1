//! Signs the end of the audit's chain now and then, to a file on another path and to the log.
//!
//! Whoever can write the database can write it anew; a checkpoint that was kept elsewhere shows it.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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

/// Signs until the process ends. `file` is appended to, never rewritten.
pub async fn keep(world: Arc<World>, notary: Notary, file: PathBuf) {
    let mut signed = 0;
    let mut at: Option<Instant> = None;
    loop {
        if let Ok((sequence, hash)) = world.store.chain_end().await {
            let is_time = at.is_none_or(|at| at.elapsed() >= AT_LEAST_EVERY);
            if sequence > signed && (is_time || sequence - signed >= EVENTS_BETWEEN) {
                let line = notary.sign(&Checkpoint { sequence, hash, at: world.clock.now() });
                tracing::info!(checkpoint = line, "the audit's end is signed");
                match append(&file, &line) {
                    Ok(()) => (signed, at) = (sequence, Some(Instant::now())),
                    Err(error) => {
                        tracing::error!(%error, file = %file.display(), "a checkpoint could not be written");
                    }
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn append(file: &PathBuf, line: &str) -> std::io::Result<()> {
    let mut file = File::options().create(true).append(true).open(file)?;
    writeln!(file, "{line}")?;
    file.sync_data()
}
