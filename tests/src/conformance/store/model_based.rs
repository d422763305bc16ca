//! Random operations on the memory store and on the store under test: both must say the same, call by call.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use host::model::{
    Ability, ConcernedSchedule, ConflictPolicy, ErrorKind, Hooks, Job, JobError, JobId, JobSettings, JobSpec,
    LeaseToken, Outcome, Overlap, Parallelism, Pause, Payload, Schedule, ScheduleId, ScheduleLife, Settings,
};
use host::store::memory::MemoryStore;
use host::store::{
    AcquireJobs, AddSchedule, AfterFire, Choice, Ending, ExchangeJobs, ExchangedJobs, ExtendJobs, FireSchedule,
    HookedJob, JobFilter, PauseSchedule, Recover, ReleaseJob, ReleaseJobs, ScheduleFilter, ServedQueue, Store,
    UnpauseSchedule,
};

use super::{Rig, cases};
use crate::factory::{
    self, add, extend, recover, release, schedule, schedule_id, scheduler, served, success, t, task, task_id,
};

cases![random_operations_look_the_same_as_in_memory, more_random_operations_look_the_same_as_in_memory];

/// Operations in one run.
const STEPS: usize = 400;

async fn random_operations_look_the_same_as_in_memory(rig: Rig) {
    compare(rig, 0).await;
}

async fn more_random_operations_look_the_same_as_in_memory(rig: Rig) {
    compare(rig, 1).await;
}

/// What the run knows, so that its operations hit something.
#[derive(Default)]
struct Known {
    jobs: Vec<JobId>,
    leases: Vec<(JobId, LeaseToken)>,
    fires: Vec<(ScheduleId, LeaseToken)>,
    now: i64,
}

async fn compare(rig: Rig, round: u64) {
    let model: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut random = fastrand::Rng::with_seed(rig.seed ^ (round << 32));
    let mut known = Known::default();
    let mut history = Vec::new();
    for step in 0..STEPS {
        known.now += random.i64(0..3);
        let operation = Operation::draw(&rig, &mut random, &mut known);
        history.push(format!("{operation:?}"));
        let expected = operation.run(&model).await;
        let found = operation.run(if random.bool() { &rig.a } else { &rig.b }).await;
        if expected.shown != found.shown {
            let from = history.len().saturating_sub(12);
            panic!(
                "seed {:#x}, step {step}\nlast operations: {:#?}\nmemory:  {}\nbackend: {}",
                rig.seed,
                &history[from..],
                expected.shown,
                found.shown
            );
        }
        known.leases.extend(found.leases);
        known.fires.extend(found.fires);
    }
    let all = || JobFilter { limit: 1_000, ..JobFilter::default() };
    let (expected, found) =
        (model.job_list(all()).await.expect("listed"), rig.b.job_list(all()).await.expect("listed"));
    assert_eq!(expected.rows, found.rows, "seed {:#x}", rig.seed);
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Operation {
    /// With a limit, and one per key.
    Task(&'static str, Option<u32>, Option<u32>),
    RemoveTask(&'static str),
    AddJobs(Vec<JobSpec>),
    Acquire(AcquireJobs),
    Extend(ExtendJobs),
    Release(ReleaseJobs),
    Exchange(ExchangeJobs),
    Cancel(JobId, i64),
    Retry(JobId, i64),
    Recover(Recover),
    Cleanup(i64),
    Get(JobId),
    List(JobFilter),
    NextDue(i64),
    Counts,
    PauseQueue(&'static str, bool),
    AddSchedule(AddSchedule),
    AcquireSchedules(host::store::AcquireSchedules),
    Fire(Vec<FireSchedule>),
    Pause(PauseSchedule),
    Unpause(ScheduleId),
    RemoveSchedule(ScheduleId),
    ListSchedules,
}

/// What an operation answered.
struct Seen {
    shown: String,
    leases: Vec<(JobId, LeaseToken)>,
    fires: Vec<(ScheduleId, LeaseToken)>,
}

const TASKS: [&str; 4] = ["p:free", "p:one", "p:two", "p:none"];

impl Operation {
    fn draw(rig: &Rig, random: &mut fastrand::Rng, known: &mut Known) -> Operation {
        let now = known.now;
        let some_job = |random: &mut fastrand::Rng| {
            if known.jobs.is_empty() || random.u8(0..20) == 0 {
                rig.make.job_id()
            } else {
                known.jobs[random.usize(..known.jobs.len())]
            }
        };
        let name = schedule_id(["s1", "s2", "s3"][random.usize(..3)]);
        match random.u8(0..100) {
            0..4 => {
                let limit = |random: &mut fastrand::Rng| [None, Some(1), Some(2)][random.usize(..3)];
                Operation::Task(TASKS[random.usize(..3)], limit(random), limit(random))
            }
            4..5 => Operation::RemoveTask(TASKS[random.usize(..3)]),
            5..25 => {
                let jobs: Vec<JobSpec> = (0..random.usize(1..5)).map(|_| draw_job(rig, random, now)).collect();
                known.jobs.extend(jobs.iter().map(|job| job.id));
                Operation::AddJobs(jobs)
            }
            25..36 => Operation::Acquire(draw_acquisition(rig, random, now, some_job)),
            36..41 => Operation::Extend(extend(now, draw_leases(random, known))),
            41..50 => Operation::Release(draw_releases(random, known, now)),
            50..58 => {
                let release = draw_releases(random, known, now);
                let acquire = draw_acquisition(rig, random, now, some_job);
                Operation::Exchange(ExchangeJobs { release, acquire })
            }
            58..62 => Operation::Cancel(some_job(random), now),
            62..65 => Operation::Retry(some_job(random), now),
            65..69 => Operation::Recover(Recover {
                holder: (random.u8(0..4) == 0).then(|| scheduler("one")),
                limit: random.usize(1..10),
                ..recover(now)
            }),
            69..71 => Operation::Cleanup(now),
            71..76 => Operation::Get(some_job(random)),
            76..80 => Operation::List(draw_filter(random)),
            80..82 => Operation::NextDue(now),
            82..83 => Operation::Counts,
            83..84 => Operation::PauseQueue(QUEUES[random.usize(..2)], random.bool()),
            84..88 => {
                let policies = [ConflictPolicy::Error, ConflictPolicy::Replace, ConflictPolicy::Skip];
                let conflict = policies[random.usize(..3)];
                let next_fire_time = (random.u8(0..5) > 0).then(|| t(now + random.i64(-3..5)));
                let settings =
                    Settings { until_success: (random.u8(0..4) == 0).then_some(true), ..Settings::default() };
                let schedule = Schedule { next_fire_time, settings, created_at: t(now), ..schedule(name.as_str(), 0) };
                Operation::AddSchedule(AddSchedule { conflict, ..add(schedule) })
            }
            88..91 => Operation::AcquireSchedules(rig.make.acquire_schedules(now, random.usize(0..3))),
            91..95 => Operation::Fire(draw_fires(rig, random, known)),
            95..96 => Operation::Pause(PauseSchedule { id: name, reason: Pause::Asked }),
            96..97 => Operation::Unpause(name),
            97..98 => Operation::RemoveSchedule(name),
            _ => Operation::ListSchedules,
        }
    }

    async fn run(&self, store: &Arc<dyn Store>) -> Seen {
        let (mut leases, mut fires) = (Vec::new(), Vec::new());
        let shown = match self.clone() {
            Operation::Task(id, limit, per_key) => {
                let mut task = task(id, limit);
                let per_key = per_key.and_then(std::num::NonZeroU32::new);
                task.configured.max_running_per_key = Some(per_key.map_or(Parallelism::Unlimited, Parallelism::AtMost));
                show(store.task_put(task).await)
            }
            Operation::RemoveTask(id) => show(store.task_remove(&task_id(id)).await),
            Operation::AddJobs(jobs) => show(store.job_add(jobs).await),
            Operation::Acquire(request) => {
                let acquired = store.job_acquire(request.clone()).await.expect("acquired");
                leases.extend(acquired.jobs.iter().map(|job| (job.spec.id, request.token)));
                // Not what was missed: a lost answer may have told of it.
                format!("{:?} {}", acquired.jobs, acquired.catalog_revision)
            }
            Operation::Extend(request) => show(store.job_extend(request).await),
            Operation::Release(request) => show(store.job_release(request).await),
            Operation::Exchange(request) => {
                let token = request.acquire.token;
                let ExchangedJobs { released, acquired } = store.job_exchange(request).await.expect("exchanged");
                leases.extend(acquired.jobs.iter().map(|job| (job.spec.id, token)));
                format!("{released:?} {:?} {}", acquired.jobs, acquired.catalog_revision)
            }
            Operation::Cancel(id, now) => show(store.job_cancel(id, None, t(now)).await),
            Operation::Retry(id, now) => show(store.job_retry(id, t(now)).await),
            Operation::Recover(request) => show(store.recover(request).await),
            Operation::Cleanup(now) => show(store.cleanup(t(now), 1_000).await),
            Operation::Get(id) => show(store.job_get(id).await),
            Operation::List(filter) => show(store.job_list(filter).await),
            Operation::NextDue(now) => show(store.job_next_due(t(now)).await),
            Operation::Counts => {
                [show(store.job_counts().await), show(store.queue_list().await), show(store.queues_paused().await)]
                    .join(" ")
            }
            Operation::PauseQueue(queue, pause) => {
                show(store.queue_pause(queue.parse().expect("a queue"), pause).await)
            }
            Operation::AddSchedule(request) => show(store.schedule_add(request).await),
            Operation::AcquireSchedules(request) => {
                let acquired = store.schedule_acquire(request.clone()).await.expect("acquired");
                fires.extend(acquired.schedules.iter().map(|leased| (leased.schedule.id.clone(), request.token)));
                format!("{acquired:?}")
            }
            Operation::Fire(list) => show(store.schedule_fire(list).await),
            Operation::Pause(request) => show(store.schedule_pause(request).await),
            Operation::Unpause(id) => show(store.schedule_unpause(UnpauseSchedule { id, resume: None }).await),
            Operation::RemoveSchedule(id) => show(store.schedule_remove(&id).await),
            Operation::ListSchedules => {
                let filter = ScheduleFilter { limit: 100, ..ScheduleFilter::default() };
                format!("{} {}", show(store.schedule_list(filter).await), show(store.schedule_next_due().await))
            }
        };
        Seen { shown, leases, fires }
    }
}

fn show<T: std::fmt::Debug, E: std::fmt::Display>(answer: Result<T, E>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("error: {error}"),
    }
}

fn draw_acquisition(
    rig: &Rig,
    random: &mut fastrand::Rng,
    now: i64,
    some_job: impl FnOnce(&mut fastrand::Rng) -> JobId,
) -> AcquireJobs {
    AcquireJobs {
        holder: scheduler(["one", "two"][random.usize(..2)]),
        choice: match random.u8(0..6) {
            0 => Choice::Only(some_job(random)),
            1 => {
                Choice::EachTask { except: TASKS.iter().filter(|_| random.bool()).map(|task| task_id(task)).collect() }
            }
            _ => Choice::InOrder,
        },
        queues: draw_queues(random),
        abilities: draw_abilities(random),
        ..rig.make.acquire(now, random.usize(0..6))
    }
}

fn draw_releases(random: &mut fastrand::Rng, known: &Known, now: i64) -> ReleaseJobs {
    let leases = draw_leases(random, known).into_iter();
    let releases = leases.map(|(id, token)| {
        let concerned = (random.u8(0..2) == 0).then(|| draw_concerned(random));
        ReleaseJob { concerned, hooked: draw_hooked(random, id, now), ..release(id, token, draw_ending(random, now)) }
    });
    let releases = releases.collect();
    ReleaseJobs { now: t(now), releases }
}

fn draw_concerned(random: &mut fastrand::Rng) -> ConcernedSchedule {
    ConcernedSchedule {
        id: schedule_id(["s1", "s2"][random.usize(..2)]),
        life: ScheduleLife::from_number(random.i64(6..8)),
        pause_after: NonZeroU32::new(random.u32(0..4)),
    }
}

fn draw_hooked(random: &mut fastrand::Rng, id: JobId, now: i64) -> Option<HookedJob> {
    let settings = JobSettings { hooks: draw_hooks(random), ..factory::job_settings() };
    let spec = JobSpec::direct(id, task_id(TASKS[0]), Payload::no_args(), settings, t(0));
    HookedJob::of(&Arc::new(Job { attempt: random.u32(1..3), ..Job::queued(spec) }), t(now))
}

fn draw_hooks(random: &mut fastrand::Rng) -> Hooks {
    let mut task = || (random.u8(0..4) == 0).then(|| task_id(["p:gone", TASKS[0]][random.usize(..2)]));
    Hooks { on_failure: task(), on_success: task(), on_missed: task() }
}

fn draw_job(rig: &Rig, random: &mut fastrand::Rng, now: i64) -> JobSpec {
    let job = rig.make.job(TASKS[random.usize(..TASKS.len())]);
    let settings = JobSettings {
        priority: random.i32(-2..3),
        max_attempts: random.u32(1..3),
        crash_retries: random.u32(0..2),
        result_ttl: Duration::from_secs(random.u64(0..20)),
        queue: QUEUES[random.usize(..2)].parse().expect("a queue"),
        concurrency_key: [None, Some("a"), Some("b")][random.usize(..3)].map(str::to_owned),
        pause_after: NonZeroU32::new(random.u32(0..3)),
        hooks: draw_hooks(random),
        group: [None, Some(GROUPS[0]), Some(GROUPS[1])][random.usize(..3)].map(str::to_owned),
        executor: (random.u8(0..8) == 0).then(|| "gpu".parse().expect("a name")),
        ..job.settings
    };
    let fire = (random.u8(0..3) == 0).then(|| random.i64(0..40));
    JobSpec {
        settings,
        schedule_id: fire.map(|_| schedule_id("s1")),
        schedule_life: ScheduleLife::from_number(random.i64(6..8)),
        scheduled_fire_time: fire.map(t),
        created_at: t(now),
        due_at: t(now + [0, 0, 0, 2, 5][random.usize(..5)]),
        start_deadline: (random.u8(0..4) == 0).then(|| t(now + random.i64(0..6))),
        ..job
    }
}

const QUEUES: [&str; 2] = ["default", "mail"];

const GROUPS: [&str; 2] = ["g", "G"];

fn draw_queues(random: &mut fastrand::Rng) -> Vec<ServedQueue> {
    let mut queues: Vec<ServedQueue> = QUEUES.iter().map(|queue| served(queue, random.usize(0..5))).collect();
    random.shuffle(&mut queues);
    queues.truncate(random.usize(1..3));
    queues
}

fn draw_abilities(random: &mut fastrand::Rng) -> Vec<Ability> {
    let mut abilities = vec!["wasm".parse().expect("an ability"), "gpu".parse().expect("an ability")];
    abilities.truncate(random.usize(0..6).min(2));
    abilities
}

fn draw_leases(random: &mut fastrand::Rng, known: &Known) -> Vec<(JobId, LeaseToken)> {
    let mut leases: Vec<(JobId, LeaseToken)> = Vec::new();
    for _ in 0..random.usize(1..4).min(known.leases.len()) {
        let lease = known.leases[random.usize(..known.leases.len())];
        if leases.iter().all(|(id, _)| *id != lease.0) {
            leases.push(lease);
        }
    }
    leases
}

fn draw_ending(random: &mut fastrand::Rng, now: i64) -> Ending {
    let error = || JobError::new(ErrorKind::GuestError, "no");
    match random.u8(0..6) {
        0 => Ending::Retry { due_at: t(now + random.i64(0..5)), error: error() },
        1 => Ending::Requeued { not_before: (random.u8(0..2) == 0).then(|| t(now + random.i64(0..6))) },
        2 => Ending::Finished { outcome: Outcome::Error, result: None, error: Some(error()), expires_at: t(now + 5) },
        _ => success(now + random.i64(0..30)),
    }
}

fn draw_filter(random: &mut fastrand::Rng) -> JobFilter {
    let pick = |random: &mut fastrand::Rng| random.u8(0..3) == 0;
    JobFilter {
        state: pick(random).then(|| host::model::JobState::ALL[random.usize(..3)]),
        outcome: pick(random).then(|| Outcome::ALL[random.usize(..Outcome::ALL.len())]),
        task_id: pick(random).then(|| task_id(TASKS[random.usize(..TASKS.len())])),
        schedule_id: pick(random).then(|| schedule_id("s1")),
        group: pick(random).then(|| GROUPS[random.usize(..2)].to_owned()),
        after: None,
        limit: random.usize(1..30),
    }
}

fn draw_fires(rig: &Rig, random: &mut fastrand::Rng, known: &mut Known) -> Vec<FireSchedule> {
    let Some((id, token)) = known.fires.get(random.usize(..known.fires.len().max(1))).cloned() else {
        return Vec::new();
    };
    let fire = random.i64(0..40);
    let job = rig.make.fired(id.as_str(), fire);
    known.jobs.push(job.id);
    vec![FireSchedule {
        id,
        token,
        jobs: vec![JobSpec { created_at: t(known.now), due_at: t(known.now), ..job }],
        trigger_state: format!("at {fire}"),
        next_fire_time: (random.u8(0..4) > 0).then(|| t(known.now + random.i64(1..6))),
        last_fire_time: Some(t(fire)),
        at: t(known.now),
        overlap: Overlap::default(),
        max_fires: NonZeroU32::new(random.u32(0..4)),
        continues: false,
        passed: None,
        then: match random.u8(0..8) {
            0 => AfterFire::Pause(Pause::Failed("broke".into())),
            1 => AfterFire::PutOff { until: t(known.now + random.i64(0..6)) },
            2 => AfterFire::Keep { now: t(known.now), lease: Duration::from_secs(random.u64(1..6)) },
            _ => AfterFire::Free,
        },
    }]
}
