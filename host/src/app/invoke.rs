//! One attempt of a task straight from a file: no store, the limits of production, and a report.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::arguments::Callee;
use super::error::candidates;
use super::grants::check_grants;
use super::{AppError, AppResult, Arguments, check_settings};
use crate::clock::Clock;
use crate::config::Caps;
use crate::executor::{
    Executor, Finished, Inspection, Invocation, Limits, MayBegin, PluginInspector, Report, RunControl, Runnable,
    RunnablePlugin,
};
use crate::model::{
    Grant, Job, JobIdSource, JobSpec, JobState, LogLine, Payload, PluginName, Progress, SchedulerId, Settings, Target,
    TaskDeclaration, TaskId,
};

/// A sandbox that holds one component.
pub struct Sandbox {
    /// What looks into the component.
    pub inspector: Arc<dyn PluginInspector>,
    /// What runs it; it can fetch the component by its digest.
    pub executor: Arc<dyn Executor>,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where the random bits of ids come from.
    pub random: fastrand::Rng,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Invoke {
    /// What the plugin is to be called.
    pub name: PluginName,
    /// A WebAssembly component of at most `limits::COMPONENT_BYTES_MAX`.
    pub component: Vec<u8>,
    /// The task, by the name its author gave it, or as `plugin:task`.
    pub task: String,
    /// Compared with the task's schema, unless `unchecked` is set.
    pub args: Arguments,
    /// Hand the arguments to the task as they are, without comparing them with its schema.
    pub unchecked: bool,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// Settings over those the author declared.
    pub settings: Settings,
    /// The layer below the author's.
    pub task_defaults: Settings,
    /// What it may not exceed.
    pub caps: Caps,
}

/// How it went.
#[derive(Debug, Clone)]
pub struct InvokeReport {
    /// What the component is and offers.
    pub inspection: Inspection,
    /// The task that ran.
    pub task: TaskDeclaration,
    /// What it could use.
    pub limits: Limits,
    /// How it ended, and what it cost.
    pub finished: Finished,
    /// What it wrote.
    pub lines: Vec<LogLine>,
    /// The last that it said of its progress.
    pub progress: Option<Progress>,
}

/// How long a guest that was asked to stop may take for it.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// Runs one attempt of a task and reports. When `cancel` fires, the attempt is asked to stop, and stopped a second later.
///
/// # Errors
/// [`AppError::Invalid`] where the component, the settings or the arguments are not acceptable, [`AppError::NotFound`] where it has no such task. That the
/// task fails is no error of this operation.
pub async fn invoke(sandbox: &Sandbox, request: Invoke, cancel: CancellationToken) -> AppResult<InvokeReport> {
    check_settings(&request.settings, &request.caps)?;
    check_grants(&request.grants)?;
    let inspection = sandbox.inspector.inspect(request.component.clone(), &request.grants).await?;
    let task = find_task(&request, &inspection)?;
    let settings = request.settings.over(&task.settings).over(&request.task_defaults);
    let callee = Callee {
        name: task.name.as_str(),
        is_stored: false,
        schema: task.args_schema.as_deref(),
        unchecked: request.unchecked,
    };
    let args = request.args.payload(callee, &request.caps)?;
    let job = job_of(sandbox, &request, &task, args, &settings);
    let limits = Limits::of(&job.spec.settings, &request.caps);
    let invocation = Invocation {
        started_at: job.spec.created_at,
        job: Arc::new(job),
        runnable: Arc::new(Runnable {
            target: Target::Plugin { plugin: request.name.clone(), function: task.name.clone() },
            plugin: Some(RunnablePlugin {
                name: request.name.clone(),
                digest: inspection.digest,
                grants: Arc::from(request.grants.clone()),
            }),
        }),
        limits,
        scheduler_id: identity()?,
    };
    tracing::debug!(task.id = %invocation.job.spec.task_id, "attempt begins");
    let (reports, mut said) = mpsc::channel(256);
    let kill = CancellationToken::new();
    let control = RunControl { may_begin: MayBegin::default(), cancel: cancel.clone(), kill: kill.clone(), reports };
    let (mut lines, mut progress) = (Vec::new(), None);
    let listen = async {
        while let Some(report) = said.recv().await {
            match report {
                Report::Line(line) => lines.push(line),
                Report::Progress(latest) => progress = Some(latest),
            }
        }
    };
    // The executor drops its end of the channel when it is done, which ends the listening; the guard of the kill token ends the third.
    let done = CancellationToken::new();
    let run = async {
        let finished = sandbox.executor.run(invocation, control).await;
        done.cancel();
        finished
    };
    let (finished, (), ()) = tokio::join!(run, listen, kill_after_grace(sandbox, &cancel, &kill, &done));
    Ok(InvokeReport { inspection, task, limits, finished, lines, progress })
}

async fn kill_after_grace(
    sandbox: &Sandbox,
    cancel: &CancellationToken,
    kill: &CancellationToken,
    done: &CancellationToken,
) {
    tokio::select! {
        () = done.cancelled() => return,
        () = cancel.cancelled() => {}
    }
    tokio::select! {
        () = done.cancelled() => {}
        () = sandbox.clock.sleep(CANCEL_GRACE) => kill.cancel(),
    }
}

fn find_task(request: &Invoke, inspection: &Inspection) -> AppResult<TaskDeclaration> {
    let prefix = format!("{}:", request.name);
    let name = request.task.strip_prefix(&prefix).unwrap_or(&request.task);
    inspection.tasks.iter().find(|task| task.name.as_str() == name).cloned().ok_or_else(|| {
        let known = inspection.tasks.iter().map(|task| task.name.as_str());
        AppError::not_found("task", &request.task).with_hint(format!("tasks: {}", candidates(name, known)))
    })
}

fn job_of(sandbox: &Sandbox, request: &Invoke, task: &TaskDeclaration, args: Payload, settings: &Settings) -> Job {
    let now = sandbox.clock.now();
    let id = JobIdSource::new(sandbox.random.clone()).next(now);
    let task_id = TaskId::of_plugin(&request.name, &task.name);
    let spec = JobSpec::direct(id, task_id, args.clone(), super::jobs::job_settings(settings, &args), now);
    Job { state: JobState::Running, attempt: 1, started_at: Some(now), ..Job::queued(spec) }
}

fn identity() -> AppResult<SchedulerId> {
    SchedulerId::new("invoke").map_err(|error| AppError::unexpected("the identity is not valid", error))
}
