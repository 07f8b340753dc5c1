//! Users, grants, accounts, subscriptions, and connections that are under way.

use std::collections::BTreeMap;

use sqlx::{Any, Transaction};

use super::events::link;
use super::{Cells, Error, Store, known};
use crate::model::account::{Account, GrantHealth, Subscription};
use crate::model::environment::Kind;
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, GrantId, StrategyName, StrategyVersion, SubscriptionId, UserId};
use crate::model::secret::Sealed;
use crate::model::time::Moment;

/// An account that was connected just now.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The person, if the account is new; an account that is known keeps its own.
    pub user: UserId,
    /// The new grant. A paper and a live account may share one.
    pub grant: GrantId,
    /// The integrating app's name for the person.
    pub reference: Option<String>,
    /// The broker's account id.
    pub account: AccountId,
    /// The broker's account number.
    pub number: String,
    /// Paper or live.
    pub environment: Kind,
    /// What was really granted.
    pub scopes: Vec<String>,
    /// The sealed token.
    pub sealed: Sealed,
    /// The strategy to follow, if one was chosen.
    pub strategy: Option<StrategyName>,
    /// The id of the subscription, if a new one begins.
    pub subscription: SubscriptionId,
    /// When.
    pub at: Moment,
}

/// A connection that was started and not finished. Only hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthState {
    /// Hash of the state that went through the broker.
    pub hash: String,
    /// Hash of the cookie of the browser that started it.
    pub browser_hash: String,
    /// The strategy to follow.
    pub strategy: Option<StrategyName>,
    /// The environment that was asked for.
    pub environment: Option<Kind>,
    /// The integrating app's name for the person.
    pub reference: Option<String>,
    /// When it was started.
    pub created_at: Moment,
    /// After this it is worth nothing.
    pub expires_at: Moment,
}

/// The columns of an account, once, for both questions.
macro_rules! accounts {
    ($rest:literal) => {
        concat!(
            "SELECT a.id AS id, a.environment AS environment, a.grant_id AS grant_id, a.user_id AS user_id, \
             a.number AS number, a.connected_at AS connected_at, u.reference AS reference, g.reauth_at AS reauth_at, \
             g.gone_at AS gone_at FROM accounts a JOIN users u ON u.id = a.user_id JOIN grants g ON g.id = a.grant_id ",
            $rest
        )
    };
}

fn account(cells: &Cells<'_>) -> Result<Account, Error> {
    let health = match (cells.maybe_moment("gone_at")?, cells.maybe_moment("reauth_at")?) {
        (Some(at), _) => GrantHealth::Gone(at),
        (None, Some(at)) => GrantHealth::Reauth(at),
        (None, None) => GrantHealth::Active,
    };
    Ok(Account {
        id: cells.noun("id", AccountId::parse)?,
        environment: cells.noun("environment", |text| known(Kind::parse(text)))?,
        grant: cells.noun("grant_id", GrantId::parse)?,
        user: cells.noun("user_id", UserId::parse)?,
        reference: cells.maybe_text("reference")?,
        number: cells.text("number")?,
        health,
        connected_at: cells.moment("connected_at")?,
    })
}

fn subscription(cells: &Cells<'_>) -> Result<Subscription, Error> {
    Ok(Subscription {
        id: cells.noun("id", SubscriptionId::parse)?,
        account: cells.noun("account_id", AccountId::parse)?,
        environment: cells.noun("environment", |text| known(Kind::parse(text)))?,
        strategy: cells.noun("strategy", StrategyName::parse)?,
        started_at: cells.moment("started_at")?,
        ended_at: cells.maybe_moment("ended_at")?,
    })
}

impl Store {
    /// Takes in a connected account: user, grant, account and subscription, in one transaction.
    ///
    /// An account that is known keeps its user and, if the strategy is the same, its subscription; the token that it had
    /// is destroyed.
    ///
    /// # Errors
    /// When the database fails: then nothing is stored.
    pub async fn connect(&self, connection: &Connection) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let known_as = sqlx::query("SELECT id, user_id, grant_id FROM accounts WHERE id = $1")
            .bind(connection.account.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        let (user, old_grant) = match &known_as {
            Some(row) => {
                let cells = Cells::of("accounts", row);
                (cells.text("user_id")?, Some(cells.text("grant_id")?))
            }
            None => (connection.user.to_string(), None),
        };
        save_user_and_grant(&mut tx, connection, &user).await?;
        sqlx::query(
            "INSERT INTO accounts (id, environment, grant_id, user_id, number, connected_at) \
             VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (id) DO UPDATE SET grant_id = excluded.grant_id, number = excluded.number, connected_at = excluded.connected_at",
        )
        .bind(connection.account.as_str())
        .bind(connection.environment.code())
        .bind(connection.grant.as_str())
        .bind(&user)
        .bind(&connection.number)
        .bind(connection.at.micros())
        .execute(&mut *tx)
        .await?;
        if let Some(old) = old_grant.filter(|old| *old != connection.grant.as_str()) {
            destroy_unused(&mut tx, &old, connection.at).await?;
        }
        let mut events = vec![
            Event::new(connection.at, Actor::user(&user), "account.connected")
                .account(&connection.account)
                .with("environment", connection.environment)
                .with("grant", &connection.grant)
                .with("number", &connection.number)
                .with("scopes", connection.scopes.join(" "))
                .with("again", known_as.is_some()),
        ];
        if let Some(strategy) = &connection.strategy {
            let wish = (&connection.subscription, &connection.account, strategy);
            events.extend(follow(&mut tx, wish, &Actor::user(&user), connection.at).await?);
        }
        link(&mut tx, &events).await?;
        Ok(tx.commit().await?)
    }

    /// All accounts, in the order of their connection.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accounts(&self) -> Result<Vec<Account>, Error> {
        let rows = sqlx::query(accounts!("ORDER BY a.connected_at, a.id")).fetch_all(self.db.reader()).await?;
        rows.iter().map(|row| account(&Cells::of("accounts", row))).collect()
    }

    /// One account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn account(&self, id: &AccountId) -> Result<Option<Account>, Error> {
        let row = sqlx::query(accounts!("WHERE a.id = $1")).bind(id.as_str()).fetch_optional(self.db.reader()).await?;
        row.as_ref().map(|row| account(&Cells::of("accounts", row))).transpose()
    }

    /// The sealed token of an account, with the grant that it is bound to; `None` once it is destroyed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sealed_token(&self, account: &AccountId) -> Result<Option<(GrantId, Sealed)>, Error> {
        let row = sqlx::query(
            "SELECT g.id AS id, g.key_id AS key_id, g.sealed AS sealed FROM accounts a JOIN grants g ON g.id = a.grant_id \
             WHERE a.id = $1 AND g.sealed IS NOT NULL AND g.key_id IS NOT NULL",
        )
        .bind(account.as_str())
        .fetch_optional(self.db.reader())
        .await?;
        row.map(|row| {
            let cells = Cells::of("grants", &row);
            let bytes: Vec<u8> = sqlx::Row::try_get(&row, "sealed")?;
            Ok((cells.noun("id", GrantId::parse)?, Sealed { key_id: cells.text("key_id")?, bytes }))
        })
        .transpose()
    }

    /// The broker refuses a token: its accounts wait until the user connects again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_reauth(&self, grant: &GrantId, at: Moment, why: &str) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let marked =
            sqlx::query("UPDATE grants SET reauth_at = $1 WHERE id = $2 AND reauth_at IS NULL AND gone_at IS NULL")
                .bind(at.micros())
                .bind(grant.as_str())
                .execute(&mut *tx)
                .await?;
        if marked.rows_affected() > 0 {
            let event = Event::new(at, Actor::service(), "grant.reauth").with("grant", grant).with("why", why);
            link(&mut tx, &[event]).await?;
        }
        Ok(tx.commit().await?)
    }

    /// A user leaves with one account: its subscription ends, and its token is destroyed unless another account uses it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn disconnect(&self, account: &AccountId, by: &Actor, at: Moment) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let mut events = end_subscriptions(&mut tx, account, by, at).await?;
        let grant = sqlx::query("SELECT id, grant_id FROM accounts WHERE id = $1")
            .bind(account.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        let Some(grant) = grant else {
            return Err(Error::Conflict { what: format!("account {account} is not connected") });
        };
        let grant = Cells::of("accounts", &grant).text("grant_id")?;
        // A token that covers a second account goes too: the user took back the whole grant.
        sqlx::query("UPDATE grants SET sealed = NULL, key_id = NULL, gone_at = $1 WHERE id = $2 AND gone_at IS NULL")
            .bind(at.micros())
            .bind(&grant)
            .execute(&mut *tx)
            .await?;
        events.push(Event::new(at, by.clone(), "account.disconnected").account(account).with("grant", &grant));
        link(&mut tx, &events).await?;
        Ok(tx.commit().await?)
    }

    /// How many grants have which health.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token_health(&self) -> Result<BTreeMap<&'static str, i64>, Error> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS id, COUNT(gone_at) AS gone, \
             CAST(COALESCE(SUM(CASE WHEN gone_at IS NULL AND reauth_at IS NOT NULL THEN 1 ELSE 0 END), 0) AS BIGINT) AS reauth \
             FROM grants",
        )
        .fetch_one(self.db.reader())
        .await?;
        let cells = Cells::of("grants", &row);
        let (all, gone, reauth) = (cells.int("id")?, cells.int("gone")?, cells.int("reauth")?);
        Ok(BTreeMap::from([("active", all - gone - reauth), ("reauth", reauth), ("gone", gone)]))
    }

    /// Subscriptions, in the order of their beginning.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn subscriptions(&self, active_only: bool) -> Result<Vec<Subscription>, Error> {
        let rows = sqlx::query(
            "SELECT s.id AS id, s.account_id AS account_id, a.environment AS environment, s.strategy AS strategy, \
             s.started_at AS started_at, s.ended_at AS ended_at FROM subscriptions s JOIN accounts a ON a.id = s.account_id \
             WHERE s.ended_at IS NULL OR $1 = 0 ORDER BY s.started_at, s.id",
        )
        .bind(i64::from(active_only))
        .fetch_all(self.db.reader())
        .await?;
        rows.iter().map(|row| subscription(&Cells::of("subscriptions", row))).collect()
    }

    /// An account follows a strategy from now on; a subscription to another one ends.
    ///
    /// # Errors
    /// When the account is not connected, or the database fails.
    pub async fn subscribe(
        &self,
        id: &SubscriptionId,
        (account, strategy): (&AccountId, &StrategyName),
        by: &Actor,
        at: Moment,
    ) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let there = sqlx::query("SELECT id FROM accounts WHERE id = $1")
            .bind(account.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        if there.is_none() {
            return Err(Error::Conflict {
                what: format!("account {account} is not connected; see `rebalanced users`"),
            });
        }
        let events = follow(&mut tx, (id, account, strategy), by, at).await?;
        link(&mut tx, &events).await?;
        Ok(tx.commit().await?)
    }

    /// Ends a subscription; `false` when there is no such active one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unsubscribe(&self, id: &SubscriptionId, by: &Actor, at: Moment) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let ended = sqlx::query(
            "UPDATE subscriptions SET ended_at = $1 WHERE id = $2 AND ended_at IS NULL RETURNING id, account_id",
        )
        .bind(at.micros())
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = ended else { return Ok(false) };
        let account = Cells::of("subscriptions", &row).noun("account_id", AccountId::parse)?;
        let event = Event::new(at, by.clone(), "subscription.ended").account(&account).with("subscription", id);
        link(&mut tx, &[event]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Keeps a started connection, and forgets those that are too old.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn save_oauth_state(&self, state: &OAuthState) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        sqlx::query("DELETE FROM oauth_states WHERE expires_at < $1")
            .bind(state.created_at.micros())
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO oauth_states (hash, browser_hash, strategy, environment, reference, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&state.hash)
        .bind(&state.browser_hash)
        .bind(state.strategy.as_ref().map(|name| name.as_str().to_owned()))
        .bind(state.environment.map(|kind| kind.code().to_owned()))
        .bind(state.reference.clone())
        .bind(state.created_at.micros())
        .bind(state.expires_at.micros())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Takes a started connection out, for its one use; `None` when it is unknown, used or too old.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_oauth_state(&self, hash: &str, now: Moment) -> Result<Option<OAuthState>, Error> {
        let mut tx = self.db.begin().await?;
        let row = sqlx::query(
            "DELETE FROM oauth_states WHERE hash = $1 \
             RETURNING hash AS id, hash, browser_hash, strategy, environment, reference, created_at, expires_at",
        )
        .bind(hash)
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        let Some(row) = row else { return Ok(None) };
        let cells = Cells::of("oauth_states", &row);
        let state = OAuthState {
            hash: cells.text("hash")?,
            browser_hash: cells.text("browser_hash")?,
            strategy: cells.maybe("strategy", StrategyName::parse)?,
            environment: cells.maybe("environment", |text| known(Kind::parse(text)))?,
            reference: cells.maybe_text("reference")?,
            created_at: cells.moment("created_at")?,
            expires_at: cells.moment("expires_at")?,
        };
        Ok(Some(state).filter(|state| now < state.expires_at))
    }

    /// Keeps the text of a strategy's version, so that its runs can be explained later.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_strategy(
        &self,
        (name, version): (&StrategyName, &StrategyVersion),
        text: &str,
        at: Moment,
    ) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let kept = sqlx::query(
            "INSERT INTO strategies (version, name, body, seen_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(version.as_str())
        .bind(name.as_str())
        .bind(text)
        .bind(at.micros())
        .execute(&mut *tx)
        .await?;
        if kept.rows_affected() > 0 {
            let event =
                Event::new(at, Actor::service(), "strategy.seen").with("strategy", name).with("version", version);
            link(&mut tx, &[event]).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The text of a strategy's version.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn strategy_text(&self, version: &StrategyVersion) -> Result<Option<String>, Error> {
        let row = sqlx::query("SELECT version AS id, body FROM strategies WHERE version = $1")
            .bind(version.as_str())
            .fetch_optional(self.db.reader())
            .await?;
        row.map(|row| Cells::of("strategies", &row).text("body")).transpose()
    }
}

async fn save_user_and_grant(
    tx: &mut Transaction<'static, Any>,
    connection: &Connection,
    user: &str,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO users (id, reference, created_at) VALUES ($1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET reference = COALESCE(excluded.reference, users.reference)",
    )
    .bind(user)
    .bind(connection.reference.clone())
    .bind(connection.at.micros())
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "INSERT INTO grants (id, user_id, scopes, key_id, sealed, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(connection.grant.as_str())
    .bind(user)
    .bind(connection.scopes.join(" "))
    .bind(&connection.sealed.key_id)
    .bind(connection.sealed.bytes.clone())
    .bind(connection.at.micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Destroys the token of a grant that no account uses any more.
async fn destroy_unused(tx: &mut Transaction<'static, Any>, grant: &str, at: Moment) -> Result<(), Error> {
    sqlx::query(
        "UPDATE grants SET sealed = NULL, key_id = NULL, gone_at = $1 \
         WHERE id = $2 AND NOT EXISTS (SELECT 1 FROM accounts WHERE grant_id = $3)",
    )
    .bind(at.micros())
    .bind(grant)
    .bind(grant)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn end_subscriptions(
    tx: &mut Transaction<'static, Any>,
    account: &AccountId,
    by: &Actor,
    at: Moment,
) -> Result<Vec<Event>, Error> {
    let rows =
        sqlx::query("UPDATE subscriptions SET ended_at = $1 WHERE account_id = $2 AND ended_at IS NULL RETURNING id")
            .bind(at.micros())
            .bind(account.as_str())
            .fetch_all(&mut **tx)
            .await?;
    rows.iter()
        .map(|row| {
            let id = Cells::of("subscriptions", row).text("id")?;
            Ok(Event::new(at, by.clone(), "subscription.ended").account(account).with("subscription", id))
        })
        .collect()
}

/// One active subscription per account: the same strategy goes on, another one takes its place.
async fn follow(
    tx: &mut Transaction<'static, Any>,
    (id, account, strategy): (&SubscriptionId, &AccountId, &StrategyName),
    by: &Actor,
    at: Moment,
) -> Result<Vec<Event>, Error> {
    let same = sqlx::query("SELECT id FROM subscriptions WHERE account_id = $1 AND strategy = $2 AND ended_at IS NULL")
        .bind(account.as_str())
        .bind(strategy.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    if same.is_some() {
        return Ok(Vec::new());
    }
    let mut events = end_subscriptions(tx, account, by, at).await?;
    sqlx::query("INSERT INTO subscriptions (id, account_id, strategy, started_at) VALUES ($1, $2, $3, $4)")
        .bind(id.as_str())
        .bind(account.as_str())
        .bind(strategy.as_str())
        .bind(at.micros())
        .execute(&mut **tx)
        .await?;
    let begun = Event::new(at, by.clone(), "subscription.started").account(account);
    events.push(begun.with("subscription", id).with("strategy", strategy));
    Ok(events)
}
