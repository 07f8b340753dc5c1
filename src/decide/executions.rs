//! Which of the broker's executions are of orders of ours, and whether our record of each order says the same (S15, S16).
//!
//! A record that has ended takes no notice of its order any more, and the order may be executed all the same: it landed
//! hours after we had stopped asking (row 4), or it went on after the broker had called it ended (row 27). The rows of the
//! broker's ledger name every execution, so that is where it is found.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::reconcile::Finding;
use crate::model::books::{Activity, Books};
use crate::model::ids::OrderId;
use crate::model::intent::{Intent, IntentState};
use crate::model::money::Qty;
use crate::model::time::{Moment, Span};

/// Our orders live for a day: so long before its execution one was placed at most.
pub const LIFE: Span = Span::from_hours(24);

/// What rows say of one order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Executed {
    /// Shares executed, less those that were taken back.
    pub qty: Qty,
    /// Some execution was taken back or corrected: even where the shares are the same again, their price is not (row 32).
    pub corrected: bool,
}

/// What was executed of each order that rows name.
pub fn sums(rows: &[Activity]) -> BTreeMap<&OrderId, Executed> {
    let mut executed: BTreeMap<&OrderId, Executed> = BTreeMap::new();
    for row in rows {
        if let Some(order) = &row.order {
            let sum = executed.entry(order).or_default();
            sum.qty += row.executed;
            sum.corrected |= row.corrects;
        }
    }
    executed
}

/// Executions that were never looked at: those that are not in the books. Where there are no books, those after `accepted`,
/// up to which a person said that the broker is right, and of orders all of whose rows are among those read since `since`.
pub fn news<'a>(
    rows: &'a [Activity],
    books: Option<&Books>,
    (accepted, since): (Option<Moment>, Moment),
) -> Vec<&'a Activity> {
    let whole = since + LIFE;
    let from = accepted.map_or(whole, |accepted| accepted.max(whole));
    let is_new = |row: &&Activity| match books {
        Some(books) => !books.counted.contains(&row.id),
        None => row.at.is_some_and(|at| at > from),
    };
    rows.iter().filter(|row| row.order.is_some()).filter(is_new).collect()
}

/// The orders that these rows name.
pub fn orders(rows: &[&Activity]) -> BTreeSet<OrderId> {
    rows.iter().filter_map(|row| row.order.clone()).collect()
}

/// Since when the broker's list of orders must reach back to show those that these rows name.
pub fn beginning(rows: &[&Activity], otherwise: Moment) -> Moment {
    rows.iter().filter_map(|row| row.at).min().unwrap_or(otherwise) - LIFE
}

/// What a record that has ended says otherwise than the broker's rows. One that is still followed, or that waits for a
/// person, says nothing yet.
pub fn unlike(intent: &Intent, executed: Executed) -> Option<Finding> {
    let id = intent.client_order_id.clone();
    let Executed { qty: executed, corrected } = executed;
    match intent.state {
        IntentState::Filled | IntentState::Ended if corrected => {
            Some(Finding::Corrected { id, ours: intent.filled_qty, theirs: executed })
        }
        IntentState::Rejected | IntentState::Withdrawn if !executed.is_zero() => Some(Finding::Ghost(id)),
        // A person has looked at what its rows were then, and these are new: it stays disputed, and its account is halted.
        IntentState::Disputed => Some(Finding::Filled { id, ours: intent.filled_qty, theirs: executed }),
        IntentState::Filled | IntentState::Ended if executed != intent.filled_qty => {
            Some(Finding::Filled { id, ours: intent.filled_qty, theirs: executed })
        }
        _ => None,
    }
}
