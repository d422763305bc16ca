//! `schedule --from-crontab`: a whole file at once.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use tests::cli::User;

/// A user with the plugin `hello`, and a file in its home.
fn with_file(text: &str) -> (User, std::path::PathBuf) {
    let user = User::new();
    user.ok(["register".as_ref(), tests::artifacts::plugin("hello").as_os_str()]);
    let file = user.home().join("crontab");
    std::fs::write(&file, text).expect("the file is written");
    (user, file)
}

fn import(file: &std::path::Path, flags: &[&str]) -> Vec<std::ffi::OsString> {
    let mut words: Vec<std::ffi::OsString> = vec!["schedule".into(), "--from-crontab".into(), file.into()];
    words.extend(flags.iter().map(Into::into));
    words
}

fn schedules(user: &User) -> Vec<Value> {
    user.json(&["schedules"]).as_array().expect("a list").clone()
}

const GOOD: &str = "\
# what runs in the night
MAILTO=ops@example.com
*/5 9-17 * * mon-fri  greet --arg 'name=Ada Lovelace' --id work

CRON_TZ=Europe/Berlin
30 9 1,15 * 1 greet --arg name=Grace --id either --priority 3
@weekly greet --arg name=50\\%
0 12 13 * */3 greet --arg name=Ada --id both --paused
";

#[test]
fn every_line_of_a_crontab_is_scheduled_and_answered() {
    let (user, file) = with_file(GOOD);
    let said = user.host(import(&file, &[]));
    assert_eq!(said.code, Some(0), "{said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 6, "{said:?}");
    assert!(lines[0].starts_with("line 2: ignored: MAILTO is for the environment"), "{said:?}");
    assert!(
        lines[1]
            .starts_with("line 3: added `work`: every 5 minutes from 09:00 to 17:55 on Monday to Friday, UTC; next ")
    );
    assert_eq!(lines[2], "line 5: zone: the times below are those of Europe/Berlin");
    assert!(
        lines[3].starts_with(
            "line 6: added `either`: at 09:30 on days 1 and 15 as well as on Monday, Europe/Berlin; next "
        )
    );
    assert!(lines[4].starts_with("line 7: added `greet-"), "{said:?}");
    assert!(lines[5].contains("on day 13 if it is a Wednesday, Saturday or Sunday, Europe/Berlin"), "{said:?}");
    let shown = |id: &str| user.json(&["schedules", "show", id]);
    assert_eq!(shown("work")["args"], json!({"name": "Ada Lovelace"}));
    assert_eq!(shown("either")["settings"]["priority"], 3);
    assert_eq!(shown("either")["trigger"]["day_match"], "or");
    assert_eq!((&shown("both")["paused"], &shown("work")["paused"]), (&json!(true), &json!(false)));
    let weekly = schedules(&user).into_iter().find(|row| row["args"]["name"] == "50%").expect("the weekly one");
    assert_eq!(weekly["trigger"]["timezone"], "Europe/Berlin");
}

#[test]
fn a_file_that_is_taken_over_again_adds_what_is_new_in_it() {
    let (user, file) = with_file("@daily greet --arg name=Ada\n");
    user.ok(import(&file, &["--timezone", "Asia/Tokyo"]));
    let before = schedules(&user);
    assert_eq!(before[0]["trigger"]["timezone"], "Asia/Tokyo");
    std::fs::write(&file, "@daily greet --arg name=Ada\n@hourly greet --arg name=Grace\n").expect("written");
    let said = user.host(import(&file, &[]));
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.out.contains("line 1: refused: schedule `greet-") && said.out.contains("line 2: ready `greet-"),
        "{said:?}"
    );
    assert_eq!(schedules(&user), before);
    let answer =
        user.json(&["schedule", "--from-crontab", file.to_str().expect("UTF-8"), "--conflict", "skip", "--paused"]);
    let statuses: Vec<&Value> = answer.as_array().expect("lines").iter().map(|line| &line["status"]).collect();
    assert_eq!(statuses, ["kept", "added"]);
    assert_eq!(answer[0]["fires"], "every day at 00:00, Asia/Tokyo", "what is kept is told as it is");
    assert_eq!(answer[1]["line"], 2);
    let new = user.json(&["schedules", "show", answer[1]["id"].as_str().expect("an ID")]);
    assert_eq!(new["paused"], true);
}

#[test]
fn bad_lines_are_reported_with_their_reasons_and_nothing_changes_unless_the_rest_is_asked_for() {
    let (user, file) = with_file(
        "0 9 * * * greet --arg name=Ada --id good\n\
         61 9 * * * greet --arg name=Ada\n\
         @reboot greet --arg name=Ada\n\
         0 9 * * * /usr/bin/backup --all\n\
         0 9 * * * greet --arg nmae=Ada\n\
         0 9 * * *\n\
         0 9 * * * greet%hello\n\
         0 9 * * * greet --arg name=Ada --id good\n\
         0 9 31 2 * greet --arg name=Ada\n\
         0 9 * * * nobody\n",
    );
    let said = user.host(import(&file, &[]));
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.err.contains("9 of 10 lines cannot be scheduled, so none was") && said.err.contains("--partial"),
        "{said:?}"
    );
    for part in [
        "line 1: ready `good`",
        "line 2: refused: cron: `61` at character 1 is above 59",
        "line 3: refused: cron: `@reboot` at character 1 is the start of a machine",
        "line 4: refused: unexpected argument '--all' found",
        "line 5: refused: the arguments do not fit the task `hello:greet`",
        "line 6: refused: has no command behind five fields",
        "line 7: refused: `%` begins the command's standard input",
        "line 8: refused: it has the same schedule ID as line 1, `good`",
        "line 9: refused: trigger never fires",
        "line 10: refused: there is no task `nobody`",
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    assert_eq!(schedules(&user), Vec::<Value>::new());
    let said = user.host(import(&file, &["--partial"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains("line 1: added `good`")
            && said.err.contains("9 of 10 lines cannot be scheduled; the others are"),
        "{said:?}"
    );
    assert!(said.err.contains("the times are those of UTC"), "{said:?}");
    assert_eq!(schedules(&user).len(), 1);
}

#[test]
fn a_crontab_comes_through_standard_input_too() {
    let (user, _) = with_file("");
    let mut child = user
        .command(["schedule", "--from-crontab", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(b"@hourly greet --arg name=Ada --id piped\n").expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("ends");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&answer[0]["id"], &answer[0]["status"]), (&json!("piped"), &json!("added")));
}

#[test]
fn flags_that_say_nothing_beside_a_file_are_refused() {
    let (user, file) = with_file("@hourly greet --arg name=Ada\n");
    for (flags, part) in [
        (&["greet"][..], "cannot be used with"),
        (&["--cron", "@daily"], "cannot be used with"),
        (&["--arg", "name=Ada"], "no flag but --paused says what the schedules do"),
        (&["--start", "2040-01-01T00:00:00Z"], "--start has no meaning with --from-crontab"),
        (&["--day-or-weekday"], "--day-or-weekday has no meaning without --cron"),
    ] {
        let said = user.host(import(&file, flags));
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{flags:?}: {said:?}");
        assert!(said.err.contains(part), "{flags:?}: {said:?}");
    }
    let said = user.host(import(&user.home().join("none"), &[]));
    assert_eq!(said.code, Some(4), "{said:?}");
    let said = user.host(["schedule", "greet", "--interval", "1h", "--partial"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert_eq!(schedules(&user), Vec::<Value>::new());
}
