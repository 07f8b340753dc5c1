//! The schedules of a file.

use toml::de::{DeTable, DeValue};

use super::super::fault::nearest;
use super::super::keys;
use super::super::page::{Page, Table, entry};
use crate::model::schedule::{
    CronRule, Every, Misfire, NotASchedule, On, Roll, Rule, Schedule, SessionPoint, SessionRule, SlotReason, When,
};

/// The zone of the exchange, and of a cron rule that names none.
const ZONE: &str = "America/New_York";

/// The schedules of a file: the one `[schedule]`, or each `[[schedule]]`.
pub(super) fn when<'a>(page: &mut Page<'a>, root: &DeTable<'a>) -> When {
    let rows = rows(page, root);
    let is_one_of_several = rows.len() > 1;
    let mut schedules: Vec<(Schedule, usize)> = Vec::with_capacity(rows.len());
    for table in &rows {
        let (reason, byte) = reason(page, table, is_one_of_several);
        let rule = rule(page, table).unwrap_or(FALLBACK);
        let misfire = page.one_of(table, ("schedule", "misfire"), keys::MISFIRE).map(|word| word.value);
        let grace = page.whole(table, ("schedule", "grace_minutes")).map(|minutes| minutes.value);
        let spread = page.whole(table, ("schedule", "spread_minutes")).map(|minutes| minutes.value);
        let schedule = Schedule {
            reason: reason.unwrap_or_else(SlotReason::scheduled),
            misfire: misfire.and_then(Misfire::parse).unwrap_or(Misfire::RunOnce),
            grace_minutes: grace.unwrap_or(Schedule::GRACE_MINUTES),
            spread_minutes: spread.unwrap_or(0),
            rule,
        };
        schedules.push((schedule, byte));
    }
    let bytes: Vec<usize> = schedules.iter().map(|(_, byte)| *byte).collect();
    let mut schedules = schedules.into_iter().map(|(schedule, _)| schedule);
    let harmless = || Schedule::of(FALLBACK);
    let first = schedules.next().unwrap_or_else(harmless);
    let rebalance = page.table(root, "rebalance");
    let on_new_version = rebalance.and_then(|table| page.flag(&table, ("rebalance", "on_new_version")));
    match When::new(first, schedules.collect()) {
        Ok(when) => when.and_on_new_version(on_new_version.is_some_and(|flag| flag.value)),
        Err(error) => {
            let text = error.to_string();
            let (what, mend) = text.split_once("; ").unwrap_or((&text, "give each schedule a reason of its own"));
            // One that is missing has been told already.
            let place = if let NotASchedule::Twice { place, .. } = error { place } else { 0 };
            if rows.get(place).is_some_and(|table| entry(table.value, "reason").is_some()) {
                page.fault(bytes.get(place).copied().unwrap_or_default(), what, mend);
            }
            When::only(harmless())
        }
    }
}

/// What stands in for a rule that cannot be read; its file is no strategy.
const FALLBACK: Rule = Rule::Session(SessionRule {
    every: Every::Session,
    on: On::First,
    roll: Roll::Preceding,
    at: SessionPoint::BeforeClose(15),
});

fn rows<'t, 'a>(page: &mut Page<'a>, root: &'t DeTable<'a>) -> Vec<Table<'t, 'a>> {
    let mend = "add [schedule] with every = \"session\" and at = \"close-15m\"";
    match entry(root, "schedule") {
        None => {
            page.fault(0, "there is no [schedule]: nothing would ever happen", mend);
            Vec::new()
        }
        Some((byte, value)) => match value.get_ref() {
            DeValue::Array(list) if list.is_empty() => {
                page.fault(byte, "`schedule` is an empty list: nothing would ever happen", mend);
                Vec::new()
            }
            DeValue::Array(_) => page.tables(root, ("", "schedule")),
            _ => page.table(root, "schedule").into_iter().collect(),
        },
    }
}

/// The word that the moments of this schedule carry, and where it stands.
fn reason<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>, is_needed: bool) -> (Option<SlotReason>, usize) {
    let Some(said) = page.text(table, ("schedule", "reason")) else {
        if is_needed && entry(table.value, "reason").is_none() {
            let mend = "add a line such as `reason = \"month-end\"` here: every run says which schedule it is for";
            page.fault(table.byte, "`schedule.reason` is missing, and there are several schedules", mend);
        }
        return (None, table.byte);
    };
    match SlotReason::of_schedule(&said.value) {
        Ok(reason) => (Some(reason), said.byte),
        Err(error) => {
            let text = error.to_string();
            let (what, mend) = text.split_once("; ").unwrap_or((&text, "write a word such as `month-end`"));
            page.fault(said.byte, what, mend);
            (None, said.byte)
        }
    }
}

fn rule<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>) -> Option<Rule> {
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

fn cron<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>) -> Option<Rule> {
    let rule = page.text(table, ("schedule", "cron"))?;
    let zone = page.text(table, ("schedule", "timezone"));
    let zone_at = zone.as_ref().map_or(rule.byte, |zone| zone.byte);
    let zone = zone.map_or_else(|| ZONE.to_owned(), |zone| zone.value);
    match CronRule::parse(&rule.value, &zone) {
        Ok(rule) => Some(Rule::Cron(Box::new(rule))),
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

fn session<'a>(page: &mut Page<'a>, table: &Table<'_, 'a>) -> Option<Rule> {
    if let Some(zone) = page.text(table, ("schedule", "timezone")).filter(|zone| zone.value != ZONE) {
        let mend = "remove the line, or replace `every` by `cron`";
        page.fault(zone.byte, "with `every` the hours are the exchange's own: no other time zone fits", mend);
    }
    let word = page.one_of(table, ("schedule", "every"), keys::EVERY)?;
    let every = Every::parse(word.value)?;
    let (on, roll) = day(page, table, every)?;
    let Some(at) = page.text(table, ("schedule", "at")) else {
        return Some(Rule::Session(SessionRule { every, on, roll, at: SessionPoint::BeforeClose(15) }));
    };
    let Ok(at_point) = at.value.parse() else {
        let mend = "write `open`, `open+15m` or `close-15m`, with at most 390 minutes";
        page.fault(at.byte, format!("`{}` is no point in a session", at.value), mend);
        return None;
    };
    Some(Rule::Session(SessionRule { every, on, roll, at: at_point }))
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
