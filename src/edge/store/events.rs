//! The chain of events. Links are made inside the transaction that does what they tell; the head's row is locked there,
//! so two transactions never link to the same place.

use sqlx::{Any, Transaction};

use super::{Cells, Error, Store};
use crate::model::canon;
use crate::model::event::{ChainedEvent, Event};

/// Links events at the end of a transaction.
pub(super) async fn link(tx: &mut Transaction<'static, Any>, events: &[Event]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    let moved = "UPDATE chain_head SET sequence = sequence + $1 WHERE id = 'head' RETURNING id, sequence, hash";
    let head = sqlx::query(moved).bind(count).fetch_one(&mut **tx).await?;
    let head = Cells::of("chain_head", &head);
    let mut sequence = head.int("sequence")? - count;
    let mut previous = head.text("hash")?;
    for event in events {
        sequence += 1;
        let facts = serde_json::to_string(&event.facts).unwrap_or_else(|_| "{}".to_owned());
        let chained = canon::chain(event, facts, sequence, &previous);
        sqlx::query(
            "INSERT INTO events (sequence, happened_at, actor, kind, account_id, run_id, facts, previous, hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(chained.sequence)
        .bind(chained.at.micros())
        .bind(&chained.actor)
        .bind(&chained.kind)
        .bind(&chained.account)
        .bind(&chained.run)
        .bind(&chained.facts)
        .bind(&chained.previous)
        .bind(&chained.hash)
        .execute(&mut **tx)
        .await?;
        previous = chained.hash;
    }
    sqlx::query("UPDATE chain_head SET hash = $1 WHERE id = 'head'").bind(&previous).execute(&mut **tx).await?;
    Ok(())
}

impl Store {
    /// Appends events that stand for themselves.
    ///
    /// # Errors
    /// When the database fails: then none is appended.
    pub async fn append(&self, events: &[Event]) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        link(&mut tx, events).await?;
        Ok(tx.commit().await?)
    }

    /// The events after a place, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events(&self, after: i64, limit: i64) -> Result<Vec<ChainedEvent>, Error> {
        let rows = sqlx::query(
            "SELECT sequence, happened_at, actor, kind, account_id, run_id, facts, previous, hash \
             FROM events WHERE sequence > $1 ORDER BY sequence LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(self.db.reader())
        .await?;
        rows.iter()
            .map(|row| {
                let cells = Cells::of("events", row);
                Ok(ChainedEvent {
                    sequence: cells.int("sequence")?,
                    at: cells.moment("happened_at")?,
                    actor: cells.text("actor")?,
                    kind: cells.text("kind")?,
                    account: cells.text("account_id")?,
                    run: cells.text("run_id")?,
                    facts: cells.text("facts")?,
                    previous: cells.text("previous")?,
                    hash: cells.text("hash")?,
                })
            })
            .collect()
    }
}
