//! Several schedules in one file: their moments are the sorted union of what each names alone, none twice, however the time
//! line is cut into questions; and each keeps its own policy for what was missed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Weekday;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rebalanced::decide::due::{due, left_out, moments, named, valid_for};
use rebalanced::edge::sessions;
use rebalanced::model::run::Fate;
use rebalanced::model::schedule::{
    CronRule, Every, Misfire, NotASchedule, On, Roll, Rule, Schedule, SessionPoint, SessionRule, SlotReason, When,
};
use rebalanced::model::strategy::Strategy;
use rebalanced::model::time::{Moment, Span};

use crate::cast::{looking, parts, strategy};

fn utc(text: &str) -> Moment {
    Moment::parse(text).unwrap()
}

fn following(when: When) -> Strategy {
    let mut parts = parts(&[("SPY", "100")]);
    parts.when = when;
    strategy(parts)
}

fn cron(text: &str) -> Rule {
    Rule::Cron(Box::new(CronRule::parse(text, "America/New_York").unwrap()))
}

fn session(every: Every, on: On, at: &str) -> Rule {
    Rule::Session(SessionRule { every, on, roll: Roll::Preceding, at: at.parse().unwrap() })
}

fn schedule(reason: &str, rule: Rule) -> Schedule {
    Schedule { reason: SlotReason::of_schedule(reason).unwrap(), ..Schedule::of(rule) }
}

fn several(schedules: Vec<Schedule>) -> When {
    let mut schedules = schedules.into_iter();
    When::new(schedules.next().unwrap(), schedules.collect()).unwrap()
}

/// A rule of any kind; few points in a session, so that several rules often name one moment.
fn any_rule(dice: &mut StdRng) -> Rule {
    let at = ["open", "open+30m", "close-15m", "close-60m"][dice.random_range(0..4)].parse::<SessionPoint>().unwrap();
    let roll = if dice.random() { Roll::Preceding } else { Roll::Following };
    let (every, on) = match dice.random_range(0..9) {
        0 => (Every::Session, On::First),
        1 => (Every::Week, On::Last),
        2 => (Every::Week, On::Weekday(Weekday::Wednesday)),
        3 => (Every::Month, On::First),
        4 => (Every::Month, On::Day(dice.random_range(1..=31))),
        5 => (Every::Quarter, On::Last),
        6 => (Every::Year, On::Date { month: 6, day: 30 }),
        // 15:45 in New York is also `close-15m` of a whole day, 01:30 is in both clock changes' nights.
        7 => return cron("0 45 15 * * Fri"),
        _ => return cron("0 30 1 * * Sun"),
    };
    Rule::Session(SessionRule { every, on, roll, at })
}

#[test]
fn several_schedules_from_1990_to_2030_are_the_union_of_each_alone_however_the_time_line_is_cut() {
    let table = sessions::builtin().unwrap();
    let (from, to) = (utc("1990-01-01T00:00:00Z"), utc("2031-01-01T00:00:00Z"));
    let dice = &mut StdRng::seed_from_u64(5);
    let (mut all, mut shared) = (0, 0);
    for case in 0..24 {
        let count = dice.random_range(2..=5);
        let schedules: Vec<Schedule> =
            (0..count).map(|place| schedule(&format!("reason-{place}"), any_rule(dice))).collect();
        // Each alone, in the order of the file: the first that names a moment gives the reason.
        let mut expected: BTreeMap<Moment, String> = BTreeMap::new();
        let mut alone = 0;
        for schedule in &schedules {
            let own = moments(&following(looking(schedule.rule.clone())), &table, from, to);
            alone += own.len();
            for at in own {
                expected.entry(at).or_insert_with(|| schedule.reason.to_string());
            }
        }
        let strategy = following(several(schedules));
        let told = |from, to| -> Vec<(Moment, String)> {
            let named = named(strategy.when(), &table, from, to);
            named.into_iter().map(|moment| (moment.at, moment.schedule.reason.to_string())).collect()
        };
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(told(from, to), expected, "case {case}");
        let (mut cut, mut taken, mut ledger) = (Vec::new(), Vec::new(), from);
        while ledger < to {
            // From a second to 80 days: many moments in one question, and many questions for one.
            let step = Span::from_secs(dice.random_range(1..=7_000_000) >> dice.random_range(0..3));
            let now = (ledger + step).min(to);
            cut.extend(told(ledger, now));
            taken.extend(due(&strategy, &table, ledger, now).into_iter().map(|one| one.at));
            if let Some((count, first, last)) = left_out(&strategy, &table, ledger, now) {
                let old = moments(&strategy, &table, first - Span::from_micros(1), last);
                assert_eq!(old.len(), count);
                taken.extend(old);
            }
            ledger = now;
        }
        assert_eq!(cut, expected, "case {case}");
        taken.sort_unstable();
        assert!(taken.iter().eq(expected.iter().map(|(at, _)| at)), "case {case}: due tells each once");
        all += expected.len();
        shared += alone - expected.len();
    }
    println!(
        "{all} moments of 24 files from 1990 to 2030, {shared} named by more than one schedule: none lost, none twice"
    );
    assert!(all > 50_000 && shared > 1_000, "{all} {shared}");
}

#[test]
fn there_is_always_a_schedule_and_no_reason_stands_twice() {
    let daily = || schedule("daily", cron("0 45 15 * * Mon-Fri"));
    let twice = When::new(daily(), vec![schedule("noon", cron("0 0 12 * * *")), daily()]).unwrap_err();
    assert!(matches!(twice, NotASchedule::Twice { place: 2, .. }), "{twice:?}");
    assert_eq!(When::only(daily()).schedules().count(), 1);
    for word in ["", "Month-End", "month end", "manual", "webhook", "new_version", "a\u{301}", &"x".repeat(41)] {
        assert!(matches!(SlotReason::of_schedule(word), Err(NotASchedule::Reason { .. })), "{word}");
    }
}

#[test]
fn row_51_each_schedule_makes_up_for_its_own_moments_and_at_most_one_runs_late() {
    let table = sessions::builtin().unwrap();
    let patient =
        Schedule { grace_minutes: 120, ..schedule("patient", session(Every::Session, On::First, "close-60m")) };
    let strict =
        Schedule { misfire: Misfire::Skip, ..schedule("strict", session(Every::Session, On::First, "close-30m")) };
    let strategy = following(several(vec![patient, strict]));
    let told = |ledger: &str, now: &str| -> Vec<(String, String)> {
        let found = due(&strategy, &table, utc(ledger), utc(now));
        let late = |fate| match fate {
            Fate::OnTime => "on time".to_owned(),
            Fate::MadeUp(late) => format!("made up, {} s late", late.as_secs()),
            Fate::Missed(late) => format!("missed, {} s late", late.as_secs()),
        };
        found.into_iter().map(|moment| (moment.reason.to_string(), late(moment.fate))).collect()
    };
    let said = |reason: &str, fate: &str| (reason.to_owned(), fate.to_owned());
    // 15:00 and 15:30 in New York, summer time. The newest is left out by its own policy; the one before it is made up for.
    let before = "2019-06-03T18:00:00Z";
    assert_eq!(
        told(before, "2019-06-03T19:40:00Z"),
        [said("patient", "made up, 2400 s late"), said("strict", "missed, 600 s late")]
    );
    // On time goes before late: the older one would trade twice within a minute.
    assert_eq!(
        told(before, "2019-06-03T19:30:30Z"),
        [said("patient", "missed, 1830 s late"), said("strict", "on time")]
    );
    // After a day only the newest of the patient ones runs.
    assert_eq!(
        told(before, "2019-06-04T19:10:00Z"),
        [
            said("patient", "missed, 87000 s late"),
            said("strict", "missed, 85200 s late"),
            said("patient", "made up, 600 s late")
        ]
    );
    let when = strategy.when();
    assert_eq!(valid_for(when, &SlotReason::of_schedule("strict").unwrap()), Span::from_mins(30));
    assert_eq!(
        valid_for(when, &SlotReason::manual()),
        Span::from_mins(120),
        "what no schedule asked for has the longest"
    );
}

#[test]
fn a_patient_moment_is_not_crowded_out_by_many_missed_ones() {
    let table = sessions::builtin().unwrap();
    let weekly = Schedule { grace_minutes: 600, ..schedule("weekly", cron("0 0 10 * * Mon")) };
    let busy = Schedule { misfire: Misfire::Skip, ..schedule("busy", cron("30 * * * * *")) };
    let strategy = following(several(vec![weekly, busy]));
    // Monday 10:00 in New York is 14:00 in UTC; 180 moments of the busy one pass after it.
    let (ledger, now) = (utc("2019-06-03T13:59:00Z"), utc("2019-06-03T17:02:15Z"));
    let found = due(&strategy, &table, ledger, now);
    let run: BTreeSet<_> = found.iter().filter(|one| !one.fate.is_missed()).map(|one| one.reason.to_string()).collect();
    let (count, ..) = left_out(&strategy, &table, ledger, now).unwrap();
    assert_eq!(count + found.len(), moments(&strategy, &table, ledger, now).len());
    assert!(run.contains("busy"), "the newest is on time");
    // Without one on time the weekly one is made up for, although more than fifty newer ones were missed.
    let now = utc("2019-06-03T17:02:10Z");
    let strategy = {
        let weekly = Schedule { grace_minutes: 600, ..schedule("weekly", cron("0 0 10 * * Mon")) };
        let busy = Schedule { misfire: Misfire::Skip, ..schedule("busy", cron("30 */3 * * * *")) };
        following(several(vec![weekly, busy]))
    };
    let found = due(&strategy, &table, utc("2019-06-03T13:59:00Z"), now);
    assert_eq!(found[0].reason.as_str(), "weekly");
    assert!(matches!(found[0].fate, Fate::MadeUp(_)), "{:?}", found[0]);
    let count = left_out(&strategy, &table, utc("2019-06-03T13:59:00Z"), now).map_or(0, |(count, ..)| count);
    assert_eq!(count + found.len(), moments(&strategy, &table, utc("2019-06-03T13:59:00Z"), now).len());
}
