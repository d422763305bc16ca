//! What a server answered.

use std::io::{self, Read};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{Error, ErrorKind, Inbound};
use crate::host;

/// Longest time that a server's `retry-after` can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// An answer. Its head is here; its body comes as it is read, also through [`Read`].
///
/// Dropping it closes the connection.
#[must_use = "an answer may say that the request failed: see `error_for_status`"]
pub struct Response {
    request: String,
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: host::Body,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Response { request, status, .. } = self;
        f.debug_struct("Response").field("request", request).field("status", status).finish_non_exhaustive()
    }
}

impl Response {
    pub(super) fn new(request: String, inbound: Inbound) -> Response {
        let Inbound { status, headers, body } = inbound;
        Response { request, status, headers, body }
    }

    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status says that the request succeeded: 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// All headers.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The answer, unless its status says that the request failed: 400 to 599.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Status`], which is tried again after an error of the server, and after the time that it asked for.
    pub fn error_for_status(self) -> Result<Response, Error> {
        if self.status < 400 {
            return Ok(self);
        }
        let seconds = self.header("retry-after").and_then(|text| text.trim().parse().ok());
        let delay = seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        let error = Error::new(ErrorKind::Status(self.status), format!("the server answered {}", self.status));
        Err(error.after(delay).of(&self.request))
    }

    /// The whole body.
    ///
    /// # Errors
    ///
    /// It breaks off, takes too long, or is larger than it may be.
    pub fn bytes(mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        loop {
            let chunk = self.body.chunk(READ_BYTES).map_err(|error| error.of(&self.request))?;
            if chunk.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&chunk);
        }
    }

    /// The whole body as text.
    ///
    /// # Errors
    ///
    /// As [`Response::bytes`], and [`ErrorKind::Decode`] if it is no UTF-8.
    pub fn text(self) -> Result<String, Error> {
        let request = self.request.clone();
        let decode = |error| Error::new(ErrorKind::Decode, format!("the body is no text: {error}")).of(&request);
        String::from_utf8(self.bytes()?).map_err(decode)
    }

    /// The whole body, read as JSON.
    ///
    /// # Errors
    ///
    /// As [`Response::bytes`], and [`ErrorKind::Decode`] if it is no JSON, or not of that form.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let request = self.request.clone();
        let decode = |error| Error::new(ErrorKind::Decode, format!("the body is not the JSON expected: {error}"));
        serde_json::from_slice(&self.bytes()?).map_err(|error| decode(error).of(&request))
    }
}

/// What is asked for at once.
const READ_BYTES: usize = 64 * 1024;

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let chunk = self.body.chunk(buffer.len()).map_err(|error| io::Error::other(error.of(&self.request)))?;
        buffer[..chunk.len()].copy_from_slice(&chunk);
        Ok(chunk.len())
    }
}
