//! What is questionable about a valid strategy: bands that the market leaves by itself, moments that never come, limits that
//! forbid what the weights ask for. Strategy and circumstances in, warnings out.
//!
//! Everything is measured on a stated portfolio (ten thousand dollars, unless the author says otherwise) and on what prices
//! usually do. A warning forbids nothing: the daemon runs the file all the same.

mod weights;
mod when;

use std::collections::BTreeMap;

use crate::decide::compose;
use crate::model::ids::Symbol;
use crate::model::lint::{Place, Warning};
use crate::model::money::{Fraction, Usd};
use crate::model::session::Sessions;
use crate::model::snapshot::Snapshot;
use crate::model::strategy::Strategy;
use crate::model::time::{Moment, Span};
use crate::model::verdict::LintCode;

/// What the strategy is held against.
#[derive(Debug)]
pub struct Circumstances<'a> {
    /// The exchange's sessions.
    pub sessions: &'a Sessions,
    /// From when moments are looked for.
    pub from: Moment,
    /// The usual daily move of prices, as fractions; 1.5% a day for a symbol that is not there.
    pub moves: &'a BTreeMap<Symbol, Fraction>,
    /// What an account is worth.
    pub portfolio: Usd,
    /// An account, if one is at hand: its assets say what is fractionable, its quotes what a share costs. Without one,
    /// everything counts as fractionable.
    pub snapshot: Option<&'a Snapshot>,
}

/// So far ahead moments are looked for: two years hold every moment of a yearly rule twice.
const AHEAD: Span = Span::from_hours(24 * 731);

/// Everything that is questionable, in the order of the checks. Where weights ask for prices, each holding is looked at with
/// the weight that it has when the model holds it.
pub fn lint(strategy: &Strategy, around: &Circumstances<'_>) -> Vec<Warning> {
    let targets = compose::typical(strategy, around.from.day_in(around.sessions.zone()));
    let moments = when::moments(strategy.when(), around);
    let inside = when::inside(&moments, around);
    let mut warnings = when::lint(strategy, &inside, around);
    warnings.extend(weights::lint(strategy, (&targets, inside.len()), around));
    warnings
}

fn warning(code: LintCode, place: Place, message: String, mend: impl Into<String>) -> Warning {
    Warning { code, place, message, mend: mend.into() }
}
