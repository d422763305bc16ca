//! What is particular to the store in SQL: refusals, schemas, content that cannot be read, full disks.
//! What every store must do is in the conformance suite.

use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use super::{OpenOptions, SqlStore, Tx, migrate};
use crate::clock::SystemClock;
use crate::config::StoreUrl;
use crate::model::{
    Backoff, JobId, JobIdSource, JobSettings, JobSpec, LeaseToken, Metadata, Payload, QueueName, ScheduleLife,
    SchedulerId, TaskId, Timestamp,
};
use crate::*;

fn options() -> OpenOptions {
    let clock = std::sync::Arc::new(SystemClock);
    OpenOptions { clock, auto_migrate: false, timekeeping: crate::timekeeping::Timekeeping::Caller }
}

/// A folder that goes when the test ends.
pub(super) struct Folder(std::path::PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("host-store-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder can be made");
        Folder(path)
    }

    pub(super) fn url(&self) -> StoreUrl {
        StoreUrl::in_data_dir(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) async fn open(folder: &Folder) -> SqlStore {
    SqlStore::open(&folder.url(), options()).await.expect("the store opens")
}

/// Changes the database behind the store's back.
pub(super) async fn meddle(store: &SqlStore, statement: &'static str) {
    let connection = store.database.writer().await.expect("a connection");
    let mut tx = Tx::new(connection, std::sync::Arc::clone(&store.texts), &*store.database);
    tx.script(sqlx::SqlSafeStr::into_sql_str(statement)).await.expect("the statement runs");
}

fn unusable(opened: Result<SqlStore, StoreError>) -> (String, String) {
    match opened {
        Err(StoreError::Unusable { reason, hint, .. }) => (reason, hint),
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("it opens"),
    }
}

pub(super) fn job(id: JobId) -> JobSpec {
    let now = Timestamp::EPOCH;
    JobSpec {
        id,
        task_id: TaskId::new("p:work").expect("valid"),
        schedule_id: None,
        schedule_life: ScheduleLife::default(),
        scheduled_fire_time: None,
        jitter: Duration::ZERO,
        args: Payload::no_args(),
        settings: JobSettings {
            executor: None,
            queue: QueueName::default(),
            concurrency_key: None,
            unique_key: None,
            group: None,
            timeout: Duration::from_secs(1),
            fuel: 1,
            memory_bytes: 1,
            max_attempts: 1,
            crash_retries: 0,
            backoff: Backoff::default(),
            priority: 0,
            result_ttl: Duration::from_secs(1),
            version: None,
            pause_after: None,
            until_success: false,
            hooks: crate::model::Hooks::default(),
            backfill: false,
            metadata: Metadata::default(),
        },
        due_at: now,
        start_deadline: None,
        created_at: now,
    }
}

pub(super) fn jobs(count: usize) -> Vec<JobSpec> {
    let mut ids = JobIdSource::new(fastrand::Rng::with_seed(1));
    (0..count).map(|_| job(ids.next(Timestamp::EPOCH))).collect()
}

pub(super) fn acquire(limit: usize) -> AcquireJobs {
    AcquireJobs {
        holder: SchedulerId::new("one").expect("valid"),
        token: LeaseToken::random(&mut fastrand::Rng::with_seed(5)),
        now: Timestamp::EPOCH,
        lease: Duration::MAX,
        limit,
        queues: vec![ServedQueue { queue: QueueName::default(), limit }],
        abilities: Vec::new(),
        choice: Choice::InOrder,
    }
}

#[tokio::test]
async fn a_path_that_can_be_no_database_is_refused_with_what_would_be_right() {
    let folder = Folder::new("url");
    let odd = std::ffi::OsStr::from_bytes(b"b\xff.db");
    for (url, reason, hint) in [
        (StoreUrl::Memory, "no database", "sqlite://"),
        (StoreUrl::file(folder.0.join("none/host.db")), "no folder", "--data-dir"),
        (StoreUrl::file(&folder.0), "is a folder", "host.db"),
        (StoreUrl::file(folder.0.join(odd)), "not UTF-8", "--data-dir"),
        (StoreUrl::file("file:host.db"), "take the path", "./file:"),
    ] {
        let opened = SqlStore::open(&url, options()).await;
        let (found, way_out) = match opened {
            Err(StoreError::BadUrl { reason, hint, .. }) => (reason, hint),
            other => unusable(other),
        };
        assert!(found.contains(reason) && way_out.contains(hint), "{url}: {found} / {way_out}");
    }
    assert_eq!(std::fs::read_dir(&folder.0).expect("there").count(), 0, "a refused URL leaves nothing behind");
}

#[tokio::test]
async fn a_folder_whose_name_would_mean_something_in_a_url_holds_a_store_like_any_other() {
    let folder = Folder::new("odd");
    let inside = folder.0.join("a?b#c%20d&mode=memory");
    std::fs::create_dir(&inside).expect("made");
    SqlStore::open(&StoreUrl::in_data_dir(&inside), options()).await.expect("the store opens").close().await;
    assert!(inside.join("host.db").exists());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_was() {
    let folder = Folder::new("nodb");
    let text = "this is a letter, not a database\n".repeat(100);
    std::fs::write(folder.0.join("host.db"), &text).expect("written");
    let (reason, _) = unusable(SqlStore::open(&folder.url(), options()).await);
    assert!(reason.contains("no SQLite database"), "{reason}");
    assert_eq!(std::fs::read_to_string(folder.0.join("host.db")).expect("read"), text);
}

#[tokio::test]
async fn a_read_only_file_is_refused() {
    let folder = Folder::new("readonly");
    open(&folder).await.close().await;
    let file = folder.0.join("host.db");
    let mut permissions = std::fs::metadata(&file).expect("there").permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&file, permissions).expect("set");
    let (reason, hint) = unusable(SqlStore::open(&folder.url(), options()).await);
    assert!(reason.contains("read-only") && hint.contains("writable"), "{reason} / {hint}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_was() {
    let folder = Folder::new("newer");
    let store = open(&folder).await;
    meddle(&store, "INSERT INTO host_migrations VALUES (99, 'from_the_future', 0)").await;
    store.close().await;
    let (reason, hint) = unusable(SqlStore::open(&folder.url(), options()).await);
    assert!(reason.contains("schema 99") && hint.contains("newer program"), "{reason} / {hint}");
    assert!(migrate::plan(&folder.url()).await.is_err());
    assert_eq!(migrate::status(&folder.url()).await.expect("read").current, 99);
}

#[tokio::test]
async fn a_plan_changes_nothing_and_applying_it_leaves_nothing_to_plan() {
    let folder = Folder::new("plan");
    let planned = migrate::plan(&folder.url()).await.expect("planned");
    assert_eq!(planned.first().map(|step| (step.version, step.name)), Some((2, "baseline")));
    let status = migrate::status(&folder.url()).await.expect("read");
    assert_eq!((status.current, Some(status.wanted)), (0, planned.last().map(|step| step.version)));
    assert_eq!(migrate::apply(&folder.url(), &SystemClock).await.expect("applied"), planned);
    assert_eq!(migrate::plan(&folder.url()).await.expect("planned"), []);
    assert_eq!(migrate::apply(&folder.url(), &SystemClock).await.expect("applied"), []);
}

#[tokio::test]
async fn a_full_disk_is_reported_and_loses_nothing() {
    let folder = Folder::new("full");
    let store = open(&folder).await;
    let specs = jobs(2);
    store.job_add(vec![specs[0].clone()]).await.expect("added");
    // The limit of the connection stands in for the disk: both end in SQLITE_FULL.
    meddle(&store, "PRAGMA max_page_count = 60").await;
    let data = vec![7; 1_000_000];
    let args = Payload { encoding: crate::model::Encoding::Json, data: data.into() };
    let refused = store.job_add(vec![JobSpec { args, ..specs[1].clone() }]).await;
    let Err(StoreError::Unusable { reason, hint, .. }) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("disk is full") && hint.contains("make room"), "{reason} / {hint}");
    assert_eq!(refused.err().map(|error| error.certainty()), Some(Certainty::NotApplied));
    meddle(&store, "PRAGMA max_page_count = 1000000").await;
    store.job_add(vec![specs[1].clone()]).await.expect("there is room again");
    assert_eq!(store.job_counts().await.expect("counted").queued, 2);
    store.close().await;
}

#[tokio::test]
async fn two_processes_may_open_a_fresh_file_at_once() {
    let folder = Folder::new("race");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = folder.url();
        tasks.spawn(
            async move { SqlStore::open(&url, options()).await.map(|_| ()).map_err(|error| format!("{error:?}")) },
        );
    }
    for opened in tasks.join_all().await {
        assert_eq!(opened, Ok(()));
    }
}

#[tokio::test]
async fn the_views_tell_ids_and_times_in_words() {
    let folder = Folder::new("views");
    let store = open(&folder).await;
    let due_at: Timestamp = "2026-03-29T01:30:00.000042Z".parse().expect("valid");
    let spec = JobSpec { due_at, ..jobs(1).remove(0) };
    store.job_add(vec![spec.clone()]).await.expect("added");
    let mut connection = store.database.reader().await.expect("a connection");
    let text = sqlx::SqlSafeStr::into_sql_str("SELECT id, due_at, priority FROM host_v_jobs");
    let mut row = connection.fetch(text, Vec::new()).await.expect("read").pop().expect("a row");
    assert_eq!((row.text(), row.text(), row.int()), (Ok(spec.id.to_string()), Ok(due_at.to_string()), Ok(0)));
    let text = sqlx::SqlSafeStr::into_sql_str("SELECT * FROM host_v_schedules");
    assert!(connection.fetch(text, Vec::new()).await.expect("read").is_empty());
    drop(connection);
    store.close().await;
}
