//! Snapshots and restoring: what backup and moving stand on.

use std::collections::HashSet;

use host::model::{
    ConflictPolicy, ErrorKind, Job, JobError, JobId, JobSpec, JobState, Lease, LogLevel, LogLine, Outcome, Payload,
    PluginName, Schedule, ScheduleLife, Task, TaskDeclaration, TaskName,
};
use host::store::memory::MemoryStore;
use host::store::record::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use host::store::{
    FireSchedule, Fired, JobQueue as _, JobReport, ReadLogs, Record, Released, Restore, Restored, Store, StoreError,
    StoredPlugin,
};

use super::{Rig, cases};
use crate::content::{Content, records, restore, restore_all};
use crate::factory::{
    Factory, add, fire, plugin, recover, release, releases, schedule, schedule_id, scheduler, success, t, task, task_id,
};

cases![
    an_empty_store_has_an_empty_snapshot,
    everything_is_read_in_the_promised_order,
    what_comes_from_memory_is_read_back_the_same,
    what_goes_to_memory_is_read_back_the_same,
    a_snapshot_sees_nothing_that_was_stored_after_it_began,
    a_fire_is_in_a_snapshot_with_its_jobs_or_not_at_all,
    large_jobs_come_in_small_batches,
    log_lines_stay_with_their_jobs_across_batches,
    a_snapshot_that_is_dropped_or_read_leaves_a_usable_store,
    jobs_of_several_lives_of_a_schedule_stand_beside_each_other,
    restoring_twice_is_restoring_once,
    a_call_that_is_refused_stores_nothing,
    under_skip_what_is_there_stays_with_its_log_lines,
    under_replace_what_is_there_goes_with_its_log_lines,
    a_replaced_job_is_no_longer_held,
    a_second_job_of_a_fire_is_in_the_way,
    another_current_version_is_in_the_way,
    replacing_the_current_version_takes_its_other_tasks_along,
    under_skip_tasks_that_the_kept_version_lacks_are_left_out,
    a_dry_run_answers_what_would_be_done_and_does_nothing,
    log_lines_without_their_job_are_left_out,
    restored_jobs_start_in_their_order_and_within_their_limits,
    restored_jobs_wait_for_their_time,
    a_restored_start_deadline_holds,
    a_restored_running_job_is_taken_back_when_its_lease_ends,
    a_restored_result_expires,
    restored_schedules_fire_when_they_are_due_unless_they_rest,
    restored_plugins_and_tasks_raise_the_revision,
    a_task_that_is_restored_moves_waiting_jobs_to_its_partition,
];

async fn fill(store: &dyn Store, make: &Factory) {
    // Longer than a part of a component in any store.
    Content { store, make, base: t(0), component_bytes: 5_000_000 }.fill().await;
}

fn line(attempt: u32, sequence: u32, message: &str) -> LogLine {
    let (level, target) = (LogLevel::Info, "stdout".to_owned());
    LogLine { attempt, sequence, at: t(1), level, target, message: message.to_owned(), fields: Vec::new() }
}

fn log(job_id: JobId, sequence: u32, message: &str) -> Record {
    Record::Log { job_id, line: line(1, sequence, message) }
}

fn queued(spec: JobSpec) -> Record {
    Record::Job(Box::new(Job::queued(spec)))
}

fn offered(task: Task) -> Record {
    Record::Task(Box::new(task))
}

fn version(bytes: &[u8], tasks: &[&str], is_current: bool) -> Record {
    let mut version = plugin(bytes, Vec::new()).version;
    version.tasks = tasks
        .iter()
        .map(|name| TaskDeclaration {
            name: TaskName::new(name).expect("valid"),
            description: String::new(),
            args_schema: None,
            result_schema: None,
            example_args: None,
            settings: host::model::Settings::default(),
        })
        .collect();
    Record::Plugin(StoredPlugin { version, is_current, rollout: None, bytes: bytes.into() })
}

/// A request that may put records in the place of others, or leave them out.
fn under(conflict: ConflictPolicy, records: Vec<Record>) -> Restore {
    Restore { conflict, ..restore(t(0), records) }
}

async fn an_empty_store_has_an_empty_snapshot(rig: Rig) {
    let mut snapshot = rig.a.snapshot().await.expect("begun");
    while let Some(batch) = snapshot.next().await.expect("read") {
        assert_eq!((batch.records, batch.unreadable), (Vec::new(), Vec::new()));
    }
    assert_eq!(snapshot.next().await.expect("it stays at its end"), None);
    assert_eq!(rig.b.restore(restore(t(0), Vec::new())).await.expect("nothing to do"), []);
}

async fn everything_is_read_in_the_promised_order(rig: Rig) {
    fill(&*rig.a, &rig.make).await;
    let records = records(&*rig.b).await;
    let place = |record: &Record| match record {
        Record::Plugin(plugin) => {
            (0, plugin.version.name.as_str().as_bytes().to_vec(), *plugin.version.digest.as_bytes(), 0)
        }
        Record::Task(task) => (1, task.id.as_str().as_bytes().to_vec(), [0; 32], 0),
        Record::Job(job) => (2, job.spec.id.as_bytes().to_vec(), [0; 32], 0),
        Record::Log { job_id, line } => {
            (2, job_id.as_bytes().to_vec(), [0; 32], 1 + line.attempt * 1_000 + line.sequence)
        }
        Record::Schedule(schedule) => (3, schedule.id.as_str().as_bytes().to_vec(), [0; 32], 0),
        Record::KvBucket { name, .. } => (4, name.as_str().as_bytes().to_vec(), [0; 32], 0),
        Record::KvEntry { bucket, key, .. } => (4, format!("{bucket}\0{key}").into_bytes(), [0; 32], 0),
    };
    let places: Vec<_> = records.iter().map(place).collect();
    assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
    let kinds: HashSet<i32> = places.iter().map(|place| place.0).collect();
    assert_eq!(kinds.len(), 5, "the content has something of everything");
    let states: HashSet<JobState> = records
        .iter()
        .filter_map(|record| if let Record::Job(job) = record { Some(job.state) } else { None })
        .collect();
    assert_eq!(states.len(), 3, "the content has jobs in every state");
}

async fn what_comes_from_memory_is_read_back_the_same(rig: Rig) {
    let memory = MemoryStore::new();
    fill(&memory, &rig.make).await;
    let original = records(&memory).await;
    let done = restore_all(&*rig.a, t(3), &original).await;
    assert!(done.iter().all(|done| *done == Restored::Added), "{done:?}");
    same(&records(&*rig.b).await, &original);
}

async fn what_goes_to_memory_is_read_back_the_same(rig: Rig) {
    fill(&*rig.a, &rig.make).await;
    let original = records(&*rig.b).await;
    let memory = MemoryStore::new();
    restore_all(&memory, t(3), &original).await;
    same(&records(&memory).await, &original);
}

/// Compares record by record, so that a failure shows the first difference and not everything.
fn same(found: &[Record], expected: &[Record]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

async fn a_snapshot_sees_nothing_that_was_stored_after_it_began(rig: Rig) {
    fill(&*rig.a, &rig.make).await;
    let jobs = (0..3 * BATCH_RECORDS_MAX).map(|_| rig.make.job("p:work")).collect();
    rig.a.job_add(jobs).await.expect("added");
    let before = records(&*rig.a).await;
    let mut snapshot = rig.a.snapshot().await.expect("begun");
    let mut seen = Vec::new();
    for step in 0.. {
        // Every kind of thing changes while the snapshot is at different places.
        let id = format!("later-{step}");
        rig.b.schedule_add(add(schedule(&id, 1))).await.expect("added");
        rig.b.task_put(task(&id, Some(1))).await.expect("stored");
        rig.b.task_remove(&task_id("native")).await.expect("removed");
        rig.b.plugin_remove(&PluginName::new("p").expect("valid")).await.expect("removed");
        let job = rig.make.job("p:work");
        rig.b.job_add(vec![job.clone()]).await.expect("added");
        let acquired = rig.b.job_acquire(rig.make.acquire(1, 5)).await.expect("acquired").jobs;
        for job in acquired {
            let token = job.lease.expect("held").token;
            let mut ended = release(job.spec.id, token, success(1));
            ended.lines = vec![line(1, 0, "later")];
            assert_eq!(rig.b.job_release(releases(2, ended)).await.expect("released"), [Released::Stored]);
        }
        rig.b.cleanup(t(100_000), 10).await.expect("cleaned up");
        match snapshot.next().await.expect("read") {
            Some(batch) => seen.extend(batch.records),
            None => break,
        }
    }
    same(&seen, &before);
    assert_ne!(records(&*rig.a).await, before, "a new snapshot sees what was stored");
}

async fn a_fire_is_in_a_snapshot_with_its_jobs_or_not_at_all(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 0))).await.expect("added");
    let (store, make) = (rig.b.clone(), Factory::new(rig.seed.wrapping_add(7)));
    let mut firing = tokio::task::JoinSet::new();
    firing.spawn(async move {
        for number in 1..=60 {
            let request = make.acquire_schedules(number, 1);
            let token = request.token;
            assert_eq!(store.schedule_acquire(request).await.expect("leased").schedules.len(), 1);
            let made = fire("s", token, number, vec![make.fired("s", number)]);
            let made = FireSchedule { trigger_state: number.to_string(), next_fire_time: Some(t(number + 1)), ..made };
            let answers = store.schedule_fire(vec![made]).await.expect("fired");
            assert!(matches!(&answers[..], [Fired::Stored { left_out, .. }] if left_out.is_empty()), "{answers:?}");
        }
    });
    loop {
        let records = records(&*rig.a).await;
        let jobs = records.iter().filter(|record| matches!(record, Record::Job(_))).count();
        let fired = records.iter().find_map(|record| match record {
            Record::Schedule(schedule) => Some(schedule.trigger_state.parse().unwrap_or(0)),
            _ => None,
        });
        assert_eq!(Some(jobs), fired);
        if let Some(ended) = firing.try_join_next() {
            return ended.expect("every fire was made");
        }
        // The memory never waits, and would keep the other task from its turn.
        tokio::task::yield_now().await;
    }
}

async fn large_jobs_come_in_small_batches(rig: Rig) {
    let data: std::sync::Arc<[u8]> = vec![b' '; 1 << 20].into();
    for _ in 0..10 {
        let args = Payload { encoding: host::model::Encoding::Json, data: data.clone() };
        rig.add(JobSpec { args, ..rig.make.job("p:work") }).await;
        rig.add(rig.make.job("p:work")).await;
    }
    let mut snapshot = rig.b.snapshot().await.expect("begun");
    let mut count = 0;
    while let Some(batch) = snapshot.next().await.expect("read") {
        let weight: usize = batch.records.iter().map(Record::weight).sum();
        assert!(weight <= BATCH_BYTES_MAX + data.len(), "{weight} bytes in a batch");
        count += batch.records.len();
    }
    assert_eq!(count, 20);
}

async fn log_lines_stay_with_their_jobs_across_batches(rig: Rig) {
    let mut expected = Vec::new();
    for count in [0, 2 * BATCH_RECORDS_MAX + 1, 0, 1, BATCH_RECORDS_MAX] {
        let job = rig.add(rig.make.job("p:work")).await;
        let acquired = rig.acquire(0, 1).await.pop().expect("due");
        let lines: Vec<LogLine> = (0..).take(count).map(|sequence| line(1, sequence, "said")).collect();
        let token = acquired.lease.expect("held").token;
        let report = JobReport { id: job.id, token, lines: lines.clone(), progress: None };
        rig.a.job_report(vec![report]).await.expect("reported");
        expected.push((job.id, lines));
    }
    let mut found: Vec<(JobId, Vec<LogLine>)> = Vec::new();
    for record in records(&*rig.b).await {
        match record {
            Record::Job(job) => found.push((job.spec.id, Vec::new())),
            Record::Log { job_id, line } => {
                let (owner, lines) = found.last_mut().expect("a line comes after its job");
                assert_eq!(*owner, job_id);
                lines.push(line);
            }
            _ => panic!("nothing else is there"),
        }
    }
    assert_eq!(found, expected);
}

async fn a_snapshot_that_is_dropped_or_read_leaves_a_usable_store(rig: Rig) {
    fill(&*rig.a, &rig.make).await;
    // More than any pool has connections.
    for round in 0..24 {
        let mut snapshot = rig.a.snapshot().await.expect("begun");
        for _ in 0..round % 4 {
            snapshot.next().await.expect("read");
        }
        drop(snapshot);
    }
    records(&*rig.a).await;
    // Each connection writes and reads as before, and sees what the other handle writes.
    for number in 0..24 {
        let job = rig.add(rig.make.job("p:work")).await;
        assert_eq!(rig.b.job_get(job.id).await.expect("read").map(|job| job.spec), Some(job.clone()));
        rig.b.schedule_add(add(schedule(&format!("s-{number}"), 1))).await.expect("added");
        assert!(rig.a.schedule_get(&schedule_id(&format!("s-{number}"))).await.expect("read").is_some());
    }
}

async fn jobs_of_several_lives_of_a_schedule_stand_beside_each_other(rig: Rig) {
    let memory = MemoryStore::new();
    let lives = [0, 7, i64::MAX].map(ScheduleLife::from_number);
    let jobs = lives.map(|schedule_life| JobSpec { schedule_life, ..rig.make.fired("s", 5) });
    memory.job_add(jobs.to_vec()).await.expect("added");
    let original = records(&memory).await;
    assert_eq!(original.len(), 3);
    let done = restore_all(&*rig.a, t(3), &original).await;
    assert!(done.iter().all(|done| *done == Restored::Added), "{done:?}");
    same(&records(&*rig.b).await, &original);
    let rival = JobSpec { schedule_life: lives[1], ..rig.make.fired("s", 5) };
    let refused = rig.a.restore(restore(t(3), vec![Record::Job(Box::new(Job::queued(rival)))])).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
}

async fn restoring_twice_is_restoring_once(rig: Rig) {
    let memory = MemoryStore::new();
    fill(&memory, &rig.make).await;
    let original = records(&memory).await;
    restore_all(&*rig.a, t(3), &original).await;
    let revision = rig.a.catalog_revision().await.expect("read");
    for conflict in [ConflictPolicy::Error, ConflictPolicy::Skip, ConflictPolicy::Replace] {
        let request = Restore { now: t(4), ..under(conflict, original.clone()) };
        let done = rig.b.restore(request).await.expect("nothing is in the way");
        assert!(done.iter().all(|done| *done == Restored::Unchanged), "{conflict:?}: {done:?}");
    }
    same(&records(&*rig.a).await, &original);
    assert_eq!(rig.a.catalog_revision().await.expect("read"), revision, "nothing has changed");
}

async fn a_call_that_is_refused_stores_nothing(rig: Rig) {
    let memory = MemoryStore::new();
    fill(&memory, &rig.make).await;
    let original = records(&memory).await;
    let is_schedule = |record: &&Record| matches!(record, Record::Schedule(_));
    let Some(Record::Schedule(last)) = original.iter().rfind(is_schedule) else { panic!("there are schedules") };
    let other = Schedule { trigger_state: "other".into(), ..*last.clone() };
    rig.a.schedule_add(add(other.clone())).await.expect("added");
    let before = records(&*rig.a).await;
    let refused = rig.b.restore(restore(t(0), original)).await;
    assert!(
        matches!(&refused, Err(StoreError::Conflict { subject, .. }) if subject.to_string().contains(other.id.as_str())),
        "{refused:?}"
    );
    assert_eq!(records(&*rig.a).await, before);
}

/// A finished job with two log lines, the same with another result, and its records.
async fn rivals(rig: &Rig) -> (Job, Vec<Record>) {
    let spec = rig.make.job("p:work");
    rig.add(spec.clone()).await;
    let (id, token) = rig.acquire_one(0).await;
    let mut ended = release(id, token, success(100));
    ended.lines = vec![line(1, 0, "said here"), line(1, 1, "said here, too")];
    rig.a.job_release(releases(1, ended)).await.expect("released");
    let there = rig.job(id).await;
    let error = Some(JobError::new(ErrorKind::Panic, "another"));
    let other = Job { outcome: Some(Outcome::Error), error, ..there.clone() };
    (there, vec![Record::Job(Box::new(other)), log(id, 0, "said there"), log(id, 7, "and more")])
}

async fn messages(rig: &Rig, id: JobId) -> Vec<String> {
    let lines = rig.b.job_logs(ReadLogs { id, after: None, limit: 100 }).await.expect("read").lines;
    lines.into_iter().map(|line| line.message).collect()
}

async fn under_skip_what_is_there_stays_with_its_log_lines(rig: Rig) {
    let (there, mut other) = rivals(&rig).await;
    rig.a.task_put(task("p:work", Some(1))).await.expect("stored");
    rig.a.schedule_add(add(schedule("s", 1))).await.expect("added");
    other.insert(0, offered(task("p:work", Some(2))));
    other.push(Record::Schedule(Box::new(schedule("s", 2))));
    other.push(Record::Schedule(Box::new(schedule("t", 2))));
    let done = rig.b.restore(under(ConflictPolicy::Skip, other)).await.expect("left out");
    assert_eq!(done, [[Restored::Kept; 5].as_slice(), &[Restored::Added]].concat());
    assert_eq!(rig.job(there.spec.id).await, there);
    assert_eq!(messages(&rig, there.spec.id).await, ["said here", "said here, too"]);
    assert_eq!(rig.a.task_get(&task_id("p:work")).await.expect("read").expect("there").task, task("p:work", Some(1)));
    assert_eq!(rig.a.schedule_get(&schedule_id("s")).await.expect("read"), Some(schedule("s", 1)));
    assert_eq!(rig.a.schedule_get(&schedule_id("t")).await.expect("read"), Some(schedule("t", 2)));
}

async fn under_replace_what_is_there_goes_with_its_log_lines(rig: Rig) {
    let (there, mut other) = rivals(&rig).await;
    rig.a.task_put(task("p:work", Some(1))).await.expect("stored");
    rig.a.schedule_add(add(schedule("s", 1))).await.expect("added");
    let new = Schedule { last_fire_time: Some(t(1)), created_at: t(-5), ..schedule("s", 2) };
    other.insert(0, offered(task("p:work", Some(2))));
    other.push(Record::Schedule(Box::new(new.clone())));
    let done = rig.b.restore(under(ConflictPolicy::Replace, other)).await.expect("replaced");
    let (replaced, added) = (Restored::Replaced, Restored::Added);
    assert_eq!(done, [replaced, replaced, added, added, replaced]);
    assert_eq!(rig.job(there.spec.id).await.outcome, Some(Outcome::Error));
    assert_eq!(messages(&rig, there.spec.id).await, ["said there", "and more"]);
    assert_eq!(rig.a.task_get(&task_id("p:work")).await.expect("read").expect("there").task, task("p:work", Some(2)));
    assert_eq!(rig.a.schedule_get(&schedule_id("s")).await.expect("read"), Some(new));
    // A line alone can be replaced, too.
    let done = rig
        .b
        .restore(under(ConflictPolicy::Replace, vec![log(there.spec.id, 0, "corrected")]))
        .await
        .expect("replaced");
    assert_eq!((done, messages(&rig, there.spec.id).await[0].as_str()), (vec![replaced], "corrected"));
}

async fn a_replaced_job_is_no_longer_held(rig: Rig) {
    let spec = rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    rig.b.restore(under(ConflictPolicy::Replace, vec![queued(spec)])).await.expect("replaced");
    let released = rig.a.job_release(releases(1, release(id, token, success(9)))).await.expect("answered");
    assert_eq!(released, [Released::LeaseLost]);
    assert_eq!(rig.job(id).await.state, JobState::Queued);
}

async fn a_second_job_of_a_fire_is_in_the_way(rig: Rig) {
    let there = rig.add(rig.make.fired("s", 1)).await;
    let other = rig.make.fired("s", 1);
    // Others at the same time, or of the same schedule, are not.
    let free = [queued(rig.make.fired("S", 1)), queued(rig.make.fired("s", 2))];
    let asked = |conflict| Restore {
        records: [vec![queued(other.clone())], free.to_vec()].concat(),
        ..under(conflict, Vec::new())
    };
    let refused = rig.b.restore(asked(ConflictPolicy::Error)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    let done = rig.b.restore(asked(ConflictPolicy::Skip)).await.expect("left out");
    assert_eq!(done, [Restored::Kept, Restored::Added, Restored::Added]);
    assert!(rig.b.job_get(other.id).await.expect("read").is_none());
    let done = rig.b.restore(asked(ConflictPolicy::Replace)).await.expect("replaced");
    assert_eq!(done, [Restored::Replaced, Restored::Unchanged, Restored::Unchanged]);
    assert_eq!((rig.a.job_get(there.id).await.expect("read"), rig.job(other.id).await.spec), (None, other));
}

async fn another_current_version_is_in_the_way(rig: Rig) {
    rig.a.restore(restore(t(0), vec![version(b"here", &["work"], true)])).await.expect("stored");
    let refused = rig.b.restore(restore(t(0), vec![version(b"there", &["work"], true)])).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    // An older version is nobody's rival.
    let done = rig.b.restore(restore(t(0), vec![version(b"there", &["work"], false)])).await.expect("stored");
    assert_eq!(done, [Restored::Added]);
    let current = async || {
        let found = rig.a.plugin_get(&PluginName::new("p").expect("valid")).await.expect("read").expect("there");
        rig.a.plugin_bytes(&found.digest).await.expect("read").expect("there")
    };
    assert_eq!(current().await, b"here");
    let done =
        rig.b.restore(under(ConflictPolicy::Replace, vec![version(b"there", &["work"], true)])).await.expect("stored");
    assert_eq!((done, current().await), (vec![Restored::Replaced], b"there".to_vec()));
    assert_eq!(rig.b.plugin_history(&PluginName::new("p").expect("valid")).await.expect("read").rows.len(), 2);
}

async fn replacing_the_current_version_takes_its_other_tasks_along(rig: Rig) {
    let derived = Task { id: task_id("mine"), ..task("p:gone", None) };
    let old = vec![
        version(b"here", &["gone", "stays"], true),
        offered(derived),
        offered(task("p:gone", None)),
        offered(task("p:stays", None)),
    ];
    rig.a.restore(restore(t(0), old)).await.expect("stored");
    let new = vec![version(b"there", &["stays"], true), offered(task("p:stays", None))];
    rig.b.restore(under(ConflictPolicy::Replace, new)).await.expect("replaced");
    let ids: Vec<String> =
        rig.a.task_list().await.expect("listed").rows.iter().map(|row| row.task.id.to_string()).collect();
    assert_eq!(ids, ["mine", "p:stays"]);
}

async fn under_skip_tasks_that_the_kept_version_lacks_are_left_out(rig: Rig) {
    rig.a
        .restore(restore(t(0), vec![version(b"here", &["work"], true), offered(task("p:work", None))]))
        .await
        .expect("stored");
    let new = vec![
        version(b"there", &["more"], true),
        offered(task("p:more", None)),
        offered(Task { id: task_id("mine"), ..task("p:work", None) }),
    ];
    let done = rig.b.restore(under(ConflictPolicy::Skip, new)).await.expect("answered");
    assert_eq!(done, [Restored::Kept, Restored::Kept, Restored::Added]);
}

async fn a_dry_run_answers_what_would_be_done_and_does_nothing(rig: Rig) {
    let (there, other) = rivals(&rig).await;
    let before = records(&*rig.a).await;
    for (conflict, expected) in [
        (ConflictPolicy::Skip, vec![Restored::Kept; 3]),
        (ConflictPolicy::Replace, vec![Restored::Replaced, Restored::Added, Restored::Added]),
    ] {
        let request = Restore { dry_run: true, ..under(conflict, other.clone()) };
        assert_eq!(rig.b.restore(request).await.expect("answered"), expected);
    }
    let strict = Restore { dry_run: true, ..under(ConflictPolicy::Error, other) };
    assert!(matches!(rig.b.restore(strict).await, Err(StoreError::Conflict { .. })));
    assert_eq!((records(&*rig.a).await, rig.job(there.spec.id).await), (before, there));
}

async fn log_lines_without_their_job_are_left_out(rig: Rig) {
    let job = rig.make.job("p:work");
    let done = rig.a.restore(restore(t(0), vec![log(job.id, 0, "lost")])).await.expect("answered");
    assert_eq!(done, [Restored::Kept]);
    rig.add(job.clone()).await;
    let done = rig.a.restore(restore(t(0), vec![log(job.id, 0, "found")])).await.expect("stored");
    assert_eq!((done, messages(&rig, job.id).await), (vec![Restored::Added], vec!["found".to_owned()]));
}

async fn restored_jobs_start_in_their_order_and_within_their_limits(rig: Rig) {
    let lease = Some(Lease { holder: scheduler("gone"), token: rig.make.token(), expires_at: t(50) });
    let running = Job { state: JobState::Running, attempt: 1, lease, ..Job::queued(rig.make.job("p:two")) };
    let [low, second, first] = [1, 7, 7].map(|priority| rig.make.urgent("p:free", priority));
    let (first, second) = (second, first);
    let limited = [9, 8].map(|priority| rig.make.urgent("p:two", priority));
    let jobs = [&low, &first, &second, &limited[0], &limited[1]].map(|spec| queued(spec.clone()));
    let tasks = [task("p:free", None), task("p:two", Some(2))].map(offered);
    let mut all = [tasks.to_vec(), vec![Record::Job(Box::new(running))], jobs.to_vec()].concat();
    rig.a.restore(restore(t(0), std::mem::take(&mut all))).await.expect("restored");
    let started = super::ids(&rig.acquire(0, 10).await);
    assert_eq!(started, [limited[0].id, first.id, second.id, low.id], "the running job fills one of two places");
}

async fn restored_jobs_wait_for_their_time(rig: Rig) {
    let due = rig.make.job("p:work");
    let later = JobSpec { due_at: t(30), ..rig.make.job("p:work") };
    let retried = JobSpec { due_at: t(20), ..rig.make.job("p:work") };
    let retried = Job { attempt: 1, ..Job::queued(retried) };
    let records = vec![queued(due.clone()), queued(later.clone()), Record::Job(Box::new(retried.clone()))];
    // At that time the retried one is due already.
    rig.a.restore(restore(t(25), records)).await.expect("restored");
    assert_eq!(rig.a.job_next_due(t(25)).await.expect("read"), Some(t(30)));
    assert_eq!(super::ids(&rig.acquire(25, 9).await), [due.id, retried.spec.id]);
    assert!(rig.acquire(29, 9).await.is_empty());
    assert_eq!(super::ids(&rig.acquire(30, 9).await), [later.id]);
}

async fn a_restored_start_deadline_holds(rig: Rig) {
    let late = JobSpec { start_deadline: Some(t(5)), ..rig.make.job("p:work") };
    let begun = Job { attempt: 1, ..Job::queued(JobSpec { start_deadline: Some(t(5)), ..rig.make.job("p:work") }) };
    rig.a
        .restore(restore(t(0), vec![queued(late.clone()), Record::Job(Box::new(begun.clone()))]))
        .await
        .expect("restored");
    assert_eq!(super::ids(&rig.acquire(6, 9).await), [begun.spec.id]);
    assert_eq!(rig.job(late.id).await.outcome, Some(Outcome::MissedStartDeadline));
}

async fn a_restored_running_job_is_taken_back_when_its_lease_ends(rig: Rig) {
    let spec = rig.make.job("p:work");
    let lease = Lease { holder: scheduler("gone"), token: rig.make.token(), expires_at: t(50) };
    let running = Job {
        state: JobState::Running,
        attempt: 1,
        lease: Some(lease),
        started_at: Some(t(0)),
        ..Job::queued(spec.clone())
    };
    rig.a.restore(restore(t(0), vec![Record::Job(Box::new(running))])).await.expect("restored");
    assert!(rig.b.recover(recover(49)).await.expect("recovered").requeued.is_empty());
    let recovered = rig.b.recover(recover(50)).await.expect("recovered");
    assert_eq!(recovered.requeued.len(), 1);
    let job = rig.acquire(50, 1).await.pop().expect("it is queued again");
    assert_eq!((job.spec.id, job.attempt, job.crashes), (spec.id, 2, 1));
}

async fn a_restored_result_expires(rig: Rig) {
    let finished = Job {
        state: JobState::Finished,
        outcome: Some(Outcome::Success),
        finished_at: Some(t(1)),
        expires_at: Some(t(10)),
        ..Job::queued(rig.make.job("p:work"))
    };
    let id = finished.spec.id;
    rig.a.restore(restore(t(0), vec![Record::Job(Box::new(finished)), log(id, 0, "said")])).await.expect("restored");
    assert!(rig.b.cleanup(t(9), 10).await.expect("cleaned up").jobs.is_empty());
    assert_eq!(rig.b.cleanup(t(10), 10).await.expect("cleaned up").jobs, [id]);
    assert_eq!(records(&*rig.a).await, []);
}

async fn restored_schedules_fire_when_they_are_due_unless_they_rest(rig: Rig) {
    let resting = Schedule { pause: Some(host::model::Pause::Asked), ..schedule("rests", 1) };
    let over = Schedule { next_fire_time: None, ..schedule("over", 1) };
    let records = [schedule("due", 5), schedule("later", 9), resting, over].map(|row| Record::Schedule(Box::new(row)));
    rig.a.restore(restore(t(0), records.to_vec())).await.expect("restored");
    assert_eq!(rig.b.schedule_next_due().await.expect("read"), Some(t(5)));
    let leased = rig.a.schedule_acquire(rig.make.acquire_schedules(6, 9)).await.expect("leased").schedules;
    assert_eq!(leased.iter().map(|leased| leased.schedule.id.as_str()).collect::<Vec<_>>(), ["due"]);
}

async fn restored_plugins_and_tasks_raise_the_revision(rig: Rig) {
    let mut last = rig.a.catalog_revision().await.expect("read");
    for records in [vec![version(b"bytes", &["work"], true)], vec![offered(task("p:work", None))]] {
        rig.b.restore(restore(t(0), records)).await.expect("restored");
        let before = std::mem::replace(&mut last, rig.a.catalog_revision().await.expect("read"));
        assert!(last > before, "{last} after {before}");
    }
    rig.b.restore(restore(t(0), vec![queued(rig.make.job("p:work"))])).await.expect("restored");
    assert_eq!(rig.a.catalog_revision().await.expect("read"), last, "jobs are not the catalogue's");
}

async fn a_task_that_is_restored_moves_waiting_jobs_to_its_partition(rig: Rig) {
    rig.a.task_put(task("p:work", None)).await.expect("stored");
    for _ in 0..3 {
        rig.add(rig.make.job("p:work")).await;
    }
    rig.b.restore(under(ConflictPolicy::Replace, vec![offered(task("p:work", Some(1)))])).await.expect("restored");
    assert_eq!(rig.acquire(0, 9).await.len(), 1);
    rig.b.restore(under(ConflictPolicy::Replace, vec![offered(task("p:work", None))])).await.expect("restored");
    assert_eq!(rig.acquire(0, 9).await.len(), 2);
}
