//! The URL of a database server, and what it says about TLS.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use super::url_error::{UrlError, malformed};

/// A kind of database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerKind {
    Postgres,
    Mysql,
}

/// The URL of a database server. Prints as scheme, host, port and path: user, password and parameters stay inside.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Without the parameters on TLS.
    url: Url,
    tls: TlsSettings,
}

/// What a URL, or the environment, says about TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// How much protection is asked for.
    pub mode: Option<TlsMode>,
    /// The authorities that may vouch for the server, besides the system's.
    pub roots: Option<TlsRoots>,
    /// How the host proves to the server who it is.
    pub client: Option<ClientCertificate>,
}

/// How much protection a connection must have. Later ones ask for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsMode {
    /// None.
    Disable,
    /// Encryption if the server offers it, and none if it does not.
    Prefer,
    /// Encryption. Whom it is with is not checked.
    Require,
    /// Encryption, with a server that has a certificate of an authority, of whatever name.
    VerifyCa,
    /// Encryption, with a server that has a certificate of an authority for the name in the URL.
    VerifyFull,
}

/// The authorities that may vouch for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsRoots {
    /// The system's.
    System,
    /// Those in a PEM file, besides the system's.
    File(PathBuf),
}

/// A certificate with its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
}

/// A parameter on TLS, by the names that the clients of both servers give it.
enum TlsParameter {
    Mode,
    Roots,
    Certificate,
    Key,
}

impl TlsParameter {
    fn named(name: &str) -> Option<TlsParameter> {
        Some(match name {
            "sslmode" | "ssl-mode" | "ssl_mode" => TlsParameter::Mode,
            "sslrootcert" | "ssl-root-cert" | "sslca" | "ssl-ca" | "ssl_ca" => TlsParameter::Roots,
            "sslcert" | "ssl-cert" | "ssl_cert" => TlsParameter::Certificate,
            "sslkey" | "ssl-key" | "ssl_key" => TlsParameter::Key,
            _ => return None,
        })
    }
}

impl ServerKind {
    /// The parameters that go to the driver. Others are refused: the drivers pass over what they do not know, and that may have been
    /// meant to protect the connection.
    fn knows(self, name: &str) -> bool {
        match self {
            ServerKind::Postgres => {
                let names = ["host", "hostaddr", "port", "dbname", "user", "password", "application_name", "options"];
                names.contains(&name) || name.starts_with("options[") && name.ends_with(']')
            }
            ServerKind::Mysql => ["socket", "charset", "collation", "timezone", "time-zone"].contains(&name),
        }
    }

    fn known(self) -> &'static str {
        match self {
            ServerKind::Postgres => {
                "sslmode, sslrootcert, sslcert, sslkey, host, hostaddr, port, dbname, user, password, application_name, options"
            }
            ServerKind::Mysql => "ssl-mode, ssl-ca, ssl-cert, ssl-key, socket, charset, collation, timezone",
        }
    }
}

impl ServerUrl {
    pub(super) fn parse(kind: ServerKind, text: &str) -> Result<ServerUrl, UrlError> {
        let mut url = Url::parse(text).map_err(|error| malformed(text, &error.to_string()))?;
        if url.cannot_be_a_base() {
            return Err(malformed(text, "`//` is missing after the scheme"));
        }
        // Of a password with `#` or `/` in it a part would pass for a port, the rest for a path or a fragment, and both would be shown.
        if url.fragment().is_some() || url.path().contains('@') {
            return Err(malformed(text, "it has a `#`, or an `@` after the host"));
        }
        let (mut parameters, mut tls) = (Vec::new(), RawTls::default());
        for (name, value) in url.query_pairs() {
            match TlsParameter::named(&name) {
                Some(parameter) => tls.set(parameter, &value).map_err(|fault| fault.in_url(&url))?,
                None if kind.knows(&name) => parameters.push((name.into_owned(), value.into_owned())),
                // With an `@` behind it, `?` may have been a character of the password.
                None if !is_plain(&name) || url.query().is_some_and(|query| query.contains('@')) => {
                    return Err(malformed(text, "what follows the `?` are no parameters"));
                }
                // Of a password with `&` in it, the rest would pass for a parameter and be shown.
                None if url.query_pairs().any(|(name, _)| name == "password") => {
                    return Err(malformed(text, "it has an unknown parameter, or a password with `&` in it"));
                }
                None => {
                    let hint = format!("known ones: {}", kind.known());
                    return Err(UrlFault { what: format!("an unknown parameter `{name}`"), hint }.in_url(&url));
                }
            }
        }
        let tls = tls.settings().map_err(|fault| fault.in_url(&url))?;
        url.set_query(None);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        Ok(ServerUrl { url, tls })
    }

    /// The URL for the driver: with its password, and without what it says about TLS.
    pub fn expose(&self) -> String {
        let text = self.url.as_str();
        text.strip_prefix("mariadb:").map_or_else(|| text.to_owned(), |rest| format!("mysql:{rest}"))
    }

    /// What it says about TLS.
    pub fn tls(&self) -> &TlsSettings {
        &self.tls
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.url))
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut text = format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());
    // With an `@` behind it, `?` may have been a character of the password.
    if url.query().is_none_or(|query| query.contains('@') || query.contains("%40")) {
        return text;
    }
    let places = url.query_pairs().filter(|(name, value)| PLACES.contains(&&**name) && is_place(value));
    for (at, (name, value)) in places.enumerate() {
        let sign = if at == 0 { '?' } else { '&' };
        text.push_str(&format!("{sign}{name}={value}"));
    }
    text
}

/// The parameters that say where the server is.
const PLACES: [&str; 4] = ["host", "hostaddr", "port", "socket"];

/// Whether a value has the form of a host's name, an address, a port or a socket's path.
fn is_place(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:[]".contains(&byte))
}

/// Whether a parameter has a name that one could have.
pub(super) fn is_plain(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// What is wrong with a URL that has the form of one.
struct UrlFault {
    what: String,
    hint: String,
}

impl UrlFault {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> UrlFault {
        UrlFault { what: what.into(), hint: hint.into() }
    }

    fn in_url(self, url: &Url) -> UrlError {
        UrlError { what: format!("the URL `{}` has {}", shown(url), self.what), hint: self.hint }
    }
}

/// The parameters on TLS as they were found.
#[derive(Default)]
struct RawTls {
    mode: Option<TlsMode>,
    roots: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl RawTls {
    fn set(&mut self, parameter: TlsParameter, value: &str) -> Result<(), UrlFault> {
        let twice = |name: &str| UrlFault::new(format!("`{name}` twice"), "say it once");
        let once = |slot: &mut Option<String>, name: &str| match slot.replace(value.to_owned()) {
            Some(_) => Err(twice(name)),
            None if value.is_empty() => {
                Err(UrlFault::new(format!("an empty `{name}`"), "name a file, or leave it out"))
            }
            None => Ok(()),
        };
        match parameter {
            TlsParameter::Roots => once(&mut self.roots, "sslrootcert"),
            TlsParameter::Certificate => once(&mut self.certificate, "sslcert"),
            TlsParameter::Key => once(&mut self.key, "sslkey"),
            TlsParameter::Mode => {
                let mode =
                    value.parse().map_err(|UnknownMode| UrlFault::new("an unknown `sslmode`", TlsMode::CHOICE))?;
                if self.mode.replace(mode).is_some() { Err(twice("sslmode")) } else { Ok(()) }
            }
        }
    }

    fn settings(self) -> Result<TlsSettings, UrlFault> {
        let client = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => {
                Some(ClientCertificate { certificate: certificate.into(), key: key.into() })
            }
            (None, None) => None,
            _ => return Err(UrlFault::new("one of `sslcert` and `sslkey`", "name both, or neither")),
        };
        let roots = self.roots.map(|roots| TlsRoots::named(&roots));
        Ok(TlsSettings { mode: self.mode, roots, client })
    }
}

impl TlsRoots {
    /// `system`, as for libpq, or a file.
    pub fn named(name: &str) -> TlsRoots {
        if name == "system" { TlsRoots::System } else { TlsRoots::File(name.into()) }
    }
}

/// There is no such mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownMode;

impl TlsMode {
    /// The modes there are, for people.
    pub const CHOICE: &str = "it is one of disable, prefer, require, verify-ca, verify-full";
}

impl FromStr for TlsMode {
    type Err = UnknownMode;

    /// By libpq's names or by those of MySQL's client.
    fn from_str(text: &str) -> Result<TlsMode, UnknownMode> {
        Ok(match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "disable" | "disabled" => TlsMode::Disable,
            // libpq's `allow` tries without encryption first. Encryption is within what it allows.
            "allow" | "prefer" | "preferred" => TlsMode::Prefer,
            "require" | "required" => TlsMode::Require,
            "verify-ca" => TlsMode::VerifyCa,
            "verify-full" | "verify-identity" => TlsMode::VerifyFull,
            _ => return Err(UnknownMode),
        })
    }
}

/// By libpq's names.
impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsMode::Disable => "disable",
            TlsMode::Prefer => "prefer",
            TlsMode::Require => "require",
            TlsMode::VerifyCa => "verify-ca",
            TlsMode::VerifyFull => "verify-full",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(text: &str) -> Result<ServerUrl, UrlError> {
        ServerUrl::parse(ServerKind::Postgres, text)
    }

    #[test]
    fn what_a_url_says_about_tls_is_understood_in_the_words_of_both_clients() {
        let url = postgres("postgres://u@h/db?sslmode=verify-full&sslrootcert=/ca.pem&options=-csearch_path%3Dx");
        let url = url.expect("valid");
        assert_eq!(url.tls().mode, Some(TlsMode::VerifyFull));
        assert_eq!(url.tls().roots, Some(TlsRoots::File("/ca.pem".into())));
        assert_eq!(url.expose(), "postgres://u@h/db?options=-csearch_path%3Dx");
        let url = ServerUrl::parse(ServerKind::Mysql, "mariadb://u@h/db?ssl-mode=VERIFY_IDENTITY&ssl-ca=system");
        let url = url.expect("valid");
        assert_eq!((url.tls().mode, &url.tls().roots), (Some(TlsMode::VerifyFull), &Some(TlsRoots::System)));
        assert_eq!(url.expose(), "mysql://u@h/db");
    }

    #[test]
    fn where_the_server_is_is_shown_also_where_a_parameter_says_it() {
        for (text, shown) in [
            ("postgres:///run?host=/run/postgresql&port=5433", "postgres:///run?host=/run/postgresql&port=5433"),
            ("postgres:///run?host=db.example&user=u&password=secret", "postgres:///run?host=db.example"),
            ("postgres://u@h/db?host=secret%40h&port=5433", "postgres://h/db"),
            ("postgres://u@h/db?application_name=x", "postgres://h/db"),
        ] {
            assert_eq!(postgres(text).expect(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_with_the_way_out() {
        for (text, what, hint) in [
            ("postgres://h/db?sslmode=verify_fully", "an unknown `sslmode`", "verify-full"),
            ("postgres://h/db?sslmode=require&sslmode=disable", "`sslmode` twice", "once"),
            ("postgres://h/db?sslcert=/c.pem", "one of `sslcert` and `sslkey`", "both"),
            ("postgres://h/db?sslrootcert=", "an empty `sslrootcert`", "leave it out"),
            ("postgres://h/db?channel_binding=require", "an unknown parameter `channel_binding`", "sslmode, "),
            ("postgres:h/db", "`//` is missing", "postgres://"),
        ] {
            let error = postgres(text).expect_err(text);
            assert!(error.what.contains(what) && error.hint.contains(hint), "{text}: {error:?}");
        }
    }
}
