//! How the nouns are shown: the JSON of the operator's interface and of `--json`, which are the same, and the rows of the
//! tables for people.
//!
//! Moments are RFC 3339, decimals are strings, and what is not there is null. No token ever gets here.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Map, Value, json};

use crate::edge::decisions::{dollars, fraction};
use crate::flow::cancel::Cancelled;
use crate::flow::trace::Trace;
use crate::flow::wishes;
use crate::model::account::{Account, GrantHealth, Subscription};
use crate::model::event::ChainedEvent;
use crate::model::ids::{OrderId, StrategyVersion, Symbol};
use crate::model::intent::Intent;
use crate::model::mandate::{Approval, ApprovalKind, Halt, HaltScope};
use crate::model::money::Fraction;
use crate::model::operator::Operator;
use crate::model::personal::{Said, Wish};
use crate::model::plan::{Amount, Pricing};
use crate::model::run::Run;
use crate::model::time::Moment;

fn text(moment: Option<Moment>) -> Value {
    moment.map_or(Value::Null, |moment| Value::String(moment.to_string()))
}

fn share(value: Option<Fraction>) -> Value {
    value.map_or(Value::Null, |value| Value::String(fraction(value)))
}

/// An account with its grant's health and the strategy that it follows.
pub fn account(account: &Account, subscriptions: &[Subscription]) -> Value {
    let since = match account.health {
        GrantHealth::Active | GrantHealth::ReadOnly => None,
        GrantHealth::Reauth(at) | GrantHealth::Gone(at) => Some(at),
    };
    let follows = subscriptions.iter().find(|subscription| {
        subscription.account == account.id
            && subscription.environment == account.environment
            && subscription.ended_at.is_none()
    });
    json!({
        "user": account.user.as_str(),
        "reference": account.reference,
        "account": account.id.as_str(),
        "number": account.number,
        "environment": account.environment.code(),
        "health": account.health.code(),
        "health_since": text(since),
        "connected_at": text(Some(account.connected_at)),
        "strategy": follows.map(|subscription| subscription.strategy.as_str()),
        // The link, below the service's own address, that a user needs to connect this account again.
        "reconnect": (account.health != GrantHealth::Active)
            .then(|| format!("/connect?account={}&env={}", account.id, account.environment.code())),
    })
}

/// A subscription.
pub fn subscription(subscription: &Subscription) -> Value {
    json!({
        "id": subscription.id.as_str(),
        "account": subscription.account.as_str(),
        "environment": subscription.environment.code(),
        "strategy": subscription.strategy.as_str(),
        "started_at": text(Some(subscription.started_at)),
        "ended_at": text(subscription.ended_at),
    })
}

/// A run.
pub fn run(run: &Run) -> Value {
    json!({
        "id": run.id.as_str(),
        "subscription": run.subscription.as_str(),
        "account": run.account.as_str(),
        "environment": run.environment.code(),
        "strategy": run.strategy.as_str(),
        "version": run.version.as_ref().map(StrategyVersion::as_str),
        "slot": text(Some(run.slot)),
        "slot_reason": run.slot_reason.as_str(),
        "turn": text(Some(run.turn)),
        "trigger": run.trigger.code(),
        "state": run.state.code(),
        "outcome": run.outcome.as_ref().map(|outcome| outcome.kind.as_str()),
        "reason": run.outcome.as_ref().map(|outcome| outcome.reason.as_str()),
        "detail": run.outcome.as_ref().map(|outcome| outcome.detail.as_str()),
        "claimed_at": text(run.claimed_at),
        "closed_at": text(run.closed_at),
        "drift_before": share(run.drift_before),
        "drift_after": share(run.drift_after),
        "turnover": share(run.turnover),
    })
}

/// A run with its decisions and orders, and both ledgers as it left them.
pub fn run_in_full(shown: &Run, (decisions, ledgers): (Option<&str>, Option<&str>), intents: &[Intent]) -> Value {
    let mut value = run(shown);
    if let Value::Object(fields) = &mut value {
        let decisions = decisions.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Array(Vec::new()));
        fields.insert("decisions".to_owned(), decisions);
        fields.insert("orders".to_owned(), intents.iter().map(order).collect());
        let ledgers = ledgers.and_then(|text| serde_json::from_str(text).ok());
        fields.insert("ledgers".to_owned(), ledgers.unwrap_or(Value::Null));
    }
    value
}

/// Everything that is known of one order.
pub fn trace(trace: &Trace) -> Value {
    let account = trace.account.as_ref();
    let decisions = trace.decision.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    json!({
        "user": account.map(|account| account.user.as_str()),
        "reference": account.and_then(|account| account.reference.as_deref()),
        "account": trace.intent.account.as_str(),
        "environment": trace.intent.environment.code(),
        "order": order(&trace.intent),
        "run": run(&trace.run),
        "strategy": trace.run.strategy.as_str(),
        "version": trace.run.version.as_ref().map(StrategyVersion::as_str),
        "version_first_seen_at": text(trace.strategy_seen_at),
        "program": trace.program,
        "decisions": decisions,
        "approvals": trace.approvals.iter().map(|one| approval(one, trace.intent.recorded_at)).collect::<Vec<_>>(),
        "events": trace.events.iter().map(event).collect::<Vec<_>>(),
    })
}

/// An order as we know it.
pub fn order(intent: &Intent) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("client_order_id", intent.client_order_id.as_str().into());
    put("order", intent.order.as_ref().map(OrderId::as_str).into());
    put("phase", intent.phase.code().into());
    put("attempt", intent.attempt.into());
    put("symbol", intent.symbol.as_str().into());
    put("side", intent.phase.side().code().into());
    match intent.amount {
        Amount::Qty(qty) => put("qty", qty.to_string().into()),
        Amount::Notional(notional) => put("notional", dollars(notional).into()),
    };
    match intent.pricing {
        Pricing::Market => put("type", "market".into()),
        Pricing::Limit(price) => {
            put("limit_price", price.to_string().into());
            put("type", "limit".into())
        }
    };
    put("value", dollars(intent.value).into());
    put("state", intent.state.code().into());
    put("filled_qty", intent.filled_qty.to_string().into());
    put("filled_avg_price", intent.filled_avg_price.map(|price| price.to_string()).into());
    put("note", intent.note.as_str().into());
    put("recorded_at", text(Some(intent.recorded_at)));
    put("settled_at", text(intent.settled_at));
    Value::Object(fields)
}

/// A halt.
pub fn halt(halt: &Halt) -> Value {
    let (scope, of) = match &halt.scope {
        HaltScope::Service => ("service", None),
        HaltScope::Account(account) => ("account", Some(account.as_str())),
        HaltScope::Symbol(symbol) => ("symbol", Some(symbol.as_str())),
    };
    json!({
        "id": halt.id.as_str(),
        "scope": scope,
        "of": of,
        "reason": halt.reason,
        "by": halt.by,
        "pulled_at": text(Some(halt.pulled_at)),
        "released_at": text(halt.released.as_ref().map(|(at, _)| *at)),
        "released_by": halt.released.as_ref().map(|(_, by)| by.as_str()),
    })
}

/// What a user wishes, and whether it counts at `now`.
pub fn wish(said: &Said, now: Moment) -> Value {
    let what = match &said.wish {
        Wish::Exclude(symbol) | Wish::DoNotSell(symbol) | Wish::DoNotBuy(symbol) => symbol.to_string(),
        Wish::Cash(cash) => format!("{}%", cash.percent().normalize()),
        Wish::TargetYear(year) => year.to_string(),
        Wish::Cap(amount) | Wish::Withdraw { amount, .. } => dollars(*amount),
    };
    json!({
        "id": said.id.as_str(),
        "account": said.account.as_str(),
        "kind": said.wish.code(),
        "what": what,
        "pending": wishes::pending(said).map(dollars),
        "holds": said.holds_at(now),
        "by": said.by,
        "reason": said.reason,
        "said_at": text(Some(said.at)),
        "until": text(said.until),
        "ended_at": text(said.ended.as_ref().map(|(at, _)| *at)),
        "ended_by": said.ended.as_ref().map(|(_, by)| by.as_str()),
    })
}

/// An approval, and whether it holds at `now`.
pub fn approval(approval: &Approval, now: Moment) -> Value {
    let (account, strategy, what) = match &approval.kind {
        ApprovalKind::Consent { account, text_hash } => (Some(account.as_str()), None, format!("text {text_hash}")),
        ApprovalKind::Strategy { name, version } => (None, Some(name.as_str()), format!("version {version}")),
        ApprovalKind::Limits { account, raise } => (Some(account.as_str()), None, raise.text()),
        ApprovalKind::Subscription { account, name, bound } => {
            let mut parts = Vec::new();
            parts.extend(bound.sides.as_ref().map(|sides| {
                sides.iter().map(|side| format!("{} only", side.code())).collect::<Vec<_>>().join(" or ")
            }));
            parts.extend(bound.max_order_notional.map(|most| format!("order <= {}", dollars(most))));
            parts.extend(bound.max_run_notional.map(|most| format!("run <= {}", dollars(most))));
            parts.extend(
                bound.symbols.as_ref().map(|symbols| symbols.iter().map(Symbol::as_str).collect::<Vec<_>>().join(" ")),
            );
            (Some(account.as_str()), Some(name.as_str()), parts.join(", "))
        }
    };
    json!({
        "id": approval.id.as_str(),
        "kind": approval.kind.code(),
        "holds": approval.holds_at(now),
        "account": account,
        "strategy": strategy,
        "what": what,
        "by": approval.by,
        "proven": approval.proven,
        "reason": approval.reason,
        "granted_at": text(Some(approval.granted_at)),
        "expires_at": text(approval.expires_at),
        "revoked_at": text(approval.revoked.as_ref().map(|(at, _)| *at)),
        "revoked_by": approval.revoked.as_ref().map(|(_, by)| by.as_str()),
    })
}

/// An operator; their token is nowhere.
pub fn operator(operator: &Operator) -> Value {
    json!({
        "name": operator.name.as_str(),
        "scopes": operator.scopes.iter().map(|scope| scope.code()).collect::<Vec<_>>().join(","),
        "made_by": operator.made_by,
        "made_at": text(Some(operator.made_at)),
        "removed_at": text(operator.removed.as_ref().map(|(at, _)| *at)),
        "removed_by": operator.removed.as_ref().map(|(_, by)| by.as_str()),
    })
}

/// An order that was to be cancelled, and what became of it.
pub fn cancelled(order: &Cancelled) -> Value {
    json!({
        "account": order.intent.account.as_str(),
        "symbol": order.intent.symbol.as_str(),
        "client_order_id": order.intent.client_order_id.as_str(),
        "fate": order.fate.code(),
        "filled_qty": order.filled_qty.to_string(),
        "why": order.why,
    })
}

/// An event of the audit, as it lies in the chain. `facts` stays the text that was hashed.
pub fn event(event: &ChainedEvent) -> Value {
    json!({
        "sequence": event.sequence,
        "at": text(Some(event.at)),
        "at_micros": event.at.micros(),
        "actor": event.actor,
        "kind": event.kind,
        "account": event.account,
        "run": event.run,
        "facts": event.facts,
        "previous": event.previous,
        "hash": event.hash,
    })
}

/// Reads an event back from the form in which [`event`] shows it; `None` when it is not in that form. `at` is for people:
/// the moment is `at_micros`, and both must say the same.
pub fn event_of(value: &Value) -> Option<ChainedEvent> {
    let field = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    let read = ChainedEvent {
        sequence: value.get("sequence")?.as_i64()?,
        at: Moment::from_micros(value.get("at_micros")?.as_i64()?),
        actor: field("actor")?,
        kind: field("kind")?,
        account: field("account")?,
        run: field("run")?,
        facts: field("facts")?,
        previous: field("previous")?,
        hash: field("hash")?,
    };
    (event(&read) == *value).then_some(read)
}

/// The sentences about the assets of a decision, one each; none in a decision of an earlier version, which has none.
pub fn sentences(decision: &Value) -> Vec<String> {
    let all = decision.get("explained").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    all.iter().filter_map(|one| one.get("sentence").and_then(Value::as_str)).map(str::to_owned).collect()
}

/// A table of JSON rows: one column per field named, in that order. What is null is a dash.
pub fn table(rows: &[Value], columns: &[&str]) -> String {
    if rows.is_empty() {
        return "none".to_owned();
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(columns.iter().map(|column| column.replace('_', " ")));
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(row.get(*column))));
    }
    table.to_string()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The fields of one object, one per line.
pub fn fields(value: &Value, names: &[&str]) -> String {
    let width = names.iter().map(|name| name.len()).max().unwrap_or_default();
    let lines = names.iter().map(|name| format!("{:width$}  {}", name.replace('_', " "), cell(value.get(*name))));
    lines.collect::<Vec<_>>().join("\n")
}
