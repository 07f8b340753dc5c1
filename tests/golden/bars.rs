//! Closing prices for a strategy that asks for them: a walk for each symbol, drawn from its own letters, that ends at the
//! price of the accounts. The same symbol has the same past, always and everywhere.

use rebalanced::edge::sessions;
use rebalanced::model::strategy::Strategy;
use serde_json::{Map, Value, json};

use crate::accounts::{cents, day};

/// More than any example asks for.
const SESSIONS: usize = 300;

/// The answer of the bars endpoint for everything that the strategy may hold.
pub(crate) fn bars(strategy: &Strategy) -> Value {
    let sessions = sessions::builtin().unwrap();
    let today = day();
    let before = sessions.between(jiff::civil::date(2020, 1, 1), today.yesterday().unwrap());
    let mut days: Vec<_> = before.map(|session| session.day).collect();
    let days = days.split_off(days.len() - SESSIONS);
    let mut all = Map::new();
    for symbol in strategy.universe() {
        let mut dice = symbol.as_str().bytes().fold(11_u64, |sum, byte| sum * 131 + u64::from(byte));
        let mut close = cents(symbol.as_str());
        let mut walk: Vec<Value> = Vec::new();
        for day in days.iter().rev() {
            let price = format!("{}.{:02}", close / 100, close % 100);
            let price: Value = serde_json::from_str(&price).unwrap();
            walk.push(json!({ "t": format!("{day}T05:00:00Z"), "c": price }));
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Up to two percent a day either way, a little more of them upwards as the days go by.
            let move_of = i64::try_from((dice >> 33) % 401).unwrap() - 205;
            close = (close + close * move_of / 10_000).max(500);
        }
        walk.reverse();
        all.insert(symbol.as_str().to_owned(), Value::Array(walk));
    }
    json!({ "bars": all })
}
