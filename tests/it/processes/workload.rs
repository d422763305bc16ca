//! Random work of every kind on a store, and what was acknowledged of it, a line each.
//!
//! | line | what the store must show from then on |
//! |---|---|
//! | `job ID` | there is such a job |
//! | `running ID ATTEMPT` | it has begun so many attempts or, where one was given back, ended one less |
//! | `ended ID ATTEMPT` | it is finished with that attempt or a later one, unless it was reopened |
//! | `attempt ID ATTEMPT` | it has begun at least so many attempts |
//! | `asked ID` | it is running and asked to stop, or finished |
//! | `extended ID TOKEN TIME` | while that lease is on it, it lasts at least until then |
//! | `logged ID ATTEMPT SEQUENCE` | that line is in its log |
//! | `reopens ID` / `reopened ID ATTEMPT` | about to be put back into the queue / no longer finished with that attempt |
//! | `schedule ID` | there is such a schedule |
//! | `fired ID COUNT` | its trigger has made at least so many fires |
//! | `pauses ID` / `paused ID` / `unpaused ID` | about to be changed / the last of these two says what it is |
//! | `plugin NUMBER` | this version or a later one is current, and its bytes are there |
//!
//! Things that belong together name each other, so that a half of them shows: a result names the effects that were stored with it, an effect
//! names its job, the state of a trigger is the number of jobs that its fires have made, a plugin's only task is named after its version.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use host::model::{
    ErrorKind, Job, JobError, JobId, JobSpec, LeaseToken, LogLevel, LogLine, Outcome, Overlap, Pause, Payload,
    PluginName, ScheduleId, SchedulerId, Target, Task, TaskId, Timestamp,
};
use host::store::{
    AcquireJobs, AcquireSchedules, AfterFire, Cancelled, Effects, Ending, FireSchedule, Fired, Hold, JobReport,
    PauseSchedule, PutPlugin, ReleaseJob, ReleaseJobs, Store, StoreError, UnpauseSchedule,
};
use serde_json::json;
use tests::factory::{
    Factory, add, extend, plugin, release, schedule, schedule_id, scheduler, success, t, task, task_id,
};

/// The holder of every lease of the work.
pub(crate) fn holder() -> SchedulerId {
    scheduler("victim")
}

/// The plugin whose versions are put.
pub(crate) fn plugin_name() -> PluginName {
    PluginName::new("q").expect("valid")
}

/// The task of a version of that plugin.
pub(crate) fn plugin_task(number: usize) -> TaskId {
    task_id(&format!("q:v{number}"))
}

/// A version of that plugin: its component is `number` bytes long.
pub(crate) fn version(number: usize) -> PutPlugin {
    let mut offered = task(plugin_task(number).as_str(), None);
    if let Target::Plugin { plugin, .. } = &mut offered.target {
        *plugin = plugin_name();
    }
    let mut put = plugin(&vec![7; number], vec![Task { id: plugin_task(number), ..offered }]);
    put.version.name = plugin_name();
    put
}

/// A job that the work holds.
struct Held {
    id: JobId,
    token: LeaseToken,
    attempt: u32,
    lines: u32,
}

/// One who works.
pub(crate) struct Worker<S> {
    store: Arc<dyn Store>,
    make: Factory,
    /// Keeps the schedules of several workers apart.
    name: String,
    /// Where acknowledgements go.
    say: S,
    added: Vec<JobId>,
    held: Vec<Held>,
    schedules: Vec<ScheduleId>,
    /// A finished job without effects, and its attempt.
    finished: Option<(JobId, u32)>,
    steps: i64,
    versions: usize,
}

impl<S: Fn(String) -> Result<()>> Worker<S> {
    /// One whose work follows from `seed`.
    pub(crate) fn new(store: Arc<dyn Store>, seed: u64, say: S) -> Worker<S> {
        let (added, held, schedules) = (Vec::new(), Vec::new(), Vec::new());
        let name = format!("{seed:x}");
        let make = Factory::new(seed);
        Worker { store, make, name, say, added, held, schedules, finished: None, steps: 0, versions: 0 }
    }

    /// Does one thing, chosen at random. An error is one that the store must not answer.
    pub(crate) async fn step(&mut self) -> Result<()> {
        self.steps += 1;
        match self.make.below(16) {
            0..3 => self.add().await,
            3..5 => self.acquire().await,
            5 => self.extend().await,
            6 => self.report().await,
            7..10 => self.release().await,
            10 => self.cancel().await,
            11 => self.reopen().await,
            12 => self.add_schedule().await,
            13 => self.fire().await,
            14 => self.pause_or_unpause().await,
            _ => self.put_plugin().await,
        }
    }

    fn say(&self, line: String) -> Result<()> {
        (self.say)(line)
    }

    async fn add(&mut self) -> Result<()> {
        let jobs: Vec<JobSpec> =
            (0..=self.make.below(4)).map(|at| self.make.job(["p:two", "p:free"][at % 2])).collect();
        self.store.job_add(jobs.clone()).await?;
        self.added.extend(jobs.iter().map(|job| job.id));
        jobs.iter().try_for_each(|job| self.say(format!("job {}", job.id)))
    }

    async fn acquire(&mut self) -> Result<()> {
        let request = AcquireJobs { holder: holder(), ..self.make.acquire(1, 3) };
        let token = request.token;
        for Job { spec, attempt, .. } in self.store.job_acquire(request).await?.jobs {
            self.say(format!("running {} {attempt}", spec.id))?;
            self.held.push(Held { id: spec.id, token, attempt, lines: 0 });
        }
        Ok(())
    }

    async fn extend(&mut self) -> Result<()> {
        let request = extend(90 + self.steps, self.held.iter().map(|held| (held.id, held.token)).collect());
        let lease_until = request.now.saturating_add(request.lease);
        for extended in self.store.job_extend(request).await? {
            let held = self.held.iter().find(|held| held.id == extended.id).context("it was asked about")?;
            anyhow::ensure!(extended.hold != Hold::Lost, "the lease of {} is lost, and nobody took it", held.id);
            // Somebody cancelled it at that moment: it lasts as long as it did.
            if extended.hold == Hold::Busy {
                continue;
            }
            self.say(format!("extended {} {} {}", held.id, in_a_word(held.token), lease_until.as_micros()))?;
        }
        Ok(())
    }

    async fn report(&mut self) -> Result<()> {
        let Some(held) = self.held.last_mut() else { return Ok(()) };
        let (id, token, attempt, sequence) = (held.id, held.token, held.attempt, held.lines);
        held.lines += 1;
        let report = JobReport { id, token, lines: vec![line(attempt, sequence)], progress: None };
        self.store.job_report(vec![report]).await?;
        self.say(format!("logged {id} {attempt} {sequence}"))
    }

    async fn release(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let held = self.held.swap_remove(self.make.below(self.held.len()));
        let (id, attempt) = (held.id, held.attempt);
        let kind = self.make.below(5);
        let error = JobError::new(ErrorKind::GuestError, "again");
        let ending = match kind {
            0 | 1 => success(9_000),
            2 => Ending::Finished { outcome: Outcome::Error, result: None, error: Some(error), expires_at: t(9_000) },
            3 => Ending::Retry { due_at: t(5), error },
            _ => Ending::Requeued { not_before: None },
        };
        let mut released = ReleaseJob { lines: vec![line(attempt, held.lines)], ..release(id, held.token, ending) };
        let effects = (kind == 0).then(|| self.effects(&mut released));
        // A release whose answer was lost is answered `LeaseLost` when it is made again: stored it is in any case.
        self.store.job_release(ReleaseJobs { now: t(2), releases: vec![released] }).await?;
        self.say(format!("logged {id} {attempt} {}", held.lines))?;
        if let Some((job, schedule)) = effects {
            self.say(format!("job {job}"))?;
            self.say(format!("schedule {schedule}"))?;
            return self.say(format!("ended {id} {attempt}"));
        }
        match kind {
            1 | 2 => {
                self.finished = Some((id, attempt));
                self.say(format!("ended {id} {attempt}"))
            }
            3 => self.say(format!("attempt {id} {attempt}")),
            _ => Ok(()),
        }
    }

    /// Lets a release bring a job and a schedule with it.
    fn effects(&self, released: &mut ReleaseJob) -> (JobId, ScheduleId) {
        let args = Payload::json(&json!({ "parent": released.id.to_string() }));
        let job = JobSpec { args: args.clone(), ..self.make.job("p:free") };
        let due = host::model::Schedule { args, ..fresh(&format!("effect-{}", job.id)) };
        let (job_id, schedule_id) = (job.id, due.id.clone());
        let names = Payload::json(&json!({ "job": job_id.to_string(), "schedule": schedule_id.to_string() }));
        if let Ending::Finished { result, .. } = &mut released.ending {
            *result = Some(names);
        }
        released.effects = Effects { jobs: vec![job], schedules: vec![add(due)], ..Effects::default() };
        (job_id, schedule_id)
    }

    async fn cancel(&mut self) -> Result<()> {
        let Some(id) = self.added.pop() else { return Ok(()) };
        match self.store.job_cancel(id, None, t(1)).await? {
            Cancelled::Ended | Cancelled::AlreadyFinished => self.say(format!("ended {id} 0")),
            Cancelled::Asked => self.say(format!("asked {id}")),
        }
    }

    async fn reopen(&mut self) -> Result<()> {
        let Some((id, attempt)) = self.finished.take() else { return Ok(()) };
        self.say(format!("reopens {id}"))?;
        match self.store.job_retry(id, t(3)).await {
            Ok(_) => self.say(format!("reopened {id} {attempt}")),
            Err(error) => unknown(error),
        }
    }

    async fn add_schedule(&mut self) -> Result<()> {
        let due = fresh(&format!("{}-{}", self.name, self.steps));
        let id = due.id.clone();
        match self.store.schedule_add(add(due)).await {
            Ok(_) => {
                self.schedules.push(id.clone());
                self.say(format!("schedule {id}"))
            }
            Err(error) => unknown(error),
        }
    }

    /// Leases schedules that are due, and makes two fires of each but now and then one.
    async fn fire(&mut self) -> Result<()> {
        let request = AcquireSchedules { holder: holder(), ..self.make.acquire_schedules(1_000, 2) };
        let token = request.token;
        for leased in self.store.schedule_acquire(request).await?.schedules {
            if self.make.below(4) == 0 {
                continue;
            }
            let (id, made) = (leased.schedule.id, leased.schedule.trigger_state.parse::<i64>()?);
            let jobs: Vec<JobSpec> = (made..made + 2).map(|at| self.make.fired(id.as_str(), at)).collect();
            let fire = FireSchedule {
                id: id.clone(),
                token,
                jobs,
                trigger_state: (made + 2).to_string(),
                next_fire_time: Some(t(made + 2)),
                last_fire_time: Some(t(made + 1)),
                at: t(1_000),
                overlap: Overlap::default(),
                max_fires: None,
                continues: false,
                passed: None,
                then: AfterFire::Free,
            };
            // A lease that is lost was ended by a pause, or an answer was.
            if matches!(self.store.schedule_fire(vec![fire]).await?[..], [Fired::Stored { .. }]) {
                self.say(format!("fired {id} {}", made + 2))?;
            }
        }
        Ok(())
    }

    async fn pause_or_unpause(&mut self) -> Result<()> {
        if self.schedules.is_empty() {
            return Ok(());
        }
        let id = self.schedules[self.make.below(self.schedules.len())].clone();
        self.say(format!("pauses {id}"))?;
        if self.make.below(3) > 0 {
            self.store.schedule_pause(PauseSchedule { id: id.clone(), reason: Pause::Asked }).await?;
            return self.say(format!("paused {id}"));
        }
        match self.store.schedule_unpause(UnpauseSchedule { id: id.clone(), resume: None }).await {
            Ok(_) => self.say(format!("unpaused {id}")),
            Err(error) => unknown(error),
        }
    }

    async fn put_plugin(&mut self) -> Result<()> {
        self.versions += 1;
        let number = self.versions * 1_000;
        self.store.plugin_put(version(number)).await?;
        self.say(format!("plugin {number}"))
    }
}

/// A token in one word.
pub(crate) fn in_a_word(token: LeaseToken) -> String {
    token.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A schedule that has made no fires yet.
fn fresh(id: &str) -> host::model::Schedule {
    host::model::Schedule { id: schedule_id(id), trigger_state: "0".into(), ..schedule(id, 0) }
}

fn line(attempt: u32, sequence: u32) -> LogLine {
    let (target, message, fields) = ("victim".into(), format!("line {sequence}"), Vec::new());
    LogLine { attempt, sequence, at: Timestamp::EPOCH, level: LogLevel::Info, target, message, fields }
}

/// Calls that are not made again by the store's decorator may fail with a server; they are not acknowledged then.
fn unknown(error: StoreError) -> Result<()> {
    if error.is_transient() { Ok(()) } else { Err(error.into()) }
}
