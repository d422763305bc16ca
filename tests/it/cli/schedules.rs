//! `schedules run` and `schedules set`, and jobs that wait for their time.

use serde_json::{Value, json};
use tests::cli::User;

/// A user with the plugin `hello` and a schedule `s` of its task `greet`, every hour from a time on.
fn with_schedule() -> User {
    let user = User::new();
    user.ok(["register".as_ref(), tests::artifacts::plugin("hello").as_os_str()]);
    let rule = ["--cron", "0 9 * * mon-fri", "--timezone", "Europe/Berlin", "--start", "2040-01-01T00:00:00Z"];
    user.ok([&["schedule", "greet", "--id", "s", "--arg", "name=Ada", "--priority", "3"][..], &rule].concat());
    user
}

fn shown(user: &User) -> Value {
    user.json(&["schedules", "show", "s"])
}

#[test]
fn a_schedule_is_run_at_once_and_its_job_is_marked() {
    let user = with_schedule();
    user.ok(["schedules", "pause", "s"]);
    let before = shown(&user);
    let job = user.ok(["schedules", "run", "s"]);
    let job = user.json(&["jobs", "show", &job]);
    assert_eq!(
        (&job["schedule_id"], &job["manual"], &job["scheduled_fire_time"]),
        (&json!("s"), &json!(true), &Value::Null)
    );
    assert_eq!((&job["args"], &job["priority"]), (&json!({"name": "Ada"}), &json!(3)));
    assert_eq!(shown(&user), before);
    let direct = user.ok(["submit", "greet", "--arg", "name=Ada"]);
    assert_eq!(user.json(&["jobs", "show", &direct])["manual"], false);
    let said = user.host(["schedules", "run", "none"]);
    assert_eq!(said.code, Some(4), "{said:?}");
}

#[test]
fn one_thing_about_a_schedule_is_changed_and_the_next_fires_tell_what_that_does() {
    let user = with_schedule();
    let before = shown(&user);
    let said = user.host(["schedules", "set", "s", "--cron", "30 10 * * *"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(
        lines,
        [
            "trigger: every day at 10:30, Europe/Berlin (it was: at 09:00 on Monday to Friday, Europe/Berlin)",
            "NEXT BEFORE                NEXT NOW",
            "2040-01-02T09:00:00+01:00  2040-01-01T10:30:00+01:00",
            "2040-01-03T09:00:00+01:00  2040-01-02T10:30:00+01:00",
            "2040-01-04T09:00:00+01:00  2040-01-03T10:30:00+01:00",
            "2040-01-05T09:00:00+01:00  2040-01-04T10:30:00+01:00",
            "2040-01-06T09:00:00+01:00  2040-01-05T10:30:00+01:00",
        ]
    );
    let after = shown(&user);
    for key in ["args", "own_settings", "created_at", "coalesce", "paused"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(after["trigger"]["start_time"], before["trigger"]["start_time"]);
    let said = user.ok(["schedules", "set", "s", "--arg", "name=Grace", "--unset", "priority", "--max-jitter", "5s"]);
    assert_eq!(
        said,
        "arguments: others\nmax jitter: 5s (it was: 0s)\nsettings: others; `host schedules show` shows them\n\
         the next fire times stay as they are"
    );
    assert_eq!((&shown(&user)["args"], &shown(&user)["own_settings"]), (&json!({"name": "Grace"}), &json!({})));
    let zone = user.json(&["schedules", "set", "s", "--timezone", "Asia/Tokyo"]);
    assert_eq!((&zone["changed"], &zone["fires_after"][0]), (&json!(["trigger"]), &json!("2040-01-01T10:30:00+09:00")));
    assert_eq!(user.ok(["schedules", "set", "s", "--timezone", "Asia/Tokyo"]), "schedule `s` is as it was");
    let ended = user.json(&["schedules", "set", "s", "--end", "2040-01-02T00:00:00Z"]);
    assert_eq!(ended["fires_after"].as_array().map(Vec::len), Some(1));
    let endless = user.json(&["schedules", "set", "s", "--no-end"]);
    assert_eq!(endless["fires_after"].as_array().map(Vec::len), Some(5));
}

#[test]
fn a_change_that_cannot_be_made_is_refused_and_changes_nothing() {
    let user = with_schedule();
    let before = shown(&user);
    for (flags, code, part) in [
        (&[][..], 2, "nothing is said that is to be different"),
        (&["--cron", "61 * * * *"], 2, "`61` at character 1"),
        (&["--cron", "@daily", "--interval", "1h"], 2, "cannot be used with"),
        (&["--timezone", "Europe/Berln"], 2, "did you mean `Europe/Berlin`?"),
        (&["--arg", "nmae=Ada"], 2, "the arguments do not fit"),
        (&["--at", "2001-01-01T00:00:00Z"], 6, "would have no fire time from now on"),
        (&["--end", "2001-01-01T00:00:00Z"], 2, "never fires"),
        (&["--day-or-weekday"], 2, "--day-or-weekday has no meaning without --cron"),
        (&["--interval", "1h", "--timezone", "UTC"], 2, "--timezone has no meaning with --interval"),
        (&["--end", "2041-01-01T00:00:00Z", "--no-end"], 2, "cannot be used with"),
        (&["--priority", "x"], 2, "priority"),
    ] {
        let said = user.host([&["schedules", "set", "s"][..], flags].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{flags:?}: {said:?}");
        assert!(said.err.contains(part), "{flags:?}: {said:?}");
    }
    assert_eq!(shown(&user), before);
    let said = user.host(["schedules", "set", "none", "--priority", "1"]);
    assert_eq!(said.code, Some(4), "{said:?}");
}

#[test]
fn a_job_with_a_unique_key_is_queued_once() {
    let user = with_schedule();
    let submit = |flags: &[&str]| user.host([&["submit", "greet", "--arg", "name=Ada"][..], flags].concat());
    let first = submit(&["--unique-key", "order 17"]);
    assert_eq!((first.code, first.err.as_str()), (Some(0), ""), "{first:?}");
    let again = submit(&["--unique-key", "order 17"]);
    assert_eq!((again.code, &again.out), (Some(0), &first.out), "{again:?}");
    assert!(again.err.contains("nothing was queued"), "{again:?}");
    let answer = user.json(&["submit", "greet", "--arg", "name=Ada", "--unique-key", "order 17", "--unique-for", "1h"]);
    assert_eq!(answer, json!({"job_id": first.out.trim(), "new": false}));
    let shown = user.json(&["jobs", "show", first.out.trim()]);
    assert_eq!((&shown["unique_key"], &shown["unique_until"]), (&json!("order 17"), &Value::Null));
    for (flags, part) in [(&["--unique-key", ""][..], "is empty"), (&["--unique-for", "1h"], "--unique-key")] {
        let said = submit(flags);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{said:?}");
        assert!(said.err.contains(part), "{said:?}");
    }
}

#[test]
fn a_job_can_wait_for_its_time() {
    let user = with_schedule();
    let due = |flags: &[&str]| {
        let job = user.ok([&["submit", "greet", "--arg", "name=Ada"][..], flags].concat());
        user.json(&["jobs", "show", &job])["due_at"].clone()
    };
    assert_eq!(due(&["--at", "2040-07-01T10:00", "--timezone", "Europe/Berlin"]), "2040-07-01T08:00:00.000000Z");
    assert_eq!(due(&["--at", "2040-07-01T10:00:00Z"]), "2040-07-01T10:00:00.000000Z");
    let job = user.ok(["submit", "greet", "--arg", "name=Ada", "--in", "1h"]);
    let job = user.json(&["jobs", "show", &job]);
    assert_ne!(job["due_at"], job["created_at"]);
    for (flags, part) in [
        (&["--at", "2040-07-01T10:00"][..], "does not say in which time zone"),
        (&["--at", "soon"], "soon"),
        (&["--at", "2040-07-01T10:00:00Z", "--in", "1h"], "cannot be used with"),
        (&["--at", "2040-07-01T10:00:00Z", "--timezone", "UTC"], "--timezone has no meaning"),
        (&["--timezone", "UTC"], "--at"),
        (&["--in", "x"], "duration"),
    ] {
        let said = user.host([&["submit", "greet", "--arg", "name=Ada"][..], flags].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{flags:?}: {said:?}");
        assert!(said.err.contains(part), "{flags:?}: {said:?}");
    }
}
