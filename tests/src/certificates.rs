//! Certificates that are made for a test and trusted nowhere else.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority with the certificate of a server called `localhost`, and an authority that has nothing to do with it. As PEM files.
#[derive(Debug)]
pub struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    /// Makes them.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn new() -> Result<Certificates> {
        let certificates = Certificates { folder: tempfile::tempdir()? };
        let (authority, pem) = authority("the authority of a test")?;
        fs::write(certificates.authority(), pem)?;
        fs::write(certificates.stranger(), self::authority("another authority")?.1)?;
        let key = KeyPair::generate()?;
        let server = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &authority)?;
        fs::write(certificates.server(), server.pem())?;
        fs::write(certificates.key(), key.serialize_pem())?;
        Ok(certificates)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The authority that signed the server's certificate.
    pub fn authority(&self) -> PathBuf {
        self.file("authority.pem")
    }

    /// One that did not.
    pub fn stranger(&self) -> PathBuf {
        self.file("stranger.pem")
    }

    /// The server's certificate.
    pub fn server(&self) -> PathBuf {
        self.file("server.pem")
    }

    /// The server's key.
    pub fn key(&self) -> PathBuf {
        self.file("server.key")
    }

    /// The folder that holds them.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn authority(name: &str) -> Result<(Issuer<'static, KeyPair>, String)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}
