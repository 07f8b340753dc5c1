//! `users`: who is connected, and disconnecting them.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::shown;
use crate::flow::tokens;
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
    /// Disconnect an account: its subscription ends and its token is destroyed.
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
    let (_, means) = context.means().await?;
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
            tokens::disconnect(&means.desk(), &account, &Actor::operator(&by)).await?;
            let answer = json!({ "disconnected": account.as_str() });
            context.print(&answer, |_| format!("{account} is disconnected and its token destroyed"))
        }
    }
}
