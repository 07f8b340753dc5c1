//! The exchange's sessions as we know them: the table that is built in, 1990 to 2030, half days included.
//!
//! It is the cross-check, not the authority: the broker's calendar must agree with it before anything is traded.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use crate::model::session::{Session, Sessions};
use crate::model::time::{Day, Moment};

/// The zone in which the exchange's days and hours are counted.
pub const ZONE: &str = "America/New_York";

const TABLE: &str = include_str!("../../config/xnys-sessions.csv");

/// Why the table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The time zone is missing.
    #[error("the time zone {ZONE} is unknown on this machine")]
    Zone(#[source] jiff::Error),
    /// A line is none.
    #[error("line {line} of the session table is not `date,open,close`")]
    Line {
        /// Which, counted from one.
        line: usize,
    },
}

/// Reads the built-in table.
///
/// # Errors
/// When it, or the time zone, is damaged.
pub fn builtin() -> Result<Sessions, Error> {
    parse(TABLE)
}

fn parse(table: &str) -> Result<Sessions, Error> {
    let zone = TimeZone::get(ZONE).map_err(Error::Zone)?;
    let mut sessions = Vec::new();
    for (index, line) in table.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty()) {
        sessions.push(session(line, &zone).ok_or(Error::Line { line: index + 1 })?);
    }
    Ok(Sessions::new(zone, sessions))
}

fn session(line: &str, zone: &TimeZone) -> Option<Session> {
    let mut fields = line.split(',');
    let day: Date = fields.next()?.parse().ok()?;
    let open = moment(day, fields.next()?, zone)?;
    let close = moment(day, fields.next()?, zone)?;
    (fields.next().is_none() && open < close).then_some(Session { day, open, close })
}

fn moment(day: Day, clock: &str, zone: &TimeZone) -> Option<Moment> {
    let time = Time::strptime("%H:%M", clock).ok()?;
    Some(Moment::from(day.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    #[test]
    fn half_days_close_early_and_holidays_have_no_session() {
        let sessions = builtin().unwrap();
        let half = sessions.on(jiff::civil::date(2026, 11, 27)).unwrap();
        assert_eq!(half.close.to_string(), "2026-11-27T18:00:00Z");
        assert_eq!(half.open.to_string(), "2026-11-27T14:30:00Z");
        assert!(sessions.on(jiff::civil::date(2026, 11, 26)).is_none(), "Thanksgiving");
        assert!(sessions.covers(jiff::civil::date(2030, 12, 31)) && !sessions.covers(jiff::civil::date(2031, 1, 2)));
    }

    #[test]
    fn a_damaged_line_is_named() {
        assert!(matches!(parse("date,open,close\n2026-11-27,09:30\n"), Err(Error::Line { line: 2 })));
        assert!(matches!(parse("date,open,close\n2026-11-27,16:00,09:30\n"), Err(Error::Line { line: 2 })));
    }
}
