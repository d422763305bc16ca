//! The `host` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The program is its own compiler of plugins, in a process of its own.
    #[cfg(feature = "wasm")]
    if let Some(ended) = host::executor::wasm::serve_if_asked() {
        return ended;
    }
    host::cli::run(host::assemble::Machine)
}
