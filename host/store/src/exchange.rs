//! Leasing the jobs that run next, alone or in exchange for ends.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{EndedJob, ReleaseJobs, Released, ServedQueue, Unreadable};
use crate::model::{Ability, Job, JobId, LeaseToken, SchedulerId, TaskId, Timestamp};

/// See [`JobQueue::job_acquire`](super::JobQueue::job_acquire).
#[derive(Debug, Clone)]
pub struct AcquireJobs {
    /// Who leases.
    pub holder: SchedulerId,
    /// The token of the leases; a new one for each call that is not a retry.
    pub token: LeaseToken,
    /// The time, for a store that has none of its own.
    pub now: Timestamp,
    /// How long the leases last.
    pub lease: Duration,
    /// At most this many.
    pub limit: usize,
    /// The queues that the caller serves, the one whose turn it is first, with how many more jobs of each it has room for.
    pub queues: Vec<ServedQueue>,
    /// What the caller can run.
    pub abilities: Vec<Ability>,
    /// Which of the jobs that may start.
    pub choice: Choice,
}

/// Which of the jobs that may start are leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The first ones in the order of starting.
    InOrder,
    /// One of each task, the first in the order of starting, but none of these tasks: what their jobs would keep from starting. Of each kind
    /// of jobs that the caller can run, up to [`SHARING_TASKS_MAX`](super::rules::SHARING_TASKS_MAX) tasks are looked at, by name.
    EachTask {
        /// The tasks that are passed over.
        except: BTreeSet<TaskId>,
    },
    /// Only this job, whatever stands before it: what `host run` asks for, in any queue, paused or not. The limits on
    /// running jobs hold all the same, and so does what it needs.
    Only(JobId),
}

impl Choice {
    /// The job that is named.
    pub fn only(&self) -> Option<JobId> {
        match self {
            Choice::Only(id) => Some(*id),
            Choice::InOrder | Choice::EachTask { .. } => None,
        }
    }
}

/// What leasing jobs found.
#[derive(Debug, Clone)]
pub struct AcquiredJobs {
    /// The time by which it was decided what is due.
    pub now: Timestamp,
    /// The leased ones, in the order in which they are to start. Their attempt is counted, their lease set.
    pub jobs: Vec<Job>,
    /// Those that ended because their start deadline had passed.
    pub missed: Vec<EndedJob>,
    /// Jobs that were made by hooks because one of those ended. They are leased by a later call.
    pub hooked: Vec<EndedJob>,
    /// Those that cannot be read. Damaged ones have ended; those of a newer version are queued as they were and put off, see
    /// [`rules::put_off`](super::rules::put_off).
    pub unreadable: Vec<Unreadable>,
    /// See [`Catalog::catalog_revision`](super::Catalog::catalog_revision).
    pub catalog_revision: i64,
}

impl AcquiredJobs {
    /// Nothing, at that time and in that state of the catalogue.
    pub fn none(now: Timestamp, catalog_revision: i64) -> AcquiredJobs {
        let (jobs, missed, hooked, unreadable) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        AcquiredJobs { now, jobs, missed, hooked, unreadable, catalog_revision }
    }
}

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
