//! TLS to a database server: what holds where nothing was said, and what it means when it fails.
//!
//! # The default
//!
//! The drivers' own default is "TLS if the server offers it", which whoever sits between can turn into "no TLS" by answering in the
//! server's place: arguments, results and, depending on the server, passwords then go in the clear, and nobody is told. So a server that is
//! reached over a network must speak TLS unless the URL says otherwise, and one that does not is refused with that advice. Its certificate
//! is not checked by default, because the usual installations make one that no authority has signed: the default keeps out those who
//! listen, `verify-full` also those who stand in between. A server on this machine may do without, as nobody else hears what is said.
//!
//! # What differs from libpq
//!
//! The driver trusts the system's authorities besides those that the URL names, so `verify-ca`, which looks at no name, accepts every
//! server that has a certificate of a public authority. `verify-full` has no such gap.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::connection::DriverError;
use crate::StoreError;
use crate::config::{ClientCertificate, TlsMode, TlsRoots, TlsSettings};

/// A server as it is spoken of in errors.
#[derive(Debug, Clone, Copy)]
pub(in crate::sql) struct Server<'a> {
    /// `PostgreSQL` or `MySQL`.
    pub(in crate::sql) name: &'static str,
    /// Where it is: host and port, or a socket.
    pub(in crate::sql) place: &'a str,
    /// What turns TLS off, as it is written in its URLs.
    pub(in crate::sql) without_tls: &'static str,
}

/// What is between this process and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sql) enum Way {
    /// A Unix socket.
    Socket,
    /// The loopback interface.
    Loopback,
    /// A network.
    Network,
}

impl Way {
    /// The way to a host by its name or address, or by the folder of a socket.
    pub(in crate::sql) fn to(host: &str) -> Way {
        match host.parse::<IpAddr>() {
            _ if host.starts_with('/') => Way::Socket,
            Ok(address) if address.is_loopback() => Way::Loopback,
            Err(_) if host.eq_ignore_ascii_case("localhost") => Way::Loopback,
            _ => Way::Network,
        }
    }
}

/// How the connections to a server are protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sql) struct Tls {
    /// How much.
    pub(in crate::sql) mode: TlsMode,
    /// Authorities besides the system's.
    pub(in crate::sql) roots: Option<PathBuf>,
    /// What the host shows of itself.
    pub(in crate::sql) client: Option<ClientCertificate>,
    is_default: bool,
}

impl Tls {
    /// What holds for a server that is reached that way.
    ///
    /// # Errors
    /// The settings contradict each other, or name a file that cannot be used.
    pub(in crate::sql) fn of(settings: &TlsSettings, way: Way) -> Result<Tls, StoreError> {
        let roots = match &settings.roots {
            Some(TlsRoots::File(path)) => Some(path.clone()),
            Some(TlsRoots::System) | None => None,
        };
        let mode = match (settings.mode, &settings.roots) {
            (None, None) if way == Way::Network => TlsMode::Require,
            (None, None) => TlsMode::Prefer,
            // Who names authorities wants them asked.
            (None, Some(_)) => TlsMode::VerifyFull,
            (Some(mode), None) => mode,
            // As in libpq, where anybody can have a certificate of some public authority.
            (Some(mode), Some(TlsRoots::System)) if mode < TlsMode::VerifyFull => {
                return Err(contradiction(mode, "sslrootcert=system", "sslmode=verify-full"));
            }
            (Some(mode), Some(_)) if mode < TlsMode::Require => {
                return Err(contradiction(mode, "sslrootcert", "sslmode=verify-full"));
            }
            // As in libpq.
            (Some(TlsMode::Require), Some(_)) => TlsMode::VerifyCa,
            (Some(mode), Some(_)) => mode,
        };
        if let Some(path) = &roots {
            check_certificates(path, "sslrootcert")?;
        }
        if let Some(client) = &settings.client {
            check_certificates(&client.certificate, "sslcert")?;
            read(&client.key, "sslkey")?;
        }
        let is_default = settings.mode.is_none() && settings.roots.is_none();
        Ok(Tls { mode, roots, client: settings.client.clone(), is_default })
    }

    /// Says that a connection failed for want of TLS or of trust, where it did.
    pub(in crate::sql) fn explain(&self, server: Server<'_>, error: &sqlx::Error) -> Option<StoreError> {
        let found = match error {
            sqlx::Error::Tls(source) => source.downcast_ref::<rustls::Error>(),
            // Errors of a handshake come as errors of the socket.
            sqlx::Error::Io(error) => Some(error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())?),
            _ => return None,
        };
        let (what, hint) = match found {
            Some(rustls::Error::InvalidCertificate(fault)) => self.distrust(fault),
            Some(rustls::Error::AlertReceived(_)) => (
                "ended the TLS handshake".to_owned(),
                "its log says why; it may want a certificate: sslcert and sslkey",
            ),
            Some(_) => {
                ("does not speak TLS as this program does".to_owned(), "TLS 1.2 or 1.3 is needed; see the cause above")
            }
            None if is_bad_name(error) => (
                "has a name that no certificate can be for".to_owned(),
                "name the server in the store URL as its certificate does",
            ),
            // What the driver says in its own words: it was to use TLS, and the server answered that it has none.
            None => return Some(self.refused(server, error)),
        };
        Some(unusable(format!("the {} server at {} {what}", server.name, server.place), hint, error.to_string()))
    }

    fn refused(&self, server: Server<'_>, error: &sqlx::Error) -> StoreError {
        let Server { name, place, without_tls } = server;
        let why = match self.is_default {
            true => ": unless the URL says otherwise, a server that is not on this machine must have it",
            false => "",
        };
        let hint = format!(
            "turn TLS on at the server; only where nobody else can listen on the way to it, add ?{without_tls} to the store URL{why}"
        );
        unusable(
            format!("the {name} server at {place} offers no TLS, and nothing was sent without"),
            &hint,
            error.to_string(),
        )
    }

    fn distrust(&self, fault: &CertificateError) -> (String, &'static str) {
        let (what, hint) = match fault {
            CertificateError::UnknownIssuer if self.roots.is_some() => (
                "of an authority that is not trusted here",
                "the file that sslrootcert names does not hold the authority that signed it",
            ),
            CertificateError::UnknownIssuer => (
                "of an authority that is not trusted here",
                "name the authority's certificate: sslrootcert=FILE in the store URL",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ("for another name", "name the server in the store URL as its certificate does")
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                ("that is not valid now", "renew it, or set the clock of this machine right")
            }
            _ => ("that cannot be accepted", "see the cause above"),
        };
        (format!("shows a certificate {what}"), hint)
    }
}

fn is_bad_name(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Tls(source) if source.is::<rustls::pki_types::InvalidDnsNameError>())
}

fn contradiction(mode: TlsMode, roots: &str, remedy: &str) -> StoreError {
    StoreError::Unusable {
        reason: format!("{roots} names authorities, and with sslmode={mode} nobody would ask them"),
        hint: format!("use {remedy}, or leave one of them out"),
        source: None,
    }
}

fn unusable(reason: String, hint: &str, cause: String) -> StoreError {
    StoreError::Unusable { reason, hint: hint.to_owned(), source: Some(Arc::new(DriverError(cause))) }
}

/// Reads a file beforehand: the driver would do so while connecting, and its error would look like the server's.
fn read(path: &Path, parameter: &str) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path).map_err(|error| {
        let reason = format!("the file `{}` that {parameter} names cannot be read", path.display());
        unusable(reason, "check the path, and that the user that runs the host may read it", error.to_string())
    })
}

fn check_certificates(path: &Path, parameter: &str) -> Result<(), StoreError> {
    let pem = read(path, parameter)?;
    let found = CertificateDer::pem_slice_iter(&pem).try_fold(0, |count, certificate| certificate.map(|_| count + 1));
    let cause = match found {
        Ok(1..) => return Ok(()),
        Ok(_) => "there is none in it".to_owned(),
        Err(error) => error.to_string(),
    };
    let reason = format!("the file `{}` that {parameter} names holds no certificate that can be read", path.display());
    Err(unusable(reason, "it must be a PEM file: -----BEGIN CERTIFICATE----- …", cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(mode: Option<TlsMode>, way: Way) -> TlsMode {
        Tls::of(&TlsSettings { mode, ..TlsSettings::default() }, way).expect("no contradiction").mode
    }

    #[test]
    fn a_server_that_is_reached_over_a_network_must_have_tls_unless_the_url_says_otherwise() {
        for (host, expected) in [
            ("db.example", TlsMode::Require),
            ("10.0.0.7", TlsMode::Require),
            ("localhost.example", TlsMode::Require),
            ("localhost", TlsMode::Prefer),
            ("127.0.0.9", TlsMode::Prefer),
            ("::1", TlsMode::Prefer),
            ("/run/postgresql", TlsMode::Prefer),
        ] {
            assert_eq!(mode(None, Way::to(host)), expected, "{host}");
            assert_eq!(mode(Some(TlsMode::Disable), Way::to(host)), TlsMode::Disable, "{host}");
            assert_eq!(mode(Some(TlsMode::VerifyFull), Way::to(host)), TlsMode::VerifyFull, "{host}");
        }
    }

    #[test]
    fn authorities_that_are_named_are_asked() {
        let settings = |mode| TlsSettings { mode, roots: Some(TlsRoots::System), client: None };
        assert_eq!(Tls::of(&settings(None), Way::Loopback).map(|tls| tls.mode).ok(), Some(TlsMode::VerifyFull));
        for weak in [TlsMode::Disable, TlsMode::Prefer, TlsMode::Require, TlsMode::VerifyCa] {
            assert!(Tls::of(&settings(Some(weak)), Way::Network).is_err(), "{weak}");
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_reported_before_anything_is_sent() {
        let folder = std::env::temp_dir().join(format!("host-tls-{}-{:x}", std::process::id(), fastrand::u64(..)));
        std::fs::create_dir(&folder).expect("a temporary folder");
        let file = folder.join("ca.pem");
        for (content, mention) in [(None, "cannot be read"), (Some("a letter"), "holds no certificate")] {
            if let Some(content) = content {
                std::fs::write(&file, content).expect("written");
            }
            let settings = TlsSettings { roots: Some(TlsRoots::File(file.clone())), ..TlsSettings::default() };
            let error = Tls::of(&settings, Way::Network).expect_err("refused").to_string();
            assert!(error.contains(mention), "{error}");
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
