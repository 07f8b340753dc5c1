//! The pure thinking, held against arithmetic done by hand and against generated cases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

mod backoff;
mod cast;
mod plan;
mod again;
mod aside;
mod personal;
mod due;
mod days;
mod several;
mod guard;
mod cover;
mod limits;
mod order;
mod chain;
mod exchange;
mod explain;
mod property;
mod pouring;
mod rounding;
mod told;
mod triggers;
mod modes;
mod consent;
mod compose;
mod operators;
mod quorum;
mod reasons;
mod lint;
