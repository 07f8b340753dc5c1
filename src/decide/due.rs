//! When: strategies, sessions and the ledger in, due moments out.
//!
//! A wall-clock time of a cron rule happens exactly once on every day it names: a time that the spring change leaves out
//! is moved forward by the length of the gap, a time that the autumn change repeats is taken the first time (L4, row 46).
//! The set of moments depends on the rule alone, never on how the time line is cut into questions.

use jiff::ToSpan;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::run::{DueMoment, Fate, Turns};
use crate::model::schedule::{
    CronRule, Every, Misfire, On, Roll, Rule, Schedule, SessionPoint, SessionRule, SlotReason, When,
};
use crate::model::session::{Session, Sessions};
use crate::model::strategy::Strategy;
use crate::model::time::{Day, Moment, Span};

/// A moment this late still counts as on time: bells are late, processes pause.
const ON_TIME: Span = Span::from_secs(90);

/// At most so many moments of one question are looked at: two months of a rule that rings each minute, the densest there
/// is.
const MOMENTS_MAX: usize = 100_000;

/// At most so many missed moments are recorded one by one; older ones are left out.
const MISSED_MAX: usize = 50;

/// No time zone is further from UTC, and no change of its clocks is larger.
const ZONE_REACH: Span = Span::from_hours(30);

/// The last look of a session, before its close: time enough for both halves of a run. A point beyond the close of a half
/// day is put there, and no wave goes on longer.
const LAST_LOOK: Span = Span::from_mins(15);

/// A scheduled moment, and the schedule that names it: the first in the file, if several do.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// When.
    pub at: Moment,
    /// Which schedule says so.
    pub schedule: &'a Schedule,
}

impl Named<'_> {
    /// When its users have their turns.
    pub fn turns(&self, sessions: &Sessions) -> Turns {
        turns(self.schedule, sessions, self.at)
    }
}

/// The moments of all schedules in `(after, until]`, in order, none twice.
pub fn named<'a>(when: &'a When, sessions: &Sessions, after: Moment, until: Moment) -> Vec<Named<'a>> {
    if until <= after {
        return Vec::new();
    }
    let mut named = Vec::new();
    for schedule in when.schedules() {
        let moments = match &schedule.rule {
            Rule::Cron(rule) => cron_moments(rule, after, until),
            Rule::Session(rule) => session_moments(sessions, rule, after, until),
        };
        named.extend(moments.into_iter().map(|at| Named { at, schedule }));
    }
    named.retain(|moment| after < moment.at && moment.at <= until);
    // A stable sort: of two that name one moment, the first in the file stays first and is kept.
    named.sort_by_key(|moment| moment.at);
    named.dedup_by_key(|moment| moment.at);
    named
}

/// The scheduled moments in `(after, until]`, in order.
pub fn moments(strategy: &Strategy, sessions: &Sessions, after: Moment, until: Moment) -> Vec<Moment> {
    named(strategy.when(), sessions, after, until).into_iter().map(|moment| moment.at).collect()
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

fn session_moments(sessions: &Sessions, rule: &SessionRule, after: Moment, until: Moment) -> Vec<Moment> {
    let zone = sessions.zone();
    sessions
        .between(after.day_in(zone), until.day_in(zone))
        .filter(|session| is_chosen(sessions, session.day, rule))
        .map(|session| point(session, rule.at))
        .collect()
}

/// Whether the rule means this session: the first or last of its period, or the one that a named day is, or rolls to.
/// A session whose neighbour the table does not know is the last of nothing.
fn is_chosen(sessions: &Sessions, day: Day, rule: &SessionRule) -> bool {
    let before = sessions.before(day).map(|session| session.day);
    let after = sessions.after(day).map(|session| session.day);
    match (rule.every, rule.on, rule.roll) {
        (Every::Session, ..) => true,
        (every, On::First, _) => before.is_none_or(|before| period(every, before) != period(every, day)),
        (every, On::Last, _) => after.is_some_and(|after| period(every, after) != period(every, day)),
        // A named day is this session's when it lies on it, or between it and the next one.
        (_, _, Roll::Preceding) => {
            days(day, after.and_then(|after| after.yesterday().ok()).unwrap_or(day)).any(|day| is_named(day, rule))
        }
        (_, _, Roll::Following) => {
            days(before.and_then(|before| before.tomorrow().ok()).unwrap_or(day), day).any(|day| is_named(day, rule))
        }
    }
}

fn days(first: Day, last: Day) -> impl Iterator<Item = Day> {
    first.series(1.day()).take_while(move |day| *day <= last)
}

/// The week, month, quarter or year that holds a day.
fn period(every: Every, day: Day) -> (i16, i8) {
    match every {
        Every::Week => (day.iso_week_date().year(), day.iso_week_date().week()),
        Every::Session | Every::Month => (day.year(), day.month()),
        Every::Quarter => (day.year(), (day.month() - 1) / 3),
        Every::Year => (day.year(), 0),
    }
}

/// Whether the rule names this day. A day that its month does not have is that month's last one, or with
/// [`Roll::Following`] the first one of the next month.
fn is_named(day: Day, rule: &SessionRule) -> bool {
    let wanted = |month: i8| match (rule.every, rule.on) {
        (Every::Month, On::Day(wanted)) => Some(wanted),
        (Every::Quarter, On::Day(wanted)) => (month % 3 == 1).then_some(wanted),
        (_, On::Date { month: named, day: wanted }) => (month == named).then_some(wanted),
        _ => None,
    };
    if let On::Weekday(weekday) = rule.on {
        return day.weekday() == weekday;
    }
    let is_it = wanted(day.month()) == Some(day.day());
    let stands_in = match rule.roll {
        Roll::Preceding => day == day.last_of_month() && wanted(day.month()).is_some_and(|wanted| wanted > day.day()),
        Roll::Following => day.yesterday().is_ok_and(|last| {
            last == last.last_of_month() && wanted(last.month()).is_some_and(|wanted| wanted > last.day())
        }),
    };
    is_it || stands_in
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
/// A run that no schedule asked for has as long as the most patient one gives.
pub fn valid_for(when: &When, reason: &SlotReason) -> Span {
    let most = || when.schedules().map(grace).max().unwrap_or(ON_TIME);
    when.named(reason).map_or_else(most, grace)
}

fn grace(schedule: &Schedule) -> Span {
    Span::from_mins(i64::from(schedule.grace_minutes)).max(ON_TIME)
}

/// How late a missed moment may be made up for.
fn patience(schedule: &Schedule) -> Span {
    match schedule.misfire {
        Misfire::Skip => ON_TIME,
        Misfire::RunOnce => grace(schedule),
    }
}

/// When the users of a moment have their turns: spread as the schedule says, but not beyond the session's last look. A moment
/// outside a session has no wave: all are told alike that the exchange is closed.
fn turns(schedule: &Schedule, sessions: &Sessions, at: Moment) -> Turns {
    let wanted = Span::from_mins(i64::from(schedule.spread_minutes));
    let Some(session) = sessions.at(at) else { return Turns { spread: Span::ZERO, until: at + grace(schedule) } };
    let spread = wanted.min((session.close - LAST_LOOK).since(at)).max(Span::ZERO);
    Turns { spread, until: (at + spread + grace(schedule)).min(session.close) }
}

/// The last moment at which a session is still looked at by what no schedule asked for, or `None` outside of sessions and
/// after it.
pub fn last_look(sessions: &Sessions, now: Moment) -> Option<Moment> {
    sessions.at(now).map(|session| session.close - LAST_LOOK).filter(|last| now <= *last)
}

/// What came due between two looks at the clock.
struct Found<'a> {
    due: Vec<(Named<'a>, Fate)>,
    /// Missed moments that are too many to be recorded one by one.
    left_out: Vec<Moment>,
}

fn found<'a>(when: &'a When, sessions: &Sessions, ledger: Moment, now: Moment) -> Found<'a> {
    let all = named(when, sessions, ledger, now);
    let lateness = |moment: &Named<'_>| now.since(moment.at);
    // Of the late ones only the newest that may still run, and only when nothing newer runs.
    let newest = all.iter().rposition(|moment| lateness(moment) <= patience(moment.schedule));
    let old = all.len().saturating_sub(MISSED_MAX + 1);
    let (mut due, mut left_out) = (Vec::new(), Vec::new());
    for (place, moment) in all.into_iter().enumerate() {
        let fate = match lateness(&moment) {
            late if late <= ON_TIME => Fate::OnTime,
            late if Some(place) == newest => Fate::MadeUp(late),
            late => Fate::Missed(late),
        };
        if place < old && fate.is_missed() {
            left_out.push(moment.at);
        } else {
            due.push((moment, fate));
        }
    }
    Found { due, left_out }
}

/// The missed moments that are too many to be recorded one by one: how many, the first and the last.
pub fn left_out(
    strategy: &Strategy,
    sessions: &Sessions,
    ledger: Moment,
    now: Moment,
) -> Option<(usize, Moment, Moment)> {
    let old = found(strategy.when(), sessions, ledger, now).left_out;
    Some((old.len(), *old.first()?, *old.last()?))
}

/// What is due at `now`, when everything up to `ledger` has been looked at: moments to run, and moments that are
/// recorded as missed, in order.
///
/// At most one late moment runs, and only inside the grace of its schedule (row 51).
pub fn due(strategy: &Strategy, sessions: &Sessions, ledger: Moment, now: Moment) -> Vec<DueMoment> {
    found(strategy.when(), sessions, ledger, now)
        .due
        .into_iter()
        .map(|(moment, fate)| DueMoment {
            strategy: strategy.name().clone(),
            at: moment.at,
            reason: moment.schedule.reason.clone(),
            misfire: moment.schedule.misfire,
            fate,
            turns: moment.turns(sessions),
        })
        .collect()
}
