//! The daily balance: every account that no run has looked at for a day is compared with its broker.

use std::sync::Arc;

use crate::app::lifecycle::stop_if_broken;
use crate::app::telemetry::chain;
use crate::edge::World;
use crate::flow::balance::{Unseen, balance};
use crate::model::time::Span;

/// How often it is asked whose turn it is.
const ROUND: Span = Span::from_mins(1);

/// Balances until the process ends.
pub async fn keep(world: Arc<World>) {
    let mut unseen = Unseen::new();
    loop {
        match balance(&world, &mut unseen).await {
            Ok(done) if done.agreed + done.halted + done.unseen > 0 => {
                tracing::info!(agreed = done.agreed, halted = done.halted, unseen = done.unseen, "books compared");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(
                    error = chain(&error),
                    "books cannot be compared, for the database does not answer; the next round tries again"
                );
                stop_if_broken(&error);
            }
        }
        world.clock.sleep(ROUND).await;
    }
}
