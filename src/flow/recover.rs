//! After a start: runs that an earlier process left in the middle become claimable again, and enter the line where they
//! stopped. There is no second algorithm for recovery.

use crate::edge::World;
use crate::edge::points;
use crate::edge::store;
use crate::model::event::{Actor, Event};
use crate::model::zoo::{Bug, planted};

/// Frees what an earlier process held; returns how many runs will be carried on.
///
/// # Errors
/// When the database cannot be read or written: then the service must not become ready.
pub async fn recover(world: &World) -> Result<usize, store::Error> {
    world.points.cross(points::RECOVERING).await;
    let now = world.clock.now();
    if planted(Bug::RestartReleasesHalts) {
        for halt in world.store.halts(true).await? {
            world.store.resume(&halt.scope, &Actor::service(), now).await?;
        }
    }
    let freed = world.store.release_all(now).await?;
    let unsettled = world.store.unsettled().await?.len();
    let event = Event::new(now, Actor::service(), "service.recovered")
        .with("runs_freed", freed)
        .with("intents_unsettled", unsettled);
    world.store.append(&[event]).await?;
    world.points.cross(points::RECOVERED).await;
    Ok(freed)
}
