//! A portfolio of Alpaca's Rebalancing API, taken over as a strategy file that means the same (facts 8).
//!
//! Always: percents are taken over digit by digit, and the file that comes out is one that the reader of strategies accepts.
//! What has no equal here is refused, or stands in the file as a comment and is told to whoever takes it over; nothing is
//! guessed.

mod json;
mod written;

use std::fs;
use std::path::Path;

use rust_decimal::Decimal;

use super::{BYTES_MAX, FileFault, file};
use crate::model::ids::{StrategyName, Symbol};
use crate::model::schedule::{Every, NotASchedule, On, SessionPoint};
use crate::model::strategy::Strategy;

/// What the author of the strategy says, because a portfolio does not.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The strategy's name; without it, it follows from the portfolio's.
    pub name: Option<StrategyName>,
    /// When it looks, in place of what the portfolio says.
    pub days: Option<Days>,
    /// At which point of a session it looks.
    pub at: Option<At>,
}

/// Which days: `session`, or `week:Mon`, `month:15`, `quarter:last`, `year:06-30`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    every: Every,
    on: Option<String>,
}

impl Days {
    /// Reads the words of a command.
    ///
    /// # Errors
    /// When they name no day.
    pub fn parse(text: &str) -> Result<Self, NotASchedule> {
        let (word, on) = text.split_once(':').map_or((text, None), |(word, on)| (word, Some(on)));
        let unknown = || NotASchedule::Every { text: word.to_owned() };
        let every = Every::parse(word).ok_or_else(unknown)?;
        if let Some(on) = on {
            On::parse(on, every)?;
        }
        // Of each session there is no day to choose.
        let on = on.filter(|_| every != Every::Session).map(str::to_owned);
        Ok(Self { every, on })
    }
}

/// A point of a session as the file spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At(String);

impl At {
    /// Reads the words of a command.
    ///
    /// # Errors
    /// When they are no such point.
    pub fn parse(text: &str) -> Result<Self, NotASchedule> {
        text.parse::<SessionPoint>().map(|_| Self(text.to_owned()))
    }
}

/// What came of a portfolio.
#[derive(Debug)]
pub struct TakenOver {
    /// The strategy, as our own reader has read it.
    pub strategy: Strategy,
    /// The file's text.
    pub text: String,
    /// What is not the same here, one sentence each; the file has them as comments.
    pub warnings: Vec<String>,
}

/// What a portfolio says.
#[derive(Debug, Default)]
struct Portfolio {
    name: String,
    description: String,
    id: Option<String>,
    updated_at: Option<String>,
    status: Option<String>,
    assets: Vec<(Symbol, Decimal)>,
    cash: Decimal,
    cooldown_days: Option<u32>,
    absolute: Vec<Decimal>,
    relative: Vec<Decimal>,
    calendar: Option<Days>,
    /// Fields that nobody here knows.
    strange: Vec<String>,
}

/// Reads a portfolio's JSON and makes a strategy file of it.
///
/// # Errors
/// Everything that is wrong with it, or that has no equal here.
pub fn take_over(path: &Path, wanted: &Wanted) -> Result<TakenOver, Vec<FileFault>> {
    let unreadable = |error: std::io::Error| {
        let what = format!("this portfolio cannot be read: {error}");
        vec![FileFault::of(path, what, "give a readable file in UTF-8")]
    };
    if fs::metadata(path).map_err(unreadable)?.len() > BYTES_MAX {
        return Err(vec![FileFault::of(path, "this is too large for a portfolio", "give a file below 1 MiB")]);
    }
    let portfolio = json::read(path, &fs::read_to_string(path).map_err(unreadable)?)?;
    let written::Written { text, warnings } = written::write(path, &portfolio, wanted).map_err(|fault| vec![fault])?;
    match file::draft(path, &text)?.is {
        file::Drafted::Whole(strategy) => Ok(TakenOver { strategy: *strategy, text, warnings }),
        file::Drafted::Sleeves(..) => {
            Err(vec![FileFault::of(path, "this became a strategy made of strategies", "report this as a fault")])
        }
    }
}
