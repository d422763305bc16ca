//! Buckets of keys and values.

use super::jobs::plugin::kv::{Entry, Host, KeyPage, KvError};
use crate::kv::Refused;
use crate::state::Guest;

impl From<Refused> for KvError {
    fn from(refused: Refused) -> KvError {
        match refused {
            Refused::Denied(text) => KvError::Denied(text),
            Refused::Invalid(text) => KvError::Invalid(text),
            Refused::Quota(text) => KvError::Quota(text),
            Refused::Conflict(text) => KvError::Conflict(text),
            Refused::Unavailable(text) => KvError::Unavailable(text),
        }
    }
}

impl Host for Guest {
    async fn get(&mut self, bucket: String, key: String) -> Result<Option<Entry>, KvError> {
        let found = self.kv_get(&bucket, &key).await?;
        Ok(found.map(|(value, version)| Entry { value: value.to_vec(), version }))
    }

    async fn keys(
        &mut self,
        bucket: String,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<KeyPage, KvError> {
        let (keys, has_more) = self.kv_keys(&bucket, &prefix, after.as_deref(), limit).await?;
        Ok(KeyPage { keys, has_more })
    }

    async fn set(&mut self, bucket: String, key: String, value: Vec<u8>) -> Result<(), KvError> {
        Ok(self.kv_write(&bucket, &key, Some(value), None).await?)
    }

    async fn set_if(&mut self, bucket: String, key: String, version: u64, value: Vec<u8>) -> Result<(), KvError> {
        Ok(self.kv_write(&bucket, &key, Some(value), Some(version)).await?)
    }

    async fn delete(&mut self, bucket: String, key: String) -> Result<(), KvError> {
        Ok(self.kv_write(&bucket, &key, None, None).await?)
    }

    async fn delete_if(&mut self, bucket: String, key: String, version: u64) -> Result<(), KvError> {
        Ok(self.kv_write(&bucket, &key, None, Some(version)).await?)
    }
}
