//! From moments to runs: what a schedule names, what a person, a new version or a signed message asks for, each is one run
//! for each subscription that it concerns, and never two.
//!
//! The ledger remembers how far each schedule was looked at. It is held while runs are made, so two daemons that see the
//! same moment make one run of it and tell one event.

use std::collections::{BTreeMap, BTreeSet};

use crate::edge::points;
use crate::edge::store::db::{Engine, Error, Link, Reader, Store};
use crate::edge::store::events;
use crate::edge::store::runs::with_outcome;
use crate::model::canon;
use crate::model::environment::Kind;
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, RunId, StrategyName, SubscriptionId};
use crate::model::run::{DueMoment, Fate, RunState, Trigger};
use crate::model::schedule::SlotReason;
use crate::model::time::{Moment, Span};
use crate::model::verdict::{EndReason, Outcome, OutcomeKind};
use crate::model::zoo::{Bug, planted};

/// The active subscriptions of a strategy.
macro_rules! followers {
    () => {
        "SELECT s.id, s.account, s.strategy, s.started_at, a.environment
         FROM subscriptions s JOIN accounts a ON a.id = s.account
         WHERE s.strategy = $1 AND s.ended_at IS NULL ORDER BY s.id"
    };
}

/// One active subscription.
macro_rules! follower {
    () => {
        "SELECT s.id, s.account, s.strategy, s.started_at, a.environment
         FROM subscriptions s JOIN accounts a ON a.id = s.account
         WHERE s.id = $1 AND s.ended_at IS NULL"
    };
}

// What SQLite's one writer has for granted, PostgreSQL is asked for: a subscription cannot end between being read and
// having its run.
const FOLLOWERS: [&str; 2] = [followers!(), concat!(followers!(), " FOR SHARE OF s")];
const FOLLOWER: [&str; 2] = [follower!(), concat!(follower!(), " FOR SHARE OF s")];

/// The text for this database.
pub(super) fn spoken(texts: [&'static str; 2], engine: Engine) -> &'static str {
    let [sqlite, postgres] = texts;
    match engine {
        Engine::Sqlite => sqlite,
        Engine::Postgres => postgres,
    }
}

impl Store {
    /// How far each strategy's schedule has been evaluated.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ledger(&self) -> Result<BTreeMap<StrategyName, Moment>, Error> {
        let rows = sqlx::query("SELECT strategy, evaluated_until FROM ledger").fetch_all(self.read()).await?;
        let read = |row| {
            let row = Reader::new(row, "ledger", "strategy");
            Ok((row.parsed("strategy", |text| StrategyName::parse(text).ok())?, row.moment("evaluated_until")?))
        };
        rows.iter().map(read).collect()
    }

    /// Makes a run for every active subscription and every moment since it started, and moves the ledger; returns how
    /// many runs were made. Doing it twice makes nothing twice. Missed moments are made closed, with that reason; that one
    /// was missed, or made up for, is an event of its own.
    ///
    /// # Errors
    /// When the database fails: then nothing was moved.
    pub async fn enqueue(
        &self,
        strategy: &StrategyName,
        due: &[DueMoment],
        evaluated_until: Moment,
        now: Moment,
    ) -> Result<usize, Error> {
        let mut tx = self.begin_write(points::ENQUEUE).await?;
        let told_until = move_ledger(&mut tx, strategy, evaluated_until).await?;
        let subscriptions = if due.is_empty() { Vec::new() } else { self.followers(&mut tx, strategy).await? };
        let subscriptions = &subscriptions[usize::from(planted(Bug::SlotLost)).min(subscriptions.len())..];
        let mut all: Vec<Event> =
            due.iter().filter(|moment| moment.at > told_until).filter_map(|moment| told(moment, now)).collect();
        let (mut waiting, mut left_out) = (0_usize, 0_usize);
        for moment in due {
            for (subscription, _) in subscriptions.iter().filter(|(_, started)| *started <= moment.at) {
                let slot = Slot { subscription, at: moment.at, asked: Asked::Schedule(moment) };
                let Some(run) = insert_run(&mut tx, &slot, now).await? else {
                    continue;
                };
                if moment.fate.is_missed() {
                    left_out += 1;
                    let event = Event::new(now, Actor::service(), "run.closed").account(&subscription.account);
                    all.push(with_outcome(event.run(&run), &missed(moment.at)).with("slot_reason", &moment.reason));
                } else {
                    waiting += 1;
                }
            }
        }
        let made = waiting + left_out;
        if made > 0 {
            let reasons: BTreeSet<&str> = due.iter().map(|moment| moment.reason.as_str()).collect();
            let event = Event::new(now, Actor::service(), "slots.enqueued")
                .with("strategy", strategy)
                .with("due", waiting)
                .with("missed", left_out)
                .with("reasons", reasons.into_iter().collect::<Vec<_>>().join(" "))
                .with("evaluated_until", evaluated_until);
            all.insert(0, event);
        }
        events::append(&mut tx, &all).await?;
        self.commit(tx, points::ENQUEUE).await?;
        Ok(made)
    }

    /// Makes a run that a person asked for.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the subscription is not active; otherwise when the database fails.
    pub async fn trigger(&self, id: &SubscriptionId, at: Moment, by: &Actor) -> Result<RunId, Error> {
        let mut tx = self.begin_write(points::TRIGGER).await?;
        let row = sqlx::query(spoken(FOLLOWER, self.engine())).bind(id.as_str()).fetch_optional(&mut *tx).await?;
        let row = row.ok_or_else(|| Error::Conflict { what: format!("subscription {id} is not active") })?;
        let subscription = follower(&Reader::new(&row, "subscriptions", "id"))?;
        let slot = Slot { subscription: &subscription, at, asked: Asked::Manual };
        if let Some(run) = insert_run(&mut tx, &slot, at).await? {
            let event = Event::new(at, by.clone(), "run.triggered").account(&subscription.account).run(&run);
            events::append(&mut tx, &[event.with("subscription", id)]).await?;
            self.commit(tx, points::TRIGGER).await?;
            return Ok(run);
        }
        named(&subscription, at)
    }

    /// The active subscriptions of a strategy, each with its start.
    async fn followers(&self, link: &mut Link, strategy: &StrategyName) -> Result<Vec<(Follower, Moment)>, Error> {
        let rows = sqlx::query(spoken(FOLLOWERS, self.engine())).bind(strategy.as_str()).fetch_all(link).await?;
        let read = |row| {
            let row = Reader::new(row, "subscriptions", "id");
            Ok((follower(&row)?, row.moment("started_at")?))
        };
        rows.iter().map(read).collect()
    }
}

/// Holds the ledger's row for the rest of the transaction, moves it forward, never back, and returns where it was.
async fn move_ledger(link: &mut Link, strategy: &StrategyName, until: Moment) -> Result<Moment, Error> {
    let row = sqlx::query(
        "INSERT INTO ledger (strategy, evaluated_until) VALUES ($1, 0)
         ON CONFLICT (strategy) DO UPDATE SET evaluated_until = ledger.evaluated_until
         RETURNING strategy, evaluated_until",
    )
    .bind(strategy.as_str())
    .fetch_one(&mut *link)
    .await?;
    let before = Reader::new(&row, "ledger", "strategy").moment("evaluated_until")?;
    sqlx::query("UPDATE ledger SET evaluated_until = $1 WHERE strategy = $2 AND evaluated_until < $1")
        .bind(until.micros())
        .bind(strategy.as_str())
        .execute(link)
        .await?;
    Ok(before)
}

/// What is told of a moment that did not come on time.
fn told(moment: &DueMoment, now: Moment) -> Option<Event> {
    let (kind, late) = match moment.fate {
        Fate::OnTime => return None,
        Fate::MadeUp(late) => ("moment.made_up", late),
        Fate::Missed(late) => ("moment.missed", late),
    };
    let event = Event::new(now, Actor::service(), kind)
        .with("strategy", &moment.strategy)
        .with("moment", moment.at)
        .with("reason", &moment.reason)
        .with("late_seconds", late.as_secs())
        .with("policy", moment.misfire.code());
    Some(event)
}

/// A subscription, as far as a run needs it.
struct Follower {
    id: SubscriptionId,
    account: AccountId,
    environment: Kind,
    strategy: StrategyName,
}

fn follower(row: &Reader<'_>) -> Result<Follower, Error> {
    Ok(Follower {
        id: row.parsed("id", |text| SubscriptionId::parse(text).ok())?,
        account: row.parsed("account", |text| AccountId::parse(text).ok())?,
        environment: row.parsed("environment", Kind::parse)?,
        strategy: row.parsed("strategy", |text| StrategyName::parse(text).ok())?,
    })
}

/// What asks for a run.
#[derive(Clone, Copy)]
enum Asked<'a> {
    /// A schedule.
    Schedule(&'a DueMoment),
    /// A person.
    Manual,
}

impl Asked<'_> {
    fn trigger(self) -> Trigger {
        match self {
            Self::Schedule(_) => Trigger::Schedule,
            Self::Manual => Trigger::Manual,
        }
    }

    fn reason(self) -> SlotReason {
        match self {
            Self::Schedule(moment) => moment.reason.clone(),
            Self::Manual => SlotReason::manual(),
        }
    }

    fn is_missed(self) -> bool {
        matches!(self, Self::Schedule(moment) if moment.fate.is_missed())
    }

    fn spread(self) -> Span {
        if let Self::Schedule(moment) = self { moment.turns.spread } else { Span::ZERO }
    }

    /// When the run is not begun any more, where the moment says so.
    fn until(self) -> Option<Moment> {
        match self {
            Self::Schedule(moment) => Some(moment.turns.until),
            Self::Manual => None,
        }
    }
}

/// What a run is made from.
struct Slot<'a> {
    subscription: &'a Follower,
    at: Moment,
    asked: Asked<'a>,
}

fn named(subscription: &Follower, slot: Moment) -> Result<RunId, Error> {
    canon::run_id(&subscription.id, slot).map_err(|fault| Error::Conflict { what: fault.to_string() })
}

fn missed(slot: Moment) -> Outcome {
    let detail = format!("the moment {slot} passed before it could be run, and the strategy does not run it later");
    Outcome::ended(OutcomeKind::Skipped, EndReason::Missed, detail)
}

/// Makes the run of a slot; `None` when it is there already.
async fn insert_run(link: &mut Link, slot: &Slot<'_>, now: Moment) -> Result<Option<RunId>, Error> {
    let (subscription, asked) = (slot.subscription, slot.asked);
    let id = named(subscription, slot.at)?;
    let outcome = asked.is_missed().then(|| missed(slot.at));
    let state = if asked.is_missed() { RunState::Closed } else { RunState::Due };
    let row = sqlx::query(
        "INSERT INTO runs (id, subscription, account, environment, strategy, slot, cause, slot_reason, turn,
             begin_until, state, epoch, made_at, closed_at, outcome, outcome_reason, outcome_detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13, $14, $15, $16)
         ON CONFLICT DO NOTHING RETURNING id",
    )
    .bind(id.as_str())
    .bind(subscription.id.as_str())
    .bind(subscription.account.as_str())
    .bind(subscription.environment.code())
    .bind(subscription.strategy.as_str())
    .bind(slot.at.micros())
    .bind(asked.trigger().code())
    .bind(asked.reason().as_str())
    .bind(canon::turn(&subscription.id, slot.at, asked.spread()).micros())
    .bind(asked.until().map(Moment::micros))
    .bind(state.code())
    .bind(now.micros())
    .bind(outcome.as_ref().map(|_| now.micros()))
    .bind(outcome.as_ref().map(|outcome| outcome.kind.code().to_owned()))
    .bind(outcome.as_ref().map(|outcome| outcome.reason.to_owned()))
    .bind(outcome.map(|outcome| outcome.detail))
    .fetch_optional(link)
    .await?;
    Ok(row.is_some().then_some(id))
}
