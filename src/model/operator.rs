//! Who operates the service: a name, what they may do, and nothing of their token.

use std::collections::BTreeSet;
use std::fmt;

use crate::model::codes::codes;
use crate::model::time::Moment;

codes! {
    /// What an operator may do. None includes another.
    Scope {
        /// See users, runs, halts and approvals.
        Read = "read",
        /// Halt and resume.
        Operate = "operate",
        /// Grant and withdraw approvals.
        Approve = "approve",
    }
}

/// Names that mean something else where people are named.
const RESERVED: [&str; 3] = ["service", "configured", "user"];

/// Why a text is no operator's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no operator's name: 1 to 64 lower case letters, digits, dots, dashes, underscores and @ are; `service`, `configured` and `user` are taken"
)]
pub struct NotAName(String);

/// An operator's name. Lower case only: two people are never told apart by the case of a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperatorName(String);

impl OperatorName {
    /// Takes a text as a name.
    ///
    /// # Errors
    /// [`NotAName`] when it holds other characters, or is taken.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_@".contains(&b);
        let is_name = (1..=64).contains(&text.len()) && text.bytes().all(allowed) && !RESERVED.contains(&text);
        if is_name { Ok(Self(text.to_owned())) } else { Err(NotAName(text.chars().take(40).collect())) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Who.
    pub name: OperatorName,
    /// What they may do.
    pub scopes: BTreeSet<Scope>,
    /// Who made them one.
    pub made_by: String,
    /// Since when.
    pub made_at: Moment,
    /// When they ceased to be one, and by whom.
    pub removed: Option<(Moment, String)>,
}

impl Operator {
    /// Whether they may do this.
    pub fn may(&self, scope: Scope) -> bool {
        self.removed.is_none() && self.scopes.contains(&scope)
    }
}

/// What decides whether operators may be changed: how it stands at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    /// How many must approve, as the database has it.
    pub required: u32,
    /// Every operator there ever was.
    pub operators: Vec<Operator>,
    /// The operators of now whose tokens are shown.
    pub shown: BTreeSet<OperatorName>,
}

impl Circle {
    /// Those who may approve.
    pub fn approvers(&self) -> BTreeSet<&OperatorName> {
        let may = self.operators.iter().filter(|operator| operator.may(Scope::Approve));
        may.map(|operator| &operator.name).collect()
    }

    /// Those who may approve and show their token: somebody who shows it twice is one.
    pub fn agreed(&self) -> BTreeSet<&OperatorName> {
        self.approvers().into_iter().filter(|name| self.shown.contains(*name)).collect()
    }
}

/// A change of who is an operator, or of how many must approve. A token is its hash here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Somebody becomes one, with this token.
    Add(Operator, String),
    /// An operator gets this token; the old one is worth nothing.
    Rotate(OperatorName, String),
    /// An operator ceases to be one.
    Remove(OperatorName),
    /// So many must approve.
    Require(u32),
}
