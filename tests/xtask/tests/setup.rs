//! Set-up as it is run, on a machine without any programs.

use std::process::{Command, Output};

use xtask::programs::{Need, PROGRAMS, Places};

/// Runs set-up with an empty search path.
fn set_up(arguments: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.arg("setup").args(arguments).env("PATH", "").output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

/// What is missing then. Servers that Debian keeps off the search path may still be there.
fn missing(is_needed: impl Fn(Need) -> bool) -> Vec<String> {
    let missing = Places::new("".as_ref(), "/".as_ref()).missing(is_needed);
    assert!(missing.iter().any(|program| program.name == "kill") && missing.len() < PROGRAMS.len());
    missing.iter().map(|program| format!("  {program}\n")).collect()
}

#[test]
fn the_check_names_everything_that_is_missing_and_installs_nothing() {
    let (output, said) = set_up(&["--check"]);
    assert!(!output.status.success(), "{said}");
    for line in missing(|need| need != Need::WherePresent) {
        assert!(said.contains(&line), "`{}` is not in:\n{said}", line.trim());
    }
    assert!(!said.contains("apt-get install"), "{said}");
}

#[test]
fn where_packages_cannot_be_installed_set_up_fails_with_what_is_missing_and_why() {
    let (output, said) = set_up(&["--plugins-only"]);
    assert!(!output.status.success(), "{said}");
    for line in missing(|need| need == Need::Build) {
        assert!(said.contains(&line), "`{}` is not in:\n{said}", line.trim());
    }
    assert!(said.contains("there is no `apt-get` here"), "{said}");
    assert!(!said.contains("setpriv"), "tests are not wanted: {said}");
}
