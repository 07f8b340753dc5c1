//! What authors of strategy files are told: what is questionable about a file, and what a code means. From files alone.

use std::path::Path;

use crate::decide::{self, lint::Circumstances};
use crate::edge::strategies::{FileFault, usual_moves, warned};
use crate::model::money::Usd;
use crate::model::session::Sessions;
use crate::model::snapshot::Snapshot;
use crate::model::strategy::Strategy;
use crate::model::time::Moment;
use crate::model::verdict::LintCode;

/// What a strategy is held against.
#[derive(Debug, Clone, Copy)]
pub struct Measure<'a> {
    /// The exchange's sessions.
    pub sessions: &'a Sessions,
    /// From when moments are looked for.
    pub from: Moment,
    /// What an account is worth.
    pub portfolio: Usd,
    /// An account, if one is at hand.
    pub snapshot: Option<&'a Snapshot>,
}

/// Everything that is questionable about a valid strategy, each with its code and its place in the file.
pub fn warnings(strategy: &Strategy, (file, text): (&Path, &str), by: Measure<'_>) -> Vec<(LintCode, FileFault)> {
    let Measure { sessions, from, portfolio, snapshot } = by;
    let moves = usual_moves();
    let around = Circumstances { sessions, from, moves: &moves, portfolio, snapshot };
    let found = decide::lint::lint(strategy, &around);
    found.iter().map(|warning| (warning.code, warned(file, text, warning))).collect()
}

/// Everything that a stable code means, each with the place where it is met.
pub fn meanings(code: &str) -> Vec<(&'static str, &'static str)> {
    decide::explain::meanings(code)
}

/// Every stable code.
pub fn codes() -> Vec<&'static str> {
    decide::explain::codes()
}
