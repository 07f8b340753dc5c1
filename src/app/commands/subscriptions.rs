//! `subscriptions`: which account follows which strategy.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::{shown, wire};
use crate::model::event::Actor;
use crate::model::ids::{AccountId, StrategyName, SubscriptionId};

/// Arguments of `subscriptions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do; list when absent.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What can be done with subscriptions.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List them.
    List {
        /// Also those that ended.
        #[arg(long)]
        all: bool,
    },
    /// Let an account follow a strategy from now on.
    Add {
        /// The broker's account id.
        #[arg(long)]
        account: String,
        /// The strategy's name.
        #[arg(long)]
        strategy: String,
        /// Who does this.
        #[arg(long, value_name = "NAME")]
        by: String,
    },
    /// End one.
    End {
        /// Its id.
        subscription: String,
        /// Who does this.
        #[arg(long, value_name = "NAME")]
        by: String,
    },
}

/// Carries it out.
///
/// # Errors
/// When the database does not answer, or what is named does not exist.
pub async fn obey(context: &Context, args: Args) -> Result<(), Failure> {
    let (settings, means) = context.means().await?;
    match args.action.unwrap_or(Action::List { all: false }) {
        Action::List { all } => {
            let subscriptions = means.store.subscriptions(!all).await?;
            let rows: Vec<Value> = subscriptions.iter().map(shown::subscription).collect();
            let columns = ["id", "account", "environment", "strategy", "started_at", "ended_at"];
            context.print(&json!({ "subscriptions": rows }), |_| shown::table(&rows, &columns))
        }
        Action::Add { account, strategy, by } => {
            let account = AccountId::parse(&account)?;
            let strategy = StrategyName::parse(&strategy)?;
            if means.store.account(&account).await?.is_none() {
                return Err(Failure::input(format!(
                    "no account {account} is connected; `rebalanced users` lists them"
                )));
            }
            wire::strategy(&settings.strategies, &strategy)?;
            let id = SubscriptionId::parse(&means.entropy.id("sub_"))?;
            means.store.subscribe(&id, (&account, &strategy), &Actor::operator(&by), means.clock.now()).await?;
            let answer = json!({ "id": id.as_str(), "account": account.as_str(), "strategy": strategy.as_str() });
            context.print(&answer, |_| format!("{account} follows {strategy} from now on: {id}"))
        }
        Action::End { subscription, by } => {
            let id = SubscriptionId::parse(&subscription)?;
            if !means.store.subscriptions(true).await?.iter().any(|subscription| subscription.id == id) {
                return Err(Failure::input(format!(
                    "no subscription {id} is active; `rebalanced subscriptions` lists them"
                )));
            }
            means.store.unsubscribe(&id, &Actor::operator(&by), means.clock.now()).await?;
            context.print(&json!({ "ended": id.as_str() }), |_| format!("{id} has ended"))
        }
    }
}
