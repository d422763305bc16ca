//! Buckets, keys and values.

use serde_json::{Value, json};

use crate::app::KvValue;
use crate::store::{KvBucket, KvKeyRow};

pub(crate) fn kv_bucket(bucket: &KvBucket) -> Value {
    json!({"bucket": bucket.name.as_str(), "keys": bucket.keys, "size_bytes": bucket.bytes})
}

/// A key of a bucket, without its value.
pub(crate) fn kv_key(row: &KvKeyRow) -> Value {
    json!({
        "key": row.key.as_str(),
        "size_bytes": row.value_bytes,
        "version": row.version,
        "updated_at": row.updated_at.to_string(),
    })
}

/// A value, as a text where it is one, else in hexadecimal.
pub(crate) fn kv_value(KvValue { bucket, key, entry }: &KvValue) -> Value {
    let text = std::str::from_utf8(&entry.value).ok();
    let hex = || entry.value.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({
        "bucket": bucket.as_str(),
        "key": key.as_str(),
        "value": text,
        "value_hex": text.is_none().then(hex),
        "version": entry.version,
        "updated_at": entry.updated_at.to_string(),
    })
}
