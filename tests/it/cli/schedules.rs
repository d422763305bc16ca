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

#[test]
fn an_overlap_policy_is_inherited_given_taken_back_and_shown() {
    let user = with_schedule();
    let policy = |value: &Value| (value["overlap"].clone(), value["own_settings"]["overlap"].clone());
    assert_eq!(policy(&shown(&user)), (json!("queue"), Value::Null));
    user.ok(["tasks", "configure", "greet", "--overlap", "queue-one"]);
    assert_eq!(user.json(&["tasks", "show", "greet"])["overlap"], "queue-one");
    assert_eq!(policy(&shown(&user)), (json!("queue-one"), Value::Null), "it is the task's");
    let said = user.ok(["schedules", "set", "s", "--overlap", "cancel-running"]);
    assert!(said.contains("overlap: cancel-running (it was: the task's)"), "{said}");
    assert_eq!(policy(&shown(&user)), (json!("cancel-running"), json!("cancel-running")));
    let line = || {
        let shown = user.ok(["schedules", "show", "s"]);
        let line = shown.lines().find_map(|line| line.strip_prefix("overlap:")).map(str::trim);
        line.expect("it is shown").to_owned()
    };
    assert_eq!(line(), "cancel-running");
    let said = user.ok(["schedules", "set", "s", "--unset", "overlap"]);
    assert!(said.contains("overlap: the task's (it was: cancel-running)"), "{said}");
    assert_eq!(line(), "queue-one  (its task's)");
    user.ok(["schedule", "greet", "--arg", "name=Ada", "--id", "t", "--interval", "1h", "--overlap", "skip"]);
    assert_eq!(user.json(&["schedules", "show", "t"])["overlap"], "skip");
    let before = shown(&user);
    for command in [
        &["schedules", "set", "s", "--overlap", "skipp"][..],
        &["schedule", "greet", "--arg", "name=Ada", "--interval", "1h", "--overlap", "skipp"],
        &["tasks", "configure", "greet", "--overlap", "skipp"],
    ] {
        let said = user.host(command);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{said:?}");
        let is_helpful = said.err.contains("'skipp'") && said.err.contains("queue-one, cancel-running, replace-queued");
        assert!(is_helpful, "{said:?}");
    }
    assert_eq!(shown(&user), before);
    let said = user.host(["submit", "greet", "--arg", "name=Ada", "--overlap", "skip"]);
    assert_eq!(said.code, Some(2), "a job has none: {said:?}");
    let file = user.file("settings.toml", "[task_defaults]\noverlap = \"skipp\"\n");
    let said = user.host(["--config".as_ref(), file.as_os_str(), "tasks".as_ref()]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("line 2") && said.err.contains("`skipp` is no overlap policy"), "{said:?}");
}

#[test]
fn the_history_of_a_schedule_tells_what_became_of_its_fire_times() {
    let user = with_schedule();
    let said = user.host(["schedules", "history", "s"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.err.contains("nothing was due yet"), "{said:?}");
    assert_eq!(user.json(&["schedules", "history", "s"]), json!([]));
    let overdue = ["--interval", "1h", "--start", "2026-01-01T00:00:00Z", "--end", "2026-01-01T05:30:00Z"];
    let greet = ["schedule", "greet", "--arg", "name=Ada", "--id"];
    user.ok([&greet[..], &["late"], &overdue].concat());
    user.ok([&greet[..], &["each", "--coalesce", "all", "--overlap", "skip"], &overdue].concat());
    user.ok([&greet[..], &["resting", "--paused"], &overdue[..4]].concat());
    user.ok(["schedules", "unpause", "resting", "--resume-from", "2026-01-01T03:00:00Z"]);
    user.ok(["schedules", "pause", "resting"]);
    let server = user.start(["serve"], "ready: both");
    let line = |id: &str, at: usize| {
        super::serving::wait_for("a line", || {
            let lines = user.json(&["schedules", "history", id, "--explain"]);
            lines.get(at).cloned()
        })
    };
    let late = line("late", 0);
    assert_eq!((&late["fate"], &late["count"], &late["is_end"]), (&json!("coalesced"), &json!(6), &json!(true)));
    assert_eq!(late["first_due"], "2026-01-01T00:00:00.000000Z");
    assert_eq!(
        (&late["last_due"], &late["jobs"][0]["id"]),
        (&json!("2026-01-01T05:00:00.000000Z"), &late["job_ids"][0])
    );
    let (skipped, made) = (line("each", 0), line("each", 1));
    assert_eq!((&skipped["fate"], &skipped["count"], &skipped["job_ids"]), (&json!("overlap"), &json!(5), &json!([])));
    assert!(skipped["reason"].as_str().is_some_and(|why| why.starts_with("skip: job ")), "{skipped}");
    assert_eq!((&made["fate"], &made["count"], &made["reason"]), (&json!("queued"), &json!(1), &Value::Null));
    let resting = line("resting", 0);
    assert_eq!((&resting["fate"], &resting["count"]), (&json!("paused"), &json!(3)));
    super::serving::wait_for("the job to run", || {
        let jobs = user.json(&["jobs", "--outcome", "success"]);
        (jobs.as_array().map_or(0, Vec::len) >= 2).then_some(())
    });
    server.signal("TERM");
    assert_eq!(server.end().code, Some(0));
    let table = user.ok(["schedules", "history", "each", "--explain"]);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[0].contains("DUE") && rows[0].ends_with("WHY"), "{table}");
    assert!(rows[1].contains("skipped: overlap") && rows[1].contains("the last fire time"), "{table}");
    assert!(rows[2].contains("queued") && rows[2].ends_with("success"), "{table}");
    let one = user.host(["schedules", "history", "each", "-n", "1"]);
    assert_eq!(one.out.lines().count(), 2, "{one:?}");
    assert!(one.err.contains("there are more"), "{one:?}");
    for (arguments, code, part) in [
        (&["schedules", "history", "none"][..], 4, "schedules: "),
        (&["schedules", "history", "each", "--limit", "0"], 2, "a number from 1"),
        (&["schedules", "history"], 2, "<ID>"),
        (&["serve", "--history-max", "0"], 2, "a number from 1"),
        (&["serve", "--history-ttl", "10"], 2, "10s or 10ms"),
    ] {
        let said = user.host(arguments);
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{said:?}");
        assert!(said.err.contains(part), "{said:?}");
    }
    user.ok(["cleanup"]);
    assert_eq!(user.json(&["schedules", "history", "each"]).as_array().map(Vec::len), Some(2));
    let file = user.file("settings.toml", "[serve]\nhistory_max = 1\n");
    user.ok(["--config".as_ref(), file.as_os_str(), "cleanup".as_ref()]);
    assert_eq!(user.json(&["schedules", "history", "each"]).as_array().map(Vec::len), Some(1));
    user.ok(["schedules", "remove", "each"]);
    assert_eq!(user.host(["schedules", "history", "each"]).code, Some(4));
}

#[test]
fn what_stops_a_schedule_is_given_shown_changed_and_taken_back() {
    let user = with_schedule();
    user.ok(["tasks", "configure", "hello:greet", "--pause-after", "5"]);
    assert_eq!(user.json(&["tasks", "show", "greet"])["pause_after"], 5);
    let stops = |schedule: &Value| {
        ["pause_after", "until_success", "max_fires", "fire_count", "failures"].map(|key| schedule[key].clone())
    };
    assert_eq!(stops(&shown(&user)), [json!(5), json!(false), Value::Null, json!(0), json!(0)], "the task's");
    let said = user.ok(["schedules", "set", "s", "--pause-after", "none", "--until-success", "--max-fires", "3"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "pause after: never (it was: as the task says)",
            "until success: yes (it was: no)",
            "max fires: 3 (it was: any number)"
        ]
    );
    assert_eq!(lines[3..].len(), 1 + 5, "the fire times behind the third one are gone: {said}");
    assert_eq!(stops(&shown(&user)), [Value::Null, json!(true), json!(3), json!(0), json!(0)]);
    assert_eq!(user.ok(["schedules", "preview", "s"]).lines().count(), 3);
    user.ok(["schedules", "set", "s", "--unset", "until-success", "--unset", "max-fires", "--unset", "pause-after"]);
    assert_eq!(stops(&shown(&user)), [json!(5), json!(false), Value::Null, json!(0), json!(0)]);
    let rule = ["schedule", "greet", "--interval", "1h", "--arg", "name=Ada", "--id", "bounded"];
    let added = user.json(&[&rule[..], &["--max-fires", "2", "--pause-after", "1"]].concat());
    assert_eq!((&added["max_fires"], &added["pause_after"]), (&json!(2), &json!(1)));
}

#[test]
fn a_hook_is_given_shown_taken_back_and_called_with_the_job_that_has_ended() {
    let user = with_schedule();
    user.ok(["register".as_ref(), tests::artifacts::plugin("faults").as_os_str()]);
    let configured = user.json(&["tasks", "configure", "greet", "--on-failure", "told", "--on-missed", "none"]);
    assert_eq!(configured["on_failure"], "faults:told");
    assert_eq!(configured["configured"], json!({"on_failure": "faults:told", "on_missed": null}));
    let hooks = |schedule: &Value| ["on_failure", "on_success", "on_missed"].map(|key| schedule[key].clone());
    assert_eq!(hooks(&shown(&user)), [json!("faults:told"), Value::Null, Value::Null]);
    let said = user.ok(["schedules", "set", "s", "--on-success", "told", "--on-failure", "none"]);
    let lines = ["on failure: none (it was: as the task says)", "on success: faults:told (it was: as the task says)"];
    assert_eq!(said.lines().take(2).collect::<Vec<_>>(), lines);
    assert_eq!(hooks(&shown(&user)), [Value::Null, json!("faults:told"), Value::Null]);
    assert!(user.ok(["schedules", "show", "s"]).contains("on success"), "{said}");
    user.ok(["schedules", "set", "s", "--unset", "on-success", "--unset", "on-failure"]);
    assert_eq!(hooks(&shown(&user)), [json!("faults:told"), Value::Null, Value::Null]);

    let failed = user.host(["run", "greet", "--arg", "name=", "--json"]);
    assert_eq!(failed.code, Some(7), "{failed:?}");
    let jobs = user.json(&["jobs", "--task", "faults:told"]);
    let [made] = &jobs.as_array().expect("a list")[..] else { panic!("one job was to be made: {jobs}") };
    let told = user.json(&["jobs", "show", made["id"].as_str().expect("an id")])["args"]["job"].clone();
    assert_eq!((&told["task_id"], &told["outcome"]), (&json!("hello:greet"), &json!("error")));
    assert_eq!((&told["args"], &told["error"]["kind"]), (&json!({"name": ""}), &json!("guest_error")));
}

#[test]
fn a_hook_that_leads_back_that_does_not_exist_or_takes_no_job_is_refused() {
    let user = with_schedule();
    user.ok(["register".as_ref(), tests::artifacts::plugin("faults").as_os_str()]);
    user.ok(["tasks", "configure", "second", "--from", "told", "--on-failure", "told"]);
    let before = (shown(&user), user.json(&["tasks", "show", "told"]));
    for (flags, code, parts) in [
        (&["tasks", "configure", "told", "--on-success", "told"][..], 2, &["`faults:told` calls `faults:told`"][..]),
        (
            &["tasks", "configure", "told", "--on-missed", "second"],
            2,
            &["`faults:told` calls `second` calls `faults:told`", "hint: name a task whose own hooks do not lead back"],
        ),
        (&["schedules", "set", "s", "--on-failure", "tolt"], 4, &["tolt", "faults:told"]),
        (
            &["schedules", "set", "s", "--on-failure", "greet"],
            2,
            &[
                "the task `hello:greet` does not take what a hook gets",
                "`job`",
                "hint: a hook gets one argument, `job`",
            ],
        ),
        (&["schedules", "set", "s", "--on-failure", ""], 2, &["--on-failure"]),
    ] {
        let said = user.host(flags);
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{flags:?}: {said:?}");
        for part in parts {
            assert!(said.err.contains(part), "{flags:?}: {said:?}");
        }
    }
    assert_eq!((shown(&user), user.json(&["tasks", "show", "told"])), before);
}

#[test]
fn a_bound_that_is_none_is_refused() {
    let user = with_schedule();
    let before = shown(&user);
    for (flags, part) in [
        (["--max-fires", "0"], "a number from 1"),
        (["--max-fires", "none"], "a number from 1"),
        (["--pause-after", "0"], "a number from 1, or `none` for never"),
        (["--pause-after", "-1"], "--pause-after"),
    ] {
        let said = user.host([&["schedules", "set", "s"][..], &flags].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{flags:?}: {said:?}");
        assert!(said.err.contains(part), "{flags:?}: {said:?}");
    }
    assert_eq!(shown(&user), before);
}
