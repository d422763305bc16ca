//! What can be done from a page, and by whom.

use super::browser::Browser;
use super::{idle_server, user_with};

#[test]
fn each_action_does_what_its_command_does() {
    let user = user_with(&["hello"]);
    let job = user.ok(["submit", "hello:greet", "--arg", "name=Ada"]);
    user.ok(["schedule", "hello:greet", "--id", "a/..", "--interval", "1h", "--arg", "name=Eve"]);
    let server = idle_server(&user, &[]);
    let browser = Browser::logged_in(&server, "all");
    let post = |path: &str, fields: &str| {
        let answer = browser.post(path, fields);
        assert_eq!(answer.status, 303, "{path}: {:?}", answer.told());
        answer.header("location").expect("it leads on").to_owned()
    };
    let state = || user.json(&["jobs", "show", &job])["state"].clone();
    assert_eq!(post(&format!("/job/cancel?id={job}"), ""), format!("/job?id={job}"));
    assert_eq!(state(), "finished");
    let refused = browser.post(&format!("/job/cancel?id={job}"), "");
    assert!(refused.status == 409 && refused.told().1.contains("has ended already"), "{refused:?}");
    post(&format!("/job/retry?id={job}"), "");
    assert_eq!(state(), "queued");
    let again = post(&format!("/job/again?id={job}"), "");
    let again = user.json(&["jobs", "show", again.split('=').nth(1).expect("an id")]);
    assert_eq!((&again["task_id"], &again["args"]["name"]), (&"hello:greet".into(), &"Ada".into()));
    assert_ne!(again["id"], job);

    let schedule = || user.json(&["schedules", "show", "a/.."]);
    post("/schedule/pause?id=a%2F%2E%2E", "");
    assert_eq!(schedule()["paused"], true);
    post("/schedule/unpause?id=a%2F%2E%2E", "missed=pass");
    assert_eq!(schedule()["paused"], false);
    let made = post("/schedule/run?id=a%2F%2E%2E", "");
    assert_eq!(user.json(&["jobs", "show", made.split('=').nth(1).expect("an id")])["schedule_id"], "a/..");
    assert!(browser.page("/schedule/remove?id=a%2F%2E%2E").contains("Its jobs stay."));
    assert_eq!(schedule()["id"], "a/..", "asking removed it");
    assert_eq!(post("/schedule/remove?id=a%2F%2E%2E", ""), "/schedules");
    assert_eq!(user.host(["schedules", "show", "a/.."]).code, Some(4));
    assert_eq!(browser.post("/schedule/remove?id=a%2F%2E%2E", "").status, 404);

    let is_paused = || user.json(&["queues"])[0]["paused"].clone();
    post("/queue/pause?name=default", "");
    assert_eq!(is_paused(), true);
    post("/queue/resume?name=default", "");
    assert_eq!(is_paused(), false);
    server.running.wait_until_heard("a request that may change something");
}

#[test]
fn who_may_only_look_sees_no_button_and_is_refused_at_every_action() {
    let user = user_with(&["hello"]);
    let job = user.ok(["submit", "hello:greet", "--arg", "name=Ada"]);
    let ended = user.ok(["submit", "hello:greet", "--arg", "name=Eve"]);
    user.ok(["jobs", "cancel", &ended]);
    user.ok(["schedule", "hello:greet", "--id", "hourly", "--interval", "1h", "--arg", "name=Eve"]);
    let server = idle_server(&user, &[]);
    let (reader, admin) = (Browser::logged_in(&server, "read"), Browser::logged_in(&server, "all"));
    let (waiting, over) = (format!("/job?id={job}"), format!("/job?id={ended}"));
    for (path, buttons) in [(&*waiting, 1), (&over, 2), ("/schedule?id=hourly", 2), ("/queues", 1)] {
        let count = |page: String| page.matches("<form method=\"post\"").count();
        // That of the log-out is on every page.
        assert_eq!(count(reader.page(path)), 1, "{path}");
        assert_eq!(count(admin.page(path)), 1 + buttons, "{path}");
    }
    let jobs = user.json(&["jobs"]);
    for action in [
        &*format!("/job/cancel?id={job}"),
        &format!("/job/retry?id={ended}"),
        &format!("/job/again?id={ended}"),
        "/schedule/pause?id=hourly",
        "/schedule/unpause?id=hourly",
        "/schedule/run?id=hourly",
        "/schedule/remove?id=hourly",
        "/queue/pause?name=default",
        "/queue/resume?name=default",
    ] {
        let answer = reader.post(action, "");
        assert_eq!(answer.status, 403, "{action}: {:?}", answer.told());
        assert!(answer.told().1.contains("has not the permission"), "{action}: {:?}", answer.told());
        // An address alone does nothing, whoever follows it.
        assert!([405, 200].contains(&admin.get(action).status), "{action}");
    }
    assert_eq!(reader.get("/schedule/remove?id=hourly").status, 403);
    assert_eq!(user.json(&["jobs"]), jobs);
    assert_eq!(user.json(&["schedules"])[0]["paused"], false);
    assert_eq!(user.json(&["queues"])[0]["paused"], false);
}
