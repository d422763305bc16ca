//! Where the interface listens, how it says that it works, and how it ends.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use host::clock::Stopwatch;
use serde_json::json;
use tests::api::{Place, Server};
use tests::cli::User;

#[test]
fn a_server_says_where_it_listens_and_that_it_works() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    assert_eq!(server.ask_plainly("GET", "/healthz", &[], &[]).json(), json!({"status": "ok"}));
    let ready = server.ask_plainly("GET", "/readyz", &[], &[]);
    assert_eq!((ready.status, ready.json()), (200, json!({"ready": true, "reasons": []})));
    assert_eq!(server.get("/api/v1/status")["schedulers"][0]["role"], "both");
    server.running.signal("TERM");
    assert_eq!(server.running.end().code, Some(0));
}

#[test]
fn the_interface_works_without_a_scheduler() {
    let user = User::new();
    let file = user.home().join("ready");
    let ready = ["--ready-file", file.to_str().expect("UTF-8")];
    let server = Server::of(&user, &[&["api", "--listen", "127.0.0.1:0"], &ready[..]].concat(), "listening on ");
    assert_eq!(server.get("/api/v1/status")["schedulers"], json!([]));
    assert!(file.exists());
    server.running.signal("INT");
    let said = server.running.end();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!file.exists());
    let said = user.host(["api", "--listen", "none"]);
    assert_eq!(said.code, Some(2), "{said:?}");
}

#[test]
fn servers_to_which_nothing_is_said_find_ports_of_their_own() {
    let user = User::new().with_env("HOST_LISTEN", "127.0.0.1:0");
    let mut command = user.command(["serve", "--identity", "a"]);
    command.env_remove("HOST_LISTEN");
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    let user = User::new();
    let mut other = user.command(["serve", "--identity", "b"]);
    other.env_remove("HOST_LISTEN");
    let mut second = other.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    let (mut ports, mut pipes) = (Vec::new(), Vec::new());
    for child in [&mut child, &mut second] {
        use std::io::BufRead as _;
        let mut notes = std::io::BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let line = notes.by_ref().map_while(Result::ok).find(|line| line.starts_with("listening on http://127.0.0.1:"));
        ports.push(line.expect("it listens"));
        // Without a reader the first server would end at its next note, and the second find that port free.
        pipes.push(notes);
    }
    for child in [&mut child, &mut second] {
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
    assert_ne!(ports[0], ports[1]);
}

#[test]
fn a_place_that_is_taken_is_refused_with_the_way_out() {
    let (user, other) = (User::new(), User::new());
    let server = Server::start(&user, &[]);
    let Place::Tcp(address) = &server.place else { panic!("an address") };
    let said = other.host(["serve", "--listen", address]);
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(
        said.err.contains("another process listens at 127.0.0.1:") && said.err.contains("--listen none"),
        "{said:?}"
    );
    assert!(other.json(&["status"])["schedulers"].as_array().is_some_and(Vec::is_empty), "it began to work");
    let said = other.host(["serve", "--listen", "192.0.2.1:7980"]);
    assert_eq!(said.code, Some(2), "{said:?}");
}

#[test]
fn a_socket_is_for_its_user_alone_and_one_that_was_left_behind_gives_way() {
    use std::os::unix::fs::PermissionsExt as _;
    let user = User::new();
    let path = user.home().join("host.sock");
    let flag = format!("unix:{}", path.display());
    let command = ["serve", "--listen", flag.as_str()];
    let server = Server::of(&user, &command, "ready: ");
    assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(server.get("/api/v1/whoami")["name"], "local");
    assert_eq!(server.ask_plainly("GET", "/api/v1/whoami", &[], &[]).status, 401, "a socket is no proof");
    assert_eq!(user.host(command).code, Some(6), "the socket is in use");
    server.running.signal("KILL");
    server.running.end();
    assert!(path.exists());
    let server = Server::of(&user, &command, "ready: ");
    assert_eq!(server.get("/api/v1/whoami")["name"], "local");
    server.running.signal("TERM");
    assert_eq!(server.running.end().code, Some(0));
    assert!(!path.exists(), "it leads nowhere");
    // What is no socket is not removed.
    std::fs::write(&path, "kept").expect("written");
    assert_eq!(user.host(command).code, Some(6));
    assert_eq!(std::fs::read(&path).expect("it is there"), b"kept");
}

#[test]
fn a_path_stands_before_every_other() {
    let user = User::new();
    let server = Server::start(&user, &["--base-path", "/jobs/host"]);
    assert!(server.running.heard().contains("/jobs/host\n"), "{}", server.running.heard());
    assert_eq!(server.get("/jobs/host/api/v1/whoami")["name"], "local");
    assert_eq!(server.ask("GET", "/api/v1/whoami", &[], &[]).status, 404);
    assert_eq!(server.ask("GET", "/jobs/host/nothing", &[], &[]).json()["type"], "urn:host:problem:not-found");
    for path in ["/", "host", "/host/", "/a//b", "/a/../b", "/a{b}", "/a b"] {
        let said = user.host(["serve", "--listen", "127.0.0.1:0", "--base-path", path]);
        assert_eq!(said.code, Some(2), "{path}: {said:?}");
    }
}

#[test]
fn what_is_under_way_is_answered_before_the_end_and_nothing_new_is_taken() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let mut slow = server.connect();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n").expect("sent");
    let mut idle = server.connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    let mut byte = [0];
    idle.read_exact(&mut byte).expect("it is answered");
    server.running.signal("TERM");
    let ended = Stopwatch::start();
    assert_eq!(server.running.end().code, Some(0));
    assert!(ended.elapsed() < Duration::from_secs(14), "a connection without a request holds nobody up");
}
