//! Buckets in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::kv::{Place, Writing, refused};
use crate::model::{BucketName, KvEntry, KvKey, KvRefusal, KvWrites, Timestamp};
use crate::{GetKv, KeyValue, KvBucket, KvKeyRow, KvPage, ListKv, StoreError, WriteKv, rules};

#[derive(Debug, Default)]
pub(super) struct Buckets {
    pub(super) buckets: BTreeMap<BucketName, KvBucket>,
    pub(super) entries: BTreeMap<Place, KvEntry>,
}

impl Buckets {
    /// Buckets and keys as they stand, to be written to.
    pub(super) fn writing<'a>(&self, places: impl Iterator<Item = (&'a BucketName, Option<&'a KvKey>)>) -> Writing {
        let mut writing = Writing::default();
        for (bucket, key) in places {
            if let Some(stored) = self.buckets.get(bucket) {
                writing.has_bucket(stored.clone());
            }
            let place = key.map(|key| (bucket.clone(), key.clone()));
            if let Some((place, entry)) = place.and_then(|place| self.entries.get_key_value(&place)) {
                writing.has_key(place.0.clone(), place.1.clone(), entry.version, entry.value.len() as u64);
            }
        }
        writing
    }

    /// Stores what has come of it.
    pub(super) fn store(&mut self, writing: Writing) {
        let (buckets, changed) = writing.done();
        self.buckets.extend(buckets.into_iter().map(|bucket| (bucket.name.clone(), bucket)));
        for (place, entry) in changed {
            match entry {
                Some(entry) => self.entries.insert(place, entry),
                None => self.entries.remove(&place),
            };
        }
    }

    /// Does all of `writes`, or nothing.
    pub(super) fn write(&mut self, writes: &KvWrites, now: Timestamp) -> Result<(), KvRefusal> {
        let mut writing = self.writing(writes.writes.iter().map(|write| (&write.bucket, Some(&write.key))));
        writing.apply(writes, now)?;
        self.store(writing);
        Ok(())
    }

    fn list(&self, request: &ListKv) -> KvPage {
        let ListKv { bucket, prefix, after, .. } = request;
        let limit = rules::page_limit(request.limit);
        let after = after.as_ref().map_or(Bound::Unbounded, |after| Bound::Excluded((bucket.clone(), after.clone())));
        let later = self.entries.range((after, Bound::Unbounded));
        let of_bucket = later.skip_while(|((of, _), _)| of < bucket).take_while(|((of, _), _)| of == bucket);
        let matching = of_bucket.filter(|((_, key), _)| key.as_str().starts_with(prefix));
        let row = |((_, key), entry): (&Place, &KvEntry)| KvKeyRow {
            key: key.clone(),
            value_bytes: entry.value.len() as u64,
            version: entry.version,
            updated_at: entry.updated_at,
        };
        let mut keys: Vec<KvKeyRow> = matching.map(row).take(limit + 1).collect();
        let has_more = keys.len() > limit;
        keys.truncate(limit);
        KvPage { keys, has_more }
    }
}

impl State {
    fn create_buckets(&mut self, names: Vec<BucketName>) {
        for name in names {
            self.kv.buckets.entry(name.clone()).or_insert_with(|| KvBucket::empty(name));
        }
    }
}

#[async_trait]
impl KeyValue for MemoryStore {
    async fn kv_buckets(&self) -> Result<Vec<KvBucket>, StoreError> {
        self.with(|state| Ok(state.kv.buckets.values().cloned().collect()))
    }

    async fn kv_create(&self, buckets: Vec<BucketName>) -> Result<(), StoreError> {
        self.with(|state| {
            state.create_buckets(buckets);
            Ok(())
        })
    }

    async fn kv_get(&self, request: GetKv) -> Result<Option<KvEntry>, StoreError> {
        self.with(|state| Ok(state.kv.entries.get(&(request.bucket, request.key)).cloned()))
    }

    async fn kv_list(&self, request: ListKv) -> Result<KvPage, StoreError> {
        self.with(|state| Ok(state.kv.list(&request)))
    }

    async fn kv_write(&self, request: WriteKv) -> Result<(), StoreError> {
        self.with(|state| state.kv.write(&request.writes, request.now).map_err(|refusal| refused(&refusal)))
    }
}
