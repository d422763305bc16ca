//! The ledger of fires: what became of each due time of a schedule. Which lines a fire gets is decided here for every store.

use std::collections::HashSet;

use crate::model::{Fate, FireLine, JobId, JobSpec, ScheduleId, Timestamp};
use crate::overlap::{Decision, Verdict};
use crate::{FireSchedule, Overlapped};

/// Most jobs that the reason of a line names.
const JOBS_NAMED_MAX: usize = 3;

/// Due times that passed without jobs of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedFires {
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many there are.
    pub count: u64,
    /// Whether there may be more.
    pub or_more: bool,
    /// Why: [`Fate::Coalesced`] where they share the one job of their fire.
    pub fate: Fate,
    /// Why, in words.
    pub reason: String,
}

/// See [`ScheduleQueue::schedule_history`](crate::ScheduleQueue::schedule_history).
#[derive(Debug, Clone)]
pub struct ReadHistory {
    /// The schedule.
    pub id: ScheduleId,
    /// Only lines before that number.
    pub before: Option<u64>,
    /// At most this many, 1 to [`PAGE_ROWS_MAX`](crate::model::limits::PAGE_ROWS_MAX).
    pub limit: usize,
}

/// How long lines of the ledger are kept. See [`Housekeeping::trim_history`](crate::Housekeeping::trim_history).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrimHistory {
    /// Lines from before this time go.
    pub before: Timestamp,
    /// Of each schedule at most so many of the last ones stay.
    pub keep: u64,
    /// Only those of schedules after this place, which an earlier call answered.
    pub after: Option<String>,
    /// Lines of at most so many schedules go with one call.
    pub limit: usize,
}

impl PassedFires {
    /// The line of due times for which nothing else was done.
    pub fn line(&self, at: Timestamp) -> FireLine {
        FireLine {
            number: 0,
            first: self.first,
            last: self.last,
            count: self.count,
            or_more: self.or_more,
            at,
            fate: self.fate,
            jobs: Vec::new(),
            reason: self.reason.clone(),
            is_end: false,
        }
    }
}

/// The line of what was due from `next` on when its schedule was replaced at `at`. How often it was due is for nobody to say any more.
pub(crate) fn replaced_line(next: Timestamp, at: Timestamp) -> FireLine {
    let (fate, reason) = (Fate::Replaced, "another schedule was put in its place".to_owned());
    PassedFires { first: next, last: next, count: 1, or_more: true, fate, reason }.line(at)
}

/// The lines of a fire, without their numbers. `known`: jobs that are not made because their fires had some already. `next`: the fire time
/// that the schedule was to fire at next. What was due before that has a line, so that a fire that is stored twice gets its lines once.
/// `is_end`: whether the schedule has no more fire times.
pub fn lines(
    fire: &FireSchedule,
    decision: &Decision,
    known: &HashSet<JobId>,
    overlapped: &Overlapped,
    next: Option<Timestamp>,
    is_end: bool,
) -> Vec<FireLine> {
    let mut lines: Vec<FireLine> = Vec::new();
    for (job, verdict) in fire.jobs.iter().zip(&decision.verdicts) {
        let line = line_of(fire, job, *verdict, known, overlapped);
        match lines.last_mut() {
            Some(last) if last.fate == line.fate && last.reason == line.reason => {
                (last.last, last.count) = (line.last, last.count + 1);
                last.jobs.extend(line.jobs);
            }
            _ => lines.push(line),
        }
    }
    match (&fire.passed, lines.as_mut_slice()) {
        (Some(passed), [line]) if passed.fate == Fate::Coalesced => share(line, passed),
        (Some(passed), _) => lines.push(passed.line(fire.at)),
        (None, _) => {}
    }
    lines.retain(|line| next.is_none_or(|next| line.last >= next));
    if is_end && let Some(last) = lines.last_mut() {
        last.is_end = true;
    }
    lines
}

/// Adds due times to the line of the one job that they share.
fn share(line: &mut FireLine, passed: &PassedFires) {
    (line.first, line.last) = (line.first.min(passed.first), line.last.max(passed.last));
    (line.count, line.or_more) = (line.count + passed.count, passed.or_more);
    if line.fate == Fate::Queued {
        line.fate = Fate::Coalesced;
    }
    line.reason = joined(&passed.reason, &line.reason);
}

fn joined(first: &str, second: &str) -> String {
    let both = [first, second].into_iter().filter(|text| !text.is_empty());
    both.collect::<Vec<_>>().join("; ")
}

/// The line of one due time.
fn line_of(
    fire: &FireSchedule,
    job: &JobSpec,
    verdict: Verdict,
    known: &HashSet<JobId>,
    overlapped: &Overlapped,
) -> FireLine {
    let policy = fire.overlap;
    let (fate, reason) = match verdict {
        Verdict::Made if known.contains(&job.id) => (Fate::HadJob, String::new()),
        Verdict::Made if job.start_deadline.is_some_and(|deadline| deadline < fire.at) => {
            (Fate::Missed, joined("its start deadline had passed", &replaced(overlapped)))
        }
        Verdict::Made => (Fate::Queued, replaced(overlapped)),
        Verdict::Skipped(other) => (Fate::Overlap, format!("{policy}: job {other} had not ended")),
        Verdict::Finished => (Fate::Finished, "it had fired as often as it may".to_owned()),
        Verdict::Replaced(other) => {
            (Fate::Overlap, format!("{policy}: job {other} of a later fire time took its place"))
        }
    };
    let due = job.scheduled_fire_time.unwrap_or(job.due_at);
    let is_made = matches!(fate, Fate::Queued | Fate::Missed);
    FireLine {
        number: 0,
        first: due,
        last: due,
        count: 1,
        or_more: false,
        at: fire.at,
        fate,
        jobs: if is_made { vec![job.id] } else { Vec::new() },
        reason,
        is_end: false,
    }
}

/// What was done about earlier jobs, in words.
fn replaced(overlapped: &Overlapped) -> String {
    let named = |what: &str, jobs: Vec<JobId>| match jobs.len() {
        0 => String::new(),
        1..=JOBS_NAMED_MAX => {
            let names: Vec<String> = jobs.iter().map(|id| format!("job {id}")).collect();
            format!("{what} {}", names.join(", "))
        }
        count => format!("{what} {count} jobs"),
    };
    let cancelled = named("in place of", overlapped.cancelled.iter().map(|job| job.id).collect());
    joined(&cancelled, &named("asked to stop:", overlapped.asked.clone()))
}

/// The bytes that a store keeps the ids of jobs in.
#[cfg(feature = "sql")]
pub(crate) fn job_bytes(jobs: &[JobId]) -> Option<Vec<u8>> {
    let bytes: Vec<u8> = jobs.iter().flat_map(|id| *id.as_bytes()).collect();
    (!bytes.is_empty()).then_some(bytes)
}

/// The ids in such bytes; `None` where they are none.
#[cfg(feature = "sql")]
pub(crate) fn jobs_in(bytes: &[u8]) -> Option<Vec<JobId>> {
    let (ids, rest) = bytes.as_chunks::<16>();
    rest.is_empty().then(|| ids.iter().copied().map(JobId::from_bytes).collect())
}
