//! Arguments and results as bytes, in one of two encodings.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How deep values may lie in one another: as deep as in JSON with serde_json. ciborium's own limit of 256 is more than
/// a stack of 64 KiB bears, and an error says more than a trap.
const DEPTH_MAX: usize = 128;

/// Reads CBOR, with the same bound on its depth as JSON.
pub(crate) fn from_cbor<T: DeserializeOwned>(data: &[u8]) -> Result<T, ciborium::de::Error<std::io::Error>> {
    ciborium::de::from_reader_with_recursion_limit(data, DEPTH_MAX)
}

/// How the bytes of a [`Payload`] are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// JSON text.
    Json,
    /// CBOR, one data item.
    Cbor,
}

/// Arguments or a result, encoded. A task that is given arguments in one encoding answers in the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// How to read `data`.
    pub encoding: Encoding,
    /// The encoded value.
    pub data: Vec<u8>,
}

/// A value that has no form in the wanted encoding, or bytes that are none of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadError(String);

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PayloadError {}

impl Payload {
    /// Encodes a value.
    ///
    /// # Errors
    ///
    /// If the value has no form in that encoding, such as a map whose keys are not text in JSON.
    pub fn encode<T: Serialize + ?Sized>(encoding: Encoding, value: &T) -> Result<Self, PayloadError> {
        let data = match encoding {
            Encoding::Json => serde_json::to_vec(value).map_err(|error| PayloadError(error.to_string()))?,
            Encoding::Cbor => {
                let mut data = Vec::new();
                ciborium::into_writer(value, &mut data).map_err(|error| PayloadError(error.to_string()))?;
                data
            }
        };
        Ok(Payload { encoding, data })
    }

    /// Encodes a value as JSON.
    ///
    /// # Errors
    ///
    /// As [`Payload::encode`].
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        Payload::encode(Encoding::Json, value)
    }

    /// Reads the value.
    ///
    /// # Errors
    ///
    /// If the bytes are not of the encoding, or what they say is not a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        match self.encoding {
            Encoding::Json => serde_json::from_slice(&self.data).map_err(|error| PayloadError(error.to_string())),
            Encoding::Cbor => from_cbor(&self.data).map_err(|error| PayloadError(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_from_either_encoding() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let payload = Payload::encode(encoding, &("a", 1.5, [true, false])).unwrap();
            assert_eq!(payload.encoding, encoding);
            assert_eq!(payload.decode::<(String, f64, Vec<bool>)>().unwrap(), ("a".into(), 1.5, vec![true, false]));
        }
    }

    #[test]
    fn what_lies_too_deep_is_refused_in_either_encoding() {
        let nested = |encoding, open: &[u8], depth: usize, close: &[u8]| {
            let data = [open.repeat(depth), b"1".to_vec(), close.repeat(depth)].concat();
            Payload { encoding, data }.decode::<serde_json::Value>()
        };
        for depth in [100, 10_000] {
            let (json, cbor) = (nested(Encoding::Json, b"[", depth, b"]"), nested(Encoding::Cbor, b"\x81", depth, b""));
            assert_eq!((json.is_ok(), cbor.is_ok()), (depth == 100, depth == 100), "{depth}: {json:?} {cbor:?}");
        }
    }

    #[test]
    fn bytes_of_another_encoding_are_refused() {
        let cbor = Payload::encode(Encoding::Cbor, &[1, 2]).unwrap();
        let mislabelled = Payload { encoding: Encoding::Json, ..cbor };
        assert!(mislabelled.decode::<Vec<i32>>().is_err());
    }
}
