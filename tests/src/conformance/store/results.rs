//! Releases: results, retries, effects.

use std::time::Duration;

use host::model::{Digest, Encoding, ErrorKind, JobError, JobSettings, JobSpec, JobState, Outcome, Payload, Usage};
use host::store::{Effects, Ending, ReleaseJobs, Released, StoreError};

use super::{Rig, cases, ids};
use crate::factory::{add, job_settings, release, releases, schedule, schedule_id, success, t};

cases![
    a_result_is_kept_with_what_the_attempt_cost,
    a_failure_is_kept_with_its_context,
    bytes_come_back_as_they_went_in,
    a_megabyte_comes_back_as_it_went_in,
    a_retry_waits_for_its_time_and_keeps_the_error,
    a_retry_is_not_missed_for_the_first_start_deadline,
    an_attempt_given_back_does_not_count,
    a_job_given_back_for_a_while_waits_and_loses_neither_an_attempt_nor_its_age,
    a_job_asked_to_stop_is_not_tried_again,
    an_attempt_given_back_of_a_job_asked_to_stop_ends_it,
    what_failed_an_earlier_attempt_is_not_the_error_of_a_job_that_was_cancelled_later,
    what_a_guest_asked_for_comes_with_its_success,
    what_a_failed_guest_asked_for_is_dropped,
    a_taken_schedule_id_among_the_effects_hurts_nobody,
    each_release_stands_alone,
    a_finished_job_can_be_tried_again,
    only_a_finished_job_can_be_tried_again,
    a_missed_job_that_is_tried_again_has_no_deadline,
];

fn error(message: &str) -> JobError {
    JobError::new(ErrorKind::GuestError, message)
}

fn failed(message: &str) -> Ending {
    Ending::Finished { outcome: Outcome::Error, result: None, error: Some(error(message)), expires_at: t(100) }
}

async fn a_result_is_kept_with_what_the_attempt_cost(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let result = Payload { encoding: Encoding::Cbor, data: vec![0xf6].into() };
    let usage = Usage { fuel: 7, peak_memory_bytes: 1 << 40, wall: Duration::from_micros(3), ..Usage::default() };
    let ending =
        Ending::Finished { outcome: Outcome::Success, result: Some(result.clone()), error: None, expires_at: t(77) };
    let mut done = release(id, token, ending);
    done.usage = Some(usage);
    done.plugin_digest = Some(Digest::from_bytes([9; 32]));
    done.started_at = Some(t(2));
    assert_eq!(rig.a.job_release(releases(5, done)).await.expect("released"), [Released::Stored]);
    let job = rig.job(id).await;
    assert_eq!((job.state, job.outcome, job.result), (JobState::Finished, Some(Outcome::Success), Some(result)));
    assert_eq!((job.usage, job.plugin_digest), (Some(usage), Some(Digest::from_bytes([9; 32]))));
    assert_eq!((job.started_at, job.finished_at, job.expires_at), (Some(t(2)), Some(t(5)), Some(t(77))));
    assert_eq!((job.lease, job.attempt), (None, 1));
}

async fn a_failure_is_kept_with_its_context(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let error = JobError {
        kind: ErrorKind::Trap,
        message: "unreachable\nmore".into(),
        context: vec!["outer".into(), "inner".into()],
        backtrace: Some("0: main".into()),
    };
    let ending =
        Ending::Finished { outcome: Outcome::Error, result: None, error: Some(error.clone()), expires_at: t(9) };
    rig.a.job_release(releases(1, release(id, token, ending))).await.expect("released");
    let job = rig.job(id).await;
    assert_eq!((job.outcome, job.error), (Some(Outcome::Error), Some(error)));
}

async fn bytes_come_back_as_they_went_in(rig: Rig) {
    let data: Vec<u8> = (0..=255).collect();
    let args = Payload { encoding: Encoding::Cbor, data: data.into() };
    let spec = rig.add(JobSpec { args, ..rig.make.job("p:work") }).await;
    let empty = Payload { encoding: Encoding::Json, data: Vec::new().into() };
    let other = rig.add(JobSpec { args: empty, ..rig.make.job("p:work") }).await;
    assert_eq!(rig.job(spec.id).await.spec.args, spec.args);
    assert_eq!(rig.job(other.id).await.spec.args, other.args);
    assert_eq!(rig.acquire(0, 1).await[0].spec.args, spec.args);
}

async fn a_megabyte_comes_back_as_it_went_in(rig: Rig) {
    let data: Vec<u8> = (0..1_048_576_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let large = Payload { encoding: Encoding::Json, data: data.into() };
    rig.add(JobSpec { args: large.clone(), ..rig.make.job("p:work") }).await;
    let (id, token) = rig.acquire_one(0).await;
    let result = Some(large.clone());
    let ending = Ending::Finished { outcome: Outcome::Success, result, error: None, expires_at: t(9) };
    rig.a.job_release(releases(1, release(id, token, ending))).await.expect("released");
    let job = rig.job(id).await;
    assert!(job.spec.args == large && job.result == Some(large));
}

async fn a_retry_waits_for_its_time_and_keeps_the_error(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let ending = Ending::Retry { due_at: t(30), error: error("not now") };
    rig.a.job_release(releases(1, release(id, token, ending))).await.expect("released");
    let job = rig.job(id).await;
    assert_eq!((job.state, job.attempt, job.error), (JobState::Queued, 1, Some(error("not now"))));
    assert_eq!((job.outcome, job.lease, job.spec.due_at), (None, None, t(30)));
    assert_eq!(rig.b.job_next_due(t(2)).await.expect("read"), Some(t(30)));
    assert!(rig.acquire(29, 1).await.is_empty());
    assert_eq!(rig.acquire(30, 1).await[0].attempt, 2);
}

async fn a_retry_is_not_missed_for_the_first_start_deadline(rig: Rig) {
    rig.add(JobSpec { start_deadline: Some(t(2)), ..rig.make.job("p:work") }).await;
    let (id, token) = rig.acquire_one(0).await;
    let ending = Ending::Retry { due_at: t(30), error: error("not now") };
    rig.a.job_release(releases(1, release(id, token, ending))).await.expect("released");
    assert_eq!(ids(&rig.acquire(31, 1).await), [id]);
}

async fn an_attempt_given_back_does_not_count(rig: Rig) {
    rig.add(JobSpec { start_deadline: Some(t(20)), ..rig.make.job("p:work") }).await;
    let (id, token) = rig.acquire_one(0).await;
    rig.a.job_release(releases(1, release(id, token, Ending::Requeued { not_before: None }))).await.expect("released");
    let job = rig.job(id).await;
    assert_eq!((job.state, job.attempt, job.started_at, job.lease), (JobState::Queued, 0, None, None));
    assert_eq!(rig.acquire(20, 1).await[0].attempt, 1);
}

async fn a_job_given_back_for_a_while_waits_and_loses_neither_an_attempt_nor_its_age(rig: Rig) {
    let job = rig.add(JobSpec { start_deadline: Some(t(100)), ..rig.make.job("p:work") }).await;
    let younger = rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    assert_eq!(id, job.id);
    let ending = Ending::Requeued { not_before: Some(t(50)) };
    rig.a.job_release(releases(1, release(id, token, ending))).await.expect("released");
    let stored = rig.job(id).await;
    assert_eq!((stored.state, stored.attempt, stored.started_at, stored.spec), (JobState::Queued, 0, None, job));
    assert_eq!(ids(&rig.acquire(49, 9).await), [younger.id], "it is in nobody's way");
    assert_eq!(rig.b.job_next_due(t(49)).await.expect("read"), Some(t(50)));
    let again = rig.acquire(50, 1).await.remove(0);
    assert_eq!((again.spec.id, again.attempt), (id, 1));
    let token = again.lease.expect("it is leased").token;
    rig.a
        .job_release(releases(51, release(id, token, Ending::Requeued { not_before: Some(t(40)) })))
        .await
        .expect("released");
    assert_eq!(ids(&rig.acquire(51, 1).await), [id], "a time that has passed holds nobody up");
}

async fn a_job_asked_to_stop_is_not_tried_again(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    rig.b.job_cancel(id, None, t(1)).await.expect("asked");
    let ending = Ending::Retry { due_at: t(3), error: error("not now") };
    assert_eq!(rig.a.job_release(releases(2, release(id, token, ending))).await.expect("released"), [Released::Stored]);
    let job = rig.job(id).await;
    assert_eq!(
        (job.state, job.outcome, job.error),
        (JobState::Finished, Some(Outcome::Cancelled), Some(error("not now")))
    );
    assert_eq!(job.expires_at, Some(t(3_602)));
}

async fn an_attempt_given_back_of_a_job_asked_to_stop_ends_it(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    rig.b.job_cancel(id, None, t(1)).await.expect("asked");
    rig.a.job_release(releases(2, release(id, token, Ending::Requeued { not_before: None }))).await.expect("released");
    assert_eq!(rig.job(id).await.outcome, Some(Outcome::Cancelled));
}

async fn what_failed_an_earlier_attempt_is_not_the_error_of_a_job_that_was_cancelled_later(rig: Rig) {
    rig.add(JobSpec { settings: JobSettings { max_attempts: 2, ..job_settings() }, ..rig.make.job("p:work") }).await;
    let (id, token) = rig.acquire_one(0).await;
    let ending = Ending::Retry { due_at: t(3), error: error("not now") };
    rig.a.job_release(releases(1, release(id, token, ending))).await.expect("released");
    let (id, token) = rig.acquire_one(3).await;
    rig.b.job_cancel(id, None, t(4)).await.expect("asked");
    rig.a.job_release(releases(5, release(id, token, Ending::Requeued { not_before: None }))).await.expect("released");
    let job = rig.job(id).await;
    assert_eq!((job.outcome, job.error), (Some(Outcome::Cancelled), None));
}

fn effects(rig: &Rig) -> Effects {
    Effects { jobs: vec![rig.make.job("p:more")], schedules: vec![add(schedule("more", 9))], ..Effects::default() }
}

async fn what_a_guest_asked_for_comes_with_its_success(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let mut done = release(id, token, success(9));
    done.effects = effects(&rig);
    let wanted = done.effects.jobs[0].clone();
    rig.a.job_release(releases(1, done)).await.expect("released");
    assert_eq!(rig.job(wanted.id).await.spec, wanted);
    assert_eq!(rig.b.schedule_get(&schedule_id("more")).await.expect("read"), Some(schedule("more", 9)));
}

async fn what_a_failed_guest_asked_for_is_dropped(rig: Rig) {
    for ending in
        [failed("no"), Ending::Retry { due_at: t(50), error: error("no") }, Ending::Requeued { not_before: None }]
    {
        rig.add(rig.make.job("p:work")).await;
        let (id, token) = rig.acquire_one(0).await;
        let mut done = release(id, token, ending);
        done.effects = effects(&rig);
        let unwanted = done.effects.jobs[0].id;
        rig.a.job_release(releases(1, done)).await.expect("released");
        assert_eq!(rig.b.job_get(unwanted).await.expect("read"), None);
        assert_eq!(rig.b.schedule_get(&schedule_id("more")).await.expect("read"), None);
    }
}

async fn a_taken_schedule_id_among_the_effects_hurts_nobody(rig: Rig) {
    rig.a.schedule_add(add(schedule("more", 1))).await.expect("added");
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let mut done = release(id, token, success(9));
    done.effects = effects(&rig);
    assert_eq!(rig.a.job_release(releases(1, done)).await.expect("released"), [Released::Stored]);
    assert_eq!(rig.b.schedule_get(&schedule_id("more")).await.expect("read"), Some(schedule("more", 1)));
    assert_eq!(rig.job(id).await.outcome, Some(Outcome::Success));
}

async fn each_release_stands_alone(rig: Rig) {
    for _ in 0..3 {
        rig.add(rig.make.job("p:work")).await;
    }
    let request = rig.make.acquire(0, 3);
    let token = request.token;
    let jobs = ids(&rig.a.job_acquire(request).await.expect("acquired").jobs);
    let list = vec![
        release(jobs[0], token, success(9)),
        release(jobs[1], rig.make.token(), success(9)),
        release(rig.make.job_id(), token, success(9)),
        release(jobs[2], token, failed("no")),
        release(jobs[0], token, failed("twice")),
    ];
    let released = rig.b.job_release(ReleaseJobs { now: t(1), releases: list }).await.expect("released");
    let expected = [Released::Stored, Released::LeaseLost, Released::LeaseLost, Released::Stored, Released::LeaseLost];
    assert_eq!(released, expected);
    assert_eq!(rig.job(jobs[0]).await.outcome, Some(Outcome::Success));
    assert_eq!(rig.job(jobs[1]).await.state, JobState::Running);
    assert_eq!(rig.job(jobs[2]).await.outcome, Some(Outcome::Error));
}

async fn a_finished_job_can_be_tried_again(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    rig.a.job_release(releases(1, release(id, token, failed("no")))).await.expect("released");
    let again = rig.b.job_retry(id, t(5)).await.expect("queued");
    assert_eq!((again.state, again.outcome, again.finished_at, again.expires_at), (JobState::Queued, None, None, None));
    assert_eq!((again.spec.due_at, again.error.clone()), (t(5), Some(error("no"))));
    assert_eq!(rig.job(id).await, again);
    assert_eq!(rig.acquire(5, 1).await[0].attempt, 2);
}

async fn only_a_finished_job_can_be_tried_again(rig: Rig) {
    let spec = rig.add(rig.make.job("p:work")).await;
    let queued = rig.a.job_retry(spec.id, t(1)).await;
    assert!(matches!(queued, Err(StoreError::Conflict { .. })), "{queued:?}");
    rig.acquire_one(0).await;
    assert!(matches!(rig.a.job_retry(spec.id, t(1)).await, Err(StoreError::Conflict { .. })));
    assert!(matches!(rig.a.job_retry(rig.make.job_id(), t(1)).await, Err(StoreError::NotFound(_))));
}

async fn a_missed_job_that_is_tried_again_has_no_deadline(rig: Rig) {
    let settings = JobSettings { result_ttl: Duration::ZERO, ..rig.make.job("p:work").settings };
    let spec = rig.add(JobSpec { settings, start_deadline: Some(t(2)), ..rig.make.job("p:work") }).await;
    rig.acquire(3, 1).await;
    assert_eq!(rig.job(spec.id).await.outcome, Some(Outcome::MissedStartDeadline));
    rig.a.job_retry(spec.id, t(4)).await.expect("queued");
    assert_eq!(ids(&rig.acquire(5, 1).await), [spec.id]);
}
