//! Logs, traces, and the page with metrics and readiness, as the configuration says.

use nexus_mesh::health::Readiness;

use crate::config::{Config, LogFormat};

/// Starts them under the name that traces have.
///
/// # Errors
/// When the collector or the page's address cannot be used.
pub(crate) fn start(
    config: &Config,
    service_name: &str,
    readiness: &Readiness,
) -> Result<nexus_telemetry::Telemetry, nexus_telemetry::TelemetryError> {
    let readiness = readiness.clone();
    let probe: nexus_telemetry::Probe = std::sync::Arc::new(move || {
        let report = readiness.report();
        let remark = |name: &str| report.remarks.iter().find(|(role, _)| *role == name);
        let word = |name: &str, reason: &Option<String>| match (reason, remark(name)) {
            (Some(reason), _) => reason.clone(),
            (None, Some((_, remark))) => format!("ready, but {remark}"),
            (None, None) => "ready".to_owned(),
        };
        let roles = report
            .roles
            .iter()
            .map(|(name, reason)| ((*name).to_owned(), word(name, reason).into()));
        (report.ready, serde_json::Value::Object(roles.collect()))
    });
    let telemetry = nexus_telemetry::init(&nexus_telemetry::Options {
        log_filter: config.log.filter.clone(),
        log_format: match config.log.format {
            LogFormat::Auto => nexus_telemetry::LogFormat::Auto,
            LogFormat::Text => nexus_telemetry::LogFormat::Text,
            LogFormat::Json => nexus_telemetry::LogFormat::Json,
        },
        otlp_endpoint: config.otlp.endpoint.clone(),
        service_name: service_name.to_owned(),
        metrics_listen: config.metrics.listen,
        probe: Some(probe),
    })?;
    nexus_mesh::describe_metrics();
    nexus_auth::describe_metrics();
    Ok(telemetry)
}
