//! A snapshot from a file, for the dry run: made of Alpaca's own JSON, so that a real response can be pasted in.
//!
//! `as_of`, `account`, `positions` and `quotes` are needed. `open_orders`, `assets` and `last_rebalanced_at` may be absent:
//! then there are none, everything is tradable and fractionable, and it never was. `bars`, the answer of the bars endpoint, is
//! read apart ([`closes_from_json`]): only some strategies ask for it, and no account does.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::account::{AccountJson, AssetJson, PositionJson, holdings};
use super::order::OrderJson;
use super::{Fault, market, needed, parsed, read};
use crate::model::closes::Closes;
use crate::model::ids::Symbol;
use crate::model::snapshot::{AssetView, OpenOrder, Quote, Snapshot};
use crate::model::time::Moment;

/// The keys of a snapshot.
const KEYS: &[&str] =
    &["as_of", "account", "positions", "open_orders", "assets", "quotes", "last_rebalanced_at", "bars"];

/// How alike an unknown key must be to a known one to be taken for a slip of the pen.
const ALIKE: f64 = 0.85;

/// What is wrong with a snapshot file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}; {mend}")]
pub struct SnapshotFault {
    /// Where, such as `positions[3].qty`.
    pub path: String,
    /// What is wrong there.
    pub what: String,
    /// What would mend it.
    pub mend: String,
}

#[derive(Deserialize)]
struct SnapshotJson {
    as_of: Option<String>,
    account: Option<AccountJson>,
    positions: Option<Vec<PositionJson>>,
    open_orders: Option<Vec<OrderJson>>,
    assets: Option<Vec<AssetJson>>,
    quotes: Option<Map<String, Value>>,
    last_rebalanced_at: Option<String>,
}

/// Reads a snapshot.
///
/// # Errors
/// The first fault, with its place and its mend.
pub fn snapshot_from_json(text: &str) -> Result<Snapshot, SnapshotFault> {
    let json: SnapshotJson = read(text.as_bytes()).map_err(with_mend)?;
    slip_of_the_pen(text)?;
    assemble(json).map_err(with_mend)
}

#[derive(Deserialize)]
struct HistoryJson {
    bars: Option<Map<String, Value>>,
}

/// Reads the daily bars of a snapshot: the answer of `GET /v2/stocks/bars` as it came, or only the map inside it. None, when
/// the file has none.
///
/// # Errors
/// The first fault, with its place and its mend.
pub fn closes_from_json(text: &str) -> Result<Closes, SnapshotFault> {
    let json: HistoryJson = read(text.as_bytes()).map_err(with_mend)?;
    let rows = json.bars.unwrap_or_default();
    let (rows, path) = match rows.get("bars") {
        Some(Value::Object(inside)) => (inside, "bars.bars"),
        _ => (&rows, "bars"),
    };
    let zone = super::super::exchange_zone().map_err(|error| with_mend(Fault::new("bars", error.to_string())))?;
    let closes = rows.iter().map(|(symbol, bars)| market::closes_of(symbol, bars, &zone));
    let closes = closes.collect::<Result<Vec<_>, _>>().map_err(|fault| with_mend(fault.under(path)))?;
    Ok(Closes::new(closes))
}

fn assemble(json: SnapshotJson) -> Result<Snapshot, Fault> {
    let as_of = parsed(&needed(json.as_of, "as_of")?, "as_of", Moment::parse)?;
    let mut account = needed(json.account, "account")?;
    // A file written by hand need not invent an id or a status; the daemon insists on both.
    account.id.get_or_insert_with(|| "snapshot".to_owned());
    account.status.get_or_insert_with(|| "ACTIVE".to_owned());
    let account = account.view().map_err(|fault| fault.under("account"))?;
    let holdings = holdings(needed(json.positions, "positions")?).map_err(|fault| fault.under("positions"))?;
    let quotes = quotes(&needed(json.quotes, "quotes")?)?;
    let mut open_orders = Vec::new();
    for (index, order) in json.open_orders.unwrap_or_default().iter().enumerate() {
        open_orders.extend(order.open().map_err(|fault| fault.under(&format!("open_orders[{index}]")))?);
    }
    let named = holdings.keys().chain(quotes.keys()).chain(open_orders.iter().map(|order: &OpenOrder| &order.symbol));
    let free = AssetView { tradable: true, fractionable: true };
    let mut assets: BTreeMap<Symbol, AssetView> = named.map(|symbol| (symbol.clone(), free)).collect();
    for (index, asset) in json.assets.unwrap_or_default().iter().enumerate() {
        let symbol = asset.symbol().map_err(|fault| fault.under(&format!("assets[{index}]")))?;
        assets.insert(symbol, asset.view());
    }
    let last = json.last_rebalanced_at.map(|text| parsed(&text, "last_rebalanced_at", Moment::parse)).transpose()?;
    Ok(Snapshot { as_of, account, holdings, open_orders, assets, quotes, last_rebalanced_at: last })
}

/// The answer of the quotes endpoint as it came, or only the map inside it.
fn quotes(rows: &Map<String, Value>) -> Result<BTreeMap<Symbol, Quote>, Fault> {
    let (rows, path) = match rows.get("quotes") {
        Some(Value::Object(inside)) => (inside, "quotes.quotes"),
        _ => (rows, "quotes"),
    };
    rows.iter().map(|(symbol, row)| market::quote(symbol, row).map_err(|fault| fault.under(path))).collect()
}

/// A key that is nearly one of ours would be left out silently, and the plan would be another one.
fn slip_of_the_pen(text: &str) -> Result<(), SnapshotFault> {
    let keys: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    for key in keys.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        if let Some(meant) = KEYS.iter().find(|known| strsim::jaro_winkler(key, known) >= ALIKE) {
            let (path, what) = (super::plain(key), "is no key of a snapshot".to_owned());
            return Err(SnapshotFault { path, what, mend: format!("the nearest key is `{meant}`") });
        }
    }
    Ok(())
}

fn with_mend(fault: Fault) -> SnapshotFault {
    let top = fault.path.split(['.', '[']).next().unwrap_or_default();
    let mend = match top {
        "as_of" | "last_rebalanced_at" => "give a time such as \"2026-11-23T20:45:00Z\"",
        "account" => "paste the answer of GET /v2/account; decimals are strings such as \"1000.50\"",
        "positions" => "paste the answer of GET /v2/positions, or [] for none; decimals are strings such as \"12.5\"",
        "open_orders" => "paste the answer of GET /v2/orders, or leave it out",
        "assets" => "give a list of answers of GET /v2/assets/{symbol}, or leave it out",
        "bars" => "paste the answer of GET /v2/stocks/bars with timeframe=1Day, or leave it out",
        "quotes" => "paste the answer of GET /v2/stocks/quotes/latest",
        _ => "a snapshot is a JSON object with as_of, account, positions and quotes",
    };
    let path = if fault.path == super::WHOLE { "the file".to_owned() } else { fault.path };
    SnapshotFault { path, what: fault.what, mend: mend.to_owned() }
}
