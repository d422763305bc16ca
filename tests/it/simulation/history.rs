//! What happened in a run, and the conditions under which it has failed.
//!
//! 1. No two attempts of a job run at the same time, unless one is in a process that is stopped (it ends when the process goes on), or
//!    cannot be stopped when its lease ends and another scheduler has taken the job.
//! 2. No task has more attempts at the same time than it allows, likewise.
//! 3. A job counts no more crashes than there were processes that died, stood still, were cut off, or started while the server stood still;
//!    without any it counts none.
//! 4. Every job ends. Only one whose workers crashed is abandoned.
//! 5. Every due time of a schedule makes one job, unless its overlap policy is against it: none is left out, none comes twice, none comes
//!    before its time.
//! 6. Stopping ends within its time, whatever the store is doing.
//! 7. What is damaged ends or is paused with the reason, and harms nothing else.
//! 8. No worker begins what it cannot run.
//! 9. When all is over nothing is leased, and no task counts a running job.
//! 10. All attempts at a job run the same version of its plugin, and that one stands on it in the end.
//! 11. Each fire treats the earlier jobs of its schedule as the overlap policy says.
//! 12. Each due time of a schedule has exactly one line in its ledger, with the job that was made for it, if any was.
//! 13. No attempt is stopped for its lease where only messages are late or lost.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host::model::{Digest, JobId, TaskId};

use super::machine::{Power, ProcessClock, Timeline};

/// How long after it goes on a process may need to end what it must not do any more.
const SETTLING: Duration = Duration::from_millis(2);

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Course {
    /// Which conditions were violated; none where all is well.
    pub(super) violations: Vec<String>,
    pub(super) events: Vec<String>,
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\nwhat happened:\n{}", self.violations.join("\n"), self.events.join("\n"))
    }
}

/// What is seen of a run from outside.
#[derive(Debug, Clone)]
pub(super) struct History {
    timeline: Timeline,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    lines: Vec<String>,
    violations: Vec<String>,
    attempts: BTreeMap<u64, Attempt>,
    last: u64,
    begun: usize,
    /// How often a process died, was stopped, or was cut off.
    disturbances: u32,
    stopped_for_leases: u32,
    /// The version of its plugin that a job has begun with.
    versions: BTreeMap<JobId, Digest>,
}

/// An attempt that runs.
#[derive(Debug)]
struct Attempt {
    job: JobId,
    task: TaskId,
    process: ProcessClock,
    /// Since when the process has gone on after it was stopped.
    goes_on_since: Duration,
    may_be_left: bool,
}

/// Ends the attempt in the history, also when it is dropped.
pub(super) struct Running(History, u64);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.seen().attempts.remove(&self.1);
    }
}

impl History {
    pub(super) fn new(timeline: &Timeline) -> History {
        History { timeline: timeline.clone(), seen: Arc::default() }
    }

    pub(super) fn note(&self, line: impl Display) {
        let at = self.timeline.now();
        tracing::debug!("{at:.3?} {line}");
        self.seen().lines.push(format!("{at:>12.3?} {line}"));
    }

    pub(super) fn violation(&self, line: impl Display) {
        let at = self.timeline.now();
        self.seen().violations.push(format!("{at:>12.3?} {line}"));
    }

    pub(super) fn disturbed(&self) {
        self.seen().disturbances += 1;
    }

    pub(super) fn disturbances(&self) -> u32 {
        self.seen().disturbances
    }

    /// An attempt was stopped without having been asked first.
    pub(super) fn stopped_for_its_lease(&self, job: JobId) {
        self.note(format_args!("the attempt of {job} is stopped for its lease"));
        self.seen().stopped_for_leases += 1;
    }

    pub(super) fn stopped_for_leases(&self) -> u32 {
        self.seen().stopped_for_leases
    }

    pub(super) fn begun(&self) -> usize {
        self.seen().begun
    }

    /// An attempt begins, in a process that runs. `most`: attempts of its task at the same time. `may_be_left`: it cannot be stopped, and
    /// another scheduler may have the job when its lease is over.
    pub(super) fn begin(
        &self,
        job: JobId,
        task: &TaskId,
        most: Option<usize>,
        may_be_left: bool,
        process: &ProcessClock,
    ) -> Running {
        self.note(format_args!("an attempt of {job} ({task}) begins"));
        let now = self.timeline.now();
        let mut seen = self.seen();
        let counts = |attempt: &&Attempt| attempt.counts(now);
        if seen.attempts.values().filter(counts).any(|attempt| attempt.job == job) {
            seen.violations.push(format!("{now:>12.3?} two attempts of {job} run at the same time"));
        }
        let of_task = seen.attempts.values().filter(counts).filter(|attempt| attempt.task == *task).count();
        if most.is_some_and(|most| of_task >= most) {
            seen.violations.push(format!("{now:>12.3?} {task} has more than {of_task} attempts at the same time"));
        }
        seen.last += 1;
        seen.begun += 1;
        let key = seen.last;
        let attempt =
            Attempt { job, task: task.clone(), process: process.clone(), goes_on_since: Duration::ZERO, may_be_left };
        seen.attempts.insert(key, attempt);
        drop(seen);
        Running(self.clone(), key)
    }

    /// An attempt at a job runs this version of its plugin.
    pub(super) fn runs_version(&self, job: JobId, version: Digest) {
        let begun_with = *self.seen().versions.entry(job).or_insert(version);
        if begun_with != version {
            self.violation(format_args!("{job} has begun with {begun_with} and now runs {version}"));
        }
    }

    /// The version that a job has begun with, if it has a plugin and has begun.
    pub(super) fn version_of(&self, job: JobId) -> Option<Digest> {
        self.seen().versions.get(&job).copied()
    }

    /// A process goes on after it was stopped.
    pub(super) fn goes_on(&self, process: &ProcessClock) {
        let now = self.timeline.now();
        for attempt in self.seen().attempts.values_mut().filter(|attempt| attempt.process.is(process)) {
            attempt.goes_on_since = now;
        }
    }

    /// To be called [`SETTLING`] after a process has gone on: no job is run twice any more.
    pub(super) async fn settled(&self) {
        self.timeline.sleep(SETTLING).await;
        let now = self.timeline.now();
        let mut seen = self.seen();
        let mut jobs: Vec<JobId> =
            seen.attempts.values().filter(|attempt| attempt.counts(now)).map(|attempt| attempt.job).collect();
        jobs.sort_unstable();
        let twice: Vec<JobId> = jobs.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        for job in twice {
            seen.violations.push(format!("{now:>12.3?} two attempts of {job} run after a process has gone on"));
        }
    }

    /// What came of the run.
    pub(super) fn end(&self) -> Course {
        let seen = self.seen();
        Course { violations: seen.violations.clone(), events: seen.lines.clone() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// Whether it can do anything that it must not.
    fn counts(&self, now: Duration) -> bool {
        let is_settled = self.goes_on_since.is_zero() || now >= self.goes_on_since + SETTLING;
        self.process.power() == Power::Runs && is_settled && !self.may_be_left
    }
}
