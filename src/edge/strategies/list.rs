//! A list of weights beside a strategy's file: `symbol,percent`, one a line. Read strictly; a fault names the list's own line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rust_decimal::Decimal;

use super::fault::FileFault;
use super::ticker::{Ticker, ticker};
use crate::model::composition::Target;
use crate::model::ids::Symbol;
use crate::model::money::Fraction;

/// No list is larger.
const BYTES_MAX: u64 = 1024 * 1024;

/// Decimals of a percent: with them a list can be a sleeve, whose weights are multiplied exactly.
const PERCENT_DECIMALS: u32 = 6;

/// What is wrong, and what would mend it.
type Wrong = (String, String);

/// The path of a list: a plain name in the folder of the strategy's file, so that nothing else is ever read.
pub(super) fn beside(file: &Path, name: &str) -> Result<PathBuf, Wrong> {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._- ".contains(&b));
    if !is_plain || name.starts_with('.') || Path::new(name).extension().is_none_or(|end| end != "csv") {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
        let mend = "write the name of a file in the strategy's own folder, such as \"model.csv\"";
        return Err((format!("`{shown}` is not the plain name of a .csv file"), mend.to_owned()));
    }
    Ok(file.parent().unwrap_or_else(|| Path::new("")).join(name))
}

/// The text of a list.
pub(super) fn text(path: &Path) -> Result<String, Wrong> {
    let named = path.display();
    let unreadable = |error: std::io::Error| {
        (format!("the list {named} cannot be read: {error}"), "give a readable file in UTF-8 there".to_owned())
    };
    // Not followed: a link could lead out of the folder.
    let metadata = fs::symlink_metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        let mend = "give a plain file below 1 MiB, not a link".to_owned();
        return Err((format!("the list {named} is no plain file, or too large"), mend));
    }
    fs::read_to_string(path).map_err(unreadable)
}

/// The weights of a list; they make `whole`.
pub(super) fn targets(path: &Path, text: &str, whole: Fraction) -> Result<Vec<Target>, Vec<FileFault>> {
    let mut faults = Vec::new();
    let mut lines: BTreeMap<Symbol, usize> = BTreeMap::new();
    let mut targets = Vec::new();
    let mut byte = 0;
    for (index, whole_line) in text.split_inclusive('\n').enumerate() {
        let at = byte;
        byte += whole_line.len();
        let line = whole_line.trim();
        let is_head = index == 0 && line.replace(' ', "").eq_ignore_ascii_case("symbol,percent");
        if line.is_empty() || line.starts_with('#') || is_head {
            continue;
        }
        let target = match read(line) {
            Ok(target) => target,
            Err((what, mend)) => {
                faults.push(FileFault::of(path, what, mend).at(text, at));
                continue;
            }
        };
        if let Some(before) = lines.insert(target.symbol.clone(), index + 1) {
            let what = format!("{} has two weights, the other in line {before}", target.symbol);
            faults.push(FileFault::of(path, what, "add them up into one").at(text, at));
        }
        targets.push(target);
    }
    let sum: Fraction = targets.iter().map(|target| target.weight).sum();
    if faults.is_empty() && sum != whole {
        let (sum, whole) = (sum.percent().normalize(), whole.percent().normalize());
        let what = format!("these {} weights add up to {sum}%, not {whole}%", targets.len());
        let mend =
            format!("the difference is {}%; with [cash] the weights make exactly 100", (whole - sum).normalize());
        faults.push(FileFault::of(path, what, mend).at(text, 0));
    }
    if faults.is_empty() { Ok(targets) } else { Err(faults) }
}

fn read(line: &str) -> Result<Target, Wrong> {
    let (name, percent) = line.split_once(',').unwrap_or((line, ""));
    let symbol = match ticker(name.trim()) {
        Ticker::Right(symbol) => symbol,
        Ticker::Wrong { what, mend } => return Err((what, mend)),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let percent = percent.trim();
    let number = Decimal::from_str_exact(percent).ok().filter(|_| is_number(percent));
    let fits = |number: &Decimal| {
        *number > Decimal::ZERO && *number <= Decimal::ONE_HUNDRED && number.normalize().scale() <= PERCENT_DECIMALS
    };
    let Some(number) = number.filter(fits) else {
        let shown: String = percent.chars().filter(|c| !c.is_control()).take(40).collect();
        let mend = "write a plain number above 0 and at most 100, with at most six decimals, such as `SPY,12.5`";
        return Err((format!("the percent of {symbol} is `{shown}`"), mend.to_owned()));
    };
    Ok(Target { symbol, weight: Fraction::from_percent(number) })
}
