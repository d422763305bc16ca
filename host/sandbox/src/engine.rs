//! The one engine: how guests are compiled, where their memory comes from, the clock that interrupts them, and the
//! threads they run on.
//!
//! All settings that decide what compiled code looks like are here, because the cache of compiled code is keyed by them.

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy,
    WasmBacktraceDetails,
};

/// How often the epoch moves on, which is how often a computing guest looks at its deadline and lets others run.
pub(super) const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Memories, tables and core instances of one component. A Rust component has 1, 2 and 3 (4 through the WASI adapter);
/// those that embed a JavaScript or Python interpreter, and composed ones, have several times as many.
pub(super) const MEMORIES_PER_COMPONENT_MAX: u32 = 4;
pub(super) const TABLES_PER_COMPONENT_MAX: u32 = 16;
pub(super) const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 32;
/// Elements of one table: an interpreter of a dynamic language has tens of thousands of functions.
const TABLE_ELEMENTS_MAX: usize = 100_000;
/// What the runtime keeps of one instance beside its memory, in bytes; large for the same interpreters.
const INSTANCE_BYTES_MAX: usize = 8 << 20;

/// How much of a linear memory is wiped by hand after use and stays mapped, instead of being given back to the system.
///
/// A Rust guest built with a stack of 64 KiB touches less than this, and is then reset without a system call and without
/// page faults in the next job. More would be wasted on guests with a stack of 1 MiB, whose first pages nobody touches.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 256 << 10;
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 << 10;

/// Guest stack. A guest that recurses deeper traps.
const WASM_STACK_BYTES: usize = 512 << 10;
/// Stack on which guest and host functions run together; must hold the guest's and what the host functions need on top.
const FIBER_STACK_BYTES: usize = 2 << 20;
/// Frames kept of a backtrace: deep recursion has thousands, and the first ones tell.
pub(super) const BACKTRACE_FRAMES_MAX: NonZeroUsize = NonZeroUsize::new(32).expect("not zero");

/// Makes the engine, with room for `instances` guests at the same time, and starts its clock.
///
/// Falls back to allocating each instance by itself when the address space for the pool cannot be had; jobs are then
/// slower, which is said loudly.
pub(super) fn start(instances: u32) -> Result<Engine, wasmtime::Error> {
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
    // Making the engine reserves the pool's whole address space: the attempt is the probe.
    let engine = match Engine::new(&pooled) {
        Ok(engine) => engine,
        Err(error) => {
            let engine = Engine::new(&config())?;
            tracing::warn!(
                error = format!("{error:#}"),
                instances,
                "no address space for the pool of instances: every job allocates its own memory and is slower"
            );
            engine
        }
    };
    start_ticker(engine.weak())?;
    Ok(engine)
}

/// An engine that compiles what the others run. It has no pool and no clock, and nothing runs on it.
pub(super) fn for_compiling() -> Result<Engine, wasmtime::Error> {
    Engine::new(&config())
}

fn config() -> Config {
    let mut config = Config::new();
    // Cranelift, because the other compiler cannot interrupt by epochs and is not fit for hostile guests.
    config.strategy(Strategy::Cranelift);
    // Both meters are compiled in: fuel for a budget that is the same on every machine, epochs for the wall clock.
    config.consume_fuel(true).epoch_interruption(true);
    // The interface to guests has no async functions; without their machinery every call is cheaper.
    config.concurrency_support(false);
    // What no toolchain for plugins emits by default, or what would make runs differ between machines.
    config.wasm_memory64(false).wasm_wide_arithmetic(false).wasm_custom_page_sizes(false);
    config.relaxed_simd_deterministic(true);
    // Where composed parts call each other, the engine itself makes modules that see the memories of both. Modules of authors have one
    // memory each: `complexity` refuses others.
    config.wasm_multi_memory(true);
    config.max_wasm_stack(WASM_STACK_BYTES).async_stack_size(FIBER_STACK_BYTES);
    // Debug information is neither kept nor read: see `backtrace`.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable).wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES_MAX));
    config
}

/// A pool in which `instances` of the largest allowed components fit at the same time. What it reserves is address space,
/// not memory: 16 GiB and a bit for each instance, of the 128 TiB that a process has.
fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT_MAX))
        .total_memories(instances.saturating_mul(MEMORIES_PER_COMPONENT_MAX))
        .total_tables(instances.saturating_mul(TABLES_PER_COMPONENT_MAX))
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT_MAX)
        .max_memories_per_component(MEMORIES_PER_COMPONENT_MAX)
        .max_tables_per_component(TABLES_PER_COMPONENT_MAX)
        .max_tables_per_module(TABLES_PER_COMPONENT_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES)
        .max_unused_warm_slots(instances)
        // Finds touched pages faster, but does not see those that were swapped out: the next guest could read them.
        .pagemap_scan(Enabled::No);
    pool
}

/// The clock that interrupts guests: a thread of its own, because a timer task waits for the very threads that a computing
/// guest holds. It ends with the engine.
fn start_ticker(engine: EngineWeak) -> Result<(), wasmtime::Error> {
    std::thread::Builder::new().name("guest-epoch".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(EPOCH_TICK);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    })?;
    Ok(())
}

/// Threads of the sandbox's own, apart from the scheduler's: a guest that computes holds a thread for up to a tick, and no lease may wait
/// for that.
///
/// Dropping them never blocks, also not inside an async context: guests that still run are dropped at their next tick.
#[derive(Debug)]
pub(super) struct Threads(Option<Runtime>);

/// Threads for a guest's file operations, which block.
const FILE_THREADS_MAX: usize = 128;
/// Threads that make plugins ready: they wait for compilers, read the cache, and open granted folders.
const LOADING_THREADS_MAX: usize = 16;

/// How many guests compute at the same time: one on each processor.
pub(super) fn guest_threads() -> usize {
    std::thread::available_parallelism().map_or(2, NonZeroUsize::get)
}

impl Threads {
    /// Those that guests run on: one for each processor, and more for their file operations.
    pub(super) fn for_guests() -> std::io::Result<Threads> {
        Threads::start("guest", guest_threads(), FILE_THREADS_MAX)
    }

    /// Those that make plugins ready. Guests whose file operations never end cannot hold them up.
    pub(super) fn for_loading() -> std::io::Result<Threads> {
        Threads::start("plugin-loading", 1, LOADING_THREADS_MAX)
    }

    fn start(name: &str, workers: usize, blocking: usize) -> std::io::Result<Threads> {
        let mut threads = Builder::new_multi_thread();
        threads.worker_threads(workers).max_blocking_threads(blocking).thread_name(name).enable_all();
        Ok(Threads(Some(threads.build()?)))
    }

    /// Where work is spawned.
    pub(super) fn handle(&self) -> &Handle {
        // The runtime is taken out only while this is being dropped.
        self.0.as_ref().expect("the runtime lives as long as its owner").handle()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_thread_ends_with_the_engine() {
        let engine = start(1).expect("an engine");
        let weak = engine.weak();
        drop(engine);
        // The ticker holds the engine for the blink of an increment only.
        let gone = (0..100).any(|_| {
            std::thread::sleep(EPOCH_TICK);
            weak.upgrade().is_none()
        });
        assert!(gone, "something still holds the engine");
    }

    #[test]
    fn the_pool_has_room_for_many_instances_at_once() {
        let engine = start(200).expect("an engine");
        assert!(engine.pooling_allocator_metrics().is_some(), "fell back to on-demand allocation");
    }
}
