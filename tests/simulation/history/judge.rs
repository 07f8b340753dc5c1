//! The judge: what must hold after each day and at the end, by the broker's own ledger and by the database.

use std::collections::{BTreeMap, BTreeSet};

use rebalanced::edge::store::{IntentFilter, RunFilter};
use rebalanced::flow;
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::AccountId;
use rebalanced::model::intent::{Intent, IntentState};
use rebalanced::model::mandate::HaltScope;
use rebalanced::model::plan::{Amount, Phase};
use rebalanced::model::run::Run;
use rebalanced::model::time::Moment;
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::ledgers;
use super::stage::{Process, Stage};

/// After the faults of a day have stopped.
pub(crate) async fn day(stage: &Stage, process: &Process, morning: Moment) {
    let store = &process.world.store;
    let halts = store.halts(true).await.unwrap();
    let runs = store.runs(&RunFilter::all()).await.unwrap();
    for run in runs.iter().filter(|run| run.closed_at.is_some_and(|at| at >= morning)) {
        let Some(ended) = run.outcome.as_ref().filter(|ended| ended.kind == "quarantined") else { continue };
        let halted = halts.iter().any(|halt| match &halt.scope {
            HaltScope::Account(halted) => *halted == run.account,
            HaltScope::Service => true,
            HaltScope::Symbol(_) => false,
        });
        if !halted {
            let what = format!("{} was quarantined ({}) and trades on", run.account, ended.reason);
            stage.notes.lock().violation(format_args!("S16: {what}"));
        }
    }
    let ever = store.halts(false).await.unwrap();
    for intent in store.intents(&IntentFilter::all()).await.unwrap() {
        let is_disputed = intent.state == IntentState::Disputed;
        if is_disputed && !ever.iter().any(|halt| halt.scope == HaltScope::Account(intent.account.clone())) {
            let what = format!("{} is disputed, and its account was never halted", intent.client_order_id);
            stage.notes.lock().violation(format_args!("S14: {what}"));
        }
    }
    for intent in store.unsettled().await.unwrap() {
        stage.notes.lock().violation(format_args!(
            "L2: {} has no end: {}",
            intent.client_order_id,
            intent.state.code()
        ));
    }
    stage.sync();
    let touched = {
        // A debt that somebody else made lasts until money comes.
        let mut notes = stage.notes.lock();
        let today = notes.touched.clone();
        notes.ever_touched.extend(today);
        notes.ever_touched.clone()
    };
    for member in stage.members() {
        let (positions, view) = stage.sim.with_exchange(|exchange, now| {
            (exchange.positions(now, &member.account).unwrap(), exchange.account(now, &member.account).unwrap())
        });
        let mut notes = stage.notes.lock();
        for held in positions.iter().filter(|held| held.qty < Decimal::ZERO) {
            notes.violation(format_args!("S6: {} is short {} of {}", member.account, held.qty, held.symbol));
        }
        if view.cash < Decimal::ZERO && !touched.contains(&member.account) {
            notes.violation(format_args!("S7: {} has {} dollars", member.account, view.cash));
        }
    }
}

/// Whether the broker's own books have no shares of this account.
pub(crate) fn holds_nothing(stage: &Stage, account: &str) -> bool {
    stage.sim.with_exchange(|exchange, now| exchange.positions(now, account).unwrap().is_empty())
}

/// After a completed run of the busy or the patient strategy: a third each within a point, and a tenth in cash.
pub(crate) fn on_target(stage: &Stage, account: &str) {
    stage.sync();
    let (positions, view) = stage.sim.with_exchange(|exchange, now| {
        (exchange.positions(now, account).unwrap(), exchange.account(now, account).unwrap())
    });
    let managed = |symbol: &str| ["SPY", "AGG", "GLD"].contains(&symbol);
    let worth: Decimal =
        positions.iter().filter(|held| managed(&held.symbol)).map(|held| held.market_value).sum::<Decimal>()
            + view.cash;
    if worth < Decimal::from(500) {
        return; // Too little for exact shares of it.
    }
    let mut parts: Vec<(&str, Decimal, Decimal)> = vec![("cash", view.cash, Decimal::new(10, 2))];
    for symbol in ["SPY", "AGG", "GLD"] {
        let value =
            positions.iter().find(|held| *held.symbol == *symbol).map_or(Decimal::ZERO, |held| held.market_value);
        parts.push((symbol, value, Decimal::new(30, 2)));
    }
    for (what, value, target) in parts {
        if (value / worth - target).abs() > Decimal::new(15, 3) {
            let share = (value / worth).round_dp(4);
            stage.notes.lock().violation(format_args!("{account}: {what} is {share} of it after a completed run"));
        }
    }
}

/// At the end of a history.
pub(crate) async fn whole(stage: &Stage, process: &Process, quiet: bool) {
    let store = &process.world.store;
    let intents = store.intents(&IntentFilter::all()).await.unwrap();
    let runs = store.runs(&RunFilter::all()).await.unwrap();
    by_the_books(stage, (&intents, &runs), quiet);
    let left = stage.notes.lock().left.clone();
    ledgers::told(stage, process).await;
    ledgers::legs(stage, &intents);
    ledgers::due_and_done(stage, &runs);
    for account in left {
        let token = store.sealed_token(&AccountId::parse(&account).unwrap()).await.unwrap();
        if token.is_some() {
            stage.notes.lock().violation(format_args!("the token of {account}, whose user has left, is kept"));
        }
    }
    if let Err(error) = flow::verify::audit(store, Vec::new()).await {
        stage.notes.lock().violation(format_args!("S13: the chain does not hold: {error}"));
    }
}

/// What must hold of runs and intents, by themselves and beside the broker's ledger.
fn by_the_books(stage: &Stage, (intents, runs): (&[Intent], &[Run]), quiet: bool) {
    let found = broker_against_us(stage, intents);
    let halted: BTreeSet<&str> = runs
        .iter()
        .filter(|run| run.outcome.as_ref().is_some_and(|ended| ended.kind == "quarantined"))
        .map(|run| run.id.as_str())
        .collect();
    let mut notes = stage.notes.lock();
    for what in found {
        notes.violation(what);
    }
    for (id, why) in notes.must_quarantine.clone() {
        let known = intents.iter().find(|intent| intent.client_order_id.as_str() == id);
        if known.is_some_and(|intent| !halted.contains(intent.run.as_str())) {
            let state = known.map_or("", |intent| intent.state.code());
            notes.violation(format_args!("S3: {id} is {state} and its run trades on, although {why}"));
        }
    }
    for run in runs.iter().filter(|run| run.closed_at.is_none()) {
        notes.violation(format_args!("L1: run {} of {} was never closed", run.id, run.account));
    }
    let mut slots = BTreeSet::new();
    for run in runs {
        if !slots.insert((run.subscription.clone(), run.slot)) {
            notes.violation(format_args!("L4: {} ran twice for {}", run.account, run.slot));
        }
    }
    let mut sides: BTreeMap<(&str, &str), BTreeSet<Phase>> = BTreeMap::new();
    for intent in intents {
        sides.entry((intent.run.as_str(), intent.symbol.as_str())).or_default().insert(intent.phase);
    }
    for ((run, symbol), _) in sides.iter().filter(|(_, phases)| phases.len() > 1) {
        notes.violation(format_args!("S21: run {run} both sells and buys {symbol}"));
    }
    if quiet {
        for run in runs.iter().filter(|run| run.outcome.as_ref().is_some_and(|ended| ended.kind == "quarantined")) {
            notes.violation(format_args!("nothing went wrong, and {} was quarantined: {:?}", run.account, run.outcome));
        }
    }
}

/// The broker's ledger against ours: what is there twice, unknown, or counted differently.
fn broker_against_us(stage: &Stage, intents: &[Intent]) -> Vec<String> {
    let mut wrong = Vec::new();
    let by_id: BTreeMap<&str, &Intent> =
        intents.iter().map(|intent| (intent.client_order_id.as_str(), intent)).collect();
    let planted = stage.notes.lock().must_quarantine.clone();
    let mut seen = BTreeSet::new();
    for record in stage.sim.ledger().orders {
        let id = record.order.client_order_id.to_string();
        if !id.starts_with("rb1-") {
            continue; // The user's own.
        }
        let Some(intent) = by_id.get(id.as_str()) else {
            wrong.push(format!("S2: the broker has order {id}, which nobody recorded"));
            continue;
        };
        if !seen.insert(id.clone()) {
            wrong.push(format!("S1: the broker has {id} twice"));
        }
        if planted.contains_key(&id) {
            continue;
        }
        let live = record.environment == alpaca_sim::Environment::Live;
        if live != (intent.environment == Kind::Live) || intent.account.as_str() != &*record.account {
            wrong.push(format!("S5: {id} is in another account or environment"));
        }
        let (qty, notional) = match intent.amount {
            Amount::Qty(qty) => (Some(qty.decimal()), None),
            Amount::Notional(notional) => (None, Some(notional.decimal())),
        };
        let same = record.order.symbol.as_ref() == intent.symbol.as_str()
            && record.order.notional == notional
            && (qty.is_none() || record.order.qty == qty);
        if !same {
            wrong.push(format!("S3: {id} was sent as another order than was recorded"));
        }
        match intent.state {
            IntentState::Rejected | IntentState::Withdrawn if record.order.status.as_str() != "rejected" => {
                wrong.push(format!("S15: {id} is {} here, and the broker has it", intent.state.code()));
            }
            state
                if state.is_terminal()
                    && !matches!(state, IntentState::Quarantined | IntentState::Disputed)
                    && intent.filled_qty.decimal() != record.order.filled_qty =>
            {
                let (ours, theirs) = (intent.filled_qty, record.order.filled_qty);
                wrong.push(format!("S15: {id} is filled with {ours} here and {theirs} there"));
            }
            _ => {}
        }
    }
    for intent in intents.iter().filter(|intent| matches!(intent.state, IntentState::Filled | IntentState::Ended)) {
        if !seen.contains(intent.client_order_id.as_str()) {
            let (id, state) = (&intent.client_order_id, intent.state.code());
            wrong.push(format!("S15: {id} is {state} here, and the broker does not have it"));
        }
    }
    wrong
}

/// What makes two histories the same: the end of the audit's chain, and the broker's orders.
pub(crate) async fn trace(stage: &Stage, process: &Process) -> String {
    let (_, end) = process.world.store.chain_end().await.unwrap();
    let mut hasher = Sha256::new();
    hasher.update(end);
    for record in stage.sim.ledger().orders {
        let order = &record.order;
        hasher.update(format!("{} {} {}\n", order.client_order_id, order.filled_qty, order.status.as_str()));
    }
    hex::encode(hasher.finalize())
}
