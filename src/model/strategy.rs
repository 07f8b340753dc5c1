//! A strategy: what to hold, when to look, and how much a run may do. Valid by construction.
//!
//! A [`Strategy`] exists only through [`Strategy::new`], which refuses weights that do not add up, a symbol named twice
//! and numbers outside their range; so the planner never meets one that makes no sense.
//!
//! What it holds is its [`Composition`]. Where the weights follow from the file alone the targets stand from the beginning.
//! Where they ask for a day or for prices there are none until `decide::compose` has resolved them, and a strategy that is
//! not resolved is never traded.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use crate::model::codes::codes;
pub use crate::model::composition::Target;
use crate::model::composition::{Composition, Mix};
use crate::model::ids::{StrategyName, StrategyVersion, Symbol};
use crate::model::money::{Fraction, Usd};
use crate::model::personal::{Allowance, Own};
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
}

/// The limits section: what a run may do at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest value of one order.
    pub max_order_notional: Option<Usd>,
    /// Largest share of the portfolio that one run may sell.
    pub max_turnover: Option<Fraction>,
}

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

/// Why parts are no strategy. Each names the field it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAStrategy {
    /// There is nothing to hold.
    #[error("no [[weights]]: a strategy holds at least one symbol")]
    Empty,
    /// Weights and cash do not make a whole.
    #[error("weights and cash add up to {sum}%, not 100%: {hint}")]
    Sum {
        /// What they add up to, in percent.
        sum: Decimal,
        /// What would mend it.
        hint: String,
    },
    /// A weight is not above zero.
    #[error("the weight of {symbol} is {percent}%: a weight is above 0 and at most 100")]
    Weight {
        /// The symbol.
        symbol: Symbol,
        /// Its percent.
        percent: Decimal,
    },
    /// A symbol stands twice.
    #[error("{symbol} has two weights: add them up into one")]
    Twice {
        /// The symbol.
        symbol: Symbol,
    },
    /// The cash target is not a fraction.
    #[error("cash is {percent}%: it is 0 or above, and below 100")]
    Cash {
        /// The percent.
        percent: Decimal,
    },
    /// What the users may wish does not fit to the rest.
    #[error("{what}")]
    Overrides {
        /// The field, as the file spells it; a substitute's own line is `overrides.substitutes.SYMBOL`.
        field: String,
        /// What is wrong and, after a colon, what would mend it.
        what: String,
    },
    /// Two keys that exclude each other, or one that says nothing beside another.
    #[error("{field} {clash}: {mend}")]
    Clash {
        /// The field, as the file spells it.
        field: &'static str,
        /// What it meets.
        clash: &'static str,
        /// What to do.
        mend: &'static str,
    },
    /// A symbol's own band is no fraction.
    #[error("the band of {symbol} is {percent}%: it is above 0 and at most 100")]
    Band {
        /// The symbol.
        symbol: Symbol,
        /// The band.
        percent: Decimal,
    },
    /// A number is outside its range.
    #[error("{field} is {value}: {range}")]
    Range {
        /// The field, as the file spells it.
        field: &'static str,
        /// What was given.
        value: String,
        /// What it may be.
        range: &'static str,
    },
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
        let faults = faults_in_allowance((&self.parts, &self.universe), &allowance);
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
    pub fn targets_in_bands(&self) -> impl Iterator<Item = (&Target, Band)> {
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

fn faults_in_weights(parts: &StrategyParts) -> Vec<NotAStrategy> {
    let mut faults = Vec::new();
    if parts.targets.is_empty() {
        faults.push(NotAStrategy::Empty);
    }
    for target in &parts.targets {
        if !target.weight.is_positive() || target.weight > Fraction::ONE {
            faults.push(NotAStrategy::Weight {
                symbol: target.symbol.clone(),
                percent: target.weight.percent().normalize(),
            });
        }
    }
    for pair in parts.targets.windows(2) {
        if let [a, b] = pair
            && a.symbol == b.symbol
        {
            faults.push(NotAStrategy::Twice { symbol: a.symbol.clone() });
        }
    }
    faults.extend(fault_in_cash(parts));
    let sum = parts.targets.iter().map(|target| target.weight).sum::<Fraction>() + parts.cash;
    if sum != Fraction::ONE && !parts.targets.is_empty() {
        let missing = (Fraction::ONE - sum).percent().normalize();
        let hint = if missing.is_sign_positive() {
            format!("{missing} percent are missing; add them to a weight or to [cash]")
        } else {
            format!("{} percent are too many; take them from a weight or from [cash]", missing.abs())
        };
        faults.push(NotAStrategy::Sum { sum: sum.percent().normalize(), hint });
    }
    faults
}

fn faults_in_allowance(
    (parts, universe): (&StrategyParts, &BTreeSet<Symbol>),
    allowance: &Allowance,
) -> Vec<NotAStrategy> {
    let mut faults = Vec::new();
    let mut fault = |field: String, what: String| faults.push(NotAStrategy::Overrides { field, what });
    for (symbol, substitute) in &allowance.substitutes {
        let field = format!("overrides.substitutes.{symbol}");
        if symbol == substitute {
            fault(field, format!("{symbol} stands in for itself: name another symbol, or remove the line"));
        } else if !universe.contains(symbol) {
            fault(field, format!("{symbol} has a substitute but no weight: give it a weight, or remove the line"));
        }
    }
    let shares = [
        ("overrides.max_excluded_percent", allowance.max_excluded),
        ("overrides.cash_percent_max", allowance.cash_max),
    ];
    for (field, share) in shares {
        if let Some(share) = share.filter(|share| !share.is_positive() || *share >= Fraction::ONE) {
            let percent = share.percent().normalize();
            fault(field.to_owned(), format!("{field} is {percent}: it is above 0 and below 100"));
        }
    }
    if allowance.max_excluded.is_some() && !allowance.exclude {
        let what = "max_excluded_percent bounds what nobody may exclude: add exclude = true, or remove the line";
        fault("overrides.max_excluded_percent".to_owned(), what.to_owned());
    }
    if let Some(most) = allowance.cash_max.filter(|most| *most < parts.cash) {
        let (most, cash) = (most.percent().normalize(), parts.cash.percent().normalize());
        let what =
            format!("cash_percent_max is {most}, below the strategy's own {cash}: it is at least [cash] percent");
        fault("overrides.cash_percent_max".to_owned(), what);
    }
    faults
}

fn fault_in_cash(parts: &StrategyParts) -> Option<NotAStrategy> {
    let is_wrong = parts.cash < Fraction::ZERO || parts.cash >= Fraction::ONE;
    is_wrong.then(|| NotAStrategy::Cash { percent: parts.cash.percent().normalize() })
}

fn faults_in_ranges(parts: &StrategyParts) -> Vec<NotAStrategy> {
    let mut faults = Vec::new();
    let percent = |fraction: Fraction| fraction.percent().normalize().to_string();
    let mut fraction = |field, value: Option<Fraction>| {
        if let Some(value) = value.filter(|value| !value.is_positive() || *value > Fraction::ONE) {
            faults.push(NotAStrategy::Range { field, value: percent(value), range: "it is above 0 and at most 100" });
        }
    };
    fraction("rebalance.drift_absolute_percent", parts.conditions.drift_absolute);
    fraction("rebalance.drift_relative_percent", parts.conditions.drift_relative);
    fraction("limits.max_turnover_percent", parts.limits.max_turnover);
    fraction("rebalance.drift_portfolio_percent", parts.conditions.tolerance.drift_portfolio);
    if let Some(cash) = parts.conditions.tolerance.cash_above.filter(|cash| *cash < parts.orders.min_notional) {
        faults.push(NotAStrategy::Range {
            field: "rebalance.cash_above",
            value: cash.to_string(),
            range: "it is at least orders.min_notional",
        });
    }
    for (symbol, band) in &parts.conditions.tolerance.bands {
        for side in [band.below, band.above].into_iter().flatten() {
            if !side.is_positive() || side > Fraction::ONE {
                faults.push(NotAStrategy::Band { symbol: symbol.clone(), percent: side.percent().normalize() });
            }
        }
    }
    if parts.orders.min_notional < Usd::new(Decimal::ONE) {
        faults.push(NotAStrategy::Range {
            field: "orders.min_notional",
            value: parts.orders.min_notional.to_string(),
            range: "it is 1 or more, the broker's own minimum",
        });
    }
    if let Some(cap) = parts.limits.max_order_notional.filter(|cap| *cap < parts.orders.min_notional) {
        faults.push(NotAStrategy::Range {
            field: "limits.max_order_notional",
            value: cap.to_string(),
            range: "it is at least orders.min_notional",
        });
    }
    faults
}

/// The band of each target.
fn bands(parts: &StrategyParts) -> Vec<Band> {
    parts.targets.iter().map(|target| parts.conditions.band(&target.symbol, target.weight)).collect()
}

/// What two keys cannot mean together.
fn faults_in_modes(conditions: &Conditions) -> Vec<NotAStrategy> {
    let mut faults = Vec::new();
    let mut clash = |is_clash: bool, field, clash, mend| {
        if is_clash {
            faults.push(NotAStrategy::Clash { field, clash, mend });
        }
    };
    let (mode, tolerance) = (conditions.mode, &conditions.tolerance);
    let has_bands = conditions.has_bands();
    clash(
        tolerance.cash_above.is_some() && !conditions.invest_cash,
        "rebalance.cash_above",
        "says when cash is invested, but `invest_cash = false` never invests it",
        "remove one of the two",
    );
    clash(
        conditions.scope == Scope::OutOfBand && !has_bands,
        "rebalance.scope",
        "is `out_of_band`, but there is no band",
        "set drift_absolute_percent, drift_relative_percent or a band of a weight",
    );
    clash(
        mode == Mode::BuyOnly && !conditions.invest_cash,
        "rebalance.mode",
        "is `buy_only`, but `invest_cash = false` buys nothing then",
        "remove one of the two",
    );
    clash(
        mode == Mode::BuyOnly && conditions.unmanaged == Unmanaged::Sell,
        "rebalance.mode",
        "is `buy_only`, but `unmanaged = \"sell\"` sells",
        "use unmanaged = \"ignore\" or \"block\"",
    );
    clash(
        mode == Mode::FewestTrades && !has_bands,
        "rebalance.mode",
        "is `fewest_trades`, but there is no band to come into",
        "set drift_absolute_percent, drift_relative_percent or a band of each weight",
    );
    clash(
        mode == Mode::FewestTrades && tolerance.drift_portfolio.is_some(),
        "rebalance.drift_portfolio_percent",
        "counts what `fewest_trades` leaves inside the bands",
        "remove one of the two",
    );
    clash(
        mode == Mode::FewestTrades && (conditions.destination != Destination::Target || conditions.scope != Scope::All),
        "rebalance.mode",
        "is `fewest_trades`, which chooses itself what moves and how far",
        "remove destination and scope",
    );
    faults
}
