//! JSON and CBOR documents that guests return: whether they can be read, before anybody relies on it.

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess as _,
};

use crate::model::limits::JSON_DEPTH_MAX;
use crate::model::{Encoding, Payload};

/// Whether a payload is a document of its encoding, whole, and nested no deeper than documents from outside may be. Nothing is kept of it.
///
/// # Errors
/// What is wrong with it, with the place.
pub(super) fn check(payload: &Payload) -> Result<(), String> {
    match payload.encoding {
        Encoding::Json => check_json(&payload.data),
        Encoding::Cbor => check_cbor(&payload.data),
    }
}

fn check_json(data: &[u8]) -> Result<(), String> {
    let mut reader = serde_json::Deserializer::from_slice(data);
    Readable::deserialize(&mut reader).and_then(|Readable| reader.end()).map_err(|error| error.to_string())
}

fn check_cbor(data: &[u8]) -> Result<(), String> {
    use ciborium::de::Error;
    let mut rest = data;
    let Readable = ciborium::from_reader(&mut rest).map_err(|error| match error {
        Error::Io(_) => format!("it ends too early, at byte {}", data.len()),
        Error::Syntax(at) => format!("syntax error at byte {at}"),
        Error::Semantic(Some(at), reason) => format!("{reason} at byte {at}"),
        Error::Semantic(None, reason) => reason,
        Error::RecursionLimitExceeded => too_deep(),
    })?;
    match rest.len() {
        0 => Ok(()),
        more => Err(format!("{more} more bytes after the document, at byte {}", data.len() - more)),
    }
}

fn too_deep() -> String {
    format!("nested deeper than {JSON_DEPTH_MAX} levels")
}

/// A document that was read to its end and thrown away.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Readable, D::Error> {
        Level { left: JSON_DEPTH_MAX }.deserialize(deserializer)
    }
}

/// Reads one value, in which others may be nested to so many levels.
#[derive(Clone, Copy)]
struct Level {
    left: usize,
}

impl Level {
    fn deeper<E: de::Error>(self) -> Result<Level, E> {
        self.left.checked_sub(1).map(|left| Level { left }).ok_or_else(|| E::custom(too_deep()))
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Readable;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Readable, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Level {
    type Value = Readable;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_str<E>(self, _: &str) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_none<E>(self) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_unit<E>(self) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Readable, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Readable, A::Error> {
        let inner = self.deeper()?;
        while values.next_element_seed(inner)?.is_some() {}
        Ok(Readable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Readable, A::Error> {
        let inner = self.deeper()?;
        while fields.next_key_seed(inner)?.is_some() {
            fields.next_value_seed(inner)?;
        }
        Ok(Readable)
    }

    /// A tagged value of CBOR: the tag's number and the value, as a pair.
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Readable, A::Error> {
        let (Readable, pair) = tagged.variant_seed(self)?;
        pair.tuple_variant(2, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> Result<(), String> {
        check(&Payload { encoding: Encoding::Json, data: text.into() })
    }

    fn cbor(data: &[u8]) -> Result<(), String> {
        check(&Payload { encoding: Encoding::Cbor, data: data.into() })
    }

    #[test]
    fn json_is_accepted_to_a_depth_and_no_further() {
        let nested = |depth: usize| ("[".repeat(depth) + &"]".repeat(depth)).into_bytes();
        assert_eq!(json(&nested(JSON_DEPTH_MAX)), Ok(()));
        assert!(json(&nested(JSON_DEPTH_MAX + 1)).expect_err("too deep").contains("64 levels"));
        assert!(json(&nested(100_000)).expect_err("too deep").contains("64 levels"));
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        for good in ["null", "0", "-1.5e3", "\"ü\\ud83d\\ude00\"", "[[],{\"a\":[{}]}]", " {} "] {
            assert_eq!(json(good.as_bytes()), Ok(()), "{good}");
        }
        for (bad, place) in [
            (&b""[..], "line 1 column 0"),
            (b"{\"a\":}", "column 6"),
            (b"[1,]", "column 4"),
            (b"\"\xff\"", "column"),
            (b"\"\\ud800\"", "column"),
            (b"1 2", "column 3"),
            (b"nul", "column"),
            (b"[1", "EOF"),
            (b"1e999", "out of range"),
        ] {
            let fault = json(bad).expect_err("no JSON");
            assert!(fault.contains(place), "{bad:?}: {fault}");
        }
    }

    #[test]
    fn what_is_no_cbor_is_told_with_its_place() {
        let mut sound = Vec::new();
        let value = serde_json::json!({"n": -7, "list": [1.5, "x", null, {"1": true}]});
        ciborium::into_writer(&value, &mut sound).expect("encodes");
        assert_eq!(cbor(&sound), Ok(()));
        // A date (tag 1), a large number (tag 2), nested tags, texts longer than the reader's buffer.
        for good in [&b"\xc1\x00"[..], b"\xc2\x42\x01\x00", b"\xd9\xd9\xf7\xc1\x80"] {
            assert_eq!(cbor(good), Ok(()), "{good:?}");
        }
        let mut long = vec![0x7a, 0, 1, 0, 0];
        long.resize(5 + 65_536, b'x');
        assert_eq!(cbor(&long), Ok(()));
        assert!(cbor(b"").expect_err("empty").contains("too early"));
        assert!(cbor(&sound[..sound.len() - 1]).expect_err("cut").contains("too early"));
        assert!(cbor(b"\xff").is_err());
        assert!(cbor(b"\x62\xc3\x28").expect_err("no UTF-8").contains("at byte"));
        assert!(cbor(b"\x00\x00").expect_err("two documents").contains("at byte 1"));
        let nested = |depth: usize| [vec![0x81; depth], vec![0x00]].concat();
        assert_eq!(cbor(&nested(JSON_DEPTH_MAX)), Ok(()));
        assert!(cbor(&nested(JSON_DEPTH_MAX + 1)).expect_err("too deep").contains("64 levels"));
        assert!(cbor(&nested(100_000)).expect_err("too deep").contains("64 levels"));
        // An array that claims to have more elements than there is memory.
        assert!(cbor(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
    }
}
