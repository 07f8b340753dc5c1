//! The rebalance daemon, in five rooms, all arrows down:
//!
//! ```text
//!  main -> app        the process: settings, wiring, signals, the scheduler's bell, HTTP, commands
//!           |
//!          flow       each story the program can tell, one straight function each
//!         /    \
//!     edge    decide  edge: the outside, siblings that meet in one `World`; decide: the pure thinking
//!         \    /
//!          model      the nouns
//! ```
//!
//! `tests/architecture.rs` keeps the walls.

pub mod model;
pub mod decide;
pub mod edge;
pub mod flow;
pub mod app;
