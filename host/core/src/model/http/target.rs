//! What a request is for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest host, in bytes: as long as a name may be.
const HOST_BYTES_MAX: usize = 253;
/// Longest part of a name between two dots, in bytes.
const LABEL_BYTES_MAX: usize = 63;
/// Longest path with its query, in bytes; servers refuse longer ones.
const PATH_BYTES_MAX: usize = 8 * 1024;
/// How often a path is looked at with one more layer of its `%` taken off. Nobody encodes deeper for an honest reason.
const ENCODINGS_MAX: usize = 4;

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpScheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl fmt::Display for HttpScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl HttpScheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            HttpScheme::Http => "http",
            HttpScheme::Https => "https",
        }
    }

    /// The scheme of that name, in letters of either case.
    pub fn from_name(name: &str) -> Option<HttpScheme> {
        [HttpScheme::Http, HttpScheme::Https].into_iter().find(|scheme| name.eq_ignore_ascii_case(scheme.as_str()))
    }

    /// The port where none is named.
    pub const fn port(self) -> u16 {
        match self {
            HttpScheme::Http => 80,
            HttpScheme::Https => 443,
        }
    }
}

/// A server, by its name or its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpHost {
    /// A name in lower case, without a dot at its end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// A request that can be read in one way only: what it is for, without its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTarget {
    /// The method.
    pub method: String,
    /// How the server is spoken to.
    pub scheme: HttpScheme,
    /// The server.
    pub host: HttpHost,
    /// Its port.
    pub port: u16,
    path: String,
    is_plain: bool,
}

/// Why a request is for nothing that a plugin may ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpTargetError {
    /// The host itself makes no such requests.
    #[error("requests of method {0} are never made")]
    Method(&'static str),
    /// The user's name or password is written in front of the host.
    #[error("a name or password in front of the host is refused; a header `authorization` says who asks")]
    Userinfo,
    /// The host is neither a name nor an address.
    #[error("the host is neither a name (letters, digits, `-`, `_` and dots) nor an address")]
    Host,
    /// The host would be read as an address, in a form that not everybody reads in the same way.
    #[error("the host looks like an address; one is written like 192.0.2.1 or [2001:db8::1]")]
    Address,
    /// The port is no number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
    /// The path does not begin with a slash, has characters that no path has, or is too long.
    #[error("the path must begin with `/`, have no spaces, `#` or `\\`, and {PATH_BYTES_MAX} bytes at most")]
    Path,
}

impl HttpHost {
    /// Reads a host as it stands in a URL.
    ///
    /// # Errors
    /// It is none, or has several readings.
    pub fn read(text: &str) -> Result<HttpHost, HttpTargetError> {
        if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address: Ipv6Addr = address.parse().map_err(|_| HttpTargetError::Address)?;
            return Ok(HttpHost::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if name.len() > HOST_BYTES_MAX || !name.split('.').all(is_label) {
            return Err(HttpTargetError::Host);
        }
        if is_number(name.rsplit('.').next().unwrap_or_default()) {
            let address: Ipv4Addr = name.parse().map_err(|_| HttpTargetError::Address)?;
            return Ok(HttpHost::Address(address.into()));
        }
        Ok(HttpHost::Name(name))
    }
}

/// Whether a name that ends like this is read as an address: in decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
        || label.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// As in a URL: an address of IPv6 in brackets.
impl fmt::Display for HttpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpHost::Name(name) => f.write_str(name),
            HttpHost::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            HttpHost::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Splits `host:port`, where the host may be an address in brackets.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    let behind_address = authority.rfind(']').map_or(0, |end| end + 1);
    match authority[behind_address..].find(':') {
        Some(colon) => (&authority[..behind_address + colon], Some(&authority[behind_address + colon + 1..])),
        None => (authority, None),
    }
}

/// A port in decimal digits.
pub(super) fn read_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_plain && *port != 0)
}

impl HttpTarget {
    /// What a request of that method is for, by the parts of its URL: `authority` is host and port, `path` may have a query.
    ///
    /// # Errors
    /// No such request is made for a plugin, or it has several readings.
    pub fn read(method: &str, scheme: HttpScheme, authority: &str, path: &str) -> Result<HttpTarget, HttpTargetError> {
        if let Some(method) = never_made(method) {
            return Err(HttpTargetError::Method(method));
        }
        if authority.contains('@') {
            return Err(HttpTargetError::Userinfo);
        }
        let (host, port) = split_port(authority);
        let host = HttpHost::read(host)?;
        let port = port.map_or_else(|| Some(scheme.port()), read_port).ok_or(HttpTargetError::Port)?;
        let is_path_byte = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\');
        if !(path.is_empty() || path.starts_with(['/', '?']))
            || path.len() > PATH_BYTES_MAX
            || !path.bytes().all(is_path_byte)
        {
            return Err(HttpTargetError::Path);
        }
        let path = path.split('?').next().unwrap_or_default();
        let path = if path.is_empty() { "/" } else { path };
        Ok(HttpTarget {
            method: method.to_owned(),
            scheme,
            host,
            port,
            path: path.to_owned(),
            is_plain: is_plain_path(path),
        })
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same request to that address.
    #[must_use]
    pub fn at(&self, address: IpAddr) -> HttpTarget {
        HttpTarget { host: HttpHost::Address(address), ..self.clone() }
    }

    /// Whether no server can find in the path another one than it shows; see [`is_plain_path`].
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Host and port as they are told to the server: the port only where it is not the usual one.
    pub fn authority(&self) -> String {
        match self.port == self.scheme.port() {
            true => self.host.to_string(),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// As a URL, with the method in front: what a grant of just this request would say.
impl fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HttpTarget { method, scheme, path, .. } = self;
        write!(f, "{method} {scheme}://{}{path}", self.authority())
    }
}

/// Methods that make something else of a connection, or of what else was sent over it.
pub(super) fn never_made(method: &str) -> Option<&'static str> {
    ["CONNECT", "TRACE"].into_iter().find(|never| method.eq_ignore_ascii_case(never))
}

/// Whether a path is, for every server, what it shows: without a way back up, and without slashes that only some see.
///
/// Servers differ in whether they take `%2e%2e`, `%2f`, `\` or `..;` for what they stand for, and some do so twice. A path that is
/// held against the beginning that was granted must not depend on that.
pub(super) fn is_plain_path(path: &str) -> bool {
    let mut layer = path.as_bytes().to_vec();
    for depth in 0..ENCODINGS_MAX {
        let is_up = |segment: &[u8]| {
            let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
            name == b"." || name == b".."
        };
        let hides_slash = layer.contains(&b'\\') || depth > 0 && slashes(&layer) != slashes(path.as_bytes());
        if hides_slash || layer.split(|byte| *byte == b'/').any(is_up) {
            return false;
        }
        let decoded = decoded(&layer);
        if decoded == layer {
            return true;
        }
        layer = decoded;
    }
    false
}

fn slashes(path: &[u8]) -> usize {
    path.iter().filter(|byte| **byte == b'/').count()
}

/// A path with one layer of its `%` taken off.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, behind)) = rest.split_first() {
        let digit = |at: usize| char::from(*behind.get(at)?).to_digit(16);
        let byte = digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        match byte.filter(|_| *first == b'%') {
            Some(byte) => {
                decoded.push(byte);
                rest = &behind[2..];
            }
            None => {
                decoded.push(*first);
                rest = behind;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authority: &str) -> Result<String, HttpTargetError> {
        HttpTarget::read("GET", HttpScheme::Http, authority, "/").map(|target| target.authority())
    }

    #[test]
    fn a_host_is_a_name_or_an_address_in_its_one_form() {
        assert_eq!(read("API.Example.COM.").as_deref(), Ok("api.example.com"));
        assert_eq!(read("example.com:80").as_deref(), Ok("example.com"));
        assert_eq!(read("example.com.:8080").as_deref(), Ok("example.com:8080"));
        assert_eq!(read("a_b.xn--bcher-kva.example").as_deref(), Ok("a_b.xn--bcher-kva.example"));
        assert_eq!(read("192.0.2.1").as_deref(), Ok("192.0.2.1"));
        assert_eq!(read("[2001:DB8::1]:81").as_deref(), Ok("[2001:db8::1]:81"));
        for other in [
            "2130706433",
            "0x7f000001",
            "017700000001",
            "0177.0.0.1",
            "127.1",
            "127.0.0.0x1",
            "1.2.3.4.5",
            "0x",
            "256.0.0.1",
            "1.2.3.04",
        ] {
            assert_eq!(read(other), Err(HttpTargetError::Address), "{other}");
        }
        for bad in ["[::1%25lo]", "[::1", "[127.0.0.1]", "[::g]"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        for bad in
            ["", ".", "a..b", "a.b..", "a b", "ex%61mple.com", "bücher.example", "a/b", "a\\b", "a,b", "*", "a\0"]
        {
            assert_eq!(read(bad), Err(HttpTargetError::Host), "{bad}");
        }
        for bad in ["a:", "a:0", "a:65536", "a:+80", "a:80:80", "a: 80", "[::1]:x"] {
            assert_eq!(read(bad), Err(HttpTargetError::Port), "{bad}");
        }
        assert_eq!(read("::1"), Err(HttpTargetError::Host));
        for bad in ["user@a", "user:secret@a", "a@b@c", "@"] {
            assert_eq!(read(bad), Err(HttpTargetError::Userinfo), "{bad}");
        }
        assert_eq!(read(&"a".repeat(64)), Err(HttpTargetError::Host));
        assert_eq!(read(&"a.".repeat(127)), Ok("a.".repeat(126) + "a"));
        assert_eq!(read(&"a.".repeat(128)), Err(HttpTargetError::Host));
    }

    #[test]
    fn a_path_is_plain_if_no_server_can_read_another_out_of_it() {
        for plain in ["/", "/a/b", "/a//b", "/a%20b", "/a.b/..c/...", "/%C3%A4", "/100%25", "/a;v=1/b", "/%", "/%zz"] {
            assert!(is_plain_path(plain), "{plain}");
        }
        for other in [
            "/a/../b",
            "/a/..",
            "/./a",
            "/%2e%2e/a",
            "/a/%2E./b",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/%252e%252e/",
            "/a%252Fb",
            "/..;/a",
            "/a/..;x=1/b",
            "/%25252525252e",
            "/.%2e%3b/",
        ] {
            assert!(!is_plain_path(other), "{other}");
        }
    }

    #[test]
    fn a_target_is_shown_as_the_grant_that_would_allow_it() {
        let target =
            HttpTarget::read("POST", HttpScheme::Https, "API.example.com.:443", "/v1/jobs?key=secret").expect("read");
        assert_eq!(target.to_string(), "POST https://api.example.com/v1/jobs");
        let path = |path| HttpTarget::read("GET", HttpScheme::Http, "a", path);
        assert_eq!(path("").expect("read").path(), "/");
        assert_eq!(path("?q").expect("read").path(), "/");
        for bad in ["a", "//\u{e4}", "/a b", "/a#b", "/a\\b", "*", "http://b/", &"/".repeat(8193)] {
            assert_eq!(path(bad), Err(HttpTargetError::Path), "{bad}");
        }
        assert_eq!(HttpTarget::read("connect", HttpScheme::Http, "a", "/"), Err(HttpTargetError::Method("CONNECT")));
    }
}
