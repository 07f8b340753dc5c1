//! What was recorded is consumed by the sending: there is no second time.

use rebalanced::edge::World;
use rebalanced::edge::alpaca::Access;
use rebalanced::edge::store::Claim;
use rebalanced::flow::dispatch::{self, Recorded};
use rebalanced::model::environment::Paper;

async fn twice(world: &World, claim: &Claim<Paper>, access: &Access<Paper>, recorded: Recorded<Paper>) {
    let _ = dispatch::send(world, claim, access, recorded).await;
    let _ = dispatch::send(world, claim, access, recorded).await;
}

fn main() {}
