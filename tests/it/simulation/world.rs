//! One run: schedulers on one store, work for them, and everything that goes wrong, all drawn from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use host::broker::local::LocalBroker;
use host::executor::Executor;
use host::model::{
    Coalesce, ConflictPolicy, Job, JobId, JobIdSource, JobSpec, JobState, Outcome, Overlap, Parallelism, Pause,
    Payload, Schedule, ScheduleId, ScheduleLife, Settings, Target, Task, TaskId, TaskName, Timestamp,
};
use host::scheduler::{Executors, Handle, Options, Parts, Scheduler};
use host::store::memory::MemoryStore;
use host::store::store_clock::StoreClock;
use host::store::{AddSchedule, Defect, PauseSchedule, Store, guarded};
use host::trigger::Trigger;
use tests::doubles::damaged::{Damaged, Refusal};

use super::attempts::{Attempts, Plugins};
use super::history::{Course, History};
use super::ledger;
use super::machine::{Power, ProcessClock, Timeline, Wall};
use super::network::{Link, Network};
use super::policies::{Policed, jobs_of, schedule_id};
use super::script::{Fault, Script, TASKS, TROUBLE};
use super::versions::{Versions, versioned};

const SECOND: Duration = Duration::from_secs(1);

const LEASE: Duration = Duration::from_secs(6);
const DRAIN: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(1);

/// What [`Handle::stop`] promises beyond drain and grace, and a moment.
const STOPPED_WITHIN: Duration = Duration::from_millis(4_100);

/// When all is well again every job has ended within this, also where leases end late because a server's clock was set back.
const ENDED_WITHIN: Duration = Duration::from_secs(3_600);

/// A process with a scheduler.
struct Host {
    process: ProcessClock,
    link: Arc<Link>,
    handle: Option<Handle>,
}

/// Runs a seed.
pub(super) fn run(seed: u64) -> Course {
    // Pauses and tokens.
    fastrand::seed(seed);
    let timeline = Timeline::new(seed);
    let script = Script::draw(seed);
    timeline.run(async { World::build(seed, &timeline, script).await.play().await })
}

struct World {
    seed: u64,
    script: Script,
    timeline: Timeline,
    /// What the store goes by.
    wall: Wall,
    memory: Arc<dyn Store>,
    damaged: Arc<Damaged>,
    network: Arc<Network>,
    broker: Arc<LocalBroker>,
    history: History,
    hosts: Mutex<Vec<Option<Host>>>,
    ids: Mutex<JobIdSource>,
    jobs: Mutex<Vec<JobId>>,
    schedules: Vec<ScheduleId>,
    versions: Versions,
    spoilt_jobs: Mutex<BTreeSet<JobId>>,
    spoilt_schedules: Mutex<BTreeSet<ScheduleId>>,
}

impl World {
    async fn build(seed: u64, timeline: &Timeline, script: Script) -> World {
        let wall = Wall::new(timeline, 0);
        let server = Arc::new(ProcessClock::new(timeline, &wall));
        let memory = if script.is_server { MemoryStore::server(server) } else { MemoryStore::with_clock(server) };
        let memory: Arc<dyn Store> = Arc::new(memory);
        let history = History::new(timeline);
        let policies = script.policies.iter().enumerate().map(|(number, policy)| (schedule_id(number), *policy));
        let policed = Policed::new(Arc::clone(&memory), history.clone(), policies.collect());
        let mut world = World {
            seed,
            timeline: timeline.clone(),
            damaged: Arc::new(Damaged::new(Arc::new(policed))),
            versions: Versions::new(&memory, wall.now()).await,
            memory,
            network: Arc::new(Network::new(timeline, seed, script.temper)),
            broker: Arc::new(LocalBroker::new()),
            history,
            hosts: Mutex::default(),
            ids: Mutex::new(JobIdSource::new(fastrand::Rng::with_seed(seed))),
            jobs: Mutex::default(),
            schedules: Vec::new(),
            spoilt_jobs: Mutex::default(),
            spoilt_schedules: Mutex::default(),
            wall,
            script,
        };
        for (name, most) in TASKS {
            world.add_task(name, most).await;
        }
        for (number, seconds) in world.script.intervals.clone().into_iter().enumerate() {
            let id = world.add_schedule(number, seconds).await;
            world.schedules.push(id);
        }
        world.hosts = Mutex::new((0..world.script.hosts).map(|_| None).collect());
        world.history.note(format_args!("{:?}", world.script));
        world
    }

    async fn add_task(&self, name: &str, most: Option<u32>) {
        let most = most.map_or(Parallelism::Unlimited, |most| Parallelism::AtMost(most.try_into().expect("not 0")));
        let configured = Settings {
            max_running_jobs: Some(most),
            max_attempts: Some(3),
            // Nothing is cleaned up, whatever is done to the clocks.
            result_ttl: Some(Duration::from_secs(365 * 24 * 3_600)),
            ..Settings::default()
        };
        let task = Task {
            id: TaskId::new(name).expect("an id"),
            target: Target::Native { function: TaskName::new(name).expect("a name") },
            description: String::new(),
            args_schema: None,
            result_schema: None,
            example_args: None,
            configured,
            declared: Settings::default(),
            defaults: Settings::default(),
        };
        self.memory.task_put(task).await.expect("the store takes a task");
    }

    async fn add_schedule(&self, number: usize, seconds: u32) -> ScheduleId {
        let now = self.wall.now();
        let text = format!(r#"{{"type":"interval","seconds":{seconds}}}"#);
        let text = if self.script.is_combined {
            format!(r#"{{"type":"and","threshold":0,"triggers":[{{"type":"interval","seconds":1}},{text}]}}"#)
        } else {
            text
        };
        let trigger = Trigger::from_json(&text, now).expect("a trigger");
        let id = schedule_id(number);
        let policy = self.script.policies[number];
        let schedule = Schedule {
            id: id.clone(),
            life: ScheduleLife::default(),
            task_id: TaskId::new("any").expect("an id"),
            trigger: trigger.to_json().to_string(),
            trigger_state: trigger.initial_state().to_json(),
            args: Payload::no_args(),
            coalesce: self.script.coalesce[number],
            max_jitter: Duration::ZERO,
            settings: Settings { overlap: Some(policy), ..Settings::default() },
            pause: None,
            next_fire_time: Some(trigger.first_fire().expect("it fires").at),
            last_fire_time: None,
            overruns_since: None,
            fire_count: 0,
            failures: 0,
            created_at: now,
        };
        self.memory.schedule_add(AddSchedule { schedule, conflict: ConflictPolicy::Error }).await.expect("a new id");
        id
    }

    async fn play(self) -> Course {
        let world = &self;
        join_all((0..world.script.hosts).map(|host| world.start(host))).await;
        let submits = world.script.submits.iter().map(|(at, task)| async move {
            world.timeline.sleep(*at).await;
            world.submit(TaskId::new(TASKS[*task].0).expect("an id")).await;
        });
        let versioned = world.script.versioned.iter().map(|at| async move {
            world.timeline.sleep(*at).await;
            world.submit(versioned()).await;
        });
        let changes = world.script.changes.iter().map(|(at, change)| async move {
            world.timeline.sleep(*at).await;
            world.versions.change(*change, world.wall.now(), &world.history).await;
        });
        let cancels = world.script.cancels.iter().map(|at| async move {
            world.timeline.sleep(*at).await;
            world.cancel().await;
        });
        let faults = world.script.faults.iter().map(|(at, fault)| async move {
            world.timeline.sleep(*at).await;
            world.inject(*fault).await;
        });
        let all_of_it = async {
            tokio::join!(
                join_all(submits),
                join_all(versioned),
                join_all(changes),
                join_all(cancels),
                join_all(faults)
            );
            let left = TROUBLE.saturating_sub(world.timeline.now());
            world.timeline.sleep(left).await;
        };
        tokio::join!(all_of_it, world.watch_fires());
        world.network.calm_down();
        world.timeline.sleep(10 * SECOND).await;
        world.check_schedules().await;
        world.end_schedules().await;
        world.wait_for_the_end().await;
        world.check_jobs().await;
        self.history.end()
    }

    /// Starts the scheduler of that place, and tries until it runs.
    async fn start(&self, number: usize) {
        let ahead = self.script.ahead[number];
        let wall = if self.script.is_server { Wall::new(&self.timeline, ahead) } else { self.wall.clone() };
        let process = ProcessClock::new(&self.timeline, &wall);
        let store = Arc::clone(&self.damaged) as Arc<dyn Store>;
        let link = Arc::new(Link::new(store, Arc::clone(&self.network), process.clone()));
        self.hosts()[number] = Some(Host { process: process.clone(), link: Arc::clone(&link), handle: None });
        let clock: Arc<dyn host::clock::Clock> = Arc::new(process.clone());
        let random = fastrand::Rng::with_seed(self.seed ^ number as u64);
        let store = guarded(link, Arc::clone(&clock), random);
        let of_it = TASKS.iter().take(self.script.abilities[number]);
        let functions = of_it.map(|(name, _)| TaskName::new(name).expect("a name")).collect();
        let has_company = self.script.hosts > 1;
        let history = self.history.clone();
        let overlapping = self.schedules.iter().zip(&self.script.policies);
        let overlapping = overlapping.filter(|(_, policy)| **policy != Overlap::Queue).map(|(id, _)| id.clone());
        let attempts = Attempts {
            history,
            process: process.clone(),
            seed: self.seed,
            has_company,
            functions,
            overlapping: overlapping.collect(),
        };
        let attempts: Arc<dyn Executor> = Arc::new(attempts);
        let plugins: Arc<dyn Executor> = Arc::new(Plugins(Arc::clone(&attempts)));
        let parts = Parts {
            store,
            broker: Arc::clone(&self.broker) as Arc<dyn host::broker::Broker>,
            executors: Executors::default()
                .with(Executors::INLINE.parse().expect("a name"), attempts)
                .with(Executors::WASM.parse().expect("a name"), plugins),
            time: Arc::new(StoreClock::new(clock)),
        };
        let identity = format!("host {number}").parse().expect("an identity");
        let options = Options {
            max_concurrent_jobs: 4,
            lease_duration: LEASE,
            drain_timeout: DRAIN,
            cancel_grace: GRACE,
            take_ahead: self.script.take_ahead,
            poll_interval: self.script.poll_interval,
            has_lease_thread: false,
            ..Options::new(identity)
        };
        if !self.network.is_up() {
            // It cannot know for how long the others were not heard, and leaves them a third of a lease.
            self.history.disturbed();
        }
        loop {
            match Scheduler::start(parts.clone(), options.clone()).await {
                Ok(handle) => {
                    self.history.note(format_args!("host {number} runs"));
                    if let Some(host) = &mut self.hosts()[number] {
                        host.handle = Some(handle);
                    }
                    return;
                }
                Err(error) => self.history.note(format_args!("host {number} does not start: {error}")),
            }
            self.timeline.sleep(SECOND / 2).await;
        }
    }

    async fn submit(&self, task_id: TaskId) {
        let row = self.memory.task_get(&task_id).await.expect("it answers").expect("it exists");
        let now = self.wall.now();
        let id = self.ids.lock().unwrap_or_else(PoisonError::into_inner).next(now);
        let job =
            JobSpec::direct(id, task_id, Payload::no_args(), row.task.resolved().for_job(&Payload::no_args()), now);
        self.memory.job_add(vec![job]).await.expect("the store takes a job");
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        self.history.note(format_args!("{id} is submitted"));
    }

    fn some_job(&self) -> Option<JobId> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.last().copied()
    }

    async fn cancel(&self) {
        let Some(id) = self.some_job() else { return };
        self.history.note(format_args!("{id} is cancelled"));
        let _whatever_it_was = self.memory.job_cancel(id, None, self.wall.now()).await;
    }

    /// Looks at every fire as it is made.
    async fn watch_fires(&self) {
        let mut known = BTreeSet::new();
        while self.timeline.now() < TROUBLE {
            self.timeline.sleep(SECOND).await;
            for job in self.all_jobs().await {
                if known.insert(job.spec.id)
                    && job.spec.scheduled_fire_time.is_some_and(|fire| fire > self.wall.latest())
                {
                    self.history.violation(format_args!("before its time: {job:?}"));
                }
            }
        }
    }

    async fn inject(&self, fault: Fault) {
        self.history.note(format_args!("{fault:?}"));
        match fault {
            Fault::Crash { host, back_after } => {
                let Some(Host { process, handle, .. }) = self.take_host(host) else { return };
                self.history.disturbed();
                process.set_power(Power::Dead);
                drop(handle);
                self.timeline.sleep(back_after).await;
                self.start(host).await;
            }
            Fault::Stop { host, span, is_taking } => {
                let found = self.with_host(host, |host| (host.process.clone(), Arc::clone(&host.link)));
                let Some((process, link)) = found else { return };
                self.history.disturbed();
                if is_taking {
                    link.stop_after_taking(true);
                    self.submit(TaskId::new(TASKS[0].0).expect("an id")).await;
                    self.timeline.sleep(self.script.poll_interval).await;
                    link.stop_after_taking(false);
                }
                process.set_power(Power::Stopped);
                self.timeline.sleep(span).await;
                process.set_power(Power::Runs);
                self.history.goes_on(&process);
                self.history.settled().await;
            }
            Fault::Partition { host, span } => {
                let Some(link) = self.with_host(host, |host| Arc::clone(&host.link)) else { return };
                self.history.disturbed();
                link.connect(false);
                self.timeline.sleep(span).await;
                link.connect(true);
            }
            Fault::LateAnswers { host, late, moment, span } => {
                let Some(link) = self.with_host(host, |host| Arc::clone(&host.link)) else { return };
                self.history.disturbed();
                link.hear(false);
                self.timeline.sleep(late).await;
                link.hear(true);
                self.timeline.sleep(moment).await;
                self.history.disturbed();
                link.connect(false);
                self.timeline.sleep(span).await;
                link.connect(true);
            }
            Fault::Restart { host } => {
                let Some(Host { process, handle: Some(handle), .. }) = self.take_host(host) else { return };
                let began = self.timeline.now();
                let was_well = self.network.is_well();
                let report = handle.stop().await;
                if report.left_behind > 0 || !was_well || !self.network.is_well() {
                    // What it runs ends with the process, and what it has asked for may take effect when nobody is there any more.
                    self.history.disturbed();
                }
                let took = self.timeline.now() - began;
                self.history.note(format_args!("host {host} has stopped within {took:?}: {report:?}"));
                let was_stopped = self
                    .script
                    .faults
                    .iter()
                    .any(|(_, other)| matches!(other, Fault::Stop { host: of, .. } if *of == host));
                if took > DRAIN + GRACE + STOPPED_WITHIN && !was_stopped {
                    self.history.violation(format_args!("stopping took {took:?}"));
                }
                process.set_power(Power::Dead);
                self.start(host).await;
            }
            Fault::ServerStops { span, is_giving } => {
                if is_giving {
                    self.network.stop_after_giving(true);
                    self.submit(TaskId::new(TASKS[0].0).expect("an id")).await;
                    self.timeline.sleep(self.script.poll_interval).await;
                    self.network.stop_after_giving(false);
                }
                self.network.set_up(false);
                self.timeline.sleep(span).await;
                self.network.set_up(true);
            }
            Fault::HostClock { host, seconds } => {
                let Some(wall) = self.with_host(host, |host| host.process.wall.clone()) else { return };
                wall.step(seconds * 1_000_000);
            }
            Fault::StoreClock { seconds, is_asked: false } => self.wall.step(seconds * 1_000_000),
            Fault::StoreClock { seconds, is_asked: true } => {
                self.network.step_after_asking(&self.wall, seconds * 1_000_000);
            }
            Fault::DamagedJob => {
                let Some(id) = self.some_job() else { return };
                self.damaged.damage().jobs.insert(id, Defect::damaged("a bit has changed"));
                self.spoilt_jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            }
            Fault::DamagedSchedule => {
                let Some(id) = self.schedules.last().cloned() else { return };
                self.damaged.damage().schedules.insert(id.clone(), Defect::damaged("a bit has changed"));
                self.spoilt_schedules.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            }
            Fault::DamagedTask => {
                let (name, _) = TASKS[TASKS.len() - 1];
                let id = TaskId::new(name).expect("an id");
                self.damaged.damage().tasks.insert(id, Defect::damaged("a bit has changed"));
            }
            Fault::RefusedFire => {
                let Some(id) = self.schedules.last().cloned() else { return };
                self.damaged.damage().refused_fires.insert(id.clone(), Refusal::Rejected);
                self.spoilt_schedules.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            }
        }
    }

    fn hosts(&self) -> std::sync::MutexGuard<'_, Vec<Option<Host>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a scheduler that runs from its place.
    fn take_host(&self, number: usize) -> Option<Host> {
        let mut hosts = self.hosts();
        let runs = hosts[number].as_ref().is_some_and(|host| host.handle.is_some());
        if runs { hosts[number].take() } else { None }
    }

    fn with_host<R>(&self, number: usize, look: impl FnOnce(&Host) -> R) -> Option<R> {
        self.hosts()[number].as_ref().filter(|host| host.handle.is_some()).map(look)
    }

    async fn all_jobs(&self) -> Vec<Job> {
        jobs_of(&*self.memory).await
    }

    /// Every due time up to now has made its job, unless the policy of the schedule was against it.
    async fn check_schedules(&self) {
        let spoilt = self.spoilt_schedules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut fires: BTreeMap<ScheduleId, Vec<Timestamp>> = BTreeMap::new();
        for job in self.all_jobs().await {
            if let (Some(id), Some(at)) = (job.spec.schedule_id, job.spec.scheduled_fire_time) {
                fires.entry(id).or_default().push(at);
            }
        }
        for (number, (id, seconds)) in self.schedules.iter().zip(&self.script.intervals).enumerate() {
            let makes_all =
                self.script.policies[number] == Overlap::Queue && self.script.coalesce[number] == Coalesce::All;
            let stored = self.memory.schedule_get(id).await.expect("it answers").expect("it is there");
            let mut made = fires.remove(id).unwrap_or_default();
            made.sort();
            let interval = Duration::from_secs(u64::from(*seconds));
            let expected: Vec<Timestamp> =
                (0..).take(made.len()).map(|n: u32| stored.created_at.saturating_add(interval * n)).collect();
            if makes_all && made != expected {
                self.history.violation(format_args!("{id} has fired at {made:?}"));
            }
            let jobs = self.all_jobs().await;
            for fault in ledger::faults(&*self.memory, &stored, interval, &jobs).await {
                self.history.violation(format_args!("{id}: {fault}"));
            }
            let is_late = stored.next_fire_time.is_none_or(|next| next.saturating_add(3 * SECOND) < self.wall.now());
            if spoilt.contains(id) {
                if is_late && !matches!(stored.pause, Some(Pause::Failed(_))) {
                    self.history.violation(format_args!("{id} cannot fire and is not paused: {stored:?}"));
                }
            } else if is_late || stored.pause.is_some() {
                self.history.violation(format_args!("{id} does not go on: {stored:?}"));
            }
        }
    }

    async fn end_schedules(&self) {
        self.damaged.damage().refused_fires.clear();
        for id in &self.schedules {
            let _paused_already =
                self.memory.schedule_pause(PauseSchedule { id: id.clone(), reason: Pause::Asked }).await;
        }
    }

    async fn wait_for_the_end(&self) {
        let end = self.timeline.now() + ENDED_WITHIN;
        while self.timeline.now() < end {
            if self.all_jobs().await.iter().all(|job| job.state == JobState::Finished) {
                break;
            }
            self.timeline.sleep(SECOND).await;
        }
        let hosts: Vec<Handle> = self.hosts().iter_mut().flatten().filter_map(|host| host.handle.take()).collect();
        let began = self.timeline.now();
        join_all(hosts.into_iter().map(Handle::stop)).await;
        let took = self.timeline.now() - began;
        if took > DRAIN + GRACE + STOPPED_WITHIN {
            self.history.violation(format_args!("stopping took {took:?} in the end"));
        }
    }

    async fn check_jobs(&self) {
        let spoilt = self.spoilt_jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let disturbances = self.history.disturbances();
        for job in self.all_jobs().await {
            let id = job.spec.id;
            if job.state != JobState::Finished {
                self.history.violation(format_args!("it does not end: {job:?}"));
            }
            if job.crashes > disturbances {
                self.history.violation(format_args!("more crashes than there were: {job:?}"));
            }
            if job.outcome == Some(Outcome::Abandoned) && job.crashes <= job.spec.settings.crash_retries {
                self.history.violation(format_args!("abandoned without a crash: {job:?}"));
            }
            let version = self.history.version_of(id);
            if version.is_some() && job.plugin_digest != version {
                self.history.violation(format_args!("it has begun with another version: {job:?}"));
            }
            if job.outcome == Some(Outcome::DeserializationFailed) && !spoilt.contains(&id) {
                self.history.violation(format_args!("it can be read: {job:?}"));
            }
        }
        for row in self.memory.task_list().await.expect("it answers").rows {
            if row.running_jobs != 0 {
                self.history.violation(format_args!("{} counts {} running jobs", row.task.id, row.running_jobs));
            }
        }
        let stopped = self.history.stopped_for_leases();
        if stopped > 0 && !self.script.faults.iter().any(|(_, fault)| fault.may_cost_leases()) {
            self.history
                .violation(format_args!("{stopped} attempts were stopped for their leases, and nothing was away"));
        }
        // Jobs of a task that is damaged end without an attempt.
        if self.history.begun() == 0 && self.damaged.damage().tasks.is_empty() {
            self.history.violation("nothing ran at all");
        }
    }
}
