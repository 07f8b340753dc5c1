//! The market: trading sessions, price paths, quotes, trades and bars; nothing here knows accounts.
//!
//! Always: a price is a function of (seed, symbol, moment) and the changes the control side made, so asking twice
//! gives the same answer. Days before the data have the first close, days after it keep the last close (the day still
//! moves around it); outside regular sessions the price is the last close. The last trade is in whole cents and is
//! exactly the middle of the quote.

mod bars;
mod closes;
pub(crate) mod dice;
mod extremes;
mod listing;
mod path;
pub mod sessions;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

pub use self::bars::{Bar, BarRequest, Timeframe};
pub(crate) use self::path::Change;
use self::path::Path;
use self::sessions::{Calendar, Session};

/// A symbol's number within a market; smaller tickers have smaller numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolId(pub(crate) u32);

impl SymbolId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where daily closes come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PriceSource {
    /// What is compiled in: see `data/README.md`.
    #[default]
    Builtin,
    /// A CSV file (plain or gzip) with a `Date` column and one column of daily closes per ticker, on top of what is
    /// compiled in; its columns win.
    File(PathBuf),
}

/// How prices behave.
#[derive(Debug, Clone)]
pub struct MarketConfig {
    /// Every path follows from it.
    pub seed: u64,
    /// A price holds for so many seconds, counted from the opening.
    pub price_step_seconds: u32,
    /// Full spread of a quote in basis points; at least two cents whatever it says.
    pub spread_bps: Decimal,
    /// Daily closes.
    pub prices: PriceSource,
}

impl Default for MarketConfig {
    fn default() -> Self {
        Self { seed: 0, price_step_seconds: 1, spread_bps: Decimal::TWO, prices: PriceSource::Builtin }
    }
}

/// Why there is no market.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MarketError {
    /// A file that cannot be read or understood.
    #[error("{file}: {problem}")]
    Data {
        /// Which.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A two-sided quote. `(bid + ask) / 2` is exactly the last trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Best bid.
    pub bid: Decimal,
    /// Best offer.
    pub ask: Decimal,
    /// Shares at the bid.
    pub bid_size: u32,
    /// Shares at the offer.
    pub ask_size: u32,
    /// Beginning of the price step.
    pub at: Timestamp,
}

/// The last trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade {
    /// Its price, in cents.
    pub price: Decimal,
    /// Its shares.
    pub size: u32,
    /// Beginning of the price step.
    pub at: Timestamp,
}

/// What is known of a symbol besides its price.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) ticker: Arc<str>,
    pub(crate) name: String,
    pub(crate) exchange: &'static str,
    path: Path,
}

/// Prices and sessions.
#[derive(Debug)]
pub struct Market {
    config: MarketConfig,
    calendar: Arc<Calendar>,
    listings: Vec<Listing>,
    by_ticker: HashMap<Arc<str>, SymbolId>,
    /// Half the spread in millionths of the price.
    half_spread: i64,
    /// Bars of finished days.
    days: Mutex<HashMap<(SymbolId, usize), bars::Growing>>,
    /// Extremes of the session that orders wait in.
    extremes: Mutex<extremes::Extremes>,
}

impl Market {
    /// Loads sessions and closes.
    ///
    /// # Errors
    /// A file of closes that cannot be read or understood.
    pub fn new(config: MarketConfig) -> Result<Self, MarketError> {
        let calendar = Calendar::builtin()?;
        let tables = closes::builtin()?;
        let mut found: BTreeMap<String, (closes::Series, bool)> = BTreeMap::new();
        found.insert("SPY".into(), (listing::spy(&tables.index), false));
        for proxy in listing::PROXIES {
            found.insert(proxy.ticker.into(), (proxy.path(config.seed, &tables.index), false));
        }
        for (ticker, series) in &tables.symbols {
            found.insert(ticker.clone(), (series.clone(), false));
        }
        if let PriceSource::File(path) = &config.prices {
            for (ticker, series) in closes::read_file(path, &calendar)? {
                found.insert(ticker, (series, true));
            }
        }
        let mut listings = Vec::with_capacity(found.len());
        let mut by_ticker = HashMap::with_capacity(found.len());
        for (number, (ticker, (series, from_file))) in (0_u32..).zip(found) {
            let (name, exchange) = listing::describe(&ticker, from_file);
            let path = Path::new(config.seed, &ticker, series);
            let ticker: Arc<str> = ticker.into();
            by_ticker.insert(ticker.clone(), SymbolId(number));
            listings.push(Listing { ticker, name, exchange, path });
        }
        let half_spread = (config.spread_bps * Decimal::from(50)).ceil().clamp(Decimal::ZERO, Decimal::from(500_000));
        let half_spread = i64::try_from(half_spread).unwrap_or(100);
        Ok(Self {
            config,
            calendar,
            listings,
            by_ticker,
            half_spread,
            days: Mutex::default(),
            extremes: Mutex::default(),
        })
    }

    /// Trading days.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// All tickers, sorted.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        self.listings.iter().map(|listing| listing.ticker.as_ref())
    }

    /// A ticker's number.
    pub fn symbol(&self, ticker: &str) -> Option<SymbolId> {
        self.by_ticker.get(ticker).copied()
    }

    /// The quote at a moment; none for an unknown ticker.
    pub fn quote(&self, ticker: &str, at: Timestamp) -> Option<Quote> {
        self.symbol(ticker).map(|symbol| self.quote_of(symbol, at))
    }

    /// The last trade at a moment.
    pub fn trade(&self, ticker: &str, at: Timestamp) -> Option<Trade> {
        let symbol = self.symbol(ticker)?;
        let (cents, at) = self.cents(symbol, at);
        let size = 100 + dice::below(self.luck(symbol, at) >> 16, 900);
        Some(Trade { price: dollars(cents), size: u32::try_from(size).unwrap_or(100), at })
    }

    pub(crate) fn listings(&self) -> &[Listing] {
        &self.listings
    }

    pub(crate) fn ticker(&self, symbol: SymbolId) -> Arc<str> {
        self.listings.get(symbol.index()).map_or_else(|| Arc::from(""), |listing| listing.ticker.clone())
    }

    /// The quote of a known symbol.
    pub(crate) fn quote_of(&self, symbol: SymbolId, at: Timestamp) -> Quote {
        let (cents, began) = self.cents(symbol, at);
        let half = self.half_spread(cents);
        let luck = self.luck(symbol, began);
        let size = |luck: u64| u32::try_from(100 * (1 + dice::below(luck, 20))).unwrap_or(100);
        Quote {
            bid: dollars(cents - half),
            ask: dollars(cents + half),
            bid_size: size(luck & 0xffff_ffff),
            ask_size: size(luck >> 32),
            at: self.quoted(began, at),
        }
    }

    /// The last trade's price of a known symbol.
    pub(crate) fn price_of(&self, symbol: SymbolId, at: Timestamp) -> Decimal {
        dollars(self.cents(symbol, at).0)
    }

    /// The close of the last trading day before the New York day of a moment, in the shares of that moment.
    pub(crate) fn last_day_price(&self, symbol: SymbolId, at: Timestamp) -> Decimal {
        let Some(session) = self.calendar.last_day(at) else { return self.price_of(symbol, at) };
        let close = self.price_of(symbol, session.close);
        let factor = self.path(symbol).map_or(1.0, |path| path.splits_between(session.close, at));
        match Decimal::try_from(factor) {
            Ok(factor) if factor != Decimal::ONE => (close * factor).round_dp(4),
            _ => close,
        }
    }

    /// Half of the spread around a price, in cents: at least one, and less than the price.
    pub(crate) fn half_spread(&self, cents: i64) -> i64 {
        let millionths = cents.saturating_mul(self.half_spread);
        (millionths / 1_000_000 + i64::from(millionths % 1_000_000 != 0)).clamp(1, (cents - 1).max(1))
    }

    /// When a quote was last said: in a session the market makers repeat theirs every second, whether the price moved or
    /// not; after the close the last one stands.
    fn quoted(&self, began: Timestamp, at: Timestamp) -> Timestamp {
        match self.last_session(at) {
            Some((_, session)) if at < session.close => {
                Timestamp::from_second(at.as_second()).unwrap_or(began).max(began)
            }
            _ => began,
        }
    }

    /// The last trade in cents, and when its step began.
    pub(crate) fn cents(&self, symbol: SymbolId, at: Timestamp) -> (i64, Timestamp) {
        match self.last_session(at) {
            Some((index, session)) if at < session.close => {
                let since = at.duration_since(session.open).as_secs();
                let step = i64::from(self.config.price_step_seconds.max(1));
                let began = session.open + SignedDuration::from_secs(since - since % step);
                (self.cents_in(symbol, index, session, at), began)
            }
            Some((index, session)) => (self.path(symbol).map_or(2, |path| path.close_cents(index, at)), session.close),
            None => (self.path(symbol).map_or(2, |path| path.close_cents(0, at)), at),
        }
    }

    /// The price within a session (its end included); changes count from the moment they are made.
    fn cents_in(&self, symbol: SymbolId, index: usize, session: &Session, at: Timestamp) -> i64 {
        let Some(path) = self.path(symbol) else { return 2 };
        if at >= session.close {
            return path.close_cents(index, at);
        }
        let since = u32::try_from(at.duration_since(session.open).as_secs()).unwrap_or(0);
        let length = u32::try_from(session.close.duration_since(session.open).as_secs()).unwrap_or(1);
        path.cents(index, since - since % self.config.price_step_seconds.max(1), length, at)
    }

    /// The last session that has opened by a moment.
    fn last_session(&self, at: Timestamp) -> Option<(usize, &Session)> {
        let index = self.calendar.last_opened(at)?;
        self.calendar.all().get(index).map(|session| (index, session))
    }

    pub(crate) fn step_seconds(&self) -> i64 {
        i64::from(self.config.price_step_seconds.max(1))
    }

    pub(crate) fn change(&mut self, symbol: SymbolId, from: Timestamp, change: Change) {
        if let Some(listing) = self.listings.get_mut(symbol.index()) {
            listing.path.change(from, change);
        }
    }

    fn path(&self, symbol: SymbolId) -> Option<&Path> {
        self.listings.get(symbol.index()).map(|listing| &listing.path)
    }

    fn luck(&self, symbol: SymbolId, at: Timestamp) -> u64 {
        dice::pair(self.config.seed ^ u64::from(symbol.0), at.as_second().unsigned_abs())
    }

    fn days(&self) -> MutexGuard<'_, HashMap<(SymbolId, usize), bars::Growing>> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cents as dollars.
pub(crate) fn dollars(cents: i64) -> Decimal {
    Decimal::new(cents, 2)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    pub(super) fn market() -> Market {
        Market::new(MarketConfig { seed: 42, ..MarketConfig::default() }).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_step_holds_its_price_and_the_next_moves() {
        let config = MarketConfig { seed: 1, price_step_seconds: 60, ..MarketConfig::default() };
        let market = Market::new(config).unwrap();
        let open = at("2022-03-01T14:30:00Z");
        let moved = (0..390).filter(|minute| {
            let begin = open + SignedDuration::from_mins(*minute);
            let first = market.quote("MSFT", begin).unwrap();
            let last = market.quote("MSFT", begin + SignedDuration::from_millis(59_999)).unwrap();
            assert_eq!(last, Quote { at: begin + SignedDuration::from_secs(59), ..first }, "said again, unchanged");
            let next = market.quote("MSFT", begin + SignedDuration::from_secs(60)).unwrap();
            assert_eq!((first.at, next.at), (begin, begin + SignedDuration::from_secs(60)));
            (first.bid, first.bid_size, first.ask_size) != (next.bid, next.bid_size, next.ask_size)
        });
        assert!(moved.count() > 300);
    }

    #[test]
    fn outside_sessions_the_price_is_the_last_close() {
        let market = market();
        let close = market.trade("AAPL", at("2022-03-11T21:00:00Z")).unwrap();
        assert_eq!(close.price.to_string(), "153.59");
        for later in ["2022-03-11T22:00:00Z", "2022-03-13T12:00:00Z", "2022-03-14T13:29:59Z"] {
            assert_eq!(market.trade("AAPL", at(later)).unwrap(), close);
        }
        assert_ne!(market.trade("AAPL", at("2022-03-14T13:30:00Z")).unwrap().at, close.at);
        assert!(market.quote("NOSUCH", at("2022-03-14T13:30:00Z")).is_none());
    }

    #[test]
    fn a_file_adds_symbols_and_wins_over_what_is_compiled_in() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("closes.csv");
        std::fs::write(&file, "Date,AAPL,MINE\n2022-03-10,10,20\n2022-03-11,11,21\n").unwrap();
        let config = MarketConfig { prices: PriceSource::File(file), ..MarketConfig::default() };
        let market = Market::new(config).unwrap();
        let evening = at("2022-03-11T22:00:00Z");
        assert_eq!(market.trade("AAPL", evening).unwrap().price, Decimal::from(11));
        assert_eq!(market.trade("MINE", evening).unwrap().price, Decimal::from(21));
        assert!(market.trade("MSFT", evening).is_some());
        let missing = MarketConfig { prices: PriceSource::File("/nonexistent.csv".into()), ..MarketConfig::default() };
        assert!(Market::new(missing).unwrap_err().to_string().contains("/nonexistent.csv"));
    }

    #[test]
    fn seeds_differ_and_agree_with_themselves() {
        let noon = at("2022-03-11T17:00:00Z");
        let other = Market::new(MarketConfig { seed: 43, ..MarketConfig::default() }).unwrap();
        assert_eq!(market().quote("AGG", noon), market().quote("AGG", noon));
        assert_ne!(market().trade("AGG", noon).unwrap().price, other.trade("AGG", noon).unwrap().price);
    }

    /// A bound so wide that only a change of order of magnitude breaks it; 0.2 s were measured at `opt-level = 1`.
    #[test]
    fn a_million_quotes_take_seconds_at_most() {
        let market = market();
        let tickers: Vec<&str> = market.symbols().collect();
        let open = at("2022-03-01T14:30:00Z");
        let begin = std::time::Instant::now();
        let mut dearest = Decimal::ZERO;
        for (number, ticker) in (0..1_000_000).zip(tickers.iter().cycle()) {
            let moment = open + SignedDuration::from_millis(number * 20);
            dearest = dearest.max(market.quote(ticker, moment).unwrap().ask);
        }
        assert!(dearest > Decimal::ONE);
        assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    }

    proptest! {
        #[test]
        fn the_quote_stands_exactly_around_the_last_trade(second in 0_i64..1_030_000_000, which in 0_usize..60) {
            static MARKET: std::sync::LazyLock<Market> = std::sync::LazyLock::new(market);
            let moment = Timestamp::from_second(631_000_000 + second).unwrap();
            let ticker = MARKET.symbols().nth(which).unwrap();
            let quote = MARKET.quote(ticker, moment).unwrap();
            let trade = MARKET.trade(ticker, moment).unwrap();
            prop_assert!(quote.bid > Decimal::ZERO && quote.bid < trade.price && trade.price < quote.ask);
            prop_assert_eq!((quote.bid + quote.ask) / Decimal::TWO, trade.price);
            prop_assert_eq!(quote.bid.scale(), 2);
            prop_assert!(quote.ask - quote.bid <= (trade.price * Decimal::new(2, 4)).max(Decimal::new(2, 2)) + Decimal::new(2, 2));
            prop_assert!(quote.at <= moment);
        }
    }
}
