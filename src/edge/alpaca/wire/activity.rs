//! `GET /v2/account/activities` (facts 4.4): what moved the cash and the shares of an account.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::Deserialize;

use super::number::Exact;
use super::{Fault, if_it_fits, needed, parsed, read};
use crate::model::books::Activity;
use crate::model::ids::{OrderId, Symbol};
use crate::model::money::{Qty, Usd};
use crate::model::time::Moment;

/// Kinds whose `qty` is shares that moved. Elsewhere it only says for how many shares something was paid.
const MOVING: &[&str] = &[
    "ACATS", "EXTRD", "JNLS", "MA", "NC", "OPASN", "OPEXC", "OPTRD", "REORG", "SC", "SPIN", "SPLIT", "SSO", "SSP",
    "VOF",
];

/// Dividends that are paid in shares.
const PAID_IN_SHARES: &[&str] = &["SDIV", "SPD"];

#[derive(Debug, Deserialize)]
struct ActivityJson {
    id: Option<String>,
    activity_type: Option<String>,
    activity_sub_type: Option<String>,
    #[serde(default, deserialize_with = "if_it_fits")]
    status: Option<String>,
    net_amount: Option<Exact>,
    symbol: Option<String>,
    qty: Option<Exact>,
    price: Option<Exact>,
    side: Option<String>,
    order_id: Option<String>,
    #[serde(default, deserialize_with = "if_it_fits", rename = "type")]
    execution: Option<String>,
    #[serde(default, deserialize_with = "if_it_fits")]
    transaction_time: Option<String>,
    #[serde(default, deserialize_with = "if_it_fits")]
    created_at: Option<String>,
}

impl ActivityJson {
    fn activity(self) -> Result<Activity, Fault> {
        let id = super::plain(&needed(self.id.clone(), "id")?);
        if id.is_empty() || id.contains(' ') {
            return Err(Fault::new("id", "is none"));
        }
        let kind = super::plain(&needed(self.activity_type.clone(), "activity_type")?);
        let at = self.transaction_time.as_deref().or(self.created_at.as_deref());
        let at = at.and_then(|text| Moment::parse(text).ok());
        let row = if kind == "FILL" { self.fill(id, kind) } else { self.other(id, kind) };
        row.map(|row| Activity { at, ..row })
    }

    fn fill(self, id: String, kind: String) -> Result<Activity, Fault> {
        let symbol = parsed(&needed(self.symbol, "symbol")?, "symbol", Symbol::parse)?;
        let (shown, price) = (needed(self.qty, "qty")?.0, needed(self.price, "price")?.0);
        // How this list shows a trade that is busted or corrected is in no document; the stream calls it so (facts 5.1). A row
        // with such a name, or with shares below zero, is never an execution like any other.
        let execution = self.execution.as_deref().unwrap_or_default();
        let corrects = shown < Decimal::ZERO || matches!(execution, "trade_bust" | "trade_correct");
        let qty = if execution == "trade_bust" { -shown.abs() } else { shown };
        let worth = qty
            .checked_mul(price)
            .ok_or_else(|| Fault::new("qty", "times the price is beyond all numbers"))?
            .round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
        let (cash, shares) = match needed(self.side.as_deref(), "side")? {
            "buy" => (-worth, qty),
            "sell" | "sell_short" => (worth, -qty),
            other => return Err(Fault::new("side", format!("`{}` is neither buy nor sell", super::plain(other)))),
        };
        let order = self.order_id.map(|text| parsed(&text, "order_id", OrderId::parse)).transpose()?;
        let (cash, shares) = (Usd::new(cash), Some((symbol, Qty::new(shares))));
        Ok(Activity { id, kind, at: None, cash, shares, order, executed: Qty::new(qty), corrects })
    }

    fn other(self, id: String, kind: String) -> Result<Activity, Fault> {
        // What was taken back moved nothing; what that does to the sums, they show.
        let counts = self.status.as_deref() != Some("canceled");
        let cash = self.net_amount.filter(|_| counts).map_or(Decimal::ZERO, |amount| amount.0);
        let in_shares = self.activity_sub_type.as_deref().is_some_and(|sub| PAID_IN_SHARES.contains(&sub));
        let moves = counts && (MOVING.contains(&kind.as_str()) || in_shares);
        let shares = match (self.symbol, self.qty) {
            (Some(symbol), Some(qty)) if moves => Some((parsed(&symbol, "symbol", Symbol::parse)?, Qty::new(qty.0))),
            _ => None,
        };
        let cash = Usd::new(cash);
        Ok(Activity { id, kind, at: None, cash, shares, order: None, executed: Qty::ZERO, corrects: false })
    }
}

/// Reads one page of activities.
pub(in super::super) fn activities(body: &[u8]) -> Result<Vec<Activity>, Fault> {
    let rows: Vec<ActivityJson> = read(body)?;
    let numbered = rows.into_iter().enumerate();
    numbered.map(|(index, row)| row.activity().map_err(|fault| fault.under(&format!("[{index}]")))).collect()
}
