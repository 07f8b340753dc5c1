//! Operators come, get new tokens, show them, and go.
//!
//! Always: a token has 256 random bits, is shown once and kept only as a hash; whoever was removed is nobody at the next
//! request, because the database is asked each time.

use std::collections::BTreeSet;

use crate::edge::store::{self, Store};
use crate::flow::approve::{self, Desk};
use crate::model::canon::digest;
use crate::model::event::Actor;
use crate::model::operator::{NotAName, Operator, OperatorName, Scope};
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
    /// Where two must approve, nobody makes approvers alone.
    #[error(
        "two operators must approve here (approvals.operators_required), so an operator with the scope `approve` must make, \
         renew or remove another: show their token with --operator-token-file"
    )]
    Unproven,
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
        desk.store.require_operators(own, (&Actor::service(), desk.clock.now())).await?;
    }
    Ok(stored.max(own))
}

/// Requires fewer operators than now: as many different ones as are required must agree, each with their token. Returns their
/// names.
///
/// # Errors
/// [`Error::NotFewer`], [`Error::TooFew`].
pub async fn require_fewer(desk: &Desk<'_>, number: u32, tokens: &[Secret]) -> Result<String, Error> {
    let now = desk.store.operators_required().await?;
    if number >= now {
        return Err(Error::NotFewer { now });
    }
    let mut agreed = BTreeSet::new();
    for token in tokens {
        let shown = who(desk.store, token).await?.filter(|operator| operator.may(Scope::Approve));
        agreed.extend(shown.map(|operator| operator.name.to_string()));
    }
    if agreed.len() < usize::try_from(now).unwrap_or(usize::MAX) {
        return Err(Error::TooFew { now, shown: agreed.len() });
    }
    let names = agreed.into_iter().collect::<Vec<_>>().join(" and ");
    desk.store.require_operators(number, (&Actor::operator(&names), desk.clock.now())).await?;
    Ok(names)
}

/// Under which name somebody changes who is an operator. Where two must approve, that takes the token of an operator who may
/// approve, once there is one: else one person with a shell could be two operators.
///
/// # Errors
/// [`Error::Unproven`] without such a token, [`Error::Act`] without a name where a name is enough.
pub async fn changer(
    store: &Store,
    required: u32,
    (said, token): (Option<&str>, Option<&Secret>),
) -> Result<String, Error> {
    let shown = match token {
        Some(token) => who(store, token).await?.filter(|operator| operator.may(Scope::Approve)),
        None => None,
    };
    if let Some(operator) = shown {
        return Ok(operator.name.to_string());
    }
    let is_approver = |operator: &Operator| operator.removed.is_none() && operator.may(Scope::Approve);
    if token.is_some() || (required > 1 && store.operators().await?.iter().any(is_approver)) {
        return Err(Error::Unproven);
    }
    Ok(approve::said_by(said.unwrap_or_default(), "--by (who does this)")?)
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

fn fresh(desk: &Desk<'_>) -> Secret {
    Secret::new(format!("rbo_{}", desk.entropy.token("operator token", 32)))
}

/// Makes somebody an operator; returns the token, which is never seen again.
///
/// # Errors
/// [`Error`].
pub async fn add(desk: &Desk<'_>, name: &str, scopes: BTreeSet<Scope>, by: &str) -> Result<Secret, Error> {
    if scopes.is_empty() {
        return Err(Error::NoScope);
    }
    let made_by = approve::said_by(by, "--by (who makes them an operator)")?;
    let token = fresh(desk);
    let actor = Actor::operator(&made_by);
    let operator =
        Operator { name: OperatorName::parse(name)?, scopes, made_by, made_at: desk.clock.now(), removed: None };
    desk.store.add_operator(&operator, &hash(&token), &actor).await?;
    Ok(token)
}

/// Gives an operator a new token; the old one is worth nothing any more.
///
/// # Errors
/// [`Error`].
pub async fn rotate(desk: &Desk<'_>, name: &str, by: &str) -> Result<Secret, Error> {
    let name = OperatorName::parse(name)?;
    let by = Actor::operator(&approve::said_by(by, "--by (who rotates)")?);
    let token = fresh(desk);
    if desk.store.rotate_operator(&name, &hash(&token), (&by, desk.clock.now())).await? {
        Ok(token)
    } else {
        Err(Error::Nobody(name))
    }
}

/// Ends an operator's rights at once.
///
/// # Errors
/// [`Error`].
pub async fn remove(desk: &Desk<'_>, name: &str, by: &str) -> Result<(), Error> {
    let name = OperatorName::parse(name)?;
    let by = Actor::operator(&approve::said_by(by, "--by (who removes)")?);
    if desk.store.remove_operator(&name, (&by, desk.clock.now())).await? { Ok(()) } else { Err(Error::Nobody(name)) }
}

/// Who shows this token, if anybody who is an operator now. The token is found by its hash, so the time that the search
/// takes says nothing of it.
///
/// # Errors
/// When the database fails: then nobody is let in.
pub async fn who(store: &Store, token: &Secret) -> Result<Option<Operator>, store::Error> {
    store.operator_by_token(&hash(token)).await
}
