//! The first look of a process at an account: is this the database that the account's orders were recorded in?
//!
//! Always: before a process sends its first order for an account, or moves its books, no order in our form stands at the
//! broker that this database does not know (S16, row 23). If one does, the database is an older copy, or another service
//! works under our name, and a person must look.

use crate::decide;
use crate::decide::reconcile::Finding;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::edge::store;
use crate::flow::observe::{Blind, retried};
use crate::model::books::Books;
use crate::model::environment::Environment;
use crate::model::time::{Moment, Span};

/// How far back an account's orders are read at most: what came before its books agreed the last time is in them.
const PAST: Span = Span::from_hours(7 * 24);

/// The broker's clock and ours differ a little.
const CLOCKS_DIFFER: Span = Span::from_secs(60);

/// Orders in our form at the broker that this database does not know; none when this process has looked before.
///
/// # Errors
/// [`Blind`] when the broker's list cannot be seen; the outer error when the database fails.
pub(super) async fn unrecorded<E: Environment>(
    world: &World,
    access: &Access<E>,
    books: Option<&Books>,
) -> Result<Result<Vec<Finding>, Blind>, store::Error> {
    let account = &access.account;
    if world.store.is_acquainted(account) {
        return Ok(Ok(Vec::new()));
    }
    // Without books the account is new, or this is a copy from before its first run, or a person has said that what the
    // broker showed until then is right.
    let since = match books {
        Some(books) => Some(books.at - CLOCKS_DIFFER),
        None => world.store.last_release(account).await?,
    };
    let oldest = world.clock.now() - PAST;
    let found = since_then(world, access, since.map_or(oldest, |since| since.max(oldest))).await?;
    if found.as_ref().is_ok_and(Vec::is_empty) {
        world.store.acquaint(account);
    }
    Ok(found)
}

async fn since_then<E: Environment>(
    world: &World,
    access: &Access<E>,
    since: Moment,
) -> Result<Result<Vec<Finding>, Blind>, store::Error> {
    let reports = match retried(world, || world.alpaca.orders_since(access, since)).await {
        Ok(reports) => reports,
        Err(blind) => return Ok(Err(blind)),
    };
    let mut findings = Vec::new();
    for finding in decide::reconcile::strangers(&[], &reports) {
        // What became of orders that are on record is their own run's to find out.
        if let Finding::Stranger(id) = &finding
            && world.store.intent_named(id.as_str()).await?.is_none()
        {
            findings.push(finding);
        }
    }
    Ok(Ok(findings))
}

/// These in one line, for whoever must look.
pub(super) fn told(findings: &[Finding]) -> String {
    let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
    all.join("; ")
}
