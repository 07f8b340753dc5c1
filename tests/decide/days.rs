//! Which days a session rule means, held against another way of reckoning it: every rule there is, every day from 1990 to
//! 2030. The other way goes from the periods to the sessions; the program goes from the sessions to the periods.

use jiff::ToSpan;
use jiff::civil::{Date, Weekday, date};
use rebalanced::decide::due::moments;
use rebalanced::edge::sessions;
use rebalanced::model::schedule::{Every, NotASchedule, On, Roll, Rule, SessionPoint, SessionRule};
use rebalanced::model::session::Sessions;
use rebalanced::model::strategy::Strategy;
use rebalanced::model::time::Moment;

use crate::cast::{looking, parts, strategy};

const AT: SessionPoint = SessionPoint::BeforeClose(15);

fn following(rule: SessionRule) -> Strategy {
    let mut parts = parts(&[("SPY", "100")]);
    parts.when = looking(Rule::Session(rule));
    strategy(parts)
}

/// The days on which the program comes due, over the whole table.
fn found(table: &Sessions, rule: SessionRule) -> Vec<Date> {
    let (from, to) = (Moment::parse("1990-01-01T00:00:00Z").unwrap(), Moment::parse("2031-01-01T00:00:00Z").unwrap());
    let at = moments(&following(rule), table, from, to);
    for moment in &at {
        let session = table.at(*moment).expect("inside a session, half days included");
        assert_eq!(session.close.since(*moment).as_secs(), 15 * 60, "{moment}");
    }
    at.iter().map(|moment| moment.day_in(table.zone())).collect()
}

/// The named day of a month, or what stands in for it where the month is too short.
fn named(year: i16, month: i8, day: i8, roll: Roll) -> Date {
    let first = date(year, month, 1);
    match (Date::new(year, month, day), roll) {
        (Ok(named), _) => named,
        (Err(_), Roll::Preceding) => first.last_of_month(),
        (Err(_), Roll::Following) => first.last_of_month().tomorrow().unwrap(),
    }
}

/// The session to which a day rolls, if the table knows it surely.
fn rolled(days: &[Date], day: Date, roll: Roll) -> Option<Date> {
    match roll {
        Roll::Preceding => days[..days.partition_point(|session| *session <= day)].last().copied(),
        Roll::Following => days.get(days.partition_point(|session| *session < day)).copied(),
    }
}

fn expected(days: &[Date], rule: SessionRule) -> Vec<Date> {
    let years = 1990..=2030_i16;
    let months = || years.clone().flat_map(|year| (1..=12).map(move |month| (year, month)));
    let named: Vec<Date> = match (rule.every, rule.on) {
        (Every::Week, On::Weekday(weekday)) => date(1990, 1, 1)
            .series(1.day())
            .take_while(|day| day.year() <= 2030)
            .filter(|day| day.weekday() == weekday)
            .collect(),
        (Every::Month, On::Day(day)) => months().map(|(year, month)| named(year, month, day, rule.roll)).collect(),
        (Every::Quarter, On::Day(day)) => months()
            .filter(|(_, month)| [1, 4, 7, 10].contains(month))
            .map(|(year, month)| named(year, month, day, rule.roll))
            .collect(),
        (Every::Year, On::Date { month, day }) => years.map(|year| named(year, month, day, rule.roll)).collect(),
        _ => unreachable!("the others are tried by themselves"),
    };
    let mut due: Vec<Date> = named.into_iter().filter_map(|day| rolled(days, day, rule.roll)).collect();
    due.sort_unstable();
    due
}

#[test]
fn row_47_every_rule_means_the_same_days_by_two_ways_of_reckoning_from_1990_to_2030() {
    let table = sessions::builtin().unwrap();
    let days: Vec<Date> = table.between(date(1990, 1, 1), date(2030, 12, 31)).map(|session| session.day).collect();
    let weekdays = [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday];
    let mut rules: Vec<(Every, On)> = weekdays.iter().map(|day| (Every::Week, On::Weekday(*day))).collect();
    rules.extend((1..=31).flat_map(|day| [(Every::Month, On::Day(day)), (Every::Quarter, On::Day(day))]));
    let year = date(2024, 1, 1).series(1.day()).take(366);
    rules.extend(year.map(|day| (Every::Year, On::Date { month: day.month(), day: day.day() })));
    let mut moments = 0;
    for roll in [Roll::Preceding, Roll::Following] {
        for (every, on) in &rules {
            let rule = SessionRule { every: *every, on: *on, roll, at: AT };
            let (found, mut expected) = (found(&table, rule), expected(&days, rule));
            // Before its first session the table knows of none, and what rolls there from the last year is not its own.
            expected.retain(|day| *day != days[0] || found.first() == Some(day));
            let whole = expected.len();
            expected.dedup();
            // Days before a long closure may roll to one session (September 2001): it comes due once.
            assert!(whole - expected.len() <= 1, "{rule:?}");
            assert_eq!(found, expected, "{rule:?}");
            moments += found.len();
        }
    }
    println!("{} rules, {moments} moments from 1990 to 2030: none missed, none twice", rules.len() * 2);
    assert!(moments > 60_000, "{moments}");
}

#[test]
fn the_last_session_of_a_period_is_before_the_first_of_the_next() {
    let table = sessions::builtin().unwrap();
    for every in [Every::Week, Every::Month, Every::Quarter, Every::Year] {
        let rule = |on| SessionRule { every, on, roll: Roll::Preceding, at: AT };
        let (firsts, lasts) = (found(&table, rule(On::First)), found(&table, rule(On::Last)));
        // The table's first session may be in the middle of its period; its last one is the last of nothing that is known.
        assert_eq!(firsts.len(), lasts.len() + 1, "{every:?}");
        for (last, first) in lasts.iter().zip(&firsts[1..]) {
            assert_eq!(table.after(*last).unwrap().day, *first, "{every:?}");
        }
    }
}

#[test]
fn a_day_goes_with_its_period_or_is_refused() {
    for (every, texts) in [
        (Every::Week, &["first", "last", "Mon", "friday"][..]),
        (Every::Month, &["first", "last", "1", "31"]),
        (Every::Quarter, &["last", "15"]),
        (Every::Year, &["first", "02-29", "12-31"]),
        (Every::Session, &["first"]),
    ] {
        for text in texts {
            On::parse(text, every).unwrap_or_else(|error| panic!("{every:?} {text}: {error}"));
        }
    }
    for (every, texts) in [
        (Every::Week, &["Sat", "3", ""][..]),
        (Every::Month, &["0", "32", "Mon", "1.5"]),
        (Every::Year, &["02-30", "13-01", "15", "june"]),
        (Every::Session, &["last", "1"]),
    ] {
        for text in texts {
            assert!(matches!(On::parse(text, every), Err(NotASchedule::Day { .. })), "{every:?} {text}");
        }
    }
}
