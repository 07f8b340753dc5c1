//! The real line in memory, judged by the broker's ledger.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

#[path = "../support/postgres.rs"]
mod postgres;
mod support;

mod year;
mod moments;
mod versions;
mod compared;
mod reloaded;
mod trouble;
mod live_gate;
mod quorum;
mod halt;
mod connecting;
mod doubt;
mod limits;
mod leaving;
mod trace;
mod withdrawn;
mod repriced;
mod rows;
mod books;
mod refused;
mod series;
mod halfway;
mod mixed;
mod swapped;
mod thousand;
mod midrun;
mod afterwards;
mod busted;
mod waited;
mod models;
mod bulkhead;
mod wishes;
mod noticed;
