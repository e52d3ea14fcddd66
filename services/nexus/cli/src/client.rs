//! The way to the server.

use std::path::PathBuf;
use std::time::Duration;

use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_mesh::Transport;
use nexus_mesh::tls::{ClientTls, TlsFiles};
use nexus_mesh::transport::{ClientOptions, connect_balanced, in_namespace};
use tonic::{Code, Status};

use super::args::Global;
use super::error::CliError;

/// How often a wait or a watch goes on after the server was away, before it gives up.
pub(super) const MAX_RECONNECTS: u32 = 20;
/// Larger answers are refused; a page of tasks with their outputs is the largest there is.
const MAX_ANSWER: usize = 64 << 20;

/// The way to a server. Over TLS with the certificates that the variables of `nexus serve` name (`NEXUS_TLS__CA`, and
/// `NEXUS_TLS__CERT` with `NEXUS_TLS__KEY` for mutual TLS); with the public roots when there are none.
pub fn transport(address: &str) -> Result<Transport, CliError> {
    if address.contains(',') && !address.contains("https://") {
        let connected = connect_balanced(address, &ClientOptions::default());
        return connected.map_err(|error| CliError::Usage(error.to_string()));
    }
    if !address.starts_with("https://") {
        return nexus_mesh::transport::connect(address).map_err(|_| {
            CliError::Usage(format!(
                "--address must be a URL such as http://127.0.0.1:7070, not `{address}`"
            ))
        });
    }
    let file = |name: &str| {
        std::env::var_os(name)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let files = TlsFiles {
        cert: file("NEXUS_TLS__CERT"),
        key: file("NEXUS_TLS__KEY"),
        ca: file("NEXUS_TLS__CA"),
        require_client_cert: false,
        server_name: std::env::var("NEXUS_TLS__SERVER_NAME")
            .ok()
            .filter(|name| !name.is_empty()),
    };
    let tls = ClientTls::load(&files).map_err(|error| CliError::Usage(error.to_string()))?;
    let options = ClientOptions {
        tls: Some(tls),
        ..ClientOptions::default()
    };
    connect_balanced(address, &options).map_err(|error| CliError::Usage(error.to_string()))
}

/// The services, behind one address or each behind its own. Every call is about the command's namespace.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) definitions: DefinitionsServiceClient<Transport>,
    pub(super) executions: ExecutionServiceClient<Transport>,
    address: String,
}

/// The ways to the definitions and to the execution service, about the command's namespace.
pub(super) fn ways(global: &Global) -> Result<(Transport, Transport), CliError> {
    let namespace = global.namespace()?;
    let executions = in_namespace(transport(&global.address)?, &namespace);
    let definitions = match &global.definitions_address {
        Some(address) => in_namespace(transport(address)?, &namespace),
        None => executions.clone(),
    };
    Ok((definitions, executions))
}

impl Clients {
    pub(super) fn new(global: &Global) -> Result<Self, CliError> {
        let (definitions, executions) = ways(global)?;
        Ok(Self {
            definitions: DefinitionsServiceClient::new(definitions).max_decoding_message_size(MAX_ANSWER),
            executions: ExecutionServiceClient::new(executions).max_decoding_message_size(MAX_ANSWER),
            address: global.address.clone(),
        })
    }

    /// An error of a call: a status that no server sent says that there is none.
    pub(super) fn error(&self, status: Status) -> CliError {
        if is_away(&status) && nexus_api::error::reason_of(&status).is_none() {
            return CliError::Unreachable {
                address: self.address.clone(),
                problem: innermost(&status),
            };
        }
        status.into()
    }
}

/// True when the server is away, so that the call may be repeated: it says so itself, or the connection broke. A stream
/// that breaks in the middle has another code than a call that never began, but it has the transport's error inside.
pub(super) fn is_away(status: &Status) -> bool {
    let broken = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Unavailable => true,
        Code::Unknown | Code::Internal | Code::Cancelled => broken,
        _ => false,
    }
}

/// What happened, without the layers that it happened in.
fn innermost(status: &Status) -> String {
    let mut error: &dyn std::error::Error = status;
    while let Some(source) = error.source() {
        error = source;
    }
    let text = error.to_string();
    if text.starts_with("status:") || text.is_empty() {
        status.message().to_owned()
    } else {
        text
    }
}

/// The wait before the server is asked again: doubling up to 2 s.
pub(super) fn pause(failures: u32) -> Duration {
    Duration::from_millis(100)
        .saturating_mul(1 << failures.min(5))
        .min(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_connection_or_the_server_itself_says_away() {
        let broken = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let mut status = Status::unknown("h2 protocol error");
        assert!(!is_away(&status));
        status.set_source(std::sync::Arc::new(broken()));
        assert!(is_away(&status));
        let mut status = Status::not_found("no such execution");
        status.set_source(std::sync::Arc::new(broken()));
        assert!(!is_away(&status));
        assert!(is_away(&Status::unavailable("shutting down")));
    }
}
