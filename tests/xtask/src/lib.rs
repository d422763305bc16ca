//! The developer's commands, and what tests share with them: where plugins are built, and with which compiler.
//!
//! Each command is a module with `Arguments` and `run`.

pub mod bench;
pub mod demo;
pub mod host;
pub mod mutants;
pub mod plugins;
pub mod programs;
pub mod setup;
pub mod shell;
pub mod test;
pub mod toolchain;

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate is in tests/xtask of the workspace")
}

/// The folder that cargo builds into: `CARGO_TARGET_DIR`, or `target` in the workspace.
///
/// A relative one is taken from the workspace, where cargo is usually called.
pub fn target_folder() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
    workspace().join(given.map_or_else(|| PathBuf::from("target"), PathBuf::from))
}
