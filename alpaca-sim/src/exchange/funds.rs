//! What an order must find in its account: money, shares, and nothing of its own on the other side (facts 3.2, 3.9,
//! 3.10).
//!
//! Always: nothing here changes anything. An opening order keeps buying power while it is open, a closing one holds
//! shares; both are freed only by its end or its fills.

use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};

use super::Exchange;
use super::account::Account;
use super::figures::{self, cents};
use super::order::{OrderType, PositionIntent, Side};
use super::refusal::Refusal;
use crate::market::SymbolId;

/// An order as the account's books see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    pub(crate) symbol: SymbolId,
    pub(crate) side: Side,
    pub(crate) order_type: OrderType,
    pub(crate) qty: Option<Decimal>,
    pub(crate) notional: Option<Decimal>,
    pub(crate) limit_price: Option<Decimal>,
    pub(crate) stop_price: Option<Decimal>,
    /// What an order that this one replaces keeps and holds.
    pub(crate) given_back: Decimal,
}

/// What the order will do and keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commitment {
    pub(crate) intent: PositionIntent,
    /// Dollars per share.
    pub(crate) reserve: Decimal,
    /// Shares, for a closing order by value.
    pub(crate) held: Decimal,
}

impl Commitment {
    /// Whether the order adds to a position.
    pub(crate) const fn opens(&self) -> bool {
        matches!(self.intent, PositionIntent::BuyToOpen | PositionIntent::SellToOpen)
    }
}

/// The limit that a buy stop gets: 4 % above a stop below 50 dollars, 2.5 % above others (facts 3.8).
pub(crate) fn stop_limit_of_buy_stop(stop: Decimal) -> Decimal {
    let factor = if stop < Decimal::from(50) { Decimal::new(104, 2) } else { Decimal::new(1_025, 3) };
    (stop * factor).round_dp_with_strategy(2, RoundingStrategy::ToZero)
}

impl Exchange {
    /// Whether the account as such may place orders.
    pub(super) fn may_trade(account: &Account) -> Result<(), Refusal> {
        if account.account_blocked || account.trading_blocked || account.status != "ACTIVE" {
            return Err(Refusal::NotAuthorizedToTrade);
        }
        if account.configuration.suspend_trade {
            return Err(Refusal::SuspendedByUser);
        }
        Ok(())
    }

    /// Funds, shares and own orders on the other side.
    pub(super) fn commit(&self, account: &Account, demand: Demand, now: Timestamp) -> Result<Commitment, Refusal> {
        wash(account, &demand)?;
        let quantity = account.quantity(demand.symbol);
        match demand.side {
            Side::Buy if quantity.is_sign_negative() && !quantity.is_zero() => self.close(account, demand, now),
            Side::Buy => self.open_long(account, demand, now),
            Side::Sell if quantity > Decimal::ZERO => self.close(account, demand, now),
            Side::Sell => self.open_short(account, demand, now),
        }
    }

    /// The price that a share counts as (facts 3.9).
    fn price_for(&self, demand: &Demand, now: Timestamp) -> Decimal {
        if let Some(limit) = demand.limit_price {
            return limit;
        }
        if let (OrderType::Stop, Side::Buy, Some(stop)) = (demand.order_type, demand.side, demand.stop_price) {
            return stop_limit_of_buy_stop(stop);
        }
        let quote = self.market.quote_of(demand.symbol, now);
        if !self.market.calendar().is_open(now) {
            // The middle of the quote in the extended sessions, the last trade at night: the same here.
            return self.market.price_of(demand.symbol, now);
        }
        match demand.side {
            Side::Buy => quote.ask,
            Side::Sell => quote.bid,
        }
    }

    fn open_long(&self, account: &Account, demand: Demand, now: Timestamp) -> Result<Commitment, Refusal> {
        if account.liquidation_only {
            return Err(Refusal::LiquidationOnly);
        }
        let price = self.price_for(&demand, now);
        let cost = cents(demand.notional.unwrap_or_else(|| demand.qty.unwrap_or_default() * price));
        if cost < Decimal::ONE {
            return Err(Refusal::BelowMinimum);
        }
        self.afford(account, &demand, cost, now)?;
        Ok(Commitment { intent: PositionIntent::BuyToOpen, reserve: price, held: Decimal::ZERO })
    }

    fn open_short(&self, account: &Account, demand: Demand, now: Timestamp) -> Result<Commitment, Refusal> {
        let figures = self.figures(account, now);
        let whole = demand.qty.is_some_and(|qty| qty.fract().is_zero());
        let asset = self.assets.get(demand.symbol.index());
        if !figures::may_short(account, &figures) || !asset.is_some_and(|asset| asset.shortable) {
            return Err(Refusal::ShortNotAllowed);
        }
        if !whole {
            return Err(Refusal::Unprocessable("fractional orders cannot be sold short".into()));
        }
        if account.liquidation_only {
            return Err(Refusal::LiquidationOnly);
        }
        let dear = self.market.quote_of(demand.symbol, now).ask * Decimal::new(103, 2);
        let price = demand.limit_price.map_or(dear, |limit| limit.max(dear));
        self.afford(account, &demand, cents(demand.qty.unwrap_or_default() * price), now)?;
        Ok(Commitment { intent: PositionIntent::SellToOpen, reserve: price, held: Decimal::ZERO })
    }

    fn afford(&self, account: &Account, demand: &Demand, cost: Decimal, now: Timestamp) -> Result<(), Refusal> {
        let figures = self.figures(account, now);
        let marginable = self.assets.get(demand.symbol.index()).is_some_and(|asset| asset.marginable);
        let multiplier = if marginable { figures.multiplier } else { 1 };
        let buying_power = figures.buying_power(multiplier);
        if cost > buying_power + demand.given_back {
            return Err(Refusal::InsufficientBuyingPower { buying_power, cost_basis: cost });
        }
        Ok(())
    }

    /// A sale of shares held, or a buy that covers a short.
    fn close(&self, account: &Account, demand: Demand, now: Timestamp) -> Result<Commitment, Refusal> {
        let existing = account.quantity(demand.symbol).abs();
        let held = account.held(demand.symbol);
        let available = (existing - held).max(Decimal::ZERO);
        let price = self.price_for(&demand, now);
        let requested = match (demand.qty, demand.notional) {
            (Some(qty), _) => qty,
            (None, Some(notional)) => (notional / price).round_dp_with_strategy(9, RoundingStrategy::ToZero),
            (None, None) => Decimal::ZERO,
        };
        if !self.market.calendar().is_open(now) {
            night_rule(account, &demand)?;
        }
        if requested > available + demand.given_back {
            let symbol = self.market.ticker(demand.symbol).to_string();
            return Err(Refusal::InsufficientQty { requested, available, existing, held, symbol });
        }
        let intent = match demand.side {
            Side::Buy => PositionIntent::BuyToClose,
            Side::Sell => PositionIntent::SellToClose,
        };
        Ok(Commitment { intent, reserve: price, held: requested })
    }
}

/// Outside market hours a second closing order is refused when either is by value (facts 3.2).
fn night_rule(account: &Account, demand: &Demand) -> Result<(), Refusal> {
    let clash = account.open_orders().any(|(_, cell)| {
        cell.symbol == demand.symbol && !cell.opening && (demand.notional.is_some() || cell.order.notional.is_some())
    });
    if clash {
        let text = "unable to open new notional orders while having open closing position orders";
        return Err(Refusal::Forbidden(text.into()));
    }
    Ok(())
}

/// The wash-trade guard (facts 3.10).
fn wash(account: &Account, demand: &Demand) -> Result<(), Refusal> {
    let by_limit = |order_type| matches!(order_type, OrderType::Limit | OrderType::StopLimit);
    if demand.order_type == OrderType::TrailingStop {
        return Ok(());
    }
    for (_, cell) in account.open_orders() {
        let other = &cell.order;
        if cell.symbol != demand.symbol || other.side == demand.side || other.order_type == OrderType::TrailingStop {
            continue;
        }
        let existing = if by_limit(other.order_type) { "limit" } else { "market/stop" };
        if !by_limit(other.order_type) || !by_limit(demand.order_type) {
            return Err(Refusal::WashTrade { existing });
        }
        let (buy, sell) = match demand.side {
            Side::Buy => (demand.limit_price, other.limit_price),
            Side::Sell => (other.limit_price, demand.limit_price),
        };
        if buy >= sell {
            return Err(Refusal::WashTrade { existing });
        }
    }
    Ok(())
}
