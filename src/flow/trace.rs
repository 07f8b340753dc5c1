//! Where an order came from: its user, strategy version, decision, prices, approvals, the program that decided, and all that
//! happened to it. Everything is read from the database; nothing is asked of the broker.

use crate::edge::store::{self, Store};
use crate::model::account::Account;
use crate::model::event::ChainedEvent;
use crate::model::intent::Intent;
use crate::model::mandate::{Approval, ApprovalKind};
use crate::model::run::Run;
use crate::model::time::Moment;

/// Everything that is known of one order.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The order as it was recorded, and what became of it.
    pub intent: Intent,
    /// Its account, with its user.
    pub account: Option<Account>,
    /// Its run.
    pub run: Run,
    /// What the run decided, with the prices that it used: JSON text.
    pub decision: Option<String>,
    /// The version of the program that decided.
    pub program: Option<String>,
    /// When the strategy's version was first seen.
    pub strategy_seen_at: Option<Moment>,
    /// The approvals that were in force when the order was recorded.
    pub approvals: Vec<Approval>,
    /// The events of its run that speak of it or of the whole run, in order.
    pub events: Vec<ChainedEvent>,
}

/// Traces an order by any of its names: the broker's id, the client order id, or the intent's id. `None` when there is none.
///
/// # Errors
/// When the database fails.
pub async fn trace(store: &Store, name: &str) -> Result<Option<Trace>, store::Error> {
    let Some(intent) = store.intent_named(name).await? else { return Ok(None) };
    let Some((run, decision)) = store.run(&intent.run).await? else { return Ok(None) };
    let (program, strategy_seen_at) = store.provenance(&intent.run).await?;
    let approvals = store.approvals().await?;
    let approvals = approvals.into_iter().filter(|approval| counted(approval, &intent, &run)).collect();
    let events = store.events_of(&intent.run).await?;
    let events = events.into_iter().filter(|event| speaks_of(event, &intent)).collect();
    let account = store.account(&intent.account).await?;
    Ok(Some(Trace { intent, account, run, decision, program, strategy_seen_at, approvals, events }))
}

/// Whether an approval was one of those that let the order out.
fn counted(approval: &Approval, intent: &Intent, run: &Run) -> bool {
    let at = intent.recorded_at;
    let in_force = approval.granted_at <= at
        && approval.expires_at.is_none_or(|end| at < end)
        && approval.revoked.as_ref().is_none_or(|(end, _)| at < *end);
    let about = match &approval.kind {
        ApprovalKind::Consent { account, .. } | ApprovalKind::Limits { account, .. } => *account == intent.account,
        ApprovalKind::Strategy { name, version } => *name == run.strategy && Some(version) == run.version.as_ref(),
        ApprovalKind::Subscription { account, name, .. } => *account == intent.account && *name == run.strategy,
    };
    in_force && about
}

/// An event of the run is the order's, unless it names another order.
fn speaks_of(event: &ChainedEvent, intent: &Intent) -> bool {
    let is_of_an_order = event.kind.starts_with("intent.") || event.kind.starts_with("order.");
    !is_of_an_order
        || [intent.id.as_str(), intent.client_order_id.as_str()]
            .iter()
            .any(|id| event.facts.contains(&format!("\"{id}\"")))
}
