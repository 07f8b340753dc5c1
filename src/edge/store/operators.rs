//! Operators: their names, scopes and the hashes of their tokens. A token itself never gets here.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;

use crate::edge::store::db::{Error, Link, Reader, Store, clean};
use crate::edge::store::events;
use crate::model::event::{Actor, Event};
use crate::model::operator::{Change, Circle, Operator, OperatorName, Scope};
use crate::model::time::Moment;

impl Store {
    /// Changes who is an operator, or how many must approve: in one transaction `decide` sees how it stands and whose tokens
    /// have these hashes, and what it says is stored with its event. Whoever it names did it. Two changes at once come one
    /// after the other, and the second sees what the first has done.
    ///
    /// # Errors
    /// What `decide` refuses; [`Error::Conflict`] when there is such an operator already, or none to change; otherwise when
    /// the database fails. Then nothing is changed.
    pub async fn change_operators<E: From<Error>>(
        &self,
        shown: &[String],
        at: Moment,
        decide: impl FnOnce(&Circle) -> Result<(Change, Actor), E>,
    ) -> Result<(), E> {
        let mut tx = self.begin().await?;
        // Who waits here decides by what the other has committed.
        events::hold(&mut tx).await?;
        let circle = circle(&mut tx, shown).await?;
        let (change, by) = decide(&circle)?;
        let told = changed(&mut tx, &change, (&by, at), circle.required).await?;
        events::append(&mut tx, told.as_slice()).await?;
        Ok(tx.commit().await.map_err(Error::from)?)
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
}

/// How it stands, as this transaction sees it.
async fn circle(link: &mut Link, shown: &[String]) -> Result<Circle, Error> {
    let rows = sqlx::query("SELECT * FROM operators ORDER BY name").fetch_all(&mut *link).await?;
    let operators = rows.iter().map(operator_of).collect::<Result<_, _>>()?;
    let mut names = BTreeSet::new();
    for hash in shown {
        let row = sqlx::query("SELECT * FROM operators WHERE token_hash = $1 AND removed_at IS NULL")
            .bind(hash.as_str())
            .fetch_optional(&mut *link)
            .await?;
        names.extend(row.as_ref().map(operator_of).transpose()?.map(|operator| operator.name));
    }
    Ok(Circle { required: required(link).await?, operators, shown: names })
}

/// Stores a change; returns what there is to tell of it.
async fn changed(
    link: &mut Link,
    change: &Change,
    (by, at): (&Actor, Moment),
    before: u32,
) -> Result<Option<Event>, Error> {
    let event = |kind, name: &OperatorName| Event::new(at, by.clone(), kind).with("operator", name);
    Ok(match change {
        Change::Add(new, token_hash) => {
            add(link, new, token_hash).await?;
            Some(event("operator.added", &new.name).with("scopes", listed(&new.scopes)))
        }
        Change::Rotate(name, token_hash) => {
            let query = sqlx::query("UPDATE operators SET token_hash = $1 WHERE name = $2 AND removed_at IS NULL");
            let done = query.bind(token_hash.as_str()).bind(name.as_str()).execute(link).await?;
            one(done.rows_affected(), name)?;
            Some(event("operator.rotated", name))
        }
        Change::Remove(name) => {
            let done = sqlx::query(
                "UPDATE operators SET removed_at = $1, removed_by = $2 WHERE name = $3 AND removed_at IS NULL",
            )
            .bind(at.micros())
            .bind(clean(by.as_str()))
            .bind(name.as_str())
            .execute(link)
            .await?;
            one(done.rows_affected(), name)?;
            Some(event("operator.removed", name))
        }
        // What is so already is no event.
        Change::Require(number) if *number == before => None,
        Change::Require(number) => {
            require(link, *number, (by, at)).await?;
            let event = Event::new(at, by.clone(), "operators.required");
            Some(event.with("before", before).with("number", number))
        }
    })
}

/// Whoever was removed may come back under their name.
async fn add(link: &mut Link, new: &Operator, token_hash: &str) -> Result<(), Error> {
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
    .execute(link)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::Conflict { what: format!("there is an operator {} already", new.name) });
    }
    Ok(())
}

async fn require(link: &mut Link, number: u32, (by, at): (&Actor, Moment)) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO requirements (name, number, set_by, set_at) VALUES ('operators', $1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET number = excluded.number, set_by = excluded.set_by, set_at = excluded.set_at",
    )
    .bind(i64::from(number))
    .bind(clean(by.as_str()))
    .bind(at.micros())
    .execute(link)
    .await?;
    Ok(())
}

fn one(rows: u64, name: &OperatorName) -> Result<(), Error> {
    if rows == 1 { Ok(()) } else { Err(Error::Conflict { what: format!("there is no operator {name}") }) }
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
