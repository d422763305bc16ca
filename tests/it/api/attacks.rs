//! Clients that mean harm, or are merely broken.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use host::clock::Stopwatch;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tests::api::{Place, Server};
use tests::artifacts::plugin;
use tests::cli::User;

use crate::cli::serving::wait_for;

#[test]
fn no_route_but_those_for_everybody_answers_without_a_token() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let document = server.ask_plainly("GET", "/openapi.json", &[], &[]).json();
    let mut refused = 0;
    for (path, operations) in document["paths"].as_object().expect("an object") {
        for (method, operation) in operations.as_object().expect("an object") {
            if operation.get("security").is_none() {
                assert!(["/healthz", "/readyz", "/openapi.json"].contains(&path.as_str()), "{path} is for everybody");
                continue;
            }
            let target = path.replace(['{', '}'], "");
            let answer =
                server.ask_plainly(&method.to_uppercase(), &target, &[("content-type", "application/json")], b"{}");
            assert_eq!(answer.status, 401, "{method} {path}");
            let writes = method != "get";
            assert!(!writes || operation["x-permission"].is_string(), "{method} {path} wants no permission");
            refused += 1;
        }
    }
    assert!(refused > 30, "the table was not read: {refused}");
}

#[test]
fn requests_of_two_lengths_or_with_broken_lines_are_refused_and_the_connection_closed() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let hidden = "GET /api/v1/whoami HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for head in [
        format!(
            "POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello{hidden}"
        ),
        format!(
            "POST /healthz HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!("POST /healthz HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: +5\r\n\r\nhello{hidden}"),
        // Another server might go by the length, and take what is hidden for a part of the body.
        format!(
            "POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "POST /healthz HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!("POST /healthz HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        "GET /healthz\r HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nhost: local\0host\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: a\rb\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\n\r\n".to_owned(),
    ] {
        let mut connection = server.connect();
        connection.write_all(head.as_bytes()).expect("sent");
        let mut told = String::new();
        // However it ends, it has ended.
        drop(connection.read_to_string(&mut told));
        assert!(told.starts_with("HTTP/1.1 4"), "{head:?}: {told}");
        assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "what was hidden was answered: {head:?}: {told}");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let head = |target: &str, kind: &str, more: &str| {
        format!(
            "PUT {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: {kind}\r\n{more}\r\n",
            server.token
        )
    };
    let said =
        server.ask_raw(head("/api/v1/plugins/a", "application/wasm", "content-length: 99999999999\r\n").as_bytes());
    assert_eq!((said.status, said.header("connection")), (413, Some("close")), "{:?}", said.told());
    let huge = vec![b'x'; 2 * 1024 * 1024];
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", huge.len());
    let head = head("/api/v1/kv/b/k", "text/plain", "").trim_end().to_owned() + "\r\n" + &chunked;
    let said = server.ask_raw(&[head.as_bytes(), &huge, b"\r\n0\r\n\r\n"].concat());
    assert_eq!(said.status, 413, "{:?}", said.told());
    let said = server.ask("GET", &format!("/healthz?{}", "x".repeat(100_000)), &[], &[]);
    assert!(matches!(said.status, 414 | 431), "{}", said.status);
    let many: Vec<(&str, &str)> = vec![("x", "y"); 100];
    assert_eq!(server.ask("GET", "/healthz", &many, &[]).status, 431);
    assert_eq!(server.ask("GET", "/healthz", &[], b"a body").status, 200, "what carries no body is not looked at");
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for_and_idle_connections_hold_nobody_up() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let mut slow = server.connect();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").expect("sent");
    let mut idle: Vec<_> = (0..300).map(|_| server.connect()).collect();
    assert_eq!(server.get("/api/v1/status")["plugins"], 0);
    let mut told = Vec::new();
    drop(slow.read_to_end(&mut told));
    assert!(!String::from_utf8_lossy(&told).contains("200 OK"), "it was answered");
    drop(idle[0].read_to_end(&mut told));
}

#[test]
fn a_head_may_have_32_kib_and_not_a_byte_more() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let head = |bytes: usize| {
        let begin = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx: ";
        format!("{begin}{}\r\n\r\n", "x".repeat(bytes - begin.len() - 4))
    };
    for (bytes, status) in [(32 * 1024, 200), (32 * 1024 + 1, 431), (40_000, 431)] {
        assert_eq!(server.ask_raw(head(bytes).as_bytes()).status, status, "{bytes} bytes");
    }
}

#[test]
fn a_body_or_a_head_that_comes_slowly_is_not_waited_for() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let since = Stopwatch::start();
    let mut begun = Vec::new();
    for head in ["POST /api/v1/jobs HTTP/1.1\r\ncontent-type: application/json", "POST /login HTTP/1.1"] {
        let Place::Tcp(address) = &server.place else { panic!("an address") };
        let mut connection = server.connect();
        let head = format!(
            "{head}\r\nhost: {address}\r\norigin: http://{address}\r\nauthorization: Bearer {}\r\ncontent-length: 99\r\n\r\n{{",
            server.token
        );
        connection.write_all(head.as_bytes()).expect("sent");
        begun.push(connection);
    }
    // A byte now and then does not help.
    let mut slow = server.connect();
    let mut bytes = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ".iter().chain(std::iter::repeat(&b'x'));
    while slow.write_all(&[*bytes.next().expect("without end")]).is_ok() {
        assert!(since.elapsed() < Duration::from_secs(30), "it is still taken");
        std::thread::sleep(Duration::from_millis(200));
    }
    for connection in &mut begun {
        let mut told = String::new();
        connection.read_to_string(&mut told).expect("it ends");
        assert!(told.starts_with("HTTP/1.1 408"), "{told}");
    }
    assert!(since.elapsed() < Duration::from_secs(40), "{:?}", since.elapsed());
}

/// As many files as this process may have open.
fn files_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("it may be raised to that");
    limit.maximum.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[test]
fn ten_thousand_connections_that_ask_nothing_keep_nobody_out() {
    let user = User::new();
    user.ok(["register".as_ref(), plugin("hello").as_os_str()]);
    let server = Server::start(&user, &[]);
    let Place::Tcp(address) = &server.place else { panic!("an address") };
    // It is being answered all the while.
    let mut stream = server.connect();
    let head =
        format!("GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n", server.token);
    stream.write_all(head.as_bytes()).expect("sent");
    stream.read_exact(&mut [0; 12]).expect("it is answered");
    let count = files_max().saturating_sub(1_000).min(10_000);
    assert!(count > 2_000, "this process may have too few files open: {count}");
    let mut idle = Vec::new();
    let mut slowest = Duration::ZERO;
    for number in 0..count {
        let connection = TcpStream::connect(address).expect("it listens");
        // Some begin a request, which they never end.
        if number % 2 == 0 {
            drop((&connection).write_all(b"GET / HTTP/1.1\r\n"));
        }
        idle.push(connection);
        if number % 500 == 499 {
            let since = Stopwatch::start();
            assert_eq!(server.ask_plainly("GET", "/healthz", &[], &[]).status, 200, "after {number}");
            slowest = slowest.max(since.elapsed());
        }
    }
    assert!(slowest < Duration::from_secs(5), "somebody waited for {slowest:?}");
    let is_open = |connection: &TcpStream| {
        connection.set_nonblocking(true).expect("it can be set");
        matches!(connection.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    };
    wait_for("the limit holds", || (idle.iter().filter(|it| is_open(it)).count() <= 1_024).then_some(()));
    let submitted = server.post("/api/v1/jobs", &json!({"task": "greet", "args": {"name": "Ada"}}));
    let id = submitted.json()["job_id"].as_str().expect("it is queued").to_owned();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(&id) {
        let mut part = [0; 1_024];
        let count = stream.read(&mut part).expect("the stream goes on");
        assert_ne!(count, 0, "the stream ended");
        heard.extend_from_slice(&part[..count]);
    }
}

#[test]
fn streams_that_nobody_reads_are_limited_and_hold_nobody_up() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let open = || {
        let mut connection = server.connect();
        let head =
            format!("GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n", server.token);
        connection.write_all(head.as_bytes()).expect("sent");
        let mut status = [0; 12];
        connection.read_exact(&mut status).expect("it is answered");
        (String::from_utf8_lossy(&status[9..]).into_owned(), connection)
    };
    let mut streams: Vec<_> = (0..256).map(|_| open()).collect();
    assert!(streams.iter().all(|(status, _)| status == "200"));
    assert_eq!(open().0, "503", "there are too many");
    for number in 0..100 {
        let queue = format!("/api/v1/queues/q{number}/pause");
        assert_eq!(server.ask("POST", &queue, &[], &[]).status, 200);
    }
    streams.pop();
    wait_for("a place is free", || (open().0 == "200").then_some(()));
}

#[test]
fn cursors_and_filters_that_nobody_gave_out_are_refused_and_are_no_failure() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let hex = |text: &[u8]| text.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let long = hex(&[b'x'; 5_000]);
    let cursors = ["", "0", "zz", "%00", "ff", "-1", &hex(b"' or 1=1 --"), &hex(b"\0"), &hex(&[0xff; 16]), &long];
    for list in ["jobs", "schedules"] {
        for cursor in cursors {
            let told = server.ask("GET", &format!("/api/v1/{list}?cursor={cursor}"), &[], &[]);
            assert!(matches!(told.status, 200 | 400), "{list} {cursor}: {:?}", told.told());
        }
    }
    let value = "%27%22%00%ff%2525".to_owned();
    let values = [value, "x".repeat(20_000), "%F0%9F%99%82".repeat(1_000), "9".repeat(400), "-".to_owned()];
    for (list, names) in [
        ("jobs", ["state", "outcome", "task", "schedule", "group", "limit"].as_slice()),
        ("schedules", &["task", "limit"]),
        ("kv/x", &["prefix", "limit"]),
        ("events", &["type"]),
    ] {
        for name in names {
            for value in &values {
                let told = server.ask("GET", &format!("/api/v1/{list}?{name}={value}"), &[], &[]);
                assert!(told.status < 500, "{list} {name} {value}: {:?}", told.told());
            }
        }
    }
    let many = "type=job_released&".repeat(1_500);
    assert_eq!(server.ask("GET", &format!("/api/v1/events?{many}type=x"), &[], &[]).status, 400);
}

#[test]
fn what_is_stored_is_escaped_and_no_page() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let target = "/api/v1/schedules/%3Cscript%3Ealert(1)%3C%2Fscript%3E%1B%5B31m%E2%80%AE";
    let answer = server.ask("GET", target, &[], &[]);
    assert_eq!((answer.status, answer.header("x-content-type-options")), (400, Some("nosniff")));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(!answer.told().1.contains('\u{1b}'), "{:?}", answer.told());
    assert!(matches!(answer.json()["detail"], Value::String(_)));
}
