//! The rebalance section of a file, and the bands that single weights have.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::super::keys;
use super::super::page::{Page, Table};
use super::{Places, fraction, number};
use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Usd};
use crate::model::strategy::{Conditions, Destination, Unmanaged};
use crate::model::tolerance::{Band, Cooldowns, Mode, Scope, Tolerance};

pub(super) fn conditions<'a>(page: &mut Page<'a>, root: &DeTable<'a>, places: &mut Places) -> Conditions {
    let mut conditions = Conditions {
        drift_absolute: None,
        drift_relative: None,
        destination: Destination::Target,
        cooldown_days: 0,
        invest_cash: true,
        unmanaged: Unmanaged::Ignore,
        tolerance: Tolerance { bands: bands(page, root, places), ..Tolerance::default() },
        scope: Scope::All,
        mode: Mode::Full,
    };
    let Some(table) = page.table(root, "rebalance") else { return conditions };
    conditions.drift_absolute = fraction(page, &table, ("rebalance", "drift_absolute_percent"), places);
    conditions.drift_relative = fraction(page, &table, ("rebalance", "drift_relative_percent"), places);
    conditions.tolerance.drift_portfolio = fraction(page, &table, ("rebalance", "drift_portfolio_percent"), places);
    conditions.tolerance.cash_above = number(page, &table, ("rebalance", "cash_above"), places).map(Usd::new);
    conditions.tolerance.cooldowns = cooldowns(page, &table);
    conditions.destination = word(page, &table, "destination", keys::DESTINATION, places)
        .and_then(Destination::parse)
        .unwrap_or(conditions.destination);
    conditions.scope =
        word(page, &table, "scope", keys::SCOPE, places).and_then(Scope::parse).unwrap_or(conditions.scope);
    conditions.mode = word(page, &table, "mode", keys::MODE, places).and_then(Mode::parse).unwrap_or(conditions.mode);
    conditions.unmanaged = word(page, &table, "unmanaged", keys::UNMANAGED, places)
        .and_then(Unmanaged::parse)
        .unwrap_or(conditions.unmanaged);
    conditions.cooldown_days = page.whole(&table, ("rebalance", "cooldown_days")).map_or(0, |days| days.value);
    conditions.invest_cash = page.flag(&table, ("rebalance", "invest_cash")).is_none_or(|flag| flag.value);
    if conditions.destination == Destination::BandEdge && !conditions.has_bands() {
        let mend = "set drift_absolute_percent or drift_relative_percent, or use destination = \"target\"";
        page.fault(table.byte, "destination is `band_edge`, but there is no band", mend);
    }
    conditions
}

/// One of a few words, with its place.
fn word<'a>(
    page: &mut Page<'a>,
    table: &Table<'_, 'a>,
    name: &'static str,
    words: &'static [&'static str],
    places: &mut Places,
) -> Option<&'static str> {
    let word = page.one_of(table, ("rebalance", name), words)?;
    places.insert(format!("rebalance.{name}"), word.byte);
    Some(word.value)
}

fn cooldowns<'a>(page: &mut Page<'a>, rebalance: &Table<'_, 'a>) -> Cooldowns {
    let Some(table) = page.table_inside(rebalance.value, "rebalance.cooldown") else { return Cooldowns::default() };
    let mut days = |name| page.whole(&table, ("rebalance.cooldown", name)).map(|days| days.value);
    Cooldowns { drift: days("drift"), portfolio: days("portfolio"), scheduled: days("scheduled") }
}

/// The bands of single weights. What is wrong with a row's symbol is said where the weights are read.
fn bands<'a>(page: &mut Page<'a>, root: &DeTable<'a>, places: &mut Places) -> BTreeMap<Symbol, Band> {
    let mut bands = BTreeMap::new();
    for row in page.tables(root, ("", "weights")) {
        let mut side = |name| {
            let percent = page.number(&row, ("weights", name))?;
            Some((Fraction::from_percent(percent.value), percent.byte))
        };
        let (both, below, above) = (side("band_percent"), side("band_below_percent"), side("band_above_percent"));
        let Some((_, byte)) = both.or(below).or(above) else { continue };
        if both.is_some() && (below.is_some() || above.is_some()) {
            let what = "`weights.band_percent` stands beside a band of one side";
            page.fault(byte, what, "keep band_percent, or band_below_percent and band_above_percent");
        }
        let distance = |side: Option<(Fraction, usize)>| side.or(both).map(|(distance, _)| distance);
        let band = Band { below: distance(below), above: distance(above) };
        let named = page.text(&row, ("weights", "symbol")).and_then(|said| Symbol::parse(&said.value).ok());
        if let Some(symbol) = named {
            places.insert(format!("band {symbol}"), byte);
            bands.insert(symbol, band);
        }
    }
    bands
}
