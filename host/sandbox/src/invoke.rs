//! One attempt, from an empty store to the verdict.
//!
//! # How a guest is stopped
//!
//! Four layers, each of which catches what the one before cannot:
//!
//! 1. Fuel: the same budget on every machine, checked in compiled code.
//! 2. The epoch: compiled code looks up every few milliseconds, sees that it was killed or its time is over, and
//!    else lets others run.
//! 3. A timeout around everything, which covers the waiting inside host calls, where no guest code runs.
//! 4. The store is dropped, whatever state it is in, and never used again.
//!
//! All of them are armed before the instance is made, because a component's start functions are guest code too.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;

use super::abi::v0_1;
use super::budget::{Budget, Share};
use super::fault::{self, Ending, Phase};
use super::grants::OpenGrants;
use super::http::{HttpLimits, HttpService};
use super::kv::{Kv, KvService};
use super::load::Prepared;
use super::output::{Output, OutputOptions};
use super::processors::TimeSlice;
use super::secrets::{SecretService, Secrets};
use super::state::{Control, Guest, GuestOptions};
use crate::clock::Stopwatch;
use crate::executor::{AttemptClock, Finished, Invocation, Retry, RunControl, Verdict};
use crate::model::{Effects, ErrorKind, JobError, Usage};

/// How long the lines of a guest that has ended may wait for a slow receiver.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// An attempt that can begin.
pub(super) struct Attempt {
    /// What runs.
    pub(super) prepared: Arc<Prepared>,
    /// What it may do.
    pub(super) grants: Arc<OpenGrants>,
    /// Which job it runs, and within which limits.
    pub(super) invocation: Arc<Invocation>,
    /// What ends it.
    pub(super) control: RunControl,
    /// The time.
    pub(super) clock: AttemptClock,
    /// Its place among the instances that may exist at the same time; given back when the instance is gone.
    pub(super) place: OwnedSemaphorePermit,
    /// Its share of the memory that all attempts may have; likewise.
    pub(super) share: Share,
    /// That memory.
    pub(super) budget: Arc<Budget>,
    /// The places for files and connections that all attempts may have open.
    pub(super) file_places: Arc<Semaphore>,
    /// What makes connections.
    pub(super) http: Arc<HttpService>,
    /// What reads buckets.
    pub(super) kv: Arc<KvService>,
    /// What knows secrets.
    pub(super) secrets: Arc<SecretService>,
}

/// Runs an attempt to its end, on the guests' threads.
pub(super) async fn run(attempt: Attempt, slice: TimeSlice) -> Finished {
    let limits = attempt.invocation.limits;
    let output = Output::new(OutputOptions {
        attempt: attempt.invocation.job.attempt,
        bytes_max: limits.log_bytes,
        lines_max: limits.log_lines,
        reports: Some(attempt.control.reports),
        clock: attempt.clock.clone(),
    });
    let elapsed = Stopwatch::start();
    let kill = attempt.control.kill.clone();
    let store = Guest::store(
        attempt.prepared.plugin.engine(),
        GuestOptions {
            grants: attempt.grants,
            memory_bytes: limits.memory_bytes,
            share: attempt.share,
            open_files: limits.open_files,
            file_places: attempt.file_places,
            http: attempt.http,
            http_limits: HttpLimits { connections: limits.http_connections, body_bytes: limits.http_body_bytes },
            kv: Kv::new(attempt.kv, limits.kv_bucket_bytes),
            secrets: Secrets::new(attempt.secrets),
            fuel: limits.fuel,
            result_bytes: limits.result_bytes,
            output: output.clone(),
            clock: attempt.clock.clone(),
            job: Some(Arc::clone(&attempt.invocation)),
            slice,
            control: Control {
                cancel: attempt.control.cancel,
                kill: attempt.control.kill,
                timeout: limits.timeout,
                deadline: attempt.clock.now().saturating_add(limits.timeout),
                elapsed,
            },
        },
    );
    let mut store = match store {
        Ok(store) => store,
        Err(error) => return host_error(&error, elapsed),
    };
    let task = attempt.invocation.runnable.target.function().as_str();
    let call = call(&mut store, &attempt.prepared, task, &attempt.invocation);
    let ending = bounded(call, limits.timeout, async move { kill.cancelled().await }).await;

    output.finish();
    let burned = limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
    let fuel = burned.saturating_add(store.data().work.done()).min(limits.fuel);
    let memory = &store.data().memory;
    let peak_memory_bytes = memory.peak();
    let http = store.data().http_usage();
    if let Some(plugin) = &attempt.invocation.runnable.plugin {
        let was_refused = memory.denied().is_some_and(|denied| denied.by_budget);
        attempt.budget.ended(
            plugin.digest,
            attempt.invocation.runnable.target.function(),
            peak_memory_bytes,
            was_refused,
        );
    }
    let mut verdict = fault::verdict(ending, store.data(), &limits);
    if let Verdict::Failure { error, .. } = &mut verdict {
        output.hide_in(error);
    }
    let effects = match &verdict {
        Verdict::Success(_) => Effects { kv: store.data_mut().kv.take(), ..Effects::default() },
        Verdict::Failure { .. } | Verdict::Cancelled => Effects::default(),
    };
    drop(store);
    drop(attempt.place);
    flush(&output).await;
    let usage = Usage { fuel, peak_memory_bytes, wall: elapsed.elapsed(), http, ..Usage::default() };
    Finished { usage, effects, ..Finished::of(verdict) }
}

/// Instantiates and calls.
async fn call(store: &mut Store<Guest>, prepared: &Prepared, task: &str, invocation: &Invocation) -> Ending {
    let plugin = match prepared.plugin.instantiate_async(&mut *store).await {
        Ok(plugin) => plugin,
        Err(error) => return Ending::Broke(Phase::Instantiation, error),
    };
    store.data().denials.task_begins();
    let args = v0_1::payload_to_guest(&invocation.job.spec.args);
    match plugin.jobs_plugin_tasks().call_run(&mut *store, task, &args).await {
        Ok(result) => {
            let result = result.map(v0_1::payload_from_guest);
            store.data().memory.returned(result.as_ref().map_or(0, |payload| payload.data.len()));
            Ending::Returned(result)
        }
        Err(error) => Ending::Broke(Phase::Call, error),
    }
}

/// Waits for a guest no longer than it may take, and no longer than `stop`.
///
/// A guest that computes is stopped by the epoch; this is for one that waits inside the host.
#[expect(clippy::disallowed_methods, reason = "the home of a guest's deadline; no store call is raced here")]
pub(super) async fn bounded(
    call: impl Future<Output = Ending>,
    timeout: Duration,
    stop: impl Future<Output = ()>,
) -> Ending {
    tokio::select! {
        biased;
        ended = tokio::time::timeout(timeout, call) => ended.unwrap_or(Ending::TimedOut),
        () = stop => Ending::Killed,
    }
}

/// Hands over what the receiver had no room for, and gives up on a receiver that makes none: the attempt is over, and its
/// verdict must not wait for readers of its log.
#[expect(clippy::disallowed_methods, reason = "bounds the wait for a reader of the log; no store call is raced here")]
async fn flush(output: &Output) {
    let (pending, Some(reports)) = output.take_pending() else { return };
    if pending.is_empty() {
        return;
    }
    let count = pending.len();
    let sending = async {
        for report in pending {
            if reports.send(report).await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(FLUSH_MAX, sending).await.is_err() {
        tracing::warn!(reports = count, "the end of a job's log was lost: nobody took it");
    }
}

fn host_error(error: &wasmtime::Error, elapsed: Stopwatch) -> Finished {
    let mut job_error = JobError::new(ErrorKind::HostError, "the host could not prepare the task's sandbox");
    job_error.context = error.chain().map(ToString::to_string).collect();
    finished_without_guest(job_error, Retry::Backoff, elapsed)
}

/// The end of an attempt whose guest never began.
pub(super) fn finished_without_guest(error: JobError, retry: Retry, elapsed: Stopwatch) -> Finished {
    Finished::after(elapsed.elapsed(), Verdict::Failure { error, retry })
}
