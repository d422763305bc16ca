//! Words that are no words: what a guest or a user says so that a terminal obeys it, or so that the host's own words disappear.

use tests::artifacts::plugin;
use tests::cli::User;

use crate::generated::Plugin;

/// Checks that nothing in a text is obeyed by a terminal.
#[track_caller]
fn assert_harmless(text: &str) {
    let obeyed = |c: &char| c.is_control() && *c != '\n' || ('\u{202a}'..='\u{202e}').contains(c) || *c == '\u{2066}';
    assert_eq!(text.chars().find(obeyed), None, "{text:?}");
}

#[test]
fn a_description_that_opens_an_escape_sequence_swallows_nothing_of_what_follows() {
    let user = User::new();
    for open in ["\u{1b}]0;", "\u{1b}P", "\u{9d}0;", "\u{1b}_", "\u{202e}"] {
        let component = Plugin { description: format!("does {open}harm"), ..Plugin::trapping() }.component();
        let file = user.file("words.wasm", component);
        let registered = user.ok(["register".as_ref(), file.as_os_str()]);
        assert_harmless(&registered);
        // The limits come after the description, in the same line.
        let line = registered.lines().find(|line| line.contains("words:run")).expect("the task is listed");
        assert!(line.contains("harm  (") && line.ends_with(')'), "{line}");
        for command in [&["tasks", "show", "run"][..], &["tasks"], &["plugins", "show", "words"]] {
            assert_harmless(&user.ok(command));
            serde_json::from_str::<serde_json::Value>(&user.ok(command.iter().chain([&"--json"]))).expect("JSON");
        }
        let shown = user.ok(["tasks", "show", "run"]);
        assert!(shown.contains("harm") && shown.contains("timeout"), "{shown}");
    }
}

#[test]
fn a_log_line_shows_every_part_of_it_whatever_the_parts_open() {
    let user = User::new();
    user.ok(["register".as_ref(), plugin("faults").as_os_str()]);
    let said = user.host(["run", "opens_escapes", "-v"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    assert_harmless(&said.err);
    let line = said.err.lines().find(|line| line.contains("target")).expect("the line is shown");
    assert!(line.contains("target: ") && line.contains("message ") && line.contains("name=value"), "{line}");
    for words in ["the job failed: guest_error: ", "it failed", "the cause"] {
        assert!(said.err.contains(words), "`{words}` is not in: {}", said.err);
    }
    let job = user.json(&["jobs"])[0]["id"].as_str().expect("an id").to_owned();
    for command in [&["jobs"][..], &["jobs", "show", &job], &["jobs", "logs", &job]] {
        assert_harmless(&user.ok(command));
    }
}

#[test]
fn an_id_that_turns_the_direction_of_writing_is_refused_and_shown_without_that() {
    let user = User::new();
    user.ok(["register".as_ref(), plugin("hello").as_os_str()]);
    let id = "night\u{202e}txt.ecivres\u{2066}";
    let said = user.host(["schedule", "--interval", "1h", "hello:whoami", "--id", id]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert_harmless(&said.err);
}
