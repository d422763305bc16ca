//! Ends in exchange for what runs next.

use super::{AcquireJobs, AcquiredJobs, ReleaseJobs, Released};

/// See [`JobQueue::job_exchange`](super::JobQueue::job_exchange).
#[derive(Debug, Clone)]
pub struct ExchangeJobs {
    /// The attempts that ended.
    pub release: ReleaseJobs,
    /// The jobs that are asked for.
    pub acquire: AcquireJobs,
}

/// What an exchange did.
#[derive(Debug, Clone)]
pub struct ExchangedJobs {
    /// What became of each attempt that ended, in order.
    pub released: Vec<Released>,
    /// The jobs that were leased, and what was found beside them.
    pub acquired: AcquiredJobs,
}
