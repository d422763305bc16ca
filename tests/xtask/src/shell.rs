//! Other programs.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::programs::Places;

/// Says what is being done, on stderr: stdout is for answers.
pub fn say(what: impl std::fmt::Display) {
    eprintln!("xtask: {what}");
}

/// Runs a command with its output shown.
///
/// # Errors
///
/// If it cannot be started or does not succeed; the text has the command as one would type it.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let typed = typed(command);
    say(format_args!("$ {typed}"));
    // What is asked for on stdin cannot be answered here, and stdout is for this program's own answer.
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    let status = status.with_context(|| format!("cannot start `{typed}`"))?;
    if !status.success() {
        bail!("`{typed}` failed: {status}");
    }
    Ok(())
}

/// Runs a command quietly, and answers with what it prints, without the blanks around it; none if it fails.
pub fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as one would type it.
pub fn typed(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        // The path is long, and the same for whoever types it.
        let value = value.filter(|_| name != "PATH")?;
        Some(format!("{}={}", name.to_string_lossy(), quoted(value)))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into_owned() } else { format!("'{word}'") }
}

/// Where a program is, if it is anywhere on this machine.
pub fn find(program: &str) -> Option<PathBuf> {
    Places::of_this_machine().find(program)
}
