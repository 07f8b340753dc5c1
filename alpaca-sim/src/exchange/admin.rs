//! Opening accounts and what the broker's and the control side do to them.
//!
//! Always: ids and numbers follow from the seed and the order of opening; money that moves without a trade is an
//! activity.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::Exchange;
use super::account::{Account, Configuration, ConfigurationPatch, Environment, NewAccount, Restrictions};
use super::activity::{Activity, ActivityDetail, NonTradeRow};
use super::figures::cents;
use super::position::Position;
use super::refusal::Refusal;
use crate::market::dice;
use crate::seeded;

/// A row that moves money and concerns no symbol.
fn money(activity_type: &'static str, net_amount: Decimal, description: String) -> NonTradeRow {
    NonTradeRow {
        activity_type,
        activity_sub_type: "",
        net_amount,
        symbol: None,
        qty: None,
        per_share_amount: None,
        description,
    }
}

fn multiplier(value: u8) -> Result<u8, Refusal> {
    match value {
        1 | 2 | 4 => Ok(value),
        _ => Err(Refusal::Malformed("max_margin_multiplier must be 1, 2 or 4".into())),
    }
}

/// Dollars or shares that the books can hold.
fn amount(value: Decimal) -> Result<(), Refusal> {
    if value.abs() > Decimal::from(1_000_000_000_000_u64) {
        return Err(Refusal::Malformed("amount is too large".into()));
    }
    Ok(())
}

impl Exchange {
    /// Opens an account and returns its id.
    pub fn open_account(&mut self, now: Timestamp, new: NewAccount) -> Result<Arc<str>, Refusal> {
        let now = self.enter(now);
        multiplier(new.multiplier)?;
        amount(new.cash)?;
        let mut positions = BTreeMap::new();
        for (ticker, qty, price) in &new.positions {
            let symbol = self.symbol(ticker).ok_or_else(|| Refusal::AssetNotFound(ticker.clone()))?;
            amount(*qty)?;
            amount(price.unwrap_or_default())?;
            if !qty.is_zero() {
                let price = price.unwrap_or_else(|| self.market.price_of(symbol, now));
                positions.insert(symbol, Position { qty: *qty, avg_entry_price: price });
            }
        }
        let name = format!("{}/{}", new.environment.as_str(), self.accounts.len());
        let id: Arc<str> = seeded::uuid(self.config.seed, "account", &name).into();
        let prefix = if new.environment == Environment::Paper { "PA3" } else { "" };
        let number = format!("{prefix}{}", seeded::letters(self.config.seed, "account number", &name, 9));
        let mut account = Account {
            id: id.clone(),
            key: dice::text(self.config.seed, &number),
            number: number.into(),
            person: new.person,
            environment: new.environment,
            created_at: now,
            status: "ACTIVE".into(),
            cash: cents(new.cash),
            multiplier: new.multiplier,
            shorting: new.shorting,
            account_blocked: false,
            trading_blocked: false,
            transfers_blocked: false,
            liquidation_only: false,
            configuration: Configuration::default(),
            positions,
            orders: Vec::new(),
            open: BTreeSet::new(),
            by_id: HashMap::new(),
            by_client_id: HashMap::new(),
            activities: Vec::new(),
            balances: Vec::new(),
            rolled_until: now,
            journal: Vec::new(),
            opening_equity: Decimal::ZERO,
            updates_sent: 0,
            fees_due: None,
            rows: 0,
        };
        account.opening_equity = self.figures(&account, now).equity;
        account.note(now, None);
        let symbols: Vec<_> = account.positions.keys().copied().collect();
        for symbol in symbols {
            account.note(now, Some(symbol));
        }
        self.by_account.insert(id.clone(), self.accounts.len());
        self.accounts.push(account);
        Ok(id)
    }

    /// Whose an account is, as it was said when it was opened.
    pub fn person(&self, account: &str) -> Result<&str, Refusal> {
        Ok(&self.read(account)?.person)
    }

    /// Changes the configuration and returns the whole.
    pub fn configure(
        &mut self,
        now: Timestamp,
        account: &str,
        patch: ConfigurationPatch,
    ) -> Result<Configuration, Refusal> {
        self.enter(now);
        let configuration = &mut self.write(account)?.configuration;
        let mut new = configuration.clone();
        if let Some(value) = patch.max_margin_multiplier {
            new.max_margin_multiplier = multiplier(value)?;
        }
        if let Some(value) = patch.trade_confirm_email {
            if !matches!(value.as_str(), "all" | "none") {
                return Err(Refusal::Malformed("trade_confirm_email must be all or none".into()));
            }
            new.trade_confirm_email = value;
        }
        if let Some(value) = patch.max_options_trading_level {
            if value > 3 {
                return Err(Refusal::Malformed("max_options_trading_level must be between 0 and 3".into()));
            }
            new.max_options_trading_level = value;
        }
        new.suspend_trade = patch.suspend_trade.unwrap_or(new.suspend_trade);
        new.no_shorting = patch.no_shorting.unwrap_or(new.no_shorting);
        new.fractional_trading = patch.fractional_trading.unwrap_or(new.fractional_trading);
        new.ptp_no_exception_entry = patch.ptp_no_exception_entry.unwrap_or(new.ptp_no_exception_entry);
        new.disable_overnight_trading = patch.disable_overnight_trading.unwrap_or(new.disable_overnight_trading);
        configuration.clone_from(&new);
        Ok(new)
    }

    /// Control: blocks, status, ceiling.
    pub fn restrict(&mut self, now: Timestamp, account: &str, change: Restrictions) -> Result<(), Refusal> {
        self.enter(now);
        let ceiling = change.multiplier.map(multiplier).transpose()?;
        let account = self.write(account)?;
        account.account_blocked = change.account_blocked.unwrap_or(account.account_blocked);
        account.trading_blocked = change.trading_blocked.unwrap_or(account.trading_blocked);
        account.transfers_blocked = change.transfers_blocked.unwrap_or(account.transfers_blocked);
        account.liquidation_only = change.liquidation_only.unwrap_or(account.liquidation_only);
        account.shorting = change.shorting.unwrap_or(account.shorting);
        account.multiplier = ceiling.unwrap_or(account.multiplier);
        if let Some(status) = change.status {
            account.status = status;
        }
        Ok(())
    }

    /// Control: money in (`CSD`, positive) or out (`CSW`, negative).
    pub fn transfer(&mut self, now: Timestamp, account: &str, amount: Decimal) -> Result<Activity, Refusal> {
        let now = self.enter(now);
        self::amount(amount)?;
        let amount = cents(amount);
        let found = self.read(account)?;
        if found.transfers_blocked || found.account_blocked {
            return Err(Refusal::Forbidden("transfers are blocked for this account".into()));
        }
        if amount.is_sign_negative() && found.cash + amount < Decimal::ZERO {
            return Err(Refusal::Forbidden("insufficient cash for this withdrawal".into()));
        }
        let row = if amount.is_sign_negative() {
            money("CSW", amount, "withdrawal".into())
        } else {
            money("CSD", amount, "deposit".into())
        };
        self.pay(now, account, row)
    }

    /// Control: a fee (positive amount taken from the cash; `FEE`).
    pub fn charge_fee(
        &mut self,
        now: Timestamp,
        account: &str,
        amount: Decimal,
        description: &str,
    ) -> Result<Activity, Refusal> {
        let now = self.enter(now);
        self::amount(amount)?;
        self.pay(now, account, money("FEE", -cents(amount), description.to_owned()))
    }

    /// Control: sets a position to a quantity, without any order or money, as a journal of shares would (`JNLS`).
    #[expect(clippy::too_many_arguments, reason = "five plain values, once")]
    pub fn set_position(
        &mut self,
        now: Timestamp,
        account: &str,
        symbol: &str,
        qty: Decimal,
        avg_entry_price: Option<Decimal>,
    ) -> Result<(), Refusal> {
        let now = self.enter(now);
        let index = self.index(account)?;
        amount(qty)?;
        amount(avg_entry_price.unwrap_or_default())?;
        let symbol = self.symbol(symbol).ok_or_else(|| Refusal::AssetNotFound(symbol.to_owned()))?;
        self.roll(index, now);
        let price = avg_entry_price.unwrap_or_else(|| self.market.price_of(symbol, now));
        let ticker = self.market.ticker(symbol);
        let account = self.write(account)?;
        let change = qty - account.quantity(symbol);
        account.set_position(symbol, Position { qty, avg_entry_price: price });
        account.note(now, Some(symbol));
        let mut row = money("JNLS", Decimal::ZERO, "journal of shares".into());
        row.symbol = Some(ticker);
        row.qty = Some(change);
        self.book(index, now, ActivityDetail::NonTrade(row));
        Ok(())
    }

    /// Moves a row's money and books the row.
    pub(super) fn pay(&mut self, now: Timestamp, account: &str, row: NonTradeRow) -> Result<Activity, Refusal> {
        let index = self.index(account)?;
        self.roll(index, now);
        let found = self.write(account)?;
        found.cash += row.net_amount;
        found.note(now, None);
        self.book(index, now, ActivityDetail::NonTrade(row)).ok_or(Refusal::UnknownAccount)
    }
}
