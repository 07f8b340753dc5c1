//! Each story the program can tell, one straight function each. No SQL, no HTTP, no wall clock, no spawning.
//!
//! Only a [`store::Error`](crate::edge::store::Error) gets through: without memory we stop. Everything else becomes an
//! outcome with a reason.
//!
//! The files stand in reading order; `rebalance` names `observe`, `dispatch` and `settle`, those two name `inquire`,
//! `tokens` names `approve`; the other stories name nobody.

pub mod observe;
mod inquire;
pub mod dispatch;
pub mod settle;
pub mod rebalance;
pub mod recover;
pub mod tick;
pub mod connect;
pub mod approve;
pub mod tokens;
pub mod rehearse;
pub mod verify;
