//! How a plan is written down: the JSON that `plan --json` prints and that is kept with each run.
//!
//! Decimals are strings. Dollars carry at least two decimals; weights are fractions of one with at most ten.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::model::books::{Ledgers, Sums};
use crate::model::money::{Fraction, Usd};
use crate::model::plan::{Amount, Explained, Leg, Plan, Pricing, Skip, SymbolDrift, WeightRow};
use crate::model::verdict::Refusal;

/// The plan as JSON, in the order of the documented interface; `refusals` says what the guard would refuse.
pub fn json(plan: &Plan, refusals: &[Refusal]) -> Value {
    json!({
        "decision": plan.decision.code(),
        "reason": plan.reason.code(),
        "detail": plan.detail,
        "drift": {
            "portfolio": fraction(plan.drift.portfolio),
            "symbols": plan.drift.symbols.iter().map(drift).collect::<Vec<_>>(),
        },
        "orders": plan.legs.iter().map(leg).collect::<Vec<_>>(),
        "skipped": plan.skipped.iter().map(skip).collect::<Vec<_>>(),
        "weights": plan.weights.iter().map(weight).collect::<Vec<_>>(),
        "value": dollars(plan.value),
        "cash_after": dollars(plan.cash_after),
        "turnover": fraction(plan.turnover),
        "refusals": refusals.iter().map(refusal).collect::<Vec<_>>(),
    })
}

/// Both ledgers of an account as they are kept with a run.
pub fn ledgers(ledgers: &Ledgers) -> String {
    let sums = |sums: &Sums| json!({ "cash": dollars(sums.cash), "shares": sums.shares.to_string() });
    let Ledgers { at, ours, theirs, differences } = ledgers;
    json!({ "at": at.to_string(), "ours": sums(ours), "theirs": sums(theirs), "differences": differences }).to_string()
}

/// The plan as text.
pub fn text(plan: &Plan) -> String {
    json(plan, &[]).to_string()
}

/// The plan as it is kept with its run: with a sentence for every asset.
pub fn kept(plan: &Plan, sentences: &[Explained]) -> String {
    let mut decision = json(plan, &[]);
    if let Some(fields) = decision.as_object_mut() {
        fields.insert("explained".to_owned(), explained(sentences));
    }
    decision.to_string()
}

/// Why each asset is traded or not, as `[{symbol, sentence}]`.
pub fn explained(sentences: &[Explained]) -> Value {
    sentences.iter().map(|one| json!({ "symbol": one.symbol.as_str(), "sentence": one.sentence })).collect()
}

fn drift(row: &SymbolDrift) -> Value {
    json!({
        "symbol": row.symbol.as_str(),
        "target": fraction(row.target),
        "actual": fraction(row.actual),
        "absolute": fraction(row.absolute),
        "relative": fraction(row.relative),
    })
}

fn leg(leg: &Leg) -> Value {
    let mut order = Map::new();
    let mut put = |name: &str, value: String| order.insert(name.to_owned(), Value::String(value));
    put("phase", leg.phase.code().to_owned());
    put("symbol", leg.symbol.to_string());
    put("side", leg.phase.side().code().to_owned());
    match leg.amount {
        Amount::Qty(qty) => put("qty", qty.to_string()),
        Amount::Notional(notional) => put("notional", dollars(notional)),
    };
    match leg.pricing {
        Pricing::Market => put("type", "market".to_owned()),
        Pricing::Limit(price) => {
            put("limit_price", price.to_string());
            put("type", "limit".to_owned())
        }
    };
    put("time_in_force", "day".to_owned());
    put("value", dollars(leg.value));
    put("reference_price", leg.reference_price.to_string());
    Value::Object(order)
}

fn skip(skip: &Skip) -> Value {
    json!({
        "symbol": skip.symbol.as_str(),
        "side": skip.side.code(),
        "value": dollars(skip.value),
        "reason": skip.reason.code(),
    })
}

fn weight(row: &WeightRow) -> Value {
    json!({
        "symbol": row.symbol.as_str(),
        "target": fraction(row.target),
        "before": fraction(row.before),
        "after": fraction(row.after),
    })
}

fn refusal(refusal: &Refusal) -> Value {
    json!({ "code": refusal.code.code(), "detail": refusal.detail })
}

/// Dollars with at least two decimals, and more where there are more.
pub fn dollars(amount: Usd) -> String {
    let mut exact: Decimal = amount.decimal().normalize();
    if exact.scale() < 2 {
        exact.rescale(2);
    }
    exact.to_string()
}

/// A fraction with at most ten decimals.
pub fn fraction(fraction: Fraction) -> String {
    fraction.decimal().round_dp(10).normalize().to_string()
}
