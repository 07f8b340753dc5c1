//! Connections that were started and not finished, and the texts that users agreed to.
//!
//! A started connection is kept under hashes only, and taken out once. A text is kept for good under its own hash.

use sqlx::any::AnyRow;

use crate::edge::store::db::{Error, Reader, Store, clean, taken};
use crate::model::environment::Kind;
use crate::model::ids::{AccountId, StrategyName};
use crate::model::time::Moment;

/// A started connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthState {
    /// Hash of the state that the broker must bring back.
    pub hash: String,
    /// Hash of the cookie that the browser must bring back.
    pub browser_hash: String,
    /// The strategy that was chosen.
    pub strategy: Option<StrategyName>,
    /// The environment that was chosen.
    pub environment: Option<Kind>,
    /// The integrating app's own name for the user.
    pub reference: Option<String>,
    /// The account that is to be reconnected; a grant for any other is refused.
    pub account: Option<AccountId>,
    /// The hash of the text that its user saw and agreed to.
    pub text_hash: Option<String>,
    /// Whether they agreed to live trading.
    pub live_agreed: bool,
    /// When it was started.
    pub created_at: Moment,
    /// When it is worth nothing any more.
    pub expires_at: Moment,
}

impl Store {
    /// Keeps a text that a user was asked to agree to.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_consent_text(&self, hash: &str, text: &str, at: Moment) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO consent_texts (hash, text, first_shown_at) VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING",
        )
        .bind(hash)
        .bind(clean(text))
        .bind(at.micros())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// The text that is kept under a hash.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consent_text(&self, hash: &str) -> Result<Option<String>, Error> {
        Ok(sqlx::query_scalar("SELECT text FROM consent_texts WHERE hash = $1")
            .bind(hash)
            .fetch_optional(self.read())
            .await?)
    }

    /// Stores a started connection, and forgets those that are too old to be finished.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn save_oauth_state(&self, state: &OAuthState) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM oauth_states WHERE expires_at <= $1")
            .bind(state.created_at.micros())
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO oauth_states (hash, browser_hash, strategy, environment, reference, account, text_hash, live_agreed,
                 created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(state.hash.as_str())
        .bind(state.browser_hash.as_str())
        .bind(state.strategy.as_ref().map(|name| name.as_str().to_owned()))
        .bind(state.environment.map(|kind| kind.code().to_owned()))
        .bind(state.reference.as_deref().map(clean))
        .bind(state.account.as_ref().map(|id| id.as_str().to_owned()))
        .bind(state.text_hash.clone())
        .bind(i64::from(state.live_agreed))
        .bind(state.created_at.micros())
        .bind(state.expires_at.micros())
        .execute(&mut *tx)
        .await
        .map_err(|error| taken(error, || "this connection was started already".to_owned()))?;
        Ok(tx.commit().await?)
    }

    /// Takes a started connection out: once, and only in time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_oauth_state(&self, hash: &str, now: Moment) -> Result<Option<OAuthState>, Error> {
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "DELETE FROM oauth_states WHERE hash = $1
             RETURNING hash, browser_hash, strategy, environment, reference, account, text_hash, live_agreed, created_at,
                 expires_at",
        )
        .bind(hash)
        .fetch_optional(&mut *tx)
        .await?;
        let state = row.as_ref().map(state_of).transpose()?;
        tx.commit().await?;
        Ok(state.filter(|state| now < state.expires_at))
    }
}

fn state_of(row: &AnyRow) -> Result<OAuthState, Error> {
    let row = Reader::new(row, "oauth_states", "hash");
    Ok(OAuthState {
        hash: row.text("hash")?,
        browser_hash: row.text("browser_hash")?,
        strategy: row.maybe_parsed("strategy", |text| StrategyName::parse(text).ok())?,
        environment: row.maybe_parsed("environment", Kind::parse)?,
        reference: row.maybe_text("reference")?,
        account: row.maybe_parsed("account", |text| AccountId::parse(text).ok())?,
        text_hash: row.maybe_text("text_hash")?,
        live_agreed: row.int("live_agreed")? != 0,
        created_at: row.moment("created_at")?,
        expires_at: row.moment("expires_at")?,
    })
}
