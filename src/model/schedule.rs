//! When a strategy looks at its accounts: rules, not moments. `decide::due` turns them into moments.
//!
//! A [`When`] holds one [`Schedule`] or more and never none. Each has a reason, a word of its author's, that every moment
//! it names carries: into the run, the audit and the calendar.

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::model::codes::codes;

/// Which moments a schedule names.
#[derive(Debug, Clone)]
pub enum Rule {
    /// A cron rule in a time zone.
    Cron(Box<CronRule>),
    /// A moment relative to an exchange session.
    Session(SessionRule),
}

/// Which sessions, and where in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRule {
    /// One of each of these.
    pub every: Every,
    /// Which one.
    pub on: On,
    /// Where a day without a session goes.
    pub roll: Roll,
    /// Where in the session.
    pub at: SessionPoint,
}

/// Which day of a week, month, quarter or year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Its first session.
    First,
    /// Its last session.
    Last,
    /// This day of the week.
    Weekday(Weekday),
    /// This day of the month, or of the quarter's first month: 1 to 31.
    Day(i8),
    /// This day of the year.
    Date {
        /// 1 to 12.
        month: i8,
        /// 1 to 31.
        day: i8,
    },
}

/// Where a day goes that has no session, or that its month does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roll {
    /// To the session before it, which is Alpaca's own rule (facts 8.3).
    Preceding,
    /// To the session after it.
    Following,
}

impl On {
    /// Reads `first`, `last`, a day of the week (`Mon`), of the month (`15`) or of the year (`06-30`), as it goes with
    /// `every`.
    ///
    /// # Errors
    /// [`NotASchedule::Day`] when the text is none of them, or does not go with `every`.
    pub fn parse(text: &str, every: Every) -> Result<Self, NotASchedule> {
        let day = match (text, every) {
            ("first", _) => Some(Self::First),
            ("last", Every::Week | Every::Month | Every::Quarter | Every::Year) => Some(Self::Last),
            (_, Every::Week) => weekday(text).map(Self::Weekday),
            (_, Every::Month | Every::Quarter) => text.parse().ok().filter(|day| (1..=31).contains(day)).map(Self::Day),
            (_, Every::Year) => date(text),
            (_, Every::Session) => None,
        };
        day.ok_or_else(|| NotASchedule::Day { text: text.to_owned(), every: every.code() })
    }
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text.to_ascii_lowercase().as_str() {
        "mon" | "monday" => Weekday::Monday,
        "tue" | "tuesday" => Weekday::Tuesday,
        "wed" | "wednesday" => Weekday::Wednesday,
        "thu" | "thursday" => Weekday::Thursday,
        "fri" | "friday" => Weekday::Friday,
        _ => return None,
    })
}

fn date(text: &str) -> Option<On> {
    let (month, day) = text.split_once('-')?;
    let (month, day) = (month.parse().ok()?, day.parse().ok()?);
    // 2024 has every day that any year has.
    jiff::civil::Date::new(2024, month, day).ok().map(|_| On::Date { month, day })
}

/// A cron rule, seconds first, with the zone that its hours are meant in.
#[derive(Debug, Clone)]
pub struct CronRule {
    text: String,
    cron: Cron,
    zone: TimeZone,
    zone_name: String,
}

/// Why a schedule is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotASchedule {
    /// The cron text does not parse.
    #[error(
        "`{text}` is not a cron rule ({why}); six fields are: second minute hour day month weekday, such as `0 45 15 * * Mon-Fri`"
    )]
    Cron {
        /// What was given.
        text: String,
        /// The parser's words.
        why: String,
    },
    /// The rule never comes due.
    #[error("the cron rule `{text}` never comes due: no such day exists")]
    Never {
        /// What was given.
        text: String,
    },
    /// The rule comes due more than once in a minute.
    #[error(
        "the cron rule `{text}` comes due more than once a minute: seconds come first, so write one second, such as `0 45 15 * * Mon-Fri`"
    )]
    TooDense {
        /// What was given.
        text: String,
    },
    /// The zone is unknown.
    #[error("`{zone}` is not a time zone of the IANA database; `America/New_York` is one")]
    Zone {
        /// What was given.
        zone: String,
    },
    /// The period is none.
    #[error(
        "`{text}` is no period; `session`, `week`, `month`, `quarter` and `year` are, with a day such as `month:15`"
    )]
    Every {
        /// What was given.
        text: String,
    },
    /// The day does not parse, or does not go with `every`.
    #[error(
        "`{text}` is no day of a {every}; `first` and `last` are, Mon to Fri of a week, 1 to 31 of a month or quarter, and \
         06-30 of a year"
    )]
    Day {
        /// What was given.
        text: String,
        /// Of what.
        every: &'static str,
    },
    /// The reason is none.
    #[error(
        "`{text}` is no reason; small letters, digits and dashes are, such as `month-end`, but not `manual`, `new_version` \
         and `webhook`, which are for runs that no schedule asked for"
    )]
    Reason {
        /// What was given.
        text: String,
    },
    /// Two schedules have one reason.
    #[error("two schedules have the reason `{reason}`; give each one of its own")]
    Twice {
        /// Which of them is the second, counted from zero.
        place: usize,
        /// The reason.
        reason: SlotReason,
    },
    /// The point in the session does not parse.
    #[error("`{text}` is not a point in a session; `open`, `open+15m` and `close-15m` are")]
    Point {
        /// What was given.
        text: String,
    },
}

impl CronRule {
    /// Reads a rule of six fields, seconds first.
    ///
    /// # Errors
    /// [`NotASchedule`] when the text or the zone is wrong, or when the rule never comes due.
    pub fn parse(text: &str, zone_name: &str) -> Result<Self, NotASchedule> {
        let zone = TimeZone::get(zone_name).map_err(|_| NotASchedule::Zone { zone: zone_name.to_owned() })?;
        let cron = CronParser::builder()
            .seconds(Seconds::Required)
            .dom_and_dow(true)
            .build()
            .parse(text)
            .map_err(|error| NotASchedule::Cron { text: text.to_owned(), why: error.to_string() })?;
        let start = jiff::civil::date(2024, 1, 1).to_zoned(TimeZone::UTC);
        let first = start.ok().and_then(|start| cron.find_next_occurrence(&start, true).ok());
        let Some(first) = first else {
            return Err(NotASchedule::Never { text: text.to_owned() });
        };
        // A rule that rings twice in one minute does so in every minute it names, the first one included.
        let second = cron.find_next_occurrence(&first, false).ok();
        if second.is_some_and(|second| second.duration_since(&first) < jiff::SignedDuration::from_mins(1)) {
            return Err(NotASchedule::TooDense { text: text.to_owned() });
        }
        Ok(Self { text: text.to_owned(), cron, zone, zone_name: zone_name.to_owned() })
    }

    /// The rule as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parsed rule.
    pub fn cron(&self) -> &Cron {
        &self.cron
    }

    /// The zone in which its hours are meant.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The zone's IANA name.
    pub fn zone_name(&self) -> &str {
        &self.zone_name
    }
}

codes! {
    /// Which sessions a session schedule means: one of each.
    Every {
        /// Each session.
        Session = "session",
        /// One of each week, which begins on Monday.
        Week = "week",
        /// One of each month.
        Month = "month",
        /// One of each quarter.
        Quarter = "quarter",
        /// One of each year.
        Year = "year",
    }
}

/// A point in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPoint {
    /// Minutes after the open.
    AfterOpen(u16),
    /// Minutes before the real close.
    BeforeClose(u16),
}

impl FromStr for SessionPoint {
    type Err = NotASchedule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || NotASchedule::Point { text: text.to_owned() };
        let minutes = |rest: &str| match rest.strip_suffix('m').map(str::parse::<u16>) {
            Some(Ok(minutes)) if minutes <= 390 => Ok(minutes),
            _ => Err(refused()),
        };
        match text {
            "open" => Ok(Self::AfterOpen(0)),
            _ => match (text.strip_prefix("open+"), text.strip_prefix("close-")) {
                (Some(rest), _) => minutes(rest).map(Self::AfterOpen),
                (_, Some(rest)) => match minutes(rest)? {
                    0 => Err(refused()),
                    some => Ok(Self::BeforeClose(some)),
                },
                _ => Err(refused()),
            },
        }
    }
}

codes! {
    /// What to do with a moment that passed while the daemon was down.
    Misfire {
        /// Run the newest missed moment once, if it is no older than the grace.
        RunOnce = "run_once",
        /// Leave it out.
        Skip = "skip",
    }
}

/// Why a moment is one: the word that a schedule gives its moments, or what asked for a run beside all schedules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotReason(String);

impl SlotReason {
    /// Longest word.
    pub const LENGTH_MAX: usize = 40;

    /// The word of a schedule that gives none.
    pub fn scheduled() -> Self {
        Self("scheduled".to_owned())
    }

    /// A person asked.
    pub fn manual() -> Self {
        Self("manual".to_owned())
    }

    /// A new version of the strategy was loaded.
    pub fn new_version() -> Self {
        Self("new_version".to_owned())
    }

    /// A signed message asked.
    pub fn webhook() -> Self {
        Self("webhook".to_owned())
    }

    /// Reads a stored word.
    pub fn parse(text: &str) -> Option<Self> {
        let is_word = (1..=Self::LENGTH_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
        is_word.then(|| Self(text.to_owned()))
    }

    /// The word that a schedule wants to give its moments.
    ///
    /// # Errors
    /// [`NotASchedule::Reason`] when it is no word, or one of the words for what no schedule asked for.
    pub fn of_schedule(text: &str) -> Result<Self, NotASchedule> {
        let reserved = [Self::manual(), Self::new_version(), Self::webhook()];
        let word = Self::parse(text).filter(|word| !reserved.contains(word));
        word.ok_or_else(|| NotASchedule::Reason { text: text.chars().filter(|c| !c.is_control()).take(40).collect() })
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SlotReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One schedule of a strategy.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// What its moments are for.
    pub reason: SlotReason,
    /// Which moments it names.
    pub rule: Rule,
    /// What becomes of missed moments.
    pub misfire: Misfire,
    /// How late a moment may still be run, in minutes.
    pub grace_minutes: u32,
    /// Over how many minutes after the moment the strategy's users are spread.
    pub spread_minutes: u32,
}

impl Schedule {
    /// How late a moment may still be run when a file does not say.
    pub const GRACE_MINUTES: u32 = 30;

    /// A schedule of which only the rule is said.
    pub fn of(rule: Rule) -> Self {
        Self {
            reason: SlotReason::scheduled(),
            rule,
            misfire: Misfire::RunOnce,
            grace_minutes: Self::GRACE_MINUTES,
            spread_minutes: 0,
        }
    }
}

/// When a strategy looks at its accounts: one schedule or more, each with a reason of its own.
#[derive(Debug, Clone)]
pub struct When {
    first: Schedule,
    others: Vec<Schedule>,
    on_new_version: bool,
}

impl When {
    /// Puts schedules together, in the order of the file.
    ///
    /// # Errors
    /// [`NotASchedule::Twice`] when two have one reason.
    pub fn new(first: Schedule, others: Vec<Schedule>) -> Result<Self, NotASchedule> {
        let when = Self { first, others, on_new_version: false };
        for (place, schedule) in when.schedules().enumerate() {
            if when.schedules().take(place).any(|before| before.reason == schedule.reason) {
                return Err(NotASchedule::Twice { place, reason: schedule.reason.clone() });
            }
        }
        Ok(when)
    }

    /// One schedule alone.
    pub fn only(schedule: Schedule) -> Self {
        Self { first: schedule, others: Vec::new(), on_new_version: false }
    }

    /// The same, and whether a new version of the strategy is looked at once, beside all schedules.
    #[must_use]
    pub fn and_on_new_version(self, on_new_version: bool) -> Self {
        Self { on_new_version, ..self }
    }

    /// Whether a new version is looked at once, beside all schedules.
    pub fn on_new_version(&self) -> bool {
        self.on_new_version
    }

    /// The schedules, in the order of the file; there is at least one.
    pub fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The schedule whose moments have this reason.
    pub fn named(&self, reason: &SlotReason) -> Option<&Schedule> {
        self.schedules().find(|schedule| schedule.reason == *reason)
    }
}
