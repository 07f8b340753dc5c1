//! The due-versus-done ledger: runs are claimed by one worker at a time, each when its turn has come.
//!
//! A claim is a run, an epoch and a lease. Every claim of a run has its own epoch, and whoever holds an older one can
//! neither record, settle nor close (S12). An account has at most one running run, which the database itself keeps.

use std::marker::PhantomData;

use sqlx::any::AnyRow;

use crate::edge::points;
use crate::edge::store::closing;
use crate::edge::store::db::{Engine, Error, Link, Reader, Store};
use crate::edge::store::moments::spoken;
use crate::edge::store::runs::run_of;
use crate::model::environment::{Environment, Kind, Live, Paper};
use crate::model::ids::{AccountId, RunId, StrategyName};
use crate::model::run::Run;
use crate::model::time::Moment;
use crate::model::zoo::{Bug, planted};

/// The right to work on one run. Made only by [`Store::claim`], and used up by [`Store::close`].
#[derive(Debug)]
pub struct Claim<E> {
    run: Run,
    epoch: i64,
    environment: PhantomData<E>,
}

impl<E: Environment> Claim<E> {
    fn new(run: Run, epoch: i64) -> Self {
        Self { run, epoch, environment: PhantomData }
    }

    /// The run, as it was when it was claimed.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Which claim of this run it is, from 1.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// What the keeper of the run's task remembers of it.
    pub fn held(&self) -> Held {
        Held {
            run: self.run.id.clone(),
            account: self.run.account.clone(),
            environment: self.run.environment,
            strategy: self.run.strategy.clone(),
            epoch: self.epoch,
        }
    }

    /// Whether another worker had the run before.
    pub fn resumed(&self) -> bool {
        self.epoch > 1
    }
}

/// A claim, before it is known for which environment.
#[derive(Debug)]
pub enum AnyClaim {
    /// On a paper account.
    Paper(Claim<Paper>),
    /// On a live account.
    Live(Claim<Live>),
}

impl AnyClaim {
    /// The run, as it was when it was claimed.
    pub fn run(&self) -> &Run {
        match self {
            Self::Paper(claim) => claim.run(),
            Self::Live(claim) => claim.run(),
        }
    }

    /// What the keeper of the run's task remembers of it.
    pub fn held(&self) -> Held {
        match self {
            Self::Paper(claim) => claim.held(),
            Self::Live(claim) => claim.held(),
        }
    }

    /// Which claim of this run it is, from 1.
    pub fn epoch(&self) -> i64 {
        match self {
            Self::Paper(claim) => claim.epoch(),
            Self::Live(claim) => claim.epoch(),
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

/// What waits, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Runs whose turn has come, and that wait for a worker.
    pub due: i64,
    /// Runs that a worker has, or had when it died.
    pub running: i64,
    /// The turn of the one that waits longest.
    pub oldest_due: Option<Moment>,
}

/// The oldest claimable run of every account that has no other run in work. A run whose turn has not come waits, and holds
/// up no other.
macro_rules! claimable {
    () => {
        "SELECT r.* FROM runs r
         WHERE ((r.state = 'due' AND r.turn <= $1) OR (r.state = 'running' AND r.lease_until <= $1))
           AND NOT EXISTS (SELECT 1 FROM runs o WHERE o.account = r.account AND o.state = 'running' AND o.id <> r.id)
           AND NOT EXISTS (SELECT 1 FROM runs p WHERE p.account = r.account AND p.state = 'due' AND r.state = 'due'
                           AND p.turn <= $1 AND (p.turn < r.turn OR (p.turn = r.turn AND p.id < r.id)))
         ORDER BY r.turn, r.id LIMIT $2"
    };
}

// What SQLite's one writer has for granted, PostgreSQL is asked for: claimed rows are nobody else's.
const CLAIMABLE: [&str; 2] = [claimable!(), concat!(claimable!(), " FOR UPDATE OF r SKIP LOCKED")];

/// How often a run may be taken up: one that ends the process each time would otherwise do so for ever.
const CLAIMS_MAX: i64 = 50;

/// Why nobody can carry this run, if so: one row that cannot be read must not hold up all others.
fn cannot_be_carried(row: &AnyRow) -> Option<String> {
    let reader = Reader::new(row, "runs", "id");
    match (run_of(row), reader.int("epoch")) {
        (Err(error), _) | (_, Err(error)) => Some(format!("its row cannot be read ({error}); a person must look")),
        (Ok(_), Ok(epoch)) if epoch >= CLAIMS_MAX => {
            Some(format!("it was taken up {epoch} times and never came to an end; a person must look"))
        }
        _ => None,
    }
}

/// The name of the claimers' lock among PostgreSQL's advisory locks: the bytes `claims`.
const CLAIMERS: i64 = 0x636c_6169_6d73;

impl Store {
    /// Takes up to `limit` runs into work, the oldest first.
    ///
    /// # Errors
    /// When the database fails: then none was taken.
    pub async fn claim(&self, limit: usize, now: Moment, lease_until: Moment) -> Result<Vec<AnyClaim>, Error> {
        let mut tx = self.begin_write(points::CLAIM).await?;
        if self.engine() == Engine::Postgres {
            // Claimers take turns: two of them could otherwise take two runs of one account at the same instant, and
            // the one that the database then refuses would lose all it took.
            sqlx::query("SELECT CAST(pg_advisory_xact_lock($1) AS TEXT) AS taken")
                .bind(CLAIMERS)
                .execute(&mut *tx)
                .await?;
        }
        let found = sqlx::query(spoken(CLAIMABLE, self.engine()))
            .bind(now.micros())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *tx)
            .await?;
        let mut claims = Vec::with_capacity(found.len());
        for row in &found {
            let id = Reader::new(row, "runs", "id").text("id")?;
            if let Some(why) = cannot_be_carried(row) {
                tracing::error!(run.id = %id, "a run is put aside: {why}");
                closing::put_aside(&mut tx, row, &why, now).await?;
                continue;
            }
            let row = sqlx::query(
                "UPDATE runs SET state = 'running', epoch = epoch + 1, lease_until = $1,
                     claimed_at = COALESCE(claimed_at, $2)
                 WHERE id = $3 RETURNING *",
            )
            .bind(lease_until.micros())
            .bind(now.micros())
            .bind(id)
            .fetch_one(&mut *tx)
            .await?;
            self.points.cross(points::CLAIM_TAKEN).await;
            let (run, epoch) = (run_of(&row)?, Reader::new(&row, "runs", "id").int("epoch")?);
            claims.push(match run.environment {
                Kind::Paper => AnyClaim::Paper(Claim::new(run, epoch)),
                Kind::Live => AnyClaim::Live(Claim::new(run, epoch)),
            });
        }
        self.commit(tx, points::CLAIM).await?;
        Ok(claims)
    }

    /// Makes every running run of a SQLite file claimable at once: at the start, when no worker can have one. Returns how
    /// many. They stay `running`: what was begun cannot be cancelled as if it were not. A PostgreSQL server is shared by
    /// many daemons: there the leases of the dead run out by themselves, and this does nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release_all(&self, now: Moment) -> Result<usize, Error> {
        if self.engine() == Engine::Postgres {
            return Ok(0);
        }
        let mut tx = self.begin_write(points::RELEASE).await?;
        let done = sqlx::query("UPDATE runs SET lease_until = $1 WHERE state = 'running'")
            .bind(now.micros())
            .execute(&mut *tx)
            .await?;
        self.commit(tx, points::RELEASE).await?;
        Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
    }

    /// Prolongs a lease; `false` when the claim is lost.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew(&self, held: &Held, lease_until: Moment) -> Result<bool, Error> {
        let mut tx = self.begin_write(points::RENEW).await?;
        let done = sqlx::query("UPDATE runs SET lease_until = $1 WHERE id = $2 AND epoch = $3 AND state = 'running'")
            .bind(lease_until.micros())
            .bind(held.run.as_str())
            .bind(held.epoch)
            .execute(&mut *tx)
            .await?;
        self.commit(tx, points::RENEW).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether this claim is still the run's: asked right before each send (S12).
    ///
    /// # Errors
    /// When the database fails: then it must count as lost.
    pub async fn holds<E: Environment>(&self, claim: &Claim<E>) -> Result<bool, Error> {
        let held: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM runs WHERE id = $1 AND epoch = $2 AND state = 'running'")
                .bind(claim.run.id.as_str())
                .bind(claim.epoch)
                .fetch_one(self.read())
                .await?;
        Ok(held == 1)
    }

    /// What waits at this moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queue(&self, now: Moment) -> Result<Queue, Error> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM runs WHERE state = 'due' AND turn <= $1) AS due,
                    (SELECT COUNT(*) FROM runs WHERE state = 'running') AS running,
                    (SELECT MIN(turn) FROM runs WHERE state = 'due' AND turn <= $1) AS oldest_due",
        )
        .bind(now.micros())
        .fetch_one(self.read())
        .await?;
        let row = Reader::new(&row, "runs", "due");
        Ok(Queue { due: row.int("due")?, running: row.int("running")?, oldest_due: row.maybe_moment("oldest_due")? })
    }
}

/// Holds the run's row for the rest of the transaction; `false` when this claim is no longer the run's.
pub(super) async fn hold<E: Environment>(link: &mut Link, claim: &Claim<E>) -> Result<bool, Error> {
    if planted(Bug::EpochIgnored) {
        return Ok(true);
    }
    let done = sqlx::query("UPDATE runs SET epoch = epoch WHERE id = $1 AND epoch = $2 AND state = 'running'")
        .bind(claim.run.id.as_str())
        .bind(claim.epoch)
        .execute(link)
        .await?;
    Ok(done.rows_affected() == 1)
}
