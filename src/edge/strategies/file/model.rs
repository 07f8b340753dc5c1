//! What a file says it holds: `[[weights]]`, or a `[model]` of one kind.
//!
//! A key that does nothing for the kind of the model is a fault: whoever wrote it expects something of it.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use toml::de::DeTable;

use super::super::fault::listed;
use super::super::keys;
use super::super::page::{Page, Placed, Table, entry};
use super::glide;
use super::{Places, symbol, targets};
use crate::edge::strategies::list;
use crate::model::composition::{Calm, Composition, Momentum};
use crate::model::ids::{StrategyName, Symbol};
use crate::model::money::Fraction;

/// Decimals that a percent in a model may have, so that whatever is made of it is exact.
const PERCENT_DECIMALS: u32 = 4;

/// What one file says by itself.
#[derive(Debug)]
pub(in super::super) enum Holdings {
    /// All of it.
    Known(Composition),
    /// Names of other strategies.
    Sleeves(Vec<SleeveLine>),
}

/// One `[[model.sleeves]]`.
#[derive(Debug, Clone)]
pub(in super::super) struct SleeveLine {
    pub(in super::super) name: StrategyName,
    pub(in super::super) share: Fraction,
    pub(in super::super) byte: usize,
}

/// Which keys of `[model]` each kind has.
const OF_KIND: &[(&str, &[&str])] = &[
    ("equal", &["symbols"]),
    ("csv", &["file"]),
    ("sleeves", &["sleeves"]),
    ("glide", &["points", "default_target_year"]),
    ("inverse_volatility", &["symbols", "window_days", "max_percent"]),
    ("min_variance", &["symbols", "window_days", "max_percent"]),
    ("momentum", &["symbols", "count", "window_days", "average_days", "defensive"]),
];

/// What the file holds, and the text of a list beside it that belongs to its version. `None` when it cannot be read.
pub(super) fn holdings<'a>(
    page: &mut Page<'a>,
    root: &DeTable<'a>,
    cash: Fraction,
    places: &mut Places,
) -> Option<(Holdings, Option<String>)> {
    let has = |name: &str| entry(root, name).is_some();
    let known = |composition| Some((Holdings::Known(composition), None));
    if !has("model") {
        return known(Composition::Weights(targets(page, root, places)));
    }
    let table = page.table(root, "model")?;
    if has("weights") {
        page.fault(table.byte, "the file has both [[weights]] and [model]", "keep one of the two");
        return None;
    }
    let kind = page.one_of(&table, ("model", "kind"), keys::MODEL_KIND)?;
    strangers(page, &table, kind.value);
    if too_fine(cash) {
        page.fault(
            places.get("cash").copied().unwrap_or(table.byte),
            format!("cash is {}%", cash.percent().normalize()),
            "beside a [model] it has at most four decimals",
        );
        return None;
    }
    let whole = Fraction::ONE - cash;
    match kind.value {
        "equal" => known(Composition::Equal(symbols(page, &table, 1)?.value)),
        "csv" => list(page, &table, whole, places),
        "sleeves" => sleeves(page, &table, whole).map(|sleeves| (Holdings::Sleeves(sleeves), None)),
        "glide" => known(Composition::Glide(glide::glide(page, &table, whole)?)),
        "inverse_volatility" => known(Composition::InverseVolatility(calm(page, &table, whole)?)),
        "min_variance" => known(Composition::MinVariance(calm(page, &table, whole)?)),
        _ => known(Composition::Momentum(momentum(page, &table)?)),
    }
}

pub(super) fn too_fine(fraction: Fraction) -> bool {
    fraction.decimal().normalize().scale() > PERCENT_DECIMALS + 2
}

/// Notes every known key of `[model]` that another kind has.
fn strangers(page: &mut Page<'_>, table: &Table<'_, '_>, kind: &str) {
    let own = OF_KIND.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, keys)| keys);
    for (_, keys) in OF_KIND {
        for key in keys.iter().filter(|key| !own.contains(key)) {
            if let Some((byte, _)) = entry(table.value, key) {
                let what = format!("`model.{key}` says nothing with kind = \"{kind}\"");
                page.fault(byte, what, format!("remove it; this kind has {}", listed(own)));
            }
        }
    }
}

/// Two or more symbols, each once.
fn symbols<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>, least: usize) -> Option<Placed<BTreeSet<Symbol>>> {
    let said = page.list(table, ("model", "symbols"))?;
    let mut symbols = BTreeSet::new();
    let mut is_whole = true;
    for text in &said.value {
        match symbol(page, text) {
            Some(symbol) if !symbols.insert(symbol.value.clone()) => {
                page.fault(symbol.byte, format!("{} stands twice", symbol.value), "name each symbol once");
                is_whole = false;
            }
            Some(_) => {}
            None => is_whole = false,
        }
    }
    if symbols.len() < least && is_whole {
        let what = format!("`model.symbols` has {} symbols", symbols.len());
        page.fault(said.byte, what, format!("name at least {least}"));
        return None;
    }
    is_whole.then_some(Placed { value: symbols, byte: said.byte })
}

/// A whole number inside the bounds of its key.
fn bounded<'a>(
    page: &mut Page<'a>,
    table: &Table<'_, 'a>,
    name: &'static str,
    least: u32,
    fallback: Option<u32>,
) -> Option<u32> {
    let Some(number) = page.whole(table, ("model", name)) else {
        return if entry(table.value, name).is_some() {
            None
        } else {
            if fallback.is_none() {
                page.fault(table.byte, format!("`model.{name}` is missing"), format!("add a line `{name} = ...` here"));
            }
            fallback
        };
    };
    if number.value < least {
        page.fault(number.byte, format!("`model.{name}` is {}", number.value), format!("write {least} or more"));
        return None;
    }
    Some(number.value)
}

fn calm<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>, whole: Fraction) -> Option<Calm> {
    let symbols = symbols(page, table, 2);
    let window_days = bounded(page, table, "window_days", 20, Some(120));
    let most = match page.number(table, ("model", "max_percent")) {
        Some(percent) => {
            let most = Fraction::from_percent(percent.value);
            if !most.is_positive() || most > Fraction::ONE || too_fine(most) {
                let mend = "it is above 0 and at most 100, with at most four decimals";
                page.fault(percent.byte, format!("`model.max_percent` is {}", percent.value), mend);
                return None;
            }
            Placed { value: most, byte: percent.byte }
        }
        None if entry(table.value, "max_percent").is_none() => Placed { value: Fraction::ONE, byte: table.byte },
        None => return None,
    };
    let (symbols, window_days) = (symbols?.value, window_days?);
    let room = Fraction::new(Decimal::from(symbols.len())) * most.value;
    if room < whole {
        let what = format!(
            "{} symbols of at most {}% each hold {}% together, less than {}%",
            symbols.len(),
            most.value.percent().normalize(),
            room.percent().normalize(),
            whole.percent().normalize()
        );
        page.fault(most.byte, what, "raise max_percent, name more symbols or keep more cash");
        return None;
    }
    Some(Calm { symbols, window_days, most: most.value })
}

fn momentum<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>) -> Option<Momentum> {
    let symbols = symbols(page, table, 2);
    let count = bounded(page, table, "count", 1, None);
    let window_days = bounded(page, table, "window_days", 5, Some(126));
    let average_days = bounded(page, table, "average_days", 5, Some(200));
    let Some(said) = page.text(table, ("model", "defensive")) else {
        if entry(table.value, "defensive").is_none() {
            let mend = "add a line such as `defensive = \"SHY\"`: what takes the part of a symbol that falls";
            page.fault(table.byte, "`model.defensive` is missing", mend);
        }
        return None;
    };
    let defensive = symbol(page, &said)?.value;
    let (symbols, count) = (symbols?, count?);
    if symbols.value.contains(&defensive) {
        page.fault(said.byte, format!("{defensive} is also one of `model.symbols`"), "take it out of one of the two");
        return None;
    }
    if usize::try_from(count).is_ok_and(|count| count > symbols.value.len()) {
        let what = format!("`model.count` is {count}, but there are {} symbols", symbols.value.len());
        page.fault(symbols.byte, what, "name more symbols or write a smaller count");
        return None;
    }
    Some(Momentum { symbols: symbols.value, count, window_days: window_days?, average_days: average_days?, defensive })
}

fn list<'a>(
    page: &mut Page<'a>,
    table: &Table<'_, 'a>,
    whole: Fraction,
    places: &mut Places,
) -> Option<(Holdings, Option<String>)> {
    let Some(said) = page.text(table, ("model", "file")) else {
        if entry(table.value, "file").is_none() {
            page.fault(table.byte, "`model.file` is missing", "add a line such as `file = \"model.csv\"` here");
        }
        return None;
    };
    places.insert("csv".to_owned(), said.byte);
    let path = match list::beside(page.file(), &said.value) {
        Ok(path) => path,
        Err((what, mend)) => {
            page.fault(said.byte, what, mend);
            return None;
        }
    };
    let text = match list::text(&path) {
        Ok(text) => text,
        Err((what, mend)) => {
            page.fault(said.byte, what, mend);
            return None;
        }
    };
    match list::targets(&path, &text, whole) {
        Ok(targets) => Some((Holdings::Known(Composition::List { file: said.value, targets }), Some(text))),
        Err(faults) => {
            page.faults.extend(faults);
            None
        }
    }
}

fn sleeves<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>, whole: Fraction) -> Option<Vec<SleeveLine>> {
    let rows = page.tables(table.value, ("model", "sleeves"));
    if rows.is_empty() {
        let mend = "add [[model.sleeves]] with strategy = \"name\" and percent = 60, once for each";
        page.fault(table.byte, "there are no [[model.sleeves]]", mend);
        return None;
    }
    let mut lines: Vec<SleeveLine> = Vec::new();
    let mut is_whole = true;
    for row in rows {
        let name = page.text(&row, ("model.sleeves", "strategy"));
        let percent = page.number(&row, ("model.sleeves", "percent"));
        let (Some(name), Some(percent)) = (name, percent) else {
            is_whole = false;
            continue;
        };
        let share = Fraction::from_percent(percent.value);
        if !share.is_positive() || share > Fraction::ONE || too_fine(share) {
            let mend = "it is above 0 and at most 100, with at most four decimals";
            page.fault(percent.byte, format!("the share of {} is {}%", name.value, percent.value), mend);
            is_whole = false;
            continue;
        }
        let Ok(parsed) = StrategyName::parse(&name.value) else {
            page.fault(name.byte, "this is not a strategy name", "write the `name` of another file of this folder");
            is_whole = false;
            continue;
        };
        if lines.iter().any(|line| line.name == parsed) {
            page.fault(name.byte, format!("{parsed} has two shares"), "add them up into one");
            is_whole = false;
        }
        lines.push(SleeveLine { name: parsed, share, byte: name.byte });
    }
    if !is_whole {
        return None;
    }
    let sum: Fraction = lines.iter().map(|line| line.share).sum();
    if sum != whole {
        let all = (sum + Fraction::ONE - whole).percent().normalize();
        let what = format!("the sleeves and [cash] add up to {all}%, not 100%");
        page.fault(table.byte, what, "change a sleeve's percent or [cash]");
        return None;
    }
    Some(lines)
}
