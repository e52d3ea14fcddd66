//! What every process with doors does beside its roles: it takes the calls that its doors refused to the audit log.

use nexus_service::{Background, Role};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::frame::Frame;

const NAME: &str = "doors";

/// Starts it, where there is an audit log.
pub(super) fn start(frame: &Frame) -> Result<Option<Box<dyn Role>>, StartError> {
    let Some(log) = frame.audit_log(NAME)? else {
        return Ok(None);
    };
    nexus_audit::ship::describe();
    let background = Background::new(CancellationToken::new());
    let shutdown = background.shutdown().clone();
    let shipping = nexus_audit::ship::refused(frame.denials(), log, shutdown);
    let task = background.spawn("refused calls to the audit log", shipping);
    Ok(Some(Box::new(Running { background, task })))
}

struct Running {
    background: Background,
    task: JoinHandle<()>,
}

#[tonic::async_trait]
impl Role for Running {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn broken(&self) -> String {
        self.background.broken().await
    }

    async fn stop(self: Box<Self>) {
        self.background.shutdown().cancel();
        // A task of the background never fails; it has told already if it broke.
        drop(self.task.await);
    }
}
