//! The life of the keys: seal every token with a new key, or destroy every token.
//!
//! Both work beside a running daemon. A rotation may be killed at any row and begun again: each row is sealed with one key
//! or the other, never with none, and the daemon opens both while it lasts.

use crate::edge::World;
use crate::edge::store::{self, SealedToken};
use crate::edge::vault::{self, Owner, Vault};
use crate::flow::approve::{self, Desk};
use crate::flow::cancel::{self, Cancelled};
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, HaltId};
use crate::model::mandate::{Halt, HaltScope};

/// Rows read at once.
const PAGE: i64 = 200;

/// How often the traces are wiped before the command gives up.
const WIPES: u32 = 20;

/// Why it was not done, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A word is missing.
    #[error(transparent)]
    Act(#[from] approve::Error),
    /// The database failed; what was done stays done.
    #[error("the database failed; what was done stays done, run it again")]
    Store(#[from] store::Error),
    /// A token opens with none of the keys at hand.
    #[error("the token of grant {grant} does not open; name the key that sealed it (`vault.previous_key_file`)")]
    Closed {
        /// Whose.
        grant: String,
        /// Why.
        #[source]
        source: vault::Error,
    },
}

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// Tokens sealed with the current key now that were not before.
    pub resealed: usize,
}

/// Seals every token with the vault's current key. `tell` hears of each row: how many are done, and of how many.
///
/// # Errors
/// [`Error`]; rows before the fault are sealed with the new key and stay so.
pub async fn rotate(
    desk: &Desk<'_>,
    vault: &Vault,
    by: &str,
    mut tell: impl FnMut(usize, usize),
) -> Result<Rotated, Error> {
    let by = Actor::operator(&approve::said_by(by, "--by (who rotates)")?);
    let total = desk.store.tokens_to_reseal(vault.key_id()).await?;
    let mut resealed = 0;
    tell(resealed, total);
    // A token that changed while it was sealed again is looked at once more: the rows are read until none is left.
    while desk.store.tokens_to_reseal(vault.key_id()).await? > 0 {
        let mut after = String::new();
        loop {
            let page = desk.store.next_to_reseal(vault.key_id(), &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            last.grant.as_str().clone_into(&mut after);
            for token in &page {
                resealed += usize::from(reseal(desk, vault, token).await?);
                tell(resealed, total.max(resealed));
            }
        }
    }
    wipe(desk).await?;
    let done = Event::new(desk.clock.now(), by, "vault.rotated").with("key", vault.key_id()).with("tokens", resealed);
    desk.store.append(&[done]).await?;
    Ok(Rotated { resealed })
}

async fn reseal(desk: &Desk<'_>, vault: &Vault, token: &SealedToken) -> Result<bool, Error> {
    let owner = Owner { grant: &token.grant, user: &token.user };
    let again = vault
        .rewrap(owner, &token.sealed, desk.entropy)
        .map_err(|source| Error::Closed { grant: token.grant.to_string(), source })?;
    match again {
        Some(sealed) => Ok(desk.store.reseal(token, &sealed).await?),
        None => Ok(false),
    }
}

/// Destroys every token and halts the service: the drill for a leak. Returns how many tokens there were.
///
/// # Errors
/// [`Error`]; when the database failed before the commit, nothing has changed.
pub async fn revoke_all(desk: &Desk<'_>, by: &str, reason: &str) -> Result<usize, Error> {
    let name = approve::said_by(by, "--by (who revokes)")?;
    let halt = Halt {
        id: HaltId::parse(&desk.entropy.id("hlt_")).map_err(approve::Error::from)?,
        scope: HaltScope::Service,
        reason: approve::said(reason, "--reason")?,
        by: name.clone(),
        pulled_at: desk.clock.now(),
        released: None,
    };
    let destroyed = desk.store.revoke_all(&halt, &Actor::operator(&name), halt.pulled_at).await?;
    wipe(desk).await?;
    Ok(destroyed)
}

/// A user leaves: what the account follows ends, and its token is destroyed unless another account of the same grant needs
/// it.
///
/// # Errors
/// [`store::Error::Conflict`] when there is no such account or the traces could not be wiped; otherwise when the database
/// fails.
pub async fn disconnect(desk: &Desk<'_>, account: &AccountId, by: &Actor) -> Result<(), store::Error> {
    desk.store.disconnect(account, by, desk.clock.now()).await?;
    wipe(desk).await
}

/// A user leaves while orders of ours may be open: what opens the account is kept in memory only, the token is destroyed, and
/// the orders are cancelled. From the first commit on nothing more is sent for the account, whatever the broker says then.
///
/// # Errors
/// As [`disconnect`].
pub async fn leave(
    world: &World,
    desk: &Desk<'_>,
    account: &AccountId,
    by: &Actor,
) -> Result<Vec<Cancelled>, store::Error> {
    let key = cancel::keep_key(world, account).await?;
    desk.store.disconnect(account, by, desk.clock.now()).await?;
    let wiped = wipe(desk).await;
    // Only now: an order that was recorded and sent until the commit is found too. Traces that could not be wiped keep nobody
    // from cancelling.
    let open = cancel::find_open_with(world, account, key).await?;
    let cancelled = cancel::cancel(world, open, by).await?;
    wiped.map(|()| cancelled)
}

/// Wipes what destroyed or replaced tokens left in the database's files. A reader may be in the way for a moment.
///
/// # Errors
/// When a reader was in the way all the time, or the database fails.
pub async fn wipe(desk: &Desk<'_>) -> Result<(), store::Error> {
    let mut last = desk.store.scrub().await;
    for attempt in 1..WIPES {
        if !matches!(last, Err(store::Error::Conflict { .. })) {
            break;
        }
        desk.clock.sleep(crate::model::time::Span::from_millis(i64::from(50 * attempt))).await;
        last = desk.store.scrub().await;
    }
    last
}
