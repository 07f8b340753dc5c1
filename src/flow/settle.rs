//! Follow orders to their end, then compare with the broker's ledger.
//!
//! Polling makes it correct; the broker's stream makes it quick, and nothing else depends on it. Every wait has a deadline; at the deadline what is left is cancelled and the exact filled
//! quantity is taken over (row 26). What does not end even then is quarantined, never sent again (row 28).

use crate::decide;
use crate::decide::reconcile::Finding;
use crate::edge::World;
use crate::edge::alpaca::{self, Access, News};
use crate::edge::points;
use crate::edge::store::{self, Claim};
use crate::flow::dispatch::Sent;
use crate::flow::inquire::{self, TokenIs};
use crate::model::environment::Environment;
use crate::model::ids::ClientOrderId;
use crate::model::intent::{Intent, IntentState};
use crate::model::plan::Phase;
use crate::model::report::OrderReport;
use crate::model::time::{Moment, Span};
use crate::model::zoo::{Bug, planted};

/// How long a cancelled order may take to end before it is quarantined.
const CANCEL_GRACE: Span = Span::from_secs(60);

/// A broker that answered so recently is one that says what it has; before that it is silent.
const TALKING: Span = Span::from_secs(20);

/// How long a broker may be silent after a cancellation before a person must look. Silence says nothing about an order, so
/// it is waited out as long as a run can sensibly be kept.
const SILENCE: Span = Span::from_mins(30);

/// How often the broker's ledger is read before a difference is believed: its list may lag behind its orders.
const LOOKS: u32 = 5;

/// So far before the run the broker's ledger is read too: an order of an earlier run that came after we believed that it
/// never would is found here, also while nothing of it is filled. Its executions are found by the books, however late, and by
/// runs that send nothing.
const LOOK_BACK: Span = Span::from_hours(24);

/// A worker whose database is silent for so long cancels its own open orders, from memory, and lets go of the run: nobody
/// would write down what they become (reliability 3).
const MEMORY_LOSS: Span = Span::from_secs(30);

/// Follows every intent to an end, or to quarantine: what has not ended by itself after `patience` is cancelled. With a token that is dead nothing can be followed (row 75).
///
/// # Errors
/// When the database fails for longer than a moment, or another worker has the run: recovery follows them again.
pub async fn follow<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    access: &Access<E>,
    (mut sent, patience): (Sent, Span),
) -> Result<Sent, store::Error> {
    let started = world.clock.now();
    let deadline = deadline(world, started, patience);
    let mut cancelled_at: Option<Moment> = None;
    let mut silent_since: Option<Moment> = None;
    let mut heard_at = started;
    let mut polls = 0;
    let mut news = world.alpaca.news(access, sent.intents.len());
    while sent.intents.iter().any(|intent| !intent.state.is_terminal()) {
        if planted(Bug::BuysBeforeSalesFill) && sent.intents.iter().all(|intent| intent.phase == Phase::Sell) {
            return Ok(sent);
        }
        if planted(Bug::OneLook) && polls > 0 {
            return give_up(world, claim, sent, "not ended at the first look").await;
        }
        if let Some(message) = sent.token_dead.clone() {
            let why = format!("the broker refuses the token ({message}), so it cannot be followed");
            return give_up(world, claim, sent, &why).await;
        }
        let now = world.clock.now();
        match cancelled_at {
            Some(at) if is_over(now, at, heard_at) => {
                let why = format!("not ended {} s after it was cancelled", CANCEL_GRACE.as_secs());
                return give_up(world, claim, sent, &why).await;
            }
            // A cancellation may be lost: as long as an order stands, it is asked for again.
            Some(_) => sent.token_dead = cancel_open(world, access, &sent.intents).await,
            None if now >= deadline && planted(Bug::CancelIsEnd) => {
                cancel_open(world, access, &sent.intents).await;
                return give_up(world, claim, sent, "cancelled").await;
            }
            None if now >= deadline => {
                sent.token_dead = cancel_open(world, access, &sent.intents).await;
                cancelled_at = Some(now);
                polls = 0;
            }
            None => {}
        }
        if sent.token_dead.is_some() {
            continue;
        }
        pause(world, &mut news, polls).await;
        polls += 1;
        match poll(world, claim, access, &mut sent).await {
            Ok(Heard::Ledger) => {
                silent_since = None;
                heard_at = world.clock.now();
            }
            Ok(Heard::Nothing) => silent_since = None,
            Err(error @ store::Error::ClaimLost { .. }) => return Err(error),
            // Nothing more may be asked of this database, and the process ends (row 63).
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                let now = world.clock.now();
                if now.since(*silent_since.get_or_insert(now)) >= MEMORY_LOSS {
                    cancel_open(world, access, &sent.intents).await;
                    return Err(error);
                }
            }
        }
    }
    Ok(sent)
}

/// Whether a cancelled order has had its time: the broker still shows it as open after the grace, or has said nothing at all
/// for very long.
fn is_over(now: Moment, cancelled_at: Moment, heard_at: Moment) -> bool {
    let waited = now.since(cancelled_at);
    waited >= SILENCE || (waited >= CANCEL_GRACE && now.since(heard_at) <= TALKING)
}

/// What one look at the broker's ledger gave.
enum Heard {
    /// The ledger.
    Ledger,
    /// No answer that means something.
    Nothing,
}

/// Waits for the next look: for as long as polling does, or for less if the stream has news. Most orders have ended at the
/// first look, so no stream is opened before it.
async fn pause(world: &World, news: &mut News, polls: u32) {
    let rest = decide::backoff::poll_after(polls);
    if polls == 0 {
        return world.clock.sleep(rest).await;
    }
    tokio::select! {
        () = world.clock.sleep(rest) => {}
        // One fill may come in many frames; they are gathered.
        () = news.heard() => world.clock.sleep(decide::backoff::AFTER_NEWS).await,
    }
    news.forget();
}

/// Asks once what became of the orders, and writes it down. Whether the run is still ours is asked too, also when there is
/// nothing new: a database that has gone silent must be noticed while orders are open.
async fn poll<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    access: &Access<E>,
    sent: &mut Sent,
) -> Result<Heard, store::Error> {
    let phase = sent.intents.first().map_or(Phase::Sell, |intent| intent.phase);
    world.points.cross(points::POLLING.of(phase)).await;
    if !world.store.holds(claim).await? {
        return Err(store::Error::ClaimLost { run: claim.run().id.to_string() });
    }
    let mut heard = Heard::Nothing;
    match world.alpaca.orders_since(access, inquire::beginning(&sent.intents, world.clock.now())).await {
        Ok(reports) => {
            sent.intents = inquire::learn(world, claim, sent.intents.clone(), &reports).await?;
            heard = Heard::Ledger;
        }
        Err(alpaca::Error::Unauthorized { .. }) => {
            if let TokenIs::Dead(message) = inquire::confirm(world, access).await {
                sent.token_dead = Some(message);
            }
        }
        // A poll that fails is a poll that is late: the deadline ends it, never a guess.
        Err(_) => {}
    }
    world.points.cross(points::POLLED.of(phase)).await;
    Ok(heard)
}

/// The wait ends with the session at the latest: day orders end there too.
fn deadline(world: &World, started: Moment, patience: Span) -> Moment {
    let patience = started + patience;
    world.sessions.at(started).map_or(patience, |session| patience.min(session.close + Span::from_secs(5)))
}

/// Asks for the end of what is open; the broker's words if it refuses the token.
async fn cancel_open<E: Environment>(world: &World, access: &Access<E>, intents: &[Intent]) -> Option<String> {
    for intent in intents.iter().filter(|intent| !intent.state.is_terminal()) {
        if let Some(order) = &intent.order {
            world.points.cross(points::CANCELLING.of(intent.phase)).await;
            // No other answer matters: what became of the order is read from the order (row 29).
            if let Err(alpaca::Error::Unauthorized { .. }) = world.alpaca.cancel(access, order).await
                && let TokenIs::Dead(message) = inquire::confirm(world, access).await
            {
                return Some(message);
            }
        }
    }
    None
}

/// What has not ended waits for a person.
async fn give_up<E: Environment>(world: &World, claim: &Claim<E>, sent: Sent, why: &str) -> Result<Sent, store::Error> {
    let now = world.clock.now();
    let mut updates = Vec::new();
    let mut left = Vec::with_capacity(sent.intents.len());
    for intent in sent.intents {
        if intent.state.is_terminal() {
            left.push(intent);
            continue;
        }
        let update = decide::order::quarantined(&intent, &format!("{why}; last known: {}", intent.note), now);
        left.push(intent.after(&update));
        updates.push(update);
    }
    world.store.settle(claim, &updates, now).await?;
    Ok(Sent { intents: left, token_dead: sent.token_dead })
}

/// What the broker's ledger says.
pub(super) enum Compared {
    /// What it says that ours does not.
    Findings(Vec<Finding>),
    /// Nothing: it could not be read.
    Silence,
    /// Nothing: the broker refuses the token, also when asked again.
    TokenDead(String),
}

/// What the broker's ledger says that ours does not, for the orders of one run. A list that lags behind is asked again
/// before it is believed.
///
/// # Errors
/// When the database fails.
pub(super) async fn compare<E: Environment>(
    world: &World,
    access: &Access<E>,
    intents: &[Intent],
) -> Result<Compared, store::Error> {
    let since = inquire::beginning(intents, world.clock.now()) - LOOK_BACK;
    let mut seen = None;
    for looks in 0..LOOKS {
        if looks > 0 {
            world.clock.sleep(decide::backoff::poll_after(looks)).await;
        }
        let reports = match world.alpaca.orders_since(access, since).await {
            Ok(reports) => reports,
            Err(alpaca::Error::Unauthorized { .. }) => match inquire::confirm(world, access).await {
                TokenIs::Dead(message) => return Ok(Compared::TokenDead(message)),
                TokenIs::Alive | TokenIs::Unclear => continue,
            },
            Err(_) => continue,
        };
        let mut findings = decide::reconcile::reconcile(intents, &reports);
        findings.extend(strangers(world, intents, &reports).await?);
        let agrees = findings.is_empty();
        seen = Some(findings);
        if agrees {
            break;
        }
    }
    Ok(seen.map_or(Compared::Silence, Compared::Findings))
}

/// Orders in our form that are not of this run: nobody recorded them (S16), or by the record of their own run they were
/// never placed.
async fn strangers(world: &World, intents: &[Intent], reports: &[OrderReport]) -> Result<Vec<Finding>, store::Error> {
    let known: Vec<ClientOrderId> = intents.iter().map(|intent| intent.client_order_id.clone()).collect();
    let mut findings = Vec::new();
    for finding in decide::reconcile::strangers(&known, reports) {
        let Finding::Stranger(id) = &finding else { continue };
        match world.store.intent_named(id.as_str()).await? {
            None => findings.push(finding),
            Some(intent) => findings.extend(decide::reconcile::reconcile(&[intent], reports)),
        }
    }
    Ok(findings)
}

/// Whether any of these was filled, wholly or in part.
pub fn any_filled(intents: &[Intent]) -> bool {
    intents.iter().any(|intent| intent.filled_qty.is_positive())
}

/// Whether any of these waits for a person.
pub fn any_quarantined(intents: &[Intent]) -> bool {
    intents.iter().any(|intent| intent.state == IntentState::Quarantined)
}
