//! The one canonical form of all that is hashed, and the ids that are derived from it.
//!
//! A digest is SHA-256 over a domain and parts, each with its length before it, so no two different lists of parts have
//! one form. Ids are derived from what they stand for and never from chance: the same leg of the same run has the same
//! id after any crash, restore or replay, and the broker's own duplicate check is the last line of defence.

use sha2::{Digest, Sha256};

use crate::model::environment::Kind;
use crate::model::event::{ChainedEvent, Event};
use crate::model::ids::{AccountId, ClientOrderId, IntentId, NotAnId, RunId, StrategyVersion, SubscriptionId, Symbol};
use crate::model::plan::Phase;
use crate::model::time::{Moment, Span};

/// SHA-256 over a domain and length-prefixed parts, in hex.
pub fn digest(domain: &str, parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in std::iter::once(&domain).chain(parts) {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hex::encode(hasher.finalize())
}

fn short(prefix: &str, digest: &str) -> String {
    // 26 hex digits are 104 bits: two of a trillion ids collide with a chance below one in ten million.
    format!("{prefix}{}", digest.get(..26).unwrap_or(digest))
}

/// SHA-256 of a text's bytes, in hex: what `sha256sum` says of a file that holds just it.
pub fn text_hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// The version of a strategy file: SHA-256 of its bytes.
///
/// # Errors
/// Never in practice: a hex digest is an id.
pub fn strategy_version(bytes: &[u8]) -> Result<StrategyVersion, NotAnId> {
    StrategyVersion::parse(&hex::encode(Sha256::digest(bytes)))
}

/// The run of one slot of one subscription.
///
/// # Errors
/// Never in practice: a prefix and hex digits are an id.
pub fn run_id(subscription: &SubscriptionId, slot: Moment) -> Result<RunId, NotAnId> {
    RunId::parse(&short("run_", &digest("run", &[subscription.as_str(), &slot.micros().to_string()])))
}

/// When the turn of one subscription comes in a wave: somewhere in the `spread` after the slot, the same on every machine and
/// after every restart, and unlike from slot to slot, so that nobody is always last.
pub fn turn(subscription: &SubscriptionId, slot: Moment, spread: Span) -> Moment {
    let digest = digest("turn", &[subscription.as_str(), &slot.micros().to_string()]);
    let drawn = digest.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default();
    let width = u128::try_from(spread.as_micros()).unwrap_or_default();
    // The drawn number's share of its range, of the width: always below the width itself.
    let micros = (u128::from(drawn).saturating_mul(width)) >> 64;
    slot + Span::from_micros(i64::try_from(micros).unwrap_or_default())
}

/// The intent of one leg of a run.
///
/// # Errors
/// Never in practice: a prefix and hex digits are an id.
pub fn intent_id(run: &RunId, phase: Phase, symbol: &Symbol, attempt: u32) -> Result<IntentId, NotAnId> {
    let attempt = attempt.to_string();
    IntentId::parse(&short("int_", &digest("intent", &[run.as_str(), phase.code(), symbol.as_str(), &attempt])))
}

/// The id under which one attempt of one leg is sent: derived from (environment, account, run, leg, attempt), rule 2.
///
/// # Errors
/// Never in practice: a prefix and hex digits are an id.
pub fn client_order_id(
    (environment, account): (Kind, &AccountId),
    run: &RunId,
    (phase, symbol): (Phase, &Symbol),
    attempt: u32,
) -> Result<ClientOrderId, NotAnId> {
    let attempt = attempt.to_string();
    let parts = [environment.code(), account.as_str(), run.as_str(), phase.code(), symbol.as_str(), attempt.as_str()];
    ClientOrderId::parse(&short("rb1-", &digest("client order", &parts)))
}

/// Whether a client order id has our form.
pub fn is_ours(id: &ClientOrderId) -> bool {
    id.as_str().len() == 30 && id.as_str().starts_with("rb1-")
}

/// The hash of the event before the first: zeros.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Puts an event at its place in the chain. `facts` is the JSON object under which the facts are kept.
pub fn chain(event: &Event, facts: String, sequence: i64, previous: &str) -> ChainedEvent {
    let mut chained = ChainedEvent {
        sequence,
        at: event.at,
        actor: event.actor.as_str().to_owned(),
        kind: event.kind.to_owned(),
        account: event.account.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default(),
        run: event.run.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default(),
        facts,
        previous: previous.to_owned(),
        hash: String::new(),
    };
    chained.hash = chain_hash(&chained);
    chained
}

/// The hash that an event must have, from everything else it holds.
pub fn chain_hash(event: &ChainedEvent) -> String {
    digest(
        "event",
        &[
            &event.sequence.to_string(),
            &event.at.micros().to_string(),
            &event.actor,
            &event.kind,
            &event.account,
            &event.run,
            &event.facts,
            &event.previous,
        ],
    )
}
