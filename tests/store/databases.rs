//! Two throw-away databases for every test: a SQLite file and a database on a PostgreSQL server of our own.

use rebalanced::edge::store::Store;
use tempfile::TempDir;

use crate::postgres::empty_postgres;

/// One empty database, for one test.
pub(crate) struct Database {
    /// For the failure's text.
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) store: Store,
    _folder: Option<TempDir>,
}

/// Both databases, opened.
pub(crate) async fn both() -> Vec<Database> {
    vec![sqlite().await, postgres().await]
}

/// A fresh SQLite file, opened.
pub(crate) async fn sqlite() -> Database {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.sqlite").display());
    let store = Store::open(&url).await.unwrap();
    Database { name: "SQLite", url, store, _folder: Some(folder) }
}

/// A fresh database on our own server, opened.
pub(crate) async fn postgres() -> Database {
    let url = empty_postgres();
    let store = Store::open(&url).await.unwrap();
    Database { name: "PostgreSQL", url, store, _folder: None }
}
