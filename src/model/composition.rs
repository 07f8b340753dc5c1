//! What a strategy holds, before it is known how much of each: one of a closed list of models.
//!
//! Some models are fixed: their weights follow from the file alone. The others ask for the day, and some for the closing
//! prices of the days before it; `decide::compose` turns both into targets. Whatever the model, the symbols that it may ever
//! hold stand in its file, and nothing else is ever bought.
//!
//! Reckoned weights are whole multiples of a ten-thousandth of a percent ([`apportion`]), so that they and the cash make
//! exactly one.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use crate::model::ids::{StrategyName, StrategyVersion, Symbol};
use crate::model::money::Fraction;
use crate::model::time::Day;

/// Decimals of a reckoned weight as a fraction: four of a percent.
pub const DECIMALS: u32 = 6;

/// Decimals of a weight that is made of reckoned ones, sleeve by sleeve. A plan is written down with as many.
pub const SLEEVE_DECIMALS: u32 = 10;

/// One line of the weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What to hold.
    pub symbol: Symbol,
    /// How much of the portfolio it should be; zero for what a model may hold and does not hold now.
    pub weight: Fraction,
}

/// What a strategy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Composition {
    /// These weights, as the file has them.
    Weights(Vec<Target>),
    /// These symbols in equal parts.
    Equal(BTreeSet<Symbol>),
    /// These weights, from a list beside the strategy's file.
    List {
        /// The name of the list's file.
        file: String,
        /// What it says.
        targets: Vec<Target>,
    },
    /// Other strategies, each with a share.
    Sleeves(Vec<Sleeve>),
    /// Weights that change with the day.
    Glide(Glide),
    /// The calmer a symbol was, the more of it.
    InverseVolatility(Calm),
    /// The mix that was calmest as a whole.
    MinVariance(Calm),
    /// The symbols that rose most.
    Momentum(Momentum),
}

/// A strategy inside another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sleeve {
    /// Its name.
    pub name: StrategyName,
    /// The version that was resolved.
    pub version: StrategyVersion,
    /// Its share of the portfolio.
    pub share: Fraction,
    /// What stays cash within it, as a fraction of it.
    pub cash: Fraction,
    /// What it holds.
    pub of: Composition,
}

/// Weights by symbol.
pub type Mix = BTreeMap<Symbol, Fraction>;

/// Weights on certain days; between two of them they change evenly with each day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Glide {
    /// On these days, in order.
    Dates(Vec<(Day, Mix)>),
    /// So many years before the first of January of a target year; the most years first.
    Years {
        /// The points.
        points: Vec<(u16, Mix)>,
        /// The target year of whoever has none of their own.
        default_target_year: i16,
    },
}

/// Symbols that are weighed by how much their prices move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calm {
    /// Which.
    pub symbols: BTreeSet<Symbol>,
    /// Over how many daily returns.
    pub window_days: u32,
    /// The most of the portfolio that one of them may be.
    pub most: Fraction,
}

/// The symbols that rose most, as long as they are above their averages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Momentum {
    /// The universe.
    pub symbols: BTreeSet<Symbol>,
    /// How many of it are held, in equal parts.
    pub count: u32,
    /// Over how many days the rise is counted.
    pub window_days: u32,
    /// Over how many closes the average goes.
    pub average_days: u32,
    /// What takes the part of one that is not above its average.
    pub defensive: Symbol,
}

/// The closing prices that a model asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Of which symbols.
    pub symbols: BTreeSet<Symbol>,
    /// How many closes of each, the newest of them that of the session before the day.
    pub closes: u32,
}

impl Composition {
    /// The word for it in a file.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Weights(_) => "weights",
            Self::Equal(_) => "equal",
            Self::List { .. } => "csv",
            Self::Sleeves(_) => "sleeves",
            Self::Glide(_) => "glide",
            Self::InverseVolatility(_) => "inverse_volatility",
            Self::MinVariance(_) => "min_variance",
            Self::Momentum(_) => "momentum",
        }
    }

    /// Every symbol that it may ever hold.
    pub fn universe(&self) -> BTreeSet<Symbol> {
        match self {
            Self::Weights(targets) | Self::List { targets, .. } => {
                targets.iter().map(|target| target.symbol.clone()).collect()
            }
            Self::Equal(symbols) => symbols.clone(),
            Self::Sleeves(sleeves) => sleeves.iter().flat_map(|sleeve| sleeve.of.universe()).collect(),
            Self::Glide(glide) => glide.mixes().flat_map(|mix| mix.keys().cloned()).collect(),
            Self::InverseVolatility(calm) | Self::MinVariance(calm) => calm.symbols.clone(),
            Self::Momentum(momentum) => momentum.symbols.iter().chain([&momentum.defensive]).cloned().collect(),
        }
    }

    /// Whether its weights follow from the file alone, the same on every day.
    pub fn is_fixed(&self) -> bool {
        match self {
            Self::Weights(_) | Self::Equal(_) | Self::List { .. } => true,
            Self::Sleeves(sleeves) => sleeves.iter().all(|sleeve| sleeve.of.is_fixed()),
            Self::Glide(_) | Self::InverseVolatility(_) | Self::MinVariance(_) | Self::Momentum(_) => false,
        }
    }

    /// Whether it asks for a user's target year.
    pub fn asks_for_target_year(&self) -> bool {
        match self {
            Self::Glide(Glide::Years { .. }) => true,
            Self::Sleeves(sleeves) => sleeves.iter().any(|sleeve| sleeve.of.asks_for_target_year()),
            _ => false,
        }
    }

    /// The closing prices that it asks for; none for most.
    pub fn history(&self) -> History {
        match self {
            Self::Weights(_) | Self::Equal(_) | Self::List { .. } | Self::Glide(_) => History::default(),
            Self::Sleeves(sleeves) => {
                sleeves.iter().fold(History::default(), |all, sleeve| all.and(sleeve.of.history()))
            }
            Self::InverseVolatility(calm) | Self::MinVariance(calm) => {
                History { symbols: calm.symbols.clone(), closes: calm.window_days.saturating_add(1) }
            }
            Self::Momentum(momentum) => History {
                symbols: momentum.symbols.clone(),
                closes: momentum.window_days.saturating_add(1).max(momentum.average_days),
            },
        }
    }

    /// The weights of a fixed model that shares `whole` out; `None` for any other.
    pub fn fixed(&self, whole: Fraction) -> Option<Mix> {
        match self {
            Self::Weights(targets) | Self::List { targets, .. } => {
                Some(targets.iter().map(|target| (target.symbol.clone(), target.weight)).collect())
            }
            Self::Equal(symbols) => {
                let parts = apportion(&vec![Decimal::ONE; symbols.len()], whole, DECIMALS, None);
                Some(symbols.iter().cloned().zip(parts).collect())
            }
            Self::Sleeves(sleeves) => {
                let mut sum = Mix::new();
                for sleeve in sleeves {
                    add(&mut sum, &sleeve.of.fixed(Fraction::ONE - sleeve.cash)?, sleeve.share);
                }
                Some(sum)
            }
            Self::Glide(_) | Self::InverseVolatility(_) | Self::MinVariance(_) | Self::Momentum(_) => None,
        }
    }
}

/// Adds a share of a mix to a sum of mixes.
pub fn add(sum: &mut Mix, mix: &Mix, share: Fraction) {
    for (symbol, weight) in mix {
        *sum.entry(symbol.clone()).or_insert(Fraction::ZERO) += *weight * share;
    }
}

impl Glide {
    /// Its mixes, in order.
    pub fn mixes(&self) -> impl Iterator<Item = &Mix> {
        let (dates, years) = match self {
            Self::Dates(points) => (Some(points), None),
            Self::Years { points, .. } => (None, Some(points)),
        };
        dates.into_iter().flatten().map(|(_, mix)| mix).chain(years.into_iter().flatten().map(|(_, mix)| mix))
    }

    /// The days of its points for a target year, or for its own if there is none.
    pub fn points(&self, target_year: Option<i16>) -> Vec<(Day, &Mix)> {
        match self {
            Self::Dates(points) => points.iter().map(|(day, mix)| (*day, mix)).collect(),
            Self::Years { points, default_target_year } => {
                let year = target_year.unwrap_or(*default_target_year);
                let day = |years: u16| {
                    let year = year.saturating_sub(i16::try_from(years).unwrap_or(i16::MAX));
                    Day::new(year, 1, 1).unwrap_or(Day::MIN)
                };
                points.iter().map(|(years, mix)| (day(*years), mix)).collect()
            }
        }
    }
}

impl History {
    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.symbols.extend(other.symbols);
        self.closes = self.closes.max(other.closes);
        self
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }
}

/// Shares `whole` out in proportion to `shares`, in whole multiples of the last of so many decimals, by the method of
/// largest remainders: each is rounded down, and the multiples that are left go one each to those that lost most, the
/// earlier one first where two lost the same. The sum is exactly `whole`. None becomes more than `most`, if there is room
/// for that.
pub fn apportion(shares: &[Decimal], whole: Fraction, decimals: u32, most: Option<Fraction>) -> Vec<Fraction> {
    let total: Decimal = shares.iter().sum();
    if total <= Decimal::ZERO {
        return vec![Fraction::ZERO; shares.len()];
    }
    let unit = Decimal::new(1, decimals);
    let units = whole.decimal().checked_div(unit).unwrap_or_default();
    let most = most.map(Fraction::decimal);
    let mut parts = Vec::with_capacity(shares.len());
    let mut lost = Vec::with_capacity(shares.len());
    for (place, share) in shares.iter().enumerate() {
        let exact = share.saturating_mul(units);
        let mut count = exact.checked_div(total).unwrap_or_default().floor();
        // The quotient is rounded; the product is not.
        if count.saturating_mul(total) > exact {
            count -= Decimal::ONE;
        }
        let part = count.saturating_mul(unit);
        parts.push(most.map_or(part, |most| part.min(most)));
        lost.push((exact.saturating_sub(count.saturating_mul(total)), place));
    }
    lost.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.cmp(y)));
    let mut left = whole.decimal() - parts.iter().sum::<Decimal>();
    let mut has_room = true;
    while left > Decimal::ZERO && has_room {
        has_room = false;
        for (_, place) in &lost {
            let Some(part) = parts.get_mut(*place) else { continue };
            let room = most.map_or(left, |most| most - *part);
            let given = unit.min(left).min(room);
            if given > Decimal::ZERO {
                *part += given;
                left -= given;
                has_room = true;
            }
        }
    }
    parts.into_iter().map(|part| Fraction::new(part.normalize())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    fn shared(shares: &[i64], whole: &str, most: Option<&str>) -> Vec<String> {
        let shares: Vec<Decimal> = shares.iter().map(|share| Decimal::from(*share)).collect();
        let most = most.map(|most| Fraction::parse(most).unwrap());
        let parts = apportion(&shares, Fraction::parse(whole).unwrap(), 2, most);
        parts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_left_goes_to_those_that_lost_most() {
        assert_eq!(shared(&[1, 1, 1], "1", None), ["0.34", "0.33", "0.33"]);
        assert_eq!(shared(&[1, 2, 3], "1", None), ["0.17", "0.33", "0.5"]);
        assert_eq!(shared(&[1, 1, 1], "0.98", None), ["0.33", "0.33", "0.32"]);
        assert_eq!(shared(&[5, 1, 1], "1", Some("0.5")), ["0.5", "0.25", "0.25"], "no more than the most");
        assert_eq!(shared(&[0, 1], "1", None), ["0", "1"]);
        assert_eq!(shared(&[0, 0], "1", None), ["0", "0"], "nothing to go by");
    }
}
