//! At which price an order is reckoned: the other side of the quote, or the limit beyond it. What a plan counts on is never
//! better than that: purchases cost it, and sales bring it.

use crate::decide::drift::Valued;
use crate::model::money::Price;
use crate::model::strategy::{OrderType, Strategy};

/// The price at which a sale is reckoned: the bid, or its limit.
pub fn lowest(row: &Valued<'_>, strategy: &Strategy) -> Price {
    sold_at(row, strategy, strategy.orders().kind)
}

/// The price at which a purchase is reckoned: the asked one, or its limit.
pub fn highest(row: &Valued<'_>, strategy: &Strategy) -> Price {
    bought_at(row, strategy, strategy.orders().kind)
}

/// The price at which a sale by such an order is reckoned.
pub fn sold_at(row: &Valued<'_>, strategy: &Strategy, kind: OrderType) -> Price {
    match kind {
        OrderType::Market => row.quote.bid,
        OrderType::Limit => row.quote.bid.moved(-strategy.orders().collar).floor_tick(),
    }
}

/// The price at which a purchase by such an order is reckoned.
pub fn bought_at(row: &Valued<'_>, strategy: &Strategy, kind: OrderType) -> Price {
    match kind {
        OrderType::Market => row.quote.ask,
        OrderType::Limit => row.quote.ask.moved(strategy.orders().collar).ceil_tick(),
    }
}
