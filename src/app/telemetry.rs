//! Logs: to standard error, as text or JSON, one line per thing that happened. Standard output belongs to answers.
//!
//! A panic is one line too; its text is what the code says, never a value that could hold a secret.

use std::io;
use std::panic;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::app::settings::{Log, LogFormat};

/// Starts logging. A second call changes nothing: tests run many commands in one process.
pub fn start(log: &Log) {
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
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
