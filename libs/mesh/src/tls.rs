//! TLS from PEM files: for servers, for clients, and mutual. Files that change are taken up without a restart: they
//! are looked at again, at most every few seconds, when a connection is made. A new set that cannot be used is logged
//! and the last good one stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// How often files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// gRPC is HTTP/2 only; a port that answers plain HTTP takes the older one too.
const ALPN: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Where the certificates are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The own certificate and those between it and the root, PEM.
    pub cert: Option<PathBuf>,
    /// The own private key, PEM.
    pub key: Option<PathBuf>,
    /// The roots that peers are verified with, PEM. Clients that have none use the public ones.
    pub ca: Option<PathBuf>,
    /// True when a server refuses clients without a certificate of `ca`.
    pub require_client_cert: bool,
    /// The name that a server's certificate must have; the host of its address when not said.
    pub server_name: Option<String>,
}

impl TlsFiles {
    fn all(&self) -> impl Iterator<Item = &Path> {
        [&self.cert, &self.key, &self.ca]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// Both of certificate and key, or none of them.
    fn identity(&self) -> Result<Option<Identity>, TlsError> {
        match (&self.cert, &self.key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some((certificates("certificate", cert)?, private_key(key)?))),
            (Some(_), None) => Err(TlsError::Incomplete("tls.cert is set and tls.key is not")),
            (None, Some(_)) => Err(TlsError::Incomplete("tls.key is set and tls.cert is not")),
        }
    }

    /// What `identity` needs to tell of a certificate that does not fit its key.
    fn unfit(&self, source: rustls::Error) -> TlsError {
        TlsError::Unfit {
            cert: self.cert.clone().unwrap_or_default(),
            key: self.key.clone().unwrap_or_default(),
            source,
        }
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// TLS cannot be set up with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or does not hold what it should.
    #[error("the {what} {} cannot be used: {problem}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting needs another one.
    #[error("{0}; set both, or neither")]
    Incomplete(&'static str),
    /// Certificate and key do not belong together.
    #[error("the certificate {} and the key {} do not go together: {source}", cert.display(), key.display())]
    Unfit {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// Clients are to be verified, and nothing to verify them with is given.
    #[error("tls.require_client_cert needs tls.ca: the roots that clients' certificates are verified with")]
    NoRoots,
    /// A server needs a certificate.
    #[error("a server needs tls.cert and tls.key; without them it can only be reached by those who ask for no TLS")]
    NoIdentity,
    /// A name that no certificate can have.
    #[error("`{0}` is not a name that a certificate can have; tls.server_name must be a host name or an address")]
    Name(String),
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |problem: String| TlsError::File {
        what,
        path: path.to_owned(),
        problem,
    };
    let found = CertificateDer::pem_file_iter(path)
        .map_err(|error| bad(error.to_string()))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(error.to_string()))?;
    if found.is_empty() {
        return Err(bad("it holds no PEM block CERTIFICATE".into()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File {
        what: "private key",
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates("CA file", path)? {
        store.add(certificate).map_err(|error| TlsError::File {
            what: "CA file",
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
    }
    Ok(store)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A configuration that follows its files.
struct Following<T> {
    files: TlsFiles,
    make: fn(&TlsFiles) -> Result<T, TlsError>,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Arc<T>,
    stamp: Vec<Option<(SystemTime, u64)>>,
    looked: Instant,
}

impl<T> Following<T> {
    fn load(files: &TlsFiles, make: fn(&TlsFiles) -> Result<T, TlsError>) -> Result<Self, TlsError> {
        let stamp = stamp(files);
        let current = Arc::new(make(files)?);
        Ok(Self {
            files: files.clone(),
            make,
            state: Mutex::new(State {
                current,
                stamp,
                looked: Instant::now(),
            }),
        })
    }

    /// The newest configuration that works.
    fn current(&self) -> Arc<T> {
        let mut state = self.state.lock();
        if state.looked.elapsed() < LOOK_EVERY {
            return Arc::clone(&state.current);
        }
        state.looked = Instant::now();
        let now = stamp(&self.files);
        if now != state.stamp {
            match (self.make)(&self.files) {
                Ok(new) => {
                    tracing::info!("certificates have changed and are in use from now on");
                    (state.current, state.stamp) = (Arc::new(new), now);
                }
                // Written half at this moment, perhaps: the next look tries again.
                Err(error) => tracing::warn!(%error, "changed certificates cannot be used; the last good ones stay"),
            }
        }
        Arc::clone(&state.current)
    }
}

/// Tells a changed file from an unchanged one; links, as Kubernetes mounts secrets, are followed.
fn stamp(files: &TlsFiles) -> Vec<Option<(SystemTime, u64)>> {
    let of = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.all().map(of).collect()
}

/// A server's side of TLS.
#[derive(Clone)]
pub struct ServerTls(Arc<Following<ServerConfig>>);

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ServerTls").field(&self.0.files).finish()
    }
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one of them cannot be used, or one is missing.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        Following::load(files, server_config).map(|following| Self(Arc::new(following)))
    }

    /// Reads the files, for a port that is reached over HTTP/1.1 too.
    ///
    /// # Errors
    /// When one of them cannot be used, or one is missing.
    pub fn load_with_http1(files: &TlsFiles) -> Result<Self, TlsError> {
        let make = |files: &TlsFiles| {
            let mut config = server_config(files)?;
            config.alpn_protocols.push(ALPN_HTTP1.to_vec());
            Ok(config)
        };
        Following::load(files, make).map(|following| Self(Arc::new(following)))
    }

    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        tokio_rustls::TlsAcceptor::from(self.0.current())
    }
}

fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let Some((certificates, key)) = files.identity()? else {
        return Err(TlsError::NoIdentity);
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| files.unfit(error))?;
    let builder = match (&files.ca, files.require_client_cert) {
        (None, true) => return Err(TlsError::NoRoots),
        (None, false) => builder.with_no_client_auth(),
        (Some(ca), required) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider());
            let verifier = if required {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| TlsError::File {
                what: "CA file",
                path: ca.clone(),
                problem: error.to_string(),
            })?)
        }
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|error| files.unfit(error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// A client's side of TLS.
#[derive(Clone)]
pub struct ClientTls(Arc<Following<ClientConfig>>);

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ClientTls").field(&self.0.files).finish()
    }
}

impl ClientTls {
    /// Reads the files. Certificate and key are shown to servers that ask for them.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        if let Some(name) = &files.server_name {
            server_name(name)?;
        }
        Following::load(files, client_config).map(|following| Self(Arc::new(following)))
    }

    pub(crate) fn connector(&self) -> tokio_rustls::TlsConnector {
        tokio_rustls::TlsConnector::from(self.0.current())
    }

    /// The name that the certificate of the server at `host` must have.
    pub(crate) fn name_for(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        server_name(self.0.files.server_name.as_deref().unwrap_or(host))
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    // A URI writes an IPv6 address in brackets.
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))
}

fn client_config(files: &TlsFiles) -> Result<ClientConfig, TlsError> {
    let roots = match &files.ca {
        Some(ca) => roots(ca)?,
        None => RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| files.unfit(error))?
        .with_root_certificates(roots);
    let mut config = match files.identity()? {
        Some((certificates, key)) => builder
            .with_client_auth_cert(certificates, key)
            .map_err(|error| files.unfit(error))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}
