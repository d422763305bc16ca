//! Queues, what a job waits for, and concurrency keys.

use serde_json::{Value, json};
use tests::artifacts::plugin;
use tests::cli::User;

use super::serving::wait_for;

fn with_hello() -> User {
    let user = User::new();
    user.ok(["register".as_ref(), plugin("hello").as_os_str()]);
    user
}

#[track_caller]
fn wait_until_finished(user: &User, id: &str) -> Value {
    user.host(["jobs", "result", id, "--wait"]);
    user.json(&["jobs", "show", id])
}

fn is_running(user: &User, id: &str) -> bool {
    user.json(&["jobs", "show", id])["state"] == "running"
}

#[test]
fn a_job_that_no_server_can_run_waits_and_says_what_for() {
    let user = with_hello();
    let _server = user.start(["serve"], "ready");
    let special = user.ok(["submit", "greet", "--arg", "name=Ada", "--executor", "gpu"]);
    let plain = user.ok(["submit", "greet", "--arg", "name=Grace"]);
    assert_eq!(wait_until_finished(&user, &plain)["outcome"], "success");
    let job = user.json(&["jobs", "show", &special]);
    let waits_for = "waiting for a worker with executor `gpu`";
    assert_eq!((&job["state"], &job["attempt"], &job["error"]), (&json!("queued"), &json!(0), &Value::Null));
    assert_eq!(job["waits_for"], waits_for);
    assert_eq!(user.json(&["jobs", "--state", "queued"])[0]["waits_for"], waits_for);
    assert!(user.ok(["jobs"]).contains(waits_for));
    let unserved = json!([{"queue": "default", "needs": "gpu", "jobs": 1, "waits_for": waits_for}]);
    assert_eq!(user.json(&["status"])["unserved"], unserved);
    assert!(user.ok(["status"]).contains("1 job, waiting for a worker with executor `gpu`"));
}

#[test]
fn without_a_server_a_job_waits_for_one() {
    let user = with_hello();
    let id = user.ok(["submit", "greet", "--arg", "name=Ada"]);
    assert_eq!(user.json(&["jobs", "show", &id])["waits_for"], "waiting for a worker");
    assert!(user.ok(["status"]).contains("1 job, waiting for a worker"));
}

#[test]
fn a_server_runs_the_jobs_of_its_queues_and_no_others() {
    let user = with_hello();
    user.ok(["tasks", "configure", "greet", "--queue", "mail"]);
    let server = user.start(["serve", "--queue", "mail", "--queue", "reports=2"], "ready");
    let mail = user.ok(["submit", "greet", "--arg", "name=Ada"]);
    let reports = user.ok(["submit", "greet", "--arg", "name=Grace", "--queue", "reports"]);
    let usual = user.ok(["submit", "greet", "--arg", "name=Edsger", "--queue", "default"]);
    let slow = user.ok(["submit", "greet", "--arg", "name=Barbara", "--queue", "slow"]);
    for (id, queue) in [(&mail, "mail"), (&reports, "reports")] {
        let job = wait_until_finished(&user, id);
        assert_eq!((&job["outcome"], &job["queue"]), (&json!("success"), &json!(queue)));
    }
    let job = user.json(&["jobs", "show", &usual]);
    let waits_for = "waiting for a worker that serves queue `default`";
    assert_eq!((&job["state"], &job["waits_for"]), (&json!("queued"), &json!(waits_for)));
    let waits_for = "waiting for a worker that serves queue `slow`";
    assert_eq!(user.json(&["jobs", "show", &slow])["waits_for"], waits_for);
    assert_eq!(user.json(&["status"])["schedulers"][0]["queues"], json!(["mail", "reports"]));
    let queues = user.json(&["queues"]);
    let shown: Vec<_> =
        queues.as_array().expect("a list").iter().map(|it| json!([it["name"], it["waiting"], it["workers"]])).collect();
    assert_eq!(json!(shown), json!([["default", 1, 0], ["mail", 0, 1], ["reports", 0, 1], ["slow", 1, 0]]));
    server.signal("TERM");
    assert_eq!(server.end().code, Some(0));
}

#[test]
fn who_waits_for_a_job_that_no_worker_takes_is_told_why() {
    let user = with_hello();
    let _server = user.start(["serve", "--queue", "mail"], "ready");
    let serving = "waiting for a worker that serves queue `default`";
    let said = user.host(["submit", "whoami", "--wait", "--wait-timeout", "1s"]);
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(said.err.contains(&format!("note: the job does not start yet: {serving}\n")), "{said:?}");
    assert!(said.err.contains(&format!("has not ended within 1s: it is queued ({serving})")), "{said:?}");
    user.ok(["queues", "pause", "mail"]);
    let id = user.ok(["submit", "whoami", "--queue", "mail"]);
    let said = user.host(["jobs", "result", &id, "--wait", "--wait-timeout", "1s"]);
    assert!(said.err.contains("note: the job does not start yet: queue `mail` is paused\n"), "{said:?}");
    assert!(said.err.contains("it is queued (queue `mail` is paused)"), "{said:?}");
}

#[test]
fn a_paused_queue_starts_nothing_until_it_is_resumed() {
    let user = with_hello();
    let _server = user.start(["serve", "--queue", "default", "--queue", "mail"], "ready");
    assert_eq!(user.ok(["queues", "pause", "mail"]), "queue `mail` is paused");
    assert_eq!(user.ok(["queues", "pause", "mail"]), "queue `mail` is paused already");
    let mail = user.ok(["submit", "greet", "--arg", "name=Ada", "--queue", "mail"]);
    let usual = user.ok(["submit", "whoami"]);
    assert_eq!(wait_until_finished(&user, &usual)["outcome"], "success");
    let job = user.json(&["jobs", "show", &mail]);
    assert_eq!((&job["state"], &job["waits_for"]), (&json!("queued"), &json!("queue `mail` is paused")));
    assert!(user.ok(["queues"]).contains("paused"));
    assert_eq!(user.json(&["queues", "resume", "mail"]), json!({"name": "mail", "paused": false}));
    assert_eq!(wait_until_finished(&user, &mail)["outcome"], "success");
    assert!(!user.ok(["queues"]).contains("paused"));
}

#[test]
fn jobs_with_one_concurrency_key_run_one_after_the_other_and_hold_up_no_others() {
    let user = with_hello();
    user.ok(["tasks", "configure", "count", "--max-running-jobs", "none", "--concurrency-key", "args:/to"]);
    assert!(user.ok(["tasks", "show", "count"]).contains("1 at once with the same args:/to"));
    let first = user.ok(["submit", "count", "--arg", "to=100000"]);
    let second = user.ok(["submit", "count", "--arg", "to=100000"]);
    let other = user.ok(["submit", "count", "--arg", "to=1", "--arg", "pause_ms=0"]);
    let _server = user.start(["serve"], "ready");
    let job = wait_until_finished(&user, &other);
    assert_eq!((&job["outcome"], &job["concurrency_key"]), (&json!("success"), &json!("1")));
    wait_for("the first to run", || is_running(&user, &first).then_some(()));
    assert!(!is_running(&user, &second), "it has the same key");
    user.ok(["jobs", "cancel", &first]);
    wait_for("the second to run", || is_running(&user, &second).then_some(()));
    let third = user.ok(["submit", "count", "--arg", "to=100000"]);
    user.ok(["tasks", "configure", "count", "--max-running-per-key", "2"]);
    wait_for("the third to run beside it", || (is_running(&user, &third) && is_running(&user, &second)).then_some(()));
}

#[test]
fn jobs_of_a_schedule_have_its_queue_and_its_key() {
    let user = with_hello();
    let schedule = ["schedule", "greet", "--arg", "name=Ada", "--id", "s", "--interval", "1h"];
    user.ok(schedule.into_iter().chain(["--queue", "mail", "--concurrency-key", "args:/name"]));
    let shown = user.ok(["schedules", "show", "s"]);
    let line = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    assert_eq!((line("queue:"), line("concurrency key:")), (Some("mail"), Some("Ada")), "{shown}");
    let _server = user.start(["serve", "--queue", "mail"], "ready");
    let job = wait_for("the job to end", || {
        let jobs = user.json(&["jobs", "--state", "finished"]);
        jobs.as_array().and_then(|jobs| jobs.first().cloned())
    });
    assert_eq!((&job["outcome"], &job["queue"]), (&json!("success"), &json!("mail")));
    assert_eq!(job["concurrency_key"], "Ada");
}

#[test]
fn queues_and_keys_that_cannot_be_are_refused() {
    let user = with_hello();
    let many = (0..65).map(|at| format!("q{at}")).collect::<Vec<_>>().join(",");
    for args in [
        &["serve", "--queue", "Mail"][..],
        &["serve", "--queue", "mail=0"],
        &["serve", "--queue", "mail=many"],
        &["serve", "--queue", &many],
        &["queues", "pause", ""],
        &["submit", "greet", "--arg", "name=Ada", "--queue", "a b"],
        &["submit", "greet", "--arg", "name=Ada", "--concurrency-key", "args:name"],
        &["tasks", "configure", "greet", "--max-running-per-key", "0"],
    ] {
        let said = user.host(args);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{args:?}: {said:?}");
        assert!(said.err.starts_with("error: "), "{args:?}: {said:?}");
    }
    assert_eq!((user.json(&["jobs"]), user.json(&["queues"])), (json!([]), json!([])));
}

#[test]
fn a_name_in_a_list_that_cannot_be_is_reported_with_the_variable_that_holds_the_list() {
    let user = User::new().with_env("HOST_QUEUES", "mail,,reports");
    let said = user.host(["serve"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("the value comes from the environment variable HOST_QUEUES"), "{said:?}");
}

#[test]
fn the_settings_file_names_queues_and_flags_win_over_it() {
    let user = with_hello();
    let file =
        user.file("host.toml", "[serve]\nqueues = [\"mail=3\", \"reports\"]\n[task_defaults]\nqueue = \"mail\"\n");
    let file = file.to_str().expect("the path is UTF-8");
    let server = user.start(["serve", "--config", file], "ready");
    assert_eq!(user.json(&["status"])["schedulers"][0]["queues"], json!(["mail", "reports"]));
    drop(server);
    let _server = user.start(["serve", "--config", file, "--queue", "other", "--identity", "b"], "ready");
    let schedulers = user.json(&["status"])["schedulers"].clone();
    let queues: Vec<&Value> = schedulers.as_array().expect("a list").iter().map(|it| &it["queues"]).collect();
    assert!(queues.contains(&&json!(["other"])), "{schedulers}");
}

/// Four slots and room for four attempts of the usual size: the flood could fill both.
#[test]
fn with_spare_slots_a_task_that_could_fill_all_slots_and_all_memory_keeps_no_schedule_from_running() {
    let user = with_hello();
    user.ok(["register".as_ref(), plugin("faults").as_os_str()]);
    user.ok(["tasks", "configure", "faults:spin", "--max-running-jobs", "none", "--timeout", "10m"]);
    let flood: Vec<String> =
        (0..10).map(|_| user.ok(["submit", "faults:spin", "--fuel", "1000000000000000"])).collect();
    let serve = ["serve", "--max-concurrent-jobs", "4", "--max-memory", "1GiB", "--spare-slots", "2"];
    let _server = user.start(serve, "ready");
    wait_for("the flood to run", || is_running(&user, &flood[0]).then_some(()));
    user.ok(["schedule", "--interval", "100ms", "--arg", "name=Ada", "--id", "tick", "greet"]);
    let fires = || {
        let jobs = user.json(&["jobs", "--schedule", "tick", "--outcome", "success"]);
        (jobs.as_array().map_or(0, Vec::len) >= 3).then_some(())
    };
    wait_for("three fires to have run", fires);
    let unfinished = flood.iter().filter(|id| user.json(&["jobs", "show", id])["state"] != "finished").count();
    assert_eq!(unfinished, flood.len());
}
