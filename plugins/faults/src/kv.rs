//! Buckets, by guests that want more of them than they should.

use guest_sdk::{Context, TaskError, kv, task};
use serde_json::Value;

/// The value under a key.
#[task(max_running_jobs = none)]
fn reads_key(bucket: String, key: String) -> Result<Option<Value>, kv::Error> {
    kv::bucket(bucket).get(&key)
}

/// Writes a value, reads it back, and answers with it.
#[task(max_running_jobs = none)]
fn writes_key(bucket: String, key: String, value: Value) -> Result<Option<Value>, kv::Error> {
    let bucket = kv::bucket(bucket);
    bucket.set(&key, &value)?;
    bucket.get(&key)
}

/// The keys that begin with a text, after some were written and others deleted.
#[task(max_running_jobs = none)]
fn lists_keys(
    bucket: String,
    prefix: String,
    #[arg(default)] writes: Vec<String>,
    #[arg(default)] deletes: Vec<String>,
) -> Result<Vec<String>, kv::Error> {
    let bucket = kv::bucket(bucket);
    for key in writes {
        bucket.set(&key, &1)?;
    }
    for key in deletes {
        bucket.delete(&key)?;
    }
    bucket.keys(&prefix)
}

/// Writes a value of so many bytes.
#[task(max_running_jobs = none)]
fn writes_large_value(bucket: String, bytes: usize) -> Result<(), kv::Error> {
    kv::bucket(bucket).set_bytes("large", vec![b'x'; bytes])
}

/// Writes so many keys of so many bytes each.
#[task(max_running_jobs = none)]
fn writes_many_keys(bucket: String, keys: usize, bytes: usize) -> Result<(), kv::Error> {
    let bucket = kv::bucket(bucket);
    (0..keys).try_for_each(|key| bucket.set_bytes(&format!("key {key}"), vec![b'x'; bytes]))
}

/// Reads a key without end.
#[task]
fn reads_key_forever(bucket: String) -> Result<(), kv::Error> {
    let bucket = kv::bucket(bucket);
    loop {
        bucket.get_bytes("key")?;
    }
}

/// Adds one to a number in each attempt, fails after it in the first ones, and answers with the number.
#[task(max_attempts = 10, backoff(initial = "1ms", max = "2ms", factor = 1, jitter = 0), max_running_jobs = none)]
fn counts_and_fails(ctx: &Context, bucket: String, times: u32) -> Result<u64, TaskError> {
    let bucket = kv::bucket(bucket);
    let count = bucket.get::<u64>("count")?.unwrap_or(0) + 1;
    bucket.set("count", &count)?;
    if ctx.attempt() <= times {
        return Err(TaskError::retryable(format!("attempt {} fails", ctx.attempt())));
    }
    Ok(count)
}

/// Adds one to a number, and waits between reading and writing it. `careful`: not if somebody else has written it since.
#[task(max_attempts = 20, backoff(initial = "5ms", max = "50ms", factor = 2, jitter = 0.5), max_running_jobs = none)]
fn counts_slowly(bucket: String, careful: bool, ms: u64) -> Result<u64, kv::Error> {
    let bucket = kv::bucket(bucket);
    let (count, version) = match bucket.entry::<u64>("count")? {
        Some(entry) => (entry.value + 1, entry.version),
        None => (1, kv::NO_VERSION),
    };
    if careful {
        bucket.set_if("count", version, &count)?;
    } else {
        bucket.set("count", &count)?;
    }
    std::thread::sleep(std::time::Duration::from_millis(ms));
    Ok(count)
}

/// Writes a key, and ends otherwise than by returning.
#[task(max_running_jobs = none)]
#[expect(clippy::disallowed_methods, reason = "this is the fault")]
fn writes_key_and_ends(bucket: String, how: String) -> Result<(), TaskError> {
    kv::bucket(bucket).set("left behind", &1)?;
    match &*how {
        "panic" => panic!("after writing"),
        "exit" => std::process::exit(0),
        "sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(600));
            Ok(())
        }
        _ => Err(TaskError::permanent("after writing")),
    }
}
