//! From a file's text to a strategy, or to everything that is wrong with it, each fault with its line and its mend.

mod conditions;
mod glide;
mod schedule;
mod model;
mod overrides;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rust_decimal::Decimal;
use toml::de::DeTable;

use super::fault::FileFault;
use super::keys;
use super::page::{Page, Placed, Table};
use super::ticker::{Ticker, ticker};
use crate::model::canon::strategy_version;
use crate::model::composition::Composition;
use crate::model::ids::{StrategyName, Symbol};
use crate::model::money::{Fraction, Usd};
use crate::model::personal::Allowance;
use crate::model::strategy::{
    Limits, NotAStrategy, OnUnfilled, OrderStyle, OrderType, Strategy, StrategyParts, Target,
};

/// Where each thing that the model may complain of stands.
type Places = BTreeMap<String, usize>;

pub(super) use model::SleeveLine;

/// One file, read by itself: no other strategy has been looked at.
#[derive(Debug)]
pub(super) struct Draft {
    /// The file.
    pub(super) file: PathBuf,
    /// Its text.
    pub(super) text: String,
    /// Its text as it is kept: with the list that belongs to it, whose hash is the version.
    pub(super) kept: String,
    /// What it says.
    pub(super) is: Drafted,
    allowance: Allowance,
    places: Places,
}

/// What a file says by itself.
#[derive(Debug)]
pub(super) enum Drafted {
    /// A whole strategy.
    Whole(Box<Strategy>),
    /// Everything but what the strategies hold that it names.
    Sleeves(Box<StrategyParts>, Vec<SleeveLine>),
}

impl Draft {
    /// Its name.
    pub(super) fn name(&self) -> &StrategyName {
        match &self.is {
            Drafted::Whole(strategy) => strategy.name(),
            Drafted::Sleeves(parts, _) => &parts.name,
        }
    }

    /// The strategy, now that it is known what it holds.
    pub(super) fn finished(&self, parts: StrategyParts, composition: Composition) -> Result<Strategy, Vec<FileFault>> {
        let mut page = Page::new(&self.file, &self.text);
        let whole = (parts, composition, self.allowance.clone());
        checked(&mut page, whole, &self.places).ok_or(page.faults)
    }
}

/// Reads a file.
pub(super) fn draft(file: &Path, text: &str) -> Result<Draft, Vec<FileFault>> {
    let mut page = Page::new(file, text);
    let mut places = Places::new();
    let Some(root) = page.parse() else { return Err(page.faults) };
    let root = root.get_ref();
    let parts = parts(&mut page, root, &mut places);
    let cash = parts.as_ref().map_or(Fraction::ZERO, |parts| parts.cash);
    let holdings = model::holdings(&mut page, root, cash, &mut places);
    let allowance = overrides::allowance(&mut page, root, &mut places);
    let (Some(mut parts), Some((holdings, list))) = (parts, holdings) else { return Err(page.faults) };
    let kept = list.map_or_else(|| text.to_owned(), |list| with_list(text, &list));
    match strategy_version(kept.as_bytes()) {
        Ok(version) => parts.version = version,
        Err(error) => page.fault(0, error.to_string(), "give another file"),
    }
    let is = match holdings {
        model::Holdings::Known(composition) => checked(&mut page, (parts, composition, allowance.clone()), &places)
            .map(|strategy| Drafted::Whole(Box::new(strategy))),
        model::Holdings::Sleeves(lines) => Some(Drafted::Sleeves(Box::new(parts), lines)),
    };
    match is {
        Some(is) if page.faults.is_empty() => {
            Ok(Draft { file: file.to_owned(), text: text.to_owned(), kept, is, allowance, places })
        }
        _ => Err(page.faults),
    }
}

/// A file's text with the list beside it, as comments: still the same file to whoever reads it.
fn with_list(text: &str, list: &str) -> String {
    let mut kept = format!("{text}\n# the list beside it:");
    for line in list.split('\n') {
        kept.push_str("\n# ");
        kept.push_str(line);
    }
    kept
}

/// Puts the parts together; what does not fit is noted with its place.
fn checked(
    page: &mut Page<'_>,
    (parts, composition, allowance): (StrategyParts, Composition, Allowance),
    places: &Places,
) -> Option<Strategy> {
    let found = match Strategy::composed(parts, composition).and_then(|strategy| strategy.allowing(allowance)) {
        Ok(strategy) => return Some(strategy),
        Err(found) => found,
    };
    let unread_weights = places.contains_key("unread weights");
    for fault in found {
        if !(unread_weights && matches!(fault, NotAStrategy::Sum { .. } | NotAStrategy::Empty)) {
            explain(page, &fault, places);
        }
    }
    None
}

/// The parts of a strategy. What cannot be read is noted, and something harmless stands in for it, so that one look tells
/// every fault.
fn parts<'a>(page: &mut Page<'a>, root: &DeTable<'a>, places: &mut Places) -> Option<StrategyParts> {
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
    let cash = page.table(root, "cash").and_then(|table| {
        let percent = page.number(&table, ("cash", "percent"))?;
        places.insert("cash".to_owned(), percent.byte);
        Some(Fraction::from_percent(percent.value))
    });
    Some(StrategyParts {
        name: name.or_else(|| StrategyName::parse("unnamed").ok())?,
        // Of nothing yet: what belongs to the version is not read to its end.
        version: strategy_version(&[]).ok()?,
        description,
        when,
        targets: Vec::new(),
        cash: cash.unwrap_or(Fraction::ZERO),
        conditions: conditions::conditions(page, root, places),
        orders: orders(page, root, places),
        limits: limits(page, root, places),
    })
}

fn targets<'a>(page: &mut Page<'a>, root: &DeTable<'a>, places: &mut Places) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for row in page.tables(root, ("", "weights")) {
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

/// A ticker, or a fault.
fn symbol(page: &mut Page<'_>, said: &Placed<String>) -> Option<Placed<Symbol>> {
    match ticker(&said.value) {
        Ticker::Right(symbol) => Some(Placed { value: symbol, byte: said.byte }),
        Ticker::Wrong { what, mend } => {
            page.fault(said.byte, what, mend);
            None
        }
    }
}

fn orders<'a>(page: &mut Page<'a>, root: &DeTable<'a>, places: &mut Places) -> OrderStyle {
    let mut style = OrderStyle::default();
    let Some(table) = page.table(root, "orders") else { return style };
    let kind = page.one_of(&table, ("orders", "type"), keys::ORDER_TYPE);
    style.kind = kind.and_then(|word| OrderType::parse(word.value)).unwrap_or(style.kind);
    if let Some(least) = number(page, &table, ("orders", "min_notional"), places) {
        style.min_notional = Usd::new(least);
    }
    if let Some(collar) = fraction(page, &table, ("orders", "collar_percent"), places) {
        style.collar = collar;
    }
    let times = page.whole(&table, ("orders", "reprice_times"));
    let left = page.one_of(&table, ("orders", "on_unfilled"), keys::ON_UNFILLED);
    style.reprice_times = times.as_ref().map_or(0, |times| times.value);
    style.on_unfilled = left.as_ref().and_then(|word| OnUnfilled::parse(word.value)).unwrap_or_default();
    let first = [times.map(|it| it.byte), left.map(|it| it.byte), places.get("orders.collar_percent").copied()];
    if let Some(byte) = first.into_iter().flatten().min()
        && style.kind == OrderType::Market
    {
        let what = "`collar_percent`, `reprice_times` and `on_unfilled` are about limit orders";
        page.fault(byte, what, "add type = \"limit\", or remove the line");
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
        NotAStrategy::Band { symbol, .. } => place(&format!("band {symbol}")),
        NotAStrategy::Clash { field, .. } | NotAStrategy::Range { field, .. } => place(field),
        NotAStrategy::Overrides { field, .. } => place(field),
    };
    page.fault(byte.unwrap_or(0), what, mend);
}
