//! Why a component is not accepted, put together piece by piece.

use super::output::clipped;
use crate::executor::InspectError;

/// Most links of a chain of causes that are kept, and the longest of them in bytes.
const CAUSES_MAX: usize = 8;
const CAUSE_BYTES_MAX: usize = 2 * 1024;

/// A refusal with nothing but its reason.
pub(super) fn refused(reason: &str) -> InspectError {
    InspectError { reason: reason.to_owned(), context: Vec::new(), hint: None }
}

/// What is added to a refusal.
pub(super) trait Refusal: Sized {
    /// The same refusal with a cause.
    fn because(self, cause: impl Into<String>) -> Self;

    /// The same refusal with all the causes of `error`.
    fn because_of(self, error: &wasmtime::Error) -> Self {
        error.chain().take(CAUSES_MAX).fold(self, |refusal, cause| refusal.because(cause.to_string()))
    }

    /// The same refusal with advice.
    fn hint(self, hint: impl Into<String>) -> Self;
}

impl Refusal for InspectError {
    fn because(mut self, cause: impl Into<String>) -> InspectError {
        self.context.push(clipped(cause.into(), CAUSE_BYTES_MAX));
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> InspectError {
        self.hint = Some(hint.into());
        self
    }
}
