//! Who gets in, and how they prove it afterwards.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use tests::api::{Place, Server, answer};
use tests::cli::{User, host_binary};

use super::browser::{Browser, cookie_of};
use super::idle_server;

#[test]
fn without_a_session_every_page_leads_to_the_login_and_back_to_the_page() {
    let user = User::new();
    let server = idle_server(&user, &[]);
    let browser = Browser::new(&server);
    for path in ["/", "/jobs", "/job?id=x", "/schedules", "/tasks", "/queues", "/plugins", "/schedulers"] {
        let answer = browser.get(path);
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.header("location").is_some_and(|to| to.starts_with("/login")), "{path}: {answer:?}");
    }
    let answer = browser.get("/jobs?state=queued");
    assert_eq!(answer.header("location"), Some("/login?next=%2Fjobs%3Fstate%3Dqueued"));
    assert!(browser.page("/login?next=%2Fjobs%3Fstate%3Dqueued").contains("value=\"/jobs?state=queued\""));
    let answer = browser.log_in(&server.token, "all", "%2Fjobs%3Fstate%3Dqueued");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/jobs?state=queued")));
    for next in ["//evil.example", "/\\evil.example", "https://evil.example", "/%0d%0aset-cookie:a=b", "/login?code=1"]
    {
        let answer = browser.log_in(&server.token, "all", next);
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{next}");
    }
    assert_eq!(browser.send("/queue/pause?name=default", &[("origin", &browser.origin())], "csrf=").status, 303);
    assert!(user.json(&["queues"]).as_array().is_some_and(Vec::is_empty), "it was done nevertheless");
}

#[test]
fn only_a_token_opens_a_session_and_its_cookie_is_kept_from_scripts_and_other_sites() {
    let user = User::new();
    let server = idle_server(&user, &[]);
    let browser = Browser::new(&server);
    let almost = format!("{}x", &server.token[..server.token.len() - 1]);
    for token in ["", "x", &almost] {
        let answer = browser.log_in(token, "all", "");
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{token}");
        assert!(answer.told().1.contains("the token is not known: it is wrong, or was revoked"));
    }
    let answer = browser.log_in(&server.token, "all", "");
    let Place::Tcp(address) = &server.place else { panic!("an address") };
    let port = address.split(':').nth(1).expect("a port");
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with(&format!("host_session_{port}=")), "{cookie}");
    assert!(cookie.ends_with("; Max-Age=43200; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!(cookie_of(&answer).split('=').nth(1).map(str::len), Some(64), "{cookie}");
    assert_ne!(cookie_of(&answer), cookie_of(&browser.log_in(&server.token, "all", "")));
    // A browser that came over TLS keeps the cookie to that.
    let headers = [("origin", "https://jobs.example.org"), ("host", "jobs.example.org")];
    let behind_proxy = idle_server(&user, &["--allow-host", "jobs.example.org"]);
    let answer = Browser::new(&behind_proxy).send("/login", &headers, &format!("token={}", behind_proxy.token));
    assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.ends_with("; Secure")), "{answer:?}");
}

#[test]
fn a_session_opens_pages_alone_and_ends_when_somebody_logs_out() {
    let user = User::new();
    let server = idle_server(&user, &[]);
    let browser = Browser::logged_in(&server, "all");
    assert!(browser.page("/").contains("Log out"));
    assert_eq!(browser.get("/api/v1/whoami").status, 401, "a cookie is no token");
    let answer = browser.post("/logout", "");
    assert_eq!(answer.status, 303);
    assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.contains("=; Max-Age=0; Path=/")), "{answer:?}");
    assert_eq!(browser.get("/").status, 303, "the session went on");
}

#[test]
fn a_form_is_taken_from_our_own_pages_alone() {
    let user = User::new();
    let server = idle_server(&user, &[]);
    let (browser, other) = (Browser::logged_in(&server, "all"), Browser::logged_in(&server, "all"));
    let (csrf, origin) = (browser.csrf(), browser.origin());
    let form = |csrf: &str| format!("csrf={csrf}");
    let path = "/queue/pause?name=default";
    for (headers, csrf, status) in [
        (vec![("origin", origin.as_str())], "", 403),
        (vec![("origin", &origin)], "x", 403),
        (vec![("origin", &origin)], &other.csrf(), 403),
        (vec![], &csrf, 403),
        (vec![("origin", "null")], &csrf, 421),
        (vec![("origin", "http://evil.example")], &csrf, 421),
        (vec![("origin", "http://127.0.0.1:1")], &csrf, 421),
        (vec![("origin", &origin), ("origin", &origin)], &csrf, 400),
    ] {
        let answer = browser.send(path, &headers, &form(csrf));
        assert_eq!(answer.status, status, "{headers:?} {csrf}: {:?}", answer.told());
    }
    assert!(!browser.page("/queues").contains("paused"), "it was done nevertheless");
    // What stands in the address is no form.
    let answer = browser.send(&format!("{path}&csrf={csrf}"), &[("origin", &origin)], "");
    assert_eq!(answer.status, 403);
    let long = format!("csrf={csrf}&x={}", "x".repeat(64 * 1024));
    assert_eq!(browser.send(path, &[("origin", &origin)], &long).status, 413);
    assert_eq!(browser.send(path, &[("origin", &origin)], &form(&csrf)).status, 303);
    assert!(browser.page("/queues").contains("paused"));
}

#[test]
fn on_a_terminal_the_server_prints_an_address_that_logs_in_once() {
    let user = User::new();
    let serve = format!("{} serve --listen 127.0.0.1:0", host_binary().display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--flush", "--command", &serve, "/dev/null"]);
    command.env("HOME", user.home()).env("HOST_DATA_DIR", user.data());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`script` makes a terminal");
    let heard = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut urls = heard.lines().map_while(Result::ok).filter_map(|line| {
        let rest = line.split("open http://").nth(1)?.to_owned();
        rest.split(' ').next().map(str::to_owned)
    });
    let url = urls.next().expect("it prints an address");
    let (address, path) = url.split_once('/').expect("an address has a path");
    let ask = |path: &str| {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(address).expect("it listens");
        let head = format!("GET /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("it is answered");
        answer(&bytes).expect("an answer")
    };
    assert_eq!(ask("login?code=0123").status, 403);
    let first = ask(path);
    assert_eq!((first.status, first.header("location")), (303, Some("/")));
    assert!(cookie_of(&first).starts_with("host_session_"), "{first:?}");
    let second = ask(path);
    assert_eq!((second.status, second.header("set-cookie")), (403, None), "it was good for more than once");
    assert!(second.told().1.contains("That address was used before"), "{second:?}");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn what_is_no_terminal_gets_no_address_that_logs_in() {
    let user = User::new();
    let server = Server::start(&user, &[]);
    assert!(!server.running.heard().contains("code="), "{}", server.running.heard());
}

#[test]
fn where_no_token_is_asked_for_pages_say_so_and_forms_of_others_are_refused() {
    let user = User::new();
    user.ok(["queues", "pause", "slow"]);
    let server = idle_server(&user, &["--insecure-no-auth"]);
    let browser = Browser::new(&server);
    assert!(browser.page("/").contains("everybody on this machine may do everything"));
    let page = browser.page("/queues");
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
    let path = "/queue/resume?name=slow";
    assert_eq!(browser.send(path, &[("origin", &browser.origin())], "").status, 403);
    assert_eq!(browser.send(path, &[("origin", "http://evil.example")], &format!("csrf={csrf}")).status, 421);
    assert_eq!(browser.send(path, &[("origin", &browser.origin())], &format!("csrf={csrf}")).status, 303);
    assert!(!browser.page("/queues").contains("slow"));
}
