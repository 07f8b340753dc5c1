//! `halt`, `resume` and `halts`: the kill switch.
//!
//! It works beside a running daemon, and while none runs: halts are read in the transaction that stores an order.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::app::commands::Context;
use crate::app::commands::operators::token_in;
use crate::app::failure::Failure;
use crate::app::settings::Settings;
use crate::app::{shown, wire};
use crate::flow::approve;
use crate::flow::cancel::{self, Cancelled};
use crate::flow::operators;
use crate::model::event::Actor;
use crate::model::ids::{AccountId, Symbol};
use crate::model::mandate::HaltScope;

/// What a halt is of; the whole service when neither is named.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub struct Of {
    /// Only this account.
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,
    /// Only this symbol, in every account.
    #[arg(long)]
    pub symbol: Option<String>,
}

impl Of {
    fn scope(&self) -> Result<HaltScope, Failure> {
        match (&self.account, &self.symbol) {
            (Some(account), _) => Ok(HaltScope::Account(AccountId::parse(account)?)),
            (None, Some(symbol)) => Ok(HaltScope::Symbol(Symbol::parse(symbol)?)),
            (None, None) => Ok(HaltScope::Service),
        }
    }
}

/// Arguments of `halt`.
#[derive(Debug, clap::Args)]
pub struct HaltArgs {
    /// What to halt.
    #[command(flatten)]
    pub of: Of,
    /// Who halts.
    #[arg(long, value_name = "NAME")]
    pub by: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Also cancel our orders inside the scope that are open at the broker, and say what became of each.
    #[arg(long)]
    pub cancel_orders: bool,
}

/// Arguments of `resume`.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// What to release: exactly what was halted.
    #[command(flatten)]
    pub of: Of,
    /// Who resumes; where two operators must approve, show the token instead.
    #[arg(long, value_name = "NAME", required_unless_present = "operator_token_file")]
    pub by: Option<String>,
    /// The file with the token of an operator who may operate.
    #[arg(long, value_name = "FILE", conflicts_with = "by")]
    pub operator_token_file: Option<PathBuf>,
}

/// Arguments of `halts`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Also those that were released.
    #[arg(long)]
    pub all: bool,
}

/// Pulls the kill switch.
///
/// # Errors
/// When it could not be recorded; then it does not hold.
pub async fn halt(context: &Context, args: HaltArgs) -> Result<(), Failure> {
    let scope = args.of.scope()?;
    let (mut settings, means) = context.means().await?;
    let halt = approve::halt(&means.desk(), scope.clone(), (&args.by, &args.reason)).await?;
    let mut answer = shown::halt(&halt);
    if args.cancel_orders {
        let cancelled = cancel_open(&mut settings, &scope, &Actor::operator(&args.by)).await?;
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("orders".to_owned(), cancelled.iter().map(shown::cancelled).collect());
        }
    }
    context.print(&answer, |answer| {
        let of = answer.get("of").and_then(Value::as_str).unwrap_or("service");
        let halted = format!("halted: {of}; no order is sent until `rebalanced resume`");
        match answer.get("orders").and_then(Value::as_array) {
            Some(orders) => format!("{halted}\n{}", orders_table(orders)),
            None => halted,
        }
    })
}

/// Cancels open orders from a command: the whole outside is built for it, because the broker is asked.
///
/// # Errors
/// When a part of the outside does not open, or the database fails.
pub(super) async fn cancel_open(
    settings: &mut Settings,
    scope: &HaltScope,
    by: &Actor,
) -> Result<Vec<Cancelled>, Failure> {
    let (catalog, _) = wire::strategies(&settings.strategies)?;
    let world = wire::world(settings, catalog).await?;
    Ok(cancel::cancel_open(&world, scope, by).await?)
}

/// What became of orders that were to be cancelled, for people.
pub(super) fn orders_table(orders: &[Value]) -> String {
    if orders.is_empty() {
        return "no order of ours was open".to_owned();
    }
    shown::table(orders, &["account", "symbol", "client_order_id", "fate", "filled_qty", "why"])
}

/// Releases the kill switch.
///
/// # Errors
/// When it could not be recorded.
pub async fn resume(context: &Context, args: ResumeArgs) -> Result<(), Failure> {
    let scope = args.of.scope()?;
    let (settings, means) = context.means().await?;
    let required = operators::required(&means.store, settings.policy.operators_required).await?;
    let token = args.operator_token_file.as_deref().map(token_in).transpose()?;
    let by = operators::releaser(&means.store, required, (args.by.as_deref(), token.as_ref())).await?;
    let released = approve::resume(&means.desk(), &scope, &by).await?;
    context.print(&json!({ "released": released }), |_| match released {
        0 => "nothing of this scope was halted; `rebalanced halts` lists what is".to_owned(),
        some => format!("released: {some}"),
    })
}

/// Lists what is halted.
///
/// # Errors
/// When the database does not answer.
pub async fn list(context: &Context, args: &ListArgs) -> Result<(), Failure> {
    let (_, means) = context.means().await?;
    let halts = means.store.halts(!args.all).await?;
    let rows: Vec<Value> = halts.iter().map(shown::halt).collect();
    let columns = ["id", "scope", "of", "by", "reason", "pulled_at", "released_at", "released_by"];
    context.print(&json!({ "halts": rows }), |_| shown::table(&rows, &columns))
}
