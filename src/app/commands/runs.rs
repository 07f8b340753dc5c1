//! `runs`: what was decided for whom, and why; a run by hand; taking back one that has not begun.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::shown;
use crate::edge::store::RunFilter;
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
            let columns = ["id", "slot", "strategy", "account", "environment", "state", "outcome", "reason"];
            context.print(&json!({ "runs": rows }), |_| shown::table(&rows, &columns))
        }
        Action::Show { run } => {
            let id = RunId::parse(&run)?;
            let Some((run, decisions)) = means.store.run(&id).await? else {
                return Err(Failure::input(format!("there is no run {id}; `rebalanced runs` lists the newest")));
            };
            let intents = means.store.intents_of(&id).await?;
            let answer = shown::run_in_full(&run, decisions.as_deref(), &intents);
            context.print(&answer, in_full)
        }
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
    format!("{}\n\norders\n{}", shown::fields(answer, &names), shown::table(orders, &columns))
}
