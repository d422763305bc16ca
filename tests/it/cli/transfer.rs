//! `host export` and `host import`.

use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use host::app::Import;
use host::model::{ConflictPolicy, Grant, HookSettings, Hooks, HttpUsage, QueueName, ScheduleLife, Settings};
use host::store::memory::MemoryStore;
use host::store::{JobQueue as _, Record, Store};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tests::artifacts::plugin;
use tests::cli::{Said, User, host_binary};
use tests::content::{Content, app, archive, records, restore_all};
use tests::factory::{Factory, t};
use tests::wait::wait_for;

/// A user with a plugin, schedules, and jobs that ran, wait and failed.
fn busy() -> User {
    let user = User::new();
    user.ok(["register".as_ref(), plugin("hello").as_os_str()]);
    user.ok(["schedule", "greet", "--interval", "30s", "--id", "grüße", "--arg", "name=Ada"]);
    user.ok(["schedule", "greet", "--cron", "0 9 * * mon-fri", "--id", "rests", "--paused", "--arg", "name=Grace"]);
    user.ok(["run", "greet", "--arg", "name=漢字"]);
    user.ok(["submit", "greet", "--arg", "name=Edsger"]);
    user
}

/// Everything that moves, as the other commands show it.
fn state(user: &User) -> Value {
    json!([user.json(&["plugins"]), user.json(&["tasks"]), user.json(&["schedules"]), user.json(&["jobs"])])
}

/// The lines between the first, which tells the time of the export, and the last, which has the digest of all.
fn middle(archive: &str) -> Vec<&str> {
    let lines: Vec<&str> = archive.lines().collect();
    lines[1..lines.len() - 1].to_vec()
}

/// Exports into a file in the user's home.
fn exported(user: &User, name: &str) -> (PathBuf, String) {
    user.ok(["export", name]);
    let path = user.home().join(name);
    let text = std::fs::read_to_string(&path).expect("the archive was written");
    (path, text)
}

fn import(user: &User, file: &Path, flags: &[&str]) -> Said {
    user.host([&["import", file.to_str().expect("UTF-8")], flags].concat())
}

/// Files of the home, hidden ones too.
fn files(user: &User) -> Vec<String> {
    let entries = std::fs::read_dir(user.home()).expect("the home can be read");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn everything_comes_over_and_works_in_the_other_store() {
    let (user, other) = (busy(), User::new());
    let (path, archive) = exported(&user, "backup.jsonl");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds arguments and grants");
    let said = import(&other, &path, &[]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.out.contains("added 1 plugin version, ") && said.out.contains("2 jobs, "), "{said:?}");
    assert_eq!(state(&other), state(&user));
    assert_eq!(middle(&exported(&other, "again.jsonl").1), middle(&archive));
    let greeting = other.ok(["run", "greet", "--arg", "name=Barbara"]);
    assert!(greeting.contains("Barbara"), "the component came over: {greeting}");
}

#[test]
fn through_pipes_it_is_the_same() {
    let (user, other) = (busy(), User::new());
    let said = user.host(["export"]);
    assert!(
        said.code == Some(0) && said.err.starts_with("exported 1 plugin version, "),
        "{:?} {}",
        said.code,
        said.err
    );
    assert_eq!(middle(&said.out), middle(&exported(&user, "backup.jsonl").1));
    let mut child = other
        .command(["import", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), said.out.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&answer["added"]["jobs"], &answer["kept"]["jobs"], &answer["dry_run"]),
        (&json!(2), &json!(0), &json!(false))
    );
    assert_eq!(state(&other), state(&user));
}

#[test]
fn a_file_is_overwritten_only_when_asked_and_never_half_written() {
    let user = busy();
    let precious = user.file("backup.jsonl", "precious");
    let said = user.host(["export", "backup.jsonl"]);
    assert!(said.code == Some(6) && said.err.contains("hint: --force"), "{said:?}");
    assert_eq!(std::fs::read_to_string(&precious).expect("it is there"), "precious");
    let answer = user.json(&["export", "backup.jsonl", "--force"]);
    assert_eq!((&answer["exported"]["plugins"], &answer["left_out"]), (&json!(1), &json!(0)));
    for place in [".", "no/such/folder/backup.jsonl"] {
        let said = user.host(["export", place]);
        assert!(said.code == Some(2) && said.err.starts_with("error: ") && said.err.contains("hint: "), "{said:?}");
    }
    assert_eq!(files(&user), ["backup.jsonl"], "nothing is left beside");
}

#[test]
fn an_output_without_room_is_an_error_that_says_so() {
    let user = busy();
    let said = user
        .command(["export"])
        .stdout(std::fs::File::create("/dev/full").expect("there is one"))
        .output()
        .expect("it runs");
    let err = String::from_utf8(said.stderr).expect("UTF-8");
    assert!(said.status.code() == Some(1) && err.contains("No space left"), "{:?} {err}", said.status);
}

#[test]
fn what_is_no_whole_and_sound_archive_changes_nothing() {
    let (user, other) = (busy(), busy());
    let before = state(&other);
    let (_, good) = exported(&user, "good.jsonl");
    let lines: Vec<&str> = good.lines().collect();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line;
        lines.join("\n") + "\n"
    };
    let at_of =
        |kind: &str| lines.iter().position(|line| line.starts_with(&format!("{{\"{kind}\""))).expect("there is one");
    let (bytes, task, job, schedule) = (at_of("plugin_bytes"), at_of("task"), at_of("job"), at_of("schedule"));
    let flipped = lines[bytes].replacen('A', "B", 1);
    let twice = [&lines[..=task], &lines[task..]].concat().join("\n");
    let moved = [&lines[..task], &lines[job..=job], &lines[task..job], &lines[job + 1..]].concat().join("\n");
    let renamed = lines[task].replace("\"hello:", "\" hello:");
    let unknown = lines[job].replacen("{\"job\":{", "{\"job\":{\"colour\":\"red\",", 1);
    let stateless = lines[job].replacen("\"state\":\"finished\"", "\"state\":\"queued\"", 1);
    let changed = with(job, &lines[job].replacen("漢字", "漢", 1));
    assert_ne!(changed, good);
    let line = |at: usize| format!("line {}: ", at + 1);
    let cases: &[(&str, String, &str)] = &[
        ("nothing", String::new(), "the file is empty"),
        ("something else", "hello\n".into(), "not the first line of an export"),
        ("other JSON", "{\"format\":\"other\",\"version\":1}\n".into(), "not the first line of an export"),
        ("a newer version", with(0, "{\"format\":\"host-export\",\"version\":3,\"more\":true}"), "reads up to 2"),
        ("cut in a line", good[..good.len() / 2].into(), "hint: the file is not whole"),
        ("cut after a line", lines[..lines.len() - 1].join("\n") + "\n", "the last line is missing"),
        ("cut before its end", good.trim_end()[..good.len() - 5].into(), "hint: the file is not whole"),
        ("a flipped byte of a component", with(bytes, &flipped), "the component of plugin `hello`"),
        ("no component", [&lines[..bytes], &lines[task..]].concat().join("\n"), "the component of plugin `hello`"),
        ("garbage", with(job, "\u{1b}[31mgarbage"), &line(job)),
        ("a wrong name", with(task, &renamed), "is not a valid task id"),
        ("an unknown field", with(job, &unknown), "unknown field `colour`"),
        ("an impossible state", with(job, &stateless), "it is queued, and has an outcome"),
        ("a line twice", twice, "it is there twice"),
        ("a line too early", moved, "it is there twice, or not in its place"),
        ("a missing line", [&lines[..schedule], &lines[schedule + 1..]].concat().join("\n"), "there should be"),
        ("a changed line", changed, "not those that were written"),
        ("a line too much", good.clone() + "{}\n", "more after the last line"),
    ];
    for (what, content, mention) in cases {
        let path = other.file("bad.jsonl", content);
        for flags in [&[][..], &["--conflict", "replace"], &["--dry-run"]] {
            let said = import(&other, &path, flags);
            assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{what}: {said:?}");
            assert!(said.err.starts_with("error: line ") && said.err.contains(mention), "{what}: {said:?}");
            assert!(said.err.contains("\nhint: ") && !said.err.contains('\u{1b}'), "{what}: {said:?}");
        }
    }
    assert_eq!(import(&other, Path::new("missing.jsonl"), &[]).code, Some(4));
    assert_eq!(import(&other, Path::new("."), &[]).code, Some(2));
    assert_eq!(state(&other), before);
}

#[test]
fn an_archive_changed_by_hand_is_taken_once_its_digest_is_out() {
    let (user, other) = (busy(), User::new());
    let (_, good) = exported(&user, "good.jsonl");
    let (lines, digest) = good.rsplit_once(",\"sha256\"").expect("the last line has a digest");
    assert!(digest.ends_with("}}\n"));
    let path = other.file("edited.jsonl", lines.replace("grüße", "Gruß") + "}}\n");
    assert_eq!(import(&other, &path, &[]).code, Some(0));
    assert!(other.ok(["schedules"]).contains("Gruß"));
}

#[test]
fn a_line_without_end_costs_no_memory() {
    let user = User::new();
    let path = user.home().join("zeros.jsonl");
    std::fs::File::create(&path).and_then(|file| file.set_len(2 << 30)).expect("a sparse file can be made");
    // Half of what the file would take.
    let script = "ulimit -v 1048576 && exec \"$0\" import zeros.jsonl";
    let mut limited = Command::new("bash");
    limited.args(["-c", script]).arg(host_binary()).current_dir(user.home()).env("HOST_DATA_DIR", user.data());
    let output = limited.output().expect("bash can be started");
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        output.status.code() == Some(2) && err.contains("line 1: the line is longer than"),
        "{:?} {err}",
        output.status
    );
}

#[test]
fn what_is_in_the_way_stops_the_whole_import_unless_the_user_says_who_gives_way() {
    let (user, other) = (busy(), User::new());
    let (path, _) = exported(&user, "backup.jsonl");
    other.ok(["register".as_ref(), plugin("hello").as_os_str(), "--allow-env".as_ref(), "HOME".as_ref()]);
    other.ok(["schedule", "greet", "--interval", "5m", "--id", "rests", "--arg", "name=Other"]);
    let before = state(&other);
    for flags in [&[][..], &["--dry-run"]] {
        let said = import(&other, &path, flags);
        assert_eq!((said.code, said.out.as_str()), (Some(6), ""), "{said:?}");
        assert!(said.err.contains("of plugin `hello`") && said.err.contains("schedule `rests`"), "{said:?}");
        assert!(said.err.contains("hint: --conflict skip"), "{said:?}");
        assert_eq!(state(&other), before, "nothing was imported");
    }
    let would = import(&other, &path, &["--conflict", "skip", "--dry-run", "--json"]);
    assert_eq!(state(&other), before, "a dry run changes nothing");
    let did = import(&other, &path, &["--conflict", "skip", "--json"]);
    let (would, did): (Value, Value) =
        (serde_json::from_str(&would.out).expect("JSON"), serde_json::from_str(&did.out).expect("JSON"));
    assert_eq!((&would["added"], &would["kept"]), (&did["added"], &did["kept"]));
    assert_eq!((&did["kept"]["schedules"], &did["added"]["schedules"]), (&json!(1), &json!(1)));
    assert!(other.ok(["schedules", "show", "rests"]).contains("Other"), "the store's own stayed");
    let said = import(&other, &path, &["--conflict", "replace"]);
    assert!(said.code == Some(0) && said.out.contains("\nreplaced: 1 plugin version, "), "{said:?}");
    assert_eq!(state(&other), state(&user));
}

#[test]
fn rows_that_cannot_be_read_are_named_and_left_out_only_when_asked() {
    let user = busy();
    let url = format!("sqlite://{}", user.data().join("host.db").display());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("the file opens");
        let damage = "UPDATE host_jobs SET settings = '{' WHERE state = 'queued'";
        assert_eq!(sqlx::query(damage).execute(&mut connection).await.expect("it runs").rows_affected(), 1);
        connection.close().await.expect("it closes");
    });
    let said = user.host(["export", "backup.jsonl"]);
    assert_eq!((said.code, said.out.as_str()), (Some(6), ""), "{said:?}");
    assert!(
        said.err.contains("a row of the store cannot be read: job ")
            && said.err.contains("hint: with --skip-unreadable"),
        "{said:?}"
    );
    assert_eq!(files(&user), [] as [&str; 0], "nothing was written");
    let said = user.host(["export", "backup.jsonl", "--skip-unreadable"]);
    assert!(
        said.code == Some(0) && said.err.contains("1 row could not be read and were left out:\n  job "),
        "{said:?}"
    );
    let other = User::new();
    let answer: Value =
        serde_json::from_str(&import(&other, &user.home().join("backup.jsonl"), &["--json"]).out).expect("JSON");
    assert_eq!(answer["added"]["jobs"], json!(1));
}

async fn archive_of(store: &Arc<MemoryStore>) -> Vec<u8> {
    archive(&app(Arc::clone(store) as Arc<dyn Store>)).await.expect("it can be exported")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_killed_half_way_is_repeated() {
    const JOBS: i64 = 20_000;
    let memory = Arc::new(MemoryStore::new());
    let make = Factory::new(3);
    memory.job_add((0..JOBS).map(|_| make.job("p:work")).collect()).await.expect("added");
    let user = User::new();
    let path = user.file("many.jsonl", archive_of(&memory).await);
    user.ok(["status"]);
    let url = format!("sqlite://{}?mode=ro", user.data().join("host.db").display());
    let mut child = user.command(["import", "many.jsonl"]).spawn().expect("it starts");
    let count = || async {
        let mut look = sqlx::SqliteConnection::connect(&url).await.ok()?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM host_jobs").fetch_one(&mut look).await.ok()?;
        Some(count)
    };
    wait_for("the first jobs to be imported", || async { count().await.filter(|count| *count > 0) }).await;
    child.kill().expect("it can be killed");
    let ended = child.wait().expect("it ends");
    let some = count().await.expect("the file can be read");
    assert!(!ended.success() && some < JOBS, "it was killed too late: {ended}, {some} jobs");
    let said = import(&user, &path, &["--json"]);
    let answer: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&answer["unchanged"]["jobs"], &answer["added"]["jobs"]), (&json!(some), &json!(JOBS - some)));
    let again = exported(&user, "again.jsonl").1;
    assert_eq!(middle(&again), middle(&std::fs::read_to_string(&path).expect("it is there")));
}

/// An archive as version 1 of the format was written first. It is never written anew: what it says must be read for ever.
const VERSION_1: &str = include_str!("../../fixtures/archive/v1.jsonl");

fn without_what_came_later(settings: &mut Settings) {
    (settings.queue, settings.concurrency_key, settings.max_running_per_key) = (None, None, None);
    (settings.version, settings.overlap) = (None, None);
    (settings.pause_after, settings.until_success, settings.max_fires) = (None, None, None);
    settings.hooks = HookSettings::default();
}

/// What the program that wrote that archive knew: lives of schedules, identities of granted folders, the second folder, queues,
/// concurrency keys, requests over HTTP, pinned versions, buckets, secrets, overlap policies, hooks and grace periods
/// came later.
fn as_version_1(mut record: Record) -> Record {
    match &mut record {
        Record::Plugin(plugin) => {
            plugin.version.tasks.iter_mut().for_each(|task| without_what_came_later(&mut task.settings));
            plugin.version.grants.retain(|grant| match grant {
                Grant::Dir { host, .. } => host != "/srv/out",
                Grant::Env { .. } => true,
                Grant::Http(_) | Grant::Kv { .. } | Grant::Secret(_) => false,
            });
            for grant in &mut plugin.version.grants {
                if let Grant::Dir { identity, .. } = grant {
                    *identity = None;
                }
            }
        }
        Record::Task(task) => {
            [&mut task.declared, &mut task.configured, &mut task.defaults]
                .into_iter()
                .for_each(without_what_came_later);
        }
        Record::Schedule(schedule) => {
            schedule.life = ScheduleLife::default();
            (schedule.fire_count, schedule.failures) = (0, 0);
            without_what_came_later(&mut schedule.settings);
        }
        Record::Job(job) => {
            job.spec.schedule_life = ScheduleLife::default();
            (job.spec.settings.queue, job.spec.settings.concurrency_key) = (QueueName::default(), None);
            (job.spec.settings.version, job.spec.settings.group) = (None, None);
            (job.spec.settings.backfill, job.spec.settings.until_success) = (false, false);
            (job.spec.settings.pause_after, job.spec.settings.hooks) = (None, Hooks::default());
            job.cancel_requested.iter_mut().for_each(|request| request.grace = None);
            job.usage.iter_mut().for_each(|usage| usage.http = HttpUsage::default());
        }
        Record::Log { .. } | Record::KvBucket { .. } | Record::KvEntry { .. } => {}
    }
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_version_1_is_read_as_it_was_meant() {
    let (meant, found) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    Content { store: &*meant, make: &Factory::new(1), base: t(0), component_bytes: 3_000 }.fill().await;
    let file = Box::new(Cursor::new(VERSION_1.as_bytes().to_vec()));
    let import = Import { archive: file, conflict: ConflictPolicy::Error, dry_run: false };
    app(Arc::clone(&found) as Arc<dyn Store>).import(import).await.expect("it can be imported");
    let is_known = |record: &Record| !matches!(record, Record::KvBucket { .. } | Record::KvEntry { .. });
    let meant: Vec<Record> = records(&*meant).await.into_iter().filter(is_known).map(as_version_1).collect();
    let found = records(&*found).await;
    for (meant, found) in meant.iter().zip(&found) {
        assert_eq!(found, meant);
    }
    assert_eq!(found.len(), meant.len());
    // What is written of it since is the same, but for the first line and the last.
    let again = Arc::new(MemoryStore::new());
    restore_all(&*again, t(0), &found).await;
    let again = String::from_utf8(archive_of(&again).await).expect("UTF-8");
    for (line, first) in middle(&again).into_iter().zip(middle(VERSION_1)) {
        assert_eq!(line, first);
    }
}

/// An archive as version 2 of the format was written first. Once there is a version 3 it is never written anew; until then
/// `UPDATE_FIXTURES=1` does that.
fn version_2() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/archive/v2.jsonl")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_version_2_is_read_as_it_was_meant() {
    let (meant, found) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    Content { store: &*meant, make: &Factory::new(1), base: t(0), component_bytes: 3_000 }.fill().await;
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(version_2(), archive_of(&meant).await).expect("it can be written");
    }
    let version_2 = std::fs::read_to_string(version_2()).expect("it is there");
    let file = Box::new(Cursor::new(version_2.as_bytes().to_vec()));
    let import = Import { archive: file, conflict: ConflictPolicy::Error, dry_run: false };
    app(Arc::clone(&found) as Arc<dyn Store>).import(import).await.expect("it can be imported");
    assert_eq!(records(&*found).await, records(&*meant).await);
    // As long as this is the version that is written, it is written the same.
    let again = String::from_utf8(archive_of(&found).await).expect("UTF-8");
    assert_eq!(middle(&again), middle(&version_2));
    assert_eq!(host::store::archive::VERSION, 2);
}
