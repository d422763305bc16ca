//! What the sandbox costs beside the bare loop that it cannot beat: a fresh store, WASI, instance and one call of the same
//! plugin, with the same engine settings, in the same run.
//!
//! `cargo bench -p tests --bench sandbox`; the ratio is what counts, the absolute figures are the machine's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use host::clock::{Clock as _, SystemClock};
use host::executor::wasm::{WasmExecutor, WasmOptions};
use host::executor::{
    Executor as _, Invocation, Limits, MayBegin, PluginInspector as _, PluginSource, RunControl, Runnable,
    RunnablePlugin, Verdict,
};
use host::model::{
    Backoff, Digest, Job, JobIdSource, JobSettings, JobSpec, JobState, Metadata, Payload, PluginName, QueueName,
    SchedulerId, Target, TaskId, TaskName,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod bare_loop;

use bare_loop::{BareLoop, round};

/// Jobs of one round, and rounds; the best round counts, because other work on the machine only ever slows one down.
const JOBS: usize = 20_000;
const ROUNDS: usize = 5;
/// Jobs that are under way at the same time.
const PARALLEL: usize = 16;
const TASK: &str = "noop";

struct Nothing;

#[async_trait::async_trait]
impl PluginSource for Nothing {
    async fn plugin_bytes(&self, _digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
}

fn main() -> anyhow::Result<()> {
    let bytes = std::fs::read(tests::artifacts::plugin("noop"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bare = Arc::new(BareLoop::new(&bytes)?);
    let source: Arc<dyn PluginSource> = Arc::new(Nothing);
    let executor = Arc::new(WasmExecutor::new(WasmOptions::new(source, Arc::new(SystemClock)))?);
    let digest = runtime.block_on(executor.inspect(bytes, &[]))?.digest;

    println!("{JOBS} jobs of the plugin `noop`, best of {ROUNDS} rounds");
    for parallel in [1, PARALLEL] {
        let mut best: HashMap<&str, Duration> = HashMap::new();
        for _ in 0..ROUNDS {
            let lane = Arc::clone(&bare);
            let bare_time = runtime.block_on(round(JOBS, parallel, move || {
                let bare = Arc::clone(&lane);
                async move { bare.job(TASK).await }
            }))?;
            let lane = Arc::clone(&executor);
            let ours = runtime.block_on(round(JOBS, parallel, move || {
                let executor = Arc::clone(&lane);
                async move { job(&executor, digest).await }
            }))?;
            for (name, time) in [("bare", bare_time), ("ours", ours)] {
                best.entry(name).and_modify(|best| *best = time.min(*best)).or_insert(time);
            }
        }
        let (bare, ours) = (best["bare"], best["ours"]);
        let per_second = |time: Duration| JOBS as f64 / time.as_secs_f64();
        println!(
            "{parallel:>3} at a time: bare loop {:>8.0}/s ({:.1} us each), sandbox {:>8.0}/s ({:.1} us each): {:.0} %",
            per_second(bare),
            bare.as_secs_f64() * 1e6 / JOBS as f64,
            per_second(ours),
            ours.as_secs_f64() * 1e6 / JOBS as f64,
            100.0 * bare.as_secs_f64() / ours.as_secs_f64(),
        );
    }
    Ok(())
}

async fn job(executor: &WasmExecutor, digest: Digest) -> anyhow::Result<()> {
    let (reports, _receiver) = mpsc::channel(16);
    let control = RunControl {
        may_begin: MayBegin::default(),
        cancel: CancellationToken::new(),
        kill: CancellationToken::new(),
        reports,
    };
    let finished = executor.run(invocation(digest), control).await;
    anyhow::ensure!(matches!(finished.verdict, Verdict::Success(_)), "the no-op failed: {:?}", finished.verdict);
    Ok(())
}

/// An invocation as the scheduler makes one; its cost counts, as it does there.
fn invocation(digest: Digest) -> Invocation {
    let plugin = PluginName::new("noop").expect("a name");
    let function = TaskName::new(TASK).expect("a name");
    let now = SystemClock.now();
    let limits = Limits {
        timeout: Duration::from_secs(300),
        fuel: host::model::limits::FUEL_DEFAULT,
        memory_bytes: 256 << 20,
        result_bytes: 1 << 20,
        log_bytes: 1 << 20,
        log_lines: 10_000,
        open_files: 64,
        http_connections: 16,
        http_body_bytes: 64 << 20,
    };
    let settings = JobSettings {
        executor: None,
        queue: QueueName::default(),
        concurrency_key: None,
        timeout: limits.timeout,
        fuel: limits.fuel,
        memory_bytes: limits.memory_bytes,
        max_attempts: 1,
        crash_retries: 1,
        backoff: Backoff::default(),
        priority: 0,
        result_ttl: Duration::from_secs(60),
        metadata: Metadata::default(),
    };
    let id = JobIdSource::new(fastrand::Rng::new()).next(now);
    let spec = JobSpec::direct(id, TaskId::of_plugin(&plugin, &function), Payload::no_args(), settings, now);
    let job = Job { state: JobState::Running, attempt: 1, ..Job::queued(spec) };
    let runnable = Runnable {
        target: Target::Plugin { plugin: plugin.clone(), function },
        plugin: Some(RunnablePlugin { name: plugin, digest, grants: Arc::from([]) }),
    };
    Invocation {
        job: Arc::new(job),
        runnable: Arc::new(runnable),
        limits,
        scheduler_id: SchedulerId::new("bench").expect("an id"),
        started_at: now,
    }
}
