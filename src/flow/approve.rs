//! Approve, withdraw, halt, resume: human acts, each an event with a name, a reason and a moment.

use crate::edge::clock::Clock;
use crate::edge::entropy::Entropy;
use crate::edge::store::{self, Store};
use crate::model::event::Actor;
use crate::model::ids::{ApprovalId, HaltId};
use crate::model::mandate::{Approval, ApprovalKind, Halt, HaltScope};
use crate::model::time::Moment;

/// What a human act needs of the outside; commands have no whole `World`.
pub struct Desk<'a> {
    /// Where it is written down.
    pub store: &'a Store,
    /// When it happens.
    pub clock: &'a Clock,
    /// Names it.
    pub entropy: &'a Entropy,
}

/// Why a human act was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The words that must come with it are missing.
    #[error("{0} must not be empty")]
    Missing(&'static str),
    /// The database failed.
    #[error("the act could not be recorded, so it does not hold")]
    Store(#[from] store::Error),
    /// The new row has no usable id.
    #[error("the act could not be named")]
    Id(#[from] crate::model::ids::NotAnId),
}

/// A name or a reason that must be there.
///
/// # Errors
/// [`Error::Missing`] when it is empty.
pub fn said(text: &str, what: &'static str) -> Result<String, Error> {
    let text = text.trim();
    if text.is_empty() { Err(Error::Missing(what)) } else { Ok(text.to_owned()) }
}

/// Grants an approval from now on.
///
/// # Errors
/// When a name or reason is missing, or the database fails.
pub async fn grant(
    desk: &Desk<'_>,
    kind: ApprovalKind,
    (by, reason): (&str, &str),
    expires_at: Option<Moment>,
) -> Result<Approval, Error> {
    let approval = Approval {
        id: ApprovalId::parse(&desk.entropy.id("apr_"))?,
        kind,
        by: said(by, "--by (who approves)")?,
        reason: said(reason, "--reason")?,
        granted_at: desk.clock.now(),
        expires_at,
        revoked: None,
    };
    desk.store.grant(&approval).await?;
    Ok(approval)
}

/// Withdraws an approval at once; `false` when there is no such approval in force.
///
/// # Errors
/// When the name is missing or the database fails.
pub async fn revoke(desk: &Desk<'_>, id: &ApprovalId, by: &str) -> Result<bool, Error> {
    let by = Actor::operator(&said(by, "--by (who withdraws)")?);
    Ok(desk.store.revoke(id, &by, desk.clock.now()).await?)
}

/// Pulls the kill switch.
///
/// # Errors
/// When a name or reason is missing, or the database fails.
pub async fn halt(desk: &Desk<'_>, scope: HaltScope, (by, reason): (&str, &str)) -> Result<Halt, Error> {
    let halt = Halt {
        id: HaltId::parse(&desk.entropy.id("hlt_"))?,
        scope,
        reason: said(reason, "--reason")?,
        by: said(by, "--by (who halts)")?,
        pulled_at: desk.clock.now(),
        released: None,
    };
    desk.store.halt(&halt).await?;
    Ok(halt)
}

/// Releases every halt of exactly this scope; returns how many.
///
/// # Errors
/// When the name is missing or the database fails.
pub async fn resume(desk: &Desk<'_>, scope: &HaltScope, by: &str) -> Result<usize, Error> {
    let by = Actor::operator(&said(by, "--by (who resumes)")?);
    Ok(desk.store.resume(scope, &by, desk.clock.now()).await?)
}
