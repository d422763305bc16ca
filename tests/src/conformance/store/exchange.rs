//! Ends and the next jobs in one call.

use host::model::{JobState, Outcome};
use host::store::{
    AcquireJobs, Ending, ExchangeJobs, ExchangedJobs, ReleaseJob, ReleaseJobs, Released, ServedQueue, Store,
};

use super::{Rig, cases, ids};
use crate::factory::{recover, release, served, success, t, task};

cases![
    an_exchange_ends_attempts_and_leases_the_next_jobs,
    the_place_that_an_end_frees_is_filled_by_the_same_call,
    an_end_whose_lease_is_lost_keeps_no_job_from_being_leased,
    an_exchange_that_is_asked_for_again_answers_what_it_has_leased,
    an_exchange_whose_answer_was_lost_and_that_leased_nothing_leases_what_has_come_since,
    jobs_that_are_given_back_can_be_leased_by_the_same_call,
    what_becomes_due_and_what_has_missed_its_deadline_is_dealt_with_in_an_exchange,
    an_exchange_without_ends_or_without_room_does_the_other_half,
    callers_who_exchange_at_once_share_the_jobs_and_keep_the_limit,
];

fn exchange(rig: &Rig, now: i64, releases: Vec<ReleaseJob>, limit: usize) -> ExchangeJobs {
    ExchangeJobs { release: ReleaseJobs { now: t(now), releases }, acquire: rig.make.acquire(now, limit) }
}

async fn done(store: &dyn Store, request: ExchangeJobs) -> ExchangedJobs {
    store.job_exchange(request).await.expect("exchanged")
}

/// `Stored`, or where an answer may have been lost, `LeaseLost`.
fn assert_stored(rig: &Rig, released: &[Released], count: usize) {
    assert_eq!(released.len(), count);
    assert!(!rig.is_exact || released.iter().all(|released| *released == Released::Stored), "{released:?}");
}

async fn an_exchange_ends_attempts_and_leases_the_next_jobs(rig: Rig) {
    let jobs: Vec<_> = (0..5).map(|_| rig.make.job("p:work")).collect();
    rig.a.job_add(jobs.clone()).await.expect("added");
    let first = rig.acquire(0, 2).await;
    let token = first[0].lease.as_ref().expect("leased").token;
    let ends = first.iter().map(|job| release(job.spec.id, token, success(50))).collect();
    let ExchangedJobs { released, acquired } = done(&*rig.a, exchange(&rig, 1, ends, 2)).await;
    assert_stored(&rig, &released, 2);
    assert_eq!(ids(&acquired.jobs), [jobs[2].id, jobs[3].id]);
    assert_eq!(acquired.jobs[0].lease.as_ref().expect("leased").expires_at, t(11));
    let ended = rig.job(jobs[0].id).await;
    assert_eq!((ended.outcome, ended.finished_at, ended.lease), (Some(Outcome::Success), Some(t(1)), None));
    assert_eq!(
        (rig.job(jobs[2].id).await.state, rig.job(jobs[4].id).await.state),
        (JobState::Running, JobState::Queued)
    );
}

async fn the_place_that_an_end_frees_is_filled_by_the_same_call(rig: Rig) {
    rig.a.task_put(task("p:one", Some(1))).await.expect("stored");
    let (one, two) = (rig.add(rig.make.job("p:one")).await, rig.add(rig.make.job("p:one")).await);
    let (id, token) = rig.acquire_one(0).await;
    assert_eq!(id, one.id);
    assert_eq!(rig.acquire(0, 5).await, []);
    let request = exchange(&rig, 1, vec![release(id, token, success(50))], 5);
    assert_eq!(ids(&done(&*rig.a, request).await.acquired.jobs), [two.id]);
}

async fn an_end_whose_lease_is_lost_keeps_no_job_from_being_leased(rig: Rig) {
    let lost = rig.add(rig.make.job("p:work")).await;
    let (_, old) = rig.acquire_one(0).await;
    rig.b.recover(recover(11)).await.expect("recovered");
    let (held, other) = (rig.acquire(11, 1).await, rig.add(rig.make.job("p:work")).await);
    assert_eq!(ids(&held), [lost.id]);
    let next = rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(11).await;
    assert_eq!(id, other.id);
    let ends = vec![release(lost.id, old, success(50)), release(other.id, token, success(50))];
    let ExchangedJobs { released, acquired } = done(&*rig.a, exchange(&rig, 12, ends, 1)).await;
    assert_eq!(released[0], Released::LeaseLost);
    assert_stored(&rig, &released[1..], 1);
    assert_eq!(ids(&acquired.jobs), [next.id]);
    assert_eq!(rig.job(lost.id).await.state, JobState::Running);
}

async fn an_exchange_that_is_asked_for_again_answers_what_it_has_leased(rig: Rig) {
    let jobs: Vec<_> = (0..4).map(|_| rig.make.job("p:work")).collect();
    rig.a.job_add(jobs.clone()).await.expect("added");
    let (id, token) = rig.acquire_one(0).await;
    let request = exchange(&rig, 1, vec![release(id, token, success(50))], 2);
    let first = done(&*rig.a, request.clone()).await;
    let second = done(&*rig.b, request).await;
    assert_eq!(second.released, [Released::LeaseLost]);
    assert_eq!((ids(&second.acquired.jobs), second.acquired.jobs), (ids(&first.acquired.jobs), first.acquired.jobs));
    assert_eq!(rig.job(jobs[3].id).await.state, JobState::Queued);
    assert_eq!(rig.job(id).await.outcome, Some(Outcome::Success));
}

async fn an_exchange_whose_answer_was_lost_and_that_leased_nothing_leases_what_has_come_since(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let request = exchange(&rig, 1, vec![release(id, token, success(50))], 2);
    assert_eq!(done(&*rig.a, request.clone()).await.acquired.jobs, []);
    let late = rig.add(rig.make.job("p:work")).await;
    let second = done(&*rig.a, request).await;
    assert_eq!((second.released, ids(&second.acquired.jobs)), (vec![Released::LeaseLost], vec![late.id]));
}

async fn jobs_that_are_given_back_can_be_leased_by_the_same_call(rig: Rig) {
    rig.a.task_put(task("p:one", Some(1))).await.expect("stored");
    let given_back = rig.add(rig.make.job("p:one")).await;
    let (id, token) = rig.acquire_one(0).await;
    // It comes before the one that waits, as it is older.
    rig.add(rig.make.job("p:one")).await;
    let ends = vec![release(id, token, Ending::Requeued { not_before: None })];
    let acquired = done(&*rig.a, exchange(&rig, 1, ends, 5)).await.acquired;
    assert_eq!(ids(&acquired.jobs), [given_back.id]);
    assert_eq!(acquired.jobs[0].attempt, 1);
}

async fn what_becomes_due_and_what_has_missed_its_deadline_is_dealt_with_in_an_exchange(rig: Rig) {
    rig.a.task_put(task("p:one", Some(1))).await.expect("stored");
    let running = rig.add(rig.make.job("p:one")).await;
    let (id, token) = rig.acquire_one(0).await;
    assert_eq!(id, running.id);
    let missed = host::model::JobSpec { start_deadline: Some(t(3)), ..rig.make.job("p:one") };
    let woken = host::model::JobSpec { due_at: t(5), ..rig.make.job("p:one") };
    rig.a.job_add(vec![missed.clone(), woken.clone()]).await.expect("added");
    let request = exchange(&rig, 6, vec![release(id, token, success(50))], 5);
    let acquired = done(&*rig.a, request).await.acquired;
    assert_eq!(ids(&acquired.jobs), [woken.id]);
    assert_eq!(rig.job(missed.id).await.outcome, Some(Outcome::MissedStartDeadline));
    if rig.is_exact {
        assert_eq!(acquired.missed.iter().map(|job| job.id).collect::<Vec<_>>(), [missed.id]);
    }
}

async fn an_exchange_without_ends_or_without_room_does_the_other_half(rig: Rig) {
    let job = rig.add(rig.make.job("p:work")).await;
    let ExchangedJobs { released, acquired } = done(&*rig.a, exchange(&rig, 0, Vec::new(), 3)).await;
    assert_eq!((released, ids(&acquired.jobs)), (Vec::new(), vec![job.id]));
    let token = acquired.jobs[0].lease.as_ref().expect("leased").token;
    rig.add(rig.make.job("p:work")).await;
    let ends = vec![release(job.id, token, success(50))];
    let acquire = AcquireJobs { queues: Vec::<ServedQueue>::new(), ..rig.make.acquire(1, 0) };
    let request = ExchangeJobs { release: ReleaseJobs { now: t(1), releases: ends }, acquire };
    let ExchangedJobs { released, acquired } = done(&*rig.a, request).await;
    assert_stored(&rig, &released, 1);
    assert_eq!(acquired.jobs, []);
    assert_eq!(rig.job(job.id).await.outcome, Some(Outcome::Success));
}

async fn callers_who_exchange_at_once_share_the_jobs_and_keep_the_limit(rig: Rig) {
    const JOBS: usize = 60;
    rig.a.task_put(task("p:two", Some(2))).await.expect("stored");
    let jobs = (0..JOBS).map(|at| rig.make.job(if at % 3 == 0 { "p:two" } else { "p:work" })).collect();
    rig.a.job_add(jobs).await.expect("added");
    let (rig, mut callers) = (std::sync::Arc::new(rig), tokio::task::JoinSet::new());
    for caller in 0..4 {
        let rig = std::sync::Arc::clone(&rig);
        callers.spawn(async move {
            let store = if caller % 2 == 0 { &rig.a } else { &rig.b };
            let (mut ends, mut ended, mut idle) = (Vec::new(), 0, 0);
            while idle < 20 {
                let acquire = AcquireJobs { queues: vec![served("default", 3)], ..rig.make.acquire(1, 3) };
                let token = acquire.token;
                let release = ReleaseJobs { now: t(1), releases: std::mem::take(&mut ends) };
                let jobs = done(&**store, ExchangeJobs { release, acquire }).await.acquired.jobs;
                let limited = jobs.iter().filter(|job| job.spec.task_id.as_str() == "p:two").count();
                assert!(limited <= 2, "{limited} jobs of a task that may run two");
                idle = if jobs.is_empty() { idle + 1 } else { 0 };
                ended += jobs.len();
                ends = jobs.iter().map(|job| release_of(job, token)).collect();
            }
            ended
        });
    }
    let ended: usize = callers.join_all().await.into_iter().sum();
    assert_eq!(ended, JOBS, "each job is leased once");
    let counts = rig.a.job_counts().await.expect("counted");
    assert_eq!((counts.queued, counts.running, counts.finished), (0, 0, JOBS as u64));
}

fn release_of(job: &host::model::Job, token: host::model::LeaseToken) -> ReleaseJob {
    release(job.spec.id, token, success(50))
}
