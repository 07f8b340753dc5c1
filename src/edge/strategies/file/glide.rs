//! The points of a glide path.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::super::page::{Page, Placed, Table, entry};
use super::model::too_fine;
use super::symbol;
use crate::model::composition::{Glide, Mix};
use crate::model::money::Fraction;
use crate::model::time::Day;

/// The points by the way in which their days are said.
#[derive(Default)]
struct Points {
    dates: BTreeMap<Day, Mix>,
    years: BTreeMap<u16, Mix>,
}

/// Weights at points of time.
pub(super) fn glide<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>, whole: Fraction) -> Option<Glide> {
    let year = page.whole(table, ("model", "default_target_year"));
    let rows = page.tables(table.value, ("model", "points"));
    if rows.len() < 2 {
        let mend = "add at least two [[model.points]], each with `years_to_target` or `date`, and `weights`";
        page.fault(table.byte, format!("there are {} [[model.points]]", rows.len()), mend);
        return None;
    }
    let mut points = Points::default();
    // Each is read, so that one look tells every fault.
    let read: Vec<bool> = rows.iter().map(|row| point(page, row, whole, &mut points).is_some()).collect();
    if read.contains(&false) {
        return None;
    }
    put_together(page, table, points, year)
}

/// One point; `None` when it has a fault.
fn point<'a>(page: &mut Page<'a>, row: &Table<'_, 'a>, whole: Fraction, points: &mut Points) -> Option<()> {
    let mix = mix(page, row, whole);
    let date = page.text(row, ("model.points", "date"));
    let to_target = page.whole(row, ("model.points", "years_to_target"));
    let mix = mix?;
    let again = match (date, to_target) {
        (Some(date), None) => {
            let Ok(day) = date.value.parse::<Day>() else {
                page.fault(date.byte, "this is no date", "write it as \"2040-01-01\"");
                return None;
            };
            points.dates.insert(day, mix).is_some()
        }
        (None, Some(number)) => points.years.insert(u16::try_from(number.value).unwrap_or(u16::MAX), mix).is_some(),
        _ => {
            page.fault(row.byte, "this point has no day of its own", "write either `years_to_target` or `date`");
            return None;
        }
    };
    if again {
        page.fault(row.byte, "two points are for one day", "keep one of the two");
        return None;
    }
    Some(())
}

fn put_together(
    page: &mut Page<'_>,
    table: &Table<'_, '_>,
    Points { dates, years }: Points,
    year: Option<Placed<u32>>,
) -> Option<Glide> {
    match (dates.is_empty(), years.is_empty(), year) {
        (false, true, None) => Some(Glide::Dates(dates.into_iter().collect())),
        (false, true, Some(year)) => {
            let what = "`model.default_target_year` says nothing beside points with a `date`";
            page.fault(year.byte, what, "remove it, or give the points by `years_to_target`");
            None
        }
        (true, _, Some(year)) if (1990..=2200).contains(&year.value) => {
            let points = years.into_iter().rev().collect();
            Some(Glide::Years { points, default_target_year: i16::try_from(year.value).unwrap_or(i16::MAX) })
        }
        (true, _, Some(year)) => {
            page.fault(
                year.byte,
                format!("`model.default_target_year` is {}", year.value),
                "write a year from 1990 to 2200",
            );
            None
        }
        (true, _, None) => {
            let mend = "add default_target_year = 2050: it counts for users who have none of their own";
            page.fault(table.byte, "points by `years_to_target` need a year to count from", mend);
            None
        }
        (false, false, _) => {
            let mend = "give all of them by `years_to_target`, or all by `date`";
            page.fault(table.byte, "some points have a `date` and some `years_to_target`", mend);
            None
        }
    }
}

/// The weights of one point; with the cash they make a whole.
fn mix<'a>(page: &mut Page<'a>, row: &Table<'_, 'a>, whole: Fraction) -> Option<Mix> {
    let Some((byte, value)) = entry(row.value, "weights") else {
        page.fault(
            row.byte,
            "`model.points.weights` is missing",
            "add a line such as `weights = { VTI = 60, BND = 40 }`",
        );
        return None;
    };
    let DeValue::Table(weights) = value.get_ref() else {
        page.fault(byte, "`model.points.weights` is no table", "write it as `weights = { VTI = 60, BND = 40 }`");
        return None;
    };
    let mut mix = Mix::new();
    let weights = Placed { value: weights, byte };
    for (key, _) in weights.value {
        let said = Placed { value: key.get_ref().to_string(), byte: key.span().start };
        let percent = page.percent_of(&weights, &said.value);
        let (Some(symbol), Some(percent)) = (symbol(page, &said), percent) else { return None };
        let weight = Fraction::from_percent(percent.value);
        if weight < Fraction::ZERO || weight > Fraction::ONE || too_fine(weight) {
            let mend = "a weight is from 0 to 100, with at most four decimals";
            page.fault(percent.byte, format!("the weight of {} is {}%", symbol.value, percent.value), mend);
            return None;
        }
        mix.insert(symbol.value, weight);
    }
    let sum: Fraction = mix.values().copied().sum();
    if sum != whole {
        let all = (sum + Fraction::ONE - whole).percent().normalize();
        page.fault(byte, format!("these weights and [cash] add up to {all}%, not 100%"), "change a weight or [cash]");
        return None;
    }
    Some(mix)
}
