//! The outside, part by part: what the broker says and what is made of it, the vault, the clock, the strategy files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "a test may stop, and nobody else uses it"
)]

#[path = "../decide/cast.rs"]
#[allow(dead_code, reason = "this crate needs a part of it")]
mod portfolio;
#[path = "../support/cleared.rs"]
mod cleared;
#[path = "../store/cast.rs"]
#[allow(dead_code, reason = "this crate needs a part of it")]
mod cast;
mod script;
mod durable;
mod answers;
mod orders;
mod prices;
mod limits;
mod connect;
mod wire;
mod snapshot;
mod vault;
mod tls;
mod clock;
mod counted;
mod readers;
mod fuzz;
mod strategies;
mod portfolios;
mod differences;
mod succession;
mod overrides;
mod models;
