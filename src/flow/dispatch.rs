//! Record, send, learn: the only caller of `Client::submit`.
//!
//! An order exists in the database, durably, before its first byte leaves (S2): the store makes a [`Recorded`] after the
//! commit, and nothing else can be sent. A reply has three meanings, never two: accepted, refused, unknown. Unknown
//! is resolved only by asking for the same client order id, and whatever is sent again is sent under that same id, so the
//! broker itself refuses a second order (S1).

use std::collections::{BTreeMap, BTreeSet};

use crate::decide;
use crate::decide::classify::Fate;
use crate::decide::guard::Cleared;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::edge::points;
use crate::edge::recorded::{Durable, Recorded};
use crate::edge::store::{self, Claim, RecordAnswer, Recording};
use crate::flow::inquire::{self, Found, TokenIs};
use crate::flow::observe::{self, Blind};
use crate::model::environment::Environment;
use crate::model::ids::{GrantId, StrategyVersion};
use crate::model::intent::{Intent, IntentUpdate};
use crate::model::snapshot::Shares;
use crate::model::time::{Moment, Span};
use crate::model::verdict::{Refusal, RefusalCode};
use crate::model::zoo::{Bug, planted};

/// How often one intent may be sent while the broker keeps saying "too many requests", or proves not to have it.
const SENDS: u32 = 4;

/// How old the last look at halts and approvals may be when an order leaves: the kill switch holds after 250 ms (S8), and what
/// is left of them is the network's.
const STALE_LOOK: Span = Span::from_millis(200);

/// Answers further apart than this are not one look at an account: orders may have been filled between them.
const ONE_LOOK: Span = Span::from_secs(30);

/// Looks that came too late one after another before an order is not sent at all: a database so slow cannot say in time that
/// nobody pulled the switch.
const LOOKS: u32 = 10;

/// What came of the wall before the send.
#[derive(Debug)]
pub enum Wall<E> {
    /// Durable; may be sent.
    Passed(Recorded<E>),
    /// A flag, halt or limit says no; nothing was stored but the refusal.
    Refused(Vec<Refusal>),
    /// Another worker has the run.
    ClaimLost,
}

/// On whose behalf orders are sent: the run, the version that decided, and the grant whose token was opened for it.
pub struct Behalf<'a, E> {
    /// The run.
    pub claim: &'a Claim<E>,
    /// The version of the strategy that decided.
    pub version: &'a StrategyVersion,
    /// The grant.
    pub grant: &'a GrantId,
}

impl<E> Clone for Behalf<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Behalf<'_, E> {}

/// What came of a sending.
#[derive(Debug)]
pub struct Sent {
    /// Every intent as it stands now; stored.
    pub intents: Vec<Intent>,
    /// The broker's words, if it refused the token meanwhile.
    pub token_dead: Option<String>,
}

/// Wall 2: lease, halts, approvals and limits are read again, and intents and events are committed, in one transaction.
///
/// # Errors
/// When the database fails: then nothing is stored and nothing may be sent.
pub async fn record<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    cleared: &Cleared<E>,
    recording: &Recording,
) -> Result<Wall<E>, store::Error> {
    if let Some(detail) = world.switch.pulled() {
        return Ok(Wall::Refused(vec![Refusal { code: RefusalCode::HaltedService, detail }]));
    }
    let now = world.clock.now();
    let day = exchange_day(world, now);
    Ok(match world.store.record(claim, (cleared, recording), (&world.policy, day), now).await? {
        RecordAnswer::Stored(recorded) => Wall::Passed(recorded),
        RecordAnswer::Refused(refusals) => Wall::Refused(refusals),
        RecordAnswer::ClaimLost => Wall::ClaimLost,
    })
}

/// The bounds of the exchange's day that holds `now`: limits per day count inside it.
pub fn exchange_day(world: &World, now: Moment) -> (Moment, Moment) {
    let zone = world.sessions.zone();
    let day = now.day_in(zone);
    let start = |day: crate::model::time::Day| {
        day.to_zoned(zone.clone()).map_or(now, |midnight| Moment::from(midnight.timestamp()))
    };
    (start(day), day.tomorrow().map_or(now, start))
}

/// Sends what is recorded, one order after the other, and learns what came of each; wall 3 stores each as it is known.
///
/// # Errors
/// When the database fails: what was sent stays recorded, and recovery asks the broker for it.
pub async fn send<E: Environment>(
    world: &World,
    behalf: Behalf<'_, E>,
    access: &Access<E>,
    recorded: Recorded<E>,
) -> Result<Sent, store::Error> {
    let claim = behalf.claim;
    let stands = standing(world, claim, access, &recorded).await?;
    let mut stands: BTreeMap<_, _> =
        stands.into_iter().map(|(intent, absent)| (intent.id.clone(), (intent, absent))).collect();
    let mut sent = Sent { intents: Vec::with_capacity(stands.len()), token_dead: None };
    for durable in recorded.into_durable() {
        // By its id: what was found of one order says nothing of another. Nothing found is no proof that it is not there.
        let stand = stands.remove(&durable.intent().id);
        let (intent, is_absent) = stand.unwrap_or_else(|| (durable.intent().clone(), false));
        if !intent.is_in_doubt() {
            sent.intents.push(intent);
            continue;
        }
        world.points.cross(points::NEXT.of(intent.phase)).await;
        let now = world.clock.now();
        let update = if !is_absent {
            decide::order::unknown(&intent, "the broker does not say whether it has it", now)
        } else if let Some(why) = &sent.token_dead {
            decide::order::withdrawn(&intent, why, now)
        } else {
            one(world, behalf, access, (&durable, &intent, &mut sent.token_dead)).await
        };
        world.points.cross(points::LEARNED.of(intent.phase)).await;
        world.store.settle(claim, std::slice::from_ref(&update), world.clock.now()).await?;
        world.points.cross(points::SETTLED.of(intent.phase)).await;
        sent.intents.push(intent.after(&update));
    }
    Ok(sent)
}

/// How each recorded intent stands now, and whether it is proven that the broker does not have it. What an
/// earlier process may have sent is asked for first.
async fn standing<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    access: &Access<E>,
    recorded: &Recorded<E>,
) -> Result<Vec<(Intent, bool)>, store::Error> {
    let intents = recorded.intents().to_vec();
    if !recorded.maybe_sent() {
        return Ok(intents.into_iter().map(|intent| (intent, true)).collect());
    }
    if planted(Bug::RecoveryWithdraws) {
        return all_withdrawn(world, claim, intents).await;
    }
    let searched = inquire::search(world, claim, access, intents).await?;
    // Hosts, rows and tokens may be others than those of the process that recorded them (row 79).
    let is_any_next = searched.iter().any(|(intent, is_absent)| *is_absent && intent.is_in_doubt());
    let is_proven = !is_any_next || observe::opens_its_own(world, access).await;
    Ok(searched.into_iter().map(|(intent, is_absent)| (intent, is_absent && is_proven)).collect())
}

/// One of the zoo.
async fn all_withdrawn<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    intents: Vec<Intent>,
) -> Result<Vec<(Intent, bool)>, store::Error> {
    let now = world.clock.now();
    let mut line = Vec::new();
    for intent in intents {
        let update = decide::order::withdrawn(&intent, "never sent", now);
        if !intent.state.is_terminal() {
            world.store.settle(claim, std::slice::from_ref(&update), now).await?;
        }
        line.push((intent.after(&update), false));
    }
    Ok(line)
}

/// One intent that the broker does not have, from its first byte to an answer that means something. `intent` is how it stands
/// now: what a search found of it stays.
async fn one<E: Environment>(
    world: &World,
    behalf: Behalf<'_, E>,
    access: &Access<E>,
    (durable, intent, token_dead): (&Durable<E>, &Intent, &mut Option<String>),
) -> IntentUpdate {
    // Whether a send of it may still land: then no answer to a later one says what became of the first.
    let mut ambiguous = false;
    // An earlier process may have sent it, and a refusal of now may come of that order's own cash or shares.
    let is_repeated = behalf.claim.resumed();
    let mut last = "the broker kept asking for fewer requests".to_owned();
    for nth in 0..SENDS {
        let renamed = durable.renamed(nth);
        let durable = renamed.as_ref().unwrap_or(durable);
        let intent = renamed.as_ref().map_or(intent, Durable::intent);
        if let Some(why) = barred(world, behalf, access, (intent, token_dead)).await {
            return decide::order::withdrawn(intent, &why, world.clock.now());
        }
        let reply = world.alpaca.submit(access, durable).await;
        world.points.cross(points::REPLIED.of(intent.phase)).await;
        match decide::classify::classify(reply) {
            Fate::Adopt(report) => return decide::order::apply(intent, &report, world.clock.now()),
            Fate::Rejected { message } if !ambiguous && !is_repeated => {
                return decide::order::rejected(intent, &message, world.clock.now());
            }
            // It may have been refused because an earlier send of it took the cash.
            Fate::Rejected { message } => match inquire::ask(world, access, intent).await {
                Found::Settled(update) => return *update,
                Found::Absent => return decide::order::rejected(intent, &message, world.clock.now()),
                Found::Silence => return decide::order::unknown(intent, &message, world.clock.now()),
                Found::Dead(dead) => {
                    *token_dead = Some(dead);
                    return decide::order::unknown(intent, &message, world.clock.now());
                }
            },
            Fate::TokenDead { message } => match inquire::confirm(world, access).await {
                TokenIs::Dead(message) => {
                    *token_dead = Some(message.clone());
                    return not_taken(intent, &message, ambiguous, world.clock.now());
                }
                TokenIs::Unclear => return not_taken(intent, &message, ambiguous, world.clock.now()),
                TokenIs::Alive => {
                    last = message;
                    world.clock.sleep(decide::backoff::poll_after(nth)).await;
                }
            },
            Fate::Wait { until } => {
                let pause = world.clock.now() + Span::from_secs(1);
                world.clock.sleep_until(until.unwrap_or(pause).max(pause)).await;
            }
            Fate::Ask { why } if planted(Bug::TimeoutIsFailure) => {
                return decide::order::rejected(intent, &why, world.clock.now());
            }
            Fate::Ask { why } if planted(Bug::TakenIdIsRefusal) && why.contains("already") => {
                return decide::order::rejected(intent, &why, world.clock.now());
            }
            Fate::Ask { why } if planted(Bug::SendsAgainWithoutAsking) => last = why,
            Fate::Ask { why } => match inquire::ask(world, access, intent).await {
                Found::Settled(update) => return *update,
                Found::Absent => {
                    ambiguous = true;
                    last = why;
                }
                Found::Silence => return decide::order::unknown(intent, &why, world.clock.now()),
                Found::Dead(dead) => {
                    *token_dead = Some(dead);
                    return decide::order::unknown(intent, &why, world.clock.now());
                }
            },
        }
    }
    not_taken(intent, &last, ambiguous, world.clock.now())
}

/// The last send was not taken. That is an end only when no send before it may still land.
fn not_taken(intent: &Intent, why: &str, ambiguous: bool, now: Moment) -> IntentUpdate {
    if ambiguous { decide::order::unknown(intent, why, now) } else { decide::order::withdrawn(intent, why, now) }
}

/// Why an intent may not be sent now; `None` as the very last thing before its first byte. A process that stood still after
/// it looked looks again: what it saw may hold no more (row 50, S8).
async fn barred<E: Environment>(
    world: &World,
    behalf: Behalf<'_, E>,
    access: &Access<E>,
    (intent, token_dead): (&Intent, &mut Option<String>),
) -> Option<String> {
    for _ in 0..LOOKS {
        world.clock.catch_up().await;
        // Whoever slept after the last look at the account looks at it again, too (S6, S7).
        if let Some(why) = uncovered(world, access, (intent, token_dead)).await {
            return Some(why);
        }
        // Whoever slept after the last look at the market looks at it again, too (S11).
        if let Some(why) = priced_out(world, access, intent).await {
            return Some(why);
        }
        let look = world.clock.look();
        if let Some(why) = unclaimed(world, behalf).await {
            return Some(why);
        }
        if let Some(why) = forbidden(world, behalf, intent).await {
            return Some(why);
        }
        world.points.cross(points::LEAVING.of(intent.phase)).await;
        if look.age() <= STALE_LOOK || planted(Bug::SleepsBeforeTheSend) {
            return world.switch.pulled();
        }
    }
    let most = STALE_LOOK.as_millis();
    Some(format!(
        "what is allowed could not be read within {most} ms, {LOOKS} times: the database or the machine is too slow"
    ))
}

/// Whether it is so long since an intent was recorded, or will be when it leaves, that the look which it was reckoned from
/// says nothing any more.
fn has_waited(world: &World, intent: &Intent) -> bool {
    world.clock.now().since(intent.recorded_at) + STALE_LOOK > decide::guard::FRESH
}

/// Whether the account does not cover any more what an intent that waited is to sell, or to buy for.
async fn uncovered<E: Environment>(
    world: &World,
    access: &Access<E>,
    (intent, token_dead): (&Intent, &mut Option<String>),
) -> Option<String> {
    if !has_waited(world, intent) {
        return None;
    }
    let begun = world.clock.now();
    let (account, holdings, open) = match observe::read_account(world, access).await {
        Ok(_) if world.clock.now().since(begun) > ONE_LOOK => {
            return Some("it waited, and what the account holds now was not told in one piece".to_owned());
        }
        Ok(seen) => seen,
        Err(Blind::TokenDead(dead)) => {
            *token_dead = Some(dead.clone());
            return Some(dead);
        }
        Err(_) => return Some("it waited, and what the account holds now could not be read".to_owned()),
    };
    if account.id != access.account {
        return Some(format!("it waited, and the token opens account {} now", account.id));
    }
    let refusal = decide::cover::uncovered(intent, &account, (&holdings, &open))?;
    // A send of it that came after all has taken those shares or that cash by itself: it is sent under the same id once more,
    // and the broker says that it has it.
    let is_there = world.alpaca.order_by_client_id(access, &intent.client_order_id).await;
    if matches!(is_there, Ok(Some(_))) { None } else { Some(refusal.detail) }
}

/// Whether the market has moved away from an intent that waited.
async fn priced_out<E: Environment>(world: &World, access: &Access<E>, intent: &Intent) -> Option<String> {
    if !has_waited(world, intent) {
        return None;
    }
    let symbols = BTreeSet::from([intent.symbol.clone()]);
    let Ok(quotes) = world.alpaca.quotes(access, &symbols).await else {
        return Some("it waited, and the market's price of now could not be read".to_owned());
    };
    let quote = quotes.get(&intent.symbol);
    decide::guard::priced_out(intent, quote, &world.policy, world.clock.now()).map(|refusal| refusal.detail)
}

/// Whether the run is another's by now, or its user is.
async fn unclaimed<E: Environment>(world: &World, behalf: Behalf<'_, E>) -> Option<String> {
    match world.store.holds(behalf.claim).await {
        Ok(true) => {}
        Ok(false) if planted(Bug::LostClaim) || planted(Bug::EpochIgnored) => {}
        Ok(false) => return Some("another worker has taken this run over".to_owned()),
        Err(_) => return Some("whose run it is could not be read, which counts as another's".to_owned()),
    }
    match world.store.still_follows(&behalf.claim.run().subscription, behalf.grant).await {
        Ok(true) => None,
        Ok(false) => Some("the user left, connected anew or stopped following before it was sent".to_owned()),
        Err(_) => Some("the account could not be read, which counts as gone".to_owned()),
    }
}

/// Why an intent may not be sent any more: a flag, halt, approval or limit that does not hold any more, too long a wait, or a
/// session that has ended. What cannot be read counts as no (rule 5).
async fn forbidden<E: Environment>(world: &World, behalf: Behalf<'_, E>, intent: &Intent) -> Option<String> {
    let now = world.clock.now();
    let run = behalf.claim.run();
    let Ok(mandate) = world.store.mandate(run, (&world.policy, exchange_day(world, now))).await else {
        return Some("what is allowed could not be read, which counts as not allowed".to_owned());
    };
    let mut refusals = decide::guard::may_still_leave::<E>(intent, (&run.strategy, behalf.version), &mandate, now);
    if planted(Bug::LostHalt) {
        refusals.retain(|refusal| !matches!(refusal.code, RefusalCode::HaltedService | RefusalCode::HaltedAccount));
    }
    if planted(Bug::LostApproval) {
        refusals.retain(|refusal| matches!(refusal.code, RefusalCode::HaltedService | RefusalCode::HaltedAccount));
    }
    if !refusals.is_empty() {
        return Some(refusals.into_iter().map(|refusal| refusal.detail).collect::<Vec<_>>().join("; "));
    }
    let closed = world.sessions.at(now).is_none() && !planted(Bug::SendsAfterTheClose);
    closed.then(|| "the session ended before it was sent".to_owned())
}

/// What a half of a run is about, for its row: kept apart from the orders.
pub fn recording(
    plan: &crate::model::plan::Plan,
    (reason, version): (crate::model::verdict::Reason, &StrategyVersion),
    (decision, held): (String, Shares),
    attempt: u32,
) -> Recording {
    Recording {
        attempt,
        decision,
        reason,
        version: version.clone(),
        drift_before: plan.drift.portfolio,
        turnover: plan.turnover,
        held,
    }
}
