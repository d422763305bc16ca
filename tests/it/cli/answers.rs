//! Answers: the JSON keys that scripts rely on, and tables that no guest can disturb.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::artifacts::plugin;
use tests::cli::User;

/// What `jobs show` prints beside the job.
const JOB_DETAILS: &str = " args settings crash_retries crashes jitter_us due_at cancel_requested cancel_grace_ms lease progress expires_at unique_key unique_until";
/// The settings that hold for what a job runs.
const RUN_SETTINGS: &str =
    "executor queue concurrency_key timeout_ms fuel memory_bytes max_attempts backoff priority result_ttl_ms version";

fn with_plugins(names: &[&str]) -> User {
    let user = User::new();
    for name in names {
        user.ok(["register".as_ref(), plugin(name).as_os_str()]);
    }
    user
}

#[track_caller]
fn assert_keys(object: &Value, keys: &str) {
    let found: BTreeSet<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(found, keys.split_whitespace().collect(), "{object}");
}

#[track_caller]
fn first(list: &Value) -> &Value {
    &list.as_array().expect("a list")[0]
}

const PLUGIN: &str = "name digest tasks imports grants registered_at pure";
/// What `register` prints beside the plugin.
const REGISTRATION: &str = " previous changes notes";
const TASK: &str = "id plugin name description max_running_jobs max_running_per_key concurrency_key queue \
    misfire_grace_time_ms overlap pause_after on_failure on_success on_missed executor timeout_ms fuel memory_bytes max_attempts priority metadata running_jobs pure";
const SCHEDULE: &str = "id task_id trigger args paused coalesce misfire_grace_time_ms overlap pause_after on_failure on_success on_missed until_success \
    max_fires max_jitter_ms metadata next_fire_time last_fire_time overruns_since fire_count failures";
const JOB: &str = "id task_id schedule_id state outcome result error attempt max_attempts priority queue concurrency_key \
    group backfill waits_for scheduled_fire_time start_deadline created_at started_at finished_at scheduler_id plugin_digest usage metadata manual";

#[test]
fn plugins_and_tasks_have_their_documented_keys() {
    let user = User::new();
    let file = plugin("hello");
    let file = file.to_str().expect("the path is UTF-8");
    let temp = user.home().to_str().expect("the path is UTF-8").to_owned();
    let grant = format!("{temp}::work:rw");
    let http = "GET https://*.Example.org:443/v1";
    let flags = ["--allow-dir", &grant, "--allow-env", "TOKEN=secret", "--allow-http", http, "--timeout", "7s"];
    let registered = user.json(&[&["register", file][..], &flags].concat());
    assert_keys(&registered, &[PLUGIN, REGISTRATION].concat());
    let shown = user.json(&["plugins", "show", "hello"]);
    assert_keys(&shown, &[PLUGIN, " rollout"].concat());
    let listed = user.json(&["plugins"]);
    assert_keys(first(&listed), PLUGIN);
    let history = user.json(&["plugins", "history", "hello"]);
    assert_keys(first(&history), &[PLUGIN, " current"].concat());
    for (key, value) in first(&listed).as_object().expect("an object") {
        for other in [&registered, &shown, first(&history)] {
            assert_eq!(value, &other[key], "{key}");
        }
    }
    assert!(registered["tasks"].as_array().expect("a list").contains(&json!("greet")));
    let real = std::fs::canonicalize(&temp).expect("it exists").display().to_string();
    let grants = json!([
        {"type": "dir", "host": real, "guest": "work", "access": "rw", "max_bytes": null, "max_files": null},
        {"type": "env", "name": "TOKEN", "has_value": true},
        {"type": "http", "pattern": "GET https://*.example.org/v1"},
    ]);
    assert_eq!(registered["grants"], grants, "and the value of a variable is never shown");

    let tasks = user.json(&["tasks"]);
    let greet = tasks.as_array().expect("a list").iter().find(|task| task["name"] == "greet").expect("it is offered");
    assert_keys(greet, TASK);
    assert_eq!((&greet["id"], &greet["plugin"]), (&json!("hello:greet"), &json!("hello")));
    assert_eq!((&greet["timeout_ms"], &greet["executor"]), (&json!(7_000), &json!("wasm")));
    let shown = user.json(&["tasks", "show", "greet"]);
    assert_eq!(shown["args_schema"]["properties"]["name"]["type"], "string");
    assert_eq!(user.json(&["plugins", "verify"])[0]["faults"], json!([]));
}

#[test]
fn schedules_have_their_documented_keys() {
    let user = with_plugins(&["hello"]);
    let added = user.json(&[
        "schedule",
        "greet",
        "--id",
        "s",
        "--arg",
        "name=Ada",
        "--cron",
        "0 9 * * mon-fri",
        "--timezone",
        "Europe/Berlin",
        "--misfire-grace-time",
        "30s",
        "--max-jitter",
        "2s",
        "--coalesce",
        "all",
        "--metadata",
        "owner=\"ops\"",
        "--paused",
    ]);
    assert_keys(&added, SCHEDULE);
    assert_eq!(first(&user.json(&["schedules"])), &added);
    assert_eq!(added["trigger"]["expression"], "0 9 * * mon-fri");
    assert_eq!(added["args"], json!({"name": "Ada"}));
    assert_eq!((&added["misfire_grace_time_ms"], &added["max_jitter_ms"]), (&json!(30_000), &json!(2_000)));
    assert_eq!((&added["coalesce"], &added["paused"]), (&json!("all"), &json!(true)));
    assert_eq!(added["metadata"], json!({"owner": "ops", "team": "examples"}), "merged with the task's");
    let shown = user.json(&["schedules", "show", "s"]);
    assert!(shown["description"].as_str().expect("a text").contains("Europe/Berlin"), "{shown}");
    assert_eq!(user.json(&["schedules", "preview", "s", "-n", "3"]).as_array().map(Vec::len), Some(3));
    assert_eq!(user.json(&["schedules", "unpause", "s", "--resume-from", "2040-01-01T00:00:00Z"])["paused"], false);
    assert_eq!(user.json(&["schedules", "show", "s"])["next_fire_time"], "2040-01-02T08:00:00.000000Z");
    assert_eq!(user.json(&["schedules", "pause", "s"])["paused"], true);
    user.ok(["schedules", "remove", "s"]);
    assert_eq!(user.json(&["schedules"]), json!([]));
}

#[test]
fn jobs_have_their_documented_keys_and_end_with_result_and_usage() {
    let user = with_plugins(&["hello"]);
    let submitted = user.json(&["submit", "greet", "--arg", "name=Ada", "--priority", "5", "--metadata", "n=1"]);
    assert_keys(&submitted, "job_id");
    let queued = user.json(&["jobs", "show", submitted["job_id"].as_str().expect("a text")]);
    assert_keys(&queued, &[JOB, JOB_DETAILS].concat());
    assert_keys(first(&user.json(&["jobs"])), JOB);
    assert_eq!(
        (&queued["state"], &queued["outcome"], &queued["priority"]),
        (&json!("queued"), &Value::Null, &json!(5))
    );
    assert_eq!(queued["metadata"], json!({"team": "examples", "n": 1}));

    let ran = user.json(&["run", "greet", "--arg", "name=Ada"]);
    assert_keys(&ran, JOB);
    assert_eq!((&ran["state"], &ran["outcome"]), (&json!("finished"), &json!("success")));
    assert_eq!((&ran["result"], &ran["error"]), (&json!("Hello, Ada!"), &Value::Null));
    assert_keys(
        &ran["usage"],
        "fuel peak_memory_bytes wall_us queued_us http_requests http_sent_bytes http_received_bytes",
    );
    assert!(ran["usage"]["fuel"].as_u64() > Some(0), "{ran}");
    let id = ran["id"].as_str().expect("a text");
    assert_eq!(user.ok(["jobs", "result", id]), r#""Hello, Ada!""#);
    let logs = user.json(&["jobs", "logs", id]);
    assert_keys(first(&logs), "attempt sequence at level target message fields");

    let finished = user.json(&["jobs", "--state", "finished", "--task", "greet"]);
    assert_eq!(finished.as_array().map(Vec::len), Some(1));
    assert_eq!(user.json(&["jobs", "--outcome", "error"]), json!([]));
}

#[test]
fn every_setting_that_is_stored_can_be_read_back() {
    let user = with_plugins(&["hello"]);
    let settings = [
        "--timeout",
        "7s",
        "--fuel",
        "1_000_000_000",
        "--memory",
        "32MiB",
        "--max-attempts",
        "4",
        "--backoff",
        "initial=2s,max=1m,factor=1.5,jitter=0",
        "--priority",
        "-3",
        "--result-ttl",
        "90s",
        "--executor",
        "wasm",
        "--queue",
        "mail",
        "--concurrency-key",
        "acme",
    ];
    let version = user.json(&["plugins", "show", "hello"])["digest"].clone();
    let pin = ["--version", version.as_str().expect("a text")];
    let task_settings = json!({
        "executor": "wasm", "queue": "mail", "concurrency_key": "acme", "timeout_ms": 7_000, "fuel": 1_000_000_000, "memory_bytes": 32 << 20, "max_attempts": 4,
        "backoff": {"initial_ms": 2_000, "max_ms": 60_000, "factor_percent": 150, "jitter_percent": 0},
        "priority": -3, "result_ttl_ms": 90_000,
    });
    let mut expected = task_settings.clone();
    expected["version"] = version.clone();
    let schedule =
        [&["schedule", "greet", "--arg", "name=Ada", "--id", "s", "--interval", "1h"][..], &settings, &pin].concat();
    user.ok(&schedule);
    let shown = user.json(&["schedules", "show", "s"]);
    assert_keys(&shown["settings"], RUN_SETTINGS);
    assert_eq!((&shown["settings"], &shown["own_settings"]), (&expected, &expected));
    let id = user.ok([&["submit", "greet", "--arg", "name=Ada"][..], &settings, &pin].concat());
    let job = user.json(&["jobs", "show", &id]);
    assert_eq!((&job["settings"], &job["args"]), (&expected, &json!({"name": "Ada"})));
    assert_eq!((&job["lease"], &job["crash_retries"], &job["due_at"]), (&Value::Null, &json!(1), &job["created_at"]));
    let configured = user.json(&[&["tasks", "configure", "greet"][..], &settings].concat());
    assert_eq!(configured["configured"], task_settings);
    assert_eq!(configured["declared"], json!({"metadata": {"team": "examples"}}));

    // The same for people, each with where it comes from.
    for command in [&["schedules", "show", "s"][..], &["jobs", "show", &id], &["tasks", "show", "greet"]] {
        let lines = user.ok(command);
        for (name, value) in [
            ("executor", "wasm"),
            ("queue", "mail"),
            ("timeout", "7s"),
            ("memory", "32 MiB"),
            ("attempts", "4"),
            ("backoff", "2s growing to 1m, times 1.50 each, spread by 0 %"),
            ("priority", "-3"),
            ("results kept", "1m30s"),
        ] {
            let found = lines.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
            assert!(found.is_some_and(|found| found.trim().starts_with(value)), "{command:?}: {name}: {lines}");
        }
    }
    assert!(user.ok(["tasks", "show", "greet"]).contains("7s  (configured)"));
    user.ok(["schedule", "greet", "--arg", "name=Ada", "--id", "plain", "--interval", "1h"]);
    assert!(user.ok(["schedules", "show", "plain"]).contains("7s  (its task's)"));
    assert_eq!(user.json(&["schedules", "show", "plain"])["own_settings"], json!({}));
}

#[test]
fn a_job_that_keeps_no_result_prints_what_it_returned_where_it_was_run() {
    let user = with_plugins(&["hello"]);
    let run = ["run", "greet", "--arg", "name=Ada", "--result-ttl", "0s"];
    assert_eq!(user.ok(run), r#""Hello, Ada!""#);
    let job = user.json(&run);
    assert_eq!((&job["outcome"], &job["result"]), (&json!("success"), &json!("Hello, Ada!")));
    let stored = user.json(&["jobs", "show", job["id"].as_str().expect("a text")]);
    assert_eq!(stored["result"], Value::Null, "and it is not kept");
    assert_eq!(user.host(["jobs", "result", stored["id"].as_str().expect("a text")]).code, Some(4));
}

#[test]
fn the_list_of_schedules_says_what_each_does() {
    let user = with_plugins(&["hello"]);
    let add =
        |id: &str, more: &[&str]| user.ok([&["schedule", "greet", "--arg", "name=Ada", "--id", id][..], more].concat());
    add("active", &["--interval", "1h"]);
    add("paused", &["--interval", "1h", "--paused"]);
    add("once", &["--at", "2026-01-01T00:00:00Z"]);
    user.ok(["tasks", "configure", "greet-too", "--from", "greet"]);
    user.ok(["schedule", "greet-too", "--arg", "name=Ada", "--id", "orphaned", "--interval", "1h"]);
    user.ok(["tasks", "remove", "greet-too"]);
    let server = user.start(["serve", "--role", "scheduler"], "ready");
    for _ in 0..3_000 {
        if user.json(&["schedules", "show", "once"])["next_fire_time"].is_null() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(server);
    let listed = user.ok(["schedules"]);
    for (id, state) in [("active", "active"), ("paused", "paused"), ("once", "finished"), ("orphaned", "task missing")]
    {
        let line = listed.lines().find(|line| line.starts_with(&format!("{id} "))).expect("it is listed");
        assert!(line.contains(&format!(" {state} ")), "{line}");
        assert_eq!(user.json(&["schedules", "show", id])["state"], state.replace(' ', "_"), "{id}");
    }
}

#[test]
fn putting_a_schedule_in_the_place_of_a_paused_one_says_that_it_is_not_paused() {
    let user = with_plugins(&["hello"]);
    let schedule = |more: &[&str]| {
        user.host(
            [&["schedule", "greet", "--arg", "name=Ada", "--id", "s", "--conflict", "replace", "--interval"], more]
                .concat(),
        )
    };
    schedule(&["1h", "--paused"]);
    let still = schedule(&["2h", "--paused"]);
    assert!(still.code == Some(0) && !still.err.contains("was paused"), "{still:?}");
    let woken = schedule(&["3h"]);
    assert!(woken.err.contains("note: the schedule that it replaces was paused, and this one is not"), "{woken:?}");
    assert_eq!(user.json(&["schedules", "show", "s"])["paused"], false);
    let again = schedule(&["4h"]);
    assert!(!again.err.contains("was paused"), "{again:?}");
}

#[test]
fn the_job_that_fails_ends_with_exit_code_7_and_its_error_everywhere() {
    let user = with_plugins(&["faults"]);
    let said = user.host(["run", "panics", "--arg", "message=kaputt", "--json"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    let job: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_keys(&job["error"], "kind message context backtrace");
    assert_eq!((&job["outcome"], &job["error"]["kind"]), (&json!("error"), &json!("panic")));
    assert!(job["error"]["message"].as_str().expect("a text").contains("kaputt"), "{job}");
    assert!(said.err.contains("error: the job failed: panic: "), "{said:?}");
    let id = job["id"].as_str().expect("a text");
    assert_eq!(user.host(["jobs", "result", id]).code, Some(7));
    assert_eq!(user.json(&["jobs", "retry", id])["state"], "queued");
}

#[test]
fn what_a_guest_writes_cannot_disturb_a_terminal() {
    let user = with_plugins(&["faults"]);
    let said = user.host(["run", "panics", "--arg", "message=\u{1b}[31mred\u{1b}[0m\u{202e}gnp.exe\u{7}"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    assert!(said.err.contains("redgnp.exe"), "the words remain: {said:?}");
    let said_too = user.host(["run", "prints_garbage"]);
    let listed = user.host(["jobs"]);
    let as_json = user.host(["jobs", "--json"]);
    for text in [&said.err, &said_too.err, &listed.out, &as_json.out] {
        let bad: Vec<char> = text.chars().filter(|c| c.is_control() && *c != '\n' || *c == '\u{202e}').collect();
        assert!(bad.is_empty(), "{bad:?} in {text:?}");
    }
}

#[test]
fn a_second_task_over_one_function_has_settings_of_its_own() {
    let user = with_plugins(&["hello"]);
    let made = user.json(&[
        "tasks",
        "configure",
        "greet-all",
        "--from",
        "greet",
        "--max-running-jobs",
        "none",
        "--timeout",
        "1s",
    ]);
    assert_eq!(
        (&made["id"], &made["max_running_jobs"], &made["timeout_ms"]),
        (&json!("greet-all"), &Value::Null, &json!(1_000))
    );
    assert_eq!(user.json(&["tasks", "show", "greet"])["max_running_jobs"], 1);
    assert_eq!(user.json(&["tasks", "configure", "greet-all", "--unset", "timeout"])["timeout_ms"], 300_000);
    assert_eq!(user.ok(["run", "greet-all", "--arg", "name=Ada"]), r#""Hello, Ada!""#);
    assert_eq!(user.host(["tasks", "configure", "greet-all", "--from", "greet"]).code, Some(6));
    user.ok(["tasks", "remove", "greet-all"]);
    assert_eq!(user.host(["tasks", "show", "greet-all"]).code, Some(4));
    assert_eq!(user.host(["tasks", "remove", "greet"]).code, Some(6), "a plugin's own task goes with its plugin");
}

#[test]
fn a_plugin_goes_back_to_the_version_before() {
    let user = with_plugins(&["hello"]);
    let before = user.json(&["plugins", "show", "hello"])["digest"].clone();
    let noop = plugin("noop");
    user.ok(["register".as_ref(), noop.as_os_str(), "--name".as_ref(), "hello".as_ref()]);
    assert_eq!(user.host(["tasks", "show", "hello:greet"]).code, Some(4), "the new version does not offer it");
    assert_eq!(user.json(&["plugins", "rollback", "hello"])["digest"], before);
    assert_eq!(user.ok(["run", "greet", "--arg", "name=Ada"]), r#""Hello, Ada!""#);
    assert_eq!(user.json(&["plugins", "history", "hello"]).as_array().map(Vec::len), Some(2));
}

#[test]
fn invoke_needs_no_store_and_reports_what_the_attempt_cost() {
    let user = User::new();
    let hello = plugin("hello");
    let hello = hello.to_str().expect("the path is UTF-8");
    let said = user.host(["invoke", hello, "greet", "--arg", "name=Ada"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "\"Hello, Ada!\"\n"), "{said:?}");
    for word in ["time ", "fuel ", "memory "] {
        assert!(said.err.lines().any(|line| line.starts_with(word)), "{said:?}");
    }
    let report = user.json(&["invoke", hello, "greet", "--arg", "name=Ada", "--fuel", "1_000_000_000"]);
    assert_keys(&report, "task digest outcome result error usage limits logs");
    assert_eq!(report["limits"]["fuel"], 1_000_000_000_u64);
    let said = user.host(["invoke", hello, "greet", "--arg", "name=Ada", "--fuel", "100", "--json"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(report["error"]["kind"], "out_of_fuel");
    assert!(!user.data().join("host.db").exists(), "there is no store");
}

#[test]
fn status_cleanup_and_migrate_answer_in_json() {
    let user = with_plugins(&["hello"]);
    let status = user.json(&["status"]);
    assert_keys(
        &status,
        "store data_dir plugins tasks schedules next_due jobs unserved schedulers store_clock_ahead_ms unreadable",
    );
    assert_eq!(status["plugins"], 1);
    user.ok(["run", "greet", "--arg", "name=Ada", "--result-ttl", "0s"]);
    let cleaned = user.json(&["cleanup"]);
    assert_keys(&cleaned, "removed_jobs removed_schedules requeued_jobs ended_jobs");
    assert_eq!(cleaned["removed_jobs"].as_array().map(Vec::len), Some(1), "{cleaned}");
    let schema = user.json(&["migrate", "--plan"]);
    assert_keys(&schema, "current wanted applied steps");
    assert_eq!((&schema["current"], &schema["steps"]), (&schema["wanted"], &json!([])));
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let user = with_plugins(&["hello"]);
    let mut command = user.command(["completions", "bash"]);
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), err.as_ref()), (Some(0), ""));
}
