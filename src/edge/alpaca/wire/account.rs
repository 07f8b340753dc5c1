//! `GET /v2/account`, `/v2/positions` and `/v2/assets/{symbol}` (facts 2.1, 4.1, 4.2).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::number::Exact;
use super::{Fault, if_it_fits, needed, parsed, read};
use crate::model::ids::{AccountId, Symbol};
use crate::model::money::{Price, Qty, Usd};
use crate::model::snapshot::{AccountView, AssetView, Holding};
use crate::model::zoo::{Bug, planted};

#[derive(Debug, Deserialize)]
pub(super) struct AccountJson {
    pub(super) id: Option<String>,
    pub(super) status: Option<String>,
    account_number: Option<String>,
    currency: Option<String>,
    cash: Option<Exact>,
    equity: Option<Exact>,
    portfolio_value: Option<Exact>,
    buying_power: Option<Exact>,
    trading_blocked: Option<bool>,
    account_blocked: Option<bool>,
    trade_suspended_by_user: Option<bool>,
}

impl AccountJson {
    pub(super) fn view(self) -> Result<AccountView, Fault> {
        let cash = Usd::new(needed(self.cash, "cash")?.0);
        let or_cash = |amount: Option<Exact>| amount.map_or(cash, |amount| Usd::new(amount.0));
        let mut blocks = Vec::new();
        let mut block = |name, is_set| {
            if is_set {
                blocks.push(name);
            }
        };
        block("trading_blocked", self.trading_blocked == Some(true));
        block("account_blocked", self.account_blocked == Some(true));
        block("trade_suspended_by_user", self.trade_suspended_by_user == Some(true));
        // Weights are reckoned in dollars only.
        block("currency", self.currency.is_some_and(|currency| currency != "USD"));
        Ok(AccountView {
            id: parsed(&needed(self.id, "id")?, "id", AccountId::parse)?,
            number: super::plain(&self.account_number.unwrap_or_default()),
            status: super::plain(&needed(self.status, "status")?),
            blocks,
            cash,
            equity: or_cash(self.equity.or(self.portfolio_value)),
            // An account without leverage may buy for its cash (facts 2.1); nobody promised more.
            buying_power: or_cash(self.buying_power),
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PositionJson {
    symbol: Option<String>,
    qty: Option<Exact>,
    qty_available: Option<Exact>,
    side: Option<String>,
    #[serde(default, deserialize_with = "if_it_fits")]
    current_price: Option<Exact>,
    #[serde(default, deserialize_with = "if_it_fits")]
    market_value: Option<Exact>,
}

impl PositionJson {
    fn holding(self) -> Result<(Symbol, Holding), Fault> {
        let symbol = parsed(&needed(self.symbol, "symbol")?, "symbol", Symbol::parse)?;
        let size = needed(self.qty, "qty")?.0;
        // The quantity of a short position is negative in practice, but `side` is what says so (facts 4.1).
        let qty = if self.side.as_deref() == Some("short") { -size.abs() } else { size };
        let available = self.qty_available.map_or(qty, |available| available.0);
        let last_price = self.current_price.map(|price| Price::new(price.0));
        Ok((symbol, Holding { qty: Qty::new(qty), available: Qty::new(available), last_price }))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct AssetJson {
    symbol: Option<String>,
    status: Option<String>,
    tradable: Option<bool>,
    fractionable: Option<bool>,
}

impl AssetJson {
    pub(super) fn symbol(&self) -> Result<Symbol, Fault> {
        parsed(needed(self.symbol.as_deref(), "symbol")?, "symbol", Symbol::parse)
    }

    pub(super) fn view(&self) -> AssetView {
        AssetView {
            tradable: (self.tradable == Some(true) || planted(Bug::UntradableTraded))
                && self.status.as_deref() == Some("active"),
            fractionable: self.fractionable == Some(true),
        }
    }
}

/// Reads an account.
pub(in super::super) fn account(body: &[u8]) -> Result<AccountView, Fault> {
    read::<AccountJson>(body)?.view()
}

/// Reads all positions, and what the broker says they are worth together; `None` when it does not say so of each.
pub(in super::super) fn positions(body: &[u8]) -> Result<(BTreeMap<Symbol, Holding>, Option<Usd>), Fault> {
    let rows: Vec<PositionJson> = read(body)?;
    let worth = rows.iter().try_fold(Usd::ZERO, |sum, row| {
        let value = Usd::new(row.market_value.as_ref()?.0);
        // The value of a short position is negative in practice, but `side` is what says so (facts 4.1).
        Some(sum + if row.side.as_deref() == Some("short") { -Usd::new(value.decimal().abs()) } else { value })
    });
    Ok((holdings(rows)?, worth))
}

pub(super) fn holdings(rows: Vec<PositionJson>) -> Result<BTreeMap<Symbol, Holding>, Fault> {
    let mut holdings = BTreeMap::new();
    for (index, row) in rows.into_iter().enumerate() {
        let at = format!("[{index}]");
        let (symbol, holding) = row.holding().map_err(|fault| fault.under(&at))?;
        if holdings.insert(symbol, holding).is_some() {
            return Err(Fault::new(format!("{at}.symbol"), "stands twice"));
        }
    }
    Ok(holdings)
}

/// Reads an asset.
pub(in super::super) fn asset(body: &[u8]) -> Result<AssetView, Fault> {
    Ok(read::<AssetJson>(body)?.view())
}
