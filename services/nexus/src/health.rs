//! `nexus health`: whether a server can serve, for probes and people.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use nexus_cli::{CliError, Exit, Global, Output, Target};
use nexus_mesh::Transport;
use nexus_mesh::tls::ClientTls;
use nexus_mesh::transport::{self, ClientOptions};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::config::ConfigArgs;

/// What `nexus health` can be told.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Ask about one gRPC service, such as nexus.execution.v1.ExecutionService; the whole process when not said
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    service: String,
    /// Ask the process on this machine that runs with this configuration, with its certificates, instead of --address
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// Wait at most this long for the answer
    #[arg(long, value_parser = nexus_cli::parse_span, value_name = "SPAN", default_value = "3s")]
    timeout: Duration,
}

pub(crate) async fn run(args: &HealthArgs, global: &Global, output: &Output) -> Result<Exit, CliError> {
    let (address, way) = way(args, global)?;
    let request = HealthCheckRequest {
        service: args.service.clone(),
    };
    // One code for every trouble: probes know 0 and 1.
    let answer = tokio::time::timeout(args.timeout, HealthClient::new(way).check(request)).await;
    let status = match answer {
        Ok(Ok(answer)) => answer.get_ref().status(),
        Ok(Err(status)) => return Err(CliError::Other(format!("{address}: {}", status.message()))),
        Err(_) => return Err(CliError::Other(format!("{address} did not answer in time"))),
    };
    output.line(status.as_str_name())?;
    Ok(match status {
        ServingStatus::Serving => Exit::Ok,
        _ => Exit::Error,
    })
}

/// The way to the server that is asked for, and its address.
fn way(args: &HealthArgs, global: &Global) -> Result<(String, Transport), CliError> {
    if !args.local {
        let target = Target::open(global)?;
        return Ok((target.address().to_owned(), target.anonymous()?));
    }
    let usage = |error: &dyn std::fmt::Display| CliError::Usage(error.to_string());
    let config = args.config.load().map_err(|error| usage(&error))?.config;
    let mut options = ClientOptions::default();
    if config.tls.serves() {
        options.tls = Some(ClientTls::load(&config.tls.files()).map_err(|error| usage(&error))?);
    }
    let scheme = if config.tls.serves() { "https" } else { "http" };
    let address = format!("{scheme}://{}", reachable(config.listen));
    let way = transport::connect_one(&address, &options).map_err(|error| usage(&error))?;
    Ok((address, way))
}

/// Where this machine reaches an address that is listened on.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listened_on_everywhere_is_asked_here() {
        for (listen, asked) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("10.0.0.7:1", "10.0.0.7:1"),
        ] {
            assert_eq!(reachable(listen.parse().expect("address")).to_string(), asked);
        }
    }
}
