//! Once a day, every account that no run has looked at is balanced: what its broker shows against its books, explained by the
//! broker's own rows (S15).
//!
//! Always: what cannot be explained halts that account and no other, and is told; what cannot be seen waits for the next
//! round.

use std::collections::BTreeMap;

use crate::decide::backoff::Difference;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::edge::decisions;
use crate::edge::store;
use crate::flow::acquaint;
use crate::flow::bookkeeping::{Beside, compare, disputes, shown, withdrawn};
use crate::flow::course::token;
use crate::flow::observe::{Blind, read_account};
use crate::model::books::Ledgers;
use crate::model::environment::{Environment, Kind, Live, Paper};
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, GrantId, HaltId};
use crate::model::mandate::{Halt, HaltScope};
use crate::model::time::{Moment, Span};

/// Books older than this are looked at.
const A_DAY: Span = Span::from_hours(24);

/// So many accounts in one round: a round is short, and the next one goes on.
const A_ROUND: i64 = 64;

/// An account that could not be seen waits so long for its next turn.
const A_WHILE: Span = Span::from_hours(1);

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balanced {
    /// Accounts whose books agree.
    pub agreed: usize,
    /// Accounts that were halted.
    pub halted: usize,
    /// Accounts that could not be seen.
    pub unseen: usize,
}

/// Accounts that could not be seen, and when: others come first for a while.
pub type Unseen = BTreeMap<AccountId, Moment>;

/// Balances the accounts whose turn it is, one after the other.
///
/// # Errors
/// When the database fails.
pub async fn balance(world: &World, unseen: &mut Unseen) -> Result<Balanced, store::Error> {
    let mut balanced = Balanced::default();
    let now = world.clock.now();
    unseen.retain(|_, at| now.since(*at) < A_WHILE);
    let most = A_ROUND + i64::try_from(unseen.len()).unwrap_or(i64::MAX - A_ROUND);
    let due = world.store.books_due(now - A_DAY, (None, most)).await?;
    for (account, environment) in
        due.into_iter().filter(|(account, _)| !unseen.contains_key(account)).collect::<Vec<_>>()
    {
        let found = match environment {
            Kind::Paper => one::<Paper>(world, &account).await?,
            Kind::Live => one::<Live>(world, &account).await?,
        };
        match found {
            Found::Agreed => balanced.agreed += 1,
            Found::Halted => balanced.halted += 1,
            Found::Unseen => {
                balanced.unseen += 1;
                unseen.insert(account, now);
            }
        }
        world.metrics.balanced(found.code());
    }
    Ok(balanced)
}

#[derive(Clone, Copy)]
enum Found {
    Agreed,
    Halted,
    Unseen,
}

impl Found {
    const fn code(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Halted => "unexplained",
            Self::Unseen => "unseen",
        }
    }
}

async fn one<E: Environment>(world: &World, account: &AccountId) -> Result<Found, store::Error> {
    let Some(books) = world.store.books(account).await? else { return Ok(Found::Unseen) };
    let Ok((grant, token)) = token::<E>(world, account).await? else { return Ok(Found::Unseen) };
    let access = Access { account: account.clone(), token };
    match acquaint::unrecorded(world, &access, Some(&books)).await? {
        Ok(findings) if findings.is_empty() => {}
        Ok(findings) => return halt(world, account, &acquaint::told(&findings)).await.map(|()| Found::Halted),
        Err(blind) => return unseen(world, &grant, blind).await,
    }
    let mut difference = Difference::default();
    loop {
        let (view, holdings, _) = match read_account(world, &access).await {
            Ok(seen) => seen,
            Err(blind) => return unseen(world, &grant, blind).await,
        };
        if view.id != *account {
            return Ok(Found::Unseen); // A run finds this, and says it.
        }
        let sums = shown(&view, &holdings);
        match compare(world, &access, (Some(&books), &[]), &sums).await? {
            Beside::Unseen(blind) => return unseen(world, &grant, blind).await,
            Beside::Agrees { books: next, fresh } => {
                withdrawn(world, account, &fresh).await?;
                if let Some(next) = next {
                    world.store.balance(account, books.at, &next).await?;
                }
                return Ok(Found::Agreed);
            }
            Beside::Differs(ledgers) => {
                if let Some(pause) = difference.again(&ledgers.differences) {
                    world.clock.sleep(pause).await;
                    continue;
                }
                // A run that began meanwhile moves what we look at, and compares by itself.
                if world.store.books_due(books.at + Span::from_micros(1), (Some(account), 1)).await?.is_empty() {
                    return Ok(Found::Unseen);
                }
                return unexplained(world, account, &ledgers).await.map(|()| Found::Halted);
            }
        }
    }
}

/// An account that cannot be seen is left to the next round; one whose token is refused waits for its user (L8).
async fn unseen(world: &World, grant: &GrantId, blind: Blind) -> Result<Found, store::Error> {
    if let Blind::TokenDead(message) = blind {
        world.store.mark_reauth(grant, world.clock.now(), &message).await?;
    }
    Ok(Found::Unseen)
}

/// Nobody can explain the account: it is told, the orders of ours that the rows contradict are disputed, and it is halted.
async fn unexplained(world: &World, account: &AccountId, ledgers: &Ledgers) -> Result<(), store::Error> {
    let told = Event::new(world.clock.now(), Actor::service(), "account.unexplained").account(account);
    let told = told.with("ledgers", decisions::ledgers(ledgers));
    let disputed = disputes(world, account, &ledgers.disputed).await?;
    let halt = halt_of(world, account, &ledgers.differences.join("; "));
    world.store.halt_disputed((account, &halt), (told, &disputed)).await
}

async fn halt(world: &World, account: &AccountId, why: &str) -> Result<(), store::Error> {
    world.store.halt(&halt_of(world, account, why)).await
}

fn halt_of(world: &World, account: &AccountId, why: &str) -> Halt {
    let now = world.clock.now();
    tracing::error!(account.id = %account, "account halted: {why}");
    Halt {
        id: HaltId::of_books(account, now.micros()),
        scope: HaltScope::Account(account.clone()),
        reason: format!("{why}; `rebalanced resume --account {account}` says that the broker is right"),
        by: Actor::service().as_str().to_owned(),
        pulled_at: now,
        released: None,
    }
}
