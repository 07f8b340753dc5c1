//! The audit: events enter at the end of the hash chain, and nowhere else.
//!
//! Appending is the last step of a transaction. It takes the one row of `chain_head`, which both databases keep locked
//! until the commit: so the chain has no gaps and no forks, whoever writes (S13).

use crate::edge::points;
use crate::edge::store::db::{Error, Link, Reader, Store, clean};
use crate::model::canon;
use crate::model::event::{ChainedEvent, Event};
use crate::model::ids::{AccountId, RunId};
use crate::model::zoo::{Bug, planted};

impl Store {
    /// Appends facts that change no other row.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn append(&self, events: &[Event]) -> Result<(), Error> {
        let mut tx = self.begin_write(points::APPEND).await?;
        append(&mut tx, events).await?;
        self.commit(tx, points::APPEND).await
    }

    /// The end of the chain: how many events there are, and the hash of the last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn chain_end(&self) -> Result<(i64, String), Error> {
        let row = sqlx::query("SELECT sequence, hash FROM chain_head WHERE id = 1").fetch_one(self.read()).await?;
        let row = Reader::new(&row, "chain_head", "sequence");
        Ok((row.int("sequence")?, row.text("hash")?))
    }

    /// The events of one run, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events_of(&self, run: &RunId) -> Result<Vec<ChainedEvent>, Error> {
        let rows = sqlx::query(
            "SELECT sequence, at, actor, kind, account, run, facts, previous, hash
             FROM events WHERE run = $1 ORDER BY sequence",
        )
        .bind(run.as_str())
        .fetch_all(self.read())
        .await?;
        rows.iter().map(|row| chained(&Reader::new(row, "events", "sequence"))).collect()
    }

    /// The last event of one kind that tells of an account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_event(&self, account: &AccountId, kind: &str) -> Result<Option<ChainedEvent>, Error> {
        let row = sqlx::query(
            "SELECT sequence, at, actor, kind, account, run, facts, previous, hash
             FROM events WHERE account = $1 AND kind = $2 ORDER BY sequence DESC LIMIT 1",
        )
        .bind(account.as_str())
        .bind(kind.to_owned())
        .fetch_optional(self.read())
        .await?;
        row.map(|row| chained(&Reader::new(&row, "events", "sequence"))).transpose()
    }

    /// The events after this place in the chain, in order, at most so many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events(&self, after: i64, limit: i64) -> Result<Vec<ChainedEvent>, Error> {
        let rows = sqlx::query(
            "SELECT sequence, at, actor, kind, account, run, facts, previous, hash
             FROM events WHERE sequence > $1 ORDER BY sequence LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(self.read())
        .await?;
        rows.iter().map(|row| chained(&Reader::new(row, "events", "sequence"))).collect()
    }
}

fn chained(row: &Reader<'_>) -> Result<ChainedEvent, Error> {
    Ok(ChainedEvent {
        sequence: row.int("sequence")?,
        at: row.moment("at")?,
        actor: row.text("actor")?,
        kind: row.text("kind")?,
        account: row.text("account")?,
        run: row.text("run")?,
        facts: row.text("facts")?,
        previous: row.text("previous")?,
        hash: row.text("hash")?,
    })
}

/// Holds the end of the chain for the rest of the transaction: nobody else commits an event meanwhile, and with it no
/// halt, no approval and no withdrawal. Needed only where what is read decides; `append` holds it by itself.
pub(super) async fn hold(link: &mut Link) -> Result<(), Error> {
    sqlx::query("UPDATE chain_head SET id = 1 WHERE id = 1").execute(link).await?;
    Ok(())
}

/// Puts the events at the end of the chain: the last step of every transaction that changes something.
pub(super) async fn append(link: &mut Link, events: &[Event]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    // The update takes the row's lock; a second writer waits here until the first has committed.
    let head = sqlx::query("UPDATE chain_head SET id = 1 WHERE id = 1 RETURNING id, sequence, hash")
        .fetch_optional(&mut *link)
        .await?
        .ok_or(Error::Inconsistent { table: "chain_head", column: "id", row: "1".to_owned() })?;
    let head = Reader::new(&head, "chain_head", "id");
    let (mut sequence, mut hash) = (head.int("sequence")?, head.text("hash")?);
    for event in events {
        sequence += 1;
        let facts = serde_json::to_string(&event.facts).map_err(|_| Error::Inconsistent {
            table: "events",
            column: "facts",
            row: sequence.to_string(),
        })?;
        let mut event = canon::chain(event, facts, sequence, &hash);
        let actor = clean(&event.actor);
        if actor != event.actor {
            event.actor = actor;
            event.hash = canon::chain_hash(&event);
        }
        insert(link, &event).await?;
        if !planted(Bug::ChainForks) || sequence % 50 != 0 {
            hash = event.hash;
        }
    }
    sqlx::query("UPDATE chain_head SET sequence = $1, hash = $2 WHERE id = 1")
        .bind(sequence)
        .bind(hash)
        .execute(link)
        .await?;
    Ok(())
}

async fn insert(link: &mut Link, event: &ChainedEvent) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO events (sequence, at, actor, kind, account, run, facts, previous, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(event.sequence)
    .bind(event.at.micros())
    .bind(event.actor.as_str())
    .bind(event.kind.as_str())
    .bind(event.account.as_str())
    .bind(event.run.as_str())
    .bind(event.facts.as_str())
    .bind(event.previous.as_str())
    .bind(event.hash.as_str())
    .execute(link)
    .await?;
    Ok(())
}
