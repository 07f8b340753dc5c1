//! An order of one environment and a token of the other do not meet.

use rebalanced::edge::alpaca::{Access, Client};
use rebalanced::edge::recorded::Durable;
use rebalanced::model::environment::{Live, Paper};

async fn send(client: &Client, access: &Access<Live>, durable: &Durable<Paper>) {
    let _ = client.submit(access, durable).await;
}

fn main() {}
