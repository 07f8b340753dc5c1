//! Ids: one type per kind of thing, so that no function takes one for another.
//!
//! An id is never empty, holds only visible ASCII without quotes or backslashes, and is at most 128 characters long, so
//! it can stand in a row, a log line and a URL path without being escaped.

mod symbol;

use std::fmt;

pub use symbol::Symbol;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: 1 to 128 visible ASCII characters without quotes or backslashes are")]
pub struct NotAnId {
    kind: &'static str,
    text: String,
}

impl NotAnId {
    fn of(kind: &'static str, text: &str) -> Self {
        Self { kind, text: text.chars().take(40).collect() }
    }
}

fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\' | b'`'))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Takes a text as this kind of id.
            ///
            /// # Errors
            /// [`NotAnId`] when the text is empty, too long or holds other characters.
            pub fn parse(text: &str) -> Result<Self, NotAnId> {
                if is_id(text) { Ok(Self(text.to_owned())) } else { Err(NotAnId::of($kind, text)) }
            }

            /// The id's text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A person who gave a grant: `usr_...`, ours.
    UserId, "user id");
id!(
    /// One delegated token: `gra_...`, ours.
    GrantId, "grant id");
id!(
    /// One Alpaca account: the broker's own account id, a UUID.
    AccountId, "account id");
id!(
    /// An account following a strategy: `sub_...`, ours.
    SubscriptionId, "subscription id");
id!(
    /// A run: `run_...`, derived from its subscription and slot, so the same slot always has the same run.
    RunId, "run id");
id!(
    /// An intent: `int_...`, derived from its run and leg.
    IntentId, "intent id");
id!(
    /// The id under which an order is sent; derived, never random (rule 2). Alpaca takes at most 48 (older documents)
    /// or 128 characters (facts 3.3); ours have 30.
    ClientOrderId, "client order id");
id!(
    /// The broker's own order id, a UUID.
    OrderId, "order id");
id!(
    /// An approval row: `apr_...`, ours.
    ApprovalId, "approval id");
id!(
    /// A halt row: `hlt_...`, ours.
    HaltId, "halt id");

impl HaltId {
    /// The halt of an account whose books could not be explained at a moment, in microseconds.
    pub fn of_books(account: &AccountId, at: i64) -> Self {
        Self(format!("hlt_books-{account}-{at}"))
    }

    /// The halt that a quarantined run leaves behind. A run closes once, so it leaves one.
    pub fn of_run(run: &RunId) -> Self {
        Self(format!("hlt_{}", run.0.strip_prefix("run_").unwrap_or(&run.0)))
    }
}
id!(
    /// What a user wishes for their account: `wsh_...`, ours.
    WishId, "wish id");
id!(
    /// A signed message's id, its sender's own.
    HookId, "message id");
id!(
    /// A strategy's name, from its file.
    StrategyName, "strategy name");
id!(
    /// A strategy's version: the SHA-256 of its file's bytes, in hex.
    StrategyVersion, "strategy version");
