//! `host top`: how things stand, again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use tests::artifacts::plugin;
use tests::cli::User;

#[test]
fn one_look_says_what_waits_what_has_failed_and_who_works() {
    let user = User::new();
    user.ok(["register", plugin("faults").to_str().expect("UTF-8")]);
    user.host(["run", "faults:panics", "--arg", "message=no luck", "--max-attempts", "1"]);
    user.ok(["submit", "faults:noop"]);
    let look = user.ok(["top"]);
    for part in [
        "1 queued, 0 running, 1 finished",
        "waiting for a worker",
        "default  open",
        "FAILED",
        "faults:panics",
        "no luck",
    ] {
        assert!(look.contains(part), "{part}: {look}");
    }
    assert!(!look.contains("RUNS") && !look.contains("ended:") && !look.contains('\u{1b}'), "{look}");
    let look = user.json(&["top"]);
    assert_eq!(
        (&look["status"]["jobs"]["queued"], &look["running"], &look["ended"]),
        (&json!(1), &json!([]), &Value::Null)
    );
    assert_eq!(look["failed"][0]["error"]["kind"], "panic");
    assert_eq!(look["queues"][0]["name"], "default");
}

#[test]
fn between_looks_it_counts_what_ends() {
    let user = User::new();
    user.ok(["register", plugin("faults").to_str().expect("UTF-8")]);
    let _server = user.start(["serve"], "ready");
    // However long the first look takes, jobs end as long as there are looks.
    let is_over = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                user.ok(["submit", "faults:noop", "--wait"]);
            }
        });
        let looks = user.ok(["top", "--json", "-n", "4", "--every", "2s"]);
        is_over.store(true, Ordering::Relaxed);
        looks
    });
    let looks: Vec<Value> = looks.lines().map(|look| serde_json::from_str(look).expect("a look a line")).collect();
    assert_eq!((looks.len(), &looks[0]["ended"]), (4, &Value::Null));
    assert!(looks[3]["ended"]["success"].as_u64().is_some_and(|count| count > 0), "{looks:?}");
    assert_eq!(looks[3]["status"]["schedulers"].as_array().map(Vec::len), Some(1));
}

#[test]
fn it_takes_no_look_more_often_than_the_store_can_bear() {
    let user = User::new();
    let said = user.host(["top", "--every", "1ms"]);
    assert!(said.code == Some(2) && said.err.contains("at least 100ms"), "{said:?}");
}
