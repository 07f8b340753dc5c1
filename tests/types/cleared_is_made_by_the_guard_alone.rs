//! Nobody but the guard says that orders are cleared.

use std::marker::PhantomData;

use rebalanced::decide::guard::Cleared;
use rebalanced::model::environment::Live;
use rebalanced::model::ids::AccountId;
use rebalanced::model::plan::Phase;

fn main() {
    let account = AccountId::parse("account").unwrap();
    let _cleared: Cleared<Live> =
        Cleared { account, phase: Phase::Buy, legs: Vec::new(), environment: PhantomData };
}
