//! TLS to a database server: what protects, what is refused, and what never goes over the wire.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use host::clock::SystemClock;
use host::store::sql::SqlStore;
use host::store::{OpenOptions, StoreError};
use tests::backends::{Backend, OwnServer};
use tests::certificates::Certificates;

use crate::block_on;

/// Opens the store, and closes it again. A store that cannot be used is answered as reason, cause and hint.
fn open(url: &str) -> Result<std::result::Result<(), String>> {
    block_on(async {
        let url: host::config::StoreUrl = url.parse()?;
        match SqlStore::open(&url, OpenOptions { clock: &SystemClock, auto_migrate: true }).await {
            Ok(store) => {
                host::store::Housekeeping::close(&store).await;
                Ok(Ok(()))
            }
            Err(StoreError::Unusable { reason, hint, source }) => {
                let cause = source.map(|source| source.to_string()).unwrap_or_default();
                let told = format!("{reason}\n{cause}\n{hint}");
                ensure!(!told.contains("secret"), "the password is told: {told}");
                Ok(Err(told))
            }
            Err(other) => bail!("another error: {other:?}"),
        }
    })
}

fn opens(url: &str) -> Result<()> {
    open(url)?.map_err(|told| anyhow::anyhow!("{url} is refused: {told}"))
}

/// The store is refused, and each of `mentions` is told.
fn refused(url: &str, mentions: &[&str]) -> Result<()> {
    let Err(told) = open(url)? else { bail!("{url} opens") };
    for mention in mentions {
        ensure!(told.contains(mention), "{url}: `{mention}` is not in: {told}");
    }
    Ok(())
}

/// `url` with a parameter that says how much protection is wanted, in the words of the server's own clients.
fn with_mode(backend: Backend, url: &str, mode: &str) -> String {
    let (name, mode) = match (backend, mode) {
        (Backend::Postgres, mode) => ("sslmode", mode),
        (_, "disable") => ("ssl-mode", "DISABLED"),
        (_, "prefer") => ("ssl-mode", "PREFERRED"),
        (_, "require") => ("ssl-mode", "REQUIRED"),
        (_, "verify-ca") => ("ssl-mode", "VERIFY_CA"),
        (_, _) => ("ssl-mode", "VERIFY_IDENTITY"),
    };
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{name}={mode}")
}

fn with_authority(backend: Backend, url: &str, file: &Path) -> String {
    let name = if backend == Backend::Postgres { "sslrootcert" } else { "ssl-ca" };
    format!("{url}&{name}={}", file.display())
}

/// A server that takes nobody without TLS, as `localhost` and by its address.
fn server(backend: Backend, certificates: &Certificates) -> Result<(OwnServer, String, String)> {
    let mut server = OwnServer::start(backend == Backend::Postgres)?;
    server.use_tls(certificates)?;
    let by_address = server.url();
    let by_name = by_address.replace("127.0.0.1", "localhost");
    Ok((server, by_name, by_address))
}

pub(crate) fn protects_as_the_url_says(backend: Backend) -> Result<()> {
    let certificates = Certificates::new()?;
    let (_server, by_name, by_address) = server(backend, &certificates)?;
    // Without a word, a server on this machine is met with the TLS that it offers.
    opens(&by_address)?;
    opens(&with_mode(backend, &by_address, "require"))?;
    let without = match backend {
        Backend::Postgres => ["does not let this user in", "sslmode=require"],
        // The server says no more than that.
        _ => ["refuses the user or the password", "a user who must come with TLS is refused in the same words"],
    };
    refused(&with_mode(backend, &by_address, "disable"), &without)?;

    let verified = |url: &str, mode: &str, file: &Path| with_authority(backend, &with_mode(backend, url, mode), file);
    let (right, wrong) = (certificates.authority(), certificates.stranger());
    opens(&verified(&by_name, "verify-full", &right))?;
    let untrusted =
        ["a certificate of an authority that is not trusted here", "does not hold the authority that signed it"];
    refused(&verified(&by_name, "verify-full", &wrong), &untrusted)?;
    refused(
        &with_mode(backend, &by_name, "verify-full"),
        &["not trusted here", "name the authority's certificate: sslrootcert=FILE"],
    )?;
    refused(
        &verified(&by_address, "verify-full", &right),
        &["a certificate for another name", "as its certificate does"],
    )?;
    opens(&verified(&by_address, "verify-ca", &right))?;
    refused(&verified(&by_address, "verify-ca", &wrong), &untrusted)?;
    // Whoever names an authority wants it asked, as with libpq.
    refused(&verified(&by_address, "require", &wrong), &untrusted)?;
    refused(&verified(&by_address, "prefer", &right), &["nobody would ask them", "sslmode=verify-full"])?;
    let missing = certificates.folder().join("missing.pem");
    refused(&verified(&by_name, "verify-full", &missing), &["missing.pem", "cannot be read"])
}

pub(crate) fn is_not_given_up_where_the_server_has_none(backend: Backend) -> Result<()> {
    let url = backend.place()?.context("the store has a place")?.url;
    opens(&url)?;
    opens(&with_mode(backend, &url, "prefer"))?;
    for mode in ["require", "verify-ca", "verify-full"] {
        let turned_off = if backend == Backend::Postgres { "?sslmode=disable" } else { "?ssl-mode=disabled" };
        refused(&with_mode(backend, &url, mode), &["offers no TLS", "turn TLS on at the server", turned_off])?;
    }
    Ok(())
}

/// Somebody in the server's place who says that there is no TLS hears nothing from a client that wants it.
pub(crate) fn keeps_the_password_from_whoever_denies_it(backend: Backend) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let impostor = thread::spawn(move || -> Result<Vec<u8>> {
        let (mut client, _) = listener.accept()?;
        let mut heard = Vec::new();
        match backend {
            Backend::Postgres => {
                let mut request = [0; 8];
                client.read_exact(&mut request)?;
                heard.extend(request);
                client.write_all(b"N")?;
            }
            _ => client.write_all(&greeting_without_tls())?,
        }
        // To the end: whatever the client says before it hangs up.
        client.read_to_end(&mut heard)?;
        client.shutdown(Shutdown::Both).ok();
        Ok(heard)
    });
    let scheme = if backend == Backend::Postgres { "postgres" } else { "mysql" };
    let url = format!("{scheme}://ada:secret@127.0.0.1:{port}/jobs");
    refused(&with_mode(backend, &url, "require"), &["offers no TLS", "nothing was sent without"])?;
    let heard = impostor.join().map_err(|_| anyhow::anyhow!("the impostor panicked"))??;
    // The request for TLS: its length and a number that stands for it.
    let request: &[u8] = if backend == Backend::Postgres { &[0, 0, 0, 8, 4, 210, 22, 47] } else { &[] };
    ensure!(heard == request, "the client said: {heard:?}");
    Ok(())
}

/// What a MySQL server says first, one without TLS.
fn greeting_without_tls() -> Vec<u8> {
    let mut body = vec![10];
    body.extend(b"8.0.0\0");
    body.extend(1_u32.to_le_bytes());
    body.extend(b"12345678\0");
    // Protocol 4.1, secure connection, authentication by plugin; not TLS.
    let capabilities: u32 = 0x0000_0200 | 0x0000_8000 | 0x0008_0000;
    let [low_0, low_1, high_0, high_1] = capabilities.to_le_bytes();
    body.extend([low_0, low_1, 45, 2, 0, high_0, high_1, 21]);
    body.extend([0; 10]);
    body.extend(b"123456789012\0mysql_native_password\0");
    let length = u32::try_from(body.len()).unwrap_or(0).to_le_bytes();
    let mut packet = vec![length[0], length[1], length[2], 0];
    packet.extend(body);
    packet
}
