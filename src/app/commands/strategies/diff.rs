//! `strategies diff`: what another version of a strategy says, and what it would trade. A dry run: nothing is recorded or sent.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::app::commands::Context;
use crate::app::commands::plan;
use crate::app::failure::Failure;
use crate::app::settings::Settings;
use crate::app::{shown, wire};
use crate::edge::decisions::{self, dollars, fraction};
use crate::edge::strategies::{self, Catalog};
use crate::flow::compare::{self, Compared, Pair, Plans, Sum};
use crate::model::ids::{AccountId, NotAnId, StrategyName};
use crate::model::plan::Plan;
use crate::model::secret::Secret;
use crate::model::strategy::Strategy;

/// Arguments of `strategies diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The version that is: a file, or the name of a strategy of the configured folder.
    old: String,
    /// The version that is to be: a file, or a name.
    new: String,
    /// Also show what each would trade now for `all` accounts that follow the old one, or for the account named: reads the
    /// database and the broker.
    #[arg(long, value_name = "all|ID", conflicts_with = "snapshot")]
    accounts: Option<Accounts>,
    /// Also show what each would trade with the account of this snapshot, as `plan` does: without database or network.
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
}

/// Which accounts.
#[derive(Debug, Clone)]
enum Accounts {
    All,
    One(AccountId),
}

impl FromStr for Accounts {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text == "all" { Ok(Self::All) } else { AccountId::parse(text).map(Self::One) }
    }
}

/// Compares and prints.
pub(super) async fn obey(context: &Context, args: &Args) -> Result<(), Failure> {
    let (old, new) = (version(context, &args.old)?, version(context, &args.new)?);
    let pair = Pair { old: &old, new: &new };
    let changes = compare::changes(pair);
    let changes: Vec<Value> = changes
        .iter()
        .map(|change| json!({ "about": change.about, "was": change.was, "is": change.is, "sentence": change.sentence() }))
        .collect();
    let mut answer = json!({
        "old": named(&args.old, &old),
        "new": named(&args.new, &new),
        "changes": changes,
        "consent_text_changes": compare::asks_anew(pair),
    });
    let compared = match (&args.accounts, &args.snapshot) {
        (Some(accounts), _) => Some(of_accounts(context, pair, accounts).await?),
        (None, Some(snapshot)) => Some(of_snapshot(context, pair, snapshot)?),
        (None, None) => None,
    };
    if let (Some(fields), Some((rows, sum))) = (answer.as_object_mut(), compared) {
        fields.insert("accounts".to_owned(), Value::Array(rows));
        fields.insert("sum".to_owned(), sum);
    }
    context.print(&answer, for_people)
}

/// A strategy by its file, or by its name in the configured folder.
fn version(context: &Context, said: &str) -> Result<Arc<Strategy>, Failure> {
    let path = Path::new(said);
    if path.exists() || said.contains('/') || path.extension().is_some_and(|end| end == "toml") {
        let read = strategies::read_file(path).map_err(|faults| Failure::Input(wire::lines(&faults)))?;
        return Ok(Arc::new(read.0));
    }
    let name = StrategyName::parse(said).map_err(Failure::input)?;
    let settings = Settings::load(&context.sources).map_err(Failure::Configuration)?;
    wire::strategy(&settings.strategies, &name)
}

fn named(said: &str, strategy: &Strategy) -> Value {
    json!({ "from": said, "strategy": strategy.name().as_str(), "version": strategy.version().as_str() })
}

/// What both would do with real accounts, and the sum of it.
async fn of_accounts(context: &Context, pair: Pair<'_>, accounts: &Accounts) -> Result<(Vec<Value>, Value), Failure> {
    let mut settings = context.settings()?;
    // A database that is not there must not be made by a question.
    let url = settings.database.as_ref().map(Secret::expose).unwrap_or_default().to_owned();
    if !url.is_empty() {
        wire::existing_store(&url).await?;
    }
    let world = wire::world(&mut settings, Catalog::default()).await?;
    let only = match accounts {
        Accounts::All => None,
        Accounts::One(account) => Some(account),
    };
    let compared = compare::compare(&world, pair, only).await.map_err(anyhow::Error::new)?;
    match only {
        Some(account) if compared.is_empty() => Err(Failure::input(format!(
            "account {account} does not follow `{}`; `rebalanced subscriptions` lists who follows what",
            pair.old.name()
        ))),
        _ => Ok((compared.iter().map(row).collect(), sum(&compared))),
    }
}

/// What both would do with the account of a snapshot.
fn of_snapshot(context: &Context, pair: Pair<'_>, snapshot: &Path) -> Result<(Vec<Value>, Value), Failure> {
    let old = plan::rehearsal(context, pair.old, snapshot)?;
    let new = plan::rehearsal(context, pair.new, snapshot)?;
    let account = wire::snapshot(snapshot)?.account.id;
    let row = json!({
        "account": account.as_str(),
        "environment": null,
        "old": decisions::json(&old.plan, &old.refusals),
        "new": decisions::json(&new.plan, &new.refusals),
        "unseen": null,
    });
    let sum = json!({
        "accounts": 1, "unseen": 0, "old": totals(&Sum::of([&old.plan])), "new": totals(&Sum::of([&new.plan])),
    });
    Ok((vec![row], sum))
}

fn row(compared: &Compared) -> Value {
    let plan = |of: fn(&Plans) -> &Plan| compared.plans.as_ref().ok().map(|plans| decisions::json(of(plans), &[]));
    json!({
        "account": compared.account.as_str(),
        "environment": compared.environment.code(),
        "old": plan(|plans| &plans.old),
        "new": plan(|plans| &plans.new),
        "unseen": compared.plans.as_ref().err(),
    })
}

fn sum(compared: &[Compared]) -> Value {
    let plans: Vec<&Plans> = compared.iter().filter_map(|one| one.plans.as_ref().ok()).collect();
    json!({
        "accounts": compared.len(),
        "unseen": compared.len() - plans.len(),
        "old": totals(&Sum::of(plans.iter().map(|plans| &plans.old))),
        "new": totals(&Sum::of(plans.iter().map(|plans| &plans.new))),
    })
}

fn totals(sum: &Sum) -> Value {
    json!({
        "orders": sum.orders,
        "sold": dollars(sum.sold),
        "bought": dollars(sum.bought),
        "value": dollars(sum.value),
        "turnover": fraction(sum.turnover()),
    })
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn for_people(answer: &Value) -> String {
    let sentences: Vec<&str> =
        list(answer, "changes").iter().filter_map(|change| change.get("sentence")?.as_str()).collect();
    let mut text = if sentences.is_empty() { "nothing that it does changes".to_owned() } else { sentences.join("\n") };
    if answer.pointer("/old/version") != answer.pointer("/new/version") {
        let version = |side: &str| answer.pointer(side).and_then(Value::as_str).unwrap_or_default();
        text.extend(["\n\nold version ", version("/old/version"), "\nnew version ", version("/new/version")]);
        text.push_str("\nlive accounts trade by the new version once it is approved");
    }
    if answer.get("consent_text_changes") == Some(&Value::Bool(true)) {
        text.push_str("\nusers read another text: live accounts must agree to it anew");
    }
    if answer.get("accounts").is_none() {
        return text;
    }
    let mut rows = Vec::new();
    let mut orders = Vec::new();
    let mut unseen = Vec::new();
    for account in list(answer, "accounts") {
        if let Some(why) = account.get("unseen").and_then(Value::as_str) {
            unseen.push(json!({ "account": account.get("account"), "why": why }));
            continue;
        }
        for version in ["old", "new"] {
            let plan = account.get(version).unwrap_or(&Value::Null);
            rows.push(json!({
                "account": account.get("account"), "environment": account.get("environment"), "version": version,
                "decision": plan.get("decision"), "reason": plan.get("reason"), "orders": list(plan, "orders").len(),
                "turnover": plan.get("turnover"), "value": plan.get("value"),
            }));
            for order in list(plan, "orders") {
                let mut order = order.clone();
                if let Some(fields) = order.as_object_mut() {
                    fields.insert("account".to_owned(), json!(account.get("account")));
                    fields.insert("version".to_owned(), json!(version));
                }
                orders.push(order);
            }
        }
    }
    let sum = answer.get("sum").unwrap_or(&Value::Null);
    let sums: Vec<Value> = ["old", "new"]
        .into_iter()
        .map(|version| {
            let mut row = sum.get(version).cloned().unwrap_or_default();
            if let Some(fields) = row.as_object_mut() {
                fields.insert("version".to_owned(), json!(version));
            }
            row
        })
        .collect();
    let accounts = ["account", "environment", "version", "decision", "reason", "orders", "turnover", "value"];
    let each = ["account", "version", "phase", "symbol", "qty", "notional", "type", "limit_price", "value"];
    for (headline, rows, columns) in [
        ("accounts", &rows, &accounts[..]),
        ("orders", &orders, &each[..]),
        ("could not be looked at", &unseen, &["account", "why"][..]),
        ("together", &sums, &["version", "orders", "sold", "bought", "value", "turnover"][..]),
    ] {
        if !rows.is_empty() {
            text.extend(["\n\n", headline, "\n", &shown::table(rows, columns)]);
        }
    }
    text.push_str("\n\nnothing was recorded or sent");
    text
}
