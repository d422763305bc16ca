//! The `host` command itself, built.

use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;

use crate::shell::run as run_command;
use crate::{target_folder, workspace};

/// Builds `host` and answers where it is.
///
/// The whole workspace is selected, so that dependencies are compiled with the same features as for everything else, and only once.
///
/// # Errors
///
/// If it does not compile.
pub fn build() -> anyhow::Result<PathBuf> {
    run_command(Command::new(env!("CARGO")).current_dir(workspace()).args([
        "build",
        "--quiet",
        "--workspace",
        "--bin",
        "host",
    ]))?;
    let program = target_folder().join("debug/host");
    ensure!(program.is_file(), "{} was not built", program.display());
    Ok(program)
}
