//! The state machine of a run: which moves it may make. What happens inside `running` is the line of `flow::rebalance`.
//!
//! ```text
//!  due ──claimed──> running ──closed──> closed
//!   │                 ╰─ taken over by another worker, under a higher epoch: still running
//!   ╰── missed, cancelled, unsubscribed ──> closed
//! ```
//!
//! The end absorbs. A run is made as `due`, or as `closed` when its moment was missed. The database refuses every other
//! move (migrations, 0001 and 0004), and a test compares its triggers with this list.

use crate::model::run::RunState;

/// Every allowed move; staying is allowed before the end.
pub const MOVES: &[(RunState, RunState)] =
    &[(RunState::Due, RunState::Running), (RunState::Due, RunState::Closed), (RunState::Running, RunState::Closed)];

/// What a run may be made as.
pub const BEGINNINGS: &[RunState] = &[RunState::Due, RunState::Closed];

/// Whether a run may go from one state to another.
pub fn may_move(from: RunState, to: RunState) -> bool {
    (from == to && from != RunState::Closed) || MOVES.contains(&(from, to))
}
