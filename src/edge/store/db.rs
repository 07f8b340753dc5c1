//! Opening a database, and reading its rows without trusting them.
//!
//! A store that is open is durable: the settings that a commit's durability hangs on are read back, and a database that
//! would lose a commit is refused (S2). A database that a newer program has changed is refused, too (row 24).

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Row, Transaction};

use crate::edge::points::{Points, Write};
use crate::edge::store::migrations;
use crate::model::ids::AccountId;
use crate::model::time::Moment;

static DRIVERS: Once = Once::new();

/// How long a connection waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// Readers beside the one writer of a SQLite file.
const READERS: u32 = 4;
/// Connections to a PostgreSQL server.
const CONNECTIONS: u32 = 10;

/// Why the database could not do what was asked. In every case nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, is full, or took too long: try again later.
    #[error("the database cannot be used now")]
    Unavailable(#[source] sqlx::Error),
    /// A row holds what no version of this program writes: a person must look.
    #[error("the database holds a value that does not belong there: table {table}, column {column}, row `{row}`")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
    },
    /// The disk failed, or the file is damaged: the process must end, and what is durable is read again at its next start.
    #[error(
        "the database's disk failed, or its file is damaged; the service stops, and a person must look at the disk"
    )]
    Broken(#[source] sqlx::Error),
    /// A newer program has changed the database.
    #[error(
        "the database has migration {found}, and this program knows only migrations up to {known}; install the newer program, or restore the copy from before the upgrade"
    )]
    NewerSchema {
        /// The migration in the database that is not known here.
        found: i64,
        /// The newest migration that is known here.
        known: i64,
    },
    /// The file does not fit together.
    #[error("the database's file is damaged ({what}); restore it from a backup, and see docs/execution.md")]
    Damaged {
        /// What SQLite says.
        what: String,
    },
    /// A commit could be lost.
    #[error("the database does not keep what it confirms: {what}")]
    NotDurable {
        /// Which setting, and what to do.
        what: String,
    },
    /// What was asked does not fit what is there.
    #[error("{what}")]
    Conflict {
        /// What, in one sentence.
        what: String,
    },
    /// The database's role lacks a right; a person must give it.
    #[error("{what}")]
    MayNot {
        /// What it cannot do, and what to do.
        what: &'static str,
    },
    /// Another worker has the run: what this one learned is not stored by it.
    #[error("the claim on run {run} was lost to another worker")]
    ClaimLost {
        /// The run.
        run: String,
    },
    /// The address is none.
    #[error("`{url}` is no database: sqlite:PATH or postgres://USER@HOST/DATABASE is")]
    Address {
        /// The address, without any password.
        url: String,
    },
    /// The database's file cannot be used.
    #[error("the file {} cannot be used; its folder must exist and be writable", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The tables could not be brought up to date.
    #[error("the database could not be brought up to date; it is as it was")]
    Migration(#[source] MigrateError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_broken(&error) { Self::Broken(error) } else { Self::Unavailable(error) }
    }
}

impl Error {
    /// Whether nothing more may be asked of this database by this process.
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Broken(_))
    }
}

/// SQLite's own codes for a disk that failed and a file that is damaged: IOERR, CORRUPT, NOTADB. After a failed `fsync` the
/// system may have dropped what it could not write, and a second one would succeed without it (row 63).
fn is_broken(error: &sqlx::Error) -> bool {
    const IOERR: u32 = 10;
    const CORRUPT: u32 = 11;
    const NOTADB: u32 = 26;
    let sqlite = error.as_database_error().and_then(|error| error.try_downcast_ref::<sqlx::sqlite::SqliteError>());
    let code = sqlite.and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, IOERR | CORRUPT | NOTADB))
}

/// Which database it is, for the few places that must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// One file, one writer.
    Sqlite,
    /// A server.
    Postgres,
}

/// The open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Engine,
    write: AnyPool,
    read: AnyPool,
    /// The SQLite file.
    file: Option<PathBuf>,
    /// Where tests may stop the world.
    pub(super) points: Points,
    /// Accounts whose past at the broker this process has read: the database itself may be an older copy.
    acquainted: Arc<Mutex<BTreeSet<AccountId>>>,
}

/// Held by the one daemon that works on a SQLite file; released when dropped, or when the process ends in any way.
#[derive(Debug)]
pub struct WriterLock {
    _file: Option<File>,
}

impl Store {
    /// Opens `sqlite:PATH` or `postgres://...`, brings its tables up to date, and reads back that it is durable.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::File`], [`Error::NewerSchema`], [`Error::NotDurable`], [`Error::Migration`], or
    /// [`Error::Unavailable`].
    pub async fn open(url: &str) -> Result<Self, Error> {
        Self::open_as_of(url, i64::MAX).await
    }

    /// Opens it as the program did that knew the migrations up to this one and no newer: so a test comes to an older
    /// database, and to what an older program says of a newer one (row 24).
    ///
    /// # Errors
    /// See [`Store::open`].
    pub async fn open_as_of(url: &str, known: i64) -> Result<Self, Error> {
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        if let Some(rest) = url.strip_prefix("sqlite:") {
            return Self::open_sqlite(Path::new(file_of(rest, url)?), known).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Self::open_postgres(url, known).await;
        }
        Err(Error::Address { url: url.split(':').next().unwrap_or_default().to_owned() })
    }

    async fn open_sqlite(path: &Path, known: i64) -> Result<Self, Error> {
        private_file(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let url = sqlite_url(path);
        let write = sqlite_pool(1, "PRAGMA query_only = OFF").connect(&url).await?;
        // The file's write lock around all of it: who opens it at the same instant waits, and a process that is killed
        // half-way leaves the file as it was (row 24).
        let mut tx = write.begin_with("BEGIN IMMEDIATE").await?;
        let migrator = migrations::sqlite(known);
        migrations::applied(&migrator, migrator.run(&mut *tx).await)?;
        tx.commit().await?;
        let store = Self {
            engine: Engine::Sqlite,
            read: sqlite_pool(READERS, "PRAGMA query_only = ON").connect(&url).await?,
            write,
            file: Some(path.to_owned()),
            points: Points::default(),
            acquainted: Arc::default(),
        };
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&store.write).await?;
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&store.write).await?;
        if mode != "wal" || synchronous < 2 {
            let what = format!(
                "SQLite answers journal_mode = {mode} and synchronous = {synchronous} where wal and 2 were set; keep the file on a local disk"
            );
            return Err(Error::NotDurable { what });
        }
        Ok(store)
    }

    async fn open_postgres(url: &str, known: i64) -> Result<Self, Error> {
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql("SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'")
                        .execute(connection)
                        .await
                        .map(drop)
                })
            })
            .connect(url)
            .await?;
        let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&pool).await?;
        let commit: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&pool).await?;
        if fsync == "off" || commit == "off" {
            let what = format!(
                "PostgreSQL runs with fsync = {fsync} and synchronous_commit = {commit}; both must be on for this database and role"
            );
            return Err(Error::NotDurable { what });
        }
        // The daemon's own role may not make tables: where nothing is to be made, it need not (deploy/postgres-roles.sql).
        let migrator = migrations::postgres(known);
        if !migrations::are_applied(&migrator, &pool).await {
            migrations::applied(&migrator, migrator.run(&pool).await)?;
        }
        Ok(Self {
            engine: Engine::Postgres,
            write: pool.clone(),
            read: pool,
            file: None,
            points: Points::default(),
            acquainted: Arc::default(),
        })
    }

    /// Whether whoever has this database's address could change or remove events that are recorded. The owner of a SQLite
    /// file always can; a PostgreSQL role only if it was given the right.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn could_rewrite_events(&self) -> Result<bool, Error> {
        if self.engine == Engine::Sqlite {
            return Ok(true);
        }
        let could: i64 = sqlx::query_scalar(
            "SELECT CAST(CASE WHEN has_table_privilege(current_user, 'events', 'UPDATE')
                             OR has_table_privilege(current_user, 'events', 'DELETE')
                             OR has_table_privilege(current_user, 'events', 'TRUNCATE')
                             OR has_table_privilege(current_user, 'events', 'TRIGGER') THEN 1 ELSE 0 END AS BIGINT)",
        )
        .fetch_one(&self.read)
        .await?;
        Ok(could == 1)
    }

    /// Makes this process the only daemon on a SQLite file, for as long as the value lives (row 25). A PostgreSQL server is
    /// shared by many daemons, whose claims keep them apart: there it holds nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another daemon has it; [`Error::File`] when the lock's file cannot be made.
    pub fn lock_single_writer(&self) -> Result<WriterLock, Error> {
        let Some(file) = &self.file else {
            return Ok(WriterLock { _file: None });
        };
        let what = format!("another daemon works on {}; stop it first", file.display());
        let mut path = file.clone().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let fault = |source| Error::File { path: path.clone(), source };
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => Ok(WriterLock { _file: Some(lock) }),
            Err(TryLockError::WouldBlock) => Err(Error::Conflict { what }),
            Err(TryLockError::Error(source)) => Err(fault(source)),
        }
    }

    /// Reads a SQLite file through and says whether it fits together; a server looks after itself (row 65).
    ///
    /// # Errors
    /// [`Error::Damaged`], or when the database fails.
    pub async fn check(&self) -> Result<(), Error> {
        if self.engine == Engine::Postgres {
            return Ok(());
        }
        let found: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(3)").fetch_all(&self.read).await?;
        match found.as_slice() {
            [fine] if fine == "ok" => Ok(()),
            _ => Err(Error::Damaged { what: found.join("; ") }),
        }
    }

    /// Whether this process has compared the account's past at the broker with this database.
    pub fn is_acquainted(&self, account: &AccountId) -> bool {
        self.acquaintances().contains(account)
    }

    /// This process has done so.
    pub fn acquaint(&self, account: &AccountId) {
        self.acquaintances().insert(account.clone());
    }

    fn acquaintances(&self) -> MutexGuard<'_, BTreeSet<AccountId>> {
        self.acquainted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    /// Where to read from outside a transaction.
    pub(super) fn read(&self) -> &AnyPool {
        &self.read
    }

    /// Where to write outside a transaction: housekeeping only.
    pub(super) fn write(&self) -> &AnyPool {
        &self.write
    }

    /// A transaction that may write. On SQLite it is the only one in this process and takes the file's write lock at
    /// once, so it never fails half-way for want of it.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, Error> {
        Ok(match self.engine {
            Engine::Sqlite => self.write.begin_with("BEGIN IMMEDIATE").await?,
            Engine::Postgres => self.write.begin().await?,
        })
    }

    /// The same, on the way of an order: with its points.
    pub(super) async fn begin_write(&self, write: Write) -> Result<Transaction<'static, Any>, Error> {
        let tx = self.begin().await?;
        self.points.cross(write.begun).await;
        Ok(tx)
    }

    /// Makes durable what such a transaction wrote.
    pub(super) async fn commit(&self, tx: Transaction<'static, Any>, write: Write) -> Result<(), Error> {
        self.points.cross(write.committing).await;
        tx.commit().await?;
        self.points.cross(write.committed).await;
        Ok(())
    }

    /// The same store; crossings on its ways are told to these points' watcher.
    #[must_use]
    pub fn with_points(mut self, points: Points) -> Self {
        self.points = points;
        self
    }

    /// Ends the connections; what was not committed is as if it had never been.
    pub async fn shut(&self) {
        self.write.close().await;
        self.read.close().await;
    }
}

fn file_of<'a>(rest: &'a str, url: &str) -> Result<&'a str, Error> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.split('?').next().unwrap_or_default();
    // A database in memory forgets: it is none.
    if path.is_empty() || path.contains(":memory:") { Err(Error::Address { url: url.to_owned() }) } else { Ok(path) }
}

fn sqlite_url(path: &Path) -> String {
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite:{path}?mode=rw")
}

/// The file exists and nobody but its owner can read it; SQLite gives its side files the same mode.
fn private_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
    }
    drop(file);
    Ok(())
}

fn sqlite_pool(connections: u32, role: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // A commit that failed (a full disk) may have ended the transaction without the driver's knowing: such a connection
        // begins nothing any more, and is replaced.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .after_connect(move |connection, _| {
            Box::pin(async move {
                // The timeout comes first: the change to WAL itself may have to wait for another process.
                sqlx::raw_sql(
                    "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                     PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON",
                )
                .execute(&mut *connection)
                .await?;
                sqlx::raw_sql(role).execute(connection).await.map(drop)
            })
        })
}

/// Text from outside, fit for both databases: PostgreSQL cannot hold a zero byte.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// Whether the act failed because such a row is there already.
pub(super) fn taken(error: sqlx::Error, what: impl FnOnce() -> String) -> Error {
    if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) {
        Error::Conflict { what: what() }
    } else {
        Error::Unavailable(error)
    }
}

/// One row, read with suspicion: whatever does not parse is [`Error::Inconsistent`] with its place.
pub(super) struct Reader<'r> {
    row: &'r AnyRow,
    table: &'static str,
    key: &'static str,
}

impl<'r> Reader<'r> {
    /// A row of this table; `key` is the column that names the row in an error.
    pub(super) fn new(row: &'r AnyRow, table: &'static str, key: &'static str) -> Self {
        Self { row, table, key }
    }

    fn fault(&self, column: &'static str) -> Error {
        let named = self.row.try_get::<String, _>(self.key).ok();
        let numbered = || self.row.try_get::<i64, _>(self.key).ok().map(|key| key.to_string());
        Error::Inconsistent { table: self.table, column, row: named.or_else(numbered).unwrap_or_default() }
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String, Error> {
        self.row.try_get(column).map_err(|_| self.fault(column))
    }

    pub(super) fn maybe_text(&self, column: &'static str) -> Result<Option<String>, Error> {
        self.row.try_get(column).map_err(|_| self.fault(column))
    }

    pub(super) fn maybe_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, Error> {
        self.row.try_get(column).map_err(|_| self.fault(column))
    }

    pub(super) fn int(&self, column: &'static str) -> Result<i64, Error> {
        self.row.try_get(column).map_err(|_| self.fault(column))
    }

    pub(super) fn moment(&self, column: &'static str) -> Result<Moment, Error> {
        self.int(column).map(Moment::from_micros)
    }

    pub(super) fn maybe_moment(&self, column: &'static str) -> Result<Option<Moment>, Error> {
        let micros: Option<i64> = self.row.try_get(column).map_err(|_| self.fault(column))?;
        Ok(micros.map(Moment::from_micros))
    }

    /// A text that must mean something.
    pub(super) fn parsed<T>(&self, column: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Error> {
        parse(&self.text(column)?).ok_or_else(|| self.fault(column))
    }

    /// A text that must mean something if it is there.
    pub(super) fn maybe_parsed<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        self.maybe_text(column)?.map(|text| parse(&text).ok_or_else(|| self.fault(column))).transpose()
    }
}

/// The connection inside a transaction, for one statement.
pub(super) type Link = AnyConnection;
