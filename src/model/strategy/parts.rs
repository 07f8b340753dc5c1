//! The parts of a strategy, as a file has them: nothing is checked here. `faults` says what is wrong with them, and only what
//! has no fault becomes a strategy.

use crate::model::codes::codes;
use crate::model::composition::Target;
use crate::model::ids::{StrategyName, StrategyVersion, Symbol};
use crate::model::money::{Fraction, Usd};
use crate::model::schedule::When;
use crate::model::tolerance::{Band, Mode, Scope, Tolerance};

codes! {
    /// How far a rebalance goes.
    Destination {
        /// To the target itself.
        Target = "target",
        /// To the edge of the band.
        BandEdge = "band_edge",
        /// Halfway between where it is and the target.
        Halfway = "halfway",
    }
}

codes! {
    /// What to do with holdings that the strategy does not name.
    Unmanaged {
        /// Neither trade nor count them.
        Ignore = "ignore",
        /// Sell them.
        Sell = "sell",
        /// Do not trade the account while it holds any.
        Block = "block",
    }
}

codes! {
    /// The kind of order to send.
    OrderType {
        /// At the market.
        Market = "market",
        /// At a limit on the far side of the quote.
        Limit = "limit",
    }
}

codes! {
    /// What becomes of a limit order that was priced as often as it may be and is not filled.
    #[derive(Default)]
    OnUnfilled {
        /// Nothing: the next moment looks anew.
        #[default]
        Leave = "leave",
        /// What is left of it goes to the market.
        Market = "market",
    }
}

/// The rebalance section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// Largest deviation from the target in fractions of the portfolio; beyond it, trade.
    pub drift_absolute: Option<Fraction>,
    /// Largest deviation in fractions of the target; beyond it, trade.
    pub drift_relative: Option<Fraction>,
    /// How far to go.
    pub destination: Destination,
    /// Calendar days to leave the account alone after a rebalance.
    pub cooldown_days: u32,
    /// Whether cash above its target buys what is underweight, also inside the bands and the cooldown.
    pub invest_cash: bool,
    /// Holdings that the strategy does not name.
    pub unmanaged: Unmanaged,
    /// What triggers beside the bands above.
    pub tolerance: Tolerance,
    /// Which holdings move.
    pub scope: Scope,
    /// Which orders may be sent.
    pub mode: Mode,
}

impl Conditions {
    /// Whether nothing but the schedule triggers: then every due moment does.
    pub fn is_bandless(&self) -> bool {
        !self.has_bands() && self.tolerance.drift_portfolio.is_none()
    }

    /// Whether any holding has a band.
    pub fn has_bands(&self) -> bool {
        self.drift_absolute.is_some() || self.drift_relative.is_some() || !self.tolerance.bands.is_empty()
    }

    /// The band of a symbol: its own where it has one, else the tighter of the two of the file.
    pub fn band(&self, symbol: &Symbol, target: Fraction) -> Band {
        let relative = self.drift_relative.map(|relative| relative * target);
        let tighter = match (self.drift_absolute, relative) {
            (Some(absolute), Some(relative)) => Some(absolute.min(relative)),
            (one, other) => one.or(other),
        };
        let own = self.tolerance.bands.get(symbol).copied().unwrap_or_default();
        Band { below: own.below.or(tighter), above: own.above.or(tighter) }
    }
}

/// The orders section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderStyle {
    /// Market or limit.
    pub kind: OrderType,
    /// Smallest order worth sending; at least one dollar, which is Alpaca's own minimum (facts 3.2).
    pub min_notional: Usd,
    /// How far beyond the far side of the quote a limit lies, as a fraction of it.
    pub collar: Fraction,
    /// How often what is left of an unfilled limit order is priced anew.
    pub reprice_times: u32,
    /// What becomes of it after that.
    pub on_unfilled: OnUnfilled,
}

impl OrderStyle {
    /// Tries that one leg may have: the first, those that are priced anew, and the market's if it comes last.
    pub fn tries(&self) -> u32 {
        match (self.kind, self.on_unfilled) {
            (OrderType::Market, _) => 1,
            (OrderType::Limit, OnUnfilled::Leave) => 1 + self.reprice_times,
            (OrderType::Limit, OnUnfilled::Market) => 2 + self.reprice_times,
        }
    }

    /// The kind of order of the n-th try, counted from one.
    pub fn kind_of(&self, attempt: u32) -> OrderType {
        let is_last = attempt > 1 && attempt == self.tries();
        if is_last && self.on_unfilled == OnUnfilled::Market { OrderType::Market } else { self.kind }
    }
}

impl Default for OrderStyle {
    /// Market orders from a dollar on.
    fn default() -> Self {
        Self {
            kind: OrderType::Market,
            min_notional: Usd::ONE,
            collar: Fraction::ZERO,
            reprice_times: 0,
            on_unfilled: OnUnfilled::Leave,
        }
    }
}

/// The limits section: what a run may do at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest value of one order.
    pub max_order_notional: Option<Usd>,
    /// Largest share of the portfolio that one run may sell.
    pub max_turnover: Option<Fraction>,
}

/// The parts of a strategy, before they are checked together.
#[derive(Debug, Clone)]
pub struct StrategyParts {
    /// Its name, unique among the loaded files.
    pub name: StrategyName,
    /// The hash of its file.
    pub version: StrategyVersion,
    /// One sentence for people.
    pub description: String,
    /// When it looks.
    pub when: When,
    /// What it holds.
    pub targets: Vec<Target>,
    /// How much of the portfolio stays cash.
    pub cash: Fraction,
    /// When it trades, and how far.
    pub conditions: Conditions,
    /// How it orders.
    pub orders: OrderStyle,
    /// What a run may do at most.
    pub limits: Limits,
}
