//! Unique keys: no second job of a task while one has the key.

use std::time::Duration;

use host::clock::{Clock as _, SystemClock};
use host::model::{ConflictPolicy, JobId, JobSettings, JobSpec, Timestamp, UniqueKey};
use host::store::{Record, Restore, Restored, StoreError};

use super::{Rig, cases};
use crate::factory::{release, success, t};

cases![
    a_key_is_answered_with_the_job_that_has_it,
    a_key_belongs_to_its_task,
    a_key_is_free_again_when_its_time_is_over,
    a_key_goes_with_its_job,
    many_jobs_with_keys_and_without_are_answered_in_their_order,
    a_job_whose_key_or_fire_is_taken_is_left_out_of_a_batch_and_named,
    a_job_with_a_key_is_restored_with_it_unless_another_one_has_it,
];

/// A job with a key.
fn keyed(rig: &Rig, task: &str, key: &str, until: Option<Timestamp>) -> JobSpec {
    let job = rig.make.job(task);
    let unique_key = Some(UniqueKey { key: key.to_owned(), until });
    JobSpec { settings: JobSettings { unique_key, ..job.settings }, ..job }
}

async fn count(rig: &Rig) -> u64 {
    let counts = rig.a.job_counts().await.expect("counted");
    counts.queued + counts.running + counts.finished
}

async fn add(rig: &Rig, job: JobSpec) -> JobId {
    rig.b.job_add_unique(vec![job]).await.expect("it is answered")[0]
}

async fn a_key_is_answered_with_the_job_that_has_it(rig: Rig) {
    let first = keyed(&rig, "p:work", "order 17", None);
    assert_eq!(add(&rig, first.clone()).await, first.id);
    assert_eq!(rig.job(first.id).await.spec, first);
    assert_eq!(add(&rig, first.clone()).await, first.id, "the call may be repeated");
    assert_eq!(add(&rig, keyed(&rig, "p:work", "order 17", None)).await, first.id);
    let (id, token) = rig.acquire_one(0).await;
    assert_eq!(add(&rig, keyed(&rig, "p:work", "order 17", None)).await, id, "it runs");
    let request = host::store::ReleaseJobs { now: t(1), releases: vec![release(id, token, success(9))] };
    rig.a.job_release(request).await.expect("released");
    assert_eq!(add(&rig, keyed(&rig, "p:work", "order 17", None)).await, id, "it has ended");
    assert_eq!(count(&rig).await, 1);
    let plain = rig.make.job("p:work");
    assert_eq!(add(&rig, plain.clone()).await, plain.id, "a job without a key is queued");
}

async fn a_key_belongs_to_its_task(rig: Rig) {
    let jobs = [("p:work", "a"), ("p:other", "a"), ("p:work", "A"), ("p:work", "b")];
    for (task, key) in jobs {
        let job = keyed(&rig, task, key, None);
        assert_eq!(add(&rig, job.clone()).await, job.id, "{task} {key}");
    }
    assert_eq!(count(&rig).await, 4);
}

async fn a_key_is_free_again_when_its_time_is_over(rig: Rig) {
    // A server decides by its own clock.
    let now = SystemClock.now();
    let at = |seconds| now.saturating_add(Duration::from_secs(seconds));
    let over = Timestamp::from_micros(now.as_micros() - 60_000_000);
    let asked = |until| JobSpec { created_at: now, ..keyed(&rig, "p:work", "k", until) };
    let first = asked(Some(at(3_600)));
    assert_eq!(add(&rig, first.clone()).await, first.id);
    assert_eq!(add(&rig, asked(None)).await, first.id);
    let old = JobSpec { created_at: now, ..keyed(&rig, "p:work", "old", over) };
    assert_eq!(add(&rig, old.clone()).await, old.id);
    let next = JobSpec { created_at: now, ..keyed(&rig, "p:work", "old", None) };
    assert_eq!(add(&rig, next.clone()).await, next.id, "its time is over, though the job is there");
    assert_eq!(add(&rig, JobSpec { created_at: now, ..keyed(&rig, "p:work", "old", None) }).await, next.id);
    assert_eq!(rig.job(old.id).await.spec, old);
    assert_eq!(count(&rig).await, 3);
}

async fn a_key_goes_with_its_job(rig: Rig) {
    let first = keyed(&rig, "p:work", "k", None);
    add(&rig, first.clone()).await;
    rig.a.job_cancel(first.id, None, t(1)).await.expect("cancelled");
    let far = t(10_000_000);
    rig.a.cleanup(far, 10).await.expect("cleaned up");
    assert_eq!(count(&rig).await, 0);
    let next = keyed(&rig, "p:work", "k", None);
    assert_eq!(add(&rig, next.clone()).await, next.id);
}

async fn a_job_whose_key_or_fire_is_taken_is_left_out_of_a_batch_and_named(rig: Rig) {
    let jobs = vec![keyed(&rig, "p:work", "k", None), keyed(&rig, "p:work", "k", None), rig.make.job("p:work")];
    let second = jobs[1].id;
    assert_eq!(rig.a.job_add(jobs.clone()).await.expect("added"), [second]);
    assert_eq!(rig.a.job_add(jobs).await.expect("added again"), [second]);
    let fires = vec![rig.make.fired("s", 5), rig.make.fired("s", 5)];
    assert_eq!(rig.a.job_add(fires.clone()).await.expect("added"), [fires[1].id]);
    assert_eq!(count(&rig).await, 3);
}

async fn a_job_with_a_key_is_restored_with_it_unless_another_one_has_it(rig: Rig) {
    let there = keyed(&rig, "p:work", "k", None);
    add(&rig, there.clone()).await;
    let other = keyed(&rig, "p:work", "k", None);
    let restore = async |job: &JobSpec, conflict| {
        let records = vec![Record::Job(Box::new(host::model::Job::queued(job.clone())))];
        rig.a.restore(Restore { records, conflict, now: t(0), dry_run: false }).await
    };
    let refused = restore(&other, ConflictPolicy::Error).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    assert_eq!(restore(&other, ConflictPolicy::Skip).await.expect("kept"), [Restored::Kept]);
    assert_eq!(restore(&other, ConflictPolicy::Replace).await.expect("replaced"), [Restored::Replaced]);
    assert_eq!(add(&rig, keyed(&rig, "p:work", "k", None)).await, other.id);
    // A key whose time is over is in nobody's way.
    let over = keyed(&rig, "p:work", "k", Some(t(-5)));
    assert_eq!(restore(&over, ConflictPolicy::Error).await.expect("added"), [Restored::Added]);
    assert_eq!(add(&rig, keyed(&rig, "p:work", "k", None)).await, other.id);
    assert_eq!(count(&rig).await, 2);
}

async fn many_jobs_with_keys_and_without_are_answered_in_their_order(rig: Rig) {
    let taken = keyed(&rig, "p:work", "b", None);
    add(&rig, taken.clone()).await;
    let over = keyed(&rig, "p:work", "c", Some(t(-1)));
    add(&rig, over.clone()).await;
    let jobs = vec![
        keyed(&rig, "p:work", "d", None),
        rig.make.job("p:work"),
        keyed(&rig, "p:work", "c", None),
        keyed(&rig, "p:work", "b", None),
        keyed(&rig, "p:other", "b", None),
        keyed(&rig, "p:work", "d", None),
    ];
    let answers = rig.b.job_add_unique(jobs.clone()).await.expect("answered");
    let expected = [jobs[0].id, jobs[1].id, jobs[2].id, taken.id, jobs[4].id, jobs[0].id];
    assert_eq!(answers, expected);
    assert_eq!(count(&rig).await, 2 + 4);
    assert_eq!(rig.b.job_add_unique(jobs).await.expect("answered again"), expected);
    assert_eq!(rig.b.job_add_unique(Vec::new()).await.expect("answered"), []);
}
