//! Buckets, keys and values.

use serde::Serialize;

use crate::app::KvValue;
use crate::store::{KvBucket, KvKeyRow};

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Bucket"))]
pub(crate) struct BucketWire {
    bucket: String,
    keys: u64,
    size_bytes: u64,
}

/// A key of a bucket, without its value.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Key"))]
pub(crate) struct KeyWire {
    key: String,
    size_bytes: u64,
    version: u64,
    updated_at: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Value"))]
pub(crate) struct ValueWire {
    bucket: String,
    key: String,
    /// The value, where it is a text.
    value: Option<String>,
    /// The value in hexadecimal, where it is none.
    value_hex: Option<String>,
    version: u64,
    updated_at: String,
}

pub(crate) fn kv_bucket(bucket: &KvBucket) -> BucketWire {
    BucketWire { bucket: bucket.name.to_string(), keys: bucket.keys, size_bytes: bucket.bytes }
}

pub(crate) fn kv_key(row: &KvKeyRow) -> KeyWire {
    KeyWire {
        key: row.key.to_string(),
        size_bytes: row.value_bytes,
        version: row.version,
        updated_at: row.updated_at.to_string(),
    }
}

pub(crate) fn kv_value(KvValue { bucket, key, entry }: &KvValue) -> ValueWire {
    let text = std::str::from_utf8(&entry.value).ok();
    let hex = || entry.value.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    ValueWire {
        bucket: bucket.to_string(),
        key: key.to_string(),
        value: text.map(str::to_owned),
        value_hex: text.is_none().then(hex),
        version: entry.version,
        updated_at: entry.updated_at.to_string(),
    }
}
