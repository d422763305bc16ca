//! Clients that mean harm, or are merely broken.

use std::io::{Read as _, Write as _};

use serde_json::Value;
use tests::api::Server;
use tests::cli::User;

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
