//! Databases as an older program left them, and everything that stands in one, as text that can be compared.

use std::fs;
use std::path::{Path, PathBuf};

use rebalanced::edge::store::{AnyClaim, Store};
use rebalanced::model::intent::IntentState;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use tempfile::TempDir;

use crate::cast::{closing, connected, enqueued, intent, minutes, paper, raw, record, update};
use crate::databases;
use crate::postgres::{copy_of, empty_postgres};

/// The newest migration that this program knows.
pub(crate) fn newest() -> i64 {
    i64::try_from(fs::read_dir("migrations/sqlite").unwrap().count()).unwrap()
}

/// One database at one version, with data that was there when it was at the first.
pub(crate) struct Older {
    pub(crate) name: &'static str,
    pub(crate) at: i64,
    url: String,
    folder: TempDir,
}

impl Older {
    /// Both databases, made by the program that knew no newer migration than `at`.
    pub(crate) async fn both(at: i64) -> Vec<Self> {
        let mut all = Vec::new();
        for source in databases::both().await {
            lived_in(&source.store).await;
            let folder = TempDir::new().unwrap();
            let url = if source.name == "SQLite" {
                fs::write(folder.path().join("older.sqlite"), "").unwrap();
                sqlite_url(&folder.path().join("older.sqlite"))
            } else {
                empty_postgres()
            };
            if at > 0 {
                Store::open_as_of(&url, 1).await.unwrap().shut().await;
                let (mut from, mut to) = (raw(&source.url).await, raw(&url).await);
                execute(&mut to, "DELETE FROM chain_head").await;
                for table in FIRST_TABLES {
                    copy(&mut from, &mut to, table).await;
                }
                to.close().await.unwrap();
                Store::open_as_of(&url, at).await.unwrap().shut().await;
                if at >= WISHES_SINCE {
                    for sql in WISHED {
                        execute(&mut raw(&url).await, sql).await;
                    }
                }
            }
            all.push(Self { name: source.name, at, url, folder });
        }
        all
    }

    /// One more database like it.
    pub(crate) fn again(&self, number: &str) -> String {
        if self.name == "PostgreSQL" {
            return copy_of(&self.url);
        }
        let copy = self.folder.path().join(format!("{number}.sqlite"));
        fs::copy(self.folder.path().join("older.sqlite"), &copy).unwrap();
        sqlite_url(&copy)
    }

    /// What stands in it when nobody disturbs its upgrade.
    pub(crate) async fn undisturbed(&self) -> Vec<String> {
        let url = self.again("undisturbed");
        Store::open(&url).await.unwrap().shut().await;
        contents(&url).await
    }
}

pub(crate) fn sqlite_url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

pub(crate) fn file_of(url: &str) -> PathBuf {
    PathBuf::from(url.strip_prefix("sqlite:").unwrap())
}

/// The tables of the first migration, each after those that it refers to.
const FIRST_TABLES: [&str; 14] = [
    "users",
    "grants",
    "accounts",
    "subscriptions",
    "oauth_states",
    "strategies",
    "ledger",
    "hooks",
    "runs",
    "intents",
    "halts",
    "approvals",
    "events",
    "chain_head",
];

/// The migration that made the tables of wishes.
pub(crate) const WISHES_SINCE: i64 = 2;

/// A wish that ended, one that holds, and a withdrawal of which a part has left.
const WISHED: [&str; 2] = [
    "INSERT INTO overrides (id, account, kind, symbol, amount, left_amount, said_by, reason, said_at, ended_at, ended_by)
     SELECT 'wsh_a', MIN(id), 'cap', '', '900', NULL, 'ada', 'no large orders', 1, 2, 'operator:ada' FROM accounts
     UNION ALL SELECT 'wsh_b', MIN(id), 'exclude', 'SPY', NULL, NULL, 'ada', 'works there', 3, NULL, NULL FROM accounts
     UNION ALL SELECT 'wsh_c', MIN(id), 'withdraw', '', '500', '200', 'ada', 'a roof', 4, NULL, NULL FROM accounts",
    "INSERT INTO withdrawals (account, activity, wish, amount, counted_at)
     SELECT account, 'row-1', id, '200', 5 FROM overrides WHERE id = 'wsh_c'",
];

/// Two users, a run that is over, and one in the middle of which the program ended, with an open order.
async fn lived_in(store: &Store) {
    connected(store, 2).await;
    enqueued(store, minutes(5)).await;
    let claims: Vec<AnyClaim> = store.claim(10, minutes(5), minutes(7)).await.unwrap();
    for (number, claim) in claims.into_iter().enumerate() {
        let claim = paper(claim);
        let order = intent(&claim.run().id, &claim.run().account, "SPY", minutes(6));
        record(store, &claim, &["SPY"], minutes(6)).await.unwrap();
        let state = if number == 0 { IntentState::Filled } else { IntentState::Open };
        store.settle(&claim, &[update(&order, state, minutes(6))], minutes(6)).await.unwrap();
        if number == 0 {
            store.close(claim, &closing(true), minutes(6)).await.unwrap();
        }
    }
}

pub(crate) async fn execute(link: &mut AnyConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(link).await.unwrap();
}

/// A table's columns in their order, each with its kind.
async fn columns(link: &mut AnyConnection, table: &str) -> Vec<(String, String)> {
    let sql = if link.backend_name() == "SQLite" {
        format!("SELECT name, lower(type) FROM pragma_table_info('{table}') ORDER BY cid")
    } else {
        format!(
            "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT) FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name = '{table}' ORDER BY ordinal_position"
        )
    };
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(link).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Every row of a table, each as the values of an INSERT.
async fn rows(link: &mut AnyConnection, table: &str, columns: &[(String, String)]) -> Vec<String> {
    let is_sqlite = link.backend_name() == "SQLite";
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let sql = format!("SELECT {} FROM {table}", names.join(", "));
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(link).await.unwrap();
    let value = |row: &sqlx::any::AnyRow, (place, kind): (usize, &str)| -> Option<String> {
        Some(match kind {
            "bigint" => row.get::<Option<i64>, _>(place)?.to_string(),
            "text" => format!("'{}'", row.get::<Option<String>, _>(place)?.replace('\'', "''")),
            _ if is_sqlite => format!("x'{}'", hex::encode(row.get::<Option<Vec<u8>>, _>(place)?)),
            _ => format!("'\\x{}'", hex::encode(row.get::<Option<Vec<u8>>, _>(place)?)),
        })
    };
    let mut all: Vec<String> = rows
        .iter()
        .map(|row| {
            let values = columns.iter().enumerate().map(|(place, (_, kind))| value(row, (place, kind)));
            values.map(|value| value.unwrap_or_else(|| "NULL".to_owned())).collect::<Vec<_>>().join(", ")
        })
        .collect();
    all.sort();
    all
}

/// What the newer database has in this table, as far as the older one has room for it.
async fn copy(from: &mut AnyConnection, to: &mut AnyConnection, table: &str) {
    let columns = columns(to, table).await;
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    for values in rows(from, table, &columns).await {
        execute(to, &format!("INSERT INTO {table} ({}) VALUES ({values})", names.join(", "))).await;
    }
}

/// The first column of every row.
async fn listed(link: &mut AnyConnection, sql: &'static str) -> Vec<String> {
    sqlx::query(sql).fetch_all(link).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// The schema as the database itself tells it, and every row of every table.
pub(crate) async fn contents(url: &str) -> Vec<String> {
    let link = &mut raw(url).await;
    let mut told = schema(link).await;
    let tables = if link.backend_name() == "SQLite" {
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1"
    } else {
        "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    };
    for table in listed(link, tables).await {
        if table == "_sqlx_migrations" {
            // When and how fast it was applied is another thing each time.
            told.extend(listed(link, "SELECT description FROM _sqlx_migrations WHERE success ORDER BY version").await);
        } else {
            let columns = columns(link, &table).await;
            told.extend(rows(link, &table, &columns).await.iter().map(|row| format!("{table}: {row}")));
        }
    }
    told
}

/// Tables, columns, rules, indexes, triggers, views and functions.
pub(crate) async fn schema(link: &mut AnyConnection) -> Vec<String> {
    let sql = if link.backend_name() == "SQLite" {
        "SELECT type || ' ' || name || ' ' || tbl_name || ' ' || COALESCE(sql, '') FROM sqlite_master ORDER BY 1"
    } else {
        "SELECT told FROM (
             SELECT CAST('column ' || table_name || ' ' || ordinal_position || ' ' || column_name || ' ' || data_type || ' '
                 || is_nullable || ' ' || COALESCE(column_default, '') AS TEXT) AS told
             FROM information_schema.columns WHERE table_schema = 'public'
             UNION ALL SELECT CAST('rule ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) AS TEXT)
             FROM pg_constraint WHERE connamespace = 'public'::regnamespace
             UNION ALL SELECT CAST(indexdef AS TEXT) FROM pg_indexes WHERE schemaname = 'public'
             UNION ALL SELECT CAST(pg_get_triggerdef(oid) AS TEXT) FROM pg_trigger WHERE NOT tgisinternal
             UNION ALL SELECT CAST('view ' || viewname || ' ' || definition AS TEXT) FROM pg_views WHERE schemaname = 'public'
             UNION ALL SELECT CAST(pg_get_functiondef(oid) AS TEXT) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
         ) AS all_of_it ORDER BY 1"
    };
    listed(link, sql).await
}
