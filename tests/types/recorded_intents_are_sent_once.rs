//! What was recorded is consumed by the sending: there is no second time.

use rebalanced::edge::World;
use rebalanced::edge::alpaca::Access;
use rebalanced::edge::recorded::Recorded;
use rebalanced::flow::dispatch::{self, Behalf};
use rebalanced::model::environment::Paper;

async fn twice(world: &World, by: Behalf<'_, Paper>, access: &Access<Paper>, recorded: Recorded<Paper>) {
    let _ = dispatch::send(world, by, access, recorded).await;
    let _ = dispatch::send(world, by, access, recorded).await;
}

fn main() {}
