//! `schedules backfill`.

use serde_json::{Value, json};
use tests::cli::User;

/// A user with a schedule `s`, every day at nine in Berlin, that began in 2040.
fn with_schedule(flags: &[&str]) -> User {
    let user = User::new();
    user.ok(["register".as_ref(), tests::artifacts::plugin("hello").as_os_str()]);
    let rule = ["--cron", "0 9 * * *", "--timezone", "Europe/Berlin", "--start", "2040-01-01T00:00:00Z"];
    user.ok([&["schedule", "greet", "--id", "s", "--arg", "name=Ada"][..], &rule, flags].concat());
    user
}

const RANGE: [&str; 7] =
    ["schedules", "backfill", "s", "--from", "2020-03-28T00:00:00Z", "--to", "2020-03-30T07:00:00Z"];

fn backfill(user: &User, flags: &[&str]) -> Value {
    user.json(&[&RANGE[..], flags].concat())
}

#[test]
fn past_fire_times_get_one_job_each_however_often_that_is_asked_for() {
    let user = with_schedule(&["--paused", "--pause-after", "1"]);
    let before = user.json(&["schedules", "show", "s"]);
    let fires = ["2020-03-28T09:00:00+01:00", "2020-03-29T09:00:00+02:00", "2020-03-30T09:00:00+02:00"];
    assert_eq!(user.ok([&RANGE[..], &["--dry-run"]].concat()), fires.join("\n"));
    assert_eq!(user.json(&["jobs"]), json!([]), "nothing was queued");
    let first = backfill(&user, &["--limit", "2"]);
    assert_eq!((&first["fires"], &first["had_job"]), (&json!(fires[..2]), &json!(0)));
    assert_eq!(first["next"], fires[2]);
    let rest = backfill(&user, &[]);
    assert_eq!((rest["job_ids"].as_array().map(Vec::len), &rest["had_job"]), (Some(1), &json!(2)));
    assert_eq!((&rest["fires"], &rest["next"]), (&json!(fires), &Value::Null));
    let again = backfill(&user, &[]);
    assert_eq!((&again["job_ids"], &again["had_job"]), (&json!([]), &json!(3)));
    let job = user.json(&["jobs", "show", rest["job_ids"][0].as_str().expect("an ID")]);
    assert_eq!((&job["backfill"], &job["manual"], &job["schedule_id"]), (&json!(true), &json!(false), &json!("s")));
    assert_eq!(
        (&job["scheduled_fire_time"], &job["args"]),
        (&json!("2020-03-30T07:00:00.000000Z"), &json!({"name": "Ada"}))
    );
    assert_eq!(job["start_deadline"], Value::Null);
    assert_eq!(user.json(&["schedules", "show", "s"]), before);
}

#[test]
fn how_many_run_at_once_is_bounded_by_keys_that_they_share() {
    let user = with_schedule(&[]);
    let done = backfill(&user, &["--max-running", "2"]);
    let key = |at: usize| {
        let id = done["job_ids"][at].as_str().expect("an ID");
        user.json(&["jobs", "show", id])["concurrency_key"].as_str().expect("a key").to_owned()
    };
    assert_eq!((key(0) == key(1), key(0) == key(2)), (false, true));
    user.ok(["tasks", "configure", "hello:greet", "--max-running-per-key", "none"]);
    let said = user.host([&RANGE[..], &["--max-running", "2"]].concat());
    assert_eq!((said.code, said.out.as_str()), (Some(6), ""), "{said:?}");
    assert!(said.err.contains("--max-running-per-key 1"), "{said:?}");
    user.ok(["schedules", "set", "s", "--concurrency-key", "all"]);
    let said = user.host([&RANGE[..], &["--max-running", "2"]].concat());
    assert!(said.code == Some(6) && said.err.contains("a concurrency key already, `all`"), "{said:?}");
}

#[test]
fn what_has_not_passed_is_left_to_the_schedule() {
    let user = with_schedule(&[]);
    for (from, to, part) in [
        ("2041-01-01T00:00:00Z", "2042-01-01T00:00:00Z", "has not passed yet"),
        ("2020-01-02T00:00:00Z", "2020-01-01T00:00:00Z", "is after the last one"),
        ("2020-01-02T00:00", "2020-01-03T00:00:00Z", "--from: `2020-01-02T00:00"),
    ] {
        let said = user.host(["schedules", "backfill", "s", "--from", from, "--to", to]);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{from}: {said:?}");
        assert!(said.err.contains(part), "{from}: {said:?}");
    }
    let far = ["schedules", "backfill", "s", "--from", "2020-01-01T00:00:00Z", "--to", "2050-01-01T00:00:00Z"];
    let many = user.json(&[&far[..], &["--dry-run", "--limit", "10000"]].concat());
    let last = many["fires"].as_array().and_then(|fires| fires.last()).and_then(Value::as_str).expect("a time");
    assert!(last < "2040" && many["next"] == Value::Null, "nothing from now on: {last}");
    let said = user.host([&far[..], &["--limit", "10001"]].concat());
    assert!(said.code == Some(2) && said.err.contains("1 to 10000"), "{said:?}");
    assert_eq!(user.host(["schedules", "backfill", "none", "--from", far[4], "--to", far[6]]).code, Some(4));
}
