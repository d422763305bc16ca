//! A store with something of everything in it: what must survive a move to another one.

use std::sync::Arc;
use std::time::Duration;

use host::app::{App, AppResult, Parts};
use host::broker::local::LocalBroker;
use host::clock::SystemClock;
use host::config::Caps;
use host::model::{
    Backoff, BucketName, Coalesce, Digest, DirAccess, Encoding, ErrorKind, FolderIdentity, GraceTime, Grant, Hook,
    HookSettings, HttpUsage, Import, Job, JobError, JobId, JobSettings, JobSpec, KvAccess, KvKey, KvWrite, KvWrites,
    LeaseToken, LogLevel, LogLine, Metadata, Outcome, Overlap, Parallelism, Pause, PauseAfter, Payload, PluginName,
    PluginVersion, Progress, Schedule, SecretGrant, SecretName, Settings, Target, Task, TaskDeclaration, TaskName,
    Timestamp, Usage, WriteQuota,
};
use host::store::record::BATCH_RECORDS_MAX;
use host::store::{
    AcquireJobs, AfterFire, Choice, Effects, Ending, FireSchedule, JobReport, PauseSchedule, PutPlugin, Record,
    Recover, ReleaseJob, ReleaseJobs, Restore, Restored, Store, WriteKv,
};
use host::trigger::{RuleOptions, Trigger, TriggerState};
use serde_json::json;

use crate::factory::{Factory, add, fired, release, schedule, schedule_id, scheduler, task, task_id};

/// Text that databases like to change.
const TEXT: &str = "🦀 \u{202e}עברית 中文 'quotes' \"and\" \\ % _ \u{1f468}\u{200d}\u{1f469} ";

/// The id of the schedule that goes on firing.
pub const GOES_ON: &str = "every second, 毎秒";

/// The operations on a store, for whoever takes no plugins.
pub fn app(store: Arc<dyn Store>) -> App {
    App::new(Parts {
        store,
        broker: Arc::new(LocalBroker::new()),
        inspector: None,
        clock: Arc::new(SystemClock),
        random: fastrand::Rng::with_seed(1),
        task_defaults: Settings::default(),
        caps: Caps::default(),
    })
}

/// A whole export.
///
/// # Errors
/// As [`App::export`].
pub async fn archive(app: &App) -> AppResult<Vec<u8>> {
    let mut export = app.export(false).await?;
    let mut archive = Vec::new();
    while let Some(piece) = export.next().await? {
        archive.extend(piece);
    }
    Ok(archive)
}

/// Everything in a store, as of one instant.
///
/// # Panics
/// If it cannot be read.
pub async fn records(store: &dyn Store) -> Vec<Record> {
    let mut snapshot = store.snapshot().await.expect("a snapshot begins");
    let mut records = Vec::new();
    while let Some(batch) = snapshot.next().await.expect("a snapshot goes on") {
        assert_eq!(batch.unreadable, [], "everything can be read");
        assert!(batch.records.len() <= BATCH_RECORDS_MAX);
        records.extend(batch.records);
    }
    records
}

/// A request that stores records at `now`, and refuses what is in their way.
pub fn restore(now: Timestamp, records: Vec<Record>) -> Restore {
    Restore { now, records, conflict: host::model::ConflictPolicy::Error, dry_run: false }
}

/// Stores records in calls of the usual size, and answers what became of each.
///
/// # Panics
/// If one is refused.
pub async fn restore_all(store: &dyn Store, now: Timestamp, records: &[Record]) -> Vec<Restored> {
    let mut done = Vec::new();
    for records in records.chunks(BATCH_RECORDS_MAX) {
        done.extend(store.restore(restore(now, records.to_vec())).await.expect("records can be restored"));
    }
    done
}

/// Fills a store by the calls that fill stores in life, with times around `base`: jobs in every state and with every outcome, retried,
/// given back, orphaned and cancelled ones, log lines, results of both encodings, versions of plugins, schedules that fire, rest, failed
/// and are over.
pub struct Content<'a> {
    /// What is filled.
    pub store: &'a dyn Store,
    /// Makes ids and tokens.
    pub make: &'a Factory,
    /// When it all happens.
    pub base: Timestamp,
    /// How large the second of the two components is.
    pub component_bytes: u32,
}

impl Content<'_> {
    fn at(&self, seconds: u64) -> Timestamp {
        self.base.saturating_add(Duration::from_secs(seconds))
    }

    /// Fills the store.
    ///
    /// # Panics
    /// If a call fails.
    pub async fn fill(&self) {
        self.plugins().await;
        self.tasks().await;
        self.finished_jobs().await;
        self.unfinished_jobs().await;
        self.schedules().await;
        self.buckets().await;
    }

    async fn buckets(&self) {
        let name = |name: &str| BucketName::new(name).expect("valid");
        self.store.kv_create(vec![name("empty"), name("cursors")]).await.expect("buckets are made");
        let large: Vec<u8> = (0..=u8::MAX).cycle().take(300).collect();
        let values: [(&str, Option<&[u8]>); 5] = [
            (TEXT.trim(), Some(TEXT.as_bytes())),
            ("large", Some(&large)),
            ("Large", Some(b"")),
            ("gone", Some(b"1")),
            ("gone", None),
        ];
        for (key, value) in values {
            let key = KvKey::new(key).expect("valid");
            let write = KvWrite { bucket: name("cursors"), key, value: value.map(Into::into), expected: None };
            let writes = KvWrites { writes: vec![write], bucket_bytes_max: u64::MAX };
            self.store.kv_write(WriteKv { now: self.at(3), writes }).await.expect("a key is written");
        }
    }

    async fn plugins(&self) {
        let declared = |name: &str| TaskDeclaration {
            name: TaskName::new(name).expect("valid"),
            description: TEXT.into(),
            args_schema: Some(r#"{"type": "object"}"#.into()),
            result_schema: None,
            example_args: Some(r#"{"name": "Ada"}"#.into()),
            settings: every_setting(),
        };
        let components = [
            vec![0, 1, 255, b'\n'],
            (0..self.component_bytes).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect(),
        ];
        for (bytes, day) in components.into_iter().zip(0..) {
            let version = PluginVersion {
                name: PluginName::new("p").expect("valid"),
                digest: host::app::digest_of(bytes.clone()).await.expect("a digest"),
                size_bytes: bytes.len() as u64,
                imports: vec![Import { interface: "wasi:cli/environment@0.2.3".into(), by_adapter: true }],
                grants: vec![
                    Grant::Dir {
                        host: "/srv/Ein gang".into(),
                        guest: "in".into(),
                        access: DirAccess::ReadOnly,
                        identity: Some(FolderIdentity {
                            machine: "other".into(),
                            device: u64::MAX,
                            inode: 1 << 63,
                            born: Some(self.at(day)),
                        }),
                        quota: WriteQuota::default(),
                    },
                    // As a version without identities stored it.
                    Grant::Dir {
                        host: "/srv/out".into(),
                        guest: "out".into(),
                        access: DirAccess::ReadWrite,
                        identity: None,
                        quota: WriteQuota { bytes: Some(u64::MAX), files: Some(1) },
                    },
                    Grant::Env { name: "TOKEN".into(), value: Some("s€cret".into()) },
                    Grant::Env { name: "HOME".into(), value: None },
                    Grant::Kv { bucket: BucketName::new("cursors").expect("valid"), access: KvAccess::ReadWrite },
                    Grant::Secret(SecretGrant {
                        name: SecretName::new("API_TOKEN").expect("valid"),
                        reveal: false,
                        requests: Some("https://api.bücher.example".parse().expect("a pattern")),
                    }),
                    Grant::Http("GET,POST https://*.bücher.example:8443/v1".parse().expect("a pattern")),
                ],
                tasks: vec![declared("work"), declared("limited")],
                registered_at: self.at(day),
            };
            let tasks = vec![task("p:work", None), task("p:limited", Some(2))];
            self.store
                .plugin_put(PutPlugin { version, bytes, tasks, configure: Settings::default(), reviewed: None })
                .await
                .expect("a plugin is stored");
        }
    }

    async fn tasks(&self) {
        let native = Task {
            id: task_id("native"),
            target: Target::Native { function: TaskName::new("native").expect("valid") },
            description: TEXT.into(),
            configured: Settings { max_running_jobs: Some(Parallelism::Unlimited), ..Settings::default() },
            declared: every_setting(),
            defaults: Settings { misfire_grace_time: Some(GraceTime::Unlimited), ..Settings::default() },
            ..task("native", None)
        };
        let settings = Settings {
            executor: None,
            max_running_jobs: Some(Parallelism::AtMost(1.try_into().expect("not zero"))),
            ..every_setting()
        };
        let one = Task { id: task_id("one at a time"), configured: settings, ..native.clone() };
        let plain = Task { declared: Settings::default(), defaults: Settings::default(), ..native };
        for task in [plain, one] {
            self.store.task_put(task).await.expect("a task is stored");
        }
    }

    /// A job that is due at the beginning.
    fn job(&self, task: &str) -> JobSpec {
        let metadata = json!({ TEXT: [TEXT, "\u{0}", 1.5, -7, u64::MAX, null] });
        let job = self.make.job(task);
        let settings =
            JobSettings { metadata: Metadata(metadata.as_object().expect("an object").clone()), ..job.settings };
        let args = Payload::json(&json!({"text": TEXT, "n": 1}));
        JobSpec { settings, args, due_at: self.at(0), created_at: self.at(0), ..job }
    }

    async fn start(&self, spec: JobSpec) -> (JobId, LeaseToken) {
        let id = spec.id;
        self.store.job_add(vec![spec]).await.expect("a job is added");
        let request = AcquireJobs {
            holder: scheduler("gone, 行った"),
            token: self.make.token(),
            now: self.at(1),
            lease: Duration::from_secs(19),
            limit: 1,
            queues: Vec::new(),
            abilities: vec!["wasm".parse().expect("an ability"), "inline:native".parse().expect("an ability")],
            choice: Choice::Only(id),
        };
        let jobs: Vec<Job> = self.store.job_acquire(request.clone()).await.expect("jobs are acquired").jobs;
        assert_eq!(jobs.len(), 1, "{id} can start");
        (id, request.token)
    }

    async fn end(&self, ended: ReleaseJob) {
        let releases = ReleaseJobs { now: self.at(2), releases: vec![ended] };
        let released = self.store.job_release(releases).await.expect("jobs are released");
        assert_eq!(released, [host::store::Released::Stored]);
    }

    fn lines(&self, attempt: u32) -> Vec<LogLine> {
        let line = |(level, sequence): (&LogLevel, u32)| LogLine {
            attempt,
            sequence,
            at: self.at(1),
            level: *level,
            target: "stdout".into(),
            message: format!("{TEXT}{sequence}"),
            fields: vec![(TEXT.into(), TEXT.into()), ("empty".into(), String::new())],
        };
        LogLevel::ALL.iter().zip(0..).map(line).collect()
    }

    async fn finished_jobs(&self) {
        let cbor = Payload { encoding: Encoding::Cbor, data: vec![0x82, 0xf6, 0x43, 0xff, 0xfe, 0x00].into() };
        let results = [None, Some(cbor), Some(Payload::json(&json!({"text": TEXT})))];
        for (outcome, at) in Outcome::ALL.iter().zip(0..) {
            let (id, token) = self.start(self.job("native")).await;
            let error = (*outcome != Outcome::Success).then(|| JobError {
                kind: ErrorKind::ALL[at % ErrorKind::ALL.len()],
                message: TEXT.into(),
                context: vec!["outer".into(), TEXT.into()],
                backtrace: (at % 2 == 0).then(|| format!("0: {TEXT}\n1: main")),
            });
            let result = results[at % results.len()].clone();
            let ending = Ending::Finished { outcome: *outcome, result, error, expires_at: self.at(86_400) };
            self.end(ReleaseJob {
                usage: Some(Usage {
                    fuel: u64::MAX,
                    peak_memory_bytes: 1 << 40,
                    wall: Duration::from_micros(3),
                    http: HttpUsage { requests: 3, sent_bytes: 1 << 33, received_bytes: u64::MAX },
                    ..Usage::default()
                }),
                plugin_digest: Some(Digest::from_bytes([9; 32])),
                started_at: Some(self.at(1)),
                lines: self.lines(1),
                progress: Some(Progress { done: 3, total: (at % 2 == 0).then_some(9), note: TEXT.into() }),
                effects: self.effects(*outcome),
                ..release(id, token, ending)
            })
            .await;
        }
        // Ended inside the store: cancelled in the queue, late, orphaned.
        let cancelled = self.job("native");
        self.store.job_add(vec![cancelled.clone()]).await.expect("added");
        self.store.job_cancel(cancelled.id, None, self.at(2)).await.expect("cancelled");
        let (id, _) = self
            .start(JobSpec {
                settings: JobSettings {
                    crash_retries: 0,
                    group: Some(TEXT.trim().chars().take(20).collect()),
                    backfill: true,
                    ..self.job("native").settings
                },
                ..self.job("native")
            })
            .await;
        self.recover().await;
        let abandoned = self.store.job_get(id).await.expect("read").expect("there");
        assert_eq!(abandoned.outcome, Some(Outcome::Abandoned));
    }

    /// Everything under a lease of the vanished scheduler is taken back.
    async fn recover(&self) {
        let request = Recover {
            now: self.at(3),
            over_at: self.at(3),
            spared: Vec::new(),
            holder: Some(scheduler("gone, 行った")),
            limit: 1_000,
        };
        self.store.recover(request).await.expect("recovered");
    }

    /// What a success brings along.
    fn effects(&self, outcome: Outcome) -> Effects {
        let effects = Effects {
            jobs: vec![self.job("native")],
            schedules: vec![add(self.schedule("asked for by a guest"))],
            ..Effects::default()
        };
        if outcome == Outcome::Success { effects } else { Effects::default() }
    }

    async fn unfinished_jobs(&self) {
        let waiting = [
            self.job("native"),
            JobSpec { settings: JobSettings { priority: -5, ..self.job("native").settings }, ..self.job("native") },
            JobSpec {
                settings: JobSettings { priority: i32::MAX, ..self.job("one at a time").settings },
                ..self.job("one at a time")
            },
            JobSpec { due_at: self.at(5), jitter: Duration::from_micros(7), ..self.job("one at a time") },
            JobSpec { start_deadline: Some(self.at(4)), ..self.job("p:limited") },
            JobSpec { start_deadline: Some(self.at(86_400)), due_at: self.at(6), ..self.job("native") },
            // Its task is nowhere.
            self.job("lost"),
        ];
        self.store.job_add(waiting.to_vec()).await.expect("jobs are added");
        // Tried once, and waiting for the next time.
        let retried = self.job("native");
        let retried = JobSpec { settings: JobSettings { max_attempts: 3, ..retried.settings.clone() }, ..retried };
        let (id, token) = self.start(retried).await;
        let error = JobError::new(ErrorKind::GuestError, TEXT);
        self.end(ReleaseJob {
            lines: self.lines(1),
            ..release(id, token, Ending::Retry { due_at: self.at(7), error })
        })
        .await;
        let (id, token) = self.start(self.job("native")).await;
        self.end(release(id, token, Ending::Requeued { not_before: None })).await;
        // Its worker vanished, and it was queued again.
        self.start(self.job("native")).await;
        self.recover().await;
        // Running: with progress and log lines; asked to stop; filling the one place of its task.
        let (id, token) = self.start(self.job("native")).await;
        let progress = Some(Progress { done: 1, total: None, note: String::new() });
        self.store.job_report(vec![JobReport { id, token, lines: self.lines(1), progress }]).await.expect("reported");
        let (id, _) = self.start(self.job("native")).await;
        let grace = Some(Duration::from_micros(1_500_001));
        self.store.job_cancel(id, grace, self.at(2)).await.expect("asked to stop");
        self.start(self.job("one at a time")).await;
    }

    /// A schedule that fires every second from the beginning on.
    fn schedule(&self, id: &str) -> Schedule {
        let rule = Trigger::every(Duration::from_secs(1), &RuleOptions::new(self.at(0))).expect("a rule");
        Schedule {
            task_id: task_id("native"),
            trigger: rule.to_json().to_string(),
            trigger_state: rule.initial_state().to_json(),
            next_fire_time: Some(rule.first_fire().expect("it fires").at),
            created_at: self.at(0),
            ..schedule(id, 0)
        }
    }

    async fn schedules(&self) {
        let cbor = Payload { encoding: Encoding::Cbor, data: vec![0xa1, 0x61, b'n', 0x01].into() };
        let rich = Schedule {
            args: cbor,
            coalesce: Coalesce::All,
            max_jitter: Duration::from_micros(1_500_001),
            fire_count: 3,
            failures: 2,
            settings: Settings { max_running_jobs: None, executor: None, ..every_setting() },
            ..self.schedule(TEXT.trim())
        };
        let over = Schedule {
            next_fire_time: None,
            last_fire_time: Some(self.at(0)),
            coalesce: Coalesce::Earliest,
            ..self.schedule("over")
        };
        for schedule in [self.schedule(GOES_ON), rich, over, self.schedule("rests"), self.schedule("failed")] {
            self.store.schedule_add(add(schedule)).await.expect("a schedule is added");
        }
        for (id, reason) in [("rests", Pause::Asked), ("failed", Pause::Failed(TEXT.into()))] {
            self.store.schedule_pause(PauseSchedule { id: schedule_id(id), reason }).await.expect("paused");
        }
        self.fire_once().await;
    }

    /// One fire, with its job and the trigger's next place.
    async fn fire_once(&self) {
        let request = host::store::AcquireSchedules {
            holder: scheduler("gone, 行った"),
            token: self.make.token(),
            now: self.at(0),
            lease: Duration::from_secs(1),
            limit: 100,
        };
        let leased = self.store.schedule_acquire(request.clone()).await.expect("leased").schedules;
        let goes_on =
            leased.into_iter().map(|leased| leased.schedule).find(|schedule| schedule.id == schedule_id(GOES_ON));
        let goes_on = goes_on.expect("it is due");
        let rule = Trigger::from_json(&goes_on.trigger, goes_on.created_at).expect("its trigger");
        let mut state = TriggerState::from_json(&goes_on.trigger_state).expect("its state");
        let due = rule.next(&mut state).expect("it fires").expect("there is one").at;
        let fires = FireSchedule {
            id: goes_on.id.clone(),
            token: request.token,
            jobs: vec![JobSpec {
                schedule_id: Some(goes_on.id),
                schedule_life: goes_on.life,
                scheduled_fire_time: Some(due),
                ..self.job("native")
            }],
            trigger_state: state.to_json(),
            next_fire_time: Some(due.saturating_add(Duration::from_secs(1))),
            last_fire_time: Some(due),
            at: due,
            overlap: Overlap::default(),
            max_fires: None,
            continues: false,
            passed: None,
            then: AfterFire::Free,
        };
        assert_eq!(self.store.schedule_fire(vec![fires]).await.expect("fired"), [fired()]);
    }
}

/// A layer that says something of everything.
fn every_setting() -> Settings {
    Settings {
        max_running_per_key: Some(Parallelism::AtMost(2.try_into().expect("not zero"))),
        concurrency_key: Some("args:/customer".parse().expect("a key")),
        queue: Some("mail".parse().expect("a queue")),
        max_running_jobs: Some(Parallelism::AtMost(3.try_into().expect("not zero"))),
        misfire_grace_time: Some(GraceTime::Within(Duration::from_micros(1))),
        overlap: Some(Overlap::QueueOne),
        pause_after: Some(PauseAfter::Never),
        until_success: Some(false),
        max_fires: std::num::NonZeroU32::new(1_000_000),
        hooks: HookSettings {
            on_failure: Some("ops:dead-letter".parse().expect("a hook")),
            on_success: Some(Hook::None),
            on_missed: Some("late".parse().expect("a hook")),
        },
        executor: None,
        timeout: Some(Duration::from_millis(1_500)),
        fuel: Some(u64::MAX),
        memory_bytes: Some(1 << 33),
        max_attempts: Some(4),
        backoff: Some(Backoff::default()),
        priority: Some(-1),
        result_ttl: Some(Duration::ZERO),
        version: Some(host::model::Digest::from_bytes([7; 32])),
        metadata: Metadata(json!({"owner": TEXT}).as_object().expect("an object").clone()),
    }
}
