//! The bell has rung: find what is due and hand it to the ledger of slots.
//!
//! The bell carries no data. Schedules are data, due-ness is a pure function, and the ledger of slots is the memory: a
//! tick that comes late, twice or not at all changes nothing but latency (L4).

use crate::decide;
use crate::edge::World;
use crate::edge::points;
use crate::edge::store;
use crate::model::event::{Actor, Event};
use crate::model::time::Moment;

/// Makes a run for every slot that came due since the last tick; returns how many runs are new.
///
/// # Errors
/// When the database cannot be read or written: then nothing was moved, and the next tick does it.
pub async fn tick(world: &World, now: Moment) -> Result<usize, store::Error> {
    world.points.cross(points::RANG).await;
    let ledger = world.store.ledger().await?;
    let mut made = 0;
    for strategy in world.strategies.iter() {
        // A strategy seen for the first time has missed nothing.
        let evaluated = ledger.get(strategy.name()).copied();
        let due = decide::due::due(strategy, &world.sessions, evaluated.unwrap_or(now), now);
        if due.is_empty() && evaluated.is_some() {
            continue;
        }
        if let Some((count, first, last)) =
            decide::due::left_out(strategy, &world.sessions, evaluated.unwrap_or(now), now)
        {
            let event = Event::new(now, Actor::service(), "slots.left_out")
                .with("strategy", strategy.name())
                .with("missed", count)
                .with("first", first)
                .with("last", last);
            world.store.append(&[event]).await?;
        }
        made += world.store.enqueue(strategy.name(), &due, now, now).await?;
    }
    world.points.cross(points::TICKED).await;
    let queue = world.store.queue(now).await?;
    world.metrics.due_not_done(queue.due + queue.running);
    world.metrics.queue_depth(queue.due);
    Ok(made)
}
