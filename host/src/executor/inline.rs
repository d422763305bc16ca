//! Runs Rust closures of the embedding program as tasks.
//!
//! The same contract as the sandbox keeps, as far as it can be kept for code that nobody can interrupt: a time limit,
//! cancelling and a stop take effect where the closure awaits; a panic ends its own attempt only; the result's size is
//! limited. Fuel and memory are not metered. A closure that computes or blocks for long must move that to a thread of its
//! own, for it holds one of the scheduler's.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{AttemptClock, Executor, Finished, Invocation, Offers, Report, Retry, RunControl, Verdict, returned};
use crate::clock::{Clock, Stopwatch};
use crate::model::limits::LOG_LINE_BYTES_MAX;
use crate::model::{Encoding, ErrorKind, Job, JobError, LogLevel, LogLine, Payload, Progress, Target, TaskName};

/// A failure that a native task returns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NativeError {
    /// What went wrong, in one line.
    pub message: String,
    /// What caused it, outermost first.
    pub context: Vec<String>,
    /// Whether another attempt may help.
    pub retry: Retry,
}

impl NativeError {
    /// A failure that would come again.
    pub fn permanent(message: impl Into<String>) -> NativeError {
        NativeError { message: message.into(), context: Vec::new(), retry: Retry::Never }
    }

    /// A failure that may be gone later.
    pub fn retryable(message: impl Into<String>) -> NativeError {
        NativeError { message: message.into(), context: Vec::new(), retry: Retry::Backoff }
    }
}

/// What a native task may know of its job, and say while it runs. Clones speak for the same attempt.
#[derive(Clone)]
pub struct NativeContext(Arc<Inner>);

struct Inner {
    invocation: Invocation,
    control: RunControl,
    clock: AttemptClock,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    count: u32,
    bytes: usize,
    dropped: u64,
}

impl NativeContext {
    /// The job.
    pub fn job(&self) -> &Job {
        &self.0.invocation.job
    }

    /// Fires when the attempt is asked to stop.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.0.control.cancel
    }

    /// The time until the attempt is stopped.
    pub fn remaining(&self) -> Duration {
        self.0.invocation.limits.timeout.saturating_sub(self.0.clock.elapsed())
    }

    /// Writes a line to the job's log. What is over its limits, or finds no room, is counted and dropped.
    pub fn log(&self, level: LogLevel, message: &str) {
        let limits = &self.0.invocation.limits;
        let mut lines = self.0.lines();
        let message = &message[..message.floor_char_boundary(LOG_LINE_BYTES_MAX)];
        let fits = (lines.count as usize) < limits.log_lines && lines.bytes + message.len() <= limits.log_bytes;
        let permit = if fits { self.0.control.reports.try_reserve().ok() } else { None };
        let Some(permit) = permit else {
            lines.dropped += 1;
            return;
        };
        permit.send(Report::Line(self.0.line(&mut lines, level, "native", message)));
    }

    /// Says how far the task has come. It may be passed over while earlier reports wait.
    pub fn progress(&self, done: u64, total: Option<u64>, note: &str) {
        let progress = Progress { done, total, note: note.to_owned() };
        // Only the latest counts, and a later one will come: no room is no loss.
        let _passed_over = self.0.control.reports.try_send(Report::Progress(progress));
    }
}

impl Inner {
    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        // The counters are right between any two statements.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, lines: &mut Lines, level: LogLevel, target: &str, message: &str) -> LogLine {
        let sequence = lines.count;
        lines.count = lines.count.saturating_add(1);
        lines.bytes += message.len();
        LogLine {
            attempt: self.invocation.job.attempt,
            sequence,
            at: self.clock.now(),
            level,
            target: target.to_owned(),
            message: message.to_owned(),
            fields: Vec::new(),
        }
    }

    /// Tells how many lines were dropped, where the receiver has room for that.
    fn tell_dropped(&self) {
        let mut lines = self.lines();
        let dropped = lines.dropped;
        if dropped > 0
            && let Ok(permit) = self.control.reports.try_reserve()
        {
            let message = format!("{dropped} more lines were dropped");
            permit.send(Report::Line(self.line(&mut lines, LogLevel::Warn, "host", &message)));
        }
    }
}

type NativeTask =
    Arc<dyn Fn(NativeContext, Value) -> BoxFuture<'static, Result<Value, NativeError>> + Send + Sync + 'static>;

/// Runs closures by their names.
pub struct InlineExecutor {
    tasks: HashMap<TaskName, NativeTask>,
    clock: Arc<dyn Clock>,
}

impl InlineExecutor {
    /// An executor without tasks.
    pub fn new(clock: Arc<dyn Clock>) -> InlineExecutor {
        InlineExecutor { tasks: HashMap::new(), clock }
    }

    /// Adds a task, in the place of one that had its name.
    #[must_use]
    pub fn with<F, R>(mut self, name: TaskName, task: F) -> InlineExecutor
    where
        F: Fn(NativeContext, Value) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value, NativeError>> + Send + 'static,
    {
        self.tasks.insert(name, Arc::new(move |context, args| task(context, args).boxed()));
        self
    }

    /// The names of the tasks, in no order.
    pub fn names(&self) -> impl Iterator<Item = &TaskName> {
        self.tasks.keys()
    }

    fn task(&self, target: &Target) -> Option<NativeTask> {
        match target {
            Target::Native { function } => self.tasks.get(function).cloned(),
            Target::Plugin { .. } => None,
        }
    }
}

#[async_trait]
impl Executor for InlineExecutor {
    async fn run(&self, invocation: Invocation, control: RunControl) -> Finished {
        let elapsed = Stopwatch::start();
        let verdict = match (self.task(&invocation.runnable.target), arguments(&invocation.job.spec.args)) {
            (None, _) => failure(ErrorKind::PluginUnavailable, unknown(&invocation.runnable.target), Retry::Backoff),
            (_, Err(message)) => failure(ErrorKind::GuestError, message, Retry::Never),
            (Some(_), Ok(_)) if !control.may_begin.ask() => Verdict::Cancelled,
            (Some(task), Ok(args)) => {
                let clock = AttemptClock::begin(Arc::clone(&self.clock), invocation.started_at);
                attempt(&*task, args, Arc::new(Inner { invocation, control, clock, lines: Mutex::default() })).await
            }
        };
        Finished::after(elapsed.elapsed(), verdict)
    }

    fn offers(&self) -> Offers {
        Offers::Functions(self.tasks.keys().cloned().collect())
    }
}

async fn attempt(
    task: &(dyn Fn(NativeContext, Value) -> BoxFuture<'static, Result<Value, NativeError>> + Send + Sync),
    args: Value,
    inner: Arc<Inner>,
) -> Verdict {
    let context = NativeContext(Arc::clone(&inner));
    // Making the future is the closure's code too, and may panic. After a panic nothing of the task is used again.
    let running = AssertUnwindSafe(async move { task(context, args).await }).catch_unwind();
    let verdict = tokio::select! {
        biased;
        () = inner.control.kill.cancelled() => Verdict::Cancelled,
        end = running => match end {
            Ok(result) => ended(result, &inner),
            Err(panic) => {
                let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                failure(ErrorKind::Panic, format!("the task panicked: {message}"), Retry::Backoff)
            }
        },
        () = inner.clock.wait_for(inner.invocation.limits.timeout) => {
            let message = format!("the attempt reached its time limit of {:?}", inner.invocation.limits.timeout);
            failure(ErrorKind::TimedOut, message, Retry::Backoff)
        }
    };
    inner.tell_dropped();
    verdict
}

fn ended(result: Result<Value, NativeError>, inner: &Inner) -> Verdict {
    match result {
        Ok(value) => {
            let payload = Payload::json(&value);
            let (size, max) = (payload.data.len(), inner.invocation.limits.result_bytes);
            if size > max {
                let message = format!("the task's result has {size} bytes; results may have {max}");
                return failure(ErrorKind::ResultTooLarge, message, Retry::Backoff);
            }
            match returned::check(&payload) {
                Ok(()) => Verdict::Success(payload),
                Err(error) => Verdict::Failure { error, retry: Retry::Backoff },
            }
        }
        // It was asked to stop and gave up: that is what was wanted.
        Err(_) if inner.control.cancel.is_cancelled() => Verdict::Cancelled,
        Err(NativeError { message, context, retry }) => {
            let error = JobError { context, ..JobError::new(ErrorKind::GuestError, message) };
            Verdict::Failure { error: error.within_bounds(), retry }
        }
    }
}

fn failure(kind: ErrorKind, message: String, retry: Retry) -> Verdict {
    Verdict::Failure { error: JobError::new(kind, message).within_bounds(), retry }
}

fn unknown(target: &Target) -> String {
    match target {
        Target::Native { function } => format!("this program has no native task `{function}`"),
        Target::Plugin { plugin, function } => {
            format!("`{plugin}:{function}` is a plugin's task, which runs in the sandbox")
        }
    }
}

fn arguments(args: &Payload) -> Result<Value, String> {
    let value = match args.encoding {
        Encoding::Json => serde_json::from_slice(&args.data).map_err(|error| error.to_string()),
        Encoding::Cbor => ciborium::from_reader(&*args.data).map_err(|error| error.to_string()),
    };
    value.map_err(|error| format!("invalid arguments: {error}"))
}
