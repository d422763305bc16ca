//! What a task returned, looked into before it is stored: what was accepted can be read again.
//!
//! The runtime passes payloads on and does not interpret them, but whoever asks for a result has to read it: the command
//! line, a program, the task of another job. So each result is read once here, without keeping anything of it.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::model::limits::JSON_DEPTH_MAX;
use crate::model::{Encoding, ErrorKind, JobError, Payload};

/// Refuses a result that could not be read again: one that is not a document of its encoding, or nested deeper than
/// [`JSON_DEPTH_MAX`].
///
/// # Errors
/// What stands on the job then.
pub fn check(result: &Payload) -> Result<(), JobError> {
    let read = match result.encoding {
        Encoding::Json => read_json(&result.data),
        Encoding::Cbor => read_cbor(&result.data),
    };
    read.map_err(|unread| match unread {
        Unread::TooDeep => {
            let message = format!(
                "the task's result is nested deeper than {JSON_DEPTH_MAX} levels, the most that a result may have"
            );
            JobError::new(ErrorKind::ResultTooLarge, message)
        }
        Unread::Malformed(reason) => {
            let encoding = match result.encoding {
                Encoding::Json => "JSON",
                Encoding::Cbor => "CBOR",
            };
            let message = format!("the task's result is no readable {encoding}: {reason}");
            let mut error = JobError::new(ErrorKind::GuestError, message);
            error.context.push("code: unreadable_result".to_owned());
            error
        }
    })
}

/// Why a result cannot be read.
#[derive(Debug, PartialEq, Eq)]
enum Unread {
    TooDeep,
    Malformed(String),
}

fn read_json(data: &[u8]) -> Result<(), Unread> {
    let is_too_deep = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_slice(data);
    let read =
        Level { left: JSON_DEPTH_MAX, is_too_deep: &is_too_deep }.deserialize(&mut reader).and_then(|()| reader.end());
    read.map_err(|error| if is_too_deep.get() { Unread::TooDeep } else { Unread::Malformed(error.to_string()) })
}

/// Tags may stand around any value of CBOR, and nest too, so this is read as whoever prints it does.
fn read_cbor(data: &[u8]) -> Result<(), Unread> {
    use ciborium::de::Error;
    let mut rest = data;
    let read = ciborium::de::from_reader_with_recursion_limit::<ciborium::Value, _>(&mut rest, JSON_DEPTH_MAX);
    read.map_err(|error| match error {
        Error::RecursionLimitExceeded => Unread::TooDeep,
        Error::Io(_) => Unread::Malformed(format!("it ends too early, at byte {}", data.len())),
        Error::Syntax(at) => Unread::Malformed(format!("syntax error at byte {at}")),
        Error::Semantic(Some(at), reason) => Unread::Malformed(format!("{reason} at byte {at}")),
        Error::Semantic(None, reason) => Unread::Malformed(reason),
    })?;
    match rest.len() {
        0 => Ok(()),
        more => {
            let end = data.len() - more;
            Err(Unread::Malformed(format!("{more} more bytes after the document, at byte {end}")))
        }
    }
}

/// Reads a value with everything inside it and keeps nothing.
#[derive(Clone, Copy)]
struct Level<'a> {
    /// How many levels may be below this one.
    left: usize,
    is_too_deep: &'a Cell<bool>,
}

impl Level<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let left = self.left.checked_sub(1).ok_or_else(|| {
            self.is_too_deep.set(true);
            E::custom("nested too deep")
        })?;
        Ok(Level { left, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _value: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _value: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _value: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _value: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _value: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let level = self.deeper()?;
        while items.next_element_seed(level)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let level = self.deeper()?;
        while fields.next_key_seed(level)?.is_some() {
            fields.next_value_seed(level)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(encoding: Encoding, data: &[u8]) -> Option<ErrorKind> {
        check(&Payload { encoding, data: data.into() }).err().map(|error| error.kind)
    }

    #[test]
    fn json_is_accepted_exactly_where_it_can_be_read_again() {
        let good = [r#"null"#, r#"{"a":[1,-2.5e300,true,"é\u0000\ud83e\udd80"],"a":{}}"#, " [18446744073709551616] "];
        for text in good {
            assert_eq!(kind(Encoding::Json, text.as_bytes()), None, "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
        }
        let bad: [&[u8]; 9] = [b"", b"nul", b"{}{}", b"[1,]", b"1e400", br#""\ud800""#, b"\"\xff\"", b"{1:2}", b"NaN"];
        for data in bad {
            assert_eq!(kind(Encoding::Json, data), Some(ErrorKind::GuestError), "{data:?}");
            assert!(serde_json::from_slice::<serde_json::Value>(data).is_err(), "{data:?}");
        }
    }

    #[test]
    fn results_may_be_nested_as_deep_as_arguments_and_no_deeper() {
        let lists = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let objects = |depth: usize| r#"{"a":"#.repeat(depth) + "1" + &"}".repeat(depth);
        assert_eq!(kind(Encoding::Json, lists(JSON_DEPTH_MAX).as_bytes()), None);
        assert_eq!(kind(Encoding::Json, objects(JSON_DEPTH_MAX).as_bytes()), None);
        for deep in [JSON_DEPTH_MAX + 1, 100_000] {
            assert_eq!(kind(Encoding::Json, lists(deep).as_bytes()), Some(ErrorKind::ResultTooLarge));
            assert_eq!(kind(Encoding::Json, objects(deep).as_bytes()), Some(ErrorKind::ResultTooLarge));
        }
        // 0x81 begins a list of one item, 0xc1 puts a tag around what follows.
        let nested = |head: u8, depth: usize| [vec![head; depth], vec![0x00]].concat();
        assert_eq!(kind(Encoding::Cbor, &nested(0x81, JSON_DEPTH_MAX)), None);
        assert_eq!(kind(Encoding::Cbor, &nested(0x81, JSON_DEPTH_MAX + 1)), Some(ErrorKind::ResultTooLarge));
        assert_eq!(kind(Encoding::Cbor, &nested(0xc1, 100_000)), Some(ErrorKind::ResultTooLarge));
    }

    #[test]
    fn cbor_that_ends_early_or_is_none_is_refused() {
        assert_eq!(kind(Encoding::Cbor, &[0x82, 0xf6, 0x43, 0xff, 0xfe, 0x00]), None);
        for data in [&[][..], &[0x82, 0xf6], &[0x1c], &[0x61, 0xff], &[0x00, 0x00]] {
            assert_eq!(kind(Encoding::Cbor, data), Some(ErrorKind::GuestError), "{data:?}");
        }
    }
}
