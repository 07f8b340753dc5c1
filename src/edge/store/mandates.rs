//! Halts and approvals: human acts, each with who, when, why and until when.

use serde_json::{Value, json};
use sqlx::any::AnyRow;

use super::events::link;
use super::{Cells, Error, Store};
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, ApprovalId, HaltId, StrategyName, StrategyVersion, Symbol};
use crate::model::mandate::{Approval, ApprovalKind, Bound, Halt, HaltScope};
use crate::model::money::Usd;
use crate::model::time::Moment;

fn scope(scope: &HaltScope) -> (&'static str, &str) {
    match scope {
        HaltScope::Service => ("service", ""),
        HaltScope::Account(account) => ("account", account.as_str()),
        HaltScope::Symbol(symbol) => ("symbol", symbol.as_str()),
    }
}

pub(super) fn halt_of(row: &AnyRow) -> Result<Halt, Error> {
    let cells = Cells::of("halts", row);
    let scope = match cells.text("scope")?.as_str() {
        "service" => HaltScope::Service,
        "account" => HaltScope::Account(cells.noun("subject", AccountId::parse)?),
        "symbol" => HaltScope::Symbol(cells.noun("subject", Symbol::parse)?),
        _ => return Err(cells.nonsense("scope")),
    };
    let released = match (cells.maybe_moment("released_at")?, cells.maybe_text("released_by")?) {
        (Some(at), Some(by)) => Some((at, by)),
        (None, None) => None,
        _ => return Err(cells.nonsense("released_by")),
    };
    Ok(Halt {
        id: cells.noun("id", HaltId::parse)?,
        scope,
        reason: cells.text("reason")?,
        by: cells.text("pulled_by")?,
        pulled_at: cells.moment("pulled_at")?,
        released,
    })
}

pub(super) fn approval_of(row: &AnyRow) -> Result<Approval, Error> {
    let cells = Cells::of("approvals", row);
    let account = || cells.noun("account_id", AccountId::parse);
    let name = || cells.noun("strategy", StrategyName::parse);
    let kind = match cells.text("kind")?.as_str() {
        "consent" => ApprovalKind::Consent { account: account()?, text_hash: cells.text("text_hash")? },
        "strategy" => ApprovalKind::Strategy { name: name()?, version: cells.noun("version", StrategyVersion::parse)? },
        "subscription" => {
            let bound = cells.noun("bound", |text| read_bound(text).ok_or(()))?;
            ApprovalKind::Subscription { account: account()?, name: name()?, bound }
        }
        _ => return Err(cells.nonsense("kind")),
    };
    let revoked = match (cells.maybe_moment("revoked_at")?, cells.maybe_text("revoked_by")?) {
        (Some(at), Some(by)) => Some((at, by)),
        (None, None) => None,
        _ => return Err(cells.nonsense("revoked_by")),
    };
    Ok(Approval {
        id: cells.noun("id", ApprovalId::parse)?,
        kind,
        by: cells.text("granted_by")?,
        reason: cells.text("reason")?,
        granted_at: cells.moment("granted_at")?,
        expires_at: cells.maybe_moment("expires_at")?,
        revoked,
    })
}

fn write_bound(bound: &Bound) -> String {
    json!({
        "symbols": bound.symbols.as_ref().map(|symbols| symbols.iter().map(Symbol::as_str).collect::<Vec<_>>()),
        "max_order_notional": bound.max_order_notional.map(|most| most.to_string()),
        "max_run_notional": bound.max_run_notional.map(|most| most.to_string()),
    })
    .to_string()
}

/// A bound that does not read completely is no bound at all, which is an error and never "unbounded".
fn read_bound(text: &str) -> Option<Bound> {
    let value: Value = serde_json::from_str(text).ok()?;
    let dollars = |name: &str| match value.get(name)? {
        Value::Null => Some(None),
        Value::String(text) => Usd::parse(text).ok().map(Some),
        _ => None,
    };
    let symbols = match value.get("symbols")? {
        Value::Null => None,
        Value::Array(names) => {
            Some(names.iter().map(|name| Symbol::parse(name.as_str()?).ok()).collect::<Option<Vec<_>>>()?)
        }
        _ => return None,
    };
    Some(Bound {
        symbols,
        max_order_notional: dollars("max_order_notional")?,
        max_run_notional: dollars("max_run_notional")?,
    })
}

impl Store {
    /// Pulls a halt.
    ///
    /// # Errors
    /// When the database fails: then it is not pulled.
    pub async fn halt(&self, halt: &Halt) -> Result<(), Error> {
        let (scope, subject) = scope(&halt.scope);
        let mut tx = self.db.begin().await?;
        sqlx::query(
            "INSERT INTO halts (id, scope, subject, reason, pulled_by, pulled_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(halt.id.as_str())
        .bind(scope)
        .bind(subject)
        .bind(&halt.reason)
        .bind(&halt.by)
        .bind(halt.pulled_at.micros())
        .execute(&mut *tx)
        .await?;
        let mut event = Event::new(halt.pulled_at, Actor::operator(&halt.by), "halt.pulled")
            .with("halt", &halt.id)
            .with("scope", scope)
            .with("subject", subject)
            .with("reason", &halt.reason);
        if let HaltScope::Account(account) = &halt.scope {
            event = event.account(account);
        }
        link(&mut tx, &[event]).await?;
        Ok(tx.commit().await?)
    }

    /// Releases every halt of exactly this scope; returns how many.
    ///
    /// # Errors
    /// When the database fails: then none is released.
    pub async fn resume(&self, released: &HaltScope, by: &Actor, at: Moment) -> Result<usize, Error> {
        let (scope, subject) = scope(released);
        let mut tx = self.db.begin().await?;
        let rows = sqlx::query(
            "UPDATE halts SET released_at = $1, released_by = $2 WHERE scope = $3 AND subject = $4 AND released_at IS NULL \
             RETURNING id",
        )
        .bind(at.micros())
        .bind(by.as_str())
        .bind(scope)
        .bind(subject)
        .fetch_all(&mut *tx)
        .await?;
        let mut events = Vec::new();
        for row in &rows {
            let id = Cells::of("halts", row).text("id")?;
            let event = Event::new(at, by.clone(), "halt.released").with("halt", id);
            events.push(event.with("scope", scope).with("subject", subject));
        }
        link(&mut tx, &events).await?;
        tx.commit().await?;
        Ok(rows.len())
    }

    /// Halts, newest first.
    ///
    /// # Errors
    /// When the database fails, which counts as halted.
    pub async fn halts(&self, active_only: bool) -> Result<Vec<Halt>, Error> {
        let rows = sqlx::query(
            "SELECT id, scope, subject, reason, pulled_by, pulled_at, released_at, released_by FROM halts \
             WHERE released_at IS NULL OR $1 = 0 ORDER BY pulled_at DESC, id",
        )
        .bind(i64::from(active_only))
        .fetch_all(self.db.reader())
        .await?;
        rows.iter().map(halt_of).collect()
    }

    /// Grants an approval.
    ///
    /// # Errors
    /// When the database fails: then it is not granted.
    pub async fn grant(&self, approval: &Approval) -> Result<(), Error> {
        let (account, strategy, version, text_hash, bound) = match &approval.kind {
            ApprovalKind::Consent { account, text_hash } => (Some(account), None, None, Some(text_hash.clone()), None),
            ApprovalKind::Strategy { name, version } => (None, Some(name), Some(version), None, None),
            ApprovalKind::Subscription { account, name, bound } => {
                (Some(account), Some(name), None, None, Some(write_bound(bound)))
            }
        };
        let mut tx = self.db.begin().await?;
        sqlx::query(
            "INSERT INTO approvals (id, kind, account_id, strategy, version, text_hash, bound, granted_by, reason, \
             granted_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(approval.id.as_str())
        .bind(approval.kind.code())
        .bind(account.map(|id| id.as_str().to_owned()))
        .bind(strategy.map(|name| name.as_str().to_owned()))
        .bind(version.map(|version| version.as_str().to_owned()))
        .bind(text_hash.clone())
        .bind(bound.clone())
        .bind(&approval.by)
        .bind(&approval.reason)
        .bind(approval.granted_at.micros())
        .bind(approval.expires_at.map(Moment::micros))
        .execute(&mut *tx)
        .await?;
        let mut event = Event::new(approval.granted_at, Actor::operator(&approval.by), "approval.granted")
            .with("approval", &approval.id)
            .with("kind", approval.kind.code())
            .with("reason", &approval.reason)
            .with("expires_at", approval.expires_at.map(|at| at.to_string()).unwrap_or_default())
            .with("strategy", strategy.map(ToString::to_string).unwrap_or_default())
            .with("version", version.map(ToString::to_string).unwrap_or_default())
            .with("text_hash", text_hash.unwrap_or_default())
            .with("bound", bound.unwrap_or_default());
        if let Some(account) = account {
            event = event.account(account);
        }
        link(&mut tx, &[event]).await?;
        Ok(tx.commit().await?)
    }

    /// Withdraws an approval; `false` when there is no such one in force.
    ///
    /// # Errors
    /// When the database fails: then it is not withdrawn.
    pub async fn revoke(&self, id: &ApprovalId, by: &Actor, at: Moment) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let done =
            sqlx::query("UPDATE approvals SET revoked_at = $1, revoked_by = $2 WHERE id = $3 AND revoked_at IS NULL")
                .bind(at.micros())
                .bind(by.as_str())
                .bind(id.as_str())
                .execute(&mut *tx)
                .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        link(&mut tx, &[Event::new(at, by.clone(), "approval.revoked").with("approval", id)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// All approvals, newest first, also those that ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn approvals(&self) -> Result<Vec<Approval>, Error> {
        let rows = sqlx::query(
            "SELECT id, kind, account_id, strategy, version, text_hash, bound, granted_by, reason, granted_at, expires_at, \
             revoked_at, revoked_by FROM approvals ORDER BY granted_at DESC, id",
        )
        .fetch_all(self.db.reader())
        .await?;
        rows.iter().map(approval_of).collect()
    }
}
