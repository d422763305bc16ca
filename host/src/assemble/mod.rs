//! The composition root: from settings to working parts. The only place that knows the real names of stores, brokers and executors.

mod broker;
#[cfg(feature = "wasm")]
mod sandbox;
pub(crate) mod signals;

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "wasm")]
use crate::app::Vault;
use crate::app::{App, AppError, AppResult, Parts, Sandbox, TrustedKeys};
use crate::broker::Broker;
use crate::clock::{Clock, SystemClock};
#[cfg_attr(not(feature = "sql"), expect(unused_imports, reason = "stores in memory have no schema"))]
use crate::config::{Config, StoreUrl};
#[cfg(feature = "wasm")]
use crate::executor::{KvReader, PluginInspector, SecretSource};
use crate::files::ensure_private_folder;
#[cfg(feature = "wasm")]
use crate::model::ExecutorName;
use crate::model::SchedulerId;
use crate::scheduler::{Executors, Options};
#[cfg(feature = "sql")]
use crate::store::sql::migrate;
use crate::store::timekeeping::Timekeeping;
use crate::store::{self, OpenOptions, Store};

/// What a `host` process is made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

/// Whether a migration is done or only shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrating {
    /// Show what would be done.
    Plan,
    /// Do it.
    Apply,
}

/// Where a schema stands, and what it takes (or, applied, took) to bring it up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrations {
    /// The version that the store had.
    pub current: i64,
    /// The version that this program needs.
    pub wanted: i64,
    /// The steps from one to the other.
    pub steps: Vec<Migration>,
}

/// One step of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its number.
    pub version: i64,
    /// What it does, in a word or two.
    pub name: String,
    /// Its statements.
    pub text: String,
}

/// What is open.
#[derive(Clone)]
pub struct Opened {
    /// The operations.
    pub app: App,
    /// What runs jobs, in this process.
    pub executors: Executors,
    /// How a scheduler of this process is set.
    pub options: Options,
}

/// What a program that embeds the host brings along, in place of what its settings would have opened.
#[derive(Clone, Default)]
pub struct Brought {
    /// The data store.
    pub store: Option<Arc<dyn Store>>,
    /// The event broker.
    pub broker: Option<Arc<dyn Broker>>,
    /// What tells the time.
    pub clock: Option<Arc<dyn Clock>>,
    /// Whether it runs no plugins: then there is no sandbox, and the data folder is not needed.
    pub without_sandbox: bool,
}

impl Machine {
    /// The time.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    /// Opens the store and the broker. Does not start anything that runs jobs.
    ///
    /// # Errors
    /// [`AppError::Unreachable`] where one of them is out of reach, [`AppError::Invalid`] where the settings name what there is not.
    pub async fn open(&self, config: &Config) -> AppResult<Opened> {
        self.open_with(config, Brought::default()).await
    }

    /// As [`Machine::open`], with what the program brings along.
    ///
    /// # Errors
    /// As [`Machine::open`].
    pub async fn open_with(&self, config: &Config, brought: Brought) -> AppResult<Opened> {
        let clock = brought.clock.unwrap_or_else(|| self.clock());
        if !brought.without_sandbox {
            prepare_data_dir(&config.data_dir)?;
        }
        let store = match brought.store {
            Some(store) => store,
            None => open_store(config, &clock).await?,
        };
        let broker = match brought.broker {
            Some(broker) => broker,
            None => broker::open(config, &clock).await?,
        };
        #[cfg(feature = "wasm")]
        let vault = Arc::new(Vault::new(Arc::clone(&store), config.secret_key.clone()));
        let trusted_keys = config.trusted_keys.as_deref().map(TrustedKeys::read).transpose()?.map(Arc::new);
        let (inspector, executors) = match brought.without_sandbox {
            true => (None, Executors::default()),
            #[cfg(feature = "wasm")]
            false => {
                sandboxed(config, &store, trusted_keys.clone(), Arc::clone(&vault) as Arc<dyn SecretSource>, &clock)?
            }
            #[cfg(not(feature = "wasm"))]
            false => (None, Executors::default()),
        };
        let app = App::new(Parts {
            store,
            broker,
            inspector,
            clock,
            random: fastrand::Rng::new(),
            task_defaults: config.task_defaults.clone(),
            caps: config.caps,
        });
        #[cfg(feature = "wasm")]
        let app = app.with_vault(vault);
        let app = if let Some(keys) = trusted_keys { app.trusting(keys) } else { app };
        let app = if config.require_approval { app.requiring_approval() } else { app };
        Ok(Opened { app, executors, options: options_of(config)? })
    }

    /// A sandbox around one component, without any store.
    ///
    /// # Errors
    /// [`AppError::Invalid`] where the program was built without it.
    #[cfg(feature = "wasm")]
    pub async fn sandbox(&self, config: &Config, component: &[u8]) -> AppResult<Sandbox> {
        let clock = self.clock();
        let plugins = Arc::new(sandbox::OnePlugin(component.to_vec()));
        let sandbox = Arc::new(sandbox::LazySandbox::new(config, plugins, None, None, Arc::clone(&clock)));
        let inspector = Arc::clone(&sandbox) as Arc<dyn PluginInspector>;
        Ok(Sandbox { inspector, executor: sandbox, clock, random: fastrand::Rng::new() })
    }

    /// A sandbox around one component, without any store.
    ///
    /// # Errors
    /// [`AppError::Invalid`]: the program was built without it.
    #[cfg(not(feature = "wasm"))]
    pub async fn sandbox(&self, _config: &Config, _component: &[u8]) -> AppResult<Sandbox> {
        Err(AppError::invalid("this program was built without the sandbox"))
    }

    /// Looks at the store's schema, and brings it up to date where asked.
    ///
    /// # Errors
    /// None: no store of this program has a schema.
    #[cfg(not(feature = "sql"))]
    pub async fn migrate(&self, _config: &Config, _migrating: Migrating) -> AppResult<Migrations> {
        Ok(Migrations { current: 0, wanted: 0, steps: Vec::new() })
    }

    /// Looks at the store's schema, and brings it up to date where asked.
    ///
    /// # Errors
    /// Those of the store; a schema that is newer than this program is refused.
    #[cfg(feature = "sql")]
    pub async fn migrate(&self, config: &Config, migrating: Migrating) -> AppResult<Migrations> {
        prepare_data_dir(&config.data_dir)?;
        let url = &config.store;
        if *url == StoreUrl::Memory {
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

/// What looks into plugins, and the executors with the one that runs them.
#[cfg(feature = "wasm")]
fn sandboxed(
    config: &Config,
    store: &Arc<dyn Store>,
    trusted_keys: Option<Arc<TrustedKeys>>,
    secrets: Arc<dyn SecretSource>,
    clock: &Arc<dyn Clock>,
) -> AppResult<(Option<Arc<dyn PluginInspector>>, Executors)> {
    let plugins = Arc::new(sandbox::StoredPlugins { store: Arc::clone(store), trusted_keys });
    let buckets = Some(Arc::new(sandbox::StoredBuckets(Arc::clone(store))) as Arc<dyn KvReader>);
    let sandbox = Arc::new(sandbox::LazySandbox::new(config, plugins, buckets, Some(secrets), Arc::clone(clock)));
    let inspector = Some(Arc::clone(&sandbox) as Arc<dyn PluginInspector>);
    Ok((inspector, Executors::default().with(name_of(Executors::WASM)?, sandbox)))
}

/// Opens the store, so that a caller who goes away leaves nothing half done and a store that restarts is survived.
async fn open_store(config: &Config, clock: &Arc<dyn Clock>) -> AppResult<Arc<dyn Store>> {
    let (auto_migrate, timekeeping) = (config.auto_migrate, Timekeeping::Own);
    let options = OpenOptions { clock: Arc::clone(clock), auto_migrate, timekeeping };
    Ok(store::open(&config.store, options).await?)
}

/// Makes the folder for data, for the user alone: results and plugins are nobody else's business.
fn prepare_data_dir(dir: &Path) -> AppResult<()> {
    ensure_private_folder(dir).map_err(|error| AppError::Unreachable {
        what: format!("the data folder `{}` cannot be made", dir.display()),
        hint: Some("name a folder that can be written with --data-dir or HOST_DATA_DIR".to_owned()),
        source: Some(Arc::new(error)),
    })
}

fn options_of(config: &Config) -> AppResult<Options> {
    let identity = match &config.serve.identity {
        Some(identity) => identity.clone(),
        None => fresh_identity()?,
    };
    Ok(Options { caps: config.caps, ..Options::of(identity, &config.serve) })
}

/// An identity that nobody has had before: `host-pid-random`.
fn fresh_identity() -> AppResult<SchedulerId> {
    // Only for people to read, so a host without a readable name is no failure.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(64).collect();
    let name = if name.is_empty() { "host".to_owned() } else { name };
    let identity = format!("{name}-{}-{:08x}", std::process::id(), fastrand::u32(..));
    SchedulerId::new(&identity).map_err(|error| AppError::unexpected("no identity was made", error))
}

#[cfg(feature = "wasm")]
fn name_of(executor: &str) -> AppResult<ExecutorName> {
    ExecutorName::new(executor).map_err(|error| AppError::unexpected("an executor has no valid name", error))
}
