//! The audit's chain, walked event by event: every place filled, every hash right, every checkpoint met.
//!
//! The chain alone shows every change but one: a cut tail, or a chain that was computed anew from some place on. A signed
//! checkpoint kept elsewhere shows those too, up to its place.

use std::collections::BTreeMap;

use crate::model::canon::{GENESIS, chain_hash};
use crate::model::event::{ChainedEvent, Checkpoint};

/// Why a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An event is not what was written.
    #[error("event {sequence} does not hold: {why}")]
    Event {
        /// Its place.
        sequence: i64,
        /// What is wrong.
        why: &'static str,
    },
    /// The chain ends before a checkpoint that was signed.
    #[error("the chain ends at event {events}, but a checkpoint was signed at event {sequence}: its tail was cut off")]
    Short {
        /// How many events there are.
        events: i64,
        /// How many there were.
        sequence: i64,
    },
}

/// A walk along the chain, as far as it has come.
#[derive(Debug, Clone)]
pub struct Walk {
    events: i64,
    head: String,
    /// What must be met, by place.
    checkpoints: BTreeMap<i64, String>,
}

impl Walk {
    /// Begins before the first event. `checkpoints` are those whose signatures are right already.
    pub fn begin(checkpoints: impl IntoIterator<Item = Checkpoint>) -> Self {
        let checkpoints = checkpoints.into_iter().map(|point| (point.sequence, point.hash)).collect();
        Self { events: 0, head: GENESIS.to_owned(), checkpoints }
    }

    /// How many events were walked.
    pub fn events(&self) -> i64 {
        self.events
    }

    /// The hash of the last one.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// [`Broken::Event`] when it is not the one that was written there.
    pub fn step(&mut self, event: &ChainedEvent) -> Result<(), Broken> {
        let broken = |why| Err(Broken::Event { sequence: event.sequence, why });
        if event.sequence != self.events + 1 {
            return broken("an event before it is missing");
        }
        if event.previous != self.head {
            return broken("it does not follow the event before it");
        }
        if event.hash != chain_hash(event) {
            return broken("its content was changed");
        }
        if self.checkpoints.get(&event.sequence).is_some_and(|hash| *hash != event.hash) {
            return broken("a checkpoint that was signed here has another hash: the chain was written anew");
        }
        self.events = event.sequence;
        self.head.clone_from(&event.hash);
        Ok(())
    }

    /// Ends the walk where the chain ends.
    ///
    /// # Errors
    /// [`Broken::Short`] when a checkpoint was not reached.
    pub fn end(self) -> Result<Self, Broken> {
        match self.checkpoints.last_key_value() {
            Some((sequence, _)) if *sequence > self.events => {
                Err(Broken::Short { events: self.events, sequence: *sequence })
            }
            _ => Ok(self),
        }
    }
}
