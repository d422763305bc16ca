//! Concurrency keys: a value that several jobs of one task share, such as a customer, so that only so many of them run at once.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::limits::{CONCURRENCY_KEY_BYTES_MAX, CONCURRENCY_KEY_SOURCE_BYTES_MAX};
use super::payload::{Encoding, Metadata, Payload};

/// Where the concurrency key of a job comes from.
///
/// As text: `args:POINTER` or `metadata:POINTER` with a JSON pointer (RFC 6901), or any other text, which is the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConcurrencyKey {
    /// A place in the arguments, if those are JSON.
    Args(String),
    /// A place in the metadata.
    Metadata(String),
    /// The key itself.
    Fixed(String),
}

impl ConcurrencyKey {
    /// The key of a job with these arguments and this metadata. `None` if there is nothing at that place, or `null`: such a job is
    /// limited by no key.
    ///
    /// A text is its own key, anything else is its JSON. Control characters are replaced, and a key that is too long is cut and
    /// ends in a checksum of the whole.
    pub fn of(&self, args: &Payload, metadata: &Metadata) -> Option<String> {
        let text = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let found = match self {
            ConcurrencyKey::Fixed(key) => Some(key.clone()),
            ConcurrencyKey::Metadata(pointer) => {
                // A pointer begins with a slash, and its first word is a key of the metadata.
                let (name, rest) = first_word(pointer)?;
                text(metadata.0.get(&name)?.pointer(rest)?)
            }
            ConcurrencyKey::Args(pointer) => match args.encoding {
                Encoding::Json => text(serde_json::from_slice::<Value>(&args.data).ok()?.pointer(pointer)?),
                Encoding::Cbor => None,
            },
        };
        found.map(|key| storable(&key)).filter(|key| !key.is_empty())
    }
}

/// The first word of a pointer, unescaped, and the pointer that is left.
fn first_word(pointer: &str) -> Option<(String, &str)> {
    let inside = pointer.strip_prefix('/')?;
    let end = inside.find('/').unwrap_or(inside.len());
    Some((inside[..end].replace("~1", "/").replace("~0", "~"), &inside[end..]))
}

/// The key as every database can store and compare it.
fn storable(key: &str) -> String {
    let clean: String = key.trim_end().chars().map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect();
    if clean.len() <= CONCURRENCY_KEY_BYTES_MAX {
        return clean;
    }
    // FNV-1a, which is the same on every machine and in every version.
    let checksum = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let kept = &clean[..clean.floor_char_boundary(CONCURRENCY_KEY_BYTES_MAX - 17)];
    format!("{kept}#{checksum:016x}")
}

impl fmt::Display for ConcurrencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConcurrencyKey::Args(pointer) => write!(f, "args:{pointer}"),
            ConcurrencyKey::Metadata(pointer) => write!(f, "metadata:{pointer}"),
            ConcurrencyKey::Fixed(key) => f.write_str(key),
        }
    }
}

impl FromStr for ConcurrencyKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pointer = |pointer: &str| match pointer.strip_prefix('/') {
            Some(rest) if !rest.is_empty() => Ok(pointer.to_owned()),
            _ => Err(format!("`{pointer}` is no place: write it like args:/customer or metadata:/team")),
        };
        if text.len() > CONCURRENCY_KEY_SOURCE_BYTES_MAX {
            return Err(format!("it is longer than {CONCURRENCY_KEY_SOURCE_BYTES_MAX} bytes"));
        }
        match text.split_once(':') {
            Some(("args", place)) => Ok(ConcurrencyKey::Args(pointer(place)?)),
            Some(("metadata", place)) => Ok(ConcurrencyKey::Metadata(pointer(place)?)),
            _ if text.trim().is_empty() => Err("it is empty".to_owned()),
            _ => Ok(ConcurrencyKey::Fixed(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(source: &str) -> Option<String> {
        let args = Payload::json(&json!({"customer": {"id": 7}, "name": "Ada", "none": null, "empty": ""}));
        let metadata = Metadata(json!({"team": "ops", "a/b": [true]}).as_object().expect("an object").clone());
        source.parse::<ConcurrencyKey>().expect("a key").of(&args, &metadata)
    }

    #[test]
    fn a_key_is_the_text_or_the_json_at_its_place_and_nothing_if_there_is_nothing() {
        for (source, found) in [
            ("args:/customer/id", Some("7")),
            ("args:/customer", Some(r#"{"id":7}"#)),
            ("args:/name", Some("Ada")),
            ("args:/none", None),
            ("args:/empty", None),
            ("args:/nobody", None),
            ("metadata:/team", Some("ops")),
            ("metadata:/a~1b/0", Some("true")),
            ("metadata:/nobody", None),
            ("acme", Some("acme")),
            ("urn:acme", Some("urn:acme")),
        ] {
            assert_eq!(key(source).as_deref(), found, "{source}");
        }
    }

    #[test]
    fn long_keys_stay_different_and_fit() {
        let (one, two) = ("x".repeat(500), format!("{}y", "x".repeat(499)));
        let (one, two) = (key(&one).expect("a key"), key(&two).expect("a key"));
        assert_ne!(one, two);
        assert!(one.len() <= CONCURRENCY_KEY_BYTES_MAX && two.len() <= CONCURRENCY_KEY_BYTES_MAX);
    }

    #[test]
    fn what_is_no_pointer_or_has_no_reasonable_length_is_refused() {
        let long = "x".repeat(CONCURRENCY_KEY_SOURCE_BYTES_MAX + 1);
        for text in ["args:customer", "metadata:", "args:/", " ", &long] {
            assert!(text.parse::<ConcurrencyKey>().is_err(), "{text}");
        }
        assert_eq!("args:/a/b".parse::<ConcurrencyKey>().expect("a key").to_string(), "args:/a/b");
    }
}
