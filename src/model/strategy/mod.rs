//! A strategy: what to hold, when to look, and how much a run may do. Valid by construction.
//!
//! A [`Strategy`] exists only through [`Strategy::new`], which refuses weights that do not add up, a symbol named twice
//! and numbers outside their range; so the planner never meets one that makes no sense.
//!
//! What it holds is its [`Composition`]. Where the weights follow from the file alone the targets stand from the beginning.
//! Where they ask for a day or for prices there are none until `decide::compose` has resolved them, and a strategy that is
//! not resolved is never traded.

mod faults;
mod parts;

use std::collections::BTreeSet;

pub use self::faults::NotAStrategy;
use self::faults::{fault_in_cash, faults_in_allowance, faults_in_modes, faults_in_ranges, faults_in_weights};
pub use self::parts::{Conditions, Destination, Limits, OnUnfilled, OrderStyle, OrderType, StrategyParts, Unmanaged};
pub use crate::model::composition::Target;
use crate::model::composition::{Composition, Mix};
use crate::model::ids::{StrategyName, StrategyVersion, Symbol};
use crate::model::money::{Fraction, Usd};
use crate::model::personal::{Allowance, Own};
use crate::model::schedule::When;
use crate::model::tolerance::Band;

/// A valid strategy.
#[derive(Debug, Clone)]
pub struct Strategy {
    parts: StrategyParts,
    /// The band of each target, in their order.
    bands: Vec<Band>,
    composition: Composition,
    universe: BTreeSet<Symbol>,
    is_resolved: bool,
    /// What its file allows its users to wish.
    allowance: Allowance,
    /// What one account's own wishes add; nothing in a strategy that was read from its file.
    own: Own,
}

impl Strategy {
    /// Checks parts together; targets are put in the order of their symbols, and are what the strategy holds.
    ///
    /// # Errors
    /// Every fault found, not only the first.
    pub fn new(parts: StrategyParts) -> Result<Self, Vec<NotAStrategy>> {
        let composition = Composition::Weights(parts.targets.clone());
        Self::composed(parts, composition)
    }

    /// Checks parts together with what the strategy holds; the targets among the parts are replaced by it.
    ///
    /// # Errors
    /// Every fault found, not only the first.
    pub fn composed(mut parts: StrategyParts, composition: Composition) -> Result<Self, Vec<NotAStrategy>> {
        let universe = composition.universe();
        let fixed = composition.fixed(Fraction::ONE - parts.cash);
        let is_resolved = fixed.is_some();
        parts.targets = match &composition {
            // As they are: what stands twice is a fault, not a sum.
            Composition::Weights(targets) | Composition::List { targets, .. } => targets.clone(),
            _ => fixed.into_iter().flatten().map(|(symbol, weight)| Target { symbol, weight }).collect(),
        };
        parts.targets.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        let mut faults =
            if is_resolved { faults_in_weights(&parts) } else { fault_in_cash(&parts).into_iter().collect() };
        if universe.is_empty() && !is_resolved {
            faults.push(NotAStrategy::Empty);
        }
        faults.extend(faults_in_ranges(&parts));
        faults.extend(faults_in_modes(&parts.conditions));
        if !faults.is_empty() {
            return Err(faults);
        }
        let (bands, allowance, own) = (bands(&parts), Allowance::default(), Own::default());
        Ok(Self { parts, bands, composition, universe, is_resolved, allowance, own })
    }

    /// The same strategy, whose users may wish so much.
    ///
    /// # Errors
    /// Every fault found, not only the first.
    pub fn allowing(self, allowance: Allowance) -> Result<Self, Vec<NotAStrategy>> {
        let faults = faults_in_allowance((&self.parts, &self.composition), &allowance);
        if faults.is_empty() { Ok(Self { allowance, ..self }) } else { Err(faults) }
    }

    /// The strategy of one account: these weights and this cash instead of the file's, and what its user wishes besides.
    /// Name and version stay: whoever approved the version approved what its file allows.
    ///
    /// # Errors
    /// Weights and cash that are no strategy.
    pub fn with_own(&self, (targets, cash): (Vec<Target>, Fraction), own: Own) -> Result<Self, Vec<NotAStrategy>> {
        let parts = StrategyParts { targets, cash, ..self.parts.clone() };
        let mut parts = if self.composition.is_fixed() { Self::new(parts)?.parts } else { self.of_a_day(parts)? };
        parts.targets.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        let (bands, composition) = (bands(&parts), self.composition.clone());
        let (allowance, universe) = (self.allowance.clone(), self.universe.clone());
        Ok(Self { parts, bands, composition, universe, is_resolved: true, allowance, own })
    }

    /// Parts whose targets are a model's of one day: some of them are zero, and none is outside of what it may hold.
    fn of_a_day(&self, parts: StrategyParts) -> Result<StrategyParts, Vec<NotAStrategy>> {
        let (held, zero): (Vec<Target>, Vec<Target>) =
            parts.targets.into_iter().partition(|target| !target.weight.is_zero());
        let may_hold = self.universe();
        if let Some(stranger) = held.iter().chain(&zero).find(|target| !may_hold.contains(&target.symbol)) {
            let (symbol, percent) = (stranger.symbol.clone(), stranger.weight.percent().normalize());
            return Err(vec![NotAStrategy::Weight { symbol, percent }]);
        }
        let mut parts = Self::new(StrategyParts { targets: held, ..parts })?.parts;
        parts.targets.extend(zero);
        Ok(parts)
    }

    /// What its file allows its users to wish.
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// What the account's own wishes add.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// Dollars that are kept aside for a withdrawal: no part of the portfolio. The valuation has taken them out of the
    /// cash already, so targets, bands and what may be spent count without them.
    pub fn aside(&self) -> Usd {
        self.own.aside
    }

    /// Whether the account's user lets it sell this.
    pub fn may_sell(&self, symbol: &Symbol) -> bool {
        !self.own.do_not_sell.contains(symbol)
    }

    /// Whether the account's user lets it buy this.
    pub fn may_buy(&self, symbol: &Symbol) -> bool {
        !self.own.do_not_buy.contains(symbol) && !self.own.excluded.contains(symbol)
    }

    /// Everything that it may ever trade besides what it does not name: its targets, and who may stand in for them.
    pub fn universe(&self) -> BTreeSet<Symbol> {
        let targets = self.parts.targets.iter().map(|target| &target.symbol);
        targets.chain(&self.universe).chain(self.allowance.substitutes.values()).cloned().collect()
    }

    /// The same strategy with these weights as its targets, and zero for the rest of its universe. `None` when they name
    /// anything else, when one is below zero, or when they and the cash do not make exactly one.
    pub fn resolved(&self, weights: &Mix) -> Option<Self> {
        let sum = weights.values().copied().sum::<Fraction>() + self.cash();
        let fits = weights.iter().all(|(symbol, weight)| self.universe.contains(symbol) && *weight >= Fraction::ZERO);
        if !fits || sum != Fraction::ONE {
            return None;
        }
        let mut resolved = self.clone();
        let weight = |symbol: &Symbol| weights.get(symbol).copied().unwrap_or(Fraction::ZERO);
        resolved.parts.targets =
            self.universe.iter().map(|symbol| Target { symbol: symbol.clone(), weight: weight(symbol) }).collect();
        resolved.bands = bands(&resolved.parts);
        resolved.is_resolved = true;
        Some(resolved)
    }

    /// The targets, each with its band.
    pub fn targets_in_bands(&self) -> impl ExactSizeIterator<Item = (&Target, Band)> {
        self.parts.targets.iter().zip(self.bands.iter().copied())
    }

    /// Its name.
    pub fn name(&self) -> &StrategyName {
        &self.parts.name
    }

    /// The hash of its file.
    pub fn version(&self) -> &StrategyVersion {
        &self.parts.version
    }

    /// One sentence for people.
    pub fn description(&self) -> &str {
        &self.parts.description
    }

    /// When it looks.
    pub fn when(&self) -> &When {
        &self.parts.when
    }

    /// What it holds, and how its weights come about.
    pub fn composition(&self) -> &Composition {
        &self.composition
    }

    /// Whether it has a target for this symbol, be it zero.
    pub fn names(&self, symbol: &Symbol) -> bool {
        self.parts.targets.binary_search_by(|target| target.symbol.cmp(symbol)).is_ok()
    }

    /// Whether its targets stand.
    pub fn is_resolved(&self) -> bool {
        self.is_resolved
    }

    /// What it should hold, in the order of the symbols; weights and cash add up to one. Empty until it is resolved.
    pub fn targets(&self) -> &[Target] {
        &self.parts.targets
    }

    /// How much of the portfolio stays cash.
    pub fn cash(&self) -> Fraction {
        self.parts.cash
    }

    /// When it trades, and how far.
    pub fn conditions(&self) -> &Conditions {
        &self.parts.conditions
    }

    /// How it orders.
    pub fn orders(&self) -> &OrderStyle {
        &self.parts.orders
    }

    /// What a run may do at most.
    pub fn limits(&self) -> &Limits {
        &self.parts.limits
    }
}

/// The band of each target.
fn bands(parts: &StrategyParts) -> Vec<Band> {
    parts.targets.iter().map(|target| parts.conditions.band(&target.symbol, target.weight)).collect()
}
