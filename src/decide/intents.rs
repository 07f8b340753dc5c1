//! Cleared legs to intents, each under an id derived from what it is (rule 2).

use crate::decide::guard::Cleared;
use crate::model::canon;
use crate::model::environment::Environment;
use crate::model::ids::{NotAnId, RunId};
use crate::model::intent::{Intent, IntentState, Unfilled};
use crate::model::money::{Qty, Usd};
use crate::model::plan::{Amount, Phase, Pricing};
use crate::model::time::{Moment, Span};

/// What is left of the limit orders of one try whose wait of `patience` was over before they ended: their ends, and what was
/// filled of them, are known. One that ended sooner was ended by somebody else, as by its user, and is theirs to end. What was
/// rejected, withdrawn or quarantined is nobody's to try again.
pub fn unfilled(intents: &[Intent], (phase, attempt): (Phase, u32), patience: Span) -> Vec<Unfilled> {
    let of_it = |it: &&Intent| it.phase == phase && it.attempt == attempt && it.state == IntentState::Ended;
    let waited = |it: &&Intent| it.settled_at.is_some_and(|end| end.since(it.recorded_at) >= patience);
    let left = |intent: &Intent| {
        let (Amount::Qty(qty), Pricing::Limit(limit)) = (intent.amount, intent.pricing) else { return None };
        let spent = (intent.filled_qty * intent.filled_avg_price.unwrap_or(limit)).ceil_cents();
        let (qty, value) = (qty - intent.filled_qty, intent.value - spent);
        // A sale that brought more than was reckoned still has its other shares.
        let value = if phase == Phase::Sell { value.max(Usd::CENT) } else { value };
        let is_any = qty.is_positive() && value.is_positive();
        is_any.then(|| Unfilled { phase, symbol: intent.symbol.clone(), qty, value })
    };
    intents.iter().filter(of_it).filter(waited).filter_map(left).collect()
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
