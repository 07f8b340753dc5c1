//! Everything the broker said of one account at one moment. Immutable: decisions see one moment, never a half-updated
//! world. Only `observe` (and the dry run, from a file) makes one.

use std::collections::BTreeMap;
use std::fmt;

use rust_decimal::Decimal;

use crate::model::ids::{AccountId, ClientOrderId, OrderId, Symbol};
use crate::model::money::{Fraction, Price, Qty, Usd};
use crate::model::plan::Side;
use crate::model::time::Moment;

/// The account as the broker describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// The broker's account id.
    pub id: AccountId,
    /// The broker's account number.
    pub number: String,
    /// The status as the broker spells it; only `ACTIVE` trades (facts 2.1).
    pub status: String,
    /// Why it cannot trade now, in Alpaca's field names; empty when it can.
    pub blocks: Vec<&'static str>,
    /// Cash; negative is a margin debit.
    pub cash: Usd,
    /// Cash plus positions, by the broker's count.
    pub equity: Usd,
    /// What the broker would let it buy.
    pub buying_power: Usd,
}

impl AccountView {
    /// Whether the broker lets it trade.
    pub fn can_trade(&self) -> bool {
        self.status == "ACTIVE" && self.blocks.is_empty()
    }
}

/// One position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Shares held; negative for a short position.
    pub qty: Qty,
    /// Shares not held by other orders.
    pub available: Qty,
    /// The broker's last price for it, if it gave one.
    pub last_price: Option<Price>,
}

/// An order that is open at the broker, ours or the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOrder {
    /// The broker's id.
    pub id: OrderId,
    /// The client's id.
    pub client_order_id: ClientOrderId,
    /// The symbol.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Cash that it may still take; zero for a sale. `None` when it cannot be known (a market order by quantity).
    pub reserves: Option<Usd>,
    /// Shares that it may still trade, if it is an order by quantity.
    pub remaining: Option<Qty>,
}

/// What may be done with an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssetView {
    /// Active and tradable.
    pub tradable: bool,
    /// Fractions of a share may be ordered.
    pub fractionable: bool,
}

/// A two-sided price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// What a seller gets.
    pub bid: Price,
    /// What a buyer pays.
    pub ask: Price,
    /// When the market said so.
    pub at: Moment,
}

/// The widest spread, as a share of the middle, at which the middle is a price. Beyond it the quote is a stub: half of a
/// market, or none.
const MAX_SPREAD: Fraction = Fraction::new(Decimal::from_parts(5, 0, 0, false, 2));

impl Quote {
    /// The price at which holdings are valued.
    pub fn middle(&self) -> Price {
        self.bid.middle(self.ask)
    }

    /// Whether both sides are there and not crossed (fault row 42).
    pub fn is_usable(&self) -> bool {
        let spread = self.ask - self.bid;
        self.bid.is_positive() && self.ask >= self.bid && spread <= self.middle() * MAX_SPREAD
    }
}

/// A trade that the market reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade {
    /// At which price.
    pub price: Price,
    /// When.
    pub at: Moment,
}

/// What the market says of symbols besides their quotes: a second source for prices, and how much is traded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Market {
    /// The last trade of each symbol, where there is one.
    pub trades: BTreeMap<Symbol, Trade>,
    /// The average daily volume of each symbol over its last 20 sessions, in shares, where it is known.
    pub volumes: BTreeMap<Symbol, Qty>,
}

/// What an account was when it was last seen and believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its equity.
    pub equity: Usd,
    /// How many positions it had.
    pub positions: usize,
    /// When.
    pub at: Moment,
}

/// The shares of an account, by symbol; none of them zero. Its text is `AGG=2 SPY=1.5`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares(BTreeMap<Symbol, Qty>);

impl Shares {
    /// What a snapshot shows.
    pub fn in_snapshot(snapshot: &Snapshot) -> Self {
        let mut held = Self::default();
        for (symbol, holding) in &snapshot.holdings {
            held.change(symbol, holding.qty);
        }
        held
    }

    /// Reads the text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut held = Self::default();
        for word in text.split_whitespace() {
            let (symbol, qty) = word.split_once('=')?;
            held.change(&Symbol::parse(symbol).ok()?, Qty::parse(qty).ok()?);
        }
        Some(held)
    }

    /// The shares of one symbol.
    pub fn of(&self, symbol: &Symbol) -> Qty {
        self.0.get(symbol).copied().unwrap_or(Qty::ZERO)
    }

    /// Every symbol of which there are shares.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.0.keys()
    }

    /// Adds shares, or takes them away.
    pub fn change(&mut self, symbol: &Symbol, by: Qty) {
        let qty = self.of(symbol) + by;
        if qty.is_zero() {
            self.0.remove(symbol);
        } else {
            self.0.insert(symbol.clone(), qty);
        }
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (symbol, qty)) in self.0.iter().enumerate() {
            write!(f, "{}{symbol}={qty}", if place == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// One account at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was taken.
    pub as_of: Moment,
    /// The account.
    pub account: AccountView,
    /// Its positions.
    pub holdings: BTreeMap<Symbol, Holding>,
    /// Open orders on it, ours and the user's.
    pub open_orders: Vec<OpenOrder>,
    /// What may be done with each asset that is held or wanted; one that is absent may not be traded.
    pub assets: BTreeMap<Symbol, AssetView>,
    /// Prices of each asset that is held or wanted, where there is one.
    pub quotes: BTreeMap<Symbol, Quote>,
    /// When this subscription last rebalanced.
    pub last_rebalanced_at: Option<Moment>,
}

impl Seen {
    /// What an account is at the moment of its snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        Self { equity: snapshot.account.equity, positions: snapshot.holdings.len(), at: snapshot.as_of }
    }
}
