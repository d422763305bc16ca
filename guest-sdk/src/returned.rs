//! What a task's function returns, whether or not it is a `Result`.
//!
//! A macro sees names, not types: `anyhow::Result<T>` or a type alias could be anything. So the compiler is asked: an
//! inherent method for `Result` goes before the trait's method for everything.

use std::convert::Infallible;
use std::marker::PhantomData;

use serde::Serialize;

use crate::error::TaskError;
use crate::payload::{Encoding, Payload};

/// A returned value.
#[derive(Debug)]
pub struct Returned<T>(pub T);

impl<R, E> Returned<Result<R, E>> {
    /// The `Result` as it is.
    #[expect(clippy::missing_errors_doc, reason = "it passes on what it was given")]
    pub fn into_result(self) -> Result<R, E> {
        self.0
    }
}

/// The type of a returned value, without one at hand.
#[derive(Debug)]
pub struct ReturnType<T>(pub PhantomData<fn() -> T>);

impl<R, E> ReturnType<Result<R, E>> {
    /// The type of the result proper.
    pub fn of_success(self) -> PhantomData<fn() -> R> {
        PhantomData
    }
}

/// What is no `Result` cannot fail.
pub trait Plain<T>: Sized {
    /// The value.
    #[expect(clippy::missing_errors_doc, reason = "it has none")]
    fn into_result(self) -> Result<T, Infallible>;
}

impl<T> Plain<T> for Returned<T> {
    fn into_result(self) -> Result<T, Infallible> {
        Ok(self.0)
    }
}

/// The same for types.
pub trait PlainType<T>: Sized {
    /// The type itself.
    fn of_success(self) -> PhantomData<fn() -> T>;
}

impl<T> PlainType<T> for ReturnType<T> {
    fn of_success(self) -> PhantomData<fn() -> T> {
        PhantomData
    }
}

/// What can be the result of a task.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a task",
    label = "must implement `serde::Serialize` and `schemars::JsonSchema`",
    note = "derive both: `#[derive(serde::Serialize, schemars::JsonSchema)]`"
)]
pub trait TaskResult: Serialize + schemars::JsonSchema {}

impl<T: Serialize + schemars::JsonSchema> TaskResult for T {}

/// What can be the error of a task.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a task",
    label = "must implement `std::error::Error`, or be text, `Box<dyn Error>`, `anyhow::Error` or `TaskError`",
    note = "`guest_sdk::TaskError` is what every error becomes in the end"
)]
pub trait IntoTaskError {
    /// The error as the host gets it.
    fn into_task_error(self) -> TaskError;
}

impl<E: Into<TaskError>> IntoTaskError for E {
    fn into_task_error(self) -> TaskError {
        self.into()
    }
}

/// Encodes what the function returned.
#[expect(clippy::missing_errors_doc, reason = "the errors are the function's")]
pub fn finish<R: TaskResult, E: IntoTaskError>(encoding: Encoding, result: Result<R, E>) -> Result<Payload, TaskError> {
    let value = result.map_err(E::into_task_error)?;
    Payload::encode(encoding, &value)
        .map_err(|error| TaskError::permanent(error).context("the result cannot be encoded").code("bad-result"))
}
