//! The standard library for components, built for Debian's compiler.
//!
//! rustup's toolchain has no source of it and cannot fetch one where only crates.io and Debian's mirrors are in reach;
//! Debian's compiler has its source as a package. It takes a few minutes, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::apt;
use crate::shell::{answer, run, say};
use crate::toolchain::{DEBIAN_CARGO, DEBIAN_RUSTC, TARGET, Toolchain};

/// Packages with the compiler and its source. The `-web` ones are kept up to date in a stable release.
const COMPILER: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// Where that source is.
const SOURCE: &str = "/usr/lib/rustlib/src/rust/library";
/// The C library for components. The one in the stable release is too old.
const LIBC: &str = "wasi-libc";

/// Whether a component, or the core module that `cargo component` makes one of, can really be linked.
pub(super) fn works(target: &str) -> bool {
    let Some(toolchain) = Toolchain::find(target) else { return false };
    let folder = crate::target_folder().join("setup");
    if fs::create_dir_all(&folder).is_err() {
        return false;
    }
    let source = folder.join("probe.rs");
    if fs::write(&source, "#[unsafe(no_mangle)] pub extern \"C\" fn probe() { println!(\"{:?}\", std::env::args()) }")
        .is_err()
    {
        return false;
    }
    let mut rustc = toolchain.rustc();
    rustc.args(["--edition", "2024", "--target", target, "--crate-type", "cdylib", "-O", "-o"]);
    rustc.arg(folder.join(format!("probe-{target}.wasm"))).arg(&source);
    rustc.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Installs the compiler and the C library, and builds the standard library for these targets.
pub(super) fn install(targets: &[&str]) -> anyhow::Result<()> {
    if !Path::new(DEBIAN_RUSTC).exists() || !Path::new(DEBIAN_CARGO).exists() || !Path::new(SOURCE).exists() {
        apt::install(&COMPILER)?;
    }
    if !libc_folder(TARGET).join("libc.a").exists() {
        apt::install_from_backports(LIBC)?;
    }
    let Some(toolchain) = Toolchain::debian() else { bail!("{DEBIAN_RUSTC} and {DEBIAN_CARGO} are not there") };
    if toolchain.linkers.is_none() {
        bail!("the Rust toolchain on the path has no `wasm-component-ld`, which links components");
    }
    let build = crate::target_folder().join("setup/std");
    // Anew each time: what an earlier compiler has left there would be installed beside the new libraries.
    if build.exists() {
        fs::remove_dir_all(&build).with_context(|| format!("cannot clear {}", build.display()))?;
    }
    fs::create_dir_all(&build).with_context(|| format!("cannot make {}", build.display()))?;
    // The build writes a lock file beside the source, which belongs to the package; so it gets a copy.
    let library = build.join("library");
    run(Command::new("cp").args(["--recursive", "--dereference", SOURCE]).arg(&library))?;
    for target in targets {
        say(format_args!("building the standard library for {target}, which takes a minute or two"));
        build_std(&toolchain, target, &library, &build)?;
        put_in_place(target, &build)?;
    }
    Ok(())
}

fn libc_folder(target: &str) -> PathBuf {
    Path::new("/usr/lib").join(target)
}

fn build_std(toolchain: &Toolchain, target: &str, library: &Path, build: &Path) -> anyhow::Result<()> {
    let libc = libc_folder(target);
    let flags = ["-Cembed-bitcode=yes", "-Zforce-unstable-if-unmarked", "-Cpanic=abort"].join(" ");
    let mut cargo = toolchain.cargo();
    cargo.current_dir(library);
    // The library is built with features that a released compiler keeps to itself, as Debian and rustup build it too.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("__CARGO_DEFAULT_LIB_METADATA", "stage1");
    cargo.env("RUSTFLAGS", format!("{flags} -Lnative={}", libc.display()));
    cargo.args(["build", "--profile", "dist", "--target", target, "--package", "sysroot"]);
    cargo.args(["--features", "panic-unwind", "--target-dir"]).arg(build.join("target"));
    run(&mut cargo)
}

fn put_in_place(target: &str, build: &Path) -> anyhow::Result<()> {
    let mut rustc = Command::new(DEBIAN_RUSTC);
    let place = answer(rustc.env_remove("LD_LIBRARY_PATH").args(["--print", "target-libdir", "--target", target]));
    let place = PathBuf::from(place.with_context(|| format!("{DEBIAN_RUSTC} does not know the target {target}"))?);
    let self_contained = place.join("self-contained");
    let text = |path: &Path| path.display().to_string();
    // Libraries of an earlier compiler would be found beside the new ones, and be refused.
    run(&mut apt::as_root(&["rm", "--recursive", "--force", &text(&place)])?)?;
    run(&mut apt::as_root(&["mkdir", "--parents", &text(&self_contained)])?)?;
    let built = build.join("target").join(target).join("dist/deps");
    let files = built.read_dir().with_context(|| format!("cannot read {}", built.display()))?;
    let libraries =
        files.flatten().map(|file| file.path()).filter(|file| file.extension().is_some_and(|e| e == "rlib"));
    let libraries: Vec<String> = libraries.map(|file| text(&file)).collect();
    copy(&libraries, &place)?;
    let libc = ["crt1-command.o", "crt1-reactor.o", "libc.a"].map(|file| text(&libc_folder(target).join(file)));
    copy(&libc, &self_contained)
}

fn copy(files: &[String], folder: &Path) -> anyhow::Result<()> {
    let target = format!("--target-directory={}", folder.display());
    let mut command = vec!["install", "--mode=0644", &target];
    command.extend(files.iter().map(String::as_str));
    run(&mut apt::as_root(&command)?)
}
