//! Walk the audit's chain from its first event: in the database, or in an export, event by event.

use crate::decide::chain;
use crate::edge::store::{self, Store};
use crate::model::event::Checkpoint;

pub use crate::decide::chain::Walk;

/// Events are read in pages of this size: memory stays bounded however long the history is.
const PAGE: i64 = 1000;

/// Why a chain does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// An event or a checkpoint is not what was written.
    #[error(transparent)]
    Chain(#[from] chain::Broken),
    /// The database failed.
    #[error("the events could not be read")]
    Store(#[from] store::Error),
}

/// Checks the whole chain against itself and against checkpoints whose signatures are right.
///
/// # Errors
/// [`Broken`] names the first event that does not hold.
pub async fn audit(store: &Store, checkpoints: Vec<Checkpoint>) -> Result<Walk, Broken> {
    let mut walk = Walk::begin(checkpoints);
    loop {
        let page = store.events(walk.events(), PAGE).await?;
        if page.is_empty() {
            return Ok(walk.end()?);
        }
        for event in &page {
            walk.step(event)?;
        }
    }
}
