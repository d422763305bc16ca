//! How a task says that it failed, and whether another attempt makes sense.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::http;
use crate::{kv, secrets};

/// Why an attempt did not succeed, and whether another one might.
///
/// A task may return any error type that converts into this one: everything that implements [`std::error::Error`],
/// `String`, `&str`, `Box<dyn Error>` and `anyhow::Error`. Such a plain error is **retryable**: whoever sets
/// `max_attempts` has asked for attempts, and most failures that a job meets pass by themselves. An error that will
/// not pass should say so, which saves the attempts: [`TaskError::permanent`], or [`OrPermanent::or_permanent`] on a
/// `Result`. Without `max_attempts` there is one attempt, and the two differ in nothing but what the operator reads.
///
/// The message is the error's own text; the chain of [`source`](Error::source)s becomes the context, so that the
/// operator reads every level once. Of both, what is longer than the host keeps is cut: texts at 16 KiB, causes after the 32nd.
///
/// ```
/// use guest_sdk::{OrPermanent, TaskError};
///
/// fn read_port(text: &str) -> Result<u16, TaskError> {
///     let port: u16 = text.trim().parse().or_permanent()?; // a number that is none stays none
///     if port == 0 {
///         return Err(TaskError::permanent("port 0 cannot be asked").code("bad-port"));
///     }
///     Ok(port)
/// }
/// assert!(!read_port("x").unwrap_err().is_retryable());
/// ```
///
/// It does not implement [`std::error::Error`] itself, as otherwise `?` could not turn every other error into it.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an error says something only if it is returned"]
pub struct TaskError {
    pub(crate) kind: Kind,
    pub(crate) failure: Failure,
}

/// What should happen after the failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    InvalidArgs,
    Permanent,
    Retryable,
    RetryAfter(Duration),
    Cancelled,
}

/// Most causes of an error, and most bytes of each of its texts, that the host keeps.
const CAUSES_MAX: usize = 32;
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Cuts a text to [`TEXT_BYTES_MAX`], with a mark where it was cut.
fn clip(text: &mut String) {
    const MARK: &str = "…";
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX - MARK.len()));
        text.push_str(MARK);
    }
}

/// The failure itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) code: Option<String>,
    pub(crate) context: Vec<String>,
    pub(crate) details: Option<Value>,
}

impl TaskError {
    fn new(kind: Kind, cause: impl Into<Box<dyn Error>>) -> Self {
        let cause = cause.into();
        let chain = std::iter::successors(cause.source(), |&error| error.source());
        let context = chain.map(ToString::to_string).collect();
        TaskError { kind, failure: Failure { message: cause.to_string(), context, ..Failure::default() } }
    }

    /// It failed, and would fail again.
    pub fn permanent(cause: impl Into<Box<dyn Error>>) -> Self {
        TaskError::new(Kind::Permanent, cause)
    }

    /// It failed, and may succeed after the task's backoff. What a plain error becomes.
    pub fn retryable(cause: impl Into<Box<dyn Error>>) -> Self {
        TaskError::new(Kind::Retryable, cause)
    }

    /// It failed, and may succeed after `delay`, which takes the place of the task's backoff. Whole milliseconds count.
    pub fn retry_after(delay: Duration, cause: impl Into<Box<dyn Error>>) -> Self {
        TaskError::new(Kind::RetryAfter(delay), cause)
    }

    /// The arguments cannot be used, for a reason that their types do not tell. Never retried.
    pub fn invalid_args(cause: impl Into<Box<dyn Error>>) -> Self {
        TaskError::new(Kind::InvalidArgs, cause)
    }

    /// The task saw that it was cancelled, and stopped. See [`Context::check`](crate::Context::check).
    pub fn cancelled() -> Self {
        TaskError::new(Kind::Cancelled, "cancelled")
    }

    /// Adds a short, stable word for programs, such as `not-found`.
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.failure.code = Some(code.into());
        self
    }

    /// Says what was being done when it failed. This becomes the message, and what was the message its nearest cause.
    pub fn context(mut self, doing: impl Into<String>) -> Self {
        let cause = std::mem::replace(&mut self.failure.message, doing.into());
        self.failure.context.insert(0, cause);
        self
    }

    /// Adds anything else that may help, for programs. What has no form in JSON is left out.
    pub fn details(mut self, details: impl Serialize) -> Self {
        self.failure.details = serde_json::to_value(details).ok();
        self
    }

    /// The one line that says what is wrong.
    pub fn message(&self) -> &str {
        &self.failure.message
    }

    /// The causes, from the nearest to the deepest.
    pub fn causes(&self) -> &[String] {
        &self.failure.context
    }

    /// As much of the error as the host keeps. It reads no more than a few MiB in one call; were the rest not cut here, the message would be
    /// lost with it. Details that are too long are left out: half of a JSON text is none.
    pub(crate) fn within_bounds(mut self) -> Self {
        let Failure { message, code, context, details } = &mut self.failure;
        clip(message);
        code.iter_mut().for_each(clip);
        context.truncate(CAUSES_MAX);
        context.iter_mut().for_each(clip);
        details.take_if(|details| details.to_string().len() > TEXT_BYTES_MAX);
        self
    }

    /// Whether another attempt makes sense.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, Kind::Retryable | Kind::RetryAfter(_))
    }

    /// How long to wait before it, if the task said so.
    pub fn delay(&self) -> Option<Duration> {
        if let Kind::RetryAfter(delay) = self.kind { Some(delay) } else { None }
    }

    /// Whether the arguments are to blame.
    pub fn is_invalid_args(&self) -> bool {
        self.kind == Kind::InvalidArgs
    }

    /// Whether the task stopped because it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.kind == Kind::Cancelled
    }
}

impl fmt::Display for TaskError {
    /// The message and its causes, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.failure.message)?;
        self.failure.context.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl<E: Into<Box<dyn Error>>> From<E> for TaskError {
    /// A plain error is retryable; [`Cancelled`] stays what it is, and one of [`http`], [`kv`] or [`secrets`] knows whether another attempt
    /// makes sense.
    fn from(error: E) -> Self {
        let error = error.into();
        if error.is::<Cancelled>() {
            return TaskError::cancelled();
        }
        let kv = error.downcast_ref::<kv::Error>().map(|error| (error.kind().as_str(), error.kind().is_retryable()));
        let secret =
            error.downcast_ref::<secrets::Error>().map(|error| (error.kind().as_str(), error.kind().is_retryable()));
        if let Some((code, is_retryable)) = kv.or(secret) {
            let error = if is_retryable { TaskError::retryable(error) } else { TaskError::permanent(error) };
            return error.code(code);
        }
        // Reading an answer fails with an error of I/O around it.
        let inner = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref()?.downcast_ref());
        let Some(http) = error.downcast_ref::<http::Error>().or(inner) else { return TaskError::retryable(error) };
        let (code, delay, is_retryable) = (http.kind().as_str(), http.retry_after(), http.is_retryable());
        let error = match delay {
            Some(delay) if is_retryable => TaskError::retry_after(delay, error),
            _ if is_retryable => TaskError::retryable(error),
            _ => TaskError::permanent(error),
        };
        error.code(code)
    }
}

/// What [`Context::check`](crate::Context::check) fails with once the job was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled")
    }
}

impl Error for Cancelled {}

/// Says of a `Result`'s error what should happen after it.
pub trait OrPermanent<T> {
    /// An error of this kind would come again: no retry.
    ///
    /// # Errors
    ///
    /// The error, as [`TaskError::permanent`].
    fn or_permanent(self) -> Result<T, TaskError>;

    /// The error may pass: another attempt after `delay`.
    ///
    /// # Errors
    ///
    /// The error, as [`TaskError::retry_after`].
    fn or_retry_after(self, delay: Duration) -> Result<T, TaskError>;
}

impl<T, E: Into<Box<dyn Error>>> OrPermanent<T> for Result<T, E> {
    fn or_permanent(self) -> Result<T, TaskError> {
        self.map_err(TaskError::permanent)
    }

    fn or_retry_after(self, delay: Duration) -> Result<T, TaskError> {
        self.map_err(|error| TaskError::retry_after(delay, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot read the port")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    fn parse(text: &str) -> Result<u16, TaskError> {
        Ok(text.parse::<u16>().map_err(Outer)?)
    }

    #[test]
    fn a_plain_error_is_retryable_and_brings_its_sources_along() {
        let error = parse("x").unwrap_err();
        assert!(error.is_retryable());
        assert_eq!(error.message(), "cannot read the port");
        assert_eq!(error.causes(), ["invalid digit found in string"]);
        assert_eq!(error.to_string(), "cannot read the port: invalid digit found in string");
    }

    #[test]
    fn text_and_boxed_errors_convert_too() {
        assert_eq!(TaskError::from("a").message(), "a");
        assert_eq!(TaskError::from("b".to_owned()).message(), "b");
        let boxed: Box<dyn Error> = "c".into();
        assert_eq!(TaskError::from(boxed).message(), "c");
    }

    #[test]
    fn being_cancelled_is_not_a_failure_worth_a_retry() {
        let error = TaskError::from(Cancelled);
        assert!(error.is_cancelled() && !error.is_retryable());
    }

    #[test]
    fn an_error_of_any_length_keeps_its_message_and_its_nearest_causes() {
        let long = "ä".repeat(TEXT_BYTES_MAX);
        let error = (0..100).fold(TaskError::permanent("the deepest"), |error, n| error.context(format!("{n} {long}")));
        let error = error.details(&long).within_bounds();
        assert!(error.message().starts_with("99 ä") && error.message().ends_with('…'));
        assert_eq!(error.causes().len(), CAUSES_MAX);
        assert!(error.causes()[0].starts_with("98 ä"));
        assert!(error.causes().iter().all(|cause| cause.len() <= TEXT_BYTES_MAX));
        assert_eq!(error.failure.details, None);
        let short = TaskError::permanent("no").code("gone").details(7).context("opening it");
        assert_eq!(short.clone().within_bounds(), short);
    }

    #[test]
    fn context_becomes_the_message_and_keeps_the_cause() {
        let error = TaskError::permanent("no such file").context("cannot open the list").code("missing");
        assert_eq!(error.to_string(), "cannot open the list: no such file");
        assert_eq!(error.failure.code.as_deref(), Some("missing"));
    }
}
