//! The interface over TLS, with certificates that are made for each test.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tests::api::{Answer, Place, Server, answer};
use tests::certificates::Certificates;
use tests::cli::User;

use crate::cli::serving::wait_for;

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

fn start(user: &User, certificates: &Certificates) -> Server {
    let (certificate, key) = (text(&certificates.server()), text(&certificates.key()));
    Server::of(user, &["api", "--listen", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key], "listening on")
}

fn address(server: &Server) -> &str {
    let Place::Tcp(address) = &server.place else { panic!("an address") };
    address
}

/// The answer to a request over TLS, by a client that trusts this authority.
fn ask(server: &Server, authority: &Path, request: &str) -> std::io::Result<Answer> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(authority).expect("a certificate");
    roots.add(authority).expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("there are some")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("it can be set up");
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address(server))?);
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    answer(&bytes).ok_or_else(|| read.expect_err("no answer, and no error"))
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[test]
fn a_server_with_a_certificate_speaks_tls_alone_and_its_cookies_are_kept_to_it() {
    let (user, certificates) = (User::new(), Certificates::new().expect("made"));
    let server = start(&user, &certificates);
    assert!(server.running.heard().contains("https://"), "{}", server.running.heard());
    assert_eq!(ask(&server, &certificates.authority(), HEALTH).expect("it is answered").status, 200);
    let stranger = ask(&server, &certificates.stranger(), HEALTH).expect_err("it is not trusted");
    assert!(stranger.to_string().contains("UnknownIssuer"), "{stranger}");
    let mut plain = TcpStream::connect(address(&server)).expect("it listens");
    plain.write_all(HEALTH.as_bytes()).expect("sent");
    let mut told = Vec::new();
    drop(plain.read_to_end(&mut told));
    assert!(!told.starts_with(b"HTTP/"), "it was answered in the clear");
    let form = format!("token={}", server.token);
    let login = format!(
        "POST /login HTTP/1.1\r\nhost: localhost\r\norigin: https://localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    let logged_in = ask(&server, &certificates.authority(), &login).expect("it is answered");
    let cookie = logged_in.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {logged_in:?}"));
    assert!(cookie.ends_with("; Secure"), "{cookie}");
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart_and_one_that_is_none_is_not() {
    let (user, certificates, renewed) =
        (User::new(), Certificates::new().expect("made"), Certificates::new().expect("made"));
    let server = start(&user, &certificates);
    let trusts = |authority: &Path| ask(&server, authority, HEALTH).is_ok();
    assert!(trusts(&certificates.authority()) && !trusts(&renewed.authority()));
    // One file was written, and the other one not yet.
    fs::copy(renewed.server(), certificates.server()).expect("copied");
    server.running.wait_until_heard("cannot be renewed; the old one stays");
    assert!(trusts(&certificates.authority()));
    fs::copy(renewed.key(), certificates.key()).expect("copied");
    wait_for("the new certificate is shown", || trusts(&renewed.authority()).then_some(()));
    assert!(!trusts(&certificates.authority()));
}

#[test]
fn files_that_are_no_certificate_with_its_key_are_refused_at_the_start() {
    let (user, certificates, other) =
        (User::new(), Certificates::new().expect("made"), Certificates::new().expect("made"));
    let (certificate, key) = (text(&certificates.server()), text(&certificates.key()));
    let (other_key, missing) = (text(&other.key()), text(&user.home().join("missing")));
    for (listen, flags, mention) in [
        ("127.0.0.1:0", vec!["--tls-cert", &certificate], "add --tls-key"),
        ("127.0.0.1:0", vec!["--tls-key", &key], "add --tls-cert"),
        ("127.0.0.1:0", vec!["--tls-cert", &missing, "--tls-key", &key], "cannot be read"),
        ("127.0.0.1:0", vec!["--tls-cert", &key, "--tls-key", &key], "no certificate in it"),
        ("127.0.0.1:0", vec!["--tls-cert", &certificate, "--tls-key", &certificate], "no private key in it"),
        ("127.0.0.1:0", vec!["--tls-cert", &certificate, "--tls-key", &other_key], "there is no TLS with"),
        ("unix:s", vec!["--tls-cert", &certificate, "--tls-key", &key], "at a Unix socket"),
    ] {
        let said = user.host(["api", "--listen", listen].iter().chain(&flags));
        assert!(said.code == Some(2) && said.err.contains(mention), "{flags:?}: {said:?}");
        assert!(said.err.contains("hint: "), "{flags:?}: {said:?}");
    }
}
