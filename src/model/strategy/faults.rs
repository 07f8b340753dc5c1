//! What is wrong with the parts of a strategy: every fault with its field and what would mend it, not only the first.

use rust_decimal::Decimal;

use super::parts::{Conditions, Destination, StrategyParts, Unmanaged};
use crate::model::composition::Composition;
use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Usd};
use crate::model::personal::Allowance;
use crate::model::tolerance::{Mode, Scope};

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

pub(super) fn faults_in_weights(parts: &StrategyParts) -> Vec<NotAStrategy> {
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

pub(super) fn faults_in_allowance(
    (parts, composition): (&StrategyParts, &Composition),
    allowance: &Allowance,
) -> Vec<NotAStrategy> {
    let (universe, mut faults) = (composition.universe(), Vec::new());
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
    if allowance.target_years.is_some() && !composition.asks_for_target_year() {
        let what = "target_year_min says from which year users may choose, and nothing here goes by a target year: \
                    give [[model.points]] by years_to_target, or remove the line";
        fault("overrides.target_year_min".to_owned(), what.to_owned());
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

pub(super) fn fault_in_cash(parts: &StrategyParts) -> Option<NotAStrategy> {
    let is_wrong = parts.cash < Fraction::ZERO || parts.cash >= Fraction::ONE;
    is_wrong.then(|| NotAStrategy::Cash { percent: parts.cash.percent().normalize() })
}

pub(super) fn faults_in_ranges(parts: &StrategyParts) -> Vec<NotAStrategy> {
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
    if parts.orders.collar < Fraction::ZERO || parts.orders.collar > Fraction::from_percent(Decimal::from(5)) {
        faults.push(NotAStrategy::Range {
            field: "orders.collar_percent",
            value: percent(parts.orders.collar),
            range: "it is 0 or above, and at most 5",
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

/// What two keys cannot mean together.
pub(super) fn faults_in_modes(conditions: &Conditions) -> Vec<NotAStrategy> {
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
