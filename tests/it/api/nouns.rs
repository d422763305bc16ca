//! The nouns of the interface: the same answers as the command line's, and the same refusals.

use serde_json::{Value, json};
use tests::api::Server;
use tests::artifacts::plugin;
use tests::cli::User;

use super::encoded;

/// A server on which the plugin `hello` is registered, by upload.
fn with_hello(user: &User, flags: &[&str]) -> Server {
    let server = Server::start(user, flags);
    let answer = upload(&server, "/api/v1/plugins/hello");
    assert_eq!(answer.0, 201, "{answer:?}");
    server
}

fn upload(server: &Server, target: &str) -> (u16, Value) {
    let component = std::fs::read(plugin("hello")).expect("it is built");
    let answer = server.ask("PUT", target, &[("content-type", "application/wasm")], &component);
    (answer.status, answer.json())
}

#[test]
fn a_job_is_submitted_waited_for_and_looked_at() {
    let user = User::new();
    let server = with_hello(&user, &[]);
    let answer = server.post("/api/v1/jobs", &json!({"task": "greet", "args": {"name": "Ada"}}));
    assert_eq!(answer.status, 201, "{:?}", answer.told());
    let id = answer.json()["job_id"].as_str().expect("a text").to_owned();
    assert_eq!(answer.header("location"), Some(format!("/api/v1/jobs/{id}").as_str()));
    assert_eq!(server.get(&format!("/api/v1/jobs/{id}/result?wait=60s")), "Hello, Ada!");
    // As the command line has it, to the letter.
    assert_eq!(server.get(&format!("/api/v1/jobs/{id}")), user.json(&["jobs", "show", &id]));
    let jobs = server.get("/api/v1/jobs?state=finished&outcome=success&task=greet");
    assert_eq!((&jobs["items"], &jobs["next"]), (&user.json(&["jobs"]), &Value::Null));
    assert_eq!(server.get(&format!("/api/v1/jobs/{id}/logs"))["items"], user.json(&["jobs", "logs", &id]));
    let again = server.ask("POST", &format!("/api/v1/jobs/{id}/retry"), &[], &[]);
    assert_eq!((again.status, &again.json()["id"]), (200, &json!(id)));

    let failing = json!({"task": "unreliable", "args": {"failures": 5}, "settings": {"max_attempts": 1}});
    let id = server.post("/api/v1/jobs", &failing).json()["job_id"].as_str().expect("a text").to_owned();
    let failed = server.ask("GET", &format!("/api/v1/jobs/{id}/result?wait=60s"), &[], &[]);
    let problem = failed.json();
    assert_eq!((failed.status, &problem["type"]), (409, &json!("urn:host:problem:job-failed")), "{problem}");
    assert_eq!((&problem["outcome"], problem["error"]["message"].is_string()), (&json!("error"), true), "{problem}");
}

#[test]
fn a_request_that_is_sent_again_with_its_key_makes_no_second_job() {
    let user = User::new();
    let server = with_hello(&user, &["--role", "scheduler"]);
    let body = json!({"task": "greet", "args": {"name": "Ada"}}).to_string();
    let submit = || {
        let headers = [("content-type", "application/json"), ("idempotency-key", "\"order 7\"")];
        let answer = server.ask("POST", "/api/v1/jobs", &headers, body.as_bytes());
        (answer.status, answer.json())
    };
    let (first, again) = (submit(), submit());
    assert_eq!((first.0, again.0), (201, 200));
    assert_eq!(first.1["job_id"], again.1["job_id"]);
    let id = first.1["job_id"].as_str().expect("a text");
    assert_eq!(server.get(&format!("/api/v1/jobs/{id}"))["unique_key"], "order 7");
}

#[test]
fn numbers_stay_as_they_were_written_or_are_refused() {
    let user = User::new();
    let server = with_hello(&user, &["--role", "scheduler"]);
    let submit = |args: &str| {
        let body = format!(r#"{{"task": "greet", "unchecked": true, "args": {args}}}"#);
        server.ask("POST", "/api/v1/jobs", &[("content-type", "application/json")], body.as_bytes())
    };
    let exact = r#"{"n":[18446744073709551615,-9223372036854775808,9007199254740993]}"#;
    let id = submit(exact).json()["job_id"].as_str().expect("a text").to_owned();
    let shown = server.ask("GET", &format!("/api/v1/jobs/{id}"), &[], &[]).told().1;
    assert!(shown.contains(&format!(r#""args":{exact}"#)), "{shown}");
    let problem = submit(r#"{"n": 18446744073709551616}"#);
    assert_eq!(problem.status, 400);
    let detail = problem.json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.contains("at `args.n`") && detail.contains("64 bits"), "{detail}");
}

#[test]
fn what_nobody_knows_is_refused_with_its_place_and_changes_nothing() {
    let user = User::new();
    let server = with_hello(&user, &["--role", "scheduler"]);
    for (body, place) in [
        (json!({"task": "greet", "arg": {}}), "unknown field `arg`"),
        (json!({"task": "greet", "settings": {"timeout": "soon"}}), "at `settings.timeout`"),
        (json!({"task": "greet", "settings": {"time_out": "5s"}}), "at `settings.time_out`"),
        (json!({"task": "greet", "settings": {"max_attempts": null}}), "at"),
        (json!({"task": "greet", "at": "2026-12-01T10:00:00Z", "in": "5s"}), "`at` and `in`"),
        (json!({"task": "greet", "args": {"name": 5}}), "name"),
        (json!({"args": {}}), "missing field `task`"),
        (json!([]), "at"),
    ] {
        let answer = server.post("/api/v1/jobs", &body);
        assert!(answer.status == 400 && answer.told().1.contains(place), "{body}: {:?}", answer.told());
    }
    let unknown = server.post("/api/v1/jobs", &json!({"task": "gret"}));
    assert_eq!(unknown.status, 404);
    assert!(unknown.json()["hint"].as_str().is_some_and(|hint| hint.contains("hello:greet")), "{:?}", unknown.told());
    let form = server.ask("POST", "/api/v1/jobs", &[("content-type", "text/plain")], br#"{"task": "greet"}"#);
    assert_eq!(form.status, 415);
    for target in
        ["state=done", "limit=0", "limit=1001", "limit=ten", "cursor=zz", "cursor=c3", "cursor=6162", "statee=queued"]
    {
        assert_eq!(server.ask("GET", &format!("/api/v1/jobs?{target}"), &[], &[]).status, 400, "{target}");
    }
    assert_eq!(server.ask("GET", "/api/v1/jobs/no-id", &[], &[]).status, 400);
    assert_eq!(server.get("/api/v1/jobs")["items"], json!([]));
}

#[test]
fn a_list_is_read_page_by_page_and_jobs_are_cancelled_and_retried_together() {
    let user = User::new();
    let server = with_hello(&user, &["--role", "scheduler"]);
    for _ in 0..5 {
        assert_eq!(server.post("/api/v1/jobs", &json!({"task": "greet", "args": {"name": "Ada"}})).status, 201);
    }
    let (mut seen, mut target) = (Vec::new(), "/api/v1/jobs?limit=2".to_owned());
    loop {
        let page = server.get(&target);
        let ids = page["items"].as_array().expect("a list").iter();
        seen.extend(ids.map(|job| job["id"].as_str().expect("a text").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        target = format!("/api/v1/jobs?limit=2&cursor={next}");
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|a, b| a > b), "the youngest first, none twice: {seen:?}");

    let post = |target: &str| server.ask("POST", target, &[], &[]);
    assert_eq!(post("/api/v1/jobs:cancel").status, 400, "everything is no filter");
    assert_eq!(post("/api/v1/jobs:cancel?state=finished").status, 400);
    assert_eq!(post("/api/v1/jobs:cancel?group=nobody%27s").status, 200, "a group is one");
    let dry = post("/api/v1/jobs:cancel?task=greet&dry_run=true").json();
    assert_eq!((dry["items"]["matched"].as_array().map(Vec::len), &dry["items"]["done"]), (Some(5), &json!([])));
    assert_eq!(server.get("/api/v1/status")["jobs"]["queued"], 5, "nothing was done");
    let done = post("/api/v1/jobs:cancel?task=greet").json();
    assert_eq!(done["items"]["done"].as_array().map(Vec::len), Some(5), "{done}");
    assert_eq!(server.get("/api/v1/status")["jobs"]["queued"], 0);
    let retried = post("/api/v1/jobs:retry?outcome=cancelled&limit=3").json();
    assert_eq!(retried["items"]["done"].as_array().map(Vec::len), Some(3), "{retried}");
    assert_eq!(server.get("/api/v1/status")["jobs"]["queued"], 3);
    assert_eq!(post(&format!("/api/v1/jobs/{}/cancel?grace=soon", seen[0])).status, 400);
    assert_eq!(post(&format!("/api/v1/jobs/{}/cancel?grace=20000d", seen[0])).status, 400);
    assert_eq!(post("/api/v1/jobs:cancel?group=nobody%27s&grace=0s").status, 200);
    let cancelled = post(&format!("/api/v1/jobs/{}/cancel?grace=0s", seen[0])).json();
    assert_eq!((&cancelled["ended"], &cancelled["job"]["outcome"]), (&json!(true), &json!("cancelled")));
    assert_eq!(post(&format!("/api/v1/jobs/{}/cancel", seen[0])).status, 409, "it has ended already");
}

#[test]
fn a_schedule_is_made_changed_rested_run_and_removed_whatever_its_id() {
    let user = User::new();
    let server = with_hello(&user, &["--role", "worker"]);
    for id in ["plain", "a/b", "../c", "50% of ü", "a?b#c"] {
        let created = server.post(
            "/api/v1/schedules",
            &json!({"id": id, "task": "greet", "when": {"interval": "1h"}, "args": {"name": "Ada"}}),
        );
        assert_eq!(created.status, 201, "{id}: {:?}", created.told());
        let path = format!("/api/v1/schedules/{}", encoded(id));
        assert_eq!(server.get(&path), user.json(&["schedules", "show", id]));
        let taken = server.post(
            "/api/v1/schedules",
            &json!({"id": id, "task": "greet", "when": {"interval": "1h"}, "unchecked": true}),
        );
        assert_eq!(taken.status, 409);
        let set = json!({"when": {"interval": "2h"}}).to_string();
        let changed = server.ask("PATCH", &path, &[("content-type", "application/json")], set.as_bytes());
        assert_eq!((changed.status, &changed.json()["changed"]), (200, &json!(["trigger"])), "{:?}", changed.told());
        let nothing = server.ask("PATCH", &path, &[("content-type", "application/json")], b"{}");
        assert_eq!(nothing.status, 400);
        let post = |verb: &str| server.ask("POST", &format!("{path}/{verb}"), &[], &[]);
        assert_eq!(post("pause").json()["paused"], true);
        assert_eq!(post("unpause?resume_from=now").json()["paused"], false);
        assert_eq!(post("run").status, 201);
        assert_eq!(server.get(&format!("{path}/preview?count=3")).as_array().map(Vec::len), Some(3));
        assert!(server.get(&format!("{path}/history?explain"))["items"].is_array());
        assert_eq!(server.ask("DELETE", &path, &[], &[]).json()["id"], id);
        assert_eq!(server.ask("GET", &path, &[], &[]).status, 404);
    }
    let preview = server.post(
        "/api/v1/triggers/preview",
        &json!({"when": {"cron": "0 9 * * MON", "timezone": "Europe/Berlin"}, "count": 2}),
    );
    assert_eq!(preview.json()["fires"].as_array().map(Vec::len), Some(2), "{:?}", preview.told());
    for when in [
        json!({}),
        json!({"interval": "1h", "cron": "* * * * *"}),
        json!({"cron": "* * *"}),
        json!({"cron": 5}),
        json!({"at": "2026-12-01T10:00:00Z", "timezone": "UTC"}),
    ] {
        let refused = server.post("/api/v1/triggers/preview", &json!({ "when": when }));
        assert_eq!(refused.status, 400, "{when}: {:?}", refused.told());
    }
}

#[test]
fn a_plugin_is_registered_by_upload_and_more_rights_want_a_yes() {
    let user = User::new();
    let server = with_hello(&user, &["--role", "scheduler"]);
    assert_eq!(server.get("/api/v1/plugins")["items"], user.json(&["plugins"]));
    assert_eq!(upload(&server, "/api/v1/plugins/hello").0, 200, "it is there, just like this");
    assert_eq!(upload(&server, "/api/v1/plugins/hello?plan&allow_kv=cursors:rw").0, 200);
    let (status, problem) = upload(&server, "/api/v1/plugins/hello?allow_kv=cursors:rw");
    assert_eq!((status, &problem["type"]), (409, &json!("urn:host:problem:needs-yes")));
    assert_eq!(problem["review"]["rights_added"][0], json!({"type": "kv", "bucket": "cursors", "access": "rw"}));
    assert_eq!(server.get("/api/v1/plugins/hello")["grants"], json!([]), "nothing has changed");
    assert_eq!(upload(&server, "/api/v1/plugins/hello?allow_kv=cursors:rw&yes").0, 201);
    assert_eq!(
        upload(&server, "/api/v1/plugins/other?allow_dir=tmp::in").0,
        400,
        "where the server was started is nobody's business"
    );
    assert_eq!(upload(&server, "/api/v1/plugins/other?sha256=00").0, 400);
    let junk = server.ask("PUT", "/api/v1/plugins/junk", &[("content-type", "application/wasm")], b"no component");
    assert_eq!(junk.status, 400, "{:?}", junk.told());
    assert!(server.get("/api/v1/plugins/hello/versions")["items"][0]["current"].as_bool().expect("said"));

    let key = format!("/api/v1/kv/cursors/{}", encoded("a/b"));
    assert_eq!(server.ask("PUT", &key, &[], b"\xff7").json()["version"], 1);
    assert_eq!(server.get(&key)["value_hex"], "ff37");
    assert_eq!(server.ask("PUT", &format!("{key}?version=7"), &[], b"8").status, 409);
    assert_eq!(server.get("/api/v1/kv/cursors?prefix=a")["items"][0]["key"], "a/b");
    assert_eq!(server.get("/api/v1/kv")["items"][0]["bucket"], "cursors");
    assert_eq!(server.ask("DELETE", &key, &[], &[]).json()["deleted"], true);

    let path = format!("/api/v1/tasks/{}", encoded("hello:greet"));
    let set =
        |body: Value| server.ask("PATCH", &path, &[("content-type", "application/json")], body.to_string().as_bytes());
    assert_eq!(set(json!({"settings": {"max_running_jobs": "none", "timeout": "7s"}})).json()["timeout_ms"], 7_000);
    assert_eq!(set(json!({"unset": ["timeouts"]})).status, 400);
    assert_eq!(server.get(&path), user.json(&["tasks", "show", "hello:greet"]));
    assert_eq!(server.get("/api/v1/tasks")["items"], user.json(&["tasks"]));

    assert_eq!(server.ask("POST", "/api/v1/queues/mail/pause", &[], &[]).json()["paused"], true);
    assert_eq!(server.get("/api/v1/queues")["items"], user.json(&["queues"]));
    assert_eq!(server.ask("POST", "/api/v1/queues/mail/resume", &[], &[]).json()["paused"], false);
    assert_eq!(server.get("/api/v1/schedulers")["items"][0]["role"], "scheduler");

    assert_eq!(server.ask("DELETE", "/api/v1/plugins/hello", &[], &[]).status, 409, "it wants a yes");
    assert_eq!(server.ask("DELETE", "/api/v1/plugins/hello?yes", &[], &[]).status, 200);
    assert_eq!(server.get("/api/v1/plugins")["items"], json!([]));
}

#[test]
fn many_jobs_are_queued_together_or_not_at_all() {
    let user = User::new();
    let server = with_hello(&user, &["--role", "scheduler"]);
    let job = |name: &str| json!({"task": "greet", "args": {"name": name}, "group": "may"});
    let bad = json!({"task": "greet", "args": {"nome": "Ada"}, "group": "may"});
    let refused = server.post("/api/v1/jobs:batch", &json!({"jobs": [job("Ada"), bad, job("Eve")]}));
    assert_eq!(refused.status, 400, "{:?}", refused.told());
    let told = refused.json();
    assert_eq!(
        (&told["detail"], &told["jobs"][0]["place"]),
        (&json!("1 of the 3 jobs cannot be queued, so none was"), &json!(1))
    );
    assert!(told["jobs"][0]["problem"]["error"].as_str().is_some_and(|error| error.contains("nome")), "{told}");
    assert_eq!(server.get("/api/v1/jobs?group=may")["items"], json!([]));
    let partly = server.post("/api/v1/jobs:batch", &json!({"jobs": [job("Ada"), bad, job("Eve")], "partial": true}));
    let items = partly.json()["items"].clone();
    assert_eq!((partly.status, &items[0]["new"], &items[1]["job_id"]), (200, &json!(true), &Value::Null), "{items}");
    assert_eq!(server.get("/api/v1/jobs?group=may")["items"].as_array().map(Vec::len), Some(2));
    let keyed = json!({"task": "greet", "args": {"name": "Ada"}, "unique_key": "7"});
    let twice = server.post("/api/v1/jobs:batch", &json!({"jobs": [keyed, keyed]})).json();
    assert_eq!(twice["items"][0]["job_id"], twice["items"][1]["job_id"], "{twice}");
    assert_eq!((&twice["items"][0]["new"], &twice["items"][1]["new"]), (&json!(true), &json!(false)));
    let many = vec![json!({"task": "greet"}); 10_001];
    assert_eq!(server.post("/api/v1/jobs:batch", &json!({"jobs": many})).status, 400);
    assert_eq!(server.post("/api/v1/jobs:batch", &json!({"jobs": []})).json(), json!({"items": []}));
}

#[test]
fn fire_times_that_have_passed_get_jobs_as_on_the_command_line() {
    let user = User::new();
    let server = with_hello(&user, &["--role", "worker"]);
    let schedule = json!({"id": "daily", "task": "greet", "args": {"name": "Ada"}, "when": {"cron": "0 9 * * *", "timezone": "UTC"}});
    assert_eq!(server.post("/api/v1/schedules", &schedule).status, 201);
    let target = "/api/v1/schedules/daily/backfill";
    let span = json!({"from": "2024-01-01T00:00:00Z", "to": "2024-01-03T00:00:00Z", "dry_run": true});
    let planned = server.post(target, &span).json();
    let cli = [
        "schedules",
        "backfill",
        "daily",
        "--from",
        "2024-01-01T00:00:00Z",
        "--to",
        "2024-01-03T00:00:00Z",
        "--dry-run",
    ];
    assert_eq!(planned, user.json(&cli));
    assert_eq!((planned["fires"].as_array().map(Vec::len), &planned["job_ids"]), (Some(2), &json!([])));
    let span = json!({"from": "2024-01-01T00:00:00Z", "to": "2024-01-03T00:00:00Z", "limit": 1});
    let done = server.post(target, &span).json();
    assert_eq!((done["job_ids"].as_array().map(Vec::len), done["next"].is_string()), (Some(1), true), "{done}");
    assert_eq!(server.post(target, &span).json()["had_job"], 1);
    let future = json!({"from": "2999-01-01T00:00:00Z", "to": "2999-01-03T00:00:00Z"});
    assert_eq!(server.post(target, &future).status, 400);
    assert_eq!(server.post("/api/v1/schedules/none/backfill", &span).status, 404);
}
