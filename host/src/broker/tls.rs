//! TLS to a server that passes messages on: the server must show a certificate for its name, of an authority of the system or of the file
//! that the URL names. There is no way to do without that: who wants no TLS says so by the scheme of the URL.
//!
//! Files are read for each connection, so that a certificate may be renewed while the host runs.

#[cfg(any(feature = "mqtt", feature = "nats"))]
use std::sync::Arc;
use std::{io, path::Path};

#[cfg(any(feature = "mqtt", feature = "nats"))]
use rustls::ClientConfig;
#[cfg(any(feature = "nats", feature = "redis"))]
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::MessageTls;

/// What to do where a server cannot be trusted.
pub(super) const HINT: &str = "name the server as its certificate does, and the authority of a private certificate with ?sslrootcert=FILE; \
     if the server asks for a certificate of this host, name it with ?sslcert=FILE&sslkey=FILE";

/// Why TLS cannot be used as the URL says.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsFault {
    #[error("the file `{0}` cannot be read")]
    File(String, #[source] io::Error),
    #[error("the file `{0}` holds no {1} that can be read as PEM")]
    Content(String, &'static str),
    #[cfg(any(feature = "mqtt", feature = "nats"))]
    #[error("the certificates of the system cannot be read: {0}")]
    System(String),
    #[cfg(any(feature = "mqtt", feature = "nats"))]
    #[error("the certificate of the client cannot be used")]
    Client(#[source] rustls::Error),
    #[error("reading certificates was interrupted")]
    Interrupted,
}

/// The files that a URL names, as they are: looked into, so that what is wrong with them is told by their names.
pub(super) struct Pem {
    pub(super) roots: Option<Vec<u8>>,
    /// Certificate and key.
    pub(super) client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Reads what the URL names.
pub(super) async fn read(tls: &MessageTls) -> Result<Pem, TlsFault> {
    let tls = tls.clone();
    blocking(move || {
        let certificates = |path: &Path| {
            let pem = file(path)?;
            let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
            let is_usable = found.is_ok_and(|found| !found.is_empty());
            if is_usable { Ok(pem) } else { Err(TlsFault::Content(path.display().to_string(), "certificate")) }
        };
        let roots = tls.roots.as_deref().map(certificates).transpose()?;
        let client = match &tls.client {
            Some(client) => {
                let key = file(&client.key)?;
                if PrivateKeyDer::from_pem_slice(&key).is_err() {
                    return Err(TlsFault::Content(client.key.display().to_string(), "private key"));
                }
                Some((certificates(&client.certificate)?, key))
            }
            None => None,
        };
        Ok(Pem { roots, client })
    })
    .await
}

/// Makes sure that a client which asks the process for its cryptography finds some: what the host uses everywhere, unless the program has
/// chosen already.
#[cfg(any(feature = "nats", feature = "redis"))]
pub(super) fn ensure_provider() {
    if CryptoProvider::get_default().is_none() {
        // Where somebody was quicker, theirs holds.
        let _was_set = ring::default_provider().install_default();
    }
}

/// What a client of rustls works with.
#[cfg(any(feature = "mqtt", feature = "nats"))]
pub(super) async fn client_config(tls: &MessageTls) -> Result<Arc<ClientConfig>, TlsFault> {
    let pem = read(tls).await?;
    blocking(move || {
        let mut roots = rustls::RootCertStore::empty();
        match &pem.roots {
            Some(pem) => {
                roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).filter_map(Result::ok));
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                if found.certs.is_empty() {
                    let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
                    return Err(TlsFault::System(errors.join(", ")));
                }
                roots.add_parsable_certificates(found.certs);
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsFault::Client)?
            .with_root_certificates(roots);
        let config = match &pem.client {
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate).filter_map(Result::ok).collect();
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|_| TlsFault::Content("sslkey".to_owned(), "private key"))?;
                config.with_client_auth_cert(chain, key).map_err(TlsFault::Client)?
            }
            None => config.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    })
    .await
}

fn file(path: &Path) -> Result<Vec<u8>, TlsFault> {
    std::fs::read(path).map_err(|error| TlsFault::File(path.display().to_string(), error))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TlsFault> + Send + 'static,
) -> Result<T, TlsFault> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(TlsFault::Interrupted))
}
