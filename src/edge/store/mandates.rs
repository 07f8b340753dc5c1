//! What is allowed: halts and approvals, written by people and read at both gates.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;

use crate::edge::store::db::{Error, Link, Reader, Store, clean, taken};
use crate::edge::store::intents::intent_of;
use crate::edge::store::{events, operators};
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, ApprovalId, HaltId, RunId, StrategyName, StrategyVersion, Symbol};
use crate::model::intent::Intent;
use crate::model::limits::Raise;
use crate::model::mandate::{Approval, ApprovalKind, Bound, Halt, HaltScope, Mandate, Past, ServicePolicy};
use crate::model::money::Usd;
use crate::model::plan::Side;
use crate::model::run::Run;
use crate::model::time::Moment;

impl Store {
    /// Pulls the kill switch: it holds from the commit on.
    ///
    /// # Errors
    /// When the database fails: then it does not hold.
    pub async fn halt(&self, halt: &Halt) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        pull(&mut tx, halt, person(&halt.by)).await?;
        Ok(tx.commit().await?)
    }

    /// Releases every halt of exactly this scope; returns how many.
    ///
    /// # Errors
    /// When the database fails: then all of them hold on.
    pub async fn resume(&self, scope: &HaltScope, by: &Actor, at: Moment) -> Result<usize, Error> {
        let mut tx = self.begin().await?;
        let (code, subject) = scope_of(scope);
        let rows = sqlx::query(
            "UPDATE halts SET released_at = $1, released_by = $2
             WHERE scope = $3 AND subject = $4 AND released_at IS NULL RETURNING id",
        )
        .bind(at.micros())
        .bind(clean(by.as_str()))
        .bind(code)
        .bind(subject)
        .fetch_all(&mut *tx)
        .await?;
        let mut released = Vec::with_capacity(rows.len());
        for row in &rows {
            released.push(Reader::new(row, "halts", "id").text("id")?);
        }
        released.sort();
        // Who lets an account go on says that what the broker shows of it is right.
        if code == "account" && !released.is_empty() {
            sqlx::query("UPDATE accounts SET books_at = NULL, books_cash = NULL WHERE id = $1")
                .bind(subject)
                .execute(&mut *tx)
                .await?;
        }
        let released: Vec<Event> = released
            .into_iter()
            .map(|id| about(Event::new(at, by.clone(), "halt.released").with("halt", id), scope))
            .collect();
        events::append(&mut tx, &released).await?;
        tx.commit().await?;
        Ok(released.len())
    }

    /// Halts in the order in which they were pulled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn halts(&self, active_only: bool) -> Result<Vec<Halt>, Error> {
        let mut link = self.read().acquire().await?;
        halts(&mut link, active_only).await
    }

    /// When somebody last let an account go on that was halted by itself; `None` when nobody ever did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_release(&self, account: &AccountId) -> Result<Option<Moment>, Error> {
        let row = sqlx::query(
            "SELECT id, released_at FROM halts
             WHERE scope = 'account' AND subject = $1 AND released_at IS NOT NULL ORDER BY released_at DESC LIMIT 1",
        )
        .bind(account.as_str())
        .fetch_optional(self.read())
        .await?;
        row.map(|row| Reader::new(&row, "halts", "id").moment("released_at")).transpose()
    }

    /// Stores an approval.
    ///
    /// # Errors
    /// When the database fails: then it does not hold.
    pub async fn grant(&self, approval: &Approval) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let event = grant(&mut tx, approval, person(&approval.by)).await?;
        events::append(&mut tx, &[event]).await?;
        Ok(tx.commit().await?)
    }

    /// Withdraws an approval at once; `false` when there is no such approval in force.
    ///
    /// # Errors
    /// When the database fails: then it holds on.
    pub async fn revoke(&self, id: &ApprovalId, by: &Actor, at: Moment) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "UPDATE approvals SET revoked_at = $1, revoked_by = $2
             WHERE id = $3 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)
             RETURNING id, kind, account",
        )
        .bind(at.micros())
        .bind(clean(by.as_str()))
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else {
            return Ok(false);
        };
        events::append(&mut tx, &[revoked(&row, by, at)?]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Every approval there ever was, in the order in which they were granted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn approvals(&self) -> Result<Vec<Approval>, Error> {
        let rows = sqlx::query("SELECT * FROM approvals ORDER BY granted_at, id").fetch_all(self.read()).await?;
        rows.iter().map(approval_of).collect()
    }

    /// All that is allowed for the account of this run, as it stands now.
    ///
    /// # Errors
    /// When the database fails: then nothing is allowed.
    pub async fn mandate(&self, run: &Run, limits: (&ServicePolicy, (Moment, Moment))) -> Result<Mandate, Error> {
        // One connection, but no transaction: the record transaction reads all of it again.
        let mut link = self.read().acquire().await?;
        read_mandate(&mut link, run, limits).await
    }
}

/// Stores an approval inside the caller's transaction; returns the event that is to be appended with it.
pub(super) async fn grant(link: &mut Link, approval: &Approval, actor: Actor) -> Result<Event, Error> {
    insert(link, approval).await?;
    let mut event = Event::new(approval.granted_at, actor, "approval.granted")
        .with("approval", &approval.id)
        .with("kind", approval.kind.code())
        .with("proven", approval.proven)
        .with("reason", &approval.reason);
    if let Some(end) = approval.expires_at {
        event = event.with("expires_at", end);
    }
    event = match &approval.kind {
        ApprovalKind::Consent { account, text_hash } => event.account(account).with("text_hash", text_hash),
        ApprovalKind::Strategy { name, version } => event.with("strategy", name).with("version", version),
        ApprovalKind::Subscription { account, name, bound } => {
            bounds(event.account(account).with("strategy", name), bound)
        }
        ApprovalKind::Limits { account, raise } => event.account(account).with("raises", raise.text()),
    };
    Ok(event)
}

/// Which approvals end together.
#[derive(Clone, Copy)]
pub(super) enum Ending<'a> {
    /// The user's consent to live trading of one account.
    Consent(&'a AccountId),
    /// Everything that was allowed for one account: its user has left.
    Account(&'a AccountId),
    /// Everything that was ever allowed: live trading is off until people allow it anew.
    All,
}

/// Withdraws approvals inside the caller's transaction; returns the events that are to be appended with it.
pub(super) async fn end(link: &mut Link, which: Ending<'_>, (by, at): (&Actor, Moment)) -> Result<Vec<Event>, Error> {
    let (account, kind) = match which {
        Ending::Consent(account) => (Some(account.as_str().to_owned()), Some("consent")),
        Ending::Account(account) => (Some(account.as_str().to_owned()), None),
        Ending::All => (None, None),
    };
    let rows = sqlx::query(
        "UPDATE approvals SET revoked_at = $1, revoked_by = $2
         WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)
           AND (CAST($3 AS TEXT) IS NULL OR account = $3) AND (CAST($4 AS TEXT) IS NULL OR kind = $4)
         RETURNING id, kind, account",
    )
    .bind(at.micros())
    .bind(clean(by.as_str()))
    .bind(account)
    .bind(kind.map(str::to_owned))
    .fetch_all(link)
    .await?;
    let mut ended = rows.iter().map(|row| revoked(row, by, at)).collect::<Result<Vec<_>, _>>()?;
    // The database returns them in any order; the chain has one.
    ended.sort_by(|one, other| one.facts.cmp(&other.facts));
    Ok(ended)
}

/// The event of an approval that was withdrawn.
fn revoked(row: &AnyRow, by: &Actor, at: Moment) -> Result<Event, Error> {
    let row = Reader::new(row, "approvals", "id");
    let event = Event::new(at, by.clone(), "approval.revoked")
        .with("approval", row.text("id")?)
        .with("kind", row.text("kind")?);
    Ok(match row.maybe_parsed("account", |text| AccountId::parse(text).ok())? {
        Some(account) => event.account(&account),
        None => event,
    })
}

/// The mandate as this connection sees it.
pub(super) async fn read_mandate(
    link: &mut Link,
    run: &Run,
    (policy, (start, end)): (&ServicePolicy, (Moment, Moment)),
) -> Result<Mandate, Error> {
    let halts = halts(&mut *link, true).await?;
    let required = operators::required(&mut *link).await?;
    let rows = sqlx::query(
        "SELECT * FROM approvals WHERE account = $1 OR (kind = 'strategy' AND strategy = $2) ORDER BY granted_at, id",
    )
    .bind(run.account.as_str())
    .bind(run.strategy.as_str())
    .fetch_all(&mut *link)
    .await?;
    let today = sqlx::query("SELECT * FROM intents WHERE account = $1 AND recorded_at >= $2 AND recorded_at < $3")
        .bind(run.account.as_str())
        .bind(start.micros())
        .bind(end.micros())
        .fetch_all(link)
        .await?;
    let today: Vec<Intent> = today.iter().map(intent_of).collect::<Result<_, _>>()?;
    let others: BTreeSet<&RunId> = today.iter().map(|intent| &intent.run).filter(|of| **of != run.id).collect();
    let trading_runs = others.len();
    Ok(Mandate {
        account: run.account.clone(),
        environment: run.environment,
        // Whatever this process was told: a shell's own configuration makes no second operator unnecessary.
        policy: ServicePolicy { operators_required: policy.operators_required.max(required), ..policy.clone() },
        halts,
        approvals: rows.iter().map(approval_of).collect::<Result<_, _>>()?,
        trading_runs_today: u32::try_from(trading_runs).unwrap_or(u32::MAX),
        today: today.iter().map(|intent| past(intent, run)).collect(),
    })
}

fn past(intent: &Intent, run: &Run) -> Past {
    Past {
        of_this_run: intent.run == run.id,
        phase: intent.phase,
        attempt: intent.attempt,
        symbol: intent.symbol.clone(),
        amount: intent.amount,
        value: intent.value,
        state: intent.state,
        recorded_at: intent.recorded_at,
    }
}

async fn halts(link: &mut Link, active_only: bool) -> Result<Vec<Halt>, Error> {
    let rows = sqlx::query("SELECT * FROM halts WHERE released_at IS NULL OR $1 = 0 ORDER BY pulled_at, id")
        .bind(i64::from(active_only))
        .fetch_all(link)
        .await?;
    rows.iter().map(halt_of).collect()
}

async fn insert(link: &mut Link, approval: &Approval) -> Result<(), Error> {
    let (account, strategy, version, text_hash, bound) = match &approval.kind {
        ApprovalKind::Consent { account, text_hash } => (Some(account), None, None, Some(text_hash), None),
        ApprovalKind::Strategy { name, version } => (None, Some(name), Some(version), None, None),
        ApprovalKind::Subscription { account, name, bound } => (Some(account), Some(name), None, None, Some(bound)),
        ApprovalKind::Limits { account, .. } => (Some(account), None, None, None, None),
    };
    let raises = if let ApprovalKind::Limits { raise, .. } = &approval.kind { Some(raise.text()) } else { None };
    let usd = |amount: fn(&Bound) -> Option<Usd>| bound.and_then(amount).map(|usd| usd.to_string());
    sqlx::query(
        "INSERT INTO approvals (id, kind, account, strategy, version, text_hash, symbols, max_order_notional,
             max_run_notional, raises, granted_by, reason, granted_at, expires_at, revoked_at, revoked_by, sides, proven)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
    )
    .bind(approval.id.as_str())
    .bind(approval.kind.code())
    .bind(account.map(|id| id.as_str().to_owned()))
    .bind(strategy.map(|name| name.as_str().to_owned()))
    .bind(version.map(|version| version.as_str().to_owned()))
    .bind(text_hash.map(|hash| clean(hash)))
    .bind(bound.and_then(|bound| bound.symbols.as_deref()).map(listed))
    .bind(usd(|bound| bound.max_order_notional))
    .bind(usd(|bound| bound.max_run_notional))
    .bind(raises)
    .bind(clean(&approval.by))
    .bind(clean(&approval.reason))
    .bind(approval.granted_at.micros())
    .bind(approval.expires_at.map(Moment::micros))
    .bind(approval.revoked.as_ref().map(|(at, _)| at.micros()))
    .bind(approval.revoked.as_ref().map(|(_, by)| clean(by)))
    .bind(bound.and_then(|bound| bound.sides.as_deref()).map(sides_text))
    .bind(i64::from(approval.proven))
    .execute(link)
    .await
    .map_err(|error| taken(error, || format!("there is an approval {} already", approval.id)))?;
    Ok(())
}

fn approval_of(row: &AnyRow) -> Result<Approval, Error> {
    let row = Reader::new(row, "approvals", "id");
    let account = || row.parsed("account", |text| AccountId::parse(text).ok());
    let name = || row.parsed("strategy", |text| StrategyName::parse(text).ok());
    let usd = |column| row.maybe_parsed(column, |text| Usd::parse(text).ok());
    let kind = match row.text("kind")?.as_str() {
        "consent" => ApprovalKind::Consent { account: account()?, text_hash: row.text("text_hash")? },
        "strategy" => ApprovalKind::Strategy {
            name: name()?,
            version: row.parsed("version", |text| StrategyVersion::parse(text).ok())?,
        },
        "subscription" => {
            let bound = Bound {
                symbols: row.maybe_parsed("symbols", symbols)?,
                sides: row.maybe_parsed("sides", sides)?,
                max_order_notional: usd("max_order_notional")?,
                max_run_notional: usd("max_run_notional")?,
            };
            ApprovalKind::Subscription { account: account()?, name: name()?, bound }
        }
        "limits" => ApprovalKind::Limits { account: account()?, raise: row.parsed("raises", Raise::parse)? },
        _ => return Err(Error::Inconsistent { table: "approvals", column: "kind", row: row.text("id")? }),
    };
    Ok(Approval {
        id: row.parsed("id", |text| ApprovalId::parse(text).ok())?,
        kind,
        by: row.text("granted_by")?,
        proven: row.int("proven")? != 0,
        reason: row.text("reason")?,
        granted_at: row.moment("granted_at")?,
        expires_at: row.maybe_moment("expires_at")?,
        revoked: row.maybe_moment("revoked_at")?.zip(row.maybe_text("revoked_by")?),
    })
}

fn halt_of(row: &AnyRow) -> Result<Halt, Error> {
    let row = Reader::new(row, "halts", "id");
    let scope = match row.text("scope")?.as_str() {
        "service" => HaltScope::Service,
        "account" => HaltScope::Account(row.parsed("subject", |text| AccountId::parse(text).ok())?),
        "symbol" => HaltScope::Symbol(row.parsed("subject", |text| Symbol::parse(text).ok())?),
        _ => return Err(Error::Inconsistent { table: "halts", column: "scope", row: row.text("id")? }),
    };
    Ok(Halt {
        id: row.parsed("id", |text| HaltId::parse(text).ok())?,
        scope,
        reason: row.text("reason")?,
        by: row.text("pulled_by")?,
        pulled_at: row.moment("pulled_at")?,
        released: row.maybe_moment("released_at")?.zip(row.maybe_text("released_by")?),
    })
}

fn scope_of(scope: &HaltScope) -> (&'static str, &str) {
    match scope {
        HaltScope::Service => ("service", ""),
        HaltScope::Account(account) => ("account", account.as_str()),
        HaltScope::Symbol(symbol) => ("symbol", symbol.as_str()),
    }
}

fn about(event: Event, scope: &HaltScope) -> Event {
    let event = event.with("scope", scope_of(scope).0);
    match scope {
        HaltScope::Service => event,
        HaltScope::Account(account) => event.account(account),
        HaltScope::Symbol(symbol) => event.with("symbol", symbol),
    }
}

/// The service halts accounts by itself; everybody else who halts or approves is an operator.
fn person(name: &str) -> Actor {
    if name == Actor::service().as_str() { Actor::service() } else { Actor::operator(name) }
}

fn bounds(mut event: Event, bound: &Bound) -> Event {
    if let Some(symbols) = &bound.symbols {
        event = event.with("symbols", listed(symbols));
    }
    if let Some(sides) = &bound.sides {
        event = event.with("sides", sides_text(sides));
    }
    if let Some(usd) = bound.max_order_notional {
        event = event.with("max_order_notional", usd);
    }
    if let Some(usd) = bound.max_run_notional {
        event = event.with("max_run_notional", usd);
    }
    event
}

/// Symbols in one text: an id never holds a blank. An empty list is an empty text, and allows no symbol.
fn listed(symbols: &[Symbol]) -> String {
    symbols.iter().map(Symbol::as_str).collect::<Vec<_>>().join(" ")
}

fn sides_text(sides: &[Side]) -> String {
    sides.iter().map(|side| side.code()).collect::<Vec<_>>().join(" ")
}

fn sides(text: &str) -> Option<Vec<Side>> {
    text.split_ascii_whitespace().map(Side::parse).collect()
}

fn symbols(text: &str) -> Option<Vec<Symbol>> {
    text.split_ascii_whitespace().map(|symbol| Symbol::parse(symbol).ok()).collect()
}

/// Ends the raises of limits that were granted for one run only: this account has had it. Inside the caller's transaction.
pub(super) async fn use_up(link: &mut Link, run: &Run, at: Moment) -> Result<(), Error> {
    let rows = sqlx::query("SELECT * FROM approvals WHERE kind = 'limits' AND account = $1 AND revoked_at IS NULL")
        .bind(run.account.as_str())
        .fetch_all(&mut *link)
        .await?;
    let mut ended = Vec::new();
    for row in &rows {
        let approval = approval_of(row)?;
        let is_once = matches!(&approval.kind, ApprovalKind::Limits { raise, .. } if raise.once);
        if !is_once || run.claimed_at.is_some_and(|claimed| claimed < approval.granted_at) {
            continue;
        }
        sqlx::query("UPDATE approvals SET revoked_at = $1, revoked_by = $2 WHERE id = $3")
            .bind(at.micros())
            .bind(Actor::service().as_str())
            .bind(approval.id.as_str())
            .execute(&mut *link)
            .await?;
        let event = Event::new(at, Actor::service(), "approval.used_up").account(&run.account).run(&run.id);
        ended.push(event.with("approval", &approval.id).with("kind", approval.kind.code()));
    }
    events::append(link, &ended).await
}

/// Stores a halt and its event inside the caller's transaction.
pub(super) async fn pull(link: &mut Link, halt: &Halt, actor: Actor) -> Result<(), Error> {
    let (scope, subject) = scope_of(&halt.scope);
    sqlx::query(
        "INSERT INTO halts (id, scope, subject, reason, pulled_by, pulled_at, released_at, released_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(halt.id.as_str())
    .bind(scope)
    .bind(subject)
    .bind(clean(&halt.reason))
    .bind(clean(&halt.by))
    .bind(halt.pulled_at.micros())
    .bind(halt.released.as_ref().map(|(at, _)| at.micros()))
    .bind(halt.released.as_ref().map(|(_, by)| clean(by)))
    .execute(&mut *link)
    .await
    .map_err(|error| taken(error, || format!("there is a halt {} already", halt.id)))?;
    let event = Event::new(halt.pulled_at, actor, "halt.pulled").with("halt", &halt.id).with("reason", &halt.reason);
    events::append(link, &[about(event, &halt.scope)]).await
}
