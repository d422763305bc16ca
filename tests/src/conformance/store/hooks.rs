//! Hooks: jobs that are made because another one has ended.

use std::sync::Arc;

use host::model::{
    ErrorKind, Hooks, Job, JobError, JobId, JobSettings, JobSpec, Outcome, Parallelism, Payload, Settings, Task,
};
use host::store::{Ending, ExchangeJobs, HookedJob, JobFilter, ReleaseJob, ReleaseJobs, Released};
use serde_json::{Value, json};

use super::{Rig, cases};
use crate::factory::{self, recover, release, success, t, task, task_id};

cases![
    the_end_of_a_job_makes_one_job_of_the_task_that_is_named_for_it,
    an_end_that_no_hook_is_named_for_makes_no_job,
    a_hook_whose_task_is_gone_keeps_no_job_from_ending,
    a_missed_start_deadline_calls_its_hook,
    an_abandoned_job_calls_its_hook_and_one_that_is_tried_again_does_not,
    each_of_many_ends_in_one_call_calls_its_own,
    an_exchange_calls_hooks_as_well,
    a_job_that_ends_twice_calls_its_hook_twice,
];

/// A job that calls `p:failed`, `p:done` and `p:missed`.
fn hooked(rig: &Rig) -> JobSpec {
    let hooks = Hooks {
        on_failure: Some(task_id("p:failed")),
        on_success: Some(task_id("p:done")),
        on_missed: Some(task_id("p:missed")),
    };
    let job = rig.make.job("p:work");
    JobSpec { settings: JobSettings { hooks, crash_retries: 0, ..job.settings }, ..job }
}

fn error() -> Ending {
    let error = Some(JobError::new(ErrorKind::GuestError, "no"));
    Ending::Finished { outcome: Outcome::Error, result: None, error, expires_at: t(1_000) }
}

fn ended(job: Job, now: i64, ending: Ending) -> ReleaseJob {
    let token = job.lease.as_ref().expect("it is leased").token;
    let job = Arc::new(job);
    ReleaseJob { hooked: HookedJob::of(&job, t(now)), ..release(job.spec.id, token, ending) }
}

/// Has the one job that is due run and end at `t(now)`.
async fn run(rig: &Rig, now: i64, ending: Ending) -> JobId {
    let job = rig.acquire(now, 1).await.pop().expect("a job is due");
    let id = job.spec.id;
    let ended = ended(job, now, ending);
    rig.a.job_release(factory::releases(now, ended.clone())).await.expect("released");
    let again = rig.a.job_release(factory::releases(now + 1, ended)).await.expect("answered");
    assert_eq!(again, [Released::LeaseLost]);
    id
}

/// The jobs of a task, the youngest first, with what they are told.
async fn called(rig: &Rig, task: &str) -> Vec<(Job, Value)> {
    let filter = JobFilter { task_id: Some(task_id(task)), limit: 100, ..JobFilter::default() };
    let jobs = rig.b.job_list(filter).await.expect("read").rows;
    let told = |job: &Job| serde_json::from_slice::<Value>(&job.spec.args.data).expect("JSON")["job"].clone();
    jobs.into_iter().map(|job| (job.clone(), told(&job))).collect()
}

async fn counts(rig: &Rig) -> [usize; 3] {
    let mut counts = [0; 3];
    for (count, task) in counts.iter_mut().zip(["p:failed", "p:done", "p:missed"]) {
        *count = called(rig, task).await.len();
    }
    counts
}

async fn the_end_of_a_job_makes_one_job_of_the_task_that_is_named_for_it(rig: Rig) {
    let of_hook = Settings { priority: Some(3), max_running_jobs: Some(Parallelism::Unlimited), ..Settings::default() };
    rig.a.task_put(Task { configured: of_hook, ..task("p:failed", None) }).await.expect("stored");
    let job = rig.add(hooked(&rig)).await;
    run(&rig, 1, error()).await;
    let (made, told) = called(&rig, "p:failed").await.pop().expect("it was made");
    assert_eq!(counts(&rig).await, [1, 0, 0]);
    assert_eq!((made.spec.settings.priority, made.spec.settings.hooks), (3, Hooks::default()));
    assert_eq!((&told["id"], &told["outcome"]), (&json!(job.id.to_string()), &json!("error")));
    assert_eq!(told["error"], json!({"kind": "guest_error", "message": "no", "context": []}));
    let (id, token) = rig.acquire_one(2).await;
    assert_eq!(id, made.spec.id, "it is due at once");
    rig.a.job_release(factory::releases(3, release(id, token, error()))).await.expect("released");
    assert_eq!(counts(&rig).await, [1, 0, 0]);
}

async fn an_end_that_no_hook_is_named_for_makes_no_job(rig: Rig) {
    let cancelled = Ending::Finished { outcome: Outcome::Cancelled, result: None, error: None, expires_at: t(1_000) };
    rig.add(hooked(&rig)).await;
    run(&rig, 1, cancelled).await;
    let retry = Ending::Retry { due_at: t(5), error: JobError::new(ErrorKind::GuestError, "again") };
    rig.add(hooked(&rig)).await;
    let id = run(&rig, 2, retry).await;
    assert_eq!(counts(&rig).await, [0, 0, 0]);
    rig.a.job_cancel(id, None, t(3)).await.expect("cancelled");
    assert_eq!(counts(&rig).await, [0, 0, 0], "whoever cancels a job knows of it");
    let job = hooked(&rig);
    let only_success = Hooks { on_failure: None, ..job.settings.hooks.clone() };
    rig.add(JobSpec { settings: JobSettings { hooks: only_success, ..job.settings }, ..job }).await;
    run(&rig, 4, error()).await;
    assert_eq!(counts(&rig).await, [0, 0, 0]);
}

async fn a_hook_whose_task_is_gone_keeps_no_job_from_ending(rig: Rig) {
    rig.add(hooked(&rig)).await;
    let result = Some(Payload::json(&json!({"n": 1})));
    let done = Ending::Finished { outcome: Outcome::Success, result, error: None, expires_at: t(1_000) };
    let id = run(&rig, 1, done).await;
    assert_eq!(rig.job(id).await.outcome, Some(Outcome::Success));
    let (made, told) = called(&rig, "p:done").await.pop().expect("it is made, and says itself what is wrong");
    assert_eq!(made.spec.settings.max_attempts, 1);
    assert_eq!(told["result"], json!({"n": 1}));
}

async fn a_missed_start_deadline_calls_its_hook(rig: Rig) {
    let late = |rig: &Rig| JobSpec { start_deadline: Some(t(5)), ..hooked(rig) };
    let (first, second) = (rig.add(late(&rig)).await, rig.add(late(&rig)).await);
    let acquired = rig.a.job_acquire(rig.make.acquire(9, 0)).await.expect("answered");
    let mut made: Vec<JobId> = called(&rig, "p:missed").await.into_iter().map(|(job, _)| job.spec.id).collect();
    assert_eq!((made.len(), counts(&rig).await), (2, [0, 0, 2]));
    if rig.is_exact {
        let mut told: Vec<JobId> = acquired.hooked.into_iter().map(|job| job.id).collect();
        told.sort();
        made.sort();
        assert_eq!(told, made);
    }
    let of: Vec<Value> = called(&rig, "p:missed").await.into_iter().map(|(_, told)| told["id"].clone()).collect();
    for job in [first, second] {
        assert!(of.contains(&json!(job.id.to_string())), "{of:?}");
    }
    assert_eq!(rig.acquire(10, 9).await.len(), 2, "they are due");
    let only = rig.add(late(&rig)).await;
    let choice = host::store::Choice::Only(only.id);
    rig.a.job_acquire(host::store::AcquireJobs { choice, ..rig.make.acquire(11, 1) }).await.expect("answered");
    assert_eq!(counts(&rig).await, [0, 0, 3]);
}

async fn an_abandoned_job_calls_its_hook_and_one_that_is_tried_again_does_not(rig: Rig) {
    let job = hooked(&rig);
    rig.add(JobSpec { settings: JobSettings { max_attempts: 2, ..job.settings.clone() }, ..job }).await;
    rig.acquire_one(0).await;
    rig.b.recover(recover(10)).await.expect("recovered");
    assert_eq!(counts(&rig).await, [0, 0, 0]);
    rig.acquire_one(4_000).await;
    let done = rig.b.recover(recover(4_010)).await.expect("recovered");
    let (made, told) = called(&rig, "p:failed").await.pop().expect("it was made");
    assert_eq!(counts(&rig).await, [1, 0, 0]);
    assert_eq!((&told["outcome"], &told["attempt"]), (&json!("abandoned"), &json!(2)));
    assert!(told["error"]["message"].is_string(), "{told}");
    assert!(!rig.is_exact || done.hooked.iter().map(|job| job.id).eq([made.spec.id]), "{done:?}");
}

async fn each_of_many_ends_in_one_call_calls_its_own(rig: Rig) {
    for _ in 0..4 {
        rig.add(hooked(&rig)).await;
    }
    let endings = [error(), success(1_000), error(), Ending::Requeued { not_before: None }];
    let jobs = rig.acquire(1, 4).await;
    let releases = jobs.into_iter().zip(endings).map(|(job, ending)| ended(job, 1, ending)).collect();
    rig.a.job_release(ReleaseJobs { now: t(1), releases }).await.expect("released");
    assert_eq!(counts(&rig).await, [2, 1, 0]);
}

async fn an_exchange_calls_hooks_as_well(rig: Rig) {
    rig.add(hooked(&rig)).await;
    let job = rig.acquire(1, 1).await.pop().expect("a job is due");
    let release = factory::releases(1, ended(job, 1, error()));
    let acquire = rig.make.acquire(2, 5);
    rig.a.job_exchange(ExchangeJobs { release, acquire }).await.expect("exchanged");
    assert_eq!(counts(&rig).await, [1, 0, 0]);
}

async fn a_job_that_ends_twice_calls_its_hook_twice(rig: Rig) {
    rig.add(hooked(&rig)).await;
    let id = run(&rig, 1, error()).await;
    let (made, token) = rig.acquire_one(1).await;
    rig.a.job_release(factory::releases(1, release(made, token, success(1_000)))).await.expect("released");
    rig.a.job_retry(id, t(1)).await.expect("queued again");
    run(&rig, 1, error()).await;
    assert_eq!(counts(&rig).await, [2, 0, 0]);
}
