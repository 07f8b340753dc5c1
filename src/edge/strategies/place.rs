//! Where in its file stands what a warning speaks of.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::fault::FileFault;
use super::page::{Page, entry};
use crate::model::lint::{Place, Warning};

/// A warning as a finding of its file: with line and column, and the mend.
pub fn warned(file: &Path, text: &str, warning: &Warning) -> FileFault {
    let found = FileFault::of(file, warning.message.as_str(), warning.mend.as_str());
    match byte(file, text, &warning.place) {
        Some(byte) => found.at(text, byte),
        None => found,
    }
}

/// The byte of the key, or of its table where the key is not written.
fn byte(file: &Path, text: &str, place: &Place) -> Option<usize> {
    let root = Page::new(file, text).parse()?;
    match place {
        Place::Key(table, key) => {
            let (at, value) = entry(root.get_ref(), table)?;
            let DeValue::Table(table) = value.get_ref() else { return Some(at) };
            Some(entry(table, key).map_or(at, |(byte, _)| byte))
        }
        Place::Weight(symbol) => {
            let (at, value) = entry(root.get_ref(), "weights")?;
            let DeValue::Array(rows) = value.get_ref() else { return Some(at) };
            let row = rows.iter().find_map(|row| match row.get_ref() {
                DeValue::Table(row) if names(row, symbol.as_str()) => entry(row, "symbol"),
                _ => None,
            });
            Some(row.map_or(at, |(byte, _)| byte))
        }
    }
}

fn names(row: &DeTable<'_>, symbol: &str) -> bool {
    entry(row, "symbol").is_some_and(|(_, value)| matches!(value.get_ref(), DeValue::String(text) if text == symbol))
}
