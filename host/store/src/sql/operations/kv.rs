//! Buckets. Whoever writes to some locks them first, in the order of their names, and after any jobs.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::kv::{Writing, refused};
use crate::model::{BucketName, KvEntry, KvKey, KvWrite};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::statements::query::q;
use crate::sql::statements::row::size;
use crate::sql::statements::value::{Arg, Row, args, list, values};
use crate::sql::{SqlStore, read_with, write_with};
use crate::{Defect, GetKv, KeyValue, KvBucket, KvKeyRow, KvPage, ListKv, StoreError, WriteKv, rules};

fn bucket_of(row: &mut Row) -> Result<KvBucket, Defect> {
    Ok(KvBucket { name: row.bucket()?, revision: size(row)?, keys: size(row)?, bytes: size(row)? })
}

pub(super) async fn buckets(tx: &mut Tx) -> Result<Vec<KvBucket>, Fault> {
    let rows = tx.fetch(q::kv_bucket_list, Vec::new()).await?;
    Ok(rows.into_iter().map(|mut row| bucket_of(&mut row)).collect::<Result<_, _>>()?)
}

async fn create(tx: &mut Tx, names: &[BucketName]) -> Result<(), Fault> {
    // In one order, as everyone who touches several.
    let names: BTreeSet<&BucketName> = names.iter().collect();
    let zero = 0_i64;
    tx.execute_rows(q::kv_bucket_insert, names.into_iter().map(|name| values![name, zero, zero, zero]).collect())
        .await?;
    Ok(())
}

async fn get(tx: &mut Tx, request: &GetKv) -> Result<Option<KvEntry>, Fault> {
    let found = tx.fetch_one(q::kv_get, args![&request.bucket, &request.key]).await?;
    Ok(found.map(|mut row| row.kv_entry()).transpose()?)
}

async fn keys(tx: &mut Tx, request: &ListKv) -> Result<KvPage, Fault> {
    let ListKv { bucket, prefix, after, .. } = request;
    let limit = rules::page_limit(request.limit);
    let mut page = KvPage::default();
    let mut after = after.as_ref().map(KvKey::as_str).unwrap_or_default().to_owned();
    // A blank at the end counts for nothing where MySQL compares, so that other keys may stand before those that are wanted.
    let from = prefix.trim_end();
    loop {
        let wanted = limit + 1 - page.keys.len();
        let place = args![bucket, from, after.as_str(), i64::try_from(wanted).unwrap_or(i64::MAX)];
        let rows = tx.fetch(q::kv_keys, place).await?;
        let is_last = rows.len() < wanted;
        for mut row in rows {
            let key = row.kv_key()?;
            key.as_str().clone_into(&mut after);
            if key.as_str().starts_with(prefix) {
                let (value_bytes, version, updated_at) = (size(&mut row)?, size(&mut row)?, row.time()?);
                page.keys.push(KvKeyRow { key, value_bytes, version, updated_at });
            }
        }
        if page.keys.len() > limit {
            page.keys.truncate(limit);
            page.has_more = true;
            return Ok(page);
        }
        if is_last || !after.starts_with(from) {
            return Ok(page);
        }
    }
}

async fn write(tx: &mut Tx, request: &WriteKv) -> Result<(), Fault> {
    let writes = &request.writes;
    let mut writing = lock(tx, places(writes.writes.iter())).await?;
    writing.apply(writes, request.now).map_err(|refusal| refused(&refusal))?;
    store(tx, writing).await
}

/// What is written, by bucket.
pub(super) fn places<'a>(writes: impl Iterator<Item = &'a KvWrite>) -> BTreeMap<&'a BucketName, BTreeSet<&'a KvKey>> {
    let mut places: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for KvWrite { bucket, key, .. } in writes {
        places.entry(bucket).or_default().insert(key);
    }
    places
}

/// Locks buckets, which are made where they are not there, and reads what stands in the places.
pub(super) async fn lock(tx: &mut Tx, places: BTreeMap<&BucketName, BTreeSet<&KvKey>>) -> Result<Writing, Fault> {
    let mut writing = Writing::default();
    if places.is_empty() {
        return Ok(writing);
    }
    let mut rows = tx.fetch(q::kv_bucket_lock, vec![list(places.keys().copied())]).await?;
    if rows.len() < places.len() {
        let names: Vec<BucketName> = places.keys().copied().cloned().collect();
        create(tx, &names).await?;
        rows = tx.fetch(q::kv_bucket_lock, vec![list(places.keys().copied())]).await?;
    }
    for mut row in rows {
        writing.has_bucket(bucket_of(&mut row)?);
    }
    let keys = places.iter().flat_map(|(bucket, keys)| keys.iter().map(|key| values![*bucket, *key])).collect();
    for mut row in tx.fetch_rows(q::kv_sizes, keys).await? {
        writing.has_key(row.bucket()?, row.kv_key()?, size(&mut row)?, size(&mut row)?);
    }
    Ok(writing)
}

/// Stores what has come of it.
pub(super) async fn store(tx: &mut Tx, writing: Writing) -> Result<(), Fault> {
    let (buckets, changed) = writing.done();
    let mut deleted: BTreeMap<&BucketName, Vec<&KvKey>> = BTreeMap::new();
    let mut put = Vec::new();
    for ((bucket, key), entry) in &changed {
        match entry {
            Some(KvEntry { value, version, updated_at }) => {
                put.push(values![bucket, key, &**value, number(*version), *updated_at]);
            }
            None => deleted.entry(bucket).or_default().push(key),
        }
    }
    for (bucket, keys) in deleted {
        let mut arguments = args![bucket];
        arguments.push(list(keys));
        tx.execute(q::kv_delete, arguments).await?;
    }
    tx.execute_rows(q::kv_put, put).await?;
    let rows = buckets
        .iter()
        .map(|bucket| values![&bucket.name, number(bucket.revision), number(bucket.keys), number(bucket.bytes)]);
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        tx.execute(q::kv_bucket_update, vec![Arg::Rows(rows)]).await?;
    }
    Ok(())
}

/// Counts are far below the largest number of a column.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[async_trait]
impl KeyValue for SqlStore {
    async fn kv_buckets(&self) -> Result<Vec<KvBucket>, StoreError> {
        read_with!(self, "kv_buckets", buckets,)
    }

    async fn kv_create(&self, names: Vec<BucketName>) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        write_with!(self, "kv_create", names, create)
    }

    async fn kv_get(&self, request: GetKv) -> Result<Option<KvEntry>, StoreError> {
        read_with!(self, "kv_get", get, &request)
    }

    async fn kv_list(&self, request: ListKv) -> Result<KvPage, StoreError> {
        read_with!(self, "kv_list", keys, &request)
    }

    async fn kv_write(&self, request: WriteKv) -> Result<(), StoreError> {
        write_with!(self, "kv_write", request, write)
    }
}
