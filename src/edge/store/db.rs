//! The only file that knows that there are two databases: opening, durability, transactions, dialects.
//!
//! SQLite is written through one connection, with `BEGIN IMMEDIATE`, and read through others; PostgreSQL has one pool.
//! Durability is read back when the database is opened: a database that may forget a committed intent is refused.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Any, AnyPool, Executor, Row, Transaction};

use super::Error;

static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");

/// Connections that read a SQLite file beside the one that writes.
const SQLITE_READERS: u32 = 4;

/// Connections to PostgreSQL; each run in flight holds one for a few milliseconds at a time.
const POSTGRES_CONNECTIONS: u32 = 10;

/// How long a statement waits for a busy database before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which database this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Sqlite,
    Postgres,
}

/// An opened database.
#[derive(Debug, Clone)]
pub(super) struct Db {
    pub(super) backend: Backend,
    write: AnyPool,
    read: AnyPool,
    /// The SQLite file; PostgreSQL has none.
    pub(super) file: Option<PathBuf>,
}

impl Db {
    /// Opens, checks durability, and brings the tables up to date.
    pub(super) async fn open(url: &str) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let db = if let Some(path) = url.strip_prefix("sqlite:") {
            Self::open_sqlite(path.trim_start_matches("//")).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let pool = AnyPoolOptions::new()
                .max_connections(POSTGRES_CONNECTIONS)
                .acquire_timeout(PATIENCE)
                .connect(url)
                .await
                .map_err(Error::Unavailable)?;
            Self { backend: Backend::Postgres, write: pool.clone(), read: pool, file: None }
        } else {
            return Err(Error::BadUrl);
        };
        db.check_durability().await?;
        db.migrate().await?;
        Ok(db)
    }

    async fn open_sqlite(path: &str) -> Result<Self, Error> {
        let file = PathBuf::from(path);
        // Made here, so that it is never readable by others, not even for a moment.
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&file)
            .map_err(|source| Error::File { path: file.clone(), source })?;
        let url = format!("sqlite:{path}");
        let pool = |connections| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(PATIENCE * 3)
                .test_before_acquire(false)
                .after_connect(|connection, _| {
                    Box::pin(async move {
                        let pragmas = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                                       PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;";
                        connection.execute(sqlx::raw_sql(pragmas)).await.map(drop)
                    })
                })
        };
        let write = pool(1).connect(&url).await.map_err(Error::Unavailable)?;
        let read = pool(SQLITE_READERS).connect(&url).await.map_err(Error::Unavailable)?;
        Ok(Self { backend: Backend::Sqlite, write, read, file: Some(file) })
    }

    /// Rule 4 of reliability: durability is not the default, so it is read back.
    async fn check_durability(&self) -> Result<(), Error> {
        match self.backend {
            Backend::Sqlite => {
                let level: i64 = sqlx::query("PRAGMA synchronous").fetch_one(&self.write).await?.try_get(0)?;
                let journal: String = sqlx::query("PRAGMA journal_mode").fetch_one(&self.write).await?.try_get(0)?;
                if level < 2 {
                    return Err(Error::NotDurable { what: format!("synchronous is {level}, not FULL") });
                }
                if journal != "wal" {
                    return Err(Error::NotDurable { what: format!("the journal is {journal}, not WAL") });
                }
            }
            Backend::Postgres => {
                for (setting, query) in [("fsync", "SHOW fsync"), ("synchronous_commit", "SHOW synchronous_commit")] {
                    let value: String = sqlx::query(query).fetch_one(&self.write).await?.try_get(0)?;
                    if value == "off" {
                        return Err(Error::NotDurable { what: format!("{setting} is off") });
                    }
                }
            }
        }
        Ok(())
    }

    async fn migrate(&self) -> Result<(), Error> {
        let migrator = match self.backend {
            Backend::Sqlite => &SQLITE,
            Backend::Postgres => &POSTGRES,
        };
        let known = migrator.iter().map(|migration| migration.version).max().unwrap_or_default();
        migrator.run(&self.write).await.map_err(|error| match error {
            MigrateError::VersionMissing(found) | MigrateError::VersionTooNew(found, _) => {
                Error::NewerSchema { found, known }
            }
            other => Error::Migration(Box::new(other)),
        })
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, Error> {
        Ok(match self.backend {
            Backend::Sqlite => self.write.begin_with("BEGIN IMMEDIATE").await?,
            Backend::Postgres => self.write.begin().await?,
        })
    }

    /// Where to read from.
    pub(super) fn reader(&self) -> &AnyPool {
        &self.read
    }

    /// The dialect's one of two texts.
    pub(super) fn pick(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self.backend {
            Backend::Sqlite => sqlite,
            Backend::Postgres => postgres,
        }
    }
}
