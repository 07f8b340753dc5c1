//! The sealed tokens: read one, seal all of them again, destroy all of them, and leave no trace of what was destroyed.
//!
//! A row says who its token is bound to; the vault refuses to open it for anybody else.

use sqlx::any::AnyRow;

use crate::edge::store::db::{Engine, Error, Reader, Store, clean};
use crate::edge::store::{events, mandates};
use crate::model::event::{Actor, Event};
use crate::model::ids::{AccountId, GrantId, UserId};
use crate::model::mandate::Halt;
use crate::model::secret::Sealed;
use crate::model::time::Moment;

/// A token as it lies here, with the owner that it is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedToken {
    /// The grant.
    pub grant: GrantId,
    /// The user who gave it.
    pub user: UserId,
    /// The token.
    pub sealed: Sealed,
}

impl Store {
    /// The sealed token of a connected account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sealed_token(&self, id: &AccountId) -> Result<Option<SealedToken>, Error> {
        let row = sqlx::query(
            "SELECT g.id, g.user_id, g.key_id, g.sealed FROM grants g JOIN accounts a ON a.grant_id = g.id
             WHERE a.id = $1 AND a.disconnected_at IS NULL AND g.sealed IS NOT NULL",
        )
        .bind(id.as_str())
        .fetch_optional(self.read())
        .await?;
        row.as_ref().map(token_of).transpose()
    }

    /// How many tokens are sealed with another key than this one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tokens_to_reseal(&self, key_id: &str) -> Result<usize, Error> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM grants WHERE sealed IS NOT NULL AND key_id <> $1")
            .bind(key_id)
            .fetch_one(self.read())
            .await?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// Some tokens that are sealed with another key than this one, in the order of their grants, after one of them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_to_reseal(&self, key_id: &str, after: &str, limit: i64) -> Result<Vec<SealedToken>, Error> {
        let rows = sqlx::query(
            "SELECT id, user_id, key_id, sealed FROM grants
             WHERE sealed IS NOT NULL AND key_id <> $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(key_id)
        .bind(after)
        .bind(limit)
        .fetch_all(self.read())
        .await?;
        rows.iter().map(token_of).collect()
    }

    /// Puts the same token, sealed again, in place of the one that was read; `false` when it has changed meanwhile.
    ///
    /// # Errors
    /// When the database fails: then the row is as it was.
    pub async fn reseal(&self, old: &SealedToken, new: &Sealed) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("UPDATE grants SET key_id = $1, sealed = $2 WHERE id = $3 AND sealed = $4")
            .bind(new.key_id.as_str())
            .bind(new.bytes.clone())
            .bind(old.grant.as_str())
            .bind(old.sealed.bytes.clone())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Destroys every token, withdraws every approval and pulls the service's kill switch, in one transaction; returns how many
    /// grants lost theirs.
    /// Every user must connect again.
    ///
    /// # Errors
    /// When the database fails: then nothing has changed.
    pub async fn revoke_all(&self, halt: &Halt, by: &Actor, at: Moment) -> Result<usize, Error> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query(
            "UPDATE grants SET key_id = NULL, sealed = NULL, reauth_at = COALESCE(reauth_at, $1),
                 reauth_why = COALESCE(reauth_why, $2)
             WHERE sealed IS NOT NULL RETURNING id",
        )
        .bind(at.micros())
        .bind(clean(&halt.reason))
        .fetch_all(&mut *tx)
        .await?;
        let destroyed = |row: &AnyRow| {
            let grant = Reader::new(row, "grants", "id").text("id")?;
            Ok(Event::new(at, by.clone(), "grant.destroyed").with("grant", grant).with("why", &halt.reason))
        };
        let mut all: Vec<Event> = rows.iter().map(destroyed).collect::<Result<_, Error>>()?;
        all.sort_by(|a, b| a.facts.cmp(&b.facts));
        // The halt may be released by one word; what was allowed before the leak must be allowed anew.
        all.extend(mandates::end(&mut tx, mandates::Ending::All, (by, at)).await?);
        events::append(&mut tx, &all).await?;
        mandates::pull(&mut tx, halt, by.clone()).await?;
        tx.commit().await?;
        Ok(rows.len())
    }

    /// Whether this role may remove the traces of destroyed tokens. PostgreSQL skips a table with a mere warning that the role
    /// neither owns nor may maintain.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn may_scrub(&self) -> Result<bool, Error> {
        if self.engine() == Engine::Sqlite {
            return Ok(true);
        }
        let owns: i64 = sqlx::query_scalar(
            "SELECT CAST(CASE WHEN pg_has_role(c.relowner, 'USAGE') OR pg_has_role(d.datdba, 'USAGE') THEN 1 ELSE 0 END
                     AS BIGINT)
             FROM pg_class c, pg_database d
             WHERE c.oid = CAST('grants' AS regclass) AND d.datname = current_database()",
        )
        .fetch_one(self.read())
        .await?;
        if owns == 1 {
            return Ok(true);
        }
        let version: i64 = sqlx::query_scalar("SELECT CAST(current_setting('server_version_num') AS BIGINT)")
            .fetch_one(self.read())
            .await?;
        // Older servers do not know the word.
        if version < 170_000 {
            return Ok(false);
        }
        let maintains: i64 = sqlx::query_scalar(
            "SELECT CAST(CASE WHEN has_table_privilege('grants', 'MAINTAIN') THEN 1 ELSE 0 END AS BIGINT)",
        )
        .fetch_one(self.read())
        .await?;
        Ok(maintains == 1)
    }

    /// Leaves no trace of destroyed tokens in the database's own files: on SQLite the log is folded into the file, whose
    /// freed bytes are zeros already, and cut to nothing; on PostgreSQL the table is written anew, for a plain VACUUM leaves
    /// the bytes of a dead row in its page. What the server's write-ahead log, its backups or the disk remember is out of
    /// reach; and while somebody else's transaction is older than the destruction, the row that it could still read is kept,
    /// until the next scrub.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a reader is in the way: ask again. [`Error::MayNot`] when this role must not do it.
    pub async fn scrub(&self) -> Result<(), Error> {
        if self.engine() == Engine::Postgres {
            if !self.may_scrub().await? {
                let what = "the traces of destroyed tokens stay in the table `grants`, which this role may not maintain: run \
                            deploy/postgres-roles.sql as the owner";
                return Err(Error::MayNot { what });
            }
            sqlx::raw_sql("VACUUM (FULL) grants").execute(self.write()).await?;
            return Ok(());
        }
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(self.write()).await?;
        if Reader::new(&row, "wal_checkpoint", "busy").int("busy")? == 0 {
            return Ok(());
        }
        Err(Error::Conflict { what: "a reader holds the database's log; it could not be cut".to_owned() })
    }
}

fn token_of(row: &AnyRow) -> Result<SealedToken, Error> {
    let row = Reader::new(row, "grants", "id");
    Ok(SealedToken {
        grant: row.parsed("id", |text| GrantId::parse(text).ok())?,
        user: row.parsed("user_id", |text| UserId::parse(text).ok())?,
        sealed: Sealed { key_id: row.text("key_id")?, bytes: row.maybe_bytes("sealed")?.unwrap_or_default() },
    })
}
