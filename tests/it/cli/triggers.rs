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
