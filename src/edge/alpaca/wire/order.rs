//! Orders, there and back (facts 3.1, 3.4).

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::number::Exact;
use super::{Fault, if_it_fits, needed, parsed, plain, read};
use crate::model::ids::{ClientOrderId, OrderId, Symbol};
use crate::model::intent::Intent;
use crate::model::money::{Price, Qty, Usd};
use crate::model::plan::{Amount, Pricing, Side};
use crate::model::report::{OrderReport, OrderStatus};
use crate::model::snapshot::OpenOrder;
use crate::model::time::Moment;
use crate::model::zoo::{Bug, planted};

/// How every client order id of ours begins. An order of ours that cannot be read is a fault; a stranger's is skipped.
const OURS: &str = "rb1-";

/// An order as Alpaca describes it.
#[derive(Debug, Deserialize)]
pub(in super::super) struct OrderJson {
    id: Option<String>,
    client_order_id: Option<String>,
    symbol: Option<String>,
    side: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    order_type: Option<String>,
    time_in_force: Option<String>,
    qty: Option<Exact>,
    notional: Option<Exact>,
    limit_price: Option<Exact>,
    filled_qty: Option<Exact>,
    filled_avg_price: Option<Exact>,
    status: Option<String>,
    submitted_at: Option<String>,
    created_at: Option<String>,
    #[serde(default, deserialize_with = "if_it_fits")]
    legs: Option<Vec<OrderJson>>,
}

impl OrderJson {
    /// Whether it was sent by us.
    pub(in super::super) fn is_ours(&self) -> bool {
        self.client_order_id.as_deref().is_some_and(|id| id.starts_with(OURS))
    }

    /// The broker's id, as it came.
    pub(in super::super) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// When the broker took it.
    pub(in super::super) fn submitted_at(&self) -> Option<Moment> {
        let text = self.submitted_at.as_deref().or(self.created_at.as_deref())?;
        Moment::parse(text).ok()
    }

    /// The order as the broker's report.
    pub(in super::super) fn report(&self) -> Result<OrderReport, Fault> {
        let text = |value: &Option<String>, field| needed(value.clone(), field);
        let side = text(&self.side, "side")?;
        let kind = self.kind.as_ref().or(self.order_type.as_ref()).cloned();
        Ok(OrderReport {
            id: parsed(&text(&self.id, "id")?, "id", OrderId::parse)?,
            client_order_id: parsed(
                &text(&self.client_order_id, "client_order_id")?,
                "client_order_id",
                ClientOrderId::parse,
            )?,
            symbol: parsed(&text(&self.symbol, "symbol")?, "symbol", Symbol::parse)?,
            side: Side::parse(&side).ok_or_else(|| Fault::new("side", format!("`{}` is no side", plain(&side))))?,
            kind: plain(&needed(kind, "type")?),
            time_in_force: plain(&text(&self.time_in_force, "time_in_force")?),
            qty: self.qty.map(|qty| Qty::new(qty.0)),
            notional: self.notional.map(|notional| Usd::new(notional.0)),
            limit_price: self.limit_price.map(|price| Price::new(price.0)),
            filled_qty: Qty::new(needed(self.filled_qty, "filled_qty")?.0),
            filled_avg_price: self.filled_avg_price.map(|price| Price::new(price.0)),
            status: OrderStatus::parse(&plain(&text(&self.status, "status")?)),
            submitted_at: self.submitted_at(),
        })
    }

    /// The order as something that may still trade: one for each symbol that it touches.
    pub(in super::super) fn open(&self) -> Result<Vec<OpenOrder>, Fault> {
        match (&self.symbol, &self.legs) {
            // An order over several contracts has its symbols in its legs only.
            (None, Some(legs)) if !legs.is_empty() => {
                let mut all = Vec::new();
                for (index, leg) in legs.iter().enumerate() {
                    all.extend(leg.open().map_err(|fault| fault.under(&format!("legs[{index}]")))?);
                }
                Ok(all)
            }
            _ => self.open_one().map(|order| vec![order]),
        }
    }

    fn open_one(&self) -> Result<OpenOrder, Fault> {
        let filled = self.filled_qty.map_or(Decimal::ZERO, |filled| filled.0);
        let remaining = self.qty.map(|qty| (qty.0 - filled).max(Decimal::ZERO));
        let side = self.side.as_deref().and_then(Side::parse);
        let id = needed(self.id.as_deref(), "id")?;
        Ok(OpenOrder {
            id: parsed(id, "id", OrderId::parse)?,
            client_order_id: foreign_id(self.client_order_id.as_deref(), id)?,
            symbol: parsed(needed(self.symbol.as_deref(), "symbol")?, "symbol", Symbol::parse)?,
            reserves: match side {
                Some(Side::Sell) => Some(Usd::ZERO),
                Some(Side::Buy) => self.reserves(filled, remaining).map(Usd::new),
                None => None,
            },
            // A side that nobody has heard of may take cash; that is the careful reading.
            side: side.unwrap_or(Side::Buy),
            remaining: remaining.map(Qty::new),
        })
    }

    /// What an open buy may still cost (facts 3.9); `None` where the market decides.
    fn reserves(&self, filled: Decimal, remaining: Option<Decimal>) -> Option<Decimal> {
        if let Some(notional) = self.notional {
            let spent = self.filled_avg_price.map_or(Decimal::ZERO, |price| price.0.saturating_mul(filled));
            return Some((notional.0 - spent).max(Decimal::ZERO));
        }
        Some(self.limit_price?.0.saturating_mul(remaining?))
    }
}

/// A client order id that others may have chosen with characters that ours never have.
fn foreign_id(text: Option<&str>, fallback: &str) -> Result<ClientOrderId, Fault> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or(fallback);
    let tame = |c: char| if c.is_ascii_graphic() && !"\"'\\`".contains(c) { c } else { '_' };
    let text: String = text.chars().map(tame).take(128).collect();
    parsed(&text, "client_order_id", ClientOrderId::parse)
}

/// Reads one order.
pub(in super::super) fn order(body: &[u8]) -> Result<OrderReport, Fault> {
    read::<OrderJson>(body)?.report()
}

/// A page of orders: how many it had, and those that can be read.
pub(in super::super) struct Page {
    pub(in super::super) rows: usize,
    pub(in super::super) orders: Vec<OrderJson>,
}

/// Reads a page of orders. With `skip_strangers` an order of the user's own that cannot be read is left out: it must not
/// hide ours. An order of ours that cannot be read is always a fault.
pub(in super::super) fn orders(body: &[u8], skip_strangers: bool) -> Result<Page, Fault> {
    let rows: Vec<Value> = read(body)?;
    let mut page = Page { rows: rows.len(), orders: Vec::with_capacity(rows.len()) };
    for (index, row) in rows.iter().enumerate() {
        let id = row.get("client_order_id").and_then(Value::as_str).unwrap_or_default();
        match serde_path_to_error::deserialize::<_, OrderJson>(row) {
            Ok(order) => page.orders.push(order),
            Err(_) if skip_strangers && !id.starts_with(OURS) => {}
            Err(error) => {
                let path = format!("[{index}].{}", error.path());
                return Err(Fault::new(path, plain(&error.inner().to_string())));
            }
        }
    }
    Ok(page)
}

/// The body of `POST /v2/orders`: strings only, exactly one of quantity and value, always for the day.
pub(in super::super) fn new_order(intent: &Intent) -> String {
    let mut body = Map::new();
    let mut put = |name: &str, text: String| body.insert(name.to_owned(), Value::String(text));
    put("symbol", intent.symbol.to_string());
    match intent.amount {
        Amount::Qty(qty) => put("qty", qty.to_string()),
        Amount::Notional(notional) if planted(Bug::DollarsAsShares) => put("qty", notional.to_string()),
        Amount::Notional(notional) => put("notional", notional.to_string()),
    };
    let swapped = planted(Bug::SidesSwapped) && intent.phase.side() == Side::Buy;
    put("side", if swapped { "sell" } else { intent.phase.side().code() }.to_owned());
    match intent.pricing {
        Pricing::Market => put("type", "market".to_owned()),
        Pricing::Limit(price) => {
            put("type", "limit".to_owned());
            put("limit_price", price.to_string())
        }
    };
    put("time_in_force", if planted(Bug::GoodTillCancelled) { "gtc" } else { "day" }.to_owned());
    put("client_order_id", intent.client_order_id.to_string());
    Value::Object(body).to_string()
}
