//! Runs: the wall right before sending, the close, and what people ask about them.

use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::events::link;
use super::intents::insert;
use super::mandates::{approval_of, halt_of};
use super::slots::{Claim, Held};
use super::{Cells, Error, Store, known};
use crate::model::environment::{Environment, Kind};
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, RunId, StrategyName, StrategyVersion, SubscriptionId};
use crate::model::intent::Intent;
use crate::model::mandate::{Mandate, ServicePolicy};
use crate::model::money::Fraction;
use crate::model::run::{ClosedAs, Closing, Run, RunState, Trigger};
use crate::model::time::Moment;
use crate::model::verdict::{EndReason, OutcomeKind, Reason, Refusal};

/// What one half of a run leaves in the run's row when its intents are recorded.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The decision, as JSON.
    pub decision: String,
    /// Why the run trades.
    pub reason: Reason,
    /// The strategy's version that decided.
    pub version: StrategyVersion,
    /// Portfolio drift before the run.
    pub drift_before: Fraction,
    /// The share of the portfolio that is to be sold.
    pub turnover: Fraction,
}

/// What came of the wall.
#[derive(Debug)]
pub enum RecordAnswer {
    /// These intents are durable.
    Stored(Vec<Intent>),
    /// Nothing was stored but the refusal.
    Refused(Vec<Refusal>),
    /// Another worker has the run.
    ClaimLost,
}

/// Which runs to list; what is `None` matches all.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Of one account.
    pub account: Option<AccountId>,
    /// Of one strategy.
    pub strategy: Option<StrategyName>,
    /// In one state.
    pub state: Option<RunState>,
    /// At most so many, newest slot first; zero is none.
    pub limit: i64,
}

impl RunFilter {
    /// Every run.
    pub fn all() -> Self {
        Self { limit: i64::MAX, ..Self::default() }
    }
}

macro_rules! runs {
    ($rest:literal) => {
        concat!(
            "SELECT id, subscription_id, account_id, environment, strategy, version, slot, trigger_kind, state, reason, \
             claimed_at, closed_at, outcome, outcome_reason, outcome_detail, drift_before, drift_after, turnover, decision \
             FROM runs ",
            $rest
        )
    };
}

pub(super) fn run_of(row: &AnyRow) -> Result<Run, Error> {
    let cells = Cells::of("runs", row);
    let fraction = |column| cells.maybe(column, Fraction::parse);
    let outcome = match (
        cells.maybe_text("outcome")?,
        cells.maybe_text("outcome_reason")?,
        cells.maybe_text("outcome_detail")?,
    ) {
        (Some(kind), Some(reason), Some(detail)) => Some(ClosedAs { kind, reason, detail }),
        (None, None, None) => None,
        _ => return Err(cells.nonsense("outcome")),
    };
    let state = cells.noun("state", |text| known(RunState::parse(text)))?;
    if (state == RunState::Closed) != outcome.is_some() {
        return Err(cells.nonsense("state"));
    }
    Ok(Run {
        id: cells.noun("id", RunId::parse)?,
        subscription: cells.noun("subscription_id", SubscriptionId::parse)?,
        account: cells.noun("account_id", AccountId::parse)?,
        environment: cells.noun("environment", |text| known(Kind::parse(text)))?,
        strategy: cells.noun("strategy", StrategyName::parse)?,
        version: cells.maybe("version", StrategyVersion::parse)?,
        slot: cells.moment("slot")?,
        trigger: cells.noun("trigger_kind", |text| known(Trigger::parse(text)))?,
        state,
        reason: cells.maybe("reason", |text| known(Reason::parse(text)))?,
        claimed_at: cells.maybe_moment("claimed_at")?,
        closed_at: cells.maybe_moment("closed_at")?,
        outcome,
        drift_before: fraction("drift_before")?,
        drift_after: fraction("drift_after")?,
        turnover: fraction("turnover")?,
    })
}

/// Whether a claim still holds; locks the run's row for the rest of the transaction (S12).
pub(super) async fn hold<E>(tx: &mut Transaction<'static, Any>, claim: &Claim<E>) -> Result<bool, Error> {
    let held = sqlx::query("UPDATE runs SET epoch = epoch WHERE id = $1 AND epoch = $2 AND state = 'running'")
        .bind(claim.run.id.as_str())
        .bind(claim.epoch)
        .execute(&mut **tx)
        .await?;
    Ok(held.rows_affected() == 1)
}

/// What the configuration says, and the bounds of the exchange's day.
type Frame<'a> = (&'a ServicePolicy, (Moment, Moment));

/// Everything allowed for a run's account now, read inside a transaction.
async fn mandate_in(tx: &mut Transaction<'static, Any>, run: &Run, (policy, day): Frame<'_>) -> Result<Mandate, Error> {
    let halts = sqlx::query(
        "SELECT id, scope, subject, reason, pulled_by, pulled_at, released_at, released_by FROM halts WHERE released_at IS NULL",
    )
    .fetch_all(&mut **tx)
    .await?;
    let approvals = sqlx::query(
        "SELECT id, kind, account_id, strategy, version, text_hash, bound, granted_by, reason, granted_at, expires_at, \
         revoked_at, revoked_by FROM approvals WHERE account_id = $1 OR (account_id IS NULL AND strategy = $2)",
    )
    .bind(run.account.as_str())
    .bind(run.strategy.as_str())
    .fetch_all(&mut **tx)
    .await?;
    let traded = sqlx::query(
        "SELECT COUNT(*) AS id FROM runs WHERE account_id = $1 AND traded_at >= $2 AND traded_at < $3 AND id <> $4",
    )
    .bind(run.account.as_str())
    .bind(day.0.micros())
    .bind(day.1.micros())
    .bind(run.id.as_str())
    .fetch_one(&mut **tx)
    .await?;
    Ok(Mandate {
        account: run.account.clone(),
        environment: run.environment,
        policy: policy.clone(),
        halts: halts.iter().map(halt_of).collect::<Result<_, _>>()?,
        approvals: approvals.iter().map(approval_of).collect::<Result<_, _>>()?,
        trading_runs_today: u32::try_from(Cells::of("runs", &traded).int("id")?).unwrap_or(u32::MAX),
    })
}

impl Store {
    /// Everything allowed for a run's account now.
    ///
    /// # Errors
    /// When the database fails, which counts as not allowed.
    pub async fn mandate(&self, run: &Run, frame: Frame<'_>) -> Result<Mandate, Error> {
        let mut tx = self.db.begin().await?;
        let mandate = mandate_in(&mut tx, run, frame).await?;
        tx.rollback().await?;
        Ok(mandate)
    }

    /// Wall 2: in one transaction the claim, halts, approvals and limits are read again, `decide` says yes with intents or
    /// no with reasons, and intents and events are committed.
    ///
    /// # Errors
    /// When the database fails: then nothing is stored, and nothing may be sent.
    pub async fn record<E: Environment>(
        &self,
        claim: &Claim<E>,
        recording: &Recording,
        frame: Frame<'_>,
        now: Moment,
        decide: impl FnOnce(&Mandate) -> Result<Vec<Intent>, Vec<Refusal>>,
    ) -> Result<RecordAnswer, Error> {
        let mut tx = self.db.begin().await?;
        if !hold(&mut tx, claim).await? {
            return Ok(RecordAnswer::ClaimLost);
        }
        let mandate = mandate_in(&mut tx, &claim.run, frame).await?;
        let about = |kind| Event::new(now, Actor::service(), kind).account(&claim.run.account).run(&claim.run.id);
        let intents = match decide(&mandate) {
            Ok(intents) => intents,
            Err(refusals) => {
                let codes: Vec<&str> = refusals.iter().map(|refusal| refusal.code.code()).collect();
                link(&mut tx, &[about("run.refused").with("codes", codes.join(" "))]).await?;
                tx.commit().await?;
                return Ok(RecordAnswer::Refused(refusals));
            }
        };
        sqlx::query(
            "UPDATE runs SET decision = $1, reason = $2, version = $3, drift_before = $4, turnover = $5, \
             traded_at = COALESCE(traded_at, $6) WHERE id = $7",
        )
        .bind(&recording.decision)
        .bind(recording.reason.code())
        .bind(recording.version.as_str())
        .bind(recording.drift_before.to_string())
        .bind(recording.turnover.to_string())
        .bind(now.micros())
        .bind(claim.run.id.as_str())
        .execute(&mut *tx)
        .await?;
        let decided = about("run.decided")
            .with("reason", recording.reason)
            .with("strategy_version", &recording.version)
            .with("orders", intents.len());
        let mut events = vec![decided];
        events.extend(insert(&mut tx, &intents).await?);
        link(&mut tx, &events).await?;
        tx.commit().await?;
        Ok(RecordAnswer::Stored(intents))
    }

    /// Wall 4: closes a run with its outcome.
    ///
    /// # Errors
    /// When the claim is lost or the database fails: then the run stays open.
    pub async fn close<E: Environment>(&self, claim: Claim<E>, closing: &Closing, now: Moment) -> Result<(), Error> {
        let run = &claim.run;
        let text = |fraction: Option<Fraction>| fraction.map(|fraction| fraction.to_string());
        let mut tx = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE runs SET state = 'closed', closed_at = $1, lease_until = NULL, outcome = $2, outcome_reason = $3, \
             outcome_detail = $4, drift_before = COALESCE($5, drift_before), drift_after = $6, \
             turnover = COALESCE($7, turnover), decision = COALESCE($8, decision) \
             WHERE id = $9 AND epoch = $10 AND state = 'running'",
        )
        .bind(now.micros())
        .bind(closing.outcome.kind.code())
        .bind(closing.outcome.reason)
        .bind(&closing.outcome.detail)
        .bind(text(closing.drift_before))
        .bind(text(closing.drift_after))
        .bind(text(closing.turnover))
        .bind(closing.decision.clone())
        .bind(run.id.as_str())
        .bind(claim.epoch)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() != 1 {
            return Err(Error::Conflict { what: format!("run {} was taken over by another worker", run.id) });
        }
        if closing.rebalanced {
            sqlx::query("UPDATE subscriptions SET last_rebalanced_at = $1 WHERE id = $2")
                .bind(now.micros())
                .bind(run.subscription.as_str())
                .execute(&mut *tx)
                .await?;
        }
        let event = Event::new(now, Actor::service(), "run.closed")
            .account(&run.account)
            .run(&run.id)
            .with("slot", run.slot)
            .with("strategy", &run.strategy)
            .with("outcome", closing.outcome.kind)
            .with("reason", closing.outcome.reason)
            .with("detail", &closing.outcome.detail)
            .with("drift_before", text(closing.drift_before).unwrap_or_default())
            .with("drift_after", text(closing.drift_after).unwrap_or_default());
        link(&mut tx, &[event]).await?;
        Ok(tx.commit().await?)
    }

    /// Closes a run whose code failed as quarantined; `false` when the claim is lost.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fail_run(&self, held: &Held, why: &str, now: Moment) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE runs SET state = 'closed', closed_at = $1, lease_until = NULL, outcome = $2, outcome_reason = $3, \
             outcome_detail = $4 WHERE id = $5 AND epoch = $6 AND state = 'running'",
        )
        .bind(now.micros())
        .bind(OutcomeKind::Quarantined.code())
        .bind(EndReason::InternalFault.code())
        .bind(why)
        .bind(held.run.as_str())
        .bind(held.epoch)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() != 1 {
            return Ok(false);
        }
        link(
            &mut tx,
            &[Event::new(now, Actor::service(), "run.failed").account(&held.account).run(&held.run).with("why", why)],
        )
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Cancels a run that no worker has; `false` when there is none such.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cancel_run(&self, run: &RunId, by: &Actor, at: Moment) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE runs SET state = 'closed', closed_at = $1, outcome = $2, outcome_reason = $3, outcome_detail = $4 \
             WHERE id = $5 AND state = 'due'",
        )
        .bind(at.micros())
        .bind(OutcomeKind::Cancelled.code())
        .bind(EndReason::ByHand.code())
        .bind(format!("cancelled by {}", by.as_str()))
        .bind(run.as_str())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() != 1 {
            return Ok(false);
        }
        link(&mut tx, &[Event::new(at, by.clone(), "run.cancelled").run(run)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// When a subscription's account was last rebalanced.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_rebalanced_at(&self, subscription: &SubscriptionId) -> Result<Option<Moment>, Error> {
        let row = sqlx::query("SELECT id, last_rebalanced_at FROM subscriptions WHERE id = $1")
            .bind(subscription.as_str())
            .fetch_optional(self.db.reader())
            .await?;
        row.map_or(Ok(None), |row| Cells::of("subscriptions", &row).maybe_moment("last_rebalanced_at"))
    }

    /// Runs, newest slot first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, Error> {
        let rows = sqlx::query(runs!(
            "WHERE ($1 = '' OR account_id = $1) AND ($2 = '' OR strategy = $2) AND ($3 = '' OR state = $3) \
             ORDER BY slot DESC, id LIMIT $4"
        ))
        .bind(filter.account.as_ref().map_or("", |id| id.as_str()))
        .bind(filter.strategy.as_ref().map_or("", |name| name.as_str()))
        .bind(filter.state.map_or("", RunState::code))
        .bind(filter.limit)
        .fetch_all(self.db.reader())
        .await?;
        rows.iter().map(run_of).collect()
    }

    /// One run with its decision.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn run(&self, id: &RunId) -> Result<Option<(Run, Option<String>)>, Error> {
        let row = sqlx::query(runs!("WHERE id = $1")).bind(id.as_str()).fetch_optional(self.db.reader()).await?;
        row.map(|row| Ok((run_of(&row)?, Cells::of("runs", &row).maybe_text("decision")?))).transpose()
    }
}
