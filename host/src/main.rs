//! The `host` program.

use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    // The program is its own compiler of plugins, in a process of its own.
    if let Some(ended) = host::executor::wasm::serve_if_asked() {
        return ended;
    }
    host::cli::run(Arc::new(host::assemble::Machine))
}
