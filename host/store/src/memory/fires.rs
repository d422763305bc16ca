//! Fires in memory.

use std::collections::HashSet;

use super::schedules::Entry;
use super::{Now, State};
use crate::ledger;
use crate::model::{CancelRequest, JobId, Lease, Overlap};
use crate::overlap::{self, EARLIER_MAX, Place, Unfinished, Verdict};
use crate::{AfterFire, Cancelled, EndedJob, FireSchedule, Fired, Overlapped};

impl State {
    /// See [`ScheduleQueue::schedule_fire`](crate::ScheduleQueue::schedule_fire).
    pub(super) fn fire(&mut self, fire: FireSchedule, now: Now) -> Fired {
        let holds = |entry: &&Entry| entry.lease.as_ref().is_some_and(|lease| lease.token == fire.token);
        let Some(entry) = self.schedules.entry(&fire.id).filter(holds) else { return Fired::LeaseLost };
        let (before, next) = (entry.schedule.overruns_since, entry.schedule.next_fire_time);
        let planned: Vec<JobId> = fire.jobs.iter().map(|job| job.id).collect();
        // A fire that is stored a second time finds jobs of its own.
        let earlier = self.jobs.unfinished(&fire.id).filter(|job| !planned.contains(&job.id)).take(EARLIER_MAX);
        let earlier: Vec<Unfinished> = earlier.collect();
        let youngest = earlier.first().map(|job| job.id);
        let overruns_since = overlap::overruns_since(&fire, youngest, before);
        let began_with = youngest.filter(|_| overruns_since.is_some() && before.is_none());
        let place = Place { fire_count: entry.schedule.fire_count, next_fire_time: next };
        let decision = overlap::decide(fire.overlap, &earlier, &planned).within(&fire, place);
        let mut overlapped = Overlapped { began_with, ..self.replace(&fire, &decision.replaced) };
        overlapped.cancelled.sort_by_key(|job| job.id);
        overlapped.asked.sort();
        let (mut left_out, mut known) = (Vec::new(), HashSet::new());
        for (job, verdict) in fire.jobs.iter().zip(&decision.verdicts) {
            let is_known = *verdict == Verdict::Made && !self.jobs.add(job.clone());
            known.extend(is_known.then_some(job.id));
            left_out.extend((is_known || *verdict != Verdict::Made).then_some(job.id));
        }
        let fire_count = decision.fire_count(&fire, place, &known);
        let (next_fire_time, is_finished) =
            (overlap::next_fire_time(&fire, fire_count), overlap::is_finished(&fire, fire_count));
        let lines = ledger::lines(&fire, &decision, &known, &overlapped, next, next_fire_time.is_none());
        self.schedules.change(&fire.id, |entry| {
            let lease = entry.lease.take();
            entry.put_off_until = None;
            match fire.then {
                AfterFire::Free => {}
                AfterFire::Keep { lease: span, .. } => {
                    let expires_at = now.leases.saturating_add(span);
                    entry.lease = lease.map(|lease| Lease { expires_at, ..lease });
                    entry.put_off_until = Some(now.due.saturating_add(span));
                }
                AfterFire::PutOff { until } => entry.put_off_until = Some(until),
                AfterFire::Pause(reason) => entry.schedule.pause = Some(reason),
            }
            entry.schedule.trigger_state = fire.trigger_state;
            entry.schedule.next_fire_time = next_fire_time;
            entry.schedule.fire_count = fire_count;
            entry.schedule.last_fire_time = fire.last_fire_time.or(entry.schedule.last_fire_time);
            entry.schedule.overruns_since = overruns_since;
            entry.history.write(lines);
        });
        Fired::Stored { left_out, is_finished, overlapped }
    }

    /// Cancels earlier jobs that wait, and asks those to stop that run.
    fn replace(&mut self, fire: &FireSchedule, replaced: &[Unfinished]) -> Overlapped {
        let mut overlapped = Overlapped::default();
        for Unfinished { id, is_running } in replaced.iter().copied() {
            let Some(job) = self.jobs.get(id) else { continue };
            let may_be_cancelled =
                !is_running || fire.overlap == Overlap::CancelRunning && job.cancel_requested.is_none();
            let task_id = job.spec.task_id.clone();
            match may_be_cancelled.then(|| self.jobs.cancel(id, CancelRequest::default(), fire.at)).flatten() {
                Some(Cancelled::Ended) => overlapped.cancelled.push(EndedJob { id, task_id }),
                Some(Cancelled::Asked) => overlapped.asked.push(id),
                Some(Cancelled::AlreadyFinished) | None => {}
            }
        }
        overlapped
    }
}
