//! What a guest may do with buckets, call by call.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Place, Refused, Written};
use crate::denials::named;
use crate::model::kv::NO_VERSION;
use crate::model::limits::{ID_BYTES_MAX, KV_VALUE_BYTES_MAX, KV_WRITES_MAX, KV_WRITTEN_BYTES_MAX, PAGE_ROWS_MAX};
use crate::model::{BucketName, IdError, KvAccess, KvKey};
use crate::state::Guest;
use crate::work::{KV_READ, KV_WRITE};

impl Guest {
    /// The bucket, if the guest may do that in it.
    fn granted_bucket(&mut self, bucket: &str, wanted: KvAccess) -> Result<BucketName, Refused> {
        let granted = self.grants.bucket(bucket);
        let is_enough = match wanted {
            KvAccess::ReadOnly => granted.is_some(),
            KvAccess::ReadWrite => granted == Some(KvAccess::ReadWrite),
        };
        if is_enough {
            self.denials.allowed();
            return BucketName::new(bucket).map_err(|error| Refused::Invalid(error.to_string()));
        }
        let what = match wanted {
            KvAccess::ReadOnly => "reading",
            KvAccess::ReadWrite => "writing to",
        };
        let sentence = match BucketName::new(bucket) {
            Ok(name) => {
                format!("{what} bucket `{name}` is denied; `--allow-kv {name}:{}` would allow it", wanted.as_str())
            }
            Err(_) => format!("{what} `{}` is denied: no bucket can have that name", named(bucket)),
        };
        self.denials.refused(sentence.clone());
        Err(Refused::Denied(sentence))
    }

    fn place_in_bucket(&mut self, bucket: &str, key: &str, wanted: KvAccess) -> Result<Place, Refused> {
        let bucket = self.granted_bucket(bucket, wanted)?;
        let key = KvKey::new(key).map_err(|error| Refused::Invalid(error.to_string()))?;
        Ok((bucket, key))
    }

    /// The entry under a key. What the guest wrote itself has no version yet.
    pub(crate) async fn kv_get(&mut self, bucket: &str, key: &str) -> Result<Option<(Arc<[u8]>, u64)>, Refused> {
        self.work.note(KV_READ);
        let place = self.place_in_bucket(bucket, key, KvAccess::ReadOnly)?;
        if let Some(written) = self.kv.written.get(&place) {
            return Ok(written.value.clone().map(|value| (value, NO_VERSION)));
        }
        let service = Arc::clone(&self.kv.service);
        let found = service.get(&place).await?;
        self.work.note_bytes(found.as_ref().map_or(0, |entry| entry.value.len()));
        Ok(found.map(|entry| (entry.value, entry.version)))
    }

    /// Keys of a bucket, and whether there may be more.
    pub(crate) async fn kv_keys(
        &mut self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<String>, bool), Refused> {
        self.work.note(KV_READ);
        let bucket = self.granted_bucket(bucket, KvAccess::ReadOnly)?;
        let invalid = |error: IdError| Refused::Invalid(error.to_string());
        let after = after.map(KvKey::new).transpose().map_err(invalid)?;
        if prefix.len() > ID_BYTES_MAX || prefix.chars().any(char::is_control) {
            return Err(Refused::Invalid("no key begins like that".to_owned()));
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).clamp(1, PAGE_ROWS_MAX);
        let (mut keys, has_more) = self.merged_keys(&bucket, prefix, after, limit).await?;
        let is_cut = keys.len() > limit;
        keys.truncate(limit);
        self.work.note_bytes(keys.iter().map(String::len).sum());
        Ok((keys, has_more || is_cut))
    }

    /// The stored keys of a page, without those that the guest has deleted, and with those that it has written.
    async fn merged_keys(
        &mut self,
        bucket: &BucketName,
        prefix: &str,
        mut after: Option<KvKey>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), Refused> {
        let service = Arc::clone(&self.kv.service);
        loop {
            let (stored, has_more) = service.keys(bucket, prefix, after.as_ref(), limit).await?;
            // Beyond the last of them, what the guest wrote belongs to a later page.
            let last = stored.last().filter(|_| has_more).cloned();
            let mut keys: BTreeMap<KvKey, bool> = stored.into_iter().map(|key| (key, true)).collect();
            let own = self.kv.written.iter().filter(|((of, key), _)| {
                of == bucket
                    && key.as_str().starts_with(prefix)
                    && after.as_ref().is_none_or(|after| key > after)
                    && last.as_ref().is_none_or(|last| key <= last)
            });
            keys.extend(own.map(|((_, key), written)| (key.clone(), written.value.is_some())));
            let keys: Vec<String> =
                keys.into_iter().filter_map(|(key, is_there)| is_there.then(|| key.to_string())).collect();
            // An empty page would not say where the next one begins.
            if !keys.is_empty() || !has_more {
                return Ok((keys, has_more));
            }
            self.work.note(KV_READ);
            after = last;
        }
    }

    /// Writes a value, or deletes it. `expected`: only if the key has that version.
    pub(crate) async fn kv_write(
        &mut self,
        bucket: &str,
        key: &str,
        value: Option<Vec<u8>>,
        expected: Option<u64>,
    ) -> Result<(), Refused> {
        self.work.note(KV_WRITE);
        self.work.note_bytes(value.as_ref().map_or(0, Vec::len));
        let place = self.place_in_bucket(bucket, key, KvAccess::ReadWrite)?;
        if let Some(bytes) = value.as_ref().map(Vec::len).filter(|bytes| *bytes > KV_VALUE_BYTES_MAX) {
            return Err(Refused::Invalid(format!(
                "a value of {bytes} bytes is larger than the {KV_VALUE_BYTES_MAX} that it may have; files are for larger ones"
            )));
        }
        let own =
            self.kv.written.get(&place).map(|written| (written.bytes(), written.value.is_some(), written.expected));
        if let Some(expected) = expected {
            let found = match own {
                Some(_) => NO_VERSION,
                None => {
                    let service = Arc::clone(&self.kv.service);
                    service.get(&place).await?.map_or(NO_VERSION, |entry| entry.version)
                }
            };
            if found != expected {
                return Err(Refused::Conflict(format!(
                    "key `{}` of bucket `{}` has version {found}, not {expected}",
                    place.1, place.0
                )));
            }
        }
        let bytes = value.as_ref().map_or(0, Vec::len);
        let all = self.kv.bytes - own.map_or(0, |(bytes, ..)| bytes) + bytes;
        if all > KV_WRITTEN_BYTES_MAX {
            return Err(Refused::Quota(format!("one attempt may write {KV_WRITTEN_BYTES_MAX} bytes of values")));
        }
        if own.is_none() && self.kv.written.len() >= KV_WRITES_MAX {
            return Err(Refused::Quota(format!("one attempt may write {KV_WRITES_MAX} keys")));
        }
        let counted = (bytes + place.1.as_str().len() + size_of::<(Place, Written)>()) as u64;
        let kept = self.memory.keep(counted).ok_or_else(|| {
            Refused::Quota("what is written counts as the task's memory, of which it has none left".to_owned())
        })?;
        self.kv.bytes = all;
        // What was expected of the stored value holds still, however often the attempt itself has written since.
        let expected = own.map_or(expected, |(_, _, first)| first);
        let written = Written { value: value.map(Arc::from), expected, _kept: kept };
        self.kv.written.insert(place, written);
        Ok(())
    }
}
