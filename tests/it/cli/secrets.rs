//! What is nobody else's business: rights of files, passwords in URLs.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tests::artifacts::plugin;
use tests::cli::User;

/// The command of a user whose umask takes nothing away.
fn without_umask<S: AsRef<OsStr>>(user: &User, args: impl IntoIterator<Item = S>) -> Command {
    let plain = user.command(args);
    let mut command = Command::new("bash");
    command.args(["-c", r#"umask 000; exec "$0" "$@""#]).arg(plain.get_program()).args(plain.get_args());
    command.current_dir(user.home()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// The files in the data folder by name, without the cache, which the tests share.
fn files(folder: &Path) -> Vec<(String, u32)> {
    let entries = fs::read_dir(folder).expect("it is there").flatten();
    let entries = entries.filter(|entry| entry.file_name() != "cache");
    let mut files: Vec<_> =
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), mode(&entry.path()))).collect();
    files.sort();
    files
}

#[test]
fn the_files_of_a_store_are_for_their_owner_alone_whatever_the_umask() {
    let user = User::new();
    let hello = plugin("hello");
    let args = ["register".as_ref(), hello.as_os_str(), "--allow-env".as_ref(), "TOKEN=s3cret".as_ref()];
    assert!(without_umask(&user, args).status().expect("it starts").success());
    // While a server works, SQLite keeps a log and an index beside each of the two databases.
    let mut serving = without_umask(&user, ["serve"]).spawn().expect("it starts");
    let job = user.ok(["submit", "greet", "--arg", "name=Ada", "--wait"]);
    let found = files(&user.data());
    serving.kill().expect("it runs");
    serving.wait().expect("it ends");
    assert!(!job.is_empty());
    for name in ["host.db", "host.db-wal", "host.db-shm", "host.db-events", "host.db-events-wal", "host.db-events-shm"]
    {
        assert!(found.contains(&(name.to_owned(), 0o600)), "{name}: {found:?}");
    }
    assert!(found.iter().all(|(_, mode)| *mode == 0o600), "{found:?}");
    assert!(without_umask(&user, ["export", "backup.jsonl"]).status().expect("it starts").success());
    assert_eq!(mode(&user.home().join("backup.jsonl")), 0o600);
    assert!(without_umask(&user, ["--data-dir", "new/data", "status"]).status().expect("it starts").success());
    assert_eq!(mode(&user.home().join("new/data")), 0o700);
}

#[test]
fn files_that_others_may_read_are_narrowed_and_that_is_reported_once() {
    let user = User::new();
    user.ok(["status"]);
    for name in ["host.db", "host.db-events"] {
        fs::set_permissions(user.data().join(name), Permissions::from_mode(0o664)).expect("set");
    }
    let said = user.host(["status"]);
    assert!(said.err.contains("others had rights to a file of the host") && said.err.contains("0664"), "{said:?}");
    assert!(files(&user.data()).iter().all(|(_, mode)| *mode == 0o600), "{:?}", files(&user.data()));
    assert_eq!(user.host(["status"]).err, "");
}

/// Every way to say a password, and every way to say it wrong. Port 1 is nobody's.
#[test]
fn a_password_is_never_printed_in_whatever_form_of_url_it_was_given() {
    let user = User::new();
    for (url, code) in [
        ("postgres://ada:hunter2@127.0.0.1:1/jobs", 5),
        ("postgres://ada@127.0.0.1:1/jobs?password=hunter2", 5),
        ("postgres://127.0.0.1:1/jobs?user=ada&password=hunter2&sslmode=disable", 5),
        ("mysql://ada:hunter2@127.0.0.1:1/jobs", 5),
        ("mysql://ada@127.0.0.1:1/jobs?password=hunter2", 2),
        ("postgres://ada:hun/ter2@127.0.0.1:1/jobs", 2),
        ("postgres://ada:31415/hunter2@127.0.0.1:1/jobs", 2),
        ("postgres://ada:hunter2#x@127.0.0.1:1/jobs", 2),
        ("postgres://ada:hunter2@127.0.0.1:port/jobs", 2),
        ("postgres://ada:hunter2@127.0.0.1:1/jobs?paswsord=hunter2", 2),
        ("postgres://ada:hunter2@127.0.0.1:1/jobs?sslmode=hunter2", 2),
        ("postgres:ada:hunter2@127.0.0.1/jobs", 2),
        ("redis://:hunter2@127.0.0.1:1/0", 2),
        ("hunter2", 2),
    ] {
        for command in [["status"].as_slice(), &["serve"], &["-vv", "jobs"], &["migrate", "--plan"]] {
            refused_without_secrets(&user, "--store", url, command, code);
        }
    }
}

#[test]
fn the_password_of_a_broker_is_never_told() {
    let user = User::new();
    for (url, code) in [
        ("postgres://ada:hunter2@127.0.0.1:1/jobs", 5),
        ("postgres://ada:hun/ter2@127.0.0.1:1/jobs", 2),
        ("redis://:hunter2@127.0.0.1:1/0", 5),
        ("rediss://ada:hunter2@127.0.0.1:1", 5),
        ("redis://ada:31415/hunter2@127.0.0.1:1", 2),
        ("mqtt://ada:hunter2@127.0.0.1:1", 5),
        ("mqtt://ada:hunter2@127.0.0.1:1?pasword=hunter2", 2),
        ("nats://hunter2@127.0.0.1:1", 5),
        ("nats://ada:hunter2@127.0.0.1:1?credentials=/x", 2),
        ("mysql://ada:hunter2@127.0.0.1:1/jobs", 2),
        ("hunter2", 2),
    ] {
        for command in [["status"].as_slice(), &["serve"], &["-vv", "jobs"]] {
            refused_without_secrets(&user, "--broker", url, command, code);
        }
    }
}

fn refused_without_secrets(user: &User, flag: &str, url: &str, command: &[&str], code: i32) {
    let said = user.host([flag, url].iter().chain(command));
    assert_eq!(said.code, Some(code), "{flag} {url} {command:?}: {said:?}");
    let secrets = ["hunter", "ter2", "31415"];
    let told = secrets.iter().find(|part| said.err.contains(**part) || said.out.contains(**part));
    assert_eq!(told, None, "{flag} {url} {command:?}: {said:?}");
    assert!(said.err.contains("hint: "), "{flag} {url} {command:?}: {said:?}");
}

#[test]
fn a_settings_file_that_is_not_valid_is_reported_without_its_passwords() {
    let user = User::new();
    for text in [
        "store = \"postgres://ada:hunter2@h/jobs\nbroker = \"local\"\n",
        "stroe = \"postgres://ada:hunter2@h/jobs\"\n",
        "store = [\"postgres://ada:hunter2@h/jobs\"]\n",
    ] {
        user.file("host.toml", text);
        let said = user.host(["--config", "host.toml", "status"]);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains("line 1") && !said.err.contains("hunter2"), "{said:?}");
    }
}

#[test]
fn a_data_folder_may_be_called_what_means_something_in_a_url() {
    let user = User::new();
    for name in ["a?b", "a#b", "a%20b", "a&mode=memory", "file:a"] {
        user.ok(["--data-dir", name, "status"]);
        assert!(user.home().join(name).join("host.db").is_file(), "{name}");
    }
}

#[test]
fn a_data_folder_that_cannot_hold_the_database_is_refused_before_it_is_made() {
    let user = User::new();
    let said = user.host([OsStr::new("--data-dir"), OsStr::from_bytes(b"b\xff"), OsStr::new("status")]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("not UTF-8") && said.err.contains("hint: "), "{said:?}");
    assert_eq!(fs::read_dir(user.home()).expect("there").count(), 0, "something was made");
    // The store elsewhere, it is a folder like any other.
    let said = user.host([
        OsStr::new("--data-dir"),
        OsStr::from_bytes(b"b\xff"),
        OsStr::new("--store"),
        OsStr::new("sqlite:elsewhere.db"),
        OsStr::new("status"),
    ]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn grants_that_reach_each_other_are_reported_when_they_are_given() {
    let user = User::new();
    fs::create_dir_all(user.home().join("work/in")).expect("made");
    let hello = plugin("hello");
    let register = |name: &str, grant: &str| {
        let args = ["register".as_ref(), hello.as_os_str(), "--name".as_ref(), name.as_ref()];
        user.ok(args.into_iter().chain(["--allow-dir".as_ref(), grant.as_ref()]))
    };
    assert!(!register("reader", "work/in::/in:ro").contains("note: "));
    let said = register("writer", "work::/work:rw");
    let note = said.lines().find(|line| line.contains("note: ")).expect("a note");
    assert!(note.contains("plugin `writer` may write") && note.contains("granted to plugin `reader`"), "{note}");
}
