//! Whose a credential is, as the access service says, and how long its word is gone by. An answer is good for the time that
//! the service gives it, 30 s at most, so that what was revoked is worth nothing a minute later; many calls with one
//! credential ask once. While nobody answers, the last word holds a while longer: a minute for what people ask for, ten for
//! what would be lost without it, such as the reports of tasks that have run.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use nexus_api::ErrorReason;
use nexus_api::access::v1::AuthenticateRequest;
use nexus_api::access::v1::authentication_service_client::AuthenticationServiceClient;
use nexus_api::error::ApiError;
use nexus_mesh::Transport;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tonic::{Code, Request};

use crate::Caller;
use crate::credential::invalid;

/// The longest that an answer is gone by, whatever the service says.
const LONGEST: Duration = Duration::from_secs(30);
/// How long a credential that is none is not asked about again.
const REFUSED: Duration = Duration::from_secs(5);
/// After an answer that did not come the next is asked for no sooner.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the last good answer holds while there is no other.
const GRACE: Duration = Duration::from_secs(60);
const GRACE_OF_CRITICAL: Duration = Duration::from_secs(600);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// Credentials that are remembered, and questions under way.
const REMEMBERED: u64 = 10_000;
const ASKED_AT_A_TIME: usize = 64;

/// Why nobody knows whose a credential is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is none.
    #[error("{0}")]
    Invalid(String),
    /// There is no answer at present.
    #[error("{0}")]
    Unavailable(String),
}

/// Finds out whose a credential is.
#[tonic::async_trait]
pub trait Verify: Send + Sync {
    /// Whose it is, and how long that may be gone by.
    ///
    /// # Errors
    /// When it is none, or nobody can be asked.
    async fn verify(&self, credential: &str) -> Result<(Caller, Duration), VerifyError>;
}

/// Asks the access service.
#[derive(Clone)]
pub struct AccessService(AuthenticationServiceClient<Transport>);

impl AccessService {
    /// Over a way on which this process shows who it is.
    #[must_use]
    pub fn new(way: Transport) -> Self {
        Self(AuthenticationServiceClient::new(way))
    }
}

#[tonic::async_trait]
impl Verify for AccessService {
    async fn verify(&self, credential: &str) -> Result<(Caller, Duration), VerifyError> {
        let mut request = Request::new(AuthenticateRequest {
            credential: credential.to_owned(),
        });
        request.set_timeout(PATIENCE);
        let answer = self.0.clone().authenticate(request).await.map_err(|status| {
            let message = status.message().to_owned();
            match status.code() {
                Code::Unauthenticated
                    if nexus_api::error::reason_of(&status) == Some(ErrorReason::CredentialInvalid) =>
                {
                    VerifyError::Invalid(message)
                }
                Code::InvalidArgument => VerifyError::Invalid(message),
                _ => VerifyError::Unavailable(message),
            }
        })?;
        let answer = answer.into_inner();
        let identity = answer
            .identity
            .ok_or_else(|| VerifyError::Unavailable("the access service named nobody".to_owned()))?;
        let keep_for = answer.keep_for.and_then(|span| Duration::try_from(span).ok());
        Ok((Caller::new(identity), keep_for.unwrap_or_default()))
    }
}

/// What is known of credentials.
pub struct Known {
    verify: Arc<dyn Verify>,
    /// By the credential's hash: what is in memory is no credential.
    slots: Cache<[u8; 32], Arc<Slot>>,
    asking: Semaphore,
}

/// What is known of one.
#[derive(Default)]
struct Slot {
    /// Held by the one who asks.
    turn: tokio::sync::Mutex<()>,
    last: Mutex<Last>,
}

#[derive(Default, Clone)]
struct Last {
    /// The last answer, when it came, and until when it is gone by.
    answer: Option<(Result<Caller, String>, Instant, Instant)>,
    /// When there was none the last time.
    failed: Option<(Instant, String)>,
}

impl Last {
    fn fresh(&self, now: Instant) -> Option<Result<Caller, String>> {
        let (answer, _, until) = self.answer.as_ref()?;
        (now < *until).then(|| answer.clone())
    }

    /// The last good answer, while it holds though there is no newer one.
    fn held(&self, now: Instant, grace: Duration) -> Option<Caller> {
        match self.answer.as_ref()? {
            (Ok(caller), at, _) if now.duration_since(*at) < grace => Some(caller.clone()),
            _ => None,
        }
    }
}

impl Known {
    /// Remembers what `verify` says.
    #[must_use]
    pub fn new(verify: Arc<dyn Verify>) -> Self {
        Self {
            verify,
            slots: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_idle(2 * GRACE_OF_CRITICAL)
                .build(),
            asking: Semaphore::new(ASKED_AT_A_TIME),
        }
    }

    /// Whose a credential is. `critical` for what would be lost if it were refused.
    ///
    /// # Errors
    /// CREDENTIAL_INVALID when it is none, ACCESS_UNAVAILABLE when nobody can be asked.
    pub async fn who(&self, credential: &str, critical: bool) -> Result<Caller, ApiError> {
        let hash: [u8; 32] = Sha256::digest(credential.as_bytes()).into();
        let slot = self.slots.get_with(hash, async { Arc::default() }).await;
        if let Some(answer) = slot.last.lock().fresh(Instant::now()) {
            return answer.map_err(invalid);
        }
        let _turn = slot.turn.lock().await;
        let now = Instant::now();
        let last = slot.last.lock().clone();
        if let Some(answer) = last.fresh(now) {
            return answer.map_err(invalid);
        }
        let grace = if critical { GRACE_OF_CRITICAL } else { GRACE };
        if let Some((at, why)) = &last.failed
            && now.duration_since(*at) < PAUSE
        {
            return last.held(now, grace).ok_or_else(|| unavailable(why));
        }
        let answer = self.ask(credential).await;
        // From before the question: what was revoked meanwhile may not be in the answer.
        let keep = |answer, span| (answer, now, now + span);
        match answer {
            Ok((caller, keep_for)) => {
                let answer = Some(keep(Ok(caller.clone()), keep_for.min(LONGEST)));
                *slot.last.lock() = Last { answer, failed: None };
                Ok(caller)
            }
            Err(VerifyError::Invalid(why)) => {
                let answer = Some(keep(Err(why.clone()), REFUSED));
                *slot.last.lock() = Last { answer, failed: None };
                Err(invalid(why))
            }
            Err(VerifyError::Unavailable(why)) => {
                tracing::warn!(problem = why, "nobody says whose a credential is");
                slot.last.lock().failed = Some((Instant::now(), why.clone()));
                last.held(now, grace).ok_or_else(|| unavailable(&why))
            }
        }
    }

    async fn ask(&self, credential: &str) -> Result<(Caller, Duration), VerifyError> {
        let late = |what: &str| VerifyError::Unavailable(format!("{what} within {PATIENCE:?}"));
        let place = timeout(PATIENCE, self.asking.acquire()).await;
        let _place = place.map_err(|_| late("too many credentials are being asked about; there was no place"))?;
        let answer = timeout(PATIENCE, self.verify.verify(credential)).await;
        answer.map_err(|_| late("the access service did not answer"))?
    }
}

fn unavailable(why: &str) -> ApiError {
    let message = format!("whose the credential is cannot be found out at present: {why}; come again in a moment");
    ApiError::new(ErrorReason::AccessUnavailable, message).retry_after(PAUSE)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::advance;

    use super::*;

    /// Says what it was last told to say, and counts how often it was asked.
    struct Scripted {
        says: Mutex<Result<Duration, VerifyError>>,
        asked: AtomicU32,
    }

    impl Scripted {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                says: Mutex::new(Ok(Duration::from_secs(30))),
                asked: AtomicU32::new(0),
            })
        }

        fn say(&self, what: Result<Duration, VerifyError>) {
            *self.says.lock() = what;
        }

        fn asked(&self) -> u32 {
            self.asked.swap(0, Ordering::Relaxed)
        }
    }

    #[tonic::async_trait]
    impl Verify for Scripted {
        async fn verify(&self, _credential: &str) -> Result<(Caller, Duration), VerifyError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
            let said = self.says.lock().clone();
            said.map(|keep| (Caller::service("x"), keep))
        }
    }

    fn reason(answer: Result<Caller, ApiError>) -> Option<ErrorReason> {
        answer.err().map(|error| error.reason())
    }

    #[tokio::test(start_paused = true)]
    async fn many_calls_ask_once_and_what_is_revoked_is_worth_nothing_soon_after() {
        let service = Scripted::new();
        let known = Known::new(service.clone());
        let calls = futures::future::join_all((0..50).map(|_| known.who("a", false))).await;
        assert!(calls.into_iter().all(|answer| answer.is_ok()));
        assert_eq!(service.asked(), 1);
        service.say(Err(VerifyError::Invalid("it was revoked".to_owned())));
        advance(Duration::from_secs(29)).await;
        assert!(known.who("a", false).await.is_ok());
        assert_eq!(service.asked(), 0);
        advance(Duration::from_secs(2)).await;
        for _ in 0..3 {
            assert_eq!(reason(known.who("a", true).await), Some(ErrorReason::CredentialInvalid));
        }
        assert_eq!(service.asked(), 1, "a refusal is remembered for a moment");
        service.say(Ok(Duration::from_secs(3_600)));
        advance(REFUSED).await;
        assert!(known.who("a", false).await.is_ok());
        advance(LONGEST).await;
        assert!(known.who("a", false).await.is_ok());
        assert_eq!(service.asked(), 2, "no answer is good for longer");
    }

    #[tokio::test(start_paused = true)]
    async fn while_nobody_answers_the_last_word_holds_a_minute_and_for_reports_ten() {
        let service = Scripted::new();
        let known = Known::new(service.clone());
        assert!(known.who("a", false).await.is_ok());
        service.say(Err(VerifyError::Unavailable("away".to_owned())));
        assert_eq!(reason(known.who("b", true).await), Some(ErrorReason::AccessUnavailable));
        advance(Duration::from_secs(50)).await;
        assert!(known.who("a", false).await.is_ok());
        service.asked();
        assert!(known.who("a", false).await.is_ok());
        assert_eq!(service.asked(), 0, "it is not asked again at once");
        advance(Duration::from_secs(15)).await;
        assert_eq!(
            reason(known.who("a", false).await),
            Some(ErrorReason::AccessUnavailable)
        );
        assert!(known.who("a", true).await.is_ok());
        advance(Duration::from_secs(540)).await;
        assert_eq!(reason(known.who("a", true).await), Some(ErrorReason::AccessUnavailable));
        service.say(Ok(Duration::from_secs(30)));
        advance(PAUSE).await;
        assert!(known.who("a", false).await.is_ok(), "it is over when it is over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_undone_by_an_outage() {
        let service = Scripted::new();
        let known = Known::new(service.clone());
        assert!(known.who("a", false).await.is_ok());
        service.say(Err(VerifyError::Invalid("revoked".to_owned())));
        advance(LONGEST).await;
        assert!(known.who("a", true).await.is_err());
        service.say(Err(VerifyError::Unavailable("away".to_owned())));
        advance(REFUSED).await;
        assert_eq!(reason(known.who("a", true).await), Some(ErrorReason::AccessUnavailable));
    }
}
