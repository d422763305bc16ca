//! The plugins of this repository, as components.
//!
//! They are built into a target folder of their own, `<target>/plugins`: another compiler than the host's may have to
//! build them, and two compilers in one folder would undo each other's work.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::shell::{run as run_command, say};
use crate::toolchain::{TARGET, Toolchain};
use crate::{target_folder, workspace};

/// The profile they are built with, from the root manifest.
const PROFILE: &str = "plugin";

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Builds the plugins and prints the path of each.
///
/// # Errors
///
/// As [`build`].
pub fn run(_: &Arguments) -> anyhow::Result<()> {
    let plugins = build()?;
    for name in plugins.names()? {
        println!("{}", plugins.path(&name)?.display());
    }
    Ok(())
}

/// The folder of the built components.
#[derive(Debug, Clone)]
pub struct Plugins {
    folder: PathBuf,
}

impl Plugins {
    /// The component of the plugin in `plugins/<name>`, or of an example in one of them.
    ///
    /// # Errors
    ///
    /// If there is no such plugin; the text lists those there are.
    pub fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let file = format!("{}.wasm", name.replace('-', "_"));
        let places = [self.folder.join(&file), self.folder.join("examples").join(&file)];
        match places.into_iter().find(|place| place.is_file()) {
            Some(place) => Ok(place),
            None => bail!("there is no plugin `{name}`; there are: {}", self.names()?.join(", ")),
        }
    }

    /// The sizes and times of the sources, and of the component itself.
    fn fingerprint(&self, sources: &[PathBuf], name: &str) -> String {
        let component = self.folder.join(format!("{}.wasm", name.replace('-', "_")));
        let mut hasher = DefaultHasher::new();
        for file in sources.iter().chain([&component]) {
            let facts = fs::metadata(file).ok().map(|facts| (facts.len(), facts.modified().ok()));
            (file, facts).hash(&mut hasher);
        }
        format!("{:016x}\n", hasher.finish())
    }

    /// The names of all plugins, sorted.
    ///
    /// # Errors
    ///
    /// If the folder `plugins` cannot be read.
    pub fn names(&self) -> anyhow::Result<Vec<String>> {
        plugin_names()
    }
}

/// Builds what is missing or older than its sources, and answers with all of them.
///
/// May be called by many processes at the same time: one builds and the others wait for it. When nothing has changed it
/// costs a look at the time stamps of the sources, a millisecond or so.
///
/// # Errors
///
/// If no compiler for components is there (the text says what to run), or the plugins do not compile.
pub fn build() -> anyhow::Result<Plugins> {
    build_some(&plugin_names()?)
}

/// As [`build`], for some of the plugins. The others may be missing, or older than their sources.
///
/// # Errors
///
/// As [`build`].
pub fn build_some<N: AsRef<str>>(names: &[N]) -> anyhow::Result<Plugins> {
    let target = target_folder().join("plugins");
    let plugins = Plugins { folder: target.join(TARGET).join(PROFILE) };
    let stamps = Stamps { folder: target.join("stamps"), plugins: &plugins };
    if stamps.outdated(names)?.is_empty() {
        return Ok(plugins);
    }
    fs::create_dir_all(&stamps.folder).with_context(|| format!("cannot make {}", stamps.folder.display()))?;
    let lock = File::create(target.join("build-lock")).context("cannot make the lock file of the plugins")?;
    lock.lock().context("cannot take the lock of the plugins")?;
    // Somebody else may have built them while we waited.
    let outdated = stamps.outdated(names)?;
    if !outdated.is_empty() {
        compile(&target, &outdated)?;
        stamps.set(&outdated)?;
    }
    Ok(plugins)
}

fn compile(target: &Path, names: &[&str]) -> anyhow::Result<()> {
    let Some(toolchain) = Toolchain::find(TARGET) else {
        bail!("no compiler here can build for {TARGET}; run `cargo xtask setup`, which makes one able to");
    };
    say(format_args!("building {} with {}", names.join(", "), toolchain.rustc.display()));
    let mut cargo = toolchain.cargo();
    cargo.current_dir(workspace()).args(["build", "--locked", "--profile", PROFILE, "--target", TARGET]);
    cargo.args(["--lib", "--examples"]).arg("--target-dir").arg(target);
    for name in names {
        cargo.args(["--package", name]);
    }
    run_command(&mut cargo).context("the plugins cannot be built")
}

/// What each plugin was built from the last time, in a file of its name.
struct Stamps<'a> {
    folder: PathBuf,
    plugins: &'a Plugins,
}

impl Stamps<'_> {
    /// Those that are missing or older than their sources.
    fn outdated<'n, N: AsRef<str>>(&self, names: &'n [N]) -> anyhow::Result<Vec<&'n str>> {
        let sources = sources()?;
        let is_outdated = |name: &&str| {
            let stamp = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            stamp != self.plugins.fingerprint(&sources, name)
        };
        Ok(names.iter().map(AsRef::as_ref).filter(is_outdated).collect())
    }

    fn set(&self, names: &[&str]) -> anyhow::Result<()> {
        let sources = sources()?;
        for name in names {
            let stamp = self.folder.join(name);
            let written = fs::write(&stamp, self.plugins.fingerprint(&sources, name));
            written.with_context(|| format!("cannot write {}", stamp.display()))?;
        }
        Ok(())
    }
}

/// The folders of `plugins` that have a manifest. A plugin's package is named as its folder is.
fn plugin_names() -> anyhow::Result<Vec<String>> {
    let folder = workspace().join("plugins");
    let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Everything that plugins are made from.
fn sources() -> anyhow::Result<Vec<PathBuf>> {
    let root = workspace();
    let mut files: Vec<PathBuf> = Vec::new();
    for source in ["plugins", "guest-sdk", "wit", "Cargo.toml", "Cargo.lock", ".cargo/config.toml"] {
        collect_files(&root.join(source), &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn collect_files(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in path.read_dir().with_context(|| format!("cannot read {}", path.display()))? {
        let path = entry?.path();
        // An author who builds inside a plugin's folder leaves a target folder there.
        if path.file_name().is_none_or(|name| name != "target") {
            collect_files(&path, files)?;
        }
    }
    Ok(())
}
