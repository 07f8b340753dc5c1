//! `plan`: the dry run. The same decisions as the daemon's, from files alone: no configuration, database or network.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde_json::Value;

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::settings::Settings;
use crate::app::settings::layers::Sources;
use crate::app::{shown, wire};
use crate::edge::alpaca::closes_from_json;
use crate::edge::{decisions, sessions, strategies};
use crate::flow::rehearse::{Rehearsal, rehearse};
use crate::model::closes::Closes;
use crate::model::strategy::Strategy;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The strategy file.
    #[arg(long, value_name = "FILE")]
    pub strategy: PathBuf,
    /// The snapshot, made of Alpaca's own JSON: as_of, account, positions, quotes, and optionally open_orders, assets,
    /// last_rebalanced_at and, for a strategy that asks for closing prices, bars.
    #[arg(long, value_name = "FILE")]
    pub snapshot: PathBuf,
    /// Say of every asset in one sentence why it is traded or not.
    #[arg(long)]
    pub explain: bool,
}

/// Decides and prints.
///
/// # Errors
/// When a file cannot be read as what it should be.
pub fn obey(context: &Context, args: &Args) -> Result<(), Failure> {
    let (strategy, _) = strategies::read_file(&args.strategy).map_err(|faults| Failure::Input(wire::lines(&faults)))?;
    let rehearsal = rehearsal(context, &strategy, &args.snapshot)?;
    let mut answer = decisions::json(&rehearsal.plan, &rehearsal.refusals);
    if let Some(fields) = answer.as_object_mut().filter(|_| args.explain) {
        fields.insert("explained".to_owned(), decisions::explained(&rehearsal.explained));
    }
    context.print(&answer, for_people)
}

/// What a strategy would do with the account of a snapshot's file.
///
/// # Errors
/// When the file is no snapshot, or the configuration has faults.
pub(super) fn rehearsal(context: &Context, strategy: &Strategy, file: &Path) -> Result<Rehearsal, Failure> {
    let snapshot = wire::snapshot(file)?;
    let closes = closes(file)?;
    let sessions = sessions::builtin().map_err(|error| anyhow!(error))?;
    // The environment is left out: the same files give the same answer everywhere.
    let sources = Sources { config: context.sources.config.clone(), ..Sources::default() };
    let policy = Settings::load(&sources).map_err(Failure::Configuration)?.policy;
    Ok(rehearse(strategy, &snapshot, &closes, &sessions, &policy))
}

/// The closing prices of a snapshot's file.
fn closes(file: &Path) -> Result<Closes, Failure> {
    let wrong = |why: String| Failure::input(format!("{}: {why}", file.display()));
    let text =
        std::fs::read_to_string(file).map_err(|error| wrong(format!("this snapshot cannot be read: {error}")))?;
    closes_from_json(&text).map_err(|fault| wrong(fault.to_string()))
}

fn rows<'a>(answer: &'a Value, field: &str) -> &'a [Value] {
    answer.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn for_people(answer: &Value) -> String {
    let mut text = shown::fields(answer, &["decision", "reason", "detail", "value", "cash_after", "turnover"]);
    let mut section = |headline: &str, rows: &[Value], columns: &[&str]| {
        if !rows.is_empty() {
            text.extend(["\n\n", headline, "\n", &shown::table(rows, columns)]);
        }
    };
    let orders = ["phase", "symbol", "side", "qty", "notional", "type", "limit_price", "value"];
    section("orders", rows(answer, "orders"), &orders);
    section("not traded", rows(answer, "skipped"), &["symbol", "side", "value", "reason"]);
    section("weights", rows(answer, "weights"), &["symbol", "target", "before", "after"]);
    let drift = answer.get("drift").unwrap_or(&Value::Null);
    section("drift", rows(drift, "symbols"), &["symbol", "target", "actual", "absolute", "relative"]);
    section("would be refused", rows(answer, "refusals"), &["code", "detail"]);
    let sentences = shown::sentences(answer);
    if !sentences.is_empty() {
        text.extend(["\n\nwhy\n", &sentences.join("\n")]);
    }
    text
}
