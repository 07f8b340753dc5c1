//! The store's promises, each kept on SQLite and on PostgreSQL by the same test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../decide/cast.rs"]
#[allow(dead_code, reason = "this crate needs a part of it")]
mod portfolio;
#[path = "../support/cleared.rs"]
mod cleared;
#[path = "../app/support.rs"]
#[allow(unreachable_pub, reason = "another test's tools")]
mod support;
mod databases;
mod people;
mod cast;
mod claims;
mod waves;
mod recording;
mod schema;
mod older;
mod upgrade;
mod moves;
mod tokens;
mod operators;
mod wishes;
mod roles;
