//! `strategies import`: a portfolio of Alpaca's Rebalancing API as a strategy file. No configuration, database or network.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::wire;
use crate::edge::strategies::portfolio::{self, At, Days, Wanted};
use crate::model::ids::{NotAnId, StrategyName};
use crate::model::schedule::NotASchedule;

/// Arguments of `strategies import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The portfolio's JSON, as GET /v1/rebalancing/portfolios/ID of Alpaca's Broker API answers.
    file: PathBuf,
    /// The strategy's name; without it the portfolio's own, in small letters and dashes.
    #[arg(long, value_parser = name)]
    name: Option<StrategyName>,
    /// When it looks, in place of the portfolio's calendar: session, or week:Mon, month:15, quarter:last, year:06-30.
    #[arg(long, value_name = "PERIOD[:DAY]", value_parser = days)]
    schedule: Option<Days>,
    /// Where in the session it looks, such as open+30m; without it close-30m, the end of the time of Alpaca's own jobs.
    #[arg(long, value_name = "POINT", value_parser = at)]
    at: Option<At>,
    /// Write the strategy to this file, which must not exist; without it, to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn name(text: &str) -> Result<StrategyName, NotAnId> {
    StrategyName::parse(text)
}

fn days(text: &str) -> Result<Days, NotASchedule> {
    Days::parse(text)
}

fn at(text: &str) -> Result<At, NotASchedule> {
    At::parse(text)
}

/// Takes the portfolio over.
pub(super) fn obey(context: &Context, args: &Args) -> Result<(), Failure> {
    let wanted = Wanted { name: args.name.clone(), days: args.schedule.clone(), at: args.at.clone() };
    let taken = portfolio::take_over(&args.file, &wanted).map_err(|faults| Failure::Input(wire::lines(&faults)))?;
    if let Some(out) = &args.out {
        write(out, &taken.text)?;
    }
    for warning in &taken.warnings {
        // Without a standard error nobody is left to tell; the file has it as a comment.
        drop(writeln!(io::stderr().lock(), "not the same here: {warning}"));
    }
    let name = taken.strategy.name().as_str();
    let answer = json!({ "strategy": name, "file": args.out, "toml": taken.text, "warnings": taken.warnings });
    context.print(&answer, |_| match &args.out {
        Some(out) => format!("{name} is in {}; `rebalanced check` reads it as the daemon does", out.display()),
        None => taken.text.trim_end().to_owned(),
    })
}

/// Writes a file that is not there yet.
fn write(out: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::input(format!(
            "{} is there already and was left as it is; name another file with --out",
            out.display()
        )),
        _ => Failure::input(format!("{} cannot be written: {error}; name another file with --out", out.display())),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(out).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
