//! How a plan is written down: the JSON that `plan --json` prints and that is kept with each run.
//!
//! Decimals are strings. Dollars carry at least two decimals; weights are fractions of one with at most ten.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::model::books::{Ledgers, Sums};
use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Usd};
use crate::model::personal::{Own, Said};
use crate::model::plan::{Amount, Explained, Leg, Plan, Pricing, Skip, SymbolDrift, WeightRow};
use crate::model::strategy::{Strategy, Target};
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
        "weights": plan.weights.iter().map(|row| weight(plan, row)).collect::<Vec<_>>(),
        "value": dollars(plan.value),
        "cash_after": dollars(plan.cash_after),
        "turnover": fraction(plan.turnover),
        "refusals": refusals.iter().map(refusal).collect::<Vec<_>>(),
    })
}

/// Both ledgers of an account as they are kept with a run.
pub fn ledgers(ledgers: &Ledgers) -> String {
    let sums = |sums: &Sums| json!({ "cash": dollars(sums.cash), "shares": sums.shares.to_string() });
    let Ledgers { at, ours, theirs, differences, .. } = ledgers;
    json!({ "at": at.to_string(), "ours": sums(ours), "theirs": sums(theirs), "differences": differences }).to_string()
}

/// The plan as text.
pub fn text(plan: &Plan) -> String {
    json(plan, &[]).to_string()
}

/// The plan as it is kept with its run: with a sentence for every asset, and with the strategy of the account where that is
/// not the file's. The second half of the run goes by it, also in another process.
pub fn kept(plan: &Plan, sentences: &[Explained], (file, made): (&Strategy, &Strategy), wishes: &[&Said]) -> String {
    let mut decision = json(plan, &[]);
    let is_the_files = made.targets() == file.targets() && made.cash() == file.cash() && made.own() == file.own();
    if let Some(fields) = decision.as_object_mut() {
        fields.insert("explained".to_owned(), explained(sentences));
        if !is_the_files || !wishes.is_empty() {
            fields.insert("effective".to_owned(), effective(made, wishes));
        }
    }
    decision.to_string()
}

/// Why each asset is traded or not, as `[{symbol, sentence}]`.
pub fn explained(sentences: &[Explained]) -> Value {
    sentences.iter().map(|one| json!({ "symbol": one.symbol.as_str(), "sentence": one.sentence })).collect()
}

fn effective(made: &Strategy, wishes: &[&Said]) -> Value {
    let symbols = |all: &BTreeSet<Symbol>| all.iter().map(|symbol| symbol.as_str().to_owned()).collect::<Vec<_>>();
    let own = made.own();
    let weights = made.targets().iter().map(|target| (target.symbol.to_string(), json!(exact(target.weight))));
    json!({
        "weights": weights.collect::<Map<_, _>>(),
        "cash": exact(made.cash()),
        "aside": own.aside.to_string(),
        "cap": own.cap.map(|cap| cap.to_string()),
        "excluded": symbols(&own.excluded),
        "do_not_sell": symbols(&own.do_not_sell),
        "do_not_buy": symbols(&own.do_not_buy),
        "stand_ins": own.stand_ins.iter().map(|(out, it)| (out.to_string(), json!(it.as_str()))).collect::<Map<_, _>>(),
        "overrides": wishes.iter().map(|said| json!({
            "id": said.id.as_str(),
            "kind": said.wish.code(),
            "symbol": said.wish.symbol().map(Symbol::as_str),
            "by": said.by,
            "reason": said.reason,
            "until": said.until.map(|until| until.to_string()),
        })).collect::<Vec<_>>(),
    })
}

/// A weight to its last digit.
fn exact(weight: Fraction) -> String {
    weight.decimal().normalize().to_string()
}

/// The strategy by which the first half of a run was decided, from the decisions that are kept with it. `None` when they
/// say nothing that means one.
pub fn decided_by(decisions: &str, file: &Strategy) -> Option<Strategy> {
    let decisions: Value = serde_json::from_str(decisions).ok()?;
    let Some(effective) = decisions.get(0)?.get("effective") else { return Some(file.clone()) };
    let symbols = |name: &str| -> Option<BTreeSet<Symbol>> {
        effective.get(name)?.as_array()?.iter().map(|it| Symbol::parse(it.as_str()?).ok()).collect()
    };
    let weights = effective.get("weights")?.as_object()?.iter().map(|(symbol, weight)| {
        Some(Target { symbol: Symbol::parse(symbol).ok()?, weight: Fraction::parse(weight.as_str()?).ok()? })
    });
    let cap = match effective.get("cap")? {
        Value::Null => None,
        cap => Some(Usd::parse(cap.as_str()?).ok()?),
    };
    // A run that began under an older program kept none.
    let stand_ins = effective.get("stand_ins").and_then(Value::as_object).into_iter().flatten();
    let stand_ins = stand_ins.map(|(out, it)| Some((Symbol::parse(out).ok()?, Symbol::parse(it.as_str()?).ok()?)));
    let own = Own {
        aside: Usd::parse(effective.get("aside")?.as_str()?).ok()?,
        cap,
        excluded: symbols("excluded")?,
        do_not_sell: symbols("do_not_sell")?,
        do_not_buy: symbols("do_not_buy")?,
        stand_ins: stand_ins.collect::<Option<_>>()?,
    };
    let cash = Fraction::parse(effective.get("cash")?.as_str()?).ok()?;
    file.with_own((weights.collect::<Option<Vec<_>>>()?, cash), own).ok()
}

fn drift(row: &SymbolDrift) -> Value {
    json!({
        "symbol": row.symbol.as_str(),
        "target": fraction(row.target),
        "actual": fraction(row.actual),
        "absolute": fraction(row.absolute),
        "relative": fraction(row.relative()),
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

fn weight(plan: &Plan, row: &WeightRow) -> Value {
    json!({
        "symbol": row.symbol.as_str(),
        "target": fraction(row.target),
        "before": fraction(row.before),
        "after": fraction(plan.weight_after(row)),
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
