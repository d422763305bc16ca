//! What guests do with secrets, each run by the program with one that it may read and one that it may only send.
//!
//! What each runs into stands in `host/THREATS.md`, in a table that these tests print and compare.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use tests::artifacts::plugin;
use tests::cli::User;
use tests::web::{Exchange, Server};

use super::guests::Ends;

/// What stands for the server of the test in arguments and grants: its port.
const PORT: &str = "PORT";
/// The secrets, as nothing else looks.
const READABLE: &str = "correct-horse-battery";
const SEALED: &str = "hunter2-hunter2";

struct Attack {
    attack: &'static str,
    limit: &'static str,
    task: &'static str,
    args: fn() -> Value,
    flags: &'static [&'static str],
    ends: Ends,
}

const fn attack(
    attack: &'static str,
    limit: &'static str,
    task: &'static str,
    args: fn() -> Value,
    ends: Ends,
) -> Attack {
    Attack { attack, limit, task, args, flags: &[], ends }
}

const ATTACKS: &[Attack] = &[
    attack(
        "using a secret that was granted to somebody else",
        "the grant",
        "holds_secret",
        || json!({"name": "theirs"}),
        Ends::Fails("denied", "`--allow-secret theirs` would allow it"),
    ),
    attack(
        "reading a secret that it may only send",
        "the grant",
        "reveals_secret",
        || json!({"name": "sealed"}),
        Ends::Fails("denied", "`--allow-secret sealed:reveal` would allow it"),
    ),
    attack(
        "a secret whose name leads elsewhere, `../theirs`",
        "the grant",
        "reveals_secret",
        || json!({"name": "../theirs"}),
        Ends::Fails("denied", "no secret can have that name"),
    ),
    attack(
        "a secret with a name of a megabyte",
        "256 bytes of a name",
        "holds_secret",
        || json!({"name": "s".repeat(1_000_000 - 100)}),
        Ends::Fails("denied", "no secret can have that name"),
    ),
    attack(
        "the bucket in which the host keeps secrets",
        "names that begin with `host.` are the host's",
        "reads_key",
        || json!({"bucket": "host.secrets", "key": "sealed"}),
        Ends::Fails("denied", "reading bucket `host.secrets` is denied"),
    ),
    attack(
        "writing to that bucket",
        "names that begin with `host.` are the host's",
        "writes_key",
        || json!({"bucket": "host.secrets", "key": "sealed", "value": 1}),
        Ends::Fails("denied", "writing to bucket `host.secrets` is denied"),
    ),
    attack(
        "sending a secret to a server that it may speak to, and the secret may not go to",
        "the requests in the grant",
        "sends_secret",
        || json!({"name": "elsewhere", "url": "http://127.0.0.1:PORT/", "header": "SECRET"}),
        Ends::Fails("denied", "`--allow-secret 'elsewhere http://127.0.0.1:"),
    ),
    attack(
        "sending a secret in the clear, where nobody said that it may",
        "HTTPS",
        "sends_secret",
        || json!({"name": "anywhere", "url": "http://127.0.0.1:PORT/", "header": "Bearer SECRET"}),
        Ends::Fails("denied", "sending secret `anywhere` with a request to http://127.0.0.1:"),
    ),
    attack(
        "a secret in the path, which stands in the logs of servers",
        "headers only",
        "sends_secret",
        || json!({"name": "sealed", "url": "http://127.0.0.1:PORT", "path": "/SECRET"}),
        Ends::Answers("\"nothing\""),
    ),
    attack(
        "a secret in the body",
        "headers only",
        "sends_secret",
        || json!({"name": "sealed", "url": "http://127.0.0.1:PORT/", "body": "SECRET"}),
        Ends::Answers("\"nothing\""),
    ),
    attack(
        "a placeholder that somebody else has made up, in a header",
        "128 random bits in each attempt",
        "sends_secret",
        || json!({"name": "sealed", "url": "http://127.0.0.1:PORT/", "header": "{secret:sealed:00000000000000000000000000000000}"}),
        Ends::Answers("\"nothing\""),
    ),
    attack(
        "a secret of two lines, to add a header",
        "the rules of HTTP",
        "sends_secret",
        || json!({"name": "lines", "url": "http://127.0.0.1:PORT/", "header": "SECRET"}),
        Ends::Fails("guest_error", "it is not one line of text"),
    ),
    attack(
        "a secret that makes the head of a request too large",
        "64 KiB of a head",
        "sends_secret",
        || json!({"name": "large", "url": "http://127.0.0.1:PORT/", "header": "SECRET SECRET SECRET"}),
        Ends::Fails("guest_error", "the headers of the request are more than they may be"),
    ),
    attack(
        "a secret that nobody has set",
        "none",
        "reveals_secret",
        || json!({"name": "unset"}),
        Ends::Fails("guest_error", "`host secrets set unset` sets it"),
    ),
    Attack {
        attack: "asking for a secret without end",
        limit: "asking costs fuel",
        task: "asks_for_secret_forever",
        args: || json!({"name": "sealed"}),
        flags: &["--fuel", "100_000_000"],
        ends: Ends::Fails("out_of_fuel", "used up its fuel"),
    },
];

fn tells_what_it_was_told(exchange: &mut Exchange) -> io::Result<()> {
    let body = exchange.body()?;
    let seen =
        format!("{} {:?} {}", exchange.seen.line, exchange.seen.header("x-secret"), String::from_utf8_lossy(&body));
    let is_told = [READABLE, SEALED].iter().any(|secret| seen.contains(secret));
    exchange.answer(200, "", if is_told { "a secret" } else { "nothing" })
}

/// A user with the hostile plugin and its secrets.
fn with_secrets(port: &str) -> User {
    let user =
        User::new().with_env("LINES", "a\r\nx-admin: yes").with_env("SEALED", SEALED).with_env("READABLE", READABLE);
    let faults = plugin("faults");
    let faults = faults.to_str().expect("UTF-8");
    let large = user.file("large", "l".repeat(30_000));
    for (name, variable) in [
        ("sealed", "SEALED"),
        ("readable", "READABLE"),
        ("elsewhere", "SEALED"),
        ("anywhere", "SEALED"),
        ("theirs", "SEALED"),
        ("lines", "LINES"),
    ] {
        user.ok(["secrets", "set", name, "--from-env", variable]);
    }
    user.ok(["secrets", "set", "large", "--from-file", large.to_str().expect("UTF-8")]);
    let server = format!("http://127.0.0.1:{port}");
    let with_server = |name: &str| format!("{name} {server}");
    user.ok(["register", faults, "--name", "owner", "--allow-secret", "theirs:reveal"]);
    user.ok([
        "register",
        faults,
        "--allow-http",
        &server,
        "--allow-http",
        "https://api.example.com",
        "--allow-secret",
        "readable:reveal",
        "--allow-secret",
        &with_server("sealed"),
        "--allow-secret",
        "elsewhere https://api.example.com",
        "--allow-secret",
        "anywhere",
        "--allow-secret",
        &with_server("lines"),
        "--allow-secret",
        &with_server("large"),
        "--allow-secret",
        "unset:reveal",
    ]);
    user
}

#[test]
fn guests_get_what_they_may_have_of_secrets_and_no_more() {
    let server = Server::plain(tells_what_it_was_told).expect("a server");
    let port = server.port().to_string();
    let user = with_secrets(&port);
    let escaped: Vec<String> = ATTACKS.iter().filter_map(|attack| attack.run(&user, &port).err()).collect();
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
    // The same, as it is meant: the secret gets there, in a header.
    let args = json!({"name": "sealed", "url": server.url("/"), "header": "Bearer SECRET"}).to_string();
    assert_eq!(user.ok(["run", "faults:sends_secret", "--args", &args]).trim(), "\"a secret\"");
    let last = server.seen().pop().expect("a request");
    assert_eq!(last.header("x-secret"), Some(format!("Bearer {SEALED}").as_str()));
    assert_eq!(user.ok(["run", "faults:reveals_secret", "--arg", "name=readable"]).trim(), format!("\"{READABLE}\""));
}

#[test]
fn what_a_guest_says_with_a_secret_in_it_is_kept_without_it() {
    let user = with_secrets("1");
    let said = user.host(["run", "faults:tells_secret", "--arg", "name=readable"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    assert!(said.err.contains("it does not work with [secret]"), "{said:?}");
    let jobs = user.json(&["jobs"]);
    let id = jobs[0]["id"].as_str().expect("an ID");
    let (job, logs) = (user.json(&["jobs", "show", id]).to_string(), user.json(&["jobs", "logs", id]).to_string());
    for words in ["it is [secret]", "out [secret]", "err [secret]"] {
        assert!(logs.contains(words), "{words}: {logs}");
    }
    assert!(job.contains("nor with [secret]"), "{job}");
    for text in [&said.err, &said.out, &job, &logs] {
        assert!(!text.contains(READABLE), "{text}");
    }
}

impl Attack {
    /// Lets the program run it.
    ///
    /// # Errors
    /// It ended in another way.
    fn run(&self, user: &User, port: &str) -> Result<(), String> {
        let Attack { attack, task, args, flags, ends, .. } = self;
        // By a file: an argument of a program has an end.
        let args = user.file("args.json", args().to_string().replace(PORT, port));
        let (args, task) = (format!("@{}", args.display()), format!("faults:{task}"));
        let mut command = vec!["run", &task, "--args", &args];
        command.extend(*flags);
        let said = user.host(command);
        if ends.are(&said) { Ok(()) } else { Err(format!("{attack}: {said:?}")) }
    }
}

#[test]
fn the_table_of_what_is_done_with_secrets_says_what_these_tests_show() {
    let mut table = "| what a guest does with secrets | limit | outcome |\n|---|---|---|\n".to_owned();
    for Attack { attack, limit, ends, .. } in ATTACKS {
        table.push_str(&format!("| {attack} | {limit} | {} |\n", ends.told()));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/THREATS.md");
    let text = fs::read_to_string(&file).expect("host/THREATS.md can be read");
    assert!(text.contains(&table), "host/THREATS.md must have this table:\n\n{table}");
}
