//! The sandbox with real plugins in it.

mod answers;
mod bounds;
mod cache;
mod compiler;
mod faults;
mod fresh;
mod http;
mod http_limits;
mod inspect;
mod output;
mod rights;
mod stop;

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use host::clock::{Clock as _, SystemClock};
use host::executor::wasm::{WasmExecutor, WasmOptions};
use host::executor::{
    Executor as _, Finished, Invocation, Limits, MayBegin, PluginInspector as _, PluginSource, Report, RunControl,
    Runnable, RunnablePlugin, Verdict,
};
use host::model::{
    Digest, ErrorKind, Grant, Job, JobError, JobIdSource, JobSettings, JobSpec, JobState, LogLine, Payload, PluginName,
    SchedulerId, Target, TaskId, TaskName,
};
use serde_json::{Value, json};
use tests::factory::job_settings;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The bytes of the plugin `faults`, which does everything wrong.
static FAULTS: LazyLock<Vec<u8>> =
    LazyLock::new(|| fs::read(tests::artifacts::plugin("faults")).expect("a built plugin can be read"));

/// The compiled code that the tests share: what they are about is not the compiler, which takes a second in a test build.
static COMPILED: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

/// A store of plugins that counts how often it is asked.
#[derive(Default)]
struct Plugins {
    bytes: Mutex<HashMap<Digest, Vec<u8>>>,
    fetches: AtomicUsize,
}

#[async_trait::async_trait]
impl PluginSource for Plugins {
    async fn plugin_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        Ok(self.bytes.lock().expect("not poisoned").get(digest).cloned())
    }
}

/// A sandbox and the plugins it runs.
struct Sandbox {
    executor: WasmExecutor,
    plugins: Arc<Plugins>,
}

/// What is run, and how.
#[derive(Clone)]
struct Run {
    digest: Digest,
    task: String,
    args: Value,
    limits: Limits,
    grants: Vec<Grant>,
}

/// What came of it.
struct Ended {
    finished: Finished,
    reports: Vec<Report>,
}

const LIMITS: Limits = Limits {
    timeout: Duration::from_secs(20),
    fuel: 10_000_000_000,
    memory_bytes: 64 << 20,
    result_bytes: 1 << 20,
    log_bytes: 1 << 20,
    log_lines: 10_000,
    open_files: 64,
    http_connections: 4,
    http_body_bytes: 1 << 20,
    kv_bucket_bytes: 1 << 20,
};

impl Sandbox {
    fn new() -> Sandbox {
        Sandbox::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut WasmOptions)) -> Sandbox {
        let plugins = Arc::new(Plugins::default());
        let source: Arc<dyn PluginSource> = Arc::clone(&plugins) as _;
        let mut options = WasmOptions { concurrency: 16, ..WasmOptions::new(source, Arc::new(SystemClock)) };
        change(&mut options);
        Sandbox { executor: WasmExecutor::new(options).expect("a sandbox"), plugins }
    }

    /// A sandbox with the plugin `faults`, and its digest.
    async fn with_faults() -> (Sandbox, Digest) {
        let sandbox = Sandbox::with(|options| options.cache_dir = Some(COMPILED.path().join("cache")));
        let digest = sandbox.learn_faults().await;
        (sandbox, digest)
    }

    /// Adds the plugin `faults`, and answers its digest.
    async fn learn_faults(&self) -> Digest {
        self.learn(FAULTS.clone()).await
    }

    /// Adds a plugin, and answers its digest.
    async fn learn(&self, component: Vec<u8>) -> Digest {
        let inspection = self.executor.inspect(component.clone(), &[]).await.expect("a sound plugin");
        self.add(inspection.digest, component);
        inspection.digest
    }

    fn add(&self, digest: Digest, bytes: Vec<u8>) {
        self.plugins.bytes.lock().expect("not poisoned").insert(digest, bytes);
    }

    async fn run(&self, run: Run) -> Ended {
        self.run_with(run, CancellationToken::new(), CancellationToken::new()).await
    }

    async fn run_with(&self, run: Run, cancel: CancellationToken, kill: CancellationToken) -> Ended {
        let (sender, mut receiver) = mpsc::channel(64);
        let control = RunControl { may_begin: MayBegin::default(), cancel, kill, reports: sender };
        let reports = async {
            let mut reports = Vec::new();
            while let Some(report) = receiver.recv().await {
                reports.push(report);
            }
            reports
        };
        let (finished, reports) = tokio::join!(self.executor.run(run.invocation(), control), reports);
        Ended { finished, reports }
    }
}

impl Run {
    fn new(digest: Digest, task: &str, args: Value) -> Run {
        Run { digest, task: task.to_owned(), args, limits: LIMITS, grants: Vec::new() }
    }

    fn invocation(self) -> Invocation {
        let plugin = PluginName::new("faults").expect("a name");
        let function = TaskName::new(&self.task).expect("a name");
        let now = SystemClock.now();
        let id = JobIdSource::new(fastrand::Rng::new()).next(now);
        let task_id = TaskId::of_plugin(&plugin, &function);
        let spec = JobSpec::direct(id, task_id, Payload::json(&self.args), settings(&self.limits), now);
        let runnable = Runnable {
            target: Target::Plugin { plugin: plugin.clone(), function },
            plugin: Some(RunnablePlugin { name: plugin, digest: self.digest, grants: self.grants.into() }),
        };
        Invocation {
            job: Arc::new(running(spec)),
            runnable: Arc::new(runnable),
            limits: self.limits,
            scheduler_id: SchedulerId::new("test").expect("an id"),
            started_at: now,
        }
    }
}

fn settings(limits: &Limits) -> JobSettings {
    JobSettings { timeout: limits.timeout, fuel: limits.fuel, memory_bytes: limits.memory_bytes, ..job_settings() }
}

fn running(spec: JobSpec) -> Job {
    Job { state: JobState::Running, attempt: 1, ..Job::queued(spec) }
}

impl Ended {
    /// The result, read as JSON.
    fn value(&self) -> Value {
        match &self.finished.verdict {
            Verdict::Success(payload) => serde_json::from_slice(&payload.data).expect("a result is JSON"),
            other => panic!("no success: {other:?}"),
        }
    }

    fn error(&self) -> &JobError {
        match &self.finished.verdict {
            Verdict::Failure { error, .. } => error,
            other => panic!("no failure: {other:?}"),
        }
    }

    fn lines(&self) -> Vec<&LogLine> {
        let lines = self.reports.iter().filter_map(|report| match report {
            Report::Line(line) => Some(line),
            Report::Progress(_) => None,
        });
        lines.collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_run_with_its_arguments_and_every_attempt_has_a_fresh_instance() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let ended = sandbox.run(Run::new(digest, "echo", json!({"value": [1, {"two": 2}]}))).await;
    assert_eq!(ended.value(), json!([1, {"two": 2}]));
    assert!(ended.finished.usage.fuel > 0 && ended.finished.usage.peak_memory_bytes > 0);
    for _ in 0..20 {
        assert_eq!(sandbox.run(Run::new(digest, "fresh", json!({}))).await.value(), json!(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_the_plugin_does_not_have_fails_for_good() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let ended = sandbox.run(Run::new(digest, "nothing-of-that-name", json!({}))).await;
    assert_eq!(ended.error().kind, ErrorKind::GuestError);
}

/// A job of no plugin with these arguments, for tests of other executors.
pub(crate) fn native_invocation(args: Value) -> Invocation {
    Run::new(Digest::from_bytes([0; 32]), "native", args).invocation()
}
