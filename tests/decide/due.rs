//! Every scheduled moment comes exactly once: across clock changes, half days, late bells and long pauses.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rebalanced::decide::due::{due, left_out, moments};
use rebalanced::edge::sessions;
use rebalanced::model::run::DueMoment;
use rebalanced::model::schedule::{
    CronRule, Every, Misfire, NotASchedule, On, Roll, Rule, Schedule, SessionPoint, SessionRule, When,
};
use rebalanced::model::strategy::Strategy;
use rebalanced::model::time::{Moment, Span};

use crate::cast::{looking, parts, strategy};

fn cron(rule: &str, zone: &str) -> Strategy {
    let mut parts = parts(&[("SPY", "100")]);
    parts.when = looking(Rule::Cron(Box::new(CronRule::parse(rule, zone).unwrap())));
    strategy(parts)
}

fn session(every: Every, at: &str) -> Strategy {
    let mut parts = parts(&[("SPY", "100")]);
    let at = at.parse::<SessionPoint>().unwrap();
    parts.when = looking(Rule::Session(SessionRule { every, on: On::First, roll: Roll::Preceding, at }));
    strategy(parts)
}

fn utc(text: &str) -> Moment {
    Moment::parse(text).unwrap()
}

/// The local date and time of a moment.
fn local(moment: Moment, zone: &str) -> String {
    moment.timestamp().to_zoned(TimeZone::get(zone).unwrap()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn all(strategy: &Strategy, from: &str, to: &str) -> Vec<Moment> {
    moments(strategy, &sessions::builtin().unwrap(), utc(from), utc(to))
}

#[test]
fn row_46_a_time_that_the_clock_change_leaves_out_or_repeats_comes_exactly_once() {
    for (zone, spring, autumn) in [
        ("America/New_York", "2026-03-08", "2026-11-01"),
        ("Europe/Berlin", "2026-03-29", "2026-10-25"),
        ("Australia/Lord_Howe", "2026-10-04", "2026-04-05"),
        ("UTC", "2026-03-08", "2026-11-01"),
    ] {
        for minute in 0..4 * 60 {
            let rule = cron(&format!("0 {} {} * * *", minute % 60, minute / 60), zone);
            let year = all(&rule, "2026-01-01T12:00:00Z", "2026-12-31T12:00:00Z");
            assert_eq!(year.len(), 364, "{zone} {minute}: once on each day");
            let days: BTreeSet<String> = year.iter().map(|at| local(*at, zone)[..10].to_owned()).collect();
            assert_eq!(days.len(), 364, "{zone} {minute}: never twice on one");
            assert!(days.contains(spring) && days.contains(autumn), "{zone} {minute}");
            let said = format!("{:02}:{:02}:00", minute / 60, minute % 60);
            let moved = year.iter().filter(|at| local(**at, zone)[11..] != said).count();
            assert!(moved <= 1, "{zone} {minute}: only the day that leaves it out differs");
        }
    }
}

#[test]
fn row_46_every_clock_change_of_every_zone_from_2020_to_2037() {
    let table = sessions::builtin().unwrap();
    let (from, to) = (utc("2020-01-01T00:00:00Z").timestamp(), utc("2038-01-01T00:00:00Z").timestamp());
    let mut changes = 0;
    for name in jiff::tz::db().available() {
        let zone = TimeZone::get(name.as_str()).unwrap();
        for change in zone.following(from).take_while(|change| change.timestamp() < to) {
            let before = zone.to_offset(change.timestamp() - SignedDuration::from_secs(1));
            let shift = i64::from(change.offset().seconds() - before.seconds());
            if shift == 0 {
                continue;
            }
            // The middle of the hour that is left out, or of the hour that comes twice, read on the clock as it was.
            let said = before.to_datetime(change.timestamp()) + SignedDuration::from_secs(shift / 2);
            let meant = Moment::from(before.to_timestamp(said).unwrap());
            let rule = cron(&format!("{} {} {} * * *", said.second(), said.minute(), said.hour()), name.as_str());
            let found = moments(&rule, &table, meant - Span::from_hours(36), meant + Span::from_hours(36));
            assert_eq!(found.len(), 3, "{} at {meant}: once on each of three days, not {found:?}", name.as_str());
            assert_eq!(found[1], meant, "{}: a gap later, or the first of the two", name.as_str());
            changes += 1;
        }
    }
    assert!(changes > 5_000, "{changes} changes of clocks");
}

#[test]
fn row_46_new_york_by_name() {
    let half_past_two = all(&cron("0 30 2 * * *", "America/New_York"), "2026-03-07T12:00:00Z", "2026-03-09T12:00:00Z");
    let texts: Vec<_> = half_past_two.iter().map(ToString::to_string).collect();
    // On 8 March 02:00 EST is 03:00 EDT: 02:30 is left out and comes an hour of gap later, at 03:30 EDT.
    assert_eq!(texts, ["2026-03-08T07:30:00Z", "2026-03-09T06:30:00Z"]);
    let half_past_one = all(&cron("0 30 1 * * *", "America/New_York"), "2026-10-31T12:00:00Z", "2026-11-02T12:00:00Z");
    let texts: Vec<_> = half_past_one.iter().map(ToString::to_string).collect();
    // On 1 November 01:30 comes twice; the first is EDT.
    assert_eq!(texts, ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]);
}

#[test]
fn l4_however_the_time_line_is_cut_each_moment_comes_once() {
    let table = sessions::builtin().unwrap();
    for strategy in [
        cron("0 45 15 * * Mon-Fri", "America/New_York"),
        cron("0 */7 1-2 * * *", "America/New_York"),
        session(Every::Session, "close-15m"),
        session(Every::Week, "open+30m"),
    ] {
        let (from, to) = (utc("2025-10-20T00:00:00Z"), utc("2025-12-31T23:00:00Z"));
        let whole = moments(&strategy, &table, from, to);
        for step in [Span::from_secs(1_009), Span::from_secs(59), Span::from_hours(50)] {
            let mut cut = Vec::new();
            let mut at = from;
            while at < to {
                let next = (at + step).min(to);
                cut.extend(moments(&strategy, &table, at, next));
                at = next;
            }
            assert_eq!(cut, whole);
        }
    }
}

#[test]
fn l4_bells_at_odd_times_take_each_moment_once_and_none_is_lost() {
    let table = sessions::builtin().unwrap();
    let (from, to) = (utc("2025-10-20T00:00:00Z"), utc("2026-04-01T00:00:00Z"));
    for (strategy, pause) in [
        (cron("0 30 1,2 * * *", "America/New_York"), 90),
        (cron("0 */20 * * * *", "Europe/Berlin"), 36_000),
        (session(Every::Session, "close-15m"), 400_000),
    ] {
        let dice = &mut StdRng::seed_from_u64(46);
        let (mut ledger, mut taken) = (from, Vec::new());
        while ledger < to {
            let now = (ledger + Span::from_secs(dice.random_range(1..=pause))).min(to);
            let found = due(&strategy, &table, ledger, now);
            for (place, moment) in found.iter().enumerate() {
                let grace = if place + 1 == found.len() { Span::from_mins(30) } else { Span::from_secs(90) };
                assert_eq!(moment.fate.is_missed(), now.since(moment.at) > grace, "{moment:?} at {now}");
            }
            taken.extend(found.into_iter().map(|moment| moment.at));
            ledger = now;
        }
        assert_eq!(taken, moments(&strategy, &table, from, to));
    }
}

#[test]
fn session_schedules_follow_the_real_close_also_on_half_days() {
    let close = all(&session(Every::Session, "close-15m"), "2025-11-26T00:00:00Z", "2025-12-02T00:00:00Z");
    let texts: Vec<_> = close.iter().map(|at| local(*at, "America/New_York")).collect();
    assert_eq!(
        texts,
        ["2025-11-26 15:45:00", "2025-11-28 12:45:00", "2025-12-01 15:45:00"],
        "Thanksgiving is closed, the day after closes at 13:00"
    );
}

#[test]
fn row_47_every_session_of_the_table_has_its_moment_and_no_other_day() {
    let table = sessions::builtin().unwrap();
    let zone = table.zone().clone();
    let days = |every| -> Vec<Date> {
        let found =
            moments(&session(every, "open+15m"), &table, utc("2000-01-01T00:00:00Z"), utc("2026-01-01T00:00:00Z"));
        found.iter().map(|at| at.day_in(&zone)).collect()
    };
    let sessions: Vec<Date> = table.between(date(2000, 1, 1), date(2025, 12, 31)).map(|session| session.day).collect();
    assert_eq!(days(Every::Session), sessions);
    let firsts = |same: &dyn Fn(Date, Date) -> bool| -> Vec<Date> {
        let pairs = std::iter::once(None).chain(sessions.iter().copied().map(Some)).zip(&sessions);
        pairs.filter(|(last, day)| last.is_none_or(|last| !same(last, **day))).map(|(_, day)| *day).collect()
    };
    let month = |a: Date, b: Date| (a.year(), a.month()) == (b.year(), b.month());
    // 3 January 2000 is a Monday: no week, month, quarter or year is cut by the table's begin here.
    assert_eq!(days(Every::Month), firsts(&month));
    assert_eq!(
        days(Every::Quarter),
        firsts(&|a, b| a.year() == b.year() && (a.month() - 1) / 3 == (b.month() - 1) / 3)
    );
    assert_eq!(days(Every::Year), firsts(&|a, b| a.year() == b.year()));
    assert_eq!(
        days(Every::Week),
        firsts(
            &|a, b| (b - a).get_days() < 7 && b.weekday().to_monday_one_offset() > a.weekday().to_monday_one_offset()
        )
    );
}

#[test]
fn a_bell_that_is_a_minute_late_loses_no_moment() {
    let each_minute = cron("30 * * * * *", "UTC");
    let (ledger, now) = (utc("2019-06-03T12:00:00Z"), utc("2019-06-03T12:01:45Z"));
    let found = due(&each_minute, &sessions::builtin().unwrap(), ledger, now);
    let texts: Vec<_> = found.iter().map(|moment| (moment.at.to_string(), moment.fate.is_missed())).collect();
    assert_eq!(texts, [("2019-06-03T12:00:30Z".to_owned(), false), ("2019-06-03T12:01:30Z".to_owned(), false)]);
}

#[test]
fn a_rule_that_rings_more_than_once_a_minute_is_no_schedule() {
    for rule in ["* * * * * *", "0,30 * * * * *", "*/10 15 12 * * Mon", "58-59 59 23 31 12 *"] {
        let refused = CronRule::parse(rule, "UTC").unwrap_err();
        assert!(matches!(refused, NotASchedule::TooDense { .. }), "{rule}: {refused:?}");
    }
    for rule in ["59 * * * * *", "0 */1 * * * *", "30 59 23 31 12 *"] {
        CronRule::parse(rule, "UTC").unwrap();
    }
}

#[test]
fn a_point_beyond_the_close_of_a_half_day_is_shortly_before_it() {
    let late = all(&session(Every::Session, "open+300m"), "2025-11-26T00:00:00Z", "2025-12-02T00:00:00Z");
    let texts: Vec<_> = late.iter().map(|at| local(*at, "America/New_York")).collect();
    assert_eq!(texts, ["2025-11-26 14:30:00", "2025-11-28 12:45:00", "2025-12-01 14:30:00"]);
}

#[test]
fn missed_moments_beyond_those_recorded_one_by_one_are_counted() {
    let each_minute = cron("0 * * * * *", "UTC");
    let table = sessions::builtin().unwrap();
    let (ledger, now) = (utc("2019-06-03T12:00:30Z"), utc("2019-06-03T14:00:30Z"));
    let (count, first, last) = left_out(&each_minute, &table, ledger, now).unwrap();
    let recorded = due(&each_minute, &table, ledger, now);
    assert_eq!(count + recorded.len(), 120, "every moment of two hours is in one of the two");
    assert_eq!(first.to_string(), "2019-06-03T12:01:00Z");
    assert!(last < recorded[0].at);
    assert_eq!(left_out(&each_minute, &table, ledger, utc("2019-06-03T12:30:00Z")), None);
}

#[test]
fn row_51_after_a_pause_one_late_moment_runs_inside_the_grace_and_the_rest_are_recorded_as_missed() {
    let table = sessions::builtin().unwrap();
    let due_at = |misfire, ledger: &str, now: &str| -> Vec<(String, bool)> {
        let mut parts = parts(&[("SPY", "100")]);
        let schedule = parts.when.schedules().next().unwrap().clone();
        parts.when = When::only(Schedule { misfire, ..schedule });
        let found: Vec<DueMoment> = due(&strategy(parts), &table, utc(ledger), utc(now));
        found.into_iter().map(|moment| (moment.at.to_string(), moment.fate.is_missed())).collect()
    };
    let monday = |missed| ("2019-06-03T19:45:00Z".to_owned(), missed);
    let tuesday = |missed| ("2019-06-04T19:45:00Z".to_owned(), missed);
    let (before, late) = ("2019-06-03T19:00:00Z", "2019-06-04T20:10:00Z");
    assert_eq!(due_at(Misfire::RunOnce, before, late), [monday(true), tuesday(false)], "25 minutes late, 30 allowed");
    assert_eq!(due_at(Misfire::Skip, before, late), [monday(true), tuesday(true)]);
    assert_eq!(due_at(Misfire::RunOnce, before, "2019-06-04T20:16:00Z"), [monday(true), tuesday(true)]);
    assert_eq!(due_at(Misfire::Skip, before, "2019-06-03T19:46:00Z"), [monday(false)], "a bell may be late");
    assert_eq!(
        due_at(Misfire::RunOnce, "2019-06-03T19:45:00Z", "2019-06-04T19:44:59Z"),
        [],
        "never twice, never early"
    );
}
