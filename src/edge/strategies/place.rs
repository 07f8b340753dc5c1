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
            let (at, value) = match table.split_once('.') {
                None => entry(root.get_ref(), table)?,
                Some((outer, inner)) => {
                    let (_, outer) = entry(root.get_ref(), outer)?;
                    entry(outer.get_ref().as_table()?, inner)?
                }
            };
            let DeValue::Table(table) = value.get_ref() else { return Some(at) };
            Some(entry(table, key).map_or(at, |(byte, _)| byte))
        }
        Place::Schedule(number, key) => {
            let (at, value) = entry(root.get_ref(), "schedule")?;
            let schedule = match value.get_ref() {
                DeValue::Array(schedules) => schedules.get(*number).map(|schedule| (schedule.span().start, schedule)),
                _ => Some((at, value)),
            };
            let (at, schedule) = schedule?;
            let DeValue::Table(table) = schedule.get_ref() else { return Some(at) };
            Some(entry(table, key).map_or(at, |(byte, _)| byte))
        }
        Place::Weight(symbol) => {
            let Some((at, value)) = entry(root.get_ref(), "weights") else {
                let (at, model) = entry(root.get_ref(), "model")?;
                return Some(entry(model.get_ref().as_table()?, "symbols").map_or(at, |(byte, _)| byte));
            };
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
