//! Certificates of a root of their own, for servers that speak TLS.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::folder::Folder;
use crate::postgres::user;
use crate::{Error, system};

/// A root, and one certificate of it that serves servers on this machine and their clients.
#[derive(Debug)]
pub struct Certificates {
    folder: Folder,
}

impl Certificates {
    /// Fresh ones.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn new() -> Result<Self, Error> {
        let fresh = Self { folder: Folder::new()? };
        let (root, cert, key) = made().map_err(|error| Error::Failed {
            what: "making certificates".to_owned(),
            said: error.to_string(),
        })?;
        let failed = system("writing certificates");
        let write = || -> std::io::Result<()> {
            std::fs::write(fresh.ca(), root)?;
            std::fs::write(fresh.cert(), cert)?;
            std::fs::write(fresh.key(), key)?;
            // Postgres refuses a key that others may read; one of root's may be read by its own group.
            std::fs::set_permissions(fresh.key(), Permissions::from_mode(0o600))
        };
        write().map_err(failed)?;
        if let Some((uid, gid)) = user()? {
            std::os::unix::fs::chown(fresh.key(), Some(uid), Some(gid)).map_err(system("giving a key away"))?;
        }
        Ok(fresh)
    }

    /// The root.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The certificate, for `localhost` and 127.0.0.1.
    #[must_use]
    pub fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Settings of a Postgres that speaks TLS with them.
    #[must_use]
    pub fn postgres(&self) -> Vec<String> {
        vec![
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", self.cert().display()),
            format!("ssl_key_file={}", self.key().display()),
            format!("ssl_ca_file={}", self.ca().display()),
        ]
    }

    /// Arguments of a Redis that speaks TLS with them on a port besides its own, to clients that have one of them too.
    #[must_use]
    pub fn redis(&self, port: u16) -> Vec<String> {
        let path = |path: PathBuf| path.display().to_string();
        let pairs = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", path(self.cert())),
            ("--tls-key-file", path(self.key())),
            ("--tls-ca-cert-file", path(self.ca())),
            ("--tls-auth-clients", "yes".to_owned()),
        ];
        pairs
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    }
}

/// A root, a certificate and its key, in PEM.
fn made() -> Result<(String, String, String), rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes a certificate whose issuer has its own name for one that nobody vouches for.
    params.distinguished_name.push(DnType::CommonName, "a root for tests");
    let key = KeyPair::generate()?;
    let root = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, &issuer)?.pem();
    Ok((root, cert, key.serialize_pem()))
}
