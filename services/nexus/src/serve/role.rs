//! What `nexus serve` asks of a role.

use std::time::Duration;

use tonic::service::RoutesBuilder;

/// A role that was started. `serve.rs` tells in which order its methods are called.
#[tonic::async_trait]
pub(crate) trait Role: Send {
    /// Its name in logs.
    fn name(&self) -> &'static str;

    /// Adds the gRPC services that it answers for.
    fn add_routes(&self, _routes: &mut RoutesBuilder) {}

    /// Waits until it ends by itself, which it should not, and says why. May be dropped and called again.
    async fn broke(&mut self) -> String {
        std::future::pending().await
    }

    /// How long draining may take.
    fn drain_limit(&self) -> Duration;

    /// Takes nothing new and finishes or hands over what is under way. Callers already see NOT_SERVING, no new connection
    /// is accepted, and open ones are still served.
    async fn drain(&mut self);

    /// Closes what it opened. Nothing is served any more.
    async fn stop(self: Box<Self>);
}
