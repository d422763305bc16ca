//! Buckets: what plugins keep between jobs, and what operators see and change of it.

use std::fs;

use serde_json::{Value, json};
use tests::artifacts::plugin;
use tests::cli::{Said, User};

use super::serving::wait_for;

/// A user with the hostile plugin, which may write `mine` and read `shared`.
fn with_faults() -> User {
    let user = User::new();
    let faults = plugin("faults");
    let faults = faults.to_str().expect("UTF-8");
    user.ok(["register", faults, "--allow-kv", "mine:rw", "--allow-kv", "shared"]);
    user
}

fn run(user: &User, task: &str, args: Value) -> Said {
    user.host(["run", &format!("faults:{task}"), "--args", &args.to_string()])
}

#[track_caller]
fn assert_refused(said: &Said, code: i32, mention: &str) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(said.err.contains(mention), "{mention}: {said:?}");
}

#[test]
fn a_plugin_keeps_its_place_in_a_file_between_jobs() {
    let user = User::new();
    fs::create_dir(user.home().join("log")).expect("made");
    let (log, tail) = (user.file("log/app.log", "one\ntwo\nthr"), plugin("tail"));
    let grant = format!("{}::/log:ro", log.parent().expect("it is in a folder").display());
    let tail = tail.to_str().expect("UTF-8");
    user.ok(["register", tail, "--allow-dir", &grant, "--allow-kv", "cursors:rw"]);
    let follow = || {
        let result = user.ok(["run", "tail:follow", "--arg", "path=/log/app.log"]);
        serde_json::from_str::<Value>(&result).expect("JSON")["lines"].clone()
    };
    assert_eq!(follow(), json!(["one", "two"]));
    assert_eq!(follow(), json!([]));
    fs::write(&log, "one\ntwo\nthree\nfour\n").expect("written");
    assert_eq!(follow(), json!(["three", "four"]));
    let key = user.json(&["kv", "get", "cursors", "/log/app.log"]);
    assert_eq!(key["value"], "19");
    // An operator sends it back to the second line.
    user.ok(["kv", "set", "cursors", "/log/app.log", "4"]);
    assert_eq!(follow(), json!(["two", "three", "four"]));
}

#[test]
fn an_attempt_that_fails_leaves_nothing_and_the_next_one_begins_where_the_last_success_ended() {
    let user = with_faults();
    let count = |times| run(&user, "counts_and_fails", json!({"bucket": "mine", "times": times}));
    assert_eq!(count(2).out.trim(), "1");
    assert_eq!(count(3).out.trim(), "2");
    assert_eq!(user.json(&["kv", "get", "mine", "count"])["value"], "2");
    for (how, flags) in [("fail", [].as_slice()), ("panic", &[]), ("exit", &[]), ("sleep", &["--timeout", "1s"])] {
        let args = json!({"bucket": "mine", "how": how}).to_string();
        let mut command = vec!["run", "faults:writes_key_and_ends", "--args", &args];
        command.extend(flags);
        assert_eq!(user.host(command).code, Some(7), "{how}");
    }
    let keys = user.json(&["kv", "list", "mine"]);
    assert_eq!(keys.as_array().map(Vec::len), Some(1), "{keys}");
}

#[test]
fn a_cancelled_job_writes_nothing() {
    let user = with_faults();
    let _server = user.start(["serve"], "ready");
    let args = json!({"bucket": "mine", "how": "sleep"}).to_string();
    let id = user.ok(["submit", "faults:writes_key_and_ends", "--args", &args]);
    wait_for("the job to run", || (user.json(&["jobs", "show", &id])["state"] == "running").then_some(()));
    user.ok(["jobs", "cancel", &id]);
    user.host(["jobs", "result", &id, "--wait"]);
    assert_eq!(user.json(&["jobs", "show", &id])["outcome"], "cancelled");
    assert_eq!(user.json(&["kv", "list", "mine"]), json!([]));
}

/// Ten jobs that add one at the same time: those that are careful all count, as whoever was too late is tried again.
#[test]
fn jobs_that_expect_a_version_do_not_overwrite_each_other() {
    const JOBS: usize = 6;
    let user = with_faults();
    let _server = user.start(["serve"], "ready");
    let args = json!({"bucket": "mine", "careful": true, "ms": 50}).to_string();
    let ids: Vec<String> = (0..JOBS).map(|_| user.ok(["submit", "faults:counts_slowly", "--args", &args])).collect();
    let mut counts: Vec<Value> = Vec::new();
    let mut attempts = 0;
    for id in &ids {
        user.host(["jobs", "result", id, "--wait"]);
        let job = user.json(&["jobs", "show", id]);
        assert_eq!(job["outcome"], "success", "{job}");
        attempts += job["attempt"].as_u64().expect("a number");
        counts.push(job["result"].clone());
    }
    counts.sort_by_key(Value::as_u64);
    assert_eq!(counts, (1..=JOBS).map(|count| json!(count)).collect::<Vec<_>>());
    assert!(attempts > JOBS as u64, "they ran one after the other, which shows nothing");
    assert_eq!(user.json(&["kv", "get", "mine", "count"])["value"], JOBS.to_string());
}

#[test]
fn a_conflict_is_reported_by_its_code_where_no_attempt_is_left() {
    let user = with_faults();
    let _server = user.start(["serve"], "ready");
    user.ok(["tasks", "configure", "faults:counts_slowly", "--max-attempts", "1"]);
    let args = json!({"bucket": "mine", "careful": true, "ms": 2_000}).to_string();
    let id = user.ok(["submit", "faults:counts_slowly", "--args", &args]);
    wait_for("the job to run", || (user.json(&["jobs", "show", &id])["state"] == "running").then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(700));
    user.ok(["kv", "set", "mine", "count", "41"]);
    assert_refused(&user.host(["jobs", "result", &id, "--wait"]), 7, "changed by somebody else in the meantime");
    let job = user.json(&["jobs", "show", &id]);
    assert_eq!((&job["outcome"], &job["error"]["kind"]), (&json!("error"), &json!("guest_error")));
    assert_eq!(job["error"]["context"], json!(["code: kv_conflict"]));
    assert_eq!(user.json(&["kv", "get", "mine", "count"])["value"], "41");
}

#[test]
fn a_task_sees_its_own_writes_over_what_is_stored() {
    let user = with_faults();
    user.ok(["kv", "set", "mine", "a/1", "1"]);
    user.ok(["kv", "set", "mine", "a/2", "2"]);
    let args = json!({"bucket": "mine", "prefix": "a/", "writes": ["a/3", "b"], "deletes": ["a/1", "a/9"]});
    assert_eq!(run(&user, "lists_keys", args).out.trim(), r#"["a/2","a/3"]"#);
    let keys = user.json(&["kv", "list", "mine"]);
    let keys: Vec<&str> = keys.as_array().expect("a list").iter().filter_map(|row| row["key"].as_str()).collect();
    assert_eq!(keys, ["a/2", "a/3", "b"]);
    assert_eq!(
        run(&user, "writes_key", json!({"bucket": "mine", "key": "k", "value": {"n": 1}})).out.trim(),
        r#"{"n":1}"#
    );
    assert_eq!(run(&user, "reads_key", json!({"bucket": "shared", "key": "k"})).out.trim(), "null");
}

#[test]
fn buckets_are_made_when_they_are_granted_and_unknown_ones_are_reported_with_those_there_are() {
    let user = User::new();
    let said = user.host(["kv", "set", "cursors", "a", "1"]);
    assert_refused(&said, 4, "--allow-kv BUCKET:rw");
    assert!(user.host(["kv"]).err.contains("no plugin has been granted a bucket"));
    let user = with_faults();
    let buckets = user.json(&["kv"]);
    let empty = |name: &str| json!({"bucket": name, "keys": 0, "size_bytes": 0});
    assert_eq!(buckets, json!([empty("mine"), empty("shared")]));
    assert_refused(&user.host(["kv", "list", "shard"]), 4, "buckets: shared, mine");
    assert_refused(&user.host(["kv", "get", "mine", "a"]), 4, "there is no key `a`");
    assert_refused(&user.host(["kv", "delete", "mine", "a"]), 4, "there is no key `a`");
    assert_refused(&user.host(["kv", "get", "Mine", "a"]), 2, "bucket name");
}

#[test]
fn an_operator_writes_reads_lists_and_deletes() {
    let user = with_faults();
    user.ok(["kv", "set", "mine", "a", "one"]);
    assert_eq!(user.ok(["kv", "get", "mine", "a"]), "one");
    let file = user.file("value", [0xff, 0, 1]);
    let file = file.to_str().expect("UTF-8");
    let written = user.json(&["kv", "set", "mine", "b", "--from-file", file]);
    assert_eq!(written, json!({"bucket": "mine", "key": "b", "version": 2}));
    assert_refused(&user.host(["kv", "get", "mine", "b"]), 6, "--json prints it");
    let shown = user.json(&["kv", "get", "mine", "b"]);
    assert_eq!((&shown["value"], &shown["value_hex"]), (&Value::Null, &json!("ff0001")));
    assert_refused(&user.host(["kv", "set", "mine", "a", "two", "--version", "9"]), 6, "changed by somebody else");
    user.ok(["kv", "set", "mine", "a", "two", "--version", "1"]);
    let listed = user.ok(["kv", "list", "mine"]);
    assert!(listed.starts_with("KEY") && listed.contains("VERSION"), "{listed}");
    let said = user.host(["kv", "list", "mine", "--limit", "1"]);
    assert!(said.err.contains("--after 'a'"), "{said:?}");
    user.ok(["kv", "delete", "mine", "a"]);
    let left = user.json(&["kv", "list", "mine", "--prefix", "b", "--limit", "5"]);
    assert_eq!((left.as_array().map(Vec::len), &left[0]["size_bytes"]), (Some(1), &json!(3)));
    let large = user.file("large", vec![b'x'; (64 << 10) + 1]);
    assert_refused(
        &user.host(["kv", "set", "mine", "c", "--from-file", large.to_str().expect("UTF-8")]),
        2,
        "may have 65536",
    );
}

#[test]
fn what_a_terminal_would_obey_is_taken_out_of_values() {
    let user = with_faults();
    user.ok(["kv", "set", "mine", "a", "\u{1b}]0;title\u{7}\u{202e}text"]);
    let shown = user.ok(["kv", "get", "mine", "a"]);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}') && shown.contains("text"), "{shown:?}");
}

#[test]
fn the_right_is_a_part_of_the_review_and_of_approvals() {
    let user = User::new();
    let faults = plugin("faults");
    let faults = faults.to_str().expect("UTF-8");
    let report = user.ok(["register", faults, "--allow-kv", "mine"]);
    assert!(report.contains("keep values between jobs: only in the buckets granted below"), "{report}");
    assert!(report.contains("read the values in bucket `mine`"), "{report}");
    assert_refused(&user.host(["register", faults, "--allow-kv", "mine:rw"]), 3, "--yes");
    let plan = user.json(&["register", faults, "--allow-kv", "mine:rw", "--plan"]);
    assert_eq!(plan["changes"]["rights_added"], json!([{"type": "kv", "bucket": "mine", "access": "rw"}]));
    let approval = user.ok(["plugins", "approve", faults, "--allow-kv", "mine:rw"]);
    assert!(approval.contains("kv = [\"mine:rw\"]"), "{approval}");
    let file = user.file("rights.toml", approval);
    let file = file.to_str().expect("UTF-8");
    assert_refused(
        &user.host(["register", faults, "--approval", file, "--allow-kv", "other"]),
        6,
        "--allow-kv other:ro",
    );
    user.ok(["register", faults, "--approval", file, "--yes"]);
    assert_refused(&user.host(["register", faults, "--allow-kv", "mine:rx"]), 2, "cursors:ro or cursors:rw");
    assert_refused(&user.host(["register", faults, "--allow-kv", "a", "--allow-kv", "a:rw"]), 2, "granted twice");
    assert_eq!(user.json(&["plugins", "show", "faults"])["grants"][0]["access"], "rw");
}

#[test]
fn an_export_carries_buckets_and_their_versions() {
    let user = with_faults();
    user.ok(["kv", "set", "mine", "a", "1"]);
    user.ok(["kv", "set", "mine", "a", "2"]);
    user.ok(["export", "all.jsonl"]);
    let moved = format!("sqlite://{}", user.home().join("moved.db").display());
    let imported = user.ok(["--store", &moved, "import", "all.jsonl"]);
    assert!(imported.contains("2 buckets, 1 key"), "{imported}");
    let key = user.json(&["--store", &moved, "kv", "get", "mine", "a"]);
    assert_eq!((&key["value"], &key["version"]), (&json!("2"), &json!(2)));
    assert_eq!(user.json(&["--store", &moved, "kv"]), user.json(&["kv"]));
}
