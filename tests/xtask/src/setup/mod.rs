//! Makes the machine able to build plugins and to run the tests.
//!
//! It looks first and does only what is missing, so a second run changes nothing and says so. It never asks. What needs
//! the rights of root is done as root or by `sudo -n`; where neither works, the commands are printed to be run by hand.

mod apt;
mod guest_std;

use std::path::Path;

use anyhow::bail;

use crate::shell::{self, find, say};
use crate::toolchain::{COMPONENT_TARGET, TARGET, Toolchain};

/// What the command takes.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Only what building plugins needs, without the database servers for the tests.
    #[arg(long)]
    plugins_only: bool,
}

/// Does what is missing.
///
/// # Errors
///
/// If something is still missing afterwards; the text says what to do by hand.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut targets = vec![TARGET];
    match find("cargo-component") {
        Some(path) => {
            say(format_args!("cargo-component: {}", path.display()));
            targets.push(COMPONENT_TARGET);
        }
        None => say(
            "cargo-component is not here, and not needed: `cargo build --target wasm32-wasip2` makes components too \
             (to have it: cargo install --locked cargo-component, about 16 CPU-minutes)",
        ),
    }
    let mut changed = compiler_for_plugins(&targets)?;
    if !arguments.plugins_only {
        changed |= servers_for_tests()?;
    }
    say(if changed { "done" } else { "everything was there, nothing to do" });
    Ok(())
}

/// A compiler that can build for these targets, and really does. Answers whether anything had to be done.
fn compiler_for_plugins(targets: &[&str]) -> anyhow::Result<bool> {
    let works = || targets.iter().all(|target| guest_std::works(target));
    if works() {
        for target in targets {
            if let Some(toolchain) = Toolchain::find(target) {
                say(format_args!("compiler for {target}: {}", toolchain.rustc.display()));
            }
        }
        return Ok(false);
    }
    if find("rustup").is_some() {
        let mut rustup = std::process::Command::new("rustup");
        match shell::run(rustup.args(["target", "add"]).args(targets)) {
            Ok(()) if works() => return Ok(true),
            Ok(()) => say("rustup has added the targets, but nothing can be linked for them; trying Debian's compiler"),
            Err(error) => say(format_args!("rustup cannot: {error:#}; trying Debian's compiler")),
        }
    }
    if !Path::new("/etc/debian_version").exists() {
        bail!(
            "no compiler here can build for {TARGET}, rustup cannot fetch it, and the way around that is known only for Debian"
        );
    }
    guest_std::install(targets)?;
    if !works() {
        bail!("Debian's compiler has been set up, but still cannot link for {}", targets.join(" and "));
    }
    Ok(true)
}

/// PostgreSQL and MariaDB, for the tests of the data stores. Answers whether anything had to be done.
fn servers_for_tests() -> anyhow::Result<bool> {
    let mut missing: Vec<&str> = Vec::new();
    match postgres() {
        Some(path) => say(format_args!("PostgreSQL: {path}")),
        None => missing.push("postgresql"),
    }
    match mariadb() {
        Some(path) => say(format_args!("MariaDB: {path}")),
        None => missing.extend(["mariadb-server-core", "mariadb-client-core"]),
    }
    if missing.is_empty() {
        return Ok(false);
    }
    apt::install(&missing)?;
    if postgres().is_none() || mariadb().is_none() {
        bail!("{} were installed, but the servers are still not found", missing.join(" and "));
    }
    Ok(true)
}

/// The server's tools, which Debian keeps off the path.
fn postgres() -> Option<String> {
    let debian = Path::new("/usr/lib/postgresql").read_dir().ok().into_iter().flatten().flatten();
    let places = debian.map(|version| version.path().join("bin/initdb")).chain(find("initdb"));
    places.filter(|file| shell::is_program(file)).max().map(|file| file.display().to_string())
}

fn mariadb() -> Option<String> {
    let places = ["/usr/sbin/mariadbd".into()].into_iter().chain(find("mariadbd")).chain(find("mysqld"));
    places.into_iter().find(|file| shell::is_program(file)).map(|file| file.display().to_string())
}
