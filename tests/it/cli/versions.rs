//! Versions of plugins from outside: pins, history, rollback, pruning, and jobs that stay on what they have begun with.

use serde_json::{Value, json};
use tests::cli::User;
use tests::wait::wait_for;

use crate::generated::{Encoding, Plugin};

/// A version of the plugin `p`, whose only task, `run`, answers with this number.
fn answering(user: &User, number: u32) -> String {
    let component = Plugin::returning(Encoding::Json, number.to_string().as_bytes()).component();
    register(user, &component)
}

/// A version whose task traps.
fn trapping(user: &User) -> String {
    register(user, &Plugin::trapping().component())
}

/// Registers a version of the plugin `p` and answers its digest.
fn register(user: &User, component: &[u8]) -> String {
    let file = user.file("p.wasm", component);
    let registered = user.json(&["register", file.to_str().expect("the path is UTF-8")]);
    registered["digest"].as_str().expect("a text").to_owned()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[track_caller]
fn assert_refused(user: &User, args: &[&str], code: i32, mention: &str) {
    let before = (user.json(&["plugins", "history", "p"]), user.json(&["jobs"]), user.json(&["schedules"]));
    let said = user.host(args);
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(said.err.starts_with("error: ") && said.err.contains(mention), "{said:?}");
    let after = (user.json(&["plugins", "history", "p"]), user.json(&["jobs"]), user.json(&["schedules"]));
    assert_eq!(after, before);
}

#[test]
fn a_rollback_goes_to_the_version_before_or_to_the_one_that_is_named() {
    let user = User::new();
    let [one, two, three] = [1, 2, 3].map(|number| answering(&user, number));
    let current = || user.json(&["plugins", "show", "p"])["digest"].clone();
    let marked = || {
        let history = user.json(&["plugins", "history", "p"]);
        let marked = |version: &&Value| version["current"] == true;
        let current: Vec<Value> =
            history.as_array().expect("a list").iter().filter(marked).map(|it| it["digest"].clone()).collect();
        current
    };
    assert_eq!((current(), marked()), (json!(three), vec![json!(three)]));
    user.ok(["plugins", "rollback", "p"]);
    assert_eq!((current(), marked()), (json!(two), vec![json!(two)]));
    user.ok(["plugins", "rollback", "p", "--to", &one[..12]]);
    assert_eq!(current(), json!(one));
    assert_eq!(user.json(&["run", "run"])["result"], 1);
    user.ok(["plugins", "rollback", "p", &three.to_uppercase()]);
    assert_eq!(user.json(&["run", "run"])["result"], 3);
    assert_refused(&user, &["plugins", "rollback", "p", "--to", "zzzz"], 2, "hexadecimal");
    assert_refused(&user, &["plugins", "rollback", "p", "--to", "1"], 2, "4 hexadecimal digits or more");
    assert_refused(&user, &["plugins", "rollback", "p", "--to", &"0".repeat(64)], 4, "plugins history p");
    assert_refused(&user, &["plugins", "rollback", "q"], 4, "there is no plugin `q`");
}

#[test]
fn a_pinned_job_runs_its_version_and_a_pinned_schedule_makes_such_jobs() {
    let user = User::new();
    let [one, two] = [1, 2].map(|number| answering(&user, number));
    assert_eq!(user.json(&["run", "run"])["result"], 2);
    let pinned = user.json(&["run", "run", "--version", &one[..8]]);
    assert_eq!((&pinned["result"], &pinned["plugin_digest"]), (&json!(1), &json!(one)));
    let submitted = user.json(&["submit", "run", "--version", &one]);
    let job = user.json(&["jobs", "show", text(&submitted["job_id"])]);
    assert_eq!(job["settings"]["version"], json!(one));
    let shown = user.ok(["jobs", "show", text(&submitted["job_id"])]);
    assert!(shown.lines().any(|line| line.starts_with("version:") && line.contains(&one)), "{shown}");

    let at = ["--at", "2100-01-01T00:00:00Z", "--id", "s"];
    user.ok([&["schedule", "run", "--version", &one[..8]][..], &at].concat());
    let schedule = user.json(&["schedules", "show", "s"]);
    assert_eq!(schedule["own_settings"], json!({"version": one}));
    assert_eq!(schedule["settings"]["version"], json!(one));

    for command in [&["submit", "run"][..], &["run", "run"], &["schedule", "run", "--interval", "1h"]] {
        let pin = |version: &str, code, mention: &str| {
            assert_refused(&user, &[command, &["--version", version]].concat(), code, mention);
        };
        pin("", 2, "hexadecimal");
        pin("not-a-digest", 2, "hexadecimal");
        pin(&"f".repeat(64), 4, "plugins history p");
        pin(&format!("{two}00"), 4, "plugins history p");
    }
    let said = user.host(["tasks", "configure", "run", "--version", &one]);
    assert_eq!(said.code, Some(2), "a task runs the current version: {said:?}");
}

#[test]
fn what_a_pinned_version_does_not_offer_is_refused() {
    let user = User::new();
    let one = answering(&user, 1);
    let hello = tests::artifacts::plugin("hello");
    user.ok(["register", hello.to_str().expect("the path is UTF-8"), "--name", "p"]);
    assert_refused(&user, &["submit", "greet", "--version", &one], 6, "does not offer `greet`");
}

#[test]
fn pruning_leaves_what_is_needed_and_says_why() {
    let user = User::new();
    let [one, two, three, four] = [1, 2, 3, 4].map(|number| answering(&user, number));
    let job = user.json(&["submit", "run", "--version", &one])["job_id"].clone();
    user.ok(["schedule", "run", "--at", "2100-01-01T00:00:00Z", "--id", "s", "--version", &two]);
    let planned = user.json(&["plugins", "prune", "p", "--keep", "1", "--plan"]);
    assert_eq!(user.json(&["plugins", "history", "p"]).as_array().map(Vec::len), Some(4));
    let pruned = user.json(&["plugins", "prune", "p", "--keep", "1"]);
    assert_eq!(pruned, planned);
    let kept = json!([
        {"digest": four, "reason": "current"}, {"digest": two, "reason": "schedule"}, {"digest": one, "reason": "job"},
    ]);
    assert_eq!(pruned, json!({"name": "p", "removed": [three], "kept": kept}));
    assert_eq!(user.json(&["plugins", "history", "p"]).as_array().map(Vec::len), Some(3));
    user.ok(["jobs", "cancel", text(&job)]);
    user.ok(["schedules", "remove", "s"]);
    let said = user.host(["plugins", "prune", "p", "--keep", "1"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("plugin `p`: 2 versions removed: "), "{said:?}");
    assert!(said.err.contains("it is the current one"), "{said:?}");
    assert_refused(&user, &["plugins", "prune", "p", "--keep", "-1"], 2, "");
    assert_refused(&user, &["plugins", "prune", "q"], 4, "there is no plugin `q`");
}

#[tokio::test]
async fn a_job_is_tried_again_on_the_version_that_it_has_begun_with_and_a_server_follows_at_once() {
    let user = User::new();
    let bad = trapping(&user);
    let _server = user.start(["serve"], "ready");
    let show = |id: &str| user.json(&["jobs", "show", id]);
    let submitted = user.json(&["submit", "run", "--max-attempts", "2", "--backoff", "3s"]);
    let waits = text(&submitted["job_id"]);
    wait_for("its first attempt to fail", async || {
        let job = show(waits);
        (job["attempt"] == 1 && job["state"] == "queued").then_some(())
    })
    .await;
    let good = answering(&user, 7);
    let next = user.json(&["submit", "run", "--wait"]);
    assert_eq!((&next["result"], &next["plugin_digest"]), (&json!(7), &json!(good)));
    wait_for("its end", async || (show(waits)["state"] == "finished").then_some(())).await;
    let ended = show(waits);
    assert_eq!((&ended["outcome"], &ended["plugin_digest"]), (&json!("error"), &json!(bad)), "{ended}");
    assert_eq!(ended["attempt"], 2);
    // Tried again by hand, it takes the version that is current now.
    user.ok(["jobs", "retry", waits]);
    wait_for("its second end", async || (show(waits)["state"] == "finished").then_some(())).await;
    assert_eq!((&show(waits)["result"], &show(waits)["plugin_digest"]), (&json!(7), &json!(good)));
}
