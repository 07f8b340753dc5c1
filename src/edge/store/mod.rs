//! Memory: one function per question, one SQL text for SQLite and PostgreSQL, one transaction per wall.
//!
//! Every act that changes something leaves its event in the chain in the same transaction. A row that makes no sense is
//! an error that names table, column and row; it is never read as something else.

mod db;
mod events;
mod accounts;
mod mandates;
mod slots;
mod intents;
mod runs;

use std::fs::{File, TryLockError};
use std::path::PathBuf;

use sqlx::any::AnyRow;
use sqlx::{ColumnIndex, Row};

use self::db::Db;
use crate::model::time::Moment;

pub use self::accounts::{Connection, OAuthState};
pub use self::intents::IntentFilter;
pub use self::runs::{RecordAnswer, Recording, RunFilter};
pub use self::slots::{AnyClaim, Claim, Held, Queue};

/// Why memory failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened.
    #[error("the database cannot be opened; is database.url right, and the server running?")]
    Unavailable(#[source] sqlx::Error),
    /// A statement failed.
    #[error("the database failed")]
    Failed(#[from] sqlx::Error),
    /// The URL names no database that we know.
    #[error("database.url must be `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`")]
    BadUrl,
    /// The SQLite file cannot be made or locked.
    #[error("the database file {path} cannot be used")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A newer binary has been here.
    #[error(
        "the database has migration {found}, this program knows up to {known}: start the newer program, or restore a backup from before the upgrade"
    )]
    NewerSchema {
        /// What the database has.
        found: i64,
        /// What this binary knows.
        known: i64,
    },
    /// The tables could not be brought up to date.
    #[error("the tables could not be brought up to date")]
    Migration(#[source] Box<sqlx::migrate::MigrateError>),
    /// It may forget what it has committed.
    #[error("the database is not durable ({what}): a committed order could be forgotten, so nothing may be traded")]
    NotDurable {
        /// What is missing.
        what: String,
    },
    /// Another daemon works on this file.
    #[error("another daemon works on {path}: stop it first; commands may run beside it, a second daemon may not")]
    Taken {
        /// Which file.
        path: PathBuf,
    },
    /// A row that makes no sense.
    #[error("table {table}, column {column}, row {row}: the value makes no sense")]
    Inconsistent {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// The row's id.
        row: String,
    },
    /// Somebody else has what this act needs.
    #[error("{what}")]
    Conflict {
        /// What was lost.
        what: String,
    },
}

/// The database. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
}

/// Held by the one daemon that works on a SQLite file; released when it is dropped or the process ends.
#[derive(Debug)]
pub struct WriterLock {
    _file: Option<File>,
}

impl Store {
    /// Opens the database, checks that it is durable, and brings its tables up to date.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] on a database of a newer binary, [`Error::NotDurable`], or that it cannot be opened.
    pub async fn open(url: &str) -> Result<Self, Error> {
        Ok(Self { db: Db::open(url).await? })
    }

    /// Makes this process the one daemon of a SQLite file. PostgreSQL is shared by many.
    ///
    /// # Errors
    /// [`Error::Taken`] when another daemon has it.
    pub fn lock_single_writer(&self) -> Result<WriterLock, Error> {
        let Some(path) = &self.db.file else { return Ok(WriterLock { _file: None }) };
        let lock = path.with_extension("lock");
        let failed = |source| Error::File { path: lock.clone(), source };
        let file = File::options().create(true).truncate(false).write(true).open(&lock).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(WriterLock { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(Error::Taken { path: path.clone() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// A row with the name of its table and its id, for errors that say where.
struct Cells<'a> {
    table: &'static str,
    row: &'a AnyRow,
}

impl<'a> Cells<'a> {
    fn of(table: &'static str, row: &'a AnyRow) -> Self {
        Self { table, row }
    }

    fn text(&self, column: &'static str) -> Result<String, Error>
    where
        &'static str: ColumnIndex<AnyRow>,
    {
        Ok(self.row.try_get(column)?)
    }

    fn maybe_text(&self, column: &'static str) -> Result<Option<String>, Error> {
        Ok(self.row.try_get(column)?)
    }

    fn int(&self, column: &'static str) -> Result<i64, Error> {
        Ok(self.row.try_get(column)?)
    }

    fn moment(&self, column: &'static str) -> Result<Moment, Error> {
        self.int(column).map(Moment::from_micros)
    }

    fn maybe_moment(&self, column: &'static str) -> Result<Option<Moment>, Error> {
        let micros: Option<i64> = self.row.try_get(column)?;
        Ok(micros.map(Moment::from_micros))
    }

    /// Reads a column into one of our nouns.
    fn noun<T, F: std::fmt::Debug>(
        &self,
        column: &'static str,
        parse: impl Fn(&str) -> Result<T, F>,
    ) -> Result<T, Error> {
        parse(&self.text(column)?).map_err(|_| self.nonsense(column))
    }

    /// Reads a nullable column into one of our nouns.
    fn maybe<T, F>(&self, column: &'static str, parse: impl Fn(&str) -> Result<T, F>) -> Result<Option<T>, Error> {
        self.maybe_text(column)?.map(|text| parse(&text).map_err(|_| self.nonsense(column))).transpose()
    }

    fn nonsense(&self, column: &'static str) -> Error {
        let row = self.row.try_get::<String, _>("id").unwrap_or_else(|_| "?".to_owned());
        Error::Inconsistent { table: self.table, column, row }
    }
}

/// An `Option` as a `Result`, for readers of closed enums.
fn known<T>(found: Option<T>) -> Result<T, ()> {
    found.ok_or(())
}
