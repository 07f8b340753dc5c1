//! An account's books beside what the broker shows: before a run sends anything, and after it (S15).
//!
//! Nothing is repaired. What the broker's own rows do not explain is asked again for a minute, and then it is a finding.

use std::collections::BTreeMap;

use crate::decide;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::edge::store;
use crate::flow::observe::{Blind, read_account, retried};
use crate::model::books::{Activity, Books, Ledgers, Sums};
use crate::model::environment::Environment;
use crate::model::ids::{AccountId, Symbol};
use crate::model::intent::Intent;
use crate::model::snapshot::{AccountView, Holding, Shares};

/// What the broker shows, as sums.
pub(super) fn shown(account: &AccountView, holdings: &BTreeMap<Symbol, Holding>) -> Sums {
    let mut shares = Shares::default();
    for (symbol, holding) in holdings {
        shares.change(symbol, holding.qty);
    }
    Sums { cash: account.cash, shares }
}

/// The books carried on, or both ledgers where they differ; no books where none can be opened yet.
pub(super) type Compared = Result<Option<Books>, Box<Ledgers>>;

/// Compares what the broker shows with the books and the broker's rows since; an account without books opens them. With
/// what came of it are the rows that were not counted before.
///
/// # Errors
/// [`Blind`] when the rows cannot be seen.
pub(super) async fn compare<E: Environment>(
    world: &World,
    access: &Access<E>,
    (books, intents): (Option<&Books>, &[Intent]),
    sums: &Sums,
) -> Result<(Compared, Vec<Activity>), Blind> {
    let now = world.clock.now();
    let since = books.map_or(now, |books| books.at) - decide::books::LATE_BY;
    let rows = retried(world, || world.alpaca.activities(access, since)).await?;
    let fresh = decide::books::fresh(books, &rows);
    let Some(books) = books else {
        let Some(books) = decide::books::opened(sums, &rows, now) else { return Ok((Ok(None), fresh)) };
        // A row that came between the look and the rows would never be in the sums: the look must still be true.
        let (account, holdings, _) = read_account(world, access).await?;
        let again = shown(&account, &holdings);
        if again == *sums {
            return Ok((Ok(Some(books)), fresh));
        }
        let differences = vec!["the account changes while its books are opened".to_owned()];
        return Ok((Err(Box::new(Ledgers { at: now, ours: sums.clone(), theirs: again, differences })), fresh));
    };
    Ok((decide::books::carried_on(books, (&rows, intents), sums, now).map(Some), fresh))
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
