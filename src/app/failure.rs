//! Why a command was not done, and with which exit code the program ends.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::app::settings::Faults;
use crate::edge::store;
use crate::flow::{approve, operators, wishes};
use crate::model::ids::NotAnId;

/// Why a command was not done.
#[derive(Debug)]
pub enum Failure {
    /// What was given makes no sense: exit code 2.
    Input(String),
    /// The configuration has faults: exit code 64.
    Configuration(Faults),
    /// Everything else: exit code 1.
    Other(anyhow::Error),
}

impl Failure {
    /// What was given makes no sense.
    pub fn input(what: impl fmt::Display) -> Self {
        Self::Input(what.to_string())
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Other(_) => 1,
            Self::Input(_) => 2,
            Self::Configuration(_) => 64,
        }
    }

    /// Prints why, and says the exit code.
    pub fn report(&self) -> ExitCode {
        // Without a standard error there is nobody left to tell; the exit code still says it.
        drop(writeln!(io::stderr().lock(), "rebalanced: {self}"));
        ExitCode::from(self.code())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(what) => f.write_str(what),
            Self::Configuration(faults) => write!(f, "the configuration has faults:\n{faults}"),
            Self::Other(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<NotAnId> for Failure {
    fn from(error: NotAnId) -> Self {
        Self::input(error)
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Other(anyhow::Error::new(error))
    }
}

impl From<operators::Error> for Failure {
    fn from(error: operators::Error) -> Self {
        match error {
            operators::Error::Act(error) => error.into(),
            operators::Error::Store(error @ store::Error::Conflict { .. }) => Self::input(error),
            operators::Error::Store(error) => error.into(),
            operators::Error::Name(_)
            | operators::Error::NoScope
            | operators::Error::Nobody(_)
            | operators::Error::MayNotResume
            | operators::Error::NotFewer { .. }
            | operators::Error::TooFew { .. }
            | operators::Error::NotTheirs
            | operators::Error::NotAlone { .. }
            | operators::Error::TooFewRemain { .. }
            | operators::Error::Unproven => Self::input(error),
        }
    }
}

impl From<approve::Error> for Failure {
    fn from(error: approve::Error) -> Self {
        match error {
            approve::Error::Missing(_)
            | approve::Error::TakenName
            | approve::Error::OtherVersion { .. }
            | approve::Error::MayNot { .. } => Self::input(error),
            other => Self::Other(anyhow::Error::new(other)),
        }
    }
}

impl From<wishes::Error> for Failure {
    fn from(error: wishes::Error) -> Self {
        match error {
            wishes::Error::Act(error) => error.into(),
            other => Self::input(other),
        }
    }
}
