//! What accounts and positions are worth: the figures of `GET /v2/account` and `GET /v2/positions` (facts 2.1, 4.1).
//!
//! Always: equity is cash plus long plus short market value, exactly, all three to the cent; a balance is written
//! down for every close before anything changes after it.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::{Decimal, RoundingStrategy};

use super::Exchange;
use super::account::{Account, AccountView, Balance, Configuration};
use super::activity::ActivityDetail;
use super::asset::Asset;
use super::position::{Position, PositionView};
use super::refusal::Refusal;
use crate::market::sessions::new_york_date;
use crate::market::{Market, SymbolId};

/// Below this equity there is no margin and no short selling (facts 2.1).
pub(crate) const MARGIN_MINIMUM: Decimal = Decimal::from_parts(2_000, 0, 0, false, 0);

/// The values that everything else follows from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) long: Decimal,
    pub(crate) short: Decimal,
    pub(crate) equity: Decimal,
    pub(crate) initial_margin: Decimal,
    pub(crate) maintenance_margin: Decimal,
    pub(crate) multiplier: u8,
    /// What open orders keep.
    pub(crate) reserved: Decimal,
    pub(crate) cash: Decimal,
}

impl Figures {
    /// Buying power (facts 2.1), open orders taken off. At 4x the documented figure is yesterday's; since the
    /// intraday-margin rule buying power is told in real time (facts 2.2), so it is four times the equity less what
    /// is invested, which is the same on a morning without positions.
    pub(crate) fn buying_power(&self, multiplier: u8) -> Decimal {
        let gross = match multiplier {
            1 => self.cash,
            2 => (self.equity - self.initial_margin).max(Decimal::ZERO) * Decimal::TWO,
            _ => self.equity * Decimal::from(4) - self.long + self.short,
        };
        (gross - self.reserved).max(Decimal::ZERO)
    }

    /// What may be bought without margin.
    fn without_margin(&self) -> Decimal {
        let free = if self.multiplier == 1 { self.cash } else { self.cash.min(self.equity - self.initial_margin) };
        (free - self.reserved).max(Decimal::ZERO)
    }
}

pub(crate) fn cents(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

/// Values an account at a moment.
pub(crate) fn figures(market: &Market, assets: &[Asset], account: &Account, at: Timestamp) -> Figures {
    let mut long = Decimal::ZERO;
    let mut short = Decimal::ZERO;
    let mut initial = Decimal::ZERO;
    let mut maintenance = Decimal::ZERO;
    let cheap = Decimal::new(250, 2);
    let full = Decimal::from(100);
    for (symbol, position) in &account.positions {
        let price = market.price_of(*symbol, at);
        let value = position.qty * price;
        let size = value.abs();
        if value.is_sign_negative() {
            short += value;
        } else {
            long += value;
        }
        let Some(asset) = assets.get(symbol.index()) else { continue };
        let rate =
            if value.is_sign_negative() { asset.margin_requirement_short } else { asset.margin_requirement_long };
        initial += if asset.marginable { size / Decimal::TWO } else { size };
        maintenance += if price < cheap || !asset.marginable { size } else { size * rate / full };
    }
    let (long, short) = (cents(long), cents(short));
    let equity = account.cash + long + short;
    let ceiling = account.multiplier.min(account.configuration.max_margin_multiplier);
    Figures {
        long,
        short,
        equity,
        initial_margin: cents(initial),
        maintenance_margin: cents(maintenance),
        multiplier: if equity < MARGIN_MINIMUM { 1 } else { ceiling },
        reserved: account.reserved(),
        cash: account.cash,
    }
}

impl Exchange {
    /// The account's figures.
    pub fn account(&mut self, now: Timestamp, account: &str) -> Result<AccountView, Refusal> {
        let now = self.enter(now);
        let index = self.index(account)?;
        self.roll(index, now);
        let account = self.accounts.get(index).ok_or(Refusal::UnknownAccount)?;
        let figures = self.figures(account, now);
        let last = self.last_balance(account, now);
        let buying_power = figures.buying_power(figures.multiplier);
        let without_margin = figures.without_margin();
        Ok(AccountView {
            id: account.id.clone(),
            account_number: account.number.clone(),
            environment: account.environment,
            status: account.status.clone(),
            created_at: account.created_at,
            cash: account.cash,
            equity: figures.equity,
            buying_power,
            regt_buying_power: figures.buying_power(figures.multiplier.min(2)),
            non_marginable_buying_power: without_margin,
            options_buying_power: without_margin,
            long_market_value: figures.long,
            short_market_value: figures.short,
            initial_margin: figures.initial_margin,
            maintenance_margin: figures.maintenance_margin,
            last_equity: last.equity,
            last_maintenance_margin: last.maintenance_margin,
            balance_asof: last.date,
            sma: last.equity,
            accrued_fees: Decimal::ZERO,
            intraday_adjustments: adjustments(account, now),
            multiplier: figures.multiplier,
            trading_blocked: account.trading_blocked,
            account_blocked: account.account_blocked,
            transfers_blocked: account.transfers_blocked,
            trade_suspended_by_user: account.configuration.suspend_trade,
            shorting_enabled: may_short(account, &figures),
        })
    }

    /// Its configuration.
    pub fn configuration(&self, account: &str) -> Result<Configuration, Refusal> {
        Ok(self.read(account)?.configuration.clone())
    }

    /// `GET /v2/positions`, by ticker.
    pub fn positions(&mut self, now: Timestamp, account: &str) -> Result<Vec<PositionView>, Refusal> {
        let now = self.enter(now);
        let account = self.read(account)?;
        let view = |(symbol, position): (&SymbolId, &Position)| self.view(account, *symbol, position, now);
        Ok(account.positions.iter().filter_map(view).collect())
    }

    /// `GET /v2/positions/{symbol_or_asset_id}`.
    pub fn position(&mut self, now: Timestamp, account: &str, symbol: &str) -> Result<PositionView, Refusal> {
        let now = self.enter(now);
        let account = self.read(account)?;
        let symbol = self.symbol(symbol).ok_or(Refusal::PositionNotFound)?;
        let position = account.positions.get(&symbol).ok_or(Refusal::PositionNotFound)?;
        self.view(account, symbol, position, now).ok_or(Refusal::PositionNotFound)
    }

    pub(super) fn figures(&self, account: &Account, at: Timestamp) -> Figures {
        figures(&self.market, &self.assets, account, at)
    }

    /// Writes down the balances of the closes that have passed since the last change. Call before every change.
    pub(super) fn roll(&mut self, account: usize, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(account) else { return };
        let sessions = self.market.calendar().all();
        let first = sessions.partition_point(|session| session.close <= account.rolled_until);
        for session in sessions.get(first..).unwrap_or_default().iter().take_while(|session| session.close <= now) {
            let values = figures(&self.market, &self.assets, account, session.close);
            account.balances.push(Balance {
                date: session.date,
                equity: values.equity,
                maintenance_margin: values.maintenance_margin,
            });
        }
        account.rolled_until = account.rolled_until.max(now);
    }

    /// The balance of the last trading day before today, in New York.
    pub(super) fn last_balance(&self, account: &Account, now: Timestamp) -> Balance {
        let date = self.market.calendar().last_day(now).map_or(new_york_date(now), |session| session.date);
        let upto = account.balances.partition_point(|balance| balance.date <= date);
        let last = upto.checked_sub(1).and_then(|index| account.balances.get(index));
        last.copied().unwrap_or(Balance { date, equity: account.opening_equity, maintenance_margin: Decimal::ZERO })
    }

    fn view(&self, account: &Account, symbol: SymbolId, position: &Position, now: Timestamp) -> Option<PositionView> {
        let asset = self.assets.get(symbol.index())?;
        let price = self.market.price_of(symbol, now);
        let before = self.market.last_day_price(symbol, now);
        let qty = position.qty;
        let held = account.held(symbol);
        let fraction = |part: Decimal, whole: Decimal| {
            if whole.is_zero() { Decimal::ZERO } else { (part / whole).round_dp(16) }
        };
        let cost_basis = qty * position.avg_entry_price;
        let market_value = qty * price;
        let intraday = qty * (price - before);
        Some(PositionView {
            asset_id: asset.id.clone(),
            symbol: asset.symbol.clone(),
            exchange: asset.exchange,
            asset_marginable: asset.marginable,
            qty,
            qty_available: if qty.is_sign_negative() {
                (qty + held).min(Decimal::ZERO)
            } else {
                (qty - held).max(Decimal::ZERO)
            },
            avg_entry_price: position.avg_entry_price,
            long: qty.is_sign_positive(),
            market_value,
            cost_basis,
            unrealized_pl: market_value - cost_basis,
            unrealized_plpc: fraction(market_value - cost_basis, cost_basis.abs()),
            unrealized_intraday_pl: intraday,
            unrealized_intraday_plpc: fraction(intraday, (qty * before).abs()),
            current_price: price,
            lastday_price: before,
            change_today: fraction(price - before, before),
        })
    }
}

/// Whether the account may sell short now.
pub(crate) fn may_short(account: &Account, figures: &Figures) -> bool {
    account.shorting && !account.configuration.no_shorting && figures.multiplier > 1
}

/// Today's movements of money that are no fills.
fn adjustments(account: &Account, now: Timestamp) -> Decimal {
    let today = new_york_date(now);
    // No trading day of New York is longer than 25 hours.
    let from = now - SignedDuration::from_hours(26);
    let recent = account.activities.iter().rev().take_while(|row| row.at >= from);
    recent
        .filter(|row| row.date == today)
        .map(|row| match &row.detail {
            ActivityDetail::NonTrade(row) => row.net_amount,
            ActivityDetail::Fill(_) => Decimal::ZERO,
        })
        .sum()
}
