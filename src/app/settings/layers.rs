//! The layers of the configuration, merged by figment: compiled-in defaults, a file, the environment.
//!
//! What comes out is a flat list of keys, each with its text and with the place it came from. Keys that are not known are
//! faults here already. Nothing is interpreted: every value is text or a list of texts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};
use toml::de::{DeTable, DeValue};

use crate::app::settings::keys;

/// The compiled-in lowest layer, which is also the documentation of every key.
pub const DEFAULTS: &str = include_str!("../../../config/rebalanced.toml");

/// The prefix of the environment variables that are ours.
pub const PREFIX: &str = "REBALANCED_";

/// Where the layers come from. Only [`Sources::of_process`] looks at the process.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// The service manager's credentials directory.
    pub credentials: Option<PathBuf>,
}

impl Sources {
    /// The process's own environment.
    pub fn of_process(config: Option<PathBuf>) -> Self {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        Self {
            config,
            environment: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect(),
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The compiled-in defaults.
    Default,
    /// A line of a file.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A credential of the service manager.
    Credential(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "{name}"),
            Self::Credential(name) => write!(f, "credential {name}"),
        }
    }
}

/// One thing that is wrong with the configuration: where, what, and what would mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The place, if it has one.
    pub origin: Option<Origin>,
    /// What is wrong.
    pub what: String,
    /// What would mend it.
    pub mend: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        write!(f, "{}; {}", self.what, self.mend)
    }
}

/// A merged value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The text, or the texts of a list.
    pub texts: Vec<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// All merged values by key.
pub type Merged = BTreeMap<String, Found>;

/// Merges the layers.
///
/// # Errors
/// Never as such: what cannot be read or is not known is among the faults, beside what could be merged.
pub fn merge(sources: &Sources) -> (Merged, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut figment = Figment::from(Toml::string(DEFAULTS));
    let mut lines = BTreeMap::new();
    if let Some(path) = &sources.config {
        match read_toml(path) {
            Ok(found) => {
                lines = found;
                figment = figment.merge(Toml::file_exact(path));
            }
            Err(fault) => faults.push(fault),
        }
    }
    figment = figment.merge(Environment::of(&sources.environment));
    match figment.data() {
        Ok(mut profiles) => {
            let dict = profiles.remove(&Profile::Default).unwrap_or_default();
            let mut walk = Walk { figment: &figment, lines: &lines, merged: Merged::new(), faults };
            walk.table(&dict, "");
            (walk.merged, walk.faults)
        }
        Err(error) => {
            let what = format!("the configuration cannot be merged: {error}");
            faults.push(Fault { origin: None, what, mend: "give every section as a table".to_owned() });
            (Merged::new(), faults)
        }
    }
}

/// Reads a file for its syntax and the line of each key; figment knows the file but not the line.
fn read_toml(path: &Path) -> Result<BTreeMap<String, usize>, Fault> {
    let text = std::fs::read_to_string(path).map_err(|error| Fault {
        origin: None,
        what: format!("the configuration {} cannot be read: {error}", path.display()),
        mend: "name a readable file with --config".to_owned(),
    })?;
    let table = DeTable::parse(&text).map_err(|error| Fault {
        origin: Some(Origin::File(path.to_owned(), error.span().map_or(1, |span| line_at(&text, span.start)))),
        what: format!("this is not TOML: {}", error.message()),
        mend: "mend the syntax here".to_owned(),
    })?;
    let mut lines = BTreeMap::new();
    collect_lines(&text, "", table.get_ref(), &mut lines);
    Ok(lines)
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1)
}

fn collect_lines(text: &str, prefix: &str, table: &DeTable<'_>, lines: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let path = joined(prefix, key.get_ref());
        lines.insert(path.clone(), line_at(text, key.span().start));
        if let DeValue::Table(inner) = value.get_ref() {
            collect_lines(text, &path, inner, lines);
        }
    }
}

fn joined(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// Walks the merged tables down to the keys.
struct Walk<'a> {
    figment: &'a Figment,
    lines: &'a BTreeMap<String, usize>,
    merged: Merged,
    faults: Vec<Fault>,
}

impl Walk<'_> {
    fn table(&mut self, dict: &Dict, prefix: &str) {
        for (key, value) in dict {
            let path = joined(prefix, key);
            match value {
                // A table that is no section is walked too: its keys are what can be mended.
                Value::Dict(_, inner) if !keys::is_known(&path) => self.table(inner, &path),
                _ if keys::is_known(&path) => {
                    let found = Found { texts: texts(value), origin: self.origin(value, &path) };
                    self.merged.insert(path, found);
                }
                _ => {
                    let origin = Some(self.origin(value, &path));
                    self.faults.push(unknown(&path, origin));
                }
            }
        }
    }

    fn origin(&self, value: &Value, path: &str) -> Origin {
        let metadata = self.figment.get_metadata(value.tag());
        match metadata.and_then(|metadata| metadata.source.as_ref()) {
            Some(Source::File(file)) => Origin::File(file.clone(), self.lines.get(path).copied().unwrap_or(1)),
            _ if metadata.is_some_and(|metadata| metadata.name == Environment::NAME) => {
                Origin::Environment(Environment::variable(path))
            }
            _ => Origin::Default,
        }
    }
}

fn unknown(path: &str, origin: Option<Origin>) -> Fault {
    let mend = match keys::nearest(path) {
        Some(known) => format!("the nearest known key is `{known}`"),
        None => "`config/rebalanced.toml` lists every key".to_owned(),
    };
    let what = if keys::is_section(path) {
        format!("`{path}` is a section, not a value")
    } else {
        format!("there is no key `{path}`")
    };
    Fault { origin, what, mend }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(_, values) => values.iter().flat_map(texts).collect(),
        Value::String(_, text) => vec![text.clone()],
        Value::Bool(_, flag) => vec![flag.to_string()],
        Value::Char(_, one) => vec![one.to_string()],
        Value::Num(_, number) => {
            let whole = number.to_u128().map(|n| n.to_string()).or_else(|| number.to_i128().map(|n| n.to_string()));
            vec![whole.or_else(|| number.to_f64().map(|n| n.to_string())).unwrap_or_default()]
        }
        Value::Empty(..) => Vec::new(),
        Value::Dict(..) => vec!["a table".to_owned()],
    }
}

/// The environment as a layer. Values stay text, so that an id made of digits is not taken for a number.
struct Environment {
    values: Dict,
}

impl Environment {
    const NAME: &'static str = "environment";

    fn of(variables: &[(String, String)]) -> Self {
        let mut values = Dict::new();
        for (name, value) in variables {
            if let Some(rest) = name.strip_prefix(PREFIX) {
                let path = rest.split("__").map(str::to_ascii_lowercase).collect::<Vec<_>>();
                insert(&mut values, &path, value);
            }
        }
        Self { values }
    }

    fn variable(path: &str) -> String {
        format!("{PREFIX}{}", path.replace('.', "__").to_ascii_uppercase())
    }
}

fn insert(dict: &mut Dict, path: &[String], value: &str) {
    match path {
        [] => {}
        [last] => {
            dict.insert(last.clone(), Value::from(value));
        }
        [first, rest @ ..] => {
            let inner = dict.entry(first.clone()).or_insert_with(|| Value::from(Dict::new()));
            if !matches!(inner, Value::Dict(..)) {
                *inner = Value::from(Dict::new());
            }
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named(Self::NAME)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}
