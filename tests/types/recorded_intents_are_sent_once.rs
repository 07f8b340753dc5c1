//! What was recorded is consumed by the sending: there is no second time.

use rebalanced::edge::World;
use rebalanced::edge::alpaca::Access;
use rebalanced::edge::store::Claim;
use rebalanced::flow::dispatch::{self, Recorded};
use rebalanced::model::environment::Paper;
use rebalanced::model::ids::StrategyVersion;

type By<'a> = (&'a Claim<Paper>, &'a StrategyVersion);

async fn twice(world: &World, by: By<'_>, access: &Access<Paper>, recorded: Recorded<Paper>) {
    let _ = dispatch::send(world, by, access, recorded).await;
    let _ = dispatch::send(world, by, access, recorded).await;
}

fn main() {}
