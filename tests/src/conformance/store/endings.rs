//! Schedules that are paused or finished by how their jobs end, or by the number of their fires.

use std::num::NonZeroU32;

use host::model::{
    ErrorKind, Fate, JobError, JobId, JobSettings, JobSpec, LeaseToken, Outcome, Overlap, Pause, PauseAfter, Schedule,
    ScheduleLife, Settings,
};
use host::store::{
    AfterFire, Ending, FireSchedule, Fired, ReadHistory, ReleaseJob, ReleaseJobs, Released, ScheduleStop,
    StoppedSchedule, UnpauseSchedule,
};

use super::{Rig, cases};
use crate::factory::{self, LEASE, add, recover, release, schedule, schedule_id, success, t, task_id};

cases![
    so_many_failures_in_a_row_pause_a_schedule,
    a_success_and_an_unpause_begin_the_count_anew,
    what_a_schedule_says_when_a_job_ends_goes_over_what_its_job_was_made_with,
    jobs_of_an_earlier_life_and_jobs_that_do_not_concern_it_change_nothing,
    an_abandoned_job_is_a_failure,
    failures_in_one_call_count_one_by_one,
    the_first_success_finishes_a_schedule_that_waits_for_it,
    what_was_due_when_a_success_finished_the_schedule_has_a_line,
    a_fire_under_way_does_not_revive_a_schedule_that_a_job_has_stopped,
    the_bound_on_fires_finishes_a_schedule_and_what_is_beyond_it_has_a_line,
    a_fire_that_makes_no_job_does_not_count,
    the_parts_of_one_fire_count_together_and_once,
];

fn count(count: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(count)
}

/// A job of the schedule `s` that was made while it was to be paused after so many failures.
fn concerned(rig: &Rig, pause_after: u32) -> JobSpec {
    let job = rig.make.fired("s", 5);
    let settings = JobSettings { pause_after: count(pause_after), ..job.settings };
    JobSpec { scheduled_fire_time: None, settings, ..job }
}

/// A job of the schedule `s` that was made while it was to be finished by a success.
fn awaited(rig: &Rig) -> JobSpec {
    let job = concerned(rig, 0);
    JobSpec { settings: JobSettings { until_success: true, ..job.settings }, ..job }
}

fn error() -> Ending {
    let error = Some(JobError::new(ErrorKind::GuestError, "no"));
    Ending::Finished { outcome: Outcome::Error, result: None, error, expires_at: t(1_000) }
}

/// Has that job run and end at `t(now)`. Answers what that did to its schedule, where the answer is sure to arrive.
async fn run(rig: &Rig, job: JobSpec, now: i64, ending: Ending) -> (JobId, Option<ScheduleStop>) {
    let job = rig.add(job).await;
    let (id, token) = rig.acquire_one(now).await;
    assert_eq!(id, job.id);
    let ended = ReleaseJob { concerned: job.concerned(), ..release(id, token, ending) };
    let answers = rig.a.job_release(factory::releases(now, ended)).await.expect("released");
    match &answers[..] {
        [Released::StoredAndStopped(StoppedSchedule { id: stopped, task_id: task, stop })] => {
            assert_eq!((stopped, task), (&schedule_id("s"), &task_id("p:work")));
            (id, Some(stop.clone()))
        }
        [Released::Stored] => (id, None),
        [Released::LeaseLost] if !rig.is_exact => (id, None),
        answers => panic!("{answers:?}"),
    }
}

async fn stored(rig: &Rig) -> Schedule {
    rig.b.schedule_get(&schedule_id("s")).await.expect("read").expect("it is there")
}

/// What the lines of `s` say, the first one first.
async fn fates(rig: &Rig) -> Vec<(Fate, u64, bool)> {
    let page = rig.b.schedule_history(ReadHistory { id: schedule_id("s"), before: None, limit: 100 }).await;
    let mut lines = page.expect("read").rows;
    lines.reverse();
    lines.into_iter().map(|line| (line.fate, line.count, line.is_end)).collect()
}

async fn so_many_failures_in_a_row_pause_a_schedule(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 50))).await.expect("added");
    for failures in 1..=2 {
        let (_, stop) = run(&rig, concerned(&rig, 3), 1, error()).await;
        assert_eq!((stop, stored(&rig).await.failures, stored(&rig).await.pause), (None, failures, None));
    }
    let (last, stop) = run(&rig, concerned(&rig, 3), 2, error()).await;
    let paused = stored(&rig).await;
    let reason = format!("3 jobs failed one after the other, the last one being {last}");
    assert!(!rig.is_exact || stop == Some(ScheduleStop::Paused(reason.clone())), "{stop:?}");
    assert_eq!((paused.failures, paused.pause), (3, Some(Pause::Failed(reason))));
    assert_eq!(paused.next_fire_time, Some(t(50)), "nothing is lost");
    assert_eq!(rig.a.schedule_next_due().await.expect("asked"), None);
    let (_, stop) = run(&rig, concerned(&rig, 3), 3, error()).await;
    assert_eq!((stop, stored(&rig).await.failures), (None, 4), "it is paused already");
}

async fn a_success_and_an_unpause_begin_the_count_anew(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 50))).await.expect("added");
    let neutral = Ending::Finished { outcome: Outcome::Cancelled, result: None, error: None, expires_at: t(1_000) };
    for (ending, failures) in [(error(), 1), (success(1_000), 0), (error(), 1), (neutral, 1)] {
        run(&rig, concerned(&rig, 2), 1, ending).await;
        assert_eq!((stored(&rig).await.failures, stored(&rig).await.pause), (failures, None));
    }
    run(&rig, concerned(&rig, 2), 1, error()).await;
    assert!(stored(&rig).await.pause.is_some());
    let unpaused = rig.b.schedule_unpause(UnpauseSchedule { id: schedule_id("s"), resume: None }).await;
    let unpaused = unpaused.expect("unpaused");
    assert_eq!((unpaused.failures, unpaused.pause, unpaused.next_fire_time), (0, None, Some(t(50))));
}

async fn what_a_schedule_says_when_a_job_ends_goes_over_what_its_job_was_made_with(rig: Rig) {
    let settings = Settings { pause_after: Some(PauseAfter::Never), ..Settings::default() };
    rig.a.schedule_add(add(Schedule { settings, ..schedule("s", 50) })).await.expect("added");
    run(&rig, concerned(&rig, 1), 1, error()).await;
    let never = stored(&rig).await;
    assert_eq!((never.failures, &never.pause), (1, &None));
    let settings = Settings { pause_after: count(2).map(PauseAfter::Failures), ..Settings::default() };
    let set = host::store::SetSchedule {
        schedule: Schedule { settings, ..never.clone() },
        expected: never,
        at: t(1),
        passed: None,
    };
    rig.a.schedule_set(set).await.expect("set");
    run(&rig, concerned(&rig, 9), 1, error()).await;
    assert!(stored(&rig).await.pause.is_some(), "the failure before counts as well");
}

async fn jobs_of_an_earlier_life_and_jobs_that_do_not_concern_it_change_nothing(rig: Rig) {
    let settings = Settings { until_success: Some(true), ..Settings::default() };
    rig.a.schedule_add(add(Schedule { settings, ..schedule("s", 50) })).await.expect("added");
    let before = stored(&rig).await;
    let earlier = JobSpec { schedule_life: ScheduleLife::from_number(6), ..concerned(&rig, 1) };
    run(&rig, earlier, 1, error()).await;
    run(&rig, JobSpec { schedule_life: ScheduleLife::from_number(6), ..awaited(&rig) }, 1, success(1_000)).await;
    run(&rig, JobSpec { scheduled_fire_time: None, ..rig.make.fired("s", 5) }, 1, error()).await;
    assert_eq!(stored(&rig).await, before);
    rig.a.schedule_remove(&schedule_id("s")).await.expect("removed");
    let (_, stop) = run(&rig, concerned(&rig, 1), 1, error()).await;
    assert_eq!(stop, None, "there is none any more");
}

async fn an_abandoned_job_is_a_failure(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 50))).await.expect("added");
    let job = concerned(&rig, 1);
    let job = rig.add(JobSpec { settings: JobSettings { crash_retries: 0, ..job.settings }, ..job }).await;
    rig.acquire_one(0).await;
    let done = rig.b.recover(recover(10)).await.expect("recovered");
    let reason = format!("job {} failed", job.id);
    if rig.is_exact {
        let stop = ScheduleStop::Paused(reason.clone());
        assert_eq!(done.stopped, [StoppedSchedule { id: schedule_id("s"), task_id: task_id("p:work"), stop }]);
    }
    let paused = stored(&rig).await;
    assert_eq!((paused.failures, paused.pause), (1, Some(Pause::Failed(reason))));
}

async fn failures_in_one_call_count_one_by_one(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 50))).await.expect("added");
    for _ in 0..4 {
        rig.add(concerned(&rig, 3)).await;
    }
    let endings = [error(), success(1_000), error(), error()];
    let jobs = rig.acquire(1, 4).await;
    let releases = jobs.into_iter().zip(endings).map(|(job, ending)| {
        let token = job.lease.expect("leased").token;
        ReleaseJob { concerned: job.spec.concerned(), ..release(job.spec.id, token, ending) }
    });
    let request = ReleaseJobs { now: t(1), releases: releases.collect() };
    let answers = rig.a.job_release(request).await.expect("released");
    assert!(!rig.is_exact || answers == vec![Released::Stored; 4], "{answers:?}");
    assert_eq!((stored(&rig).await.failures, stored(&rig).await.pause), (2, None));
    run(&rig, concerned(&rig, 3), 1, error()).await;
    assert!(stored(&rig).await.pause.is_some());
}

fn until_success(due: i64) -> Schedule {
    let settings = Settings { until_success: Some(true), ..Settings::default() };
    Schedule { settings, ..schedule("s", due) }
}

async fn the_first_success_finishes_a_schedule_that_waits_for_it(rig: Rig) {
    rig.a.schedule_add(add(until_success(50))).await.expect("added");
    run(&rig, awaited(&rig), 1, error()).await;
    assert_eq!(stored(&rig).await.next_fire_time, Some(t(50)));
    let (_, stop) = run(&rig, awaited(&rig), 1, success(1_000)).await;
    assert!(!rig.is_exact || stop == Some(ScheduleStop::Finished), "{stop:?}");
    let finished = stored(&rig).await;
    assert_eq!((finished.next_fire_time, finished.pause, finished.failures), (None, None, 0));
    assert_eq!(fates(&rig).await, [], "nothing was due");
    assert_eq!(rig.a.schedule_next_due().await.expect("asked"), None);
    assert_eq!(run(&rig, awaited(&rig), 1, success(1_000)).await.1, None, "it is finished already");
}

async fn what_was_due_when_a_success_finished_the_schedule_has_a_line(rig: Rig) {
    rig.a.schedule_add(add(until_success(5))).await.expect("added");
    run(&rig, awaited(&rig), 7, success(1_000)).await;
    assert_eq!(stored(&rig).await.next_fire_time, None);
    assert_eq!(fates(&rig).await, [(Fate::Finished, 1, false)]);
}

async fn a_fire_under_way_does_not_revive_a_schedule_that_a_job_has_stopped(rig: Rig) {
    for (job, ending) in [(awaited(&rig), success(1_000)), (concerned(&rig, 1), error())] {
        rig.a.schedule_add(add(until_success(5))).await.expect("added");
        let request = rig.make.acquire_schedules(5, 1);
        let token = request.token;
        assert_eq!(rig.a.schedule_acquire(request).await.expect("acquired").schedules.len(), 1);
        run(&rig, job, 6, ending).await;
        let stopped = stored(&rig).await;
        let fire = factory::fire("s", token, 5, vec![rig.make.fired("s", 5)]);
        assert_eq!(rig.a.schedule_fire(vec![fire]).await.expect("answered"), [Fired::LeaseLost]);
        assert_eq!(stored(&rig).await, stopped);
        rig.a.schedule_remove(&schedule_id("s")).await.expect("removed");
    }
}

/// Leases the schedule `s` and fires it, at most so often. Answers the jobs that were left out, and whether it is finished.
async fn fire(rig: &Rig, at: i64, fire: FireSchedule) -> (Vec<JobId>, bool) {
    let request = rig.make.acquire_schedules(at, 1);
    let token = request.token;
    assert_eq!(rig.a.schedule_acquire(request).await.expect("acquired").schedules.len(), 1, "it is due at {at}");
    match rig.a.schedule_fire(vec![FireSchedule { token, ..fire }]).await.expect("fired").pop() {
        Some(Fired::Stored { left_out, is_finished, .. }) => (left_out, is_finished),
        other => panic!("not stored: {other:?}"),
    }
}

fn at_most(max: u32, at: i64, jobs: Vec<JobSpec>) -> FireSchedule {
    FireSchedule { max_fires: count(max), ..factory::fire("s", LeaseToken::from_bytes([0; 16]), at, jobs) }
}

async fn the_bound_on_fires_finishes_a_schedule_and_what_is_beyond_it_has_a_line(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let (left_out, is_finished) = fire(&rig, 5, at_most(3, 5, vec![rig.make.fired("s", 5)])).await;
    assert_eq!((left_out, is_finished, stored(&rig).await.fire_count), (vec![], false, 1));
    let jobs: Vec<JobSpec> = (15..19).map(|at| rig.make.fired("s", at)).collect();
    let beyond: Vec<JobId> = jobs[2..].iter().map(|job| job.id).collect();
    let (left_out, is_finished) = fire(&rig, 18, at_most(3, 18, jobs)).await;
    assert_eq!((left_out, is_finished), (beyond, true));
    let finished = stored(&rig).await;
    assert_eq!((finished.fire_count, finished.next_fire_time, finished.pause), (3, None, None));
    let lines = [(Fate::Queued, 1, false), (Fate::Queued, 2, false), (Fate::Finished, 2, true)];
    assert_eq!(fates(&rig).await, lines);
    assert_eq!(rig.acquire(20, 10).await.len(), 3);
}

async fn a_fire_that_makes_no_job_does_not_count(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    fire(&rig, 5, at_most(2, 5, vec![rig.make.fired("s", 5)])).await;
    for at in [15, 25] {
        let skip = FireSchedule { overlap: Overlap::Skip, ..at_most(2, at, vec![rig.make.fired("s", at)]) };
        assert!(!fire(&rig, at, skip).await.1);
    }
    let skipped = stored(&rig).await;
    assert_eq!((skipped.fire_count, skipped.next_fire_time), (1, Some(t(35))));
    assert!(fire(&rig, 35, at_most(2, 35, vec![rig.make.fired("s", 35)])).await.1);
    assert_eq!(stored(&rig).await.next_fire_time, None);
}

async fn the_parts_of_one_fire_count_together_and_once(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let request = rig.make.acquire_schedules(30, 1);
    let token = request.token;
    rig.a.schedule_acquire(request).await.expect("acquired");
    let jobs: Vec<JobSpec> = [5, 15, 25].map(|at| rig.make.fired("s", at)).to_vec();
    let keep = AfterFire::Keep { now: t(30), lease: LEASE };
    let first = FireSchedule { token, then: keep, ..at_most(3, 15, jobs[..2].to_vec()) };
    for _ in 0..2 {
        rig.a.schedule_fire(vec![first.clone()]).await.expect("fired");
        assert_eq!((stored(&rig).await.fire_count, stored(&rig).await.next_fire_time), (2, Some(t(25))));
    }
    let last = FireSchedule { token, continues: true, ..at_most(3, 25, jobs[2..].to_vec()) };
    rig.a.schedule_fire(vec![last]).await.expect("fired");
    assert_eq!((stored(&rig).await.fire_count, stored(&rig).await.next_fire_time), (3, None));
}
