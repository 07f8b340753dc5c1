//! `/v2/account` and its configurations (facts 2.1 to 2.3).
//!
//! Always: the pattern-day-trader fields that Alpaca removed in July 2026 are absent.

use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::exchange::account::{AccountView, Configuration, ConfigurationPatch};
use crate::http::reply::{Refusal, Reply};
use crate::http::routes::{Answer, Call, only_get};
use crate::http::wire::Text;
use crate::http::world::World;

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the shape is Alpaca's")]
struct AccountShape<'a> {
    id: &'a str,
    account_number: &'a str,
    status: &'a str,
    crypto_status: &'static str,
    currency: &'static str,
    buying_power: Text,
    regt_buying_power: Text,
    non_marginable_buying_power: Text,
    options_buying_power: Text,
    effective_buying_power: Text,
    cash: Text,
    accrued_fees: Text,
    pending_reg_taf_fees: &'static str,
    pending_transfer_in: &'static str,
    pending_transfer_out: &'static str,
    portfolio_value: Text,
    trading_blocked: bool,
    transfers_blocked: bool,
    account_blocked: bool,
    created_at: Timestamp,
    trade_suspended_by_user: bool,
    multiplier: String,
    shorting_enabled: bool,
    equity: Text,
    last_equity: Text,
    long_market_value: Text,
    short_market_value: Text,
    position_market_value: Text,
    initial_margin: Text,
    maintenance_margin: Text,
    last_maintenance_margin: Text,
    sma: Text,
    intraday_adjustments: Text,
    balance_asof: Date,
    options_approved_level: u8,
    options_trading_level: u8,
}

impl<'a> From<&'a AccountView> for AccountShape<'a> {
    fn from(view: &'a AccountView) -> Self {
        Self {
            id: &view.id,
            account_number: &view.account_number,
            status: &view.status,
            crypto_status: "INACTIVE",
            currency: "USD",
            buying_power: Text(view.buying_power),
            regt_buying_power: Text(view.regt_buying_power),
            non_marginable_buying_power: Text(view.non_marginable_buying_power),
            options_buying_power: Text(view.options_buying_power),
            effective_buying_power: Text(view.buying_power),
            cash: Text(view.cash),
            accrued_fees: Text(view.accrued_fees),
            pending_reg_taf_fees: "0",
            pending_transfer_in: "0",
            pending_transfer_out: "0",
            portfolio_value: Text(view.equity),
            trading_blocked: view.trading_blocked,
            transfers_blocked: view.transfers_blocked,
            account_blocked: view.account_blocked,
            created_at: view.created_at,
            trade_suspended_by_user: view.trade_suspended_by_user,
            multiplier: view.multiplier.to_string(),
            shorting_enabled: view.shorting_enabled,
            equity: Text(view.equity),
            last_equity: Text(view.last_equity),
            long_market_value: Text(view.long_market_value),
            short_market_value: Text(view.short_market_value),
            position_market_value: Text(view.long_market_value + view.short_market_value),
            initial_margin: Text(view.initial_margin),
            maintenance_margin: Text(view.maintenance_margin),
            last_maintenance_margin: Text(view.last_maintenance_margin),
            sma: Text(view.sma),
            intraday_adjustments: Text(view.intraday_adjustments),
            balance_asof: view.balance_asof,
            options_approved_level: 0,
            options_trading_level: 0,
        }
    }
}

/// `GET /v2/account`.
pub(super) fn get(world: &mut World, call: &Call<'_>) -> Answer {
    only_get(call)?;
    let view = world.exchange.account(world.now, call.account())?;
    Ok(Reply::json(&AccountShape::from(&view)))
}

/// The account as the control side shows it.
pub(crate) fn shape(view: &AccountView) -> serde_json::Value {
    serde_json::to_value(AccountShape::from(view)).unwrap_or_default()
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the shape is Alpaca's")]
struct ConfigurationShape<'a> {
    disable_overnight_trading: bool,
    fractional_trading: bool,
    max_margin_multiplier: String,
    max_options_trading_level: u8,
    no_shorting: bool,
    ptp_no_exception_entry: bool,
    suspend_trade: bool,
    trade_confirm_email: &'a str,
}

impl<'a> From<&'a Configuration> for ConfigurationShape<'a> {
    fn from(configuration: &'a Configuration) -> Self {
        Self {
            disable_overnight_trading: configuration.disable_overnight_trading,
            fractional_trading: configuration.fractional_trading,
            max_margin_multiplier: configuration.max_margin_multiplier.to_string(),
            max_options_trading_level: configuration.max_options_trading_level,
            no_shorting: configuration.no_shorting,
            ptp_no_exception_entry: configuration.ptp_no_exception_entry,
            suspend_trade: configuration.suspend_trade,
            trade_confirm_email: &configuration.trade_confirm_email,
        }
    }
}

/// What PATCH takes: any subset; members that are not known (the removed ones too) are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PatchShape {
    disable_overnight_trading: Option<bool>,
    fractional_trading: Option<bool>,
    max_margin_multiplier: Option<serde_json::Value>,
    max_options_trading_level: Option<u8>,
    no_shorting: Option<bool>,
    ptp_no_exception_entry: Option<bool>,
    suspend_trade: Option<bool>,
    trade_confirm_email: Option<String>,
}

impl PatchShape {
    /// The change that the user's own switch makes.
    pub(crate) fn suspend(on: bool) -> Self {
        Self { suspend_trade: Some(on), ..Self::default() }
    }

    /// The change in the exchange's words, or which member is wrong.
    pub(crate) fn into_patch(self) -> Result<ConfigurationPatch, Refusal> {
        let multiplier = match &self.max_margin_multiplier {
            None | Some(serde_json::Value::Null) => None,
            Some(value) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                Some(text.parse::<u8>().map_err(|_| Refusal::unprocessable("invalid max_margin_multiplier"))?)
            }
        };
        Ok(ConfigurationPatch {
            suspend_trade: self.suspend_trade,
            no_shorting: self.no_shorting,
            fractional_trading: self.fractional_trading,
            max_margin_multiplier: multiplier,
            trade_confirm_email: self.trade_confirm_email,
            max_options_trading_level: self.max_options_trading_level,
            ptp_no_exception_entry: self.ptp_no_exception_entry,
            disable_overnight_trading: self.disable_overnight_trading,
        })
    }
}

/// `GET` and `PATCH /v2/account/configurations`; changing needs the scope `account:write`.
pub(super) fn configurations(world: &mut World, call: &Call<'_>) -> Answer {
    let configuration = if call.inbound.method == Method::GET {
        world.exchange.configuration(call.account())?
    } else if call.inbound.method == Method::PATCH {
        if !call.caller.scopes.account_write {
            return Err(Refusal::scope().into());
        }
        let patch: PatchShape = serde_json::from_slice(&call.inbound.body).map_err(|_| malformed())?;
        world.exchange.configure(world.now, call.account(), patch.into_patch()?)?
    } else {
        return Err(Reply::method_not_allowed());
    };
    Ok(Reply::json(&ConfigurationShape::from(&configuration)))
}

/// 400 for a body that is no JSON, or the wrong JSON.
pub(super) fn malformed() -> Reply {
    Refusal::new(StatusCode::BAD_REQUEST, 40_010_000, "request body format is invalid").into()
}
