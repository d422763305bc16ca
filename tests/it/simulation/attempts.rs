//! What the jobs of a run do: how long they take, whether they fail, and whether they stop when they are asked to. All of it follows from the
//! seed and the job.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use host::clock::Clock as _;
use host::executor::{Executor, Finished, Invocation, Offers, Retry, RunControl, Verdict};
use host::model::{ErrorKind, JobError, Payload, ScheduleId, TaskName};

use super::history::History;
use super::machine::ProcessClock;
use super::script::TASKS;

/// What the schedulers of a process run jobs with.
pub(super) struct Attempts {
    pub(super) history: History,
    pub(super) process: ProcessClock,
    pub(super) seed: u64,
    /// Whether there are other schedulers.
    pub(super) has_company: bool,
    /// The tasks whose functions it has.
    pub(super) functions: Vec<TaskName>,
    /// The schedules whose jobs may take longer than their intervals.
    pub(super) overlapping: BTreeSet<ScheduleId>,
}

#[async_trait]
impl Executor for Attempts {
    async fn run(&self, invocation: Invocation, control: RunControl) -> Finished {
        let job = &invocation.job;
        let name = job.spec.task_id.as_str();
        // What a job does follows from the job, not from who runs it when.
        let of_job = job.spec.id.to_string().bytes().fold(self.seed, |sum, byte| sum.rotate_left(7) ^ u64::from(byte));
        let mut random = fastrand::Rng::with_seed(of_job.wrapping_add(u64::from(job.attempt)));
        // Code may have to be loaded before it can begin.
        if random.u8(0..4) == 0 {
            let load = Duration::from_millis(random.u64(0..2_000));
            tokio::select! {
                biased;
                () = control.kill.cancelled() => {}
                () = self.process.sleep(load) => {}
            }
        }
        if !control.may_begin.ask() {
            return Finished::of(Verdict::Cancelled);
        }
        if let Some(plugin) = &invocation.runnable.plugin {
            self.history.runs_version(job.spec.id, plugin.digest);
        } else if !self.functions.iter().any(|function| function.as_str() == name) {
            self.history.violation(format_args!("{} of {name} is run by a worker that cannot", job.spec.id));
        }
        let most = TASKS.iter().find(|(task, _)| *task == name).and_then(|(_, most)| *most);
        let is_scheduled = job.spec.schedule_id.is_some();
        let may_overlap = job.spec.schedule_id.as_ref().is_some_and(|id| self.overlapping.contains(id));
        let is_long = random.u8(0..6) == 0;
        let millis_max = match (is_scheduled, may_overlap) {
            (_, true) => 20_000,
            (true, false) => 500,
            (false, false) if is_long => 24_000,
            (false, false) => 8_000,
        };
        let span = Duration::from_millis(random.u64(0..millis_max));
        let (fails, is_deaf) = (random.u8(0..10) == 0, random.u8(0..10) == 0);
        // Code that nobody can stop, such as one that holds its thread.
        let is_stuck = !is_scheduled && !is_long && random.u8(0..8) == 0;
        let span = if is_stuck { 3 * span } else { span };
        let most = most.map(|most| most as usize);
        let _running =
            self.history.begin(job.spec.id, &job.spec.task_id, most, is_stuck && self.has_company, &self.process);
        let mut works = pin!(self.process.sleep(span));
        let mut asked_at = None;
        let verdict = loop {
            tokio::select! {
                biased;
                () = control.kill.cancelled(), if !is_stuck => {
                    // Whoever has asked nicely gives it a while.
                    if asked_at.is_none_or(|at| at == self.process.timeline.now()) {
                        self.history.stopped_for_its_lease(job.spec.id);
                    }
                    break Verdict::Cancelled;
                }
                () = control.cancel.cancelled(), if asked_at.is_none() && !is_stuck => {
                    asked_at = Some(self.process.timeline.now());
                    if !is_deaf {
                        break Verdict::Cancelled;
                    }
                }
                () = &mut works => {
                    break if fails {
                        let error = JobError::new(ErrorKind::GuestError, "no luck");
                        Verdict::Failure { error, retry: Retry::Backoff }
                    } else {
                        Verdict::Success(Payload::no_args())
                    };
                }
            }
        };
        Finished::of(verdict)
    }

    fn offers(&self) -> Offers {
        Offers::Functions(self.functions.clone())
    }
}

/// Runs those of plugins in the same way.
pub(super) struct Plugins(pub(super) Arc<dyn Executor>);

#[async_trait]
impl Executor for Plugins {
    async fn run(&self, invocation: Invocation, control: RunControl) -> Finished {
        self.0.run(invocation, control).await
    }

    fn offers(&self) -> Offers {
        Offers::Plugins
    }
}
