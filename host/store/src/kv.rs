//! Buckets: what plugins keep between jobs.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;

use super::StoreError;
use super::error::Subject;
use crate::model::kv::{NO_VERSION, entry_bytes};
use crate::model::{BucketName, KvEntry, KvKey, KvRefusal, KvWrite, KvWrites, Timestamp};

/// Keys and values in buckets. What jobs write to them is stored by [`JobQueue::job_release`](crate::JobQueue::job_release).
#[async_trait]
pub trait KeyValue: Send + Sync {
    /// The buckets, by name.
    async fn kv_buckets(&self) -> Result<Vec<KvBucket>, StoreError>;

    /// Makes those buckets that are not there.
    ///
    /// Atomic. Retry: safe.
    async fn kv_create(&self, buckets: Vec<BucketName>) -> Result<(), StoreError>;

    /// The entry under a key; `None` where there is none, or no such bucket.
    async fn kv_get(&self, request: GetKv) -> Result<Option<KvEntry>, StoreError>;

    /// A page of the keys of a bucket, in order; none where there is no such bucket.
    async fn kv_list(&self, request: ListKv) -> Result<KvPage, StoreError>;

    /// Writes keys; a bucket that is not there is made.
    ///
    /// Atomic. Retry: does the same again; where a version is expected, the second call answers `Conflict`. Errors: `Conflict` where a key
    /// has another version than is expected, or a bucket would be too large.
    async fn kv_write(&self, request: WriteKv) -> Result<(), StoreError>;
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvBucket {
    /// Its name.
    pub name: BucketName,
    /// The last version that a key of it got.
    pub revision: u64,
    /// How many keys it has.
    pub keys: u64,
    /// Its size, as [`entry_bytes`] counts it.
    pub bytes: u64,
}

impl KvBucket {
    /// One that nothing was ever written to.
    pub(super) fn empty(name: BucketName) -> KvBucket {
        KvBucket { name, revision: 0, keys: 0, bytes: 0 }
    }
}

/// See [`KeyValue::kv_get`].
#[derive(Debug, Clone)]
pub struct GetKv {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: KvKey,
}

/// See [`KeyValue::kv_list`].
#[derive(Debug, Clone)]
pub struct ListKv {
    /// The bucket.
    pub bucket: BucketName,
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only keys after this one.
    pub after: Option<KvKey>,
    /// At most this many, and at most [`PAGE_ROWS_MAX`](crate::model::limits::PAGE_ROWS_MAX).
    pub limit: usize,
}

/// Keys of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvPage {
    /// The keys, with what is stored under them but the values.
    pub keys: Vec<KvKeyRow>,
    /// Whether there are more: pass the last key as `after`.
    pub has_more: bool,
}

/// A key and what is stored under it, but the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvKeyRow {
    /// The key.
    pub key: KvKey,
    /// Size of the value.
    pub value_bytes: u64,
    /// See [`KvEntry::version`].
    pub version: u64,
    /// When it was written.
    pub updated_at: Timestamp,
}

/// See [`KeyValue::kv_write`].
#[derive(Debug, Clone)]
pub struct WriteKv {
    /// The time.
    pub now: Timestamp,
    /// The keys.
    pub writes: KvWrites,
}

/// The error of a write that was refused.
pub(super) fn refused(refusal: &KvRefusal) -> StoreError {
    let (subject, state) = match refusal {
        KvRefusal::Changed { bucket, key } => {
            (format!("key `{key}` of bucket `{bucket}`"), "was changed by somebody else in the meantime".to_owned())
        }
        KvRefusal::Full { bucket, bytes_max } => {
            (format!("bucket `{bucket}`"), format!("would have more than the {bytes_max} bytes that it may have"))
        }
    };
    StoreError::Conflict { subject: Subject::Other(subject), state }
}

/// A key in a bucket.
pub(super) type Place = (BucketName, KvKey);

/// Buckets that are being written to: decides for every store alike what becomes of writes, one set of them after the other.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// The buckets that are written to.
    buckets: BTreeMap<BucketName, KvBucket>,
    /// Version and size of the values under the keys that are written.
    present: HashMap<Place, (u64, u64)>,
    /// What is to be stored; `None` to be deleted.
    changed: BTreeMap<Place, Option<KvEntry>>,
}

impl Writing {
    /// Notes a bucket as it is stored.
    pub(super) fn has_bucket(&mut self, bucket: KvBucket) {
        self.buckets.insert(bucket.name.clone(), bucket);
    }

    /// Notes the version, and the size of the value, that is stored under a key.
    pub(super) fn has_key(&mut self, bucket: BucketName, key: KvKey, version: u64, value_bytes: u64) {
        self.present.insert((bucket, key), (version, value_bytes));
    }

    /// Does all of `writes`, or nothing.
    pub(super) fn apply(&mut self, writes: &KvWrites, now: Timestamp) -> Result<(), KvRefusal> {
        let mut buckets: BTreeMap<&BucketName, KvBucket> = BTreeMap::new();
        for KvWrite { bucket, key, value, expected } in &writes.writes {
            let place = (bucket.clone(), key.clone());
            let (version, value_bytes) = self.present.get(&place).copied().unwrap_or((NO_VERSION, 0));
            if expected.is_some_and(|expected| expected != version) {
                return Err(KvRefusal::Changed { bucket: bucket.clone(), key: key.clone() });
            }
            let stored = self.buckets.get(bucket).cloned();
            let after =
                buckets.entry(bucket).or_insert_with(|| stored.unwrap_or_else(|| KvBucket::empty(bucket.clone())));
            if version != NO_VERSION {
                after.keys = after.keys.saturating_sub(1);
                after.bytes = after.bytes.saturating_sub(entry_bytes(key, value_bytes));
            }
            if let Some(value) = value {
                after.keys += 1;
                after.bytes = after.bytes.saturating_add(entry_bytes(key, value.len() as u64));
            }
        }
        let grown = buckets.values().find(|after| {
            let before = self.buckets.get(&after.name).map_or(0, |bucket| bucket.bytes);
            after.bytes > before && after.bytes > writes.bucket_bytes_max
        });
        if let Some(KvBucket { name, .. }) = grown {
            return Err(KvRefusal::Full { bucket: name.clone(), bytes_max: writes.bucket_bytes_max });
        }
        for write in &writes.writes {
            let Some(after) = buckets.get_mut(&write.bucket) else { continue };
            let place = (write.bucket.clone(), write.key.clone());
            let entry = write.value.clone().map(|value| {
                after.revision += 1;
                KvEntry { value, version: after.revision, updated_at: now }
            });
            match &entry {
                Some(entry) => self.present.insert(place.clone(), (entry.version, entry.value.len() as u64)),
                None => self.present.remove(&place),
            };
            self.changed.insert(place, entry);
        }
        let after = buckets.into_values().map(|bucket| (bucket.name.clone(), bucket));
        self.buckets.extend(after);
        Ok(())
    }

    /// Puts an entry as it was elsewhere, its version included, whatever is there.
    pub(super) fn restore(&mut self, bucket: BucketName, key: KvKey, entry: KvEntry) {
        let stored = self.buckets.entry(bucket.clone()).or_insert_with(|| KvBucket::empty(bucket.clone()));
        let place = (bucket, key);
        let (version, value_bytes) = (entry.version, entry.value.len() as u64);
        if let Some((_, old)) = self.present.insert(place.clone(), (version, value_bytes)) {
            stored.keys = stored.keys.saturating_sub(1);
            stored.bytes = stored.bytes.saturating_sub(entry_bytes(&place.1, old));
        }
        stored.keys += 1;
        stored.bytes = stored.bytes.saturating_add(entry_bytes(&place.1, value_bytes));
        stored.revision = stored.revision.max(version);
        self.changed.insert(place, Some(entry));
    }

    /// Has a bucket, even an empty one, whose next version is later than this one.
    pub(super) fn restore_bucket(&mut self, name: BucketName, revision: u64) {
        let stored = self.buckets.entry(name.clone()).or_insert_with(|| KvBucket::empty(name));
        stored.revision = stored.revision.max(revision);
    }

    /// The buckets, and the entries that have changed.
    pub(super) fn done(self) -> (Vec<KvBucket>, BTreeMap<Place, Option<KvEntry>>) {
        (self.buckets.into_values().collect(), self.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> BucketName {
        BucketName::new("b").expect("valid")
    }

    fn key(text: &str) -> KvKey {
        KvKey::new(text).expect("valid")
    }

    fn writes(writes: &[(&str, Option<usize>, Option<u64>)]) -> KvWrites {
        let write = |(name, bytes, expected): &(&str, Option<usize>, Option<u64>)| KvWrite {
            bucket: bucket(),
            key: key(name),
            value: bytes.map(|bytes| vec![7; bytes].into()),
            expected: *expected,
        };
        KvWrites { writes: writes.iter().map(write).collect(), bucket_bytes_max: 300 }
    }

    #[test]
    fn a_bucket_counts_its_keys_and_bytes_and_no_version_comes_twice() {
        let mut writing = Writing::default();
        writing.apply(&writes(&[("a", Some(10), None), ("b", Some(20), None)]), Timestamp::EPOCH).expect("fits");
        writing
            .apply(&writes(&[("a", None, Some(1)), ("b", Some(5), Some(2))]), Timestamp::EPOCH)
            .expect("as expected");
        writing.apply(&writes(&[("a", Some(1), Some(NO_VERSION))]), Timestamp::EPOCH).expect("it was deleted");
        let (buckets, changed) = writing.done();
        assert_eq!(buckets, [KvBucket { name: bucket(), revision: 4, keys: 2, bytes: 65 + 5 + 65 + 1 }]);
        let versions: Vec<Option<u64>> = changed.values().map(|entry| entry.as_ref().map(|it| it.version)).collect();
        assert_eq!(versions, [Some(4), Some(3)]);
    }

    #[test]
    fn writes_of_which_one_is_refused_change_nothing() {
        let mut writing = Writing::default();
        writing.apply(&writes(&[("a", Some(10), None)]), Timestamp::EPOCH).expect("fits");
        let changed = writing.apply(&writes(&[("b", Some(1), None), ("a", None, Some(7))]), Timestamp::EPOCH);
        assert_eq!(changed, Err(KvRefusal::Changed { bucket: bucket(), key: key("a") }));
        let full = writing.apply(&writes(&[("b", Some(1), None), ("c", Some(200), None)]), Timestamp::EPOCH);
        assert_eq!(full, Err(KvRefusal::Full { bucket: bucket(), bytes_max: 300 }));
        let (buckets, changed) = writing.done();
        assert_eq!((buckets[0].keys, buckets[0].revision, changed.len()), (1, 1, 1));
    }

    #[test]
    fn a_bucket_that_is_too_large_already_may_shrink() {
        let mut writing = Writing::default();
        writing.has_bucket(KvBucket { name: bucket(), revision: 9, keys: 2, bytes: 1_000 });
        writing.has_key(bucket(), key("a"), 9, 500);
        assert!(writing.apply(&writes(&[("a", Some(501), None)]), Timestamp::EPOCH).is_err());
        writing.apply(&writes(&[("a", Some(400), None)]), Timestamp::EPOCH).expect("it shrinks");
        assert_eq!(writing.done().0[0].bytes, 900);
    }
}
