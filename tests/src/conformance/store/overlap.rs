//! What a fire does about earlier jobs of its schedule that have not ended.

use host::model::{JobId, JobSpec, JobState, LeaseToken, Outcome, Overlap};
use host::store::{AfterFire, EndedJob, Ending, FireSchedule, Fired, Overlapped};

use super::{Rig, cases};
use crate::factory::{self, LEASE, add, release, releases, schedule, schedule_id, success, t, task, task_id};

cases![
    each_policy_treats_what_runs_and_what_waits_as_it_says,
    a_policy_holds_among_the_jobs_of_one_fire,
    what_has_ended_and_what_others_made_keeps_no_fire_from_making_its_job,
    a_job_that_a_person_has_run_counts,
    a_job_that_waits_for_another_attempt_waits,
    a_waiting_job_that_is_replaced_leaves_its_place,
    a_running_job_is_asked_once,
    a_fire_that_is_stored_twice_does_not_get_in_its_own_way,
    a_schedule_overruns_while_its_fires_find_unfinished_jobs,
    the_parts_of_one_fire_do_not_make_a_schedule_overrun,
    many_schedules_with_policies_fire_in_one_call,
];

/// Fires the schedule `s` at that time. Answers what the store did.
async fn fire(rig: &Rig, at: i64, overlap: Overlap, jobs: Vec<JobSpec>) -> (Vec<JobId>, Overlapped) {
    let request = rig.make.acquire_schedules(at, 1);
    assert_eq!(
        rig.a.schedule_acquire(request.clone()).await.expect("acquired").schedules.len(),
        1,
        "it is due at {at}"
    );
    let fire = FireSchedule { token: request.token, ..fire_of(at, overlap, jobs) };
    match rig.a.schedule_fire(vec![fire]).await.expect("fired").pop() {
        Some(Fired::Stored { left_out, overlapped, .. }) => (left_out, overlapped),
        other => panic!("not stored: {other:?}"),
    }
}

fn fire_of(at: i64, overlap: Overlap, jobs: Vec<JobSpec>) -> FireSchedule {
    FireSchedule { overlap, ..factory::fire("s", LeaseToken::from_bytes([0; 16]), at, jobs) }
}

/// Fires the schedule `s` with one job at 5, and has that run; with another one at 15, and lets that wait. Answers both.
async fn one_runs_and_one_waits(rig: &Rig) -> [JobId; 2] {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let (running, waiting) = (rig.make.fired("s", 5), rig.make.fired("s", 15));
    let both = [running.id, waiting.id];
    fire(rig, 5, Overlap::Queue, vec![running]).await;
    assert_eq!(rig.acquire_one(5).await.0, both[0]);
    fire(rig, 15, Overlap::Queue, vec![waiting]).await;
    both
}

/// How a job stands: whether it was asked to stop or has ended as cancelled beside its state.
async fn standing(rig: &Rig, id: JobId) -> (JobState, bool) {
    let job = rig.job(id).await;
    (job.state, job.cancel_requested.is_some() || job.outcome == Some(Outcome::Cancelled))
}

async fn each_policy_treats_what_runs_and_what_waits_as_it_says(rig: Rig) {
    const RUNS: (JobState, bool) = (JobState::Running, false);
    const WAITS: (JobState, bool) = (JobState::Queued, false);
    const ASKED: (JobState, bool) = (JobState::Running, true);
    const ENDED: (JobState, bool) = (JobState::Finished, true);
    for (policy, is_made, expected) in [
        (Overlap::Queue, true, [RUNS, WAITS]),
        (Overlap::Skip, false, [RUNS, WAITS]),
        (Overlap::QueueOne, false, [RUNS, WAITS]),
        (Overlap::CancelRunning, true, [ASKED, ENDED]),
        (Overlap::ReplaceQueued, true, [RUNS, ENDED]),
    ] {
        let earlier = one_runs_and_one_waits(&rig).await;
        let job = rig.make.fired("s", 25);
        let id = job.id;
        let (left_out, overlapped) = fire(&rig, 25, policy, vec![job]).await;
        assert_eq!(left_out.is_empty(), is_made, "{policy}");
        assert_eq!(rig.b.job_get(id).await.expect("read").is_some(), is_made, "{policy}");
        let found = [standing(&rig, earlier[0]).await, standing(&rig, earlier[1]).await];
        assert_eq!(found, expected, "{policy}");
        let ended = |id| EndedJob { id, task_id: task_id("p:work") };
        let cancelled: Vec<EndedJob> =
            earlier.iter().zip(expected).filter(|(_, how)| *how == ENDED).map(|(id, _)| ended(*id)).collect();
        let asked: Vec<JobId> =
            earlier.iter().zip(expected).filter(|(_, how)| *how == ASKED).map(|(id, _)| *id).collect();
        assert_eq!((overlapped.cancelled, overlapped.asked), (cancelled, asked), "{policy}");
        if let (JobState::Finished, _) = found[1] {
            assert_eq!(rig.job(earlier[1]).await.finished_at, Some(t(25)), "{policy}");
        }
        start_again(&rig, &[earlier[0], earlier[1], id]).await;
    }
}

/// Removes the schedule and ends its jobs.
async fn start_again(rig: &Rig, jobs: &[JobId]) {
    rig.a.schedule_remove(&schedule_id("s")).await.expect("removed");
    for id in jobs {
        let Some(job) = rig.a.job_get(*id).await.expect("read") else { continue };
        match job.lease {
            Some(lease) => {
                rig.a.job_release(releases(30, release(*id, lease.token, success(31)))).await.expect("released");
            }
            None => {
                rig.a.job_cancel(*id, None, t(30)).await.expect("cancelled");
            }
        }
    }
    rig.a.cleanup(t(1_000_000), 1_000).await.expect("cleaned up");
}

async fn a_policy_holds_among_the_jobs_of_one_fire(rig: Rig) {
    for (policy, made) in [
        (Overlap::Queue, vec![0, 1, 2]),
        (Overlap::Skip, vec![0]),
        (Overlap::QueueOne, vec![0]),
        (Overlap::CancelRunning, vec![2]),
        (Overlap::ReplaceQueued, vec![2]),
    ] {
        rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
        let jobs: Vec<JobSpec> = (3..6).map(|at| rig.make.fired("s", at)).collect();
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        let (left_out, overlapped) = fire(&rig, 5, policy, jobs).await;
        let expected: Vec<JobId> =
            ids.iter().enumerate().filter(|(at, _)| !made.contains(at)).map(|(_, id)| *id).collect();
        assert_eq!((left_out, overlapped), (expected, Overlapped::default()), "{policy}");
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(rig.b.job_get(*id).await.expect("read").is_some(), made.contains(&at), "{policy} {at}");
        }
        start_again(&rig, &ids).await;
    }
}

async fn what_has_ended_and_what_others_made_keeps_no_fire_from_making_its_job(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    fire(&rig, 5, Overlap::Skip, vec![rig.make.fired("s", 5)]).await;
    let (id, token) = rig.acquire_one(5).await;
    rig.a.job_release(releases(6, release(id, token, success(1_000)))).await.expect("released");
    rig.add(rig.make.fired("t", 5)).await;
    rig.add(rig.make.job("p:work")).await;
    assert_eq!(fire(&rig, 15, Overlap::Skip, vec![rig.make.fired("s", 15)]).await, Default::default());
    // One that is put back into the queue has not ended.
    rig.a.job_cancel(rig.queued_of("s").await, None, t(16)).await.expect("cancelled");
    assert_eq!(fire(&rig, 25, Overlap::Skip, Vec::new()).await, Default::default());
    rig.a.job_retry(id, t(26)).await.expect("retried");
    let (left_out, _) = fire(&rig, 35, Overlap::Skip, vec![rig.make.fired("s", 35)]).await;
    assert_eq!(left_out.len(), 1);
}

impl Rig {
    /// The youngest queued job of a schedule.
    async fn queued_of(&self, id: &str) -> JobId {
        let filter = host::store::JobFilter {
            schedule_id: Some(schedule_id(id)),
            state: Some(JobState::Queued),
            limit: 1,
            ..host::store::JobFilter::default()
        };
        self.b.job_list(filter).await.expect("listed").rows.pop().expect("there is one").spec.id
    }
}

async fn a_job_that_a_person_has_run_counts(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let by_hand = JobSpec { scheduled_fire_time: None, ..rig.make.fired("s", 0) };
    rig.add(by_hand).await;
    let (left_out, _) = fire(&rig, 5, Overlap::Skip, vec![rig.make.fired("s", 5)]).await;
    assert_eq!(left_out.len(), 1);
}

async fn a_job_that_waits_for_another_attempt_waits(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    fire(&rig, 5, Overlap::Queue, vec![rig.make.fired("s", 5)]).await;
    let (id, token) = rig.acquire_one(5).await;
    let error = host::model::JobError::new(host::model::ErrorKind::GuestError, "no luck");
    let again = Ending::Retry { due_at: t(500), error };
    rig.a.job_release(releases(6, release(id, token, again))).await.expect("released");
    let (left_out, _) = fire(&rig, 15, Overlap::QueueOne, vec![rig.make.fired("s", 15)]).await;
    assert_eq!(left_out.len(), 1);
    let (left_out, overlapped) = fire(&rig, 25, Overlap::ReplaceQueued, vec![rig.make.fired("s", 25)]).await;
    assert_eq!((left_out.len(), overlapped.cancelled.len()), (0, 1));
    assert_eq!(standing(&rig, id).await, (JobState::Finished, true));
}

async fn a_waiting_job_that_is_replaced_leaves_its_place(rig: Rig) {
    rig.a.task_put(task("p:work", Some(1))).await.expect("put");
    let [running, waiting] = one_runs_and_one_waits(&rig).await;
    let job = rig.make.fired("s", 25);
    let id = job.id;
    fire(&rig, 25, Overlap::ReplaceQueued, vec![job]).await;
    assert!(rig.acquire(26, 9).await.is_empty(), "the task has no place free");
    let lease = rig.job(running).await.lease.expect("it runs");
    rig.a.job_release(releases(27, release(running, lease.token, success(1_000)))).await.expect("released");
    assert_eq!(super::ids(&rig.acquire(27, 9).await), [id]);
    assert_eq!(standing(&rig, waiting).await, (JobState::Finished, true));
}

async fn a_running_job_is_asked_once(rig: Rig) {
    let [running, _] = one_runs_and_one_waits(&rig).await;
    let (_, overlapped) = fire(&rig, 25, Overlap::CancelRunning, vec![rig.make.fired("s", 25)]).await;
    assert_eq!(overlapped.asked, [running]);
    let (_, overlapped) = fire(&rig, 35, Overlap::CancelRunning, vec![rig.make.fired("s", 35)]).await;
    assert_eq!((overlapped.asked.len(), overlapped.cancelled.len()), (0, 1));
}

async fn a_fire_that_is_stored_twice_does_not_get_in_its_own_way(rig: Rig) {
    for policy in Overlap::ALL.iter().copied() {
        rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
        let request = rig.make.acquire_schedules(5, 1);
        rig.a.schedule_acquire(request.clone()).await.expect("acquired");
        let jobs = vec![rig.make.fired("s", 5), rig.make.fired("s", 6)];
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        let then = AfterFire::Keep { now: t(5), lease: LEASE };
        let part = FireSchedule { token: request.token, then, ..fire_of(5, policy, jobs) };
        rig.a.schedule_fire(vec![part.clone()]).await.expect("fired");
        let before = rig.b.job_counts().await.expect("counted");
        rig.a.schedule_fire(vec![part]).await.expect("fired again");
        assert_eq!(rig.b.job_counts().await.expect("counted"), before, "{policy}");
        start_again(&rig, &ids).await;
    }
}

async fn a_schedule_overruns_while_its_fires_find_unfinished_jobs(rig: Rig) {
    let since = async || rig.b.schedule_get(&schedule_id("s")).await.expect("read").expect("there").overruns_since;
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let first = rig.make.fired("s", 5);
    let id = first.id;
    assert_eq!(fire(&rig, 5, Overlap::Skip, vec![first]).await.1.began_with, None);
    assert_eq!(since().await, None);
    let (_, overlapped) = fire(&rig, 15, Overlap::Skip, vec![rig.make.fired("s", 15)]).await;
    assert_eq!((overlapped.began_with, since().await), (Some(id), Some(t(15))));
    let (_, overlapped) = fire(&rig, 25, Overlap::Skip, vec![rig.make.fired("s", 25)]).await;
    assert_eq!((overlapped.began_with, since().await), (None, Some(t(15))), "it is told once");
    fire(&rig, 35, Overlap::Skip, Vec::new()).await;
    assert_eq!(since().await, Some(t(15)), "a fire without a job tells nothing");
    rig.a.job_cancel(id, None, t(36)).await.expect("cancelled");
    fire(&rig, 45, Overlap::Skip, vec![rig.make.fired("s", 45)]).await;
    assert_eq!(since().await, None);
    let (_, overlapped) = fire(&rig, 55, Overlap::Queue, vec![rig.make.fired("s", 55)]).await;
    assert!(overlapped.began_with.is_some() && since().await == Some(t(55)), "under every policy: {overlapped:?}");
}

async fn the_parts_of_one_fire_do_not_make_a_schedule_overrun(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let request = rig.make.acquire_schedules(5, 1);
    rig.a.schedule_acquire(request.clone()).await.expect("acquired");
    let then = AfterFire::Keep { now: t(5), lease: LEASE };
    let part = |at| FireSchedule { token: request.token, ..fire_of(at, Overlap::Skip, vec![rig.make.fired("s", at)]) };
    rig.a.schedule_fire(vec![FireSchedule { then, ..part(4) }]).await.expect("fired");
    let rest = FireSchedule { continues: true, ..part(5) };
    let left_out = vec![rest.jobs[0].id];
    let stored = Fired::Stored { left_out, is_finished: false, overlapped: Overlapped::default() };
    assert_eq!(rig.a.schedule_fire(vec![rest]).await.expect("fired"), [stored], "the policy holds over all parts");
    let stored = rig.b.schedule_get(&schedule_id("s")).await.expect("read").expect("there");
    assert_eq!(stored.overruns_since, None);
}

async fn many_schedules_with_policies_fire_in_one_call(rig: Rig) {
    const SCHEDULES: usize = 150;
    let name = |at: usize| format!("s{at:03}");
    for at in 0..SCHEDULES {
        rig.a.schedule_add(add(schedule(&name(at), 5))).await.expect("added");
    }
    for (round, expected) in [(5, SCHEDULES as u64), (15, SCHEDULES as u64 * 8 / 5)] {
        let request = rig.make.acquire_schedules(round, SCHEDULES);
        let acquired = rig.a.schedule_acquire(request.clone()).await.expect("acquired").schedules;
        assert_eq!(acquired.len(), SCHEDULES);
        let fires = (0..SCHEDULES).map(|at| FireSchedule {
            id: schedule_id(&name(at)),
            token: request.token,
            ..fire_of(round, Overlap::ALL[at % 5], vec![rig.make.fired(&name(at), round)])
        });
        rig.a.schedule_fire(fires.collect()).await.expect("fired");
        // What is replaced, where nothing runs, ends: of each five one job more waits, that of `queue`.
        let counts = rig.b.job_counts().await.expect("counted");
        assert_eq!(counts.queued + counts.finished, expected, "at {round}");
        assert_eq!(counts.queued, if round == 5 { 150 } else { 180 }, "at {round}");
    }
}
