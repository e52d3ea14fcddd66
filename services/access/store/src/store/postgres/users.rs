//! Users.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{PostgresStore, lock, rows as read};
use crate::powers::{self, Grant};
use crate::roles;
use crate::store::rows::{database, json, kind_number};
use crate::store::{
    MAX_USERS, NewPassword, NewUser, Refused, StoreError, UserChange, UserKind, UserRow, Users, failures_of_user,
};
use crate::tokens::Secret;

#[async_trait]
impl Users for PostgresStore {
    async fn create_user(&self, user: &NewUser) -> Result<UserRow, StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            lock(&mut transaction).await?;
            known_roles(&mut transaction, &user.grants).await?;
            let created = insert(&mut transaction, user).await?;
            self.commit(transaction).await?;
            Ok(created)
        })
        .await
    }

    async fn user(&self, name: &str) -> Result<Option<UserRow>, StoreError> {
        self.trying(|| async {
            let row = sqlx::query("SELECT * FROM users WHERE name = $1")
                .bind(name)
                .fetch_optional(self.database.reader())
                .await
                .map_err(database)?;
            row.as_ref().map(read::user).transpose()
        })
        .await
    }

    async fn user_of_subject(&self, subject: &str) -> Result<Option<UserRow>, StoreError> {
        self.trying(|| async {
            let row = sqlx::query("SELECT * FROM users WHERE subject = $1")
                .bind(subject)
                .fetch_optional(self.database.reader())
                .await
                .map_err(database)?;
            row.as_ref().map(read::user).transpose()
        })
        .await
    }

    async fn users(&self, after: &str, limit: u32) -> Result<Vec<UserRow>, StoreError> {
        self.trying(|| async {
            let rows = sqlx::query("SELECT * FROM users WHERE name > $1 ORDER BY name LIMIT $2")
                .bind(after)
                .bind(i64::from(limit))
                .fetch_all(self.database.reader())
                .await
                .map_err(database)?;
            rows.iter().map(read::user).collect()
        })
        .await
    }

    async fn update_user(&self, name: &str, version: Option<i64>, change: &UserChange) -> Result<UserRow, StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            lock(&mut transaction).await?;
            let before = current(&mut transaction, name, version).await?;
            let grants = change.grants.as_ref().unwrap_or(&before.grants);
            if change.grants.is_some() {
                known_roles(&mut transaction, grants).await?;
            }
            let disabled = change.disabled.unwrap_or(before.disabled);
            let administrator = powers::makes_administrator(grants);
            if disabled || !administrator {
                another_administrator(&mut transaction, &before).await?;
            }
            let row = sqlx::query(
                "UPDATE users SET display_name = $2, grants = $3, administrator = $4, disabled = $5, updated_at = $6,
                 version = version + 1
             WHERE name = $1 RETURNING *",
            )
            .bind(name)
            .bind(change.display_name.as_ref().unwrap_or(&before.display_name))
            .bind(json(grants)?)
            .bind(administrator)
            .bind(disabled)
            .bind(change.at)
            .fetch_one(&mut *transaction)
            .await
            .map_err(database)?;
            let changed = read::user(&row)?;
            self.commit(transaction).await?;
            Ok(changed)
        })
        .await
    }

    async fn set_password(&self, password: &NewPassword<'_>) -> Result<(), StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            current(&mut transaction, password.user, password.version).await?;
            sqlx::query("UPDATE users SET password = $2, updated_at = $3, version = version + 1 WHERE name = $1")
                .bind(password.user)
                .bind(password.hash.expose())
                .bind(password.at)
                .execute(&mut *transaction)
                .await
                .map_err(database)?;
            sqlx::query("DELETE FROM sessions WHERE user_name = $1 AND ($2::text IS NULL OR id <> $2)")
                .bind(password.user)
                .bind(password.keep)
                .execute(&mut *transaction)
                .await
                .map_err(database)?;
            forgive(&mut transaction, password.user).await?;
            self.commit(transaction).await
        })
        .await
    }

    async fn delete_user(&self, name: &str, version: Option<i64>) -> Result<(), StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            lock(&mut transaction).await?;
            let before = current(&mut transaction, name, version).await?;
            another_administrator(&mut transaction, &before).await?;
            for statement in [
                "DELETE FROM sessions WHERE user_name = $1",
                "DELETE FROM api_keys WHERE user_name = $1",
                "DELETE FROM users WHERE name = $1",
            ] {
                sqlx::query(statement)
                    .bind(name)
                    .execute(&mut *transaction)
                    .await
                    .map_err(database)?;
            }
            self.commit(transaction).await
        })
        .await
    }

    async fn welcome(&self, user: &NewUser, subject: &str) -> Result<UserRow, StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            lock(&mut transaction).await?;
            // The one who came before is found first: their name at the provider may have changed.
            let row = sqlx::query(
            "SELECT * FROM users WHERE subject = $1 OR name = $2 ORDER BY coalesce(subject = $1, false) DESC LIMIT 1",
        )
        .bind(subject)
        .bind(&user.name)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(database)?;
            let welcomed = match row.as_ref().map(read::user).transpose()? {
                None => {
                    let subject = Some(subject.to_owned());
                    let user = NewUser {
                        subject,
                        ..user.clone()
                    };
                    insert(&mut transaction, &user).await?
                }
                Some(found) if found.subject.as_deref() == Some(subject) => return Ok(found),
                Some(found) => {
                    let free = found.kind == UserKind::Person && found.password.is_none() && found.subject.is_none();
                    if !free {
                        return Err(Refused::Exists.into());
                    }
                    let row = sqlx::query(
                    "UPDATE users SET subject = $2, updated_at = $3, version = version + 1 WHERE name = $1 RETURNING *",
                )
                .bind(&found.name)
                .bind(subject)
                .bind(user.at)
                .fetch_one(&mut *transaction)
                .await
                .map_err(database)?;
                    read::user(&row)?
                }
            };
            self.commit(transaction).await?;
            Ok(welcomed)
        })
        .await
    }
}

/// The user as they are now, if they are of this version.
async fn current(connection: &mut PgConnection, name: &str, version: Option<i64>) -> Result<UserRow, StoreError> {
    let row = sqlx::query("SELECT * FROM users WHERE name = $1 FOR UPDATE")
        .bind(name)
        .fetch_optional(connection)
        .await
        .map_err(database)?;
    let user = read::user(row.as_ref().ok_or(Refused::Absent)?)?;
    if version.is_some_and(|version| version != user.version) {
        return Err(Refused::Changed.into());
    }
    Ok(user)
}

/// Whether there is an administrator when this user is none any more.
async fn another_administrator(connection: &mut PgConnection, user: &UserRow) -> Result<(), StoreError> {
    if user.disabled || !powers::makes_administrator(&user.grants) || administrator(connection, &user.name).await? {
        return Ok(());
    }
    Err(Refused::LastAdministrator.into())
}

/// Whether somebody else than this user is an administrator.
pub(super) async fn administrator(connection: &mut PgConnection, but: &str) -> Result<bool, StoreError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users WHERE administrator AND NOT disabled AND name <> $1)")
        .bind(but)
        .fetch_one(connection)
        .await
        .map_err(database)
}

/// Creates a user, whose roles were looked at.
pub(super) async fn insert(connection: &mut PgConnection, user: &NewUser) -> Result<UserRow, StoreError> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM users")
        .fetch_one(&mut *connection)
        .await
        .map_err(database)?;
    if count >= MAX_USERS {
        return Err(Refused::Full(count).into());
    }
    let row = sqlx::query(
        "INSERT INTO users (name, display_name, kind, grants, administrator, disabled, password, subject, created_at,
             updated_at, last_login_at, version)
         VALUES ($1, $2, $3, $4, $5, false, $6, $7, $8, $8, NULL, 1) ON CONFLICT (name) DO NOTHING RETURNING *",
    )
    .bind(&user.name)
    .bind(&user.display_name)
    .bind(kind_number(user.kind))
    .bind(json(&user.grants)?)
    .bind(powers::makes_administrator(&user.grants))
    .bind(user.password.as_ref().map(Secret::expose))
    .bind(user.subject.as_deref())
    .bind(user.at)
    .fetch_optional(connection)
    .await
    .map_err(database)?;
    read::user(row.as_ref().ok_or(Refused::Exists)?)
}

/// Wrong passwords of a user are forgotten.
pub(super) async fn forgive(connection: &mut PgConnection, name: &str) -> Result<(), StoreError> {
    let deleted = sqlx::query("DELETE FROM login_failures WHERE subject = $1")
        .bind(failures_of_user(name))
        .execute(connection)
        .await;
    deleted.map(drop).map_err(database)
}

/// Whether every role that grants name is there.
pub(super) async fn known_roles(connection: &mut PgConnection, grants: &[Grant]) -> Result<(), StoreError> {
    let mut names: Vec<&str> = grants.iter().map(|grant| grant.role.as_str()).collect();
    names.retain(|name| roles::built_in(name).is_none());
    if names.is_empty() {
        return Ok(());
    }
    let found: Vec<String> =
        sqlx::query_scalar("SELECT name FROM roles WHERE name IN (SELECT jsonb_array_elements_text($1::text::jsonb))")
            .bind(json(&names)?)
            .fetch_all(connection)
            .await
            .map_err(database)?;
    match names.iter().find(|name| !found.iter().any(|found| found == *name)) {
        Some(unknown) => Err(Refused::UnknownRole((*unknown).to_owned()).into()),
        None => Ok(()),
    }
}
