//! Every program that tests and tools call, and where it comes from.
//!
//! A program that is not in the table is not called: a test (`tests/it/tidy.rs`) compares the table with the sources. Set-up installs what
//! is missing from it and looks again.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use Need::{Build, Tests, WherePresent};
use Origin::{Debian, Rust};

/// Where a program comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The Debian package of that name.
    Debian(&'static str),
    /// The Rust toolchain, by <https://rustup.rs>. Set-up is itself a Rust program and does not install it.
    Rust,
}

/// What a program is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Building the host and the plugins, and the demonstration.
    Build,
    /// The tests; everything that building needs is needed there too.
    Tests,
    /// Nothing. It is used where it is present, and there is a way without it.
    WherePresent,
}

/// A program that is called by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// The name of its file.
    pub name: &'static str,
    /// Where it comes from.
    pub origin: Origin,
    /// What it is needed for.
    pub need: Need,
    /// Who calls it, and why.
    pub caller: &'static str,
}

const fn row(name: &'static str, origin: Origin, need: Need, caller: &'static str) -> Program {
    Program { name, origin, need, caller }
}

/// The programs.
#[rustfmt::skip]
pub const PROGRAMS: &[Program] = &[
    row("cargo",              Rust,                           Build,        "every build"),
    row("rustc",              Rust,                           Build,        "every build"),
    row("cc",                 Debian("gcc"),                  Build,        "rustc, which links with it; the build of SQLite"),
    row("id",                 Debian("coreutils"),            Build,        "set-up and the tests: is this root?"),
    row("cp",                 Debian("coreutils"),            Build,        "set-up, where it builds a standard library for plugins"),
    row("rm",                 Debian("coreutils"),            Build,        "set-up, where it builds a standard library for plugins"),
    row("mkdir",              Debian("coreutils"),            Build,        "set-up, where it builds a standard library for plugins; the README"),
    row("install",            Debian("coreutils"),            Build,        "set-up, where it puts files in place as root; tests with encrypted connections"),
    row("env",                Debian("coreutils"),            Build,        "set-up, behind sudo"),
    row("kill",               Debian("procps"),               Build,        "the demonstration and the tests, to stop servers"),
    row("bash",               Debian("bash"),                 Tests,        "the test that runs the README; tests with limited memory, and with a umask"),
    row("sh",                 Debian("dash"),                 Tests,        "a test that runs in little address space"),
    row("script",             Debian("bsdutils"),             Tests,        "a test of what is printed on a terminal"),
    row("cat",                Debian("coreutils"),            Tests,        "the README"),
    row("mktemp",             Debian("coreutils"),            Tests,        "the README"),
    row("timeout",            Debian("coreutils"),            Tests,        "the README"),
    row("df",                 Debian("coreutils"),            Tests,        "tests with full disks"),
    row("mount",              Debian("mount"),                Tests,        "tests with full disks"),
    row("umount",             Debian("mount"),                Tests,        "tests with full disks"),
    row("setpriv",            Debian("util-linux"),           Tests,        "tests that start database servers: those refuse to run as root"),
    row("initdb",             Debian("postgresql"),           Tests,        "tests on PostgreSQL"),
    row("postgres",           Debian("postgresql"),           Tests,        "tests on PostgreSQL"),
    row("pg_isready",         Debian("postgresql-client"),    Tests,        "tests on PostgreSQL"),
    row("psql",               Debian("postgresql-client"),    Tests,        "tests on PostgreSQL"),
    row("mariadb-install-db", Debian("mariadb-server-core"),  Tests,        "tests on MariaDB"),
    row("mariadbd",           Debian("mariadb-server-core"),  Tests,        "tests on MariaDB"),
    row("my_print_defaults",  Debian("mariadb-client-core"),  Tests,        "mariadb-install-db"),
    row("mariadb",            Debian("mariadb-client-core"),  Tests,        "tests on MariaDB"),
    row("redis-server",       Debian("redis-server"),         Tests,        "tests of the event broker over Redis"),
    row("mosquitto",          Debian("mosquitto"),            Tests,        "tests of the event broker over MQTT"),
    row("mosquitto_passwd",   Debian("mosquitto"),            Tests,        "tests of the event broker over MQTT"),
    row("nats-server",        Debian("nats-server"),          Tests,        "tests of the event broker over NATS"),
    row("pgbouncer",          Debian("pgbouncer"),            Tests,        "tests of the event broker of PostgreSQL behind a pooler"),
    row("prometheus",         Debian("prometheus"),           Tests,        "tests of what is measured: it reads that"),
    row("promtool",           Debian("prometheus"),           Tests,        "tests of what is measured, and of the alerts"),
    row("minisign",           Debian("minisign"),             Tests,        "tests of signed plugins"),
    row("apt-get",            Debian("apt"),                  WherePresent, "set-up, where something is missing"),
    row("sudo",               Debian("sudo"),                 WherePresent, "set-up, where something is missing and it is not run as root"),
    row("git",                Debian("git"),                  WherePresent, "`cargo xtask mutants`, which copies what belongs to the project"),
    row("rustup",             Rust,                           WherePresent, "set-up: it adds the targets of plugins"),
    row("npm",                Debian("npm"),                  WherePresent, "the measurement `drain`, which installs with it what it measures beside ours"),
    row("cargo-component",    Rust,                           WherePresent, "the second way to build a plugin (cargo install --locked cargo-component)"),
];

impl Program {
    /// The program of that name.
    ///
    /// # Errors
    ///
    /// If it is not in the table.
    pub fn named(name: &str) -> anyhow::Result<&'static Program> {
        let found = PROGRAMS.iter().find(|program| program.name == name);
        found.with_context(|| format!("`{name}` is not in the table of tests/xtask/src/programs.rs"))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Debian(package) => write!(f, "{} (Debian package {package}), for {}", self.name, self.caller),
            Rust => write!(f, "{} (of the Rust toolchain, https://rustup.rs), for {}", self.name, self.caller),
        }
    }
}

/// Where programs are looked for.
#[derive(Debug, Clone)]
pub struct Places {
    path: Vec<PathBuf>,
    root: PathBuf,
}

impl Places {
    /// The search path of this process, and where Debian keeps servers.
    pub fn of_this_machine() -> Places {
        Places::new(&std::env::var_os("PATH").unwrap_or_default(), Path::new("/"))
    }

    /// A search path, and where Debian keeps servers below `root`.
    pub fn new(path: &OsStr, root: &Path) -> Places {
        let path = std::env::split_paths(path).filter(|folder| !folder.as_os_str().is_empty()).collect();
        Places { path, root: root.to_owned() }
    }

    /// The file of a program, if it is anywhere.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        // PostgreSQL's own programs come before those of the path, where Debian has a script that looks for one of them.
        let folders =
            self.postgresql().into_iter().chain(self.path.iter().cloned()).chain([self.root.join("usr/sbin")]);
        folders.map(|folder| folder.join(name)).find(|file| is_program(file))
    }

    /// The programs that are needed and not there.
    pub fn missing(&self, is_needed: impl Fn(Need) -> bool) -> Vec<&'static Program> {
        let needed = PROGRAMS.iter().filter(|program| is_needed(program.need));
        needed.filter(|program| self.find(program.name).is_none()).collect()
    }

    /// Debian keeps each version of PostgreSQL in a folder of its own; the newest comes first.
    fn postgresql(&self) -> Vec<PathBuf> {
        let versions = self.root.join("usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
        let version = |name: &OsStr| name.to_str()?.parse::<u32>().ok();
        let mut found: Vec<_> =
            versions.filter_map(|entry| Some((version(&entry.file_name())?, entry.path().join("bin")))).collect();
        found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        found.into_iter().map(|(_, folder)| folder).collect()
    }
}

/// Whether the file is there and may be run.
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// The file of a program of the table.
///
/// # Errors
///
/// If it is not in the table, or not on this machine; the text says what to do.
pub fn path(name: &str) -> anyhow::Result<PathBuf> {
    let program = Program::named(name)?;
    let found = Places::of_this_machine().find(name);
    found.with_context(|| format!("`cargo xtask setup` installs what is missing here: {program}"))
}

/// A call of a program of the table.
///
/// # Errors
///
/// As [`path`].
pub fn command(name: &str) -> anyhow::Result<Command> {
    path(name).map(Command::new)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A folder with programs that do nothing.
    fn machine_with(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        for file in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().expect("it is in a folder")).expect("a folder can be made");
            fs::write(&file, "#!/bin/sh\n").expect("a file can be written");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        root
    }

    fn places(root: &tempfile::TempDir) -> Places {
        Places::new(root.path().join("bin").as_os_str(), root.path())
    }

    #[test]
    fn a_machine_without_any_program_misses_all_that_are_needed() {
        let empty = machine_with(&[]);
        let missing: Vec<_> = Places::new(OsStr::new(""), empty.path()).missing(|need| need != WherePresent);
        let needed: Vec<_> = PROGRAMS.iter().filter(|program| program.need != WherePresent).collect();
        assert_eq!(missing, needed);
        assert!(needed.len() > 20);
    }

    #[test]
    fn the_one_program_that_is_missing_is_named_with_its_package_and_caller() {
        let files: Vec<String> = PROGRAMS.iter().map(|program| format!("bin/{}", program.name)).collect();
        let names: Vec<&str> = files.iter().map(String::as_str).filter(|file| *file != "bin/mariadb").collect();
        let machine = machine_with(&names);
        let missing = places(&machine).missing(|_| true);
        let said: Vec<String> = missing.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["mariadb (Debian package mariadb-client-core), for tests on MariaDB"]);
    }

    #[test]
    fn the_newest_postgresql_is_found_before_the_scripts_of_the_path() {
        let versions =
            ["usr/lib/postgresql/9/bin/psql", "usr/lib/postgresql/15/bin/psql", "bin/psql", "usr/sbin/mariadbd"];
        let machine = machine_with(&versions);
        assert_eq!(places(&machine).find("psql"), Some(machine.path().join("usr/lib/postgresql/15/bin/psql")));
        assert_eq!(places(&machine).find("mariadbd"), Some(machine.path().join("usr/sbin/mariadbd")));
    }

    #[test]
    fn a_file_that_may_not_be_run_is_no_program() {
        let machine = machine_with(&["bin/kill"]);
        fs::set_permissions(machine.path().join("bin/kill"), fs::Permissions::from_mode(0o644)).expect("it is ours");
        assert_eq!(places(&machine).find("kill"), None);
    }

    #[test]
    fn no_program_is_in_the_table_twice() {
        let names: BTreeSet<_> = PROGRAMS.iter().map(|program| program.name).collect();
        assert_eq!(names.len(), PROGRAMS.len());
    }
}
