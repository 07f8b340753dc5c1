//! How a run ends: judged by its orders' own ends and the broker's ledger, and closed with a reason.
//!
//! Always: a run with an order whose fate is not known is quarantined, however it came to its close (L2).

use crate::decide;
use crate::decide::backoff::Difference;
use crate::edge::World;
use crate::edge::decisions;
use crate::edge::points;
use crate::edge::store::{self, Claim};
use crate::flow::bookkeeping::{Beside, compare, disputes, shown, withdrawn};
use crate::flow::course::Course;
use crate::flow::observe::{Blind, observe};
use crate::flow::settle::{self, Compared};
use crate::model::books::Ledgers;
use crate::model::environment::Environment;
use crate::model::intent::{Intent, IntentState};
use crate::model::money::Fraction;
use crate::model::run::Closing;
use crate::model::snapshot::{Seen, Snapshot};
use crate::model::verdict::{EndReason, Outcome, OutcomeKind, Reason, RefusalCode};

/// The decisions of a run as one JSON array.
pub(super) fn kept(decisions: &[String]) -> String {
    format!("[{}]", decisions.join(","))
}

/// The user must connect again; nobody else is touched (L8).
pub(super) async fn ended_by_token<E: Environment>(
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
pub(super) async fn judge<E: Environment>(world: &World, course: &mut Course<E>) -> Result<Outcome, store::Error> {
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
    let compared = settle::compare(world, &course.access, intents).await?;
    world.points.cross(points::COMPARED).await;
    match compared {
        Compared::Findings(findings) if !findings.is_empty() => {
            course.disputed = decide::reconcile::disputed(&findings);
            let found: Vec<String> = findings.iter().map(ToString::to_string).collect();
            let why = format!("{}; the account is halted until a person has looked", found.join("; "));
            return Ok(Outcome::ended(OutcomeKind::Quarantined, EndReason::LedgerMismatch, why));
        }
        Compared::Findings(_) => {}
        Compared::TokenDead(message) => {
            let ended = ended_by_token(world, course, &message).await?;
            return Ok(Outcome { kind: OutcomeKind::Partial, ..ended });
        }
        Compared::Silence => {
            let why = "the orders have ended, but the broker's ledger could not be read to compare them";
            return Ok(Outcome::ended(OutcomeKind::Partial, EndReason::BrokerUnreachable, why));
        }
    }
    let counts = |intent: &&Intent| !decide::intents::is_superseded(intent, intents);
    let missing =
        |states: &[IntentState]| intents.iter().filter(counts).filter(|intent| states.contains(&intent.state)).count();
    let rejected = missing(&[IntentState::Rejected]);
    let unfilled = missing(&[IntentState::Ended, IntentState::Withdrawn]);
    Ok(if rejected > 0 {
        let notes: Vec<&str> =
            intents.iter().filter(|i| i.state == IntentState::Rejected).map(|i| i.note.as_str()).collect();
        let detail = format!("{rejected} of {} orders were refused by the broker: {}", intents.len(), notes.join("; "));
        Outcome::ended(OutcomeKind::Partial, EndReason::OrdersRejected, detail)
    } else if unfilled > 0 {
        let mut detail = format!("{unfilled} of {} orders were not completely filled", intents.len());
        for why in &course.not_tried {
            detail = format!("{detail}; what was left was not tried again: {why}");
        }
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
pub(super) async fn close<E: Environment>(
    world: &World,
    claim: Claim<E>,
    course: Option<Course<E>>,
    outcome: Outcome,
) -> Result<Outcome, store::Error> {
    let intents = world.store.intents_of(&claim.run().id).await?;
    let is_blind = outcome.reason == EndReason::TokenDead.code();
    let mut outcome = with_orders_left(outcome, &intents);
    world.points.cross(points::CLOSING).await;
    let rebalanced = settle::any_filled(&intents);
    let mut closing = Closing {
        outcome: outcome.clone(),
        drift_before: None,
        drift_after: None,
        turnover: None,
        decision: None,
        rebalanced,
        seen: None,
        books: None,
        ledgers: None,
        disputed: Vec::new(),
        halts_account: circles(world, &outcome),
    };
    if let Some(mut course) = course {
        closing.drift_before = course.drift_before;
        closing.turnover = course.turnover;
        closing.decision = (!course.decisions.is_empty()).then(|| kept(&course.decisions));
        closing.drift_after = course.drift_before;
        if rebalanced && !is_blind {
            course.intents = intents;
            let after = after(world, &mut course).await?;
            world.points.cross(points::LOOKED_BACK).await;
            // The run's work is done; the next one needs its user first (L8).
            if let Some(message) = &after.token_dead {
                world.store.mark_reauth(&course.grant, world.clock.now(), message).await?;
            }
            closing.drift_after = after.drift;
            course.seen = after.seen.or(course.seen);
            match after.unexplained {
                // It waits for a person already, who finds both ledgers too.
                Some(ledgers) if outcome.kind == OutcomeKind::Quarantined => {
                    course.ledgers = Some(decisions::ledgers(&ledgers));
                    course.disputed.extend(ledgers.disputed);
                }
                Some(ledgers) => {
                    outcome = unexplained(world, &mut course, &ledgers);
                    closing.outcome = outcome.clone();
                }
                None => {}
            }
        }
        withdrawn(world, &claim.run().account, &course.moved).await?;
        closing.seen = course.seen;
        closing.books = course.books;
        closing.ledgers = course.ledgers;
        closing.disputed = disputes(world, &claim.run().account, &course.disputed).await?;
        if let Some(after) = closing.drift_after {
            world.metrics.drift(course.strategy.name(), "after", after);
        }
    }
    let run = claim.run();
    world.metrics.run_closed(&run.strategy, run.environment, &outcome);
    world.store.close(claim, &closing, world.clock.now()).await?;
    world.points.cross(points::CLOSED).await;
    Ok(outcome)
}

/// Whether something goes in circles, or asks for more orders than any sound plan needs: a person must look before the account
/// trades again (S10, row 61). Where no run at all is allowed, nothing circles.
fn circles(world: &World, outcome: &Outcome) -> bool {
    let none_at_all = world.policy.max_trading_runs_per_day == Some(0);
    let runaway = RefusalCode::parse(outcome.reason).is_some_and(RefusalCode::is_runaway);
    runaway || (outcome.reason == RefusalCode::MaxRunsPerDay.code() && !none_at_all)
}

/// Where the account stands after a run that traded.
#[derive(Default)]
struct After {
    drift: Option<Fraction>,
    seen: Option<Seen>,
    unexplained: Option<Box<Ledgers>>,
    token_dead: Option<String>,
}

fn dead(blind: Blind) -> Option<String> {
    if let Blind::TokenDead(message) = blind { Some(message) } else { None }
}

/// Looks once more: where the portfolio stands, and whether cash and shares are what the broker's own rows come to. What
/// cannot be seen any more is left to the next look: the books stay as they were, and every row since counts then.
async fn after<E: Environment>(world: &World, course: &mut Course<E>) -> Result<After, store::Error> {
    let mut after = After::default();
    let mut difference = Difference::default();
    loop {
        let snapshot = match observe(world, &course.access, &course.strategy, None).await {
            Ok(snapshot) => snapshot,
            Err(blind) => return Ok(After { unexplained: None, token_dead: dead(blind), ..after }),
        };
        after.drift = decide::drift::drift(course.effective(), &snapshot).ok().map(|(_, drift)| drift.portfolio);
        after.seen = Some(Seen::of(&snapshot));
        match balanced(world, course, &snapshot).await? {
            Beside::Agrees { .. } => return Ok(After { unexplained: None, ..after }),
            Beside::Unseen(blind) => return Ok(After { unexplained: None, token_dead: dead(blind), ..after }),
            Beside::Differs(ledgers) => {
                let pause = difference.again(&ledgers.differences);
                after.unexplained = Some(ledgers);
                let Some(pause) = pause else { return Ok(after) };
                world.clock.sleep(pause).await;
            }
        }
    }
}

/// Compares a look with the books, and carries them on when they agree; otherwise both ledgers.
///
/// # Errors
/// When the database fails.
pub(super) async fn balanced<E: Environment>(
    world: &World,
    course: &mut Course<E>,
    snapshot: &Snapshot,
) -> Result<Beside, store::Error> {
    let sums = shown(&snapshot.account, &snapshot.holdings);
    let beside = compare(world, &course.access, (course.books.as_ref(), &course.intents), &sums).await?;
    if let Beside::Agrees { books, fresh } = &beside {
        course.moved.extend(fresh.iter().cloned());
        let at = world.clock.now();
        let agreed = Ledgers { at, ours: sums.clone(), theirs: sums, differences: Vec::new(), disputed: Vec::new() };
        course.ledgers = Some(decisions::ledgers(&agreed));
        course.books = books.clone().or(course.books.take());
        world.metrics.balanced("agreed");
    }
    Ok(beside)
}

/// How a run ends whose account nobody can explain: the account is halted, and both ledgers are kept with the run.
pub(super) fn unexplained<E>(world: &World, course: &mut Course<E>, ledgers: &Ledgers) -> Outcome {
    world.metrics.balanced("unexplained");
    course.ledgers = Some(decisions::ledgers(ledgers));
    course.disputed.clone_from(&ledgers.disputed);
    let why = format!("{}; the account is halted until a person has looked", ledgers.differences.join("; "));
    Outcome::ended(OutcomeKind::Quarantined, EndReason::LedgerMismatch, why)
}
