//! What is questionable about when a strategy looks and rests. Each schedule of a file is looked at by itself.

use crate::decide::due;
use crate::decide::lint::{AHEAD, Circumstances, warning};
use crate::model::lint::{Place, Warning};
use crate::model::schedule::{Rule, Schedule, When};
use crate::model::session::Session;
use crate::model::strategy::Strategy;
use crate::model::time::{Moment, Span};
use crate::model::verdict::LintCode;

/// So long after the open and before the close prices are not those of a calm market; the guard sends nothing in the last
/// minute.
const EDGE: Span = Span::from_secs(120);

/// Moments that are at least a week apart were chosen one by one.
const SPARSE: Span = Span::from_hours(24 * 6);

/// Moments inside a session, each with its session.
type Inside<'a> = [(Moment, &'a Session)];

/// Everything that is questionable about its schedules and its rests; the moments are those of all schedules together.
pub(super) fn lint(strategy: &Strategy, all: &Inside<'_>, around: &Circumstances<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let is_alone = strategy.when().schedules().count() == 1;
    for (place, schedule) in strategy.when().schedules().enumerate() {
        let moments = moments(&When::only(schedule.clone()), around);
        let inside = inside(&moments, around);
        let at = Place::Schedule(place, if matches!(schedule.rule, Rule::Session(_)) { "at" } else { "cron" });
        let whose = if is_alone { "it".to_owned() } else { format!("the schedule `{}`", schedule.reason) };
        warnings.extend(never_due(&at, &whose, (moments.len(), inside.len())));
        warnings.extend(at_the_edge(&at, schedule, &inside));
    }
    warnings.extend(resting(strategy, all));
    warnings.extend(idle_rests(strategy));
    warnings
}

/// The moments of the time ahead.
pub(super) fn moments(when: &When, around: &Circumstances<'_>) -> Vec<Moment> {
    due::named(when, around.sessions, around.from, around.from + AHEAD).into_iter().map(|named| named.at).collect()
}

/// Those that lie inside a session.
pub(super) fn inside<'a>(moments: &[Moment], around: &Circumstances<'a>) -> Vec<(Moment, &'a Session)> {
    moments.iter().filter_map(|at| Some((*at, around.sessions.at(*at)?))).collect()
}

fn never_due(place: &Place, whose: &str, (all, inside): (usize, usize)) -> Option<Warning> {
    if inside > 0 {
        return None;
    }
    let message = match all {
        0 => format!("{whose} does not come due in the next two years: nothing ever happens by it"),
        all => {
            let hours = "lie outside the exchange's hours: nothing ever happens by them";
            format!("all {all} moments of the next two years that {whose} names {hours}")
        }
    };
    let mend = "the exchange is open from 9:30 to 16:00 in New York, Monday to Friday; `strategies calendar` prints the moments";
    Some(warning(LintCode::NeverDue, place.clone(), message, mend))
}

/// Moments at the very open or in the last minutes before the close, on most days.
fn at_the_edge(place: &Place, schedule: &Schedule, inside: &Inside<'_>) -> Option<Warning> {
    let early = inside.iter().filter(|(at, session)| at.since(session.open) < EDGE).count();
    let late = inside.iter().filter(|(at, session)| session.close.since(*at) < EDGE).count();
    let (what, mend) = if early * 2 > inside.len() {
        ("at the open, before quotes have settled", "leave a quarter of an hour: `open+15m`")
    } else if late * 2 > inside.len() {
        ("in the last two minutes, too late for both halves of a run", "leave a quarter of an hour: `close-15m`")
    } else {
        return None;
    };
    let message = format!("{} of {} moments of `{}` lie {what}", early.max(late), inside.len(), schedule.reason);
    Some(warning(LintCode::AtTheEdge, place.clone(), message, mend))
}

/// A rest that swallows the moments after a rebalance. With bands a daily look may well rest for days; moments that are
/// weeks apart, or that all trade, were meant to be used.
fn resting(strategy: &Strategy, inside: &Inside<'_>) -> Option<Warning> {
    let gaps = inside.windows(2).filter_map(|pair| match pair {
        [(a, _), (b, _)] => Some(b.since(*a)),
        _ => None,
    });
    let shortest = gaps.min()?;
    let conditions = strategy.conditions();
    let own = conditions.tolerance.cooldowns;
    let (own, key) = if conditions.is_bandless() {
        (own.scheduled, "scheduled")
    } else if conditions.has_bands() {
        (own.drift, "drift")
    } else {
        (own.portfolio, "portfolio")
    };
    let place = match own {
        Some(_) => Place::Key("rebalance.cooldown", key),
        None => Place::Key("rebalance", "cooldown_days"),
    };
    let days = own.unwrap_or(conditions.cooldown_days);
    let rest = Span::from_hours(24 * i64::from(days));
    // A rest that is exactly as long begins when the orders are filled, and ends after the next moment.
    if days == 0 || rest < shortest || !(conditions.is_bandless() || shortest >= SPARSE) {
        return None;
    }
    let between = shortest.as_hours() / 24;
    let message = format!(
        "the account rests {days} days after a rebalance, but moments are only {between} days apart: some of them can trade nothing"
    );
    let mend = format!("rest less than {between} days, or look less often");
    Some(warning(LintCode::RestsTooLong, place, message, mend))
}

/// Rests of triggers that the strategy does not have.
fn idle_rests(strategy: &Strategy) -> Vec<Warning> {
    let conditions = strategy.conditions();
    let own = conditions.tolerance.cooldowns;
    let rests = [
        ("drift", own.drift, conditions.has_bands(), "a holding outside its band, and there is no band"),
        (
            "portfolio",
            own.portfolio,
            conditions.tolerance.drift_portfolio.is_some(),
            "`drift_portfolio_percent`, which is not set",
        ),
        (
            "scheduled",
            own.scheduled,
            conditions.is_bandless(),
            "moments that all trade, and here bands or a limit decide",
        ),
    ];
    let idle = rests.into_iter().filter(|(_, days, has_trigger, _)| days.is_some() && !has_trigger);
    idle.map(|(key, _, _, of)| {
        let message = format!("the rest `{key}` is that of {of}: it does nothing");
        warning(LintCode::RestUnused, Place::Key("rebalance.cooldown", key), message, "remove the line")
    })
    .collect()
}
