//! `users`: who is connected, and disconnecting them.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::commands::{Context, halts};
use crate::app::failure::Failure;
use crate::app::settings::Settings;
use crate::app::shown;
use crate::app::wire::{self, Means};
use crate::flow::{approve, tokens};
use crate::model::event::Actor;
use crate::model::ids::AccountId;

/// Arguments of `users`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do; list when absent.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List connected accounts, each with its user.
    List,
    /// Disconnect an account: its subscription ends, our open orders are cancelled, and its token is destroyed.
    Disconnect {
        /// The broker's account id.
        account: String,
        /// Who does this.
        #[arg(long, value_name = "NAME")]
        by: String,
    },
}

/// Carries it out.
///
/// # Errors
/// When the database does not answer or there is no such account.
pub async fn obey(context: &Context, args: Args) -> Result<(), Failure> {
    let (mut settings, means) = context.means().await?;
    match args.action.unwrap_or(Action::List) {
        Action::List => {
            let subscriptions = means.store.subscriptions(true).await?;
            let accounts = means.store.accounts().await?;
            let rows: Vec<Value> = accounts.iter().map(|account| shown::account(account, &subscriptions)).collect();
            let columns =
                ["user", "reference", "account", "number", "environment", "health", "strategy", "connected_at"];
            context.print(&json!({ "users": rows }), |_| shown::table(&rows, &columns))
        }
        Action::Disconnect { account, by } => {
            let account = AccountId::parse(&account)?;
            if means.store.account(&account).await?.is_none() {
                return Err(Failure::input(format!(
                    "no account {account} is connected; `rebalanced users` lists them"
                )));
            }
            let by = Actor::operator(&approve::said_by(&by, "--by (who disconnects)")?);
            let orders = leave(&mut settings, &means, (&account, &by)).await?;
            let answer = json!({ "disconnected": account.as_str(), "orders": orders });
            context.print(&answer, |_| {
                let done = format!("{account} is disconnected and its token destroyed");
                if orders.is_empty() { done } else { format!("{done}\n{}", halts::orders_table(&orders)) }
            })
        }
    }
}

/// A user leaves: the token is destroyed whatever the broker says. Returns what became of each order of ours that was open.
async fn leave(
    settings: &mut Settings,
    means: &Means,
    (account, by): (&AccountId, &Actor),
) -> Result<Vec<Value>, Failure> {
    let (catalog, _) = wire::strategies(&settings.strategies)?;
    match wire::world(settings, catalog).await {
        Ok(world) => {
            let cancelled = tokens::leave(&world, &means.desk(), account, by).await?;
            Ok(cancelled.iter().map(shown::cancelled).collect())
        }
        Err(error) => {
            // The broker cannot be asked, but the token is destroyed all the same.
            tokens::disconnect(&means.desk(), account, by).await?;
            if !means.store.unsettled().await?.iter().any(|intent| intent.account == *account) {
                return Ok(Vec::new());
            }
            let why =
                "the account is disconnected, but its open orders could not be cancelled; they may still be filled";
            Err(Failure::Other(error.context(why)))
        }
    }
}
