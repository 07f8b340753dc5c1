//! The store's own door is shut, and one durable order does not become two.

use rebalanced::edge::recorded::{Durable, Recorded};
use rebalanced::model::environment::Live;
use rebalanced::model::intent::Intent;

fn by_the_stores_own_door(intents: Vec<Intent>) -> Recorded<Live> {
    Recorded::committed(intents)
}

fn two_of_one(durable: &Durable<Live>) -> Durable<Live> {
    durable.clone()
}

fn main() {}
