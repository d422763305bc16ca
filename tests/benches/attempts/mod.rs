//! Attempts in the sandbox as a scheduler makes them, without one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use host::clock::{Clock as _, SystemClock};
use host::executor::wasm::{WasmExecutor, WasmOptions};
use host::executor::{
    Executor as _, Finished, Invocation, Limits, MayBegin, PluginInspector as _, PluginSource, RunControl, Runnable,
    RunnablePlugin,
};
use host::model::{
    Digest, Encoding, Job, JobIdSource, JobSettings, JobSpec, JobState, Payload, PluginName, SchedulerId, Target,
    TaskId, TaskName,
};
use tests::factory::job_settings;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Every plugin stays in memory, where registering it has put it.
struct Nothing;

#[async_trait::async_trait]
impl PluginSource for Nothing {
    async fn plugin_bytes(&self, _digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
}

/// A sandbox with one of the example plugins.
pub(crate) struct Sandboxed {
    executor: WasmExecutor,
    plugin: PluginName,
    digest: Digest,
}

impl Sandboxed {
    /// Compiles the plugin.
    pub(crate) async fn new(plugin: &str) -> anyhow::Result<Sandboxed> {
        let bytes = std::fs::read(tests::artifacts::plugin(plugin))?;
        let source: Arc<dyn PluginSource> = Arc::new(Nothing);
        let options = WasmOptions { concurrency: 200, ..WasmOptions::new(source, Arc::new(SystemClock)) };
        let executor = WasmExecutor::new(options)?;
        let digest = executor.inspect(bytes, &[]).await?.digest;
        Ok(Sandboxed { executor, plugin: PluginName::new(plugin).context("a name")?, digest })
    }

    /// Runs one attempt of a task to its end, or until `kill`.
    pub(crate) async fn run(&self, task: &str, args: &str, kill: &CancellationToken) -> anyhow::Result<Finished> {
        let (reports, mut said) = mpsc::channel(256);
        let control = RunControl {
            may_begin: MayBegin::default(),
            cancel: CancellationToken::new(),
            kill: kill.clone(),
            reports,
        };
        let invocation = self.invocation(task, args)?;
        let reader = async { while said.recv().await.is_some() {} };
        let (finished, ()) = futures_util::future::join(self.executor.run(invocation, control), reader).await;
        Ok(finished)
    }

    /// An invocation as the scheduler makes one; its cost counts, as it does there.
    fn invocation(&self, task: &str, args: &str) -> anyhow::Result<Invocation> {
        let function = TaskName::new(task).context("a name")?;
        let now = SystemClock.now();
        let limits = Limits {
            timeout: Duration::from_secs(300),
            fuel: host::model::limits::FUEL_DEFAULT,
            memory_bytes: 64 << 20,
            result_bytes: 1 << 20,
            log_bytes: 1 << 20,
            log_lines: 10_000,
            open_files: 64,
            http_connections: 16,
            http_body_bytes: 64 << 20,
            kv_bucket_bytes: 16 << 20,
        };
        let settings = JobSettings {
            timeout: limits.timeout,
            fuel: limits.fuel,
            memory_bytes: limits.memory_bytes,
            ..job_settings()
        };
        let id = JobIdSource::new(fastrand::Rng::new()).next(now);
        let task_id = TaskId::of_plugin(&self.plugin, &function);
        let args = Payload { encoding: Encoding::Json, data: args.as_bytes().into() };
        let spec = JobSpec::direct(id, task_id, args, settings, now);
        let job = Job { state: JobState::Running, attempt: 1, ..Job::queued(spec) };
        let runnable = Runnable {
            target: Target::Plugin { plugin: self.plugin.clone(), function },
            plugin: Some(RunnablePlugin { name: self.plugin.clone(), digest: self.digest, grants: Arc::from([]) }),
        };
        Ok(Invocation {
            job: Arc::new(job),
            runnable: Arc::new(runnable),
            limits,
            scheduler_id: SchedulerId::new("bench").context("an id")?,
            started_at: now,
        })
    }
}
