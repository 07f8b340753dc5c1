//! Each story the program can tell, one straight function each. No SQL, no HTTP, no wall clock, no spawning.
//!
//! Only a [`store::Error`](crate::edge::store::Error) gets through: without memory we stop. Everything else becomes an
//! outcome with a reason.
//!
//! The files stand in reading order. `rebalance` names those before it: a run sets out with its `course`, goes through
//! `observe`, its `weights`, its `bookkeeping`, `dispatch` and `settle`, where what is in doubt is `inquire`d, and comes to its `ending`;
//! `acquaint` is the first look of a process at an account. `tokens`,
//! `connect`, `operators` and `wishes` name `approve`, `cancel` and `tokens`; `reload` names `connect`;
//! `compare` looks at accounts as a run does, with `observe`, `course` and `weights`; the other stories name nobody.

pub mod observe;
mod executions;
mod weights;
mod bookkeeping;
mod acquaint;
mod inquire;
pub mod dispatch;
pub mod settle;
mod course;
mod ending;
pub mod rebalance;
pub mod balance;
pub mod recover;
pub mod tick;
pub mod approve;
pub mod wishes;
pub mod operators;
pub mod cancel;
pub mod tokens;
pub mod connect;
pub mod rehearse;
pub mod compare;
pub mod reload;
pub mod advise;
pub mod verify;
pub mod trace;
