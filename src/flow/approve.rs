//! Approve, withdraw, halt, resume: human acts, each an event with a name, a reason and a moment.

use crate::edge::clock::Clock;
use crate::edge::entropy::Entropy;
use crate::edge::store::{self, Store};
use crate::model::event::Actor;
use crate::model::ids::{ApprovalId, HaltId, StrategyName, StrategyVersion};
use crate::model::mandate::{Approval, ApprovalKind, Halt, HaltScope};
use crate::model::operator::{Operator, OperatorName, Scope};
use crate::model::strategy::Strategy;
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
    /// The name is the service's own.
    #[error("`service` is the service's own name; act under yours")]
    TakenName,
    /// The operator may not do this.
    #[error("operator {name} has not the scope `{scope}`")]
    MayNot {
        /// Who.
        name: OperatorName,
        /// What they lack.
        scope: Scope,
    },
    /// Another version than the one that was read would be approved.
    #[error("`{name}` is version {now} now, and {read} was read: read that one, and approve what you have read")]
    OtherVersion {
        /// The strategy.
        name: StrategyName,
        /// What would be approved.
        now: StrategyVersion,
        /// What was read.
        read: String,
    },
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

/// A name under which somebody acts: it must be there, and must not be the service's own.
///
/// # Errors
/// [`Error::Missing`], [`Error::TakenName`].
pub fn said_by(text: &str, what: &'static str) -> Result<String, Error> {
    let name = said(text, what)?;
    if name.eq_ignore_ascii_case(Actor::service().as_str()) {
        return Err(Error::TakenName);
    }
    Ok(name)
}

/// Grants an approval from now on, by a name that nobody has proven.
///
/// # Errors
/// When a name or reason is missing, or the database fails.
pub async fn grant(
    desk: &Desk<'_>,
    kind: ApprovalKind,
    (by, reason): (&str, &str),
    expires_at: Option<Moment>,
) -> Result<Approval, Error> {
    let by = said_by(by, "--by (who approves)")?;
    stored(desk, kind, ((by, false), reason), expires_at).await
}

/// The approval of a strategy as it is now, if that is the version that was read, where one is named.
///
/// # Errors
/// [`Error::OtherVersion`].
pub fn of_strategy(strategy: &Strategy, read: Option<&str>) -> Result<ApprovalKind, Error> {
    let (name, version) = (strategy.name().clone(), strategy.version().clone());
    match read.filter(|read| *read != version.as_str()) {
        Some(read) => Err(Error::OtherVersion { name, now: version, read: read.to_owned() }),
        None => Ok(ApprovalKind::Strategy { name, version }),
    }
}

/// Grants an approval from now on, by an operator who has shown their token.
///
/// # Errors
/// [`Error::MayNot`] without the scope `approve`; otherwise as [`grant`].
pub async fn grant_proven(
    desk: &Desk<'_>,
    kind: ApprovalKind,
    (operator, reason): (&Operator, &str),
    expires_at: Option<Moment>,
) -> Result<Approval, Error> {
    if !operator.may(Scope::Approve) {
        return Err(Error::MayNot { name: operator.name.clone(), scope: Scope::Approve });
    }
    stored(desk, kind, ((operator.name.to_string(), true), reason), expires_at).await
}

async fn stored(
    desk: &Desk<'_>,
    kind: ApprovalKind,
    ((by, proven), reason): ((String, bool), &str),
    expires_at: Option<Moment>,
) -> Result<Approval, Error> {
    let approval = Approval {
        id: ApprovalId::parse(&desk.entropy.id("apr_"))?,
        kind,
        by,
        proven,
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
    let by = Actor::operator(&said_by(by, "--by (who withdraws)")?);
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
        by: said_by(by, "--by (who halts)")?,
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
    let by = Actor::operator(&said_by(by, "--by (who resumes)")?);
    Ok(desk.store.resume(scope, &by, desk.clock.now()).await?)
}
