//! What an operator grants.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::target::{is_plain_path, never_made, read_port, split_port};
use super::{HttpHost, HttpScheme, HttpTarget};

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 2 * 1024;
/// Longest name of a method, in bytes.
const METHOD_BYTES_MAX: usize = 32;
/// Most methods of a pattern.
const METHODS_MAX: usize = 16;

/// Requests that a plugin may make: `[METHODS ]SCHEME://HOST[:PORT][/PATH]`.
///
/// It prints as what it is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpPattern {
    /// Any, where none is named.
    methods: Vec<String>,
    scheme: HttpScheme,
    hosts: Hosts,
    ports: Ports,
    /// What a path begins with, by whole segments.
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    Any,
    /// All names that end with a dot and this one.
    Below(String),
    One(HttpHost),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    Any,
    One(u16),
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no pattern of HTTP requests: {reason}", shown(.text))]
pub struct HttpPatternError {
    text: String,
    reason: String,
}

/// The beginning of a text, with what does not show written out.
fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 200;
    text.chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

impl HttpPattern {
    /// The scheme of the requests that it allows.
    pub fn scheme(&self) -> HttpScheme {
        self.scheme
    }

    /// Whether it allows that request, as far as its text goes.
    pub fn allows(&self, target: &HttpTarget) -> bool {
        let is_host = match (&self.hosts, &target.host) {
            (Hosts::Any, _) => true,
            (Hosts::Below(name), HttpHost::Name(host)) => is_below(host, name),
            (Hosts::Below(_), HttpHost::Address(_)) => false,
            (Hosts::One(host), other) => host == other,
        };
        is_host && self.allows_rest(target)
    }

    /// Whether it allows the same request to that very address. Only then may a host be reached there that is none of the public internet.
    pub fn allows_address(&self, target: &HttpTarget, address: IpAddr) -> bool {
        self.hosts == Hosts::One(HttpHost::Address(address)) && self.allows_rest(target)
    }

    /// Whether it allows every request that `other` allows. One for any host does not cover one for an address: only the very address lets a
    /// plugin reach what is not on the public internet.
    pub fn covers(&self, other: &HttpPattern) -> bool {
        let is_host = match (&self.hosts, &other.hosts) {
            (Hosts::Any, Hosts::Any | Hosts::Below(_) | Hosts::One(HttpHost::Name(_))) => true,
            (Hosts::Below(name), Hosts::Below(host)) => host == name || is_below(host, name),
            (Hosts::Below(name), Hosts::One(HttpHost::Name(host))) => is_below(host, name),
            (Hosts::One(host), Hosts::One(other)) => host == other,
            _ => false,
        };
        let is_port = match (self.ports, other.ports) {
            (Ports::Any, _) => true,
            (Ports::One(port), Ports::One(other)) => port == other,
            (Ports::One(_), Ports::Any) => false,
        };
        let is_method = self.methods.is_empty()
            || !other.methods.is_empty() && other.methods.iter().all(|method| self.methods.contains(method));
        is_host && is_port && is_method && self.is_beginning_of(&other.path) && self.scheme == other.scheme
    }

    fn allows_rest(&self, target: &HttpTarget) -> bool {
        let is_port = match self.ports {
            Ports::Any => true,
            Ports::One(port) => port == target.port,
        };
        let is_method = self.methods.is_empty() || self.methods.contains(&target.method);
        is_method && is_port && self.scheme == target.scheme && self.allows_path(target)
    }

    fn allows_path(&self, target: &HttpTarget) -> bool {
        self.path == "/" || self.is_beginning_of(target.path()) && target.is_plain()
    }

    /// Whether its path is the beginning of another one, by whole segments.
    fn is_beginning_of(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.path.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/'))
    }
}

/// Whether a name is below another one.
fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
}

impl FromStr for HttpPattern {
    type Err = HttpPatternError;

    fn from_str(text: &str) -> Result<HttpPattern, HttpPatternError> {
        read(text).map_err(|reason| HttpPatternError { text: text.to_owned(), reason })
    }
}

fn read(text: &str) -> Result<HttpPattern, String> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(format!("it has {} bytes, and may have {PATTERN_BYTES_MAX}", text.len()));
    }
    let (methods, url) = match text.split_once(' ') {
        Some((methods, url)) => (read_methods(methods)?, url),
        None => (Vec::new(), text),
    };
    let (scheme, rest) = url.split_once("://").ok_or("it does not begin with http:// or https://")?;
    let scheme =
        HttpScheme::from_name(scheme).ok_or_else(|| format!("the scheme is `{scheme}`, and must be http or https"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(
            "a name or password in front of the host cannot be granted; a plugin sends a header `authorization`"
                .to_owned(),
        );
    }
    let (host, port) = split_port(authority);
    let ports = match port {
        None => Ports::One(scheme.port()),
        Some("*") => Ports::Any,
        Some(port) => Ports::One(read_port(port).ok_or("the port is a number from 1 to 65535, or `*`")?),
    };
    Ok(HttpPattern { methods, scheme, hosts: read_hosts(host)?, ports, path: read_path(path)? })
}

fn read_methods(text: &str) -> Result<Vec<String>, String> {
    let mut methods = Vec::new();
    for method in text.split(',') {
        if let Some(method) = never_made(method) {
            return Err(format!("requests of method {method} are never made"));
        }
        let is_name = (1..=METHOD_BYTES_MAX).contains(&method.len())
            && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        if !is_name {
            return Err(
                "methods stand in front of the URL in capitals, with commas and without spaces: `GET,HEAD https://…`"
                    .to_owned(),
            );
        }
        if methods.iter().any(|other| other == method) {
            return Err(format!("the method {method} is named twice"));
        }
        methods.push(method.to_owned());
    }
    if methods.len() > METHODS_MAX {
        return Err(format!("it names {} methods, and may name {METHODS_MAX}", methods.len()));
    }
    Ok(methods)
}

fn read_hosts(text: &str) -> Result<Hosts, String> {
    if text == "*" {
        return Ok(Hosts::Any);
    }
    if let Some(name) = text.strip_prefix("*.") {
        return match read_host(name)? {
            HttpHost::Name(name) => Ok(Hosts::Below(name)),
            HttpHost::Address(_) => Err("an address has no names below it".to_owned()),
        };
    }
    if text.contains('*') {
        return Err(
            "a `*` stands for a whole host, or in front of a dot for all names below it: `*.example.com`".to_owned()
        );
    }
    read_host(text).map(Hosts::One)
}

/// A host as an operator writes it: names may have letters of any language.
fn read_host(text: &str) -> Result<HttpHost, String> {
    let host = HttpHost::read(text);
    let encoded = match &host {
        Err(_) if text.is_ascii() => return host.map_err(|error| error.to_string()),
        Ok(HttpHost::Address(_)) => return host.map_err(|error| error.to_string()),
        Ok(HttpHost::Name(name)) => url::Host::parse(name),
        Err(_) => url::Host::parse(text),
    };
    match encoded {
        Ok(url::Host::Domain(name)) => HttpHost::read(&name).map_err(|error| error.to_string()),
        Ok(_) => Err("the host looks like an address; one is written like 192.0.2.1 or [2001:db8::1]".to_owned()),
        Err(error) => Err(format!("the host is no name: {error}")),
    }
}

fn read_path(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok("/".to_owned());
    }
    if text.contains(['?', '#']) {
        return Err("it ends with the path: a query (`?`) or fragment (`#`) cannot be granted".to_owned());
    }
    if text.contains('*') {
        return Err("a path has no `*`: /v1 stands for itself and all below it, /v1/ for all below it".to_owned());
    }
    if !text.starts_with('/') || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the path must begin with `/` and have no spaces; other letters are written like %C3%A4".to_owned());
    }
    if !is_plain_path(text) {
        return Err("the path has `..`, or an encoded slash: servers read those differently".to_owned());
    }
    Ok(text.to_owned())
}

impl fmt::Display for HttpPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.methods.is_empty() {
            write!(f, "{} ", self.methods.join(","))?;
        }
        write!(f, "{}://", self.scheme)?;
        match &self.hosts {
            Hosts::Any => f.write_str("*")?,
            Hosts::Below(name) => write!(f, "*.{name}")?,
            Hosts::One(host) => write!(f, "{host}")?,
        }
        match self.ports {
            Ports::Any => f.write_str(":*")?,
            Ports::One(port) if port == self.scheme.port() => {}
            Ports::One(port) => write!(f, ":{port}")?,
        }
        if self.path == "/" { Ok(()) } else { f.write_str(&self.path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HttpPattern {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn allows(text: &str, request: &str) -> bool {
        let (method, url) = request.split_once(' ').unwrap_or(("GET", request));
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let scheme = HttpScheme::from_name(scheme).expect("a scheme");
        pattern(text).allows(&HttpTarget::read(method, scheme, authority, path).expect("one reading"))
    }

    #[test]
    fn a_pattern_allows_what_it_says() {
        for (text, request) in [
            ("https://api.example.com", "POST https://api.example.com/any/../path"),
            ("https://API.example.com.", "https://api.EXAMPLE.com./"),
            ("GET,HEAD https://api.example.com/v1", "HEAD https://api.example.com/v1"),
            ("https://api.example.com/v1", "https://api.example.com/v1/jobs?of=me"),
            ("https://api.example.com/v1/", "https://api.example.com/v1/"),
            ("https://*.example.com", "https://a.b.example.com/"),
            ("https://bücher.example", "https://xn--bcher-kva.example/"),
            ("http://localhost:*", "http://localhost:8080/"),
            ("http://*:8080", "http://[2001:db8::1]:8080/"),
            ("http://[2001:DB8:0::1]", "http://[2001:db8::1]/"),
        ] {
            assert!(allows(text, request), "{text} allows {request}");
        }
        for (text, request) in [
            ("https://api.example.com", "http://api.example.com/"),
            ("https://api.example.com", "https://api.example.com:8443/"),
            ("https://api.example.com", "https://api.example.com.evil.example/"),
            ("https://api.example.com", "https://evilapi.example.com/"),
            ("GET https://api.example.com", "POST https://api.example.com/"),
            ("GET https://api.example.com", "get https://api.example.com/"),
            ("https://api.example.com/v1", "https://api.example.com/v10"),
            ("https://api.example.com/v1", "https://api.example.com/v1/../v2"),
            ("https://api.example.com/v1", "https://api.example.com/v1/%2e%2e/v2"),
            ("https://api.example.com/v1", "https://api.example.com/V1"),
            ("https://api.example.com/v1/", "https://api.example.com/v1"),
            ("https://*.example.com", "https://example.com/"),
            ("https://*.example.com", "https://evilexample.com/"),
            ("https://*.example.com", "https://.example.com.evil/"),
            ("https://*.0.2.example", "https://192.0.2.1/"),
            ("http://127.0.0.1", "http://[::ffff:127.0.0.1]/"),
        ] {
            let is_allowed = std::panic::catch_unwind(|| allows(text, request)).unwrap_or(false);
            assert!(!is_allowed, "{text} does not allow {request}");
        }
    }

    #[test]
    fn only_the_very_address_allows_an_address() {
        let target = HttpTarget::read("GET", HttpScheme::Http, "db.example", "/v1/x").expect("read");
        let address = IpAddr::from([10, 0, 0, 7]);
        assert!(pattern("http://10.0.0.7").allows_address(&target, address));
        assert!(pattern("GET http://10.0.0.7:*/v1").allows_address(&target, address));
        for other in [
            "http://*",
            "http://db.example",
            "https://10.0.0.7",
            "http://10.0.0.7:81",
            "http://10.0.0.7/v2",
            "http://10.0.0.8",
        ] {
            assert!(!pattern(other).allows_address(&target, address), "{other}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_reported_with_the_reason() {
        for (text, reason) in [
            ("", "http://"),
            ("api.example.com", "http://"),
            ("ftp://a", "the scheme is `ftp`"),
            ("get https://a", "in capitals"),
            ("GET, HEAD https://a", "in capitals"),
            ("GET,GET https://a", "named twice"),
            ("CONNECT https://a", "never made"),
            ("https://", "neither a name"),
            ("https://user@a", "in front of the host"),
            ("https://a@b.example", "in front of the host"),
            ("https://*a.example", "stands for a whole host"),
            ("https://a.*", "stands for a whole host"),
            ("https://*.10.0.0.1", "no names below it"),
            ("https://2130706433", "looks like an address"),
            ("https://0x7f.1", "looks like an address"),
            ("https://１２７.0.0.1", "looks like an address"),
            ("https://ex%61mple.com", "neither a name"),
            ("https://xn--\u{e4}", "no name"),
            ("https://a:0", "the port is a number"),
            ("https://a:http", "the port is a number"),
            ("https://a?q", "cannot be granted"),
            ("https://a#b", "cannot be granted"),
            ("https://a\\b", "must begin with `/`"),
            ("https://a/v1/*", "has no `*`"),
            ("https://a/v1/../b", "read those differently"),
            ("https://a/v1%2Fb", "read those differently"),
            ("https://a/b c", "in capitals"),
        ] {
            let error = text.parse::<HttpPattern>().map(|pattern| pattern.to_string()).expect_err(text);
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn a_pattern_prints_as_what_it_is_read_from() {
        for text in [
            "https://api.example.com",
            "GET,POST https://*.example.com:8443/v1",
            "http://*:*",
            "http://[2001:db8::1]:81/a/",
            "PROPFIND http://10.0.0.1",
        ] {
            assert_eq!(pattern(text).to_string(), text);
        }
        assert_eq!(pattern("HTTPS://Bücher.Example.:443/").to_string(), "https://xn--bcher-kva.example");
    }

    #[test]
    fn a_pattern_covers_those_that_allow_no_more() {
        let covers = |of: &str, other: &str| pattern(of).covers(&pattern(other));
        for (of, others) in [
            ("https://*", &["https://*", "https://*.example.org", "GET https://example.org/v1"][..]),
            ("https://*.example.org", &["https://*.example.org", "https://*.a.example.org", "https://b.example.org/x"]),
            ("GET,HEAD https://a.example:*/v1", &["GET https://a.example/v1", "HEAD,GET https://a.example:8443/v1/x"]),
            ("http://10.0.0.7:8080", &["http://10.0.0.7:8080/", "POST http://10.0.0.7:8080/a"]),
        ] {
            for other in others {
                assert!(covers(of, other), "{of} and {other}");
            }
        }
        for (of, others) in [
            ("https://*", &["http://example.org", "https://*:*", "https://10.0.0.7", "https://192.0.2.1"][..]),
            ("https://*.example.org", &["https://example.org", "https://*.org", "https://*", "https://anexample.org"]),
            ("GET https://a.example/v1", &["https://a.example/v1", "GET,PUT https://a.example/v1"]),
            ("https://a.example/v1", &["https://a.example", "https://a.example/v10", "https://a.example:8443/v1"]),
            ("https://a.example/v1/", &["https://a.example/v1"]),
        ] {
            for other in others {
                assert!(!covers(of, other), "{of} and {other}");
            }
        }
    }
}
