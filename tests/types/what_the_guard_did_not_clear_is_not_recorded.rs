//! The record transaction takes what the guard cleared, and no orders beside it.

use rebalanced::edge::store::{Claim, Recording, Store};
use rebalanced::model::environment::Live;
use rebalanced::model::mandate::ServicePolicy;
use rebalanced::model::plan::Leg;
use rebalanced::model::time::Moment;

async fn record(store: &Store, claim: &Claim<Live>, legs: &Vec<Leg>, recording: &Recording, now: Moment) {
    let policy = ServicePolicy::default();
    let _ = store.record(claim, (legs, recording), (&policy, (now, now)), now).await;
}

fn main() {}
