//! Small state that plugins keep between jobs: values by key, in buckets.
//!
//! What an attempt writes is stored together with the job's success, so that a retry finds nothing of an attempt that failed. Of two
//! attempts that write the same key the one that is stored last wins, unless it says which version it has read: then it is refused where
//! another one is there by then, and the job is tried again.

use std::fmt;
use std::sync::Arc;

use super::{BucketName, KvKey, Timestamp};

/// The version of a key that does not exist.
pub const NO_VERSION: u64 = 0;

/// What each entry counts for in the size of its bucket, beside its key and its value.
const ENTRY_BYTES: u64 = 64;

/// A value in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// The value.
    pub value: Arc<[u8]>,
    /// Grows with every write to the bucket, so that no two values of a key have the same, also when it was deleted between them.
    pub version: u64,
    /// When it was written.
    pub updated_at: Timestamp,
}

/// One key to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvWrite {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: KvKey,
    /// Its new value; `None` deletes it.
    pub value: Option<Arc<[u8]>>,
    /// The version that it must have until then, [`NO_VERSION`] if it must not exist; `None`: any.
    pub expected: Option<u64>,
}

/// Keys that are written together, or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvWrites {
    /// The keys, none of them twice.
    pub writes: Vec<KvWrite>,
    /// How many bytes a bucket may have afterwards, where it has grown.
    pub bucket_bytes_max: u64,
}

/// Why keys were not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvRefusal {
    /// A key has another version than it had to have.
    Changed {
        /// Its bucket.
        bucket: BucketName,
        /// The key.
        key: KvKey,
    },
    /// A bucket would be larger than it may be.
    Full {
        /// The bucket.
        bucket: BucketName,
        /// How many bytes it may have.
        bytes_max: u64,
    },
}

impl KvRefusal {
    /// A short, stable word for it.
    pub fn code(&self) -> &'static str {
        match self {
            KvRefusal::Changed { .. } => "kv_conflict",
            KvRefusal::Full { .. } => "kv_full",
        }
    }
}

impl fmt::Display for KvRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KvRefusal::Changed { bucket, key } => {
                write!(f, "key `{key}` of bucket `{bucket}` was changed by somebody else in the meantime")
            }
            KvRefusal::Full { bucket, bytes_max } => {
                write!(f, "bucket `{bucket}` would have more than the {bytes_max} bytes that it may have")
            }
        }
    }
}

/// What an entry counts for in the size of its bucket.
pub fn entry_bytes(key: &KvKey, value_bytes: u64) -> u64 {
    ENTRY_BYTES.saturating_add(key.as_str().len() as u64).saturating_add(value_bytes)
}
