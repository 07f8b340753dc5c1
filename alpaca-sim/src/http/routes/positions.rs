//! `/v2/positions` (facts 4.1).
//!
//! Always: fractions of one are fractions, not percents; closing needs what placing an order needs.

use axum::http::{Method, StatusCode};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;

use crate::exchange::CloseAmount;
use crate::exchange::position::PositionView;
use crate::http::reply::{Refusal, Reply};
use crate::http::routes::{Answer, Call, parsed};
use crate::http::wire::{OrderShape, Text, decimal};
use crate::http::world::World;

#[derive(Serialize)]
struct PositionShape<'a> {
    asset_id: &'a str,
    symbol: &'a str,
    exchange: &'static str,
    asset_class: &'static str,
    asset_marginable: bool,
    qty: Text,
    avg_entry_price: Text,
    side: &'static str,
    market_value: Text,
    cost_basis: Text,
    unrealized_pl: Text,
    unrealized_plpc: Text,
    unrealized_intraday_pl: Text,
    unrealized_intraday_plpc: Text,
    current_price: Text,
    lastday_price: Text,
    change_today: Text,
    qty_available: Text,
}

impl<'a> From<&'a PositionView> for PositionShape<'a> {
    fn from(view: &'a PositionView) -> Self {
        Self {
            asset_id: &view.asset_id,
            symbol: &view.symbol,
            exchange: view.exchange,
            asset_class: "us_equity",
            asset_marginable: view.asset_marginable,
            qty: Text(view.qty),
            avg_entry_price: Text(view.avg_entry_price),
            side: if view.long { "long" } else { "short" },
            market_value: Text(view.market_value),
            cost_basis: Text(view.cost_basis),
            unrealized_pl: Text(view.unrealized_pl),
            unrealized_plpc: Text(view.unrealized_plpc),
            unrealized_intraday_pl: Text(view.unrealized_intraday_pl),
            unrealized_intraday_plpc: Text(view.unrealized_intraday_plpc),
            current_price: Text(view.current_price),
            lastday_price: Text(view.lastday_price),
            change_today: Text(view.change_today),
            qty_available: Text(view.qty_available),
        }
    }
}

/// `GET` and `DELETE /v2/positions`.
pub(super) fn all(world: &mut World, call: &Call<'_>) -> Answer {
    match call.inbound.method {
        Method::GET => {
            let positions = world.exchange.positions(world.now, call.account())?;
            Ok(Reply::json(&positions.iter().map(PositionShape::from).collect::<Vec<_>>()))
        }
        Method::DELETE => {
            call.may_trade()?;
            let query = call.inbound.query();
            let cancel = parsed(query.get("cancel_orders"), "cancel_orders", truth)?.unwrap_or(false);
            let outcomes = world.exchange.close_all_positions(world.now, call.account(), cancel)?;
            let rows: Vec<_> = outcomes
                .into_iter()
                .map(|outcome| match outcome.result {
                    Ok(order) => json!({"symbol": outcome.symbol, "status": 200, "body": OrderShape::from(&order)}),
                    Err(refusal) => {
                        let refusal = Refusal::from(refusal);
                        let status = refusal.status.as_u16();
                        json!({"symbol": outcome.symbol, "status": status, "body": refusal.envelope()})
                    }
                })
                .collect();
            Ok(Reply::json_with(StatusCode::MULTI_STATUS, &rows))
        }
        _ => Err(Reply::method_not_allowed()),
    }
}

/// A truth value as Go and Python clients write it.
fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "1" => Some(true),
        "false" | "False" | "0" => Some(false),
        _ => None,
    }
}

/// `GET` and `DELETE /v2/positions/{symbol_or_asset_id}`.
pub(super) fn one(world: &mut World, symbol: &str, call: &Call<'_>) -> Answer {
    match call.inbound.method {
        Method::GET => {
            let view = world.exchange.position(world.now, call.account(), symbol)?;
            Ok(Reply::json(&PositionShape::from(&view)))
        }
        Method::DELETE => {
            call.may_trade()?;
            let amount = amount(call)?;
            let order = world.exchange.close_position(world.now, call.account(), symbol, amount)?;
            Ok(Reply::json(&OrderShape::from(&order)))
        }
        _ => Err(Reply::method_not_allowed()),
    }
}

fn amount(call: &Call<'_>) -> Result<CloseAmount, Reply> {
    let query = call.inbound.query();
    let positive = |text: &str| decimal(text).filter(|number| Decimal::ZERO < *number && number.scale() <= 9);
    let qty = parsed(query.get("qty"), "qty", positive)?;
    let percentage = parsed(query.get("percentage"), "percentage", |text| {
        positive(text).filter(|number| *number <= Decimal::ONE_HUNDRED)
    })?;
    match (qty, percentage) {
        (Some(_), Some(_)) => Err(Refusal::unprocessable("only one of qty or percentage is accepted").into()),
        (Some(qty), None) => Ok(CloseAmount::Qty(qty)),
        (None, Some(percentage)) => Ok(CloseAmount::Percentage(percentage)),
        (None, None) => Ok(CloseAmount::All),
    }
}
