//! Connections to Redis: each command has a deadline, is counted, and its errors are sorted by what to do about them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo,
    RedisError, ScriptInvocation, TlsCertificates,
};
use parking_lot::Mutex;

/// Time that a command has, and a connection to be made.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);

/// Why Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedisSetupError {
    /// The address cannot be read. It is not quoted, it may hold a password.
    #[error("the address of Redis cannot be read; it looks like redis://:PASSWORD@HOST:6379/0, or rediss:// for TLS")]
    Address,
    /// The files for TLS cannot be used.
    #[error("the certificates for Redis cannot be used: {0}")]
    Certificates(String),
    /// It throws keys away when its memory is full.
    #[error(
        "Redis at {place} would throw dispatch entries away when its memory is full (maxmemory-policy is {policy}); set \
         `maxmemory-policy noeviction`, or use a Redis of its own for nexus"
    )]
    Evicts {
        /// Host and port.
        place: Arc<str>,
        /// Its policy.
        policy: String,
    },
    /// It refuses the credentials.
    #[error("{0}; Redis refuses the credentials: give a user and password that it knows (redis.url)")]
    Refused(String),
}

/// Files in PEM for a Redis that is reached over TLS (`rediss://`). They are read once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// The roots that its certificate is verified with; the public ones when not set.
    pub ca: Option<PathBuf>,
    /// The certificate that it is shown, and those between it and the root.
    pub cert: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
}

impl RedisTls {
    fn certificates(&self) -> Result<Option<TlsCertificates>, RedisSetupError> {
        let read = |path: &PathBuf| {
            let unread = |error| RedisSetupError::Certificates(format!("{}: {error}", path.display()));
            std::fs::read(path).map_err(unread)
        };
        let client_tls = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some(ClientTlsConfig {
                client_cert: read(cert)?,
                client_key: read(key)?,
            }),
            (None, None) => None,
            _ => {
                let half = "a certificate and its key are only of use together";
                return Err(RedisSetupError::Certificates(half.to_owned()));
            }
        };
        let root_cert = self.ca.as_ref().map(read).transpose()?;
        let any = client_tls.is_some() || root_cert.is_some();
        Ok(any.then_some(TlsCertificates { client_tls, root_cert }))
    }
}

/// What an error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Keys or groups are gone or not what they should be: make them anew.
    Broken,
    /// Redis is away, full, read-only, loading, or will not talk to us: do without for a while.
    Away,
}

/// A connection for commands that do not wait, shared by everybody; connected anew by itself.
#[derive(Clone)]
pub struct Link {
    client: Client,
    manager: Arc<Mutex<ConnectionManager>>,
    /// Host and port, for people.
    place: Arc<str>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.write_str("Link")
    }
}

impl Link {
    /// Prepares a connection; it is made when it is needed. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn open(url: &str) -> Result<Self, RedisSetupError> {
        Self::open_with(url, &RedisTls::default())
    }

    /// The same with certificates of one's own.
    ///
    /// # Errors
    /// When the address or a file cannot be read, or files are given for an address that is not `rediss://`.
    pub fn open_with(url: &str, tls: &RedisTls) -> Result<Self, RedisSetupError> {
        // What the driver says of an address may quote it.
        let address = url.into_connection_info().map_err(|_| RedisSetupError::Address)?;
        let place: Arc<str> = address.addr().to_string().into();
        let client = match tls.certificates()? {
            None => Client::open(address).map_err(|_| RedisSetupError::Address)?,
            Some(_) if !matches!(address.addr(), ConnectionAddr::TcpTls { .. }) => {
                let plain = "the address is not one for TLS, which begins with rediss://";
                return Err(RedisSetupError::Certificates(plain.to_owned()));
            }
            Some(certificates) => Client::build_with_tls(address, certificates)
                .map_err(|error| RedisSetupError::Certificates(error.to_string()))?,
        };
        let manager = manager(&client).map_err(|_| RedisSetupError::Address)?;
        Ok(Self {
            client,
            manager: Arc::new(Mutex::new(manager)),
            place,
        })
    }

    /// Host and port.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// An error of this Redis in words for people: where it is, what went wrong, and what may be behind it.
    pub(super) fn told(&self, error: &RedisError) -> String {
        told(&self.place, error)
    }

    /// Forgets the connection and makes a new one when it is needed. The driver keeps one that is still open and answers
    /// nothing; the server at its other end may have gone without a word, and the system notices after a quarter of an
    /// hour.
    pub(super) fn reset(&self) {
        if let Ok(fresh) = manager(&self.client) {
            *self.manager.lock() = fresh;
        }
    }

    /// A connection of one's own, on which commands may block.
    pub(super) async fn blocking(&self) -> Result<MultiplexedConnection, RedisError> {
        // The response timeout of the driver (half a second) would cut every blocking read.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(DEADLINE))
            .set_response_timeout(None);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    pub(super) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        self.run_within(DEADLINE, command).await
    }

    pub(super) async fn run_within<T: FromRedisValue>(&self, time: Duration, command: &Cmd) -> Result<T, RedisError> {
        count();
        let mut manager = self.manager.lock().clone();
        within(time, command.query_async(&mut manager)).await
    }

    /// Runs a script; it is loaded when Redis does not know it (any more).
    pub(super) async fn invoke<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, RedisError> {
        count();
        let mut manager = self.manager.lock().clone();
        within(DEADLINE, script.invoke_async(&mut manager)).await
    }

    /// Refuses a Redis that throws keys away. Whether it does may be a secret; then nothing is refused.
    pub(super) async fn check_policy(&self) -> Result<(), RedisSetupError> {
        let command = ::redis::cmd("CONFIG").arg("GET").arg("maxmemory-policy").to_owned();
        let answer: Result<Vec<String>, RedisError> = self.run(&command).await;
        match answer {
            Ok(pair) => match pair.get(1) {
                Some(policy) if policy != "noeviction" => Err(RedisSetupError::Evicts {
                    place: Arc::clone(&self.place),
                    policy: policy.clone(),
                }),
                _ => Ok(()),
            },
            Err(error) if error.kind() == ErrorKind::AuthenticationFailed || error.code() == Some("NOAUTH") => {
                Err(RedisSetupError::Refused(self.told(&error)))
            }
            // The words of rustls, which the driver passes on as those of a broken connection.
            Err(error) if error.to_string().contains("invalid peer certificate") => {
                Err(RedisSetupError::Certificates(self.told(&error)))
            }
            Err(error) if trouble(&error) == Trouble::Away && is_gone(&error) => Ok(()),
            Err(error) => {
                tracing::warn!(
                    error = self.told(&error),
                    "Redis does not tell its maxmemory-policy; it must be noeviction"
                );
                Ok(())
            }
        }
    }
}

fn manager(client: &Client) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(DEADLINE))
        .set_response_timeout(Some(DEADLINE));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// Counts a command that is sent.
pub(super) fn count() {
    super::metrics::commands(1);
}

/// Gives up after a while. The driver has deadlines too, but not for everything that it waits for.
pub(super) async fn within<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    match tokio::time::timeout(time, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time").into()),
    }
}

/// The driver's words where it has any: for what it cannot parse, and for what is closed at once, they may be missing.
fn told(place: &str, error: &RedisError) -> String {
    let mut words = error.to_string();
    if words.trim().is_empty() {
        words = match error.kind() {
            ErrorKind::Parse => "its answer cannot be read".to_owned(),
            kind => format!("{kind:?}"),
        };
    }
    let hung_up = error.is_connection_dropped() && !error.is_connection_refusal();
    let doubt = if error.kind() == ErrorKind::Parse || hung_up {
        "; does it speak Redis, and with TLS only for rediss://?"
    } else {
        ""
    };
    format!("Redis at {place}: {words}{doubt}")
}

/// Whether there is no talking to it at all.
fn is_gone(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

pub(super) fn trouble(error: &RedisError) -> Trouble {
    match error.code() {
        Some("NOGROUP" | "UNBLOCKED" | "WRONGTYPE") => Trouble::Broken,
        _ => Trouble::Away,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn errors_say_where_redis_is_and_doubt_what_does_not_speak_as_it_does() {
        let answers = ["HTTP/1.1 400 Bad Request\r\n\r\n", "", "E\0\0\0", "$x\r\n"];
        // The last one meets nobody.
        for answer in answers.map(Some).into_iter().chain([None]) {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
            let place = listener.local_addr().expect("address").to_string();
            let server = tokio::spawn(async move {
                while let Some(answer) = answer {
                    let (mut socket, _) = listener.accept().await.expect("connection");
                    drop(socket.read(&mut [0; 512]).await);
                    drop(socket.write_all(answer.as_bytes()).await);
                }
            });
            if answer.is_none() {
                server.await.expect("nobody listens");
            }
            let link = Link::open(&format!("redis://:hunter2@{place}/0")).expect("address");
            let command = ::redis::cmd("GET").arg("x").to_owned();
            let error = link.run::<Option<String>>(&command).await.expect_err("no Redis");
            let told = link.told(&error);
            let cause = told.strip_prefix(&format!("Redis at {place}: "));
            assert!(cause.is_some_and(|cause| cause.len() > 8), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
            assert_eq!(
                told.contains("does it speak Redis"),
                answer.is_some(),
                "{answer:?}: {told}: {error:?}"
            );
        }
    }
}
