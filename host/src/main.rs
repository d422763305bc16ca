//! The `host` program.

use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    host::cli::run(Arc::new(host::assemble::Machine))
}
