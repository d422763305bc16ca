//! `host kv`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::input::read_bytes;
use super::output::time;
use super::settings_file::parse_positive;
use crate::app::{AppError, KvValue, SetKv};
use crate::config::units::format_size;
use crate::model::limits::KV_VALUE_BYTES_MAX;
use crate::model::{BucketName, KvKey};
use crate::store::{KvBucket, KvKeyRow, ListKv};
use crate::wire;

/// A byte more than a value may have, so that one that is too long is seen.
const READ_MAX: u64 = KV_VALUE_BYTES_MAX as u64 + 1;

#[derive(Debug, Args)]
pub(super) struct KvArgs {
    #[command(subcommand)]
    command: Option<KvCommand>,
}

#[derive(Debug, Subcommand)]
enum KvCommand {
    /// List buckets (also without any subcommand), or the keys of one
    List(ListArgs),
    /// Print the value under a key
    Get {
        /// The bucket
        bucket: BucketName,
        /// The key
        key: KvKey,
    },
    /// Write a value; jobs that read it afterwards see it
    Set(SetArgs),
    /// Delete a key
    Delete {
        /// The bucket
        bucket: BucketName,
        /// The key
        key: KvKey,
        /// Only if the key has this version
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
}

#[derive(Debug, Default, Args)]
struct ListArgs {
    /// The bucket
    bucket: Option<BucketName>,
    /// Only keys that begin with this
    #[arg(long, value_name = "TEXT", default_value = "", requires = "bucket", hide_default_value = true)]
    prefix: String,
    /// Only keys after this one
    #[arg(long, value_name = "KEY", requires = "bucket")]
    after: Option<KvKey>,
    /// At most this many
    #[arg(short, long = "limit", value_name = "N", default_value_t = 1_000, value_parser = parse_positive)]
    n: usize,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// The bucket
    bucket: BucketName,
    /// The key
    key: KvKey,
    /// The value; `-` reads it from standard input
    #[arg(required_unless_present = "from_file", conflicts_with = "from_file", allow_hyphen_values = true)]
    value: Option<String>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Only if the key has this version; 0 if it must not exist
    #[arg(long, value_name = "N")]
    version: Option<u64>,
}

pub(super) async fn run(context: &mut Context, args: KvArgs) -> Outcomes {
    match args.command.unwrap_or_else(|| KvCommand::List(ListArgs::default())) {
        KvCommand::List(ListArgs { bucket: None, .. }) => buckets(context).await,
        KvCommand::List(ListArgs { bucket: Some(bucket), prefix, after, n }) => {
            keys(context, ListKv { bucket, prefix, after, limit: n }).await
        }
        KvCommand::Get { bucket, key } => get(context, &bucket, &key).await,
        KvCommand::Set(args) => set(context, args).await,
        KvCommand::Delete { bucket, key, version } => {
            let (shown_bucket, shown_key) = (bucket.clone(), key.clone());
            context.app().await?.kv_set(SetKv { bucket, key, value: None, version }).await?;
            if context.out.json {
                let answer = json!({"bucket": shown_bucket.as_str(), "key": shown_key.as_str(), "deleted": true});
                return Ok(context.out.json(&answer)?);
            }
            Ok(context.out.line(&format!("key `{shown_key}` of bucket `{shown_bucket}` is deleted"))?)
        }
    }
}

async fn buckets(context: &mut Context) -> Outcomes {
    let buckets = context.app().await?.kv_buckets().await?;
    if context.out.json {
        return Ok(context.out.json(&buckets.iter().map(wire::kv_bucket).collect::<Vec<_>>())?);
    }
    if buckets.is_empty() {
        return Ok(context.out.note("no plugin has been granted a bucket")?);
    }
    let row = |bucket: &KvBucket| vec![bucket.name.to_string(), bucket.keys.to_string(), format_size(bucket.bytes)];
    Ok(context.out.table(&["BUCKET", "KEYS", "SIZE"], buckets.iter().map(row).collect())?)
}

async fn keys(context: &mut Context, request: ListKv) -> Outcomes {
    let (app, mut left, mut request) = (context.app().await?, request.limit, request);
    let (mut keys, mut has_more) = (Vec::new(), true);
    while left > 0 && has_more {
        let page = app.kv_list(ListKv { limit: left, ..request.clone() }).await?;
        left -= page.keys.len().min(left);
        has_more = page.has_more;
        request.after = page.keys.last().map(|row| row.key.clone()).or(request.after);
        keys.extend(page.keys);
    }
    if context.out.json {
        context.out.json(&keys.iter().map(wire::kv_key).collect::<Vec<_>>())?;
    } else if keys.is_empty() {
        context.out.note("no such keys")?;
    } else {
        let row = |row: &KvKeyRow| {
            vec![row.key.to_string(), row.value_bytes.to_string(), row.version.to_string(), time(row.updated_at)]
        };
        context.out.table(&["KEY", "BYTES", "VERSION", "UPDATED"], keys.iter().map(row).collect())?;
    }
    match keys.last().filter(|_| has_more) {
        Some(last) => Ok(context.out.note(&format!("there are more: --after '{}', or a larger --limit", last.key))?),
        None => Ok(()),
    }
}

async fn get(context: &mut Context, bucket: &BucketName, key: &KvKey) -> Outcomes {
    let stored = context.app().await?.kv_get(bucket, key).await?;
    if context.out.json {
        return Ok(context.out.json(&wire::kv_value(&stored))?);
    }
    match std::str::from_utf8(&stored.entry.value).ok() {
        Some(text) => Ok(context.out.line(text)?),
        None => {
            Err(Failure::App(AppError::refused("the value is no text").with_hint("--json prints it, in hexadecimal")))
        }
    }
}

async fn set(context: &mut Context, args: SetArgs) -> Outcomes {
    let SetArgs { bucket, key, value, from_file, version } = args;
    let value = match (value, from_file) {
        (Some(text), _) if text == "-" => read_bytes(None, READ_MAX)?,
        (Some(text), _) => text.into_bytes(),
        (None, Some(file)) => read_bytes(Some(file), READ_MAX)?,
        (None, None) => Vec::new(),
    };
    let app = context.app().await?;
    app.kv_set(SetKv { bucket: bucket.clone(), key: key.clone(), value: Some(value), version }).await?;
    if context.out.json {
        let KvValue { entry, .. } = app.kv_get(&bucket, &key).await?;
        let answer = json!({"bucket": bucket.as_str(), "key": key.as_str(), "version": entry.version});
        return Ok(context.out.json(&answer)?);
    }
    Ok(context.out.line(&format!("key `{key}` of bucket `{bucket}` is written"))?)
}
