//! What the end of a job does to its schedule: one decision for every store.
//!
//! A success ends a row of failures. Errors and abandoned jobs count as failures. A job that was cancelled, that missed its start deadline or
//! that could not be read says nothing about what it runs, and counts neither way.

use crate::model::{
    ConcernedSchedule, Fate, FireLine, JobId, Outcome, ScheduleId, ScheduleLife, Settings, TaskId, Timestamp,
};
use crate::{Ending, PassedFires, ReleaseJob};

/// The end of a job that concerns its schedule.
#[derive(Debug, Clone)]
pub struct JobEnd<'a> {
    /// The job.
    pub id: JobId,
    /// Its schedule.
    pub schedule: &'a ConcernedSchedule,
    /// How it ended.
    pub outcome: Outcome,
}

impl JobEnd<'_> {
    /// The end that a release stores, where it is one that concerns a schedule.
    pub fn of(release: &ReleaseJob) -> Option<JobEnd<'_>> {
        match (&release.concerned, &release.ending) {
            (Some(schedule), Ending::Finished { outcome, .. }) => {
                Some(JobEnd { id: release.id, schedule, outcome: *outcome })
            }
            _ => None,
        }
    }
}

/// A schedule that the end of one of its jobs has stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedSchedule {
    /// The schedule.
    pub id: ScheduleId,
    /// Its task.
    pub task_id: TaskId,
    /// In which way.
    pub stop: ScheduleStop,
}

/// How a schedule was stopped by the end of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleStop {
    /// It was paused, for this reason.
    Paused(String),
    /// It is finished.
    Finished,
}

/// How a schedule stands when one of its jobs ends.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Which of those that have had its id.
    pub life: ScheduleLife,
    /// What it says itself about failures and success.
    pub settings: Settings,
    /// How many jobs have failed in a row.
    pub failures: u32,
    /// Whether it is paused.
    pub is_paused: bool,
    /// When it fires next; `None` for one that is finished.
    pub next_fire_time: Option<Timestamp>,
}

impl Standing {
    /// Takes the end of a job into account. Answers whether the schedule is stopped by it; what fires no more is not stopped again.
    pub fn end(&mut self, end: &JobEnd<'_>) -> Option<ScheduleStop> {
        if end.schedule.life != self.life {
            return None;
        }
        match end.outcome {
            Outcome::Success => {
                self.failures = 0;
                let is_over = self.settings.until_success == Some(true) && self.next_fire_time.is_some();
                is_over.then_some(ScheduleStop::Finished)
            }
            Outcome::Error | Outcome::Abandoned => {
                self.failures = self.failures.saturating_add(1);
                let limit = match self.settings.pause_after {
                    Some(own) => own.failures(),
                    None => end.schedule.pause_after,
                }?;
                let is_pausable = !self.is_paused && self.next_fire_time.is_some();
                (is_pausable && self.failures >= limit.get()).then(|| ScheduleStop::Paused(self.reason(end.id)))
            }
            Outcome::Cancelled | Outcome::MissedStartDeadline | Outcome::DeserializationFailed => None,
        }
    }

    fn reason(&self, last: JobId) -> String {
        match self.failures {
            1 => format!("job {last} failed"),
            failures => format!("{failures} jobs failed one after the other, the last one being {last}"),
        }
    }
}

/// The line of what was due, and had not fired, when the schedule was finished at `at` by the success of a job. How often it was due is for
/// nobody to say any more.
pub(crate) fn finished_line(next: Timestamp, at: Timestamp, job: JobId) -> FireLine {
    let reason = format!("job {job} had succeeded");
    PassedFires { first: next, last: next, count: 1, or_more: true, fate: Fate::Finished, reason }.line(at)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::model::PauseAfter;

    fn concerned(pause_after: Option<u32>) -> ConcernedSchedule {
        ConcernedSchedule {
            id: ScheduleId::new("s").expect("an id"),
            life: ScheduleLife::from_number(1),
            pause_after: pause_after.and_then(NonZeroU32::new),
        }
    }

    fn standing(settings: Settings) -> Standing {
        let life = ScheduleLife::from_number(1);
        Standing { life, settings, failures: 0, is_paused: false, next_fire_time: Some(Timestamp::EPOCH) }
    }

    fn end(standing: &mut Standing, schedule: &ConcernedSchedule, outcome: Outcome) -> bool {
        standing.end(&JobEnd { id: JobId::from_bytes([1; 16]), schedule, outcome }).is_some()
    }

    #[test]
    fn only_failures_in_a_row_pause_and_what_says_nothing_about_the_task_does_not_count() {
        use Outcome::{Abandoned, Cancelled, DeserializationFailed, Error, MissedStartDeadline, Success};
        let schedule = concerned(Some(3));
        let mut standing = standing(Settings::default());
        let neutral = [Cancelled, MissedStartDeadline, DeserializationFailed];
        for outcome in [Error, Abandoned, Success, Error, Abandoned].into_iter().chain(neutral) {
            assert!(!end(&mut standing, &schedule, outcome), "{outcome}");
        }
        assert!(end(&mut standing, &schedule, Error));
        standing.is_paused = true;
        assert!(!end(&mut standing, &schedule, Error), "it is paused once");
        assert_eq!(standing.failures, 4);
    }

    #[test]
    fn what_the_schedule_says_itself_goes_over_what_the_job_was_made_with() {
        let schedule = concerned(Some(1));
        let mut never = standing(Settings { pause_after: Some(PauseAfter::Never), ..Settings::default() });
        assert!(!end(&mut never, &schedule, Outcome::Error));
        let own = NonZeroU32::new(2).map(PauseAfter::Failures);
        let mut second = standing(Settings { pause_after: own, ..Settings::default() });
        assert!(!end(&mut second, &schedule, Outcome::Error) && end(&mut second, &schedule, Outcome::Error));
    }

    #[test]
    fn a_success_finishes_what_waits_for_one_and_jobs_of_an_earlier_life_do_nothing() {
        let schedule = concerned(None);
        let mut waits = standing(Settings { until_success: Some(true), ..Settings::default() });
        let earlier = ConcernedSchedule { life: ScheduleLife::from_number(0), ..schedule.clone() };
        assert!(!end(&mut waits, &earlier, Outcome::Success));
        assert!(!end(&mut waits, &schedule, Outcome::Error) && end(&mut waits, &schedule, Outcome::Success));
        waits.next_fire_time = None;
        assert!(!end(&mut waits, &schedule, Outcome::Success), "it is finished once");
    }
}
