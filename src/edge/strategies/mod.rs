//! Strategy files: reading them, saying what is wrong with them, and keeping the valid ones.
//!
//! A file that has a fault is no strategy; the others are not touched by it. Two files with one name are both out, for
//! nobody can tell which one was meant.

mod fault;
mod keys;
mod page;
mod ticker;
mod list;
mod file;
mod sleeves;
mod place;
mod moves;
pub mod portfolio;
mod succession;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use fault::{FileFault, nearest};
pub use moves::usual_moves;
pub use place::warned;
pub use succession::Changes;

use file::{Draft, Drafted};
use sleeves::Drafts;

use crate::model::ids::StrategyName;
use crate::model::strategy::Strategy;

/// No strategy file is larger; what is, is something else.
const BYTES_MAX: u64 = 1024 * 1024;

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be listed.
    #[error("the folder {} cannot be read", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The strategies that may be followed, by name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    by_name: BTreeMap<StrategyName, Kept>,
}

/// A strategy with its file.
#[derive(Debug, Clone)]
struct Kept {
    strategy: Arc<Strategy>,
    text: String,
    file: PathBuf,
}

impl Catalog {
    /// The strategy of this name.
    pub fn get(&self, name: &StrategyName) -> Option<&Arc<Strategy>> {
        self.by_name.get(name).map(|kept| &kept.strategy)
    }

    /// All strategies, in the order of their names.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Strategy>> {
        self.by_name.values().map(|kept| &kept.strategy)
    }

    /// The text of the file of this name.
    pub fn text(&self, name: &StrategyName) -> Option<&str> {
        self.by_name.get(name).map(|kept| kept.text.as_str())
    }

    /// The file of this name.
    pub fn file(&self, name: &StrategyName) -> Option<&Path> {
        self.by_name.get(name).map(|kept| kept.file.as_path())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// Reads one file: the strategy, and its text as it is kept with every run.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_file(path: &Path) -> Result<(Strategy, String), Vec<FileFault>> {
    let draft = draft(path)?;
    let mut others = Vec::new();
    if matches!(draft.is, Drafted::Sleeves(..)) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let unlisted =
            |error: Error| vec![FileFault::of(path, error.to_string(), "its sleeves lie in the same folder")];
        let own = path.file_name();
        let files = files(folder).map_err(unlisted)?;
        // What is wrong with another file is said where it is needed: there is no sleeve of that name.
        others.extend(files.iter().filter(|file| file.file_name() != own).filter_map(|file| self::draft(file).ok()));
    }
    let mut drafts = Drafts::new();
    for draft in others.iter().chain([&draft]) {
        drafts.entry(draft.name()).or_default().push(draft);
    }
    sleeves::resolved(&draft, &drafts)
}

/// Reads one file by itself.
fn draft(path: &Path) -> Result<Draft, Vec<FileFault>> {
    let unreadable = |error: io::Error| {
        vec![FileFault::of(path, format!("this strategy cannot be read: {error}"), "give a readable file in UTF-8")]
    };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > BYTES_MAX {
        return Err(vec![FileFault::of(path, "this is too large for a strategy", "give a file below 1 MiB")]);
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    file::draft(path, &text)
}

/// Reads every `*.toml` of a folder: the valid strategies, and what is wrong with the other files.
///
/// # Errors
/// When the folder cannot be listed.
pub fn load_dir(folder: &Path) -> Result<(Catalog, Vec<FileFault>), Error> {
    let mut read = Vec::new();
    let mut faults = Vec::new();
    for path in files(folder)? {
        match draft(&path) {
            Ok(draft) => read.push(draft),
            Err(found) => faults.extend(found),
        }
    }
    let mut drafts = Drafts::new();
    for draft in &read {
        drafts.entry(draft.name()).or_default().push(draft);
    }
    let mut catalog = Catalog::default();
    for (name, files) in &drafts {
        if let [draft] = files.as_slice() {
            match sleeves::resolved(draft, &drafts) {
                Ok((strategy, text)) => {
                    let kept = Kept { strategy: Arc::new(strategy), text, file: draft.file.clone() };
                    catalog.by_name.insert((*name).clone(), kept);
                }
                Err(found) => faults.extend(found),
            }
        } else {
            faults.extend(files.iter().enumerate().map(|(index, draft)| {
                let others = files.iter().enumerate().filter(|(other, _)| *other != index);
                let others: Vec<String> = others.map(|(_, other)| other.file.display().to_string()).collect();
                let what = format!("the name `{name}` is also that of {}", others.join(" and "));
                let byte = draft.text.find(name.as_str()).unwrap_or_default();
                FileFault::of(&draft.file, what, "give each file a name of its own; until then none of them runs")
                    .at(&draft.text, byte)
            }));
        }
    }
    faults.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    Ok((catalog, faults))
}

/// The strategy files of a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Folder { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // Editors keep half-written copies in files that begin with a dot.
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden && path.extension().is_some_and(|end| end == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The JSON Schema of a strategy file.
pub fn json_schema() -> String {
    serde_json::to_string_pretty(&keys::schema()).unwrap_or_default()
}
