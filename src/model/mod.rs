//! The nouns. Values only: nothing here reads a clock, throws dice, waits, logs or talks to the outside.
//!
//! One word per thing, in code, tables, logs, documents and commands:
//!
//! | word | meaning |
//! | --- | --- |
//! | user | a person; known by the grant they gave |
//! | grant | one delegated OAuth token: scopes, sealed token, health |
//! | account | one Alpaca account under a grant, in one environment (paper or live) |
//! | strategy | one TOML file; its content hash is its version |
//! | subscription | an account following a strategy; at most one active per account |
//! | wish | what a user says about their own account, inside what the strategy allows |
//! | mandate | everything allowed for an account: approvals with caps and expiry, halts |
//! | slot | one scheduled moment of one subscription |
//! | run | one evaluation for one slot, from claim to close; unique per (subscription, slot) |
//! | snapshot | everything the broker said of one account at one moment; immutable |
//! | plan | legs, each with a reason, and the non-trades, each with a reason |
//! | verdict | cleared, or all refusals at once |
//! | intent, attempt, order | one order we mean to place (stored first); one try at it; the broker's own object |
//! | books | the cash and shares an account must have, by the broker's own rows |
//! | report | what the broker said, unjudged |
//! | outcome | how a run ended, with a stable reason code |
//! | event | one append-only, hash-chained audit fact |
//!
//! The files stand in reading order; each names only files above it.

pub mod zoo;
mod codes;
pub mod environment;
pub mod ids;
mod fixed;
pub mod money;
pub mod time;
pub mod secret;
pub mod session;
pub mod verdict;
pub mod schedule;
pub mod composition;
pub mod personal;
pub mod tolerance;
pub mod strategy;
pub mod closes;
pub mod account;
pub mod limits;
pub mod operator;
pub mod plan;
pub mod lint;
pub mod snapshot;
pub mod books;
pub mod report;
pub mod intent;
pub mod mandate;
pub mod run;
pub mod event;
pub mod canon;
