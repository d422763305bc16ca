//! Tokens with fewer rights than that of the machine, and their end.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use host::clock::Stopwatch;
use serde_json::{Value, json};
use tests::api::{Answer, Connection, Server};
use tests::cli::User;

use super::encoded;
use crate::cli::serving::wait_for;
use crate::dashboard::browser::{Browser, cookie_of};

const PERMISSIONS: [&str; 8] = ["read", "submit", "cancel", "retry", "delete", "schedules", "plugins", "admin"];

/// A token of that name, of the store of that user.
fn made(user: &User, name: &str, allow: &str) -> String {
    user.ok(["tokens", "create", name, "--allow", allow])
}

fn ask_with(server: &Server, token: &str, method: &str, target: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    server.ask_plainly(method, target, &[("authorization", &authorization)], &[])
}

/// The head of an answer, which may have no end.
fn status(server: &Server, token: &str, method: &str, target: &str) -> u16 {
    let mut connection = opened(server, token, method, target);
    let mut head = Vec::new();
    while head.len() < "HTTP/1.1 200".len() {
        let mut byte = [0];
        connection.read_exact(&mut byte).expect("it is answered");
        head.extend(byte);
    }
    String::from_utf8_lossy(&head[9..]).parse().expect("a status")
}

fn opened(server: &Server, token: &str, method: &str, target: &str) -> Box<dyn Connection> {
    let mut connection = server.connect();
    let body = if method == "GET" { "" } else { "content-type: application/json\r\ncontent-length: 2\r\n" };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{body}connection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).expect("sent");
    if method != "GET" {
        connection.write_all(b"{}").expect("sent");
    }
    connection
}

#[test]
fn a_token_of_one_permission_opens_the_routes_of_that_permission_and_no_others() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let document = server.ask_plainly("GET", "/openapi.json", &[], &[]).json();
    for permission in PERMISSIONS {
        let token = made(&user, permission, permission);
        assert_eq!(
            ask_with(&server, &token, "GET", "/api/v1/whoami").json(),
            json!({"name": permission, "permissions": [permission]})
        );
        let (mut open, mut shut) = (0, 0);
        for (path, operations) in document["paths"].as_object().expect("an object") {
            for (method, operation) in operations.as_object().expect("an object") {
                let Some(wanted) = operation.get("x-permission") else { continue };
                // What does not exist is asked for: what matters is who may ask.
                let target = path.replace(['{', '}'], "");
                let told = status(&server, &token, &method.to_uppercase(), &target);
                let is_allowed = permission == "admin" || wanted == permission;
                assert_eq!(!matches!(told, 401 | 403), is_allowed, "{permission}: {method} {path}: {told}");
                if is_allowed { open += 1 } else { shut += 1 }
            }
        }
        assert!(open > 0 && (shut > 20 || permission == "admin"), "{permission}: {open} open, {shut} shut");
    }
    let read = made(&user, "another", "read");
    let refused = ask_with(&server, &read, "POST", "/api/v1/jobs");
    assert_eq!(refused.status, 403);
    assert_eq!(refused.json()["detail"], "the token `another` has not the permission `submit`");
}

/// Pages and actions of the dashboard, with the permission that each of them wants.
fn dashboard_table() -> Vec<(bool, String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src/api/dashboard/mod.rs");
    let source = fs::read_to_string(file).expect("it is there");
    let lines = source.lines().filter_map(|line| {
        let line = line.trim();
        let (is_action, rest) = match (line.strip_prefix("action(\""), line.strip_prefix("page(\"")) {
            (Some(rest), _) => (true, rest),
            (None, rest) => (false, rest?),
        };
        let (path, rest) = rest.split_once("\", ")?;
        let wanted = rest.strip_prefix("Needs(")?.split(')').next()?.to_lowercase();
        Some((is_action, path.to_owned(), wanted))
    });
    lines.collect()
}

#[test]
fn a_browser_may_what_the_token_may_that_it_was_logged_in_with() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let table = dashboard_table();
    let wanted: BTreeSet<&str> = table.iter().map(|(_, _, wanted)| wanted.as_str()).collect();
    assert!(table.len() > 20 && wanted.len() > 6, "the table was not read: {table:?}");
    for permission in PERMISSIONS {
        let mut browser = Browser::new(&server);
        let answer = browser.log_in(&made(&user, permission, permission), "all", "");
        assert_eq!(answer.status, 303, "{:?}", answer.told());
        browser.cookie = cookie_of(&answer);
        // The page that says what is missing has the form for logging out.
        let page = String::from_utf8(browser.get("/").body).expect("text");
        let csrf = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let csrf = csrf.expect("a form").to_owned();
        for (is_action, path, wanted) in &table {
            let told = match is_action {
                true => browser.send(path, &[("origin", &browser.origin())], &format!("csrf={csrf}")),
                false => browser.get(path),
            };
            let is_allowed = permission == "admin" || wanted == permission;
            assert_eq!(told.status != 403, is_allowed, "{permission}: {path}: {:?}", told.told());
            let (missing, text) = (format!("has not the permission `{wanted}`"), told.told().1);
            assert!(is_allowed || text.contains(&missing), "{path}: {text}");
        }
    }
}

#[test]
fn a_token_is_told_once_and_kept_as_a_hash() {
    let user = User::new();
    let token = made(&user, "ci", "read,submit");
    assert_eq!(token.len(), 5 + 64, "{token}");
    let listed = user.json(&["tokens"]);
    assert_eq!(listed[0]["name"], "ci");
    assert_eq!(listed[0]["permissions"], json!(["read", "submit"]));
    assert_eq!((&listed[0]["expires_at"], &listed[0]["last_used_at"]), (&Value::Null, &Value::Null));
    assert!(listed[0].get("token").is_none(), "{listed}");
    let archive = user.home().join("archive");
    user.ok(["export", archive.to_str().expect("UTF-8")]);
    let mut files = vec![archive];
    files.extend(fs::read_dir(user.data()).expect("listed").flatten().map(|entry| entry.path()));
    for file in files.iter().filter(|file| file.is_file()) {
        let content = fs::read(file).expect("read");
        let is_there = content.windows(token.len()).any(|window| window == token.as_bytes());
        assert!(!is_there, "the token stands in {}", file.display());
    }
    assert!(user.json(&["kv"]).as_array().is_some_and(Vec::is_empty), "the bucket is nobody's business");
    // With the archive, the token goes to another store.
    let other = User::new();
    other.ok(["import", files[0].to_str().expect("UTF-8")]);
    let server = Server::of(&other, &["api", "--listen", "127.0.0.1:0"], "listening on");
    assert_eq!(ask_with(&server, &token, "GET", "/api/v1/status").status, 200);
}

#[test]
fn what_is_no_good_token_is_not_made() {
    let user = User::new();
    made(&user, "ci", "read");
    for (args, code, mention) in [
        (vec!["ci", "--allow", "read"], 6, "there is a token `ci` already"),
        (vec!["local", "--allow", "read"], 2, "take another name"),
        (vec!["x", "--allow", "reed"], 2, "`reed` is not a permission"),
        (vec!["x", "--allow", "read", "--expires", "0s"], 2, "would have expired already"),
        (vec!["a b", "--allow", "read"], 2, "is not a valid token name"),
        (vec!["x"], 2, "--allow"),
    ] {
        let said = user.host(["tokens", "create"].iter().chain(&args));
        assert!(said.code == Some(code) && said.err.contains(mention), "{args:?}: {said:?}");
    }
    let said = user.host(["tokens", "revoke", "cx"]);
    assert!(said.code == Some(4) && said.err.contains("tokens: ci"), "{said:?}");
    assert_eq!(user.json(&["tokens"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn tokens_are_made_and_revoked_over_http_by_whoever_may_do_everything() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let body = json!({"name": "ci", "permissions": ["read"], "expires": "1h"});
    let made = server.post("/api/v1/tokens", &body);
    assert_eq!(made.status, 201, "{:?}", made.told());
    let token = made.json()["token"].as_str().expect("a text").to_owned();
    assert_eq!(server.post("/api/v1/tokens", &body).status, 409);
    assert_eq!(server.post("/api/v1/tokens", &json!({"name": "x", "permissions": []})).status, 400);
    assert_eq!(server.post("/api/v1/tokens", &json!({"name": "x", "permissions": ["all"]})).status, 400);
    assert_eq!(ask_with(&server, &token, "GET", "/api/v1/status").status, 200);
    assert_eq!(ask_with(&server, &token, "GET", "/api/v1/tokens").status, 403);
    let listed = server.get("/api/v1/tokens");
    assert_eq!(listed["items"], user.json(&["tokens"]));
    assert!(listed["items"][0]["last_used_at"].is_string(), "{listed}");
    assert_eq!(server.ask("POST", "/api/v1/tokens/ci/revoke", &[], &[]).status, 200);
    assert_eq!(server.ask("POST", "/api/v1/tokens/ci/revoke", &[], &[]).status, 404);
    assert_eq!(server.get("/api/v1/tokens")["items"], json!([]));
}

#[test]
fn a_revoked_token_is_refused_by_every_server_within_seconds_with_all_that_it_opened() {
    let user = User::new();
    let servers = [Server::start(&user, &[]), Server::of(&user, &["api", "--listen", "127.0.0.1:0"], "listening on")];
    let (token, other) = (made(&user, "ci", "read"), made(&user, "other", "read"));
    let mut opened_by_it = Vec::new();
    for server in &servers {
        assert_eq!(ask_with(server, &token, "GET", "/api/v1/status").status, 200, "it is known at once");
        let mut browser = Browser::new(server);
        browser.cookie = cookie_of(&browser.log_in(&token, "all", ""));
        assert_eq!(browser.get("/jobs").status, 200);
        let mut stream = opened(server, &token, "GET", "/api/v1/events");
        let mut begun = [0; 12];
        stream.read_exact(&mut begun).expect("it is answered");
        assert_eq!(&begun, b"HTTP/1.1 200");
        opened_by_it.push((browser, stream));
    }
    user.ok(["tokens", "revoke", "ci"]);
    let since = Stopwatch::start();
    for (server, (browser, stream)) in servers.iter().zip(&mut opened_by_it) {
        wait_for("the token is refused", || {
            (ask_with(server, &token, "GET", "/api/v1/status").status == 401).then_some(())
        });
        wait_for("the session has ended", || (browser.get("/jobs").status == 303).then_some(()));
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("the stream ends");
        assert_eq!(ask_with(server, &other, "GET", "/api/v1/status").status, 200);
        let told = ask_with(server, &token, "GET", "/api/v1/status").json();
        assert_eq!(told["detail"], "the token is not known: it is wrong, or was revoked");
    }
    // Two seconds are promised; the machine may be busy.
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    // One of the same name is another one.
    let again = made(&user, "ci", "read");
    assert_eq!(ask_with(&servers[0], &again, "GET", "/api/v1/status").status, 200);
    assert_eq!(ask_with(&servers[0], &token, "GET", "/api/v1/status").status, 401);
    assert_eq!(opened_by_it[0].0.get("/jobs").status, 303);
}

#[test]
fn a_token_ends_by_itself_and_says_so() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let token = user.ok(["tokens", "create", "short", "--allow", "read", "--expires", "6s"]);
    let mut browser = Browser::new(&server);
    browser.cookie = cookie_of(&browser.log_in(&token, "all", ""));
    assert_eq!(browser.get("/jobs").status, 200);
    wait_for("the token has expired", || {
        (ask_with(&server, &token, "GET", "/api/v1/status").status == 401).then_some(())
    });
    let told = ask_with(&server, &token, "GET", "/api/v1/status").json();
    assert!(told["detail"].as_str().is_some_and(|it| it.contains("`short` has expired at 2")), "{told}");
    assert_eq!(browser.get("/jobs").status, 303);
    let refused = Browser::new(&server).log_in(&token, "all", "");
    assert!(refused.status == 403 && refused.told().1.contains("has expired"), "{:?}", refused.told());
    assert!(user.ok(["tokens"]).contains("(it has)"));
}

#[test]
fn the_audit_names_the_token_and_guesses_cost_little() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let token = made(&user, "robot-7", "admin");
    let paused = ask_with(&server, &token, "POST", &format!("/api/v1/queues/{}/pause", encoded("slow")));
    assert_eq!(paused.status, 200, "{:?}", paused.told());
    server.running.wait_until_heard("who=\"robot-7\"");
    let used = |user: &User| user.json(&["tokens"])[0]["last_used_at"].clone();
    let first = used(&user);
    assert!(first.is_string(), "{first}");
    for _ in 0..20 {
        assert_eq!(ask_with(&server, &token, "GET", "/api/v1/whoami").status, 200);
    }
    assert_eq!(used(&user), first, "its use is noted once a minute");
    // What differs from it in one digit, anywhere, is nothing.
    for at in [5, 6, 36, 67, 68] {
        let mut guess = token.clone().into_bytes();
        guess[at] = if guess[at] == b'0' { b'1' } else { b'0' };
        let guess = String::from_utf8(guess).expect("text");
        assert_eq!(ask_with(&server, &guess, "GET", "/api/v1/status").status, 401, "digit {at}");
    }
}
