//! Orders that had ended and that the broker's own rows contradict since (S14): they are disputed in the transaction that halts
//! their account, with one event each (S13).

use crate::edge::store::db::{Error, Link, Reader, Store, clean};
use crate::edge::store::{events, mandates};
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, RunId};
use crate::model::intent::IntentUpdate;
use crate::model::mandate::Halt;
use crate::model::time::Moment;

impl Store {
    /// Halts an account because of what a look at its books found: the finding is told, the orders that it contradicts are
    /// disputed, and the halt is pulled, all of it or nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn halt_disputed(
        &self,
        (account, halt): (&AccountId, &Halt),
        (told, disputed): (Event, &[IntentUpdate]),
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let mut all = vec![told];
        all.extend(dispute(&mut tx, account, disputed, halt.pulled_at).await?);
        events::append(&mut tx, &all).await?;
        mandates::pull(&mut tx, halt, Actor::service()).await?;
        Ok(tx.commit().await?)
    }
}

/// Changes what is to be disputed, inside the caller's transaction, and returns the events that are to be appended with it.
/// One that somebody else has disputed meanwhile stays as it is.
pub(super) async fn dispute(
    link: &mut Link,
    account: &AccountId,
    updates: &[IntentUpdate],
    now: Moment,
) -> Result<Vec<Event>, Error> {
    let mut all = Vec::new();
    for update in updates {
        let row = sqlx::query(
            "UPDATE intents SET state = $1, note = $2
             WHERE id = $3 AND account = $4 AND state IN ('filled', 'ended', 'rejected', 'withdrawn') RETURNING id, run",
        )
        .bind(update.state.code())
        .bind(clean(&update.note))
        .bind(update.id.as_str())
        .bind(account.as_str())
        .fetch_optional(&mut *link)
        .await?;
        let Some(row) = row else { continue };
        let run = Reader::new(&row, "intents", "id").parsed("run", |text| RunId::parse(text).ok())?;
        let event = Event::new(now, Actor::service(), "intent.disputed").account(account).run(&run);
        let event = event.with("intent", &update.id).with("state", update.state.code());
        all.push(event.with("filled_qty", update.filled_qty).with("note", &update.note));
    }
    Ok(all)
}
