//! The exchange's sessions as this binary knows them: New York, 1990 to 2030, half days included.
//!
//! This table says when strategies come due. The broker's own calendar is the authority for trading: where the two differ
//! for a day, nothing is traded on it.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use crate::model::session::{Session, Sessions};
use crate::model::time::Moment;

/// The zone of the exchange.
pub const ZONE: &str = "America/New_York";

const TABLE: &str = include_str!("../../config/xnys-sessions.csv");

/// Why the table does not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The zone database lacks the exchange's zone.
    #[error("the time zone {ZONE} is unknown")]
    Zone,
    /// A line is no session.
    #[error("line {line} of the session table is no session")]
    Line {
        /// Which.
        line: usize,
    },
}

/// Reads the built-in table; its caller keeps it.
///
/// # Errors
/// Never, unless the binary was built with a broken table: a test reads it.
pub fn builtin() -> Result<Sessions, Error> {
    let zone = TimeZone::get(ZONE).map_err(|_| Error::Zone)?;
    let mut sessions = Vec::new();
    for (index, line) in TABLE.lines().enumerate().skip(1) {
        sessions.push(session(&zone, line).ok_or(Error::Line { line: index + 1 })?);
    }
    Ok(Sessions::new(zone, sessions))
}

fn session(zone: &TimeZone, line: &str) -> Option<Session> {
    let mut parts = line.split(',');
    let day: Date = parts.next()?.parse().ok()?;
    let open: Time = parts.next()?.parse().ok()?;
    let close: Time = parts.next()?.parse().ok()?;
    at(zone, day, open, close)
}

/// A session from local times at the exchange.
pub fn at(zone: &TimeZone, day: Date, open: Time, close: Time) -> Option<Session> {
    let moment = |time: Time| day.to_datetime(time).to_zoned(zone.clone()).ok().map(|at| Moment::from(at.timestamp()));
    Some(Session { day, open: moment(open)?, close: moment(close)? })
}
