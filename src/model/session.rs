//! Trading days of the exchange: when each opens and really closes, half days included.
//!
//! A day that is not in the table has no session, and a day beyond the table's end is unknown, which is not the same:
//! unknown is closed, with an alarm (rule 5).

use std::collections::BTreeMap;
use std::ops::Bound;

use jiff::tz::TimeZone;

use crate::model::time::{Day, Moment};

/// One regular session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The exchange's calendar day.
    pub day: Day,
    /// First moment of regular trading.
    pub open: Moment,
    /// First moment after regular trading.
    pub close: Moment,
}

impl Session {
    /// Whether regular trading is on at `moment`.
    pub fn contains(&self, moment: Moment) -> bool {
        self.open <= moment && moment < self.close
    }
}

/// The exchange's sessions, in order, with the zone that its days are counted in.
#[derive(Debug, Clone)]
pub struct Sessions {
    zone: TimeZone,
    by_day: BTreeMap<Day, Session>,
}

impl Sessions {
    /// Puts sessions in order.
    pub fn new(zone: TimeZone, sessions: impl IntoIterator<Item = Session>) -> Self {
        Self { zone, by_day: sessions.into_iter().map(|session| (session.day, session)).collect() }
    }

    /// The zone of the exchange.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The session of one day, if it has one.
    pub fn on(&self, day: Day) -> Option<&Session> {
        self.by_day.get(&day)
    }

    /// The session whose regular hours hold `moment`.
    pub fn at(&self, moment: Moment) -> Option<&Session> {
        self.on(moment.day_in(&self.zone)).filter(|session| session.contains(moment))
    }

    /// The sessions of `first..=last`, in order.
    pub fn between(&self, first: Day, last: Day) -> impl DoubleEndedIterator<Item = &Session> {
        let last = last.max(first);
        self.by_day.range(first..=last).map(|(_, session)| session)
    }

    /// The last session before `day`.
    pub fn before(&self, day: Day) -> Option<&Session> {
        self.by_day.range(..day).next_back().map(|(_, session)| session)
    }

    /// The first session after `day`.
    pub fn after(&self, day: Day) -> Option<&Session> {
        let later = (Bound::Excluded(day), Bound::Unbounded);
        self.by_day.range(later).next().map(|(_, session)| session)
    }

    /// Whether the table knows this day at all (trading day or not).
    pub fn covers(&self, day: Day) -> bool {
        let first = self.by_day.keys().next();
        let last = self.by_day.keys().next_back();
        matches!((first, last), (Some(first), Some(last)) if *first <= day && day <= *last)
    }
}
