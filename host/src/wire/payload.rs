//! Payloads as JSON.

use crate::model::{Encoding, Payload};

/// A payload as JSON, whatever its encoding. What cannot be read is an error in words.
pub(crate) fn payload_value(payload: &Payload) -> Result<serde_json::Value, String> {
    match payload.encoding {
        Encoding::Json => serde_json::from_slice(&payload.data).map_err(|error| format!("unreadable JSON: {error}")),
        Encoding::Cbor => {
            let value: ciborium::Value =
                ciborium::from_reader(&payload.data[..]).map_err(|error| format!("unreadable CBOR: {error}"))?;
            Ok(cbor_to_json(value))
        }
    }
}

/// The JSON that comes nearest to a CBOR value: bytes become arrays of numbers, tags vanish, keys become texts.
fn cbor_to_json(value: ciborium::Value) -> serde_json::Value {
    use ciborium::Value as Cbor;
    match value {
        Cbor::Bool(value) => value.into(),
        Cbor::Integer(value) => {
            let wide = i128::from(value);
            match (i64::try_from(wide), u64::try_from(wide)) {
                (Ok(small), _) => small.into(),
                (_, Ok(large)) => large.into(),
                _ => wide.to_string().into(),
            }
        }
        Cbor::Float(value) => value.into(),
        Cbor::Text(text) => text.into(),
        Cbor::Bytes(bytes) => bytes.into(),
        Cbor::Tag(_, inner) => cbor_to_json(*inner),
        Cbor::Array(items) => items.into_iter().map(cbor_to_json).collect(),
        Cbor::Map(fields) => {
            let key = |key: Cbor| match cbor_to_json(key) {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            fields.into_iter().map(|(name, value)| (key(name), cbor_to_json(value))).collect()
        }
        _ => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cbor_results_are_shown_as_json() {
        let mut data = Vec::new();
        ciborium::into_writer(&serde_json::json!({"n": -7, "list": [1.5, "x", null]}), &mut data).expect("encodes");
        let payload = Payload { encoding: Encoding::Cbor, data: data.into() };
        assert_eq!(payload_value(&payload), Ok(serde_json::json!({"n": -7, "list": [1.5, "x", null]})));
        let broken = Payload { encoding: Encoding::Cbor, data: vec![0xff].into() };
        assert!(payload_value(&broken).is_err());
    }
}
