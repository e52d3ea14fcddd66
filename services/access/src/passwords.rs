//! Passwords: argon2id, a few at a time. Hashing one takes 19 MiB and tens of milliseconds on purpose, so it is done where it
//! holds up nobody, by so many threads at most, and those who wait for one of them are bounded too.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::tokens::{Random, Secret};

/// Those who wait for a thread at most, of one address, and of those who are known already.
const WAITING: usize = 64;
const OF_ADDRESS: usize = 8;
const KNOWN: usize = 16;
/// Bytes of a salt.
const SALT: usize = 16;

/// What a hash costs.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// KiB of memory.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
    /// Hashes at a time.
    pub at_once: usize,
}

impl Default for Cost {
    /// What OWASP's cheat sheet of password storage asks for at least.
    fn default() -> Self {
        Self {
            memory: 19 * 1_024,
            passes: 2,
            at_once: std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        }
    }
}

/// A hash cannot be made or compared.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many passwords are being checked")]
    Busy,
    /// It failed.
    #[error("a password cannot be hashed: {0}")]
    Failed(String),
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::new(ErrorReason::Overloaded, error.to_string() + "; repeat the call")
                .retry_after(Duration::from_secs(1)),
            PasswordError::Failed(problem) => {
                tracing::error!(problem, "a password cannot be hashed");
                Self::new(
                    ErrorReason::Internal,
                    "the password cannot be checked; see the server's log",
                )
            }
        }
    }
}

/// Makes and compares hashes.
#[derive(Clone)]
pub struct Passwords {
    argon: Argon2<'static>,
    random: Random,
    threads: Arc<Semaphore>,
    /// Places of those who log in, and of those who have.
    places: Arc<Semaphore>,
    known: Arc<Semaphore>,
    /// Who waits, by address.
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
    /// What the password of somebody who has none is compared with, so that it takes as long.
    nobodys: Secret,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

/// The right to use a thread: whoever has it may compare, and note the outcome, before the next one does.
#[derive(Debug)]
pub struct Turn {
    thread: Option<OwnedSemaphorePermit>,
    _place: OwnedSemaphorePermit,
    _of_address: Option<OfAddress>,
}

/// A place of an address, which is free again when it is dropped.
#[derive(Debug)]
struct OfAddress {
    address: IpAddr,
    all: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for OfAddress {
    fn drop(&mut self) {
        if let Entry::Occupied(mut number) = self.all.lock().entry(self.address) {
            *number.get_mut() -= 1;
            if *number.get() == 0 {
                number.remove();
            }
        }
    }
}

impl Passwords {
    /// Hashes of a cost.
    ///
    /// # Errors
    /// When the cost is none that argon2 has.
    pub fn new(cost: Cost, random: Random) -> Result<Self, PasswordError> {
        let params = Params::new(cost.memory, cost.passes, 1, None).map_err(failed)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        // A salt and a hash that no password gives.
        let (salt, hash) = ("A".repeat(22), "A".repeat(43));
        let nobodys = format!("$argon2id$v=19$m={},t={},p=1${salt}${hash}", cost.memory, cost.passes);
        let threads = cost.at_once.max(1);
        Ok(Self {
            argon,
            random,
            threads: Arc::new(Semaphore::new(threads)),
            places: Arc::new(Semaphore::new(threads + WAITING)),
            known: Arc::new(Semaphore::new(threads + KNOWN)),
            addresses: Arc::default(),
            nobodys: Secret::new(nobodys),
        })
    }

    /// Waits for a thread, for somebody who logs in from an address, if it is known and theirs alone.
    ///
    /// # Errors
    /// When too many wait already, or too many of that address.
    pub async fn turn(&self, address: Option<IpAddr>) -> Result<Turn, PasswordError> {
        let of_address = address.map(|address| self.of_address(address)).transpose()?;
        self.wait(&self.places, of_address).await
    }

    fn of_address(&self, address: IpAddr) -> Result<OfAddress, PasswordError> {
        let mut all = self.addresses.lock();
        let number = all.entry(address).or_default();
        if *number >= OF_ADDRESS {
            return Err(PasswordError::Busy);
        }
        *number += 1;
        let all = Arc::clone(&self.addresses);
        Ok(OfAddress { address, all })
    }

    async fn wait(&self, places: &Arc<Semaphore>, of_address: Option<OfAddress>) -> Result<Turn, PasswordError> {
        let place = Arc::clone(places).try_acquire_owned();
        let place = place.map_err(|_| PasswordError::Busy)?;
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(failed)?;
        Ok(Turn {
            thread: Some(thread),
            _place: place,
            _of_address: of_address,
        })
    }

    /// Makes the hash of a password.
    ///
    /// # Errors
    /// When too many wait already, or there are no random numbers.
    pub async fn hash(&self, password: &str) -> Result<Secret, PasswordError> {
        let mut salt = [0; SALT];
        (self.random)(&mut salt).map_err(failed)?;
        let (argon, password) = (self.argon.clone(), Secret::new(password));
        // Nobody who is not known makes one: whoever logs in without end keeps no administrator from it.
        let mut turn = self.wait(&self.known, None).await?;
        turn.run(move || {
            let hash = argon.hash_password_with_salt(password.expose().as_bytes(), &salt);
            hash.map(|hash| Secret::new(hash.to_string())).map_err(failed)
        })
        .await?
    }

    /// Whether a password is the one of a hash. It takes as long when there is none.
    ///
    /// # Errors
    /// When the hash cannot be read.
    pub async fn verify(&self, turn: &mut Turn, password: &str, hash: Option<&Secret>) -> Result<bool, PasswordError> {
        let (argon, password) = (self.argon.clone(), Secret::new(password));
        let hash = hash.unwrap_or(&self.nobodys).clone();
        turn.run(move || {
            let parsed = PasswordHash::new(hash.expose()).map_err(failed)?;
            // Compares in constant time.
            Ok(argon.verify_password(password.expose().as_bytes(), &parsed).is_ok())
        })
        .await?
    }
}

impl Turn {
    /// Runs something on the thread. It holds the turn to its end, also when the caller has given up.
    async fn run<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let thread = self.thread.take();
        let running = tokio::task::spawn_blocking(move || (work(), thread));
        let (done, thread) = running.await.map_err(failed)?;
        self.thread = thread;
        Ok(done)
    }
}

fn failed(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::system_random;

    fn cheap() -> Passwords {
        let cost = Cost {
            memory: 64,
            passes: 1,
            at_once: 1,
        };
        Passwords::new(cost, system_random()).expect("passwords")
    }

    #[tokio::test]
    async fn a_hash_fits_its_password_only_and_nobody_has_a_password() {
        let passwords = cheap();
        let hash = passwords.hash("correct horse").await.expect("a hash");
        assert!(
            hash.expose().starts_with("$argon2id$v=19$m=64,t=1,p=1$"),
            "{}",
            hash.expose()
        );
        assert_ne!(passwords.hash("correct horse").await.expect("another"), hash, "salted");
        let mut turn = passwords.turn(None).await.expect("a turn");
        for (password, hash, fits) in [
            ("correct horse", Some(&hash), true),
            ("correct horsE", Some(&hash), false),
            ("", Some(&hash), false),
            ("", None, false),
            ("correct horse", None, false),
        ] {
            let verified = passwords.verify(&mut turn, password, hash).await.expect("compared");
            assert_eq!(verified, fits, "{password}");
        }
    }

    #[tokio::test]
    async fn those_who_wait_are_bounded() {
        let passwords = cheap();
        let held = passwords.turn(None).await.expect("a turn");
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let passwords = passwords.clone();
                tokio::spawn(async move { passwords.turn(None).await.map(drop) })
            })
            .collect();
        while passwords.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(passwords.turn(None).await, Err(PasswordError::Busy)));
        drop(held);
        for waiting in waiting {
            waiting.await.expect("no panic").expect("everybody's turn comes");
        }
        assert!(passwords.turn(None).await.is_ok());
    }

    #[tokio::test]
    async fn one_address_leaves_places_to_others_and_none_takes_those_of_who_is_known() {
        let passwords = cheap();
        let address = |last: u8| Some(IpAddr::from([198, 51, 100, last]));
        let held = passwords.turn(None).await.expect("a turn");
        let wait = |address: Option<IpAddr>| {
            let passwords = passwords.clone();
            tokio::spawn(async move { passwords.turn(address).await.map(drop) })
        };
        let flood: Vec<_> = (0..OF_ADDRESS).map(|_| wait(address(1))).collect();
        while passwords.addresses.lock().values().sum::<usize>() < OF_ADDRESS {
            tokio::task::yield_now().await;
        }
        assert!(matches!(passwords.turn(address(1)).await, Err(PasswordError::Busy)));
        let others: Vec<_> = (0..WAITING - OF_ADDRESS).map(|_| wait(None)).collect();
        while passwords.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let known = passwords.clone();
        let known = tokio::spawn(async move { known.hash("correct horse").await.map(drop) });
        drop(held);
        for waiting in flood.into_iter().chain(others).chain([known]) {
            waiting.await.expect("no panic").expect("everybody's turn comes");
        }
        assert!(passwords.addresses.lock().is_empty());
    }

    #[test]
    fn the_cost_is_what_owasp_asks_for() {
        let cost = Cost::default();
        assert!(cost.memory >= 19 * 1_024 && cost.passes >= 2 && cost.at_once >= 1);
    }
}
