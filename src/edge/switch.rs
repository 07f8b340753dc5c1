//! The kill switch that needs no database: a file that exists, or a signal that came.
//!
//! It is looked at right before every order, so it holds from the instant the file is there. What cannot be looked at
//! counts as pulled (rule 5).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most characters of the file's text that are taken over as a reason.
const REASON_MAX: usize = 200;

/// A switch; clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct Switch {
    file: Option<PathBuf>,
    signalled: Arc<AtomicBool>,
}

impl Switch {
    /// A switch that is pulled while this file exists.
    pub fn with_file(file: Option<PathBuf>) -> Self {
        Self { file, signalled: Arc::default() }
    }

    /// The file, if one is configured.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Pulls it, until [`Switch::recorded`].
    pub fn signal(&self) {
        self.signalled.store(true, Ordering::SeqCst);
    }

    /// The signal has become a halt in the database, which holds from now on.
    pub fn recorded(&self) {
        self.signalled.store(false, Ordering::SeqCst);
    }

    /// Why nothing may be sent; `None` when it is not pulled.
    pub fn pulled(&self) -> Option<String> {
        if self.signalled.load(Ordering::SeqCst) {
            return Some("halted by a signal".to_owned());
        }
        let file = self.file.as_deref()?;
        match std::fs::read_to_string(file) {
            Ok(text) => {
                let reason: String = text.trim().chars().filter(|c| !c.is_control()).take(REASON_MAX).collect();
                Some(format!("halted by the file {}: {reason}", file.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                Some(format!("the halt file {} cannot be read, which counts as pulled: {error}", file.display()))
            }
        }
    }
}
