//! The help texts, as users read them: a change shows as a diff.

use host::config::Serve;
use host::config::units::format_duration;
use tests::cli::User;

const COMMANDS: &[&str] = &[
    "",
    "register",
    "plugins",
    "plugins approve",
    "plugins rollout",
    "tasks",
    "tasks configure",
    "schedule",
    "schedules",
    "schedules set",
    "schedules history",
    "schedules backfill",
    "schedules unpause",
    "schedules preview",
    "submit",
    "run",
    "jobs",
    "jobs logs",
    "jobs result",
    "jobs cancel",
    "jobs retry",
    "queues",
    "kv",
    "kv list",
    "kv set",
    "tokens",
    "tokens create",
    "serve",
    "api",
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
fn the_defaults_that_help_names_are_the_programs() {
    let usual = Serve::default();
    let help = User::new().ok(["serve", "--help"]);
    // In one line, however it is wrapped.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for (flag, default) in [
        ("--max-concurrent-jobs", usual.max_concurrent_jobs.to_string()),
        ("--lease-duration", format_duration(usual.lease_duration)),
        ("--cleanup-interval", format_duration(usual.cleanup_interval)),
        ("--drain-timeout", format_duration(usual.drain_timeout)),
        ("--max-catch-up", usual.catch_up_max.to_string()),
        ("--history-ttl", format_duration(usual.history_ttl)),
        ("--history-max", usual.history_max.to_string()),
    ] {
        let (_, about) = help.split_once(&format!("{flag} <")).unwrap_or_else(|| panic!("{flag} is not explained"));
        let named = about.split_once("[default: ").and_then(|(_, rest)| rest.split_once(']'));
        assert_eq!(named.map(|(named, _)| named), Some(default.as_str()), "{flag}");
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
