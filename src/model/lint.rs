//! What is questionable about a strategy that is valid: a stable code, where it stands, and what would mend it.

use crate::model::ids::Symbol;
use crate::model::verdict::LintCode;

/// Where in a file something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A key, as table and name; the table's own line where the key is not written.
    Key(&'static str, &'static str),
    /// A key of a schedule: of the file's first, second and so on, from zero.
    Schedule(usize, &'static str),
    /// The weight of a symbol.
    Weight(Symbol),
}

/// One warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The stable code.
    pub code: LintCode,
    /// Where.
    pub place: Place,
    /// What is questionable, with the numbers.
    pub message: String,
    /// What would mend it.
    pub mend: String,
}
