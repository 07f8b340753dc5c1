//! Who is connected: users, grants, accounts and what they follow.
//!
//! A token lies here sealed only, at most one for each account, and is destroyed in the same transaction in which the
//! last account that it opens leaves it.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;

use crate::edge::store::db::{Error, Link, Reader, Store, clean};
use crate::edge::store::mandates::Ending;
use crate::edge::store::subscriptions::{end, follow, followed};
use crate::edge::store::{events, mandates};
use crate::model::account::{Account, GrantHealth};
use crate::model::books::{Books, Sums};
use crate::model::environment::Kind;
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, GrantId, StrategyName, SubscriptionId, UserId};
use crate::model::mandate::Approval;
use crate::model::money::Usd;
use crate::model::secret::Sealed;
use crate::model::snapshot::{Seen, Shares};
use crate::model::time::Moment;
use crate::model::zoo::{Bug, planted};

/// A user's account, as it comes out of a finished connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The new user, if the account is new.
    pub user: UserId,
    /// The new grant; two accounts may share one.
    pub grant: GrantId,
    /// The integrating app's own name for the user.
    pub reference: Option<String>,
    /// The broker's account id.
    pub account: AccountId,
    /// The broker's account number.
    pub number: String,
    /// Paper or live.
    pub environment: Kind,
    /// What the user really granted.
    pub scopes: Vec<String>,
    /// The sealed token.
    pub sealed: Sealed,
    /// What the account shall follow from now on; `None` leaves it as it is.
    pub strategy: Option<StrategyName>,
    /// The id of a new subscription, if one begins.
    pub subscription: SubscriptionId,
    /// The user's consent to live trading of this account, if they gave it.
    pub consent: Option<Approval>,
    /// When.
    pub at: Moment,
}

/// An account with its grant and user: what [`account_of`] reads.
const ACCOUNTS: &str = "SELECT a.id, a.environment, a.grant_id, a.user_id, u.reference, a.number, a.connected_at,
        a.disconnected_at, g.reauth_at, g.gone_at, g.scopes
     FROM accounts a JOIN grants g ON g.id = a.grant_id JOIN users u ON u.id = a.user_id
     WHERE CAST($1 AS TEXT) IS NULL OR a.id = $1
     ORDER BY a.connected_at, a.id";

impl Store {
    /// What the account was when it was last seen and believed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_seen(&self, account: &AccountId) -> Result<Option<Seen>, Error> {
        let row = sqlx::query("SELECT id, seen_equity, seen_positions, seen_at FROM accounts WHERE id = $1")
            .bind(account.as_str())
            .fetch_optional(self.read())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let row = Reader::new(&row, "accounts", "id");
        let (equity, at) =
            (row.maybe_parsed("seen_equity", |text| Usd::parse(text).ok())?, row.maybe_moment("seen_at")?);
        let (Some(equity), Some(at)) = (equity, at) else { return Ok(None) };
        let positions = usize::try_from(row.int("seen_positions")?).unwrap_or(usize::MAX);
        Ok(Some(Seen { equity, positions, at }))
    }

    /// The books of an account; `None` when it has none yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn books(&self, account: &AccountId) -> Result<Option<Books>, Error> {
        let row =
            sqlx::query("SELECT id, books_at, books_cash, books_shares, books_counted FROM accounts WHERE id = $1")
                .bind(account.as_str())
                .fetch_optional(self.read())
                .await?;
        let Some(row) = row else { return Ok(None) };
        let row = Reader::new(&row, "accounts", "id");
        let (at, cash) = (row.maybe_moment("books_at")?, row.maybe_parsed("books_cash", |text| Usd::parse(text).ok())?);
        let (Some(at), Some(cash)) = (at, cash) else { return Ok(None) };
        let shares = row.maybe_parsed("books_shares", Shares::parse)?.unwrap_or_default();
        let counted = row.maybe_text("books_counted")?.unwrap_or_default();
        let counted = counted.split_whitespace().map(str::to_owned).collect();
        Ok(Some(Books { at, sums: Sums { cash, shares }, counted }))
    }

    /// Connected accounts whose books were last right before a moment, the oldest first, with no run under way. Those of a
    /// halted account wait for their person. Of one account, where it is named.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn books_due(
        &self,
        before: Moment,
        (only, limit): (Option<&AccountId>, i64),
    ) -> Result<Vec<(AccountId, Kind)>, Error> {
        let rows = sqlx::query(
            "SELECT a.id, a.environment FROM accounts a JOIN grants g ON g.id = a.grant_id
             WHERE a.books_at < $1 AND a.disconnected_at IS NULL AND g.reauth_at IS NULL AND g.gone_at IS NULL
               AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.account = a.id AND r.state = 'running')
               AND NOT EXISTS (SELECT 1 FROM halts h WHERE h.released_at IS NULL AND h.scope = 'account'
                               AND h.subject = a.id)
               AND (CAST($3 AS TEXT) IS NULL OR a.id = $3)
             ORDER BY a.books_at, a.id LIMIT $2",
        )
        .bind(before.micros())
        .bind(limit)
        .bind(only.map(|account| account.as_str().to_owned()))
        .fetch_all(self.read())
        .await?;
        let read = |row: &AnyRow| {
            let row = Reader::new(row, "accounts", "id");
            let id = row.parsed("id", |text| AccountId::parse(text).ok())?;
            Ok((id, row.parsed("environment", Kind::parse)?))
        };
        rows.iter().map(read).collect()
    }

    /// Keeps the books of an account that no run is at work on, unless somebody else has kept them meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn balance(&self, account: &AccountId, before: Moment, books: &Books) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let held = sqlx::query("UPDATE accounts SET books_at = books_at WHERE id = $1 AND books_at = $2")
            .bind(account.as_str())
            .bind(before.micros())
            .execute(&mut *tx)
            .await?;
        if held.rows_affected() == 1 {
            keep_books(&mut tx, account, books).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Every account that was ever connected, in the order in which they came.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accounts(&self) -> Result<Vec<Account>, Error> {
        let rows = sqlx::query(ACCOUNTS).bind(None::<String>).fetch_all(self.read()).await?;
        rows.iter().map(account_of).collect()
    }

    /// One account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn account(&self, id: &AccountId) -> Result<Option<Account>, Error> {
        let row = sqlx::query(ACCOUNTS).bind(Some(id.as_str().to_owned())).fetch_optional(self.read()).await?;
        row.as_ref().map(account_of).transpose()
    }

    /// How many accounts have which health; every health is there, if only with zero.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token_health(&self) -> Result<BTreeMap<&'static str, i64>, Error> {
        let none = GrantHealth::Active.code();
        let mut count = BTreeMap::from([(none, 0)]);
        count.insert(GrantHealth::ReadOnly.code(), 0);
        count.insert(GrantHealth::Reauth(Moment::EPOCH).code(), 0);
        count.insert(GrantHealth::Gone(Moment::EPOCH).code(), 0);
        for account in self.accounts().await? {
            *count.entry(account.health.code()).or_insert(0) += 1;
        }
        Ok(count)
    }

    /// Stores the accounts of one connection together, or none of them: user, grant, account and subscription. Destroys the
    /// token that it replaces, and says whether it replaced one.
    ///
    /// # Errors
    /// [`Error::Conflict`] when an account is known in the other environment; otherwise when the database fails.
    pub async fn connect_all(&self, all: &[Connection]) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let mut replaced = false;
        for new in all {
            replaced |= connect(&mut tx, new).await?;
        }
        tx.commit().await?;
        Ok(replaced)
    }

    /// Stores one account of a connection: see [`Store::connect_all`].
    ///
    /// # Errors
    /// As there.
    pub async fn connect(&self, new: &Connection) -> Result<bool, Error> {
        self.connect_all(std::slice::from_ref(new)).await
    }

    /// The broker refused this token: its accounts wait for their user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_reauth(&self, grant: &GrantId, at: Moment, why: &str) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let changed = sqlx::query(
            "UPDATE grants SET reauth_at = $1, reauth_why = $2
             WHERE id = $3 AND reauth_at IS NULL AND gone_at IS NULL",
        )
        .bind(at.micros())
        .bind(clean(why))
        .bind(grant.as_str())
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(());
        }
        let mut all = Vec::new();
        let rows = sqlx::query("SELECT id FROM accounts WHERE grant_id = $1 AND disconnected_at IS NULL ORDER BY id")
            .bind(grant.as_str())
            .fetch_all(&mut *tx)
            .await?;
        for row in &rows {
            let account = Reader::new(row, "accounts", "id").parsed("id", |text| AccountId::parse(text).ok())?;
            let event = Event::new(at, Actor::service(), "grant.reauth").account(&account);
            all.push(event.with("grant", grant).with("why", why));
        }
        events::append(&mut tx, &all).await?;
        Ok(tx.commit().await?)
    }

    /// A user leaves: what the account follows and what was allowed for it ends, and its token is destroyed unless another
    /// account needs it.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there is no such account; otherwise when the database fails.
    pub async fn disconnect(&self, account: &AccountId, by: &Actor, at: Moment) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = sqlx::query("SELECT id, grant_id, disconnected_at FROM accounts WHERE id = $1")
            .bind(account.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        let row = row.ok_or_else(|| Error::Conflict { what: format!("there is no account {account}") })?;
        let row = Reader::new(&row, "accounts", "id");
        if row.maybe_moment("disconnected_at")?.is_some() {
            return Ok(());
        }
        let grant = row.parsed("grant_id", |text| GrantId::parse(text).ok())?;
        if planted(Bug::LeavingKeepsToken) {
            return Ok(());
        }
        sqlx::query("UPDATE accounts SET disconnected_at = $1 WHERE id = $2")
            .bind(at.micros())
            .bind(account.as_str())
            .execute(&mut *tx)
            .await?;
        let destroyed = destroy_unused(&mut tx, &grant, at).await?;
        let mut all = vec![
            Event::new(at, by.clone(), "account.disconnected")
                .account(account)
                .with("grant", &grant)
                .with("token_destroyed", destroyed),
        ];
        if let Some((subscription, _)) = followed(&mut tx, account).await? {
            all.extend(end(&mut tx, (&subscription, account), (by, at)).await?);
        }
        all.extend(mandates::end(&mut tx, Ending::Account(account), (by, at)).await?);
        events::append(&mut tx, &all).await?;
        Ok(tx.commit().await?)
    }
}

/// Stores one account of a connection inside the caller's transaction; `true` when it destroyed the token that it replaces.
async fn connect(link: &mut Link, new: &Connection) -> Result<bool, Error> {
    let before = sqlx::query("SELECT id, environment, user_id, grant_id FROM accounts WHERE id = $1")
        .bind(new.account.as_str())
        .fetch_optional(&mut *link)
        .await?;
    let before = before.as_ref().map(|row| Reader::new(row, "accounts", "id"));
    if let Some(row) = &before
        && row.text("environment")? != new.environment.code()
    {
        let what = format!("account {} is connected as {}", new.account, row.text("environment")?);
        return Err(Error::Conflict { what });
    }
    let user = match &before {
        Some(row) => row.text("user_id")?,
        None => new_user(link, new).await?,
    };
    insert_user(link, new).await?;
    insert_grant(link, new, &user).await?;
    upsert_account(link, new, &user).await?;
    let mut replaced = false;
    let mut made = Event::new(new.at, Actor::user(&user), "account.connected")
        .account(&new.account)
        .with("grant", &new.grant)
        .with("environment", new.environment)
        .with("scopes", new.scopes.join(" "));
    if let Some(row) = &before {
        let old = row.parsed("grant_id", |text| GrantId::parse(text).ok())?;
        if old != new.grant && destroy_unused(link, &old, new.at).await? {
            made = made.with("destroyed_grant", old);
            replaced = true;
        }
    }
    let mut all = vec![made];
    let by = Actor::user(&user);
    if new.environment == Kind::Live {
        // Who connects says anew whether live trading is wanted; an older word does not speak for them.
        all.extend(mandates::end(link, Ending::Consent(&new.account), (&by, new.at)).await?);
    }
    if let Some(consent) = &new.consent {
        all.push(mandates::grant(link, consent, by.clone()).await?);
    }
    if let Some(strategy) = &new.strategy {
        all.extend(follow(link, (&new.subscription, &new.account, strategy), (&by, new.at)).await?);
    }
    events::append(link, &all).await?;
    Ok(replaced)
}

/// The user of a new account: the one whose grant it shares, or a new one.
async fn new_user(link: &mut Link, new: &Connection) -> Result<String, Error> {
    let sharing: Option<String> = sqlx::query_scalar("SELECT user_id FROM grants WHERE id = $1")
        .bind(new.grant.as_str())
        .fetch_optional(&mut *link)
        .await?;
    if let Some(user) = sharing {
        return Ok(user);
    }
    insert_user(link, new).await?;
    Ok(new.user.as_str().to_owned())
}

async fn insert_user(link: &mut Link, new: &Connection) -> Result<(), Error> {
    sqlx::query("INSERT INTO users (id, reference, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING")
        .bind(new.user.as_str())
        .bind(new.reference.as_deref().map(clean))
        .bind(new.at.micros())
        .execute(link)
        .await?;
    Ok(())
}

/// The grant belongs to the user to whom its token is bound, whoever else was known with the account meanwhile.
async fn insert_grant(link: &mut Link, new: &Connection, user: &str) -> Result<(), Error> {
    if let Some(reference) = &new.reference {
        sqlx::query("UPDATE users SET reference = $1 WHERE id = $2")
            .bind(clean(reference))
            .bind(user)
            .execute(&mut *link)
            .await?;
    }
    sqlx::query(
        "INSERT INTO grants (id, user_id, scopes, key_id, sealed, granted_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(new.grant.as_str())
    .bind(new.user.as_str())
    .bind(clean(&new.scopes.join(" ")))
    .bind(new.sealed.key_id.as_str())
    .bind(new.sealed.bytes.clone())
    .bind(new.at.micros())
    .execute(link)
    .await?;
    Ok(())
}

async fn upsert_account(link: &mut Link, new: &Connection, user: &str) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO accounts (id, environment, number, user_id, grant_id, connected_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET number = excluded.number, grant_id = excluded.grant_id,
             connected_at = excluded.connected_at, disconnected_at = NULL",
    )
    .bind(new.account.as_str())
    .bind(new.environment.code())
    .bind(clean(&new.number))
    .bind(user)
    .bind(new.grant.as_str())
    .bind(new.at.micros())
    .execute(link)
    .await?;
    Ok(())
}

/// Destroys a token that no connected account needs any more; `true` if it did.
async fn destroy_unused(link: &mut Link, grant: &GrantId, at: Moment) -> Result<bool, Error> {
    // The grant's row is held before its accounts are looked at: of two accounts that leave at the same instant, the
    // second sees that the first has left.
    sqlx::query("UPDATE grants SET id = id WHERE id = $1").bind(grant.as_str()).execute(&mut *link).await?;
    let done = sqlx::query(
        "UPDATE grants SET key_id = NULL, sealed = NULL, gone_at = $1
         WHERE id = $2 AND gone_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM accounts WHERE grant_id = $2 AND disconnected_at IS NULL)",
    )
    .bind(at.micros())
    .bind(grant.as_str())
    .execute(link)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes the books of an account, inside the caller's transaction.
pub(super) async fn keep_books(link: &mut Link, account: &AccountId, books: &Books) -> Result<(), Error> {
    let counted: Vec<&str> = books.counted.iter().map(String::as_str).collect();
    sqlx::query(
        "UPDATE accounts SET books_at = $1, books_cash = $2, books_shares = $3, books_counted = $4 WHERE id = $5",
    )
    .bind(books.at.micros())
    .bind(books.sums.cash.to_string())
    .bind(books.sums.shares.to_string())
    .bind(clean(&counted.join(" ")))
    .bind(account.as_str())
    .execute(link)
    .await?;
    Ok(())
}

/// Remembers what an account was, inside the caller's transaction.
pub(super) async fn saw(link: &mut Link, account: &AccountId, seen: &Seen) -> Result<(), Error> {
    sqlx::query("UPDATE accounts SET seen_equity = $1, seen_positions = $2, seen_at = $3 WHERE id = $4")
        .bind(seen.equity.to_string())
        .bind(i64::try_from(seen.positions).unwrap_or(i64::MAX))
        .bind(seen.at.micros())
        .bind(account.as_str())
        .execute(link)
        .await?;
    Ok(())
}

fn account_of(row: &AnyRow) -> Result<Account, Error> {
    let row = Reader::new(row, "accounts", "id");
    let gone = row.maybe_moment("disconnected_at")?.or(row.maybe_moment("gone_at")?);
    let health = match (gone, row.maybe_moment("reauth_at")?) {
        (Some(at), _) => GrantHealth::Gone(at),
        (None, Some(at)) => GrantHealth::Reauth(at),
        (None, None) if row.text("scopes")?.split(' ').any(|scope| scope == "trading") => GrantHealth::Active,
        (None, None) => GrantHealth::ReadOnly,
    };
    Ok(Account {
        id: row.parsed("id", |text| AccountId::parse(text).ok())?,
        environment: row.parsed("environment", Kind::parse)?,
        grant: row.parsed("grant_id", |text| GrantId::parse(text).ok())?,
        user: row.parsed("user_id", |text| UserId::parse(text).ok())?,
        reference: row.maybe_text("reference")?,
        number: row.text("number")?,
        health,
        connected_at: row.moment("connected_at")?,
    })
}
