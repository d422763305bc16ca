//! The `host` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    host::cli::run(host::assemble::Machine)
}
