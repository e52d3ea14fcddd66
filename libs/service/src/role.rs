//! What a process asks of a role that was started.

use std::time::Duration;

use nexus_mesh::front::Http;
use tonic::service::RoutesBuilder;

/// A role that was started. [`crate::Process`] tells in which order its methods are called.
#[tonic::async_trait]
pub trait Role: Send + Sync {
    /// Its name in logs and on `/readyz`.
    fn name(&self) -> &'static str;

    /// Adds the gRPC services that it answers for.
    fn add_routes(&self, _routes: &mut RoutesBuilder) {}

    /// Who answers what is not gRPC on the process's port; nobody, for most roles.
    fn http(&self) -> Option<Http> {
        None
    }

    /// Waits until something of it ends that should not, and says what. May be dropped and called again.
    async fn broken(&self) -> String {
        std::future::pending().await
    }

    /// How long draining may take.
    fn drain_limit(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Takes nothing new and finishes or hands over what is under way. Callers already see NOT_SERVING, no new connection
    /// is accepted, and open ones are still served. A role whose calls each stand for themselves has nothing to do.
    async fn drain(&mut self) {}

    /// Closes what it opened. Nothing is served any more.
    async fn stop(self: Box<Self>);
}
