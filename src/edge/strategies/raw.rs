//! The shape of a strategy file, and its way into a valid strategy.

use std::fmt;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use toml::Spanned;

use super::Fault;
use crate::model::ids::{StrategyName, StrategyVersion, Symbol};
use crate::model::money::{Fraction, Usd};
use crate::model::strategy::{
    Conditions, CronRule, Destination, Every, Limits, Misfire, NotASchedule, NotAStrategy, OrderStyle, OrderType,
    Schedule, SessionPoint, Strategy, StrategyParts, Target, Unmanaged, When,
};

/// A decimal number: whole, with a point, or as a string. It never passes through binary rounding: a TOML float is taken
/// by its shortest decimal text, which is what was written.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(with = "f64")]
struct Number(Decimal);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number")
            }
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(Decimal::from(value)))
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Number, E> {
                self.visit_str(&value.to_string())
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(|_| E::custom(format!("`{text}` is not a decimal number")))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A rebalancing strategy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawStrategy {
    /// Its name, unique among the files of a folder.
    #[schemars(with = "String")]
    name: Spanned<String>,
    /// One sentence for people.
    #[serde(default)]
    description: String,
    /// When it looks at its accounts.
    #[schemars(with = "RawSchedule")]
    schedule: Spanned<RawSchedule>,
    /// What it holds.
    #[serde(default)]
    #[schemars(with = "Vec<RawWeight>")]
    weights: Vec<Spanned<RawWeight>>,
    /// How much stays cash.
    #[serde(default)]
    #[schemars(with = "Option<RawCash>")]
    cash: Option<Spanned<RawCash>>,
    /// When it trades, and how far.
    #[serde(default)]
    rebalance: RawRebalance,
    /// How it orders.
    #[serde(default)]
    orders: RawOrders,
    /// What a run may do at most.
    #[serde(default)]
    limits: RawLimits,
}

/// One of two forms: `cron` with `timezone`, or `every` with `at`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawSchedule {
    /// Six fields, seconds first: `0 45 15 * * Mon-Fri`.
    #[schemars(with = "Option<String>")]
    cron: Option<Spanned<String>>,
    /// The IANA zone in which the cron rule's hours are meant; America/New_York by default.
    #[schemars(with = "Option<String>")]
    timezone: Option<Spanned<String>>,
    /// The first session of each.
    every: Option<RawEvery>,
    /// `open`, `open+15m` or `close-15m`; the real close on half days.
    #[schemars(with = "Option<String>")]
    at: Option<Spanned<String>>,
    /// What becomes of a moment that passed while the service was down.
    #[serde(default)]
    misfire: RawMisfire,
    /// How late a moment may still be run.
    #[serde(default = "half_an_hour")]
    grace_minutes: u32,
}

fn half_an_hour() -> u32 {
    30
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RawEvery {
    Session,
    Week,
    Month,
    Quarter,
    Year,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RawMisfire {
    #[default]
    RunOnce,
    Skip,
}

/// A symbol and its share.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawWeight {
    /// The ticker, as Alpaca spells it.
    symbol: String,
    /// Percent of the portfolio.
    percent: Number,
}

/// The share that stays cash.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawCash {
    /// Percent of the portfolio.
    percent: Number,
}

/// When it trades, and how far.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawRebalance {
    /// Percentage points; beyond them, trade.
    drift_absolute_percent: Option<Number>,
    /// Percent of the target; beyond them, trade.
    drift_relative_percent: Option<Number>,
    /// How far to go.
    destination: RawDestination,
    /// Calendar days to leave an account alone after a rebalance.
    cooldown_days: u32,
    /// Whether new cash buys what is underweight, also inside the bands and the cooldown.
    invest_cash: bool,
    /// Holdings that the strategy does not name.
    unmanaged: RawUnmanaged,
}

impl Default for RawRebalance {
    fn default() -> Self {
        Self {
            drift_absolute_percent: None,
            drift_relative_percent: None,
            destination: RawDestination::Target,
            cooldown_days: 0,
            invest_cash: true,
            unmanaged: RawUnmanaged::Ignore,
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RawDestination {
    Target,
    BandEdge,
    Halfway,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RawUnmanaged {
    Ignore,
    Sell,
    Block,
}

/// How it orders.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawOrders {
    /// Market or limit.
    r#type: RawOrderType,
    /// Smallest order worth sending, in dollars.
    min_notional: Number,
}

impl Default for RawOrders {
    fn default() -> Self {
        Self { r#type: RawOrderType::Market, min_notional: Number(Decimal::ONE) }
    }
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RawOrderType {
    Market,
    Limit,
}

/// What a run may do at most. What is not set here has the strict default.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    /// Largest value of one order, in dollars.
    max_order_notional: Number,
    /// Largest share of the portfolio that one run may sell.
    max_turnover_percent: Number,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self { max_order_notional: Number(Decimal::from(25_000)), max_turnover_percent: Number(Decimal::from(35)) }
    }
}

/// The JSON Schema of a strategy file, for editors.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(RawStrategy);
    serde_json::to_string_pretty(&schema).unwrap_or_default()
}

/// Reads a file's text.
pub(super) fn parse(text: &str, version: StrategyVersion) -> Result<Strategy, Vec<Fault>> {
    let raw: RawStrategy = toml::from_str(text).map_err(|error| vec![shape_fault(&error)])?;
    let mut faults = Vec::new();
    let name = StrategyName::parse(raw.name.get_ref())
        .map_err(|error| faults.push(Fault { at: Some(raw.name.span()), what: error.to_string(), mend: None }))
        .ok();
    let when = when(&raw.schedule, &mut faults);
    let targets = targets(&raw.weights, &mut faults);
    let (Some(name), Some(when), true) = (name, when, faults.is_empty()) else { return Err(faults) };
    let percent = |number: Option<Number>| number.map(|number| Fraction::from_percent(number.0));
    let parts = StrategyParts {
        name,
        version,
        description: raw.description,
        when,
        targets,
        cash: percent(raw.cash.as_ref().map(|cash| cash.get_ref().percent)).unwrap_or_default(),
        conditions: Conditions {
            drift_absolute: percent(raw.rebalance.drift_absolute_percent),
            drift_relative: percent(raw.rebalance.drift_relative_percent),
            destination: match raw.rebalance.destination {
                RawDestination::Target => Destination::Target,
                RawDestination::BandEdge => Destination::BandEdge,
                RawDestination::Halfway => Destination::Halfway,
            },
            cooldown_days: raw.rebalance.cooldown_days,
            invest_cash: raw.rebalance.invest_cash,
            unmanaged: match raw.rebalance.unmanaged {
                RawUnmanaged::Ignore => Unmanaged::Ignore,
                RawUnmanaged::Sell => Unmanaged::Sell,
                RawUnmanaged::Block => Unmanaged::Block,
            },
        },
        orders: OrderStyle {
            kind: match raw.orders.r#type {
                RawOrderType::Market => OrderType::Market,
                RawOrderType::Limit => OrderType::Limit,
            },
            min_notional: Usd::new(raw.orders.min_notional.0),
        },
        limits: Limits {
            max_order_notional: Some(Usd::new(raw.limits.max_order_notional.0)),
            max_turnover: percent(Some(raw.limits.max_turnover_percent)),
        },
    };
    Strategy::new(parts)
        .map_err(|found| found.into_iter().map(|fault| sense_fault(fault, &raw.weights, text)).collect())
}

/// A fault of the file's shape, with the nearest key that exists.
fn shape_fault(error: &toml::de::Error) -> Fault {
    let what = error.message().to_owned();
    let mut quoted = what.split('`').skip(1).step_by(2);
    let unknown = what.starts_with("unknown field") || what.starts_with("unknown variant");
    let mend = quoted.next().filter(|_| unknown).and_then(|given| {
        let nearest =
            quoted.max_by(|a, b| strsim::jaro_winkler(given, a).total_cmp(&strsim::jaro_winkler(given, b)))?;
        Some(format!("the nearest that exists is `{nearest}`"))
    });
    Fault { at: error.span(), what: what.lines().next().unwrap_or_default().to_owned(), mend }
}

/// A fault of the strategy's sense, with the line it stands in where one line is to blame.
fn sense_fault(fault: NotAStrategy, weights: &[Spanned<RawWeight>], text: &str) -> Fault {
    let of_symbol = |symbol: &Symbol| {
        weights.iter().rev().find(|weight| weight.get_ref().symbol == symbol.as_str()).map(Spanned::span)
    };
    let line_of = |word: &str| text.find(word).map(|at| at..at);
    let at = match &fault {
        NotAStrategy::Empty => Some(0..0),
        NotAStrategy::Sum { .. } => weights.first().map(Spanned::span),
        NotAStrategy::Weight { symbol, .. } | NotAStrategy::Twice { symbol } => of_symbol(symbol),
        NotAStrategy::Cash { .. } => line_of("[cash]"),
        NotAStrategy::Range { field, .. } => field.split('.').next_back().and_then(line_of),
    };
    Fault { at, what: fault.to_string(), mend: None }
}

fn targets(weights: &[Spanned<RawWeight>], faults: &mut Vec<Fault>) -> Vec<Target> {
    let mut targets = Vec::with_capacity(weights.len());
    for weight in weights {
        let raw = weight.get_ref();
        let plain =
            |symbol: &Symbol| symbol.as_str().chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '.');
        match Symbol::parse(&raw.symbol) {
            Ok(symbol) if plain(&symbol) => {
                targets.push(Target { symbol, weight: Fraction::from_percent(raw.percent.0) });
            }
            _ => faults.push(Fault {
                at: Some(weight.span()),
                what: format!("`{}` is not a symbol of a US stock or fund", raw.symbol),
                mend: Some(format!("symbols are in capitals, such as `{}`", raw.symbol.to_ascii_uppercase())),
            }),
        }
    }
    targets
}

fn when(raw: &Spanned<RawSchedule>, faults: &mut Vec<Fault>) -> Option<When> {
    let schedule = raw.get_ref();
    let found = match (&schedule.cron, schedule.every, &schedule.at) {
        (Some(cron), None, None) => cron_schedule(cron, schedule.timezone.as_ref()),
        (None, Some(every), Some(at)) => session_schedule(every, at),
        _ => Err(Fault {
            at: Some(raw.span()),
            what: "the schedule has neither form completely".to_owned(),
            mend: Some("give `cron` (with `timezone`), or `every` and `at`, not both".to_owned()),
        }),
    };
    match found {
        Ok(found) => Some(When {
            schedule: found,
            misfire: match schedule.misfire {
                RawMisfire::RunOnce => Misfire::RunOnce,
                RawMisfire::Skip => Misfire::Skip,
            },
            grace_minutes: schedule.grace_minutes,
        }),
        Err(fault) => {
            faults.push(fault);
            None
        }
    }
}

fn cron_schedule(cron: &Spanned<String>, zone: Option<&Spanned<String>>) -> Result<Schedule, Fault> {
    let name = zone.map_or("America/New_York", |zone| zone.get_ref().as_str());
    CronRule::parse(cron.get_ref(), name).map(Schedule::Cron).map_err(|fault| {
        let (at, mend) = match &fault {
            NotASchedule::Zone { zone: given } => (zone.map(Spanned::span), nearest_zone(given)),
            _ => (Some(cron.span()), None),
        };
        Fault { at, what: fault.to_string(), mend }
    })
}

fn nearest_zone(given: &str) -> Option<String> {
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let nearest =
        names.iter().max_by(|a, b| strsim::jaro_winkler(given, a).total_cmp(&strsim::jaro_winkler(given, b)))?;
    Some(format!("the nearest that exists is `{nearest}`"))
}

fn session_schedule(every: RawEvery, at: &Spanned<String>) -> Result<Schedule, Fault> {
    let point: SessionPoint = at.get_ref().parse().map_err(|fault: NotASchedule| Fault {
        at: Some(at.span()),
        what: fault.to_string(),
        mend: None,
    })?;
    let every = match every {
        RawEvery::Session => Every::Session,
        RawEvery::Week => Every::Week,
        RawEvery::Month => Every::Month,
        RawEvery::Quarter => Every::Quarter,
        RawEvery::Year => Every::Year,
    };
    Ok(Schedule::Session { every, at: point })
}
