//! What plugins keep between jobs.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::call::{Answered, Call, answer};
use super::super::route::{Access, Body, Route};
use super::list::{self, CURSOR, LIMIT, Page};
use crate::app::SetKv;
use crate::model::Permission::{Admin, Read};
use crate::model::{BucketName, KvKey};
use crate::store::ListKv;
use crate::wire::{self, BucketWire, KeyWire, ValueWire};

const VERSION: (&str, &str) = ("version", "only if the key has this version; 0 if it must not exist");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/kv", Access::Needs(Read), "List buckets", buckets).answers::<Page<Vec<BucketWire>>>(&[200]),
        Route::get("/api/v1/kv/{bucket}", Access::Needs(Read), "List the keys of a bucket", keys)
            .query(&[("prefix", "only keys that begin with this"), LIMIT, CURSOR])
            .answers::<Page<Vec<KeyWire>>>(&[200]),
        Route::get("/api/v1/kv/{bucket}/{key}", Access::Needs(Read), "The value under a key", get)
            .answers::<ValueWire>(&[200]),
        Route::put("/api/v1/kv/{bucket}/{key}", Admin, "Write a value", set)
            .takes(Body::Value)
            .query(&[VERSION])
            .answers::<KeySet>(&[200]),
        Route::delete("/api/v1/kv/{bucket}/{key}", "Delete a key", delete)
            .query(&[VERSION])
            .answers::<KeyDeleted>(&[200]),
    ]
}

#[derive(Serialize, JsonSchema)]
struct KeySet {
    bucket: String,
    key: String,
    version: u64,
}

#[derive(Serialize, JsonSchema)]
struct KeyDeleted {
    bucket: String,
    key: String,
    deleted: bool,
}

async fn buckets(call: Call) -> Answered {
    let buckets = call.app().kv_buckets().await?;
    list::page(&buckets.iter().map(wire::kv_bucket).collect::<Vec<_>>(), None, &[])
}

async fn keys(call: Call) -> Answered {
    let (bucket, limit) = (call.path::<BucketName>("bucket")?, list::limit(&call.query)?);
    let prefix = call.query.one("prefix")?.unwrap_or_default().to_owned();
    let after = list::cursor::<KvKey>(&call.query)?;
    let page = call.app().kv_list(ListKv { bucket, prefix, after, limit }).await?;
    let last = page.keys.last().filter(|_| page.has_more);
    list::page(&page.keys.iter().map(wire::kv_key).collect::<Vec<_>>(), last.map(|row| row.key.as_str()), &[])
}

async fn get(call: Call) -> Answered {
    answer(&wire::kv_value(&call.app().kv_get(&call.path("bucket")?, &call.path("key")?).await?))
}

async fn set(call: Call) -> Answered {
    let (bucket, key) = (call.path::<BucketName>("bucket")?, call.path::<KvKey>("key")?);
    let (version, value) = (call.query.parsed("version")?, Some(call.body.to_vec()));
    call.app().kv_set(SetKv { bucket: bucket.clone(), key: key.clone(), value, version }).await?;
    let stored = call.app().kv_get(&bucket, &key).await?;
    answer(&KeySet { bucket: bucket.to_string(), key: key.to_string(), version: stored.entry.version })
}

async fn delete(call: Call) -> Answered {
    let (bucket, key) = (call.path::<BucketName>("bucket")?, call.path::<KvKey>("key")?);
    let answered = KeyDeleted { bucket: bucket.to_string(), key: key.to_string(), deleted: true };
    call.app().kv_set(SetKv { bucket, key, value: None, version: call.query.parsed("version")? }).await?;
    answer(&answered)
}
