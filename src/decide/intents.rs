//! Cleared legs to intents, each under an id derived from what it is (rule 2).

use crate::decide::guard::Cleared;
use crate::decide::legs::Unfilled;
use crate::model::canon;
use crate::model::environment::Environment;
use crate::model::ids::{NotAnId, RunId};
use crate::model::intent::{Intent, IntentState};
use crate::model::money::{Qty, Usd};
use crate::model::plan::{Amount, Phase, Pricing};
use crate::model::time::Moment;

/// The first attempt of every leg. A further one needs the one before it to be proven to have ended.
pub const FIRST: u32 = 1;

/// What is left of the limit orders of one try that ended without being filled: their ends, and what was filled of them, are
/// known. What was rejected, withdrawn or quarantined is nobody's to try again.
pub fn unfilled(intents: &[Intent], phase: Phase, attempt: u32) -> Vec<Unfilled> {
    let of_it =
        intents.iter().filter(|it| it.phase == phase && it.attempt == attempt && it.state == IntentState::Ended);
    of_it
        .filter_map(|intent| {
            let (Amount::Qty(qty), Pricing::Limit(_)) = (intent.amount, intent.pricing) else { return None };
            let spent = intent.filled_avg_price.map_or(Usd::ZERO, |price| (intent.filled_qty * price).ceil_cents());
            let left = Unfilled {
                phase,
                symbol: intent.symbol.clone(),
                qty: qty - intent.filled_qty,
                value: intent.value - spent,
            };
            (left.qty.is_positive() && left.value.is_positive()).then_some(left)
        })
        .collect()
}

/// Whether a later try of the same leg took an intent's place: then its own end is not the leg's.
pub fn is_superseded(intent: &Intent, all: &[Intent]) -> bool {
    all.iter().any(|it| it.phase == intent.phase && it.symbol == intent.symbol && it.attempt > intent.attempt)
}

/// Makes the intents of one try of one half of a run.
///
/// # Errors
/// Never in practice: derived ids are ids.
pub fn intents<E: Environment>(
    cleared: &Cleared<E>,
    (run, attempt): (&RunId, u32),
    now: Moment,
) -> Result<Vec<Intent>, NotAnId> {
    let account = cleared.account();
    cleared
        .legs()
        .iter()
        .map(|leg| {
            Ok(Intent {
                id: canon::intent_id(run, leg.phase, &leg.symbol, attempt)?,
                run: run.clone(),
                account: account.clone(),
                environment: E::KIND,
                phase: leg.phase,
                attempt,
                client_order_id: canon::client_order_id((E::KIND, account), run, (leg.phase, &leg.symbol), attempt)?,
                symbol: leg.symbol.clone(),
                amount: leg.amount,
                pricing: leg.pricing,
                value: leg.value,
                state: IntentState::Recorded,
                order: None,
                filled_qty: Qty::ZERO,
                filled_avg_price: None,
                note: String::new(),
                recorded_at: now,
                settled_at: None,
            })
        })
        .collect()
}
