//! Buckets as one attempt sees them: what is stored, under what it has written itself.
//!
//! Nothing is written while the guest runs. What it wrote leaves the sandbox with its success, and is stored with the end of its job.

mod calls;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::memory::Kept;
use crate::executor::KvReader;
use crate::model::{BucketName, KvEntry, KvKey, KvWrite, KvWrites};

/// Reads of all attempts at the same time: they share the store's connections with the host's own work.
const READS_MAX: usize = 4;

/// Why a call was not done.
#[derive(Debug)]
pub(super) enum Refused {
    Denied(String),
    Invalid(String),
    Quota(String),
    Conflict(String),
    Unavailable(String),
}

/// What all attempts share.
pub(super) struct KvService {
    /// `None`: nothing is stored anywhere.
    reader: Option<Arc<dyn KvReader>>,
    reads: Semaphore,
}

impl KvService {
    /// Reads by `reader`; without one, every bucket is empty.
    pub(super) fn new(reader: Option<Arc<dyn KvReader>>) -> Arc<KvService> {
        Arc::new(KvService { reader, reads: Semaphore::new(READS_MAX) })
    }

    async fn get(&self, place: &Place) -> Result<Option<KvEntry>, Refused> {
        let Some(reader) = &self.reader else { return Ok(None) };
        // The semaphore is never closed.
        let _place = self.reads.acquire().await.ok();
        reader.kv_get(&place.0, &place.1).await.map_err(Refused::Unavailable)
    }

    async fn keys(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: Option<&KvKey>,
        limit: usize,
    ) -> Result<(Vec<KvKey>, bool), Refused> {
        let Some(reader) = &self.reader else { return Ok((Vec::new(), false)) };
        let _place = self.reads.acquire().await.ok();
        reader.kv_keys(bucket, prefix, after, limit).await.map_err(Refused::Unavailable)
    }
}

type Place = (BucketName, KvKey);

/// What an attempt has written.
pub(super) struct Kv {
    service: Arc<KvService>,
    bucket_bytes_max: u64,
    written: BTreeMap<Place, Written>,
    bytes: usize,
}

struct Written {
    value: Option<Arc<[u8]>>,
    expected: Option<u64>,
    /// Counts the key and the value as the guest's memory.
    _kept: Kept,
}

impl Written {
    fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.len())
    }
}

impl Kv {
    /// Buckets for an attempt that has written nothing yet, and that may grow to that size.
    pub(super) fn new(service: Arc<KvService>, bucket_bytes_max: u64) -> Kv {
        Kv { service, bucket_bytes_max, written: BTreeMap::new(), bytes: 0 }
    }

    /// What was written.
    pub(super) fn take(&mut self) -> KvWrites {
        let write = |((bucket, key), Written { value, expected, .. })| KvWrite { bucket, key, value, expected };
        let writes = std::mem::take(&mut self.written).into_iter().map(write).collect();
        KvWrites { writes, bucket_bytes_max: self.bucket_bytes_max }
    }
}
