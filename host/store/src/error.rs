//! What can go wrong with a store, by what the caller can do about it.

use std::fmt;
use std::sync::Arc;

use super::defect::Defect;
use crate::config::UrlError;
use crate::model::{JobId, PluginName, ScheduleId, TaskId};

/// The thing that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "one for each noun")]
pub enum Subject {
    Plugin(PluginName),
    Task(TaskId),
    Schedule(ScheduleId),
    Job(JobId),
    /// Something that has no id of its own, such as "the schema".
    Other(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Plugin(id) => write!(f, "plugin `{id}`"),
            Subject::Task(id) => write!(f, "task `{id}`"),
            Subject::Schedule(id) => write!(f, "schedule `{id}`"),
            Subject::Job(id) => write!(f, "job {id}"),
            Subject::Other(text) => f.write_str(text),
        }
    }
}

/// Whether a failed call took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It did not: nothing has changed.
    NotApplied,
    /// It may have: the answer was lost.
    Unknown,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing.
    #[error("{0} not found")]
    NotFound(Subject),
    /// There is such a thing already.
    #[error("{0} already exists")]
    AlreadyExists(Subject),
    /// The thing is not in the state that the call needs.
    #[error("{subject} {state}")]
    Conflict {
        /// The thing.
        subject: Subject,
        /// What it is instead: reads after the subject, such as "is still running".
        state: String,
    },
    /// What is stored cannot be read.
    #[error("stored {subject} is unreadable: {defect}")]
    Unreadable {
        /// The thing.
        subject: Subject,
        /// What is wrong with it.
        defect: Defect,
    },
    /// The store does not take what it was given, and would refuse it again: too large for it, or text that it cannot hold. Nothing has
    /// changed.
    #[error("the data store refuses what {operation} was to store")]
    Rejected {
        /// The call.
        operation: &'static str,
        /// Why.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The URL says something that no store understands: whoever wrote it has to change it.
    #[error("{reason}")]
    BadUrl {
        /// What is wrong.
        reason: String,
        /// What is right.
        hint: String,
        /// The cause, where there is one.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// The store cannot be used as it is, and waiting will not help: a wrong password, a newer schema, a read-only file.
    #[error("{reason}")]
    Unusable {
        /// What is wrong.
        reason: String,
        /// The way out.
        hint: String,
        /// The cause, where there is one.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// The database failed.
    #[error("{operation} failed")]
    Backend {
        /// The call that failed, such as `job_acquire`.
        operation: &'static str,
        /// Whether it took effect.
        certainty: Certainty,
        /// Whether trying again may help.
        transient: bool,
        /// The cause.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl From<UrlError> for StoreError {
    fn from(error: UrlError) -> StoreError {
        StoreError::Unusable { reason: error.what, hint: error.hint, source: None }
    }
}

impl StoreError {
    /// Whether the call took effect. Everything that the store itself refused was not applied.
    pub fn certainty(&self) -> Certainty {
        match self {
            StoreError::Backend { certainty, .. } => *certainty,
            _ => Certainty::NotApplied,
        }
    }

    /// Whether trying again after a pause may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Backend { transient: true, .. })
    }
}
