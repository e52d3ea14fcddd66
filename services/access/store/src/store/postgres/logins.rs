//! Logging in: wrong passwords, and logins by the provider that are under way.

use async_trait::async_trait;

use super::{PostgresStore, rows as read};
use crate::lockout::{Failures, Policy};
use crate::store::rows::database;
use crate::store::{Logins, MAX_LOGINS, OidcLogin, Refused, StoreError};
use crate::tokens::Digest;

#[async_trait]
impl Logins for PostgresStore {
    async fn failures(&self, of: &str) -> Result<Option<Failures>, StoreError> {
        self.trying(|| async {
            let row = sqlx::query("SELECT * FROM login_failures WHERE subject = $1")
                .bind(of)
                .fetch_optional(self.database.reader())
                .await
                .map_err(database)?;
            row.as_ref().map(read::failures).transpose()
        })
        .await
    }

    async fn note_failure(&self, of: &str, policy: &Policy, at: i64) -> Result<Failures, StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            // So that there is a row to lock.
            sqlx::query(
                "INSERT INTO login_failures (subject, failures, locked_until, last_at) VALUES ($1, 0, $2, $2)
             ON CONFLICT (subject) DO NOTHING",
            )
            .bind(of)
            .bind(at)
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
            let row = sqlx::query("SELECT * FROM login_failures WHERE subject = $1 FOR UPDATE")
                .bind(of)
                .fetch_one(&mut *transaction)
                .await
                .map_err(database)?;
            let failures = policy.failed(Some(read::failures(&row)?), at);
            sqlx::query("UPDATE login_failures SET failures = $2, locked_until = $3, last_at = $4 WHERE subject = $1")
                .bind(of)
                .bind(i64::from(failures.count))
                .bind(failures.locked_until)
                .bind(failures.last_at)
                .execute(&mut *transaction)
                .await
                .map_err(database)?;
            self.commit(transaction).await?;
            Ok(failures)
        })
        .await
    }

    async fn begin_login(&self, login: &OidcLogin, at: i64) -> Result<(), StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            let done = sqlx::query(
                "INSERT INTO oidc_logins (state, nonce, verifier, redirect_uri, expires_at)
             SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM oidc_logins WHERE expires_at > $7) < $6",
            )
            .bind(login.state.as_bytes())
            .bind(login.nonce.as_bytes())
            .bind(login.verifier.expose())
            .bind(&login.redirect_uri)
            .bind(login.expires_at)
            .bind(MAX_LOGINS)
            .bind(at)
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
            if done.rows_affected() == 0 {
                return Err(Refused::Full(MAX_LOGINS).into());
            }
            self.commit(transaction).await
        })
        .await
    }

    async fn take_login(&self, state: &Digest, at: i64) -> Result<Option<OidcLogin>, StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            let row = sqlx::query("DELETE FROM oidc_logins WHERE state = $1 RETURNING *")
                .bind(state.as_bytes())
                .fetch_optional(&mut *transaction)
                .await
                .map_err(database)?;
            self.commit(transaction).await?;
            let login = row.as_ref().map(read::login).transpose()?;
            Ok(login.filter(|login| login.expires_at > at))
        })
        .await
    }
}
