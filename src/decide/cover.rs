//! Whether an order that waited is still covered by what its account holds (S6, S7).
//!
//! An order is reckoned from a look at the account. One that leaves much later than it was recorded, because its process
//! died, slept or asked for long, is held beside another look: the user may have sold by hand or withdrawn cash meanwhile
//! (rows 34 and 55). What is not known counts as not there (rule 5).

use std::collections::BTreeMap;

use crate::model::ids::Symbol;
use crate::model::intent::Intent;
use crate::model::money::{Qty, Usd};
use crate::model::plan::{Amount, Phase, Side};
use crate::model::snapshot::{AccountView, Holding, OpenOrder};
use crate::model::verdict::{Refusal, RefusalCode};

/// Why an order that waited may not leave from the account of now: it would sell more than is held and free, or buy for more
/// than the cash that open purchases leave.
pub fn uncovered(
    intent: &Intent,
    account: &AccountView,
    (holdings, open): (&BTreeMap<Symbol, Holding>, &[OpenOrder]),
) -> Option<Refusal> {
    if !account.can_trade() {
        let detail = "it waited, and the broker does not let the account trade now".to_owned();
        return Some(Refusal { code: RefusalCode::AccountBlocked, detail });
    }
    match intent.phase {
        Phase::Sell => {
            let free = holdings.get(&intent.symbol).map_or(Qty::ZERO, |holding| holding.available.min(holding.qty));
            let is_covered = matches!(intent.amount, Amount::Qty(qty) if qty <= free);
            (!is_covered).then(|| {
                let detail = format!("it waited, and of {} only {free} are held and free now", intent.symbol);
                Refusal { code: RefusalCode::Oversell, detail }
            })
        }
        Phase::Buy => {
            let cost = match intent.amount {
                Amount::Notional(notional) => notional.max(intent.value),
                Amount::Qty(_) => intent.value,
            };
            let taken = open.iter().filter(|order| order.side == Side::Buy).map(|order| order.reserves);
            let free = taken.sum::<Option<Usd>>().map(|taken| account.cash - taken);
            free.is_none_or(|free| cost > free).then(|| {
                let there = free.map_or("what open purchases leave is not known".to_owned(), |free| {
                    format!("{free} dollars of cash are there now")
                });
                let detail = format!("it waited, and it costs {cost} dollars, but {there}");
                Refusal { code: RefusalCode::Overspend, detail }
            })
        }
    }
}
