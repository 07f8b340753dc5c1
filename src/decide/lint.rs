//! What is questionable about a valid strategy: bands that the market leaves by itself, moments that never come, limits that
//! forbid what the weights ask for. Strategy and circumstances in, warnings out.
//!
//! Everything is measured on a stated portfolio (ten thousand dollars, unless the author says otherwise) and on what prices
//! usually do. A warning forbids nothing: the daemon runs the file all the same.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::decide::due;
use crate::model::ids::Symbol;
use crate::model::lint::{Place, Warning};
use crate::model::money::{Fraction, Usd};
use crate::model::schedule::Rule;
use crate::model::session::{Session, Sessions};
use crate::model::snapshot::Snapshot;
use crate::model::strategy::{Destination, Strategy, Target};
use crate::model::time::{Moment, Span};
use crate::model::tolerance::Mode;
use crate::model::verdict::LintCode;

/// What the strategy is held against.
#[derive(Debug)]
pub struct Circumstances<'a> {
    /// The exchange's sessions.
    pub sessions: &'a Sessions,
    /// From when moments are looked for.
    pub from: Moment,
    /// The usual daily move of prices, as fractions; [`ASSUMED_MOVE`] for a symbol that is not there.
    pub moves: &'a BTreeMap<Symbol, Fraction>,
    /// What an account is worth.
    pub portfolio: Usd,
    /// An account, if one is at hand: its assets say what is fractionable, its quotes what a share costs. Without one,
    /// everything counts as fractionable.
    pub snapshot: Option<&'a Snapshot>,
}

/// The usual daily move of a symbol that no table knows: 1.5%, between a wide fund (1.1%) and a lively company (1.8%).
pub const ASSUMED_MOVE: Decimal = Decimal::from_parts(15, 0, 0, false, 3);

/// So far ahead moments are looked for: two years hold every moment of a yearly rule twice.
const AHEAD: Span = Span::from_hours(24 * 731);

/// Fees of a day on which everything is sold, as a share of it: the SEC's 20.60 dollars a million, and 0.000195 dollars a
/// share for TAF and 0.000003 for CAT at ten dollars a share, 0.0000198 (facts 9). They are taken after the day.
const FEES: Decimal = Decimal::from_parts(404, 0, 0, false, 7);

/// Each of the three daily fees is rounded up to a cent.
const FEE_CENTS: Decimal = Decimal::from_parts(3, 0, 0, false, 2);

/// So long after the open and before the close prices are not those of a calm market; the guard sends nothing in the last
/// minute.
const EDGE: Span = Span::from_secs(120);

/// Moments that are at least a week apart were chosen one by one.
const SPARSE: Span = Span::from_hours(24 * 6);

/// Everything that is questionable, in the order of the checks.
pub fn lint(strategy: &Strategy, around: &Circumstances<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let moments = due::moments(strategy, around.sessions, around.from, around.from + AHEAD);
    let inside: Vec<(Moment, &Session)> =
        moments.iter().filter_map(|at| Some((*at, around.sessions.at(*at)?))).collect();
    warnings.extend(never_due(strategy, moments.len(), inside.len()));
    if !inside.is_empty() {
        warnings.extend(at_the_edge(strategy, &inside));
        warnings.extend(resting(strategy, &inside));
        warnings.extend(narrow_bands(strategy, around, inside.len()));
    }
    warnings.extend(little_cash(strategy, around));
    for target in strategy.targets() {
        warnings.extend(tiny(strategy, target, around));
        warnings.extend(band_below_minimum(strategy, target, around));
    }
    warnings.extend(turnover(strategy));
    warnings.extend(first_investment(strategy, around));
    warnings
}

fn warning(code: LintCode, place: Place, message: String, mend: impl Into<String>) -> Warning {
    Warning { code, place, message, mend: mend.into() }
}

/// The key that says when.
fn rule(strategy: &Strategy) -> Place {
    match strategy.when().schedules().next().map(|schedule| &schedule.rule) {
        Some(Rule::Session(_)) => Place::Key("schedule", "at"),
        _ => Place::Key("schedule", "cron"),
    }
}

fn never_due(strategy: &Strategy, all: usize, inside: usize) -> Option<Warning> {
    if inside > 0 {
        return None;
    }
    let message = match all {
        0 => "it does not come due in the next two years: nothing ever happens".to_owned(),
        all => {
            format!("all {all} moments of the next two years lie outside the exchange's hours: nothing ever happens")
        }
    };
    let mend = "the exchange is open from 9:30 to 16:00 in New York, Monday to Friday; `strategies calendar` prints the moments";
    Some(warning(LintCode::NeverDue, rule(strategy), message, mend))
}

/// Moments at the very open or in the last minutes before the close, on most days.
fn at_the_edge(strategy: &Strategy, inside: &[(Moment, &Session)]) -> Option<Warning> {
    let early = inside.iter().filter(|(at, session)| at.since(session.open) < EDGE).count();
    let late = inside.iter().filter(|(at, session)| session.close.since(*at) < EDGE).count();
    let (what, mend) = if early * 2 > inside.len() {
        ("at the open, before quotes have settled", "leave a quarter of an hour: `open+15m`")
    } else if late * 2 > inside.len() {
        ("in the last two minutes, too late for both halves of a run", "leave a quarter of an hour: `close-15m`")
    } else {
        return None;
    };
    let message = format!("{} of {} moments lie {what}", early.max(late), inside.len());
    Some(warning(LintCode::AtTheEdge, rule(strategy), message, mend))
}

/// A rest that swallows the moments after a rebalance. With bands a daily look may well rest for days; moments that are
/// weeks apart, or that all trade, were meant to be used.
fn resting(strategy: &Strategy, inside: &[(Moment, &Session)]) -> Option<Warning> {
    let days = strategy.conditions().cooldown_days;
    let gaps = inside.windows(2).filter_map(|pair| match pair {
        [(a, _), (b, _)] => Some(b.since(*a)),
        _ => None,
    });
    let shortest = gaps.min()?;
    let is_bandless = strategy
        .targets()
        .iter()
        .all(|target| strategy.conditions().band(&target.symbol, target.weight).narrowest().is_none());
    let rest = Span::from_hours(24 * i64::from(days));
    // A rest that is exactly as long begins when the orders are filled, and ends after the next moment.
    if days == 0 || rest < shortest || !(is_bandless || shortest >= SPARSE) {
        return None;
    }
    let between = shortest.as_hours() / 24;
    let message = format!(
        "the account rests {days} days after a rebalance, but moments are only {between} days apart: some of them can trade nothing"
    );
    let mend = format!("rest less than {between} days, or look less often");
    Some(warning(LintCode::RestsTooLong, Place::Key("rebalance", "cooldown_days"), message, mend))
}

/// Bands that a usual move leaves: the account trades at nearly every look, and what it sells today it buys tomorrow.
fn narrow_bands(strategy: &Strategy, around: &Circumstances<'_>, moments: usize) -> Vec<Warning> {
    let (zone, until) = (around.sessions.zone(), around.from + AHEAD);
    let days = around.sessions.between(around.from.day_in(zone), until.day_in(zone));
    let days = days.filter(|session| around.from <= session.open && session.close <= until);
    let looks = Decimal::from(u64::try_from(moments).unwrap_or(u64::MAX));
    let sessions = Decimal::from(u64::try_from(days.count()).unwrap_or(u64::MAX));
    let between = sessions.checked_div(looks).unwrap_or_default();
    let grown = Fraction::new(root(between));
    let mut warnings = Vec::new();
    for target in strategy.targets() {
        let Some(band) = strategy.conditions().band(&target.symbol, target.weight).narrowest() else { continue };
        let known = around.moves.get(&target.symbol).copied();
        let daily = known.unwrap_or(Fraction::new(ASSUMED_MOVE));
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
    let fees = (around.portfolio * sold * Fraction::new(FEES) + Usd::new(FEE_CENTS)).ceil_cents();
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
fn turnover(strategy: &Strategy) -> Option<Warning> {
    let most = strategy.limits().max_turnover.filter(|_| strategy.conditions().mode != Mode::BuyOnly)?;
    let conditions = strategy.conditions();
    let (wide, symbol) = strategy
        .targets()
        .iter()
        .filter_map(|target| Some((conditions.band(&target.symbol, target.weight).narrowest()?, &target.symbol)))
        .max_by_key(|(band, _)| *band)?;
    let sold = match conditions.destination {
        Destination::Target => wide,
        Destination::Halfway => wide * Fraction::new(Decimal::new(5, 1)),
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

fn first_investment(strategy: &Strategy, around: &Circumstances<'_>) -> Option<Warning> {
    let most = strategy.limits().max_order_notional?;
    let largest = strategy.targets().iter().max_by_key(|target| target.weight)?;
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
