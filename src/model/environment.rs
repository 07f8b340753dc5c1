//! Paper and live: two types that do not convert into each other.
//!
//! The host, the row, the id and the token of one order all carry the environment as a type, so a paper value cannot
//! reach the live host by mistake (S5). [`Kind`] is the spoken form, for rows, labels and messages.

use std::fmt;

use crate::model::codes::codes;

mod sealed {
    pub trait Sealed {}
}

/// An Alpaca environment, as a type. Sealed: there are exactly two.
pub trait Environment: sealed::Sealed + fmt::Debug + Clone + Copy + Send + Sync + 'static {
    /// The same environment as a value.
    const KIND: Kind;
}

/// Simulated money on `paper-api.alpaca.markets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paper;

/// Real money on `api.alpaca.markets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live;

impl sealed::Sealed for Paper {}
impl sealed::Sealed for Live {}

impl Environment for Paper {
    const KIND: Kind = Kind::Paper;
}

impl Environment for Live {
    const KIND: Kind = Kind::Live;
}

codes! {
    /// The environment as a value, for rows, labels and messages; in the words of Alpaca's `env` parameter.
    Kind {
        /// See [`Paper`].
        Paper = "paper",
        /// See [`Live`].
        Live = "live",
    }
}
