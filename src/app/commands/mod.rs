//! The commands: parse, call a story, print. All of them work beside a running daemon.
//!
//! Answers go to standard output, everything else to standard error. A command that failed prints one message that says
//! what happened, to what, and what to do.

pub mod run;
pub mod check;
pub mod plan;
pub mod explain;
pub mod strategies;
pub mod users;
pub mod subscriptions;
pub mod runs;
pub mod approvals;
pub mod operators;
pub mod overrides;
pub mod halts;
pub mod audit;
pub mod keys;
pub mod migrate;
pub mod points;
pub mod doctor;
pub mod demo;

use std::io::{self, Write};

use serde_json::Value;

use crate::app::failure::Failure;
use crate::app::settings::Settings;
use crate::app::settings::layers::Sources;
use crate::app::telemetry;
use crate::app::wire::{self, Means};

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    /// Where the configuration comes from.
    pub sources: Sources,
    /// Whether to print JSON.
    pub json: bool,
}

impl Context {
    /// The configuration. Logging begins here, because its format stands in it.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let settings = Settings::load(&self.sources).map_err(Failure::Configuration)?;
        telemetry::start(&settings.log);
        Ok(settings)
    }

    /// The configuration and what a command needs of the outside.
    ///
    /// # Errors
    /// When the configuration has faults or the database does not open.
    pub async fn means(&self) -> Result<(Settings, Means), Failure> {
        let settings = self.settings()?;
        let means = wire::means(&settings, wire::Database::MustExist).await?;
        Ok((settings, means))
    }

    /// Prints an answer: the JSON, or the text made of it.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn print(&self, answer: &Value, text: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        let text = if self.json { format!("{answer:#}") } else { text(answer) };
        if text.is_empty() { Ok(()) } else { say(&text) }
    }
}

/// Writes a text and a line's end to standard output.
fn say(text: &str) -> Result<(), Failure> {
    let written = writeln!(io::stdout().lock(), "{text}");
    match written {
        // Whoever reads has seen enough (`rebalanced runs | head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => {
            other.map_err(|error| Failure::Other(anyhow::Error::new(error).context("the answer could not be printed")))
        }
    }
}
