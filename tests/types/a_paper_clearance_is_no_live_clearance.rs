//! What was cleared for paper cannot be recorded for a live account.

use rebalanced::decide::guard::Cleared;
use rebalanced::edge::World;
use rebalanced::edge::store::{Claim, Recording};
use rebalanced::flow::dispatch;
use rebalanced::model::environment::{Live, Paper};

async fn mixed(world: &World, claim: &Claim<Live>, cleared: &Cleared<Paper>, recording: &Recording) {
    let _ = dispatch::record(world, claim, cleared, recording).await;
}

fn main() {}
