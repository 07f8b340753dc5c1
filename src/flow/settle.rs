//! Follow orders to their end, then compare with the broker's ledger.
//!
//! Polling makes it correct. Every wait has a deadline; at the deadline what is left is cancelled and the exact filled
//! quantity is taken over (row 26). What does not end even then is quarantined, never sent again (row 28).

use crate::decide;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::edge::store::{self, Claim};
use crate::flow::dispatch::updated;
use crate::model::environment::Environment;
use crate::model::intent::{Intent, IntentState, IntentUpdate};
use crate::model::report::OrderReport;
use crate::model::time::{Moment, Span};

/// How long a cancelled order may take to end before it is quarantined.
const CANCEL_GRACE: Span = Span::from_secs(60);

/// Follows every intent to an end, or to quarantine.
///
/// # Errors
/// When the database fails: recovery follows them again.
pub async fn follow<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    access: &Access<E>,
    mut intents: Vec<Intent>,
) -> Result<Vec<Intent>, store::Error> {
    let started = world.clock.now();
    let deadline = deadline(world, started);
    let mut cancelled_at: Option<Moment> = None;
    let mut polls = 0;
    while intents.iter().any(|intent| !intent.state.is_terminal()) {
        let now = world.clock.now();
        match cancelled_at {
            Some(at) if now.since(at) >= CANCEL_GRACE => {
                return give_up(world, claim, intents).await;
            }
            None if now >= deadline => {
                cancel_open(world, access, &intents).await;
                cancelled_at = Some(now);
                polls = 0;
            }
            _ => {}
        }
        world.clock.sleep(decide::backoff::poll_after(polls)).await;
        polls += 1;
        let since = intents.iter().map(|intent| intent.recorded_at).min().unwrap_or(started) - Span::from_secs(60);
        // A poll that fails is a poll that is late: the deadline ends it, never a guess.
        if let Ok(reports) = world.alpaca.orders_since(access, since).await {
            intents = learn(world, claim, intents, &reports).await?;
        }
    }
    Ok(intents)
}

/// The wait ends with the session at the latest: day orders end there too.
fn deadline(world: &World, started: Moment) -> Moment {
    let patience = started + world.order_wait;
    world.sessions.at(started).map_or(patience, |session| patience.min(session.close + Span::from_secs(5)))
}

async fn learn<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    intents: Vec<Intent>,
    reports: &[OrderReport],
) -> Result<Vec<Intent>, store::Error> {
    let now = world.clock.now();
    let mut updates = Vec::new();
    let mut followed = Vec::with_capacity(intents.len());
    for intent in intents {
        let report = reports.iter().find(|report| report.client_order_id == intent.client_order_id);
        match report {
            Some(report) if !intent.state.is_terminal() => {
                let update = decide::order::apply(&intent, report, now);
                if differs(&intent, &update) {
                    updates.push(update.clone());
                }
                followed.push(updated(intent, &update));
            }
            _ => followed.push(intent),
        }
    }
    if !updates.is_empty() {
        world.store.settle(claim, &updates, now).await?;
    }
    Ok(followed)
}

fn differs(intent: &Intent, update: &IntentUpdate) -> bool {
    intent.state != update.state || intent.filled_qty != update.filled_qty || intent.order != update.order
}

async fn cancel_open<E: Environment>(world: &World, access: &Access<E>, intents: &[Intent]) {
    for intent in intents.iter().filter(|intent| !intent.state.is_terminal()) {
        if let Some(order) = &intent.order {
            // The answer does not matter: what became of the order is read from the order (row 29).
            drop(world.alpaca.cancel(access, order).await);
        }
    }
}

async fn give_up<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    intents: Vec<Intent>,
) -> Result<Vec<Intent>, store::Error> {
    let now = world.clock.now();
    let mut updates = Vec::new();
    let mut left = Vec::with_capacity(intents.len());
    for intent in intents {
        if intent.state.is_terminal() {
            left.push(intent);
            continue;
        }
        let why = format!("not ended {} s after it was cancelled; last known: {}", CANCEL_GRACE.as_secs(), intent.note);
        let update = decide::order::quarantined(&intent, &why, now);
        left.push(updated(intent, &update));
        updates.push(update);
    }
    world.store.settle(claim, &updates, now).await?;
    Ok(left)
}

/// What the broker's ledger says that ours does not, for the orders of one run. `None`: the broker did not say.
pub async fn compare<E: Environment>(
    world: &World,
    access: &Access<E>,
    intents: &[Intent],
) -> Option<Vec<decide::reconcile::Finding>> {
    let since = intents.iter().map(|intent| intent.recorded_at).min()? - Span::from_secs(60);
    let reports = world.alpaca.orders_since(access, since).await.ok()?;
    Some(decide::reconcile::reconcile(intents, &reports))
}

/// Whether any of these was filled, wholly or in part.
pub fn any_filled(intents: &[Intent]) -> bool {
    intents.iter().any(|intent| intent.filled_qty.is_positive())
}

/// Whether any of these waits for a person.
pub fn any_quarantined(intents: &[Intent]) -> bool {
    intents.iter().any(|intent| intent.state == IntentState::Quarantined)
}
