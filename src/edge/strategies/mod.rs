//! Strategy files: TOML in, valid strategies out, or every fault with its file, line and mend.
//!
//! A file that is not valid never becomes half a strategy. The hash of the file's bytes is the strategy's version.

mod raw;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::canon;
use crate::model::ids::StrategyName;
use crate::model::strategy::Strategy;

pub use raw::json_schema;

/// A fault in a strategy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// Which file.
    pub file: PathBuf,
    /// Its line, from one, where that is known.
    pub line: Option<usize>,
    /// Its column, from one, where that is known.
    pub column: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What would mend it, where that is known.
    pub mend: Option<String>,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        write!(f, ": {}", self.what)?;
        self.mend.as_ref().map_or(Ok(()), |mend| write!(f, "; {mend}"))
    }
}

/// Why a folder of strategies cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be read.
    #[error("the strategy folder {path} cannot be read")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The loaded strategies, by name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    by_name: BTreeMap<StrategyName, (Arc<Strategy>, String)>,
}

impl Catalog {
    /// A strategy by its name.
    pub fn get(&self, name: &StrategyName) -> Option<&Arc<Strategy>> {
        self.by_name.get(name).map(|(strategy, _)| strategy)
    }

    /// All strategies, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Strategy>> {
        self.by_name.values().map(|(strategy, _)| strategy)
    }

    /// The text of a strategy's file.
    pub fn text(&self, name: &StrategyName) -> Option<&str> {
        self.by_name.get(name).map(|(_, text)| text.as_str())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// Reads one file; returns the strategy and the text that it was read from.
///
/// # Errors
/// Every fault that was found.
pub fn read_file(path: &Path) -> Result<(Strategy, String), Vec<FileFault>> {
    let whole = |what: String| vec![FileFault { file: path.to_owned(), line: None, column: None, what, mend: None }];
    let text = fs::read_to_string(path).map_err(|error| whole(format!("it cannot be read: {error}")))?;
    let version = canon::strategy_version(text.as_bytes()).map_err(|error| whole(error.to_string()))?;
    match raw::parse(&text, version) {
        Ok(strategy) => Ok((strategy, text)),
        Err(faults) => Err(faults.into_iter().map(|fault| placed(path, &text, fault)).collect()),
    }
}

/// A fault with its place in the text, if it has one.
#[derive(Debug)]
struct Fault {
    at: Option<Range<usize>>,
    what: String,
    mend: Option<String>,
}

fn placed(path: &Path, text: &str, fault: Fault) -> FileFault {
    let before = fault.at.and_then(|at| text.get(..at.start.min(text.len())).map(ToOwned::to_owned));
    let line = before.as_ref().map(|before| before.matches('\n').count() + 1);
    let column = before.as_ref().map(|before| before.chars().rev().take_while(|c| *c != '\n').count() + 1);
    FileFault { file: path.to_owned(), line, column, what: fault.what, mend: fault.mend }
}

/// Reads every `.toml` file of a folder, in the order of the file names.
///
/// Files with faults are left out of the catalog and named in the faults; a name that two files use belongs to neither.
///
/// # Errors
/// When the folder cannot be read.
pub fn load_dir(folder: &Path) -> Result<(Catalog, Vec<FileFault>), Error> {
    let unreadable = |source| Error::Folder { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|end| end == "toml") {
            files.push(path);
        }
    }
    files.sort();
    let mut faults = Vec::new();
    let mut found: BTreeMap<StrategyName, Vec<(PathBuf, Strategy, String)>> = BTreeMap::new();
    for path in files {
        match read_file(&path) {
            Ok((strategy, text)) => found.entry(strategy.name().clone()).or_default().push((path, strategy, text)),
            Err(found) => faults.extend(found),
        }
    }
    let mut catalog = Catalog::default();
    for (name, mut files) in found {
        if files.len() > 1 {
            faults.push(twice(&name, &files));
        } else if let Some((_, strategy, text)) = files.pop() {
            catalog.by_name.insert(name, (Arc::new(strategy), text));
        }
    }
    Ok((catalog, faults))
}

fn twice(name: &StrategyName, files: &[(PathBuf, Strategy, String)]) -> FileFault {
    let mut paths = files.iter().map(|(path, _, _)| path.clone());
    let first = paths.next().unwrap_or_default();
    let others: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    let text = files.first().map(|(_, _, text)| text.as_str()).unwrap_or_default();
    let line = text.lines().position(|line| line.trim_start().starts_with("name")).map(|index| index + 1);
    FileFault {
        file: first,
        line,
        column: None,
        what: format!("the name `{name}` is also used by {}", others.join(", ")),
        mend: Some("a name belongs to one file: rename the others".to_owned()),
    }
}
