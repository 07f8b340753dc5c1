//! A TOML text with the place of everything in it, and the faults found so far.
//!
//! Numbers are taken from the text as it is written: no percent ever passes through a float.

use std::path::Path;

use rust_decimal::Decimal;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{FileFault, listed, nearest};
use super::keys::{self, Holds, KEYS};
use crate::model::money::LARGEST;

/// Decimals that a number in a file may have: a percent of so many is a fraction that is held exactly.
const MOST_DECIMALS: u32 = 16;

/// A value and the byte where it stands.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) byte: usize,
}

/// A table and the byte where it begins.
pub(super) type Table<'t, 'a> = Placed<&'t DeTable<'a>>;

/// One file while it is read.
pub(super) struct Page<'a> {
    file: &'a Path,
    text: &'a str,
    pub(super) faults: Vec<FileFault>,
}

impl<'a> Page<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, faults: Vec::new() }
    }

    /// The whole file as a table; `None` when it is no TOML.
    pub(super) fn parse(&mut self) -> Option<Spanned<DeTable<'a>>> {
        match DeTable::parse(self.text) {
            Ok(root) => Some(root),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let what = format!("this is not TOML: {}", error.message().replace('\n', " "));
                self.fault(at, what, "mend this line; text stands in quotes, tables in [brackets]");
                None
            }
        }
    }

    /// The file.
    pub(super) fn file(&self) -> &'a Path {
        self.file
    }

    /// Notes a fault.
    pub(super) fn fault(&mut self, byte: usize, what: impl Into<String>, mend: impl Into<String>) {
        let fault = FileFault::of(self.file, what, mend).at(self.text, byte);
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// Notes every key that the table should not have.
    pub(super) fn unknown_keys(&mut self, table: &DeTable<'_>, name: &str) {
        let known = keys::names(name);
        for (key, _) in table {
            let word = key.get_ref().as_ref();
            if known.contains(&word) {
                continue;
            }
            let what =
                if name.is_empty() { format!("unknown key `{word}`") } else { format!("unknown key `{name}.{word}`") };
            let elsewhere = KEYS.iter().find(|known| known.name == word).map(|known| known.table);
            let mend = match (nearest(word, known.iter().copied()), elsewhere) {
                (Some(meant), _) => format!("the nearest known key is `{meant}`"),
                (None, Some("")) => "it belongs above the first [table]".to_owned(),
                (None, Some(table)) => format!("it belongs into [{table}]"),
                (None, None) => format!("known here: {}", listed(&known)),
            };
            self.fault(key.span().start, what, mend);
        }
    }

    /// A table of the file, if it is there and is one.
    pub(super) fn table<'t>(&mut self, root: &'t DeTable<'a>, name: &str) -> Option<Table<'t, 'a>> {
        self.table_inside(root, name)
    }

    /// The table with this path (`rebalance.cooldown`) inside another, if it is there and is one.
    pub(super) fn table_inside<'t>(&mut self, outer: &'t DeTable<'a>, name: &str) -> Option<Table<'t, 'a>> {
        let (byte, value) = entry(outer, name.rsplit('.').next().unwrap_or(name))?;
        match value.get_ref() {
            DeValue::Table(table) => {
                self.unknown_keys(table, name);
                Some(Placed { value: table, byte })
            }
            other => {
                self.fault(
                    byte,
                    format!("`{name}` is {}, not a table", kind(other)),
                    format!("write [{name}] on a line of its own"),
                );
                None
            }
        }
    }

    /// The `[[name]]` tables of the file, or of a table in it whose full name is the path.
    pub(super) fn tables<'t>(&mut self, root: &'t DeTable<'a>, path: (&str, &str)) -> Vec<Table<'t, 'a>> {
        let Some((byte, value)) = entry(root, path.1) else { return Vec::new() };
        let name = &shown(path);
        let DeValue::Array(rows) = value.get_ref() else {
            let mend = format!("write [[{name}]] in double brackets, once for each");
            self.fault(byte, format!("`{name}` is {}, not a list of tables", kind(value.get_ref())), mend);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for row in rows {
            match row.get_ref() {
                DeValue::Table(table) => {
                    self.unknown_keys(table, name);
                    tables.push(Placed { value: table, byte: row.span().start });
                }
                other => {
                    let what = format!("one of `{name}` is {}, not a table", kind(other));
                    self.fault(row.span().start, what, format!("write [[{name}]] in double brackets, once for each"));
                }
            }
        }
        tables
    }

    /// A text.
    pub(super) fn text(&mut self, table: &Table<'_, 'a>, path: (&str, &str)) -> Option<Placed<String>> {
        self.value(table, path, |value| match value {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err("put it in \"quotes\"".to_owned()),
        })
    }

    /// A text, or a whole number as text.
    pub(super) fn text_or_whole(&mut self, table: &Table<'_, 'a>, path: (&str, &str)) -> Option<Placed<String>> {
        self.value(table, path, |value| match value {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(whole) if whole.radix() == 10 => Ok(whole.as_str().to_owned()),
            _ => Err("write a word in \"quotes\" or a whole number".to_owned()),
        })
    }

    /// A decimal, exactly as written.
    pub(super) fn number(&mut self, table: &Table<'_, 'a>, path: (&str, &str)) -> Option<Placed<Decimal>> {
        self.value(table, path, |value| {
            let text = match value {
                DeValue::Integer(whole) if whole.radix() == 10 => whole.as_str(),
                DeValue::Float(float) => float.as_str(),
                _ => return Err("write a plain number without quotes, such as 12.5".to_owned()),
            };
            let number = Decimal::from_str_exact(&text.replace('_', "")).ok();
            number
                .filter(|number| number.abs() < LARGEST && number.scale() <= MOST_DECIMALS)
                .ok_or_else(|| {
                    format!(
                        "write a plain number such as 12.5, without exponent, below 10^15, with at most {MOST_DECIMALS} decimals"
                    )
                })
        })
    }

    /// A whole number, not below zero.
    pub(super) fn whole(&mut self, table: &Table<'_, 'a>, path: (&str, &str)) -> Option<Placed<u32>> {
        let most = KEYS.iter().find(|key| (key.table, key.name) == path).map(|key| key.holds);
        let most = if let Some(Holds::Whole(_, most)) = most { most } else { u32::MAX };
        self.value(table, path, |value| {
            let number = match value {
                DeValue::Integer(whole) if whole.radix() == 10 => whole.as_str().replace('_', "").parse::<u32>().ok(),
                _ => None,
            };
            number.filter(|number| *number <= most).ok_or_else(|| format!("write a whole number from 0 to {most}"))
        })
    }

    /// True or false.
    pub(super) fn flag(&mut self, table: &Table<'_, 'a>, path: (&str, &str)) -> Option<Placed<bool>> {
        self.value(table, path, |value| match value {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err("write true or false without quotes".to_owned()),
        })
    }

    /// A table of texts, each with its name.
    pub(super) fn texts(&mut self, table: &Table<'_, 'a>, path: (&str, &str)) -> Vec<(Placed<String>, Placed<String>)> {
        let Some((byte, value)) = entry(table.value, path.1) else { return Vec::new() };
        let DeValue::Table(rows) = value.get_ref() else {
            let what = format!("`{}` is {}, not a table", shown(path), kind(value.get_ref()));
            self.fault(byte, what, format!("write {} = {{ SPY = \"VTI\" }}", path.1));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (name, value) in rows {
            let byte = value.span().start;
            if let DeValue::String(text) = value.get_ref() {
                let name = Placed { value: name.get_ref().to_string(), byte: name.span().start };
                texts.push((name, Placed { value: text.to_string(), byte }));
            } else {
                let what = format!("`{}.{}` is {}", shown(path), name.get_ref(), kind(value.get_ref()));
                self.fault(byte, what, "put it in \"quotes\"");
            }
        }
        texts
    }

    /// A list of texts, each with its place.
    pub(super) fn list(&mut self, table: &Table<'_, 'a>, path: (&str, &str)) -> Option<Placed<Vec<Placed<String>>>> {
        if entry(table.value, path.1).is_none() {
            let mend = format!("add a line `{} = [\"SPY\", \"AGG\"]` here", path.1);
            self.fault(table.byte, format!("`{}` is missing", shown(path)), mend);
            return None;
        }
        self.value(table, path, |value| {
            let mend = || "write a list of words in \"quotes\", such as [\"SPY\", \"AGG\"]".to_owned();
            let DeValue::Array(rows) = value else { return Err(mend()) };
            let text = |row: &Spanned<DeValue<'a>>| match row.get_ref() {
                DeValue::String(text) => Ok(Placed { value: text.to_string(), byte: row.span().start }),
                _ => Err(mend()),
            };
            rows.iter().map(text).collect()
        })
    }

    /// A decimal under a key that is the author's own word.
    pub(super) fn percent_of(&mut self, table: &Table<'_, 'a>, key: &str) -> Option<Placed<Decimal>> {
        self.number(table, ("weights", key))
    }

    /// One of a few words.
    pub(super) fn one_of(
        &mut self,
        table: &Table<'_, 'a>,
        path: (&str, &str),
        words: &'static [&'static str],
    ) -> Option<Placed<&'static str>> {
        let said = self.text(table, path)?;
        if let Some(word) = words.iter().find(|word| **word == said.value) {
            return Some(Placed { value: word, byte: said.byte });
        }
        let nearest = nearest(&said.value, words.iter().copied()).map(|word| format!("the nearest is `{word}`"));
        let mend = nearest.unwrap_or_else(|| format!("it is one of {}", listed(words)));
        self.fault(said.byte, format!("`{}` is no {}", shortened(&said.value), shown(path)), mend);
        None
    }

    /// A key's value; notes a fault when it is needed and absent, or when it is something else.
    fn value<T>(
        &mut self,
        table: &Table<'_, 'a>,
        path: (&str, &str),
        take: impl FnOnce(&DeValue<'a>) -> Result<T, String>,
    ) -> Option<Placed<T>> {
        let Some((_, value)) = entry(table.value, path.1) else {
            let known = KEYS.iter().find(|key| (key.table, key.name) == path);
            if known.is_some_and(|key| key.is_needed) {
                self.fault(
                    table.byte,
                    format!("`{}` is missing", shown(path)),
                    format!("add a line `{} = ...` here", path.1),
                );
            }
            return None;
        };
        let byte = value.span().start;
        match take(value.get_ref()) {
            Ok(value) => Some(Placed { value, byte }),
            Err(mend) => {
                let found = self.text.get(value.span()).map(shortened).unwrap_or_default();
                self.fault(byte, format!("`{}` is {found}", shown(path)), mend);
                None
            }
        }
    }
}

/// A key as people write it.
fn shown((table, name): (&str, &str)) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

pub(super) fn entry<'t, 'a>(table: &'t DeTable<'a>, name: &str) -> Option<(usize, &'t Spanned<DeValue<'a>>)> {
    table.iter().find(|(key, _)| key.get_ref().as_ref() == name).map(|(key, value)| (key.span().start, value))
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn shortened(text: &str) -> String {
    let short: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
    if short.len() < text.len() { format!("{short}...") } else { short }
}
