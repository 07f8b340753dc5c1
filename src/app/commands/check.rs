//! `check` and `schema`: the configuration in force, the strategies, and everything that is wrong with either.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::app::commands::{Context, say};
use crate::app::failure::Failure;
use crate::app::settings::keys::KEYS;
use crate::app::settings::{Faults, Settings};
use crate::app::{shown, wire};
use crate::edge::strategies::{Catalog, json_schema};
use crate::model::strategy::Strategy;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Check only the strategy files of this folder; no configuration is needed.
    #[arg(long, value_name = "DIR")]
    pub strategies: Option<PathBuf>,
}

/// Checks and shows.
///
/// # Errors
/// Every fault of the configuration (64), or else of the strategies (2).
pub fn obey(context: &Context, args: &Args) -> Result<(), Failure> {
    let settings = match &args.strategies {
        Some(_) => None,
        None => Some(context.settings()?),
    };
    let folder = args.strategies.clone().or_else(|| settings.as_ref().map(|settings| settings.strategies.clone()));
    let (strategies, faults) = match wire::strategies(&folder.unwrap_or_default()) {
        Ok((catalog, faults)) => (catalog, faults.iter().map(ToString::to_string).collect()),
        Err(failure) => (Catalog::default(), vec![failure.to_string()]),
    };
    let rows: Vec<Value> = strategies.iter().map(|strategy| row(strategy)).collect();
    let missing = settings.as_ref().map(|settings| settings.missing.clone()).unwrap_or_default();
    let wrong: Vec<String> = missing.iter().map(ToString::to_string).chain(faults.clone()).collect();
    let answer = json!({ "settings": settings.as_ref().map(in_force), "strategies": rows, "faults": wrong });
    context.print(&answer, |answer| {
        let settings = answer.get("settings").and_then(Value::as_object).map(settings_table).unwrap_or_default();
        format!("{settings}{}", shown::table(&rows, &["strategy", "holdings", "version", "description"]))
    })?;
    if !missing.is_empty() {
        return Err(Failure::Configuration(Faults(missing)));
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::Input(faults.join("\n"))) }
}

fn row(strategy: &Strategy) -> Value {
    json!({
        "strategy": strategy.name().as_str(),
        "version": strategy.version().as_str(),
        "holdings": strategy.targets().len(),
        "description": strategy.description(),
    })
}

/// Every key in force, with its origin.
fn in_force(settings: &Settings) -> Value {
    let entries = KEYS.iter().filter_map(|key| {
        let shown = settings.shown.get(key.path)?;
        Some((key.path.to_owned(), json!({ "value": shown.value, "origin": shown.origin })))
    });
    Value::Object(entries.collect())
}

fn settings_table(settings: &Map<String, Value>) -> String {
    let rows: Vec<Value> = settings
        .iter()
        .map(|(key, shown)| json!({ "key": key, "value": shown.get("value"), "from": shown.get("origin") }))
        .collect();
    format!("{}\n\n", shown::table(&rows, &["key", "value", "from"]))
}

/// Prints the JSON Schema of a strategy file.
///
/// # Errors
/// When standard output is closed.
pub fn schema() -> Result<(), Failure> {
    say(json_schema().trim_end())
}
