//! How the HTTP interface is set.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use serde::Deserialize;

use super::exit::{Failure, Outcomes};
use crate::api::{ApiOptions, Listen, TlsFiles};

/// Where the HTTP interface is, where flags or the environment say so.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "HTTP interface")]
pub(super) struct ApiArgs {
    /// Where it listens: an address with a port (0: a free one), `unix:PATH`, or `none` [default: 127.0.0.1:7980, or a free port]
    #[arg(long, env = "HOST_LISTEN", value_name = "WHERE", hide_env_values = true)]
    listen: Option<Listen>,
    /// What stands before every path, such as `/host`, behind a proxy
    #[arg(long, env = "HOST_BASE_PATH", value_name = "PATH", hide_env_values = true)]
    base_path: Option<String>,
    /// A name under which it may be asked for, beside addresses and `localhost`; may be repeated
    #[arg(
        long = "allow-host",
        env = "HOST_ALLOW_HOST",
        value_name = "NAME",
        value_delimiter = ',',
        hide_env_values = true
    )]
    allow_hosts: Vec<String>,
    /// Speak TLS, and show the certificate in this file (PEM, with those above it); one that is renewed is shown without a restart
    #[arg(long, env = "HOST_TLS_CERT", value_name = "FILE", hide_env_values = true)]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(long, env = "HOST_TLS_KEY", value_name = "FILE", hide_env_values = true)]
    tls_key: Option<PathBuf>,
    /// Ask for no token: everybody on this machine may do everything; refused for other addresses
    #[arg(long, env = "HOST_INSECURE_NO_AUTH", hide_env_values = true, value_parser = BoolishValueParser::new())]
    insecure_no_auth: bool,
}

/// The same, where the settings file says so.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiFile {
    listen: Option<Listen>,
    base_path: Option<String>,
    allow_hosts: Option<Vec<String>>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
}

impl ApiArgs {
    /// The options that hold, but for the folder of data.
    pub(super) fn over(&self, file: ApiFile) -> Outcomes<ApiOptions> {
        let allowed_hosts = match self.allow_hosts.is_empty() {
            true => file.allow_hosts.unwrap_or_default(),
            false => self.allow_hosts.clone(),
        };
        let tls = match (self.tls_cert.clone().or(file.tls_cert), self.tls_key.clone().or(file.tls_key)) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(Failure::usage("a certificate is of no use without its key", "add --tls-key"));
            }
            (None, Some(_)) => {
                return Err(Failure::usage("a key is of no use without its certificate", "add --tls-cert"));
            }
        };
        Ok(ApiOptions {
            listen: self.listen.clone().or(file.listen),
            base_path: self.base_path.clone().or(file.base_path).unwrap_or_default(),
            allowed_hosts,
            without_auth: self.insecure_no_auth,
            tls,
            ..ApiOptions::default()
        })
    }
}
