//! The judge: the broker's ledger beside ours. What the daemon believes is not asked.

use std::collections::{BTreeMap, BTreeSet};

use alpaca_sim::Sim;
use rebalanced::edge::store::{IntentFilter, RunFilter, Store};
use rust_decimal::Decimal;

use crate::stage::SYMBOLS;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Orders at the broker.
    pub(crate) orders: usize,
    /// S1, S6: one id twice, a symbol traded to and fro for one reason, shares sold that are not there.
    pub(crate) doubled: Vec<String>,
    /// S2: orders that nobody recorded.
    pub(crate) unrecorded: Vec<String>,
    /// S15: filled quantities that differ.
    pub(crate) unequal: Vec<String>,
    /// L2: intents and runs without an end, or that wait for a person.
    pub(crate) waiting: Vec<String>,
    /// S13, a panic.
    pub(crate) broken: Vec<String>,
    /// Whether the account waits for a person.
    pub(crate) halted: bool,
}

impl Verdict {
    /// Everything that must not be in a history that nobody had to look at.
    pub(crate) fn violations(&self) -> Vec<&String> {
        let all = [&self.doubled, &self.unrecorded, &self.unequal, &self.waiting, &self.broken];
        all.into_iter().flatten().collect()
    }

    /// Nothing is wrong, and nobody has to look.
    pub(crate) fn is_clean(&self) -> bool {
        self.violations().is_empty() && !self.halted
    }
}

pub(crate) async fn judged(sim: &Sim, account: &str, store: &Store) -> Verdict {
    let intents = store.intents(&IntentFilter::all()).await.unwrap();
    let runs = store.runs(&RunFilter::all()).await.unwrap();
    let halts = store.halts(true).await.unwrap();
    let ours: BTreeMap<&str, _> = intents.iter().map(|it| (it.client_order_id.as_str(), it)).collect();
    let orders = sim.ledger().orders;
    let mut verdict = Verdict { orders: orders.len(), halted: !halts.is_empty(), ..Verdict::default() };
    for record in &orders {
        let id = record.order.client_order_id.to_string();
        match ours.get(id.as_str()) {
            None => verdict.unrecorded.push(format!("S2: nobody recorded {id}")),
            Some(it) if it.filled_qty.decimal() != record.order.filled_qty => {
                let (here, there) = (it.filled_qty, record.order.filled_qty);
                verdict.unequal.push(format!("S15: {id} is filled with {here} here, {there} there"));
            }
            Some(_) => {}
        }
    }
    verdict.doubled = wrong_orders(sim, account);
    for it in
        intents.iter().filter(|it| !it.state.is_terminal() || ["quarantined", "disputed"].contains(&it.state.code()))
    {
        verdict.waiting.push(format!("L2: {} is {} ({})", it.client_order_id, it.state.code(), it.note));
    }
    for run in runs.iter().filter(|run| run.outcome.as_ref().is_some_and(|end| end.kind == "quarantined")) {
        verdict.waiting.push(format!("a run waits for a person: {:?}", run.outcome));
    }
    if let Err(error) = rebalanced::flow::verify::audit(store, Vec::new()).await {
        verdict.broken.push(format!("S13: {error}"));
    }
    verdict
}

/// What the broker's ledger says by itself: ids twice, symbols traded to and fro, shares that are not there.
pub(crate) fn wrong_orders(sim: &Sim, account: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let orders = sim.ledger().orders;
    let twice = orders.iter().map(|record| record.order.client_order_id.to_string());
    let twice = twice.filter(|id| !seen.insert(id.clone())).map(|id| format!("S1: {id} twice"));
    let mut wrong: Vec<String> = twice.collect();
    wrong.extend(to_and_fro(sim));
    let positions = sim.with_exchange(|exchange, now| exchange.positions(now, account)).unwrap();
    wrong.extend(positions.iter().filter(|held| held.qty < Decimal::ZERO).map(|_| "S6: short".to_owned()));
    wrong
}

/// Each day has one reason to trade. Whoever trades more than it asks for must trade back.
fn to_and_fro(sim: &Sim) -> Vec<String> {
    let mut sides: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for record in sim.ledger().orders {
        if record.order.filled_qty.is_zero() {
            continue;
        }
        let day = record.order.submitted_at.to_string()[..10].to_owned();
        let side = format!("{:?}", record.order.side);
        sides.entry((day, record.order.symbol.to_string())).or_default().insert(side);
    }
    let both = sides.iter().filter(|((_, symbol), sides)| sides.len() > 1 && SYMBOLS.contains(&symbol.as_str()));
    both.map(|((day, symbol), _)| format!("S1: {symbol} was bought and sold on {day}")).collect()
}
