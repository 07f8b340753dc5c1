//! Alpaca's JSON, and what we make of it.
//!
//! Fields that we do not know are ignored and enum values that we do not know survive (facts, wire conventions; S14). What
//! we need and do not find is a [`Fault`] that names the field: never a guess, never a panic (rows 8 and 12).

mod number;
mod order;
mod account;
mod activity;
mod market;
mod snapshot;

pub use snapshot::{SnapshotFault, closes_from_json, snapshot_from_json};

pub(super) use account::{account, asset, positions};
pub(super) use activity::activities;
pub(super) use market::{average_volumes, calendar, closes, quotes, trades};
pub(super) use order::{OrderJson, new_order, order, orders};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What is wrong with a JSON text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct Fault {
    /// Where, such as `positions[3].qty`.
    pub path: String,
    /// What is wrong there.
    pub what: String,
}

impl Fault {
    fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into() }
    }

    /// The same fault, seen from outside of `part`.
    fn under(self, part: &str) -> Self {
        let joint = if self.path.starts_with('[') || self.path.is_empty() { "" } else { "." };
        Self { path: format!("{part}{joint}{}", self.path), what: self.what }
    }
}

/// Alpaca's way of saying no. `code` may be missing (facts 3.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Alpaca's code.
    pub code: Option<i64>,
    /// Its message, with the numbers that came along.
    pub message: String,
}

/// What comes along with a refusal and helps a person to understand it (facts 3.11).
const EXTRAS: &[&str] =
    &["reject_reason", "buying_power", "cost_basis", "available", "existing_qty", "held_for_orders"];

/// Reads an error envelope: a JSON object with a message, or an OAuth error. `None` for an HTML page and anything else.
pub fn envelope(body: &[u8]) -> Option<Envelope> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let said = text("message").or_else(|| text("error_description")).or_else(|| text("error"))?;
    let code = value.get("code").and_then(|code| code.as_i64().or_else(|| code.as_str()?.parse().ok()));
    let extras = EXTRAS.iter().filter_map(|name| text(name).map(|extra| format!("{name} {extra}")));
    let extras: Vec<String> = extras.collect();
    let message = if extras.is_empty() { said.to_owned() } else { format!("{said} ({})", extras.join(", ")) };
    Some(Envelope { code, message: plain(&message) })
}

/// A stranger's text, fit for a row and a log line: one line, no control characters, not endless.
pub fn plain(text: &str) -> String {
    let is_odd = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let line: String = text.chars().map(|c| if is_odd(c) { ' ' } else { c }).take(300).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where a fault is that concerns the text as a whole.
const WHOLE: &str = "the text";

/// A place as people write it; the root is the text itself.
fn place(path: &serde_path_to_error::Path) -> String {
    let path = path.to_string();
    if path == "." { WHOLE.to_owned() } else { path }
}

/// Reads a whole JSON text.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| Fault::new(place(error.path()), plain(&error.inner().to_string())))?;
    deserializer.end().map_err(|error| Fault::new(WHOLE, plain(&error.to_string())))?;
    Ok(value)
}

/// A field that must be there.
fn needed<T>(value: Option<T>, field: &str) -> Result<T, Fault> {
    value.ok_or_else(|| Fault::new(field, "is missing"))
}

/// A field's text as one of our types.
fn parsed<T, X: std::fmt::Display>(
    text: &str,
    field: &str,
    parse: impl FnOnce(&str) -> Result<T, X>,
) -> Result<T, Fault> {
    parse(text).map_err(|error| Fault::new(field, plain(&error.to_string())))
}

/// Reads what is there and fits; what does not fit is as good as absent.
fn if_it_fits<'de, T: DeserializeOwned, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}
