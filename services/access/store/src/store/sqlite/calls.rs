//! Calls that their callers gave a name.

use async_trait::async_trait;

use super::{SqliteStore, rows as read};
use crate::store::calls::{CallRow, Calls, NewCall};
use crate::store::rows::database;
use crate::store::{Refused, StoreError};

#[async_trait]
impl Calls for SqliteStore {
    async fn begin_call(&self, call: &NewCall) -> Result<CallRow, StoreError> {
        let mut transaction = self.database.begin().await?;
        sqlx::query("DELETE FROM calls WHERE key = $1 AND expires_at <= $2")
            .bind(&call.key)
            .bind(call.at)
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        sqlx::query(BEGIN)
            .bind(&call.key)
            .bind(&call.subject)
            .bind(&call.fingerprint)
            .bind(&call.owner)
            .bind(call.at)
            .bind(call.expires_at)
            .bind(call.most)
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        let row = sqlx::query("SELECT * FROM calls WHERE key = $1")
            .bind(&call.key)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(database)?;
        self.commit(transaction).await?;
        row.as_ref()
            .map(read::call)
            .transpose()?
            .ok_or_else(|| Refused::Full(call.most).into())
    }

    async fn finish_call(&self, key: &[u8], owner: &str, answer: Option<&[u8]>) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        let done = match answer {
            Some(answer) => {
                sqlx::query("UPDATE calls SET answer = $3 WHERE key = $1 AND owner = $2 AND answer IS NULL")
                    .bind(key)
                    .bind(owner)
                    .bind(answer)
            }
            None => sqlx::query("DELETE FROM calls WHERE key = $1 AND owner = $2 AND answer IS NULL")
                .bind(key)
                .bind(owner),
        };
        done.execute(&mut *transaction).await.map_err(database)?;
        self.commit(transaction).await
    }
}

// Of two at once one waits for the other's row and finds it. The count needs not be exact.
const BEGIN: &str = "\
INSERT INTO calls (key, subject, fingerprint, owner, begun_at, expires_at)
SELECT $1, $2, $3, $4, $5, $6
WHERE (SELECT count(*) FROM (SELECT 1 FROM calls WHERE subject = $2 LIMIT $7) few) < $7
ON CONFLICT (key) DO NOTHING";
