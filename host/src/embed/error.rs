//! What can go wrong with a job whose result somebody waits for.

use crate::app::AppError;
use crate::model::{JobError, JobId, Outcome};

/// Why a job gave no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// It was not queued, or nothing could be learnt of it.
    #[error(transparent)]
    App(#[from] AppError),
    /// It ended without success.
    #[error("job {id} ended as {}{}", outcome.as_str(), error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default())]
    Ended {
        /// The job.
        id: JobId,
        /// How it ended.
        outcome: Outcome,
        /// Why, where there is something to say.
        error: Option<JobError>,
    },
    /// Its result is not kept.
    #[error("the result of job {id} is not kept: its task's `result_ttl` is 0")]
    NotKept {
        /// The job.
        id: JobId,
    },
    /// Its result is something else than what was asked for.
    #[error("the result of job {id} cannot be read as what was asked for: {reason}")]
    Result {
        /// The job.
        id: JobId,
        /// What is wrong with it.
        reason: String,
    },
    /// The arguments cannot be serialized, or are no arguments.
    #[error("the arguments cannot be serialized: {reason}")]
    Arguments {
        /// What is wrong with them.
        reason: String,
    },
}
