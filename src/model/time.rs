//! Moments, days and spans. There is no `now` here: whoever needs the time is told it.

use std::fmt;
use std::ops::{Add, Sub};

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

/// A calendar day at the exchange.
pub type Day = Date;

/// A length of time.
pub type Span = SignedDuration;

/// A moment, exact to the microsecond (what both databases keep).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

/// Why a text is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time: RFC 3339 such as 2026-11-23T15:45:00Z is")]
pub struct NotAMoment {
    text: String,
}

impl Moment {
    /// The first moment that can be told: 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 with any offset (facts, wire conventions).
    ///
    /// # Errors
    /// [`NotAMoment`] when the text is something else.
    pub fn parse(text: &str) -> Result<Self, NotAMoment> {
        text.parse::<Timestamp>().map(Self::from).map_err(|_| NotAMoment { text: text.chars().take(40).collect() })
    }

    /// As a time-zone-aware library's timestamp.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX })
    }

    /// The calendar day that this moment falls on in `zone`.
    pub fn day_in(self, zone: &TimeZone) -> Day {
        self.timestamp().to_zoned(zone.clone()).date()
    }

    /// How long after `earlier` this is; negative when before it.
    pub fn since(self, earlier: Self) -> Span {
        Span::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp.as_microsecond())
    }
}

impl Add<Span> for Moment {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Span> for Moment {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.timestamp(), f)
    }
}
