//! Requests over HTTP: what was granted and no more, to the address that was looked at, against real servers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use host::app::grant_http;
use host::executor::wasm::Resolver;
use host::model::{Digest, ErrorKind, Grant};
use serde_json::{Value, json};
use tests::certificates::Certificates;
use tests::web::{Exchange, Server};

use super::{COMPILED, Ended, Run, Sandbox};

/// Knows the names of a test: each has a list of answers, the last of which stays.
#[derive(Default)]
pub(super) struct Names {
    answers: Mutex<Vec<(String, Vec<Vec<IpAddr>>)>>,
    asked: AtomicUsize,
}

impl Names {
    pub(super) fn with(self, name: &str, answers: &[&[&str]]) -> Names {
        let address = |text: &&str| text.parse().expect("an address");
        let answers = answers.iter().map(|answer| answer.iter().map(address).collect()).collect();
        self.answers.lock().expect("not poisoned").push((name.to_owned(), answers));
        self
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Resolver for Names {
    fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut known = self.answers.lock().expect("not poisoned");
        let (_, answers) = known
            .iter_mut()
            .find(|(known, _)| known == name)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no `{name}`")))?;
        Ok(if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() })
    }
}

/// A sandbox that asks these names, and trusts the authority of these certificates.
pub(super) async fn sandbox(names: &Arc<Names>, certificates: Option<&Certificates>) -> (Sandbox, Digest) {
    let resolver: Arc<dyn Resolver> = Arc::clone(names) as _;
    let sandbox = Sandbox::with(|options| {
        options.cache_dir = Some(COMPILED.path().join("cache"));
        options.resolver = Some(resolver);
        options.authorities = certificates.map(Certificates::authority);
    });
    let digest = sandbox.learn_faults().await;
    (sandbox, digest)
}

pub(super) fn run(digest: Digest, task: &str, args: Value, grants: &[&str]) -> Run {
    let grant = |text: &&str| -> Grant { grant_http(text).expect("a pattern") };
    Run { grants: grants.iter().map(grant).collect(), ..Run::new(digest, task, args) }
}

async fn fetch(sandbox: &Sandbox, digest: Digest, url: &str, grants: &[&str]) -> Ended {
    sandbox.run(run(digest, "fetches", json!({"url": url}), grants)).await
}

fn told(ended: &Ended) -> String {
    format!("{:?}", ended.error())
}

pub(super) fn hello(exchange: &mut Exchange) -> io::Result<()> {
    exchange.answer(200, "x-kind: test\r\n", "hello")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_request_reaches_its_server_and_its_answer_the_guest() {
    let server = Server::plain(|exchange| {
        let body = exchange.body()?;
        exchange.answer(201, "x-kind: test\r\n", &format!("{} bytes", body.len()))
    })
    .expect("a server");
    let (sandbox, digest) = sandbox(&Arc::default(), None).await;
    let args =
        json!({"url": server.url("/a?b=c"), "method": "POST", "headers": {"x-mine": "1"}, "body": "x".repeat(200_000)});
    let ended = sandbox.run(run(digest, "fetches", args, &[&server.url("/a")])).await;
    let answer = ended.value();
    assert_eq!((&answer["status"], &answer["body"]), (&json!(201), &json!("200000 bytes")));
    assert_eq!(answer["headers"]["x-kind"], json!("test"));
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /a?b=c HTTP/1.1");
    assert_eq!(seen.header("host"), Some(format!("127.0.0.1:{}", server.port()).as_str()));
    assert_eq!((seen.header("x-mine"), seen.header("connection")), (Some("1"), Some("close")));
    let usage = ended.finished.usage.http;
    assert_eq!(usage.requests, 1);
    assert!((200_000..210_000).contains(&usage.sent_bytes), "{usage:?}");
    assert!((50..1_000).contains(&usage.received_bytes), "{usage:?}");
    assert!(ended.finished.usage.fuel > 300_000, "the request and its bytes cost fuel: {:?}", ended.finished.usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_denied_with_the_flag_that_would_allow_it() {
    let server = Server::plain(hello).expect("a server");
    let (sandbox, digest) = sandbox(&Arc::default(), None).await;
    let (url, port) = (server.url("/a"), server.port());
    for grants in [
        vec![],
        vec![format!("POST {}", server.url("/"))],
        vec![server.url("/b")],
        vec![format!("https://127.0.0.1:{port}")],
        vec!["http://127.0.0.1".to_owned()],
        vec![format!("http://127.0.0.2:{port}")],
        vec![format!("http://*.127.example:{port}")],
    ] {
        let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
        let ended = fetch(&sandbox, digest, &url, &grants).await;
        assert_eq!(ended.error().kind, ErrorKind::Denied, "{grants:?}: {:?}", ended.error());
        assert!(told(&ended).contains(&format!("--allow-http http://127.0.0.1:{port}")), "{}", told(&ended));
        assert_eq!(ended.finished.usage.http, Default::default());
    }
    assert_eq!(server.connections(), 0);
}

/// With every host granted by name, nothing but the public internet is.
#[tokio::test(flavor = "multi_thread")]
async fn no_way_of_writing_an_address_leads_to_this_machine() {
    let server = Server::plain(hello).expect("a server");
    let names = Names::default()
        .with("localhost", &[&["127.0.0.1", "::1"]])
        .with("inside.example", &[&["10.0.0.1"]])
        .with("mapped.example", &[&["::ffff:127.0.0.1"]])
        .with("translated.example", &[&["64:ff9b::7f00:1"]])
        .with("tunnel.example", &[&["2002:7f00:1::"]])
        .with("cloud.example", &[&["169.254.169.254"]])
        .with("cloud6.example", &[&["fd00:ec2::254"]])
        .with("granted.example", &[&["127.0.0.1"]]);
    let (sandbox, digest) = sandbox(&Arc::new(names), None).await;
    let port = server.port();
    for host in [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.0.2",
        "0.0.0.0",
        "0",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "017700000001",
        "0177.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "inside.example",
        "mapped.example",
        "translated.example",
        "tunnel.example",
        "cloud.example",
        "cloud6.example",
        "169.254.169.254",
        "granted.example",
        "user@127.0.0.1",
        "granted.example@127.0.0.1",
        "user:secret@localhost",
    ] {
        let ended = fetch(&sandbox, digest, &format!("http://{host}:{port}/"), &["http://*:*"]).await;
        assert_eq!(ended.error().kind, ErrorKind::Denied, "{host}: {:?}", ended.error());
    }
    // What no URL has for a host never gets as far.
    for host in [
        "127.0.0.1%00",
        "%31%32%37.0.0.1",
        "127。0。0。1",
        "１２７.0.0.1",
        "127.0.0.1\\@a.example",
        "[::1%25lo]",
        "[127.0.0.1]",
        "a b",
    ] {
        let ended = fetch(&sandbox, digest, &format!("http://{host}:{port}/"), &["http://*:*"]).await;
        assert!(matches!(ended.error().kind, ErrorKind::GuestError | ErrorKind::Denied), "{host}: {:?}", ended.error());
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_that_is_granted_lends_its_name_to_no_other() {
    let (granted, other) = (Server::plain(hello).expect("a server"), Server::plain(hello).expect("a server"));
    let names = Names::default().with("granted.example", &[&["127.0.0.1"]]).with("other.example", &[&["127.0.0.1"]]);
    let (sandbox, digest) = sandbox(&Arc::new(names), None).await;
    let (port, other_port) = (granted.port(), other.port());
    let name = format!("http://granted.example:{port}/in");
    let grants = [name.as_str(), &format!("http://127.0.0.1:{port}/in"), &format!("http://127.0.0.1:{other_port}/in")];
    for url in [
        format!("http://granted.example:{port}@other.example:{other_port}/in"),
        format!("http://other.example:{other_port}/in#@granted.example:{port}/in"),
        format!("http://other.example:{other_port}/in?@granted.example:{port}/in"),
        format!("http://granted.example.:{other_port}/in"),
        format!("http://granted.example.other.example:{port}/in"),
        format!("http://granted.example:{port}/in/../out"),
        format!("http://granted.example:{port}/in/%2e%2e/out"),
        format!("http://granted.example:{port}/in/..%2fout"),
        format!("http://granted.example:{port}/inside"),
        format!("http://granted.example:{port}//in"),
        format!("https://granted.example:{port}/in"),
    ] {
        let ended = fetch(&sandbox, digest, &url, &grants).await;
        assert_eq!(ended.error().kind, ErrorKind::Denied, "{url}: {:?}", ended.error());
    }
    for url in [
        format!("http://granted.example:{port}/in"),
        format!("HTTP://Granted.Example.:{port}/in/%41?@other.example"),
        format!("http://granted.example:{port}/in#@other.example:{other_port}/in"),
    ] {
        assert_eq!(fetch(&sandbox, digest, &url, &grants).await.value()["body"], json!("hello"), "{url}");
    }
    assert_eq!((granted.connections(), other.connections()), (3, 0));
    assert!(granted.seen().iter().all(|seen| seen.header("host") == Some(&format!("granted.example:{port}"))));
}

/// The name is asked once for each request, and the connection goes to what it answered then.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_its_answer_leads_nowhere_else() {
    let server = Server::plain(hello).expect("a server");
    let hidden = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), server.port()));
    let hidden = Server::at(hidden, hello).expect("a server");
    let names = Names::default()
        .with("rebinding.example", &[&["127.0.0.1"], &["127.0.0.2"]])
        .with("both.example", &[&["127.0.0.2", "127.0.0.1"]]);
    let names = Arc::new(names);
    let (sandbox, digest) = sandbox(&names, None).await;
    let port = server.port();
    let allowed = [
        format!("http://rebinding.example:{port}"),
        format!("http://both.example:{port}"),
        format!("http://127.0.0.1:{port}"),
    ];
    let grants: Vec<&str> = allowed.iter().map(String::as_str).collect();
    assert_eq!(fetch(&sandbox, digest, &allowed[0], &grants).await.value()["body"], json!("hello"));
    assert_eq!(names.asked(), 1);
    let ended = fetch(&sandbox, digest, &allowed[0], &grants).await;
    assert_eq!((ended.error().kind, names.asked()), (ErrorKind::Denied, 2), "{:?}", ended.error());
    assert!(told(&ended).contains("rebinding.example is at 127.0.0.2, an address of this machine"), "{}", told(&ended));
    assert_eq!(fetch(&sandbox, digest, &allowed[1], &grants).await.value()["body"], json!("hello"));
    assert_eq!((server.connections(), hidden.connections()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirection_is_an_answer_and_is_not_followed() {
    let hidden = Server::plain(hello).expect("a server");
    let place = hidden.url("/secret");
    let server =
        Server::plain(move |exchange| exchange.answer(302, &format!("location: {place}\r\n"), "")).expect("a server");
    let (sandbox, digest) = sandbox(&Arc::default(), None).await;
    let ended = fetch(&sandbox, digest, &server.url("/"), &[&server.url("/"), &hidden.url("/")]).await;
    assert_eq!(ended.value()["status"], json!(302));
    assert_eq!(ended.value()["headers"]["location"], json!(hidden.url("/secret")));
    assert_eq!((server.connections(), hidden.connections()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_server_must_show_a_certificate_for_its_name() {
    let certificates = Certificates::new().expect("certificates");
    let server = Server::tls(&certificates, hello).expect("a server");
    let names = Names::default().with("localhost", &[&["127.0.0.1"]]).with("other.example", &[&["127.0.0.1"]]);
    let names = Arc::new(names);
    let (trusting, digest) = sandbox(&names, Some(&certificates)).await;
    let port = server.port();
    let [named, by_address, other] =
        ["localhost", "127.0.0.1", "other.example"].map(|host| format!("https://{host}:{port}"));
    let grants = [named.as_str(), &by_address, &other];
    let ended = fetch(&trusting, digest, &named, &grants).await;
    assert_eq!(ended.value()["body"], json!("hello"));
    for wrong in [&by_address, &other] {
        let ended = fetch(&trusting, digest, wrong, &grants).await;
        assert_eq!(ended.error().kind, ErrorKind::GuestError, "{wrong}");
        assert!(told(&ended).contains("no certificate that is trusted for that name"), "{}", told(&ended));
    }
    let (strange, digest) = sandbox(&names, None).await;
    let ended = fetch(&strange, digest, &named, &grants).await;
    assert!(told(&ended).contains("http-"), "the system does not know this authority: {}", told(&ended));
    let plain = Server::plain(hello).expect("a server");
    let url = format!("https://localhost:{}", plain.port());
    let ended = fetch(&trusting, digest, &url, &[&url, &format!("https://127.0.0.1:{}", plain.port())]).await;
    assert!(told(&ended).contains("http-"), "it speaks no TLS: {}", told(&ended));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_make_something_else_of_a_connection_are_never_sent() {
    let server = Server::plain(hello).expect("a server");
    let (sandbox, digest) = sandbox(&Arc::default(), None).await;
    for method in ["CONNECT", "TRACE", "trace"] {
        let args = json!({"url": server.url("/"), "method": method});
        let ended = sandbox.run(run(digest, "fetches", args, &[&server.url("/")])).await;
        assert_eq!(ended.error().kind, ErrorKind::Denied, "{:?}", ended.error());
    }
    for (name, value) in [
        ("host", "other.example"),
        ("connection", "upgrade"),
        ("upgrade", "h2c"),
        ("transfer-encoding", "chunked"),
        ("a b", "c"),
        ("a", "b\r\nc: d"),
    ] {
        let args = json!({"url": server.url("/"), "headers": {name: value}});
        let ended = sandbox.run(run(digest, "fetches", args, &[&server.url("/")])).await;
        assert!(told(&ended).contains("http-invalid-request"), "{name}: {}", told(&ended));
    }
    assert_eq!(server.connections(), 0);
}
