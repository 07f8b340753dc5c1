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
use crate::model::ids::{AccountId, HookId, RunId, StrategyName, StrategyVersion, SubscriptionId};
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

/// The active subscriptions of a strategy that began before a version of it was first loaded, and have no run of it.
macro_rules! not_yet {
    () => {
        "SELECT s.id, s.account, s.strategy, s.started_at, a.environment
         FROM subscriptions s JOIN accounts a ON a.id = s.account
         WHERE s.strategy = $1 AND s.ended_at IS NULL
           AND s.started_at < (SELECT v.first_seen_at FROM strategies v WHERE v.version = $2)
           AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.subscription = s.id
                           AND (r.version = $2 OR r.new_version = $2))
         ORDER BY s.id"
    };
}

// What SQLite's one writer has for granted, PostgreSQL is asked for: a subscription cannot end between being read and
// having its run.
const FOLLOWERS: [&str; 2] = [followers!(), concat!(followers!(), " FOR SHARE OF s")];
const NOT_YET: [&str; 2] = [not_yet!(), concat!(not_yet!(), " FOR SHARE OF s")];
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
            let event = event.with("subscription", id).with("slot_reason", slot.asked.reason());
            events::append(&mut tx, &[event]).await?;
            self.commit(tx, points::TRIGGER).await?;
            return Ok(run);
        }
        named(&subscription, at)
    }

    /// The version of each strategy for which runs were made last, as new.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn offered_versions(&self) -> Result<BTreeMap<StrategyName, StrategyVersion>, Error> {
        let sql = "SELECT strategy, version FROM ledger WHERE version IS NOT NULL";
        let rows = sqlx::query(sql).fetch_all(self.read()).await?;
        let read = |row| {
            let row = Reader::new(row, "ledger", "strategy");
            let name = row.parsed("strategy", |text| StrategyName::parse(text).ok())?;
            Ok((name, row.parsed("version", |text| StrategyVersion::parse(text).ok())?))
        };
        rows.iter().map(read).collect()
    }

    /// Makes a run for every active subscription that is older than this version of its strategy and has not run it yet;
    /// returns how many. None is ever made twice for one version. They may begin until `until`.
    ///
    /// # Errors
    /// When the database fails: then none was made.
    pub async fn offer_version(
        &self,
        (strategy, version): (&StrategyName, &StrategyVersion),
        until: Moment,
        now: Moment,
    ) -> Result<usize, Error> {
        let mut tx = self.begin_write(points::ENQUEUE).await?;
        // Takes the ledger's row: another daemon that offers the same version waits here, and then finds its runs made.
        sqlx::query(
            "INSERT INTO ledger (strategy, evaluated_until, version) VALUES ($1, $2, $3)
             ON CONFLICT (strategy) DO UPDATE SET version = excluded.version",
        )
        .bind(strategy.as_str())
        .bind(now.micros())
        .bind(version.as_str())
        .execute(&mut *tx)
        .await?;
        let rows = sqlx::query(spoken(NOT_YET, self.engine()))
            .bind(strategy.as_str())
            .bind(version.as_str())
            .fetch_all(&mut *tx)
            .await?;
        let mut all = Vec::new();
        for row in &rows {
            let subscription = follower(&Reader::new(row, "subscriptions", "id"))?;
            let asked = Asked::NewVersion { version, until };
            let run = insert_beside(&mut tx, (&subscription, asked), now).await?;
            let event = Event::new(now, Actor::service(), "run.triggered").account(&subscription.account).run(&run);
            all.push(event.with("subscription", &subscription.id).with("slot_reason", asked.reason()));
        }
        let made = all.len();
        let event = Event::new(now, Actor::service(), "version.offered");
        all.insert(0, event.with("strategy", strategy).with("version", version).with("runs", made));
        events::append(&mut tx, &all).await?;
        self.commit(tx, points::ENQUEUE).await?;
        Ok(made)
    }

    /// The active subscriptions of a strategy, each with its start.
    pub(super) async fn followers(
        &self,
        link: &mut Link,
        strategy: &StrategyName,
    ) -> Result<Vec<(Follower, Moment)>, Error> {
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
pub(super) struct Follower {
    pub(super) id: SubscriptionId,
    pub(super) account: AccountId,
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
pub(super) enum Asked<'a> {
    /// A schedule.
    Schedule(&'a DueMoment),
    /// A person.
    Manual,
    /// A version that is new, and may be looked at until then.
    NewVersion { version: &'a StrategyVersion, until: Moment },
    /// A signed message.
    Webhook(&'a HookId),
}

impl Asked<'_> {
    fn trigger(self) -> Trigger {
        match self {
            Self::Schedule(_) => Trigger::Schedule,
            Self::Manual => Trigger::Manual,
            Self::NewVersion { .. } => Trigger::NewVersion,
            Self::Webhook(_) => Trigger::Webhook,
        }
    }

    pub(super) fn reason(self) -> SlotReason {
        match self {
            Self::Schedule(moment) => moment.reason.clone(),
            Self::Manual => SlotReason::manual(),
            Self::NewVersion { .. } => SlotReason::new_version(),
            Self::Webhook(_) => SlotReason::webhook(),
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
            Self::NewVersion { until, .. } => Some(until),
            Self::Manual | Self::Webhook(_) => None,
        }
    }

    fn version(self) -> Option<String> {
        if let Self::NewVersion { version, .. } = self { Some(version.as_str().to_owned()) } else { None }
    }

    fn hook(self) -> Option<String> {
        if let Self::Webhook(hook) = self { Some(hook.as_str().to_owned()) } else { None }
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

/// Other runs may stand on the very moment; so many of them are stepped over, a microsecond each.
const STEPS_MAX: i64 = 1_000;

/// Makes a run that no schedule named, at this moment or just after it.
pub(super) async fn insert_beside(
    link: &mut Link,
    (subscription, asked): (&Follower, Asked<'_>),
    now: Moment,
) -> Result<RunId, Error> {
    for step in 0..STEPS_MAX {
        let slot = Slot { subscription, at: now + Span::from_micros(step), asked };
        if let Some(run) = insert_run(&mut *link, &slot, now).await? {
            return Ok(run);
        }
    }
    Err(Error::Conflict { what: format!("subscription {} has too many runs of this moment", subscription.id) })
}

/// Makes the run of a slot; `None` when it is there already.
async fn insert_run(link: &mut Link, slot: &Slot<'_>, now: Moment) -> Result<Option<RunId>, Error> {
    let (subscription, asked) = (slot.subscription, slot.asked);
    let id = named(subscription, slot.at)?;
    let outcome = asked.is_missed().then(|| missed(slot.at));
    let state = if asked.is_missed() { RunState::Closed } else { RunState::Due };
    let row = sqlx::query(
        "INSERT INTO runs (id, subscription, account, environment, strategy, slot, cause, slot_reason, turn,
             begin_until, state, epoch, made_at, closed_at, outcome, outcome_reason, outcome_detail, new_version, hook)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13, $14, $15, $16, $17, $18)
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
    .bind(asked.version())
    .bind(asked.hook())
    .fetch_optional(link)
    .await?;
    Ok(row.is_some().then_some(id))
}
