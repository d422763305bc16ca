//! The `host` command itself, built.

use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;

use crate::shell::run as run_command;
use crate::{target_folder, workspace};

/// How the variables begin that cargo sets for a program of a package.
const ABOUT_A_PACKAGE: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// Builds `host` and answers where it is.
///
/// The whole workspace is selected, so that dependencies are compiled with the same features as for everything else, and only once.
///
/// # Errors
///
/// If it does not compile.
pub fn build() -> anyhow::Result<PathBuf> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(workspace()).args(["build", "--quiet", "--workspace", "--bin", "host"]);
    // What cargo says to the tests about their own package is not passed on: build scripts of dependencies watch these variables, so that
    // each build from a test and each from a shell would compile all of TLS and the database drivers again.
    for (name, _) in std::env::vars_os() {
        let is_about_a_package =
            name.to_str().is_some_and(|name| ABOUT_A_PACKAGE.iter().any(|of| name.starts_with(of)));
        if is_about_a_package {
            command.env_remove(name);
        }
    }
    run_command(&mut command)?;
    let program = target_folder().join("debug/host");
    ensure!(program.is_file(), "{} was not built", program.display());
    Ok(program)
}
