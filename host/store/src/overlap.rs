//! What the overlap policy makes of a fire, from the unfinished jobs of its schedule: one decision for every store.

use std::collections::HashSet;

use crate::FireSchedule;
use crate::model::{JobId, JobSpec, Overlap, Timestamp};

/// Most earlier jobs that a fire looks at, the youngest first: what it replaces beyond them is replaced by the next one.
pub const EARLIER_MAX: usize = 1_000;

/// An earlier job of a schedule that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    /// The job.
    pub id: JobId,
    /// Whether it runs; else it waits.
    pub is_running: bool,
}

/// What becomes of a job that was planned for a fire time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is queued.
    Made,
    /// It is not made, because of that job, which waits or runs.
    Skipped(JobId),
    /// It is not made, because that job of the same fire would replace it at once.
    Replaced(JobId),
    /// It is not made, because the schedule has made all the jobs that it may.
    Finished,
}

/// What a fire does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of each planned job, in their order.
    pub verdicts: Vec<Verdict>,
    /// The earlier jobs that are replaced: those that wait are cancelled, those that run are asked to stop.
    pub replaced: Vec<Unfinished>,
}

impl Decision {
    /// Every planned job is queued.
    pub fn all_made(planned: usize) -> Decision {
        Decision { verdicts: vec![Verdict::Made; planned], replaced: Vec::new() }
    }

    /// The same without the jobs that are beyond the bound on the fires of their schedule.
    #[must_use]
    pub fn within(mut self, fire: &FireSchedule, place: Place) -> Decision {
        let Some(max) = fire.max_fires else { return self };
        let mut left = u64::from(max.get()).saturating_sub(place.fire_count);
        for (job, verdict) in fire.jobs.iter().zip(&mut self.verdicts) {
            if *verdict != Verdict::Made || !place.is_ahead(job) {
                continue;
            }
            match left.checked_sub(1) {
                Some(fewer) => left = fewer,
                None => *verdict = Verdict::Finished,
            }
        }
        if !self.verdicts.contains(&Verdict::Made) {
            self.replaced.clear();
        }
        self
    }

    /// How many fires of the schedule have made a job once this is stored. `known`: jobs that are not made because their fires had some
    /// already.
    pub fn fire_count(&self, fire: &FireSchedule, place: Place, known: &HashSet<JobId>) -> u64 {
        let made = fire.jobs.iter().zip(&self.verdicts).filter(|(_, verdict)| **verdict == Verdict::Made);
        let made = made.filter(|(job, _)| place.is_ahead(job) && !known.contains(&job.id));
        place.fire_count + made.count() as u64
    }
}

/// How far a schedule has come before a fire is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// How many of its fires have made a job.
    pub fire_count: u64,
    /// When it was to fire next. What was due before that has fired, which matters for a fire that is stored twice.
    pub next_fire_time: Option<Timestamp>,
}

impl Place {
    fn is_ahead(self, job: &JobSpec) -> bool {
        self.next_fire_time.is_none_or(|next| job.scheduled_fire_time.is_none_or(|at| at >= next))
    }
}

/// Whether the policy asks how each of the earlier jobs stands, rather than whether there is one.
pub fn asks_for_each(policy: Overlap) -> bool {
    match policy {
        Overlap::Queue | Overlap::Skip => false,
        Overlap::QueueOne | Overlap::CancelRunning | Overlap::ReplaceQueued => true,
    }
}

/// When the schedule fires next once a fire is stored, after which `fire_count` of its fires have made a job.
pub fn next_fire_time(fire: &FireSchedule, fire_count: u64) -> Option<Timestamp> {
    fire.next_fire_time.filter(|_| !is_finished(fire, fire_count))
}

/// Whether the schedule has reached the bound on its fires.
pub fn is_finished(fire: &FireSchedule, fire_count: u64) -> bool {
    fire.max_fires.is_some_and(|max| fire_count >= u64::from(max.get()))
}

/// Since which fire time the schedule overruns once a fire is stored. `earlier`: a job from before that has not ended. `since`: what was
/// stored before.
pub fn overruns_since(fire: &FireSchedule, earlier: Option<JobId>, since: Option<Timestamp>) -> Option<Timestamp> {
    match (fire.jobs.first(), earlier) {
        // It tells nothing.
        (None, _) => since,
        (Some(_), _) if fire.continues => since,
        (Some(_), None) => None,
        (Some(job), Some(_)) => since.or(job.scheduled_fire_time),
    }
}

/// Decides about the jobs that were planned for a fire. `earlier`: the unfinished ones from before, the youngest first.
pub fn decide(policy: Overlap, earlier: &[Unfinished], planned: &[JobId]) -> Decision {
    let first =
        |is_in_the_way: fn(&Unfinished) -> bool| earlier.iter().find(|job| is_in_the_way(job)).map(|job| job.id);
    match policy {
        Overlap::Queue => Decision::all_made(planned.len()),
        Overlap::Skip => one_at_a_time(first(|_| true), planned),
        Overlap::QueueOne => one_at_a_time(first(|job| !job.is_running), planned),
        Overlap::CancelRunning => last_one(earlier.to_vec(), planned),
        Overlap::ReplaceQueued => last_one(earlier.iter().filter(|job| !job.is_running).copied().collect(), planned),
    }
}

/// The first planned job is made if nothing is in the way, and is then in the way of the others.
fn one_at_a_time(mut in_the_way: Option<JobId>, planned: &[JobId]) -> Decision {
    let verdict = |id: &JobId| match in_the_way {
        Some(other) => Verdict::Skipped(other),
        None => {
            in_the_way = Some(*id);
            Verdict::Made
        }
    };
    Decision { verdicts: planned.iter().map(verdict).collect(), replaced: Vec::new() }
}

/// The last planned job takes the place of the earlier ones and of the other planned ones.
fn last_one(replaced: Vec<Unfinished>, planned: &[JobId]) -> Decision {
    let Some((last, others)) = planned.split_last() else { return Decision::default() };
    let verdicts = others.iter().map(|_| Verdict::Replaced(*last)).chain([Verdict::Made]).collect();
    Decision { verdicts, replaced }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> JobId {
        JobId::from_bytes([number; 16])
    }

    fn earlier(jobs: &[(u8, bool)]) -> Vec<Unfinished> {
        jobs.iter().map(|(number, is_running)| Unfinished { id: id(*number), is_running: *is_running }).collect()
    }

    #[test]
    fn each_policy_does_what_its_name_says() {
        use Verdict::{Made, Replaced, Skipped};
        const RUNNING: (u8, bool) = (1, true);
        const WAITING: (u8, bool) = (2, false);
        let planned = [id(8), id(9)];
        for (policy, before, verdicts, replaced) in [
            (Overlap::Queue, vec![WAITING, RUNNING], [Made, Made], vec![]),
            (Overlap::Skip, vec![], [Made, Skipped(id(8))], vec![]),
            (Overlap::Skip, vec![RUNNING], [Skipped(id(1)); 2], vec![]),
            (Overlap::Skip, vec![WAITING, RUNNING], [Skipped(id(2)); 2], vec![]),
            (Overlap::QueueOne, vec![], [Made, Skipped(id(8))], vec![]),
            (Overlap::QueueOne, vec![RUNNING], [Made, Skipped(id(8))], vec![]),
            (Overlap::QueueOne, vec![WAITING, RUNNING], [Skipped(id(2)); 2], vec![]),
            (Overlap::CancelRunning, vec![], [Replaced(id(9)), Made], vec![]),
            (Overlap::CancelRunning, vec![WAITING, RUNNING], [Replaced(id(9)), Made], vec![WAITING, RUNNING]),
            (Overlap::ReplaceQueued, vec![WAITING, RUNNING], [Replaced(id(9)), Made], vec![WAITING]),
            (Overlap::ReplaceQueued, vec![RUNNING], [Replaced(id(9)), Made], vec![]),
        ] {
            let decision = decide(policy, &earlier(&before), &planned);
            assert_eq!((decision.verdicts, decision.replaced), (verdicts.to_vec(), earlier(&replaced)), "{policy}");
        }
    }

    #[test]
    fn what_plans_nothing_replaces_nothing() {
        for policy in Overlap::ALL {
            assert_eq!(decide(*policy, &earlier(&[(1, true), (2, false)]), &[]), Decision::default(), "{policy}");
        }
    }
}
