//! The ledger of slots: which moments have been looked at, which runs wait, and who has which.
//!
//! The key of a run is its subscription and slot, so a second one cannot exist. A claim holds an epoch; whoever claims a
//! run again has a higher one, and the older claim can change nothing any more (S12).

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::events::link;
use super::runs::run_of;
use super::{Cells, Error, Store, known};
use crate::model::canon;
use crate::model::environment::{Kind, Live, Paper};
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, RunId, StrategyName, SubscriptionId};
use crate::model::run::{DueMoment, Run, Trigger};
use crate::model::time::Moment;
use crate::model::verdict::{EndReason, OutcomeKind};

/// A run that this process carries. Private fields, no clone: only a won claim makes one.
#[derive(Debug)]
pub struct Claim<E> {
    pub(super) run: Run,
    pub(super) epoch: i64,
    environment: PhantomData<E>,
}

impl<E> Claim<E> {
    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The claim's epoch.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }
}

/// A claim of either environment.
#[derive(Debug)]
pub enum AnyClaim {
    /// On paper.
    Paper(Claim<Paper>),
    /// With real money.
    Live(Claim<Live>),
}

impl AnyClaim {
    /// The run.
    pub fn run(&self) -> &Run {
        match self {
            Self::Paper(claim) => claim.run(),
            Self::Live(claim) => claim.run(),
        }
    }

    /// What the keeper of the run's task remembers of it.
    pub fn held(&self) -> Held {
        let epoch = match self {
            Self::Paper(claim) => claim.epoch(),
            Self::Live(claim) => claim.epoch(),
        };
        let run = self.run();
        Held {
            run: run.id.clone(),
            account: run.account.clone(),
            environment: run.environment,
            strategy: run.strategy.clone(),
            epoch,
        }
    }
}

/// A claim as the keeper of its task remembers it: enough to renew or fail the run, not to carry it.
#[derive(Debug, Clone)]
pub struct Held {
    /// The run.
    pub run: RunId,
    /// Its account.
    pub account: AccountId,
    /// Paper or live.
    pub environment: Kind,
    /// The strategy.
    pub strategy: StrategyName,
    pub(super) epoch: i64,
}

/// What waits and what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Runs that wait for a worker.
    pub due: i64,
    /// Runs that a worker has.
    pub running: i64,
    /// The slot of the oldest that waits.
    pub oldest_due: Option<Moment>,
}

struct Follower {
    subscription: SubscriptionId,
    account: AccountId,
    environment: Kind,
    started_at: Moment,
}

/// The statement that claims, in the parts that both dialects share.
macro_rules! claim_head {
    () => {
        "UPDATE runs SET state = 'running', epoch = epoch + 1, lease_until = $1, claimed_at = COALESCE(claimed_at, $2) \
         WHERE id IN ("
    };
}
macro_rules! claim_who {
    () => {
        "SELECT r.id FROM runs r WHERE (r.state = 'due' OR (r.state = 'running' AND r.lease_until <= $2)) \
         AND NOT EXISTS (SELECT 1 FROM runs o WHERE o.account_id = r.account_id AND o.id <> r.id \
         AND (o.state = 'running' OR (o.state = 'due' AND (o.slot < r.slot OR (o.slot = r.slot AND o.id < r.id))))) \
         ORDER BY r.slot, r.id LIMIT $3"
    };
}
macro_rules! claim_tail {
    () => {
        " RETURNING id, subscription_id, account_id, environment, strategy, version, slot, trigger_kind, state, reason, epoch, \
         claimed_at, closed_at, outcome, outcome_reason, outcome_detail, drift_before, drift_after, turnover"
    };
}

impl Store {
    /// How far the schedule of each strategy has been looked at.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ledger(&self) -> Result<BTreeMap<StrategyName, Moment>, Error> {
        let rows = sqlx::query("SELECT strategy AS id, strategy, evaluated_until FROM slot_ledger")
            .fetch_all(self.db.reader())
            .await?;
        rows.iter()
            .map(|row| {
                let cells = Cells::of("slot_ledger", row);
                Ok((cells.noun("strategy", StrategyName::parse)?, cells.moment("evaluated_until")?))
            })
            .collect()
    }

    /// Makes a run for every active subscription of a strategy and every due moment, and moves the ledger, in one
    /// transaction. Missed moments are recorded as closed runs. Returns how many runs are new.
    ///
    /// # Errors
    /// When the database fails: then nothing has moved.
    pub async fn enqueue(
        &self,
        strategy: &StrategyName,
        due: &[DueMoment],
        evaluated_until: Moment,
        now: Moment,
    ) -> Result<usize, Error> {
        let mut tx = self.db.begin().await?;
        let mut made = 0;
        let mut missed = 0;
        if !due.is_empty() {
            for follower in followers(&mut tx, strategy).await? {
                for moment in due.iter().filter(|moment| follower.started_at <= moment.at) {
                    let new = insert_run(
                        &mut tx,
                        (&follower, strategy),
                        (moment.at, Trigger::Schedule),
                        moment.missed.then_some(now),
                    );
                    let new = new.await?;
                    made += usize::from(new);
                    missed += usize::from(new && moment.missed);
                }
            }
        }
        sqlx::query(
            "INSERT INTO slot_ledger (strategy, evaluated_until) VALUES ($1, $2) \
             ON CONFLICT (strategy) DO UPDATE SET evaluated_until = excluded.evaluated_until \
             WHERE slot_ledger.evaluated_until < excluded.evaluated_until",
        )
        .bind(strategy.as_str())
        .bind(evaluated_until.micros())
        .execute(&mut *tx)
        .await?;
        if made > 0 {
            let moments: Vec<String> = due.iter().map(|moment| moment.at.to_string()).collect();
            let event = Event::new(now, Actor::service(), "slots.enqueued")
                .with("strategy", strategy)
                .with("moments", moments.join(" "))
                .with("runs", made)
                .with("missed", missed);
            link(&mut tx, &[event]).await?;
        }
        tx.commit().await?;
        Ok(made)
    }

    /// Makes a run by hand, for now.
    ///
    /// # Errors
    /// When the subscription is not active, has a run for this very moment, or the database fails.
    pub async fn trigger(&self, subscription: &SubscriptionId, at: Moment, by: &Actor) -> Result<RunId, Error> {
        let mut tx = self.db.begin().await?;
        let row = sqlx::query(
            "SELECT s.id AS id, s.account_id AS account_id, s.strategy AS strategy, s.started_at AS started_at, \
             a.environment AS environment FROM subscriptions s JOIN accounts a ON a.id = s.account_id \
             WHERE s.id = $1 AND s.ended_at IS NULL",
        )
        .bind(subscription.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else {
            return Err(Error::Conflict { what: format!("there is no active subscription {subscription}") });
        };
        let follower = follower(&Cells::of("subscriptions", &row))?;
        let strategy = Cells::of("subscriptions", &row).noun("strategy", StrategyName::parse)?;
        let id =
            canon::run_id(subscription, at).map_err(|_| Error::Conflict { what: "the run has no id".to_owned() })?;
        if !insert_run(&mut tx, (&follower, &strategy), (at, Trigger::Manual), None).await? {
            return Err(Error::Conflict { what: format!("subscription {subscription} has a run for {at} already") });
        }
        let event = Event::new(at, by.clone(), "run.triggered").account(&follower.account).run(&id);
        link(&mut tx, &[event.with("subscription", subscription)]).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Takes up to `limit` runs, oldest first, at most one per account, until `lease_until`. Runs whose lease has ended
    /// are taken over.
    ///
    /// # Errors
    /// When the database fails: then none is taken.
    pub async fn claim(&self, limit: usize, now: Moment, lease_until: Moment) -> Result<Vec<AnyClaim>, Error> {
        let sqlite = concat!(claim_head!(), claim_who!(), ")", claim_tail!());
        let postgres = concat!(claim_head!(), claim_who!(), " FOR UPDATE SKIP LOCKED)", claim_tail!());
        let mut tx = self.db.begin().await?;
        let rows = sqlx::query(self.db.pick(sqlite, postgres))
            .bind(lease_until.micros())
            .bind(now.micros())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        let mut runs: Vec<(Run, i64)> = Vec::with_capacity(rows.len());
        for row in &rows {
            runs.push((run_of(row)?, Cells::of("runs", row).int("epoch")?));
        }
        runs.sort_by(|(a, _), (b, _)| (a.slot, &a.id).cmp(&(b.slot, &b.id)));
        Ok(runs
            .into_iter()
            .map(|(run, epoch)| match run.environment {
                Kind::Paper => AnyClaim::Paper(Claim { run, epoch, environment: PhantomData }),
                Kind::Live => AnyClaim::Live(Claim { run, epoch, environment: PhantomData }),
            })
            .collect())
    }

    /// After a start: runs that an earlier process of this database held become claimable at once. Only where one
    /// process owns the database; elsewhere leases end by themselves.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release_all(&self, now: Moment) -> Result<usize, Error> {
        if self.db.file.is_none() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        let freed = sqlx::query("UPDATE runs SET lease_until = $1 WHERE state = 'running'")
            .bind(now.micros())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(usize::try_from(freed.rows_affected()).unwrap_or(usize::MAX))
    }

    /// Extends a claim's lease; `false` when the claim is lost.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew(&self, held: &Held, lease_until: Moment) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let kept = sqlx::query("UPDATE runs SET lease_until = $1 WHERE id = $2 AND epoch = $3 AND state = 'running'")
            .bind(lease_until.micros())
            .bind(held.run.as_str())
            .bind(held.epoch)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(kept.rows_affected() == 1)
    }

    /// What waits and what is under way.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queue(&self, now: Moment) -> Result<Queue, Error> {
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(CASE WHEN state = 'due' THEN 1 ELSE 0 END), 0) AS BIGINT) AS due, \
             CAST(COALESCE(SUM(CASE WHEN state = 'running' THEN 1 ELSE 0 END), 0) AS BIGINT) AS running, \
             MIN(CASE WHEN state = 'due' THEN slot ELSE NULL END) AS oldest FROM runs WHERE state <> 'closed' AND slot <= $1",
        )
        .bind(now.micros())
        .fetch_one(self.db.reader())
        .await?;
        let cells = Cells::of("runs", &row);
        Ok(Queue { due: cells.int("due")?, running: cells.int("running")?, oldest_due: cells.maybe_moment("oldest")? })
    }
}

async fn followers(
    tx: &mut sqlx::Transaction<'static, sqlx::Any>,
    strategy: &StrategyName,
) -> Result<Vec<Follower>, Error> {
    let rows = sqlx::query(
        "SELECT s.id AS id, s.account_id AS account_id, s.started_at AS started_at, a.environment AS environment \
         FROM subscriptions s JOIN accounts a ON a.id = s.account_id \
         WHERE s.strategy = $1 AND s.ended_at IS NULL ORDER BY s.started_at, s.id",
    )
    .bind(strategy.as_str())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(|row| follower(&Cells::of("subscriptions", row))).collect()
}

fn follower(cells: &Cells<'_>) -> Result<Follower, Error> {
    Ok(Follower {
        subscription: cells.noun("id", SubscriptionId::parse)?,
        account: cells.noun("account_id", AccountId::parse)?,
        environment: cells.noun("environment", |text| known(Kind::parse(text)))?,
        started_at: cells.moment("started_at")?,
    })
}

/// Inserts a run unless it exists; `missed_at` closes it as missed at once. Tells whether it is new.
async fn insert_run(
    tx: &mut sqlx::Transaction<'static, sqlx::Any>,
    (follower, strategy): (&Follower, &StrategyName),
    (slot, trigger): (Moment, Trigger),
    missed_at: Option<Moment>,
) -> Result<bool, Error> {
    let id = canon::run_id(&follower.subscription, slot)
        .map_err(|_| Error::Conflict { what: "the run has no id".to_owned() })?;
    let ended = |text: &str| missed_at.map(|_| text.to_owned());
    let detail = "the moment passed while the service was down";
    let done = sqlx::query(
        "INSERT INTO runs (id, subscription_id, account_id, environment, strategy, slot, trigger_kind, state, epoch, \
         closed_at, outcome, outcome_reason, outcome_detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12) ON CONFLICT DO NOTHING",
    )
    .bind(id.as_str())
    .bind(follower.subscription.as_str())
    .bind(follower.account.as_str())
    .bind(follower.environment.code())
    .bind(strategy.as_str())
    .bind(slot.micros())
    .bind(trigger.code())
    .bind(if missed_at.is_some() { "closed" } else { "due" })
    .bind(missed_at.map(Moment::micros))
    .bind(ended(OutcomeKind::Skipped.code()))
    .bind(ended(EndReason::Missed.code()))
    .bind(ended(detail))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
