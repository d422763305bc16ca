//! The composition root: from settings to working parts. The only place that knows the real names of stores, brokers and executors.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::app::{App, AppError, AppResult, Parts, Sandbox};
use crate::broker::Broker;
use crate::broker::local::LocalBroker;
use crate::broker::sqlite::SqliteBroker;
use crate::cli::{Machinery, Migrating, Migration, Migrations, Opened};
use crate::clock::{Clock, SystemClock};
use crate::config::{CompilerLimits, Config, StoreUrl};
use crate::executor::wasm::{Compiler, WasmExecutor, WasmOptions};
use crate::executor::{
    Executor, Finished, InspectError, Inspection, Invocation, PluginInspector, PluginSource, RunControl, Runnable,
    Verdict,
};
use crate::model::{Digest, ErrorKind, ExecutorName, Grant, JobError, SchedulerId, Usage};
use crate::scheduler::{Executors, Options};
use crate::store::detached::Detached;
use crate::store::retrying::Retrying;
use crate::store::sql::{OpenOptions, migrate};
use crate::store::{self, Effects, Store};

/// What a `host` process is made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

#[async_trait]
impl Machinery for Machine {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    async fn open(&self, config: &Config) -> AppResult<Opened> {
        let clock = self.clock();
        prepare_data_dir(&config.data_dir)?;
        let store = open_store(config, &clock).await?;
        let broker = open_broker(config, &clock).await?;
        let plugins = Arc::new(StoredPlugins(Arc::clone(&store)));
        let sandbox = Arc::new(LazySandbox::new(config, plugins, Arc::clone(&clock)));
        let app = App::new(Parts {
            store,
            broker,
            inspector: Some(Arc::clone(&sandbox) as Arc<dyn PluginInspector>),
            clock,
            random: fastrand::Rng::new(),
            task_defaults: config.task_defaults.clone(),
            caps: config.caps,
        });
        let executors = Executors::default().with(name_of(Executors::WASM)?, sandbox);
        Ok(Opened { app, executors, options: options_of(config)? })
    }

    async fn sandbox(&self, config: &Config, component: &[u8]) -> AppResult<Sandbox> {
        let clock = self.clock();
        let plugins = Arc::new(OnePlugin(component.to_vec()));
        let sandbox = Arc::new(LazySandbox::new(config, plugins, Arc::clone(&clock)));
        let inspector = Arc::clone(&sandbox) as Arc<dyn PluginInspector>;
        Ok(Sandbox { inspector, executor: sandbox, clock, random: fastrand::Rng::new() })
    }

    async fn migrate(&self, config: &Config, migrating: Migrating) -> AppResult<Migrations> {
        prepare_data_dir(&config.data_dir)?;
        let url = config.store.expose();
        if is_memory(&config.store) {
            return Ok(Migrations { current: 0, wanted: 0, steps: Vec::new() });
        }
        let status = migrate::status(url).await?;
        let steps = match migrating {
            Migrating::Plan => migrate::plan(url).await?,
            Migrating::Apply => migrate::apply(url, &*self.clock()).await?,
        };
        let step = |step: migrate::Step| Migration {
            version: step.version,
            name: step.name.to_owned(),
            text: step.text.to_owned(),
        };
        Ok(Migrations { current: status.current, wanted: status.wanted, steps: steps.into_iter().map(step).collect() })
    }
}

/// The path of the database in an SQLite URL; `None` for other stores.
fn sqlite_path(url: &StoreUrl) -> Option<&Path> {
    let rest = url.expose().strip_prefix("sqlite:")?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    Some(Path::new(path.split('?').next().unwrap_or(path)))
}

fn is_memory(url: &StoreUrl) -> bool {
    matches!(url.expose(), "memory" | "memory:" | "memory://")
}

/// Opens the store, so that a caller who goes away leaves nothing half done and a store that restarts is survived.
async fn open_store(config: &Config, clock: &Arc<dyn Clock>) -> AppResult<Arc<dyn Store>> {
    let options = OpenOptions { clock: &**clock, auto_migrate: config.auto_migrate };
    let store = store::open(config.store.expose(), options).await?;
    let retrying = Retrying::new(store, Arc::clone(clock), fastrand::Rng::new());
    Ok(Arc::new(Detached::new(Arc::new(retrying))))
}

/// Opens the broker that was named, or the one that the store's other processes would use as well. Nobody asked for the latter, and events
/// are hints: where it cannot be opened, as on a full disk, commands do without it, so that what is stored can still be read.
async fn open_broker(config: &Config, clock: &Arc<dyn Clock>) -> AppResult<Arc<dyn Broker>> {
    let url = match &config.broker {
        Some(url) => StoreUrl::new(url.as_str()),
        None if sqlite_path(&config.store).is_some() => config.store.clone(),
        // Other processes then learn of changes by looking into the store.
        None => StoreUrl::new("local"),
    };
    if let Some(path) = sqlite_path(&url) {
        return match SqliteBroker::open(path, Arc::clone(clock)).await {
            Ok(broker) => Ok(Arc::new(broker)),
            Err(error) if config.broker.is_none() => {
                tracing::warn!(cause = %error.source, "the event broker cannot be opened; other processes wait for their next look");
                Ok(Arc::new(LocalBroker::new()))
            }
            Err(error) => Err(AppError::Unreachable {
                what: error.to_string(),
                hint: Some(
                    "`--broker local` works without one; other processes then wait for their next look".to_owned(),
                ),
                source: Some(error.source),
            }),
        };
    }
    match url.expose() {
        "local" => Ok(Arc::new(LocalBroker::new())),
        _ => Err(unknown_scheme("broker", &url.to_string(), "local, sqlite://PATH")),
    }
}

fn unknown_scheme(kind: &str, url: &str, known: &str) -> AppError {
    AppError::invalid(format!("`{url}` is no {kind} that this version knows")).with_hint(format!("{kind}s: {known}"))
}

/// Makes the folder for data, for the user alone: results and plugins are nobody else's business.
fn prepare_data_dir(dir: &Path) -> AppResult<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| AppError::Unreachable {
        what: format!("the data folder `{}` cannot be made", dir.display()),
        hint: Some("name a folder that can be written with --data-dir or HOST_DATA_DIR".to_owned()),
        source: Some(Arc::new(error)),
    })
}

fn options_of(config: &Config) -> AppResult<Options> {
    let serve = &config.serve;
    let identity = match &serve.identity {
        Some(identity) => identity.clone(),
        None => fresh_identity()?,
    };
    Ok(Options {
        role: serve.role,
        max_concurrent_jobs: serve.max_concurrent_jobs,
        lease_duration: serve.lease_duration,
        cleanup_interval: serve.cleanup_interval,
        drain_timeout: serve.drain_timeout,
        catch_up_max: serve.catch_up_max,
        caps: config.caps,
        ..Options::new(identity)
    })
}

/// An identity that nobody has had before: `host-pid-random`.
fn fresh_identity() -> AppResult<SchedulerId> {
    // Only for people to read, so a host without a readable name is no trouble.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(64).collect();
    let name = if name.is_empty() { "host".to_owned() } else { name };
    let identity = format!("{name}-{}-{:08x}", std::process::id(), fastrand::u32(..));
    SchedulerId::new(&identity).map_err(|error| AppError::unexpected("no identity was made", error))
}

fn name_of(executor: &str) -> AppResult<ExecutorName> {
    ExecutorName::new(executor).map_err(|error| AppError::unexpected("an executor has no valid name", error))
}

/// A sandbox that is set up when it is needed first: most commands never do, and setting it up takes longer than all they do.
struct LazySandbox {
    cache_dir: std::path::PathBuf,
    concurrency: u32,
    memory_bytes_max: u64,
    compiler: CompilerLimits,
    plugins: Arc<dyn PluginSource>,
    clock: Arc<dyn Clock>,
    executor: OnceCell<WasmExecutor>,
}

impl LazySandbox {
    fn new(config: &Config, plugins: Arc<dyn PluginSource>, clock: Arc<dyn Clock>) -> LazySandbox {
        LazySandbox {
            cache_dir: config.data_dir.join("cache"),
            concurrency: u32::try_from(config.serve.max_concurrent_jobs).unwrap_or(u32::MAX),
            memory_bytes_max: config.caps.memory_bytes,
            compiler: config.compiler,
            plugins,
            clock,
            executor: OnceCell::new(),
        }
    }

    async fn get(&self) -> Result<&WasmExecutor, String> {
        self.executor
            .get_or_try_init(|| async {
                WasmExecutor::new(WasmOptions {
                    cache_dir: Some(self.cache_dir.clone()),
                    concurrency: self.concurrency,
                    memory_bytes_max: self.memory_bytes_max,
                    compiler: Compiler::of_this_program(self.compiler),
                    ..WasmOptions::new(Arc::clone(&self.plugins), Arc::clone(&self.clock))
                })
                .map_err(|error| error.to_string())
            })
            .await
    }
}

#[async_trait]
impl Executor for LazySandbox {
    async fn run(&self, invocation: Invocation, control: RunControl) -> Finished {
        match self.get().await {
            Ok(executor) => executor.run(invocation, control).await,
            Err(reason) => Finished {
                verdict: Verdict::Failure {
                    error: JobError::new(ErrorKind::HostError, reason),
                    retry: crate::executor::Retry::Backoff,
                },
                usage: Usage::default(),
                effects: Effects::default(),
            },
        }
    }

    async fn prepare(&self, runnable: &Runnable) {
        if let Ok(executor) = self.get().await {
            executor.prepare(runnable).await;
        }
    }
}

#[async_trait]
impl PluginInspector for LazySandbox {
    async fn inspect(&self, component: Vec<u8>, grants: &[Grant]) -> Result<Inspection, InspectError> {
        let executor = self.get().await.map_err(|reason| InspectError { reason, context: Vec::new(), hint: None })?;
        executor.inspect(component, grants).await
    }
}

/// The plugins of a store.
struct StoredPlugins(Arc<dyn Store>);

#[async_trait]
impl PluginSource for StoredPlugins {
    async fn plugin_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        self.0.plugin_bytes(digest).await.map_err(|error| error.to_string())
    }
}

/// A component that is in no store.
struct OnePlugin(Vec<u8>);

#[async_trait]
impl PluginSource for OnePlugin {
    async fn plugin_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        let found = crate::app::digest_of(self.0.clone()).await.map_err(|error| error.to_string())?;
        Ok((found == *digest).then(|| self.0.clone()))
    }
}
