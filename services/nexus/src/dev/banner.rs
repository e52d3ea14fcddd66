//! What `nexus dev` says when it starts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use nexus_api::Namespace;
use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::definitions::v1::{ApplyWorkflowRequest, GetWorkflowRequest};
use nexus_api::execution::v1::StartExecutionRequest;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_execution::Recovered;
use tokio_util::sync::CancellationToken;

use super::{DevArgs, Ways};

/// The sample that a first start runs.
const SAMPLE: &str = include_str!("../../../../examples/hello.yaml");
const SAMPLE_NAME: &str = "hello";

/// Says that everything is up, and where.
pub(super) fn ready(args: &DevArgs, ways: &[Ways], address: SocketAddr, slots: u32, took: Duration) {
    let who = match args.credentials {
        true => "credentials are asked for",
        false => "no login, this machine only",
    };
    eprintln!(
        "\n  NEXUS {}   dev mode: SQLite in {}, one local worker with {slots} slots, {who}",
        env!("CARGO_PKG_VERSION"),
        args.data.display()
    );
    eprintln!(
        "  ✓ ready in {:.2} s   http://{address}   (REST, gRPC, health and reflection)",
        took.as_secs_f64()
    );
    let names: Vec<&str> = ways.iter().map(|ways| ways.namespace.as_str()).collect();
    if let [first, rest @ ..] = names.as_slice()
        && names != ["default"]
    {
        let more = if rest.is_empty() {
            String::new()
        } else {
            format!("; the worker serves {} too", rest.join(", "))
        };
        eprintln!("  ✓ namespace {first}{more}");
    }
}

/// Says how the first administrator comes in.
pub(super) fn claim(token: &str, address: SocketAddr) {
    eprintln!("  ! there is no administrator yet; this makes one, once, and asks for a password:");
    eprintln!(
        "    {} --address {} login --claim {token} --user admin\n",
        called(),
        url(address)
    );
}

/// As it was called, so that lines can be copied also when the binary is not on the path.
pub(super) fn called() -> String {
    std::env::args().next().unwrap_or_else(|| "nexus".to_owned())
}

/// Where programs of this machine find it.
fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// What can be done next, in lines that can be copied: they say where this server is, unless commands go there anyway.
/// Where credentials are asked for, logging in comes first; with a claim its line stands there already.
pub(super) fn next(nexus: &str, args: &DevArgs, namespace: &Namespace, address: SocketAddr, claim: bool) -> String {
    let mut command = nexus.to_owned();
    let url = url(address);
    if url != nexus_cli::DEFAULT_ADDRESS {
        command += &format!(" --address {url}");
    }
    let login = match (args.credentials, claim) {
        (false, _) => String::new(),
        (true, true) => "log in with the line above, then\n         ".to_owned(),
        (true, false) => format!("{command} login     then\n         "),
    };
    if !namespace.is_default() {
        command += &format!(" --namespace {namespace}");
    }
    let folder = Path::new(".").join(&args.dir);
    format!(
        "  Next:  {login}{command} run {SAMPLE_NAME} -p name=you --watch     or put a workflow file into {}",
        folder.display()
    )
}

/// Says what goes on after a restart.
pub(super) fn recovered(recovered: Recovered) {
    let Recovered {
        executions,
        finished_tasks,
        interrupted,
        broken,
        // Leases of nexus dev die with it.
        taken_over: _,
    } = recovered;
    let plural = |n: u32, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    if broken > 0 {
        eprintln!(
            "  ✗ {} go on: what is stored of them cannot be run; the log says why",
            plural(broken, "execution cannot", "executions cannot")
        );
    }
    if executions == 0 {
        return;
    }
    eprintln!(
        "  ↻ {} after the restart: {} already and will not run again, {} and will be repeated",
        plural(executions, "execution goes on", "executions go on"),
        plural(finished_tasks, "task had ended", "tasks had ended"),
        plural(interrupted, "attempt was interrupted", "attempts were interrupted"),
    );
}

/// Runs the sample, and then says what can be done next. A workflow of the same name that somebody wrote is left alone.
pub(super) async fn sample(ways: &Ways, next: &str, stop: CancellationToken) {
    let run = async {
        let mut definitions = DefinitionsServiceClient::new(ways.definitions.clone());
        let known = definitions
            .get_workflow(GetWorkflowRequest {
                workflow: SAMPLE_NAME.into(),
            })
            .await;
        if known.is_err_and(|status| status.code() == tonic::Code::NotFound) {
            let request = ApplyWorkflowRequest {
                source: SAMPLE.into(),
                file: "hello.yaml".into(),
                message: "the sample of nexus dev".into(),
                ..ApplyWorkflowRequest::default()
            };
            definitions.apply_workflow(request).await?;
        }
        let request = StartExecutionRequest {
            workflow: SAMPLE_NAME.into(),
            ..StartExecutionRequest::default()
        };
        ExecutionServiceClient::new(ways.executions.clone())
            .start_execution(request)
            .await
    };
    let started = tokio::select! {
        started = run => started,
        () = stop.cancelled() => return,
    };
    match started {
        Ok(_) => eprintln!("{next}\n"),
        Err(status) => eprintln!("  ! the sample did not start: {}", status.message()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn said(words: &[&str], namespace: &str, address: &str, claim: bool) -> String {
        let command = DevArgs::augment_args(clap::Command::new("dev"));
        let matches = command.try_get_matches_from(["dev"].iter().chain(words).copied());
        let args = DevArgs::from_arg_matches(&matches.expect("understood")).expect("arguments");
        let namespace = namespace.parse().expect("a namespace");
        next("nexus", &args, &namespace, address.parse().expect("an address"), claim)
    }

    #[test]
    fn the_next_line_goes_to_the_server_that_says_it() {
        let usual = said(&[], "default", "127.0.0.1:7070", false);
        assert_eq!(
            usual,
            "  Next:  nexus run hello -p name=you --watch     or put a workflow file into ./workflows"
        );
        let other = said(&["--dir", "/flows"], "team-a", "127.0.0.1:7271", false);
        assert_eq!(
            other,
            "  Next:  nexus --address http://127.0.0.1:7271 --namespace team-a run hello -p name=you --watch     \
             or put a workflow file into /flows"
        );
    }

    #[test]
    fn where_credentials_are_asked_for_logging_in_comes_first() {
        let known = said(&["--credentials"], "default", "0.0.0.0:7271", false);
        let lines: Vec<&str> = known.lines().collect();
        assert_eq!(
            lines[0],
            "  Next:  nexus --address http://127.0.0.1:7271 login     then"
        );
        assert!(
            lines[1].starts_with("         nexus --address http://127.0.0.1:7271 run hello"),
            "{known}"
        );
        let claimed = said(&["--credentials"], "default", "0.0.0.0:7070", true);
        assert!(
            claimed.starts_with("  Next:  log in with the line above, then\n         nexus run hello"),
            "{claimed}"
        );
    }

    #[test]
    fn an_address_that_stands_for_every_one_is_reached_over_loopback() {
        let of = |address: &str| url(address.parse().expect("an address"));
        assert_eq!(of("0.0.0.0:7070"), "http://127.0.0.1:7070");
        assert_eq!(of("[::]:1"), "http://[::1]:1");
        assert_eq!(of("10.0.0.7:80"), "http://10.0.0.7:80");
    }
}
