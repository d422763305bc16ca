//! The trials themselves, where the server that they want is not to be had: this program runs itself with other programs in its place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The cases that are run for these tests. There are several, and each wants a MariaDB.
const FILTER: &str = "mysql::schema::";

/// A program that writes down that it was called.
const NOTES_CALLS: &str = "#!/bin/sh\nPATH=/usr/bin:/bin\necho called >> \"$(dirname \"$0\")/calls\"\n";

/// What a run said, and how it ended.
struct Ran {
    text: String,
    is_success: bool,
}

/// Runs the cases with the programs of a folder before all others, or with those alone.
fn run(folder: &Path, others: bool) -> Result<Ran> {
    let path = std::env::var_os("PATH").filter(|_| others).unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(FILTER).env("TEST_BACKENDS", "mysql").env("PATH", std::env::join_paths(folders)?);
    let output = command.output().context("this program does not start once more")?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(Ran { text, is_success: output.status.success() })
}

/// A folder with these programs, for all users: servers are not run as root.
fn programs(scripts: &[(&str, &str)]) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
    for (name, script) in scripts {
        let file = folder.path().join(name);
        fs::write(&file, format!("{NOTES_CALLS}{script}\n"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    Ok(folder)
}

/// One case has failed, and its reason is told; the others were not run, and say that.
fn failed_once(ran: &Ran, reasons: &[&str]) -> Result<()> {
    let Ran { text, is_success } = ran;
    ensure!(!is_success && text.contains(" 0 passed; 1 failed; "), "not one failure:\n{text}");
    let not_run = text.matches("MariaDB does not run; the case that failed says why").count();
    let ignored = format!("; {not_run} ignored;");
    ensure!(not_run >= 2 && text.contains(&ignored), "{not_run} cases say that they were not run:\n{text}");
    for reason in reasons {
        ensure!(text.contains(reason), "`{reason}` is not told:\n{text}");
    }
    Ok(())
}

pub(crate) fn data_cannot_be_made() -> Result<()> {
    let fails = "echo 'no room on the disk' >&2; exit 1";
    let folder = programs(&[("mariadb-install-db", fails), ("mariadbd", "exit 1"), ("mariadb", "exit 1")])?;
    failed_once(&run(folder.path(), true)?, &["MariaDB for the tests does not start", "no room on the disk"])?;
    let calls = fs::read_to_string(folder.path().join("calls"))?.lines().count();
    ensure!(calls == 1, "programs were called {calls} times after the first had failed");
    Ok(())
}

pub(crate) fn server_ends() -> Result<()> {
    let ends = "echo 'the port is taken' >&2; exit 3";
    let folder = programs(&[("mariadb-install-db", "exit 0"), ("mariadbd", ends), ("mariadb", "exit 1")])?;
    failed_once(&run(folder.path(), true)?, &["MariaDB ended by itself, exit status: 3", "the port is taken"])
}

pub(crate) fn not_installed() -> Result<()> {
    let Ran { text, is_success } = run(programs(&[])?.path(), false)?;
    ensure!(is_success && text.contains(" 0 passed; 0 failed; "), "a case was run:\n{text}");
    ensure!(text.contains("mariadb-install-db (Debian package mariadb-server-core)"), "nothing says why:\n{text}");
    Ok(())
}
