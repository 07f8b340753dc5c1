//! What users wish for their accounts, and what has left of their withdrawals.
//!
//! A wish is never changed but by what leaves of a withdrawal, and never deleted: a new one ends the one before it.

use sqlx::any::AnyRow;

use crate::edge::store::db::{Error, Link, Reader, Store, clean, taken};
use crate::edge::store::events;
use crate::model::books::Activity;
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, Symbol, WishId};
use crate::model::money::{Fraction, Usd};
use crate::model::personal::{Personal, Said, Wish};
use crate::model::time::Moment;

impl Store {
    /// Stores a wish; it counts from the commit on, in place of one of the same kind about the same symbol.
    ///
    /// # Errors
    /// When the database fails: then it does not count.
    pub async fn say(&self, said: &Said) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        events::hold(&mut tx).await?;
        let by = Actor::operator(&said.by);
        let replaced = end(&mut tx, &said.account, &Ending::of(&said.wish), (&by, said.at)).await?;
        insert(&mut tx, said).await?;
        let mut event = described(Event::new(said.at, by, "override.said").account(&said.account), said);
        event = event.with("reason", &said.reason);
        if let Some(until) = said.until {
            event = event.with("until", until);
        }
        if let Some(before) = replaced.first() {
            event = event.with("instead_of", &before.id);
        }
        events::append(&mut tx, &[event]).await?;
        Ok(tx.commit().await?)
    }

    /// Ends wishes of an account: those of this kind and about this symbol, or all. Returns those that ended.
    ///
    /// # Errors
    /// When the database fails: then they count on.
    pub async fn clear(
        &self,
        account: &AccountId,
        which: &Ending,
        (by, reason): (&Actor, &str),
        at: Moment,
    ) -> Result<Vec<Said>, Error> {
        let mut tx = self.begin().await?;
        events::hold(&mut tx).await?;
        let ended = end(&mut tx, account, which, (by, at)).await?;
        let told: Vec<Event> = ended
            .iter()
            .map(|said| {
                let event = Event::new(at, by.clone(), "override.cleared").account(account).with("reason", reason);
                described(event, said)
            })
            .collect();
        events::append(&mut tx, &told).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// What was said of an account and was not cleared.
    ///
    /// # Errors
    /// When the database fails: then nothing is known, and nothing may be traded.
    pub async fn personal(&self, account: &AccountId) -> Result<Personal, Error> {
        let rows = sqlx::query("SELECT * FROM overrides WHERE account = $1 AND ended_at IS NULL ORDER BY said_at, id")
            .bind(account.as_str())
            .fetch_all(self.read())
            .await?;
        Ok(Personal { said: rows.iter().map(said_of).collect::<Result<_, _>>()? })
    }

    /// Everything that was ever said, of one account or of all, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wishes(&self, account: Option<&AccountId>) -> Result<Vec<Said>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM overrides WHERE (CAST($1 AS TEXT) IS NULL OR account = $1) ORDER BY said_at, id",
        )
        .bind(account.map(|id| id.as_str().to_owned()))
        .fetch_all(self.read())
        .await?;
        rows.iter().map(said_of).collect()
    }

    /// Counts the broker's rows of money that left an account towards its pending withdrawal: each row once, whoever reads
    /// it how often, and none that was booked before the withdrawal was asked for. What has left in full ends.
    ///
    /// # Errors
    /// When the database fails: then nothing is counted.
    pub async fn withdrawn(&self, account: &AccountId, rows: &[Activity], now: Moment) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        events::hold(&mut tx).await?;
        let mut told = Vec::new();
        for activity in rows {
            let pending = sqlx::query(
                "SELECT * FROM overrides WHERE account = $1 AND kind = 'withdraw' AND ended_at IS NULL ORDER BY said_at",
            )
            .bind(account.as_str())
            .fetch_optional(&mut *tx)
            .await?;
            let Some(said) = pending.as_ref().map(said_of).transpose()? else { break };
            let Wish::Withdraw { amount, left } = said.wish else { break };
            if !said.holds_at(now) || activity.at.is_some_and(|at| at < said.at) {
                continue;
            }
            let fresh = sqlx::query(
                "INSERT INTO withdrawals (account, activity, wish, amount, counted_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (account, activity) DO NOTHING",
            )
            .bind(account.as_str())
            .bind(clean(&activity.id))
            .bind(said.id.as_str())
            .bind((-activity.cash).to_string())
            .bind(now.micros())
            .execute(&mut *tx)
            .await?;
            if fresh.rows_affected() == 0 {
                continue;
            }
            let left = (left - activity.cash).min(amount);
            let is_done = left >= amount;
            sqlx::query("UPDATE overrides SET left_amount = $1, ended_at = $2, ended_by = $3 WHERE id = $4")
                .bind(left.to_string())
                .bind(is_done.then_some(now.micros()))
                .bind(is_done.then(|| Actor::service().as_str().to_owned()))
                .bind(said.id.as_str())
                .execute(&mut *tx)
                .await?;
            let event = Event::new(now, Actor::service(), "withdrawal.left").account(account);
            let event = event.with("override", &said.id).with("activity", &activity.id);
            told.push(event.with("amount", -activity.cash).with("pending", amount - left));
        }
        if told.is_empty() {
            return Ok(());
        }
        events::append(&mut tx, &told).await?;
        Ok(tx.commit().await?)
    }
}

/// Which wishes end together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Those of a kind, about one symbol where the kind is about symbols.
    One(&'static str, Option<Symbol>),
    /// All of the account's.
    All,
}

impl Ending {
    /// The one that such a wish takes the place of.
    pub fn of(wish: &Wish) -> Self {
        Self::One(wish.code(), wish.symbol().cloned())
    }
}

async fn end(
    link: &mut Link,
    account: &AccountId,
    which: &Ending,
    (by, at): (&Actor, Moment),
) -> Result<Vec<Said>, Error> {
    let (kind, symbol) = match which {
        Ending::One(kind, symbol) => (Some((*kind).to_owned()), symbol.as_ref().map(|it| it.as_str().to_owned())),
        Ending::All => (None, None),
    };
    let rows = sqlx::query(
        "UPDATE overrides SET ended_at = $1, ended_by = $2
         WHERE account = $3 AND ended_at IS NULL AND (CAST($4 AS TEXT) IS NULL OR kind = $4)
           AND (CAST($4 AS TEXT) IS NULL OR symbol = $5)
         RETURNING *",
    )
    .bind(at.micros())
    .bind(clean(by.as_str()))
    .bind(account.as_str())
    .bind(kind)
    .bind(symbol.unwrap_or_default())
    .fetch_all(link)
    .await?;
    let mut ended = rows.iter().map(said_of).collect::<Result<Vec<_>, _>>()?;
    // The database returns them in any order; the chain has one.
    ended.sort_by(|one, other| (one.at, one.id.as_str()).cmp(&(other.at, other.id.as_str())));
    Ok(ended)
}

fn amounts(wish: &Wish) -> (Option<String>, Option<String>) {
    match wish {
        Wish::Exclude(_) | Wish::DoNotSell(_) | Wish::DoNotBuy(_) => (None, None),
        Wish::Cash(cash) => (Some(cash.to_string()), None),
        Wish::Cap(cap) => (Some(cap.to_string()), None),
        Wish::TargetYear(year) => (Some(year.to_string()), None),
        Wish::Withdraw { amount, left } => (Some(amount.to_string()), Some(left.to_string())),
    }
}

async fn insert(link: &mut Link, said: &Said) -> Result<(), Error> {
    let (amount, left) = amounts(&said.wish);
    sqlx::query(
        "INSERT INTO overrides (id, account, kind, symbol, amount, left_amount, said_by, reason, said_at, until_at,
             ended_at, ended_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(said.id.as_str())
    .bind(said.account.as_str())
    .bind(said.wish.code())
    .bind(said.wish.symbol().map(|symbol| symbol.as_str().to_owned()).unwrap_or_default())
    .bind(amount)
    .bind(left)
    .bind(clean(&said.by))
    .bind(clean(&said.reason))
    .bind(said.at.micros())
    .bind(said.until.map(Moment::micros))
    .bind(said.ended.as_ref().map(|(at, _)| at.micros()))
    .bind(said.ended.as_ref().map(|(_, by)| clean(by)))
    .execute(link)
    .await
    .map_err(|error| taken(error, || format!("there is such a wish for account {} already", said.account)))?;
    Ok(())
}

fn described(event: Event, said: &Said) -> Event {
    let mut event = event.with("override", &said.id).with("kind", said.wish.code());
    if let Some(symbol) = said.wish.symbol() {
        event = event.with("symbol", symbol);
    }
    match said.wish {
        Wish::Cash(cash) => event.with("percent", cash.percent().normalize()),
        Wish::TargetYear(year) => event.with("year", year),
        Wish::Cap(amount) | Wish::Withdraw { amount, .. } => event.with("amount", amount),
        Wish::Exclude(_) | Wish::DoNotSell(_) | Wish::DoNotBuy(_) => event,
    }
}

fn said_of(row: &AnyRow) -> Result<Said, Error> {
    let row = Reader::new(row, "overrides", "id");
    let symbol = || row.parsed("symbol", |text| Symbol::parse(text).ok());
    let usd = |column| row.parsed(column, |text| Usd::parse(text).ok());
    let wish = match row.text("kind")?.as_str() {
        "exclude" => Wish::Exclude(symbol()?),
        "do_not_sell" => Wish::DoNotSell(symbol()?),
        "do_not_buy" => Wish::DoNotBuy(symbol()?),
        "cash" => Wish::Cash(row.parsed("amount", |text| Fraction::parse(text).ok())?),
        "cap" => Wish::Cap(usd("amount")?),
        "target_year" => Wish::TargetYear(row.parsed("amount", |text| text.parse().ok())?),
        "withdraw" => Wish::Withdraw { amount: usd("amount")?, left: usd("left_amount")? },
        _ => return Err(Error::Inconsistent { table: "overrides", column: "kind", row: row.text("id")? }),
    };
    Ok(Said {
        id: row.parsed("id", |text| WishId::parse(text).ok())?,
        account: row.parsed("account", |text| AccountId::parse(text).ok())?,
        wish,
        by: row.text("said_by")?,
        reason: row.text("reason")?,
        at: row.moment("said_at")?,
        until: row.maybe_moment("until_at")?,
        ended: row.maybe_moment("ended_at")?.zip(row.maybe_text("ended_by")?),
    })
}
