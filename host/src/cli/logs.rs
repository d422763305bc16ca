//! Where log lines go: standard error, in the form that an operator reads, or in that which a program does.

use std::error::Error;
use std::fmt::{self, Debug};
use std::io::IsTerminal;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::output::printable;
use super::settings::{GlobalArgs, LogFormat};
use crate::clock::{Clock as _, SystemClock};

/// Sets up logging for the process. `HOST_LOG` holds a filter such as `info,host::scheduler=debug`, and wins over the flags.
pub(super) fn init(global: &GlobalArgs, is_server: bool) {
    let usual = match (global.quiet, global.verbose, is_server) {
        (true, ..) => "error",
        // The driver's warnings are whole statements, which are for those who ask for more. What the client of NATS has to say is told once by us.
        (_, 0, false) => "warn,sqlx=error,async_nats=off",
        (_, 0, true) => "info,sqlx=error,async_nats=off",
        (_, 1, false) => "info",
        (_, 1, true) => "info,host=debug",
        (_, 2, _) => "info,host=debug",
        _ => "debug,host=trace",
    };
    let asked = std::env::var("HOST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = asked.and_then(|filter| EnvFilter::try_new(filter).ok()).unwrap_or_else(|| EnvFilter::new(usual));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    // A value may be the words of a guest.
    let fields = debug_fn(|to, field, value| {
        let value = format!("{value:?}");
        match field.name() {
            "message" => write!(to, "{}", printable(&value)),
            name => write!(to, "{name}={}", printable(&value)),
        }
    });
    let subscriber = tracing_subscriber::fmt()
        .fmt_fields(fields.delimited(" "))
        .with_env_filter(filter)
        .with_ansi(!no_color && std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Only an embedding program can have set up one before; then that one holds.
    let _ = match global.log_format.unwrap_or(LogFormat::Text) {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.with_ansi(false).event_format(JsonLines).try_init(),
    };
}

/// An event as a line of JSON.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message");
        let spans = context.event_scope().into_iter().flat_map(|scope| scope.from_root());
        let spans = spans.map(|span| {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map(|fields| fields.fields.clone());
            json!({"name": span.name(), "fields": fields})
        });
        let line = json!({
            "timestamp": SystemClock.now().to_string(),
            "level": event.metadata().level().as_str(),
            "target": event.metadata().target(),
            "message": message,
            "fields": fields.0,
            "spans": spans.collect::<Vec<_>>(),
        });
        writeln!(to, "{line}")
    }
}

/// The fields of an event. Those that are numbers and flags stay so.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }
}
