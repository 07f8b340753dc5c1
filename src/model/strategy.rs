//! A strategy: what to hold, when to look, and how much a run may do. Valid by construction.
//!
//! A [`Strategy`] exists only through [`Strategy::new`], which refuses weights that do not add up, a symbol named twice
//! and numbers outside their range; so the planner never meets one that makes no sense.

use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::model::ids::{StrategyName, StrategyVersion, Symbol};
use crate::model::money::{Fraction, Usd};

/// One line of the weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What to hold.
    pub symbol: Symbol,
    /// How much of the portfolio it should be; above zero.
    pub weight: Fraction,
}

/// When a strategy looks at its accounts.
#[derive(Debug, Clone)]
pub enum Schedule {
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

/// Which sessions a session schedule means: one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// Each session.
    Session,
    /// One of each week, which begins on Monday.
    Week,
    /// One of each month.
    Month,
    /// One of each quarter.
    Quarter,
    /// One of each year.
    Year,
}

impl Every {
    /// The file's word.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
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

/// What to do with a moment that passed while the daemon was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfire {
    /// Run the newest missed moment once, if it is no older than the grace.
    RunOnce,
    /// Leave it out.
    Skip,
}

/// How far a rebalance goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To the target itself.
    Target,
    /// To the edge of the band.
    BandEdge,
    /// Halfway between where it is and the target.
    Halfway,
}

/// What to do with holdings that the strategy does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmanaged {
    /// Neither trade nor count them.
    Ignore,
    /// Sell them.
    Sell,
    /// Do not trade the account while it holds any.
    Block,
}

/// The kind of order to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderType {
    /// At the market.
    Market,
    /// At a limit on the far side of the quote.
    Limit,
}

/// The schedule section.
#[derive(Debug, Clone)]
pub struct When {
    /// The rule.
    pub schedule: Schedule,
    /// What becomes of missed moments.
    pub misfire: Misfire,
    /// How late a moment may still be run, in minutes.
    pub grace_minutes: u32,
}

/// The rebalance section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// Largest deviation from the target in fractions of the portfolio; beyond it, trade.
    pub drift_absolute: Option<Fraction>,
    /// Largest deviation in fractions of the target; beyond it, trade.
    pub drift_relative: Option<Fraction>,
    /// How far to go.
    pub destination: Destination,
    /// Calendar days to leave the account alone after a rebalance.
    pub cooldown_days: u32,
    /// Whether cash above its target buys what is underweight, also inside the bands and the cooldown.
    pub invest_cash: bool,
    /// Holdings that the strategy does not name.
    pub unmanaged: Unmanaged,
}

/// The orders section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderStyle {
    /// Market or limit.
    pub kind: OrderType,
    /// Smallest order worth sending; at least one dollar, which is Alpaca's own minimum (facts 3.2).
    pub min_notional: Usd,
}

/// The limits section: what a run may do at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest value of one order.
    pub max_order_notional: Option<Usd>,
    /// Largest share of the portfolio that one run may sell.
    pub max_turnover: Option<Fraction>,
}

/// A valid strategy.
#[derive(Debug, Clone)]
pub struct Strategy {
    parts: StrategyParts,
}

/// The parts of a strategy, before they are checked together.
#[derive(Debug, Clone)]
pub struct StrategyParts {
    /// Its name, unique among the loaded files.
    pub name: StrategyName,
    /// The hash of its file.
    pub version: StrategyVersion,
    /// One sentence for people.
    pub description: String,
    /// When it looks.
    pub when: When,
    /// What it holds.
    pub targets: Vec<Target>,
    /// How much of the portfolio stays cash.
    pub cash: Fraction,
    /// When it trades, and how far.
    pub conditions: Conditions,
    /// How it orders.
    pub orders: OrderStyle,
    /// What a run may do at most.
    pub limits: Limits,
}

/// Why parts are no strategy. Each names the field it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAStrategy {
    /// There is nothing to hold.
    #[error("no [[weights]]: a strategy holds at least one symbol")]
    Empty,
    /// Weights and cash do not make a whole.
    #[error("weights and cash add up to {sum}%, not 100%: {hint}")]
    Sum {
        /// What they add up to, in percent.
        sum: Decimal,
        /// What would mend it.
        hint: String,
    },
    /// A weight is not above zero.
    #[error("the weight of {symbol} is {percent}%: a weight is above 0 and at most 100")]
    Weight {
        /// The symbol.
        symbol: Symbol,
        /// Its percent.
        percent: Decimal,
    },
    /// A symbol stands twice.
    #[error("{symbol} has two weights: add them up into one")]
    Twice {
        /// The symbol.
        symbol: Symbol,
    },
    /// The cash target is not a fraction.
    #[error("cash is {percent}%: it is 0 or above, and below 100")]
    Cash {
        /// The percent.
        percent: Decimal,
    },
    /// A number is outside its range.
    #[error("{field} is {value}: {range}")]
    Range {
        /// The field, as the file spells it.
        field: &'static str,
        /// What was given.
        value: String,
        /// What it may be.
        range: &'static str,
    },
}

impl Strategy {
    /// Checks parts together; targets are put in the order of their symbols.
    ///
    /// # Errors
    /// Every fault found, not only the first.
    pub fn new(mut parts: StrategyParts) -> Result<Self, Vec<NotAStrategy>> {
        parts.targets.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        let mut faults = faults_in_weights(&parts);
        faults.extend(faults_in_ranges(&parts));
        if faults.is_empty() { Ok(Self { parts }) } else { Err(faults) }
    }

    /// Its name.
    pub fn name(&self) -> &StrategyName {
        &self.parts.name
    }

    /// The hash of its file.
    pub fn version(&self) -> &StrategyVersion {
        &self.parts.version
    }

    /// One sentence for people.
    pub fn description(&self) -> &str {
        &self.parts.description
    }

    /// When it looks.
    pub fn when(&self) -> &When {
        &self.parts.when
    }

    /// What it holds, in the order of the symbols; weights and cash add up to one.
    pub fn targets(&self) -> &[Target] {
        &self.parts.targets
    }

    /// How much of the portfolio stays cash.
    pub fn cash(&self) -> Fraction {
        self.parts.cash
    }

    /// When it trades, and how far.
    pub fn conditions(&self) -> &Conditions {
        &self.parts.conditions
    }

    /// How it orders.
    pub fn orders(&self) -> &OrderStyle {
        &self.parts.orders
    }

    /// What a run may do at most.
    pub fn limits(&self) -> &Limits {
        &self.parts.limits
    }
}

fn faults_in_weights(parts: &StrategyParts) -> Vec<NotAStrategy> {
    let mut faults = Vec::new();
    if parts.targets.is_empty() {
        faults.push(NotAStrategy::Empty);
    }
    for target in &parts.targets {
        if !target.weight.is_positive() || target.weight > Fraction::ONE {
            faults.push(NotAStrategy::Weight {
                symbol: target.symbol.clone(),
                percent: target.weight.percent().normalize(),
            });
        }
    }
    for pair in parts.targets.windows(2) {
        if let [a, b] = pair
            && a.symbol == b.symbol
        {
            faults.push(NotAStrategy::Twice { symbol: a.symbol.clone() });
        }
    }
    if parts.cash < Fraction::ZERO || parts.cash >= Fraction::ONE {
        faults.push(NotAStrategy::Cash { percent: parts.cash.percent().normalize() });
    }
    let sum = parts.targets.iter().map(|target| target.weight).sum::<Fraction>() + parts.cash;
    if sum != Fraction::ONE && !parts.targets.is_empty() {
        let missing = (Fraction::ONE - sum).percent().normalize();
        let hint = if missing.is_sign_positive() {
            format!("{missing} percent are missing; add them to a weight or to [cash]")
        } else {
            format!("{} percent are too many; take them from a weight or from [cash]", missing.abs())
        };
        faults.push(NotAStrategy::Sum { sum: sum.percent().normalize(), hint });
    }
    faults
}

fn faults_in_ranges(parts: &StrategyParts) -> Vec<NotAStrategy> {
    let mut faults = Vec::new();
    let percent = |fraction: Fraction| fraction.percent().normalize().to_string();
    let mut fraction = |field, value: Option<Fraction>| {
        if let Some(value) = value.filter(|value| !value.is_positive() || *value > Fraction::ONE) {
            faults.push(NotAStrategy::Range { field, value: percent(value), range: "it is above 0 and at most 100" });
        }
    };
    fraction("rebalance.drift_absolute_percent", parts.conditions.drift_absolute);
    fraction("rebalance.drift_relative_percent", parts.conditions.drift_relative);
    fraction("limits.max_turnover_percent", parts.limits.max_turnover);
    if parts.orders.min_notional < Usd::new(Decimal::ONE) {
        faults.push(NotAStrategy::Range {
            field: "orders.min_notional",
            value: parts.orders.min_notional.to_string(),
            range: "it is 1 or more, the broker's own minimum",
        });
    }
    if let Some(cap) = parts.limits.max_order_notional.filter(|cap| *cap < parts.orders.min_notional) {
        faults.push(NotAStrategy::Range {
            field: "limits.max_order_notional",
            value: cap.to_string(),
            range: "it is at least orders.min_notional",
        });
    }
    faults
}
