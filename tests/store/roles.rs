//! The daemon's own role in PostgreSQL, made by the SQL that operators are given: it works, and it cannot rewrite the audit.

use rebalanced::edge::store::{RecordAnswer, Store};
use rebalanced::model::intent::IntentState;

use crate::cast::{
    account, claimed, closing, connected, day, enqueued, intent, minutes, policy, raw, recording, update,
};
use crate::postgres::{as_owner, empty_postgres};

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
    let orders = vec![intent(&claim.run().id, &account(1), "SPY", minutes(6))];
    let answer = store.record(&claim, &recording(), (&policy(), day()), minutes(6), |_| Ok(orders.clone())).await;
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
