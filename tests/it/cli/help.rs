//! The help texts, as users read them: a change shows as a diff.

use tests::cli::User;

const COMMANDS: &[&str] = &[
    "",
    "register",
    "plugins",
    "tasks",
    "tasks configure",
    "schedule",
    "schedules",
    "schedules unpause",
    "schedules preview",
    "submit",
    "run",
    "jobs",
    "jobs logs",
    "jobs result",
    "serve",
    "events",
    "cleanup",
    "status",
    "migrate",
    "export",
    "import",
    "completions",
    "invoke",
    "new",
    "trigger",
    "trigger next",
];

#[test]
fn help_texts_are_as_they_were_reviewed() {
    let user = User::new();
    for command in COMMANDS {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let said = user.host(&words);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{words:?}");
        let name = if command.is_empty() { "host".to_owned() } else { format!("host-{}", command.replace(' ', "-")) };
        insta::assert_snapshot!(name, said.out);
    }
}

#[test]
fn every_command_explains_itself_and_refuses_what_it_does_not_know() {
    let user = User::new();
    for command in COMMANDS {
        let words: Vec<&str> = command.split_whitespace().chain(["--no-such-flag"]).collect();
        let said = user.host(&words);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{words:?}: {said:?}");
        assert!(said.err.starts_with("error: "), "{words:?}: {said:?}");
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = user.ok(["completions", shell]);
        assert!(script.contains("schedules") && script.contains("data-dir"), "{shell}");
    }
}
