//! Makes the machine able to build plugins and to run the tests.
//!
//! It looks first and does only what is missing, so a second run changes nothing and says so. It never asks. What needs
//! the rights of root is done as root or by `sudo -n`; where neither works, the commands are printed to be run by hand.

mod apt;
mod guest_std;

use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::programs::{Need, Origin, Places, Program};
use crate::shell::{self, find, say};
use crate::toolchain::{COMPONENT_TARGET, TARGET, Toolchain};

/// What the command takes.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Only what building needs, of the host and of plugins, without the database servers for the tests.
    #[arg(long)]
    pub plugins_only: bool,
    /// Only look: install nothing, and fail with the names of what is missing.
    #[arg(long)]
    pub check: bool,
}

impl Arguments {
    /// What building needs, and the demonstration.
    pub(crate) const PLUGINS_ONLY: Arguments = Arguments { plugins_only: true, check: false };

    fn is_needed(&self, need: Need) -> bool {
        match need {
            Need::Build => true,
            Need::Tests => !self.plugins_only,
            Need::WherePresent => false,
        }
    }
}

/// Does what is missing, and looks again.
///
/// # Errors
///
/// If something is still missing afterwards; the text names it and says what to do by hand.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let places = Places::of_this_machine();
    let look = || places.missing(|need| arguments.is_needed(need));
    let targets = targets();
    if arguments.check {
        all_there(&look())?;
        ensure!(
            targets.iter().all(|target| guest_std::works(target)),
            "no compiler here can build for {}",
            targets.join(" and ")
        );
        say("everything is there");
        return Ok(());
    }
    let mut changed = provide(look, apt::install)?;
    changed |= compiler_for_plugins(&targets)?;
    say(if changed { "done" } else { "everything was there, nothing to do" });
    Ok(())
}

/// Installs the packages of what is missing, and looks whether it is there then. Answers whether anything had to be done.
fn provide(
    look: impl Fn() -> Vec<&'static Program>,
    install: impl FnOnce(&[&str]) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let missing = look();
    if missing.is_empty() {
        return Ok(false);
    }
    let mut packages: Vec<&str> = missing.iter().filter_map(|program| package(program)).collect();
    packages.sort_unstable();
    packages.dedup();
    if !packages.is_empty() {
        // What is missing is said whatever the reason is that it cannot be installed, so that it can be done by hand.
        install(&packages).with_context(|| list(&missing))?;
    }
    all_there(&look())?;
    Ok(true)
}

fn package(program: &Program) -> Option<&'static str> {
    match program.origin {
        Origin::Debian(package) => Some(package),
        Origin::Rust => None,
    }
}

fn all_there(missing: &[&Program]) -> anyhow::Result<()> {
    ensure!(missing.is_empty(), "{}", list(missing));
    Ok(())
}

fn list(missing: &[&Program]) -> String {
    let lines: Vec<String> = missing.iter().map(|program| format!("\n    {program}")).collect();
    format!("programs are missing:{}", lines.concat())
}

/// What plugins are built for here.
fn targets() -> Vec<&'static str> {
    match find("cargo-component") {
        Some(path) => {
            say(format_args!("cargo-component: {}", path.display()));
            vec![TARGET, COMPONENT_TARGET]
        }
        None => {
            say(
                "cargo-component is not here, and not needed: `cargo build --target wasm32-wasip2` makes components too \
                 (to have it: cargo install --locked cargo-component, about 16 CPU-minutes)",
            );
            vec![TARGET]
        }
    }
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn program(name: &str) -> &'static Program {
        Program::named(name).expect("it is in the table")
    }

    #[test]
    fn each_package_is_asked_for_once_and_only_where_something_is_missing() {
        let installed = Cell::new(false);
        let look =
            || if installed.get() { Vec::new() } else { vec![program("psql"), program("initdb"), program("postgres")] };
        let changed = provide(look, |packages| {
            assert_eq!(packages, ["postgresql", "postgresql-client"]);
            installed.set(true);
            Ok(())
        });
        assert!(changed.expect("all is there then"));
        let changed = provide(look, |packages| bail!("{packages:?} are installed once more"));
        assert!(!changed.expect("all was there"));
    }

    #[test]
    fn what_is_missing_after_the_packages_were_installed_is_an_error_that_names_it() {
        let error = provide(|| vec![program("mariadbd")], |_| Ok(())).expect_err("it is still missing");
        assert!(error.to_string().contains("\n    mariadbd (Debian package mariadb-server-core)"), "{error}");
    }

    #[test]
    fn a_machine_that_cannot_install_packages_is_told_what_is_missing_and_why() {
        let error = provide(|| vec![program("kill"), program("rustc")], |_| bail!("there is no apt-get"))
            .expect_err("it cannot");
        let said = format!("{error:#}");
        assert!(
            said.contains("kill (Debian package procps)") && said.contains("rustc (of the Rust toolchain"),
            "{said}"
        );
        assert!(said.ends_with("there is no apt-get"), "{said}");
    }
}
