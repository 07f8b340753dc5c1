//! Operators: their names, scopes and the hashes of their tokens. A token itself never gets here.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;

use crate::edge::store::db::{Error, Link, Reader, Store, clean};
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

impl Store {
    /// How many operators must approve, as the last daemon required it; one where none ever asked for more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn operators_required(&self) -> Result<u32, Error> {
        let mut link = self.read().acquire().await?;
        required(&mut link).await
    }

    /// Requires so many operators from the commit on. A change is an event; what is so already is none.
    ///
    /// # Errors
    /// When the database fails: then it is as it was.
    pub async fn require_operators(&self, number: u32, (by, at): (&Actor, Moment)) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        // Who waits here decides by what the other has committed.
        events::hold(&mut tx).await?;
        let before = required(&mut tx).await?;
        if before == number {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO requirements (name, number, set_by, set_at) VALUES ('operators', $1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET number = excluded.number, set_by = excluded.set_by, set_at = excluded.set_at",
        )
        .bind(i64::from(number))
        .bind(clean(by.as_str()))
        .bind(at.micros())
        .execute(&mut *tx)
        .await?;
        let event = Event::new(at, by.clone(), "operators.required").with("before", before).with("number", number);
        events::append(&mut tx, &[event]).await?;
        Ok(tx.commit().await?)
    }
}

/// How many operators must approve, as this connection sees it.
pub(super) async fn required(link: &mut Link) -> Result<u32, Error> {
    let row =
        sqlx::query("SELECT name, number FROM requirements WHERE name = 'operators'").fetch_optional(link).await?;
    let Some(row) = row else { return Ok(1) };
    let number = Reader::new(&row, "requirements", "name").int("number")?;
    u32::try_from(number).map_err(|_| Error::Inconsistent {
        table: "requirements",
        column: "number",
        row: "operators".to_owned(),
    })
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
