//! Which compiler builds plugins.
//!
//! On an ordinary machine that is the one that builds everything: `rustup target add wasm32-wasip2` has given it the
//! standard library for components. On a machine that reaches crates.io and Debian's packages but not rustup's server,
//! it is Debian's compiler, for which [`setup`](crate::setup) has built that library; its linker comes from the rustup
//! toolchain, since Debian has none for components.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::answer;

/// What plugins are built for.
pub const TARGET: &str = "wasm32-wasip2";

/// What `cargo component` builds for.
pub const COMPONENT_TARGET: &str = "wasm32-wasip1";

/// Debian's compiler. Never on the path of the host's build: it is called by its full name.
pub const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// Debian's cargo.
pub const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// A cargo and a rustc that can build components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The cargo to call.
    pub cargo: PathBuf,
    /// The rustc that it shall use.
    pub rustc: PathBuf,
    /// A folder of linkers to put at the end of the path.
    pub linkers: Option<PathBuf>,
}

impl Toolchain {
    /// The toolchain that has the standard library for `target`: the ordinary one before Debian's. None if neither has.
    pub fn find(target: &str) -> Option<Toolchain> {
        let ordinary = Toolchain { cargo: "cargo".into(), rustc: "rustc".into(), linkers: None };
        [Some(ordinary), Toolchain::debian()].into_iter().flatten().find(|toolchain| toolchain.has(target))
    }

    /// Debian's, whether or not it has the library yet; none if it is not installed.
    pub fn debian() -> Option<Toolchain> {
        let (cargo, rustc) = (PathBuf::from(DEBIAN_CARGO), PathBuf::from(DEBIAN_RUSTC));
        (cargo.is_file() && rustc.is_file()).then(|| Toolchain { cargo, rustc, linkers: rustup_linkers() })
    }

    /// Whether there is a standard library for `target`.
    pub fn has(&self, target: &str) -> bool {
        let folder = answer(self.cleaned(&self.rustc).args(["--print", "target-libdir", "--target", target]));
        folder.is_some_and(|folder| holds_std(Path::new(&folder)))
    }

    /// A call of this cargo that builds with this rustc, whatever toolchain and flags the caller was built with.
    pub fn cargo(&self) -> Command {
        let mut command = self.cleaned(&self.cargo);
        command.env("RUSTC", &self.rustc);
        command
    }

    /// A call of this rustc.
    pub fn rustc(&self) -> Command {
        self.cleaned(&self.rustc)
    }

    fn cleaned(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // A cargo that has called us has left the traces of its own toolchain and of its flags, which are not the plugins'.
        for variable in ["CARGO", "CARGO_ENCODED_RUSTFLAGS", "LD_LIBRARY_PATH", "RUSTC", "RUSTFLAGS"] {
            command.env_remove(variable);
        }
        if let Some(linkers) = &self.linkers {
            let mut folders: Vec<_> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
            folders.push(linkers.clone());
            command.env("PATH", std::env::join_paths(folders).unwrap_or_default());
        }
        command
    }
}

/// The folder of `rust-lld` and `wasm-component-ld` in the rustup toolchain.
fn rustup_linkers() -> Option<PathBuf> {
    let mut command = Command::new("rustc");
    let sysroot = PathBuf::from(answer(command.env_remove("LD_LIBRARY_PATH").args(["--print", "sysroot"]))?);
    let mut command = Command::new("rustc");
    let verbose = answer(command.env_remove("LD_LIBRARY_PATH").arg("-vV"))?;
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: "))?;
    let folder = sysroot.join("lib/rustlib").join(host).join("bin");
    folder.join("wasm-component-ld").is_file().then_some(folder)
}

fn holds_std(folder: &Path) -> bool {
    let Ok(files) = folder.read_dir() else { return false };
    files.flatten().any(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}
