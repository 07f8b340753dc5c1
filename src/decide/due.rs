//! When: strategies, sessions and the ledger in, due moments out.
//!
//! A wall-clock time of a cron rule happens exactly once on every day it names: a time that the spring change leaves out
//! is moved forward by the length of the gap, a time that the autumn change repeats is taken the first time (L4, row 46).
//! The set of moments depends on the rule alone, never on how the time line is cut into questions.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::run::DueMoment;
use crate::model::session::{Session, Sessions};
use crate::model::strategy::{CronRule, Every, Misfire, Schedule, SessionPoint, Strategy, When};
use crate::model::time::{Moment, Span};

/// A moment this late still counts as on time: bells are late, processes pause.
const ON_TIME: Span = Span::from_secs(90);

/// At most so many moments of one question are looked at: two months of a rule that rings each minute, the densest there
/// is.
const MOMENTS_MAX: usize = 100_000;

/// At most so many missed moments are recorded one by one; older ones are left out.
const MISSED_MAX: usize = 50;

/// No time zone is further from UTC, and no change of its clocks is larger.
const ZONE_REACH: Span = Span::from_hours(30);

/// Where a point beyond the close of a half day is put, before that close: time enough for both halves of a run.
const LAST_LOOK: Span = Span::from_mins(15);

/// The scheduled moments in `(after, until]`, in order.
pub fn moments(strategy: &Strategy, sessions: &Sessions, after: Moment, until: Moment) -> Vec<Moment> {
    if until <= after {
        return Vec::new();
    }
    let mut moments = match &strategy.when().schedule {
        Schedule::Cron(rule) => cron_moments(rule, after, until),
        Schedule::Session { every, at } => session_moments(sessions, (*every, *at), after, until),
    };
    moments.retain(|moment| after < *moment && *moment <= until);
    moments.sort_unstable();
    moments.dedup();
    moments
}

/// The rule is read on wall-clock times, as if they were UTC, and each is then placed in its zone.
fn cron_moments(rule: &CronRule, after: Moment, until: Moment) -> Vec<Moment> {
    let wall = |moment: Moment| moment.timestamp().to_zoned(rule.zone().clone()).datetime();
    let first = wall(after).saturating_sub(ZONE_REACH);
    let last = wall(until).saturating_add(ZONE_REACH);
    let mut found = Vec::new();
    let mut cursor = first;
    while found.len() < MOMENTS_MAX {
        let Some(next) = next_wall_time(rule, cursor) else { break };
        if next > last {
            break;
        }
        if let Ok(zoned) = next.to_zoned(rule.zone().clone()) {
            found.push(Moment::from(zoned.timestamp()));
        }
        cursor = next;
    }
    found
}

fn next_wall_time(rule: &CronRule, after: DateTime) -> Option<DateTime> {
    let start = after.to_zoned(TimeZone::UTC).ok()?;
    rule.cron().find_next_occurrence(&start, false).ok().map(|zoned| zoned.datetime())
}

fn session_moments(
    sessions: &Sessions,
    (every, at): (Every, SessionPoint),
    after: Moment,
    until: Moment,
) -> Vec<Moment> {
    let zone = sessions.zone();
    sessions
        .between(after.day_in(zone), until.day_in(zone))
        .filter(|session| begins(sessions, session, every))
        .map(|session| point(session, at))
        .collect()
}

/// Whether this session is the first of its week, month, quarter or year.
fn begins(sessions: &Sessions, session: &Session, every: Every) -> bool {
    let Some(before) = sessions.before(session.day) else { return true };
    let (day, last) = (session.day, before.day);
    let quarter = |month: i8| (month - 1) / 3;
    match every {
        Every::Session => true,
        Every::Week => {
            let (this, that) = (day.iso_week_date(), last.iso_week_date());
            (this.year(), this.week()) != (that.year(), that.week())
        }
        Every::Month => (day.year(), day.month()) != (last.year(), last.month()),
        Every::Quarter => (day.year(), quarter(day.month())) != (last.year(), quarter(last.month())),
        Every::Year => day.year() != last.year(),
    }
}

/// A point before the close of a half day may lie before its open: then it is the open. One after its open may lie beyond
/// its close: then it is shortly before the close.
fn point(session: &Session, at: SessionPoint) -> Moment {
    match at {
        SessionPoint::AfterOpen(minutes) => {
            let at = session.open + Span::from_mins(i64::from(minutes));
            if at < session.close { at } else { session.close - LAST_LOOK }
        }
        SessionPoint::BeforeClose(minutes) => (session.close - Span::from_mins(i64::from(minutes))).max(session.open),
    }
}

/// How long a run may wait for its turn after its moment: what is older would trade on a day that its author did not mean.
pub fn valid_for(when: &When) -> Span {
    Span::from_mins(i64::from(when.grace_minutes)).max(ON_TIME)
}

/// The missed moments that are too many to be recorded one by one: how many, the first and the last.
pub fn left_out(
    strategy: &Strategy,
    sessions: &Sessions,
    ledger: Moment,
    now: Moment,
) -> Option<(usize, Moment, Moment)> {
    let all = moments(strategy, sessions, ledger, now);
    let old = all.get(..all.len().saturating_sub(MISSED_MAX + 1))?;
    Some((old.len(), *old.first()?, *old.last()?))
}

/// What is due at `now`, when everything up to `ledger` has been looked at: moments to run, and moments that are
/// recorded as missed, in order.
///
/// At most one late moment runs, and only inside the strategy's grace (row 51).
pub fn due(strategy: &Strategy, sessions: &Sessions, ledger: Moment, now: Moment) -> Vec<DueMoment> {
    let when = strategy.when();
    let grace = match when.misfire {
        Misfire::Skip => ON_TIME,
        Misfire::RunOnce => Span::from_mins(i64::from(when.grace_minutes)).max(ON_TIME),
    };
    let all = moments(strategy, sessions, ledger, now);
    let newest = all.last().copied();
    let skipped = all.len().saturating_sub(MISSED_MAX + 1);
    all.into_iter()
        .skip(skipped)
        .map(|at| {
            let lateness = now.since(at);
            let runs = lateness <= ON_TIME || (Some(at) == newest && lateness <= grace);
            DueMoment { strategy: strategy.name().clone(), at, missed: !runs }
        })
        .collect()
}
