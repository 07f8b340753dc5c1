//! An account's books beside what the broker shows: before a run sends anything, and after it (S15).
//!
//! Nothing is repaired. What the broker's own rows do not explain is asked again for a minute, and then it is a finding.

use std::collections::BTreeMap;

use crate::decide;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::flow::observe::{Blind, read_account, retried};
use crate::model::books::{Books, Ledgers, Sums};
use crate::model::environment::Environment;
use crate::model::ids::Symbol;
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

/// Compares what the broker shows with the books and the broker's rows since; an account without books opens them. The
/// inner result is the books carried on, or both ledgers where they differ; no books where none can be opened
/// yet.
///
/// # Errors
/// [`Blind`] when the rows cannot be seen.
pub(super) async fn compare<E: Environment>(
    world: &World,
    access: &Access<E>,
    (books, intents): (Option<&Books>, &[Intent]),
    sums: &Sums,
) -> Result<Result<Option<Books>, Box<Ledgers>>, Blind> {
    let now = world.clock.now();
    let since = books.map_or(now, |books| books.at) - decide::books::LATE_BY;
    let rows = retried(world, || world.alpaca.activities(access, since)).await?;
    let Some(books) = books else {
        let Some(books) = decide::books::opened(sums, &rows, now) else { return Ok(Ok(None)) };
        // A row that came between the look and the rows would never be in the sums: the look must still be true.
        let (account, holdings, _) = read_account(world, access).await?;
        let again = shown(&account, &holdings);
        if again == *sums {
            return Ok(Ok(Some(books)));
        }
        let differences = vec!["the account changes while its books are opened".to_owned()];
        return Ok(Err(Box::new(Ledgers { at: now, ours: sums.clone(), theirs: again, differences })));
    };
    Ok(decide::books::carried_on(books, (&rows, intents), sums, now).map(Some))
}
