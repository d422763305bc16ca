//! Why a request has no answer, or not the one that was wanted.

use std::fmt;
use std::time::Duration;

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no grant for it.
    Denied,
    /// It cannot be sent as it is: its URL, a header, its body.
    InvalidRequest,
    /// The server was not found, or not reached.
    Connect,
    /// Whoever answered has no certificate for that name that is trusted, or speaks no TLS.
    Certificate,
    /// It took too long.
    Timeout,
    /// The request or the answer has more bytes than it may have.
    TooLarge,
    /// The answer broke off, or was none by the rules of HTTP.
    Protocol,
    /// The server answered with a status that says that it failed.
    Status(u16),
    /// The body is not what it was to be read as.
    Decode,
    /// There is nobody who could send it.
    Unavailable,
}

impl ErrorKind {
    /// A short, stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Denied => "http-denied",
            ErrorKind::InvalidRequest => "http-invalid-request",
            ErrorKind::Connect => "http-connect",
            ErrorKind::Certificate => "http-certificate",
            ErrorKind::Timeout => "http-timeout",
            ErrorKind::TooLarge => "http-too-large",
            ErrorKind::Protocol => "http-protocol",
            ErrorKind::Status(_) => "http-status",
            ErrorKind::Decode => "http-decode",
            ErrorKind::Unavailable => "http-unavailable",
        }
    }

    /// Whether the same request may succeed later.
    pub const fn is_retryable(self) -> bool {
        match self {
            ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Protocol => true,
            // Too early, too often, or a fault of the server.
            ErrorKind::Status(status) => matches!(status, 408 | 425 | 429) || status >= 500,
            _ => false,
        }
    }
}

/// Why a request has no answer, or not the one that was wanted.
///
/// It shows the method and the URL, without the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    request: String,
    text: String,
    retry_after: Option<Duration>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        Error { kind, request: String::new(), text: text.into(), retry_after: None }
    }

    /// Says which request it was.
    pub(crate) fn of(mut self, request: &str) -> Error {
        request.clone_into(&mut self.request);
        self
    }

    pub(crate) fn after(mut self, delay: Option<Duration>) -> Error {
        self.retry_after = delay;
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }

    /// How long the server asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.request, self.text)
    }
}

impl std::error::Error for Error {}
