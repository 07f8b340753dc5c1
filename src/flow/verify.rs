//! Walk the audit's chain from its first event: every place filled, every hash right.

use crate::edge::store::{self, Store};
use crate::model::canon::{GENESIS, chain_hash};
use crate::model::event::ChainedEvent;

/// Events are read in pages of this size: memory stays bounded however long the history is.
const PAGE: i64 = 1000;

/// A chain that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many events.
    pub events: i64,
    /// The hash of the last one; keep it elsewhere, and a cut tail shows.
    pub head: String,
}

/// Why a chain does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// An event is not what was written.
    #[error("event {sequence} does not hold: {why}")]
    Event {
        /// Its place.
        sequence: i64,
        /// What is wrong.
        why: &'static str,
    },
    /// The database failed.
    #[error("the events could not be read")]
    Store(#[from] store::Error),
}

/// Checks the whole chain.
///
/// # Errors
/// [`Broken`] names the first event that does not hold.
pub async fn audit(store: &Store) -> Result<Verified, Broken> {
    let mut verified = Verified { events: 0, head: GENESIS.to_owned() };
    loop {
        let page = store.events(verified.events, PAGE).await?;
        if page.is_empty() {
            return Ok(verified);
        }
        for event in &page {
            check(event, &verified)?;
            verified.events = event.sequence;
            verified.head.clone_from(&event.hash);
        }
    }
}

fn check(event: &ChainedEvent, before: &Verified) -> Result<(), Broken> {
    let broken = |why| Err(Broken::Event { sequence: event.sequence, why });
    if event.sequence != before.events + 1 {
        return broken("an event before it is missing");
    }
    if event.previous != before.head {
        return broken("it does not follow the event before it");
    }
    if event.hash != chain_hash(event) {
        return broken("its content was changed");
    }
    Ok(())
}
