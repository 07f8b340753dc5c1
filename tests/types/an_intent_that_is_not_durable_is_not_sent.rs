//! The broker is asked for what the store has committed, and for nothing else.

use rebalanced::edge::alpaca::{Access, Client};
use rebalanced::model::environment::Live;
use rebalanced::model::intent::Intent;

async fn send(client: &Client, access: &Access<Live>, intent: &Intent) {
    let _ = client.submit(access, intent).await;
}

fn main() {}
