//! Standbys of Postgres and Redis that take over, under the address of the one before.

use std::net::SocketAddr;

use nexus_servers::{Postgres, Redis};
use tokio::task::block_in_place;

use crate::{Error, Mesh, Proxy, ports};

/// How a server is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Its process ends; whoever is connected sees it.
    Killed,
    /// Its machine is gone without a word; nobody is told that a connection leads nowhere.
    Vanished,
}

/// Addresses that stay while servers change.
#[derive(Debug)]
pub(crate) struct Addresses {
    postgres: Proxy,
    redis: Proxy,
}

impl Addresses {
    /// Of the first servers.
    pub(crate) async fn of(postgres: &Postgres, redis: &Redis) -> Result<Self, Error> {
        Ok(Self {
            postgres: Proxy::start(ports::free()?, local(postgres.port())).await?,
            redis: Proxy::start(ports::free()?, local(redis.port())).await?,
        })
    }

    /// The database's address; the given one names the server's own port.
    pub(crate) fn database(&self, url: &str, port: u16) -> String {
        let to = format!("127.0.0.1:{}", self.postgres.port());
        url.replace(&format!("127.0.0.1:{port}"), &to)
    }

    /// The address of Redis.
    pub(crate) fn redis(&self) -> String {
        format!("redis://127.0.0.1:{}", self.redis.port())
    }
}

impl Mesh {
    /// Gives Postgres a standby that every commit waits for.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn postgres_standby(&self) -> Result<Postgres, Error> {
        let standby = self.postgres.standby().await?;
        self.postgres.wait_for_standbys().await?;
        Ok(standby)
    }

    /// Postgres is lost.
    ///
    /// # Panics
    /// When the shape has no standbys.
    pub fn lose_postgres(&mut self, loss: Loss) {
        if loss == Loss::Vanished {
            self.stable().postgres.vanish();
        }
        // Nobody hears of its end when its connections lead nowhere.
        block_in_place(|| self.postgres.kill());
    }

    /// A standby takes over: it becomes the mesh's Postgres, under the address of the one before.
    ///
    /// # Errors
    /// When it does not.
    ///
    /// # Panics
    /// When the shape has no standbys.
    pub async fn promote_postgres(&mut self, standby: Postgres) -> Result<(), Error> {
        standby.promote().await?;
        self.stable().postgres.lead(local(standby.port()));
        self.postgres = standby;
        Ok(())
    }

    /// Gives Redis a replica, which follows it and is not waited for.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn redis_replica(&self) -> Result<Redis, Error> {
        Ok(block_in_place(|| self.redis.replica())?)
    }

    /// Redis is lost.
    ///
    /// # Panics
    /// When the shape has no standbys.
    pub fn lose_redis(&mut self, loss: Loss) {
        if loss == Loss::Vanished {
            self.stable().redis.vanish();
        }
        block_in_place(|| self.redis.kill());
    }

    /// A replica takes over: it becomes the mesh's Redis, under the address of the one before.
    ///
    /// # Errors
    /// When it does not.
    ///
    /// # Panics
    /// When the shape has no standbys.
    pub fn promote_redis(&mut self, replica: Redis) -> Result<(), Error> {
        block_in_place(|| replica.promote())?;
        self.stable().redis.lead(local(replica.port()));
        self.redis = replica;
        Ok(())
    }

    fn stable(&self) -> &Addresses {
        self.addresses.as_ref().expect("a shape with standbys")
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
