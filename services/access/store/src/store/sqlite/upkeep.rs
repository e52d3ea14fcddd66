//! The first administrator, and what is done in the background.

use async_trait::async_trait;

use super::sessions::begin;
use super::users::{administrator, insert};
use super::{SqliteStore, rows as read};
use crate::store::rows::{database, digest, json};
use crate::store::{Cutoffs, NewUser, Refused, SessionRow, StoreError, Upkeep, UserRow};
use crate::tokens::Digest;

#[async_trait]
impl Upkeep for SqliteStore {
    async fn offer_claim(&self, token: &Digest) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin().await?;
        let needed = !administrator(&mut transaction, "").await?;
        sqlx::query("UPDATE administration SET claim = $1 WHERE id = 1")
            .bind(needed.then(|| token.as_bytes()))
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        self.commit(transaction).await?;
        Ok(needed)
    }

    async fn offered_claim(&self) -> Result<Option<Digest>, StoreError> {
        let offered: Option<Option<Vec<u8>>> = sqlx::query_scalar(OFFERED)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database)?;
        offered.flatten().as_deref().map(digest).transpose()
    }

    async fn claim(&self, token: &Digest, user: &NewUser, session: &SessionRow) -> Result<UserRow, StoreError> {
        let mut transaction = self.database.begin().await?;
        let offered: Option<Vec<u8>> = sqlx::query_scalar("SELECT claim FROM administration WHERE id = 1")
            .fetch_one(&mut *transaction)
            .await
            .map_err(database)?;
        let offered = offered.as_deref().map(digest).transpose()?;
        let fits = offered.is_some_and(|offered| offered.matches(token));
        if !fits || administrator(&mut transaction, "").await? {
            return Err(Refused::WrongToken.into());
        }
        insert(&mut transaction, user).await?;
        begin(&mut transaction, session, None).await?;
        sqlx::query("UPDATE administration SET claim = NULL WHERE id = 1")
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        let row = sqlx::query("SELECT * FROM users WHERE name = $1")
            .bind(&user.name)
            .fetch_one(&mut *transaction)
            .await
            .map_err(database)?;
        let created = read::user(&row)?;
        self.commit(transaction).await?;
        Ok(created)
    }

    async fn note_uses(&self, keys: &[(String, i64)], sessions: &[(String, i64)]) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        for (statement, uses) in [(KEYS_USED, keys), (SESSIONS_USED, sessions)] {
            if !uses.is_empty() {
                sqlx::query(statement)
                    .bind(json(&uses)?)
                    .execute(&mut *transaction)
                    .await
                    .map_err(database)?;
            }
        }
        self.commit(transaction).await
    }

    async fn remove_ended(&self, cutoffs: Cutoffs, limit: u32) -> Result<u64, StoreError> {
        let mut transaction = self.database.begin().await?;
        let mut most = 0;
        for (statement, before) in [
            (OLD_KEYS, cutoffs.keys),
            (OLD_SESSIONS, cutoffs.sessions),
            (OLD_LOGINS, cutoffs.logins),
            (OLD_FAILURES, cutoffs.failures),
            (OLD_CALLS, cutoffs.calls),
        ] {
            let done = sqlx::query(statement)
                .bind(before)
                .bind(i64::from(limit))
                .execute(&mut *transaction)
                .await
                .map_err(database)?;
            most = most.max(done.rows_affected());
        }
        self.commit(transaction).await?;
        Ok(most)
    }
}

const OFFERED: &str = "\
SELECT claim FROM administration
WHERE id = 1 AND NOT EXISTS (SELECT 1 FROM users WHERE administrator AND NOT disabled)";

const KEYS_USED: &str = "\
UPDATE api_keys SET last_used_at = used.at FROM (SELECT value ->> 0 AS id, value ->> 1 AS at FROM json_each($1)) used
WHERE api_keys.id = used.id AND (last_used_at IS NULL OR last_used_at < used.at)";

const SESSIONS_USED: &str = "\
UPDATE sessions SET last_used_at = used.at FROM (SELECT value ->> 0 AS id, value ->> 1 AS at FROM json_each($1)) used
WHERE sessions.id = used.id AND last_used_at < used.at";

const OLD_KEYS: &str = "\
DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE revoked_at < $1 OR expires_at < $1 LIMIT $2)";

const OLD_SESSIONS: &str = "\
DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";

const OLD_LOGINS: &str = "\
DELETE FROM oidc_logins WHERE state IN
    (SELECT state FROM oidc_logins WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";

const OLD_FAILURES: &str = "\
DELETE FROM login_failures WHERE subject IN
    (SELECT subject FROM login_failures WHERE last_at < $1 AND locked_until < $1 ORDER BY last_at LIMIT $2)";

const OLD_CALLS: &str = "\
DELETE FROM calls WHERE key IN (SELECT key FROM calls WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
