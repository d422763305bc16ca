//! What the sandbox costs beside the bare loop that it cannot beat: a fresh store, WASI, instance and one call of the same
//! plugin, with the same engine settings, in the same run.
//!
//! `cargo bench -p tests --bench sandbox`; the ratio is what counts, the absolute figures are the machine's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host::clock::{Clock as _, Stopwatch, SystemClock};
use host::executor::wasm::{WasmExecutor, WasmOptions};
use host::executor::{
    Executor as _, Invocation, Limits, PluginInspector as _, PluginSource, RunControl, Runnable, RunnablePlugin,
    Verdict,
};
use host::model::{
    Backoff, Digest, Job, JobIdSource, JobSettings, JobSpec, JobState, Metadata, Payload, PluginName, SchedulerId,
    Target, TaskId, TaskName,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreLimits, StoreLimitsBuilder,
    UpdateDeadline,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

mod bare {
    wasmtime::component::bindgen!({ path: "../wit", world: "plugin", exports: { default: async }, imports: { default: trappable } });
}

/// Jobs of one round, and rounds; the best round counts, because other work on the machine only ever slows one down.
const JOBS: usize = 20_000;
const ROUNDS: usize = 5;
/// Jobs that are under way at the same time.
const PARALLEL: usize = 16;
const FUEL: u64 = 50_000_000_000;
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
            let bare_time = runtime.block_on(round(parallel, move || {
                let bare = Arc::clone(&lane);
                async move { bare.job().await }
            }))?;
            let lane = Arc::clone(&executor);
            let ours = runtime.block_on(round(parallel, move || {
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

/// Runs [`JOBS`] jobs, `parallel` at a time, each lane on a task of its own.
async fn round<F, R>(parallel: usize, job: F) -> anyhow::Result<Duration>
where
    F: Fn() -> R + Send + Sync + Clone + 'static,
    R: Future<Output = anyhow::Result<()>> + Send,
{
    let left = Arc::new(AtomicUsize::new(JOBS));
    let time = Stopwatch::start();
    let mut lanes = tokio::task::JoinSet::new();
    for _ in 0..parallel {
        let (left, job) = (Arc::clone(&left), job.clone());
        lanes.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                job().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    Ok(time.elapsed())
}

struct BareLoop {
    engine: Engine,
    plugin: bare::PluginPre<State>,
}

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: StoreLimits,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl BareLoop {
    fn new(bytes: &[u8]) -> anyhow::Result<BareLoop> {
        let mut pool = PoolingAllocationConfig::new();
        pool.max_unused_warm_slots(100).linear_memory_keep_resident(256 << 10).table_keep_resident(64 << 10);
        let mut config = Config::new();
        config
            .consume_fuel(true)
            .epoch_interruption(true)
            .concurrency_support(false)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config)?;
        let component = Component::from_binary(&engine, bytes)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        // The plugin does nothing, so none of the host's own functions is called.
        linker.define_unknown_imports_as_traps(&component)?;
        let plugin = bare::PluginPre::new(linker.instantiate_pre(&component)?)?;
        let ticker = engine.weak();
        std::thread::spawn(move || {
            while let Some(engine) = ticker.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Ok(BareLoop { engine, plugin })
    }

    async fn job(&self) -> anyhow::Result<()> {
        let limits = StoreLimitsBuilder::new().memory_size(256 << 20).build();
        let state = State { wasi: WasiCtx::builder().build(), table: ResourceTable::new(), limits };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_fuel(FUEL)?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
        let plugin = self.plugin.instantiate_async(&mut store).await?;
        let args = bare::jobs::plugin::types::Payload {
            encoding: bare::jobs::plugin::types::Encoding::Json,
            data: b"{}".to_vec(),
        };
        let result = plugin.jobs_plugin_tasks().call_run(&mut store, TASK, &args).await?;
        anyhow::ensure!(result.is_ok(), "the no-op failed");
        Ok(())
    }
}

async fn job(executor: &WasmExecutor, digest: Digest) -> anyhow::Result<()> {
    let (reports, _receiver) = mpsc::channel(16);
    let control = RunControl { cancel: CancellationToken::new(), kill: CancellationToken::new(), reports };
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
        fuel: FUEL,
        memory_bytes: 256 << 20,
        result_bytes: 1 << 20,
        log_bytes: 1 << 20,
        log_lines: 10_000,
    };
    let settings = JobSettings {
        executor: None,
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
    let spec = JobSpec {
        id: JobIdSource::new(fastrand::Rng::new()).next(now),
        task_id: TaskId::of_plugin(&plugin, &function),
        schedule_id: None,
        scheduled_fire_time: None,
        jitter: Duration::ZERO,
        args: Payload::no_args(),
        settings,
        due_at: now,
        start_deadline: None,
        created_at: now,
    };
    let job = Job {
        spec,
        state: JobState::Running,
        attempt: 1,
        crashes: 0,
        cancel_requested: false,
        lease: None,
        scheduler_id: None,
        plugin_digest: None,
        started_at: None,
        progress: None,
        outcome: None,
        finished_at: None,
        result: None,
        error: None,
        usage: None,
        expires_at: None,
    };
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
