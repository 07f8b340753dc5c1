//! The judge of ledgers that must agree with each other: every stored change of an order and its one event (S13), what a leg
//! wanted and what its tries came to (S1), and what was due and what was done (L11).

use std::collections::BTreeMap;

use jiff::civil::Weekday;
use rebalanced::model::intent::Intent;
use rebalanced::model::plan::{Amount, Phase};
use rebalanced::model::run::{Run, RunState, Trigger};
use rebalanced::model::time::Moment;
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::stage::{Member, Process, Stage};

/// The judge's own ledger: the database itself writes every stored change of an order into it, whoever made the change.
const WATCH: &str = "
    CREATE TABLE judge_changes (place INTEGER PRIMARY KEY, intent TEXT NOT NULL, state TEXT NOT NULL);
    CREATE TRIGGER judge_recorded AFTER INSERT ON intents
        BEGIN INSERT INTO judge_changes (intent, state) VALUES (NEW.id, 'recorded'); END;
    CREATE TRIGGER judge_changed AFTER UPDATE ON intents
        BEGIN INSERT INTO judge_changes (intent, state) VALUES (NEW.id, NEW.state); END;";

/// Begins the judge's own ledger.
pub(crate) async fn watch(stage: &Stage) {
    let mut link = SqliteConnection::connect(&stage.url()).await.unwrap();
    sqlx::raw_sql(WATCH).execute(&mut link).await.unwrap();
    link.close().await.unwrap();
}

/// Every stored change of an intent has exactly one event, in the same order (S13).
pub(crate) async fn told(stage: &Stage, process: &Process) {
    let mut link = SqliteConnection::connect(&stage.url()).await.unwrap();
    let rows =
        sqlx::query("SELECT intent, state FROM judge_changes ORDER BY place").fetch_all(&mut link).await.unwrap();
    link.close().await.unwrap();
    let mut stored: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in &rows {
        stored.entry(row.get("intent")).or_default().push(row.get("state"));
    }
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in process.world.store.events(0, i64::MAX).await.unwrap() {
        let facts: Value = serde_json::from_str(&event.facts).unwrap();
        let state = match event.kind.as_str() {
            "intent.recorded" => "recorded".to_owned(),
            "intent.moved" | "intent.settled" | "intent.disputed" => facts["state"].as_str().unwrap_or("?").to_owned(),
            _ => continue,
        };
        told.entry(facts["intent"].as_str().unwrap_or("?").to_owned()).or_default().push(state);
    }
    for (intent, changes) in &stored {
        let events = told.remove(intent).unwrap_or_default();
        if *changes != events {
            let what = format!("S13: {intent} went through {changes:?}, and its events say {events:?}");
            stage.notes.lock().violation(what);
        }
    }
    if let Some((intent, events)) = told.first_key_value() {
        stage.notes.lock().violation(format_args!("S13: {events:?} is told of {intent}, which is not stored"));
    }
}

/// Of each leg of a run: what was filled and what is still open, over all its tries, is not more than the leg (S1).
pub(crate) fn legs(stage: &Stage, intents: &[Intent]) {
    let mut legs: BTreeMap<(&str, Phase, &str), Vec<&Intent>> = BTreeMap::new();
    for intent in intents {
        legs.entry((intent.run.as_str(), intent.phase, intent.symbol.as_str())).or_default().push(intent);
    }
    let ledger = stage.sim.ledger().orders;
    let mut notes = stage.notes.lock();
    for ((run, phase, symbol), tries) in legs {
        let Some(first) = tries.iter().min_by_key(|intent| intent.attempt) else { continue };
        let ours = |id: &str| tries.iter().any(|intent| intent.client_order_id.as_str() == id);
        let orders = ledger.iter().map(|record| &record.order).filter(|order| *order.symbol == *symbol);
        let (mut shares, mut dollars) = (Decimal::ZERO, Decimal::ZERO);
        for order in orders.filter(|order| ours(&order.client_order_id)) {
            let open = |all: Option<Decimal>| if order.status.is_terminal() { None } else { all };
            shares += open(order.qty).unwrap_or(order.filled_qty);
            let spent = order.filled_avg_price.unwrap_or_default() * order.filled_qty;
            dollars += open(order.notional).unwrap_or(spent);
        }
        let (came_to, wanted) = match first.amount {
            Amount::Qty(qty) => (shares, qty.decimal()),
            Amount::Notional(notional) => (dollars, notional.decimal()),
        };
        // Of an order by value the last share is rounded to nine digits, and its average price to four.
        let rounded = if matches!(first.amount, Amount::Qty(_)) { Decimal::ZERO } else { Decimal::new(2, 2) };
        if came_to > wanted + rounded + rounded * rounded * shares {
            let what = format!("run {run} wanted to {} {wanted} of {symbol}", phase.side().code());
            notes.violation(format_args!("S1: {what}, and its orders come to {came_to}"));
        }
    }
}

/// Every slot of every subscription that came due has exactly one run, and it is closed (L11).
pub(crate) fn due_and_done(stage: &Stage, runs: &[Run]) {
    let now = stage.clock.now();
    for member in stage.members() {
        let until = stage.notes.lock().left_at.get(&member.account).copied().unwrap_or(now);
        let mut mine: BTreeMap<Moment, Vec<&Run>> = BTreeMap::new();
        let scheduled = |run: &&Run| run.trigger == Trigger::Schedule && run.account.as_str() == member.account;
        for run in runs.iter().filter(scheduled) {
            mine.entry(run.slot).or_default().push(run);
        }
        for slot in slots(stage, &member, until) {
            let found = mine.remove(&slot).unwrap_or_default();
            if found.len() != 1 || found.iter().any(|run| run.state != RunState::Closed) {
                let (account, count) = (&member.account, found.len());
                stage.notes.lock().violation(format_args!("L11: {account} was due at {slot} and has {count} runs"));
            }
        }
        for slot in mine.into_keys().filter(|slot| *slot <= until) {
            stage.notes.lock().violation(format_args!("L11: {} was not due at {slot}, and ran", member.account));
        }
    }
}

/// When the strategies of a history are due, reckoned without the daemon's own reckoning: half an hour after the open of the
/// first session of each month, or at a quarter to four on every day from Monday to Friday.
fn slots(stage: &Stage, member: &Member, until: Moment) -> Vec<Moment> {
    let zone = stage.sessions.zone();
    let (first, last) = (stage.begun.day_in(zone), until.day_in(zone));
    let all: Vec<Moment> = if member.strategy == "three-fund" {
        let month = |day: jiff::civil::Date| (day.year(), day.month());
        let begins = stage.sessions.between(first, last).filter(|session| {
            stage.sessions.before(session.day).is_none_or(|before| month(before.day) != month(session.day))
        });
        begins.map(|session| session.open + rebalanced::model::time::Span::from_mins(30)).collect()
    } else {
        let days = first.series(jiff::ToSpan::days(1)).take_while(|day| *day <= last);
        let week = days.filter(|day| !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday));
        week.map(|day| Moment::from(day.at(15, 45, 0, 0).to_zoned(zone.clone()).unwrap().timestamp())).collect()
    };
    all.into_iter().filter(|slot| stage.begun < *slot && *slot <= until).collect()
}
