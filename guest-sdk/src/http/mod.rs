//! Requests to servers over HTTP.
//!
//! All of it needs the operator's grant (`--allow-http`), and is refused with [`ErrorKind::Denied`] without.
//!
//! ```no_run
//! use guest_sdk::{TaskError, http};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Release {
//!     tag_name: String,
//! }
//!
//! # fn demo() -> Result<(), TaskError> {
//! let release: Release = http::get("https://api.example.com/releases/latest")
//!     .header("accept", "application/json")
//!     .send()?
//!     .error_for_status()?
//!     .json()?;
//! http::post("https://hooks.example.com/deploy").query("tag", &release.tag_name).json(&["production"]).send()?;
//! # Ok(()) }
//! ```
//!
//! A request without a [`timeout`](Request::timeout) may take as long as the job has left, but for the moment that the task needs to say what
//! went wrong. A redirection is an answer like any other. An [`Error`] converts into a [`TaskError`](crate::TaskError) that is tried again where
//! that may help: after a server's `retry-after`, if it sent one.

mod error;
mod response;

use std::time::Duration;

use serde::Serialize;

pub use self::error::{Error, ErrorKind};
pub use self::response::Response;

use crate::host;

/// A request with method GET.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// A request with method HEAD.
pub fn head(url: impl Into<String>) -> Request {
    Request::new("HEAD", url)
}

/// A request with method POST.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// A request with method PUT.
pub fn put(url: impl Into<String>) -> Request {
    Request::new("PUT", url)
}

/// A request with method PATCH.
pub fn patch(url: impl Into<String>) -> Request {
    Request::new("PATCH", url)
}

/// A request with method DELETE.
pub fn delete(url: impl Into<String>) -> Request {
    Request::new("DELETE", url)
}

/// A request that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    timeout: Option<Duration>,
    /// What is wrong with it, told when it is sent.
    fault: Option<String>,
}

impl Request {
    /// A request with any method. The URL has the form `https://host[:port][/path][?query]`; names with letters beyond ASCII are written as
    /// `xn--…`, and other such letters as `%C3%A4`.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let (method, url) = (method.into(), url.into());
        Request { method, url, headers: Vec::new(), body: Vec::new(), timeout: None, fault: None }
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds the header `authorization` with a bearer token.
    pub fn bearer_auth(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Adds a parameter to the query. What a query cannot have is encoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        // A fragment stays with whoever asks, so what is behind the `#` is no part of the request.
        self.url.truncate(self.url.find('#').unwrap_or(self.url.len()));
        self.url.push(if self.url.contains('?') { '&' } else { '?' });
        encode(&mut self.url, name);
        self.url.push('=');
        encode(&mut self.url, value);
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to a value as JSON, and says so in the header `content-type`. A value that has no form in JSON is told when the request is sent.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body = body,
            Err(error) => self.fault = Some(format!("the body has no form in JSON: {error}")),
        }
        self.header("content-type", "application/json")
    }

    /// How long everything may take, up to the last byte of the answer's body.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The URL, with the query.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The first header of that name.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Puts a text into headers wherever another stands.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn replace_in_headers(&mut self, text: &str, by: &str) {
        for (_, value) in &mut self.headers {
            *value = value.replace(text, by);
        }
    }

    /// The body.
    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }

    /// Sends it, and waits for the head of the answer. A status such as 404 is an answer, too: see [`Response::error_for_status`].
    ///
    /// # Errors
    ///
    /// [`Error`], if there is no grant for it, or no answer.
    pub fn send(self) -> Result<Response, Error> {
        let shown = self.shown();
        if let Some(fault) = self.fault {
            return Err(Error::new(ErrorKind::InvalidRequest, fault).of(&shown));
        }
        let Some(parts) = Parts::of(&self.url) else {
            let what = "the URL must have the form https://host[:port][/path][?query]";
            return Err(Error::new(ErrorKind::InvalidRequest, what).of(&shown));
        };
        let limit = self.timeout.unwrap_or_else(default_timeout);
        let outbound = Outbound { parts, request: &self, limit };
        let inbound = host::http_send(&outbound).map_err(|error| error.of(&shown))?;
        Ok(Response::new(shown, inbound))
    }

    /// Method and URL as they are shown in errors: the query may hold a secret.
    fn shown(&self) -> String {
        let end = self.url.find(['?', '#']).unwrap_or(self.url.len());
        format!("{} {}", self.method, &self.url[..end])
    }
}

/// A request that is being sent.
pub(crate) struct Outbound<'a> {
    #[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "the fake host goes by the URL"))]
    pub(crate) parts: Parts<'a>,
    pub(crate) request: &'a Request,
    #[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "the fake host answers at once"))]
    pub(crate) limit: Duration,
}

impl Request {
    #[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "the fake host keeps the request as it is"))]
    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }
}

/// The answer as the host hands it over.
pub(crate) struct Inbound {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: host::Body,
}

/// The time left, but for a moment in which the task can say what went wrong.
fn default_timeout() -> Duration {
    const LAST_WORDS: Duration = Duration::from_secs(1);
    let left = host::remaining();
    left.saturating_sub(LAST_WORDS.min(left / 10))
}

/// The parts of a URL. Whether they make sense is for the host to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) authority: &'a str,
    /// With the query, and maybe without the slash at its beginning.
    pub(crate) path: &'a str,
}

impl Parts<'_> {
    fn of(url: &str) -> Option<Parts<'_>> {
        let (scheme, rest) = url.split_once("://")?;
        let rest = rest.split('#').next()?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        (!authority.is_empty()).then_some(Parts { scheme, authority, path })
    }
}

/// Appends a text to a query.
fn encode(query: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => query.push(byte.into()),
            _ => query.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_encoded_and_added_to_what_is_there() {
        let request = get("https://a.example/b?c=d#e").query("q", "ä &=/").query("x", "");
        assert_eq!(request.url(), "https://a.example/b?c=d&q=%C3%A4%20%26%3D%2F&x=");
        assert_eq!(get("https://a.example").query("a", "b").url(), "https://a.example?a=b");
        assert_eq!(request.shown(), "GET https://a.example/b");
    }

    #[test]
    fn a_url_is_taken_apart_as_it_is_written() {
        let parts = |url| Parts::of(url).map(|parts| (parts.scheme, parts.authority, parts.path));
        assert_eq!(parts("https://a.example"), Some(("https", "a.example", "")));
        assert_eq!(parts("http://a:80?b/c"), Some(("http", "a:80", "?b/c")));
        assert_eq!(parts("http://a/b?c#@evil.example/d"), Some(("http", "a", "/b?c")));
        assert_eq!(parts("http://a#@evil.example/"), Some(("http", "a", "")));
        assert_eq!(parts("http://user@a\\b/c"), Some(("http", "user@a\\b", "/c")));
        assert_eq!(parts("a.example/b"), None);
        assert_eq!(parts("https:///b"), None);
    }
}
