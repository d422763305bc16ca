//! Lists: every filter, in pages.

use host::model::{ConflictPolicy, Encoding, ErrorKind, Job, JobError, JobSpec, JobState, Outcome, Payload, Schedule};
use host::store::{AcquireJobs, Choice, Ending, JobFilter, Record, Restore, ScheduleFilter};

use super::{Rig, cases, ids};
use crate::factory::{add, release, releases, schedule, schedule_id, success, t, task, task_id};

cases![
    every_list_of_jobs_is_whole_whatever_its_filter,
    every_list_of_schedules_is_whole_whatever_its_filter,
    pages_neither_skip_nor_repeat_while_jobs_come_and_end,
    a_thousand_jobs_come_in_pages,
    jobs_of_a_group_are_listed_in_pages_whatever_the_case_of_its_name_and_after_a_restore,
    json_and_cbor_stay_what_they_are_in_schedules_and_results,
];

/// Jobs of two tasks, by two schedules and by none, in every state and with three outcomes; oldest first.
async fn assortment(rig: &Rig) -> Vec<Job> {
    for id in ["p:a", "p:b"] {
        rig.a.task_put(task(id, None)).await.expect("stored");
    }
    let mut added = Vec::new();
    for at in 0..72_i64 {
        let job = match at % 3 {
            0 => rig.make.job("p:x"),
            1 => rig.make.fired("s", at),
            _ => rig.make.fired("other", at),
        };
        added.push(JobSpec { task_id: task_id(["p:a", "p:b"][usize::from(at % 5 < 2)]), ..job });
    }
    rig.a.job_add(added.clone()).await.expect("added");
    for (at, id) in added.iter().map(|job| job.id).enumerate() {
        let ending = match at % 6 {
            // Stays queued.
            0 => continue,
            1 => {
                rig.a.job_cancel(id, None, t(1)).await.expect("cancelled");
                continue;
            }
            2 | 3 => Some(success(99)),
            4 => {
                let (outcome, error) = (Outcome::Error, Some(JobError::new(ErrorKind::GuestError, "no")));
                Some(Ending::Finished { outcome, result: None, error, expires_at: t(99) })
            }
            // Stays running.
            _ => None,
        };
        let request = AcquireJobs { choice: Choice::Only(id), ..rig.make.acquire(1, 1) };
        let token = request.token;
        rig.a.job_acquire(request).await.expect("acquired");
        if let Some(ending) = ending {
            rig.a.job_release(releases(2, release(id, token, ending))).await.expect("released");
        }
    }
    let mut jobs = Vec::new();
    for spec in added {
        jobs.push(rig.job(spec.id).await);
    }
    jobs
}

/// All pages of a list from the filter's place on, one after the other.
async fn pages(rig: &Rig, filter: JobFilter) -> Vec<Job> {
    let (mut seen, mut after) = (Vec::new(), filter.after.clone());
    loop {
        let page = rig.b.job_list(JobFilter { after, ..filter.clone() }).await.expect("listed");
        assert!(page.rows.len() <= filter.limit && page.unreadable.is_empty(), "{page:?}");
        seen.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return seen;
        }
    }
}

async fn every_list_of_jobs_is_whole_whatever_its_filter(rig: Rig) {
    let jobs = assortment(&rig).await;
    let states = [None, Some(JobState::Queued), Some(JobState::Running), Some(JobState::Finished)];
    let outcomes = [None, Some(Outcome::Success), Some(Outcome::Error), Some(Outcome::Cancelled)];
    let (tasks, schedules) = ([None, Some("p:a"), Some("p:none")], [None, Some("s"), Some("none")]);
    for (at, state) in states.into_iter().enumerate() {
        for outcome in outcomes {
            for (task, schedule) in tasks.into_iter().flat_map(|task| schedules.map(|schedule| (task, schedule))) {
                let (task_id, schedule_id) = (task.map(task_id), schedule.map(schedule_id));
                let fits = |job: &&Job| {
                    state.is_none_or(|state| job.state == state)
                        && (outcome.is_none() || job.outcome == outcome)
                        && task_id.as_ref().is_none_or(|id| job.spec.task_id == *id)
                        && (schedule_id.is_none() || job.spec.schedule_id == schedule_id)
                };
                let expected: Vec<_> = jobs.iter().rev().filter(fits).map(|job| job.spec.id).collect();
                // Sizes at which a last page is full, and at which it is not.
                let limit = [5, 8, 12, 100][at];
                let filter = JobFilter { state, outcome, task_id, schedule_id, limit, ..JobFilter::default() };
                assert_eq!(ids(&pages(&rig, filter.clone()).await), expected, "{filter:?}");
            }
        }
    }
}

async fn every_list_of_schedules_is_whole_whatever_its_filter(rig: Rig) {
    let mut all = Vec::new();
    for at in 0..23 {
        let task_id = task_id(["p:a", "p:b"][usize::from(at % 3 == 0)]);
        let stored = Schedule { task_id, ..schedule(&format!("s{at:02}"), at) };
        rig.a.schedule_add(add(stored.clone())).await.expect("added");
        all.push(stored);
    }
    for task in [None, Some("p:a"), Some("p:b"), Some("p:none")] {
        for limit in [1, 4, 5, 100] {
            let task_id = task.map(task_id);
            let fits = |schedule: &&Schedule| task_id.as_ref().is_none_or(|id| schedule.task_id == *id);
            let expected: Vec<_> = all.iter().filter(fits).cloned().collect();
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let filter = ScheduleFilter { task_id: task_id.clone(), after, limit };
                let page = rig.b.schedule_list(filter).await.expect("listed");
                seen.extend(page.rows);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expected, "{task:?}, {limit} a page");
        }
    }
}

async fn pages_neither_skip_nor_repeat_while_jobs_come_and_end(rig: Rig) {
    let mut added = Vec::new();
    for _ in 0..10 {
        added.push(rig.add(rig.make.job("p:work")).await.id);
    }
    let filter = JobFilter { task_id: Some(task_id("p:work")), limit: 4, ..JobFilter::default() };
    let first = rig.a.job_list(filter.clone()).await.expect("listed");
    // A younger one, and one of the first page and one of the next that end.
    rig.add(rig.make.job("p:work")).await;
    for id in [added[9], added[2]] {
        rig.a.job_cancel(id, None, t(1)).await.expect("cancelled");
    }
    let rest = pages(&rig, JobFilter { after: first.next, ..filter }).await;
    assert_eq!(ids(&[first.rows, rest].concat()), added.into_iter().rev().collect::<Vec<_>>());
}

async fn a_thousand_jobs_come_in_pages(rig: Rig) {
    let jobs: Vec<JobSpec> = (0..1_000).map(|_| rig.make.job("p:work")).collect();
    let expected: Vec<_> = jobs.iter().rev().map(|job| job.id).collect();
    rig.a.job_add(jobs).await.expect("added");
    let seen = pages(&rig, JobFilter { limit: 130, ..JobFilter::default() }).await;
    assert_eq!(ids(&seen), expected);
}

async fn json_and_cbor_stay_what_they_are_in_schedules_and_results(rig: Rig) {
    // The same bytes in both: they must not be told apart by looking at them. 0xff is no UTF-8.
    for (at, encoding) in [Encoding::Json, Encoding::Cbor].into_iter().enumerate() {
        for (bytes_at, data) in [&b"7"[..], &b"\x00\xff\x9f\xff"[..], &b""[..]].into_iter().enumerate() {
            let payload = Payload { encoding, data: data.into() };
            let stored = Schedule { args: payload.clone(), ..schedule(&format!("s{at}{bytes_at}"), 1) };
            rig.a.schedule_add(add(stored.clone())).await.expect("added");
            assert_eq!(rig.b.schedule_get(&stored.id).await.expect("read"), Some(stored));
            rig.add(JobSpec { args: payload.clone(), ..rig.make.job("p:work") }).await;
            let (id, token) = rig.acquire_one(1).await;
            let ending = match success(99) {
                Ending::Finished { outcome, error, expires_at, .. } => {
                    Ending::Finished { outcome, result: Some(payload.clone()), error, expires_at }
                }
                other => other,
            };
            rig.a.job_release(releases(2, release(id, token, ending))).await.expect("released");
            let job = rig.job(id).await;
            assert_eq!((&job.spec.args, job.result.as_ref()), (&payload, Some(&payload)));
        }
    }
}

async fn jobs_of_a_group_are_listed_in_pages_whatever_the_case_of_its_name_and_after_a_restore(rig: Rig) {
    let grouped = |group: &str| {
        let job = rig.make.job("p:work");
        JobSpec { settings: host::model::JobSettings { group: Some(group.to_owned()), ..job.settings }, ..job }
    };
    let mut jobs = vec![rig.make.job("p:work"), grouped("G")];
    jobs.extend((0..7).map(|_| grouped("g")));
    rig.a.job_add(jobs.clone()).await.expect("added");
    let restored = grouped("g");
    let records = vec![Record::Job(Box::new(Job::queued(restored.clone())))];
    let restore = Restore { records, conflict: ConflictPolicy::Error, now: t(0), dry_run: false };
    rig.a.restore(restore).await.expect("restored");
    let mut expected: Vec<_> = jobs[2..].iter().map(|job| job.id).chain([restored.id]).collect();
    expected.reverse();
    let mut filter = JobFilter { group: Some("g".to_owned()), limit: 3, ..JobFilter::default() };
    let mut found = Vec::new();
    loop {
        let page = rig.b.job_list(filter.clone()).await.expect("listed");
        assert!(page.rows.iter().all(|job| job.spec.settings.group.as_deref() == Some("g")));
        found.extend(ids(&page.rows));
        match page.next {
            Some(next) => filter.after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, expected);
    rig.a.job_cancel(expected[0], None, t(1)).await.expect("cancelled");
    let cancelled = JobFilter { outcome: Some(Outcome::Cancelled), after: None, ..filter };
    assert_eq!(ids(&rig.b.job_list(cancelled).await.expect("listed").rows), expected[..1]);
}
