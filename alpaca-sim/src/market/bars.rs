//! Bars: what the path did over minutes, days and months (facts 6).
//!
//! Always: a bar in progress ends at the moment of asking; a longer bar is the sum of its minutes; volumes are made up
//! from the seed. Every minute is sampled every 15 seconds, so a high or low between the samples may be missed.
#![expect(clippy::float_arithmetic, reason = "market data travels as JSON numbers")]
#![expect(clippy::cast_precision_loss, reason = "cents and volumes are far inside the exact range")]

use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Timestamp};

use super::sessions::{self, Session};
use super::{Market, SymbolId, dice};

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
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let number: u32 = number.parse().ok()?;
        match (unit, number) {
            ("Min" | "T", 1..=59) => Some(Self::Minutes(number)),
            ("Hour" | "H", 1..=23) => Some(Self::Hours(number)),
            ("Day" | "D", 1) => Some(Self::Day),
            ("Week" | "W", 1) => Some(Self::Week),
            ("Month" | "M", 1 | 2 | 3 | 4 | 6 | 12) => Some(Self::Months(number)),
            _ => None,
        }
    }

    /// Where the bar that a moment of a session belongs to begins.
    fn begin(self, at: Timestamp, session: &Session) -> Timestamp {
        let within = |seconds: i64| {
            let since = at.duration_since(session.day_start).as_secs();
            session.day_start + SignedDuration::from_secs(since - since.rem_euclid(seconds))
        };
        match self {
            Self::Minutes(count) => within(60 * i64::from(count)),
            Self::Hours(count) => within(3600 * i64::from(count)),
            Self::Day => session.day_start,
            Self::Week => midnight(sessions::monday(session.date), session),
            Self::Months(count) => {
                let count = i8::try_from(count).unwrap_or(1).max(1);
                let month = session.date.month() - (session.date.month() - 1) % count;
                midnight(Date::new(session.date.year(), month, 1).unwrap_or(session.date), session)
            }
        }
    }
}

fn midnight(date: Date, session: &Session) -> Timestamp {
    sessions::moment(date, Time::midnight()).unwrap_or(session.day_start)
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

/// A bar that grows; its prices are in cents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growing {
    begin: Timestamp,
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    volume: u64,
    trades: u64,
    /// Sum of cents times shares.
    turnover: f64,
}

impl Growing {
    /// This bar and the one after it as one.
    fn then(mut self, later: &Self) -> Self {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume += later.volume;
        self.trades += later.trades;
        self.turnover += later.turnover;
        self
    }

    /// The bar with its prices multiplied and its volume divided: in the shares after a split.
    fn finish(&self, factor: f64) -> Bar {
        let price = |cents: f64| (cents * factor * 100.0).round() / 10_000.0;
        Bar {
            at: self.begin,
            open: price(self.open as f64),
            high: price(self.high as f64),
            low: price(self.low as f64),
            close: price(self.close as f64),
            volume: whole(self.volume as f64 / factor),
            trades: self.trades,
            vwap: price(self.turnover / self.volume.max(1) as f64),
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, not negative, far below 2^53")]
fn whole(value: f64) -> u64 {
    value.round().max(0.0) as u64
}

/// Moments of a minute that are sampled, in seconds.
const SAMPLES: [u32; 5] = [0, 15, 30, 45, 59];

impl Market {
    /// The bar of the current or last minute of a session, up to `at`.
    pub fn minute_bar(&self, ticker: &str, at: Timestamp) -> Option<Bar> {
        let symbol = self.symbol(ticker)?;
        let (index, session) = self.last_session(at)?;
        let until = at.min(session.close);
        let minute = until.duration_since(session.open).as_secs() / 60;
        let last = session.close.duration_since(session.open).as_secs() / 60 - 1;
        let minute = u32::try_from(minute.min(last)).ok()?;
        Some(self.minute(symbol, index, minute, until)?.finish(1.0))
    }

    /// The bar of the current or last trading day, up to `at`.
    pub fn daily_bar(&self, ticker: &str, at: Timestamp) -> Option<Bar> {
        let symbol = self.symbol(ticker)?;
        let (index, _) = self.last_session(at)?;
        Some(self.day(symbol, index, at)?.finish(1.0))
    }

    /// The bar of the trading day before that one.
    pub fn previous_daily_bar(&self, ticker: &str, at: Timestamp) -> Option<Bar> {
        let symbol = self.symbol(ticker)?;
        let (index, _) = self.last_session(at)?;
        Some(self.day(symbol, index.checked_sub(1)?, at)?.finish(1.0))
    }

    /// Historical bars up to `now` (the bar in progress included, up to `now`). For paging, ask for `limit + 1` and
    /// begin the next page at the last bar's `at`.
    pub fn bars(&self, ticker: &str, request: &BarRequest, now: Timestamp) -> Option<Vec<Bar>> {
        let symbol = self.symbol(ticker)?;
        // A bar that begins within the request is whole, so its later sessions are looked at too.
        let days = match request.timeframe {
            Timeframe::Minutes(_) | Timeframe::Hours(_) | Timeframe::Day => 0,
            Timeframe::Week => 7,
            Timeframe::Months(months) => i64::from(months) * 31,
        };
        let until = request.end.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MAX);
        let first = self.calendar.all().partition_point(|session| session.day_end <= request.start);
        let end = self.calendar.all().partition_point(|session| session.day_start <= until && session.open <= now);
        let mut found: Vec<Growing> = Vec::new();
        let mut take = |index: usize, now: Timestamp| -> bool {
            let mut day = self.bars_of_session(symbol, index, request, now);
            if !request.ascending {
                day.reverse();
            }
            for bar in day {
                match found.last_mut() {
                    Some(last) if last.begin == bar.begin => {
                        *last = if request.ascending { last.then(&bar) } else { bar.then(last) };
                    }
                    _ => found.push(bar),
                }
            }
            found.len() <= request.limit
        };
        if request.ascending {
            (first..end).all(|index| take(index, now));
        } else {
            (first..end).rev().all(|index| take(index, now));
        }
        found.truncate(request.limit);
        let path = self.path(symbol)?;
        let factor = |bar: &Growing| if request.split_adjusted { path.splits_between(bar.begin, now) } else { 1.0 };
        Some(found.iter().map(|bar| bar.finish(factor(bar))).collect())
    }

    /// The parts of a session, oldest first, that belong to bars beginning within the request.
    fn bars_of_session(&self, symbol: SymbolId, index: usize, request: &BarRequest, now: Timestamp) -> Vec<Growing> {
        let Some(session) = self.calendar.all().get(index) else { return Vec::new() };
        let wanted = |begin: Timestamp| request.start <= begin && begin <= request.end;
        let mut found: Vec<Growing> = Vec::new();
        match request.timeframe {
            Timeframe::Minutes(_) | Timeframe::Hours(_) => {
                let minutes = session.close.duration_since(session.open).as_secs() / 60;
                for minute in 0..u32::try_from(minutes).unwrap_or(0) {
                    let at = session.open + SignedDuration::from_secs(i64::from(minute) * 60);
                    let begin = request.timeframe.begin(at, session);
                    if at > now || begin > request.end {
                        break;
                    }
                    if !wanted(begin) {
                        continue;
                    }
                    let Some(mut part) = self.minute(symbol, index, minute, now) else { continue };
                    part.begin = begin;
                    match found.last_mut() {
                        Some(last) if last.begin == begin => *last = last.then(&part),
                        _ => found.push(part),
                    }
                }
            }
            Timeframe::Day | Timeframe::Week | Timeframe::Months(_) => {
                let begin = request.timeframe.begin(session.open, session);
                if wanted(begin)
                    && let Some(mut day) = self.day(symbol, index, now)
                {
                    day.begin = begin;
                    found.push(day);
                }
            }
        }
        found
    }

    /// A whole session, up to a moment; finished ones are kept.
    fn day(&self, symbol: SymbolId, index: usize, until: Timestamp) -> Option<Growing> {
        let session = self.calendar.all().get(index)?;
        let finished = session.close <= until;
        if finished && let Some(day) = self.days().get(&(symbol, index)) {
            return Some(*day);
        }
        let minutes = session.close.duration_since(session.open).as_secs() / 60;
        let parts = (0..u32::try_from(minutes).ok()?).map_while(|minute| self.minute(symbol, index, minute, until));
        let mut day = parts.reduce(|day, minute| day.then(&minute))?;
        day.begin = session.day_start;
        if finished {
            self.days().insert((symbol, index), day);
        }
        Some(day)
    }

    /// One minute of a session, up to a moment; nothing when it has not begun.
    fn minute(&self, symbol: SymbolId, index: usize, minute: u32, until: Timestamp) -> Option<Growing> {
        let session = self.calendar.all().get(index)?;
        let begin = session.open + SignedDuration::from_secs(i64::from(minute) * 60);
        if begin > until {
            return None;
        }
        let at = |second: u32| begin + SignedDuration::from_secs(i64::from(second));
        let mut bar: Option<Growing> = None;
        let last = (at(60) == session.close && session.close <= until).then_some(60);
        for second in SAMPLES.into_iter().chain(last).filter(|second| at(*second) <= until) {
            let cents = self.cents_in(symbol, index, session, at(second));
            let part = Growing {
                begin,
                open: cents,
                high: cents,
                low: cents,
                close: cents,
                volume: 0,
                trades: 0,
                turnover: 0.0,
            };
            bar = Some(bar.map_or(part, |bar| bar.then(&part)));
        }
        let mut bar = bar?;
        let luck = dice::pair(u64::from(symbol.0) ^ self.config.seed, (index as u64) << 16 | u64::from(minute));
        bar.volume = 1_000 + dice::below(luck, 19_000);
        bar.trades = 10 + dice::below(luck >> 32, 190);
        let middle = (bar.open + bar.high + bar.low + bar.close) as f64 / 4.0;
        bar.turnover = middle * bar.volume as f64;
        Some(bar)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, clippy::float_arithmetic, reason = "tests")]
    use super::super::tests::market;
    use super::*;
    use rust_decimal::prelude::ToPrimitive as _;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn request(timeframe: Timeframe, start: &str, end: &str) -> BarRequest {
        BarRequest { timeframe, start: at(start), end: at(end), ascending: true, limit: 10_000, split_adjusted: false }
    }

    #[test]
    fn timeframes_are_read_and_odd_ones_refused() {
        assert_eq!(Timeframe::parse("15Min"), Some(Timeframe::Minutes(15)));
        assert_eq!(Timeframe::parse("1D"), Some(Timeframe::Day));
        assert_eq!(Timeframe::parse("6Month"), Some(Timeframe::Months(6)));
        for odd in ["60Min", "2Day", "5Month", "Min", "", "0Min", "1Year"] {
            assert_eq!(Timeframe::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn daily_bars_close_at_the_published_close() {
        let market = market();
        let now = at("2022-03-20T00:00:00Z");
        let week = request(Timeframe::Day, "2022-03-07T00:00:00Z", "2022-03-18T23:00:00Z");
        let bars = market.bars("AAPL", &week, now).unwrap();
        assert_eq!(bars.len(), 10);
        assert_eq!(bars[0].at, at("2022-03-07T05:00:00Z"));
        assert_eq!(bars[9].at, at("2022-03-18T04:00:00Z"), "summer time");
        for bar in &bars {
            let close = market.trade("AAPL", bar.at + SignedDuration::from_hours(20)).unwrap();
            assert_eq!(Some(bar.close), close.price.to_f64());
            assert!(bar.low <= bar.open && bar.open <= bar.high && bar.low <= bar.vwap && bar.vwap <= bar.high);
        }
        let mut down = week;
        down.ascending = false;
        let mut reversed = market.bars("AAPL", &down, now).unwrap();
        reversed.reverse();
        assert_eq!(bars, reversed);
    }

    #[test]
    fn longer_bars_are_the_sum_of_shorter_ones() {
        let market = market();
        let now = at("2022-06-01T00:00:00Z");
        let span = ("2022-05-02T04:00:00Z", "2022-05-31T23:00:00Z");
        let days = market.bars("SPY", &request(Timeframe::Day, span.0, span.1), now).unwrap();
        let month = market.bars("SPY", &request(Timeframe::Months(1), "2022-05-01T04:00:00Z", span.1), now).unwrap();
        assert_eq!(month.len(), 1);
        assert_eq!(month[0].volume, days.iter().map(|bar| bar.volume).sum::<u64>());
        assert_eq!(month[0].high, days.iter().map(|bar| bar.high).fold(0.0, f64::max));
        assert_eq!((month[0].open, month[0].close), (days[0].open, days.last().unwrap().close));
        let weeks = market.bars("SPY", &request(Timeframe::Week, span.0, span.1), now).unwrap();
        assert_eq!(weeks.len(), 5);
        let minutes = request(Timeframe::Minutes(1), "2022-05-02T13:30:00Z", "2022-05-02T19:59:00Z");
        let minutes = market.bars("SPY", &minutes, now).unwrap();
        assert_eq!(minutes.len(), 390);
        assert_eq!(minutes[389].close, days[0].close);
        let hours = request(Timeframe::Hours(1), "2022-05-02T13:00:00Z", "2022-05-02T23:00:00Z");
        let hours = market.bars("SPY", &hours, now).unwrap();
        assert_eq!((hours.len(), hours[0].at), (7, at("2022-05-02T13:00:00Z")));
    }

    #[test]
    fn a_bar_in_progress_ends_now_and_pages_continue() {
        let market = market();
        let now = at("2022-05-02T15:00:30Z");
        let day = market.daily_bar("SPY", now).unwrap();
        let price = market.trade("SPY", now).unwrap().price.to_f64().unwrap();
        assert_eq!(day.close, price);
        assert_eq!(market.minute_bar("SPY", now).unwrap().at, at("2022-05-02T15:00:00Z"));
        assert_eq!(market.previous_daily_bar("SPY", now).unwrap().at, at("2022-04-29T04:00:00Z"));
        let mut page = request(Timeframe::Minutes(5), "2022-05-02T13:30:00Z", "2022-05-02T20:00:00Z");
        let all = market.bars("SPY", &page, now).unwrap();
        assert_eq!(all.len(), 19);
        page.limit = 8;
        let first = market.bars("SPY", &page, now).unwrap();
        page.start = all[8].at;
        let second = market.bars("SPY", &page, now).unwrap();
        assert_eq!([&first[..], &second[..]].concat(), all[..16]);
    }
}
