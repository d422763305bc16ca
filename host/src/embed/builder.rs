//! What an embedded host is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::host::{Host, Owned, WeakHost};
use super::task::{Handler, Task, TaskContext};
use crate::app::{App, AppError, AppResult, RegisterPlugin, plugin_name, read_component};
use crate::assemble::{Brought, Machine, Opened};
use crate::broker::Broker;
use crate::clock::{Clock, SystemClock};
use crate::config::{Caps, Config, Role, Serve, StoreUrl};
use crate::executor::Executor;
use crate::executor::inline::InlineExecutor;
use crate::model::{ExecutorName, Grant, SchedulerId, Settings, TaskDeclaration, TaskId, TaskName};
use crate::scheduler::{Executors, Options};
use crate::store::Store;

/// Says what a host is made of, before it is opened. Nothing is checked and nothing happens before that: what is wrong is an error then.
///
/// Without more it has a store and a broker in the memory of the process, an identity that nobody has had before, and no tasks.
#[derive(Default)]
#[must_use = "it does nothing before it is opened"]
pub struct Builder {
    store: Option<String>,
    broker: Option<String>,
    brought: Brought,
    data_dir: Option<PathBuf>,
    identity: Option<String>,
    task_defaults: Settings,
    caps: Caps,
    serve: Serve,
    auto_migrate: bool,
    has_sandbox: bool,
    tasks: Vec<Task>,
    plugins: Plugins,
    executors: Vec<(String, Arc<dyn Executor>)>,
    adjust: Vec<Adjust>,
}

type Adjust = Box<dyn FnOnce(&mut Options) + Send>;

/// What is registered when the host is opened.
#[derive(Default)]
struct Plugins {
    files: Vec<(PathBuf, Vec<Grant>)>,
    components: Vec<RegisterPlugin>,
}

impl Host {
    /// A host in the memory of the process, without tasks; the builder's methods make more of it.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// The data store by its URL: `sqlite:///path/to.db`, `postgres://…`, `mysql://…`, or `memory`, which is the default.
    pub fn store(mut self, url: impl Into<String>) -> Builder {
        self.store = Some(url.into());
        self
    }

    /// A data store that the program has made, which stays open when the host is closed. [`store::open`](crate::store::open()) makes one
    /// that keeps the guarantees of this crate for callers that go away and servers that restart.
    pub fn store_of(mut self, store: Arc<dyn Store>) -> Builder {
        self.brought.store = Some(store);
        self
    }

    /// The event broker by its URL, where it is not to be the one that fits the store.
    pub fn broker(mut self, url: impl Into<String>) -> Builder {
        self.broker = Some(url.into());
        self
    }

    /// An event broker that the program has made, which stays open when the host is closed.
    pub fn broker_of(mut self, broker: Arc<dyn Broker>) -> Builder {
        self.brought.broker = Some(broker);
        self
    }

    /// What tells the time, where it is not to be the system.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Builder {
        self.brought.clock = Some(clock);
        self
    }

    /// Brings the schema of a database server up to date where it is older. SQLite's always is.
    pub fn auto_migrate(mut self) -> Builder {
        self.auto_migrate = true;
        self
    }

    /// The folder for compiled plugins. It is made if it is not there, for the user of the process alone.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.data_dir = Some(folder.into());
        self
    }

    /// The identity of the scheduler. One that stays the same over restarts takes back at once what it left.
    pub fn identity(mut self, identity: impl Into<String>) -> Builder {
        self.identity = Some(identity.into());
        self
    }

    /// Which part of the work it does: by default it fires schedules and runs jobs.
    pub fn role(mut self, role: Role) -> Builder {
        self.serve.role = role;
        self
    }

    /// Most jobs that run at once, at least 1; 100 by default.
    pub fn max_concurrent_jobs(mut self, count: usize) -> Builder {
        self.serve.max_concurrent_jobs = count;
        self
    }

    /// How long a job that is cancelled may take to stop by itself before it is stopped, where whoever cancels it does not say how long;
    /// 5 seconds by default.
    pub fn cancel_grace(self, grace: Duration) -> Builder {
        self.options(move |options| options.cancel_grace = grace)
    }

    /// Settings of tasks for which neither an operator nor the author said anything.
    pub fn task_defaults(mut self, settings: Settings) -> Builder {
        self.task_defaults = settings;
        self
    }

    /// What no job may exceed, whatever it asks for.
    pub fn caps(mut self, caps: Caps) -> Builder {
        self.caps = caps;
        self
    }

    /// Changes the settings of the scheduler, after everything else has been set.
    pub fn options(mut self, adjust: impl FnOnce(&mut Options) + Send + 'static) -> Builder {
        self.adjust.push(Box::new(adjust));
        self
    }

    /// A function or closure as a task. See [`Handler`].
    ///
    /// It is stored as a task of that ID when the host is opened; jobs of it are run by programs that have it.
    pub fn task<P, H: Handler<P>>(self, name: impl Into<String>, handler: H) -> Builder {
        self.with_task(Task::new(name, handler))
    }

    /// A task with a description or settings of its own.
    pub fn with_task(mut self, task: Task) -> Builder {
        self.tasks.push(task);
        self
    }

    /// The component in that file as a plugin, under the name of the file, with those rights. It is registered when the host is opened.
    ///
    /// The host has a [sandbox](Builder::sandbox) then.
    pub fn plugin(mut self, path: impl Into<PathBuf>, grants: impl IntoIterator<Item = Grant>) -> Builder {
        self.plugins.files.push((path.into(), grants.into_iter().collect()));
        self.sandbox()
    }

    /// A component as a plugin. The host has a [sandbox](Builder::sandbox) then.
    pub fn component(mut self, plugin: RegisterPlugin) -> Builder {
        self.plugins.components.push(plugin);
        self.sandbox()
    }

    /// Runs the tasks of plugins as well, also of those that others have registered. It wants a [data folder](Builder::data_dir), and the
    /// program begins its `main` with [`serve_if_asked`](crate::executor::wasm::serve_if_asked), so that plugins are compiled in a child
    /// process with limits, which is the program itself.
    pub fn sandbox(mut self) -> Builder {
        self.has_sandbox = true;
        self
    }

    /// An executor that the program has made, under the name by which settings choose it.
    pub fn executor(mut self, name: impl Into<String>, executor: Arc<dyn Executor>) -> Builder {
        self.executors.push((name.into(), executor));
        self
    }

    /// Opens the store and the broker, stores the tasks and registers the plugins. The host does no work yet; it may do none at all, and only
    /// schedule and submit what others run.
    ///
    /// # Errors
    /// [`AppError::Invalid`] where something that was said cannot be, [`AppError::Unreachable`] where the store or the broker is out of
    /// reach, [`AppError::Refused`] where a plugin has a task of the same ID.
    pub async fn open(self) -> AppResult<Host> {
        let machine = Machine;
        let config = self.config()?;
        let clock = self.brought.clock.clone().unwrap_or_else(|| Arc::new(SystemClock));
        let mut functions = BTreeMap::new();
        for task in self.tasks {
            if let Some(fault) = task.fault() {
                return Err(AppError::invalid(fault));
            }
            let declaration = declaration(&task)?;
            if functions.insert(declaration.name.clone(), (declaration, task)).is_some() {
                return Err(AppError::invalid("two tasks have the same name").with_hint("give each a name of its own"));
            }
        }
        let mut named = Vec::with_capacity(self.executors.len());
        for (name, executor) in self.executors {
            named.push((ExecutorName::new(&name).map_err(invalid)?, executor));
        }
        let inline = ExecutorName::new(Executors::INLINE).map_err(invalid)?;

        let owned = Owned { store: self.brought.store.is_none(), broker: self.brought.broker.is_none() };
        let brought = Brought { without_sandbox: !self.has_sandbox, ..self.brought };
        let mut opened = machine.open_with(&config, brought).await?;
        for adjust in self.adjust {
            adjust(&mut opened.options);
        }
        let declared: Vec<TaskDeclaration> = functions.values().map(|(declaration, _)| declaration.clone()).collect();
        let host = Host::over(owned, Arc::clone(&clock), |host| {
            let mut native = InlineExecutor::new(clock);
            for (name, (_, task)) in functions {
                native = native.with(name, called(task, host.clone()));
            }
            let executors = named.into_iter().fold(opened.executors, |all, (name, one)| all.with(name, one));
            Opened { executors: executors.with(inline, Arc::new(native)), ..opened }
        });
        match fill(host.app(), declared, self.plugins).await {
            Ok(()) => Ok(host),
            Err(error) => {
                host.close().await;
                Err(error)
            }
        }
    }

    /// Opens the host and starts it: it works in the background, on the tokio runtime of the caller.
    ///
    /// # Errors
    /// As [`Builder::open`] and [`Host::start`].
    pub async fn start(self) -> AppResult<Host> {
        let host = self.open().await?;
        match host.start().await {
            Ok(()) => Ok(host),
            Err(error) => {
                host.close().await;
                Err(error)
            }
        }
    }

    fn config(&self) -> AppResult<Config> {
        let store = match &self.store {
            Some(url) => url.parse()?,
            None => StoreUrl::Memory,
        };
        let broker = self.broker.as_deref().map(str::parse).transpose()?;
        let identity = self.identity.as_deref().map(SchedulerId::new).transpose().map_err(invalid)?;
        let data_dir = match &self.data_dir {
            None if self.has_sandbox => {
                return Err(AppError::invalid("a host that runs plugins needs a folder for what is compiled of them")
                    .with_hint("name one with `data_dir`"));
            }
            // Nothing is ever put there.
            None => PathBuf::new(),
            Some(folder) => std::path::absolute(folder)
                .map_err(|error| AppError::invalid(format!("the data folder `{}`: {error}", folder.display())))?,
        };
        Ok(Config {
            broker,
            task_defaults: self.task_defaults.clone(),
            caps: self.caps,
            serve: Serve { identity, ..self.serve.clone() },
            auto_migrate: self.auto_migrate,
            ..Config::new(store, data_dir)
        })
    }
}

/// Stores the tasks and registers the plugins.
async fn fill(app: &App, tasks: Vec<TaskDeclaration>, plugins: Plugins) -> AppResult<()> {
    for declaration in tasks {
        let id = TaskId::new(declaration.name.as_str()).map_err(invalid)?;
        app.task_add_native(id, declaration).await?;
    }
    for (path, grants) in plugins.files {
        let component = read_component(&path).await.map_err(|error| match error {
            // The path is one of the things that were said.
            AppError::NotFound { .. } => invalid(error),
            other => other,
        })?;
        let plugin = RegisterPlugin::new(plugin_name(None, &path)?, component);
        app.plugin_register(RegisterPlugin { grants, ..plugin }).await?;
    }
    for plugin in plugins.components {
        app.plugin_register(plugin).await?;
    }
    Ok(())
}

fn declaration(task: &Task) -> AppResult<TaskDeclaration> {
    Ok(TaskDeclaration {
        description: task.description.clone(),
        args_schema: task.args_schema.as_ref().map(ToString::to_string),
        settings: task.settings.clone(),
        ..TaskDeclaration::new(TaskName::new(&task.name).map_err(invalid)?)
    })
}

/// The task as the executor of native functions calls it.
fn called(
    task: Task,
    host: WeakHost,
) -> impl Fn(crate::executor::inline::NativeContext, serde_json::Value) -> super::task::CallResult + Send + Sync + 'static
{
    let call = task.into_call();
    move |native, args| call(TaskContext::new(native, host.clone()), args)
}

fn invalid(error: impl fmt::Display) -> AppError {
    AppError::invalid(error.to_string())
}

impl fmt::Debug for Builder {
    /// Without the URLs, which may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("identity", &self.identity)
            .field("serve", &self.serve)
            .field("tasks", &self.tasks)
            .field("plugins", &(self.plugins.files.len() + self.plugins.components.len()))
            .finish_non_exhaustive()
    }
}
