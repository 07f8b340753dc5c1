//! Every fact that the audit can hold. Append-only, hash-chained; the chain itself is made in `canon`.

use std::collections::BTreeMap;

use crate::model::ids::{AccountId, RunId};
use crate::model::time::Moment;

/// Who did it: the service itself, or a named person or program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// The service itself.
    pub fn service() -> Self {
        Self("service".to_owned())
    }

    /// A named operator.
    pub fn operator(name: &str) -> Self {
        Self(format!("operator:{name}"))
    }

    /// Whoever signed a message to `/hooks/trigger`.
    pub fn webhook() -> Self {
        Self("webhook".to_owned())
    }

    /// A user, through the connect pages.
    pub fn user(id: &str) -> Self {
        Self(format!("user:{id}"))
    }

    /// Its text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One fact, not yet in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// Who.
    pub actor: Actor,
    /// What: a dotted stable code such as `run.closed`.
    pub kind: &'static str,
    /// The account it concerns, if one.
    pub account: Option<AccountId>,
    /// The run it concerns, if one.
    pub run: Option<RunId>,
    /// The facts, in the order of their names.
    pub facts: BTreeMap<&'static str, String>,
}

impl Event {
    /// A fact about the service as a whole.
    pub fn new(at: Moment, actor: Actor, kind: &'static str) -> Self {
        Self { at, actor, kind, account: None, run: None, facts: BTreeMap::new() }
    }

    /// About this account.
    #[must_use]
    pub fn account(mut self, account: &AccountId) -> Self {
        self.account = Some(account.clone());
        self
    }

    /// About this run.
    #[must_use]
    pub fn run(mut self, run: &RunId) -> Self {
        self.run = Some(run.clone());
        self
    }

    /// With this fact.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.facts.insert(name, value.to_string());
        self
    }
}

/// An event as it lies in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainedEvent {
    /// Its place, from 1, without gaps.
    pub sequence: i64,
    /// When.
    pub at: Moment,
    /// Who.
    pub actor: String,
    /// What.
    pub kind: String,
    /// The account it concerns, or empty.
    pub account: String,
    /// The run it concerns, or empty.
    pub run: String,
    /// The facts, as the JSON object that was hashed.
    pub facts: String,
    /// The hash of the event before it; zeros for the first.
    pub previous: String,
    /// SHA-256 over the canonical form of all the above, in hex.
    pub hash: String,
}

/// The end of the chain at one moment: what is signed and kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many events there were.
    pub sequence: i64,
    /// The hash of the last.
    pub hash: String,
    /// When.
    pub at: Moment,
}
