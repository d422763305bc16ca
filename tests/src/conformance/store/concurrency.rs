//! Many callers at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use host::model::{JobId, JobSettings, JobSpec, TaskId, UniqueKey};
use host::store::{AcquireJobs, ReleaseJobs, Released, Store};

use super::{Rig, cases};
use crate::factory::{Factory, add, release, schedule, scheduler, success, t, task};

cases![
    no_job_is_acquired_twice_and_none_is_lost,
    limits_are_never_passed_by_callers_at_once,
    one_fire_made_by_many_at_once_makes_one_job,
    one_of_many_queues_a_job_with_a_unique_key_and_all_are_answered_it,
    a_schedule_is_leased_to_one_of_many,
    one_of_many_adds_a_schedule,
    writers_at_once_all_succeed,
];

/// Runs `count` tasks at once, alternating between the two handles, and waits for all.
async fn at_once<F, R>(rig: &Rig, count: usize, run: impl Fn(usize, Arc<dyn Store>, Factory) -> F) -> Vec<R>
where
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..count {
        let store = if at % 2 == 0 { Arc::clone(&rig.a) } else { Arc::clone(&rig.b) };
        tasks.spawn(run(at, store, Factory::new(rig.seed.wrapping_add(at as u64 + 1))));
    }
    tasks.join_all().await
}

/// Who runs what, as the workers see it.
#[derive(Default)]
struct Watch {
    running: Mutex<HashMap<TaskId, usize>>,
    most: Mutex<HashMap<TaskId, usize>>,
    seen: Mutex<HashMap<JobId, usize>>,
    done: AtomicU64,
}

impl Watch {
    fn began(&self, job: &JobSpec) {
        *self.seen.lock().expect("not poisoned").entry(job.id).or_default() += 1;
        let mut running = self.running.lock().expect("not poisoned");
        let now = running.entry(job.task_id.clone()).or_default();
        *now += 1;
        let mut most = self.most.lock().expect("not poisoned");
        let most = most.entry(job.task_id.clone()).or_default();
        *most = (*most).max(*now);
    }

    fn ends(&self, job: &JobSpec) {
        *self.running.lock().expect("not poisoned").entry(job.task_id.clone()).or_default() -= 1;
    }
}

/// Acquires and releases until `all` jobs are done.
async fn work(at: usize, store: Arc<dyn Store>, make: Factory, watch: Arc<Watch>, all: u64) {
    while watch.done.load(Ordering::SeqCst) < all {
        let holder = scheduler(&format!("worker-{at}"));
        let request = AcquireJobs { holder, ..make.acquire(0, 1 + make.below(5)) };
        let token = request.token;
        let jobs = store.job_acquire(request).await.expect("jobs can be acquired").jobs;
        jobs.iter().for_each(|job| watch.began(&job.spec));
        if jobs.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        // Told before the release: afterwards somebody else may have the slot already.
        jobs.iter().for_each(|job| watch.ends(&job.spec));
        let releases = jobs.iter().map(|job| release(job.spec.id, token, success(9))).collect();
        let released = store.job_release(ReleaseJobs { now: t(1), releases }).await.expect("jobs can be released");
        assert!(released.iter().all(|released| *released == Released::Stored), "a lease was lost");
        watch.done.fetch_add(jobs.len() as u64, Ordering::SeqCst);
    }
}

async fn run_all(rig: &Rig, jobs: Vec<JobSpec>) -> Arc<Watch> {
    let all = jobs.len() as u64;
    rig.a.job_add(jobs).await.expect("added");
    let watch = Arc::new(Watch::default());
    at_once(rig, 8, |at, store, make| work(at, store, make, Arc::clone(&watch), all)).await;
    watch
}

async fn no_job_is_acquired_twice_and_none_is_lost(rig: Rig) {
    let jobs: Vec<JobSpec> = (0..300).map(|at| rig.make.urgent("p:work", at % 3)).collect();
    let watch = run_all(&rig, jobs.clone()).await;
    let seen = watch.seen.lock().expect("not poisoned").clone();
    assert_eq!(seen.len(), jobs.len());
    assert!(seen.values().all(|times| *times == 1));
    let counts = rig.b.job_counts().await.expect("counted");
    assert_eq!((counts.queued, counts.running, counts.finished), (0, 0, 300));
}

async fn limits_are_never_passed_by_callers_at_once(rig: Rig) {
    for (id, limit) in [("p:one", Some(1)), ("p:three", Some(3)), ("p:free", None)] {
        rig.a.task_put(task(id, limit)).await.expect("stored");
    }
    let jobs = (0..150).map(|at| rig.make.job(["p:one", "p:three", "p:free"][at % 3])).collect();
    let watch = run_all(&rig, jobs).await;
    let most = watch.most.lock().expect("not poisoned");
    for (id, limit) in [("p:one", 1), ("p:three", 3)] {
        let most = most.get(&crate::factory::task_id(id)).copied().unwrap_or(0);
        assert!((1..=limit).contains(&most), "{id}: {most} at once");
    }
}

async fn one_fire_made_by_many_at_once_makes_one_job(rig: Rig) {
    at_once(&rig, 8, |_, store, make| async move {
        for fire in 0..20 {
            store.job_add(vec![make.fired("s", fire)]).await.expect("added");
        }
    })
    .await;
    assert_eq!(rig.a.job_counts().await.expect("counted").queued, 20);
}

async fn one_of_many_queues_a_job_with_a_unique_key_and_all_are_answered_it(rig: Rig) {
    let answers = at_once(&rig, 16, |_, store, make| async move {
        let mut answers = Vec::new();
        for key in ["a", "b", "c"] {
            let job = make.job("p:work");
            let unique_key = Some(UniqueKey { key: key.to_owned(), until: None });
            let job = JobSpec { settings: JobSettings { unique_key, ..job.settings }, ..job };
            answers.push(store.job_add_unique(vec![job]).await.expect("answered")[0]);
        }
        answers
    })
    .await;
    assert!(answers.iter().all(|ids| *ids == answers[0]), "{answers:?}");
    assert_eq!(rig.a.job_counts().await.expect("counted").queued, 3);
}

async fn a_schedule_is_leased_to_one_of_many(rig: Rig) {
    const SCHEDULES: usize = 40;
    for at in 0..SCHEDULES {
        rig.a.schedule_add(add(schedule(&format!("s{at}"), 1))).await.expect("added");
    }
    let count = Arc::new(AtomicUsize::new(0));
    let leased = at_once(&rig, 8, |_, store, make| {
        let count = Arc::clone(&count);
        async move {
            let mut mine = Vec::new();
            // An empty answer says little: what others are leasing at that moment is passed over, and they may take it back.
            while count.load(Ordering::SeqCst) < SCHEDULES {
                let acquired = store.schedule_acquire(make.acquire_schedules(2, 3)).await.expect("acquired").schedules;
                count.fetch_add(acquired.len(), Ordering::SeqCst);
                mine.extend(acquired.into_iter().map(|leased| leased.schedule.id));
                tokio::task::yield_now().await;
            }
            mine
        }
    })
    .await;
    let mut leased: Vec<_> = leased.into_iter().flatten().collect();
    leased.sort();
    let all = leased.len();
    leased.dedup();
    assert_eq!((all, leased.len()), (SCHEDULES, SCHEDULES));
}

async fn one_of_many_adds_a_schedule(rig: Rig) {
    let added = at_once(&rig, 8, |at, store, _| async move {
        store.schedule_add(add(schedule("s", i64::try_from(at).expect("small")))).await.is_ok()
    })
    .await;
    assert_eq!(added.into_iter().filter(|added| *added).count(), 1);
}

async fn writers_at_once_all_succeed(rig: Rig) {
    at_once(&rig, 16, |_, store, make| async move {
        for _ in 0..10 {
            store.job_add(vec![make.job("p:work"), make.job("p:other")]).await.expect("added");
        }
    })
    .await;
    assert_eq!(rig.b.job_counts().await.expect("counted").queued, 320);
}
