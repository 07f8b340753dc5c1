//! Assets: what can be traded, and the switches the control side has (facts 4.2).
//!
//! Always: ids follow from the ticker alone, so two simulators agree on them.

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::market::Listing;
use crate::seeded;

/// One row of `GET /v2/assets`.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Stable id.
    pub id: Arc<str>,
    /// The ticker.
    pub symbol: Arc<str>,
    /// For people; proxies say that they are one.
    pub name: String,
    /// `NASDAQ`, `NYSE`, `ARCA`, `BATS`.
    pub exchange: &'static str,
    /// `active`, or `inactive` when false.
    pub active: bool,
    /// Orders are taken.
    pub tradable: bool,
    /// May be bought on margin.
    pub marginable: bool,
    /// May be sold short.
    pub shortable: bool,
    /// May be traded in fractions and by value.
    pub fractionable: bool,
    /// Part of a dollar of long value that must be own money, as a percentage: 30 or 100.
    pub margin_requirement_long: Decimal,
    /// The same for short value.
    pub margin_requirement_short: Decimal,
    /// Trading stands still; not on the wire (facts 3.13).
    pub halted: bool,
}

impl Asset {
    /// A newly listed asset: everything allowed.
    pub(crate) fn listed(listing: &Listing) -> Self {
        Self {
            id: seeded::uuid(0, "asset", &listing.ticker).into(),
            symbol: listing.ticker.clone(),
            name: listing.name.clone(),
            exchange: listing.exchange,
            active: true,
            tradable: true,
            marginable: true,
            shortable: true,
            fractionable: true,
            margin_requirement_long: Decimal::from(30),
            margin_requirement_short: Decimal::from(30),
            halted: false,
        }
    }

    /// Whether orders that wait may fill.
    pub(crate) fn trades(&self) -> bool {
        self.active && self.tradable && !self.halted
    }
}

/// Filters of `GET /v2/assets`.
#[derive(Debug, Clone, Default)]
pub struct AssetFilter {
    /// `Some(true)` only active ones.
    pub active: Option<bool>,
    /// Only this listing exchange.
    pub exchange: Option<String>,
}

/// What the control side may change about an asset: any subset.
#[derive(Debug, Clone, Copy, Default)]
pub struct AssetPatch {
    /// Listed or not.
    pub active: Option<bool>,
    /// Orders are taken or not.
    pub tradable: Option<bool>,
    /// Fractions are taken or not.
    pub fractionable: Option<bool>,
    /// May be bought on margin or not.
    pub marginable: Option<bool>,
    /// May be sold short or not.
    pub shortable: Option<bool>,
    /// Halt: orders are accepted and wait (facts 3.13).
    pub halted: Option<bool>,
}
