//! Intents: stored before they are sent, settled once.

use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::events::link;
use super::runs::hold;
use super::slots::Claim;
use super::{Cells, Error, Store, known};
use crate::model::environment::{Environment, Kind};
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, ClientOrderId, IntentId, OrderId, RunId, Symbol};
use crate::model::intent::{Intent, IntentState, IntentUpdate};
use crate::model::money::{Price, Qty, Usd};
use crate::model::plan::{Amount, Phase, Pricing};
use crate::model::time::Moment;

/// Which intents to list; what is `None` matches all.
#[derive(Debug, Clone, Default)]
pub struct IntentFilter {
    /// Of one account.
    pub account: Option<AccountId>,
    /// Of one run.
    pub run: Option<RunId>,
    /// At most so many, oldest first; zero is none.
    pub limit: i64,
}

impl IntentFilter {
    /// Every intent.
    pub fn all() -> Self {
        Self { limit: i64::MAX, ..Self::default() }
    }
}

macro_rules! intents {
    ($rest:literal) => {
        concat!(
            "SELECT id, run_id, account_id, environment, phase, attempt, client_order_id, symbol, qty, notional, \
             limit_price, value, state, order_id, filled_qty, filled_avg_price, note, recorded_at, settled_at \
             FROM intents ",
            $rest
        )
    };
}

fn intent_of(row: &AnyRow) -> Result<Intent, Error> {
    let cells = Cells::of("intents", row);
    let amount = match (cells.maybe("qty", Qty::parse)?, cells.maybe("notional", Usd::parse)?) {
        (Some(qty), None) => Amount::Qty(qty),
        (None, Some(notional)) => Amount::Notional(notional),
        _ => return Err(cells.nonsense("qty")),
    };
    let state = cells.noun("state", |text| known(IntentState::parse(text)))?;
    let settled_at = cells.maybe_moment("settled_at")?;
    if state.is_terminal() != settled_at.is_some() {
        return Err(cells.nonsense("settled_at"));
    }
    Ok(Intent {
        id: cells.noun("id", IntentId::parse)?,
        run: cells.noun("run_id", RunId::parse)?,
        account: cells.noun("account_id", AccountId::parse)?,
        environment: cells.noun("environment", |text| known(Kind::parse(text)))?,
        phase: cells.noun("phase", |text| known(Phase::parse(text)))?,
        attempt: u32::try_from(cells.int("attempt")?).map_err(|_| cells.nonsense("attempt"))?,
        client_order_id: cells.noun("client_order_id", ClientOrderId::parse)?,
        symbol: cells.noun("symbol", Symbol::parse)?,
        amount,
        pricing: cells.maybe("limit_price", Price::parse)?.map_or(Pricing::Market, Pricing::Limit),
        value: cells.noun("value", Usd::parse)?,
        state,
        order: cells.maybe("order_id", OrderId::parse)?,
        filled_qty: cells.noun("filled_qty", Qty::parse)?,
        filled_avg_price: cells.maybe("filled_avg_price", Price::parse)?,
        note: cells.text("note")?,
        recorded_at: cells.moment("recorded_at")?,
        settled_at,
    })
}

/// Stores intents inside the wall's transaction; returns their events.
pub(super) async fn insert(tx: &mut Transaction<'static, Any>, intents: &[Intent]) -> Result<Vec<Event>, Error> {
    let mut events = Vec::with_capacity(intents.len());
    for intent in intents {
        let (qty, notional) = match intent.amount {
            Amount::Qty(qty) => (Some(qty.to_string()), None),
            Amount::Notional(notional) => (None, Some(notional.to_string())),
        };
        let limit = match intent.pricing {
            Pricing::Market => None,
            Pricing::Limit(price) => Some(price.to_string()),
        };
        let event = Event::new(intent.recorded_at, Actor::service(), "intent.recorded")
            .account(&intent.account)
            .run(&intent.run)
            .with("client_order_id", &intent.client_order_id)
            .with("side", intent.phase.side().code())
            .with("symbol", &intent.symbol)
            .with("qty", qty.clone().unwrap_or_default())
            .with("notional", notional.clone().unwrap_or_default())
            .with("limit_price", limit.clone().unwrap_or_default())
            .with("value", intent.value);
        events.push(event);
        sqlx::query(
            "INSERT INTO intents (id, run_id, account_id, environment, phase, attempt, client_order_id, symbol, qty, \
             notional, limit_price, value, state, filled_qty, note, recorded_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        )
        .bind(intent.id.as_str())
        .bind(intent.run.as_str())
        .bind(intent.account.as_str())
        .bind(intent.environment.code())
        .bind(intent.phase.code())
        .bind(i64::from(intent.attempt))
        .bind(intent.client_order_id.as_str())
        .bind(intent.symbol.as_str())
        .bind(qty)
        .bind(notional)
        .bind(limit)
        .bind(intent.value.to_string())
        .bind(intent.state.code())
        .bind(intent.filled_qty.to_string())
        .bind(&intent.note)
        .bind(intent.recorded_at.micros())
        .execute(&mut **tx)
        .await?;
    }
    Ok(events)
}

/// The event of a state, one for each change (S13).
fn event_of(state: IntentState) -> &'static str {
    match state {
        IntentState::Recorded => "intent.recorded",
        IntentState::Unknown => "intent.unknown",
        IntentState::Open => "intent.open",
        IntentState::Filled => "intent.filled",
        IntentState::Ended => "intent.ended",
        IntentState::Rejected => "intent.rejected",
        IntentState::Withdrawn => "intent.withdrawn",
        IntentState::Quarantined => "intent.quarantined",
    }
}

impl Store {
    /// Wall 3: what became of intents, in one transaction. An intent that has ended never changes again (S14).
    ///
    /// # Errors
    /// When the claim is lost, an intent has ended already, or the database fails: then nothing is stored.
    pub async fn settle<E: Environment>(
        &self,
        claim: &Claim<E>,
        updates: &[IntentUpdate],
        now: Moment,
    ) -> Result<(), Error> {
        if updates.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        if !hold(&mut tx, claim).await? {
            return Err(Error::Conflict { what: format!("run {} was taken over by another worker", claim.run.id) });
        }
        let mut events = Vec::with_capacity(updates.len());
        for update in updates {
            let done = sqlx::query(
                "UPDATE intents SET state = $1, order_id = $2, filled_qty = $3, filled_avg_price = $4, note = $5, \
                 settled_at = $6 WHERE id = $7 AND run_id = $8 AND settled_at IS NULL",
            )
            .bind(update.state.code())
            .bind(update.order.as_ref().map(|id| id.as_str().to_owned()))
            .bind(update.filled_qty.to_string())
            .bind(update.filled_avg_price.map(|price| price.to_string()))
            .bind(&update.note)
            .bind(update.settled_at.map(Moment::micros))
            .bind(update.id.as_str())
            .bind(claim.run.id.as_str())
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() != 1 {
                return Err(Error::Inconsistent { table: "intents", column: "state", row: update.id.to_string() });
            }
            let event = Event::new(now, Actor::service(), event_of(update.state))
                .account(&claim.run.account)
                .run(&claim.run.id)
                .with("intent", &update.id)
                .with("order", update.order.as_ref().map(ToString::to_string).unwrap_or_default())
                .with("filled_qty", update.filled_qty)
                .with("filled_avg_price", update.filled_avg_price.map(|price| price.to_string()).unwrap_or_default())
                .with("note", &update.note);
            events.push(event);
        }
        link(&mut tx, &events).await?;
        Ok(tx.commit().await?)
    }

    /// The intents of a run, in the order of their legs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intents_of(&self, run: &RunId) -> Result<Vec<Intent>, Error> {
        let rows = sqlx::query(intents!("WHERE run_id = $1 ORDER BY phase DESC, symbol, attempt"))
            .bind(run.as_str())
            .fetch_all(self.db.reader())
            .await?;
        rows.iter().map(intent_of).collect()
    }

    /// Intents whose fate is not known yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unsettled(&self) -> Result<Vec<Intent>, Error> {
        let rows = sqlx::query(intents!("WHERE settled_at IS NULL ORDER BY recorded_at, id"))
            .fetch_all(self.db.reader())
            .await?;
        rows.iter().map(intent_of).collect()
    }

    /// Intents, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intents(&self, filter: &IntentFilter) -> Result<Vec<Intent>, Error> {
        let rows = sqlx::query(intents!(
            "WHERE ($1 = '' OR account_id = $1) AND ($2 = '' OR run_id = $2) ORDER BY recorded_at, id LIMIT $3"
        ))
        .bind(filter.account.as_ref().map_or("", |id| id.as_str()))
        .bind(filter.run.as_ref().map_or("", |id| id.as_str()))
        .bind(filter.limit)
        .fetch_all(self.db.reader())
        .await?;
        rows.iter().map(intent_of).collect()
    }
}
