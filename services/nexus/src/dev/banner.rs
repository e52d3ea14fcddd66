//! What `nexus dev` says when it starts.

use std::net::SocketAddr;
use std::time::Duration;

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
    let nexus = std::env::args().next().unwrap_or_else(|| "nexus".to_owned());
    eprintln!("  ! there is no administrator yet; this makes one, once, and asks for a password:");
    eprintln!("    {nexus} --address http://{address} login --claim {token} --user admin\n");
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

/// Runs the sample. A workflow of the same name that somebody wrote is left alone.
pub(super) async fn sample(ways: &Ways, stop: CancellationToken) {
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
        Ok(_) => {
            // As it was called, so that the line can be copied also when the binary is not on the path.
            let nexus = std::env::args().next().unwrap_or_else(|| "nexus".to_owned());
            eprintln!(
                "  Next:  {nexus} run {SAMPLE_NAME} -p name=you --watch     or put a workflow file into ./workflows\n"
            );
        }
        Err(status) => eprintln!("  ! the sample did not start: {}", status.message()),
    }
}
