//! What an account follows: at most one strategy at a time, and the text of every strategy that was ever loaded.
//!
//! When a subscription ends, the runs that wait for it end with it, in the same transaction.

use sqlx::any::AnyRow;

use crate::edge::points;
use crate::edge::store::db::{Error, Link, Reader, Store, clean, taken};
use crate::edge::store::{events, runs};
use crate::model::account::Subscription;
use crate::model::environment::Kind;
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, GrantId, StrategyName, StrategyVersion, SubscriptionId};
use crate::model::time::Moment;

impl Store {
    /// Subscriptions in the order in which they began.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn subscriptions(&self, active_only: bool) -> Result<Vec<Subscription>, Error> {
        let rows = sqlx::query(
            "SELECT s.id, s.account, a.environment, s.strategy, s.started_at, s.ended_at
             FROM subscriptions s JOIN accounts a ON a.id = s.account
             WHERE s.ended_at IS NULL OR $1 = 0 ORDER BY s.started_at, s.id",
        )
        .bind(i64::from(active_only))
        .fetch_all(self.read())
        .await?;
        rows.iter().map(subscription_of).collect()
    }

    /// The account follows this strategy from now on; what it followed before ends.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the account is not connected; otherwise when the database fails.
    pub async fn subscribe(
        &self,
        id: &SubscriptionId,
        (account, strategy): (&AccountId, &StrategyName),
        by: &Actor,
        at: Moment,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let connected = sqlx::query("SELECT id FROM accounts WHERE id = $1 AND disconnected_at IS NULL")
            .bind(account.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        if connected.is_none() {
            return Err(Error::Conflict { what: format!("account {account} is not connected") });
        }
        let all = follow(&mut tx, (id, account, strategy), (by, at)).await?;
        events::append(&mut tx, &all).await?;
        Ok(tx.commit().await?)
    }

    /// Ends a subscription; `false` when there is none that is active.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unsubscribe(&self, id: &SubscriptionId, by: &Actor, at: Moment) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let row = sqlx::query("SELECT id, account FROM subscriptions WHERE id = $1 AND ended_at IS NULL")
            .bind(id.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        let Some(row) = row else {
            return Ok(false);
        };
        let account = Reader::new(&row, "subscriptions", "id").parsed("account", |text| AccountId::parse(text).ok())?;
        let all = end(&mut tx, (id, &account), (by, at)).await?;
        events::append(&mut tx, &all).await?;
        tx.commit().await?;
        Ok(!all.is_empty())
    }

    /// Whether a subscription still runs, on an account that is connected by this very grant, whose token the broker was not
    /// seen to refuse: asked right before each send.
    ///
    /// # Errors
    /// When the database fails: then it must count as ended.
    pub async fn still_follows(&self, id: &SubscriptionId, grant: &GrantId) -> Result<bool, Error> {
        let found: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM subscriptions s JOIN accounts a ON a.id = s.account JOIN grants g ON g.id = a.grant_id
             WHERE s.id = $1 AND s.ended_at IS NULL AND a.disconnected_at IS NULL AND g.id = $2 AND g.reauth_at IS NULL
               AND g.gone_at IS NULL",
        )
        .bind(id.as_str())
        .bind(grant.as_str())
        .fetch_one(self.read())
        .await?;
        Ok(found == 1)
    }

    /// Keeps a strategy's text under its version: what a run decided by stays readable.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_strategy(
        &self,
        (name, version): (&StrategyName, &StrategyVersion),
        text: &str,
        at: Moment,
    ) -> Result<(), Error> {
        let mut tx = self.begin_write(points::REMEMBER).await?;
        let made = sqlx::query(
            "INSERT INTO strategies (version, name, content, first_seen_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (version) DO NOTHING",
        )
        .bind(version.as_str())
        .bind(name.as_str())
        .bind(clean(text))
        .bind(at.micros())
        .execute(&mut *tx)
        .await?;
        if made.rows_affected() == 1 {
            let event = Event::new(at, Actor::service(), "strategy.loaded");
            events::append(&mut tx, &[event.with("strategy", name).with("version", version)]).await?;
        }
        self.commit(tx, points::REMEMBER).await
    }

    /// The text of a strategy's version, if it was ever loaded.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn strategy_text(&self, version: &StrategyVersion) -> Result<Option<String>, Error> {
        Ok(sqlx::query_scalar("SELECT content FROM strategies WHERE version = $1")
            .bind(version.as_str())
            .fetch_optional(self.read())
            .await?)
    }
}

/// What the account follows now.
pub(super) async fn followed(link: &mut Link, account: &AccountId) -> Result<Option<(SubscriptionId, String)>, Error> {
    let row = sqlx::query("SELECT id, strategy FROM subscriptions WHERE account = $1 AND ended_at IS NULL")
        .bind(account.as_str())
        .fetch_optional(link)
        .await?;
    row.map(|row| {
        let row = Reader::new(&row, "subscriptions", "id");
        Ok((row.parsed("id", |text| SubscriptionId::parse(text).ok())?, row.text("strategy")?))
    })
    .transpose()
}

/// Makes the account follow this strategy and no other; nothing happens when it does already.
pub(super) async fn follow(
    link: &mut Link,
    (id, account, strategy): (&SubscriptionId, &AccountId, &StrategyName),
    (by, at): (&Actor, Moment),
) -> Result<Vec<Event>, Error> {
    let mut all = Vec::new();
    if let Some((old, name)) = followed(link, account).await? {
        if name == strategy.as_str() {
            return Ok(all);
        }
        all = end(link, (&old, account), (by, at)).await?;
    }
    sqlx::query("INSERT INTO subscriptions (id, account, strategy, started_at) VALUES ($1, $2, $3, $4)")
        .bind(id.as_str())
        .bind(account.as_str())
        .bind(strategy.as_str())
        .bind(at.micros())
        .execute(link)
        .await
        .map_err(|error| {
            taken(error, || {
                format!("subscription {id} is there already, or account {account} began to follow a strategy meanwhile")
            })
        })?;
    let event = Event::new(at, by.clone(), "subscription.started").account(account);
    all.push(event.with("subscription", id).with("strategy", strategy));
    Ok(all)
}

/// Ends a subscription and the runs that wait for it; no events when it has ended already.
pub(super) async fn end(
    link: &mut Link,
    (id, account): (&SubscriptionId, &AccountId),
    (by, at): (&Actor, Moment),
) -> Result<Vec<Event>, Error> {
    let done = sqlx::query("UPDATE subscriptions SET ended_at = $1 WHERE id = $2 AND ended_at IS NULL")
        .bind(at.micros())
        .bind(id.as_str())
        .execute(&mut *link)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(Vec::new());
    }
    let mut all = vec![Event::new(at, by.clone(), "subscription.ended").account(account).with("subscription", id)];
    all.extend(runs::end_waiting(link, id, (by, at)).await?);
    Ok(all)
}

fn subscription_of(row: &AnyRow) -> Result<Subscription, Error> {
    let row = Reader::new(row, "subscriptions", "id");
    Ok(Subscription {
        id: row.parsed("id", |text| SubscriptionId::parse(text).ok())?,
        account: row.parsed("account", |text| AccountId::parse(text).ok())?,
        environment: row.parsed("environment", Kind::parse)?,
        strategy: row.parsed("strategy", |text| StrategyName::parse(text).ok())?,
        started_at: row.moment("started_at")?,
        ended_at: row.maybe_moment("ended_at")?,
    })
}
