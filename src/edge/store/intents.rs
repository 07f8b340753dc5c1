//! Intents: recorded before the first byte leaves (S2), followed to their end, and absorbed there (S14).

use std::collections::BTreeSet;

use sqlx::any::AnyRow;

use crate::decide;
use crate::decide::guard::Cleared;
use crate::edge::points;
use crate::edge::recorded::Recorded;
use crate::edge::store::db::{Error, Link, Reader, Store, clean, taken};
use crate::edge::store::slots::{self, Claim};
use crate::edge::store::{events, mandates};
use crate::model::environment::{Environment, Kind};
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, ClientOrderId, IntentId, OrderId, RunId, StrategyVersion, Symbol};
use crate::model::intent::{Intent, IntentState, IntentUpdate};
use crate::model::mandate::{Mandate, ServicePolicy};
use crate::model::money::{Fraction, Price, Qty, Usd};
use crate::model::plan::{Amount, Phase, Pricing};
use crate::model::run::Run;
use crate::model::snapshot::Shares;
use crate::model::time::Moment;
use crate::model::verdict::{Reason, Refusal, RefusalCode};
use crate::model::zoo::{Bug, planted};

/// What a half of a run is about: stored with its intents.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Which try of its legs this is, counted from one.
    pub attempt: u32,
    /// The decision, as it is shown to people and kept: JSON text.
    pub decision: String,
    /// Why it trades.
    pub reason: Reason,
    /// The strategy's version that decided.
    pub version: StrategyVersion,
    /// Where the portfolio stands.
    pub drift_before: Fraction,
    /// The share of the portfolio that is to be sold.
    pub turnover: Fraction,
    /// What the account holds.
    pub held: Shares,
}

/// What came of the record transaction.
#[derive(Debug)]
pub enum RecordAnswer<E> {
    /// The intents are durable.
    Stored(Recorded<E>),
    /// Something is not allowed any more; only the refusal is stored.
    Refused(Vec<Refusal>),
    /// Another worker has the run; nothing is stored.
    ClaimLost,
}

/// Which intents to list, newest first.
#[derive(Debug, Clone)]
pub struct IntentFilter {
    /// Only of this account.
    pub account: Option<AccountId>,
    /// Only of this run.
    pub run: Option<RunId>,
    /// At most so many.
    pub limit: i64,
}

impl Default for IntentFilter {
    fn default() -> Self {
        Self { account: None, run: None, limit: 100 }
    }
}

impl IntentFilter {
    /// Every intent there is.
    pub fn all() -> Self {
        Self { limit: i64::MAX, ..Self::default() }
    }
}

/// Names in one question: as many as its text has places for.
const AT_A_TIME: usize = 16;

impl Store {
    /// Wall 2, in one transaction: the claim, the halts, the approvals and the day's count are read again, the guard's
    /// gate judges what it cleared by them, and either all intents are stored or the refusal is.
    ///
    /// # Errors
    /// When the database fails: then nothing is stored and nothing may be sent.
    pub async fn record<E: Environment>(
        &self,
        claim: &Claim<E>,
        (cleared, recording): (&Cleared<E>, &Recording),
        limits: (&ServicePolicy, (Moment, Moment)),
        now: Moment,
    ) -> Result<RecordAnswer<E>, Error> {
        let mut tx = self.begin_write(points::RECORD).await?;
        if !slots::hold(&mut tx, claim).await? {
            return Ok(RecordAnswer::ClaimLost);
        }
        // From here to the commit nobody pulls a halt or withdraws an approval: either we see it, or it comes after.
        events::hold(&mut tx).await?;
        let run = claim.run();
        let mandate = mandates::read_mandate(&mut tx, run, limits).await?;
        self.points.cross(points::RECORD_READ).await;
        ended_before(&mut tx, run, (cleared, recording.attempt)).await?;
        let (answer, all) = match judged(run, (cleared, recording), &mandate, now) {
            Ok(intents) => {
                note_decision(&mut tx, run, recording).await?;
                for (place, intent) in (0_i64..).zip(&intents) {
                    insert(&mut tx, place, intent).await?;
                    self.points.cross(points::RECORD_INSERTED).await;
                }
                let told = if planted(Bug::RecordedUntold) { &[][..] } else { &intents[..] };
                let all = told.iter().map(|intent| recorded(intent, recording, now)).collect();
                (RecordAnswer::Stored(Recorded::committed(intents)), all)
            }
            Err(refusals) => {
                note_version(&mut tx, run, recording).await?;
                let all = vec![refused(run, &refusals, now)];
                (RecordAnswer::Refused(refusals), all)
            }
        };
        events::append(&mut tx, &all).await?;
        self.points.cross(points::RECORD_TOLD).await;
        if planted(Bug::IntentAfterSend) {
            return Ok(answer);
        }
        self.commit(tx, points::RECORD).await?;
        Ok(answer)
    }

    /// Stores what became of intents; all of it or nothing.
    ///
    /// # Errors
    /// [`Error::ClaimLost`]; [`Error::Inconsistent`] when an intent has ended already or is not of this run; otherwise
    /// when the database fails.
    pub async fn settle<E: Environment>(
        &self,
        claim: &Claim<E>,
        updates: &[IntentUpdate],
        now: Moment,
    ) -> Result<(), Error> {
        if updates.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin_write(points::SETTLE).await?;
        let run = claim.run();
        if !slots::hold(&mut tx, claim).await? {
            return Err(Error::ClaimLost { run: run.id.to_string() });
        }
        let mut all = Vec::new();
        for update in updates {
            change(&mut tx, run, update).await?;
            self.points.cross(points::SETTLE_CHANGED).await;
            if !planted(Bug::SettledUntold) {
                all.push(told(run, update, now));
            }
        }
        events::append(&mut tx, &all).await?;
        self.commit(tx, points::SETTLE).await
    }

    /// The intents of one try of a half of a run that an earlier process made durable; `None` when there are none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recorded<E: Environment>(
        &self,
        claim: &Claim<E>,
        (phase, attempt): (Phase, u32),
    ) -> Result<Option<Recorded<E>>, Error> {
        let mut intents = self.intents_of(&claim.run().id).await?;
        intents.retain(|intent| intent.phase == phase && intent.attempt == attempt);
        Ok((!intents.is_empty()).then(|| Recorded::found(intents)))
    }

    /// The intents of a run, in the order in which they were recorded.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intents_of(&self, run: &RunId) -> Result<Vec<Intent>, Error> {
        let rows = sqlx::query("SELECT * FROM intents WHERE run = $1 ORDER BY recorded_at, place, id")
            .bind(run.as_str())
            .fetch_all(self.read())
            .await?;
        rows.iter().map(intent_of).collect()
    }

    /// Every intent whose fate is not known, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unsettled(&self) -> Result<Vec<Intent>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM intents WHERE state IN ('recorded', 'unknown', 'open') ORDER BY recorded_at, run, place",
        )
        .fetch_all(self.read())
        .await?;
        rows.iter().map(intent_of).collect()
    }

    /// The intent with this id, client order id, or order id of the broker.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intent_named(&self, name: &str) -> Result<Option<Intent>, Error> {
        let row = sqlx::query("SELECT * FROM intents WHERE id = $1 OR client_order_id = $1 OR order_id = $1")
            .bind(name)
            .fetch_optional(self.read())
            .await?;
        row.as_ref().map(intent_of).transpose()
    }

    /// The intents of an account to which the broker gave these ids, many at a time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intents_by_order(
        &self,
        account: &AccountId,
        orders: &BTreeSet<OrderId>,
    ) -> Result<Vec<Intent>, Error> {
        const TEXT: &str = "SELECT * FROM intents WHERE account = $1
             AND order_id IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
        self.named_in(TEXT, account, orders.iter().map(OrderId::as_str).collect()).await
    }

    /// The intents of an account that are sent under these ids, many at a time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intents_by_client_id(
        &self,
        account: &AccountId,
        ids: &BTreeSet<ClientOrderId>,
    ) -> Result<Vec<Intent>, Error> {
        const TEXT: &str = "SELECT * FROM intents WHERE account = $1
             AND client_order_id IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
        self.named_in(TEXT, account, ids.iter().map(ClientOrderId::as_str).collect()).await
    }

    /// One question for each [`AT_A_TIME`] names; a shorter set repeats its last name.
    async fn named_in(&self, text: &'static str, account: &AccountId, names: Vec<&str>) -> Result<Vec<Intent>, Error> {
        let mut intents = Vec::new();
        for some in names.chunks(AT_A_TIME) {
            let last = some.last().copied().unwrap_or_default();
            let mut query = sqlx::query(text).bind(account.as_str());
            for name in some.iter().copied().chain(std::iter::repeat(last)).take(AT_A_TIME) {
                query = query.bind(name);
            }
            for row in &query.fetch_all(self.read()).await? {
                intents.push(intent_of(row)?);
            }
        }
        Ok(intents)
    }

    /// Intents, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intents(&self, filter: &IntentFilter) -> Result<Vec<Intent>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM intents
             WHERE (CAST($1 AS TEXT) IS NULL OR account = $1) AND (CAST($2 AS TEXT) IS NULL OR run = $2)
             ORDER BY recorded_at DESC, run, place LIMIT $3",
        )
        .bind(filter.account.as_ref().map(|id| id.as_str().to_owned()))
        .bind(filter.run.as_ref().map(|id| id.as_str().to_owned()))
        .bind(filter.limit)
        .fetch_all(self.read())
        .await?;
        rows.iter().map(intent_of).collect()
    }
}

/// The gate of the guard, with what the transaction has read: the intents to store, or every refusal.
/// A further try of a leg needs the one before it to have ended, with all that was filled of it known.
async fn ended_before<E: Environment>(
    link: &mut Link,
    run: &Run,
    (cleared, attempt): (&Cleared<E>, u32),
) -> Result<(), Error> {
    if attempt == Intent::FIRST {
        return Ok(());
    }
    for leg in cleared.legs() {
        let row =
            sqlx::query("SELECT id, state FROM intents WHERE run = $1 AND phase = $2 AND symbol = $3 AND attempt = $4")
                .bind(run.id.as_str())
                .bind(leg.phase.code())
                .bind(leg.symbol.as_str())
                .bind(i64::from(attempt) - 1)
                .fetch_optional(&mut *link)
                .await?;
        let state = row.as_ref().map(|row| Reader::new(row, "intents", "id").text("state")).transpose()?;
        if state.as_deref() != Some(IntentState::Ended.code()) {
            return Err(Error::Inconsistent { table: "intents", column: "attempt", row: run.id.to_string() });
        }
    }
    Ok(())
}

fn judged<E: Environment>(
    run: &Run,
    (cleared, recording): (&Cleared<E>, &Recording),
    mandate: &Mandate,
    now: Moment,
) -> Result<Vec<Intent>, Vec<Refusal>> {
    let refusals = decide::guard::gate(cleared, (&run.strategy, &recording.version), mandate, now);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    decide::intents::intents(cleared, (&run.id, recording.attempt), now)
        .map_err(|fault| vec![Refusal { code: RefusalCode::ClaimLost, detail: fault.to_string() }])
}

/// The first half's reason and drift stay: a second half completes what the first began.
async fn note_decision(link: &mut Link, run: &Run, recording: &Recording) -> Result<(), Error> {
    sqlx::query(
        "UPDATE runs SET reason = COALESCE(reason, $1), version = $2, decision = $3,
             drift_before = COALESCE(drift_before, $4), turnover = COALESCE(turnover, $5), program = $6,
             held = COALESCE(held, $7)
         WHERE id = $8",
    )
    .bind(recording.reason.code())
    .bind(recording.version.as_str())
    .bind(clean(&recording.decision))
    .bind(recording.drift_before.to_string())
    .bind(recording.turnover.to_string())
    .bind(env!("CARGO_PKG_VERSION"))
    .bind(recording.held.to_string())
    .bind(run.id.as_str())
    .execute(link)
    .await?;
    Ok(())
}

async fn note_version(link: &mut Link, run: &Run, recording: &Recording) -> Result<(), Error> {
    sqlx::query("UPDATE runs SET version = $1 WHERE id = $2")
        .bind(recording.version.as_str())
        .bind(run.id.as_str())
        .execute(link)
        .await?;
    Ok(())
}

async fn insert(link: &mut Link, place: i64, intent: &Intent) -> Result<(), Error> {
    let (qty, notional) = match intent.amount {
        Amount::Qty(qty) => (Some(qty.to_string()), None),
        Amount::Notional(usd) => (None, Some(usd.to_string())),
    };
    let limit = match intent.pricing {
        Pricing::Market => None,
        Pricing::Limit(price) => Some(price.to_string()),
    };
    sqlx::query(
        "INSERT INTO intents (id, run, place, account, environment, phase, attempt, client_order_id, symbol, qty,
             notional, limit_price, reckoned_value, state, order_id, filled_qty, filled_avg_price, note, recorded_at,
             settled_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    )
    .bind(intent.id.as_str())
    .bind(intent.run.as_str())
    .bind(place)
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
    .bind(intent.order.as_ref().map(|id| id.as_str().to_owned()))
    .bind(intent.filled_qty.to_string())
    .bind(intent.filled_avg_price.map(|price| price.to_string()))
    .bind(clean(&intent.note))
    .bind(intent.recorded_at.micros())
    .bind(intent.settled_at.map(Moment::micros))
    .execute(link)
    .await
    .map_err(|error| taken(error, || format!("intent {} is recorded already", intent.id)))?;
    Ok(())
}

async fn change(link: &mut Link, run: &Run, update: &IntentUpdate) -> Result<(), Error> {
    let done = sqlx::query(
        "UPDATE intents SET state = $1, order_id = COALESCE($2, order_id), filled_qty = $3, filled_avg_price = $4,
             note = $5, settled_at = $6
         WHERE id = $7 AND run = $8 AND state IN ('recorded', 'unknown', 'open')",
    )
    .bind(update.state.code())
    .bind(update.order.as_ref().map(|id| id.as_str().to_owned()))
    .bind(update.filled_qty.to_string())
    .bind(update.filled_avg_price.map(|price| price.to_string()))
    .bind(clean(&update.note))
    .bind(update.settled_at.map(Moment::micros))
    .bind(update.id.as_str())
    .bind(run.id.as_str())
    .execute(link)
    .await?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(Error::Inconsistent { table: "intents", column: "state", row: update.id.to_string() })
    }
}

fn recorded(intent: &Intent, recording: &Recording, now: Moment) -> Event {
    let event = Event::new(now, Actor::service(), "intent.recorded")
        .account(&intent.account)
        .run(&intent.run)
        .with("intent", &intent.id)
        .with("client_order_id", &intent.client_order_id)
        .with("environment", intent.environment)
        .with("side", intent.phase.side().code())
        .with("symbol", &intent.symbol)
        .with("value", intent.value)
        .with("reason", recording.reason)
        .with("version", &recording.version);
    let event = match intent.amount {
        Amount::Qty(qty) => event.with("qty", qty),
        Amount::Notional(usd) => event.with("notional", usd),
    };
    match intent.pricing {
        Pricing::Market => event.with("type", "market"),
        Pricing::Limit(price) => event.with("type", "limit").with("limit_price", price),
    }
}

fn refused(run: &Run, refusals: &[Refusal], now: Moment) -> Event {
    let codes: Vec<&str> = refusals.iter().map(|refusal| refusal.code.code()).collect();
    let details: Vec<&str> = refusals.iter().map(|refusal| refusal.detail.as_str()).collect();
    Event::new(now, Actor::service(), "run.refused")
        .account(&run.account)
        .run(&run.id)
        .with("codes", codes.join(" "))
        .with("detail", details.join("; "))
}

/// The one event of a stored change: its end, or where it stands on the way there (S13).
fn told(run: &Run, update: &IntentUpdate, now: Moment) -> Event {
    let kind = if update.state.is_terminal() { "intent.settled" } else { "intent.moved" };
    let mut event = Event::new(now, Actor::service(), kind)
        .account(&run.account)
        .run(&run.id)
        .with("intent", &update.id)
        .with("state", update.state.code())
        .with("filled_qty", update.filled_qty)
        .with("note", &update.note);
    if let Some(order) = &update.order {
        event = event.with("order", order);
    }
    if let Some(price) = update.filled_avg_price {
        event = event.with("filled_avg_price", price);
    }
    event
}

pub(super) fn intent_of(row: &AnyRow) -> Result<Intent, Error> {
    let row = Reader::new(row, "intents", "id");
    let inconsistent =
        |column| -> Result<Error, Error> { Ok(Error::Inconsistent { table: "intents", column, row: row.text("id")? }) };
    let qty = row.maybe_parsed("qty", |text| Qty::parse(text).ok())?;
    let notional = row.maybe_parsed("notional", |text| Usd::parse(text).ok())?;
    let amount = match (qty, notional) {
        (Some(qty), None) => Amount::Qty(qty),
        (None, Some(usd)) => Amount::Notional(usd),
        _ => return Err(inconsistent("qty")?),
    };
    let Ok(attempt) = u32::try_from(row.int("attempt")?) else {
        return Err(inconsistent("attempt")?);
    };
    Ok(Intent {
        id: row.parsed("id", |text| IntentId::parse(text).ok())?,
        run: row.parsed("run", |text| RunId::parse(text).ok())?,
        account: row.parsed("account", |text| AccountId::parse(text).ok())?,
        environment: row.parsed("environment", Kind::parse)?,
        phase: row.parsed("phase", Phase::parse)?,
        attempt,
        client_order_id: row.parsed("client_order_id", |text| ClientOrderId::parse(text).ok())?,
        symbol: row.parsed("symbol", |text| Symbol::parse(text).ok())?,
        amount,
        pricing: row
            .maybe_parsed("limit_price", |text| Price::parse(text).ok())?
            .map_or(Pricing::Market, Pricing::Limit),
        value: row.parsed("reckoned_value", |text| Usd::parse(text).ok())?,
        state: row.parsed("state", IntentState::parse)?,
        order: row.maybe_parsed("order_id", |text| OrderId::parse(text).ok())?,
        filled_qty: row.parsed("filled_qty", |text| Qty::parse(text).ok())?,
        filled_avg_price: row.maybe_parsed("filled_avg_price", |text| Price::parse(text).ok())?,
        note: row.text("note")?,
        recorded_at: row.moment("recorded_at")?,
        settled_at: row.maybe_moment("settled_at")?,
    })
}
