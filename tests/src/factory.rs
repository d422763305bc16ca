//! Builders of the nouns with sensible values, so that a test states only what matters to it.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use host::model::{
    Backoff, Coalesce, ConflictPolicy, Digest, Hooks, Incarnation, JobId, JobIdSource, JobSettings, JobSpec,
    LeaseToken, Metadata, Overlap, Parallelism, Payload, PluginName, PluginVersion, QueueName, Schedule, ScheduleId,
    ScheduleLife, SchedulerId, Settings, Target, Task, TaskId, TaskName, Timestamp,
};
use host::store::{
    AcquireJobs, AcquireSchedules, AddSchedule, AfterFire, Choice, Ending, ExtendJobs, FireSchedule, PutPlugin,
    PutScheduler, Recover, ReleaseJob, ReleaseJobs, SchedulerRow, ServedQueue,
};

/// Makes things; ids and tokens come from a seeded generator.
#[derive(Debug)]
pub struct Factory {
    random: Mutex<fastrand::Rng>,
    ids: Mutex<JobIdSource>,
}

/// The time at which every test begins, plus `seconds`.
pub fn t(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_790_000_000 + seconds) * 1_000_000).expect("in range")
}

/// A task's id.
pub fn task_id(id: &str) -> TaskId {
    TaskId::new(id).expect("a valid task id")
}

/// A schedule's id.
pub fn schedule_id(id: &str) -> ScheduleId {
    ScheduleId::new(id).expect("a valid schedule id")
}

/// A scheduler's identity.
pub fn scheduler(id: &str) -> SchedulerId {
    SchedulerId::new(id).expect("a valid identity")
}

/// A life of a scheduler.
pub fn incarnation(text: &str) -> Incarnation {
    Incarnation::new(text).expect("a valid incarnation")
}

/// What a scheduler says of itself.
pub fn heard_of(scheduler: SchedulerRow) -> PutScheduler {
    PutScheduler { scheduler, replaces: None }
}

/// A task of the plugin `p` that may run `limit` jobs at once; `None` for any number.
pub fn task(id: &str, limit: Option<u32>) -> Task {
    let limit = limit.and_then(NonZeroU32::new).map_or(Parallelism::Unlimited, Parallelism::AtMost);
    let name = id.rsplit(':').next().expect("a last part");
    Task {
        id: task_id(id),
        target: Target::Plugin {
            plugin: PluginName::new("p").expect("valid"),
            function: TaskName::new(name).expect("a valid function name"),
        },
        description: "does it".into(),
        args_schema: None,
        result_schema: None,
        example_args: None,
        configured: Settings { max_running_jobs: Some(limit), ..Settings::default() },
        declared: Settings::default(),
        defaults: Settings::default(),
    }
}

/// A schedule that is due at `t(due)`.
pub fn schedule(id: &str, due: i64) -> Schedule {
    Schedule {
        id: schedule_id(id),
        life: ScheduleLife::from_number(7),
        task_id: task_id("p:work"),
        trigger: r#"{"type":"interval","seconds":10}"#.into(),
        trigger_state: "{}".into(),
        args: Payload::no_args(),
        coalesce: Coalesce::Latest,
        max_jitter: Duration::ZERO,
        settings: Settings::default(),
        pause: None,
        next_fire_time: Some(t(due)),
        last_fire_time: None,
        overruns_since: None,
        fire_count: 0,
        failures: 0,
        created_at: t(0),
    }
}

/// Asks to add a schedule, and to fail where its id is taken.
pub fn add(schedule: Schedule) -> AddSchedule {
    AddSchedule { schedule, conflict: ConflictPolicy::Error }
}

/// A version of the plugin `p` whose component consists of `bytes`.
pub fn plugin(bytes: &[u8], tasks: Vec<Task>) -> PutPlugin {
    let mut digest = [0; 32];
    bytes.iter().enumerate().for_each(|(at, byte)| digest[at % 32] ^= byte.wrapping_add(at.to_le_bytes()[0]));
    let version = PluginVersion {
        name: PluginName::new("p").expect("valid"),
        digest: Digest::from_bytes(digest),
        size_bytes: bytes.len() as u64,
        imports: Vec::new(),
        grants: Vec::new(),
        tasks: Vec::new(),
        registered_at: t(0),
    };
    PutPlugin { version, bytes: bytes.to_vec(), tasks, configure: Settings::default(), reviewed: None }
}

/// The settings of a job.
pub fn job_settings() -> JobSettings {
    JobSettings {
        executor: None,
        queue: QueueName::default(),
        concurrency_key: None,
        unique_key: None,
        group: None,
        timeout: Duration::from_secs(60),
        fuel: 1_000,
        memory_bytes: 1 << 20,
        max_attempts: 1,
        crash_retries: 1,
        backoff: Backoff::default(),
        priority: 0,
        result_ttl: Duration::from_secs(3_600),
        version: None,
        pause_after: None,
        until_success: false,
        hooks: Hooks::default(),
        backfill: false,
        metadata: Metadata::default(),
    }
}

impl Factory {
    /// A factory whose ids and tokens follow from `seed`.
    pub fn new(seed: u64) -> Factory {
        let mut random = fastrand::Rng::with_seed(seed);
        let ids = JobIdSource::new(random.fork());
        Factory { random: Mutex::new(random), ids: Mutex::new(ids) }
    }

    /// A new job id, larger than those before.
    pub fn job_id(&self) -> JobId {
        self.ids.lock().expect("not poisoned").next(t(0))
    }

    /// A new token.
    pub fn token(&self) -> LeaseToken {
        LeaseToken::random(&mut self.random.lock().expect("not poisoned"))
    }

    /// A number below `end`.
    pub fn below(&self, end: usize) -> usize {
        self.random.lock().expect("not poisoned").usize(..end)
    }

    /// A job that is due at once.
    pub fn job(&self, task: &str) -> JobSpec {
        JobSpec::direct(self.job_id(), task_id(task), Payload::no_args(), job_settings(), t(0))
    }

    /// A job with a priority.
    pub fn urgent(&self, task: &str, priority: i32) -> JobSpec {
        let job = self.job(task);
        JobSpec { settings: JobSettings { priority, ..job.settings }, ..job }
    }

    /// A job that a schedule made for `t(fire)`.
    pub fn fired(&self, schedule: &str, fire: i64) -> JobSpec {
        let schedule_id = Some(schedule_id(schedule));
        let schedule_life = ScheduleLife::from_number(7);
        JobSpec { schedule_id, schedule_life, scheduled_fire_time: Some(t(fire)), ..self.job("p:work") }
    }

    /// Asks for jobs of the default queue at `t(now)`, for ten seconds, as a worker that runs plugins.
    pub fn acquire(&self, now: i64, limit: usize) -> AcquireJobs {
        AcquireJobs {
            holder: scheduler("one"),
            token: self.token(),
            now: t(now),
            lease: LEASE,
            limit,
            queues: vec![served("default", limit)],
            abilities: vec!["wasm".parse().expect("an ability")],
            choice: Choice::InOrder,
        }
    }

    /// Asks for schedules at `t(now)`, for ten seconds.
    pub fn acquire_schedules(&self, now: i64, limit: usize) -> AcquireSchedules {
        AcquireSchedules { holder: scheduler("one"), token: self.token(), now: t(now), lease: LEASE, limit }
    }
}

/// A queue of which so many jobs are asked for.
pub fn served(queue: &str, limit: usize) -> ServedQueue {
    ServedQueue { queue: QueueName::new(queue).expect("a valid queue name"), limit }
}

/// An attempt that ended.
pub fn release(id: JobId, token: LeaseToken, ending: Ending) -> ReleaseJob {
    ReleaseJob {
        id,
        token,
        ending,
        usage: None,
        plugin_digest: None,
        started_at: None,
        lines: Vec::new(),
        progress: None,
        concerned: None,
        hooked: None,
        effects: host::store::Effects::default(),
    }
}

/// The release of one attempt at `t(now)`.
pub fn releases(now: i64, release: ReleaseJob) -> ReleaseJobs {
    ReleaseJobs { now: t(now), releases: vec![release] }
}

/// A success without a result, kept until `t(expires)`.
pub fn success(expires: i64) -> Ending {
    Ending::Finished { outcome: host::model::Outcome::Success, result: None, error: None, expires_at: t(expires) }
}

/// How long the leases of these builders last.
pub const LEASE: Duration = Duration::from_secs(10);

/// The extension of leases at `t(now)`, for ten seconds.
pub fn extend(now: i64, leases: Vec<(JobId, LeaseToken)>) -> ExtendJobs {
    ExtendJobs { leases, now: t(now), lease: LEASE }
}

/// Recovery at `t(now)` of what ran out.
pub fn recover(now: i64) -> Recover {
    Recover { now: t(now), over_at: t(now), spared: Vec::new(), holder: None, limit: 1_000 }
}

/// The answer to a fire that is stored with all of its jobs.
pub fn fired() -> host::store::Fired {
    host::store::Fired::Stored {
        left_out: Vec::new(),
        is_finished: false,
        overlapped: host::store::Overlapped::default(),
    }
}

/// A fire of a schedule that was due at `t(at)`, with these jobs; it goes on ten seconds later.
pub fn fire(id: &str, token: LeaseToken, at: i64, jobs: Vec<JobSpec>) -> FireSchedule {
    FireSchedule {
        id: schedule_id(id),
        token,
        at: t(at),
        jobs,
        overlap: Overlap::Queue,
        max_fires: None,
        continues: false,
        passed: None,
        trigger_state: "moved".into(),
        next_fire_time: Some(t(at + 10)),
        last_fire_time: Some(t(at)),
        then: AfterFire::Free,
    }
}
