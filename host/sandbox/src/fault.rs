//! From the end of a guest to the verdict on the attempt: what happened, in words that name the limit and the flag that
//! moves it, the guest's own words, and its stack.
//!
//! # What is tried again
//!
//! What the guest returned says for itself whether another attempt makes sense. Of the rest everything may be tried again,
//! within the attempts that the job has: limits and faults of the host, as they depend on the moment, and also panics,
//! traps and exits: an `unwrap` on the answer of a flaky service is the most common panic there is, and an author has a way
//! to say "permanent".

use std::time::Duration;

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::abi::v0_1::{Failure, TaskError};
use super::backtrace::{self, is_recursion};
use super::memory::Denied;
use super::output::{PanicRecord, clipped};
use super::state::{Guest, HOSTCALL_BYTES_MAX, Interrupted};
use crate::executor::{Limits, Retry, Verdict, returned};
use crate::model::limits::{ERROR_CONTEXT_MAX, MESSAGE_BYTES_MAX};
use crate::model::{ErrorKind, JobError, Payload};

/// What a call to the host is refused with that carries too much; the error has no type of its own.
const TOO_MUCH_DATA: &str = "fuel allocated for hostcalls has been exhausted";

/// How a guest ended.
pub(super) enum Ending {
    /// By itself, with a result or an error of its own.
    Returned(Result<Payload, TaskError>),
    /// By a trap, an exit or a limit.
    Broke(Phase, wasmtime::Error),
    /// The time limit ran out while it waited for the host.
    TimedOut,
    /// It was killed while it waited for the host.
    Killed,
}

/// How far an attempt had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its instance was being made.
    Instantiation,
    /// A function of its was called, or what that returned was read.
    Call,
}

/// The verdict on an attempt that ended like this.
pub(super) fn verdict(ending: Ending, guest: &Guest, limits: &Limits) -> Verdict {
    match ending {
        Ending::Returned(Ok(payload)) if payload.data.len() > limits.result_bytes => {
            failure(result_too_large(Some(payload.data.len()), limits), Retry::Backoff)
        }
        Ending::Returned(Ok(payload)) => match returned::check(&payload) {
            Ok(()) => Verdict::Success(payload),
            Err(error) => failure(error, Retry::Backoff),
        },
        Ending::Returned(Err(error)) => refused(error, guest),
        Ending::TimedOut => failure(timed_out(limits), Retry::Backoff),
        // Somebody asked for that, else it would not have been killed.
        Ending::Killed => Verdict::Cancelled,
        Ending::Broke(phase, error) => match error.downcast_ref::<Interrupted>() {
            Some(Interrupted::TimedOut) => failure(with_stack(timed_out(limits), &error), Retry::Backoff),
            Some(Interrupted::Killed) => Verdict::Cancelled,
            None => broke(phase, &error, guest, limits),
        },
    }
}

fn failure(error: JobError, retry: Retry) -> Verdict {
    Verdict::Failure { error, retry }
}

/// The guest's own error.
fn refused(error: TaskError, guest: &Guest) -> Verdict {
    let (words, retry) = match error {
        TaskError::Cancelled if guest.control.cancel.is_cancelled() || guest.control.kill.is_cancelled() => {
            return Verdict::Cancelled;
        }
        TaskError::Cancelled => {
            let error =
                JobError::new(ErrorKind::GuestError, "the task says it was cancelled, but nobody had asked for that");
            return failure(error, Retry::Never);
        }
        TaskError::InvalidArgs(words) => {
            (Failure { message: format!("invalid arguments: {}", words.message), ..words }, Retry::Never)
        }
        TaskError::Permanent(words) => (words, Retry::Never),
        TaskError::Retryable(words) => (words, Retry::Backoff),
        TaskError::RetryAfter(later) => (later.failure, Retry::After(Duration::from_millis(later.delay_ms))),
    };
    let mut error = JobError::new(ErrorKind::GuestError, clipped(words.message, MESSAGE_BYTES_MAX));
    error.context = words.context.into_iter().map(|cause| clipped(cause, MESSAGE_BYTES_MAX)).collect();
    error.context.extend(words.code.map(|code| clipped(format!("code: {code}"), MESSAGE_BYTES_MAX)));
    error.context.extend(words.details.map(|details| clipped(format!("details: {details}"), MESSAGE_BYTES_MAX)));
    if let Some(denied) = guest.memory.denied() {
        error.context.push(format!(
            "it had {} of memory and was refused {}",
            size(guest.memory.used()),
            size(denied.wanted)
        ));
    }
    error.context.truncate(ERROR_CONTEXT_MAX);
    failure(explain_denial(error, guest), retry)
}

/// A trap, an exit or a limit.
fn broke(phase: Phase, error: &wasmtime::Error, guest: &Guest, limits: &Limits) -> Verdict {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        let message = format!("the task ended its process with exit code {} instead of returning", exit.0);
        let error = with_stack(JobError::new(ErrorKind::Exited, message), error);
        return failure(explain_denial(error, guest), Retry::Backoff);
    }
    let trap = error.downcast_ref::<Trap>().copied();
    if trap == Some(Trap::OutOfFuel) {
        let message = format!("the attempt used up its fuel ({} units); `--fuel` gives it more", limits.fuel);
        return failure(with_stack(JobError::new(ErrorKind::OutOfFuel, message), error), Retry::Backoff);
    }
    if let Some(record) = guest.output.panic() {
        return panicked(record, error, guest);
    }
    if let Some(denied) = guest.memory.denied() {
        return failure(with_stack(out_of_memory(denied, guest, limits), error), Retry::Backoff);
    }
    if error.chain().any(|cause| cause.to_string().contains(TOO_MUCH_DATA)) {
        return failure(with_stack(too_much_data(error, limits), error), Retry::Backoff);
    }
    if trap == Some(Trap::UnreachableCodeReached)
        && let Some(record) = guest.output.panic_on_stderr()
    {
        return panicked(record, error, guest);
    }
    if let Some(trap) = trap {
        let words = if is_recursion(trap, error) { in_plain_words(Trap::StackOverflow) } else { in_plain_words(trap) };
        let message = format!("the task trapped: {words}");
        return failure(with_stack(JobError::new(ErrorKind::Trap, message), error), Retry::Backoff);
    }
    failure(with_stack(other(phase, error), error), Retry::Backoff)
}

fn panicked(record: PanicRecord, error: &wasmtime::Error, guest: &Guest) -> Verdict {
    let message = match record.place {
        Some(place) => format!("the task panicked at {place}: {}", record.message),
        None => format!("the task panicked: {}", record.message),
    };
    let error = with_stack(JobError::new(ErrorKind::Panic, clipped(message, MESSAGE_BYTES_MAX)), error);
    failure(explain_denial(error, guest), Retry::Backoff)
}

/// An error that is no trap: a host function refused what the guest asked, or what the guest returned is not what it says it is, or else
/// the host itself fails.
fn other(phase: Phase, error: &wasmtime::Error) -> JobError {
    let is_inside_guest = error.downcast_ref::<WasmBacktrace>().is_some();
    let (kind, message) = if is_inside_guest {
        (ErrorKind::Trap, "the task made a call that the host had to refuse")
    } else if phase == Phase::Call && !is_want_of_resources(error) {
        (ErrorKind::Trap, "the task broke the canonical ABI: what it returned cannot be read from its memory")
    } else {
        (ErrorKind::HostError, "the host could not run the task")
    };
    let mut job_error = JobError::new(kind, message);
    job_error.context = causes(error);
    job_error
}

/// Whether the system, or the pool of instances, had no room for a call. Of what can go wrong while no guest code runs, the rest is the
/// guest's: its addresses, its variants, its texts.
fn is_want_of_resources(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::PoolConcurrencyLimitError>()
        || error.is::<wasmtime::OutOfMemory>()
        || error.chain().any(|cause| cause.is::<std::io::Error>())
}

/// The causes of an error, without the stack, which is among them.
fn causes(error: &wasmtime::Error) -> Vec<String> {
    let texts =
        error.chain().map(ToString::to_string).filter(|text| !text.starts_with("error while executing at wasm"));
    texts.take(ERROR_CONTEXT_MAX).map(|text| clipped(text, MESSAGE_BYTES_MAX)).collect()
}

fn timed_out(limits: &Limits) -> JobError {
    let limit = span(limits.timeout);
    JobError::new(
        ErrorKind::TimedOut,
        format!("the attempt reached its time limit of {limit}; `--timeout` gives it more"),
    )
}

fn out_of_memory(denied: Denied, guest: &Guest, limits: &Limits) -> JobError {
    let message = if denied.by_budget {
        "the task asked for memory that it may have, and all jobs together use what there is; `--max-memory` gives them more".to_owned()
    } else {
        let limit = size(limits.memory_bytes);
        format!("the task asked for more memory than the {limit} it may have; `--memory` gives it more")
    };
    let mut error = JobError::new(ErrorKind::OutOfMemory, message);
    error.context.push(format!("it had {} and wanted {}", size(guest.memory.used()), size(denied.wanted)));
    error
}

fn too_much_data(error: &wasmtime::Error, limits: &Limits) -> JobError {
    if error.downcast_ref::<WasmBacktrace>().is_none() {
        // Without a stack no guest code was running: what was too much is what it returned.
        return result_too_large(None, limits);
    }
    let max = size(HOSTCALL_BYTES_MAX as u64);
    JobError::new(ErrorKind::Trap, format!("the task handed more than {max} to the host in one call"))
}

fn result_too_large(bytes: Option<usize>, limits: &Limits) -> JobError {
    let max = size(limits.result_bytes as u64);
    let message = match bytes {
        Some(bytes) => {
            format!("the task's result of {} is larger than the {max} that results may have", size(bytes as u64))
        }
        None => format!("what the task returned is too large to be read; results may have {max}, and errors less"),
    };
    JobError::new(ErrorKind::ResultTooLarge, message)
}

/// A span as the flag takes it: in hours, minutes, seconds or milliseconds, the largest that leaves it whole.
fn span(span: Duration) -> String {
    match span.as_millis() {
        0 => "0s".to_owned(),
        millis if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        millis if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        millis if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}

/// A size in the largest unit that leaves it whole, or in bytes.
fn size(bytes: u64) -> String {
    match bytes {
        0 => "0 bytes".to_owned(),
        bytes if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        bytes if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        bytes if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

/// Says what was denied to a guest that failed, and makes the denial the kind of its failure if it was the last thing that the
/// guest asked for; see [`super::denials`].
fn explain_denial(mut error: JobError, guest: &Guest) -> JobError {
    if guest.denials.is_last() {
        error.kind = ErrorKind::Denied;
    }
    let is_named = |denial: &String| error.message.contains(denial) || error.context.contains(denial);
    let missing: Vec<String> = guest.denials.sentences().into_iter().filter(|denial| !is_named(denial)).collect();
    // What was denied helps more than the last of many causes.
    error.context.truncate(ERROR_CONTEXT_MAX.saturating_sub(missing.len()));
    error.context.extend(missing);
    error
}

fn with_stack(mut error: JobError, cause: &wasmtime::Error) -> JobError {
    error.backtrace = backtrace::of(cause);
    error
}

fn in_plain_words(trap: Trap) -> String {
    let words = match trap {
        Trap::StackOverflow => "it recursed too deeply, its stack is used up",
        Trap::MemoryOutOfBounds => "it read or wrote outside its memory",
        Trap::TableOutOfBounds => "it called a function through an index that does not exist",
        Trap::IndirectCallToNull => "it called a function through an empty table entry",
        Trap::BadSignature => "it called a function through a pointer of another type",
        Trap::IntegerOverflow => "an integer operation overflowed",
        Trap::IntegerDivisionByZero => "it divided an integer by zero",
        Trap::BadConversionToInteger => "it converted a number that is no integer, or too large for one",
        Trap::UnreachableCodeReached => "it aborted (`unreachable` was executed)",
        Trap::CannotEnterComponent => "it was called while it was already running",
        Trap::CannotLeaveComponent => "it called the host from where that is not allowed",
        other => return other.to_string(),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_told_in_the_unit_they_were_given_in() {
        let shown: Vec<String> = [0, 1000, 1024, 256 << 20, 2 << 30].map(size).into();
        assert_eq!(shown, ["0 bytes", "1000 bytes", "1 KiB", "256 MiB", "2 GiB"]);
        let shown: Vec<String> = [250, 90_000, 300_000, 7_200_000].map(|ms| span(Duration::from_millis(ms))).into();
        assert_eq!(shown, ["250ms", "90s", "5m", "2h"]);
    }
}
