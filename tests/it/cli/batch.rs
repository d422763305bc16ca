//! `submit --batch`, groups, and jobs that are cancelled and tried again by a filter.

use serde_json::{Value, json};
use tests::cli::User;

fn with_plugin() -> User {
    let user = User::new();
    user.ok(["register".as_ref(), tests::artifacts::plugin("hello").as_os_str()]);
    user
}

/// Writes a file of these lines, and answers its path.
fn file(user: &User, lines: &[&str]) -> String {
    let path = user.home().join("jobs.jsonl");
    std::fs::write(&path, lines.join("\n")).expect("the file is written");
    path.to_str().expect("UTF-8").to_owned()
}

fn jobs(user: &User, filter: &[&str]) -> Vec<Value> {
    user.json(&[&["jobs", "-n", "1000"][..], filter].concat()).as_array().expect("a list").clone()
}

#[test]
fn each_line_is_a_job_with_what_it_says_and_their_ids_come_in_its_order() {
    let user = with_plugin();
    let lines = [
        r#"{"task":"greet","args":{"name":"Ada"},"group":"import","priority":4,"max_attempts":3,"timeout":"7s"}"#,
        "",
        r#"{"task":"hello:greet","args":["Grace"],"in":"1h","metadata":{"order":17},"unique_key":"order 17"}"#,
        r#"{"task":"greet","args":{"name":"Edsger"},"unique_key":"order 17"}"#,
    ];
    let path = file(&user, &lines);
    let answers = user.json(&["submit", "--batch", &path]);
    let new: Vec<_> = answers.as_array().expect("a list").iter().map(|it| (&it["line"], &it["new"])).collect();
    assert_eq!(new, [(&json!(1), &json!(true)), (&json!(3), &json!(true)), (&json!(4), &json!(false))]);
    assert_eq!(answers[1]["job_id"], answers[2]["job_id"]);
    let first = user.json(&["jobs", "show", answers[0]["job_id"].as_str().expect("an ID")]);
    assert_eq!((&first["group"], &first["priority"]), (&json!("import"), &json!(4)));
    assert_eq!((&first["max_attempts"], &first["settings"]["timeout_ms"]), (&json!(3), &json!(7_000)));
    let second = user.json(&["jobs", "show", answers[1]["job_id"].as_str().expect("an ID")]);
    assert_eq!((&second["args"], &second["metadata"]["order"]), (&json!(["Grace"]), &json!(17)));
    assert_eq!(jobs(&user, &[]).len(), 2);
    assert_eq!(jobs(&user, &["--group", "import"]).len(), 1);
    assert_eq!(jobs(&user, &["--group", "Import"]).len(), 0);
}

#[test]
fn a_batch_with_a_fault_queues_nothing_or_with_partial_the_rest() {
    let user = with_plugin();
    let lines = [
        r#"{"task":"greet","args":{"name":"Ada"}}"#,
        r#"{"task":"greet","args":{"nmae":"Ada"}}"#,
        r#"{"task":"greet","args":{"name":"Ada"},"prio":3}"#,
        r#"{"task":"gret"}"#,
        r#"{"task":"greet","args":{"name":"Ada"}"#,
        r#"{"task":"greet","args":{"name":"Ada"},"in":"soon"}"#,
    ];
    let path = file(&user, &lines);
    let said = user.host(["submit", "--batch", &path]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{said:?}");
    for part in [
        "5 of 6 lines cannot be queued, so none was",
        "line 2: the arguments do not fit the task `hello:greet`: ",
        "line 3: `prio` is no key of a line",
        "line 4: ",
        "line 5: it is not valid JSON",
        "line 6: `in` is not valid: ",
        "hint: mend them, or queue the others with --partial",
    ] {
        assert!(said.err.contains(part), "{part}: {said:?}");
    }
    assert_eq!(jobs(&user, &[]).len(), 0);
    let said = user.host(["submit", "--batch", &path, "--partial"]);
    assert_eq!((said.code, said.out.lines().count()), (Some(0), 1), "{said:?}");
    assert!(said.err.contains("5 of 6 lines cannot be queued; the others are"), "{said:?}");
    assert_eq!(jobs(&user, &[]).len(), 1);
    for (flags, part) in [
        (&["--batch", &path, "--priority", "3"][..], "beside --batch, no flag but --partial says what the jobs are"),
        (&["--batch", &path, "greet"], "cannot be used with"),
        (&["greet", "--partial"], "--batch"),
        (&[], "required"),
    ] {
        let said = user.host([&["submit"][..], flags].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{flags:?}: {said:?}");
        assert!(said.err.contains(part), "{flags:?}: {said:?}");
    }
    assert_eq!(user.host(["submit", "--batch", "/none/at/all"]).code, Some(4));
}

#[test]
fn more_lines_than_one_call_of_the_store_takes_are_queued() {
    let user = with_plugin();
    let lines: Vec<String> =
        (0..2_500).map(|n| format!(r#"{{"task":"greet","args":{{"name":"{n}"}},"group":"many"}}"#)).collect();
    let path = file(&user, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let ids = user.ok(["submit", "--batch", &path]);
    let mut sorted: Vec<&str> = ids.lines().collect();
    assert_eq!(sorted.len(), 2_500);
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 2_500);
    assert_eq!(user.json(&["status"])["jobs"]["queued"], 2_500);
}

#[test]
fn jobs_that_pass_a_filter_are_cancelled_and_tried_again_after_their_number_was_told() {
    let user = with_plugin();
    for group in ["a", "a", "b"] {
        user.ok(["submit", "greet", "--arg", "name=Ada", "--group", group]);
    }
    let said = user.host(["jobs", "cancel", "--group", "a"]);
    assert_eq!((said.code, said.out.as_str()), (Some(3), ""), "{said:?}");
    assert!(said.err.contains("this cancels 2 jobs") && said.err.contains("--yes"), "{said:?}");
    assert_eq!(jobs(&user, &["--state", "queued"]).len(), 3);
    assert_eq!(user.ok(["jobs", "cancel", "--group", "a", "--yes"]), "2 jobs cancelled, 0 running jobs asked to stop");
    assert_eq!(jobs(&user, &["--outcome", "cancelled"]).len(), 2);
    let again = user.json(&["jobs", "cancel", "--group", "a", "--yes"]);
    assert_eq!(again, json!({"cancelled": 0, "asked": 0, "passed_over": 0}));
    let said = user.host(["jobs", "retry", "--task", "greet"]);
    assert!(said.code == Some(3) && said.err.contains("this queues once more 2 jobs"), "{said:?}");
    assert_eq!(user.json(&["jobs", "retry", "--task", "greet", "--yes"]), json!({"queued": 2, "passed_over": 0}));
    assert_eq!(jobs(&user, &["--state", "queued"]).len(), 3);
    for (words, part) in [
        (&["jobs", "cancel"][..], "no job is named"),
        (&["jobs", "retry", "--yes"], "no job is named"),
        (&["jobs", "cancel", "01890a5d-ac96-774b-bcce-b302099a8057", "--group", "a"], "a filter beside it"),
    ] {
        let said = user.host(words);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{words:?}: {said:?}");
        assert!(said.err.contains(part), "{words:?}: {said:?}");
    }
    let said = user.host(["submit", "greet", "--arg", "name=Ada", "--group", ""]);
    assert!(said.code == Some(2) && said.err.contains("the group `` is empty"), "{said:?}");
}
