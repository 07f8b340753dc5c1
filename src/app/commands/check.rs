//! `check` and `schema`: the configuration in force, the strategies, everything that is wrong with either, and what is
//! questionable about strategies that are valid.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde_json::{Map, Value, json};

use crate::app::commands::{Context, say};
use crate::app::failure::Failure;
use crate::app::settings::keys::KEYS;
use crate::app::settings::{Faults, Settings};
use crate::app::{shown, wire};
use crate::edge::clock::Clock;
use crate::edge::sessions;
use crate::edge::strategies::{Catalog, FileFault, json_schema};
use crate::flow::advise::{self, Measure};
use crate::model::money::Usd;
use crate::model::snapshot::Snapshot;
use crate::model::strategy::Strategy;
use crate::model::verdict::LintCode;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Check only the strategy files of this folder; no configuration is needed.
    #[arg(long, value_name = "DIR")]
    pub strategies: Option<PathBuf>,
    /// Fail also when a strategy has warnings.
    #[arg(long)]
    pub strict: bool,
    /// What an account is worth that follows the strategies, for the warnings that depend on it.
    #[arg(long, value_name = "DOLLARS", default_value = "10000", value_parser = portfolio)]
    pub portfolio: Usd,
    /// An account as `plan` takes it: what its assets say of fractions and its quotes of prices counts for the warnings.
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
}

fn portfolio(text: &str) -> Result<Usd, String> {
    let dollars = Usd::parse(text).map_err(|error| error.to_string())?;
    if dollars.is_positive() { Ok(dollars) } else { Err("a portfolio is worth more than nothing".to_owned()) }
}

/// One thing that was found in a strategy file.
struct Finding {
    code: LintCode,
    at: FileFault,
}

impl Finding {
    fn json(&self) -> Value {
        let Self { code, at } = self;
        json!({
            "file": at.file.display().to_string(),
            "line": at.line,
            "severity": if self.is_warning() { "warning" } else { "fault" },
            "code": code.code(),
            "message": at.what,
            "mend": at.mend,
        })
    }

    fn is_warning(&self) -> bool {
        self.code != LintCode::InvalidFile
    }
}

/// Checks and shows.
///
/// # Errors
/// Every fault of the configuration (64), or else of the strategies (2); with `--strict` also their warnings (2).
pub fn obey(context: &Context, args: &Args) -> Result<(), Failure> {
    let settings = match &args.strategies {
        Some(_) => None,
        None => Some(context.settings()?),
    };
    let folder = args.strategies.clone().or_else(|| settings.as_ref().map(|settings| settings.strategies.clone()));
    let (strategies, broken, faults) = match wire::strategies(&folder.unwrap_or_default()) {
        Ok((catalog, broken)) => {
            let faults = broken.iter().map(ToString::to_string).collect();
            (catalog, broken, faults)
        }
        Err(failure) => (Catalog::default(), Vec::new(), vec![failure.to_string()]),
    };
    let warnings = warnings(&strategies, args)?;
    let told: Vec<String> = warnings.iter().map(|one| format!("{} [{}]", one.at, one.code)).collect();
    let broken = broken.into_iter().map(|at| Finding { code: LintCode::InvalidFile, at });
    let findings: Vec<Value> = broken.chain(warnings).map(|finding| finding.json()).collect();
    let rows: Vec<Value> = strategies.iter().map(|strategy| row(strategy)).collect();
    let missing = settings.as_ref().map(|settings| settings.missing.clone()).unwrap_or_default();
    let wrong: Vec<String> = missing.iter().map(ToString::to_string).chain(faults.clone()).collect();
    let warnings = settings.as_ref().map(Settings::warnings).unwrap_or_default();
    let answer = json!({
        "settings": settings.as_ref().map(in_force),
        "strategies": rows,
        "faults": wrong,
        "warnings": warnings,
        "findings": findings,
    });
    context.print(&answer, |answer| {
        let settings = answer.get("settings").and_then(Value::as_object).map(settings_table).unwrap_or_default();
        let warned: String = warnings.iter().flat_map(|warning| ["warning: ", warning, "\n\n"]).collect();
        // Where every file is faulty the faults say all that there is.
        let is_shown = !rows.is_empty() || wrong.is_empty();
        let table = is_shown.then(|| shown::table(&rows, &["strategy", "holdings", "version", "description"]));
        let table = table.unwrap_or_default();
        let mut text = format!("{settings}{warned}{table}");
        if !told.is_empty() {
            text.extend(["\n\nwarnings (`rebalanced explain CODE` says more)\n", &told.join("\n")]);
        }
        text
    })?;
    if !missing.is_empty() {
        return Err(Failure::Configuration(Faults(missing)));
    }
    if !faults.is_empty() {
        return Err(Failure::Input(faults.join("\n")));
    }
    if args.strict && !told.is_empty() {
        return Err(Failure::Input(format!("{}\nwith --strict a warning is a fault", told.join("\n"))));
    }
    Ok(())
}

/// What is questionable about the valid strategies.
fn warnings(strategies: &Catalog, args: &Args) -> Result<Vec<Finding>, Failure> {
    let sessions = sessions::builtin().map_err(|error| anyhow!(error))?;
    let snapshot: Option<Snapshot> = args.snapshot.as_deref().map(wire::snapshot).transpose()?;
    let from = Clock::System.now();
    let by = Measure { sessions: &sessions, from, portfolio: args.portfolio, snapshot: snapshot.as_ref() };
    let mut findings = Vec::new();
    for strategy in strategies.iter() {
        let (file, text) = (strategies.file(strategy.name()), strategies.text(strategy.name()));
        let found = advise::warnings(strategy, (file.unwrap_or(Path::new("")), text.unwrap_or_default()), by);
        findings.extend(found.into_iter().map(|(code, at)| Finding { code, at }));
    }
    Ok(findings)
}

fn row(strategy: &Strategy) -> Value {
    json!({
        "strategy": strategy.name().as_str(),
        "version": strategy.version().as_str(),
        "holdings": strategy.universe().len(),
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
