//! The summary: a table per strategy for people, JSON for programs.

use std::collections::BTreeMap;

use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets};
use rust_decimal::Decimal;
use serde::Serialize;

use super::Args;
use super::cast::User;
use super::days::Week;
use super::judge;
use super::stage::Stage;
use crate::edge::store::IntentFilter;
use crate::model::ids::RunId;
use crate::model::intent::Intent;
use crate::model::money::Fraction;
use crate::model::plan::Amount;
use crate::model::run::Run;
use crate::model::verdict::OutcomeKind;

/// What the demo shows at its end.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    seed: u64,
    users: u32,
    days: Vec<String>,
    database: String,
    metrics: String,
    daemon_restarts: u32,
    portfolios_checked: usize,
    strategies: Vec<StrategyRow>,
    runs: BTreeMap<String, BTreeMap<String, usize>>,
    orders: Vec<OrderRow>,
    /// What every account holds at the end, by the broker's books.
    holdings: BTreeMap<String, BTreeMap<String, String>>,
    /// Empty when everything held.
    pub(super) violations: Vec<String>,
}

#[derive(Debug, Serialize)]
struct StrategyRow {
    strategy: String,
    users: usize,
    runs: usize,
    orders: usize,
    /// Mean portfolio drift of the runs that traded, in percent.
    drift_before_percent: Decimal,
    drift_after_percent: Decimal,
    /// Mean share of the portfolio that those runs sold, in percent.
    turnover_percent: Decimal,
    refused: BTreeMap<String, usize>,
    skipped: BTreeMap<String, usize>,
}

#[derive(Debug, Serialize)]
struct OrderRow {
    slot: String,
    account: String,
    symbol: String,
    side: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    qty: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notional: Option<String>,
    filled_qty: String,
    filled_avg_price: Option<String>,
    status: String,
}

/// Reads the database and the broker's ledger, and holds one against the other.
pub(super) async fn summarize(stage: &mut Stage, args: &Args, users: &[User], week: &Week) -> anyhow::Result<Summary> {
    let store = stage.store().await?;
    let intents = store.intents(&IntentFilter { limit: i64::MAX, ..IntentFilter::default() }).await?;
    let mut violations = week.violations.clone();
    violations.extend(judge::at_the_end(stage, &intents));
    let slots: BTreeMap<&RunId, &Run> = week.runs.iter().map(|run| (&run.id, run)).collect();
    let mut runs: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for outcome in week.runs.iter().filter_map(|run| run.outcome.as_ref()) {
        *runs.entry(outcome.kind.clone()).or_default().entry(outcome.reason.clone()).or_default() += 1;
    }
    let strategies = stage
        .catalog
        .iter()
        .map(|strategy| row(strategy.name().as_str(), users, &week.runs, &intents))
        .filter(|row| row.users > 0)
        .collect();
    Ok(Summary {
        seed: args.seed,
        users: args.users,
        days: week.days.iter().map(ToString::to_string).collect(),
        database: stage.database.clone(),
        metrics: stage.folder.join("metrics.txt").display().to_string(),
        daemon_restarts: stage.restarts,
        portfolios_checked: week.portfolios_checked,
        strategies,
        runs,
        orders: orders(stage, &intents, &slots),
        holdings: holdings(stage, users)?,
        violations,
    })
}

/// Every order of the broker's ledger, in the order of slot, account and symbol.
fn orders(stage: &Stage, intents: &[Intent], runs: &BTreeMap<&RunId, &Run>) -> Vec<OrderRow> {
    let by_id: BTreeMap<&str, &Intent> =
        intents.iter().map(|intent| (intent.client_order_id.as_str(), intent)).collect();
    let mut rows: Vec<OrderRow> = stage
        .sim
        .ledger()
        .orders
        .into_iter()
        .map(|record| {
            let intent = by_id.get(record.order.client_order_id.as_ref());
            let slot = intent.and_then(|intent| runs.get(&intent.run)).map(|run| run.slot.to_string());
            let (qty, notional) = match intent.map(|intent| intent.amount) {
                Some(Amount::Qty(qty)) => (Some(qty.to_string()), None),
                Some(Amount::Notional(notional)) => (None, Some(notional.to_string())),
                None => (record.order.qty.map(text), record.order.notional.map(text)),
            };
            OrderRow {
                slot: slot.unwrap_or_default(),
                account: record.account.to_string(),
                symbol: record.order.symbol.to_string(),
                side: record.order.side.as_str().to_owned(),
                qty,
                notional,
                filled_qty: text(record.order.filled_qty),
                filled_avg_price: record.order.filled_avg_price.map(text),
                status: record.order.status.as_str().to_owned(),
            }
        })
        .collect();
    rows.sort_by(|a, b| (&a.slot, &a.account, &a.symbol, &b.side).cmp(&(&b.slot, &b.account, &b.symbol, &a.side)));
    rows
}

/// Cash and quantities of every account, by user.
fn holdings(stage: &Stage, users: &[User]) -> anyhow::Result<BTreeMap<String, BTreeMap<String, String>>> {
    users
        .iter()
        .map(|user| {
            stage.sim.with_exchange(|exchange, now| {
                let cash =
                    exchange.account(now, &user.account).with_context(|| format!("no books of {}", user.name))?.cash;
                let positions =
                    exchange.positions(now, &user.account).with_context(|| format!("no positions of {}", user.name))?;
                let rows = positions.into_iter().map(|position| (position.symbol.to_string(), text(position.qty)));
                Ok((user.name.clone(), rows.chain([("cash".to_owned(), text(cash))]).collect()))
            })
        })
        .collect()
}

fn text(value: Decimal) -> String {
    value.normalize().to_string()
}

fn row(name: &str, users: &[User], all: &[Run], intents: &[Intent]) -> StrategyRow {
    let runs: Vec<&Run> = all.iter().filter(|run| run.strategy.as_str() == name).collect();
    let ids: std::collections::BTreeSet<&RunId> = runs.iter().map(|run| &run.id).collect();
    let ordered: std::collections::BTreeSet<&RunId> =
        intents.iter().map(|intent| &intent.run).filter(|run| ids.contains(run)).collect();
    let traded: Vec<&&Run> = runs.iter().filter(|run| ordered.contains(&run.id)).collect();
    let mean = |pick: fn(&Run) -> Option<Fraction>| {
        let values: Vec<Decimal> = traded.iter().filter_map(|run| pick(run)).map(Fraction::percent).collect();
        let count = Decimal::from(values.len().max(1));
        (values.iter().sum::<Decimal>() / count).round_dp(2).normalize()
    };
    let reasons = |kind: OutcomeKind| {
        let mut counted = BTreeMap::new();
        for outcome in runs.iter().filter_map(|run| run.outcome.as_ref()).filter(|outcome| outcome.kind == kind.code())
        {
            *counted.entry(outcome.reason.clone()).or_default() += 1;
        }
        counted
    };
    StrategyRow {
        strategy: name.to_owned(),
        users: users.iter().filter(|user| user.strategy.as_str() == name).count(),
        runs: runs.len(),
        orders: intents.iter().filter(|intent| ids.contains(&intent.run)).count(),
        drift_before_percent: mean(|run| run.drift_before),
        drift_after_percent: mean(|run| run.drift_after),
        turnover_percent: mean(|run| run.turnover),
        refused: reasons(OutcomeKind::Refused),
        skipped: reasons(OutcomeKind::Skipped),
    }
}

/// Prints the summary: JSON on standard output if asked for, and the table where people look.
#[expect(clippy::print_stdout, reason = "the summary is what this command is for")]
pub(super) fn print(summary: &Summary, json: bool, stage: &Stage) -> anyhow::Result<()> {
    let said = format!("\n{}\n\n{}", by_strategy(summary), closing_lines(summary, stage));
    if json {
        eprint!("{said}");
        println!("{}", serde_json::to_string_pretty(summary)?);
    } else {
        print!("{said}");
    }
    Ok(())
}

fn by_strategy(summary: &Summary) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "strategy",
        "users",
        "runs",
        "orders",
        "drift before",
        "drift after",
        "turnover",
        "refused",
        "skipped",
    ]);
    for row in &summary.strategies {
        table.add_row([
            row.strategy.clone(),
            row.users.to_string(),
            row.runs.to_string(),
            row.orders.to_string(),
            format!("{}%", row.drift_before_percent),
            format!("{}%", row.drift_after_percent),
            format!("{}%", row.turnover_percent),
            counted(&row.refused),
            counted(&row.skipped),
        ]);
    }
    table
}

fn closing_lines(summary: &Summary, stage: &Stage) -> String {
    let runs: Vec<String> =
        summary.runs.iter().map(|(kind, reasons)| format!("{kind}: {}", counted(reasons))).collect();
    let violations = match summary.violations.as_slice() {
        [] => "none".to_owned(),
        found => format!("{}\n  {}", found.len(), found.join("\n  ")),
    };
    let lines = [
        ("runs", runs.join("\n           ")),
        ("orders", format!("{}, each with a recorded intent", summary.orders.len())),
        ("checked", format!("{} portfolios after their trades, at the broker", summary.portfolios_checked)),
        ("database", summary.database.clone()),
        ("metrics", format!("{} (as of the end)", summary.metrics)),
        ("log", stage.log().display().to_string()),
        ("violations", violations),
    ];
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("{name:<10} {value}")).collect();
    lines.join("\n") + "\n"
}

fn counted(reasons: &BTreeMap<String, usize>) -> String {
    if reasons.is_empty() {
        return "-".to_owned();
    }
    reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", ")
}
