//! Buckets, as operators see and change them.

use std::sync::Arc;

use super::error::candidates;
use super::{App, AppError, AppResult};
use crate::model::limits::KV_VALUE_BYTES_MAX;
use crate::model::{BucketName, Grant, KvEntry, KvKey, KvWrite, KvWrites};
use crate::store::{GetKv, KvBucket, KvPage, ListKv, WriteKv};

/// A value to be written.
#[derive(Debug, Clone)]
pub struct SetKv {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: KvKey,
    /// The value; `None` deletes the key.
    pub value: Option<Vec<u8>>,
    /// Only if the key has this version; 0 if it must not exist.
    pub version: Option<u64>,
}

/// A value that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvValue {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: KvKey,
    /// What is stored under it.
    pub entry: KvEntry,
}

impl App {
    /// The buckets of plugins, by name.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn kv_buckets(&self) -> AppResult<Vec<KvBucket>> {
        let mut buckets = self.store.kv_buckets().await?;
        buckets.retain(|bucket| !bucket.name.is_reserved());
        Ok(buckets)
    }

    /// A page of the keys of a bucket.
    ///
    /// # Errors
    /// [`AppError::NotFound`] lists the buckets there are.
    pub async fn kv_list(&self, request: ListKv) -> AppResult<KvPage> {
        self.check_bucket(&request.bucket).await?;
        Ok(self.store.kv_list(request).await?)
    }

    /// The value under a key.
    ///
    /// # Errors
    /// [`AppError::NotFound`] where there is no such bucket, or no such key in it.
    pub async fn kv_get(&self, bucket: &BucketName, key: &KvKey) -> AppResult<KvValue> {
        self.check_bucket(bucket).await?;
        let (bucket, key) = (bucket.clone(), key.clone());
        match self.store.kv_get(GetKv { bucket: bucket.clone(), key: key.clone() }).await? {
            Some(entry) => Ok(KvValue { bucket, key, entry }),
            None => Err(AppError::not_found("key", &key)
                .with_hint(format!("`host kv list {bucket}` shows those that bucket `{bucket}` has"))),
        }
    }

    /// Writes or deletes the value under a key. Jobs that run see it at once.
    ///
    /// # Errors
    /// [`AppError::NotFound`] where there is no such bucket, or no such key to delete; [`AppError::Invalid`] where the value is too large;
    /// [`AppError::Refused`] where the key has another version, or the bucket would be too large.
    pub async fn kv_set(&self, request: SetKv) -> AppResult<()> {
        let SetKv { bucket, key, value, version } = request;
        self.check_bucket(&bucket).await?;
        if let Some(bytes) = value.as_ref().map(Vec::len).filter(|bytes| *bytes > KV_VALUE_BYTES_MAX) {
            return Err(AppError::invalid(format!("the value has {bytes} bytes, and may have {KV_VALUE_BYTES_MAX}")));
        }
        if value.is_none() {
            self.kv_get(&bucket, &key).await?;
        }
        let write = KvWrite { bucket, key, value: value.map(Arc::from), expected: version };
        let writes = KvWrites { writes: vec![write], bucket_bytes_max: self.caps.kv_bucket_bytes };
        Ok(self.store.kv_write(WriteKv { now: self.now().await?, writes }).await?)
    }

    async fn check_bucket(&self, bucket: &BucketName) -> AppResult<()> {
        let buckets = self.kv_buckets().await?;
        if buckets.iter().any(|known| known.name == *bucket) {
            return Ok(());
        }
        let hint = match buckets.is_empty() {
            true => "a bucket is made when a plugin is granted it: --allow-kv BUCKET:rw".to_owned(),
            false => format!("buckets: {}", candidates(bucket.as_str(), buckets.iter().map(|it| it.name.as_str()))),
        };
        Err(AppError::not_found("bucket", bucket).with_hint(hint))
    }

    /// Makes the buckets that were granted.
    pub(super) async fn kv_make_granted(&self, grants: &[Grant]) -> AppResult<()> {
        let granted = grants.iter().filter_map(|grant| match grant {
            Grant::Kv { bucket, .. } => Some(bucket.clone()),
            _ => None,
        });
        let granted: Vec<BucketName> = granted.collect();
        if granted.is_empty() {
            return Ok(());
        }
        Ok(self.store.kv_create(granted).await?)
    }
}
