//! The process from outside and from its settings: configuration, commands, exit codes and messages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]
#![allow(unreachable_pub, missing_docs, reason = "a test is nobody's library")]

#[path = "../support/postgres.rs"]
mod postgres;
mod settings;
mod commands;
mod daemon;
mod http;
mod hooks;
mod workers;
mod keys;
mod audit;
mod support;
mod operators;
mod overrides;
mod canary;
mod restart;
mod broker;
mod search;
mod failing;
mod pulled;
mod doors;
mod checkpoints;
mod traced;
mod explained;
mod linted;
mod authors;
mod reload;
