//! Rows that cannot be read, because they are damaged or because a newer version wrote them: each harms itself at most.
//!
//! What a row must hold is the same in every database, so one stands for all of them here.

use std::time::Duration;

use super::SqlStore;
use super::tests::{Folder, acquire, job, jobs, meddle, open};
use crate::model::{
    Coalesce, ConflictPolicy, Digest, JobId, JobIdSource, JobSpec, LeaseToken, LogLevel, LogLine, Outcome, Pause,
    Payload, PluginName, PluginVersion, Schedule, ScheduleId, ScheduleLife, SchedulerId, Settings, Target, Task,
    TaskId, TaskName, Timestamp,
};
use crate::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds))
}

fn recover() -> Recover {
    Recover { now: at(99), over_at: at(99), spared: Vec::new(), holder: None, limit: 9 }
}

fn acquire_at(seconds: u64) -> AcquireJobs {
    let token = LeaseToken::random(&mut fastrand::Rng::new());
    AcquireJobs { now: at(seconds), lease: std::time::Duration::from_secs(10), token, ..acquire(10) }
}

fn acquire_schedules_at(seconds: u64) -> AcquireSchedules {
    let AcquireJobs { holder, token, now, lease, limit, .. } = acquire_at(seconds);
    AcquireSchedules { holder, token, now, lease, limit }
}

fn ids(jobs: &[crate::model::Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.spec.id).collect()
}

/// What was found unreadable, and of which kind.
fn kinds(unreadable: &[Unreadable]) -> Vec<(&str, DefectKind)> {
    unreadable.iter().map(|bad| (bad.id.as_str(), bad.defect.kind)).collect()
}

fn kind<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> DefectKind {
    match answer {
        Err(StoreError::Unreadable { defect, .. }) => defect.kind,
        other => panic!("it is readable: {other:?}"),
    }
}

fn schedule_id(id: &str) -> ScheduleId {
    ScheduleId::new(id).expect("valid")
}

/// A schedule that is due at the beginning.
fn schedule(id: &str, task: &str) -> Schedule {
    Schedule {
        id: schedule_id(id),
        life: ScheduleLife::from_number(1),
        task_id: TaskId::new(task).expect("valid"),
        trigger: "{}".into(),
        trigger_state: "{}".into(),
        args: Payload::no_args(),
        coalesce: Coalesce::All,
        max_jitter: Duration::ZERO,
        settings: Settings::default(),
        pause: None,
        next_fire_time: Some(at(0)),
        last_fire_time: None,
        overruns_since: None,
        fire_count: 0,
        failures: 0,
        created_at: at(0),
    }
}

async fn add_schedule(store: &SqlStore, schedule: Schedule) {
    let request = AddSchedule { schedule, conflict: ConflictPolicy::Error };
    store.schedule_add(request).await.expect("added");
}

fn task(id: &str) -> Task {
    let function = TaskName::new(id.rsplit(':').next().expect("a last part")).expect("valid");
    Task {
        id: TaskId::new(id).expect("valid"),
        target: Target::Plugin { plugin: plugin_name(), function },
        description: String::new(),
        args_schema: None,
        result_schema: None,
        example_args: None,
        configured: Settings::default(),
        declared: Settings::default(),
        defaults: Settings::default(),
    }
}

fn plugin_name() -> PluginName {
    PluginName::new("p").expect("valid")
}

/// A version of the plugin `p`.
fn version(number: u8, tasks: &[&str]) -> PutPlugin {
    let version = PluginVersion {
        name: plugin_name(),
        digest: Digest::from_bytes([number; 32]),
        size_bytes: 1,
        imports: Vec::new(),
        grants: Vec::new(),
        tasks: Vec::new(),
        registered_at: at(number.into()),
    };
    let tasks = tasks.iter().map(|id| task(id)).collect();
    PutPlugin { version, bytes: vec![number], tasks, configure: Settings::default(), reviewed: None }
}

#[tokio::test]
async fn a_damaged_job_ends_and_one_of_a_newer_version_waits_as_it_was() {
    let folder = Folder::new("unreadable-jobs");
    let store = open(&folder).await;
    let specs = jobs(3);
    store.job_add(specs.clone()).await.expect("added");
    meddle(&store, "UPDATE host_jobs SET settings = '{' WHERE id = (SELECT MIN(id) FROM host_jobs)").await;
    let newer = "UPDATE host_jobs SET settings = json_set(settings, '$.calendar', 'skip')
        WHERE id = (SELECT id FROM host_jobs ORDER BY id LIMIT 1 OFFSET 1)";
    meddle(&store, newer).await;
    let acquired = store.job_acquire(acquire_at(0)).await.expect("acquired");
    assert_eq!(ids(&acquired.jobs), [specs[2].id]);
    let (damaged, newer) = (specs[0].id.to_string(), specs[1].id.to_string());
    let mut found = kinds(&acquired.unreadable);
    found.sort_by_key(|(id, _)| id.to_string());
    assert_eq!(found, [(damaged.as_str(), DefectKind::Damaged), (newer.as_str(), DefectKind::Newer)]);
    assert_eq!(store.job_counts().await.expect("counted"), JobCounts { queued: 1, running: 1, finished: 1 });
    let ended = JobFilter { outcome: Some(Outcome::DeserializationFailed), limit: 9, ..JobFilter::default() };
    assert_eq!(
        kinds(&store.job_list(ended).await.expect("listed").unreadable),
        [(damaged.as_str(), DefectKind::Damaged)]
    );
    assert_eq!(kind(store.job_get(specs[1].id).await), DefectKind::Newer);
    // It is in nobody's way for a while, and found again then.
    assert_eq!(store.job_next_due(at(0)).await.expect("read"), Some(at(1)));
    assert_eq!(store.job_acquire(acquire_at(0)).await.expect("asked").unreadable, []);
    assert_eq!(store.job_acquire(acquire_at(1)).await.expect("asked").unreadable.len(), 1);
    // Whoever can read it finds it untouched.
    meddle(&store, "UPDATE host_jobs SET settings = json_remove(settings, '$.calendar') WHERE state = 'queued'").await;
    let job = store.job_acquire(acquire_at(9)).await.expect("acquired").jobs.remove(0);
    assert_eq!((&job.spec, job.attempt, job.crashes), (&specs[1], 1, 0));
    store.close().await;
}

#[tokio::test]
async fn a_damaged_schedule_is_paused_and_one_of_a_newer_version_waits_as_it_was() {
    let folder = Folder::new("unreadable-schedules");
    let store = open(&folder).await;
    for id in ["damaged", "good", "newer"] {
        add_schedule(&store, schedule(id, "p:work")).await;
    }
    meddle(&store, "UPDATE host_schedules SET settings = '[' WHERE id = 'damaged'").await;
    meddle(&store, "UPDATE host_schedules SET coalesce_policy = 'never' WHERE id = 'newer'").await;
    let acquired = store.schedule_acquire(acquire_schedules_at(0)).await.expect("acquired");
    assert_eq!(acquired.schedules.iter().map(|leased| leased.schedule.id.as_str()).collect::<Vec<_>>(), ["good"]);
    assert_eq!(kinds(&acquired.unreadable), [("damaged", DefectKind::Damaged), ("newer", DefectKind::Newer)]);
    assert!(acquired.unreadable[1].defect.to_string().contains("`never`"), "{:?}", acquired.unreadable);
    assert_eq!(store.schedule_next_due().await.expect("read"), Some(at(1)), "the one that is put off");
    meddle(&store, "UPDATE host_schedules SET settings = '{}', coalesce_policy = 'all'").await;
    let mended = store.schedule_get(&schedule_id("damaged")).await.expect("read").expect("there");
    assert!(matches!(mended.pause, Some(Pause::Failed(reason)) if reason.contains("cannot be read")));
    let mut again = store.schedule_acquire(acquire_schedules_at(1)).await.expect("acquired").schedules;
    assert_eq!(again.remove(0).schedule, schedule("newer", "p:work"));
    store.close().await;
}

#[tokio::test]
async fn an_unreadable_schedule_can_be_removed_and_its_removal_is_reported() {
    let folder = Folder::new("unreadable-removed");
    let store = open(&folder).await;
    add_schedule(&store, schedule("bad", "p:work")).await;
    meddle(&store, "UPDATE host_schedules SET settings = '['").await;
    let removed = store.schedule_remove(&schedule_id("bad")).await.expect("removed").expect("it was there");
    assert_eq!(removed.task_id, Some(TaskId::new("p:work").expect("valid")));
    assert_eq!(removed.schedule.map_err(|bad| (bad.id, bad.defect.kind)), Err(("bad".into(), DefectKind::Damaged)));
    assert_eq!(store.schedule_remove(&schedule_id("bad")).await.expect("asked"), None);
    store.close().await;
}

#[tokio::test]
async fn unreadable_tasks_are_listed_as_such_and_their_schedules_and_others_are_acquired() {
    let folder = Folder::new("unreadable-tasks");
    let store = open(&folder).await;
    store.plugin_put(version(1, &["p:damaged", "p:good", "p:newer"])).await.expect("put");
    meddle(&store, "UPDATE host_tasks SET declared = '{\"max_attempts\":\"x\"}' WHERE id = 'p:damaged'").await;
    meddle(&store, "UPDATE host_tasks SET declared = '{\"calendar\":\"skip\"}' WHERE id = 'p:newer'").await;
    let page = store.task_list().await.expect("listed");
    assert_eq!(page.rows.iter().map(|row| row.task.id.as_str()).collect::<Vec<_>>(), ["p:good"]);
    assert_eq!(kinds(&page.unreadable), [("p:damaged", DefectKind::Damaged), ("p:newer", DefectKind::Newer)]);
    assert_eq!(kind(store.task_get(&TaskId::new("p:newer").expect("valid")).await), DefectKind::Newer);
    for id in ["p:damaged", "p:good", "p:newer", "p:gone"] {
        add_schedule(&store, schedule(id, id)).await;
    }
    let acquired = store.schedule_acquire(acquire_schedules_at(0)).await.expect("acquired").schedules;
    let tasks = acquired.iter().map(|leased| leased.task.as_ref().map(Option::is_some).map_err(|bad| bad.defect.kind));
    let expected = [Err(DefectKind::Damaged), Ok(false), Ok(true), Err(DefectKind::Newer)];
    assert_eq!(tasks.collect::<Vec<_>>(), expected);
    store.close().await;
}

#[tokio::test]
async fn registering_again_mends_what_is_damaged_and_keeps_what_was_configured() {
    let folder = Folder::new("unreadable-mended");
    let store = open(&folder).await;
    let configured = Settings { fuel: Some(7), ..Settings::default() };
    store.plugin_put(version(1, &["p:a", "p:b", "p:lost"])).await.expect("put");
    store.task_put(Task { configured: configured.clone(), ..task("p:a") }).await.expect("put");
    meddle(&store, "UPDATE host_tasks SET declared = '{'").await;
    meddle(&store, "UPDATE host_tasks SET configured = '{' WHERE id = 'p:b'").await;
    meddle(&store, "UPDATE host_plugin_versions SET details = '{'").await;
    assert_eq!(kinds(&store.plugin_list().await.expect("listed").unreadable), [("p", DefectKind::Damaged)]);
    assert_eq!(kind(store.plugin_get(&plugin_name()).await), DefectKind::Damaged);
    let history = store.plugin_history(&plugin_name()).await.expect("listed");
    let digest = Digest::from_bytes([1; 32]).to_string();
    assert_eq!(kinds(&history.unreadable), [(digest.as_str(), DefectKind::Damaged)]);
    let done = store.plugin_put(version(1, &["p:a", "p:b"])).await.expect("put");
    assert_eq!((done.put, done.tasks_updated.len()), (Put::Replaced, 2));
    assert_eq!(done.tasks_removed, [TaskId::new("p:lost").expect("valid")]);
    assert!(store.plugin_get(&plugin_name()).await.expect("read").is_some());
    let page = store.task_list().await.expect("listed");
    assert_eq!(page.unreadable, []);
    let stored: Vec<Settings> = page.rows.into_iter().map(|row| row.task.configured).collect();
    assert_eq!(stored, [configured, Settings::default()]);
    store.close().await;
}

#[tokio::test]
async fn what_a_newer_version_has_configured_is_not_overwritten() {
    let folder = Folder::new("unreadable-newer");
    let store = open(&folder).await;
    store.plugin_put(version(1, &["p:a"])).await.expect("put");
    meddle(&store, "UPDATE host_tasks SET configured = '{\"calendar\":\"skip\"}'").await;
    assert_eq!(kind(store.plugin_put(version(2, &["p:a"])).await), DefectKind::Newer);
    assert_eq!(kind(store.task_put(task("p:a")).await), DefectKind::Newer);
    assert_eq!(store.plugin_history(&plugin_name()).await.expect("listed").rows.len(), 1, "nothing has changed");
    meddle(&store, "UPDATE host_tasks SET declared = configured, configured = '{}'").await;
    store.plugin_put(version(2, &["p:a"])).await.expect("what its author says now takes the place");
    assert_eq!(store.task_list().await.expect("listed").unreadable, []);
    store.close().await;
}

#[tokio::test]
async fn a_plugin_that_cannot_be_read_can_be_removed_with_its_tasks() {
    let folder = Folder::new("unreadable-plugin");
    let store = open(&folder).await;
    store.plugin_put(version(1, &["p:a", "p:b"])).await.expect("put");
    meddle(&store, "UPDATE host_plugin_versions SET details = 'x'").await;
    meddle(&store, "UPDATE host_tasks SET declared = 'x' WHERE id = 'p:a'").await;
    let removed = store.plugin_remove(&plugin_name()).await.expect("removed").expect("it was there");
    assert_eq!(removed.len(), 2);
    assert_eq!(store.task_list().await.expect("listed"), Page { rows: Vec::new(), unreadable: Vec::new(), next: None });
    store.close().await;
}

#[tokio::test]
async fn unreadable_log_lines_are_reported_among_the_others_and_reading_goes_on_after_them() {
    let folder = Folder::new("unreadable-lines");
    let store = open(&folder).await;
    let spec = jobs(1).remove(0);
    store.job_add(vec![spec.clone()]).await.expect("added");
    let request = acquire_at(0);
    store.job_acquire(request.clone()).await.expect("acquired");
    let line = |sequence| LogLine {
        attempt: 1,
        sequence,
        at: at(0),
        level: LogLevel::Info,
        target: "t".into(),
        message: sequence.to_string(),
        fields: Vec::new(),
    };
    let report = JobReport { id: spec.id, token: request.token, lines: (0..4).map(line).collect(), progress: None };
    store.job_report(vec![report]).await.expect("reported");
    meddle(&store, "UPDATE host_job_logs SET level = 'shout' WHERE sequence = 1").await;
    meddle(&store, "UPDATE host_job_logs SET fields = '{' WHERE sequence = 3").await;
    meddle(&store, "INSERT INTO host_job_logs SELECT job_id, 4294967296, 0, at, level, target, message, fields FROM host_job_logs WHERE sequence = 0").await;
    let read = |after, limit| store.job_logs(ReadLogs { id: spec.id, after, limit });
    let page = read(None, 9).await.expect("read");
    assert_eq!(page.lines, [line(0), line(2)]);
    let bad = [("line 1 of attempt 1", DefectKind::Newer), ("line 3 of attempt 1", DefectKind::Damaged)];
    assert_eq!(kinds(&page.unreadable), bad);
    assert_eq!(page.last, Some((1, 3)));
    assert_eq!(read(page.last, 9).await.expect("read"), LogPage::default(), "reading has an end");
    assert_eq!(read(Some((1, 0)), 1).await.expect("read").last, Some((1, 1)));
    store.close().await;
}

#[tokio::test]
async fn an_unreadable_scheduler_hides_no_other() {
    let folder = Folder::new("unreadable-schedulers");
    let store = open(&folder).await;
    for id in ["bad", "good", "idle"] {
        let id = SchedulerId::new(id).expect("valid");
        let scheduler = SchedulerRow {
            id,
            role: "both".into(),
            started_at: at(0),
            seen_at: at(0),
            stopped_at: None,
            incarnation: "one".parse().expect("valid"),
            queues: Vec::new(),
            abilities: Vec::new(),
            memory: None,
        };
        store.scheduler_put(PutScheduler { scheduler, replaces: None }).await.expect("put");
    }
    meddle(&store, "UPDATE host_schedulers SET started_at = 9223372036854775807 WHERE id = 'bad'").await;
    let page = store.scheduler_list().await.expect("listed");
    assert_eq!(page.rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["good", "idle"]);
    assert_eq!(kinds(&page.unreadable), [("bad", DefectKind::Damaged)]);
    for (damage, mend) in [
        ("UPDATE host_schedulers SET work = '{' WHERE id = 'idle'", "UPDATE host_schedulers SET work = NULL"),
        ("UPDATE host_schedulers SET memory = '{' WHERE id = 'idle'", "UPDATE host_schedulers SET memory = NULL"),
    ] {
        meddle(&store, damage).await;
        let page = store.scheduler_list().await.expect("listed");
        let expected = [("bad", DefectKind::Damaged), ("idle", DefectKind::Damaged)];
        assert_eq!(kinds(&page.unreadable), expected, "{damage}");
        meddle(&store, mend).await;
    }
    store.close().await;
}

#[tokio::test]
async fn a_job_in_a_state_of_a_newer_version_is_left_alone() {
    let folder = Folder::new("unreadable-state");
    let store = open(&folder).await;
    let specs = jobs(2);
    store.job_add(specs.clone()).await.expect("added");
    let request = acquire_at(0);
    store.job_acquire(request.clone()).await.expect("acquired");
    meddle(&store, "UPDATE host_jobs SET state = 'waiting', expires_at = 0 WHERE id = (SELECT MIN(id) FROM host_jobs)")
        .await;
    let (newer, good) = (specs[0].id, specs[1].id);
    assert_eq!(kind(store.job_get(newer).await), DefectKind::Newer);
    assert_eq!(kind(store.job_cancel(newer, None, at(1)).await), DefectKind::Newer);
    assert_eq!(kind(store.job_retry(newer, at(1)).await), DefectKind::Newer);
    let leases = vec![(newer, request.token), (good, request.token)];
    let extended = store
        .job_extend(ExtendJobs { leases, now: at(10), lease: std::time::Duration::from_secs(10) })
        .await
        .expect("extended");
    assert_eq!(extended.iter().map(|it| it.hold != Hold::Lost).collect::<Vec<_>>(), [false, true]);
    let recover = Recover { holder: Some(request.holder), ..recover() };
    assert_eq!(store.recover(recover).await.expect("recovered").abandoned.len(), 1, "the other one");
    assert_eq!(store.cleanup(at(200), 9).await.expect("cleaned").jobs, [good]);
    let page = store.job_list(JobFilter { limit: 9, ..JobFilter::default() }).await.expect("listed");
    assert_eq!(kinds(&page.unreadable), [(newer.to_string().as_str(), DefectKind::Newer)]);
    store.close().await;
}

#[tokio::test]
async fn a_running_job_of_which_nothing_can_be_told_costs_no_other_its_lease() {
    let folder = Folder::new("unreadable-running");
    let store = open(&folder).await;
    let specs = jobs(3);
    store.job_add(specs.clone()).await.expect("added");
    let request = acquire_at(0);
    store.job_acquire(request.clone()).await.expect("acquired");
    meddle(&store, "UPDATE host_jobs SET attempt = -1 WHERE id = (SELECT MIN(id) FROM host_jobs)").await;
    let leases = specs.iter().map(|spec| (spec.id, request.token)).collect();
    let extended = store
        .job_extend(ExtendJobs { leases, now: at(10), lease: std::time::Duration::from_secs(10) })
        .await
        .expect("extended");
    assert_eq!(extended.iter().map(|it| it.hold != Hold::Lost).collect::<Vec<_>>(), [true, true, true]);
    // What a newer version has set is for that one to judge.
    meddle(&store, "UPDATE host_jobs SET settings = '{\"calendar\":1}' WHERE id = (SELECT MAX(id) FROM host_jobs)")
        .await;
    let recovered = store.recover(recover()).await.expect("recovered");
    assert_eq!(kinds(&recovered.unreadable), [(specs[0].id.to_string().as_str(), DefectKind::Damaged)]);
    let ended = |jobs: &[EndedJob]| jobs.iter().map(|job| job.id).collect::<Vec<_>>();
    assert_eq!((ended(&recovered.abandoned), ended(&recovered.requeued)), (vec![specs[1].id], vec![specs[2].id]));
    assert_eq!(store.job_counts().await.expect("counted"), JobCounts { queued: 1, running: 0, finished: 2 });
    assert_eq!(store.recover(recover()).await.expect("asked"), Recovered::default());
    store.close().await;
}

#[tokio::test]
async fn a_schedule_that_seems_to_be_over_and_cannot_be_read_is_not_cleaned_up() {
    let folder = Folder::new("unreadable-over");
    let store = open(&folder).await;
    for id in ["bad", "over"] {
        add_schedule(&store, Schedule { next_fire_time: None, ..schedule(id, "p:work") }).await;
    }
    meddle(&store, "UPDATE host_schedules SET coalesce_policy = 'never' WHERE id = 'bad'").await;
    let removed = store.cleanup(at(9), 9).await.expect("cleaned").schedules;
    assert_eq!(removed.iter().map(|ended| ended.id.as_str()).collect::<Vec<_>>(), ["over"]);
    assert_eq!(kind(store.schedule_get(&schedule_id("bad")).await), DefectKind::Newer);
    store.close().await;
}

#[tokio::test]
async fn what_the_database_refuses_is_reported_as_such_and_changes_nothing() {
    let folder = Folder::new("rejected");
    let store = open(&folder).await;
    meddle(
        &store,
        "CREATE TRIGGER picky BEFORE INSERT ON host_jobs WHEN NEW.task_id = 'p:bad'
        BEGIN SELECT RAISE(ABORT, 'not here'); END",
    )
    .await;
    let mut ids = JobIdSource::new(fastrand::Rng::with_seed(1));
    let good = job(ids.next(at(0)));
    let bad = JobSpec { task_id: TaskId::new("p:bad").expect("valid"), ..job(ids.next(at(0))) };
    let refused = store.job_add(vec![good.clone(), bad]).await;
    let Err(StoreError::Rejected { operation: "job_add", source }) = refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("not here"), "{source}");
    assert_eq!(store.job_counts().await.expect("counted"), JobCounts::default());
    store.job_add(vec![good]).await.expect("added");
    store.close().await;
}
