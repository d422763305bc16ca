//! Jobs of tasks that others would keep from starting.

use host::model::{Job, JobSettings, JobSpec};
use host::store::{AcquireJobs, Choice};

use super::{Rig, cases, ids};
use crate::factory::{served, task, task_id};

cases![
    one_job_of_each_task_is_acquired_the_first_in_the_order_of_starting,
    a_task_that_is_passed_over_hides_no_other_however_many_jobs_it_has,
    a_task_is_held_to_its_limit_although_it_has_had_less_than_others,
    of_many_tasks_those_whose_jobs_have_waited_longest_come_first,
    queues_are_closed_and_limited_as_ever,
    the_call_that_is_made_again_answers_what_the_first_one_leased,
];

impl Rig {
    fn share(&self, except: &[&str], limit: usize) -> AcquireJobs {
        let except = except.iter().map(|task| task_id(task)).collect();
        AcquireJobs { choice: Choice::EachTask { except }, ..self.make.acquire(0, limit) }
    }

    async fn acquire_share(&self, except: &[&str], limit: usize) -> Vec<Job> {
        self.b.job_acquire(self.share(except, limit)).await.expect("acquired").jobs
    }

    async fn add_of(&self, task: &str, count: usize) -> Vec<JobSpec> {
        let jobs: Vec<JobSpec> = (0..count).map(|_| self.make.job(task)).collect();
        self.a.job_add(jobs.clone()).await.expect("added");
        jobs
    }

    async fn put_tasks(&self, names: &[&str]) {
        for name in names {
            self.a.task_put(task(name, None)).await.expect("stored");
        }
    }
}

async fn one_job_of_each_task_is_acquired_the_first_in_the_order_of_starting(rig: Rig) {
    rig.put_tasks(&["p:a", "p:b"]).await;
    let (a, b) = (rig.add_of("p:a", 3).await, rig.add_of("p:b", 2).await);
    let job = rig.make.job("p:b");
    let urgent = rig.add(JobSpec { settings: JobSettings { priority: 5, ..job.settings }, ..job }).await;
    assert_eq!(ids(&rig.acquire_share(&[], 10).await), [urgent.id, a[0].id]);
    assert_eq!(ids(&rig.acquire_share(&[], 10).await), [a[1].id, b[0].id]);
    assert_eq!(ids(&rig.acquire_share(&["p:b"], 10).await), [a[2].id]);
    assert_eq!(ids(&rig.acquire_share(&["p:a"], 10).await), [b[1].id]);
    assert!(rig.acquire_share(&[], 10).await.is_empty());
}

async fn a_task_that_is_passed_over_hides_no_other_however_many_jobs_it_has(rig: Rig) {
    rig.put_tasks(&["p:flood", "p:late"]).await;
    let flood = rig.add_of("p:flood", 300).await;
    let late = rig.add_of("p:late", 1).await;
    assert_eq!(ids(&rig.acquire_share(&["p:flood"], 1).await), [late[0].id]);
    assert!(rig.acquire_share(&["p:flood"], 10).await.is_empty());
    assert_eq!(ids(&rig.acquire_share(&["p:late"], 10).await), [flood[0].id]);
}

async fn a_task_is_held_to_its_limit_although_it_has_had_less_than_others(rig: Rig) {
    rig.a.task_put(task("p:limited", Some(1))).await.expect("stored");
    let jobs = rig.add_of("p:limited", 3).await;
    assert_eq!(ids(&rig.acquire_share(&[], 10).await), [jobs[0].id]);
    assert!(rig.acquire_share(&[], 10).await.is_empty());
}

async fn of_many_tasks_those_whose_jobs_have_waited_longest_come_first(rig: Rig) {
    let names = ["p:e", "p:c", "p:a", "p:d", "p:b"];
    rig.put_tasks(&names).await;
    let mut first = Vec::new();
    for name in names {
        first.push(rig.add_of(name, 1).await[0].id);
    }
    assert_eq!(ids(&rig.acquire_share(&[], 2).await), first[..2]);
    assert_eq!(ids(&rig.acquire_share(&["p:a"], 2).await), first[3..]);
    assert!(rig.acquire_share(&[], 0).await.is_empty());
}

async fn queues_are_closed_and_limited_as_ever(rig: Rig) {
    rig.put_tasks(&["p:a", "p:b", "p:c"]).await;
    let in_queue = |queue: &str, task: &str| {
        let job = rig.make.job(task);
        JobSpec { settings: JobSettings { queue: queue.parse().expect("a queue"), ..job.settings }, ..job }
    };
    let (a, b) = (rig.add(in_queue("one", "p:a")).await, rig.add(in_queue("one", "p:b")).await);
    let c = rig.add(in_queue("two", "p:c")).await;
    let ask = async |queues: &[(&str, usize)]| {
        let queues = queues.iter().map(|(queue, limit)| served(queue, *limit)).collect();
        ids(&rig.a.job_acquire(AcquireJobs { queues, ..rig.share(&[], 10) }).await.expect("acquired").jobs)
    };
    assert!(ask(&[("default", 10)]).await.is_empty());
    assert!(ask(&[("one", 0), ("three", 5)]).await.is_empty());
    rig.a.queue_pause("two".parse().expect("a queue"), true).await.expect("paused");
    assert_eq!(ask(&[("one", 1), ("two", 10)]).await, [a.id]);
    rig.a.queue_pause("two".parse().expect("a queue"), false).await.expect("goes on");
    assert_eq!(ask(&[("two", 10), ("one", 10)]).await, [b.id, c.id]);
}

async fn the_call_that_is_made_again_answers_what_the_first_one_leased(rig: Rig) {
    rig.put_tasks(&["p:a", "p:b"]).await;
    let (a, b) = (rig.add_of("p:a", 2).await, rig.add_of("p:b", 2).await);
    let request = rig.share(&[], 10);
    for _ in 0..2 {
        let acquired = rig.a.job_acquire(request.clone()).await.expect("acquired");
        assert_eq!(ids(&acquired.jobs), [a[0].id, b[0].id]);
    }
}
