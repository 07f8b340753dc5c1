//! The schedule of a file.

use toml::de::DeTable;

use super::super::fault::nearest;
use super::super::keys;
use super::super::page::{Page, Table, entry};
use crate::model::schedule::{
    CronRule, Every, Misfire, NotASchedule, On, Roll, Schedule, SessionPoint, SessionRule, When,
};

/// The zone of the exchange, and of a cron rule that names none.
const ZONE: &str = "America/New_York";

pub(super) fn when<'a>(page: &mut Page<'a>, root: &DeTable<'a>) -> When {
    let fallback = Schedule::Session(SessionRule {
        every: Every::Session,
        on: On::First,
        roll: Roll::Preceding,
        at: SessionPoint::BeforeClose(15),
    });
    let fallback = When { schedule: fallback, misfire: Misfire::RunOnce, grace_minutes: 30 };
    let Some(table) = page.table(root, "schedule") else {
        if !root.iter().any(|(key, _)| key.get_ref() == "schedule") {
            let mend = "add [schedule] with every = \"session\" and at = \"close-15m\"";
            page.fault(0, "there is no [schedule]: nothing would ever happen", mend);
        }
        return fallback;
    };
    let misfire = page.one_of(&table, ("schedule", "misfire"), keys::MISFIRE).map(|word| word.value);
    let grace = page.whole(&table, ("schedule", "grace_minutes")).map(|minutes| minutes.value);
    When {
        schedule: schedule(page, &table).unwrap_or(fallback.schedule),
        misfire: if misfire == Some("skip") { Misfire::Skip } else { Misfire::RunOnce },
        grace_minutes: grace.unwrap_or(fallback.grace_minutes),
    }
}

fn schedule<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>) -> Option<Schedule> {
    let has = |name: &str| table.value.iter().any(|(key, _)| key.get_ref() == name);
    match (has("cron"), has("every")) {
        (true, false) => {
            for key in ["at", "on", "roll"] {
                if let Some((byte, _)) = entry(table.value, key) {
                    let what = format!("`schedule.{key}` belongs to `every`");
                    page.fault(byte, what, "remove it, or replace `cron` by `every`");
                }
            }
            cron(page, table)
        }
        (false, true) => session(page, table),
        (true, true) => {
            page.fault(table.byte, "[schedule] has both `cron` and `every`", "keep one of the two");
            None
        }
        (false, false) => {
            let mend = "add cron = \"0 45 15 * * Mon-Fri\", or every = \"session\" with at = \"close-15m\"";
            page.fault(table.byte, "[schedule] has neither `cron` nor `every`", mend);
            None
        }
    }
}

fn cron<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>) -> Option<Schedule> {
    let rule = page.text(table, ("schedule", "cron"))?;
    let zone = page.text(table, ("schedule", "timezone"));
    let zone_at = zone.as_ref().map_or(rule.byte, |zone| zone.byte);
    let zone = zone.map_or_else(|| ZONE.to_owned(), |zone| zone.value);
    match CronRule::parse(&rule.value, &zone) {
        Ok(rule) => Some(Schedule::Cron(Box::new(rule))),
        Err(NotASchedule::Zone { zone }) => {
            let mend = nearest_zone(&zone).map(|zone| format!("the nearest is `{zone}`"));
            let mend = mend.unwrap_or_else(|| format!("use a name of the IANA database such as `{ZONE}`"));
            page.fault(zone_at, format!("`{zone}` is no time zone"), mend);
            None
        }
        Err(NotASchedule::Cron { text, why }) => {
            let mend = match text.split_whitespace().count() {
                5 => format!("seconds come first: write `0 {text}`"),
                _ => "write six fields: second minute hour day month weekday, such as `0 45 15 * * Mon-Fri`".to_owned(),
            };
            page.fault(rule.byte, format!("`{text}` is no cron rule ({why})"), mend);
            None
        }
        Err(other) => {
            page.fault(rule.byte, other.to_string(), "write a rule that comes due, such as `0 45 15 * * Mon-Fri`");
            None
        }
    }
}

fn session<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>) -> Option<Schedule> {
    if let Some(zone) = page.text(table, ("schedule", "timezone")).filter(|zone| zone.value != ZONE) {
        let mend = "remove the line, or replace `every` by `cron`";
        page.fault(zone.byte, "with `every` the hours are the exchange's own: no other time zone fits", mend);
    }
    let word = page.one_of(table, ("schedule", "every"), keys::EVERY)?;
    let every = match word.value {
        "week" => Every::Week,
        "month" => Every::Month,
        "quarter" => Every::Quarter,
        "year" => Every::Year,
        _ => Every::Session,
    };
    let (on, roll) = day(page, table, every)?;
    let Some(at) = page.text(table, ("schedule", "at")) else {
        return Some(Schedule::Session(SessionRule { every, on, roll, at: SessionPoint::BeforeClose(15) }));
    };
    let Ok(at_point) = at.value.parse() else {
        let mend = "write `open`, `open+15m` or `close-15m`, with at most 390 minutes";
        page.fault(at.byte, format!("`{}` is no point in a session", at.value), mend);
        return None;
    };
    Some(Schedule::Session(SessionRule { every, on, roll, at: at_point }))
}

/// Which day of the period, and where it goes when it has no session.
fn day<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>, every: Every) -> Option<(On, Roll)> {
    let said = page.text_or_whole(table, ("schedule", "on"));
    let roll = page.one_of(table, ("schedule", "roll"), keys::ROLL);
    if every == Every::Session {
        for byte in [said.map(|said| said.byte), roll.map(|roll| roll.byte)].into_iter().flatten() {
            let mend = "remove it, or write every = \"week\", \"month\", \"quarter\" or \"year\"";
            page.fault(byte, "with every = \"session\" there is no day to choose", mend);
        }
        return Some((On::First, Roll::Preceding));
    }
    let on = match said {
        None => On::First,
        Some(said) => match On::parse(&said.value, every) {
            Ok(on) => on,
            Err(error) => {
                let text = error.to_string();
                let (what, mend) = text.split_once("; ").unwrap_or((&text, "write `first` or `last`"));
                page.fault(said.byte, what, mend);
                return None;
            }
        },
    };
    if let (On::First | On::Last, Some(roll)) = (on, &roll) {
        page.fault(roll.byte, "`schedule.roll` says nothing here", "remove it: the first or last session is a session");
    }
    let following = roll.is_some_and(|word| word.value == "following");
    Some((on, if following { Roll::Following } else { Roll::Preceding }))
}

/// The zone that is most like this name, or whose last part is.
fn nearest_zone(name: &str) -> Option<String> {
    let zones: Vec<String> = jiff::tz::db().available().map(|zone| zone.as_str().to_owned()).collect();
    let whole = nearest(name, zones.iter().map(String::as_str));
    let last = |zone: &'_ str| zone.rsplit('/').next().unwrap_or_default().to_lowercase();
    let wanted = last(name).replace(' ', "_");
    let by_city = zones.iter().find(|zone| zone.contains('/') && last(zone) == wanted);
    by_city.cloned().or_else(|| whole.map(str::to_owned))
}
