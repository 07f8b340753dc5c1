//! A token that was opened for paper cannot be used where live is meant.

use rebalanced::edge::alpaca::Access;
use rebalanced::model::environment::{Live, Paper};

fn swapped(access: Access<Paper>) -> Access<Live> {
    access
}

fn main() {}
