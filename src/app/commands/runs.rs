//! `runs`: what was decided for whom, and why; a run by hand; taking back one that has not begun.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::shown;
use crate::edge::store::{RunFilter, Store};
use crate::model::event::Actor;
use crate::model::ids::{AccountId, RunId, StrategyName, SubscriptionId};
use crate::model::run::RunState;

/// Arguments of `runs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do; list when absent.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What can be done with runs.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List the newest.
    List(Which),
    /// Show one with its decisions and orders.
    Show {
        /// Its id.
        run: String,
    },
    /// Say in sentences why a run did what it did, and show both ledgers: ours and the broker's. Of an account: those that
    /// the daily comparison could not explain.
    Explain {
        /// The run's id.
        #[arg(required_unless_present = "account", conflicts_with = "account")]
        run: Option<String>,
        /// The account's id.
        #[arg(long)]
        account: Option<String>,
    },
    /// Evaluate a subscription now, at the next free worker.
    Trigger {
        /// The subscription's id.
        subscription: String,
        /// Who does this.
        #[arg(long, value_name = "NAME")]
        by: String,
    },
    /// Take back a run that no worker has begun.
    Cancel {
        /// Its id.
        run: String,
        /// Who does this.
        #[arg(long, value_name = "NAME")]
        by: String,
    },
}

/// Which runs to list.
#[derive(Debug, Default, clap::Args)]
pub struct Which {
    /// Only of this account.
    #[arg(long)]
    pub account: Option<String>,
    /// Only of this strategy.
    #[arg(long)]
    pub strategy: Option<String>,
    /// Only in this state: due, running or closed.
    #[arg(long)]
    pub state: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub limit: u32,
}

impl Which {
    fn filter(&self) -> Result<RunFilter, Failure> {
        let state = self.state.as_deref().map(|text| {
            RunState::parse(text)
                .ok_or_else(|| Failure::input(format!("--state is `{text}`; it must be due, running or closed")))
        });
        Ok(RunFilter {
            account: self.account.as_deref().map(AccountId::parse).transpose()?,
            strategy: self.strategy.as_deref().map(StrategyName::parse).transpose()?,
            state: state.transpose()?,
            limit: i64::from(self.limit),
        })
    }
}

/// Carries it out.
///
/// # Errors
/// When the database does not answer, or what is named does not exist.
pub async fn obey(context: &Context, args: Args) -> Result<(), Failure> {
    let (_, means) = context.means().await?;
    match args.action.unwrap_or_else(|| Action::List(Which { limit: 50, ..Which::default() })) {
        Action::List(which) => {
            let runs = means.store.runs(&which.filter()?).await?;
            let rows: Vec<Value> = runs.iter().map(shown::run).collect();
            let columns =
                ["id", "slot", "slot_reason", "strategy", "account", "environment", "state", "outcome", "reason"];
            context.print(&json!({ "runs": rows }), |_| shown::table(&rows, &columns))
        }
        Action::Show { run } => context.print(&found(&means.store, &run).await?, in_full),
        Action::Explain { account: Some(account), .. } => {
            context.print(&unexplained(&means.store, &AccountId::parse(&account)?).await?, told_daily)
        }
        Action::Explain { run, .. } => context.print(&found(&means.store, &run.unwrap_or_default()).await?, explained),
        Action::Trigger { subscription, by } => {
            let id = SubscriptionId::parse(&subscription)?;
            if !means.store.subscriptions(true).await?.iter().any(|subscription| subscription.id == id) {
                return Err(Failure::input(format!(
                    "no subscription {id} is active; `rebalanced subscriptions` lists them"
                )));
            }
            let run = means.store.trigger(&id, means.clock.now(), &Actor::operator(&by)).await?;
            context.print(&json!({ "run": run.as_str() }), |_| {
                format!("{run} is due; `rebalanced runs show {run}` follows it")
            })
        }
        Action::Cancel { run, by } => {
            let id = RunId::parse(&run)?;
            if !means.store.cancel_run(&id, &Actor::operator(&by), means.clock.now()).await? {
                let mend = "only a due run can be taken back; `rebalanced halt` stops orders at once";
                return Err(Failure::input(format!("{id} is not due; {mend}")));
            }
            context.print(&json!({ "cancelled": id.as_str() }), |_| format!("{id} is cancelled"))
        }
    }
}

fn in_full(answer: &Value) -> String {
    let names = [
        "id",
        "account",
        "environment",
        "strategy",
        "version",
        "slot",
        "slot_reason",
        "turn",
        "trigger",
        "state",
        "outcome",
        "reason",
        "detail",
        "claimed_at",
        "closed_at",
        "drift_before",
        "drift_after",
        "turnover",
    ];
    let orders = answer.get("orders").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let columns =
        ["phase", "symbol", "side", "qty", "notional", "state", "filled_qty", "filled_avg_price", "client_order_id"];
    let mut text = format!("{}\n\norders\n{}", shown::fields(answer, &names), shown::table(orders, &columns));
    let decisions = answer.get("decisions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (look, decision) in decisions.iter().enumerate() {
        let sentences = shown::sentences(decision);
        if !sentences.is_empty() {
            text.extend([format!("\n\nwhy, look {}\n", look + 1), sentences.join("\n")]);
        }
    }
    text
}

async fn found(store: &Store, run: &str) -> Result<Value, Failure> {
    let id = RunId::parse(run)?;
    let Some((run, decisions)) = store.run(&id).await? else {
        return Err(Failure::input(format!("there is no run {id}; `rebalanced runs` lists the newest")));
    };
    let (intents, ledgers) = (store.intents_of(&id).await?, store.ledgers(&id).await?);
    Ok(shown::run_in_full(&run, (decisions.as_deref(), ledgers.as_deref()), &intents))
}

/// A run in sentences.
fn explained(answer: &Value) -> String {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or("-").to_owned();
    let rows = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let mut lines = vec![
        format!(
            "{} of {} on {} account {}",
            text(answer, "id"),
            text(answer, "strategy"),
            text(answer, "environment"),
            text(answer, "account")
        ),
        format!(
            "for {} ({}): {} {}",
            text(answer, "slot"),
            text(answer, "slot_reason"),
            text(answer, "outcome"),
            text(answer, "reason")
        ),
        format!("  {}", text(answer, "detail")),
    ];
    for (look, decision) in rows(answer, "decisions").iter().enumerate() {
        lines.push(format!("\nlook {}: {} ({})", look + 1, text(decision, "detail"), text(decision, "reason")));
        for order in rows(decision, "orders") {
            let amount = if order["qty"].is_string() {
                text(&order, "qty") + " shares"
            } else {
                text(&order, "notional") + " dollars"
            };
            lines.push(format!(
                "  {} {amount} of {}: {}",
                text(&order, "side"),
                text(&order, "symbol"),
                text(&order, "reason")
            ));
        }
        for skip in rows(decision, "skipped") {
            lines.push(format!("  {} is not traded: {}", text(&skip, "symbol"), text(&skip, "reason")));
        }
        lines.extend(shown::sentences(decision).iter().map(|sentence| format!("  {sentence}")));
    }
    lines.push("\nour orders, and what the broker filled".to_owned());
    for order in rows(answer, "orders") {
        let (side, symbol, id) = (text(&order, "side"), text(&order, "symbol"), text(&order, "client_order_id"));
        let (filled, price, state) =
            (text(&order, "filled_qty"), text(&order, "filled_avg_price"), text(&order, "state"));
        lines.push(format!("  {side} {symbol}: {state}, {filled} shares at {price} ({id}) {}", text(&order, "note")));
    }
    lines.extend(both_ledgers(&answer["ledgers"]));
    lines.join("\n")
}

/// What the last daily comparison said that found something which nobody can explain.
async fn unexplained(store: &Store, account: &AccountId) -> Result<Value, Failure> {
    let event = store.last_event(account, "account.unexplained").await?;
    let Some(event) = event else {
        let mend = "`rebalanced runs explain RUN` shows what a run compared";
        return Err(Failure::input(format!("the daily comparison of account {account} has always agreed; {mend}")));
    };
    let facts: Value = serde_json::from_str(&event.facts).unwrap_or_default();
    // The ledgers are kept as they were written: a text inside the facts.
    let ledgers = facts["ledgers"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    Ok(json!({ "account": account.as_str(), "at": event.at.to_string(), "ledgers": ledgers }))
}

fn told_daily(answer: &Value) -> String {
    let text = |name: &str| answer[name].as_str().unwrap_or("-").to_owned();
    let head = format!("the daily comparison of account {}, {}", text("account"), text("at"));
    [vec![head], both_ledgers(&answer["ledgers"])].concat().join("\n")
}

/// Our count of an account and the broker's.
fn both_ledgers(ledgers: &Value) -> Vec<String> {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or("-").to_owned();
    if ledgers.is_null() {
        return vec!["\nboth ledgers".to_owned(), "  were not compared: the run did not get so far".to_owned()];
    }
    let side = |name: &str| format!("{} dollars; {}", text(&ledgers[name], "cash"), text(&ledgers[name], "shares"));
    let mut lines = vec!["\nboth ledgers".to_owned()];
    lines.push(format!("  ours, by the broker's own rows: {}", side("ours")));
    lines.push(format!("  the broker's:                   {}", side("theirs")));
    let differences = ledgers["differences"].as_array().cloned().unwrap_or_default();
    lines.push(if differences.is_empty() {
        format!("  they agree, {}", text(ledgers, "at"))
    } else {
        format!("  they differ, {}:", text(ledgers, "at"))
    });
    lines.extend(differences.iter().map(|one| format!("    {}", one.as_str().unwrap_or_default())));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s15_the_daily_finding_shows_both_ledgers_and_what_differs() {
        let side = |cash: &str| json!({ "cash": cash, "shares": "SPY 4" });
        let ledgers = json!({
            "at": "2019-06-05T20:00:00Z", "ours": side("100.00"), "theirs": side("112.34"),
            "differences": ["the broker shows 112.34 dollars of cash, its own rows come to 100.00"],
        });
        let told = told_daily(&json!({ "account": "a-1", "at": "2019-06-05T20:00:01Z", "ledgers": ledgers }));
        for part in
            ["account a-1", "100.00 dollars; SPY 4", "112.34 dollars; SPY 4", "they differ", "its own rows come to"]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
