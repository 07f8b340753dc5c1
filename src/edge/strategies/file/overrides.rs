//! What a file allows its users to wish, and who stands in for whom: `[overrides]`, and `substitute` at a weight.

use toml::de::DeTable;

use super::super::keys;
use super::super::page::{Page, Placed, Table, entry};
use super::{Places, fraction, symbol};
use crate::model::personal::{Allowance, ExcludedTo, TargetYears, Unavailable};

pub(super) fn allowance<'a>(page: &mut Page<'a>, root: &DeTable<'a>, places: &mut Places) -> Allowance {
    let mut allowance = Allowance::default();
    for row in quiet(root) {
        let key = page.text(&row, ("weights", "symbol"));
        let substitute = page.text(&row, ("weights", "substitute"));
        if let (Some(key), Some(substitute)) = (key, substitute) {
            name(page, &mut allowance, (&key, &substitute), places);
        }
    }
    let Some(table) = page.table(root, "overrides") else { return allowance };
    let flag = |page: &mut Page<'a>, name| page.flag(&table, ("overrides", name)).is_some_and(|flag| flag.value);
    allowance.exclude = flag(page, "exclude");
    allowance.hold = flag(page, "hold");
    allowance.cap = flag(page, "cap");
    allowance.cash_max = fraction(page, &table, ("overrides", "cash_percent_max"), places);
    allowance.target_years = target_years(page, &table, places);
    allowance.max_excluded = fraction(page, &table, ("overrides", "max_excluded_percent"), places);
    let excluded_to = page.one_of(&table, ("overrides", "excluded_to"), keys::EXCLUDED_TO);
    if let Some(said) = &excluded_to
        && !allowance.exclude
    {
        let what = "`overrides.excluded_to` says where what nobody may exclude goes";
        page.fault(said.byte, what, "add exclude = true, or remove the line");
    }
    allowance.excluded_to = excluded_to.and_then(|word| ExcludedTo::parse(word.value)).unwrap_or_default();
    let unavailable = page.one_of(&table, ("overrides", "unavailable"), keys::UNAVAILABLE);
    allowance.unavailable = unavailable.and_then(|word| Unavailable::parse(word.value)).unwrap_or_default();
    for (key, substitute) in page.texts(&table, ("overrides", "substitutes")) {
        name(page, &mut allowance, (&key, &substitute), places);
    }
    allowance
}

/// The target years that users may choose among: both ends, or neither.
fn target_years<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>, places: &mut Places) -> Option<TargetYears> {
    let first = page.whole(table, ("overrides", "target_year_min"));
    let last = page.whole(table, ("overrides", "target_year_max"));
    let (first, last) = match (first, last) {
        (Some(first), Some(last)) => (first, last),
        (None, None) => return None,
        (Some(one), None) | (None, Some(one)) => {
            let what = "target years need their first and their last";
            page.fault(one.byte, what, "give both target_year_min and target_year_max");
            return None;
        }
    };
    places.insert("overrides.target_year_min".to_owned(), first.byte);
    if first.value < 1990 || first.value > last.value {
        let what = format!("the target years are {} to {}", first.value, last.value);
        page.fault(first.byte, what, "write years from 1990 to 2200, the earlier one as target_year_min");
        return None;
    }
    let year = |value: u32| i16::try_from(value).unwrap_or(i16::MAX);
    Some(TargetYears { first: year(first.value), last: year(last.value) })
}

/// The weights once more; what is wrong with their form was said when they were read.
fn quiet<'t, 'a>(root: &'t DeTable<'a>) -> Vec<Placed<&'t DeTable<'a>>> {
    let Some((_, value)) = entry(root, "weights") else { return Vec::new() };
    let rows = value.get_ref().as_array();
    let rows = rows.map(|rows| rows.iter().filter_map(|row| Some((row.get_ref().as_table()?, row.span().start))));
    rows.map(|rows| rows.map(|(value, byte)| Placed { value, byte }).collect()).unwrap_or_default()
}

fn name(
    page: &mut Page<'_>,
    allowance: &mut Allowance,
    (key, substitute): (&Placed<String>, &Placed<String>),
    places: &mut Places,
) {
    let (Some(key), Some(substitute)) = (symbol(page, key), symbol(page, substitute)) else { return };
    places.insert(format!("overrides.substitutes.{}", key.value), substitute.byte);
    if let Some(before) = allowance.substitutes.get(&key.value)
        && *before != substitute.value
    {
        let what = format!("{} has two substitutes, {before} and {}", key.value, substitute.value);
        page.fault(substitute.byte, what, "keep one of them");
        return;
    }
    allowance.substitutes.insert(key.value, substitute.value);
}
