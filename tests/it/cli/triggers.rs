//! `trigger next`.

use std::io::Write;
use std::process::Stdio;

use tests::cli::User;

#[test]
fn fire_times_are_printed_one_a_line_in_the_triggers_own_zone() {
    let user = User::new();
    let trigger =
        r#"{"type":"cron","hour":2,"minute":30,"start_time":"2026-03-28T00:00:00+01:00","timezone":"Europe/Berlin"}"#;
    let lines = user.ok(["trigger", "next", trigger, "-n", "3"]);
    assert_eq!(lines, "2026-03-28T02:30:00+01:00\n2026-03-29T03:00:00+02:00\n2026-03-30T02:30:00+02:00");
    let lines = user.ok(["trigger", "next", trigger, "-n", "1", "--after", "2026-03-28T02:30:00+01:00"]);
    assert_eq!(lines, "2026-03-29T03:00:00+02:00");
    assert_eq!(user.json(&["trigger", "next", trigger, "-n", "1"]), serde_json::json!(["2026-03-28T02:30:00+01:00"]));
}

#[test]
fn a_trigger_that_never_fires_is_an_error_and_one_that_ends_is_not() {
    let user = User::new();
    let said = user.host(["trigger", "next", r#"{"type":"cron","month":2,"day":30}"#]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{said:?}");
    assert!(said.err.contains("never fires"), "{said:?}");
    let said = user.host(["trigger", "next", r#"{"type":"date","run_time":"2026-01-01T00:00:00Z"}"#, "-n", "2"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "2026-01-01T00:00:00+00:00\n"), "{said:?}");
}

#[test]
fn a_batch_is_answered_line_by_line() {
    let user = User::new();
    let mut command = user.command(["trigger", "next", "--batch"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let lines = [
        r#"{"id":1,"trigger":{"type":"date","run_time":"2026-01-01T00:00:00Z"},"count":2}"#,
        "",
        r#"{"id":2,"trigger":{"type":"cron","hour":99},"count":1}"#,
        "not JSON",
    ];
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(lines.join("\n").as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(0));
    let answers: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert_eq!(answers[0], serde_json::json!({"id": 1, "expect": ["2026-01-01T00:00:00+00:00"], "exhausted": true}));
    assert!(answers[1]["error"].as_str().expect("a text").contains("hour"), "{answers:?}");
    assert_eq!((&answers[2]["id"], answers[2]["error"].is_string()), (&serde_json::Value::Null, true));
}

#[test]
fn a_zone_keeps_its_summer_beyond_the_years_of_the_zone_data() {
    let user = User::new();
    let noon =
        r#"{"type":"cron","month":7,"day":1,"hour":12,"start_time":"2099-01-01T00:00:00Z","timezone":"Europe/Berlin"}"#;
    let lines = user.ok(["trigger", "next", noon, "-n", "3"]);
    assert_eq!(lines, "2099-07-01T12:00:00+02:00\n2100-07-01T12:00:00+02:00\n2101-07-01T12:00:00+02:00");
}

#[test]
fn a_trigger_that_would_be_changed_is_refused_also_in_a_batch() {
    let user = User::new();
    let twice = r#"{"type":"cron","hour":3,"hour":5}"#;
    let said = user.host(["trigger", "next", twice]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{said:?}");
    assert!(said.err.starts_with("error: hour: the key comes twice, at line 1 column 30"), "{said:?}");
}

#[test]
fn a_local_time_of_a_zone_is_a_time_to_fire_at() {
    let user = User::new();
    user.ok(["register".as_ref(), tests::artifacts::plugin("hello").as_os_str()]);
    let fires = |id: &str, when: &[&str]| {
        user.ok([&["schedule", "greet", "--arg", "name=Ada", "--id", id][..], when].concat());
        user.ok(["schedules", "preview", id, "-n", "1"])
    };
    assert_eq!(fires("a", &["--at", "2040-12-01T10:00", "--timezone", "Europe/Berlin"]), "2040-12-01T10:00:00+01:00");
    assert_eq!(
        fires("b", &["--at", "2040-07-01 10:00:30", "--timezone", "Europe/Berlin"]),
        "2040-07-01T10:00:30+02:00"
    );
    assert_eq!(fires("c", &["--at", "2040-03-25T02:30", "--timezone", "Europe/Berlin"]), "2040-03-25T03:00:00+02:00");
    let last = ["--at", "2040-10-28T02:30", "--timezone", "Europe/Berlin", "--dst-fold", "last"];
    assert_eq!(fires("d", &last), "2040-10-28T02:30:00+01:00");
    let interval = ["--interval", "1h", "--start", "2040-07-01T10:00", "--timezone", "Europe/Berlin"];
    assert_eq!(fires("e", &interval), "2040-07-01T10:00:00+02:00");
}

#[test]
fn a_schedule_that_fires_all_the_time_or_means_and_where_cron_means_or_is_noted() {
    let user = User::new();
    user.ok(["register".as_ref(), tests::artifacts::plugin("hello").as_os_str()]);
    let notes =
        |when: &[&str]| user.host([&["schedule", "greet", "--arg", "name=Ada", "--paused"][..], when].concat()).err;
    assert!(notes(&["--interval", "1ms"]).contains("note: that is about 1000 times a second; `m` stands for minutes"));
    assert!(!notes(&["--interval", "1m"]).contains("note:"));
    for cron in ["0 0 13 * 5", "0 0 0 13 * 5"] {
        assert!(notes(&["--cron", cron]).contains("classic cron would fire when either does"), "{cron}");
    }
    assert!(!notes(&["--cron", "0 0 0 13 * *"]).contains("note:"));
}

#[test]
fn a_cron_expression_of_another_dialect_is_shown_scheduled_and_kept() {
    let user = User::new();
    user.ok(["register".as_ref(), tests::artifacts::plugin("hello").as_os_str()]);
    let quartz = ["--cron", "0 0 9 ? * 6L 2040-2041", "--dialect", "quartz", "--timezone", "Europe/Berlin"];
    let next = user.ok([&["trigger", "next", "-n", "2"][..], &quartz].concat());
    assert_eq!(next, "2040-01-27T09:00:00+01:00\n2040-02-24T09:00:00+01:00");
    let schedule = |id: &str, when: &[&str]| {
        let said = user.host([&["schedule", "greet", "--arg", "name=Ada", "--id", id][..], when].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        (said.err, user.ok(["schedules", "preview", id, "-n", "2"]))
    };
    let (words, preview) = schedule("last-friday", &quartz);
    assert_eq!(preview, next);
    assert!(words.contains("greet: at 09:00 on the last Friday in 2040 to 2041, Europe/Berlin; first "), "{words}");
    let either = ["--cron", "0 12 13 3 fri", "--day-or-weekday", "--start", "2040-01-01T00:00:00Z"];
    let (words, preview) = schedule("either", &either);
    assert_eq!(preview, "2040-03-02T12:00:00+00:00\n2040-03-09T12:00:00+00:00");
    assert!(words.contains("on day 13 as well as on Friday, in March") && !words.contains("note:"), "{words}");
    let (words, _) = schedule("often", &["--cron", "@every 90s"]);
    assert!(words.contains("every 1 minute and 30 seconds"), "{words}");
}

#[test]
fn h_takes_its_value_from_the_id_and_keeps_it() {
    let user = User::new();
    user.ok(["register".as_ref(), tests::artifacts::plugin("hello").as_os_str()]);
    let rule = |id: &str| {
        user.ok(["schedule", "greet", "--arg", "name=Ada", "--cron", "H H * * *", "--id", id, "--conflict", "replace"]);
        user.json(&["schedules", "show", id])["trigger"]["expression"].clone()
    };
    let (first, other) = (rule("nightly"), rule("weekly"));
    assert_ne!(first, other);
    assert_eq!(rule("nightly"), first);
    let next = ["trigger", "next", "--cron", "H H * * *", "--id", "nightly", "-n", "1"];
    assert_eq!(user.ok(next), user.ok(["schedules", "preview", "nightly", "-n", "1"]));
    // Without an ID the one that is made gives the value.
    let made = user.ok(["schedule", "greet", "--arg", "name=Ada", "--cron", "H 3 * * *"]);
    assert_eq!(
        user.ok(["trigger", "next", "--cron", "H 3 * * *", "--id", &made]),
        user.ok(["schedules", "preview", &made, "-n", "1"])
    );
    let said = user.host(["trigger", "next", "--cron", "H 3 * * *"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("takes its value from the ID of a schedule"), "{said:?}");
}
