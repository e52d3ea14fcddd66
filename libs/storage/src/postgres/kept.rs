//! A connection that stays with whoever writes one statement after the other. To take one from the pool and give it back
//! costs the driver a question of its own each time, which for small statements is as much as the statement.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection, Postgres};
use tokio::time::Instant;

use super::{Database, FRESH, in_a_moment};
use crate::Error;

/// A connection between two statements.
#[derive(Debug)]
struct Resting {
    connection: PoolConnection<Postgres>,
    since: Instant,
}

/// Where it is between two statements.
#[derive(Debug, Clone, Default)]
pub(super) struct Place(Arc<Mutex<Option<Resting>>>);

impl Place {
    fn take(&self) -> Option<Resting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Lets it go back to the pool.
    pub(super) fn clear(&self) {
        drop(self.take());
    }
}

/// The connection in use. Dropped, it goes back to the pool, which looks whether it is well; so that is what happens to one
/// on which something failed, or was given up.
#[derive(Debug)]
pub struct Kept {
    connection: PoolConnection<Postgres>,
    place: Place,
    pool: PgPool,
}

impl Kept {
    /// Everything went well: it stays for the next statement.
    pub fn keep(self) {
        let mut place = self.place.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One is enough, when several were in use; and a pool that is being closed waits for all of them.
        if place.is_none() && !self.pool.is_closed() {
            *place = Some(Resting {
                connection: self.connection,
                since: Instant::now(),
            });
        }
    }
}

impl Deref for Kept {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Kept {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Database {
    /// The kept connection, or one of the pool. For single statements, each of which is a transaction by itself.
    ///
    /// # Errors
    /// When no connection can be had in time.
    pub async fn kept(&self) -> Result<Kept, Error> {
        let (place, pool) = (self.place.clone(), self.writer.clone());
        if let Some(Resting { mut connection, since }) = place.take() {
            let asked = since.elapsed() > FRESH;
            let alive = async {
                if asked {
                    connection.ping().await?;
                }
                Ok(true)
            };
            if in_a_moment(alive).await.is_ok() {
                return Ok(Kept {
                    connection,
                    place,
                    pool,
                });
            }
            // Not back to the pool: it shows no sign of life.
            drop(connection.detach());
        }
        let connection = self.writer.acquire().await?;
        Ok(Kept {
            connection,
            place,
            pool,
        })
    }
}
