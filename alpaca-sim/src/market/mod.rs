//! The market: trading sessions, price paths, quotes, trades and bars; nothing here knows accounts.
//!
//! Always: a price is a function of (seed, symbol, moment) and the adjustments the control side made, so asking twice
//! gives the same answer. Days before the data have the first close, days after it keep the last close (the day still
//! moves around it); outside sessions the price is the last close.

use jiff::Timestamp;
use rust_decimal::Decimal;

/// A symbol's number within a market; smaller tickers have smaller numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolId(pub(crate) u32);

/// Where daily closes come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PriceSource {
    /// What is compiled in: see `data/README.md`.
    #[default]
    Builtin,
    /// A CSV file (`.csv` or `.csv.gz`) with a `Date` column and one column of daily closes per ticker, on top of what
    /// is compiled in; its columns win.
    File(std::path::PathBuf),
}

/// How prices behave.
#[derive(Debug, Clone)]
pub struct MarketConfig {
    /// Every path follows from it.
    pub seed: u64,
    /// A price holds for so many seconds, counted from the opening.
    pub price_step_seconds: u32,
    /// Full spread of a quote in basis points.
    pub spread_bps: Decimal,
    /// Daily closes.
    pub prices: PriceSource,
}

/// Why there is no market.
#[derive(Debug, thiserror::Error)]
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

/// One bar; floats, because market data travels as JSON numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Beginning; midnight in New York for days and longer.
    pub at: Timestamp,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Shares.
    pub volume: u64,
    /// Trades.
    pub trades: u64,
    /// Volume-weighted average price.
    pub vwap: f64,
}

/// Length of a bar (facts 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeframe {
    /// 1 to 59.
    Minutes(u32),
    /// 1 to 23.
    Hours(u32),
    /// A trading day.
    Day,
    /// Monday to Friday.
    Week,
    /// 1, 2, 3, 4, 6 or 12.
    Months(u32),
}

impl Timeframe {
    /// Reads `5Min`, `1Hour`, `1Day`, `1Week`, `3Month` and their short forms (`5T`, `1H`, `1D`, `1W`, `3M`).
    pub fn parse(text: &str) -> Option<Self> {
        todo!()
    }
}

/// Which bars.
#[derive(Debug, Clone, Copy)]
pub struct BarRequest {
    /// Length.
    pub timeframe: Timeframe,
    /// First moment, inclusive: bars beginning at or after it.
    pub start: Timestamp,
    /// Last moment, inclusive.
    pub end: Timestamp,
    /// Oldest first when true.
    pub ascending: bool,
    /// At most so many.
    pub limit: usize,
    /// Prices before a split in today's shares (`adjustment` other than `raw`).
    pub split_adjusted: bool,
}

/// Prices and sessions.
#[derive(Debug)]
pub struct Market;

impl Market {
    /// Loads sessions and closes.
    pub fn new(config: MarketConfig) -> Result<Self, MarketError> {
        todo!()
    }

    /// Trading days.
    pub fn calendar(&self) -> &sessions::Calendar {
        todo!()
    }

    /// All tickers, sorted.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// A ticker's number.
    pub fn symbol(&self, ticker: &str) -> Option<SymbolId> {
        todo!()
    }

    /// The quote at a moment; none for an unknown ticker.
    pub fn quote(&self, ticker: &str, at: Timestamp) -> Option<Quote> {
        todo!()
    }

    /// The last trade at a moment.
    pub fn trade(&self, ticker: &str, at: Timestamp) -> Option<Trade> {
        todo!()
    }

    /// The bar of the current or last minute of a session, up to `at`.
    pub fn minute_bar(&self, ticker: &str, at: Timestamp) -> Option<Bar> {
        todo!()
    }

    /// The bar of the current or last trading day, up to `at`.
    pub fn daily_bar(&self, ticker: &str, at: Timestamp) -> Option<Bar> {
        todo!()
    }

    /// The bar of the trading day before that one.
    pub fn previous_daily_bar(&self, ticker: &str, at: Timestamp) -> Option<Bar> {
        todo!()
    }

    /// Historical bars up to `now` (the bar in progress included, up to `now`). For paging, ask for `limit + 1` and
    /// begin the next page at the last bar's `at`.
    pub fn bars(&self, ticker: &str, request: &BarRequest, now: Timestamp) -> Option<Vec<Bar>> {
        todo!()
    }
}

pub mod sessions {
    //! Front door only.
    use jiff::Timestamp;
    use jiff::civil::Date;

    /// One trading day.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Session {
        /// The day, in New York.
        pub date: Date,
        /// Start of the regular session.
        pub open: Timestamp,
        /// End of the regular session.
        pub close: Timestamp,
        /// Start of the pre-market (04:00).
        pub extended_open: Timestamp,
        /// End of the after-hours session (20:00; 17:00 on half days).
        pub extended_close: Timestamp,
        /// When a trade of this day settles: the next trading day.
        pub settlement: Date,
    }

    /// All trading days.
    #[derive(Debug)]
    pub struct Calendar;

    impl Calendar {
        /// Whether the regular session runs.
        pub fn is_open(&self, at: Timestamp) -> bool {
            todo!()
        }
        /// The session of a date.
        pub fn on(&self, date: Date) -> Option<&Session> {
            todo!()
        }
        /// The session running at a moment (open <= at < close).
        pub fn running(&self, at: Timestamp) -> Option<&Session> {
            todo!()
        }
        /// The first session that opens after a moment: `next_open` of the clock.
        pub fn next_to_open(&self, at: Timestamp) -> Option<&Session> {
            todo!()
        }
        /// The first session that closes after a moment: `next_close` of the clock.
        pub fn next_to_close(&self, at: Timestamp) -> Option<&Session> {
            todo!()
        }
        /// Sessions from one date to another, both inclusive.
        pub fn between(&self, start: Date, end: Date) -> &[Session] {
            todo!()
        }
    }

    /// A moment's date in New York.
    pub fn new_york_date(at: Timestamp) -> Date {
        todo!()
    }

    /// A moment in New York, for offsets.
    pub fn in_new_york(at: Timestamp) -> jiff::Zoned {
        todo!()
    }
}
