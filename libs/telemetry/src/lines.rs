//! Log lines as JSON, one object a line: what happened, and which execution, task, attempt and trace it belongs to, at the
//! top, where a search finds them.

use std::fmt;

use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::plain::is_control;

/// Writes an event as one JSON object.
pub(crate) struct JsonLines;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        line.insert("timestamp".into(), time.into());
        let metadata = event.metadata();
        line.insert("level".into(), metadata.level().as_str().into());
        // What the spans say, from the outermost; the event's own word wins.
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            let fields = fields.and_then(|fields| serde_json::from_str::<Map<String, Value>>(&fields.fields).ok());
            for (name, value) in fields.into_iter().flatten() {
                // Names with a dot are for traces.
                if !name.contains('.') {
                    line.insert(name, value);
                }
            }
        }
        event.record(&mut Fields(&mut line));
        line.insert("target".into(), metadata.target().into());
        let active = opentelemetry::Context::current();
        let trace = active.span().span_context().trace_id();
        if active.span().span_context().is_valid() {
            line.insert("trace_id".into(), trace.to_string().into());
        }
        let text = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        // JSON writes out what is below a space; what a terminal obeys besides stands only within texts.
        for c in text.chars() {
            if is_control(c) {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            } else {
                writer.write_char(c)?;
            }
        }
        writeln!(writer)
    }
}

/// Puts an event's fields into the line.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string().into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider;
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("lines").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_names_its_execution_task_attempt_and_trace() {
        let lines = Lines::default();
        let written = lines.clone();
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .with_writer(move || written.clone())
            .with_filter(tracing_subscriber::filter::LevelFilter::INFO);
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer).with(traces);
        tracing::subscriber::with_default(subscriber, || {
            let attempt = tracing::info_span!("attempt", otel.name = "x", execution = "e1", task = "load", attempt = 2);
            let _entered = attempt.enter();
            tracing::warn!(size = 7, "the log was \"cut\"");
        });
        let written = lines.0.lock().expect("lines").clone();
        let line: Value = serde_json::from_slice(&written).expect("one JSON object");
        assert_eq!(
            (&line["execution"], &line["task"], &line["attempt"], &line["size"]),
            (&"e1".into(), &"load".into(), &2.into(), &7.into())
        );
        assert_eq!(line["message"], "the log was \"cut\"");
        assert_eq!((&line["level"], line.get("otel.name")), (&"WARN".into(), None));
        let trace = line["trace_id"].as_str().unwrap_or_default();
        assert_eq!(trace.len(), 32, "{line}");
    }
}
