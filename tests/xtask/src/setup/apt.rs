//! Debian's packages.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::shell::{answer, find, run, say, typed};

/// A command to be run as root: by root itself, or through a sudo that does not ask.
///
/// # Errors
///
/// If there is no way to be root; the text has the command.
pub(super) fn as_root(command: &[&str]) -> anyhow::Result<Command> {
    let (program, arguments) = command.split_first().context("a command has at least a name")?;
    let mut plain = Command::new(program);
    plain.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    if answer(Command::new("id").arg("-u")).as_deref() == Some("0") {
        return Ok(plain);
    }
    if find("sudo").is_none() {
        bail!(
            "this needs root, and there is no `sudo`; run as root, then again `cargo xtask setup`:\n  {}",
            typed(&plain)
        )
    }
    if answer(Command::new("sudo").args(["-n", "true"])).is_some() {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive"]).args(command);
        return Ok(sudo);
    }
    bail!(
        "this needs root, and `sudo` asks for a password; run by hand, then again `cargo xtask setup`:\n  sudo {}",
        typed(&plain)
    )
}

/// Somebody else who installs packages at this moment is waited for, so many seconds.
const WAIT_FOR_OTHERS: &str = "DPkg::Lock::Timeout=300";

/// Installs packages, without those they only recommend.
pub(super) fn install(packages: &[&str]) -> anyhow::Result<()> {
    if find("apt-get").is_none() {
        bail!(
            "there is no `apt-get` here: install these by hand; the packages are Debian's, others have the same programs"
        );
    }
    say(format_args!("installing {}", packages.join(", ")));
    run(&mut as_root(&["apt-get", "update", "--quiet"])?)?;
    let command = ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", "--option", WAIT_FOR_OTHERS];
    run(&mut as_root(&[&command, packages].concat())?)
}

/// Installs a package from the backports suite of this release, which is added to apt's sources if it is not there.
pub(super) fn install_from_backports(package: &str) -> anyhow::Result<()> {
    let release = os_release("VERSION_CODENAME").context("/etc/os-release does not name this Debian release")?;
    let suite = format!("{release}-backports");
    if !knows_suite(&suite) {
        let (mirror, keys) = mirror();
        say(format_args!("adding the suite {suite} of {mirror} to apt's sources"));
        let source = format!("Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\n{keys}");
        let draft = crate::target_folder().join(format!("{suite}.sources"));
        fs::create_dir_all(crate::target_folder()).context("cannot make the target folder")?;
        fs::write(&draft, source).with_context(|| format!("cannot write {}", draft.display()))?;
        let place = format!("/etc/apt/sources.list.d/{suite}.sources");
        run(&mut as_root(&["install", "--mode=0644", &draft.display().to_string(), &place])?)?;
    }
    run(&mut as_root(&["apt-get", "update", "--quiet"])?)?;
    run(&mut as_root(&[
        "apt-get",
        "install",
        "--quiet",
        "--yes",
        "--no-install-recommends",
        "--option",
        WAIT_FOR_OTHERS,
        "--target-release",
        &suite,
        package,
    ])?)
}

fn os_release(key: &str) -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

/// Whether apt has a source of this suite.
fn knows_suite(suite: &str) -> bool {
    let format = "$(SUITE) $(CODENAME) $(RELEASE)";
    let targets = answer(Command::new("apt-get").args(["indextargets", "--format", format])).unwrap_or_default();
    targets.split_whitespace().any(|word| word == suite)
}

/// The mirror that the main source uses, and the line that names its keys.
fn mirror() -> (String, String) {
    let text = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap_or_default();
    let first = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let mirror = first("URIs:").unwrap_or("http://deb.debian.org/debian");
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let keyring = first("Signed-By:").unwrap_or(keyring);
    let keys = if Path::new(keyring).exists() { format!("Signed-By: {keyring}\n") } else { String::new() };
    (mirror.to_owned(), keys)
}
