//! Requests of guests that go where they may not, and servers that answer too much, too late, or without end. Each is run by the program,
//! against servers of this process.
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

struct Attack {
    attack: &'static str,
    limit: &'static str,
    task: &'static str,
    args: fn() -> Value,
    /// What `--allow-http` says.
    grant: &'static str,
    flags: &'static [&'static str],
    server: fn(&mut Exchange) -> io::Result<()>,
    /// Whether the server hears of it.
    is_heard: bool,
    ends: Ends,
}

/// One that never gets as far as a server.
const fn unheard(
    attack: &'static str,
    limit: &'static str,
    args: fn() -> Value,
    grant: &'static str,
    words: &'static str,
) -> Attack {
    Attack {
        attack,
        limit,
        task: "fetches",
        args,
        grant,
        flags: &[],
        server: hello,
        is_heard: false,
        ends: Ends::Fails("denied", words),
    }
}

/// One that reaches the server that is granted.
const fn heard(
    attack: &'static str,
    limit: &'static str,
    task: &'static str,
    args: fn() -> Value,
    server: fn(&mut Exchange) -> io::Result<()>,
    ends: Ends,
) -> Attack {
    Attack { attack, limit, task, args, grant: "http://127.0.0.1:PORT", flags: &[], server, is_heard: true, ends }
}

fn hello(exchange: &mut Exchange) -> io::Result<()> {
    exchange.answer(200, "", "hello")
}

fn silence(exchange: &mut Exchange) -> io::Result<()> {
    exchange.wait_for_close();
    Ok(())
}

const HEAD: &str = "HTTP/1.1 200 OK\r\n";
const URL: fn() -> Value = || json!({"url": "http://127.0.0.1:PORT/"});
const NOT_GRANTED: &str = "`--allow-http http://127.0.0.1:";
const OWN: &str = "an address of this machine";
const OTHER_FORM: &str = "the host looks like an address";

const ATTACKS: &[Attack] = &[
    unheard("a request to a server that was not granted", "the grant", URL, "http://127.0.0.2:PORT", NOT_GRANTED),
    unheard("a method that was not granted", "the grant", URL, "POST http://127.0.0.1:PORT", NOT_GRANTED),
    unheard("a path beside the one that was granted", "the grant", URL, "http://127.0.0.1:PORT/in", NOT_GRANTED),
    unheard(
        "a path that leads out again by `..`",
        "paths with one reading",
        || json!({"url": "http://127.0.0.1:PORT/in/../out"}),
        "http://127.0.0.1:PORT/in",
        NOT_GRANTED,
    ),
    unheard(
        "a path that leads out by `%2e%2e%2f`",
        "paths with one reading",
        || json!({"url": "http://127.0.0.1:PORT/in/%2e%2e%2fout"}),
        "http://127.0.0.1:PORT/in",
        NOT_GRANTED,
    ),
    unheard("this machine, with all hosts granted", "public addresses", URL, "http://*:*", OWN),
    unheard(
        "this machine by its name",
        "public addresses",
        || json!({"url": "http://LocalHost.:PORT/"}),
        "http://*:*",
        OWN,
    ),
    unheard(
        "this machine as an address of IPv6",
        "public addresses",
        || json!({"url": "http://[::1]:PORT/"}),
        "http://*:*",
        OWN,
    ),
    unheard(
        "this machine as an address of IPv4 in one of IPv6",
        "public addresses",
        || json!({"url": "http://[::ffff:127.0.0.1]:PORT/"}),
        "http://*:*",
        "an address of IPv4 in another form",
    ),
    unheard(
        "this machine as an address that is translated",
        "public addresses",
        || json!({"url": "http://[64:ff9b::127.0.0.1]:PORT/"}),
        "http://*:*",
        "an address of IPv4 that is translated",
    ),
    unheard(
        "this machine as one number",
        "addresses in one form",
        || json!({"url": "http://2130706433:PORT/"}),
        "http://*:*",
        OTHER_FORM,
    ),
    unheard(
        "this machine in octal digits",
        "addresses in one form",
        || json!({"url": "http://0177.0.0.1:PORT/"}),
        "http://*:*",
        OTHER_FORM,
    ),
    unheard(
        "this machine in hexadecimal digits",
        "addresses in one form",
        || json!({"url": "http://0x7f.1:PORT/"}),
        "http://*:*",
        OTHER_FORM,
    ),
    unheard(
        "the metadata of a cloud",
        "public addresses",
        || json!({"url": "http://169.254.169.254/latest/meta-data/"}),
        "http://*:*",
        "a link-local address",
    ),
    unheard(
        "a private network",
        "public addresses",
        || json!({"url": "http://10.0.0.1/"}),
        "http://*:*",
        "a private address",
    ),
    unheard(
        "a granted name in front of an `@`",
        "no names in front of hosts",
        || json!({"url": "http://granted.example@127.0.0.1:PORT/"}),
        "http://granted.example:*",
        "in front of the host is refused",
    ),
    unheard(
        "a granted name behind a `#`",
        "the grant",
        || json!({"url": "http://127.0.0.1:PORT/#@granted.example/"}),
        "http://granted.example:*",
        NOT_GRANTED,
    ),
    unheard(
        "a granted name with another behind it",
        "the grant",
        || json!({"url": "http://granted.example.evil.example:PORT/"}),
        "http://granted.example:*",
        "would allow it",
    ),
    unheard(
        "a tunnel through a server, by CONNECT",
        "methods that are never made",
        || json!({"url": "http://127.0.0.1:PORT/", "method": "CONNECT"}),
        "http://127.0.0.1:PORT",
        "requests of method CONNECT are never made",
    ),
    Attack {
        ends: Ends::Fails("guest_error", "a header that cannot be one"),
        ..unheard(
            "a second request in a header",
            "headers without ends of lines",
            || json!({"url": "http://127.0.0.1:PORT/", "headers": {"a": "b\r\n\r\nGET / HTTP/1.1"}}),
            "http://127.0.0.1:PORT",
            "",
        )
    },
    Attack {
        ends: Ends::Fails("guest_error", "the host's own to set"),
        ..unheard(
            "another host in a header",
            "headers that are the host's",
            || json!({"url": "http://127.0.0.1:PORT/", "headers": {"host": "other.example"}}),
            "http://127.0.0.1:PORT",
            "",
        )
    },
    heard(
        "a redirection to the metadata of a cloud",
        "redirections are not followed",
        "fetches_status",
        URL,
        |exchange| exchange.answer(302, "location: http://169.254.169.254/\r\n", ""),
        Ends::Answers("302"),
    ),
    heard(
        "headers without end",
        "64 KiB and 128 headers",
        "fetches",
        URL,
        |exchange| {
            exchange.send(HEAD)?;
            (0..1_000_000).try_for_each(|n| exchange.send(format!("x-{n}: y\r\n")))
        },
        Ends::Fails("guest_error", "the headers of the answer are more than they may be"),
    ),
    heard(
        "interim answers without end",
        "256 KiB before an answer",
        "fetches",
        URL,
        |exchange| (0..1_000_000).try_for_each(|_| exchange.send("HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n")),
        Ends::Fails("guest_error", "the headers of the answer are more than they may be"),
    ),
    heard(
        "a body without end",
        "64 MiB of body",
        "reads_answer",
        URL,
        |exchange| {
            exchange.send(format!("{HEAD}\r\n"))?;
            (0..10_000_000).try_for_each(|_| exchange.send([b'y'; 100_000]))
        },
        Ends::Fails("guest_error", "the body of the answer is larger than it may be"),
    ),
    heard(
        "a body that is sent without end",
        "64 MiB of body",
        "uploads",
        || json!({"url": "http://127.0.0.1:PORT/", "bytes": 65 << 20}),
        |exchange| exchange.body().and_then(|_| hello(exchange)),
        Ends::Fails("guest_error", "the body of the request is larger than it may be"),
    ),
    heard(
        "a thousand answers that do not end",
        "16 connections an attempt",
        "holds_answers",
        || json!({"url": "http://127.0.0.1:PORT/", "times": 1_000}),
        |exchange| exchange.send(format!("{HEAD}content-length: 10\r\n\r\nhalf")),
        Ends::Gets(16),
    ),
    heard(
        "an answer that breaks off",
        "the length that it says it has",
        "fetches",
        URL,
        |exchange| {
            exchange.close();
            exchange.send(format!("{HEAD}content-length: 10\r\n\r\nhalf"))
        },
        Ends::Fails("guest_error", "broke off"),
    ),
    heard(
        "a server that is silent",
        "the request's own limit",
        "fetches",
        || json!({"url": "http://127.0.0.1:PORT/", "timeout_ms": 200}),
        silence,
        Ends::Fails("guest_error", "no answer within"),
    ),
    Attack {
        flags: &["--timeout", "1s"],
        ..heard(
            "a server that is silent, and a guest that waits for ever",
            "`--timeout`",
            "fetches",
            || json!({"url": "http://127.0.0.1:PORT/", "timeout_ms": 3_600_000}),
            silence,
            Ends::Fails("timed_out", "`--timeout` gives it more"),
        )
    },
    Attack {
        flags: &["--fuel", "20_000_000"],
        ..heard(
            "requests without end",
            "requests cost fuel",
            "fetches_often",
            || json!({"url": "http://127.0.0.1:PORT/", "times": u32::MAX}),
            hello,
            Ends::Fails("out_of_fuel", "used up its fuel"),
        )
    },
];

#[test]
fn guests_and_servers_get_what_they_may_have_over_http_and_no_more() {
    let user = User::new();
    let faults = plugin("faults");
    let escaped: Vec<String> = ATTACKS.iter().filter_map(|attack| attack.run(&user, &faults).err()).collect();
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
}

impl Attack {
    /// Lets the program run it.
    ///
    /// # Errors
    /// It ended in another way.
    fn run(&self, user: &User, faults: &Path) -> Result<(), String> {
        let Attack { attack, task, args, grant, flags, server, is_heard, ends, .. } = self;
        let server = Server::plain(*server).expect("a server");
        let port = server.port().to_string();
        let (args, grant) = (args().to_string().replace(PORT, &port), grant.replace(PORT, &port));
        let mut command =
            vec!["invoke", faults.to_str().expect("UTF-8"), task, "--args", &args, "--allow-http", &grant];
        command.extend(*flags);
        let said = user.host(command);
        if !ends.are(&said) || (server.connections() > 0) != *is_heard {
            return Err(format!("{attack}: {} connections, {said:?}", server.connections()));
        }
        Ok(())
    }
}

#[test]
fn the_table_of_what_is_done_over_http_says_what_these_tests_show() {
    let mut table = "| what a guest or its server does | limit | outcome |\n|---|---|---|\n".to_owned();
    for Attack { attack, limit, ends, .. } in ATTACKS {
        table.push_str(&format!("| {attack} | {limit} | {} |\n", ends.told()));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/THREATS.md");
    let text = fs::read_to_string(&file).expect("host/THREATS.md can be read");
    assert!(text.contains(&table), "host/THREATS.md must have this table:\n\n{table}");
}
