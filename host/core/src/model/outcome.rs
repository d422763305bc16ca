//! How jobs end, and what an attempt cost.

use std::time::Duration;

use super::limits;

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It returned.
    Success,
    /// It failed, and no attempts were left or the failure was permanent; the job's error says more.
    Error,
    /// It could not start before its start deadline.
    MissedStartDeadline,
    /// What the store holds of it cannot be read.
    DeserializationFailed,
    /// Somebody cancelled it.
    Cancelled,
    /// The worker that ran it vanished, and no attempts were left.
    Abandoned,
}

/// The kind of a failure: what an operator looks at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The task returned an error.
    GuestError,
    /// The guest hit a trap that is no panic: division by zero, stack overflow, memory out of bounds …
    Trap,
    /// The guest panicked.
    Panic,
    /// The guest ended its process.
    Exited,
    /// The attempt used up its fuel.
    OutOfFuel,
    /// The attempt reached its time limit.
    TimedOut,
    /// The attempt asked for more memory than it may have.
    OutOfMemory,
    /// The result is larger than results may be.
    ResultTooLarge,
    /// The guest needs a right that it was not granted.
    Denied,
    /// The plugin, or its function, cannot be had.
    PluginUnavailable,
    /// The host failed.
    HostError,
}

macro_rules! names {
    ($type:ident { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// The name in stores, events and JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $($type::$variant => $name),+ }
            }

            /// The value of that name.
            pub fn from_name(name: &str) -> Option<$type> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(super) use names;

names! { Outcome {
    Success => "success",
    Error => "error",
    MissedStartDeadline => "missed_start_deadline",
    DeserializationFailed => "deserialization_failed",
    Cancelled => "cancelled",
    Abandoned => "abandoned",
} }

names! { ErrorKind {
    GuestError => "guest_error",
    Trap => "trap",
    Panic => "panic",
    Exited => "exited",
    OutOfFuel => "out_of_fuel",
    TimedOut => "timed_out",
    OutOfMemory => "out_of_memory",
    ResultTooLarge => "result_too_large",
    Denied => "denied",
    PluginUnavailable => "plugin_unavailable",
    HostError => "host_error",
} }

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobError {
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// One sentence for people, bounded by [`MESSAGE_BYTES_MAX`](super::limits::MESSAGE_BYTES_MAX).
    pub message: String,
    /// Causes, outermost first.
    pub context: Vec<String>,
    /// The guest's stack at the failure, a frame per line, where there was one.
    pub backtrace: Option<String>,
}

impl JobError {
    /// This error with its texts and causes cut to their maxima.
    #[must_use]
    pub fn within_bounds(mut self) -> JobError {
        self.context.truncate(limits::ERROR_CONTEXT_MAX);
        for text in std::iter::once(&mut self.message).chain(&mut self.context) {
            if text.len() > limits::MESSAGE_BYTES_MAX {
                text.truncate(text.floor_char_boundary(limits::MESSAGE_BYTES_MAX));
                text.push('…');
            }
        }
        self
    }

    /// An error with a message and nothing else.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> JobError {
        JobError { kind, message: message.into(), context: Vec::new(), backtrace: None }
    }
}

/// What one attempt cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel burned.
    pub fuel: u64,
    /// Largest sum of the instance's memories and tables, in bytes.
    pub peak_memory_bytes: u64,
    /// Wall-clock time from the attempt's start to its end.
    pub wall: Duration,
    /// How long the job was due before the attempt started.
    pub queued: Duration,
    /// What it did over HTTP.
    pub http: HttpUsage,
}

/// What one attempt did over HTTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HttpUsage {
    /// Requests that were sent, whatever came of them.
    pub requests: u64,
    /// Bytes that were sent, those of requests and headers included, as they are before encryption.
    pub sent_bytes: u64,
    /// Bytes that came back, likewise.
    pub received_bytes: u64,
}
