//! The tables themselves: twins, private, durable, and refused when a newer program has changed them.

use std::collections::{BTreeMap, BTreeSet};

use rebalanced::edge::store::{Error, Store};
use sqlx::Row;

use crate::cast::{claimed, closing, connected, enqueued, minutes, raw, record, texts};
use crate::databases;
use crate::postgres::empty_postgres;

fn normal(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    if kind == "bytea" { "blob".to_owned() } else { kind }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_twins_have_the_same_tables_columns_indexes_triggers_and_views() {
    let [sqlite, postgres]: [_; 2] = databases::both().await.try_into().ok().unwrap();
    let mut tables = BTreeMap::new();
    for db in [&sqlite, &postgres] {
        let sql = if db.name == "SQLite" {
            "SELECT m.name AS t, p.name AS c, p.type AS k, CAST(p.\"notnull\" AS BIGINT) AS n FROM sqlite_master m
             JOIN pragma_table_info(m.name) p WHERE m.type = 'table'"
        } else {
            "SELECT CAST(table_name AS TEXT) AS t, CAST(column_name AS TEXT) AS c, CAST(data_type AS TEXT) AS k,
                    CAST(CASE is_nullable WHEN 'NO' THEN 1 ELSE 0 END AS BIGINT) AS n
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'report%'"
        };
        let rows = sqlx::query(sql).fetch_all(&mut raw(&db.url).await).await.unwrap();
        let columns: BTreeSet<_> = rows
            .iter()
            .map(|row| {
                (row.get::<String, _>("t"), row.get::<String, _>("c"), normal(row.get("k")), row.get::<i64, _>("n"))
            })
            .filter(|(table, ..)| !table.starts_with('_') && !table.starts_with("sqlite_"))
            .collect();
        assert!(columns.iter().all(|(_, _, kind, _)| ["text", "bigint", "blob"].contains(&kind.as_str())));
        assert!(columns.len() > 80, "{}", columns.len());
        tables.insert(db.name, columns);
    }
    assert_eq!(tables["SQLite"], tables["PostgreSQL"]);
    // SQLite alone knows INSERT OR REPLACE, and PostgreSQL alone TRUNCATE.
    let named = "SELECT name FROM sqlite_master WHERE type IN ('index', 'trigger', 'view') AND name NOT LIKE 'sqlite_%'
         AND name NOT LIKE '%never_replaced' ORDER BY name";
    let also = "SELECT CAST(name AS TEXT) FROM (
             SELECT indexname AS name FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%key'
             UNION SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgname <> 'events_are_never_truncated'
             UNION SELECT viewname FROM pg_views WHERE schemaname = 'public') AS named
         ORDER BY 1";
    assert_eq!(
        texts(&sqlite.url, named).await,
        texts(&postgres.url, also).await.into_iter().filter(|name| !name.starts_with('_')).collect::<Vec<_>>()
    );
}

#[test]
fn the_twins_have_the_same_files() {
    let files = |folder: &str| -> BTreeSet<_> {
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name()).collect()
    };
    assert_eq!(files("migrations/sqlite"), files("migrations/postgres"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reports_can_be_read_by_people() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        enqueued(&db.store, minutes(5)).await;
        let claim = claimed(&db.store, minutes(5)).await;
        record(&db.store, &claim, &["SPY"], minutes(6)).await.unwrap();
        db.store.close(claim, &closing(true), minutes(6)).await.unwrap();
        let slot = texts(&db.url, "SELECT CAST(slot AS TEXT) FROM report_runs WHERE drift_before > 0.07").await;
        assert!(slot[0].starts_with("2026-03-02") && slot[0].contains("14:05:00"), "{}: {slot:?}", db.name);
        let notional = texts(&db.url, "SELECT CAST(notional AS TEXT) FROM report_orders WHERE strategy = 'calm'").await;
        assert_eq!(notional, ["123.45"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_24_a_database_is_opened_again_as_it_was_and_refused_when_it_is_newer() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        let again = Store::open(&db.url).await.unwrap();
        assert_eq!(again.accounts().await.unwrap().len(), 1, "{}", db.name);
        let newer = if db.name == "SQLite" {
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'from the future', 1, x'00', 0)"
        } else {
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'from the future', TRUE, '\\x00', 0)"
        };
        sqlx::query(newer).execute(&mut raw(&db.url).await).await.unwrap();
        let refused = Store::open(&db.url).await.unwrap_err();
        assert!(matches!(refused, Error::NewerSchema { found: 9999, known: 6 }), "row 24: {refused:?}");
        assert!(refused.to_string().contains("install the newer program"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_25_a_second_daemon_on_one_file_is_refused_while_the_first_lives_and_a_server_takes_many() {
    for db in databases::both().await {
        let other = Store::open(&db.url).await.unwrap();
        let first = db.store.lock_single_writer().unwrap();
        let second = other.lock_single_writer();
        assert_eq!(second.is_ok(), db.name == "PostgreSQL", "row 25: {second:?}");
        if let Err(error) = second {
            assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
        }
        drop(first);
        assert!(other.lock_single_writer().is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_may_open_one_new_database_at_once() {
    let folder = tempfile::TempDir::new().unwrap();
    let sqlite = format!("sqlite:{}", folder.path().join("new.sqlite").display());
    for url in [sqlite, empty_postgres()] {
        let opened = futures_util::future::join_all((0..8).map(|_| Store::open(&url))).await;
        for store in opened {
            assert!(store.unwrap().accounts().await.unwrap().is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_private_and_durable_and_its_odd_name_is_its_name() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("odd name % 100# of.sqlite");
    std::fs::write(&path, b"").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = Store::open(&format!("sqlite:{}", path.display())).await.unwrap();
    connected(&store, 1).await;
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(names.len(), 3, "the file, its journal and its index: {names:?}");
    for name in names {
        assert_eq!(std::fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o600, "{}", name.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_keep_what_it_confirms_is_refused() {
    let url = format!("{}&options=-csynchronous_commit%3Doff", empty_postgres());
    let refused = Store::open(&url).await.unwrap_err();
    assert!(matches!(refused, Error::NotDurable { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_database_is_said_to_be_none() {
    for url in ["mysql://x", "sqlite:", "sqlite::memory:", "", "postgresql"] {
        assert!(matches!(Store::open(url).await, Err(Error::Address { .. })), "{url}");
    }
    let nowhere = Store::open("sqlite:/nowhere/at/all.sqlite").await;
    assert!(matches!(nowhere, Err(Error::File { .. })), "{nowhere:?}");
}
