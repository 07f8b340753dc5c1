//! The bell has rung: find what is due and hand it to the ledger of slots.
//!
//! The bell carries no data. Schedules are data, due-ness is a pure function, and the ledger of slots is the memory: a
//! tick that comes late, twice or not at all changes nothing but latency (L4).

use std::collections::BTreeMap;

use crate::decide;
use crate::edge::World;
use crate::edge::points;
use crate::edge::store;
use crate::model::event::{Actor, Event};
use crate::model::ids::{StrategyName, StrategyVersion};
use crate::model::mandate::HaltScope;
use crate::model::run::DueMoment;
use crate::model::strategy::Strategy;
use crate::model::time::Moment;

/// Makes a run for every slot that came due since the last tick; returns how many runs are new.
///
/// # Errors
/// When the database cannot be read or written: then nothing was moved, and the next tick does it.
pub async fn tick(world: &World, now: Moment) -> Result<usize, store::Error> {
    world.points.cross(points::RANG).await;
    let ledger = world.store.ledger().await?;
    let (mut made, mut offered) = (0, None);
    for strategy in world.strategies.iter() {
        // A strategy seen for the first time has missed nothing.
        let evaluated = ledger.get(strategy.name()).copied();
        let due = decide::due::due(strategy, &world.sessions, evaluated.unwrap_or(now), now);
        if !due.is_empty() || evaluated.is_none() {
            made += scheduled(world, strategy, (evaluated.unwrap_or(now), now), &due).await?;
        }
        made += renewed(world, strategy, &mut offered, now).await?;
    }
    world.points.cross(points::TICKED).await;
    let queue = world.store.queue(now).await?;
    world.metrics.due_not_done(queue.due + queue.running);
    world.metrics.queue_depth(queue.due);
    Ok(made)
}

/// Makes the runs of what came due, and moves the ledger.
async fn scheduled(
    world: &World,
    strategy: &Strategy,
    (evaluated, now): (Moment, Moment),
    due: &[DueMoment],
) -> Result<usize, store::Error> {
    let mut missed = due.iter().filter(|moment| moment.fate.is_missed()).count();
    if let Some((count, first, last)) = decide::due::left_out(strategy, &world.sessions, evaluated, now) {
        missed += count;
        let event = Event::new(now, Actor::service(), "slots.left_out")
            .with("strategy", strategy.name())
            .with("missed", count)
            .with("first", first)
            .with("last", last);
        world.store.append(&[event]).await?;
    }
    let made = world.store.enqueue(strategy.name(), due, now, now).await?;
    if missed > 0 {
        world.metrics.moments_missed(strategy.name(), u64::try_from(missed).unwrap_or(u64::MAX));
    }
    Ok(made)
}

/// Counts what stands in the database and waits for a person: tokens that are dead, halts in force (L6).
///
/// # Errors
/// When the database cannot be read.
pub async fn count(world: &World) -> Result<(), store::Error> {
    for (health, number) in world.store.token_health().await? {
        world.metrics.tokens(health, number);
    }
    let (mut service, mut account, mut symbol) = (0, 0, 0);
    for halt in world.store.halts(true).await? {
        match halt.scope {
            HaltScope::Service => service += 1,
            HaltScope::Account(_) => account += 1,
            HaltScope::Symbol(_) => symbol += 1,
        }
    }
    for (scope, number) in [("service", service), ("account", account), ("symbol", symbol)] {
        world.metrics.halts(scope, number);
    }
    Ok(())
}

/// The version of each strategy for which runs were made last, as new; read when it is first needed.
type Offered = Option<BTreeMap<StrategyName, StrategyVersion>>;

/// Inside a session, makes the runs of a version that is new, once for each subscription.
async fn renewed(
    world: &World,
    strategy: &Strategy,
    offered: &mut Offered,
    now: Moment,
) -> Result<usize, store::Error> {
    let Some(until) = decide::due::last_look(&world.sessions, now).filter(|_| strategy.when().on_new_version()) else {
        return Ok(0);
    };
    let known = match offered.take() {
        Some(known) => known,
        None => world.store.offered_versions().await?,
    };
    let is_known = known.get(strategy.name()) == Some(strategy.version());
    *offered = Some(known);
    if is_known { Ok(0) } else { world.store.offer_version((strategy.name(), strategy.version()), until, now).await }
}
