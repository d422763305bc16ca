//! TLS to the servers that guests speak to. Whom it is with is always checked: the certificate must be of an authority that the system
//! trusts, for the name or address in the URL. `SSL_CERT_FILE` and `SSL_CERT_DIR` name other authorities, as for most programs.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::Error;

use super::lookup::Lookups;
use crate::model::HttpHost;

/// The settings for all connections, read when the first one is made: reading the system's authorities takes milliseconds.
pub(super) struct Tls {
    authorities: Option<PathBuf>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Tls {
    pub(super) fn new(authorities: Option<PathBuf>) -> Tls {
        Tls { authorities, config: OnceCell::new() }
    }

    pub(super) async fn connector(&self, threads: &Lookups) -> Result<TlsConnector, Error> {
        let read = || async {
            let authorities = self.authorities.clone();
            let config = threads.run(move || config(authorities)).await;
            config.unwrap_or_else(|| Err("the host is stopping".to_owned()))
        };
        let config = self.config.get_or_try_init(read).await.map_err(|reason| Error::InternalError(Some(reason)))?;
        Ok(TlsConnector::from(Arc::clone(config)))
    }
}

fn config(authorities: Option<PathBuf>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    // Those that cannot be read are left out, as by every program that reads what a distribution has gathered.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = authorities {
        let unusable =
            |error: &dyn std::fmt::Display| format!("the authorities in `{}` cannot be read: {error}", path.display());
        for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| unusable(&error))? {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
    }
    if roots.is_empty() {
        return Err("the system of this host has no certificates of authorities; SSL_CERT_FILE names a file with some"
            .to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The name that a server's certificate must be for.
pub(super) fn server_name(host: &HttpHost) -> Result<ServerName<'static>, Error> {
    match host {
        HttpHost::Address(IpAddr::V4(address)) => Ok(ServerName::from(*address)),
        HttpHost::Address(IpAddr::V6(address)) => Ok(ServerName::from(*address)),
        HttpHost::Name(name) => ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid),
    }
}

/// What a failed handshake is to the guest. The reason goes into the host's log: the interface has no words for it.
pub(super) fn handshake_failed(host: &HttpHost, error: &io::Error) -> Error {
    tracing::debug!(%host, %error, "no TLS with a server that a guest asked for");
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            Error::TlsAlertReceived { alert_id: Some(u8::from(*alert)), alert_message: Some(format!("{alert:?}")) }
        }
        Some(_) => Error::TlsProtocolError,
        None => Error::ConnectionTerminated,
    }
}
