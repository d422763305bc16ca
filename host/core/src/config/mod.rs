//! Plain settings of a host process. Where they come from (flags, environment, a file) is the command line's business; what they mean
//! is everybody else's.

pub mod units;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{SchedulerId, Settings, limits};

/// Everything that can be set for a host process.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The data store, as a URL.
    pub store: StoreUrl,
    /// The event broker, as a URL; `None`: the one that fits the store.
    pub broker: Option<String>,
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

/// The URL of a data store. Prints without the password that may be in it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// A URL as the operator wrote it. Whether it can be used shows when it is opened.
    pub fn new(url: impl Into<String>) -> StoreUrl {
        StoreUrl(url.into())
    }

    /// The database that a host uses when told nothing: a file in its data folder.
    pub fn in_data_dir(data_dir: &Path) -> StoreUrl {
        StoreUrl(format!("sqlite://{}", data_dir.join("host.db").display()))
    }

    /// The URL with its password, for whoever opens it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // scheme://user:password@host/…  The password may itself contain `@`, so the last one before the path counts.
        let Some((scheme, rest)) = self.0.split_once("://") else { return f.write_str(&self.0) };
        let authority_end = rest.find('/').unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(authority_end);
        match authority.rsplit_once('@').and_then(|(user_info, host)| Some((user_info.split_once(':')?.0, host))) {
            Some((user, host)) => write!(f, "{scheme}://{user}:…@{host}{tail}"),
            None => f.write_str(&self.0),
        }
    }
}

impl std::fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_url_never_shows_its_password() {
        for (url, shown) in [
            ("postgres://ada:se@cret@db.example/jobs", "postgres://ada:…@db.example/jobs"),
            ("postgres://ada@db.example/jobs", "postgres://ada@db.example/jobs"),
            ("sqlite:///var/lib/host/a:b@c.db", "sqlite:///var/lib/host/a:b@c.db"),
            ("memory", "memory"),
        ] {
            assert_eq!(StoreUrl::new(url).to_string(), shown);
            assert_eq!(format!("{:?}", StoreUrl::new(url)), shown);
        }
    }
}
