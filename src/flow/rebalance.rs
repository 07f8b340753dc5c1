//! THE line: one run, from its claim to its close.
//!
//! ```text
//!  claim | observe -> plan (pure) -> guard (pure) | record -> send -> settle | close
//!          '---- once for the sells, then again, from a fresh snapshot, for the buys ----'
//! ```
//!
//! Four walls touch the database, and no transaction is open across the network. Recovery is this same line entered in
//! the middle: a half whose intents are stored already is followed to its end, not decided again.

use std::sync::Arc;

use crate::decide;
use crate::decide::guard::Facts;
use crate::decide::plan::Stage;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::edge::decisions;
use crate::edge::store::{self, AnyClaim, Claim, Held};
use crate::edge::vault::{self, Owner};
use crate::flow::dispatch::{self, Sent, Wall};
use crate::flow::observe::{Blind, observe};
use crate::flow::settle;
use crate::model::account::GrantHealth;
use crate::model::environment::Environment;
use crate::model::ids::{GrantId, Symbol};
use crate::model::intent::{Intent, IntentState};
use crate::model::money::Fraction;
use crate::model::plan::{Decision, Phase, Plan};
use crate::model::run::Closing;
use crate::model::secret::AccessToken;
use crate::model::snapshot::Snapshot;
use crate::model::strategy::Strategy;
use crate::model::verdict::{EndReason, Outcome, OutcomeKind, Reason};

/// Carries one claimed run to its close and says how it ended.
///
/// # Errors
/// When the database fails: the run stays claimed, and recovery carries it on.
pub async fn rebalance(world: &World, claim: AnyClaim) -> Result<Outcome, store::Error> {
    match claim {
        AnyClaim::Paper(claim) => line(world, claim).await,
        AnyClaim::Live(claim) => line(world, claim).await,
    }
}

/// What a run has come to know on its way.
struct Course<E> {
    strategy: Arc<Strategy>,
    grant: GrantId,
    access: Access<E>,
    /// Why the first plan trades; known from the first record on, also after a restart.
    reason: Option<Reason>,
    detail: String,
    decisions: Vec<String>,
    drift_before: Option<Fraction>,
    turnover: Option<Fraction>,
    /// The first plan and what it was made from, when it sells nothing: the buys need no second look.
    carried: Option<(Plan, Snapshot)>,
    intents: Vec<Intent>,
}

/// Whether the line goes on after a half.
enum Step {
    On,
    End(Outcome),
}

async fn line<E: Environment>(world: &World, claim: Claim<E>) -> Result<Outcome, store::Error> {
    let mut course = match set_out(world, &claim).await? {
        Ok(course) => course,
        Err(outcome) => return close(world, claim, None, outcome).await,
    };
    for phase in [Phase::Sell, Phase::Buy] {
        if let Step::End(mut outcome) = half(world, &claim, &mut course, phase).await? {
            let stopped_short = matches!(outcome.kind, OutcomeKind::Skipped | OutcomeKind::Refused);
            if stopped_short && settle::any_filled(&course.intents) {
                outcome.kind = OutcomeKind::Partial;
            }
            return close(world, claim, Some(course), outcome).await;
        }
    }
    let outcome = judge(world, &mut course).await?;
    close(world, claim, Some(course), outcome).await
}

/// Opens what the run needs: the strategy as it is loaded now, and the token of the account.
async fn set_out<E: Environment>(world: &World, claim: &Claim<E>) -> Result<Result<Course<E>, Outcome>, store::Error> {
    let run = claim.run();
    let skipped = |reason, detail: String| Ok(Err(Outcome::ended(OutcomeKind::Skipped, reason, detail)));
    let Some(strategy) = world.strategies.get(&run.strategy) else {
        return skipped(
            EndReason::StrategyUnavailable,
            format!("no valid strategy file is named `{}`; restore the file or end the subscription", run.strategy),
        );
    };
    let waited = world.clock.now().since(run.slot);
    if run.reason.is_none() && waited > decide::due::valid_for(strategy.when()) {
        return skipped(
            EndReason::Missed,
            format!(
                "it waited {} minutes for its turn, longer than the strategy's grace; it was not begun",
                waited.as_secs() / 60
            ),
        );
    }
    let Some(account) = world.store.account(&run.account).await? else {
        return skipped(EndReason::Unsubscribed, format!("account {} is not connected", run.account));
    };
    match account.health {
        GrantHealth::Active => {}
        GrantHealth::ReadOnly => {
            return skipped(
                EndReason::TradingNotGranted,
                "the user did not grant `trading`; they must connect again and agree to it".to_owned(),
            );
        }
        GrantHealth::Reauth(since) => {
            return skipped(
                EndReason::TokenDead,
                format!("the broker refuses the token since {since}; the user must connect again"),
            );
        }
        GrantHealth::Gone(since) => return skipped(EndReason::Unsubscribed, format!("the user left at {since}")),
    }
    let Some(kept) = world.store.sealed_token(&run.account).await? else {
        return skipped(
            EndReason::TokenDead,
            "no token is kept for this account; the user must connect again".to_owned(),
        );
    };
    let token = match world.vault.open_sealed(Owner { grant: &kept.grant, user: &kept.user }, &kept.sealed) {
        Ok(secret) => AccessToken::new(secret),
        // The service's fault, not the account's: with the right key everything goes on.
        Err(error @ vault::Error::OtherKey { .. }) => {
            return skipped(EndReason::VaultLocked, format!("the sealed token does not open: {error}"));
        }
        Err(error) => {
            return Ok(Err(Outcome::ended(
                OutcomeKind::Quarantined,
                EndReason::TokenDead,
                format!("the sealed token does not open: {error}"),
            )));
        }
    };
    Ok(Ok(Course {
        strategy: Arc::clone(strategy),
        grant: kept.grant,
        access: Access { account: run.account.clone(), token },
        reason: run.reason,
        detail: String::new(),
        decisions: Vec::new(),
        drift_before: run.drift_before,
        turnover: run.turnover,
        carried: None,
        intents: Vec::new(),
    }))
}

/// One half of the run. All its branching stands here; the leaves are pure or do one effect.
async fn half<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    course: &mut Course<E>,
    phase: Phase,
) -> Result<Step, store::Error> {
    let stored: Vec<Intent> = of_phase(world.store.intents_of(&claim.run().id).await?, phase);
    let recorded = if stored.is_empty() {
        if phase == Phase::Sell && course.reason.is_some() {
            return Ok(Step::On); // An earlier process recorded this run's first plan, and it sold nothing.
        }
        let (plan, snapshot) = match consider(world, claim, course, phase).await? {
            Ok(considered) => considered,
            Err(outcome) => return Ok(Step::End(outcome)),
        };
        if plan.decision == Decision::Hold && phase == Phase::Sell {
            return Ok(Step::End(Outcome::completed(plan.reason, plan.detail)));
        }
        if plan.legs_of(phase).next().is_none() {
            course.carried = Some((plan, snapshot));
            return Ok(Step::On);
        }
        match wall(world, claim, course, (&plan, &snapshot, phase)).await? {
            Wall::Passed(recorded) => recorded,
            Wall::Refused(refusals) => {
                for refusal in &refusals {
                    world.metrics.refusal(refusal.code);
                }
                return Ok(Step::End(Outcome::refused(&refusals)));
            }
            Wall::ClaimLost => {
                return Ok(Step::End(Outcome::ended(
                    OutcomeKind::Skipped,
                    EndReason::InternalFault,
                    "another worker has taken this run over",
                )));
            }
        }
    } else {
        dispatch::resume(claim, stored)
    };
    // The version that decided: the one on record, for the file may have changed since an earlier process recorded.
    let version = claim.run().version.clone().unwrap_or_else(|| course.strategy.version().clone());
    let sent = dispatch::send(world, (claim, &version), &course.access, recorded).await?;
    let Sent { intents: followed, token_dead } = settle::follow(world, claim, &course.access, sent).await?;
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

fn of_phase(intents: Vec<Intent>, phase: Phase) -> Vec<Intent> {
    intents.into_iter().filter(|intent| intent.phase == phase).collect()
}

/// Looks and thinks: a snapshot and the plan made from it.
async fn consider<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    course: &mut Course<E>,
    phase: Phase,
) -> Result<Result<(Plan, Snapshot), Outcome>, store::Error> {
    if let Some(carried) = course.carried.take() {
        return Ok(Ok(carried));
    }
    if world.sessions.at(world.clock.now()).is_none() {
        let reason = if phase == Phase::Sell { EndReason::MarketClosed } else { EndReason::SessionEnded };
        return Ok(Err(Outcome::ended(
            if phase == Phase::Sell { OutcomeKind::Skipped } else { OutcomeKind::Partial },
            reason,
            "the exchange is closed",
        )));
    }
    let last = world.store.last_rebalanced_at(&claim.run().subscription).await?;
    let snapshot = match observe(world, &course.access, &course.strategy, last).await {
        Ok(snapshot) => snapshot,
        Err(Blind::TokenDead(message)) => return Ok(Err(ended_by_token(world, course, &message).await?)),
        Err(blind) => return Ok(Err(blind.outcome())),
    };
    let sold: Vec<Symbol> =
        course.intents.iter().filter(|it| it.phase == Phase::Sell).map(|it| it.symbol.clone()).collect();
    let stage = if course.reason.is_some() { Stage::Completing { sold: &sold } } else { Stage::Opening };
    let plan = decide::plan::plan(&course.strategy, &snapshot, stage);
    course.decisions.push(decisions::text(&plan));
    if stage == Stage::Opening {
        course.drift_before = Some(plan.drift.portfolio);
        course.turnover = Some(plan.turnover);
        world.metrics.drift(course.strategy.name(), "before", plan.drift.portfolio);
    }
    Ok(Ok((plan, snapshot)))
}

/// Guard, then the wall right before sending.
async fn wall<E: Environment>(
    world: &World,
    claim: &Claim<E>,
    course: &mut Course<E>,
    (plan, snapshot, phase): (&Plan, &Snapshot, Phase),
) -> Result<Wall<E>, store::Error> {
    let run = claim.run();
    let now = world.clock.now();
    let day = dispatch::exchange_day(world, now);
    let mandate = world.store.mandate(run, (&world.policy, day)).await?;
    let session = world.sessions.at(now).copied();
    let facts = Facts { plan, phase, snapshot, session, now, strategy: &course.strategy };
    let cleared = match decide::guard::guard::<E>(&facts, &mandate) {
        Ok(cleared) => cleared,
        Err(refusals) => return Ok(Wall::Refused(refusals)),
    };
    let reason = course.reason.unwrap_or(plan.reason);
    let decision = kept(&course.decisions);
    let mut recording = dispatch::recording(plan, (reason, course.strategy.version()), decision);
    recording.drift_before = course.drift_before.unwrap_or(recording.drift_before);
    recording.turnover = course.turnover.unwrap_or(recording.turnover);
    if course.reason.is_none() {
        course.detail.clone_from(&plan.detail);
    }
    course.reason = Some(reason);
    dispatch::record(world, claim, &cleared, &recording).await
}

/// The decisions of a run as one JSON array.
fn kept(decisions: &[String]) -> String {
    format!("[{}]", decisions.join(","))
}

/// The user must connect again; nobody else is touched (L8).
async fn ended_by_token<E: Environment>(
    world: &World,
    course: &Course<E>,
    message: &str,
) -> Result<Outcome, store::Error> {
    world.store.mark_reauth(&course.grant, world.clock.now(), message).await?;
    Ok(Outcome::ended(
        OutcomeKind::Skipped,
        EndReason::TokenDead,
        format!("the broker refuses the token ({message}); the user must connect again"),
    ))
}

/// How a run that sent orders ended, from their ends and the broker's own ledger.
async fn judge<E: Environment>(world: &World, course: &mut Course<E>) -> Result<Outcome, store::Error> {
    let reason = course.reason.unwrap_or(Reason::OnTarget);
    let intents = &course.intents;
    if settle::any_quarantined(intents) {
        let stuck: Vec<String> = intents
            .iter()
            .filter(|intent| intent.state == IntentState::Quarantined)
            .map(|intent| format!("{} ({})", intent.client_order_id, intent.note))
            .collect();
        let why =
            format!("the fate of {} is not known; the account is halted until a person has looked", stuck.join(", "));
        return Ok(Outcome::ended(OutcomeKind::Quarantined, EndReason::OrderUnknown, why));
    }
    if intents.is_empty() {
        return Ok(Outcome::completed(reason, course.detail.clone()));
    }
    match settle::compare(world, &course.access, intents).await? {
        Some(findings) if !findings.is_empty() => {
            let found: Vec<String> = findings.iter().map(ToString::to_string).collect();
            let why = format!("{}; the account is halted until a person has looked", found.join("; "));
            return Ok(Outcome::ended(OutcomeKind::Quarantined, EndReason::LedgerMismatch, why));
        }
        Some(_) => {}
        None => {
            let why = "the orders have ended, but the broker's ledger could not be read to compare them";
            return Ok(Outcome::ended(OutcomeKind::Partial, EndReason::BrokerUnreachable, why));
        }
    }
    let missing = |states: &[IntentState]| intents.iter().filter(|intent| states.contains(&intent.state)).count();
    let rejected = missing(&[IntentState::Rejected]);
    let unfilled = missing(&[IntentState::Ended, IntentState::Withdrawn]);
    Ok(if rejected > 0 {
        let notes: Vec<&str> =
            intents.iter().filter(|i| i.state == IntentState::Rejected).map(|i| i.note.as_str()).collect();
        let detail = format!("{rejected} of {} orders were refused by the broker: {}", intents.len(), notes.join("; "));
        Outcome::ended(OutcomeKind::Partial, EndReason::OrdersRejected, detail)
    } else if unfilled > 0 {
        let detail = format!("{unfilled} of {} orders were not completely filled", intents.len());
        Outcome::ended(OutcomeKind::Partial, EndReason::OrdersUnfilled, detail)
    } else {
        Outcome::completed(reason, course.detail.clone())
    })
}

/// However a run came to its close: while an order of it has no known end, it is quarantined and nothing else (L2).
fn with_orders_left(outcome: Outcome, intents: &[Intent]) -> Outcome {
    let left: Vec<&str> = intents
        .iter()
        .filter(|intent| !intent.state.is_terminal() || intent.state == IntentState::Quarantined)
        .map(|intent| intent.client_order_id.as_str())
        .collect();
    if left.is_empty() || outcome.kind == OutcomeKind::Quarantined {
        return outcome;
    }
    let why = format!(
        "{}; the fate of {} is not known; the account is halted until a person has looked",
        outcome.detail,
        left.join(", ")
    );
    Outcome::ended(OutcomeKind::Quarantined, EndReason::OrderUnknown, why)
}

/// Wall 4: the due-versus-done ledger. Every run leaves here, and leaves its reason. One that leaves as quarantined halts
/// its account in the same transaction.
async fn close<E: Environment>(
    world: &World,
    claim: Claim<E>,
    course: Option<Course<E>>,
    outcome: Outcome,
) -> Result<Outcome, store::Error> {
    let intents = world.store.intents_of(&claim.run().id).await?;
    let outcome = with_orders_left(outcome, &intents);
    let rebalanced = settle::any_filled(&intents);
    let mut closing = Closing {
        outcome: outcome.clone(),
        drift_before: None,
        drift_after: None,
        turnover: None,
        decision: None,
        rebalanced,
    };
    if let Some(course) = course {
        closing.drift_before = course.drift_before;
        closing.turnover = course.turnover;
        closing.decision = (!course.decisions.is_empty()).then(|| kept(&course.decisions));
        closing.drift_after = if rebalanced { drift_now(world, &course).await } else { course.drift_before };
        if let Some(after) = closing.drift_after {
            world.metrics.drift(course.strategy.name(), "after", after);
        }
    }
    let run = claim.run();
    world.metrics.run_closed(&run.strategy, run.environment, &outcome);
    world.store.close(claim, &closing, world.clock.now()).await?;
    Ok(outcome)
}

/// Where the portfolio stands after the run; `None` when it cannot be seen any more.
async fn drift_now<E: Environment>(world: &World, course: &Course<E>) -> Option<Fraction> {
    let snapshot = observe(world, &course.access, &course.strategy, None).await.ok()?;
    let (_, drift) = decide::drift::drift(&course.strategy, &snapshot).ok()?;
    Some(drift.portfolio)
}

/// The code of a run failed: it closes as quarantined, and its account waits for a person. Called by the keeper of its task,
/// for the run itself can no longer.
///
/// # Errors
/// When the database fails: then the lease ends, and the run is taken up again.
pub async fn failed(world: &World, held: &Held, outcome: &Outcome) -> Result<(), store::Error> {
    world.store.fail_run(held, &outcome.detail, world.clock.now()).await.map(drop)
}
