//! The database lets runs and orders move exactly as the two state machines say (S14, D), whoever asks it.

use rebalanced::decide::{order, run};
use rebalanced::model::intent::IntentState;
use rebalanced::model::run::RunState;
use sqlx::AnyConnection;

use crate::cast::{account, connected, minutes, raw};
use crate::databases;

const RUN_STATES: [RunState; 3] = [RunState::Due, RunState::Running, RunState::Closed];

const INTENT_STATES: [IntentState; 9] = [
    IntentState::Recorded,
    IntentState::Unknown,
    IntentState::Open,
    IntentState::Filled,
    IntentState::Ended,
    IntentState::Rejected,
    IntentState::Withdrawn,
    IntentState::Quarantined,
    IntentState::Disputed,
];

async fn does(link: &mut AnyConnection, sql: &str) -> bool {
    sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(link).await.is_ok()
}

async fn new_run(link: &mut AnyConnection, id: &str, state: RunState) -> bool {
    let (closed, lease) = (state == RunState::Closed, state == RunState::Running);
    let (at, how, lease) = (
        if closed { "1" } else { "NULL" },
        if closed { "'skipped'" } else { "NULL" },
        if lease { "1" } else { "NULL" },
    );
    let subscription = "(SELECT id FROM subscriptions)";
    let (account, slot) = (account(1), id.trim_start_matches("run_"));
    let made = format!(
        "INSERT INTO runs (id, subscription, account, environment, strategy, slot, cause, state, epoch, made_at, closed_at,
             outcome, lease_until)
         VALUES ('{id}', {subscription}, '{account}', 'paper', 'calm', {slot}, 'manual', '{}', 0, 1, {at}, {how}, {lease})",
        state.code()
    );
    does(link, &made).await
}

async fn move_run(link: &mut AnyConnection, id: &str, to: RunState) -> bool {
    let fields = match to {
        RunState::Due => "lease_until = NULL, closed_at = NULL, outcome = NULL",
        RunState::Running => "lease_until = 1, closed_at = NULL, outcome = NULL",
        RunState::Closed => "lease_until = NULL, closed_at = 1, outcome = 'completed'",
    };
    does(link, &format!("UPDATE runs SET state = '{}', {fields} WHERE id = '{id}'", to.code())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_runs_move_as_the_state_machine_says_and_not_otherwise() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        let link = &mut raw(&db.url).await;
        for (number, state) in RUN_STATES.into_iter().enumerate() {
            let id = format!("run_{}", 100 + number);
            assert_eq!(new_run(link, &id, state).await, run::BEGINNINGS.contains(&state), "{}: {state:?}", db.name);
        }
        let mut tried = 200;
        for from in RUN_STATES {
            for to in RUN_STATES {
                tried += 1;
                let id = format!("run_{tried}");
                assert!(new_run(link, &id, RunState::Due).await);
                assert!(from == RunState::Due || move_run(link, &id, from).await, "{}: due to {from:?}", db.name);
                let moved = move_run(link, &id, to).await;
                assert_eq!(moved, run::may_move(from, to), "{}: {from:?} to {to:?}", db.name);
                // One run of an account is under way at a time.
                move_run(link, &id, RunState::Closed).await;
            }
        }
        let lower = "UPDATE runs SET epoch = -1 WHERE state = 'due'";
        assert!(!does(link, lower).await, "{}: S12: an epoch falls", db.name);
    }
}

async fn new_intent(link: &mut AnyConnection, number: usize, state: IntentState) -> bool {
    let (account, settled) = (account(1), if state.is_terminal() { "1" } else { "NULL" });
    let made = format!(
        "INSERT INTO intents (id, run, place, account, environment, phase, attempt, client_order_id, symbol, qty,
             reckoned_value, state, filled_qty, note, recorded_at, settled_at)
         VALUES ('int_{number}', 'run_1', 0, '{account}', 'paper', 'buy', {number}, 'rb1-{number}', 'SPY', '1', '1', '{}',
             '0', '', {}, {settled})",
        state.code(),
        minutes(1).micros()
    );
    does(link, &made).await
}

async fn move_intent(link: &mut AnyConnection, number: usize, to: IntentState) -> bool {
    let settled = if to.is_terminal() { "1" } else { "NULL" };
    let moved = format!("UPDATE intents SET state = '{}', settled_at = {settled} WHERE id = 'int_{number}'", to.code());
    does(link, &moved).await
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_orders_move_as_the_state_machine_says_and_not_otherwise() {
    for db in databases::both().await {
        connected(&db.store, 1).await;
        let link = &mut raw(&db.url).await;
        assert!(new_run(link, "run_1", RunState::Due).await);
        let mut number = 0;
        for from in INTENT_STATES {
            number += 1;
            assert_eq!(new_intent(link, number, from).await, from == IntentState::Recorded, "{}: {from:?}", db.name);
        }
        for from in INTENT_STATES {
            for to in INTENT_STATES {
                number += 1;
                assert!(new_intent(link, number, IntentState::Recorded).await);
                // What is disputed had ended before.
                assert!(from != IntentState::Disputed || move_intent(link, number, IntentState::Filled).await);
                assert!(
                    from == IntentState::Recorded || move_intent(link, number, from).await,
                    "{}: {from:?}",
                    db.name
                );
                let moved = move_intent(link, number, to).await;
                assert_eq!(moved, order::may_move(from, to), "{}: {from:?} to {to:?}", db.name);
            }
        }
        // To be disputed changes what is said of an order, and nothing that was counted.
        for (field, value) in
            [("filled_qty", "'9'"), ("filled_avg_price", "'9'"), ("settled_at", "9"), ("order_id", "'o'")]
        {
            let sql =
                format!("UPDATE intents SET state = 'disputed', note = 'x', {field} = {value} WHERE state = 'filled'");
            assert!(!does(link, &sql).await, "{}: S14: {field}", db.name);
        }
        assert!(
            does(link, "UPDATE intents SET state = 'disputed', note = 'x' WHERE state = 'filled'").await,
            "{}",
            db.name
        );
        assert!(!does(link, "UPDATE intents SET note = 'y' WHERE state = 'disputed'").await, "{}", db.name);
        assert!(does(link, "UPDATE intents SET filled_qty = '0.5' WHERE state = 'open'").await, "{}", db.name);
        assert!(!does(link, "UPDATE intents SET filled_qty = '0.25' WHERE state = 'open'").await, "{}: S15", db.name);
    }
}
