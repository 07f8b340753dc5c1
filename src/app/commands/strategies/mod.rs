//! `strategies`: what strategy files mean, and where they come from.

mod diff;
mod import;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Subcommand;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::{shown, wire};
use crate::edge::{sessions, strategies};
use crate::flow::rehearse::{self, Look};
use crate::model::session::Sessions;
use crate::model::time::{Moment, Span};

/// Arguments of `strategies`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be asked of strategy files.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Print every moment at which the strategy looks at its accounts, by the exchange's days.
    Calendar {
        /// The strategy file.
        file: PathBuf,
        /// The first day, such as 2026-01-01.
        #[arg(long, value_name = "DATE")]
        from: Date,
        /// The last day.
        #[arg(long, value_name = "DATE")]
        to: Date,
    },
    /// Make a strategy file of a portfolio of Alpaca's Rebalancing API.
    Import(import::Args),
    /// Say what another version of a strategy changes, and what it would trade; nothing is recorded or sent.
    Diff(diff::Args),
}

/// Answers.
///
/// # Errors
/// When a file is not what it should be, or the days are none that the table of sessions knows.
pub async fn obey(context: &Context, args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Calendar { file, from, to } => calendar(context, file, (*from, *to)),
        Action::Import(args) => import::obey(context, args),
        Action::Diff(args) => diff::obey(context, args).await,
    }
}

fn calendar(context: &Context, file: &Path, (from, to): (Date, Date)) -> Result<(), Failure> {
    let (strategy, _) = strategies::read_file(file).map_err(|faults| Failure::Input(wire::lines(&faults)))?;
    let table = sessions::builtin().map_err(|error| anyhow!(error))?;
    let (after, until) = span(&table, from, to)?;
    let looks = rehearse::calendar(&strategy, &table, after, until);
    let rows: Vec<Value> = looks.iter().map(|look| row(&table, look)).collect();
    let answer = json!({ "strategy": strategy.name().as_str(), "moments": rows });
    context.print(&answer, |_| match rows.as_slice() {
        [] => format!("{} does not come due from {from} to {to}", strategy.name()),
        rows => shown::table(rows, &["new_york", "at", "session", "reason", "until"]),
    })
}

/// From the last microsecond before the first day to the end of the last one.
fn span(table: &Sessions, from: Date, to: Date) -> Result<(Moment, Moment), Failure> {
    if to < from {
        return Err(Failure::input(format!("--to {to} is before --from {from}")));
    }
    if let Some(day) = [from, to].into_iter().find(|day| !table.covers(*day)) {
        return Err(Failure::input(format!(
            "{day} is not in the built-in table of sessions, 1990-01-02 to 2030-12-31"
        )));
    }
    let begin = |day: Date| {
        let midnight = day.to_zoned(table.zone().clone()).map_err(|error| Failure::input(format!("{day}: {error}")))?;
        Ok::<_, Failure>(Moment::from(midnight.timestamp()) - Span::from_micros(1))
    };
    let end = to.tomorrow().map_err(|error| Failure::input(format!("{to}: {error}")))?;
    Ok((begin(from)?, begin(end)?))
}

fn row(table: &Sessions, look: &Look) -> Value {
    let moment = look.at;
    let local = moment.timestamp().to_zoned(table.zone().clone());
    let session = match table.at(moment) {
        Some(session) => {
            let hour = |at: Moment| at.timestamp().to_zoned(table.zone().clone()).strftime("%H:%M").to_string();
            format!("{} to {}", hour(session.open), hour(session.close))
        }
        None => "closed: skipped".to_owned(),
    };
    json!({
        "new_york": local.strftime("%a %Y-%m-%d %H:%M:%S").to_string(),
        "at": moment.to_string(),
        "session": session,
        "reason": look.reason.as_str(),
        "until": look.turns.until.to_string(),
    })
}
