//! Clean-up.

use host::model::{LogLevel, LogLine, Pause, Schedule};
use host::store::rules::LOG_LINES_REMOVED_MAX;
use host::store::{JobFilter, LogPage, ReadLogs, ReleaseJob, SchedulerRow, StoreError};

use super::{Rig, cases};
use crate::factory::{add, release, releases, schedule, schedule_id, scheduler, success, t};

cases![
    a_job_goes_with_its_logs_once_its_time_is_over,
    clean_up_takes_the_oldest_first_and_at_most_as_many_as_asked,
    cleaning_up_twice_finds_nothing,
    very_many_log_lines_go_in_several_calls_and_their_job_with_the_last,
    a_store_says_whether_it_takes_writes_and_changes_nothing,
    a_finished_schedule_goes_with_its_last_job,
    a_paused_schedule_without_fire_times_stays,
    a_queued_job_never_goes,
    a_fire_may_be_made_again_once_its_job_is_gone,
    schedulers_that_fell_silent_go_after_a_week,
    a_closed_store_says_so,
];

/// Runs a job to its end at `t(1)`, to be kept until `t(expires)`.
async fn finished(rig: &Rig, job: host::model::JobSpec, expires: i64) -> host::model::JobId {
    rig.add(job).await;
    let (id, token) = rig.acquire_one(1).await;
    let mut done = release(id, token, success(expires));
    done.lines = vec![host::model::LogLine {
        attempt: 1,
        sequence: 0,
        at: t(1),
        level: host::model::LogLevel::Info,
        target: "t".into(),
        message: "m".into(),
        fields: Vec::new(),
    }];
    rig.a.job_release(releases(1, done)).await.expect("released");
    id
}

async fn a_job_goes_with_its_logs_once_its_time_is_over(rig: Rig) {
    let id = finished(&rig, rig.make.job("p:work"), 10).await;
    assert!(rig.a.cleanup(t(9), 100).await.expect("cleaned").jobs.is_empty());
    assert_eq!(rig.a.cleanup(t(10), 100).await.expect("cleaned").jobs, [id]);
    assert_eq!(rig.b.job_get(id).await.expect("read"), None);
    assert_eq!(rig.b.job_logs(ReadLogs { id, after: None, limit: 9 }).await.expect("read"), LogPage::default());
}

async fn clean_up_takes_the_oldest_first_and_at_most_as_many_as_asked(rig: Rig) {
    let late = finished(&rig, rig.make.job("p:work"), 30).await;
    let early = finished(&rig, rig.make.job("p:work"), 10).await;
    let middle = finished(&rig, rig.make.job("p:work"), 20).await;
    assert_eq!(rig.a.cleanup(t(99), 2).await.expect("cleaned").jobs, [early, middle]);
    assert_eq!(rig.b.cleanup(t(99), 2).await.expect("cleaned").jobs, [late]);
}

async fn cleaning_up_twice_finds_nothing(rig: Rig) {
    finished(&rig, rig.make.job("p:work"), 10).await;
    rig.a.cleanup(t(10), 100).await.expect("cleaned");
    assert_eq!(rig.b.cleanup(t(10), 100).await.expect("cleaned"), host::store::CleanedUp::default());
}

async fn very_many_log_lines_go_in_several_calls_and_their_job_with_the_last(rig: Rig) {
    let line = |sequence: usize| LogLine {
        attempt: 1,
        sequence: u32::try_from(sequence).expect("in range"),
        at: t(1),
        level: LogLevel::Info,
        target: "t".into(),
        message: "m".into(),
        fields: Vec::new(),
    };
    let mut ids = Vec::new();
    for lines in [10, LOG_LINES_REMOVED_MAX + 500, 10] {
        rig.add(rig.make.job("p:work")).await;
        let (id, token) = rig.acquire_one(0).await;
        let ended = ReleaseJob { lines: (0..lines).map(line).collect(), ..release(id, token, success(10)) };
        rig.a.job_release(releases(1, ended)).await.expect("released");
        ids.push(id);
    }
    let (mut gone, mut calls) = (Vec::new(), 0);
    loop {
        let step = rig.a.cleanup(t(10), 100).await.expect("cleaned");
        gone.extend(step.jobs);
        calls += 1;
        if !step.has_more {
            break;
        }
        assert!(calls < 9, "it ends");
    }
    // A failure may have swallowed an answer, but not what it did.
    assert!(calls >= 2 && (!rig.is_exact || gone == ids), "{calls} calls removed {gone:?}");
    for id in ids {
        assert_eq!(rig.b.job_get(id).await.expect("read"), None);
        let lines = rig.b.job_logs(ReadLogs { id, after: None, limit: 9 }).await.expect("read");
        assert_eq!(lines, LogPage::default());
    }
}

async fn a_store_says_whether_it_takes_writes_and_changes_nothing(rig: Rig) {
    let before = rig.a.catalog_revision().await.expect("read");
    rig.a.check().await.expect("it is open");
    assert_eq!(rig.b.catalog_revision().await.expect("read"), before);
    rig.a.close().await;
    assert!(matches!(rig.a.check().await, Err(StoreError::Closed)));
}

async fn a_finished_schedule_goes_with_its_last_job(rig: Rig) {
    rig.a.schedule_add(add(Schedule { next_fire_time: None, ..schedule("over", 0) })).await.expect("added");
    rig.a.schedule_add(add(schedule("goes-on", 50))).await.expect("added");
    finished(&rig, rig.make.fired("over", 0), 10).await;
    assert!(rig.a.cleanup(t(5), 100).await.expect("cleaned").schedules.is_empty());
    let gone = rig.a.cleanup(t(10), 100).await.expect("cleaned");
    assert_eq!(gone.schedules.iter().map(|ended| ended.id.clone()).collect::<Vec<_>>(), [schedule_id("over")]);
    assert!(rig.b.schedule_get(&schedule_id("goes-on")).await.expect("read").is_some());
}

async fn a_paused_schedule_without_fire_times_stays(rig: Rig) {
    let paused = Schedule { next_fire_time: None, pause: Some(Pause::Asked), ..schedule("s", 0) };
    rig.a.schedule_add(add(paused)).await.expect("added");
    assert!(rig.a.cleanup(t(99), 100).await.expect("cleaned").schedules.is_empty());
}

async fn a_queued_job_never_goes(rig: Rig) {
    let id = finished(&rig, rig.make.job("p:work"), 10).await;
    rig.a.job_retry(id, t(2)).await.expect("queued");
    assert!(rig.a.cleanup(t(1_000_000), 100).await.expect("cleaned").jobs.is_empty());
}

async fn a_fire_may_be_made_again_once_its_job_is_gone(rig: Rig) {
    finished(&rig, rig.make.fired("s", 5), 10).await;
    rig.a.cleanup(t(10), 100).await.expect("cleaned");
    let again = rig.add(rig.make.fired("s", 5)).await;
    assert_eq!(rig.job(again.id).await.spec, again);
}

async fn schedulers_that_fell_silent_go_after_a_week(rig: Rig) {
    let row = |id: &str, seen| SchedulerRow {
        id: scheduler(id),
        role: "worker".into(),
        started_at: t(0),
        seen_at: t(seen),
        stopped_at: None,
    };
    rig.a.scheduler_put(row("silent", 0)).await.expect("put");
    rig.a.scheduler_put(row("alive", 100)).await.expect("put");
    rig.a.cleanup(t(7 * 86_400 + 1), 100).await.expect("cleaned");
    let left = rig.b.scheduler_list().await.expect("listed").rows;
    assert_eq!(left.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["alive"]);
}

async fn a_closed_store_says_so(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    rig.a.close().await;
    // A store that fails on request may do so first; what matters is that it never answers again.
    assert!(matches!(rig.a.job_counts().await, Err(StoreError::Closed)));
    assert!(matches!(rig.a.job_add(vec![rig.make.job("p:work")]).await, Err(StoreError::Closed)));
    let open = rig.b.job_list(JobFilter { limit: 1, ..JobFilter::default() }).await;
    assert_eq!(open.expect("the other handle is open").rows.len(), 1);
}
