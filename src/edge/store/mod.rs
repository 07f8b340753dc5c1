//! What is remembered: one database, SQLite or PostgreSQL, behind one set of named acts.
//!
//! Every act that changes something is one transaction, and its events enter the hash chain in that same transaction:
//! there is no change without its event and no event without its change (S13). All SQL is static text with `$n`
//! parameters, the same for both databases; the few places where they differ are in `db`, `moments` and `slots`.

mod db;
mod migrations;
mod events;
mod runs;
mod subscriptions;
mod operators;
mod mandates;
mod accounts;
mod connecting;
mod personal;
mod tokens;
mod moments;
mod hooks;
mod slots;
mod disputes;
mod closing;
mod intents;

pub use accounts::Connection;
pub use connecting::OAuthState;
pub use db::{Error, Store, WriterLock};
pub use hooks::{Hook, Hooked};
pub use intents::{IntentFilter, RecordAnswer, Recording};
pub use personal::Ending as WishEnding;
pub use runs::RunFilter;
pub use slots::{AnyClaim, Claim, Held, Queue};
pub use tokens::SealedToken;
