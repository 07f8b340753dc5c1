//! `approvals`: who allowed what for live trading, why, and until when.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::settings::Settings;
use crate::app::{shown, wire};
use crate::flow::approve;
use crate::model::ids::{AccountId, ApprovalId, StrategyName, Symbol};
use crate::model::mandate::{ApprovalKind, Bound};
use crate::model::money::Usd;
use crate::model::time::Moment;

/// Arguments of `approvals`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do; list when absent.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What can be done with approvals.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List them, also those that ended.
    List,
    /// Grant one from now on.
    Grant {
        /// What to allow.
        #[command(subcommand)]
        what: What,
    },
    /// Withdraw one at once.
    Revoke {
        /// Its id.
        approval: String,
        /// Who withdraws it.
        #[arg(long, value_name = "NAME")]
        by: String,
    },
}

/// What can be allowed.
#[derive(Debug, Subcommand)]
pub enum What {
    /// The user consented to live trading of an account, to a text.
    Consent {
        /// The broker's account id.
        #[arg(long)]
        account: String,
        /// The file with the text that the user agreed to; its SHA-256 is kept.
        #[arg(long, value_name = "FILE")]
        text: PathBuf,
        /// By whom, why, until when.
        #[command(flatten)]
        said: Said,
    },
    /// The strategy as its file is now may trade live.
    Strategy {
        /// The strategy's name.
        #[arg(long)]
        strategy: String,
        /// By whom, why, until when.
        #[command(flatten)]
        said: Said,
    },
    /// An account may follow a strategy live, inside a bound.
    Subscription {
        /// The broker's account id.
        #[arg(long)]
        account: String,
        /// The strategy's name.
        #[arg(long)]
        strategy: String,
        /// What every order must stay inside.
        #[command(flatten)]
        bound: Limits,
        /// By whom, why, until when.
        #[command(flatten)]
        said: Said,
    },
}

/// By whom, why, until when.
#[derive(Debug, clap::Args)]
pub struct Said {
    /// Who approves.
    #[arg(long, value_name = "NAME")]
    pub by: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Until when: RFC 3339. Without it the approval holds until it is revoked.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

/// The bound of an account's approval.
#[derive(Debug, clap::Args)]
pub struct Limits {
    /// Only these symbols, with commas.
    #[arg(long, value_delimiter = ',')]
    pub symbols: Vec<String>,
    /// The largest value of one order, in dollars.
    #[arg(long, value_name = "USD")]
    pub max_order: Option<String>,
    /// The largest value of all orders of one run, in dollars.
    #[arg(long, value_name = "USD")]
    pub max_run: Option<String>,
}

impl Limits {
    fn bound(&self) -> Result<Bound, Failure> {
        let dollars = |name: &str, text: &Option<String>| match text.as_deref().map(Usd::parse) {
            None => Ok(None),
            Some(Ok(amount)) if amount.is_positive() => Ok(Some(amount)),
            Some(Ok(amount)) => Err(Failure::input(format!("{name} is {amount}; it must be above 0"))),
            Some(Err(error)) => Err(Failure::input(format!("{name}: {error}"))),
        };
        let symbols = self.symbols.iter().map(|symbol| Symbol::parse(symbol)).collect::<Result<Vec<_>, _>>()?;
        Ok(Bound {
            symbols: (!symbols.is_empty()).then_some(symbols),
            max_order_notional: dollars("--max-order", &self.max_order)?,
            max_run_notional: dollars("--max-run", &self.max_run)?,
        })
    }
}

impl What {
    fn kind(&self, settings: &Settings) -> Result<ApprovalKind, Failure> {
        Ok(match self {
            Self::Consent { account, text, .. } => {
                let bytes = std::fs::read(text).map_err(|error| {
                    Failure::input(format!(
                        "{}: this text cannot be read: {error}; give the text that the user agreed to",
                        text.display()
                    ))
                })?;
                ApprovalKind::Consent {
                    account: AccountId::parse(account)?,
                    text_hash: hex::encode(Sha256::digest(bytes)),
                }
            }
            Self::Strategy { strategy, .. } => {
                let strategy = wire::strategy(&settings.strategies, &StrategyName::parse(strategy)?)?;
                ApprovalKind::Strategy { name: strategy.name().clone(), version: strategy.version().clone() }
            }
            Self::Subscription { account, strategy, bound, .. } => {
                let strategy = wire::strategy(&settings.strategies, &StrategyName::parse(strategy)?)?;
                ApprovalKind::Subscription {
                    account: AccountId::parse(account)?,
                    name: strategy.name().clone(),
                    bound: bound.bound()?,
                }
            }
        })
    }

    fn said(&self) -> &Said {
        match self {
            Self::Consent { said, .. } | Self::Strategy { said, .. } | Self::Subscription { said, .. } => said,
        }
    }
}

/// Carries it out.
///
/// # Errors
/// When the database does not answer, or what is named does not exist.
pub async fn obey(context: &Context, args: Args) -> Result<(), Failure> {
    let (settings, means) = context.means().await?;
    match args.action.unwrap_or(Action::List) {
        Action::List => {
            let now = means.clock.now();
            let approvals = means.store.approvals().await?;
            let rows: Vec<Value> = approvals.iter().map(|approval| shown::approval(approval, now)).collect();
            let columns =
                ["id", "kind", "holds", "account", "strategy", "what", "by", "reason", "granted_at", "expires_at"];
            context.print(&json!({ "approvals": rows }), |_| shown::table(&rows, &columns))
        }
        Action::Grant { what } => {
            let kind = what.kind(&settings)?;
            let said = what.said();
            let now = means.clock.now();
            let expires = said.expires.as_deref().map(Moment::parse).transpose();
            let expires = expires.map_err(|error| Failure::input(format!("--expires: {error}")))?;
            if expires.is_some_and(|end| end <= now) {
                return Err(Failure::input("--expires has passed already; give a later time"));
            }
            let approval = approve::grant(&means.desk(), kind, (&said.by, &said.reason), expires).await?;
            context.print(&shown::approval(&approval, now), |_| format!("granted: {}", approval.id))
        }
        Action::Revoke { approval, by } => {
            let id = ApprovalId::parse(&approval)?;
            if !approve::revoke(&means.desk(), &id, &by).await? {
                return Err(Failure::input(format!("no approval {id} is in force; `rebalanced approvals` lists them")));
            }
            context.print(&json!({ "revoked": id.as_str() }), |_| format!("revoked: {id}"))
        }
    }
}
