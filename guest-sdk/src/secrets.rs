//! Secrets that the operator granted with `--allow-secret`: tokens of other servers and the like.
//!
//! ```
//! use guest_sdk::testing::{Host, HttpAnswer};
//! use guest_sdk::{TaskError, http, secrets, task};
//!
//! /// Asks a server that wants a token.
//! #[task]
//! fn ask() -> Result<u16, TaskError> {
//!     let token = secrets::placeholder("api-token")?;
//!     let answer = http::get("https://api.example.com/me").bearer_auth(&token).send()?;
//!     Ok(answer.status())
//! }
//!
//! let host = Host::new().secret("api-token", "hunter2").http("GET", "https://api.example.com/me", HttpAnswer::new(200, ""));
//! let attempt = host.enter(|_| ask());
//! assert_eq!(attempt.returned.unwrap(), 200);
//! assert_eq!(attempt.http[0].header_value("authorization"), Some("Bearer hunter2"));
//! ```
//!
//! - **[`placeholder`] is what most tasks need**: a text to put into headers of requests, in whose place the host sends the value. The code
//!   never sees it, so it can neither log nor lose it.
//! - **[`reveal`] answers the value itself**, for what is no header. It takes a grant of its own (`--allow-secret NAME:reveal`).
//! - A secret that is set anew is there for the next attempt.

use std::fmt;

use crate::host;

/// The text that stands for a secret in the headers of requests, alone or among others. It means nothing anywhere else.
///
/// # Errors
///
/// As [`ErrorKind`] says.
pub fn placeholder(name: &str) -> Result<String, Error> {
    host::secret_placeholder(name).map_err(|error| error.of(name))
}

/// The value of a secret that is text.
///
/// # Errors
///
/// As [`ErrorKind`] says; [`ErrorKind::Decode`] if it is not UTF-8.
pub fn reveal(name: &str) -> Result<String, Error> {
    let bytes = reveal_bytes(name)?;
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::Decode, "its value is not text in UTF-8").of(name))
}

/// The value of a secret.
///
/// # Errors
///
/// As [`ErrorKind`] says.
pub fn reveal_bytes(name: &str) -> Result<Vec<u8>, Error> {
    host::secret_reveal(name).map_err(|error| error.of(name))
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no grant for it.
    Denied,
    /// It is granted, and nobody has set its value.
    Missing,
    /// The value is not what it was to be read as.
    Decode,
    /// The data store does not answer, or the host has not the key.
    Unavailable,
}

impl ErrorKind {
    /// A short, stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Denied => "secret-denied",
            ErrorKind::Missing => "secret-missing",
            ErrorKind::Decode => "secret-decode",
            ErrorKind::Unavailable => "secret-unavailable",
        }
    }

    /// Whether the same task may succeed later.
    pub const fn is_retryable(self) -> bool {
        matches!(self, ErrorKind::Missing | ErrorKind::Unavailable)
    }
}

/// Why a secret cannot be used. It shows its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    name: String,
    text: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        Error { kind, name: String::new(), text: text.into() }
    }

    fn of(mut self, name: &str) -> Error {
        name.clone_into(&mut self.name);
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret `{}`: {}", self.name, self.text)
    }
}

impl std::error::Error for Error {}
