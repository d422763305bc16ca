//! A guest that does everything wrong, one task for each fault. For tests of the host only.
//!
//! A fault that the optimiser could see through is hidden from it by [`black_box`].

mod endings;
mod http;
mod kv;
mod output;
mod resources;
mod rights;
mod secrets;

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use guest_sdk::{Context, TaskError, log, task};

/// Does nothing and succeeds.
#[task(max_running_jobs = none)]
fn noop() {}

/// Gives back its argument.
#[task(max_running_jobs = none)]
fn echo(value: serde_json::Value) -> serde_json::Value {
    value
}

/// Gives back what it is told of a job that has ended, as a hook is.
#[task(max_running_jobs = none)]
fn told(job: serde_json::Value) -> serde_json::Value {
    job
}

/// Counts the calls of this instance: always 1, since every attempt has one of its own.
#[task(max_running_jobs = none)]
fn fresh() -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

/// Loops for ever without a host call.
#[task]
fn spin() {
    loop {
        black_box(());
    }
}

/// Sleeps in one host call. `ms` is how long.
#[task(max_running_jobs = none)]
fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Says that it has begun, and loops for ever without a host call.
#[task(max_running_jobs = none)]
fn says_and_spins() {
    log::info!("begun");
    loop {
        black_box(());
    }
}

/// Says that it has begun, and sleeps in one host call. `ms` is how long.
#[task(max_running_jobs = none)]
fn says_and_sleeps(ms: u64) {
    log::info!("begun");
    std::thread::sleep(Duration::from_millis(ms));
}

/// Looks every few milliseconds whether it was cancelled, and then ends in good order.
#[task(max_running_jobs = none)]
fn until_cancelled(ctx: &Context) -> Result<(), TaskError> {
    loop {
        ctx.check()?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says that it was cancelled, though nobody asked it to stop.
#[task]
fn claims_cancelled() -> Result<(), TaskError> {
    Err(TaskError::cancelled())
}

/// Fails in the first `times` attempts, and then gives the number of the attempt.
#[task(max_attempts = 10, backoff(initial = "1ms", max = "2ms", factor = 1, jitter = 0), max_running_jobs = none)]
fn flaky(ctx: &Context, times: u32) -> Result<u32, TaskError> {
    if ctx.attempt() <= times {
        return Err(TaskError::retryable(format!("attempt {} fails", ctx.attempt())).code("flaky"));
    }
    Ok(ctx.attempt())
}

/// Fails in the first attempt and asks for another after `ms`.
#[task(max_attempts = 2)]
fn retry_after(ctx: &Context, ms: u64) -> Result<u32, TaskError> {
    if ctx.attempt() == 1 {
        return Err(TaskError::retry_after(Duration::from_millis(ms), "not yet"));
    }
    Ok(ctx.attempt())
}

/// Fails for good, with a code, two causes and details.
#[task(max_attempts = 5)]
fn permanent() -> Result<(), TaskError> {
    Err(TaskError::permanent("the cause of the cause")
        .context("the cause")
        .context("it cannot be done")
        .code("cannot")
        .details(serde_json::json!({ "since": 1815 })))
}
