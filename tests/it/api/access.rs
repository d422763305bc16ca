//! Who may ask, and from where.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use tests::api::{Place, Server};
use tests::cli::User;

#[test]
fn without_the_token_of_the_machine_nothing_is_told() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    let file = user.data().join("api-token");
    assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(server.get("/api/v1/whoami"), json!({"name": "local", "permissions": ["admin"]}));
    let almost = format!("Bearer {}x", &server.token[..server.token.len() - 1]);
    let longer = format!("Bearer {}x", server.token);
    let basic = format!("Basic {}", server.token);
    let twice = format!("Bearer {}", server.token);
    let guesses: [&[(&str, &str)]; 8] = [
        &[],
        &[("authorization", "")],
        &[("authorization", "Bearer ")],
        &[("authorization", &almost)],
        &[("authorization", &longer)],
        &[("authorization", &basic)],
        &[("authorization", &twice), ("authorization", &twice)],
        &[("cookie", &server.token)],
    ];
    for guess in guesses {
        let answer = server.ask_plainly("GET", "/api/v1/status", guess, &[]);
        assert_eq!(answer.status, 401, "{guess:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.json()["hint"].as_str().is_some_and(|hint| hint.contains("api-token")), "{:?}", answer.told());
    }
}

#[test]
fn a_token_outlives_its_server_and_one_that_others_can_read_does_not() {
    let user = User::new();
    let token = Server::start(&user, &[]).token;
    assert_eq!(token.len(), 5 + 64, "{token}");
    assert_eq!(Server::start(&user, &[]).token, token);
    let file = user.data().join("api-token");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("it can be set");
    let server = Server::start(&user, &[]);
    assert_ne!(server.token, token);
    server.running.wait_until_heard("others were able to read the token");
    assert_eq!(server.get("/api/v1/whoami")["name"], "local");
    drop(server);
    std::fs::write(&file, "short").expect("written");
    let said = user.host(["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, Some(5), "{said:?}");
    std::fs::remove_file(&file).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", &file).expect("made");
    let said = user.host(["serve", "--listen", "127.0.0.1:0"]);
    assert!(said.code == Some(5) && said.err.contains("symbolic link"), "{said:?}");
}

#[test]
fn pages_of_others_reach_nothing() {
    let user = User::new();
    let server = Server::start(&user, &["--allow-host", "jobs.example.org"]);
    let Place::Tcp(address) = &server.place else { panic!("an address") };
    let own = format!("http://{address}");
    let ask = |headers: &[(&str, &str)]| server.ask("GET", "/api/v1/whoami", headers, &[]).status;
    assert_eq!(ask(&[]), 200);
    assert_eq!(ask(&[("origin", &own)]), 200);
    assert_eq!(ask(&[("host", "localhost:1")]), 200, "a tunnel has another port");
    assert_eq!(ask(&[("host", "jobs.example.org"), ("origin", "https://jobs.example.org")]), 200);
    // Rebinding: the page's own name leads here.
    assert_eq!(ask(&[("host", "evil.example")]), 421);
    assert_eq!(ask(&[("host", "evil.example"), ("origin", "http://evil.example")]), 421);
    for origin in ["null", "http://evil.example", "http://127.0.0.1:1", "https://jobs.example.org"] {
        assert_eq!(ask(&[("origin", origin)]), 421, "{origin}");
    }
    assert_eq!(ask(&[("host", "localhost"), ("host", "localhost")]), 400);
    let targets = server.ask("GET", "http://evil.example/healthz", &[], &[]).status;
    assert_eq!(targets, 400, "the target names another host");
    assert_eq!(server.ask("GET", "/healthz", &[("host", "evil.example")], &[]).status, 421);
    // No preflight is answered with a permission.
    let preflight = [("origin", own.as_str()), ("access-control-request-method", "POST")];
    let answer = server.ask_plainly("OPTIONS", "/api/v1/status", &preflight, &[]);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None));
}

#[test]
fn without_tokens_only_this_machine_is_served_and_pages_of_others_are_not() {
    let user = User::new();
    let said = user.host(["serve", "--listen", "0.0.0.0:0", "--insecure-no-auth"]);
    assert!(said.code == Some(2) && said.err.contains("--insecure-no-auth"), "{said:?}");
    let server = Server::start(&user, &["--insecure-no-auth"]);
    server.running.wait_until_heard("everybody on this machine may do everything");
    assert_eq!(server.ask_plainly("GET", "/api/v1/whoami", &[], &[]).json()["permissions"], json!(["admin"]));
    let foreign = server.ask_plainly("GET", "/api/v1/whoami", &[("origin", "http://evil.example")], &[]);
    assert_eq!(foreign.status, 421);
}

#[test]
fn what_is_not_there_is_a_problem_like_all_others() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    for (method, target, status, kind) in [
        ("GET", "/api/v1/nothing", 404, "not-found"),
        ("GET", "/../../etc/passwd", 404, "not-found"),
        ("GET", "/api/v1/%2e%2e/%2e%2e/api-token", 404, "not-found"),
        ("PUT", "/api/v1/status", 405, "method"),
        ("GET", "/api/v1/status?stat=1", 400, "invalid"),
        ("GET", "/api/v1/status?%ff", 400, "invalid"),
    ] {
        let answer = server.ask(method, target, &[], &[]);
        let problem = answer.json();
        assert_eq!((answer.status, &problem["status"]), (status, &json!(status)), "{target}: {problem}");
        assert_eq!(problem["type"], format!("urn:host:problem:{kind}"), "{target}: {problem}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn the_document_names_every_route_with_its_permission() {
    let user = User::new();
    let server = Server::start(&user, &["--base-path", "/x"]);
    let document = server.ask_plainly("GET", "/x/openapi.json", &[], &[]).json();
    assert_eq!(document["servers"], json!([{"url": "/x"}]));
    assert_eq!(document["paths"]["/api/v1/status"]["get"]["x-permission"], "read");
    assert_eq!(document["paths"]["/healthz"]["get"].get("security"), None);
}
