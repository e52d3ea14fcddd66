//! The mesh: its servers, its nodes, and the proxies between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use nexus_servers::{Postgres, PostgresOptions, Redis, RedisOptions};
use tempfile::TempDir;

use crate::failover::Addresses;
use crate::{Error, Node, Proxy, READY, Role, Shape, ports, system};

const DATABASE: &str = "nexus";

/// Who talks to whom; nodes by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// An execution replica to Postgres.
    Database(usize),
    /// An execution replica to Redis.
    Redis(usize),
    /// All other execution replicas to this one.
    Peers(usize),
    /// A worker to an execution replica.
    Worker {
        /// The worker.
        worker: usize,
        /// The replica.
        execution: usize,
    },
}

/// A running mesh; everything of it ends when it is dropped.
#[derive(Debug)]
pub struct Mesh {
    // Nodes first: they are dropped in this order.
    nodes: BTreeMap<Role, Vec<Node>>,
    proxies: BTreeMap<Link, Proxy>,
    /// Where Postgres and Redis are reached when standbys can take over.
    pub(crate) addresses: Option<Addresses>,
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    shape: Shape,
    program: PathBuf,
    database: String,
    folder: TempDir,
}

impl Mesh {
    /// Starts everything and waits until every node is ready. To be called within a Tokio runtime of several threads.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start(shape: Shape) -> Result<Self, Error> {
        let mut mesh = Self::prepare(shape).await?;
        for node in mesh.nodes.values_mut().flatten() {
            node.start("")?;
        }
        mesh.ready().await?;
        Ok(mesh)
    }

    /// Starts Postgres, Redis and the proxies and migrates the database, and starts no node yet.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn prepare(shape: Shape) -> Result<Self, Error> {
        let program = shape.program.clone().map_or_else(beside, Ok)?;
        let folder = tempfile::Builder::new().prefix("nexus-mesh-").tempdir();
        let folder = folder.map_err(system("creating a folder"))?;
        let settings = shape.postgres.clone();
        let options = PostgresOptions {
            fsync: shape.fsync,
            settings,
            port: Some(ports::free()?),
            ..PostgresOptions::default()
        };
        let postgres = tokio::task::block_in_place(|| Postgres::start(options))?;
        let redis = RedisOptions {
            port: Some(ports::free()?),
            ..RedisOptions::default()
        };
        let redis = tokio::task::block_in_place(|| Redis::start(redis))?;
        let mut database = postgres.create_database(DATABASE).await?;
        let addresses = if shape.standbys {
            Some(Addresses::of(&postgres, &redis).await?)
        } else {
            None
        };
        if let Some(addresses) = &addresses {
            database = addresses.database(&database, postgres.port());
        }
        let mut mesh = Self {
            nodes: BTreeMap::new(),
            proxies: BTreeMap::new(),
            addresses,
            postgres,
            redis,
            program,
            database,
            folder,
            shape,
        };
        mesh.migrate()?;
        for _ in 0..mesh.shape.definitions {
            mesh.add(Role::Definitions).await?;
        }
        for _ in 0..mesh.shape.execution {
            mesh.add(Role::Execution).await?;
        }
        for _ in 0..mesh.shape.workers {
            mesh.add(Role::Worker).await?;
        }
        Ok(mesh)
    }

    fn migrate(&self) -> Result<(), Error> {
        let output = Command::new(&self.program)
            .arg("migrate")
            .env("NEXUS_DATABASE__URL", &self.database)
            .current_dir(self.folder.path())
            .output()
            .map_err(system("running nexus migrate"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Node {
            node: "nexus migrate".into(),
            problem: format!("ended with {}", output.status),
            log: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Adds a node, which is not started. Nodes that came before do not know of it, except by their membership; so
    /// workers and definitions replicas may be added at any time, and execution replicas before the workers.
    ///
    /// # Errors
    /// When its ports or proxies cannot be had.
    pub async fn add(&mut self, role: Role) -> Result<usize, Error> {
        let number = self.count(role);
        let mut node = Node::new(role, number, &self.program, self.folder.path(), self.environment(role))?;
        match role {
            Role::Definitions | Role::Gateway | Role::Access | Role::Scheduling | Role::Notifications => {}
            Role::Execution => self.connect_execution(&mut node, number).await?,
            Role::Worker => self.connect_worker(&mut node, number).await?,
        }
        self.nodes.entry(role).or_default().push(node);
        Ok(number)
    }

    /// What every node of a role is told. The order counts: the shape's own words win.
    fn environment(&self, role: Role) -> Vec<(String, String)> {
        let mut variables = vec![("NEXUS_LOG__FILTER", self.shape.log.clone())];
        match role {
            Role::Definitions | Role::Access => variables.push(("NEXUS_DATABASE__URL", self.database.clone())),
            Role::Execution => variables.extend([
                ("NEXUS_DATABASE__URL", self.database.clone()),
                ("NEXUS_REDIS__URL", self.redis_url()),
                ("NEXUS_DEFINITIONS__ADDRESS", self.definitions()),
            ]),
            Role::Worker => variables.extend([
                ("NEXUS_EXECUTION__ADDRESS", self.execution()),
                ("NEXUS_WORKER__SLOTS", self.shape.slots.to_string()),
                ("NEXUS_WORKER__ALLOW_PRIVATE", "true".to_owned()),
            ]),
            Role::Scheduling => variables.extend([
                ("NEXUS_DATABASE__URL", self.database.clone()),
                ("NEXUS_EXECUTION__ADDRESS", self.execution()),
            ]),
            Role::Notifications => variables.extend([
                ("NEXUS_DATABASE__URL", self.database.clone()),
                ("NEXUS_DEFINITIONS__ADDRESS", self.definitions()),
                ("NEXUS_EXECUTION__ADDRESS", self.execution()),
                ("NEXUS_NOTIFICATIONS__EGRESS_ALLOW", "127.0.0.0/8".to_owned()),
            ]),
            Role::Gateway => variables.extend([
                ("NEXUS_DEFINITIONS__ADDRESS", self.definitions()),
                ("NEXUS_EXECUTION__ADDRESS", self.execution()),
            ]),
        }
        let own = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(self.shape.environment.iter().cloned()).collect()
    }

    fn redis_url(&self) -> String {
        let moved = self.addresses.as_ref().map(Addresses::redis);
        moved.unwrap_or_else(|| self.redis.url())
    }

    async fn connect_execution(&mut self, node: &mut Node, number: usize) -> Result<(), Error> {
        if !self.shape.proxied {
            return Ok(());
        }
        let postgres = self.proxy_to(Link::Database(number), self.postgres.port()).await?;
        let url = self.database.replace(
            &format!("127.0.0.1:{}", self.postgres.port()),
            &format!("127.0.0.1:{postgres}"),
        );
        node.set("NEXUS_DATABASE__URL", &url);
        let redis = self.proxy_to(Link::Redis(number), self.redis.port()).await?;
        node.set("NEXUS_REDIS__URL", &format!("redis://127.0.0.1:{redis}"));
        let peers = self.proxy_to(Link::Peers(number), node.port()).await?;
        node.set("NEXUS_ADVERTISE", &format!("http://127.0.0.1:{peers}"));
        Ok(())
    }

    async fn connect_worker(&mut self, node: &mut Node, worker: usize) -> Result<(), Error> {
        if !self.shape.proxied {
            return Ok(());
        }
        let mut addresses = Vec::new();
        for execution in 0..self.count(Role::Execution) {
            let target = self.nodes[&Role::Execution][execution].port();
            let port = self.proxy_to(Link::Worker { worker, execution }, target).await?;
            addresses.push(format!("http://127.0.0.1:{port}"));
        }
        node.set("NEXUS_EXECUTION__ADDRESS", &addresses.join(","));
        Ok(())
    }

    async fn proxy_to(&mut self, link: Link, target: u16) -> Result<u16, Error> {
        let target = SocketAddr::from(([127, 0, 0, 1], target));
        let proxy = Proxy::start(ports::free()?, target).await?;
        let port = proxy.port();
        self.proxies.insert(link, proxy);
        Ok(port)
    }

    /// Waits until every node that lives is ready.
    ///
    /// # Errors
    /// When one ends, or is not ready in time.
    pub async fn ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY;
        for node in self.nodes.values_mut().flatten() {
            if node.pid().is_some() && !node.is_frozen() {
                node.ready().await?;
            }
            if Instant::now() > deadline {
                return Err(node.problem("became ready too late"));
            }
        }
        Ok(())
    }

    /// The definitions service, all replicas with commas between them.
    #[must_use]
    pub fn definitions(&self) -> String {
        self.addresses(Role::Definitions)
    }

    /// The execution service, the same.
    #[must_use]
    pub fn execution(&self) -> String {
        self.addresses(Role::Execution)
    }

    fn addresses(&self, role: Role) -> String {
        let nodes = self.nodes.get(&role).into_iter().flatten();
        nodes.map(Node::address).collect::<Vec<_>>().join(",")
    }

    /// How many nodes of a role there are, dead ones too.
    #[must_use]
    pub fn count(&self, role: Role) -> usize {
        self.nodes.get(&role).map_or(0, Vec::len)
    }

    /// A node by its role and its number, which counts from 0.
    ///
    /// # Panics
    /// When there is none.
    pub fn node(&mut self, role: Role, number: usize) -> &mut Node {
        self.nodes
            .get_mut(&role)
            .and_then(|nodes| nodes.get_mut(number))
            .expect("a node of that number")
    }

    /// All nodes: definitions, execution, workers.
    pub fn nodes(&mut self) -> impl Iterator<Item = &mut Node> {
        self.nodes.values_mut().flatten()
    }

    /// The proxy on a link.
    ///
    /// # Panics
    /// When the shape has no proxies, or there is no such link.
    #[must_use]
    pub fn proxy(&self, link: Link) -> &Proxy {
        self.proxies.get(&link).expect("a proxy on that link")
    }

    /// All links that have a proxy.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        self.proxies.keys().copied().collect()
    }

    /// Postgres itself.
    pub fn postgres(&mut self) -> &mut Postgres {
        &mut self.postgres
    }

    /// Redis itself.
    pub fn redis(&mut self) -> &mut Redis {
        &mut self.redis
    }

    /// The program that the nodes run unless they are told otherwise.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The database's address, without the proxies of the nodes.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The folder with the nodes' logs, for whatever else belongs to the run too.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder when everything ends; where it is.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// Asks every node to end, workers first and definitions last, all of a role at once.
    ///
    /// # Errors
    /// When one does not end in time.
    pub async fn stop(&mut self) -> Result<(), Error> {
        for nodes in self.nodes.values_mut().rev() {
            for node in nodes.iter_mut() {
                node.thaw();
                node.terminate();
            }
            for node in nodes.iter_mut().filter(|node| node.pid().is_some()) {
                node.wait().await?;
            }
        }
        Ok(())
    }
}

/// The `nexus` beside the running program: `target/<profile>/nexus`, also for `target/<profile>/deps/<test>`.
fn beside() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(system("looking for the own path"))?;
    let mut folders = own.ancestors().skip(1).take(2).map(|folder| folder.join("nexus"));
    let found = folders.find(|path| path.is_file());
    found.ok_or_else(|| Error::Missing {
        path: own.with_file_name("nexus").display().to_string(),
    })
}
