//! An account's books beside what the broker shows: before a run sends anything, and after it (S15).
//!
//! Nothing is repaired. What the broker's own rows do not explain is asked again for a minute, and then it is a finding.

use std::collections::BTreeMap;

use crate::decide;
use crate::decide::reconcile::Finding;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::edge::store;
use crate::flow::executions;
use crate::flow::observe::{Blind, read_account, retried};
use crate::model::books::{Activity, Books, Ledgers, Sums};
use crate::model::environment::Environment;
use crate::model::ids::{AccountId, ClientOrderId, Symbol};
use crate::model::intent::{Intent, IntentState, IntentUpdate};
use crate::model::snapshot::{AccountView, Holding, Shares};
use crate::model::time::Moment;

/// What the broker shows, as sums.
pub(super) fn shown(account: &AccountView, holdings: &BTreeMap<Symbol, Holding>) -> Sums {
    let mut shares = Shares::default();
    for (symbol, holding) in holdings {
        shares.change(symbol, holding.qty);
    }
    Sums { cash: account.cash, shares }
}

/// What the broker shows, beside the books and its own rows since.
pub(super) enum Beside {
    /// They agree: the books carried on, or none where none can be opened yet.
    Agrees {
        books: Option<Books>,
        /// The rows that were not counted before.
        fresh: Vec<Activity>,
    },
    /// They do not: both ledgers.
    Differs(Box<Ledgers>),
    /// The rows cannot be seen.
    Unseen(Blind),
}

/// Compares what the broker shows with the books and the broker's rows since; an account without books opens them.
///
/// # Errors
/// When the database fails.
pub(super) async fn compare<E: Environment>(
    world: &World,
    access: &Access<E>,
    (books, intents): (Option<&Books>, &[Intent]),
    sums: &Sums,
) -> Result<Beside, store::Error> {
    let now = world.clock.now();
    let since = books.map_or(now, |books| books.at) - decide::books::LATE_BY;
    let rows = match retried(world, || world.alpaca.activities(access, since)).await {
        Ok(rows) => rows,
        Err(blind) => return Ok(Beside::Unseen(blind)),
    };
    let fresh = decide::books::fresh(books, &rows);
    let found = match executions::overlooked(world, access, (books, since), (&rows, intents)).await? {
        Ok(found) => found,
        Err(blind) => return Ok(Beside::Unseen(blind)),
    };
    let Some(books) = books else {
        return Ok(if found.is_empty() {
            open(world, access, (sums, now), (&rows, fresh)).await.unwrap_or_else(Beside::Unseen)
        } else {
            differs(now, (sums, sums), &found, Vec::new())
        });
    };
    Ok(match decide::books::carried_on(books, (&rows, intents), found, (sums, now)) {
        Ok(books) => Beside::Agrees { books: Some(books), fresh },
        Err(ledgers) => Beside::Differs(ledgers),
    })
}

/// The first books of an account, where they can be opened.
async fn open<E: Environment>(
    world: &World,
    access: &Access<E>,
    (sums, now): (&Sums, Moment),
    (rows, fresh): (&[Activity], Vec<Activity>),
) -> Result<Beside, Blind> {
    let Some(books) = decide::books::opened(sums, rows, now) else { return Ok(Beside::Agrees { books: None, fresh }) };
    // A row that came between the look and the rows would never be in the sums: the look must still be true.
    let (account, holdings, _) = read_account(world, access).await?;
    let again = shown(&account, &holdings);
    if again == *sums {
        return Ok(Beside::Agrees { books: Some(books), fresh });
    }
    let why = "the account changes while its books are opened".to_owned();
    Ok(differs(now, (sums, &again), &[], vec![why]))
}

fn differs(at: Moment, (ours, theirs): (&Sums, &Sums), found: &[Finding], mut differences: Vec<String>) -> Beside {
    differences.extend(found.iter().map(ToString::to_string));
    let disputed = decide::reconcile::disputed(found);
    Beside::Differs(Box::new(Ledgers { at, ours: ours.clone(), theirs: theirs.clone(), differences, disputed }))
}

/// The orders of ours that the broker's rows contradict, as they are to be stored together with the halt of their account:
/// disputed (S14).
///
/// # Errors
/// When the database fails.
pub(super) async fn disputes(
    world: &World,
    account: &AccountId,
    disputed: &[(ClientOrderId, String)],
) -> Result<Vec<IntentUpdate>, store::Error> {
    if disputed.is_empty() {
        return Ok(Vec::new());
    }
    let said: BTreeMap<&ClientOrderId, &String> = disputed.iter().map(|(id, why)| (id, why)).collect();
    let ids = said.keys().map(|id| (*id).clone()).collect();
    let intents = world.store.intents_by_client_id(account, &ids).await?;
    let now = world.clock.now();
    let mut updates = Vec::new();
    for intent in &intents {
        let Some(why) = said.get(&intent.client_order_id) else { continue };
        if decide::order::may_move(intent.state, IntentState::Disputed) {
            world.metrics.order_settled(intent.phase.side(), IntentState::Disputed);
            updates.push(decide::order::disputed(intent, why, now));
        }
    }
    Ok(updates)
}

/// Counts what left the account towards its pending withdrawal. It is done before the rows are counted in the books: a row
/// that is read again after a crash counts once.
///
/// # Errors
/// When the database fails.
pub(super) async fn withdrawn(world: &World, account: &AccountId, rows: &[Activity]) -> Result<(), store::Error> {
    let left: Vec<Activity> = rows.iter().filter(|row| decide::books::left(row)).cloned().collect();
    if left.is_empty() {
        return Ok(());
    }
    world.store.withdrawn(account, &left, world.clock.now()).await
}
