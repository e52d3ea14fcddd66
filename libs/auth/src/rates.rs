//! How often somebody may call, so that one caller's flood leaves the others alone: calls a second for each credential and
//! for each namespace, with twice as many at once after a pause. Counted by each process for itself; what the contracts call
//! critical or waiting is not counted, nor are calls of services.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use nexus_api::ErrorReason;
use nexus_api::access::v1::IdentityKind;
use nexus_api::error::ApiError;
use nexus_api::method::{LoadClass, Method};

use crate::Caller;

/// After so many calls those are forgotten who have not called for a while.
const SWEEP: u32 = 10_000;

/// The limits of a process.
pub struct Rates {
    of_credential: Option<Limit>,
    of_namespace: Option<Limit>,
}

struct Limit {
    /// The key of the configuration, and what it says.
    key: &'static str,
    most: NonZeroU32,
    limiter: DefaultKeyedRateLimiter<Arc<str>>,
    calls: AtomicU32,
}

impl Limit {
    fn new(key: &'static str, most: u32) -> Option<Self> {
        let most = NonZeroU32::new(most)?;
        let quota = Quota::per_second(most).allow_burst(most.saturating_mul(NonZeroU32::MIN.saturating_add(1)));
        Some(Self {
            key,
            most,
            limiter: RateLimiter::keyed(quota),
            calls: AtomicU32::new(0),
        })
    }

    fn check(&self, who: &str) -> Result<(), ApiError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
        }
        let Err(not_until) = self.limiter.check_key(&Arc::from(who)) else {
            return Ok(());
        };
        let wait = not_until.wait_time_from(DefaultClock::default().now());
        let message = format!(
            "{who} makes more than {} calls a second ({}); come again later",
            self.most, self.key
        );
        let wait = wait.max(Duration::from_millis(1));
        Err(ApiError::new(ErrorReason::RateLimited, message).retry_after(wait))
    }
}

impl Rates {
    /// Calls a second for each credential and each namespace; no limit when 0.
    #[must_use]
    pub fn new(of_credential: u32, of_namespace: u32) -> Self {
        Self {
            of_credential: Limit::new("limits.calls_per_credential", of_credential),
            of_namespace: Limit::new("limits.calls_per_namespace", of_namespace),
        }
    }

    /// Counts a call.
    ///
    /// # Errors
    /// RATE_LIMITED, with the time after which the next one is served.
    pub fn check(&self, method: &Method, caller: &Caller, namespace: &str) -> Result<(), ApiError> {
        let identity = caller.identity();
        if method.load_class != LoadClass::Interactive || identity.kind() == IdentityKind::Service {
            return Ok(());
        }
        if let Some(limit) = &self.of_credential {
            let credential = match identity.credential.as_str() {
                "" => &identity.subject,
                credential => credential,
            };
            limit.check(credential)?;
        }
        self.of_namespace
            .as_ref()
            .map_or(Ok(()), |limit| limit.check(namespace))
    }
}

#[cfg(test)]
mod tests {
    use nexus_api::access::v1::Identity;
    use nexus_api::method::method;

    use super::*;

    fn caller(credential: &str) -> Caller {
        Caller::new(Identity {
            credential: credential.to_owned(),
            kind: IdentityKind::User.into(),
            ..Identity::default()
        })
    }

    #[test]
    fn one_caller_s_flood_is_refused_and_others_are_served() {
        let list = method("/nexus.execution.v1.ExecutionService/ListExecutions").expect("a method");
        let rates = Rates::new(10, 0);
        let (flood, other) = (caller("key:a"), caller("key:b"));
        let served = (0..100)
            .filter(|_| rates.check(list, &flood, "default").is_ok())
            .count();
        assert!((20..=22).contains(&served), "{served}");
        let refused = rates.check(list, &flood, "default").expect_err("too many");
        assert_eq!(refused.reason(), ErrorReason::RateLimited);
        assert!(refused.to_string().contains("key:a makes more than 10 calls a second"));
        assert!(rates.check(list, &other, "default").is_ok());
        let report = method("/nexus.worker.v1.WorkerService/ReportTasks").expect("a method");
        assert!(
            rates.check(report, &flood, "default").is_ok(),
            "what would be lost is not counted"
        );
        let service = Caller::service("execution");
        assert!((0..100).all(|_| rates.check(list, &service, "default").is_ok()));
    }

    #[test]
    fn a_namespace_has_a_limit_of_its_own_whoever_calls() {
        let list = method("/nexus.execution.v1.ExecutionService/ListExecutions").expect("a method");
        let rates = Rates::new(0, 2);
        let served = (0..10).filter(|number| {
            let caller = caller(&format!("key:{number}"));
            rates.check(list, &caller, "busy").is_ok()
        });
        assert_eq!(served.count(), 4);
        assert!(rates.check(list, &caller("key:0"), "quiet").is_ok());
    }
}
