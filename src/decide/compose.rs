//! From what a strategy holds to how much of each on one day: its targets, or the reason to hold. Pure: the same day and the
//! same closes give the same targets, for every account and in both halves of a run.
//!
//! Only closes of days before the day are looked at, and the newest must be that of the session right before it: a price of
//! the running session would make the answer depend on the minute, and an old one is not known to hold (rule 5).

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use crate::decide::personal::Unfit;
use crate::decide::statistics;
use crate::model::closes::Closes;
use crate::model::composition::{Calm, Composition, DECIMALS, Glide, Mix, Momentum, SLEEVE_DECIMALS, add, apportion};
use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Price};
use crate::model::strategy::{Strategy, Target};
use crate::model::time::Day;
use crate::model::verdict::Reason;

/// What the weights of a day are made from, besides the strategy.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The exchange's day.
    pub day: Day,
    /// The day of the session before it, if there is one.
    pub session_before: Option<Day>,
    /// Closing prices.
    pub closes: &'a Closes,
    /// The target year of the user, if they have one of their own.
    pub target_year: Option<i16>,
}

/// The strategy with the targets of a day. With its cash they make exactly one.
///
/// # Errors
/// The reason to hold.
pub fn resolve(strategy: &Strategy, inputs: &Inputs<'_>) -> Result<Strategy, Unfit> {
    if strategy.composition().is_fixed() {
        return Ok(strategy.clone());
    }
    let whole = Fraction::ONE - strategy.cash();
    let mix = mix(strategy.composition(), whole, inputs)?;
    strategy.resolved(&mix).ok_or_else(|| Unfit {
        reason: Reason::ModelUnsolved,
        detail: format!("the model `{}` gave weights that are no whole", strategy.composition().kind()),
    })
}

/// What it holds, or typically holds where its weights ask for prices: each symbol with the weight that it has when the model
/// holds it, so that these may add up to more than the whole. Equal parts stand for models that weigh all they name.
pub fn typical(strategy: &Strategy, day: Day) -> Vec<Target> {
    if strategy.is_resolved() {
        return strategy.targets().to_vec();
    }
    let weights = usual(strategy.composition(), Fraction::ONE - strategy.cash(), day);
    weights.into_iter().map(|(symbol, weight)| Target { symbol, weight }).collect()
}

fn usual(composition: &Composition, whole: Fraction, day: Day) -> Mix {
    let parts = |symbols: &BTreeSet<Symbol>, count: Decimal| {
        let part = whole.over(Fraction::new(count));
        symbols.iter().map(|symbol| (symbol.clone(), part)).collect::<Mix>()
    };
    let all = |symbols: &BTreeSet<Symbol>| parts(symbols, Decimal::from(symbols.len()));
    match composition {
        Composition::Sleeves(sleeves) => {
            let mut sum = Mix::new();
            for sleeve in sleeves {
                add(&mut sum, &usual(&sleeve.of, Fraction::ONE - sleeve.cash, day), sleeve.share);
            }
            sum
        }
        Composition::InverseVolatility(calm) | Composition::MinVariance(calm) => all(&calm.symbols),
        Composition::Momentum(momentum) => {
            let mut parts = parts(&momentum.symbols, Decimal::from(momentum.count));
            let one = parts.values().next().copied().unwrap_or_default();
            parts.entry(momentum.defensive.clone()).or_insert(one);
            parts
        }
        Composition::Weights(_) | Composition::Equal(_) | Composition::List { .. } | Composition::Glide(_) => {
            let inputs = Inputs { day, session_before: None, closes: &Closes::default(), target_year: None };
            mix(composition, whole, &inputs).unwrap_or_default()
        }
    }
}

/// The weights of a composition that shares `whole` out.
fn mix(composition: &Composition, whole: Fraction, inputs: &Inputs<'_>) -> Result<Mix, Unfit> {
    match composition {
        Composition::Weights(_) | Composition::Equal(_) | Composition::List { .. } => {
            Ok(composition.fixed(whole).unwrap_or_default())
        }
        Composition::Sleeves(sleeves) => {
            let mut sum = Mix::new();
            for sleeve in sleeves {
                add(&mut sum, &mix(&sleeve.of, Fraction::ONE - sleeve.cash, inputs)?, sleeve.share);
            }
            Ok(rounded(&sum, whole, SLEEVE_DECIMALS))
        }
        Composition::Glide(glide) => Ok(glided(glide, whole, inputs)),
        Composition::InverseVolatility(calm) => inverse_volatility(calm, whole, inputs),
        Composition::MinVariance(calm) => min_variance(calm, whole, inputs),
        Composition::Momentum(momentum) => risen(momentum, whole, inputs),
    }
}

fn rounded(mix: &Mix, whole: Fraction, decimals: u32) -> Mix {
    let shares: Vec<Decimal> = mix.values().map(|weight| weight.decimal()).collect();
    mix.keys().cloned().zip(apportion(&shares, whole, decimals, None)).collect()
}

/// The weights of a day between two points: each goes evenly from one to the other, `w0 + (w1 - w0) * days / all days`.
/// Before the first point and after the last one they stand still.
fn glided(glide: &Glide, whole: Fraction, inputs: &Inputs<'_>) -> Mix {
    let points = glide.points(inputs.target_year);
    let next = points.iter().position(|(day, _)| inputs.day < *day);
    let before = next.map_or(points.last(), |next| points.get(next.checked_sub(1)?));
    let after = next.and_then(|next| points.get(next));
    match (before, after) {
        (Some((from, old)), Some((to, new))) => {
            let days = |from: Day, to: Day| Decimal::from(from.until(to).map_or(0, |span| span.get_days()));
            let (gone, left) = (days(*from, inputs.day), days(inputs.day, *to));
            // Times all days, so that nothing is divided before the one rounding.
            let mut sum = Mix::new();
            add(&mut sum, old, Fraction::new(left));
            add(&mut sum, new, Fraction::new(gone));
            rounded(&sum, whole, DECIMALS)
        }
        (Some((_, mix)), None) | (None, Some((_, mix))) => (*mix).clone(),
        (None, None) => Mix::new(),
    }
}

/// The last `count` closes of each symbol, oldest first: the days are those on which any of them has one. A day on which a
/// symbol has none, as when it was halted, counts as one on which its price stood still.
fn windows<'a>(
    symbols: &'a BTreeSet<Symbol>,
    count: u32,
    inputs: &Inputs<'_>,
) -> Result<Vec<(&'a Symbol, Vec<Price>)>, Unfit> {
    let missing = |detail: String| Unfit { reason: Reason::HistoryMissing, detail };
    let before = inputs.session_before.ok_or_else(|| missing(format!("no session before {} is known", inputs.day)))?;
    let none = |symbol: &Symbol| missing(format!("{symbol} has no closing price of {before}, the session before"));
    let mut days = BTreeSet::new();
    for symbol in symbols {
        let closes = inputs.closes.of(symbol).filter(|closes| closes.contains_key(&before));
        days.extend(closes.ok_or_else(|| none(symbol))?.range(..=before).map(|(day, _)| *day));
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let days: Vec<Day> = days.into_iter().rev().take(count).collect();
    let short = |symbol: &Symbol, there: usize| {
        missing(format!("{symbol} has {there} closing prices before {}, the model asks for {count}", inputs.day))
    };
    let mut windows = Vec::with_capacity(symbols.len());
    for symbol in symbols {
        let closes = inputs.closes.of(symbol).ok_or_else(|| none(symbol))?;
        // Newest first; each the close of that day, or the last one before it.
        let last = |day: &Day| closes.range(..=*day).next_back().map(|(_, price)| *price);
        let mut window: Vec<Price> = days.iter().map_while(last).filter(|price| price.is_positive()).collect();
        if window.len() < count {
            return Err(short(symbol, window.len()));
        }
        window.reverse();
        windows.push((symbol, window));
    }
    Ok(windows)
}

fn inverse_volatility(calm: &Calm, whole: Fraction, inputs: &Inputs<'_>) -> Result<Mix, Unfit> {
    let windows = windows(&calm.symbols, calm.window_days.saturating_add(1), inputs)?;
    let prices: Vec<&[Price]> = windows.iter().map(|(_, window)| window.as_slice()).collect();
    let shares = statistics::inverse_volatility(&prices, calm.most.over(whole)).map_err(|place| {
        let still = windows.get(place).map_or_else(String::new, |(symbol, _)| symbol.to_string());
        unsolved(format!("the price of {still} stood still for {} days: it has no volatility", calm.window_days))
    })?;
    Ok(weighed(&windows, &shares, whole, calm.most))
}

fn min_variance(calm: &Calm, whole: Fraction, inputs: &Inputs<'_>) -> Result<Mix, Unfit> {
    let windows = windows(&calm.symbols, calm.window_days.saturating_add(1), inputs)?;
    let prices: Vec<&[Price]> = windows.iter().map(|(_, window)| window.as_slice()).collect();
    let shares = statistics::min_variance(&prices, calm.most.over(whole))
        .ok_or_else(|| unsolved("the solver found no mix of least variance".to_owned()))?;
    Ok(weighed(&windows, &shares, whole, calm.most))
}

fn weighed(windows: &[(&Symbol, Vec<Price>)], shares: &[Decimal], whole: Fraction, most: Fraction) -> Mix {
    let weights = apportion(shares, whole, DECIMALS, Some(most));
    windows.iter().map(|(symbol, _)| (*symbol).clone()).zip(weights).collect()
}

fn unsolved(detail: String) -> Unfit {
    Unfit { reason: Reason::ModelUnsolved, detail }
}

/// The symbols whose price rose most over the window, in equal parts; the part of one that is not above its average goes to
/// the defensive one. Of two that rose alike the first in the alphabet counts. Exact: no float.
fn risen(momentum: &Momentum, whole: Fraction, inputs: &Inputs<'_>) -> Result<Mix, Unfit> {
    let closes = momentum.window_days.saturating_add(1).max(momentum.average_days);
    let length = |days: u32| usize::try_from(days).unwrap_or(usize::MAX);
    let mut ranked = Vec::new();
    for (symbol, window) in windows(&momentum.symbols, closes, inputs)? {
        let newest = |count: usize| window.get(window.len().saturating_sub(count)..).unwrap_or_default();
        let (Some(last), Some(first)) = (window.last(), newest(length(momentum.window_days) + 1).first()) else {
            continue;
        };
        let rise = last.decimal().checked_div(first.decimal()).unwrap_or_default();
        let sum: Decimal = newest(length(momentum.average_days)).iter().map(|price| price.decimal()).sum();
        let is_above = last.decimal().saturating_mul(Decimal::from(momentum.average_days)) > sum;
        ranked.push((rise, symbol, is_above));
    }
    ranked.sort_by(|(a, x, _), (b, y, _)| b.cmp(a).then_with(|| x.cmp(y)));
    let mut parts = Mix::new();
    for (_, symbol, is_above) in ranked.into_iter().take(length(momentum.count)) {
        let to = if is_above { symbol } else { &momentum.defensive };
        *parts.entry(to.clone()).or_insert(Fraction::ZERO) += Fraction::ONE;
    }
    Ok(rounded(&parts, whole, DECIMALS))
}
