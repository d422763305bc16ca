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
    let target = target_folder().join("plugins");
    let plugins = Plugins { folder: target.join(TARGET).join(PROFILE) };
    let stamp = target.join("built-from");
    if fs::read_to_string(&stamp).ok() == Some(fingerprint(&plugins)?) {
        return Ok(plugins);
    }
    fs::create_dir_all(&target).with_context(|| format!("cannot make the folder {}", target.display()))?;
    let lock = File::create(target.join("build-lock")).context("cannot make the lock file of the plugins")?;
    lock.lock().context("cannot take the lock of the plugins")?;
    // Somebody else may have built them while we waited.
    if fs::read_to_string(&stamp).ok() == Some(fingerprint(&plugins)?) {
        return Ok(plugins);
    }
    compile(&target)?;
    fs::write(&stamp, fingerprint(&plugins)?).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(plugins)
}

fn compile(target: &Path) -> anyhow::Result<()> {
    let Some(toolchain) = Toolchain::find(TARGET) else {
        bail!("no compiler here can build for {TARGET}; run `cargo xtask setup`, which makes one able to");
    };
    say(format_args!("building the plugins with {}", toolchain.rustc.display()));
    let mut cargo = toolchain.cargo();
    cargo.current_dir(workspace()).args(["build", "--locked", "--profile", PROFILE, "--target", TARGET]);
    cargo.args(["--lib", "--examples"]).arg("--target-dir").arg(target);
    for name in plugin_names()? {
        cargo.args(["--package", &name]);
    }
    run_command(&mut cargo).context("the plugins cannot be built")
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

/// The sizes and times of everything that the plugins are made from, and of the components themselves.
fn fingerprint(plugins: &Plugins) -> anyhow::Result<String> {
    let root = workspace();
    let sources = ["plugins", "guest-sdk", "wit", "Cargo.toml", "Cargo.lock", ".cargo/config.toml"];
    let mut files: Vec<PathBuf> = Vec::new();
    for source in sources {
        collect_files(&root.join(source), &mut files)?;
    }
    files.sort();
    for name in plugin_names()? {
        files.push(plugins.folder.join(format!("{}.wasm", name.replace('-', "_"))));
    }
    let mut hasher = DefaultHasher::new();
    for file in files {
        let facts = fs::metadata(&file).ok().map(|facts| (facts.len(), facts.modified().ok()));
        (file, facts).hash(&mut hasher);
    }
    Ok(format!("{:016x}\n", hasher.finish()))
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
