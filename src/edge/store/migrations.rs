//! The tables, brought up to date: each change of them is a numbered migration, applied once, and never by a program that
//! knows fewer of them than the database has (row 24).

use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::{AnyPool, Row};

use crate::edge::store::db::Error;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The migrations of a SQLite file, up to the newest that is known.
pub(super) fn sqlite(known: i64) -> Migrator {
    up_to(&SQLITE, known)
}

/// The migrations of a PostgreSQL database, up to the newest that is known.
pub(super) fn postgres(known: i64) -> Migrator {
    up_to(&POSTGRES, known)
}

fn up_to(all: &Migrator, known: i64) -> Migrator {
    Migrator::with_migrations(all.iter().filter(|migration| migration.version <= known).cloned().collect())
}

/// Whether exactly these migrations are applied. What cannot be read is not up to date.
pub(super) async fn are_applied(migrator: &Migrator, pool: &AnyPool) -> bool {
    let rows = sqlx::query("SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version")
        .fetch_all(pool)
        .await
        .unwrap_or_default();
    let applied: Vec<(i64, Vec<u8>)> =
        rows.iter().filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?))).collect();
    let ours = |migration: &Migration| (migration.version, migration.checksum.to_vec());
    applied == migrator.iter().map(ours).collect::<Vec<_>>()
}

/// What came of applying them.
pub(super) fn applied(migrator: &Migrator, result: Result<(), MigrateError>) -> Result<(), Error> {
    let known = migrator.iter().map(|migration| migration.version).max().unwrap_or_default();
    result.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > known => Error::NewerSchema { found, known },
        MigrateError::Execute(error) => Error::Unavailable(error),
        other => Error::Migration(other),
    })
}
