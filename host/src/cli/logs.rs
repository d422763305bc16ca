//! Where log lines go: standard error, in the form that an operator reads.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::debug_fn;

use super::output::printable;
use super::settings::GlobalArgs;

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
    let _ = subscriber.try_init();
}
