//! Cleared legs to intents, each under an id derived from what it is (rule 2).

use crate::decide::guard::Cleared;
use crate::model::canon;
use crate::model::environment::Environment;
use crate::model::ids::{NotAnId, RunId};
use crate::model::intent::{Intent, IntentState};
use crate::model::money::Qty;
use crate::model::time::Moment;

/// The first attempt of every leg. A second attempt would need the first to be proven to have ended.
const FIRST: u32 = 1;

/// Makes the intents of one half of a run.
///
/// # Errors
/// Never in practice: derived ids are ids.
pub fn intents<E: Environment>(cleared: &Cleared<E>, run: &RunId, now: Moment) -> Result<Vec<Intent>, NotAnId> {
    let account = cleared.account();
    cleared
        .legs()
        .iter()
        .map(|leg| {
            Ok(Intent {
                id: canon::intent_id(run, leg.phase, &leg.symbol, FIRST)?,
                run: run.clone(),
                account: account.clone(),
                environment: E::KIND,
                phase: leg.phase,
                attempt: FIRST,
                client_order_id: canon::client_order_id((E::KIND, account), run, (leg.phase, &leg.symbol), FIRST)?,
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
