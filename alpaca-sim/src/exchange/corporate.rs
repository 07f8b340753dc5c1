//! Assets and what happens to them: switches, splits, dividends, and prices moved by the control side (facts 4.2, 4.6).
//!
//! Always: a split leaves the value of a position as it was, up to the ninth decimal of its shares; orders that wait
//! look again after every change that could reach them.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::prelude::ToPrimitive as _;
use rust_decimal::{Decimal, RoundingStrategy};

use super::Exchange;
use super::account::Environment;
use super::activity::{ActivityDetail, NonTradeRow};
use super::asset::{Asset, AssetFilter, AssetPatch};
use super::figures::cents;
use super::order::{OrderStatus, OrderType, Side, TimeInForce};
use super::position::Position;
use super::refusal::Refusal;
use crate::market::{Change, SymbolId};

/// A split of `to` shares for `from` ones.
#[derive(Debug, Clone, Copy)]
struct Split {
    symbol: SymbolId,
    from: Decimal,
    to: Decimal,
}

impl Exchange {
    /// `GET /v2/assets`, by ticker.
    pub fn assets(&self, filter: &AssetFilter) -> Vec<Asset> {
        let wanted = |asset: &&Asset| {
            filter.active.is_none_or(|active| active == asset.active)
                && filter.exchange.as_deref().is_none_or(|exchange| exchange == asset.exchange)
        };
        self.assets.iter().filter(wanted).cloned().collect()
    }

    /// `GET /v2/assets/{symbol_or_id}`.
    pub fn asset(&self, symbol_or_id: &str) -> Result<Asset, Refusal> {
        let found = self.symbol(symbol_or_id).and_then(|symbol| self.assets.get(symbol.index()));
        found.cloned().ok_or_else(|| Refusal::AssetNotFound(symbol_or_id.to_owned()))
    }

    /// Control: halts, lists, delists.
    pub fn change_asset(&mut self, now: Timestamp, symbol: &str, patch: AssetPatch) -> Result<Asset, Refusal> {
        let now = self.enter(now);
        let number = self.known(symbol)?;
        let asset = self.assets.get_mut(number.index()).ok_or_else(|| Refusal::AssetNotFound(symbol.to_owned()))?;
        asset.active = patch.active.unwrap_or(asset.active);
        asset.tradable = patch.tradable.unwrap_or(asset.tradable);
        asset.fractionable = patch.fractionable.unwrap_or(asset.fractionable);
        asset.marginable = patch.marginable.unwrap_or(asset.marginable);
        asset.shortable = patch.shortable.unwrap_or(asset.shortable);
        asset.halted = patch.halted.unwrap_or(asset.halted);
        asset.margin_requirement_long = Decimal::from(if asset.marginable { 30 } else { 100 });
        let asset = asset.clone();
        self.wake_all(number, now);
        Ok(asset)
    }

    /// Control: a split of `new` shares for `old` ones, effective at `now` in all accounts and prices. Good-till-
    /// cancelled orders are cancelled by a reverse split; a forward split adjusts their buy limits and sell stops
    /// (facts 4.6). Shares are cut at nine decimals; no cash is paid in lieu.
    pub fn split(&mut self, now: Timestamp, symbol: &str, old: u32, new: u32) -> Result<(), Refusal> {
        let now = self.enter(now);
        if old == new || !(1..=1_000).contains(&old) || !(1..=1_000).contains(&new) {
            return Err(Refusal::Malformed("a split needs two different rates from 1 to 1000".into()));
        }
        let symbol = self.known(symbol)?;
        let split = Split { symbol, from: Decimal::from(old), to: Decimal::from(new) };
        for index in 0..self.accounts.len() {
            self.roll(index, now);
            self.split_position(index, now, split);
            self.split_orders(index, now, split);
        }
        let factor = (split.from / split.to).to_f64().unwrap_or(1.0);
        self.market.change(symbol, now, Change::Split(factor));
        self.wake_all(symbol, now);
        Ok(())
    }

    fn split_position(&mut self, index: usize, now: Timestamp, split: Split) {
        let Split { symbol, from, to } = split;
        let ticker = self.market.ticker(symbol);
        let Some(account) = self.accounts.get_mut(index) else { return };
        let Some(position) = account.positions.get(&symbol).cloned() else { return };
        let qty = (position.qty * to / from).round_dp_with_strategy(9, RoundingStrategy::ToZero).normalize();
        let avg_entry_price = (position.avg_entry_price * from / to).round_dp(9).normalize();
        account.set_position(symbol, Position { qty, avg_entry_price });
        account.note(now, Some(symbol));
        let row = NonTradeRow {
            activity_type: "SPLIT",
            activity_sub_type: if to > from { "FSPLIT" } else { "RSPLIT" },
            net_amount: Decimal::ZERO,
            symbol: Some(ticker),
            qty: Some(qty - position.qty),
            per_share_amount: None,
            description: format!("split {to} for {from}"),
        };
        self.book(index, now, ActivityDetail::NonTrade(row));
    }

    fn split_orders(&mut self, index: usize, now: Timestamp, split: Split) {
        let Split { symbol, from, to } = split;
        for order in self.open_in(index, symbol) {
            let Some(cell) = self.cell_mut(index, order) else { continue };
            if cell.order.time_in_force != TimeInForce::Gtc {
                continue;
            }
            if to < from {
                self.finish(index, order, now, OrderStatus::Canceled);
                continue;
            }
            let order = &mut cell.order;
            let adjusts = match order.side {
                Side::Buy => order.order_type == OrderType::Limit,
                Side::Sell => matches!(order.order_type, OrderType::Stop | OrderType::StopLimit),
            };
            if adjusts {
                let price = |price: Decimal| cents(price * from / to);
                order.limit_price = order.limit_price.map(price);
                order.stop_price = order.stop_price.map(price);
                order.qty = order.qty.map(|qty| (qty * to / from).trunc());
                order.updated_at = now;
                cell.reserve = cell.reserve * from / to;
            }
        }
    }

    /// Control: a cash dividend per share, paid at `now` on what every account holds (short positions pay).
    /// Alpaca's paper accounts get none (facts 9.4), so only live accounts do, unless `paper_too`. Returns how many
    /// accounts it reached.
    pub fn dividend(
        &mut self,
        now: Timestamp,
        symbol: &str,
        per_share: Decimal,
        paper_too: bool,
    ) -> Result<usize, Refusal> {
        let now = self.enter(now);
        if per_share <= Decimal::ZERO || per_share > Decimal::from(1_000_000) {
            return Err(Refusal::Malformed("a dividend must be above zero and at most 1000000".into()));
        }
        let symbol = self.known(symbol)?;
        let ticker = self.market.ticker(symbol);
        let holders: Vec<_> = self
            .accounts
            .iter()
            .filter(|account| paper_too || account.environment == Environment::Live)
            .map(|account| (account.id.clone(), account.quantity(symbol)))
            .filter(|(_, qty)| !qty.is_zero())
            .collect();
        for (account, qty) in &holders {
            let row = NonTradeRow {
                activity_type: "DIV",
                activity_sub_type: "CDIV",
                net_amount: cents(*qty * per_share),
                symbol: Some(ticker.clone()),
                qty: Some(*qty),
                per_share_amount: Some(per_share),
                description: format!("cash dividend of {per_share} a share"),
            };
            self.pay(now, account, row)?;
        }
        Ok(holders.len())
    }

    /// Control: pins the price of a symbol from `now` on, or lets it go back to its path (`None`).
    pub fn pin_price(&mut self, now: Timestamp, symbol: &str, price: Option<Decimal>) -> Result<(), Refusal> {
        let change = match price.map(|price| (price * Decimal::from(100)).round()) {
            None => Change::Release,
            Some(cents) if cents >= Decimal::TWO && cents <= Decimal::from(10_000_000_000_i64) => {
                Change::Pin(cents.to_f64().unwrap_or(2.0))
            }
            Some(_) => return Err(Refusal::Malformed("a price must be between 0.02 and 100000000".into())),
        };
        self.change_price(now, symbol, change)
    }

    /// Control: multiplies the path of a symbol from `now` on (1.1 = a jump up by 10 %).
    pub fn scale_price(&mut self, now: Timestamp, symbol: &str, factor: Decimal) -> Result<(), Refusal> {
        if factor <= Decimal::ZERO || factor > Decimal::from(1_000) {
            return Err(Refusal::Malformed("a factor must be above 0 and at most 1000".into()));
        }
        self.change_price(now, symbol, Change::Scale(factor.to_f64().unwrap_or(1.0)))
    }

    fn change_price(&mut self, now: Timestamp, symbol: &str, change: Change) -> Result<(), Refusal> {
        let now = self.enter(now);
        let symbol = self.known(symbol)?;
        for index in 0..self.accounts.len() {
            self.roll(index, now);
        }
        self.market.change(symbol, now, change);
        self.wake_all(symbol, now);
        Ok(())
    }

    fn known(&self, symbol: &str) -> Result<SymbolId, Refusal> {
        self.symbol(symbol).ok_or_else(|| Refusal::AssetNotFound(symbol.to_owned()))
    }

    fn open_in(&self, account: usize, symbol: SymbolId) -> Vec<usize> {
        let Some(account) = self.accounts.get(account) else { return Vec::new() };
        account.open_orders().filter(|(_, cell)| cell.symbol == symbol).map(|(ordinal, _)| ordinal).collect()
    }

    /// Lets all orders at the venue look again, a moment from now.
    fn wake_all(&mut self, symbol: SymbolId, now: Timestamp) {
        for account in 0..self.accounts.len() {
            for order in self.open_in(account, symbol) {
                let at_venue = self.cell(account, order).is_some_and(|cell| {
                    let auction = matches!(cell.order.time_in_force, TimeInForce::Opg | TimeInForce::Cls);
                    !auction
                        && cell.order.order_type != OrderType::Market
                        && matches!(
                            cell.order.status,
                            OrderStatus::New
                                | OrderStatus::PartiallyFilled
                                | OrderStatus::PendingCancel
                                | OrderStatus::PendingReplace
                        )
                });
                let parked = self.cell(account, order).is_some_and(|cell| cell.parked);
                if at_venue || parked {
                    let at = now + SignedDuration::from_millis(1);
                    self.wake(account, order, at);
                }
            }
        }
    }
}
