//! The pure thinking: strategy, snapshot and time in, decision out.
//!
//! Nothing here reads a clock, waits, logs, throws dice or can fail on the outside; reasons are return values. The
//! daemon, the dry run, the simulation and the backtest all call these same functions (rule 1).
//!
//! The files stand in reading order; each names only files above it.

pub mod due;
pub mod drift;
pub mod allocate;
pub mod fewest;
pub mod prices;
pub mod spread;
pub mod trigger;
pub mod legs;
pub mod afford;
pub mod purchases;
pub mod wording;
pub mod plan;
pub mod personal;
mod statistics;
pub mod compose;
pub mod reasons;
pub mod lint;
pub mod limits;
pub mod consent;
pub mod difference;
pub mod guard;
pub mod quorum;
pub mod cover;
pub mod intents;
pub mod classify;
pub mod order;
pub mod run;
pub mod backoff;
pub mod reconcile;
pub mod executions;
pub mod books;
pub mod chain;
pub mod explain;
