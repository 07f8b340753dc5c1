//! What is questionable about weights, bands, cash and limits, on a portfolio of a stated size.

use rust_decimal::Decimal;

use crate::decide::lint::{AHEAD, Circumstances, warning};
use crate::model::lint::{Place, Warning};
use crate::model::money::{Fraction, Usd};
use crate::model::strategy::{Destination, Strategy, Target};
use crate::model::tolerance::Mode;
use crate::model::verdict::LintCode;

/// The usual daily move of a symbol that no table knows: 1.5%, between a wide fund (1.1%) and a lively company (1.8%).
const ASSUMED_MOVE: Fraction = Fraction::new(Decimal::from_parts(15, 0, 0, false, 3));

/// Fees of a day on which everything is sold, as a share of it: the SEC's 20.60 dollars a million, and 0.000195 dollars a
/// share for TAF and 0.000003 for CAT at ten dollars a share, 0.0000198 (facts 9). They are taken after the day.
const FEES: Fraction = Fraction::new(Decimal::from_parts(404, 0, 0, false, 7));

/// Each of the three daily fees is rounded up to a cent.
const FEE_CENTS: Usd = Usd::new(Decimal::from_parts(3, 0, 0, false, 2));

/// Everything that is questionable about these weights, which so many moments look at.
pub(super) fn lint(
    strategy: &Strategy,
    (targets, moments): (&[Target], usize),
    around: &Circumstances<'_>,
) -> Vec<Warning> {
    let mut warnings = narrow_bands(strategy, (targets, moments), around);
    warnings.extend(little_cash(strategy, around));
    for target in targets {
        warnings.extend(tiny(strategy, target, around));
        warnings.extend(band_below_minimum(strategy, target, around));
    }
    warnings.extend(turnover(strategy, targets));
    warnings.extend(first_investment((strategy, targets), around));
    warnings
}

/// Bands that a usual move leaves: the account trades at nearly every look, and what it sells today it buys tomorrow.
fn narrow_bands(
    strategy: &Strategy,
    (targets, moments): (&[Target], usize),
    around: &Circumstances<'_>,
) -> Vec<Warning> {
    if moments == 0 {
        return Vec::new();
    }
    let (zone, until) = (around.sessions.zone(), around.from + AHEAD);
    let days = around.sessions.between(around.from.day_in(zone), until.day_in(zone));
    let days = days.filter(|session| around.from <= session.open && session.close <= until);
    let looks = Decimal::from(u64::try_from(moments).unwrap_or(u64::MAX));
    let sessions = Decimal::from(u64::try_from(days.count()).unwrap_or(u64::MAX));
    let between = sessions.checked_div(looks).unwrap_or_default();
    let grown = Fraction::new(root(between));
    let mut warnings = Vec::new();
    for target in targets {
        let Some(band) = strategy.conditions().band(&target.symbol, target.weight).narrowest() else { continue };
        let known = around.moves.get(&target.symbol).copied();
        let daily = known.unwrap_or(ASSUMED_MOVE);
        // A weight moves with its price, and with itself: the portfolio that it is a part of moves too.
        let usual = daily * grown * target.weight * (Fraction::ONE - target.weight);
        if band >= usual {
            continue;
        }
        let (symbol, apart) = (&target.symbol, between.round_dp(2).normalize());
        let message = format!(
            "the band of {symbol} is {} points to each side, but its weight usually moves {} points between two moments \
             ({}% a day{}, {apart} sessions apart): it trades at nearly every look",
            shown(band),
            shown(usual),
            shown(daily),
            if known.is_some() { "" } else { ", assumed" },
        );
        let mend = format!("make the band at least {} points wide, or look more often", shown(usual + usual));
        warnings.push(warning(LintCode::BandNarrow, Place::Weight(symbol.clone()), message, mend));
    }
    warnings
}

fn little_cash(strategy: &Strategy, around: &Circumstances<'_>) -> Option<Warning> {
    // Who never sells pays a cent for its purchases, and the next deposit covers it.
    if strategy.conditions().mode == Mode::BuyOnly {
        return None;
    }
    let sold = strategy.limits().max_turnover.unwrap_or(Fraction::ONE);
    let fees = (around.portfolio * sold * FEES + FEE_CENTS).ceil_cents();
    let kept = around.portfolio * strategy.cash();
    if kept >= fees {
        return None;
    }
    let message = format!(
        "of {} dollars it keeps {:.2} in cash, but the fees of a day on which it sells all that it may come to {fees}: cash \
         falls below zero, and something is sold to pay for it",
        around.portfolio,
        kept.decimal(),
    );
    Some(warning(
        LintCode::CashBelowFees,
        Place::Key("cash", "percent"),
        message,
        "keep some cash, such as [cash] percent = 1",
    ))
}

/// A weight that cannot be bought: less than the smallest order, or less than a share of what has no fractions.
fn tiny(strategy: &Strategy, target: &Target, around: &Circumstances<'_>) -> Option<Warning> {
    let (symbol, worth) = (&target.symbol, around.portfolio * target.weight);
    let least = strategy.orders().min_notional;
    let whole = around.snapshot.filter(|it| it.assets.get(symbol).is_some_and(|asset| !asset.fractionable));
    let share = whole.and_then(|it| it.quotes.get(symbol)).map(|quote| Usd::new(quote.ask.decimal()));
    let needed = match share {
        Some(share) if worth < share => format!("a share of it costs {share}, and it does not trade in fractions"),
        _ if worth < least => format!("the smallest order is {least}"),
        _ => return None,
    };
    let message = format!(
        "{symbol} is to be {:.2} of {} dollars, but {needed}: it is never bought",
        worth.decimal(),
        around.portfolio
    );
    let mend = "raise its percent or leave it out; accounts above that size can be checked with --portfolio";
    Some(warning(LintCode::WeightTiny, Place::Weight(symbol.clone()), message, mend))
}

/// A band so narrow in dollars that leaving it asks for less than the smallest order.
fn band_below_minimum(strategy: &Strategy, target: &Target, around: &Circumstances<'_>) -> Option<Warning> {
    let least = strategy.orders().min_notional;
    let band = around.portfolio * strategy.conditions().band(&target.symbol, target.weight).narrowest()?;
    // What is tiny as a whole is told as that.
    if band >= least || around.portfolio * target.weight < least {
        return None;
    }
    let message = format!(
        "of {} dollars, {} leaves its band with {:.2} dollars, less than the smallest order of {least}: it stays out",
        around.portfolio,
        target.symbol,
        band.decimal(),
    );
    let mend = "lower min_notional, or widen the band";
    Some(warning(LintCode::MinimumAboveBand, Place::Key("orders", "min_notional"), message, mend))
}

/// A limit that refuses the very rebalance for which the bands ask.
fn turnover(strategy: &Strategy, targets: &[Target]) -> Option<Warning> {
    let most = strategy.limits().max_turnover.filter(|_| strategy.conditions().mode != Mode::BuyOnly)?;
    let conditions = strategy.conditions();
    let (wide, symbol) = targets
        .iter()
        .filter_map(|target| Some((conditions.band(&target.symbol, target.weight).narrowest()?, &target.symbol)))
        .max_by_key(|(band, _)| *band)?;
    let sold = match conditions.destination {
        Destination::Target => wide,
        Destination::Halfway => wide * Fraction::HALF,
        // To the edge only what is beyond it is sold.
        Destination::BandEdge => return None,
    };
    if sold <= most {
        return None;
    }
    let message = format!(
        "when {symbol} leaves its band upwards, at least {}% of the portfolio is sold, but a run may sell {}%: the run is \
         refused as a whole, every time",
        shown(sold),
        shown(most),
    );
    let mend = format!("allow at least {}%, or narrow the band", shown(sold));
    Some(warning(LintCode::TurnoverBelowBand, Place::Key("limits", "max_turnover_percent"), message, mend))
}

fn first_investment((strategy, targets): (&Strategy, &[Target]), around: &Circumstances<'_>) -> Option<Warning> {
    let most = strategy.limits().max_order_notional?;
    let largest = targets.iter().max_by_key(|target| target.weight)?;
    let worth = (around.portfolio * largest.weight).floor_cents();
    if worth <= most {
        return None;
    }
    let message = format!(
        "the first purchase of {} with {} dollars is {worth}, but an order may be {most} at most: the run is refused as a \
         whole, and the money is never invested",
        largest.symbol, around.portfolio,
    );
    let mend = format!("allow at least {worth}, or keep such accounts away from this strategy");
    Some(warning(LintCode::FirstInvestmentBlocked, Place::Key("limits", "max_order_notional"), message, mend))
}

fn shown(fraction: Fraction) -> Decimal {
    fraction.percent().round_dp(2).normalize()
}

/// The square root, by Newton's rule; a price's moves add up with the square root of time.
fn root(of: Decimal) -> Decimal {
    if of <= Decimal::ZERO {
        return Decimal::ZERO;
    }
    let mut guess = of.max(Decimal::ONE);
    // Each step doubles the digits; 10^6 needs about ten steps to come near.
    for _ in 0..24 {
        let better =
            (guess.saturating_add(of.checked_div(guess).unwrap_or_default())).saturating_mul(Decimal::new(5, 1));
        guess = better.round_dp(12);
    }
    guess
}
