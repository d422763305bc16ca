//! Small state that outlives a job: values by key, in a bucket that the operator granted with `--allow-kv`.
//!
//! ```
//! use guest_sdk::{TaskError, kv, task};
//!
//! /// Reads what is new.
//! #[task(max_attempts = 3)]
//! fn poll() -> Result<u64, TaskError> {
//!     let cursors = kv::bucket("cursors");
//!     let seen: u64 = cursors.get("orders")?.unwrap_or(0);
//!     let newest = seen + 1; // … what the server has by now
//!     cursors.set("orders", &newest)?;
//!     Ok(newest - seen)
//! }
//!
//! let host = guest_sdk::testing::Host::new().kv("cursors", "orders", &41);
//! let attempt = host.enter(|_| poll());
//! assert_eq!(attempt.kv_value::<u64>("cursors", "orders"), Some(42));
//! assert_eq!(attempt.returned.unwrap(), 1);
//! ```
//!
//! - **What is written is stored with the task's success**: all of it or nothing, and nothing of an attempt that fails. A retry begins where
//!   the last success has ended.
//! - **A task reads what it has written**, and else what other jobs have stored by that moment.
//! - **Of two jobs that write one key the one that succeeds last wins.** A job that must not overwrite what it has not seen uses
//!   [`Bucket::set_if`]: it fails then, and is tried again while attempts are left.
//! - Values are kept as JSON; [`Bucket::get_bytes`] and [`Bucket::set_bytes`] take any bytes.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host;

/// A version that no value has: what [`Bucket::set_if`] expects of a key that must not exist.
pub const NO_VERSION: u64 = 0;

/// How many keys are asked for at once.
const PAGE_KEYS: u32 = 500;

/// A bucket. Making one asks nobody: that it was not granted shows when it is used.
pub fn bucket(name: impl Into<String>) -> Bucket {
    Bucket { name: name.into() }
}

/// A bucket of keys and values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    name: String,
}

/// A value, and the version that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// The value.
    pub value: T,
    /// What to expect in [`Bucket::set_if`]; [`NO_VERSION`] if this attempt has written it.
    pub version: u64,
}

impl Bucket {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value under a key.
    ///
    /// # Errors
    ///
    /// As [`ErrorKind`] says; [`ErrorKind::Decode`] if the value is not JSON of this type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        Ok(self.entry(key)?.map(|entry| entry.value))
    }

    /// The value under a key, with its version.
    ///
    /// # Errors
    ///
    /// As [`Bucket::get`].
    pub fn entry<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Entry<T>>, Error> {
        let Some(Entry { value, version }) = self.entry_bytes(key)? else { return Ok(None) };
        let value = serde_json::from_slice(&value)
            .map_err(|error| Error::new(ErrorKind::Decode, format!("the value is not what it should be: {error}")))
            .map_err(|error| error.of(self, key))?;
        Ok(Some(Entry { value, version }))
    }

    /// The bytes under a key.
    ///
    /// # Errors
    ///
    /// As [`ErrorKind`] says.
    pub fn get_bytes(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.entry_bytes(key)?.map(|entry| entry.value))
    }

    /// The bytes under a key, with their version.
    ///
    /// # Errors
    ///
    /// As [`ErrorKind`] says.
    pub fn entry_bytes(&self, key: &str) -> Result<Option<Entry<Vec<u8>>>, Error> {
        host::kv_get(&self.name, key).map_err(|error| error.of(self, key))
    }

    /// Writes a value, whatever is there.
    ///
    /// # Errors
    ///
    /// As [`ErrorKind`] says; [`ErrorKind::Invalid`] if the value has no form in JSON.
    pub fn set(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.set_bytes(key, self.json(key, value)?)
    }

    /// Writes a value if the key still has this version, [`NO_VERSION`] if it must not exist.
    ///
    /// That is looked at now, and once more when the task succeeds: if somebody else was faster, the job fails instead, with the code
    /// `kv_conflict`, and is tried again while attempts are left.
    ///
    /// # Errors
    ///
    /// As [`Bucket::set`], and [`ErrorKind::Conflict`] if it has another version already.
    pub fn set_if(&self, key: &str, version: u64, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let bytes = self.json(key, value)?;
        host::kv_set(&self.name, key, Some(bytes), Some(version)).map_err(|error| error.of(self, key))
    }

    /// Writes bytes, whatever is there.
    ///
    /// # Errors
    ///
    /// As [`ErrorKind`] says.
    pub fn set_bytes(&self, key: &str, value: impl Into<Vec<u8>>) -> Result<(), Error> {
        host::kv_set(&self.name, key, Some(value.into()), None).map_err(|error| error.of(self, key))
    }

    /// Deletes a key. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// As [`ErrorKind`] says.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        host::kv_set(&self.name, key, None, None).map_err(|error| error.of(self, key))
    }

    /// The keys that begin with `prefix`, in the order of their bytes.
    ///
    /// # Errors
    ///
    /// As [`ErrorKind`] says.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let page = host::kv_keys(&self.name, prefix, keys.last().map(String::as_str), PAGE_KEYS);
            let (more, has_more) = page.map_err(|error| error.of(self, prefix))?;
            let is_last = !has_more || more.is_empty();
            keys.extend(more);
            if is_last {
                return Ok(keys);
            }
        }
    }

    fn json(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(value)
            .map_err(|error| Error::new(ErrorKind::Invalid, format!("the value has no form in JSON: {error}")))
            .map_err(|error| error.of(self, key))
    }
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no grant for it.
    Denied,
    /// The bucket's name, the key or the value cannot be one.
    Invalid,
    /// One attempt may write only so much.
    Quota,
    /// The key has another version than was expected.
    Conflict,
    /// The value is not what it was to be read as.
    Decode,
    /// The data store does not answer, or there is none.
    Unavailable,
}

impl ErrorKind {
    /// A short, stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Denied => "kv-denied",
            ErrorKind::Invalid => "kv-invalid",
            ErrorKind::Quota => "kv-quota",
            ErrorKind::Conflict => "kv-conflict",
            ErrorKind::Decode => "kv-decode",
            ErrorKind::Unavailable => "kv-unavailable",
        }
    }

    /// Whether the same task may succeed later.
    pub const fn is_retryable(self) -> bool {
        matches!(self, ErrorKind::Conflict | ErrorKind::Unavailable)
    }
}

/// Why a value was not read or written. It shows the bucket and the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    place: String,
    text: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        Error { kind, place: String::new(), text: text.into() }
    }

    fn of(mut self, bucket: &Bucket, key: &str) -> Error {
        self.place = format!("key `{key}` of bucket `{}`", bucket.name);
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

impl std::error::Error for Error {}
