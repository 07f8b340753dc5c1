//! Walk the audit's chain from its first event: in the database, or in an export, event by event. In the database every
//! approval must have its event, too.

use crate::decide::chain;
use crate::edge::store::{self, Store};
use crate::model::event::Checkpoint;
use crate::model::ids::ApprovalId;

pub use crate::decide::chain::Walk;

/// Events are read in pages of this size: memory stays bounded however long the history is.
const PAGE: i64 = 1000;

/// Why a chain does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// An event or a checkpoint is not what was written.
    #[error(transparent)]
    Chain(#[from] chain::Broken),
    /// The database counts more events than it has.
    #[error("the database counts {end} events and holds {events}: the last ones were removed")]
    Cut {
        /// How many there are.
        events: i64,
        /// How many there were.
        end: i64,
    },
    /// An approval stands in its table, and no event says who granted it.
    #[error("no event stands behind approval {approval}: it was not granted by this program; revoke it")]
    Unvouched {
        /// Which.
        approval: ApprovalId,
    },
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
    let mut granted = Vec::new();
    loop {
        let page = store.events(walk.events(), PAGE).await?;
        if page.is_empty() {
            let events = walk.events();
            let walk = walk.end()?;
            // Whoever writes holds the end of the chain until the commit: fewer events than it counts were cut off.
            let (end, _) = store.chain_end().await?;
            return if end > events && store.events(events, 1).await?.is_empty() {
                Err(Broken::Cut { events, end })
            } else {
                vouched(store, &granted).await.map(|()| walk)
            };
        }
        for event in &page {
            walk.step(event)?;
            if event.kind == "approval.granted" {
                granted.push(event.facts.clone());
            }
        }
    }
}

/// Every approval has its event: one that was written into its table by hand has none.
async fn vouched(store: &Store, granted: &[String]) -> Result<(), Broken> {
    for approval in store.approvals().await? {
        let word = format!("\"{}\"", approval.id);
        if !granted.iter().any(|facts| facts.contains(&word)) {
            return Err(Broken::Unvouched { approval: approval.id });
        }
    }
    Ok(())
}
