//! Daily closes: the compiled-in tables and files of the same form.
//!
//! Always: a series has one close for every session between its first and its last, a missing day keeps the one
//! before; asked beyond its ends, it answers with its first or last close.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use jiff::civil::Date;

use super::MarketError;
use super::sessions::Calendar;

static STOCKS: &[u8] = include_bytes!("../../data/sp500_dataset.csv.gz");
static FACTORS: &[u8] = include_bytes!("../../data/factors_dataset.csv.gz");
static INDEX: &[u8] = include_bytes!("../../data/sp500_index.csv.gz");

/// The compiled-in tables, read once.
static BUILTIN: LazyLock<Result<Arc<Tables>, String>> = LazyLock::new(|| read_builtin().map(Arc::new));

/// The closes of one symbol by session.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Index of the first session that has a close.
    pub(crate) first: usize,
    pub(crate) closes: Vec<f64>,
}

impl Series {
    /// The close of a session, by its index in the calendar.
    pub(crate) fn close(&self, session: usize) -> f64 {
        let index = session.saturating_sub(self.first).min(self.closes.len().saturating_sub(1));
        self.closes.get(index).copied().unwrap_or_default()
    }
}

/// What is compiled in: the closes of symbols, and the index that proxies follow.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) symbols: BTreeMap<String, Series>,
    pub(crate) index: Series,
}

/// The compiled-in tables.
pub(crate) fn builtin() -> Result<Arc<Tables>, MarketError> {
    BUILTIN.clone().map_err(|problem| MarketError::Data { file: "compiled-in closes".into(), problem })
}

fn read_builtin() -> Result<Tables, String> {
    let calendar = Calendar::builtin().map_err(|error| error.to_string())?;
    let mut symbols = parse(&unpack(STOCKS)?, &calendar)?;
    symbols.extend(parse(&unpack(FACTORS)?, &calendar)?);
    let index = parse(&unpack(INDEX)?, &calendar)?.remove("SP500").ok_or("no column SP500")?;
    Ok(Tables { symbols, index })
}

/// Reads a file of closes, packed or not.
pub(crate) fn read_file(path: &Path, calendar: &Calendar) -> Result<BTreeMap<String, Series>, MarketError> {
    let wrong = |problem: String| MarketError::Data { file: path.display().to_string(), problem };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let text = if bytes.starts_with(&[0x1f, 0x8b]) {
        unpack(&bytes)
    } else {
        String::from_utf8(bytes).map_err(|error| error.to_string())
    };
    text.and_then(|text| parse(&text, calendar)).map_err(wrong)
}

fn unpack(bytes: &[u8]) -> Result<String, String> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// Reads `Date,SYMBOL,...` rows. Days that are no sessions are passed over; an empty cell keeps the close before.
fn parse(text: &str, calendar: &Calendar) -> Result<BTreeMap<String, Series>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let names: Vec<String> = header.iter().skip(1).map(|name| name.trim().to_uppercase()).collect();
    if names.is_empty() || names.iter().any(String::is_empty) {
        return Err("the first line must be `Date` and at least one ticker".into());
    }
    let mut columns: Vec<Option<Series>> = vec![None; names.len()];
    for row in reader.records() {
        let row = row.map_err(|error| error.to_string())?;
        let line = row.position().map_or(0, csv::Position::line);
        let date: Date =
            row.get(0).and_then(|cell| cell.trim().parse().ok()).ok_or_else(|| format!("line {line}: not a date"))?;
        let Ok(session) = calendar.all().binary_search_by_key(&date, |session| session.date) else { continue };
        for (column, cell) in columns.iter_mut().zip(row.iter().skip(1)) {
            if let Some(close) = parse_close(cell, line)? {
                put(column, session, close).map_err(|problem| format!("line {line}: {problem}"))?;
            }
        }
    }
    let mut found = BTreeMap::new();
    for (name, column) in names.into_iter().zip(columns) {
        let series = column.ok_or_else(|| format!("{name} has no close on any session"))?;
        found.insert(name, series);
    }
    Ok(found)
}

fn parse_close(cell: &str, line: u64) -> Result<Option<f64>, String> {
    let cell = cell.trim();
    if cell.is_empty() {
        return Ok(None);
    }
    match cell.parse::<f64>() {
        Ok(close) if close.is_finite() && close > 0.0 && close < 10_000_000.0 => Ok(Some(close)),
        _ => Err(format!("line {line}: {cell:?} is not a price")),
    }
}

fn put(column: &mut Option<Series>, session: usize, close: f64) -> Result<(), &'static str> {
    let series = column.get_or_insert_with(|| Series { first: session, closes: Vec::new() });
    let place = session.checked_sub(series.first).ok_or("dates must rise")?;
    if place < series.closes.len() {
        return Err("dates must rise");
    }
    let last = series.closes.last().copied().unwrap_or(close);
    series.closes.resize(place, last);
    series.closes.push(close);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests")]
    use super::*;
    use jiff::civil::date;

    fn session(calendar: &Calendar, day: Date) -> usize {
        calendar.all().binary_search_by_key(&day, |session| session.date).unwrap()
    }

    #[test]
    fn the_compiled_in_closes_are_the_published_ones() {
        let calendar = Calendar::builtin().unwrap();
        let tables = builtin().unwrap();
        assert_eq!(tables.symbols.len(), 25);
        let last = session(&calendar, date(2022, 12, 28));
        assert_eq!(tables.symbols["AAPL"].close(last), 125.674);
        assert_eq!(tables.symbols["MTUM"].close(session(&calendar, date(2014, 1, 2))), 52.704);
        assert_eq!(tables.index.close(last), 3783.22);
        assert_eq!(tables.index.close(last + 500), 3783.22, "flat after the data");
        assert_eq!(tables.symbols["MTUM"].close(0), 52.704, "flat before the data");
    }

    #[test]
    fn files_are_read_by_session_and_faults_name_their_line() {
        let calendar = Calendar::builtin().unwrap();
        let text = "Date,abc,XYZ\n2022-03-11,10,5\n2022-03-12,99,99\n2022-03-14,,6\n2022-03-15,12,7\n";
        let found = parse(text, &calendar).unwrap();
        let day = session(&calendar, date(2022, 3, 14));
        assert_eq!((found["ABC"].close(day), found["XYZ"].close(day)), (10.0, 6.0));
        assert_eq!(found["ABC"].close(day + 1), 12.0);
        for (text, part) in [
            ("Date,A\nx,1\n", "line 2: not a date"),
            ("Date,A\n2022-03-11,-1\n", "line 2: \"-1\" is not a price"),
            ("Date,A\n2022-03-14,1\n2022-03-11,1\n", "line 3: dates must rise"),
            ("Date,A\n2022-03-12,1\n", "A has no close"),
            ("Date\n", "at least one ticker"),
        ] {
            let error = parse(text, &calendar).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
