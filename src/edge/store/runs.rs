//! Runs as they are read, and runs that end without a worker.

use sqlx::any::AnyRow;

use crate::edge::store::db::{Error, Link, Reader, Store, clean};
use crate::edge::store::events;
use crate::model::environment::Kind;
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, RunId, StrategyName, StrategyVersion, SubscriptionId};
use crate::model::money::Fraction;
use crate::model::run::{ClosedAs, Run, RunState, Trigger};
use crate::model::schedule::SlotReason;
use crate::model::snapshot::Shares;
use crate::model::time::Moment;
use crate::model::verdict::{EndReason, Outcome, OutcomeKind, Reason};

/// Which runs to list, newest slot first.
#[derive(Debug, Clone)]
pub struct RunFilter {
    /// Only of this account.
    pub account: Option<AccountId>,
    /// Only of this strategy.
    pub strategy: Option<StrategyName>,
    /// Only in this state.
    pub state: Option<RunState>,
    /// At most so many.
    pub limit: i64,
}

impl Default for RunFilter {
    fn default() -> Self {
        Self { account: None, strategy: None, state: None, limit: 100 }
    }
}

impl RunFilter {
    /// Every run there is.
    pub fn all() -> Self {
        Self { limit: i64::MAX, ..Self::default() }
    }
}

impl Store {
    /// Runs, newest slot first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM runs
             WHERE (CAST($1 AS TEXT) IS NULL OR account = $1)
               AND (CAST($2 AS TEXT) IS NULL OR strategy = $2)
               AND (CAST($3 AS TEXT) IS NULL OR state = $3)
             ORDER BY slot DESC, id LIMIT $4",
        )
        .bind(filter.account.as_ref().map(|id| id.as_str().to_owned()))
        .bind(filter.strategy.as_ref().map(|name| name.as_str().to_owned()))
        .bind(filter.state.map(|state| state.code().to_owned()))
        .bind(filter.limit)
        .fetch_all(self.read())
        .await?;
        rows.iter().map(run_of).collect()
    }

    /// One run, with its decision as JSON text if it has come to one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn run(&self, id: &RunId) -> Result<Option<(Run, Option<String>)>, Error> {
        let row = sqlx::query("SELECT * FROM runs WHERE id = $1").bind(id.as_str()).fetch_optional(self.read()).await?;
        row.map(|row| Ok((run_of(&row)?, Reader::new(&row, "runs", "id").maybe_text("decision")?))).transpose()
    }

    /// Both ledgers as a run left them, as text for people; `None` when it did not get so far.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ledgers(&self, id: &RunId) -> Result<Option<String>, Error> {
        let row = sqlx::query("SELECT id, ledgers FROM runs WHERE id = $1").bind(id.as_str());
        let row = row.fetch_optional(self.read()).await?;
        row.map_or(Ok(None), |row| Reader::new(&row, "runs", "id").maybe_text("ledgers"))
    }

    /// The version of the program that decided in a run, and when the version of its strategy was first seen.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn provenance(&self, id: &RunId) -> Result<(Option<String>, Option<Moment>), Error> {
        let row = sqlx::query(
            "SELECT r.id, r.program, s.first_seen_at FROM runs r LEFT JOIN strategies s ON s.version = r.version
             WHERE r.id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(self.read())
        .await?;
        let Some(row) = row else { return Ok((None, None)) };
        let row = Reader::new(&row, "runs", "id");
        Ok((row.maybe_text("program")?, row.maybe_moment("first_seen_at")?))
    }

    /// When this subscription last filled orders: its cooldown counts from there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_rebalanced_at(&self, subscription: &SubscriptionId) -> Result<Option<Moment>, Error> {
        let row = sqlx::query("SELECT id, last_rebalanced_at FROM subscriptions WHERE id = $1")
            .bind(subscription.as_str())
            .fetch_optional(self.read())
            .await?;
        row.map_or(Ok(None), |row| Reader::new(&row, "subscriptions", "id").maybe_moment("last_rebalanced_at"))
    }

    /// Closes a run that no worker has taken yet; `false` when one has, or there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cancel_run(&self, id: &RunId, by: &Actor, at: Moment) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let detail = format!("cancelled by {}", by.as_str());
        let outcome = Outcome::ended(OutcomeKind::Cancelled, EndReason::ByHand, detail);
        let row = sqlx::query(
            "UPDATE runs SET state = 'closed', closed_at = $1, outcome = $2, outcome_reason = $3, outcome_detail = $4
             WHERE id = $5 AND state = 'due' RETURNING id, account",
        )
        .bind(at.micros())
        .bind(outcome.kind.code())
        .bind(outcome.reason)
        .bind(clean(&outcome.detail))
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else {
            return Ok(false);
        };
        let account = Reader::new(&row, "runs", "id").parsed("account", |text| AccountId::parse(text).ok())?;
        let event = Event::new(at, by.clone(), "run.cancelled").account(&account).run(id);
        events::append(&mut tx, &[with_outcome(event, &outcome)]).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// A run from its row.
pub(super) fn run_of(row: &AnyRow) -> Result<Run, Error> {
    let row = Reader::new(row, "runs", "id");
    let outcome = match row.maybe_text("outcome")? {
        Some(kind) => Some(ClosedAs { kind, reason: row.text("outcome_reason")?, detail: row.text("outcome_detail")? }),
        None => None,
    };
    let fraction = |column| row.maybe_parsed(column, |text| Fraction::parse(text).ok());
    Ok(Run {
        id: row.parsed("id", |text| RunId::parse(text).ok())?,
        subscription: row.parsed("subscription", |text| SubscriptionId::parse(text).ok())?,
        account: row.parsed("account", |text| AccountId::parse(text).ok())?,
        environment: row.parsed("environment", Kind::parse)?,
        strategy: row.parsed("strategy", |text| StrategyName::parse(text).ok())?,
        version: row.maybe_parsed("version", |text| StrategyVersion::parse(text).ok())?,
        slot: row.moment("slot")?,
        trigger: row.parsed("cause", Trigger::parse)?,
        slot_reason: row.parsed("slot_reason", SlotReason::parse)?,
        turn: row.moment("turn")?,
        begin_until: row.maybe_moment("begin_until")?,
        state: row.parsed("state", RunState::parse)?,
        reason: row.maybe_parsed("reason", Reason::parse)?,
        held: row.maybe_parsed("held", Shares::parse)?,
        claimed_at: row.maybe_moment("claimed_at")?,
        closed_at: row.maybe_moment("closed_at")?,
        outcome,
        drift_before: fraction("drift_before")?,
        drift_after: fraction("drift_after")?,
        turnover: fraction("turnover")?,
    })
}

/// An event that tells how a run ended.
pub(super) fn with_outcome(event: Event, outcome: &Outcome) -> Event {
    event.with("outcome", outcome.kind).with("reason", outcome.reason).with("detail", &outcome.detail)
}

/// Closes every waiting run of a subscription that has ended. Runs that a worker has go on to their own end.
pub(super) async fn end_waiting(
    link: &mut Link,
    subscription: &SubscriptionId,
    (by, at): (&Actor, Moment),
) -> Result<Vec<Event>, Error> {
    let outcome = Outcome::ended(
        OutcomeKind::Skipped,
        EndReason::Unsubscribed,
        "the subscription ended before the run was begun",
    );
    let rows = sqlx::query(
        "UPDATE runs SET state = 'closed', closed_at = $1, outcome = $2, outcome_reason = $3, outcome_detail = $4
         WHERE subscription = $5 AND state = 'due' RETURNING id, account",
    )
    .bind(at.micros())
    .bind(outcome.kind.code())
    .bind(outcome.reason)
    .bind(clean(&outcome.detail))
    .bind(subscription.as_str())
    .fetch_all(link)
    .await?;
    let mut closed = Vec::with_capacity(rows.len());
    for row in &rows {
        let row = Reader::new(row, "runs", "id");
        let run = row.parsed("id", |text| RunId::parse(text).ok())?;
        let account = row.parsed("account", |text| AccountId::parse(text).ok())?;
        let event = Event::new(at, by.clone(), "run.closed").account(&account).run(&run);
        closed.push(with_outcome(event, &outcome));
    }
    // The database returns them in any order; the chain has one.
    closed.sort_by(|one, other| one.run.cmp(&other.run));
    Ok(closed)
}
