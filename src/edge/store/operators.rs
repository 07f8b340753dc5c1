//! Operators: their names, scopes and the hashes of their tokens. A token itself never gets here.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;

use crate::edge::store::db::{Error, Reader, Store, clean};
use crate::edge::store::events;
use crate::model::event::{Actor, Event};
use crate::model::operator::{Operator, OperatorName, Scope};
use crate::model::time::Moment;

impl Store {
    /// Makes somebody an operator; whoever was removed may come back under their name.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there is such an operator now; otherwise when the database fails.
    pub async fn add_operator(&self, new: &Operator, token_hash: &str, by: &Actor) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "INSERT INTO operators (name, token_hash, scopes, made_by, made_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (name) DO UPDATE SET token_hash = excluded.token_hash, scopes = excluded.scopes,
                 made_by = excluded.made_by, made_at = excluded.made_at, removed_at = NULL, removed_by = NULL
             WHERE operators.removed_at IS NOT NULL",
        )
        .bind(new.name.as_str())
        .bind(token_hash)
        .bind(listed(&new.scopes))
        .bind(clean(&new.made_by))
        .bind(new.made_at.micros())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(Error::Conflict { what: format!("there is an operator {} already", new.name) });
        }
        let event = Event::new(new.made_at, by.clone(), "operator.added");
        events::append(&mut tx, &[event.with("operator", &new.name).with("scopes", listed(&new.scopes))]).await?;
        Ok(tx.commit().await?)
    }

    /// Gives an operator a new token; the old one is worth nothing from the commit on. `false` when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rotate_operator(
        &self,
        name: &OperatorName,
        token_hash: &str,
        (by, at): (&Actor, Moment),
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("UPDATE operators SET token_hash = $1 WHERE name = $2 AND removed_at IS NULL")
            .bind(token_hash)
            .bind(name.as_str())
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        events::append(&mut tx, &[Event::new(at, by.clone(), "operator.rotated").with("operator", name)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends an operator's rights at once; `false` when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_operator(&self, name: &OperatorName, (by, at): (&Actor, Moment)) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let done =
            sqlx::query("UPDATE operators SET removed_at = $1, removed_by = $2 WHERE name = $3 AND removed_at IS NULL")
                .bind(at.micros())
                .bind(clean(by.as_str()))
                .bind(name.as_str())
                .execute(&mut *tx)
                .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        events::append(&mut tx, &[Event::new(at, by.clone(), "operator.removed").with("operator", name)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Every operator there ever was, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn operators(&self) -> Result<Vec<Operator>, Error> {
        let rows = sqlx::query("SELECT * FROM operators ORDER BY name").fetch_all(self.read()).await?;
        rows.iter().map(operator_of).collect()
    }

    /// The operator whose token has this hash, if they are one now.
    ///
    /// # Errors
    /// When the database fails: then nobody is let in.
    pub async fn operator_by_token(&self, token_hash: &str) -> Result<Option<Operator>, Error> {
        let row = sqlx::query("SELECT * FROM operators WHERE token_hash = $1 AND removed_at IS NULL")
            .bind(token_hash)
            .fetch_optional(self.read())
            .await?;
        row.as_ref().map(operator_of).transpose()
    }
}

fn listed(scopes: &BTreeSet<Scope>) -> String {
    scopes.iter().map(|scope| scope.code()).collect::<Vec<_>>().join(" ")
}

fn operator_of(row: &AnyRow) -> Result<Operator, Error> {
    let row = Reader::new(row, "operators", "name");
    let scopes = |text: &str| text.split_ascii_whitespace().map(Scope::parse).collect::<Option<BTreeSet<Scope>>>();
    Ok(Operator {
        name: row.parsed("name", |text| OperatorName::parse(text).ok())?,
        scopes: row.parsed("scopes", scopes)?,
        made_by: row.text("made_by")?,
        made_at: row.moment("made_at")?,
        removed: row.maybe_moment("removed_at")?.zip(row.maybe_text("removed_by")?),
    })
}
