//! Queues, and what a worker must have to be given a job.

use host::model::{Ability, Job, JobSettings, JobSpec, Target, Task, TaskName};
use host::store::{AcquireJobs, Choice, QueueRow};

use super::{Rig, cases, ids};
use crate::factory::{plugin, served, t, task, task_id};

cases![
    only_jobs_that_the_caller_can_run_are_acquired,
    a_native_function_is_run_by_who_has_it,
    an_executor_that_is_named_is_needed_whatever_runs,
    jobs_of_a_task_that_is_gone_are_acquired_by_anyone,
    jobs_follow_their_task_to_another_target,
    only_queues_that_are_served_are_acquired_from,
    queues_take_turns_however_full_one_is,
    within_a_queue_priority_and_age_hold_whatever_jobs_need,
    a_queue_has_no_more_room_than_it_is_given,
    a_paused_queue_starts_nothing_until_it_goes_on,
    a_job_asked_for_by_its_id_needs_its_executor_but_no_queue,
    queues_are_counted_by_what_waits_and_runs,
];

fn abilities(texts: &[&str]) -> Vec<Ability> {
    texts.iter().map(|text| text.parse().expect("an ability")).collect()
}

fn native(id: &str, function: &str) -> Task {
    let target = Target::Native { function: TaskName::new(function).expect("valid") };
    Task { target, ..task(id, None) }
}

impl Rig {
    fn job_in(&self, queue: &str, task: &str) -> JobSpec {
        let job = self.make.job(task);
        JobSpec { settings: JobSettings { queue: queue.parse().expect("a queue"), ..job.settings }, ..job }
    }

    async fn acquire_as(&self, have: &[&str], limit: usize) -> Vec<Job> {
        let request = AcquireJobs { abilities: abilities(have), ..self.make.acquire(0, limit) };
        self.a.job_acquire(request).await.expect("acquired").jobs
    }

    async fn acquire_from(&self, queues: &[(&str, usize)], limit: usize) -> Vec<Job> {
        let queues = queues.iter().map(|(queue, limit)| served(queue, *limit)).collect();
        let request = AcquireJobs { queues, ..self.make.acquire(0, limit) };
        self.b.job_acquire(request).await.expect("acquired").jobs
    }

    async fn queues(&self) -> Vec<(String, bool, u64, Vec<(String, u64)>)> {
        let show = |row: QueueRow| {
            let waiting = row.waiting.iter().map(|(needs, jobs)| (needs.to_string(), *jobs)).collect();
            (row.queue.to_string(), row.is_paused, row.running, waiting)
        };
        self.b.queue_list().await.expect("listed").into_iter().map(show).collect()
    }
}

async fn only_jobs_that_the_caller_can_run_are_acquired(rig: Rig) {
    rig.a.task_put(task("p:work", None)).await.expect("stored");
    rig.a.task_put(native("native", "add")).await.expect("stored");
    let (plugin, native) = (rig.add(rig.make.job("p:work")).await, rig.add(rig.make.job("native")).await);
    assert!(rig.acquire_as(&[], 5).await.is_empty());
    assert_eq!(ids(&rig.acquire_as(&["inline:add"], 5).await), [native.id]);
    assert!(rig.acquire_as(&["inline:add"], 5).await.is_empty(), "the plugin's job is left alone");
    let left = rig.job(plugin.id).await;
    assert_eq!((left.state, left.attempt), (host::model::JobState::Queued, 0));
    assert_eq!(ids(&rig.acquire_as(&["wasm"], 5).await), [plugin.id]);
}

async fn a_native_function_is_run_by_who_has_it(rig: Rig) {
    rig.a.task_put(native("native", "add")).await.expect("stored");
    let job = rig.add(rig.make.job("native")).await;
    assert!(rig.acquire_as(&["wasm", "inline:subtract"], 5).await.is_empty());
    assert_eq!(ids(&rig.acquire_as(&["inline:subtract", "inline:add"], 5).await), [job.id]);
}

async fn an_executor_that_is_named_is_needed_whatever_runs(rig: Rig) {
    rig.a.task_put(task("p:work", None)).await.expect("stored");
    rig.a.task_put(native("native", "add")).await.expect("stored");
    let gpu = |job: JobSpec| JobSpec {
        settings: JobSettings { executor: Some("gpu".parse().expect("a name")), ..job.settings },
        ..job
    };
    let plugin = rig.add(gpu(rig.make.job("p:work"))).await;
    let native = rig.add(gpu(rig.make.job("native"))).await;
    assert!(rig.acquire_as(&["wasm", "inline:add"], 5).await.is_empty());
    assert_eq!(ids(&rig.acquire_as(&["gpu"], 5).await), [plugin.id]);
    assert_eq!(ids(&rig.acquire_as(&["gpu:add"], 5).await), [native.id]);
}

async fn jobs_of_a_task_that_is_gone_are_acquired_by_anyone(rig: Rig) {
    rig.a.plugin_put(plugin(b"one", vec![task("p:work", Some(1))])).await.expect("put");
    let jobs = [rig.add(rig.make.job("p:work")).await, rig.add(rig.make.job("p:work")).await];
    assert!(rig.acquire_as(&[], 5).await.is_empty());
    rig.a.plugin_remove(&"p".parse().expect("a name")).await.expect("removed");
    assert_eq!(ids(&rig.acquire_as(&[], 5).await), jobs.map(|job| job.id), "to tell that there is no such task");
}

async fn jobs_follow_their_task_to_another_target(rig: Rig) {
    let job = rig.add(rig.make.job("native")).await;
    rig.a.task_put(native("native", "add")).await.expect("stored");
    assert!(rig.acquire_as(&[], 5).await.is_empty());
    rig.a.task_put(native("native", "sum")).await.expect("stored");
    assert!(rig.acquire_as(&["inline:add"], 5).await.is_empty());
    assert_eq!(ids(&rig.acquire_as(&["inline:sum"], 5).await), [job.id]);
}

async fn only_queues_that_are_served_are_acquired_from(rig: Rig) {
    let (mail, usual) = (rig.add(rig.job_in("mail", "p:work")).await, rig.add(rig.make.job("p:work")).await);
    assert!(rig.acquire_from(&[("other", 5)], 5).await.is_empty());
    assert!(rig.acquire_from(&[], 5).await.is_empty());
    assert_eq!(ids(&rig.acquire_from(&[("mail", 5)], 5).await), [mail.id]);
    assert_eq!(ids(&rig.acquire_from(&[("mail", 5), ("default", 5)], 5).await), [usual.id]);
}

async fn queues_take_turns_however_full_one_is(rig: Rig) {
    for _ in 0..30 {
        rig.add(JobSpec { ..rig.make.urgent("p:work", 9) }).await;
    }
    let mail = [rig.add(rig.job_in("mail", "p:work")).await, rig.add(rig.job_in("mail", "p:work")).await];
    let taken = ids(&rig.acquire_from(&[("default", 9), ("mail", 9)], 4).await);
    assert!(taken.len() == 4 && mail.iter().all(|job| taken.contains(&job.id)), "{taken:?}");
    let last = rig.add(rig.job_in("mail", "p:work")).await;
    assert_eq!(ids(&rig.acquire_from(&[("mail", 9), ("default", 9)], 1).await), [last.id], "it is its turn");
    assert_eq!(rig.acquire_from(&[("mail", 9), ("default", 9)], 5).await.len(), 5, "nobody leaves room unused");
}

async fn within_a_queue_priority_and_age_hold_whatever_jobs_need(rig: Rig) {
    rig.a.task_put(task("p:work", None)).await.expect("stored");
    rig.a.task_put(native("native", "add")).await.expect("stored");
    let jobs = [
        rig.add(rig.make.job("p:work")).await,
        rig.add(rig.make.urgent("native", 5)).await,
        rig.add(rig.make.job("native")).await,
        rig.add(rig.make.urgent("p:work", 9)).await,
    ];
    let mut order = Vec::new();
    while let [job] = rig.acquire_as(&["wasm", "inline:add"], 1).await.as_slice() {
        order.push(job.spec.id);
    }
    assert_eq!(order, [jobs[3].id, jobs[1].id, jobs[0].id, jobs[2].id]);
}

async fn a_queue_has_no_more_room_than_it_is_given(rig: Rig) {
    for _ in 0..4 {
        rig.add(rig.job_in("mail", "p:work")).await;
    }
    assert!(rig.acquire_from(&[("mail", 0)], 9).await.is_empty());
    assert_eq!(rig.acquire_from(&[("mail", 3), ("default", 9)], 9).await.len(), 3);
}

async fn a_paused_queue_starts_nothing_until_it_goes_on(rig: Rig) {
    let (mail, usual) = (rig.add(rig.job_in("mail", "p:work")).await, rig.add(rig.make.job("p:work")).await);
    assert!(rig.a.queue_pause("mail".parse().expect("a queue"), true).await.expect("paused"));
    assert_eq!(ids(&rig.acquire_from(&[("mail", 5), ("default", 5)], 5).await), [usual.id]);
    assert!(rig.b.queue_pause("mail".parse().expect("a queue"), false).await.expect("resumed"));
    assert_eq!(ids(&rig.acquire_from(&[("mail", 5), ("default", 5)], 5).await), [mail.id]);
}

async fn a_job_asked_for_by_its_id_needs_its_executor_but_no_queue(rig: Rig) {
    rig.a.task_put(native("native", "add")).await.expect("stored");
    let job = rig.add(rig.job_in("mail", "native")).await;
    rig.a.queue_pause("mail".parse().expect("a queue"), true).await.expect("paused");
    let ask = |have: &[&str]| AcquireJobs {
        abilities: abilities(have),
        queues: Vec::new(),
        choice: Choice::Only(job.id),
        ..rig.make.acquire(0, 1)
    };
    assert!(rig.a.job_acquire(ask(&["wasm"])).await.expect("asked").jobs.is_empty());
    assert_eq!(ids(&rig.b.job_acquire(ask(&["inline:add"])).await.expect("asked").jobs), [job.id]);
}

async fn queues_are_counted_by_what_waits_and_runs(rig: Rig) {
    rig.a.task_put(task("p:one", Some(1))).await.expect("stored");
    rig.a.task_put(native("native", "add")).await.expect("stored");
    for job in [rig.make.job("p:one"), rig.make.job("p:one"), rig.make.job("native"), rig.job_in("mail", "p:one")] {
        rig.add(job).await;
    }
    let later = JobSpec { due_at: t(100), ..rig.make.job("p:one") };
    rig.add(later).await;
    rig.a.queue_pause("mail".parse().expect("a queue"), true).await.expect("paused");
    rig.acquire_as(&["wasm"], 1).await;
    let needs = |text: &str, jobs| (text.to_owned(), jobs);
    let expected = [
        ("default".to_owned(), false, 1, vec![needs("wasm", 1), needs("inline:add", 1)]),
        ("mail".to_owned(), true, 0, vec![needs("wasm", 1)]),
    ];
    assert_eq!(rig.queues().await, expected);
    for (queue, pause) in [("rebuild", true), ("re-sent", true), ("mail", false)] {
        rig.a.queue_pause(queue.parse().expect("a queue"), pause).await.expect("changed");
    }
    let paused = rig.b.queues_paused().await.expect("listed");
    assert_eq!(paused.iter().map(ToString::to_string).collect::<Vec<_>>(), ["re-sent", "rebuild"]);
    assert_eq!(rig.a.task_get(&task_id("p:one")).await.expect("read").expect("there").running_jobs, 1);
}
