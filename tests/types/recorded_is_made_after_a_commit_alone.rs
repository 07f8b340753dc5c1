//! Nobody but the record wall says that intents are durable.

use std::marker::PhantomData;

use rebalanced::flow::dispatch::Recorded;
use rebalanced::model::environment::Live;

fn main() {
    let _recorded: Recorded<Live> = Recorded { intents: Vec::new(), maybe_sent: false, environment: PhantomData };
}
