//! From a file's text to a strategy, or to everything that is wrong with it, each fault with its line and its mend.

mod schedule;
mod overrides;

use std::collections::BTreeMap;
use std::path::Path;

use rust_decimal::Decimal;
use toml::de::DeTable;

use super::fault::FileFault;
use super::keys;
use super::page::{Page, Placed, Table};
use crate::model::canon::strategy_version;
use crate::model::ids::{StrategyName, StrategyVersion, Symbol};
use crate::model::money::{Fraction, Usd};
use crate::model::strategy::{
    Conditions, Destination, Limits, NotAStrategy, OrderStyle, OrderType, Strategy, StrategyParts, Target, Unmanaged,
};

/// Where each thing that the model may complain of stands.
type Places = BTreeMap<String, usize>;

/// Reads a strategy.
pub(super) fn strategy(file: &Path, text: &str) -> Result<Strategy, Vec<FileFault>> {
    let mut page = Page::new(file, text);
    let parsed = page.parse().and_then(|root| {
        let (parts, mut places) = parts(&mut page, root.get_ref(), text)?;
        let allowance = overrides::allowance(&mut page, root.get_ref(), &mut places);
        Some((parts, allowance, places))
    });
    let Some((parts, allowance, places)) = parsed else { return Err(page.faults) };
    match Strategy::new(parts).and_then(|strategy| strategy.allowing(allowance)) {
        Ok(strategy) if page.faults.is_empty() => Ok(strategy),
        Ok(_) => Err(page.faults),
        Err(found) => {
            let unread_weights = places.contains_key("unread weights");
            for fault in found {
                if !(unread_weights && matches!(fault, NotAStrategy::Sum { .. } | NotAStrategy::Empty)) {
                    explain(&mut page, &fault, &places);
                }
            }
            Err(page.faults)
        }
    }
}

/// The parts of a strategy. What cannot be read is noted, and something harmless stands in for it, so that one look tells
/// every fault.
fn parts<'a>(page: &mut Page<'a>, root: &DeTable<'a>, text: &str) -> Option<(StrategyParts, Places)> {
    let mut places = Places::new();
    page.unknown_keys(root, "");
    let top = Placed { value: root, byte: 0 };
    let name = page.text(&top, ("", "name")).and_then(|said| match StrategyName::parse(&said.value) {
        Ok(name) => Some(name),
        Err(error) => {
            page.fault(said.byte, error.to_string(), "write letters, digits and dashes, such as \"sixty-forty\"");
            None
        }
    });
    let description = page.text(&top, ("", "description")).map(|said| said.value).unwrap_or_default();
    let when = schedule::when(page, root);
    let targets = targets(page, root, &mut places);
    let cash = page.table(root, "cash").and_then(|table| {
        let percent = page.number(&table, ("cash", "percent"))?;
        places.insert("cash".to_owned(), percent.byte);
        Some(Fraction::from_percent(percent.value))
    });
    let parts = StrategyParts {
        name: name.or_else(|| StrategyName::parse("unnamed").ok())?,
        version: version(text)?,
        description,
        when,
        targets,
        cash: cash.unwrap_or(Fraction::ZERO),
        conditions: conditions(page, root, &mut places),
        orders: orders(page, root, &mut places),
        limits: limits(page, root, &mut places),
    };
    Some((parts, places))
}

fn version(text: &str) -> Option<StrategyVersion> {
    strategy_version(text.as_bytes()).ok()
}

fn targets<'a>(page: &mut Page<'a>, root: &DeTable<'a>, places: &mut Places) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for row in page.tables(root, "weights") {
        let symbol = page.text(&row, ("weights", "symbol")).and_then(|said| symbol(page, &said));
        let percent = page.number(&row, ("weights", "percent"));
        let (Some(symbol), Some(percent)) = (symbol, percent) else {
            places.insert("unread weights".to_owned(), row.byte);
            continue;
        };
        places.entry("weights".to_owned()).or_insert(row.byte);
        let again = targets.iter().any(|target| target.symbol == symbol.value);
        let place = if again { format!("again {}", symbol.value) } else { symbol.value.to_string() };
        places.insert(place, if again { symbol.byte } else { percent.byte });
        targets.push(Target { symbol: symbol.value, weight: Fraction::from_percent(percent.value) });
    }
    targets
}

/// A ticker in Alpaca's spelling: capital letters and digits, with a class after a point (`BRK.B`).
fn symbol(page: &mut Page<'_>, said: &Placed<String>) -> Option<Placed<Symbol>> {
    let is_ticker = |text: &str| {
        let is_part =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        text.len() <= 12 && text.starts_with(|c: char| c.is_ascii_uppercase()) && text.split('.').all(is_part)
    };
    if is_ticker(&said.value)
        && let Ok(symbol) = Symbol::parse(&said.value)
    {
        return Some(Placed { value: symbol, byte: said.byte });
    }
    let tidy = said.value.trim().to_uppercase().replace(['-', ' ', '/'], ".");
    let mend = if said.value.contains('/') {
        "write the ticker of a US stock or fund; pairs such as BTC/USD are not traded".to_owned()
    } else if is_ticker(&tidy) {
        format!("write `{tidy}`")
    } else {
        "write a ticker in Alpaca's spelling, such as SPY or BRK.B".to_owned()
    };
    let shown: String = said.value.chars().filter(|c| !c.is_control()).take(40).collect();
    page.fault(said.byte, format!("`{shown}` is no symbol"), mend);
    None
}

fn conditions<'a>(page: &mut Page<'a>, root: &DeTable<'a>, places: &mut Places) -> Conditions {
    let mut conditions = Conditions {
        drift_absolute: None,
        drift_relative: None,
        destination: Destination::Target,
        cooldown_days: 0,
        invest_cash: true,
        unmanaged: Unmanaged::Ignore,
    };
    let Some(table) = page.table(root, "rebalance") else { return conditions };
    conditions.drift_absolute = fraction(page, &table, ("rebalance", "drift_absolute_percent"), places);
    conditions.drift_relative = fraction(page, &table, ("rebalance", "drift_relative_percent"), places);
    conditions.destination =
        match page.one_of(&table, ("rebalance", "destination"), keys::DESTINATION).map(|word| word.value) {
            Some("band_edge") => Destination::BandEdge,
            Some("halfway") => Destination::Halfway,
            _ => Destination::Target,
        };
    conditions.unmanaged = match page.one_of(&table, ("rebalance", "unmanaged"), keys::UNMANAGED).map(|word| word.value)
    {
        Some("sell") => Unmanaged::Sell,
        Some("block") => Unmanaged::Block,
        _ => Unmanaged::Ignore,
    };
    conditions.cooldown_days = page.whole(&table, ("rebalance", "cooldown_days")).map_or(0, |days| days.value);
    conditions.invest_cash = page.flag(&table, ("rebalance", "invest_cash")).is_none_or(|flag| flag.value);
    if conditions.destination == Destination::BandEdge
        && conditions.drift_absolute.is_none()
        && conditions.drift_relative.is_none()
    {
        let mend = "set drift_absolute_percent or drift_relative_percent, or use destination = \"target\"";
        page.fault(table.byte, "destination is `band_edge`, but there is no band", mend);
    }
    conditions
}

fn orders<'a>(page: &mut Page<'a>, root: &DeTable<'a>, places: &mut Places) -> OrderStyle {
    let mut style = OrderStyle { kind: OrderType::Market, min_notional: Usd::new(Decimal::ONE) };
    let Some(table) = page.table(root, "orders") else { return style };
    let kind = page.one_of(&table, ("orders", "type"), keys::ORDER_TYPE);
    style.kind = if kind.is_some_and(|word| word.value == "limit") { OrderType::Limit } else { OrderType::Market };
    if let Some(least) = number(page, &table, ("orders", "min_notional"), places) {
        style.min_notional = Usd::new(least);
    }
    style
}

fn limits<'a>(page: &mut Page<'a>, root: &DeTable<'a>, places: &mut Places) -> Limits {
    let Some(table) = page.table(root, "limits") else {
        return Limits { max_order_notional: None, max_turnover: None };
    };
    Limits {
        max_order_notional: number(page, &table, ("limits", "max_order_notional"), places).map(Usd::new),
        max_turnover: fraction(page, &table, ("limits", "max_turnover_percent"), places),
    }
}

fn number<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>, path: (&str, &str), places: &mut Places) -> Option<Decimal> {
    let number = page.number(table, path)?;
    places.insert(format!("{}.{}", path.0, path.1), number.byte);
    Some(number.value)
}

fn fraction<'a>(
    page: &mut Page<'a>,
    table: &Table<'_, 'a>,
    path: (&str, &str),
    places: &mut Places,
) -> Option<Fraction> {
    number(page, table, path, places).map(Fraction::from_percent)
}

/// Says where a fault stands that only shows when the parts are put together.
fn explain(page: &mut Page<'_>, fault: &NotAStrategy, places: &Places) {
    let place = |name: &str| places.get(name).copied();
    let whole = fault.to_string();
    let (what, mend) = whole.split_once(": ").unwrap_or((&whole, "see `rebalanced schema`"));
    let byte = match fault {
        NotAStrategy::Empty => None,
        NotAStrategy::Sum { .. } => place("cash").or_else(|| place("weights")),
        NotAStrategy::Weight { symbol, .. } => place(symbol.as_str()),
        NotAStrategy::Twice { symbol } => place(&format!("again {symbol}")),
        NotAStrategy::Cash { .. } => place("cash"),
        NotAStrategy::Range { field, .. } => place(field),
        NotAStrategy::Overrides { field, .. } => place(field),
    };
    page.fault(byte.unwrap_or(0), what, mend);
}
