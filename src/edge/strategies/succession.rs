//! From the strategies that are followed to those that a folder holds now.
//!
//! Only valid files are taken over. A file that became invalid keeps the version that was valid: a slip of the pen must not
//! end what users follow. Only a file that is gone, or that names another strategy now, ends it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{Catalog, FileFault};
use crate::model::ids::StrategyName;

/// What another reading of the folder changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names that are new.
    pub added: Vec<StrategyName>,
    /// Names whose file is another one now: a new version, which no live approval holds for.
    pub changed: Vec<StrategyName>,
    /// Names whose file is gone.
    pub removed: Vec<StrategyName>,
    /// Names whose file is invalid now: the version before it is kept.
    pub kept: Vec<StrategyName>,
    /// What is wrong with the files that were refused.
    pub refused: Vec<FileFault>,
}

impl Changes {
    /// The files that were refused, each once.
    pub fn refused_files(&self) -> Vec<&Path> {
        let mut files: Vec<&Path> = self.refused.iter().map(|fault| fault.file.as_path()).collect();
        files.sort_unstable();
        files.dedup();
        files
    }
}

impl Catalog {
    /// What follows this catalog when its folder is read as `next` with these faults, and what that changes.
    #[must_use]
    pub fn succeeded_by(&self, mut next: Self, refused: Vec<FileFault>) -> (Self, Changes) {
        let mut changes = Changes { refused, ..Changes::default() };
        let mut kept = Vec::new();
        for (name, old) in &self.by_name {
            match next.by_name.get(name) {
                Some(new) if new.strategy.version() == old.strategy.version() => {}
                Some(_) => changes.changed.push(name.clone()),
                // The faults do not tell: those of a list beside the file bear the list's own name.
                None if is_there(&old.file) && next.by_name.values().all(|other| other.file != old.file) => {
                    kept.push((name.clone(), old.clone()));
                }
                None => changes.removed.push(name.clone()),
            }
        }
        changes.added = next.by_name.keys().filter(|name| !self.by_name.contains_key(*name)).cloned().collect();
        changes.kept = kept.iter().map(|(name, _)| name.clone()).collect();
        next.by_name.extend(kept);
        (next, changes)
    }
}

/// Whether a file is there; what cannot be looked at is not gone.
fn is_there(file: &Path) -> bool {
    !fs::symlink_metadata(file).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}
