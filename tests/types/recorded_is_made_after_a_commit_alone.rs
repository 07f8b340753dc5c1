//! Nobody but the store says that intents are durable.

use std::marker::PhantomData;

use rebalanced::edge::recorded::{Durable, Recorded};
use rebalanced::model::environment::Live;
use rebalanced::model::intent::Intent;

fn by_hand() -> Recorded<Live> {
    Recorded { intents: Vec::new(), maybe_sent: false, environment: PhantomData }
}

fn one_by_hand(intent: Intent) -> Durable<Live> {
    Durable { intent, environment: PhantomData }
}

fn main() {}
