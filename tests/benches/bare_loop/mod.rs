//! The floor: the least that running a plugin's task once can cost with this engine, naively done.
//!
//! A fresh store, WASI, instance and one call, with pooling, fuel and epochs on, as in production, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host::clock::Stopwatch;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreLimits, StoreLimitsBuilder,
    UpdateDeadline,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

mod bare {
    wasmtime::component::bindgen!({ path: "../wit", world: "plugin", exports: { default: async }, imports: { default: trappable } });
}

/// Fuel of one call: what jobs get by default.
const FUEL: u64 = host::model::limits::FUEL_DEFAULT;

/// Runs `jobs` jobs, `parallel` at a time, each worker on a task of its own.
pub(crate) async fn round<F, R>(jobs: usize, parallel: usize, job: F) -> anyhow::Result<Duration>
where
    F: Fn() -> R + Send + Sync + Clone + 'static,
    R: Future<Output = anyhow::Result<()>> + Send,
{
    let left = Arc::new(AtomicUsize::new(jobs));
    let time = Stopwatch::start();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..parallel {
        let (left, job) = (Arc::clone(&left), job.clone());
        workers.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                job().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(time.elapsed())
}

/// The floor for one plugin.
pub(crate) struct BareLoop {
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
    /// Compiles the plugin.
    pub(crate) fn new(bytes: &[u8]) -> anyhow::Result<BareLoop> {
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

    /// Calls a task that takes nothing, once, in a fresh instance.
    pub(crate) async fn job(&self, task: &str) -> anyhow::Result<()> {
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
        let result = plugin.jobs_plugin_tasks().call_run(&mut store, task, &args).await?;
        anyhow::ensure!(result.is_ok(), "the no-op failed");
        Ok(())
    }
}
