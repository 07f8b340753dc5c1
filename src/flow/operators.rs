//! Operators come, get new tokens, show them, and go.
//!
//! Always: a token has 256 random bits, is shown once and kept only as a hash; whoever was removed is nobody at the next
//! request, because the database is asked each time. Who must agree to a change is decided in the transaction that makes it.

use std::collections::BTreeSet;

use crate::decide::quorum::{self, Short};
use crate::edge::store::{self, Store};
use crate::flow::approve::{self, Desk};
use crate::model::canon::digest;
use crate::model::event::Actor;
use crate::model::operator::{Change, Circle, NotAName, Operator, OperatorName, Scope};
use crate::model::secret::Secret;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A word is missing.
    #[error(transparent)]
    Act(#[from] approve::Error),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NotAName),
    /// Where two must approve, a bare name changes no operator.
    #[error(
        "two operators must approve here (approvals.operators_required), so an operator with the scope `approve` must make, \
         renew or remove another: show their token with --operator-token-file"
    )]
    Unproven,
    /// A token was shown that is no approver's.
    #[error("no token that was shown with --operator-token-file is of an operator with the scope `approve`")]
    NotTheirs,
    /// Where two must approve, nobody makes or renews approvers alone.
    #[error(
        "{needed} different operators with the scope `approve` must agree here to make another with it, or to renew their token, \
         because so many must approve (approvals.operators_required): show the token of each with an --operator-token-file of \
         its own; {shown} did. Your own token alone renews itself"
    )]
    NotAlone {
        /// How many must agree.
        needed: usize,
        /// How many showed their token.
        shown: usize,
    },
    /// Where two must approve, nobody removes approvers alone until too few remain.
    #[error(
        "an operator with the scope `approve` is removed by one alone only if {required} with it remain, because so many must \
         approve (approvals.operators_required): make another first, or show the tokens of {needed} different ones with it, each \
         with an --operator-token-file of its own; {shown} did"
    )]
    TooFewRemain {
        /// How many must agree.
        needed: usize,
        /// How many showed their token.
        shown: usize,
        /// How many must remain for one to be enough.
        required: u32,
    },
    /// Where two must approve, nobody lets the service go on under a bare name.
    #[error(
        "two operators must approve here (approvals.operators_required), so the kill switch is released by an operator with the \
         scope `operate`: show their token with --operator-token-file"
    )]
    MayNotResume,
    /// An operator without a scope could do nothing.
    #[error("name at least one scope: read, operate, approve")]
    NoScope,
    /// What is asked for is no fewer than now.
    #[error(
        "{now} operators are required now; this only lowers it: to raise it, set approvals.operators_required and restart \
         the daemon"
    )]
    NotFewer {
        /// How many are.
        now: u32,
    },
    /// Fewer operators agree than must.
    #[error(
        "{now} operators are required now, so {now} different ones with the scope `approve` must agree, each with \
         --operator-token-file; {shown} did"
    )]
    TooFew {
        /// How many are required.
        now: u32,
        /// How many showed their token.
        shown: usize,
    },
    /// There is no such operator.
    #[error("there is no operator {0}; `rebalanced operators list` shows who is one")]
    Nobody(OperatorName),
    /// The database failed, or the name is taken.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// How many operators must approve: what this process was told, or what the daemon stored, whichever is more. Whoever has a
/// shell chooses the first for themselves.
///
/// # Errors
/// When the database fails.
pub async fn required(store: &Store, own: u32) -> Result<u32, store::Error> {
    Ok(store.operators_required().await?.max(own))
}

/// What a daemon does when it starts: what it was told holds from now on for every command and every daemon on this database,
/// unless more was required already. Returns what holds.
///
/// # Errors
/// When the database fails.
pub async fn require(desk: &Desk<'_>, own: u32) -> Result<u32, store::Error> {
    let stored = desk.store.operators_required().await?;
    if own > stored {
        let more = |circle: &Circle| Ok((Change::Require(circle.required.max(own)), Actor::service()));
        desk.store.change_operators::<store::Error>(&[], desk.clock.now(), more).await?;
    }
    Ok(stored.max(own))
}

/// Requires fewer operators than now: as many different ones as are required must agree, each with their token. Returns their
/// names.
///
/// # Errors
/// [`Error::NotFewer`], [`Error::TooFew`].
pub async fn require_fewer(desk: &Desk<'_>, number: u32, tokens: &[Secret]) -> Result<String, Error> {
    let mut names = String::new();
    let fewer = |circle: &Circle| {
        let (now, agreed) = (circle.required, circle.agreed());
        if number >= now {
            return Err(Error::NotFewer { now });
        }
        if agreed.len() < usize::try_from(now).unwrap_or(usize::MAX) {
            return Err(Error::TooFew { now, shown: agreed.len() });
        }
        names = together(&agreed);
        Ok((Change::Require(number), Actor::operator(&names)))
    };
    desk.store.change_operators(&hashes(tokens), desk.clock.now(), fewer).await?;
    Ok(names)
}

/// Who changes an operator.
#[derive(Debug, Clone, Copy)]
pub struct Changers<'a> {
    /// How many operators must approve, by what this process was told.
    pub required: u32,
    /// A name that nobody proves: enough where one operator is, and for the first who may approve.
    pub said: Option<&'a str>,
    /// The tokens of those who agree.
    pub tokens: &'a [Secret],
}

impl Changers<'_> {
    /// Under which name they do this: that of all who agree.
    fn agreed(&self, circle: &Circle, act: quorum::Act<'_>) -> Result<String, Error> {
        // Whoever has a shell chooses the first of the two for themselves.
        let required = self.required.max(circle.required);
        let agreed = quorum::agreed(circle, required, act)?;
        if !agreed.is_empty() {
            return Ok(together(&agreed));
        }
        if !self.tokens.is_empty() {
            return Err(Error::NotTheirs);
        }
        Ok(approve::said_by(self.said.unwrap_or_default(), "--by (who does this)")?)
    }
}

impl From<Short> for Error {
    fn from(short: Short) -> Self {
        match short {
            Short::Unproven => Self::Unproven,
            Short::TooFew { needed, shown } => Self::NotAlone { needed, shown },
            Short::TooFewRemain { needed, shown, required } => Self::TooFewRemain { needed, shown, required },
        }
    }
}

/// The names of all who agreed, as the audit has them.
fn together(names: &BTreeSet<&OperatorName>) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" and ")
}

/// Under which name the kill switch is released. Where two must approve, that takes the token of an operator who may operate:
/// pulling it is the safe direction, and open to anybody; releasing it is not.
///
/// # Errors
/// [`Error::MayNotResume`] without such a token, [`Error::Act`] without a name where a name is enough.
pub async fn releaser(
    store: &Store,
    required: u32,
    (said, token): (Option<&str>, Option<&Secret>),
) -> Result<String, Error> {
    let Some(token) = token else {
        if required > 1 {
            return Err(Error::MayNotResume);
        }
        return Ok(approve::said_by(said.unwrap_or_default(), "--by (who resumes)")?);
    };
    let operator = who(store, token).await?.filter(|operator| operator.may(Scope::Operate));
    Ok(operator.ok_or(Error::MayNotResume)?.name.to_string())
}

/// What a token is kept under.
fn hash(token: &Secret) -> String {
    digest("operator token", &[token.expose()])
}

fn hashes(tokens: &[Secret]) -> Vec<String> {
    tokens.iter().map(hash).collect()
}

fn fresh(desk: &Desk<'_>) -> Secret {
    Secret::new(format!("rbo_{}", desk.entropy.token("operator token", 32)))
}

/// Makes somebody an operator; returns the token, which is never seen again.
///
/// # Errors
/// [`Error`]; then nobody is one.
pub async fn add(desk: &Desk<'_>, name: &str, scopes: BTreeSet<Scope>, by: &Changers<'_>) -> Result<Secret, Error> {
    if scopes.is_empty() {
        return Err(Error::NoScope);
    }
    let (name, token, made_at) = (OperatorName::parse(name)?, fresh(desk), desk.clock.now());
    let new = |circle: &Circle| {
        let made_by = by.agreed(circle, quorum::Act::Add(&scopes))?;
        let actor = Actor::operator(&made_by);
        let operator = Operator { name, scopes, made_by, made_at, removed: None };
        Ok((Change::Add(operator, hash(&token)), actor))
    };
    desk.store.change_operators::<Error>(&hashes(by.tokens), made_at, new).await?;
    Ok(token)
}

/// Gives an operator a new token; the old one is worth nothing any more.
///
/// # Errors
/// [`Error`]; then the old one is what it was.
pub async fn rotate(desk: &Desk<'_>, name: &str, by: &Changers<'_>) -> Result<Secret, Error> {
    let (name, token) = (OperatorName::parse(name)?, fresh(desk));
    let renewed = |circle: &Circle| {
        let actor = Actor::operator(&by.agreed(circle, quorum::Act::Rotate(&name))?);
        Ok((Change::Rotate(known(circle, &name)?, hash(&token)), actor))
    };
    desk.store.change_operators::<Error>(&hashes(by.tokens), desk.clock.now(), renewed).await?;
    Ok(token)
}

/// Ends an operator's rights at once.
///
/// # Errors
/// [`Error`]; then they have them still.
pub async fn remove(desk: &Desk<'_>, name: &str, by: &Changers<'_>) -> Result<(), Error> {
    let name = OperatorName::parse(name)?;
    let gone = |circle: &Circle| {
        let actor = Actor::operator(&by.agreed(circle, quorum::Act::Remove(&name))?);
        Ok((Change::Remove(known(circle, &name)?), actor))
    };
    desk.store.change_operators::<Error>(&hashes(by.tokens), desk.clock.now(), gone).await
}

/// This operator, if they are one now.
fn known(circle: &Circle, name: &OperatorName) -> Result<OperatorName, Error> {
    let is_one = circle.operators.iter().any(|operator| operator.name == *name && operator.removed.is_none());
    if is_one { Ok(name.clone()) } else { Err(Error::Nobody(name.clone())) }
}

/// Who shows this token, if anybody who is an operator now. The token is found by its hash, so the time that the search
/// takes says nothing of it.
///
/// # Errors
/// When the database fails: then nobody is let in.
pub async fn who(store: &Store, token: &Secret) -> Result<Option<Operator>, store::Error> {
    store.operator_by_token(&hash(token)).await
}
