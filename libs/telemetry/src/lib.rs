//! Logs, traces and metrics of a process: set up once, at the start of `main`.

mod lines;
mod page;
mod plain;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

pub use page::Probe;
pub use plain::{colours, plain};

const BUILD_INFO: &str = "nexus_build_info";
/// How often samples are folded into their histograms.
const UPKEEP: Duration = Duration::from_secs(5);
/// Upper bounds of histograms, in seconds and in pieces alike.
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 500.0,
    1_000.0, 10_000.0,
];

/// How a process tells about itself.
#[derive(Clone, Default)]
pub struct Options {
    /// Which events are logged, as `RUST_LOG` writes it (`info`, `nexus_execution=debug`).
    pub log_filter: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Address of an OTLP collector over gRPC (`http://localhost:4317`); no traces are exported without one.
    pub otlp_endpoint: Option<String>,
    /// The process's name in traces.
    pub service_name: String,
    /// Address of the pages `/metrics`, `/healthz` and `/readyz`; none are served without one.
    pub metrics_listen: Option<SocketAddr>,
    /// What `/readyz` says; always ready without one.
    pub probe: Option<Probe>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter cannot be read.
    #[error("the log filter {filter:?} cannot be read; write it like `info` or `nexus_execution=debug`")]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The exporter of traces cannot be built.
    #[error("traces cannot be exported to {endpoint}")]
    Exporter {
        /// The collector's address.
        endpoint: String,
        /// Why.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// The page of metrics cannot be served.
    #[error("metrics cannot be served on {address}: {source}")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The recorder of metrics cannot be built; a bug of the build.
    #[error("the recorder of metrics cannot be built")]
    Recorder(#[source] BuildError),
    /// Something else set up metrics or logs before.
    #[error("telemetry was set up twice")]
    Twice,
}

/// What was set up; to be kept until the process ends.
#[derive(Debug)]
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    metrics: PrometheusHandle,
}

impl Telemetry {
    /// Every metric in Prometheus' text format.
    #[must_use]
    pub fn render_metrics(&self) -> String {
        self.metrics.render()
    }

    /// Sends what is not sent yet. Blocks for a moment.
    pub fn flush(&self) {
        if let Some(tracer) = &self.tracer
            && let Err(error) = tracer.shutdown()
        {
            tracing::warn!(%error, "some spans were not exported");
        }
    }
}

/// Sets up logs on standard error, traces when a collector is given, and the recorder of metrics. To be called within a
/// Tokio runtime.
///
/// # Errors
/// When an option cannot be used, or telemetry was set up before.
pub fn init(options: &Options) -> Result<Telemetry, TelemetryError> {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let filter = EnvFilter::try_new(&options.log_filter).map_err(|source| TelemetryError::Filter {
        filter: options.log_filter.clone(),
        source,
    })?;
    let json = match options.log_format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let coloured = colours(std::io::stderr().is_terminal(), |name| std::env::var(name).ok());
    let lines = lines_to(json, coloured, std::io::stderr).with_filter(filter);
    let tracer = options
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| exporter(endpoint, options))
        .transpose()?;
    let traces = tracer.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("nexus"))
            .with_filter(tracing_subscriber::filter::LevelFilter::INFO)
    });
    Registry::default()
        .with(lines)
        .with(traces)
        .try_init()
        .map_err(|_| TelemetryError::Twice)?;
    let metrics = record_metrics(options)?;
    Ok(Telemetry { tracer, metrics })
}

/// The layer that writes log lines.
fn lines_to<W>(json: bool, coloured: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> tracing_subscriber::fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    if json {
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(lines::JsonLines);
        return Box::new(layer.with_writer(writer));
    }
    let layer = tracing_subscriber::fmt::layer().fmt_fields(plain::PlainFields);
    Box::new(layer.with_ansi(coloured).with_writer(writer))
}

fn record_metrics(options: &Options) -> Result<PrometheusHandle, TelemetryError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets(BUCKETS)
        .map_err(TelemetryError::Recorder)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Twice)?;
    metrics::describe_gauge!(BUILD_INFO, "Always 1; the label tells the version.");
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    // CPU, memory, descriptors and threads of the process, under the names that Prometheus' own clients use.
    let process = Collector::default();
    process.describe();
    if let Some(address) = options.metrics_listen {
        let listener = page::listen(address).map_err(|source| TelemetryError::Metrics { address, source })?;
        let page = page::Page {
            metrics: handle.clone(),
            process,
            probe: options.probe.clone(),
        };
        tokio::spawn(async move {
            let Err(error) = page::serve(listener, page).await;
            tracing::error!(%address, %error, "the page of metrics broke");
        });
    }
    // Samples gather until somebody reads them or the upkeep folds them up; without it they would gather for ever.
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

fn exporter(endpoint: &str, options: &Options) -> Result<SdkTracerProvider, TelemetryError> {
    use opentelemetry_otlp::WithExportConfig;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|source| TelemetryError::Exporter {
            endpoint: endpoint.to_owned(),
            source,
        })?;
    let resource = opentelemetry_sdk::Resource::builder()
        .with_service_name(options.service_name.clone())
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}
