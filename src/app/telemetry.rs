//! Logs: to standard error, as text or JSON, one line per thing that happened. Standard output belongs to answers.
//!
//! A panic is one line too; its text is what the code says, never a value that could hold a secret.

use std::error::Error;
use std::io::{self, IsTerminal};
use std::panic;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::app::settings::{Log, LogFormat};

/// An error with everything that led to it, for one line: what happened, and then why.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Starts logging. A second call changes nothing: tests run many commands in one process.
pub fn start(log: &Log) {
    // The scheduler's own notes say nothing that the bell does not.
    let level = format!("tokio_cron_scheduler=warn,{}", log.level);
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false).with_ansi(colours);
    let started = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_ok() {
        panic::set_hook(Box::new(|panicked| {
            let place = panicked.location().map(ToString::to_string).unwrap_or_default();
            let what = panicked.payload_as_str().unwrap_or("a panic without words");
            tracing::error!(place, "the code failed: {}", what.replace('\n', " "));
        }));
    }
}
