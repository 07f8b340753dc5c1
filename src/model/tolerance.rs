//! How far an account may stray before something is done, and how much is done then.

use std::collections::BTreeMap;

use crate::model::codes::codes;
use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Usd};

/// How far a holding may be from its target, in fractions of the portfolio; no bound where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Band {
    /// Below it.
    pub below: Option<Fraction>,
    /// Above it.
    pub above: Option<Fraction>,
}

impl Band {
    /// The same distance on both sides.
    pub const fn even(distance: Option<Fraction>) -> Self {
        Self { below: distance, above: distance }
    }

    /// Whether a deviation from the target is inside. On the edge is inside, as the broker's own rebalancer counts it
    /// (facts 8.3).
    pub fn holds(self, deviation: Fraction) -> bool {
        let bound = if deviation < Fraction::ZERO { self.below } else { self.above };
        bound.is_none_or(|bound| deviation.abs() <= bound)
    }

    /// The nearer of the two bounds.
    pub fn narrowest(self) -> Option<Fraction> {
        self.below.into_iter().chain(self.above).min()
    }

    /// Whether there is no bound on either side.
    pub const fn is_open(self) -> bool {
        self.below.is_none() && self.above.is_none()
    }

    /// The lowest share inside, for this target.
    pub fn floor(self, target: Fraction) -> Fraction {
        self.below.map_or(Fraction::ZERO, |below| (target - below).max(Fraction::ZERO))
    }

    /// The highest share inside, for this target.
    pub fn ceiling(self, target: Fraction) -> Fraction {
        self.above.map_or(Fraction::ONE, |above| (target + above).min(Fraction::ONE))
    }
}

/// Days of rest after a rebalance, for each trigger that asks for its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cooldowns {
    /// Before a holding outside its band counts again.
    pub drift: Option<u32>,
    /// Before the drift of the whole portfolio counts again.
    pub portfolio: Option<u32>,
    /// Before a due moment without bands trades again.
    pub scheduled: Option<u32>,
}

/// What triggers beside the bands of the whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tolerance {
    /// Bands of single symbols; each side that is set stands in for the file's.
    pub bands: BTreeMap<Symbol, Band>,
    /// Largest drift of the portfolio: half the sum of all deviations, cash included.
    pub drift_portfolio: Option<Fraction>,
    /// Cash above its target waits until there is more of it than this.
    pub cash_above: Option<Usd>,
    /// Days of rest for each trigger.
    pub cooldowns: Cooldowns,
}

codes! {
    /// Which holdings move when a holding left its band.
    #[derive(Default)]
    Scope {
        /// All of them.
        #[default]
        All = "all",
        /// Those outside their bands; the others move only as far as the money for that asks.
        OutOfBand = "out_of_band",
    }
}

codes! {
    /// Which orders may be sent at all, and what is made small.
    #[derive(Default)]
    Mode {
        /// Sales and purchases.
        #[default]
        Full = "full",
        /// Only purchases, from cash that is there.
        BuyOnly = "buy_only",
        /// Only sales, for cash that is wanted.
        SellOnly = "sell_only",
        /// Sales and purchases: as few orders as bring every holding inside its band.
        FewestTrades = "fewest_trades",
    }
}
