//! What crosses the boundary between host and guest as bytes, and the small JSON object that travels beside it.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// How the bytes of a [`Payload`] are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// JSON, RFC 8259.
    Json,
    /// CBOR, RFC 8949.
    Cbor,
}

impl Encoding {
    /// `json` or `cbor`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Encoding::Json => "json",
            Encoding::Cbor => "cbor",
        }
    }

    /// As stored and as in the WIT: `json` or `cbor`.
    pub fn from_name(name: &str) -> Option<Encoding> {
        [Encoding::Json, Encoding::Cbor].into_iter().find(|known| known.as_str() == name)
    }
}

/// Arguments or result of a job: serialised data that the runtime stores and passes on but does not interpret.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// How `data` is to be read.
    pub encoding: Encoding,
    /// The bytes. Shared, because all jobs of a schedule carry the same arguments.
    pub data: Arc<[u8]>,
}

impl Payload {
    /// A payload of JSON text.
    pub fn json(value: &Value) -> Payload {
        Payload { encoding: Encoding::Json, data: Arc::from(value.to_string().into_bytes()) }
    }

    /// The arguments of a job that was given none: `{}`.
    pub fn no_args() -> Payload {
        Payload { encoding: Encoding::Json, data: Arc::from(&b"{}"[..]) }
    }
}

impl fmt::Debug for Payload {
    /// Size and kind only: payloads are other people's data and do not belong into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of {}", self.data.len(), self.encoding.as_str())
    }
}

/// A JSON object that travels with a task, a schedule and a job, for people and programs around the runtime.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(pub Map<String, Value>);

impl Metadata {
    /// This level's keys over those of `general`: top-level keys are merged, this level winning.
    #[must_use]
    pub fn over(&self, general: &Metadata) -> Metadata {
        let mut merged = general.clone();
        merged.0.extend(self.0.iter().map(|(key, value)| (key.clone(), value.clone())));
        merged
    }

    /// The object as JSON text.
    pub fn to_json(&self) -> String {
        // A JSON map prints without fail: its keys are strings and its numbers are finite.
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}
