//! `serve` beside other commands.

use std::time::Duration;

use host::clock::{Clock as _, Stopwatch, SystemClock};
use host::model::Timestamp;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tests::artifacts::plugin;
use tests::cli::User;

fn with_hello() -> User {
    let user = User::new();
    user.ok(["register".as_ref(), plugin("hello").as_os_str()]);
    user
}

/// Looks again and again until `found` says something, for a minute.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let since = Stopwatch::start();
    while since.elapsed() < Duration::from_secs(60) {
        if let Some(found) = found() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what} did not come about");
}

#[test]
fn a_schedule_fires_and_its_jobs_run() {
    let user = with_hello();
    let server = user.start(["serve"], "ready: both");
    user.ok(["schedule", "greet", "--arg", "name=Ada", "--interval", "200ms", "--id", "often"]);
    let jobs = wait_for("two successes", || {
        let jobs = user.json(&["jobs", "--outcome", "success"]);
        (jobs.as_array().map_or(0, Vec::len) >= 2).then_some(jobs)
    });
    let job = &jobs[0];
    assert_eq!((&job["schedule_id"], &job["result"]), (&json!("often"), &json!("Hello, Ada!")));
    assert!(job["scheduled_fire_time"].is_string(), "{job}");
    let schedulers = user.json(&["status"])["schedulers"].clone();
    assert_eq!((&schedulers[0]["role"], &schedulers[0]["stopped_at"]), (&json!("both"), &Value::Null));
    server.signal("TERM");
    let said = server.end();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("stopped"), "{said:?}");
    assert!(user.json(&["status"])["schedulers"][0]["stopped_at"].is_string());
}

#[test]
fn a_job_that_is_submitted_in_one_process_runs_in_another() {
    let user = with_hello();
    let server = user.start(["serve", "--role", "worker", "--identity", "w1"], "ready: worker `w1`");
    let said = user.host(["submit", "greet", "--arg", "name=Ada", "--wait"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "\"Hello, Ada!\"\n"), "{said:?}");
    let id = user.ok(["submit", "unreliable", "--max-attempts", "1", "--arg", "failures=5"]);
    let said = user.host(["jobs", "result", &id, "--wait"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    assert_eq!(user.json(&["jobs", "show", &id])["scheduler_id"], "w1");
    server.signal("INT");
    assert_eq!(server.end().code, Some(0));
}

#[test]
fn a_running_job_is_cancelled_from_another_process() {
    let user = with_hello();
    let server = user.start(["serve"], "ready");
    let id = user.ok(["submit", "count", "--arg", "to=100000"]);
    wait_for("the job to run", || (user.json(&["jobs", "show", &id])["state"] == "running").then_some(()));
    user.ok(["jobs", "cancel", &id]);
    let said = user.host(["jobs", "result", &id, "--wait"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    assert_eq!(user.json(&["jobs", "show", &id])["outcome"], "cancelled");
    drop(server);
}

/// It asks the host for nothing, so that only the sandbox can stop it; and with the local broker, of which other processes hear nothing.
#[test]
fn a_job_that_only_computes_is_stopped_at_once_from_another_process_with_and_without_events() {
    let user = User::new();
    user.ok(["register".as_ref(), plugin("faults").as_os_str()]);
    for broker in [&[][..], &["--broker", "local"]] {
        let server = user.start([broker, &["serve"]].concat(), "ready");
        let id = user.ok(["submit", "faults:spin", "--timeout", "5m"]);
        wait_for("the job to run", || (user.json(&["jobs", "show", &id])["state"] == "running").then_some(()));
        user.ok([broker, &["jobs", "cancel", &id, "--grace", "0s"]].concat());
        let asked_by = SystemClock.now();
        let job = wait_for("the job to end", || {
            let job = user.json(&["jobs", "show", &id]);
            (job["state"] == "finished").then_some(job)
        });
        assert_eq!((&job["outcome"], &job["cancel_grace_ms"]), (&json!("cancelled"), &json!(0)), "{job}");
        let ended_at: Timestamp = job["finished_at"].as_str().expect("a time").parse().expect("a time");
        let took = ended_at.saturating_since(asked_by);
        assert!(took < Duration::from_secs(1), "{broker:?}: {took:?}");
        server.signal("TERM");
        assert_eq!(server.end().code, Some(0));
    }
}

#[test]
fn a_graceful_stop_waits_for_the_running_job() {
    let user = with_hello();
    let server = user.start(["serve"], "ready");
    let id = user.ok(["submit", "count", "--arg", "to=50", "--arg", "pause_ms=100"]);
    wait_for("the job to run", || (user.json(&["jobs", "show", &id])["state"] == "running").then_some(()));
    server.signal("TERM");
    assert_eq!(server.end().code, Some(0));
    assert_eq!(user.json(&["jobs", "show", &id])["outcome"], "success");
}

#[test]
fn a_second_signal_stops_at_once() {
    let user = with_hello();
    let server = user.start(["serve"], "ready");
    let id = user.ok(["submit", "count", "--arg", "to=100000"]);
    wait_for("the job to run", || (user.json(&["jobs", "show", &id])["state"] == "running").then_some(()));
    server.signal("TERM");
    wait_for("the stop to begin", || server.heard().contains("stopping").then_some(()));
    server.signal("INT");
    assert_eq!(server.end().code, Some(130), "the code of the signal that was obeyed");
}

#[test]
fn a_killed_server_loses_no_job() {
    let user = with_hello();
    let server = user.start(["serve", "--identity", "one", "--lease-duration", "1s"], "ready");
    let id = user.ok(["submit", "count", "--arg", "to=50", "--arg", "pause_ms=100"]);
    wait_for("the job to run", || (user.json(&["jobs", "show", &id])["state"] == "running").then_some(()));
    server.signal("KILL");
    assert_eq!(server.end().code, None);
    // The same identity takes back at once what it left.
    let _server = user.start(["serve", "--identity", "one"], "ready");
    let said = user.host(["jobs", "result", &id, "--wait"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(user.json(&["jobs", "show", &id])["attempt"], 2);
}

#[test]
fn events_of_other_processes_are_heard() {
    let user = with_hello();
    let listener = user.start(["events", "--type", "job_added", "--json"], "listening");
    let id = user.ok(["submit", "greet", "--arg", "name=Ada"]);
    let said = listener.end();
    assert_eq!(said.code, Some(0), "{said:?}");
    let event: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&event["type"], &event["job_id"]), (&json!("job_added"), &json!(id)));
}

#[test]
fn run_works_beside_a_server_and_shows_what_the_task_logs() {
    let user = with_hello();
    let _server = user.start(["serve"], "ready");
    let said = user.host(["run", "greet", "--arg", "name=Ada"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "\"Hello, Ada!\"\n"), "{said:?}");
    assert!(said.err.contains("greeting Ada"), "{said:?}");
}

#[test]
fn where_no_broker_reaches_other_processes_listening_is_refused() {
    let user = with_hello();
    for command in [&["--broker", "local", "events", "--follow"][..], &["--store", "memory", "events"]] {
        let said = user.host(command);
        assert_eq!((said.code, said.out.as_str()), (Some(6), ""), "{said:?}");
        assert!(said.err.contains("does not reach other processes") && said.err.contains("hint: "), "{said:?}");
    }
}

#[test]
fn waiting_where_no_worker_lives_says_so_and_has_an_end() {
    let user = with_hello();
    let said = user.host(["submit", "greet", "--arg", "name=Ada", "--wait", "--wait-timeout", "300ms"]);
    assert_eq!((said.code, said.out.as_str()), (Some(6), ""), "{said:?}");
    assert!(said.err.contains("note: no worker is running on this store"), "{said:?}");
    assert!(said.err.contains("has not ended within 300ms: it is queued"), "{said:?}");
    let id = user.json(&["jobs"])[0]["id"].as_str().expect("a text").to_owned();
    drop(user.start(["jobs", "logs", "-f", &id], "note: no worker is running on this store"));
    // A scheduler is no worker.
    let scheduler = user.start(["serve", "--role", "scheduler"], "ready");
    let said = user.host(["jobs", "result", &id, "--wait", "--wait-timeout", "0s"]);
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(said.err.contains("no worker is running"), "{said:?}");
    drop(scheduler);
    let _worker = user.start(["serve", "--role", "worker"], "ready");
    let said = user.host(["submit", "greet", "--arg", "name=Eve", "--wait", "--wait-timeout", "1m"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "\"Hello, Eve!\"\n"), "{said:?}");
    assert!(!said.err.contains("no worker"), "{said:?}");
}

#[test]
fn commands_that_only_read_work_while_another_program_holds_the_write_lock() {
    let user = with_hello();
    let job = user.ok(["submit", "greet", "--arg", "name=Ada"]);
    user.ok(["schedule", "greet", "--arg", "name=Ada", "--interval", "1h", "--id", "hourly"]);
    let url = format!("sqlite://{}", user.data().join("host.db").display());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let mut other = runtime.block_on(async {
        let mut other = sqlx::SqliteConnection::connect(&url).await.expect("the file opens");
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.expect("nobody else writes");
        other
    });
    for command in [
        &["status"][..],
        &["jobs"],
        &["jobs", "show", job.trim()],
        &["schedules"],
        &["schedules", "show", "hourly"],
        &["tasks"],
        &["export", "backup.jsonl"],
    ] {
        let said = user.host(command);
        assert_eq!(said.code, Some(0), "{command:?}: {said:?}");
    }
    // The lock is held all the time: who writes does not get it.
    let said = runtime.block_on(sqlx::query("CREATE TABLE other (id INTEGER)").execute(&mut other));
    said.expect("the transaction is open");
}

#[test]
fn a_file_says_that_a_server_works_and_only_while_it_does() {
    let user = with_hello();
    let file = user.file("ready", "an earlier process");
    let name = file.to_str().expect("UTF-8");
    let server = user.start(["serve", "--identity", "one", "--ready-file", name], "ready: both");
    let text = std::fs::read_to_string(&file).expect("it is there");
    assert!(text.starts_with("one ") && text.ends_with('\n'), "{text}");
    server.signal("TERM");
    assert_eq!(server.end().code, Some(0));
    assert!(!file.exists(), "it says that a process works that has ended");

    let said = user.host(["serve", "--ready-file", "/proc/ready"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("--ready-file"), "{said:?}");
}

#[test]
fn a_service_manager_is_told_that_a_server_is_ready_lives_and_stops() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(60))).expect("it can be set");
    let next = || {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).expect("it is told something within a minute");
        String::from_utf8(buffer[..length].to_vec()).expect("UTF-8")
    };
    let user = User::new().with_env("NOTIFY_SOCKET", path.to_str().expect("UTF-8")).with_env("WATCHDOG_USEC", "100000");
    let server = user.start(["serve", "--identity", "one"], "ready: both");
    assert_eq!(next(), "READY=1\nSTATUS=works as one");
    for _ in 0..3 {
        assert_eq!(next(), "WATCHDOG=1");
    }
    server.signal("TERM");
    let stopping = std::iter::repeat_with(next).find(|said| said != "WATCHDOG=1");
    assert_eq!(stopping.as_deref(), Some("STOPPING=1\nSTATUS=waits for running jobs"));
    assert_eq!(server.end().code, Some(0));

    // Another process is meant, and a manager that is gone stops nobody.
    let user = user.with_env("WATCHDOG_PID", "1");
    let server = user.start(["serve"], "ready: both");
    drop(manager);
    server.signal("TERM");
    assert_eq!(server.end().code, Some(0));
}

#[test]
fn the_service_files_name_only_what_there_is() {
    let folder = xtask::workspace().join("host/deploy");
    let help = User::new().ok(["serve", "--help"]);
    let mut variables = 0;
    for file in ["host.service", "kubernetes.yaml"] {
        let text = std::fs::read_to_string(folder.join(file)).expect("it is there");
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|it| it.starts_with("HOST_"))
        {
            // Variables are not in the help; each has a flag of its name.
            let flag = format!("--{}", word["HOST_".len()..].to_lowercase().replace('_', "-"));
            assert!(help.contains(&flag), "{file}: `{word}`");
            variables += 1;
        }
        let grace = ["TimeoutStopSec=30", "terminationGracePeriodSeconds: 30"];
        assert!(grace.iter().any(|grace| text.contains(grace)), "{file}: draining must have its time");
    }
    assert!(variables >= 4, "nothing was looked at");
}

#[test]
fn log_lines_are_json_where_that_is_asked_for() {
    let user = User::new();
    let server = user.start(["--log-format", "json", "serve", "--identity", "worker \"7\""], "ready: ");
    server.signal("TERM");
    let said = server.end();
    let lines = said.err.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(!lines.is_empty(), "{said:?}");
    for line in &lines {
        assert!(line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
        assert!(line["level"].is_string() && line["target"].is_string() && line["message"].is_string(), "{line}");
        assert!(line["fields"].is_object() && line["spans"].is_array(), "{line}");
    }
    let others: Vec<_> = said.err.lines().filter(|line| !line.starts_with('{')).collect();
    assert!(others.iter().all(|line| !line.contains("INFO")), "{others:?}");
    assert_eq!(user.host(["--log-format", "xml", "status"]).code, Some(2));
}
