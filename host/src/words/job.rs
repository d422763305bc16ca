//! Jobs and what they cost.

use std::time::Duration;

use super::text::plural;
use crate::config::units::{format_duration, format_size};
#[cfg(feature = "cli")]
use crate::model::Progress;
use crate::model::{HttpUsage, Job, Usage};
use crate::wire::payload_value;

/// A measured span for people: to a tenth of a millisecond at most.
pub(crate) fn readable(span: Duration) -> String {
    if span.as_millis() >= 10_000 {
        return format_duration(Duration::from_secs(span.as_secs()));
    }
    let tenths = span.as_micros() / 100;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

/// What came of a job, in a line.
pub(crate) fn ending(job: &Job) -> String {
    match (&job.result, &job.error) {
        (Some(result), _) => payload_value(result).map_or_else(|fault| fault, |value| value.to_string()),
        (None, Some(error)) => format!("{}: {}", error.kind, error.message),
        (None, None) => String::new(),
    }
}

/// How far a job is, by its own account.
#[cfg(feature = "cli")]
pub(crate) fn progress(progress: &Progress) -> String {
    match progress.total {
        Some(total) => format!("{} of {total} {}", progress.done, progress.note),
        None => format!("{} {}", progress.done, progress.note),
    }
}

/// What an attempt cost, in a line.
pub(crate) fn usage(usage: &Usage) -> String {
    let (wall, memory) = (readable(usage.wall), format_size(usage.peak_memory_bytes));
    let own = format!("{wall}, {} fuel, {memory} of memory at most, queued for {}", usage.fuel, readable(usage.queued));
    [own].into_iter().chain(http_usage(&usage.http)).collect::<Vec<_>>().join(", ")
}

/// What an attempt did over HTTP, if anything.
pub(crate) fn http_usage(usage: &HttpUsage) -> Option<String> {
    let HttpUsage { requests, sent_bytes, received_bytes } = *usage;
    let (sent, received) = (format_size(sent_bytes), format_size(received_bytes));
    let requests = plural(usize::try_from(requests).unwrap_or(usize::MAX), "HTTP request");
    (*usage != HttpUsage::default()).then(|| format!("{requests} ({sent} sent, {received} received)"))
}
