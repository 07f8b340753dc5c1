//! Trading sessions: which days the exchange opens, from when to when (New York Stock Exchange, half days included).
//!
//! Always: sessions are sorted and do not overlap; every moment is computed once, when the table is read, so that a
//! question costs one binary search. The table is regular hours only; the edges of the extended sessions are rules.

use std::sync::{Arc, LazyLock};

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use super::MarketError;

/// The table of sessions.
static TABLE: &str = include_str!("../../data/xnys-sessions.csv");

/// Where the exchange is. The zone is compiled in, so the fallback is never taken.
static NEW_YORK: LazyLock<TimeZone> = LazyLock::new(|| TimeZone::get("America/New_York").unwrap_or(TimeZone::UTC));

/// The compiled-in calendar, read once.
static BUILTIN: LazyLock<Result<Arc<Calendar>, String>> = LazyLock::new(|| Calendar::parse(TABLE).map(Arc::new));

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
    /// Midnight at the beginning of the day, in New York.
    pub day_start: Timestamp,
    /// Midnight at its end.
    pub day_end: Timestamp,
    /// When a trade of this day settles: the next trading day (facts 9.1).
    pub settlement: Date,
}

impl Session {
    /// Whether the regular session runs.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.open <= at && at < self.close
    }

    /// Whether the pre-market, the regular or the after-hours session runs.
    pub fn contains_extended(&self, at: Timestamp) -> bool {
        self.extended_open <= at && at < self.extended_close
    }

    /// Whether the exchange closes early.
    pub fn is_half_day(&self) -> bool {
        self.close.duration_since(self.open).as_secs() < 6 * 3600
    }
}

/// All trading days.
#[derive(Debug)]
pub struct Calendar {
    sessions: Vec<Session>,
}

impl Calendar {
    /// The compiled-in calendar.
    ///
    /// # Errors
    /// A table that cannot be understood; the compiled-in one can.
    pub fn builtin() -> Result<Arc<Self>, MarketError> {
        BUILTIN.clone().map_err(|problem| MarketError::Data { file: "xnys-sessions.csv".into(), problem })
    }

    /// Reads `date,open,close` rows.
    pub(crate) fn parse(table: &str) -> Result<Self, String> {
        let mut sessions: Vec<Session> = Vec::new();
        for (number, line) in table.lines().enumerate().skip(1) {
            let session = parse_row(line).ok_or_else(|| format!("line {}: not `date,open,close`", number + 1))?;
            if let Some(last) = sessions.last_mut() {
                if session.date <= last.date {
                    return Err(format!("line {}: dates must rise", number + 1));
                }
                last.settlement = session.date;
            }
            sessions.push(session);
        }
        if sessions.is_empty() {
            return Err("no sessions".into());
        }
        Ok(Self { sessions })
    }

    /// All sessions, oldest first.
    pub fn all(&self) -> &[Session] {
        &self.sessions
    }

    /// Whether the regular session runs.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.running(at).is_some()
    }

    /// The session of a date.
    pub fn on(&self, date: Date) -> Option<&Session> {
        let index = self.sessions.binary_search_by_key(&date, |session| session.date).ok()?;
        self.sessions.get(index)
    }

    /// The session running at a moment (open <= at < close).
    pub fn running(&self, at: Timestamp) -> Option<&Session> {
        self.last_opened(at).and_then(|index| self.sessions.get(index)).filter(|session| at < session.close)
    }

    /// The session of the New York day that a moment is in.
    pub fn today(&self, at: Timestamp) -> Option<&Session> {
        let index = self.sessions.partition_point(|session| session.day_end <= at);
        self.sessions.get(index).filter(|session| session.day_start <= at)
    }

    /// The first session that opens after a moment: `next_open` of the clock.
    pub fn next_to_open(&self, at: Timestamp) -> Option<&Session> {
        self.sessions.get(self.sessions.partition_point(|session| session.open <= at))
    }

    /// The first session that closes after a moment: `next_close` of the clock.
    pub fn next_to_close(&self, at: Timestamp) -> Option<&Session> {
        self.sessions.get(self.sessions.partition_point(|session| session.close <= at))
    }

    /// The first session whose after-hours end after a moment.
    pub fn next_to_end(&self, at: Timestamp) -> Option<&Session> {
        self.sessions.get(self.sessions.partition_point(|session| session.extended_close <= at))
    }

    /// The last session of a day before the New York day of a moment: the one that `last_equity` speaks of.
    pub fn last_day(&self, at: Timestamp) -> Option<&Session> {
        let ended = self.sessions.partition_point(|session| session.day_end <= at);
        self.sessions.get(ended.checked_sub(1)?)
    }

    /// Sessions from one date to another, both inclusive.
    pub fn between(&self, start: Date, end: Date) -> &[Session] {
        let first = self.sessions.partition_point(|session| session.date < start);
        let last = self.sessions.partition_point(|session| session.date <= end);
        self.sessions.get(first..last).unwrap_or_default()
    }

    /// Index of the last session that has opened by a moment.
    pub(crate) fn last_opened(&self, at: Timestamp) -> Option<usize> {
        self.sessions.partition_point(|session| session.open <= at).checked_sub(1)
    }
}

fn parse_row(line: &str) -> Option<Session> {
    let mut cells = line.trim().split(',');
    let date: Date = cells.next()?.parse().ok()?;
    let open = moment(date, clock_time(cells.next()?)?)?;
    let close = moment(date, clock_time(cells.next()?)?)?;
    let next = date.tomorrow().ok()?;
    let half = close.duration_since(open).as_secs() < 6 * 3600;
    Some(Session {
        date,
        open,
        close,
        extended_open: moment(date, Time::constant(4, 0, 0, 0))?,
        extended_close: moment(date, Time::constant(if half { 17 } else { 20 }, 0, 0, 0))?,
        day_start: moment(date, Time::midnight())?,
        day_end: moment(next, Time::midnight())?,
        // The last row of the table keeps this; every other one gets the next row's date.
        settlement: next,
    })
}

fn clock_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

/// A wall-clock time in New York as a moment.
pub(crate) fn moment(date: Date, time: Time) -> Option<Timestamp> {
    NEW_YORK.to_timestamp(DateTime::from_parts(date, time)).ok()
}

/// A moment's date in New York.
pub fn new_york_date(at: Timestamp) -> Date {
    NEW_YORK.to_datetime(at).date()
}

/// A moment in New York, for offsets.
pub fn in_new_york(at: Timestamp) -> Zoned {
    at.to_zoned(NEW_YORK.clone())
}

/// The Monday of a date's week.
pub(crate) fn monday(date: Date) -> Date {
    date.saturating_sub(i64::from(date.weekday().to_monday_zero_offset()).days())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use jiff::civil::date;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn sessions_follow_new_york_through_the_change_of_clocks_and_half_days() {
        let calendar = Calendar::builtin().unwrap();
        assert_eq!(calendar.on(date(2022, 3, 11)).unwrap().open, at("2022-03-11T14:30:00Z"));
        assert_eq!(calendar.on(date(2022, 3, 14)).unwrap().open, at("2022-03-14T13:30:00Z"));
        let half = calendar.on(date(2022, 11, 25)).unwrap();
        assert_eq!(half.close, at("2022-11-25T18:00:00Z"));
        assert!(half.is_half_day());
        assert_eq!(half.settlement, date(2022, 11, 28));
        assert!(calendar.on(date(2022, 11, 24)).is_none(), "Thanksgiving");
    }

    #[test]
    fn the_clock_finds_the_next_open_and_close() {
        let calendar = Calendar::builtin().unwrap();
        let friday = at("2022-03-11T21:00:00Z");
        assert!(!calendar.is_open(friday), "the close itself is closed");
        assert!(calendar.is_open(at("2022-03-11T20:59:59.999Z")));
        assert!(calendar.is_open(at("2022-03-11T14:30:00Z")));
        assert_eq!(calendar.next_to_open(friday).unwrap().date, date(2022, 3, 14));
        assert_eq!(calendar.next_to_close(friday).unwrap().date, date(2022, 3, 14));
        assert_eq!(calendar.next_to_close(at("2022-03-11T20:00:00Z")).unwrap().date, date(2022, 3, 11));
        assert_eq!(calendar.last_day(friday).unwrap().date, date(2022, 3, 10));
        assert_eq!(calendar.last_day(at("2022-03-12T05:00:00Z")).unwrap().date, date(2022, 3, 11));
        assert_eq!(calendar.today(friday).unwrap().date, date(2022, 3, 11));
        assert!(calendar.today(at("2022-03-12T15:00:00Z")).is_none());
    }

    #[test]
    fn ranges_are_inclusive_and_weeks_begin_on_monday() {
        let calendar = Calendar::builtin().unwrap();
        assert_eq!(calendar.between(date(2022, 3, 11), date(2022, 3, 14)).len(), 2);
        assert_eq!(calendar.between(date(2022, 3, 12), date(2022, 3, 13)).len(), 0);
        assert_eq!(calendar.between(date(2022, 3, 14), date(2022, 3, 11)).len(), 0);
        assert_eq!(monday(date(2022, 3, 13)), date(2022, 3, 7));
        assert_eq!(new_york_date(at("2022-03-12T04:59:59Z")), date(2022, 3, 11));
    }

    #[test]
    fn a_bad_table_is_refused_with_its_line() {
        assert_eq!(Calendar::parse("date,open,close\n").unwrap_err(), "no sessions");
        assert!(Calendar::parse("h\n2022-01-03,09:30\n").unwrap_err().contains("line 2"));
        assert!(Calendar::parse("h\n2022-01-04,09:30,16:00\n2022-01-03,09:30,16:00\n").unwrap_err().contains("line 3"));
    }
}
