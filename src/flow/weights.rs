//! The weights of a run: what its strategy's model says of the day, looked up once.
//!
//! Always: both halves of a run go by the same weights. Within one process they are kept with the run's course; after a restart
//! they are read from the plan that was recorded with the first half, and are not reckoned again.

use crate::decide::compose::{self, Inputs};
use crate::decide::personal::Unfit;
use crate::edge::World;
use crate::edge::alpaca::Access;
use crate::flow::observe::{Blind, retried};
use crate::model::closes::Closes;
use crate::model::environment::Environment;
use crate::model::personal::Personal;
use crate::model::strategy::Strategy;
use crate::model::time::Moment;

/// The strategy with the targets of the day of a moment, for a user with these wishes, or why there are none.
///
/// # Errors
/// [`Blind`] when closing prices that it asks for cannot be seen.
pub(super) async fn of_the_day<E: Environment>(
    world: &World,
    access: &Access<E>,
    (strategy, personal): (&Strategy, &Personal),
    as_of: Moment,
) -> Result<Result<Strategy, Unfit>, Blind> {
    let day = as_of.day_in(world.sessions.zone());
    let session_before = world.sessions.before(day).map(|session| session.day);
    let history = strategy.composition().history();
    let closes = match session_before.filter(|_| !history.is_empty()) {
        Some(newest) => retried(world, || world.alpaca.closes(access, &history, newest)).await?,
        None => Closes::default(),
    };
    let target_year = personal.target_year(as_of);
    Ok(compose::resolve(strategy, &Inputs { day, session_before, closes: &closes, target_year }))
}
