//! Cancelling our own open orders: when a halt asks for it, and when a user leaves.
//!
//! Always: only orders that we recorded are touched, each is named with what became of it, and an order of which nothing
//! is known is never called cancelled. The books of a run stay its worker's: it learns the end by asking the broker.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use tokio::sync::Semaphore;

use crate::decide;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::edge::store;
use crate::edge::vault::Owner;
use crate::model::environment::{Environment, Kind, Live, Paper};
use crate::model::event::{Actor, Event};
use crate::model::ids::AccountId;
use crate::model::intent::Intent;
use crate::model::mandate::HaltScope;
use crate::model::money::Qty;
use crate::model::report::OrderStatus;
use crate::model::secret::AccessToken;
use crate::model::time::Span;

/// Requests that are under way at once; the broker's budget of each account holds beside it.
const AT_ONCE: usize = 64;

/// How often the broker is asked to cancel one order that it has, and what became of it.
const TRIES: u32 = 6;

/// What became of an order that was to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It ended, and nothing more of it can be filled.
    Cancelled,
    /// It was filled before the cancellation came.
    Filled,
    /// The broker did not show it through the whole quiet period, in which an order whose request was lost lands if it does
    /// (row 4). One that lands later still is found by the books.
    Absent,
    /// The broker does not say: it may still be open.
    Unknown,
}

impl Fate {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Filled => "filled",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        }
    }
}

/// One order that was to be cancelled.
#[derive(Debug, Clone)]
pub struct Cancelled {
    /// The order, as it was recorded.
    pub intent: Intent,
    /// What became of it.
    pub fate: Fate,
    /// Shares filled, as far as is known.
    pub filled_qty: Qty,
    /// The broker's last word, or why it is not known.
    pub why: String,
}

/// An order of ours that may be open, with what opens its account: read before a leaving user's token is destroyed.
pub struct Open {
    intent: Intent,
    access: Result<AnyAccess, String>,
}

/// What opens an account of either environment.
#[derive(Clone)]
pub(super) enum AnyAccess {
    Paper(Arc<Access<Paper>>),
    Live(Arc<Access<Live>>),
}

/// Every order of ours inside a scope that may be open.
///
/// # Errors
/// When the database fails.
pub async fn find_open(world: &World, scope: &HaltScope) -> Result<Vec<Open>, store::Error> {
    let inside = |intent: &Intent| match scope {
        HaltScope::Service => true,
        HaltScope::Account(account) => intent.account == *account,
        HaltScope::Symbol(symbol) => intent.symbol == *symbol,
    };
    let mut open = Vec::new();
    for intent in world.store.unsettled().await?.into_iter().filter(inside) {
        let access = any_access(world, &intent.account, intent.environment).await;
        open.push(Open { intent, access });
    }
    Ok(open)
}

/// What opens an account whose token is about to be destroyed; it lives in memory only, until its orders are cancelled.
///
/// # Errors
/// When the database fails.
pub(super) async fn keep_key(world: &World, account: &AccountId) -> Result<Result<AnyAccess, String>, store::Error> {
    match world.store.account(account).await? {
        Some(known) => Ok(any_access(world, account, known.environment).await),
        None => Ok(Err("there is no such account".to_owned())),
    }
}

/// Every order of an account that may be open, with a key that was kept.
///
/// # Errors
/// When the database fails.
pub(super) async fn find_open_with(
    world: &World,
    account: &AccountId,
    key: Result<AnyAccess, String>,
) -> Result<Vec<Open>, store::Error> {
    let unsettled = world.store.unsettled().await?.into_iter().filter(|intent| intent.account == *account);
    Ok(unsettled.map(|intent| Open { intent, access: key.clone() }).collect())
}

async fn any_access(world: &World, account: &AccountId, environment: Kind) -> Result<AnyAccess, String> {
    match environment {
        Kind::Paper => access(world, account).await.map(|access| AnyAccess::Paper(Arc::new(access))),
        Kind::Live => access(world, account).await.map(|access| AnyAccess::Live(Arc::new(access))),
    }
}

/// Cancels them, and says what became of each; each is an event.
///
/// # Errors
/// When the database fails.
pub async fn cancel(world: &World, open: Vec<Open>, by: &Actor) -> Result<Vec<Cancelled>, store::Error> {
    // Every cancellation leaves before the first one is waited for.
    stream::iter(&open).for_each_concurrent(AT_ONCE, |order| ask_to_cancel(world, order)).await;
    // All wait together, so that many orders of which nothing is known cost one quiet period.
    let budget = &Semaphore::new(AT_ONCE);
    let ended = join_all(open.into_iter().map(|Open { intent, access }| async move {
        match access {
            Ok(AnyAccess::Paper(access)) => cancelled(world, intent, &access, budget).await,
            Ok(AnyAccess::Live(access)) => cancelled(world, intent, &access, budget).await,
            Err(why) => unknown(intent, why),
        }
    }))
    .await;
    let now = world.clock.now();
    let events: Vec<Event> = ended
        .iter()
        .map(|order| {
            Event::new(now, by.clone(), "order.cancelled")
                .account(&order.intent.account)
                .run(&order.intent.run)
                .with("client_order_id", &order.intent.client_order_id)
                .with("symbol", &order.intent.symbol)
                .with("fate", order.fate.code())
                .with("filled_qty", order.filled_qty)
                .with("why", &order.why)
        })
        .collect();
    world.store.append(&events).await?;
    Ok(ended)
}

/// Finds and cancels every order of ours inside a scope that may be open.
///
/// # Errors
/// When the database fails.
pub async fn cancel_open(world: &World, scope: &HaltScope, by: &Actor) -> Result<Vec<Cancelled>, store::Error> {
    let open = find_open(world, scope).await?;
    cancel(world, open, by).await
}

fn unknown(intent: Intent, why: String) -> Cancelled {
    let filled_qty = intent.filled_qty;
    Cancelled { intent, fate: Fate::Unknown, filled_qty, why }
}

/// The answer does not matter: what became of the order is read from the order (row 29).
async fn ask_to_cancel(world: &World, open: &Open) {
    let Some(order) = &open.intent.order else { return };
    match &open.access {
        Ok(AnyAccess::Paper(access)) => drop(world.alpaca.cancel(access, order).await),
        Ok(AnyAccess::Live(access)) => drop(world.alpaca.cancel(access, order).await),
        Err(_) => {}
    }
}

async fn cancelled<E: Environment>(world: &World, intent: Intent, access: &Access<E>, budget: &Semaphore) -> Cancelled {
    let mut last = "the broker did not say".to_owned();
    let (mut is_there, mut tries) = (intent.order.is_some(), 0);
    let mut is_absent;
    loop {
        let answer = {
            let _place = budget.acquire().await;
            let answer = world.alpaca.order_by_client_id(access, &intent.client_order_id).await;
            if let Ok(Some(report)) = &answer
                && !report.status.is_end()
            {
                drop(world.alpaca.cancel(access, &report.id).await);
            }
            answer
        };
        is_absent = matches!(answer, Ok(None)) && !is_there;
        match answer {
            Ok(Some(report)) if report.status.is_end() => {
                let is_filled = report.status == OrderStatus::Filled;
                let fate = if is_filled { Fate::Filled } else { Fate::Cancelled };
                return Cancelled { intent, fate, filled_qty: report.filled_qty, why: report.status.word().to_owned() };
            }
            Ok(Some(report)) => {
                report.status.word().clone_into(&mut last);
                if !is_there {
                    (is_there, tries) = (true, 0);
                }
            }
            Ok(None) => "the broker has no such order".clone_into(&mut last),
            Err(error) => last = error.to_string(),
        }
        let Some(pause) = pause(is_there, tries) else { break };
        world.clock.sleep(pause).await;
        tries += 1;
    }
    if is_absent {
        Cancelled { intent, fate: Fate::Absent, filled_qty: Qty::ZERO, why: last }
    } else {
        unknown(intent, last)
    }
}

/// The pause before the next question; `None` when it has been asked for long enough. An order that the broker never showed
/// may be on its way to it for as long as the quiet period lasts.
fn pause(is_there: bool, tries: u32) -> Option<Span> {
    if is_there {
        (tries + 1 < TRIES).then(|| decide::backoff::poll_after(tries))
    } else {
        decide::backoff::ask_after(tries)
    }
}

/// What opens an account; the reason where nothing does.
async fn access<E: Environment>(world: &World, account: &AccountId) -> Result<Access<E>, String> {
    let kept = match world.store.sealed_token(account).await {
        Ok(Some(kept)) => kept,
        Ok(None) => return Err("no token is kept for this account".to_owned()),
        Err(error) => return Err(format!("the token cannot be read: {error}")),
    };
    let owner = Owner { grant: &kept.grant, user: &kept.user };
    let token =
        world.vault.open_sealed(owner, &kept.sealed).map_err(|error| format!("the token does not open: {error}"))?;
    Ok(Access { account: account.clone(), token: AccessToken::new(token) })
}
