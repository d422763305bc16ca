//! Rollouts from outside: a part of the jobs goes to another version, which returns by itself where it fails too often.

use serde_json::{Value, json};
use tests::cli::User;
use tests::wait::wait_for;

use crate::generated::{Encoding, Plugin};

/// A user with version 1 of the plugin `p`, whose task `run` answers with 1, and beside it this other version; and the digests of both.
fn with_two(other: &Plugin) -> (User, String, String) {
    let user = User::new();
    let register = |component: Vec<u8>, flags: &[&str]| {
        let file = user.file("p.wasm", component);
        let file = file.to_str().expect("the path is UTF-8");
        let registered = user.json(&[&["register", file], flags].concat());
        registered["digest"].as_str().expect("a text").to_owned()
    };
    let one = register(Plugin::returning(Encoding::Json, b"1").component(), &[]);
    let two = register(other.component(), &["--inactive"]);
    assert_eq!(user.json(&["plugins", "show", "p"])["digest"], json!(one));
    (user, one, two)
}

fn run_many(user: &User, jobs: usize) -> Vec<Value> {
    let ids: Vec<Value> = (0..jobs).map(|_| user.json(&["submit", "run"])["job_id"].clone()).collect();
    let ended = |id: &Value| {
        let id = id.as_str().expect("a text");
        user.host(["jobs", "result", id, "--wait"]);
        user.json(&["jobs", "show", id])
    };
    ids.iter().map(ended).collect()
}

#[tokio::test]
async fn a_version_gets_its_part_of_the_jobs_and_then_all_of_them() {
    let (user, one, two) = with_two(&Plugin::returning(Encoding::Json, b"2"));
    let _server = user.start(["serve"], "ready");
    let begun = user.json(&["plugins", "rollout", "p", "--to", &two[..10], "--percent", "50", "--max-error-rate", "0"]);
    assert_eq!((&begun["state"], &begun["percent"], &begun["digest"]), (&json!("active"), &json!(50.0), &json!(two)));
    let jobs = run_many(&user, 30);
    let new = jobs.iter().filter(|job| job["plugin_digest"] == json!(two)).count();
    assert!((4..=26).contains(&new), "{new} of 30");
    for job in &jobs {
        let answer = if job["plugin_digest"] == json!(two) { 2 } else { 1 };
        assert_eq!(job["result"], json!(answer), "{job}");
    }
    // They are counted after their ends are stored.
    let counted = async || {
        let rollout = user.json(&["plugins", "rollout", "p", "--status"]);
        (rollout["attempts"] == json!(new)).then_some(rollout)
    };
    assert_eq!(wait_for("all to be counted", counted).await["failed"], 0);
    let shown = user.json(&["plugins", "show", "p"]);
    assert_eq!((&shown["digest"], &shown["rollout"]["state"]), (&json!(one), &json!("active")));
    let shown = user.ok(["plugins", "show", "p"]);
    assert!(shown.contains("gets 50% of the jobs"), "{shown}");
    assert_eq!(user.json(&["plugins", "rollout", "p", "--finish"])["state"], "finished");
    assert!(run_many(&user, 3).iter().all(|job| job["result"] == json!(2)));
    assert_eq!(user.json(&["plugins", "show", "p"])["digest"], json!(two));
}

#[tokio::test]
async fn a_version_that_fails_too_often_gets_no_jobs_any_more_and_an_event_says_so() {
    let (user, one, two) = with_two(&Plugin::trapping());
    let _server = user.start(["serve"], "ready");
    let args = [
        "plugins",
        "rollout",
        "p",
        "--to",
        &two,
        "--percent",
        "100",
        "--max-error-rate",
        "10%",
        "--min-attempts",
        "20",
    ];
    user.ok(args);
    let listener = user.start(["events", "--type", "plugin_rollout_changed", "--json"], "listening");
    // Two failures of twenty are allowed, the third is not.
    let jobs = run_many(&user, 3);
    assert!(jobs.iter().all(|job| job["outcome"] == json!("error") && job["plugin_digest"] == json!(two)), "{jobs:?}");
    let status = || user.json(&["plugins", "rollout", "p", "--status"]);
    wait_for("the rollout to return", async || (status()["state"] == "returned").then_some(())).await;
    let ended = status();
    assert_eq!((&ended["attempts"], &ended["failed"]), (&json!(3), &json!(3)), "{ended}");
    assert!(run_many(&user, 3).iter().all(|job| job["plugin_digest"] == json!(one)));
    let line = user.ok(["plugins", "rollout", "p", "--status"]);
    assert!(line.contains("ended by itself at") && line.contains("3 of 3 attempts failed"), "{line}");
    let event: Value = serde_json::from_str(&listener.end().out).expect("one line of JSON");
    assert_eq!((&event["type"], &event["plugin"]), (&json!("plugin_rollout_changed"), &json!("p")));
    assert_eq!((&event["digest"], &event["state"]), (&json!(two), &json!("returned")));
}

#[test]
fn an_aborted_rollout_gives_all_jobs_back_to_the_current_version() {
    let (user, one, two) = with_two(&Plugin::trapping());
    user.ok(["plugins", "rollout", "p", "--to", &two, "--percent", "100"]);
    assert_eq!(user.json(&["plugins", "rollout", "p", "--abort"])["state"], "aborted");
    let ran = user.json(&["run", "run"]);
    assert_eq!((&ran["result"], &ran["plugin_digest"]), (&json!(1), &json!(one)));
    // One that comes afterwards begins from nothing, and what ran on it here is counted before the command ends.
    user.ok(["plugins", "rollout", "p", "--to", &two, "--percent", "100", "--max-error-rate", "100%"]);
    assert_eq!(user.host(["run", "run"]).code, Some(7));
    let status = user.json(&["plugins", "rollout", "p", "--status"]);
    assert_eq!((&status["attempts"], &status["failed"], &status["state"]), (&json!(1), &json!(1), &json!("active")));
    let pruned = user.json(&["plugins", "prune", "p", "--keep", "0"]);
    assert_eq!(pruned["kept"], json!([{"digest": two, "reason": "rollout"}, {"digest": one, "reason": "current"}]));
}

/// The command ends with that code and words, and the plugin stays as it is.
#[track_caller]
fn refused(user: &User, args: &[&str], code: i32, mention: &str) {
    let before = user.json(&["plugins", "show", "p"]);
    let said = user.host(args);
    assert_eq!(said.code, Some(code), "{args:?}: {said:?}");
    assert!(said.err.starts_with("error: ") && said.err.contains(mention), "{args:?}: {said:?}");
    assert_eq!(user.json(&["plugins", "show", "p"]), before);
}

#[test]
fn a_rollout_that_makes_no_sense_is_refused_and_changes_nothing() {
    let (user, one, two) = with_two(&Plugin::returning(Encoding::Json, b"2"));
    let refused = |args: &[&str], code: i32, mention: &str| refused(&user, args, code, mention);
    let rollout = |flags: &[&'static str]| [&["plugins", "rollout", "p"], flags].concat();
    refused(&rollout(&[]), 2, "--to");
    refused(&rollout(&["--percent", "5"]), 2, "--to");
    refused(&rollout(&["--finish", "--abort"]), 2, "cannot be used with");
    refused(&rollout(&["--finish"]), 6, "no rollout under way");
    refused(&rollout(&["--abort"]), 6, "no rollout under way");
    let to = |version: &str, percent: &str, code: i32, mention: &str| {
        refused(&["plugins", "rollout", "p", "--to", version, "--percent", percent], code, mention);
    };
    to(&two, "0", 2, "no jobs");
    for percent in ["101", "-1", "five", "", "1.234"] {
        to(&two, percent, 2, "--percent");
    }
    to(&one, "5", 6, "is the current one");
    to(&"f".repeat(64), "5", 4, "plugins history p");
    to("zz", "5", 2, "hexadecimal");
    let rate = ["plugins", "rollout", "p", "--to", &two, "--percent", "5", "--max-error-rate", "much"];
    refused(&rate, 2, "--max-error-rate");
    refused(&["plugins", "rollout", "p", "--to", &two], 2, "--percent");
    refused(&["plugins", "rollout", "q", "--status"], 4, "there is no plugin `q`");
    assert_eq!(user.json(&["plugins", "rollout", "p", "--status"]), Value::Null);

    user.ok(["plugins", "rollout", "p", "--to", &two, "--percent", "5"]);
    refused(&rollout(&["--finish", "--yes"]), 2, "--to");
    refused(&["plugins", "rollback", "p", "--to", &two], 6, "--finish");
    let third = user.file("p.wasm", Plugin::returning(Encoding::Json, b"3").component());
    let third = third.to_str().expect("the path is UTF-8");
    refused(&["register", third], 6, "--abort");
    let staged = user.json(&["register", third, "--inactive"])["digest"].clone();
    to(staged.as_str().expect("a text"), "5", 6, "under way");
}

#[test]
fn what_is_not_said_when_a_rollout_goes_on_stays_as_it_is() {
    let (user, _, two) = with_two(&Plugin::returning(Encoding::Json, b"2"));
    let rollout = |percent: &str, more: &[&str]| {
        let rollout = user.json(&[&["plugins", "rollout", "p", "--to", &two, "--percent", percent][..], more].concat());
        ["percent", "max_error_rate_percent", "min_attempts"].map(|key| rollout[key].as_f64().expect("a number"))
    };
    assert_eq!(rollout("5", &[]), [5.0, 1.0, 100.0], "one failure is not too many");
    assert_eq!(rollout("7", &["--max-error-rate", "0.5%"]), [7.0, 0.5, 100.0]);
    assert_eq!(rollout("8", &["--min-attempts", "30"]), [8.0, 0.5, 30.0]);
    assert_eq!(rollout("25%", &[]), [25.0, 0.5, 30.0]);
    user.ok(["plugins", "rollout", "p", "--abort"]);
    assert_eq!(rollout("5", &["--max-error-rate", "0.5%"]), [5.0, 0.5, 200.0]);
}

#[test]
fn a_version_with_more_rights_than_the_current_one_gets_jobs_only_after_a_yes() {
    let user = User::new();
    let file = |name: &str, answer: &str| {
        let component = Plugin::returning(Encoding::Json, answer.as_bytes()).component();
        user.file(name, component).to_str().expect("the path is UTF-8").to_owned()
    };
    let (first, second) = (file("one.wasm", "1"), file("two.wasm", "2"));
    let one = user.json(&["register", &first, "--name", "p", "--allow-env", "TZ"])["digest"].clone();
    let one = one.as_str().expect("a text");
    let two = user.json(&["register", &second, "--name", "p"])["digest"].clone();
    let two = two.as_str().expect("a text");
    let rollback = ["plugins", "rollback", "p"];
    let rollout = ["plugins", "rollout", "p", "--to", one, "--percent", "5"];
    let refused = |args: &[&str], code: i32, mention: &str| refused(&user, args, code, mention);
    for args in [&rollback[..], &rollout] {
        refused(args, 3, "the variable TZ");
        refused(&[&["--require-approval"], args, &["--yes"]].concat(), 6, "nobody has approved that");
    }
    let approval = |file: &str, rights: &[&str]| {
        let text = user.ok([&["plugins", "approve", file, "--name", "p"], rights].concat());
        user.file("rights.toml", text).to_str().expect("the path is UTF-8").to_owned()
    };
    let path = approval(&second, &["--allow-env", "TZ"]);
    refused(&[&rollback[..], &["--approval", &path]].concat(), 6, "for another component");
    let path = approval(&first, &[]);
    refused(&[&rollout[..], &["--approval", &path]].concat(), 6, "does not cover `--allow-env TZ`");
    let path = approval(&first, &["--allow-env", "TZ"]);
    user.ok([&["--require-approval"], &rollout[..], &["--approval", &path]].concat());
    // What has been agreed to once is not asked again when it becomes the current version.
    user.ok(["--require-approval", "plugins", "rollout", "p", "--finish"]);
    // Fewer rights, so there is nothing to agree to.
    user.ok(["--require-approval", "plugins", "rollback", "p", "--to", two]);
    user.ok([&rollback[..], &["--to", one, "--yes"]].concat());
}

#[test]
fn a_version_beside_the_current_one_is_reviewed_like_any_other() {
    let (user, _, _) = with_two(&Plugin::returning(Encoding::Json, b"2"));
    let file = user.file("p.wasm", Plugin::returning(Encoding::Json, b"3").component());
    let file = file.to_str().expect("the path is UTF-8");
    let more = ["register", file, "--inactive", "--allow-env", "TZ"];
    assert_eq!(user.host(more).code, Some(3), "more rights than the current version has");
    let report = user.ok(["register", file, "--inactive", "--allow-env", "TZ", "--yes"]);
    assert!(report.starts_with("plugin `p` has another version;"), "{report}");
    for (args, code, mention) in [
        (&["register", file, "--inactive", "--name", "new"][..], 6, "no version yet"),
        (&["register", file, "--inactive", "--timeout", "5s", "--yes"], 2, "tasks configure"),
    ] {
        let said = user.host(args);
        assert!(said.code == Some(code) && said.err.contains(mention), "{said:?}");
    }
    assert_eq!(user.json(&["plugins"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_rollout_and_pins_move_with_an_export() {
    let (user, one, two) = with_two(&Plugin::returning(Encoding::Json, b"2"));
    user.ok(["plugins", "rollout", "p", "--to", &two, "--percent", "12.5"]);
    user.ok(["schedule", "run", "--at", "2100-01-01T00:00:00Z", "--id", "s", "--version", &one]);
    let archive = user.home().join("all.jsonl");
    let archive = archive.to_str().expect("the path is UTF-8");
    user.ok(["export", archive]);
    let store = format!("sqlite://{}", user.home().join("other.db").display());
    user.ok(["--store", &store, "import", archive]);
    for args in [&["plugins", "show", "p"][..], &["schedules", "show", "s"], &["plugins", "history", "p"]] {
        assert_eq!(user.json(&[&["--store", &store], args].concat()), user.json(args));
    }
}
