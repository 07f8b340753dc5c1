//! A portfolio as the text of a strategy file.

use std::path::Path;

use rust_decimal::Decimal;

use super::super::fault::FileFault;
use super::{Days, Portfolio, Wanted};
use crate::model::ids::StrategyName;
use crate::model::schedule::Every;

/// The end of the time in which Alpaca's own jobs begin (facts 8.8).
const AT: &str = "close-30m";

/// More cash than this is invested each day by Alpaca's own rebalancer (facts 8.7).
const CASH_ABOVE: u32 = 10;

/// A file's text, and what is not the same.
pub(super) struct Written {
    pub(super) text: String,
    pub(super) warnings: Vec<String>,
}

/// Writes the file.
pub(super) fn write(file: &Path, portfolio: &Portfolio, wanted: &Wanted) -> Result<Written, FileFault> {
    let mut warnings = Vec::new();
    let name = name(file, portfolio, wanted, &mut warnings)?;
    let days = days(file, portfolio, wanted, &mut warnings)?;
    other(portfolio, &mut warnings);
    let text = text(portfolio, (&name, &days, wanted), &warnings);
    Ok(Written { text, warnings })
}

/// The name that is wanted, or the portfolio's own as a strategy may be named.
fn name(
    file: &Path,
    portfolio: &Portfolio,
    wanted: &Wanted,
    warnings: &mut Vec<String>,
) -> Result<StrategyName, FileFault> {
    if let Some(name) = &wanted.name {
        return Ok(name.clone());
    }
    if let Ok(name) = StrategyName::parse(&portfolio.name) {
        return Ok(name);
    }
    let dashed: String = portfolio.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    let name = StrategyName::parse(&words.join("-").to_ascii_lowercase()).map_err(|_| {
        FileFault::of(
            file,
            format!("`name` is {}, which is no strategy's name", quoted(&portfolio.name)),
            "give --name NAME",
        )
    })?;
    warnings.push(format!("the portfolio's name is {}; the strategy's is `{name}` (--name)", quoted(&portfolio.name)));
    Ok(name)
}

/// When it looks.
fn days(file: &Path, portfolio: &Portfolio, wanted: &Wanted, warnings: &mut Vec<String>) -> Result<Days, FileFault> {
    let has_bands = !portfolio.absolute.is_empty() || !portfolio.relative.is_empty();
    let every_session = Days { every: Every::Session, on: None };
    match (&wanted.days, &portfolio.calendar) {
        (Some(days), calendar) => {
            if let Some(calendar) = calendar {
                warnings.push(format!("the portfolio's calendar ({}) is left out, as --schedule asks", said(calendar)));
            } else if has_bands && days.every != Every::Session {
                warnings
                    .push("Alpaca looks at the bands on every trading day; --schedule asks for fewer looks".to_owned());
            }
            if !has_bands && calendar.is_none() {
                warnings.push(
                    "the portfolio has no conditions, so Alpaca rebalances it by hand only; here every moment of the \
                     schedule does"
                        .to_owned(),
                );
            }
            Ok(days.clone())
        }
        (None, None) if has_bands => Ok(every_session),
        (None, None) => Err(FileFault::of(
            file,
            "`rebalance_conditions` holds none: Alpaca rebalances this portfolio by hand only, and a strategy always has a \
             schedule",
            "say when it is to be rebalanced, such as --schedule month:15",
        )),
        (None, Some(_)) if has_bands => Err(FileFault::of(
            file,
            "`rebalance_conditions` has a calendar and a drift band: at Alpaca the calendar's day rebalances also inside the \
             bands, and no one strategy does both",
            "--schedule session keeps the bands and leaves the calendar out; remove the bands from the JSON to keep the calendar",
        )),
        (None, Some(calendar)) => {
            warnings.push(format!(
                "Alpaca invests cash above {CASH_ABOVE} dollars each day; here it is invested at the schedule's moments only"
            ));
            Ok(calendar.clone())
        }
    }
}

/// What else is not the same here.
fn other(portfolio: &Portfolio, warnings: &mut Vec<String>) {
    if let Some(status) = portfolio.status.as_deref().filter(|status| *status != "active") {
        warnings.push(format!("the portfolio is {} at Alpaca; a strategy file is followed as it is", quoted(status)));
    }
    if portfolio.cooldown_days.is_none() {
        warnings.push("the portfolio has no `cooldown_days`; the strategy does not rest".to_owned());
    }
    for path in &portfolio.strange {
        warnings.push(format!("nobody here knows what {} means; it is left out", quoted(path)));
    }
}

fn text(portfolio: &Portfolio, (name, days, wanted): (&StrategyName, &Days, &Wanted), warnings: &[String]) -> String {
    let mut lines = vec!["#:schema ./strategy.schema.json".to_owned()];
    let mut source = format!("# Made from the portfolio {} of Alpaca's Rebalancing API", quoted(&portfolio.name));
    for (word, value) in [("id", &portfolio.id), ("as of", &portfolio.updated_at)] {
        if let Some(value) = value {
            source = format!("{source}, {word} {}", quoted(value));
        }
    }
    lines.push(format!("{source}."));
    lines.extend(warnings.iter().map(|warning| format!("# Not the same here: {warning}.")));
    lines.push(format!("name = {}", quoted(name.as_str())));
    if !portfolio.description.is_empty() {
        lines.push(format!("description = {}", quoted(&portfolio.description)));
    }
    let at = wanted.at.as_ref().map_or(AT, |at| at.0.as_str());
    lines.extend([String::new(), "[schedule]".to_owned(), format!("every = {}", quoted(days.every.code()))]);
    if let Some(on) = &days.on {
        let is_whole = on.bytes().all(|byte| byte.is_ascii_digit());
        // A leading zero is none of TOML's.
        let whole = on.trim_start_matches('0');
        lines.push(if is_whole { format!("on = {whole}") } else { format!("on = {}", quoted(on)) });
        if !["first", "last"].contains(&on.as_str()) {
            lines.push("roll = \"preceding\"".to_owned());
        }
    }
    lines.push("# Alpaca's jobs begin between 9:30 and 15:30; a portfolio does not say when.".to_owned());
    lines.extend([format!("at = {}", quoted(at)), String::new()]);
    for (symbol, percent) in &portfolio.assets {
        lines.push("[[weights]]".to_owned());
        lines.push(format!("symbol = {}", quoted(symbol.as_str())));
        lines.push(format!("percent = {percent}"));
    }
    // Alpaca drops a weight of no cash, too (facts 8.2).
    if !portfolio.cash.is_zero() {
        lines.extend(["[cash]".to_owned(), format!("percent = {}", portfolio.cash)]);
    }
    lines.extend([String::new(), "[rebalance]".to_owned()]);
    band(&mut lines, "drift_absolute_percent", &portfolio.absolute);
    band(&mut lines, "drift_relative_percent", &portfolio.relative);
    lines.push(format!("cooldown_days = {}", portfolio.cooldown_days.unwrap_or(0)));
    lines.push("# As Alpaca does: more cash than this is invested at each look, also in the rest.".to_owned());
    if !(portfolio.absolute.is_empty() && portfolio.relative.is_empty()) {
        lines.push("# Where that alone brings everything inside its band, nothing is sold.".to_owned());
    }
    lines.push(format!("cash_above = {CASH_ABOVE}"));
    lines.push("# As Alpaca does: a changed file is looked at once, also in the rest.".to_owned());
    lines.push("on_new_version = true".to_owned());
    lines.push(String::new());
    lines.join("\n")
}

/// Any of several bands triggers, so the tightest one says all.
fn band(lines: &mut Vec<String>, key: &str, bands: &[Decimal]) {
    let Some(tightest) = bands.iter().min() else { return };
    if bands.len() > 1 {
        let all: Vec<String> = bands.iter().map(|band| format!("{band}%")).collect();
        lines.push(format!("# The tightest of {}: any of them triggers.", all.join(", ")));
    }
    lines.push(format!("{key} = {tightest}"));
}

fn said(days: &Days) -> String {
    days.on.as_ref().map_or_else(|| days.every.code().to_owned(), |on| format!("{}:{on}", days.every.code()))
}

/// A text as TOML's basic string, which is also how a comment shows what a stranger wrote: on one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.extend(format!("\\u{:04X}", u32::from(c)).chars()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
