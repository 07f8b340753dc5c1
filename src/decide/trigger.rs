//! Whether to trade, and why: what the bands, the whole portfolio, the schedule and the cash say, each with its own rest.

use crate::decide::drift::Valuation;
use crate::model::money::{Fraction, Usd};
use crate::model::plan::Drift;
use crate::model::snapshot::Snapshot;
use crate::model::strategy::Strategy;
use crate::model::time::Span;
use crate::model::tolerance::Mode;
use crate::model::verdict::Reason;

/// What speaks for trading.
#[derive(Debug, Clone, Copy)]
pub struct Signals {
    /// The first limit that is broken, whether or not its trigger rests.
    pub breach: Option<Reason>,
    /// The first one whose trigger does not rest.
    pub awake: Option<Reason>,
    /// Nothing but the schedule triggers.
    pub is_bandless: bool,
    /// The schedule, and what the strategy does not name, rest.
    pub is_resting: bool,
    /// There is cash to invest, and this is why.
    pub cash: Option<Reason>,
    /// So much cash is to be raised.
    pub wanted: Option<Usd>,
}

/// Reads all signals; `excess` is the cash above its target in whole cents.
pub fn signals(
    strategy: &Strategy,
    snapshot: &Snapshot,
    valuation: &Valuation<'_>,
    drift: &Drift,
    excess: Usd,
) -> Signals {
    let conditions = strategy.conditions();
    let cooldowns = conditions.tolerance.cooldowns;
    let rests = |own: Option<u32>| {
        let days = own.unwrap_or(conditions.cooldown_days);
        let rest = Span::from_hours(24 * i64::from(days));
        snapshot.last_rebalanced_at.is_some_and(|last| snapshot.as_of.since(last) < rest)
    };
    let band = out_of_band(strategy, valuation, drift);
    let portfolio =
        conditions.tolerance.drift_portfolio.filter(|limit| drift.portfolio > *limit).map(|_| Reason::DriftPortfolio);
    let awake = band.filter(|_| !rests(cooldowns.drift)).or(portfolio.filter(|_| !rests(cooldowns.portfolio)));
    let is_bandless = conditions.is_bandless();
    let is_resting = if is_bandless { rests(cooldowns.scheduled) } else { rests(None) };
    let cash = match conditions.tolerance.cash_above {
        _ if !conditions.invest_cash => None,
        Some(above) => (excess > above).then_some(Reason::CashAbove),
        None => (excess >= strategy.orders().min_notional).then_some(Reason::NewCash),
    };
    let wanted = wanted(strategy, valuation);
    Signals { breach: band.or(portfolio), awake, is_bandless, is_resting, cash, wanted }
}

/// The first holding outside its band, if any, and which band that is.
fn out_of_band(strategy: &Strategy, valuation: &Valuation<'_>, drift: &Drift) -> Option<Reason> {
    let conditions = strategy.conditions();
    let (row, drift) = valuation
        .rows
        .iter()
        .zip(&drift.symbols)
        .find(|(row, drift)| row.target.is_positive() && !row.band.holds(drift.absolute))?;
    let own = conditions.tolerance.bands.get(row.symbol).copied().unwrap_or_default();
    let is_own = if drift.absolute < Fraction::ZERO { own.below.is_some() } else { own.above.is_some() };
    Some(if is_own {
        Reason::DriftBand
    } else if conditions.drift_absolute.is_some_and(|band| drift.absolute.abs() > band) {
        Reason::DriftAbsolute
    } else {
        Reason::DriftRelative
    })
}

/// What cash is missing beside its target and what is kept aside, where the strategy raises it by sales alone: when an
/// amount is kept aside, or when it only sells; if it is more than an order's least value.
fn wanted(strategy: &Strategy, valuation: &Valuation<'_>) -> Option<Usd> {
    let mode = strategy.conditions().mode;
    if mode == Mode::BuyOnly || (mode != Mode::SellOnly && !valuation.aside.is_positive()) {
        return None;
    }
    let short = valuation.value * strategy.cash() + valuation.reserved - valuation.cash;
    (short >= strategy.orders().min_notional).then(|| short.ceil_cents())
}
