//! Intents that are durable: what the store has committed, and the only thing that the broker is asked to execute.
//!
//! Always: a [`Recorded`] is made inside this room alone, by the store, after the commit of a transaction in which the
//! guard's wall was asked again ([`Store::record`](crate::edge::store::Store::record)), or from the rows that such a
//! transaction left. It has no clone and is consumed by the sending, and [`Client::submit`](crate::edge::alpaca::Client)
//! takes nothing but one of its [`Durable`] intents. So an order that skips a check does not compile (S2, S4).

use std::marker::PhantomData;

use crate::model::environment::Environment;
use crate::model::ids::ClientOrderId;
use crate::model::intent::Intent;
use crate::model::zoo::{Bug, planted};

/// The durable intents of one half of a run, for one environment.
#[derive(Debug)]
pub struct Recorded<E> {
    intents: Vec<Intent>,
    maybe_sent: bool,
    environment: PhantomData<E>,
}

impl<E: Environment> Recorded<E> {
    /// They were committed a moment ago, and nobody has sent them.
    pub(in crate::edge) fn committed(intents: Vec<Intent>) -> Self {
        Self { intents, maybe_sent: false, environment: PhantomData }
    }

    /// They were found: an earlier process may have sent them.
    pub(in crate::edge) fn found(intents: Vec<Intent>) -> Self {
        Self { intents, maybe_sent: true, environment: PhantomData }
    }

    /// Whether an earlier process may have sent them already: then the broker is asked first.
    pub fn maybe_sent(&self) -> bool {
        self.maybe_sent
    }

    /// The intents as they stand in the database, in the order in which they were recorded.
    pub fn intents(&self) -> &[Intent] {
        &self.intents
    }

    /// One after the other, to be sent.
    pub fn into_durable(self) -> Vec<Durable<E>> {
        self.intents.into_iter().map(|intent| Durable { intent, environment: PhantomData }).collect()
    }
}

/// One durable intent.
#[derive(Debug)]
pub struct Durable<E> {
    intent: Intent,
    environment: PhantomData<E>,
}

impl<E: Environment> Durable<E> {
    /// What it is about.
    pub fn intent(&self) -> &Intent {
        &self.intent
    }

    /// One of the zoo: the id that a retry must never have. There is none in a program that is built to be used.
    pub fn renamed(&self, nth: u32) -> Option<Self> {
        if !planted(Bug::FreshIdOnRetry) || nth == 0 {
            return None;
        }
        let id = ClientOrderId::parse(&format!("{}{nth}", self.intent.client_order_id)).ok()?;
        Some(Self { intent: Intent { client_order_id: id, ..self.intent.clone() }, environment: PhantomData })
    }
}
