//! Asking the broker what became of orders: by their own ids, or all of an account together.
//!
//! Always: only what the broker shows is taken over, and it is stored as it comes. Absence is believed only after a quiet
//! period, because orders may land late (row 4), and a refused token is asked about once more before it counts as dead
//! (L8): after that nothing is asked with it any more (row 75).

use crate::decide;
use crate::edge::World;
use crate::edge::alpaca::{self, Access};
use crate::edge::points;
use crate::edge::store::{self, Claim};
use crate::model::environment::Environment;
use crate::model::intent::{Intent, IntentUpdate};
use crate::model::report::OrderReport;
use crate::model::time::{Moment, Span};

/// The broker's list begins this much before the first intent: its clock and ours differ a little.
const CLOCKS_DIFFER: Span = Span::from_secs(60);

/// How often a refused token is asked about before nothing is known of it.
const CONFIRMATIONS: u32 = 3;

/// What became of one order, as far as the broker says.
pub(super) enum Found {
    /// The broker has it, or it is settled otherwise.
    Settled(Box<IntentUpdate>),
    /// The broker says, through the whole quiet period, that it does not have it.
    Absent,
    /// The broker does not say.
    Silence,
    /// The broker refuses the token, also when asked again.
    Dead(String),
}

/// What a refusal of the token turned out to be.
pub(super) enum TokenIs {
    /// Refused again: the user must connect again.
    Dead(String),
    /// The broker lets it in: the refusal was about the request, or the broker's own trouble.
    Alive,
    /// The broker does not say.
    Unclear,
}

/// Asks for one intent's own id until there is an answer, with a quiet period for orders that land late.
pub(super) async fn ask<E: Environment>(world: &World, access: &Access<E>, intent: &Intent) -> Found {
    let mut absent = false;
    let mut asks = 0;
    while let Some(pause) = decide::backoff::ask_after(asks) {
        world.clock.sleep(pause).await;
        world.points.cross(points::ASKING.of(intent.phase)).await;
        match world.alpaca.order_by_client_id(access, &intent.client_order_id).await {
            Ok(Some(report)) => {
                return Found::Settled(Box::new(decide::order::apply(intent, &report, world.clock.now())));
            }
            Ok(None) => absent = true,
            Err(alpaca::Error::Unauthorized { .. }) => {
                return match confirm(world, access).await {
                    TokenIs::Dead(message) => Found::Dead(message),
                    TokenIs::Alive | TokenIs::Unclear => Found::Silence,
                };
            }
            Err(error) => {
                absent = false;
                rest(world, &error).await;
            }
        }
        asks += 1;
    }
    if absent { Found::Absent } else { Found::Silence }
}

/// Looks for all intents in doubt together, so that a crash with many of them costs one quiet period, not one for each:
/// by the account's list, and in the end by each one's own id. What is found is stored at once. Returns the intents, and
/// for each one whether it is proven that the broker does not have it.
///
/// # Errors
/// When the database fails: what was found so far stays stored.
pub(super) async fn search<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    access: &Access<E>,
    mut intents: Vec<Intent>,
) -> Result<Vec<(Intent, bool)>, store::Error> {
    let mut asks = 0;
    while intents.iter().any(Intent::is_in_doubt) {
        let Some(pause) = decide::backoff::ask_after(asks) else { break };
        world.clock.sleep(pause).await;
        asks += 1;
        match world.alpaca.orders_since(access, beginning(&intents, world.clock.now())).await {
            Ok(reports) => intents = learn(world, claim, intents, &reports).await?,
            Err(alpaca::Error::Unauthorized { .. }) => return Ok(unproven(intents)),
            Err(error) => rest(world, &error).await,
        }
    }
    let mut searched = Vec::with_capacity(intents.len());
    for intent in intents {
        if !intent.is_in_doubt() {
            searched.push((intent, false));
            continue;
        }
        match world.alpaca.order_by_client_id(access, &intent.client_order_id).await {
            Ok(Some(report)) => {
                let found = learn(world, claim, vec![intent], &[report]).await?;
                searched.extend(found.into_iter().map(|intent| (intent, false)));
            }
            Ok(None) => searched.push((intent, true)),
            Err(error) => {
                rest(world, &error).await;
                searched.push((intent, false));
            }
        }
    }
    Ok(searched)
}

fn unproven(intents: Vec<Intent>) -> Vec<(Intent, bool)> {
    intents.into_iter().map(|intent| (intent, false)).collect()
}

/// Since when the broker's list must reach back to show all of these.
pub(super) fn beginning(intents: &[Intent], otherwise: Moment) -> Moment {
    intents.iter().map(|intent| intent.recorded_at).min().unwrap_or(otherwise) - CLOCKS_DIFFER
}

/// Takes over what the broker shows, and stores it.
///
/// # Errors
/// When the database fails: then nothing of it is stored.
pub(super) async fn learn<E: Environment>(
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
                followed.push(intent.after(&update));
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

/// Asks once more with a token that was refused, by a question that changes nothing.
pub(super) async fn confirm<E: Environment>(world: &World, access: &Access<E>) -> TokenIs {
    for _ in 0..CONFIRMATIONS {
        match world.alpaca.account(access).await {
            Ok(_) => return TokenIs::Alive,
            Err(alpaca::Error::Unauthorized { message }) => return TokenIs::Dead(message),
            Err(error) => {
                world.clock.sleep(Span::from_secs(1)).await;
                rest(world, &error).await;
            }
        }
    }
    TokenIs::Unclear
}

/// Waits as long as the broker wants silence.
async fn rest(world: &World, error: &alpaca::Error) {
    if let alpaca::Error::Throttled { until: Some(until) } = error {
        world.clock.sleep_until(*until).await;
    }
}
