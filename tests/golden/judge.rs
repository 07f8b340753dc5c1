//! Whether an answer can be right at all, by arithmetic that knows the snapshot and the answer and nothing of the planner.

use std::collections::BTreeMap;
use std::path::Path;

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value;

/// Weights are printed with ten decimals.
const PRINTED: Decimal = Decimal::from_parts(1, 0, 0, false, 10);

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// A decimal, written as a text or as a number.
fn number(of: &Value, field: &str) -> Result<Decimal, String> {
    let value = of.get(field).ok_or_else(|| format!("no {field} in {of}"))?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse().map_err(|_| format!("{field} is `{text}`"))
}

fn word<'a>(of: &'a Value, field: &str) -> Result<&'a str, String> {
    of.get(field).and_then(Value::as_str).ok_or_else(|| format!("no {field} in {of}"))
}

fn rows<'a>(of: &'a Value, field: &str) -> Result<&'a [Value], String> {
    of.get(field).and_then(Value::as_array).map(Vec::as_slice).ok_or_else(|| format!("no {field}"))
}

/// What the snapshot says of one symbol.
struct Seen {
    held: Decimal,
    bid: Decimal,
    ask: Decimal,
    split: bool,
}

impl Seen {
    fn middle(&self) -> Decimal {
        (self.bid + self.ask) / Decimal::TWO
    }
}

fn seen(snapshot: &Value) -> Result<BTreeMap<String, Seen>, String> {
    let mut seen = BTreeMap::new();
    for (symbol, quote) in snapshot["quotes"]["quotes"].as_object().ok_or("no quotes")? {
        let (bid, ask) = (number(quote, "bp")?, number(quote, "ap")?);
        seen.insert(symbol.clone(), Seen { held: Decimal::ZERO, bid, ask, split: true });
    }
    for position in rows(snapshot, "positions")? {
        seen.get_mut(word(position, "symbol")?).ok_or("a position without a quote")?.held = number(position, "qty")?;
    }
    for asset in rows(snapshot, "assets")? {
        let known = seen.get_mut(word(asset, "symbol")?).ok_or("an asset without a quote")?;
        known.split = asset["fractionable"] == true;
    }
    Ok(seen)
}

/// One order: shares that move (below zero for a sale) and dollars that move (above zero for a sale).
fn order(order: &Value, seen: &Seen) -> Result<(Decimal, Decimal), String> {
    let (side, value) = (word(order, "side")?, number(order, "value")?);
    ensure(word(order, "phase")? == side, || format!("phase and side differ: {order}"))?;
    ensure(value >= Decimal::ONE && value.normalize().scale() <= 2, || format!("no value of an order: {order}"))?;
    let limit = if word(order, "type")? == "limit" { Some(number(order, "limit_price")?) } else { None };
    let price = limit.unwrap_or(if side == "sell" { seen.bid } else { seen.ask });
    if side == "sell" {
        let qty = number(order, "qty")?;
        ensure(qty > Decimal::ZERO && qty <= seen.held, || format!("sells more than {}: {order}", seen.held))?;
        ensure(seen.split || qty.fract().is_zero(), || format!("sells a part of a share: {order}"))?;
        let brings = (qty * price).round_dp_with_strategy(2, RoundingStrategy::ToZero);
        ensure(value == brings, || format!("brings {brings}: {order}"))?;
        return Ok((-qty, value));
    }
    if order.get("notional").is_some() {
        ensure(seen.split && limit.is_none(), || format!("no order by value here: {order}"))?;
        ensure(number(order, "notional")? == value, || format!("two values: {order}"))?;
        return Ok((value / seen.ask, -value));
    }
    let qty = number(order, "qty")?;
    ensure(qty > Decimal::ZERO, || format!("buys nothing: {order}"))?;
    ensure(seen.split || qty.fract().is_zero(), || format!("buys a part of a share: {order}"))?;
    let costs = (qty * price).round_dp_with_strategy(2, RoundingStrategy::AwayFromZero);
    ensure(value == costs, || format!("costs {costs}: {order}"))?;
    Ok((qty, -value))
}

/// The weights that the file itself states, in percent; none where it makes them by a rule.
fn stated(strategy: &Path) -> Result<BTreeMap<String, Decimal>, String> {
    let text = std::fs::read_to_string(strategy).map_err(|error| error.to_string())?;
    let file: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
    let weights = file.get("weights").and_then(toml::Value::as_array);
    let mut stated = BTreeMap::new();
    for line in weights.into_iter().flatten() {
        let symbol = line.get("symbol").and_then(toml::Value::as_str);
        let percent = line.get("percent").and_then(|percent| percent.to_string().parse().ok());
        if let (Some(symbol), Some(percent)) = (symbol, percent) {
            stated.insert(symbol.to_owned(), percent);
        }
    }
    Ok(stated)
}

/// Judges one answer.
///
/// # Errors
/// The first thing in it that cannot be right.
pub(crate) fn judge(strategy: &Path, snapshot: &Value, answer: &Value) -> Result<(), String> {
    let seen = seen(snapshot)?;
    let cash = number(&snapshot["account"], "cash")?;
    let (mut moved, mut cash_after, mut sold) = (BTreeMap::new(), cash, Decimal::ZERO);
    let orders = rows(answer, "orders")?;
    for line in orders {
        let symbol = word(line, "symbol")?;
        let known = seen.get(symbol).ok_or_else(|| format!("nobody knows {symbol}"))?;
        let (shares, dollars) = order(line, known)?;
        ensure(moved.insert(symbol, shares).is_none(), || format!("two orders for {symbol}"))?;
        cash_after += dollars;
        sold += dollars.max(Decimal::ZERO);
    }
    ensure((word(answer, "decision")? == "trade") != orders.is_empty(), || "decision and orders differ".to_owned())?;
    ensure(number(answer, "cash_after")? == cash_after, || format!("cash_after is {cash_after}"))?;
    ensure(cash_after >= cash.min(Decimal::ZERO), || format!("borrows: {cash_after} of {cash}"))?;
    let buys = moved.values().any(|shares| *shares > Decimal::ZERO);
    ensure(!buys || cash_after >= Decimal::ZERO, || format!("buys with money that is not there: {cash_after}"))?;
    for skip in rows(answer, "skipped")? {
        let symbol = word(skip, "symbol")?;
        ensure(!moved.contains_key(symbol), || format!("{symbol} is traded and left out"))?;
        ensure(number(skip, "value")? > Decimal::ZERO, || format!("nothing is left out of {symbol}"))?;
    }
    weights(answer, &seen, &moved, (cash, cash_after))?;
    let value = number(answer, "value")?;
    let near = |a: Decimal, b: Decimal| (a - b).abs() <= PRINTED;
    ensure(near(number(answer, "turnover")?, sold / value), || format!("turnover is {}", sold / value))?;
    let stated = stated(strategy)?;
    for row in rows(answer, "weights")?.iter().filter(|_| !stated.is_empty()) {
        let Some(percent) = stated.get(word(row, "symbol")?) else { continue };
        let target = number(row, "target")?;
        ensure(near(target, *percent / Decimal::ONE_HUNDRED), || format!("the file says {percent}%: {row}"))?;
    }
    Ok(())
}

/// The weights before and after: right for these orders, a whole with the cash, and no further from the targets than before.
fn weights(
    answer: &Value,
    seen: &BTreeMap<String, Seen>,
    moved: &BTreeMap<&str, Decimal>,
    (cash, cash_after): (Decimal, Decimal),
) -> Result<(), String> {
    let rows = rows(answer, "weights")?;
    let (mut before, mut after) = (cash, cash_after);
    let mut worths = Vec::new();
    for row in rows {
        let symbol = word(row, "symbol")?;
        let known = seen.get(symbol).ok_or_else(|| format!("nobody knows {symbol}"))?;
        let worth = known.held * known.middle();
        let then = worth + moved.get(symbol).copied().unwrap_or_default() * known.middle();
        before += worth;
        after += then;
        worths.push((row, worth, then));
    }
    ensure(number(answer, "value")? == before, || format!("the value is {before}"))?;
    let near = |a: Decimal, b: Decimal| (a - b).abs() <= PRINTED;
    let (mut sum, mut targets) = (Decimal::ZERO, Decimal::ZERO);
    let (mut far_before, mut far_after) = (Decimal::ZERO, Decimal::ZERO);
    for (row, worth, then) in worths {
        let target = number(row, "target")?;
        ensure(near(number(row, "before")?, worth / before), || format!("before is {}: {row}", worth / before))?;
        ensure(near(number(row, "after")?, then / after), || format!("after is {}: {row}", then / after))?;
        sum += number(row, "after")?;
        targets += target;
        far_before += (worth / before - target).abs();
        far_after += (then / after - target).abs();
    }
    ensure(targets <= Decimal::ONE, || format!("the targets add up to {targets}"))?;
    let all = sum + cash_after / after;
    let grain = PRINTED * Decimal::from(rows.len() + 1);
    ensure((all - Decimal::ONE).abs() <= grain, || format!("weights and cash add up to {all}"))?;
    far_before += (cash / before - (Decimal::ONE - targets)).abs();
    far_after += (cash_after / after - (Decimal::ONE - targets)).abs();
    ensure(moved.is_empty() || far_after < far_before, || {
        format!("goes away from its targets: {far_before} {far_after}")
    })
}
