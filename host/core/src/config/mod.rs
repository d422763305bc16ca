//! Plain settings of a host process. Where they come from (flags, environment, a file) is the command line's business; what they mean
//! is everybody else's.

mod server_url;
mod store_url;
pub mod units;

use std::path::PathBuf;
use std::time::Duration;

pub use self::server_url::{ClientCertificate, ServerUrl, TlsMode, TlsRoots, TlsSettings};
pub use self::store_url::{BrokerUrl, SqliteFile, StoreUrl, Synchronous, UrlError};
use crate::model::{SchedulerId, Settings, limits};

/// Everything that can be set for a host process.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The data store.
    pub store: StoreUrl,
    /// The event broker; `None`: the one that fits the store.
    pub broker: Option<BrokerUrl>,
    /// Where the process keeps files: the default database and the compiled plugins.
    pub data_dir: PathBuf,
    /// Settings of tasks for which neither an operator nor the author said anything.
    pub task_defaults: Settings,
    /// What no job may exceed, whatever it asks for.
    pub caps: Caps,
    /// What a compiler of plugins may use.
    pub compiler: CompilerLimits,
    /// How `serve` works.
    pub serve: Serve,
    /// Bring the schema of a database server up to date without being asked. SQLite's always is.
    pub auto_migrate: bool,
}

/// What no job may exceed on this host. Where a plugin or a task asks for more, it gets the cap; where an operator does, it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Wall-clock time of one attempt.
    pub timeout: Duration,
    /// Fuel of one attempt.
    pub fuel: u64,
    /// Memory of one attempt, in bytes.
    pub memory_bytes: u64,
    /// Size of a job's arguments, in bytes.
    pub args_bytes: usize,
    /// Size of a job's result, in bytes.
    pub result_bytes: usize,
    /// Size of metadata, in bytes of JSON.
    pub metadata_bytes: usize,
    /// Captured log of one attempt, in bytes.
    pub log_bytes: usize,
    /// Captured log of one attempt, in lines.
    pub log_lines: usize,
}

impl Default for Caps {
    /// A day, a million billion units of fuel, 4 GiB (the most that a 32-bit guest can address), and the defaults of [`limits`] for the rest.
    fn default() -> Caps {
        Caps {
            timeout: Duration::from_secs(24 * 60 * 60),
            fuel: 1_000_000_000_000_000,
            memory_bytes: 4 << 30,
            args_bytes: limits::ARGS_BYTES_MAX,
            result_bytes: limits::RESULT_BYTES_MAX,
            metadata_bytes: limits::METADATA_BYTES_MAX,
            log_bytes: limits::LOG_BYTES_MAX,
            log_lines: limits::LOG_LINES_MAX,
        }
    }
}

/// What a compiler of plugins may use for one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompilerLimits {
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Wall-clock time. Each of its threads may use as much processor time.
    pub timeout: Duration,
}

impl Default for CompilerLimits {
    /// 2 GiB and two minutes.
    fn default() -> CompilerLimits {
        CompilerLimits { memory_bytes: limits::COMPILER_MEMORY_BYTES, timeout: limits::COMPILER_TIMEOUT }
    }
}

/// What a scheduler process takes upon itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// Fires schedules and runs jobs.
    #[default]
    Both,
    /// Only fires schedules.
    Scheduler,
    /// Only runs jobs.
    Worker,
}

impl Role {
    /// Whether it fires schedules.
    pub const fn fires_schedules(self) -> bool {
        matches!(self, Role::Both | Role::Scheduler)
    }

    /// Whether it runs jobs.
    pub const fn runs_jobs(self) -> bool {
        matches!(self, Role::Both | Role::Worker)
    }

    /// `both`, `scheduler` or `worker`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Both => "both",
            Role::Scheduler => "scheduler",
            Role::Worker => "worker",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Role::Both, Role::Scheduler, Role::Worker]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| "it is `both`, `scheduler` or `worker`".to_owned())
    }
}

/// How `serve` works.
#[derive(Debug, Clone, PartialEq)]
pub struct Serve {
    /// What it takes upon itself.
    pub role: Role,
    /// Its identity; `None`: one that nobody has had before.
    pub identity: Option<SchedulerId>,
    /// Most jobs that run at once in this process.
    pub max_concurrent_jobs: usize,
    /// How long a claim on a schedule or job holds unless it is extended.
    pub lease_duration: Duration,
    /// How often expired results and the like are removed.
    pub cleanup_interval: Duration,
    /// How long running jobs may go on after the process was asked to stop.
    pub drain_timeout: Duration,
    /// Most jobs that one missed stretch of a schedule may create under `coalesce: all`.
    pub catch_up_max: usize,
}

impl Default for Serve {
    fn default() -> Serve {
        Serve {
            role: Role::Both,
            identity: None,
            max_concurrent_jobs: 100,
            lease_duration: Duration::from_secs(15),
            cleanup_interval: Duration::from_secs(15 * 60),
            drain_timeout: Duration::from_secs(30),
            catch_up_max: limits::CATCH_UP_MAX,
        }
    }
}
