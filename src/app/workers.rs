//! Workers: one task per claimed run, at most so many at once, one account each.
//!
//! A panic ends one run, as quarantined with `internal_fault`, and harms no other: the account is halted until a person has
//! looked, the rest go on. A run whose database failed stays claimed; its lease ends and it is taken up again.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinError, JoinSet};

use crate::app::lifecycle::stop_if_broken;
use crate::app::telemetry::chain;
use crate::edge::World;
use crate::edge::store::{self, AnyClaim, Held};
use crate::flow::rebalance::{self, rebalance};
use crate::model::time::Moment;
use crate::model::verdict::{EndReason, Outcome, OutcomeKind};

/// What a task leaves.
type Left = Result<Outcome, store::Error>;

/// A run that has ended, not yet looked at.
pub struct Ended(Result<(Id, Left), JoinError>);

/// The runs under way.
pub struct Workers {
    world: Arc<World>,
    most: usize,
    tasks: JoinSet<Left>,
    held: HashMap<Id, Held>,
}

impl Workers {
    /// No runs yet, and at most `most` at once.
    pub fn new(world: Arc<World>, most: usize) -> Self {
        Self { world, most, tasks: JoinSet::new(), held: HashMap::new() }
    }

    /// Begins runs in this world from now on; those under way stay in their own.
    pub fn move_to(&mut self, world: Arc<World>) {
        self.world = world;
    }

    /// How many more runs may be begun.
    pub fn free(&self) -> usize {
        self.most.saturating_sub(self.tasks.len())
    }

    /// How many runs are under way.
    pub fn busy(&self) -> usize {
        self.tasks.len()
    }

    /// Begins a run.
    pub fn begin(&mut self, claim: AnyClaim) {
        let held = claim.held();
        let world = Arc::clone(&self.world);
        let task = self.tasks.spawn(async move { rebalance(&world, claim).await });
        self.held.insert(task.id(), held);
    }

    /// Waits for a run to end; for ever when none is under way. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> Ended {
        match self.tasks.join_next_with_id().await {
            Some(ended) => Ended(ended),
            None => std::future::pending().await,
        }
    }

    /// Gives how runs ended to the log: the one that was waited for, and those that ended meanwhile.
    pub async fn learn(&mut self, ended: Ended) {
        self.learn_one(ended.0).await;
        while let Some(more) = self.tasks.try_join_next_with_id() {
            self.learn_one(more).await;
        }
    }

    async fn learn_one(&mut self, ended: Result<(Id, Left), JoinError>) {
        match ended {
            Ok((id, left)) => {
                let Some(held) = self.held.remove(&id) else { return };
                match left {
                    Ok(outcome) => tracing::info!(
                        run.id = %held.run, strategy = %held.strategy, environment = %held.environment,
                        outcome = outcome.kind.code(), reason = outcome.reason, detail = %outcome.detail, "run closed"
                    ),
                    Err(error) => {
                        tracing::error!(
                            run.id = %held.run, error = chain(&error),
                            "the database failed a run; it is taken up again when its lease ends"
                        );
                        stop_if_broken(&error);
                    }
                }
            }
            Err(error) => {
                let Some(held) = self.held.remove(&error.id()) else { return };
                if error.is_panic() {
                    self.quarantine(&held).await;
                }
            }
        }
    }

    /// The code of one run failed: it ends, its account waits for a person, and nobody else notices.
    async fn quarantine(&self, held: &Held) {
        let why = "the code of this run failed; the account is halted until a person has looked (the log says where)";
        let outcome = Outcome::ended(OutcomeKind::Quarantined, EndReason::InternalFault, why);
        let failed = rebalance::failed(&self.world, held, &outcome).await;
        match failed {
            Ok(true) => {
                self.world.metrics.run_closed(&held.strategy, held.environment, &outcome);
                tracing::error!(run.id = %held.run, account.id = %held.account, "run quarantined: {why}");
            }
            Ok(false) => {
                tracing::error!(run.id = %held.run, "the code of this run failed; another worker has the run and goes on");
            }
            Err(error) => {
                tracing::error!(
                    run.id = %held.run, error = chain(&error),
                    "a run failed and could not be closed; it is taken up again when its lease ends"
                );
                stop_if_broken(&error);
            }
        }
    }

    /// Tells the database that the runs under way are still held.
    pub async fn renew(&self, lease_until: Moment) {
        for held in self.held.values() {
            match self.world.store.renew(held, lease_until).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(run.id = %held.run, "another worker has taken this run over; it can send nothing more");
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "leases could not be renewed");
                    stop_if_broken(&error);
                    return;
                }
            }
        }
    }

    /// Drops what is left where it waits; the next start carries it on. Returns how many runs were dropped.
    pub async fn abandon(&mut self) -> usize {
        let left = self.tasks.len();
        self.tasks.shutdown().await;
        self.held.clear();
        left
    }
}
