//! The dry run's snapshot file: Alpaca's own JSON, pasted together.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::wire::{self, RawAccount, RawAsset, RawOrder, RawPosition, RawQuote, RawQuotes};
use crate::model::ids::Symbol;
use crate::model::snapshot::{AssetView, OpenOrder, Snapshot};
use crate::model::time::Moment;

/// What is wrong with a snapshot file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}; {mend}")]
pub struct SnapshotFault {
    /// Where: a line, or a path in the JSON.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What would mend it.
    pub mend: String,
}

const KEYS: &[&str] = &["as_of", "account", "positions", "open_orders", "assets", "quotes", "last_rebalanced_at"];

/// Reads a snapshot: `{"as_of", "account", "positions", "open_orders", "assets", "quotes", "last_rebalanced_at"}`. The
/// last but two and the last may be absent: then nothing is open, everything is tradable and fractionable, and the account
/// was never rebalanced.
///
/// # Errors
/// The first fault, with its place and its mend.
pub fn snapshot_from_json(text: &str) -> Result<Snapshot, SnapshotFault> {
    let whole: Value = serde_json::from_str(text).map_err(|error| {
        fault(&format!("line {}", error.line()), &error.to_string(), "a snapshot is one JSON object")
    })?;
    let Value::Object(mut parts) = whole else {
        return Err(fault("the file", "it is no JSON object", "a snapshot is one JSON object"));
    };
    if let Some(unknown) = parts.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let nearest =
            KEYS.iter().max_by(|a, b| strsim::jaro_winkler(unknown, a).total_cmp(&strsim::jaro_winkler(unknown, b)));
        let mend = format!("the nearest key that exists is `{}`", nearest.copied().unwrap_or_default());
        return Err(fault(unknown, "no snapshot has such a key", &mend));
    }
    let as_of = moment(&mut parts, "as_of")?.ok_or_else(|| {
        fault("as_of", "it is missing", "give the time of the snapshot, such as 2026-11-23T20:45:00Z")
    })?;
    let account: RawAccount = required(&mut parts, "account", "paste the answer of GET /v2/account")?;
    let positions: Vec<RawPosition> =
        required(&mut parts, "positions", "paste the answer of GET /v2/positions, or []")?;
    let quotes: Value = required(&mut parts, "quotes", "paste the answer of GET /v2/stocks/quotes/latest")?;
    let orders: Vec<RawOrder> = optional(&mut parts, "open_orders")?.unwrap_or_default();
    let assets: Option<Vec<RawAsset>> = optional(&mut parts, "assets")?;
    let last_rebalanced_at = moment(&mut parts, "last_rebalanced_at")?;
    let place = |path: &'static str| {
        move |error: wire::Nonsense| fault(path, &error.to_string(), "paste Alpaca's answer as it came")
    };
    let account = account.view().map_err(place("account"))?;
    let holdings = wire::holdings(positions).map_err(place("positions"))?;
    let quotes = wire::quotes(quote_rows(quotes)?).map_err(place("quotes"))?;
    let open_orders: Vec<OpenOrder> =
        orders.into_iter().map(RawOrder::open).collect::<Result<_, _>>().map_err(place("open_orders"))?;
    let assets = asset_views(assets, quotes.keys().chain(holdings.keys()))?;
    Ok(Snapshot { as_of, account, holdings, open_orders, assets, quotes, last_rebalanced_at })
}

fn fault(path: &str, what: &str, mend: &str) -> SnapshotFault {
    SnapshotFault { path: path.to_owned(), what: what.to_owned(), mend: mend.to_owned() }
}

fn optional<T: DeserializeOwned>(
    parts: &mut Map<String, Value>,
    key: &'static str,
) -> Result<Option<T>, SnapshotFault> {
    match parts.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value)
            .map(Some)
            .map_err(|error| fault(key, &error.to_string(), "paste Alpaca's answer as it came")),
    }
}

fn required<T: DeserializeOwned>(
    parts: &mut Map<String, Value>,
    key: &'static str,
    mend: &str,
) -> Result<T, SnapshotFault> {
    optional(parts, key)?.ok_or_else(|| fault(key, "it is missing", mend))
}

fn moment(parts: &mut Map<String, Value>, key: &'static str) -> Result<Option<Moment>, SnapshotFault> {
    let text: Option<String> = optional(parts, key)?;
    text.map(|text| Moment::parse(&text))
        .transpose()
        .map_err(|error| fault(key, &error.to_string(), "write it with its zone"))
}

/// The answer itself (`{"quotes": {...}}`), or the map inside it.
fn quote_rows(value: Value) -> Result<BTreeMap<String, RawQuote>, SnapshotFault> {
    let unreadable = |error: serde_json::Error| fault("quotes", &error.to_string(), "paste Alpaca's answer as it came");
    if value.get("quotes").is_some_and(Value::is_object) {
        return Ok(RawQuotes::deserialize(value).map_err(unreadable)?.quotes.unwrap_or_default());
    }
    BTreeMap::deserialize(value).map_err(unreadable)
}

fn asset_views<'a>(
    assets: Option<Vec<RawAsset>>,
    seen: impl Iterator<Item = &'a Symbol>,
) -> Result<BTreeMap<Symbol, AssetView>, SnapshotFault> {
    // What the file does not speak of is tradable and fractionable, as documented.
    let usual = AssetView { tradable: true, fractionable: true };
    let mut views: BTreeMap<Symbol, AssetView> = seen.map(|symbol| (symbol.clone(), usual)).collect();
    for asset in assets.unwrap_or_default() {
        let symbol = Symbol::parse(&asset.symbol)
            .map_err(|error| fault("assets", &error.to_string(), "paste the answers of GET /v2/assets/{symbol}"))?;
        views.insert(symbol, asset.view());
    }
    Ok(views)
}
