//! How a run leaves the ledger: its outcome, its event, and what follows from them, in one transaction.
//!
//! A run closes once, by the worker that has it. One that closes as quarantined halts its account in that same
//! transaction: there is no moment in which the run has ended and its account trades on.

use sqlx::any::AnyRow;

use crate::edge::points;
use crate::edge::store::accounts;
use crate::edge::store::db::{Error, Link, Reader, Store, clean};
use crate::edge::store::disputes;
use crate::edge::store::events;
use crate::edge::store::mandates;
use crate::edge::store::runs::{run_of, with_outcome};
use crate::edge::store::slots::{Claim, Held};
use crate::model::environment::Environment;
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, HaltId, RunId};
use crate::model::intent::IntentState;
use crate::model::mandate::{Halt, HaltScope};
use crate::model::money::Fraction;
use crate::model::run::{Closing, Run};
use crate::model::time::Moment;
use crate::model::verdict::{EndReason, Outcome, OutcomeKind};
use crate::model::zoo::{Bug, planted};

impl Store {
    /// Closes a run: how it ended, and why, for good.
    ///
    /// # Errors
    /// [`Error::ClaimLost`] when another worker has the run; otherwise when the database fails.
    pub async fn close<E: Environment>(&self, claim: Claim<E>, closing: &Closing, now: Moment) -> Result<(), Error> {
        let run = &claim.run().id;
        if self.end_run((run, claim.epoch()), closing, now).await? {
            Ok(())
        } else {
            Err(Error::ClaimLost { run: run.to_string() })
        }
    }

    /// Closes a run whose code failed: what it did is unknown, its account is halted, and a person must look. `false` when
    /// the claim was lost.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fail_run(&self, held: &Held, why: &str, now: Moment) -> Result<bool, Error> {
        // What it filled before it failed counts: its cooldown begins all the same.
        let rebalanced = self.intents_of(&held.run).await?.iter().any(|intent| intent.filled_qty.is_positive());
        let closing = Closing {
            outcome: Outcome::ended(OutcomeKind::Quarantined, EndReason::InternalFault, why),
            drift_before: None,
            drift_after: None,
            turnover: None,
            decision: None,
            rebalanced,
            seen: None,
            books: None,
            ledgers: None,
            disputed: Vec::new(),
            halts_account: true,
        };
        self.end_run((&held.run, held.epoch), &closing, now).await
    }

    async fn end_run(&self, (id, epoch): (&RunId, i64), closing: &Closing, now: Moment) -> Result<bool, Error> {
        let mut tx = self.begin_write(points::CLOSE).await?;
        let text = |fraction: Option<Fraction>| fraction.map(|fraction| fraction.to_string());
        let row = sqlx::query(
            "UPDATE runs SET state = 'closed', lease_until = NULL, closed_at = $1, outcome = $2, outcome_reason = $3,
                 outcome_detail = $4, drift_before = COALESCE($5, drift_before), drift_after = $6,
                 turnover = COALESCE($7, turnover), decision = COALESCE($8, decision), ledgers = $9
             WHERE id = $10 AND epoch = $11 AND state = 'running' RETURNING *",
        )
        .bind(now.micros())
        .bind(closing.outcome.kind.code())
        .bind(closing.outcome.reason)
        .bind(clean(&closing.outcome.detail))
        .bind(text(closing.drift_before))
        .bind(text(closing.drift_after))
        .bind(text(closing.turnover))
        .bind(closing.decision.as_deref().map(clean))
        .bind(closing.ledgers.as_deref().map(clean))
        .bind(id.as_str())
        .bind(epoch)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else {
            return Ok(false);
        };
        let run = run_of(&row)?;
        let mut all = Vec::new();
        if closing.outcome.kind == OutcomeKind::Quarantined && !planted(Bug::FailedRunForgetsOrders) {
            all = quarantine_rest(&mut tx, id.as_str(), &closing.outcome.detail, now).await?;
        }
        all.extend(disputes::dispute(&mut tx, &run.account, &closing.disputed, now).await?);
        self.points.cross(points::CLOSE_CHANGED).await;
        if closing.rebalanced {
            sqlx::query("UPDATE subscriptions SET last_rebalanced_at = $1 WHERE id = $2")
                .bind(now.micros())
                .bind(run.subscription.as_str())
                .execute(&mut *tx)
                .await?;
        }
        if let Some(seen) = &closing.seen {
            accounts::saw(&mut tx, &run.account, seen).await?;
        }
        if let Some(books) = &closing.books {
            accounts::keep_books(&mut tx, &run.account, books).await?;
        }
        all.push(closed(&run, &closing.outcome, now));
        events::append(&mut tx, &all).await?;
        self.points.cross(points::CLOSE_TOLD).await;
        if run.reason.is_some() {
            mandates::use_up(&mut tx, &run, now).await?;
        }
        if planted(Bug::QuarantineWithoutHalt) {
            // Nothing: the bug.
        } else if closing.halts_account || closing.outcome.kind == OutcomeKind::Quarantined {
            mandates::pull(&mut tx, &halt_of(&run, &closing.outcome, now), Actor::service()).await?;
        }
        self.commit(tx, points::CLOSE).await?;
        Ok(true)
    }
}

/// Closes a run that nobody can carry, inside the claimer's transaction: its row cannot be read, or it was taken up too
/// often. Its account waits for a person, and everybody else's runs go on (L5).
pub(super) async fn put_aside(link: &mut Link, row: &AnyRow, why: &str, now: Moment) -> Result<(), Error> {
    let row = Reader::new(row, "runs", "id");
    let id = row.text("id")?;
    let outcome = Outcome::ended(OutcomeKind::Quarantined, EndReason::InternalFault, why);
    sqlx::query(
        "UPDATE runs SET state = 'closed', lease_until = NULL, closed_at = $1, outcome = $2, outcome_reason = $3,
             outcome_detail = $4
         WHERE id = $5",
    )
    .bind(now.micros())
    .bind(outcome.kind.code())
    .bind(outcome.reason)
    .bind(clean(&outcome.detail))
    .bind(&id)
    .execute(&mut *link)
    .await?;
    let mut all = quarantine_rest(link, &id, why, now).await?;
    let mut event = with_outcome(Event::new(now, Actor::service(), "run.closed"), &outcome).with("row", &id);
    let (run, account) = (RunId::parse(&id), AccountId::parse(&row.text("account")?));
    if let Ok(account) = &account {
        event = event.account(account);
    }
    all.push(event);
    events::append(link, &all).await?;
    if let (Ok(run), Ok(account)) = (run, account) {
        let halt = Halt {
            id: HaltId::of_run(&run),
            scope: HaltScope::Account(account),
            reason: outcome.detail,
            by: Actor::service().as_str().to_owned(),
            pulled_at: now,
            released: None,
        };
        mandates::pull(link, &halt, Actor::service()).await?;
    }
    Ok(())
}

/// What has no known end when a run is quarantined waits for a person too: nobody follows it any more (L2). Returns the events
/// that are to be appended with it, one for each (S13).
async fn quarantine_rest(link: &mut Link, run: &str, why: &str, now: Moment) -> Result<Vec<Event>, Error> {
    let rows = sqlx::query(
        "UPDATE intents SET state = 'quarantined', note = $1, settled_at = $2
         WHERE run = $3 AND state IN ('recorded', 'unknown', 'open') RETURNING id, account, filled_qty",
    )
    .bind(clean(why))
    .bind(now.micros())
    .bind(run)
    .fetch_all(link)
    .await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let row = Reader::new(row, "intents", "id");
        let mut event = Event::new(now, Actor::service(), "intent.settled")
            .with("intent", row.text("id")?)
            .with("state", IntentState::Quarantined.code())
            .with("filled_qty", row.text("filled_qty")?)
            .with("note", why);
        if let (Ok(account), Ok(run)) = (AccountId::parse(&row.text("account")?), RunId::parse(run)) {
            event = event.account(&account).run(&run);
        }
        all.push(event);
    }
    // The database returns them in any order; the chain has one.
    all.sort_by(|one, other| one.facts.cmp(&other.facts));
    Ok(all)
}

/// Stops the account of a quarantined run, and only it, until a person has looked.
fn halt_of(run: &Run, outcome: &Outcome, now: Moment) -> Halt {
    Halt {
        id: HaltId::of_run(&run.id),
        scope: HaltScope::Account(run.account.clone()),
        reason: outcome.detail.clone(),
        by: Actor::service().as_str().to_owned(),
        pulled_at: now,
        released: None,
    }
}

fn closed(run: &Run, outcome: &Outcome, now: Moment) -> Event {
    let event = Event::new(now, Actor::service(), "run.closed").account(&run.account).run(&run.id);
    let event = with_outcome(event, outcome).with("slot", run.slot).with("strategy", &run.strategy);
    let mut event = event.with("slot_reason", &run.slot_reason);
    for (name, value) in
        [("drift_before", run.drift_before), ("drift_after", run.drift_after), ("turnover", run.turnover)]
    {
        if let Some(value) = value {
            event = event.with(name, value);
        }
    }
    event
}
