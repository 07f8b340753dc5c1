//! The outside: the database, Alpaca, the vault, the clock, dice, metrics and files. No decision about money is made here.
//!
//! `clock`, `entropy` and `metrics` are the ground of this room, and the others may use them; `alpaca`, `store`, `vault`,
//! `sessions`, `decisions` and `strategies` do not know each other and meet in one [`World`].

pub mod clock;
pub mod entropy;
pub mod metrics;
pub mod vault;
pub mod sessions;
pub mod decisions;
pub mod strategies;
pub mod alpaca;
pub mod store;
