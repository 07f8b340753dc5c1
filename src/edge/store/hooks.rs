//! Signed messages that ask for runs: each id asks once, and says for ever which runs it made.

use crate::edge::points;
use crate::edge::store::db::{Error, Link, Reader, Store};
use crate::edge::store::events;
use crate::edge::store::moments::{Asked, insert_beside};
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, HookId, RunId, StrategyName};
use crate::model::time::Moment;

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The sender's name for it.
    pub id: HookId,
    /// The strategy to look at.
    pub strategy: StrategyName,
    /// The account, if one alone.
    pub account: Option<AccountId>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hooked {
    /// These runs were made.
    Made(Vec<RunId>),
    /// It came before, and made these.
    Again(Vec<RunId>),
    /// Its id came before, with another wish.
    Other,
    /// No such strategy is loaded.
    Unknown,
    /// The account does not follow the strategy.
    Nobody,
}

impl Store {
    /// Makes the runs that a message asks for, once for its id.
    ///
    /// # Errors
    /// When the database fails: then nothing was made, and the message may come again.
    pub async fn trigger_by_hook(&self, hook: &Hook, is_loaded: bool, now: Moment) -> Result<Hooked, Error> {
        let mut tx = self.begin_write(points::TRIGGER).await?;
        // Whoever brings the same id at the same time waits here, and then finds it taken.
        let taken = sqlx::query(
            "INSERT INTO hooks (id, strategy, account, received_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING RETURNING id",
        )
        .bind(hook.id.as_str())
        .bind(hook.strategy.as_str())
        .bind(hook.account.as_ref().map(|account| account.as_str().to_owned()))
        .bind(now.micros())
        .fetch_optional(&mut *tx)
        .await?;
        if taken.is_none() {
            return again(&mut tx, hook).await;
        }
        if !is_loaded {
            return Ok(Hooked::Unknown);
        }
        let mut followers = self.followers(&mut tx, &hook.strategy).await?;
        if let Some(account) = &hook.account {
            followers.retain(|(follower, _)| follower.account == *account);
            if followers.is_empty() {
                return Ok(Hooked::Nobody);
            }
        }
        let (mut runs, mut all) = (Vec::with_capacity(followers.len()), Vec::new());
        for (follower, _) in &followers {
            let asked = Asked::Webhook(&hook.id);
            let run = insert_beside(&mut tx, (follower, asked), now).await?;
            let event = Event::new(now, Actor::webhook(), "run.triggered").account(&follower.account).run(&run);
            let event = event.with("subscription", &follower.id).with("slot_reason", asked.reason());
            all.push(event.with("hook", &hook.id));
            runs.push(run);
        }
        runs.sort();
        let event = Event::new(now, Actor::webhook(), "hook.accepted").with("hook", &hook.id);
        all.insert(0, event.with("strategy", &hook.strategy).with("runs", runs.len()));
        events::append(&mut tx, &all).await?;
        self.commit(tx, points::TRIGGER).await?;
        Ok(Hooked::Made(runs))
    }
}

/// What an id that came before had asked for, and made.
async fn again(link: &mut Link, hook: &Hook) -> Result<Hooked, Error> {
    let row = sqlx::query("SELECT id, strategy, account FROM hooks WHERE id = $1")
        .bind(hook.id.as_str())
        .fetch_one(&mut *link)
        .await?;
    let row = Reader::new(&row, "hooks", "id");
    let account = row.maybe_text("account")?;
    if row.text("strategy")? != hook.strategy.as_str()
        || account.as_deref() != hook.account.as_ref().map(AccountId::as_str)
    {
        return Ok(Hooked::Other);
    }
    let rows =
        sqlx::query("SELECT id FROM runs WHERE hook = $1 ORDER BY id").bind(hook.id.as_str()).fetch_all(link).await?;
    let id = |row| Reader::new(row, "runs", "id").parsed("id", |text| RunId::parse(text).ok());
    Ok(Hooked::Again(rows.iter().map(id).collect::<Result<_, Error>>()?))
}
