//! Bad input: one clear error, the documented exit code, nothing changed.

use std::fs::File;

use tests::artifacts::plugin;
use tests::cli::{Said, User};

/// Checks that `said` is an error and nothing else: one line `error: …`, causes indented, and after a blank line at most one hint.
#[track_caller]
fn assert_refused(said: &Said, code: i32, mention: &str) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert_eq!(said.out, "", "an error goes to standard error: {said:?}");
    let (error, hint) = said.err.split_once("\n\n").unwrap_or((&said.err, ""));
    let mut lines = error.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("error: "), "{said:?}");
    assert!(lines.all(|line| line.starts_with("  ")), "causes are indented: {said:?}");
    assert!(hint.is_empty() || hint.starts_with("hint: ") && hint.trim_end().lines().count() == 1, "{said:?}");
    assert!(said.err.contains(mention), "`{mention}` is not mentioned: {said:?}");
}

/// A user for whom `hello` is registered, with the state before anything else.
fn with_hello() -> (User, serde_json::Value) {
    let user = User::new();
    user.ok(["register".as_ref(), plugin("hello").as_os_str()]);
    let state = state(&user);
    (user, state)
}

/// Everything that a command could have changed.
fn state(user: &User) -> serde_json::Value {
    serde_json::json!([user.json(&["plugins"]), user.json(&["tasks"]), user.json(&["schedules"]), user.json(&["jobs"])])
}

#[test]
fn a_file_that_is_no_plugin_is_refused_and_registers_nothing() {
    let user = User::new();
    let before = state(&user);
    let text = user.file("notes.wasm", "this is not WebAssembly\n");
    let empty = user.file("empty.wasm", "");
    // A core module without anything in it, and a component without anything in it.
    let module = user.file("module.wasm", b"\0asm\x01\0\0\0");
    let component = user.file("component.wasm", b"\0asm\x0d\0\x01\0");
    let large = user.home().join("large.wasm");
    File::create(&large).and_then(|file| file.set_len(200 << 20)).expect("a sparse file can be made");
    for (path, mention) in [
        (&text, "text file"),
        (&empty, "empty"),
        (&module, "core module"),
        (&component, "jobs:plugin/tasks"),
        (&large, "200 MiB"),
    ] {
        assert_refused(&user.host(["register".as_ref(), path.as_os_str()]), 2, mention);
    }
    assert_refused(&user.host(["register", "missing.wasm"]), 4, "missing.wasm");
    assert_refused(&user.host(["register", "."]), 2, "is a folder");
    assert_eq!(state(&user), before);
}

#[test]
fn a_large_file_is_refused_before_it_is_read() {
    let user = User::new();
    let large = user.home().join("large.wasm");
    // Four tebibytes of nothing: whoever read this first would not answer in time.
    File::create(&large).and_then(|file| file.set_len(4 << 40)).expect("a sparse file can be made");
    assert_refused(&user.host(["register".as_ref(), large.as_os_str()]), 2, "4 TiB");
}

#[test]
fn a_component_that_is_not_the_expected_one_is_refused() {
    let user = User::new();
    let hello = plugin("hello");
    let other = "0".repeat(64);
    let said = user.host(["register".as_ref(), hello.as_os_str(), "--sha256".as_ref(), other.as_ref()]);
    assert_refused(&said, 6, "its SHA-256 is");
    assert_eq!(user.json(&["plugins"]), serde_json::json!([]));
    let said = user.host(["register".as_ref(), hello.as_os_str(), "--sha256".as_ref(), "abc".as_ref()]);
    assert_eq!(said.code, Some(2), "{said:?}");
}

#[test]
fn a_grant_that_cannot_be_given_is_refused() {
    let user = User::new();
    let hello = plugin("hello");
    let register = |grant: &[&str]| {
        let file = hello.to_str().expect("the path is UTF-8");
        user.host([&["register", file], grant].concat())
    };
    assert_refused(&register(&["--allow-dir", "/no/such/folder::in"]), 2, "/no/such/folder");
    assert_refused(&register(&["--allow-dir", "/tmp:in"]), 2, "no grant of a folder");
    assert_refused(&register(&["--allow-dir", "/tmp::in:rx"]), 2, "no grant of a folder");
    assert_refused(&register(&["--allow-dir", "/tmp::in", "--allow-dir", "/var::in"]), 2, "granted twice");
    assert_refused(&register(&["--allow-env", "=x"]), 2, "environment variable");
    for (pattern, reason) in [
        ("GET https://example.org/*", "a path has no `*`"),
        ("example.org", "it does not begin with http:// or https://"),
        ("https://user@example.org", "in front of the host cannot be granted"),
        ("http://2130706433", "looks like an address"),
        ("get https://example.org", "in capitals"),
    ] {
        let said = register(&["--allow-http", pattern]);
        assert_refused(&said, 2, reason);
        assert!(said.err.contains("hint: write it like"), "{said:?}");
    }
    let twice = register(&["--allow-http", "https://example.org", "--allow-http", "HTTPS://Example.ORG:443/"]);
    assert_refused(&twice, 2, "the right to `https://example.org` is granted twice");
    assert_refused(&register(&["--allow-schedule", "hello:*"]), 2, "not available yet");
    assert_eq!(user.json(&["plugins"]), serde_json::json!([]));
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let (user, before) = with_hello();
    for command in ["run", "submit"] {
        let said = user.host([command, "gret"]);
        assert_refused(&said, 4, "hint: tasks: hello:greet");
    }
    assert_refused(&user.host(["schedule", "gret", "--interval", "30s"]), 4, "hint: tasks: hello:greet");
    assert_refused(&user.host(["plugins", "show", "helo"]), 4, "hint: plugins: hello");
    assert_refused(&user.host(["schedules", "pause", "nightly"]), 4, "there are no schedules");
    assert_refused(&user.host(["jobs", "show", "0198c5b2-7c1e-7c3a-9d2f-3f1d9a6b2c44"]), 4, "there is no job");
    let hello = plugin("hello");
    let said = user.host(["invoke".as_ref(), hello.as_os_str(), "gret".as_ref()]);
    assert_refused(&said, 4, "hint: tasks: greet");
    assert_eq!(state(&user), before);
}

#[test]
fn a_name_that_two_plugins_offer_is_refused_with_both() {
    let (user, _) = with_hello();
    user.ok(["register".as_ref(), plugin("hello").as_os_str(), "--name".as_ref(), "hello2".as_ref()]);
    let said = user.host(["submit", "greet"]);
    assert_refused(&said, 2, "name one of hello2:greet, hello:greet");
    user.ok(["submit", "hello2:greet", "--arg", "name=Ada"]);
}

#[test]
fn malformed_arguments_are_refused_with_the_path_of_the_fault() {
    let (user, before) = with_hello();
    for (args, mention) in [
        (&["--args", r#"{"name": "Ada""#][..], "EOF"),
        (&["--args", r#"{"people": [{"name": Ada}]}"#], "at `people[0].name`"),
        (&["--args", "{} {}"], "after its end"),
        (&["--args", r#""Ada""#], "the arguments are a string"),
        (&["--args", "@missing.json"], "missing.json"),
        (&["--arg", "name"], "no pair"),
        (&["--arg", "name=Ada", "--arg", "name=Eve"], "given twice"),
        (&["--args", r#"{"name": "Ada", "name": "Eve"}"#], "at `name`: the key comes twice, at line 1 column 22"),
        (
            &["--args", r#"{"name": "Ada", "times": [18446744073709551617]}"#],
            "at `times[0]`: the integer 18446744073709551617",
        ),
        (
            &["--arg", "name=Ada", "--arg", "times=-9223372036854775809"],
            "the argument `times` cannot be taken as it is",
        ),
        (&["--arg", "name=Ada", "--metadata", r#"m={"a": 1, "a": 2}"#], "the metadata of the key `m` cannot be taken"),
        (&["--arg", "name=Ada", "--metadata", "m=123456789012345678901234567890"], "more than 64 bits"),
    ] {
        assert_refused(&user.host([&["submit", "greet"], args].concat()), 2, mention);
    }
    for (args, mention) in [
        (&["jobs", "--limit", "0"][..], "it is a number from 1"),
        (&["schedules", "--limit", "0"], "it is a number from 1"),
        (&["submit", "greet", "--max-attempts", "-1"], "it is a number from 1"),
        (&["submit", "greet", "--memory", "-5"], "`-5` is not a size: it is negative"),
        (&["schedule", "greet", "--calendar", "-1 month"], "is negative"),
    ] {
        let said = user.host(args);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{args:?}: {said:?}");
        assert!(said.err.contains(mention), "{args:?}: {said:?}");
    }
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    assert_refused(&user.host(["submit", "greet", "--args", &deep]), 2, "nested deeper");
    let large = format!(r#"{{"name": "{}"}}"#, "x".repeat(2 << 20));
    user.file("large.json", large);
    assert_refused(&user.host(["submit", "greet", "--args", "@large.json"]), 2, "may take 1 MiB");
    assert_eq!(state(&user), before);
}

#[test]
fn arguments_that_do_not_fit_the_tasks_schema_are_refused_with_the_path_of_each_fault() {
    let (user, before) = with_hello();
    let hello = plugin("hello");
    let hello = hello.to_str().expect("the path is UTF-8");
    for command in [
        &["submit", "greet"][..],
        &["run", "greet"],
        &["schedule", "greet", "--interval", "1h"],
        &["invoke", hello, "greet"],
    ] {
        for (args, mention) in [
            (&["--args", r#"{"name": 7}"#][..], "  `name`: expected a text, found 7\n"),
            (&["--arg", "nmae=Ada"], "  `nmae`: there is no such name; there are: name, times, tone\n"),
            (&["--arg", "nmae=Ada"], "  `name`: is missing\n"),
            (&[], "  `name`: is missing\n"),
            (&["--arg", "name=Ada", "--arg", "times=300"], "  `times`: expected a number of at most 255, found 300\n"),
            (
                &["--arg", "name=Ada", "--arg", "tone=rude"],
                "  `tone`: expected \"friendly\" or \"formal\", found \"rude\"\n",
            ),
            (&["--args", r#"["Ada", "formal", 2, 3]"#], "  expected 1 to 3 arguments, found 4\n"),
        ] {
            let said = user.host([command, args].concat());
            assert_refused(&said, 2, mention);
            assert!(said.err.contains("--unchecked"), "{said:?}");
        }
    }
    assert_eq!(state(&user), before);
    user.ok(["submit", "greet", "--args", r#"["Ada", "formal"]"#]);
    user.ok(["submit", "greet", "--arg", "name=42"]);
    user.ok(["schedule", "greet", "--interval", "1h", "--arg", "nmae=Ada", "--unchecked"]);
}

#[test]
fn arguments_that_nobody_checked_fail_the_job_with_the_guests_own_words() {
    let (user, _) = with_hello();
    let said = user.host(["run", "greet", "--args", r#"{"name": 7}"#, "--unchecked"]);
    assert_eq!((said.code, said.out.as_str()), (Some(7), ""), "{said:?}");
    assert!(said.err.contains("error: the job failed: guest_error: "), "{said:?}");
    assert!(said.err.contains("name"), "the argument is named: {said:?}");
}

#[test]
fn a_schedule_that_makes_no_sense_is_refused() {
    let (user, before) = with_hello();
    for (when, mention) in [
        (&["--interval", "0s"][..], "interval"),
        (&["--interval", "30"], "30s or 30ms"),
        (&["--cron", "0 0 30 2 *"], "never fires"),
        (&["--cron", "61 * * * *"], "61"),
        (&["--cron", "* * *"], "fields"),
        (&["--at", "tomorrow"], "RFC 3339"),
        (&["--calendar", "2 moons at 10:00"], "moons"),
        (&["--trigger", r#"{"type":"cron","hour":25}"#], "hour"),
        (&["--trigger", "{"], "JSON"),
        (&["--interval", "30s", "--timezone", "Europe/Berlin"], "no meaning with --interval"),
        (&["--cron", "* * * * *", "--timezone", "Europe/Atlantis"], "Europe/Atlantis"),
        (&["--interval", "30s", "--cron", "* * * * *"], "cannot be used with"),
        (&["--interval", "30s", "--coalesce", "some"], "some"),
        (&["--interval", "30s", "--timeout", "0s"], "timeout is zero"),
        (&["--interval", "30s", "--timeout", "2d"], "above this host's cap of 1d"),
        (&["--interval", "30s", "--max-attempts", "0"], "max_attempts is 0"),
        (&["--interval", "30s", "--metadata", "owner"], "no pair"),
        (&["--interval", "30s", "--id", " x"], "schedule id"),
        (&["--interval", "30s", "--id", "a\u{200b}b"], "`a\\u{200b}b` is no good schedule id: the character U+200B"),
        (&["--interval", "30s", "--id", "a\u{202e}b"], "the character U+202E in it does not show"),
        (&["--interval", "-5s"], "`-5s` is not a duration: it is negative"),
        (&["--interval", "30s", "--max-jitter", "-1m"], "`-1m` is not a duration: it is negative"),
        (&["--interval", "30s", "--timeout", "-1m"], "it is negative"),
        (&["--interval", "30s", "--backoff", "initial=1s,initial=2s"], "`initial` is given twice"),
        (&["--interval", "30s", "--backoff", "initial=-1s"], "it is negative"),
        (&["--trigger", r#"{"type":"cron","hour":3,"hour":5}"#], "hour: the key comes twice, at line 1 column 30"),
        (&["--trigger", r#"{"type":"interval","days":9223372036854775808000}"#], "days: the integer"),
        (&["--at", "2026-12-01T10:00"], "--timezone"),
        (&["--at", "2026-12-01T10:00:00Z", "--timezone", "Europe/Berlin"], "no meaning with --at"),
        (&["--at", "2026-12-01T10:00", "--timezone", "Europe/Berln"], "did you mean `Europe/Berlin`?"),
        (&["--at", "2026-03-29T02:30", "--timezone", "Europe/Berlin", "--dst-gap", "skip"], "does not exist"),
        (&[], "required"),
    ] {
        let said = user.host([&["schedule", "greet"], when].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{when:?}: {said:?}");
        assert!(said.err.starts_with("error: ") && said.err.contains(mention), "{when:?}: {said:?}");
    }
    assert_eq!(state(&user), before);
}

#[test]
fn an_id_that_is_taken_is_refused_unless_a_policy_says_otherwise() {
    let (user, _) = with_hello();
    let schedule = |more: &[&str]| {
        user.host([&["schedule", "greet", "--arg", "name=Ada", "--id", "nightly", "--interval"], more].concat())
    };
    assert_eq!(schedule(&["1h"]).code, Some(0));
    assert_refused(&schedule(&["2h"]), 6, "schedule `nightly` already exists");
    let interval = || user.json(&["schedules", "show", "nightly"])["trigger"]["hours"].clone();
    assert_eq!(schedule(&["3h", "--conflict", "skip"]).code, Some(0));
    assert_eq!(interval(), 1);
    assert_eq!(schedule(&["4h", "--conflict", "replace"]).code, Some(0));
    assert_eq!(interval(), 4);
}

#[test]
fn what_would_destroy_something_wants_a_yes() {
    let (user, before) = with_hello();
    assert_refused(&user.host(["plugins", "remove", "hello"]), 3, "--yes");
    assert_eq!(state(&user), before);
    user.ok(["plugins", "remove", "hello", "--yes"]);
    assert_eq!(user.json(&["tasks"]), serde_json::json!([]));
    assert_refused(&user.host(["plugins", "remove", "hello", "--yes"]), 4, "there is no plugin `hello`");
}

#[test]
fn a_store_that_cannot_be_used_is_an_error_with_a_way_out() {
    let user = User::new();
    user.file("text.db", "this is no database, whatever its name says\n".repeat(100));
    let text = format!("sqlite://{}", user.home().join("text.db").display());
    let nowhere = "sqlite:///no/such/folder/host.db";
    for (store, code) in [(text.as_str(), 5), (nowhere, 5), ("floppy://a", 2)] {
        let said = user.host(["--store", store, "status"]);
        assert_refused(&said, code, "error: ");
        assert!(said.err.contains("hint: "), "{said:?}");
    }
}

#[test]
fn a_store_url_that_cannot_be_read_is_bad_input() {
    let user = User::new();
    for (store, mention) in [
        ("floppy://a", "there is no kind of store called `floppy`"),
        ("sqlite://host.db?sync=no", "unknown option `sync`"),
        ("sqlite://", "names no file"),
        ("postgres://ada:secret@db.example:port/jobs", "invalid port number"),
        ("postgres://ada:sec/ret@db.example/jobs", "%2F for `/`"),
        ("postgres://ada:sec#ret@db.example/jobs", "%23 for `#`"),
        ("mysql://ada:sec?ret@db.example/jobs", "%3F for `?`"),
        ("mysql://ada:12/34@db.example/jobs", "%2F for `/`"),
    ] {
        for command in [&["status"][..], &["migrate", "--plan"], &["serve"]] {
            let said = user.host([&["--store", store], command].concat());
            assert_refused(&said, 2, mention);
            assert!(said.err.contains("hint: "), "{said:?}");
            assert!(
                !said.err.contains("sec") && !said.err.contains("ret"),
                "the password is nobody's business: {said:?}"
            );
        }
    }
}

#[test]
fn what_is_no_cron_expression_is_refused_with_the_place_and_the_way_out() {
    let (user, before) = with_hello();
    for (expression, mention, hint) in [
        ("TZ=Europe/Berln 0 9 * * *", "`Europe/Berln` at character 4 is not a time zone", "host trigger next"),
        ("@every 5", "`5` at character 8 is not a duration", "host trigger next"),
        ("@reboot", "is the start of a machine", "host submit"),
        ("H(9-4) * * * *", "`H(9-4)` at character 1", "host trigger next"),
        ("0 9 32W * *", "`32W` at character 5", "host trigger next"),
        ("0 9 * * 5#6", "`6` at character 11", "host trigger next"),
        (
            "* * *",
            "has 3 fields where a crontab string has five, six with the seconds first, or seven",
            "host trigger next",
        ),
        ("61 25 * * *", "`61` at character 1", "host trigger next"),
        ("0 61 25 * * mon", "`61` at character 3", "host trigger next"),
    ] {
        let said = user.host(["schedule", "greet", "--arg", "name=Ada", "--cron", expression]);
        assert_refused(&said, 2, mention);
        let (_, hinted) = said.err.split_once("hint: ").expect("there is a way out");
        assert!(hinted.contains(hint), "{expression}: {said:?}");
    }
    for (flags, mention) in [
        (&["--cron", "@every 5m", "--timezone", "Europe/Berlin"][..], "--timezone has no meaning with @every"),
        (
            &["--cron", "TZ=Asia/Tokyo 0 9 * * *", "--timezone", "Europe/Berlin"],
            "another time zone than `Europe/Berlin`",
        ),
        (&["--cron", "0 9 * * 5", "--dialect", "quartz"], "has 5 fields where a Quartz expression has six"),
        (&["--interval", "5m", "--dialect", "quartz"], "--dialect"),
        (&["--interval", "5m", "--day-or-weekday"], "--day-or-weekday"),
    ] {
        let said = user.host([&["schedule", "greet", "--arg", "name=Ada"][..], flags].concat());
        assert_refused(&said, 2, mention);
    }
    assert_eq!(state(&user), before);
}

#[test]
fn a_database_server_that_is_not_there_is_out_of_reach() {
    let user = User::new();
    // Port 1 is nobody's.
    let said = user.host(["--store", "postgres://ada:secret@127.0.0.1:1/jobs", "status"]);
    assert_refused(&said, 5, "error: ");
    assert!(!said.err.contains("secret"), "the password is nobody's business: {said:?}");
}

#[test]
fn a_data_folder_that_cannot_be_written_is_an_error_with_a_way_out() {
    let user = User::new();
    // A file in the place of the folder stops root as well, whom no permission stops.
    user.file("occupied", "");
    let said = user.host(["--data-dir", "occupied/data", "status"]);
    assert_refused(&said, 5, "occupied/data");
    assert!(said.err.contains("--data-dir"), "{said:?}");
}

#[test]
fn a_job_that_has_not_ended_has_no_result_and_cannot_be_retried() {
    let (user, _) = with_hello();
    let id = user.ok(["submit", "greet", "--arg", "name=Ada"]);
    assert_refused(&user.host(["jobs", "result", &id]), 6, "--wait");
    assert_refused(&user.host(["jobs", "retry", &id]), 6, &id);
    user.ok(["jobs", "cancel", &id]);
    assert_refused(&user.host(["jobs", "cancel", &id]), 6, "has ended already");
    let said = user.host(["jobs", "result", &id]);
    assert_eq!(said.code, Some(7), "{said:?}");
}
