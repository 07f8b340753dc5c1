//! The daemon's own role in PostgreSQL, made by the SQL that operators are given: it works, and it cannot rewrite the audit.

use rebalanced::edge::store::{Error, RecordAnswer, Store};
use rebalanced::model::intent::IntentState;

use crate::cast::{
    account, claimed, closing, connected, enqueued, intent, minutes, operator, raw, record, texts, update,
};
use crate::postgres::{as_owner, empty_postgres};

/// The files of this database that hold these bytes, after all pages were written out. The server's log is no part of them.
async fn files_with(owner: &str, bytes: &[u8]) -> Vec<String> {
    sqlx::query("CHECKPOINT").execute(&mut raw(owner).await).await.unwrap();
    let folder = texts(
        owner,
        "SELECT current_setting('data_directory') || '/base/' || CAST(oid AS TEXT) FROM pg_database
         WHERE datname = current_database()",
    )
    .await;
    let mut found = Vec::new();
    for file in std::fs::read_dir(&folder[0]).unwrap() {
        let file = file.unwrap();
        if std::fs::read(file.path()).is_ok_and(|all| all.windows(bytes.len()).any(|window| window == bytes)) {
            found.push(file.file_name().into_string().unwrap());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn d3_the_daemons_role_leaves_no_trace_of_a_destroyed_token_in_the_servers_files() {
    let owner = empty_postgres();
    Store::open(&owner).await.unwrap();
    let role = "CREATE ROLE rebalanced_wiper LOGIN";
    as_owner(&owner, &["-c", "DROP ROLE IF EXISTS rebalanced_wiper", "-c", role]);
    let service = owner.replace("user=postgres", "user=rebalanced_wiper");
    // The rights of before: everything but the table's upkeep.
    as_owner(&owner, &["-c", "GRANT ALL ON ALL TABLES IN SCHEMA public TO rebalanced_wiper"]);
    let version = texts(&owner, "SELECT current_setting('server_version_num')").await[0].parse::<u32>().unwrap();
    if version >= 170_000 {
        as_owner(&owner, &["-c", "REVOKE MAINTAIN ON grants FROM rebalanced_wiper"]);
    }
    let store = Store::open(&service).await.unwrap();
    connected(&store, 50).await;
    // What the planner would keep of the values, it must not keep of these.
    sqlx::query("ANALYZE grants").execute(&mut raw(&owner).await).await.unwrap();
    let token = |number: usize| format!("sealed token {number}").into_bytes();
    assert!(!store.may_scrub().await.unwrap());
    store.disconnect(&account(7), &operator(), minutes(1)).await.unwrap();
    store.disconnect(&account(50), &operator(), minutes(1)).await.unwrap();
    let refused = store.scrub().await.unwrap_err();
    assert!(matches!(refused, Error::MayNot { .. }) && refused.to_string().contains("postgres-roles"), "{refused:?}");
    assert!(!files_with(&owner, &token(7)).await.is_empty(), "the search finds what is there");
    as_owner(&owner, &["-v", "service=rebalanced_wiper", "-f", "deploy/postgres-roles.sql"]);
    assert!(store.may_scrub().await.unwrap());
    store.scrub().await.unwrap();
    for gone in [7, 50] {
        assert_eq!(files_with(&owner, &token(gone)).await, Vec::<String>::new(), "token {gone}");
    }
    assert_eq!(files_with(&owner, &token(8)).await.len(), 1, "the others are there, in one file");
    assert!(store.sealed_token(&account(8)).await.unwrap().is_some());
    for attempt in ["CREATE TABLE elsewhere (a BIGINT)", "DELETE FROM events", "ALTER TABLE accounts ADD COLUMN a TEXT"]
    {
        assert!(sqlx::query(attempt).execute(&mut raw(&service).await).await.is_err(), "{attempt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d8_the_daemons_role_does_its_work_and_cannot_rewrite_what_was_recorded() {
    let owner = empty_postgres();
    Store::open(&owner).await.unwrap();
    as_owner(&owner, &["-c", "DROP ROLE IF EXISTS rebalanced_service", "-c", "CREATE ROLE rebalanced_service LOGIN"]);
    as_owner(&owner, &["-v", "service=rebalanced_service", "-f", "deploy/postgres-roles.sql"]);
    let service = owner.replace("user=postgres", "user=rebalanced_service");
    assert_ne!(service, owner);
    let store = Store::open(&service).await.expect("nothing is to be made, so the role need not make it");
    assert!(!store.could_rewrite_events().await.unwrap());
    assert!(Store::open(&owner).await.unwrap().could_rewrite_events().await.unwrap());
    // A whole run, by the role.
    connected(&store, 1).await;
    enqueued(&store, minutes(5)).await;
    let claim = claimed(&store, minutes(5)).await;
    let orders = [intent(&claim.run().id, &account(1), "SPY", minutes(6))];
    let answer = record(&store, &claim, &["SPY"], minutes(6)).await;
    assert!(matches!(answer.unwrap(), RecordAnswer::Stored(_)));
    store.settle(&claim, &[update(&orders[0], IntentState::Filled, minutes(7))], minutes(7)).await.unwrap();
    store.close(claim, &closing(true), minutes(8)).await.unwrap();
    let events = store.events(0, 100).await.unwrap().len();
    assert!(events >= 4, "{events}");
    // Whatever the role tries, the events stay as they are.
    for attempt in [
        "UPDATE events SET facts = '{}'",
        "DELETE FROM events",
        "TRUNCATE events",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "DROP TRIGGER events_are_never_changed ON events",
        "DROP TABLE events",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        "CREATE TABLE elsewhere (a BIGINT)",
        "DELETE FROM intents",
        "DELETE FROM approvals",
        "DELETE FROM _sqlx_migrations",
        "UPDATE consent_texts SET text = 'another'",
        "SET session_replication_role = replica",
    ] {
        let refused = sqlx::query(attempt).execute(&mut raw(&service).await).await;
        assert!(refused.is_err(), "{attempt}");
    }
    assert_eq!(store.events(0, 100).await.unwrap().len(), events);
}
