//! An amount of dollars cannot stand where a number of shares is meant, nor a price where dollars are.

use rebalanced::model::ids::Symbol;
use rebalanced::model::money::{Price, Qty, Usd};
use rebalanced::model::plan::{Amount, Leg, Phase, Pricing};

fn typed_in_the_wrong_box(dollars: Usd) -> Amount {
    Amount::Qty(dollars)
}

fn shares_as_dollars(shares: Qty) -> Amount {
    Amount::Notional(shares)
}

fn leg(symbol: Symbol, shares: Qty, price: Price) -> Leg {
    Leg {
        phase: Phase::Buy,
        symbol,
        amount: Amount::Qty(shares),
        pricing: Pricing::Market,
        value: price,
        reference_price: price,
    }
}

fn counted(held: Qty, bought: Usd) -> Qty {
    held + bought
}

fn main() {}
