//! THE line: one run, from its claim to its close.
//!
//! ```text
//!  claim | observe -> plan (pure) -> guard (pure) | record -> send -> settle | close
//!          '---- once for the sells, then again, from a fresh snapshot, for the buys ----'
//! ```
//!
//! Four walls touch the database, and no transaction is open across the network. Recovery is this same line entered in
//! the middle: a half whose intents are stored already is followed to its end, not decided again.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::decide;
use crate::decide::backoff::Difference;
use crate::decide::guard::Facts;
use crate::decide::personal::Unfit;
use crate::decide::plan::Stage;
use crate::edge::World;
use crate::edge::decisions;
use crate::edge::points;
use crate::edge::recorded::Recorded;
use crate::edge::store::{self, AnyClaim, Claim, Held};
use crate::flow::acquaint;
use crate::flow::bookkeeping::{Beside, withdrawn};
use crate::flow::course::{Course, set_out};
use crate::flow::dispatch::{self, Behalf, Sent, Wall};
use crate::flow::ending::{balanced, close, ended_by_token, judge, kept, unexplained};
use crate::flow::inquire;
use crate::flow::observe::{self, Blind, observe};
use crate::flow::settle;
use crate::flow::weights;
use crate::model::books::Ledgers;
use crate::model::environment::Environment;
use crate::model::ids::{AccountId, StrategyVersion, Symbol};
use crate::model::intent::{Intent, Unfilled};
use crate::model::mandate::HaltScope;
use crate::model::personal::Said;
use crate::model::plan::{Decision, Phase, Plan};
use crate::model::run::Trigger;
use crate::model::snapshot::{AccountView, Market, Seen, Shares, Snapshot};
use crate::model::strategy::{OrderStyle, Strategy};
use crate::model::time::{Moment, Span};
use crate::model::verdict::{EndReason, Outcome, OutcomeKind, Refusal};
use crate::model::zoo::{Bug, planted};

/// Carries one claimed run to its close and says how it ended.
///
/// # Errors
/// When the database fails: the run stays claimed, and recovery carries it on.
pub async fn rebalance(world: &World, claim: AnyClaim) -> Result<Outcome, store::Error> {
    match claim {
        AnyClaim::Paper(claim) => Box::pin(line(world, claim)).await,
        AnyClaim::Live(claim) => Box::pin(line(world, claim)).await,
    }
}

/// Whether the line goes on after a half.
enum Step {
    On,
    End(Outcome),
}

async fn line<E: Environment>(world: &World, claim: Claim<E>) -> Result<Outcome, store::Error> {
    world.points.cross(points::CLAIMED).await;
    let mut course = match set_out(world, &claim).await? {
        Ok(course) => course,
        Err(outcome) => return close(world, claim, None, outcome).await,
    };
    world.points.cross(points::SET_OUT).await;
    if let Some(outcome) = estranged(world, &claim, &course).await? {
        return close(world, claim, Some(course), outcome).await;
    }
    // An earlier process may have gone further than the file allows now: what it recorded is followed to its end.
    let stored = world.store.intents_of(&claim.run().id).await?;
    let tries =
        course.strategy.orders().tries().max(stored.iter().map(|intent| intent.attempt).max().unwrap_or(Intent::FIRST));
    let parts = [Phase::Sell, Phase::Buy]
        .into_iter()
        .flat_map(|phase| (Intent::FIRST..=tries).map(move |attempt| (phase, attempt)));
    for part in parts {
        if let Step::End(mut outcome) = half(world, &claim, &mut course, part).await? {
            let stopped_short = matches!(outcome.kind, OutcomeKind::Skipped | OutcomeKind::Refused);
            if stopped_short && settle::any_filled(&course.intents) {
                outcome.kind = OutcomeKind::Partial;
            }
            return close(world, claim, Some(course), outcome).await;
        }
    }
    world.points.cross(points::JUDGING).await;
    let outcome = judge(world, &mut course).await?;
    close(world, claim, Some(course), outcome).await
}

/// How a run ends at once whose account has orders of ours that this database does not know (S16). A run that an earlier process
/// began goes on where the broker does not say: it asks for each of its orders by its id before it sends anything.
async fn estranged<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    course: &Course<E>,
) -> Result<Option<Outcome>, store::Error> {
    let account = &course.access.account;
    match acquaint::unrecorded(world, &course.access, course.books.as_ref()).await? {
        Ok(findings) if findings.is_empty() => Ok(None),
        // Halted already: that refuses the run.
        Ok(_) if is_halted(world, account).await? => Ok(None),
        Ok(findings) => {
            // What the broker has of this run is on record before it waits for a person.
            let stored = world.store.intents_of(&claim.run().id).await?;
            inquire::search(world, claim, &course.access, stored).await?;
            let why = format!("{}; the account is halted until a person has looked", acquaint::told(&findings));
            Ok(Some(Outcome::ended(OutcomeKind::Quarantined, EndReason::LedgerMismatch, why)))
        }
        Err(Blind::TokenDead(message)) => ended_by_token(world, course, &message).await.map(Some),
        Err(_) if course.reason.is_some() => Ok(None),
        Err(blind) => Ok(Some(blind.outcome())),
    }
}

/// Whether this account waits for a person.
async fn is_halted(world: &World, account: &AccountId) -> Result<bool, store::Error> {
    let halts = world.store.halts(true).await?;
    Ok(halts.iter().any(|halt| matches!(&halt.scope, HaltScope::Account(halted) if halted == account)))
}

/// One try of one half of the run.
async fn half<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    course: &mut Course<E>,
    part: (Phase, u32),
) -> Result<Step, store::Error> {
    let stored = world.store.recorded(claim, part).await?.filter(|_| !planted(Bug::RecoveryPlansAnew));
    let (recorded, version) = if let Some(stored) = stored {
        // The version that decided: the one on record, for the file may have changed since an earlier process recorded.
        (stored, claim.run().version.clone())
    } else {
        match begin(world, claim, course, part).await? {
            Begun::Recorded(recorded) => (recorded, None),
            Begun::End(outcome) => return Ok(Step::End(outcome)),
            Begun::Stopped(outcome) if part.1 == Intent::FIRST => return Ok(Step::End(outcome)),
            // What stops a further try leaves the run as it is without one; the next half has every check of its own.
            Begun::Stopped(outcome) => {
                course.not_tried.push(format!("{} ({})", outcome.detail, outcome.reason));
                return Ok(Step::On);
            }
            Begun::Nothing => return Ok(Step::On),
        }
    };
    let version = version.unwrap_or_else(|| course.strategy.version().clone());
    carry_out(world, claim, course, (part.0, recorded, version)).await
}

/// What came of beginning a try.
enum Begun<E> {
    /// Its orders are durable.
    Recorded(Recorded<E>),
    /// There is nothing to order.
    Nothing,
    /// Something could not be seen, or is not allowed.
    Stopped(Outcome),
    /// The run ends here.
    End(Outcome),
}

/// Decides one try of one half, and records it. All its branching stands here; the leaves are pure or do one effect.
async fn begin<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    course: &mut Course<E>,
    (phase, attempt): (Phase, u32),
) -> Result<Begun<E>, store::Error> {
    let unfilled = left_to_try(world, claim, course, (phase, attempt)).await?;
    let again = Stage::Again { unfilled: &unfilled, kind: course.strategy.orders().kind_of(attempt) };
    let again = (attempt > Intent::FIRST).then_some(again);
    if again.is_some() && unfilled.is_empty() {
        return Ok(Begun::Nothing);
    }
    if phase == Phase::Sell && attempt == Intent::FIRST && course.reason.is_some() && !planted(Bug::RecoveryPlansAnew) {
        return Ok(Begun::Nothing); // An earlier process recorded this run's first plan, and it sold nothing.
    }
    let (plan, snapshot) = match consider(world, claim, course, (phase, again)).await? {
        Ok(considered) => considered,
        Err(outcome) => return Ok(Begun::Stopped(outcome)),
    };
    if plan.decision == Decision::Hold && phase == Phase::Sell && attempt == Intent::FIRST {
        let kind = if plan.reason.is_blocked() { OutcomeKind::Skipped } else { OutcomeKind::Completed };
        return Ok(Begun::End(Outcome { kind, reason: plan.reason.code(), detail: plan.detail }));
    }
    if plan.legs_of(phase).next().is_none() {
        if attempt == Intent::FIRST {
            course.carried = Some((plan, snapshot));
        }
        return Ok(Begun::Nothing);
    }
    let symbols: BTreeSet<Symbol> = plan.legs_of(phase).map(|leg| leg.symbol.clone()).collect();
    let market = match observe::market(world, &course.access, &symbols).await {
        Ok(market) => market,
        Err(blind) => return Ok(Begun::Stopped(cannot_see(world, course, blind).await?)),
    };
    world.points.cross(points::WEIGHED.of(phase)).await;
    match wall(world, claim, course, (&plan, &snapshot, &market), (phase, attempt)).await? {
        Wall::Passed(recorded) => {
            world.points.cross(points::RECORDED.of(phase)).await;
            if planted(Bug::StaleCash) && phase == Phase::Sell {
                course.carried = Some((plan.clone(), snapshot.clone()));
            }
            course.seen = Some(Seen::of(&snapshot));
            Ok(Begun::Recorded(recorded))
        }
        Wall::Refused(refusals) => {
            for refusal in &refusals {
                world.metrics.refusal(refusal.code);
            }
            let is_runaway = refusals.iter().any(|refusal| refusal.code.is_runaway());
            let outcome = Outcome::refused(&refusals);
            Ok(if is_runaway { Begun::End(outcome) } else { Begun::Stopped(outcome) })
        }
        Wall::ClaimLost => Ok(Begun::End(Outcome::ended(
            OutcomeKind::Skipped,
            EndReason::InternalFault,
            "another worker has taken this run over",
        ))),
    }
}

/// Sends what is recorded and follows it to its end.
async fn carry_out<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    course: &mut Course<E>,
    (phase, recorded, version): (Phase, Recorded<E>, StrategyVersion),
) -> Result<Step, store::Error> {
    let patience = patience(world, course.strategy.orders());
    let behalf = Behalf { claim, version: &version, grant: &course.grant };
    let sent = dispatch::send(world, behalf, &course.access, recorded).await?;
    world.points.cross(points::SENT.of(phase)).await;
    let Sent { intents: followed, token_dead } = settle::follow(world, claim, &course.access, (sent, patience)).await?;
    world.points.cross(points::FOLLOWED.of(phase)).await;
    for intent in &followed {
        world.metrics.order_settled(intent.phase.side(), intent.state);
    }
    let stuck = settle::any_quarantined(&followed);
    course.intents.extend(followed);
    if let Some(message) = token_dead {
        return Ok(Step::End(ended_by_token(world, course, &message).await?));
    }
    if stuck {
        return Ok(Step::End(judge(world, course).await?));
    }
    Ok(Step::On)
}

/// How long one try waits: all tries of a half together wait no longer than one would.
fn patience(world: &World, orders: &OrderStyle) -> Span {
    let tries = i32::try_from(orders.tries()).unwrap_or(i32::MAX);
    world.order_wait.checked_div(tries).unwrap_or(world.order_wait)
}

/// What a further try of a half is for: what the one before left unfilled, in this session, as long as the next half has not
/// begun.
async fn left_to_try<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    course: &Course<E>,
    (phase, attempt): (Phase, u32),
) -> Result<Vec<Unfilled>, store::Error> {
    let orders = course.strategy.orders();
    if attempt == Intent::FIRST || attempt > orders.tries() {
        return Ok(Vec::new());
    }
    let session = world.sessions.at(world.clock.now());
    let day = |intent: &Intent| intent.recorded_at.day_in(world.sessions.zone());
    let is_another_day = session.is_none_or(|session| course.intents.iter().any(|intent| day(intent) != session.day));
    if is_another_day
        || (phase == Phase::Sell && world.store.recorded(claim, (Phase::Buy, Intent::FIRST)).await?.is_some())
    {
        return Ok(Vec::new());
    }
    Ok(decide::intents::unfilled(&course.intents, (phase, attempt - 1), patience(world, orders)))
}

/// Looks and thinks: a snapshot and the plan made from it. A further try knows what it is for.
async fn consider<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    course: &mut Course<E>,
    (phase, again): (Phase, Option<Stage<'_>>),
) -> Result<Result<(Plan, Snapshot), Outcome>, store::Error> {
    if let Some(carried) = course.carried.take() {
        return Ok(Ok(carried));
    }
    // The second half belongs to the session of the first: its sales are no reason to buy on another day (row 51).
    let sold_on = course.intents.first().map(|intent| intent.recorded_at.day_in(world.sessions.zone()));
    let session = world.sessions.at(world.clock.now());
    if session.is_none_or(|session| sold_on.is_some_and(|day| day != session.day)) {
        let reason = if phase == Phase::Sell { EndReason::MarketClosed } else { EndReason::SessionEnded };
        return Ok(Err(Outcome::ended(
            if phase == Phase::Sell { OutcomeKind::Skipped } else { OutcomeKind::Partial },
            reason,
            if session.is_none() { "the exchange is closed" } else { "the session in which it sold has ended" },
        )));
    }
    world.points.cross(points::CONSIDERING.of(phase)).await;
    // Before the quotes are asked for: a history may take its time, and they must be fresh.
    let of_the_day = match of_the_day(world, course).await? {
        Ok(weighed) => weighed,
        Err(blind) => return Ok(Err(cannot_see(world, course, blind).await?)),
    };
    // A new version does not wait for the cooldown that the old one began (facts 8.9).
    let last = match claim.run().trigger {
        Trigger::NewVersion => None,
        _ => world.store.last_rebalanced_at(&claim.run().subscription).await?,
    };
    let snapshot = match look(world, course, (last, again.is_some())).await? {
        Ok(Look::Fits(snapshot)) => *snapshot,
        Ok(Look::Changed(why)) => {
            return Ok(Err(Outcome::ended(OutcomeKind::Partial, EndReason::AccountChanged, why)));
        }
        Ok(Look::Unexplained(snapshot, ledgers)) => {
            // A world that is suddenly empty is no finding about this account: it may be the broker that shows nobody
            // anything, and the next moment looks again by itself (row 44).
            if let Some(refusal) = unbelievable(world, claim, &snapshot).await? {
                world.metrics.refusal(refusal.code);
                return Ok(Err(Outcome::refused(&[refusal])));
            }
            return Ok(Err(unexplained(world, course, &ledgers)));
        }
        Err(blind) => return Ok(Err(cannot_see(world, course, blind).await?)),
    };
    world.points.cross(points::OBSERVED.of(phase)).await;
    if course.reason.is_none() {
        if let Some(refusal) = unbelievable(world, claim, &snapshot).await? {
            world.metrics.refusal(refusal.code);
            return Ok(Err(Outcome::refused(&[refusal])));
        }
        course.seen = Some(Seen::of(&snapshot));
        course.held = Some(Shares::in_snapshot(&snapshot));
        if !snapshot.account.can_trade() {
            return Ok(Err(parked(&snapshot.account)));
        }
    }
    let sold: Vec<Symbol> =
        course.intents.iter().filter(|it| it.phase == Phase::Sell).map(|it| it.symbol.clone()).collect();
    let sold = if planted(Bug::BuysBack) { Vec::new() } else { sold };
    let stage = again.unwrap_or(match course.reason {
        None => Stage::Opening,
        Some(_) => Stage::Completing { sold: &sold },
    });
    let plan = made_for(world, course, &snapshot, (stage, of_the_day)).await?;
    world.points.cross(points::PLANNED.of(phase)).await;
    if stage == Stage::Opening {
        course.drift_before = Some(plan.drift.portfolio);
        course.turnover = Some(plan.turnover);
        world.metrics.drift(course.strategy.name(), "before", plan.drift.portfolio);
    }
    Ok(Ok((plan, snapshot)))
}

/// The strategy with the weights of a day, or why it has none, or why that cannot be seen.
type Weighed = Result<Result<Strategy, Unfit>, Blind>;

/// The file's strategy with the weights of today. The second half goes by what was made of it for the first, and asks nothing.
async fn of_the_day<E: Environment>(world: &World, course: &Course<E>) -> Result<Weighed, store::Error> {
    if course.reason.is_some() {
        return Ok(Ok(Ok(course.effective().clone())));
    }
    let personal = world.store.personal(&course.access.account).await?;
    Ok(weights::of_the_day(world, &course.access, (&course.strategy, &personal), world.clock.now()).await)
}

/// The plan by the strategy of this account: the file's, with what its user wishes now. The second half goes by what the
/// first decided on; what was said meanwhile may stop more orders, never fewer.
async fn made_for<E: Environment>(
    world: &World,
    course: &mut Course<E>,
    snapshot: &Snapshot,
    (stage, of_the_day): (Stage<'_>, Result<Strategy, Unfit>),
) -> Result<Plan, store::Error> {
    let account = &course.access.account;
    // What has left the account already waits no longer.
    withdrawn(world, account, &course.moved).await?;
    let personal = world.store.personal(account).await?;
    let now = snapshot.as_of;
    let made = match stage {
        Stage::Opening => of_the_day.and_then(|it| decide::personal::effective(&it, &personal, snapshot)),
        Stage::Completing { .. } | Stage::Again { .. } => {
            Ok(decide::personal::completing(course.effective(), &personal, now))
        }
    };
    let (made, mut plan) = match made {
        Ok(made) => {
            let plan = decide::plan::plan(&made, snapshot, stage);
            (Arc::new(made), plan)
        }
        Err(unfit) => {
            let why = (unfit.reason, unfit.detail.as_str());
            (Arc::clone(&course.strategy), decide::plan::refused(&course.strategy, snapshot, why))
        }
    };
    if stage == Stage::Opening
        && let Some(told) = decide::books::told(&course.moved)
    {
        plan.detail = format!("{}; {told}", plan.detail);
    }
    let wishes: Vec<&Said> = personal.in_force(now).collect();
    let sentences = decide::reasons::reasons(&made, snapshot, &plan);
    course.decisions.push(decisions::kept(&plan, &sentences, (&course.strategy, &made), &wishes));
    course.made = Some(made);
    Ok(plan)
}

/// What a look showed.
enum Look {
    /// What must be there.
    Fits(Box<Snapshot>),
    /// Other shares than the first look and our own fills come to.
    Changed(String),
    /// Cash or shares that neither the books nor the broker's own rows explain.
    Unexplained(Box<Snapshot>, Box<Ledgers>),
}

/// A snapshot. The first one of a run must fit the account's books; the second one must show what the first one and our own fills come to: a broker that lags behind is
/// asked again for a minute (row 36), and then somebody else was there, and the run stops (rows 34 and 53).
async fn look<E: Environment>(
    world: &World,
    course: &mut Course<E>,
    (last, is_again): (Option<Moment>, bool),
) -> Result<Result<Look, Blind>, store::Error> {
    let is_second = course.reason.is_some();
    let expected = course.held.as_ref().filter(|_| is_second).map(|held| decide::books::after(held, &course.intents));
    let mut difference = Difference::default();
    loop {
        let snapshot = match observe(world, &course.access, &course.strategy, last).await {
            Ok(snapshot) => snapshot,
            Err(blind) => return Ok(Err(blind)),
        };
        let pause = if let Some(expected) = &expected {
            let changes = decide::books::changes(expected, &Shares::in_snapshot(&snapshot));
            // A further try waits until nothing shows the one before as open any more.
            let lagging = snapshot.open_orders.iter().filter(|_| is_again).map(|order| &order.client_order_id);
            let lagging = lagging.filter(|id| course.intents.iter().any(|intent| intent.client_order_id == **id));
            let mut all: Vec<String> = changes.iter().map(ToString::to_string).collect();
            all.extend(lagging.map(|id| format!("{id}, which has ended, is shown as open")));
            if all.is_empty() {
                return Ok(Ok(Look::Fits(Box::new(snapshot))));
            }
            let Some(pause) = difference.again(&all) else {
                let why = format!("the account was changed by somebody else during the run ({})", all.join("; "));
                return Ok(Ok(Look::Changed(format!("{why}; nothing more was sent, and the next moment looks anew"))));
            };
            pause
        } else {
            let ledgers = match balanced(world, course, &snapshot).await? {
                Beside::Agrees { .. } => return Ok(Ok(Look::Fits(Box::new(snapshot)))),
                Beside::Unseen(blind) => return Ok(Err(blind)),
                Beside::Differs(ledgers) => ledgers,
            };
            let Some(pause) = difference.again(&ledgers.differences) else {
                return Ok(Ok(Look::Unexplained(Box::new(snapshot), ledgers)));
            };
            pause
        };
        world.clock.sleep(pause).await;
    }
}

/// Whether the account is suddenly empty, and nobody said that it may be. The first look of a run alone asks: what the
/// second sees is what the first half made.
async fn unbelievable<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    snapshot: &Snapshot,
) -> Result<Option<Refusal>, store::Error> {
    let Some(last) = world.store.last_seen(&claim.run().account).await? else { return Ok(None) };
    let now = world.clock.now();
    let mandate = world.store.mandate(claim.run(), (&world.policy, dispatch::exchange_day(world, now))).await?;
    let limits = decide::limits::in_force(&mandate, now);
    Ok(decide::limits::unbelievable(snapshot, Some(&last), &limits))
}

/// The broker does not let the account trade now: nothing is planned, and the next moment looks again by itself.
fn parked(account: &AccountView) -> Outcome {
    let why = if account.blocks.is_empty() { account.status.clone() } else { account.blocks.join(", ") };
    let detail =
        format!("the broker does not let the account trade ({why}); it goes on by itself once the broker does");
    Outcome::ended(OutcomeKind::Skipped, EndReason::AccountBlocked, detail)
}

/// How a run ends that cannot see what it needs.
async fn cannot_see<E: Environment>(world: &World, course: &Course<E>, blind: Blind) -> Result<Outcome, store::Error> {
    match blind {
        Blind::TokenDead(message) => ended_by_token(world, course, &message).await,
        blind => Ok(blind.outcome()),
    }
}

/// Guard, then the wall right before sending.
async fn wall<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    course: &mut Course<E>,
    (plan, snapshot, market): (&Plan, &Snapshot, &Market),
    (phase, attempt): (Phase, u32),
) -> Result<Wall<E>, store::Error> {
    let run = claim.run();
    let now = world.clock.now();
    let day = dispatch::exchange_day(world, now);
    let mandate = world.store.mandate(run, (&world.policy, day)).await?;
    let session = world.sessions.at(now).copied();
    let facts = Facts { plan, phase, snapshot, session, now, strategy: course.effective(), market: Some(market) };
    let cleared = match decide::guard::guard::<E>(&facts, &mandate) {
        Ok(cleared) => cleared,
        Err(refusals) => return Ok(Wall::Refused(refusals)),
    };
    world.points.cross(points::CLEARED.of(phase)).await;
    let reason = course.reason.unwrap_or(plan.reason);
    let decision = kept(&course.decisions);
    let held = course.held.clone().unwrap_or_else(|| Shares::in_snapshot(snapshot));
    let mut recording = dispatch::recording(plan, (reason, course.strategy.version()), (decision, held), attempt);
    recording.drift_before = course.drift_before.unwrap_or(recording.drift_before);
    recording.turnover = course.turnover.unwrap_or(recording.turnover);
    if course.reason.is_none() {
        course.detail.clone_from(&plan.detail);
    }
    course.reason = Some(reason);
    dispatch::record(world, claim, &cleared, &recording).await
}

/// The code of a run failed: it closes as quarantined, and its account waits for a person. Called by the keeper of its task,
/// for the run itself can no longer. Says whether it closed: a run that another worker has is that worker's to close.
///
/// # Errors
/// When the database fails: then the lease ends, and the run is taken up again.
pub async fn failed(world: &World, held: &Held, outcome: &Outcome) -> Result<bool, store::Error> {
    world.store.fail_run(held, &outcome.detail, world.clock.now()).await
}
