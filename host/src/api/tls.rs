//! TLS: the certificate that clients are shown, and its renewal.
//!
//! The files are read again once in a while. Where they have changed, connections that begin afterwards are shown the new certificate;
//! where they cannot be used, which may be only because one of two was written so far, the old one stays.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, crypto};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::app::{AppError, AppResult};
use crate::clock::Clock;

/// How often is looked whether the files have changed.
const LOOK: Duration = Duration::from_secs(10);

/// Files of a certificate, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the server, and those that lead from it to an authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What connections begin with.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
}

/// The certificate that is shown now.
#[derive(Debug)]
struct Shown {
    files: TlsFiles,
    certified: RwLock<Arc<CertifiedKey>>,
}

/// What is in the files.
#[derive(PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`AppError::Invalid`] where they cannot be read, or are no certificate and its key.
    pub(super) async fn open(files: TlsFiles) -> AppResult<Tls> {
        let (read, refused) = (files.clone(), files.clone());
        let certified = tokio::task::spawn_blocking(move || certified(&content(&read)?)).await;
        let certified = certified.unwrap_or_else(|_| Err(Fault::Interrupted)).map_err(|fault| {
            let TlsFiles { certificate, key } = &refused;
            AppError::Invalid {
                what: format!("there is no TLS with `{}` and `{}`", certificate.display(), key.display()),
                causes: vec![fault.to_string()],
                hint: Some(
                    "--tls-cert names a certificate with those above it, --tls-key its private key, both as PEM".into(),
                ),
            }
        })?;
        let shown = Arc::new(Shown { files, certified: RwLock::new(certified) });
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| AppError::unexpected("TLS cannot be set up", error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), shown })
    }

    /// Begins a connection.
    ///
    /// # Errors
    /// The client speaks no TLS, or none that is taken here.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> std::io::Result<TlsStream<S>> {
        self.acceptor.accept(stream).await
    }

    /// Shows the certificate that is in the files, whenever it is another one. Never ends.
    pub(super) async fn renew(self, clock: Arc<dyn Clock>) {
        let mut last = None;
        loop {
            clock.sleep(LOOK).await;
            let files = self.shown.files.clone();
            let read = tokio::task::spawn_blocking(move || content(&files)).await;
            let found = read.unwrap_or_else(|_| Err(Fault::Interrupted));
            let outcome = match found {
                Ok(content) if last.as_ref() == Some(&content) => continue,
                Ok(content) => {
                    let certified = certified(&content);
                    last = Some(content);
                    certified
                }
                Err(fault) => Err(fault),
            };
            match outcome {
                Ok(certified) if self.shown.is_shown(&certified) => {}
                Ok(certified) => {
                    self.shown.show(certified);
                    tracing::info!("the certificate of the HTTP interface was renewed");
                }
                Err(fault) => {
                    tracing::warn!(%fault, "the certificate of the HTTP interface cannot be renewed; the old one stays");
                }
            }
        }
    }
}

impl Shown {
    fn is_shown(&self, certified: &CertifiedKey) -> bool {
        self.now().cert == certified.cert
    }

    fn show(&self, certified: Arc<CertifiedKey>) {
        *self.certified.write().unwrap_or_else(PoisonError::into_inner) = certified;
    }

    fn now(&self) -> Arc<CertifiedKey> {
        // A change to it is one assignment, so that a panic leaves nothing half done.
        Arc::clone(&self.certified.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the file `{0}` cannot be read: {1}")]
    File(String, std::io::Error),
    #[error("there is no {0} in it that can be read as PEM")]
    Content(&'static str),
    #[error("{0}")]
    Pair(rustls::Error),
    #[error("reading them was interrupted")]
    Interrupted,
}

fn content(files: &TlsFiles) -> Result<Content, Fault> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| Fault::File(path.display().to_string(), error));
    Ok(Content { certificate: read(&files.certificate)?, key: read(&files.key)? })
}

fn certified(content: &Content) -> Result<Arc<CertifiedKey>, Fault> {
    let chain = CertificateDer::pem_slice_iter(&content.certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(Fault::Content("certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&content.key).map_err(|_| Fault::Content("private key"))?;
    CertifiedKey::from_der(chain, key, &provider()).map(Arc::new).map_err(Fault::Pair)
}

fn provider() -> Arc<crypto::CryptoProvider> {
    Arc::new(ring::default_provider())
}
