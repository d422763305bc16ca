//! Plain settings of a host process. Where they come from (flags, environment, a file) is the command line's business; what they mean
//! is everybody else's.

mod broker_url;
mod server_url;
mod store_url;
pub mod units;
mod url_error;
pub mod words;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub use self::broker_url::{BrokerUrl, Login, MessageServer, MessageTls, MqttVersion};
pub use self::server_url::{ClientCertificate, ServerUrl, TlsMode, TlsRoots, TlsSettings};
pub use self::store_url::{SqliteFile, StoreUrl, Synchronous};
pub use self::url_error::UrlError;
use crate::model::{QueueName, SchedulerId, Settings, limits};

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
    /// Register plugins only with an approval that covers them.
    pub require_approval: bool,
    /// A file with the keys that are trusted: components that none of them has signed are neither registered nor run.
    pub trusted_keys: Option<PathBuf>,
    /// Where the key is that secrets are sealed under.
    pub secret_key: SecretKeySource,
}

/// Where the key is that secrets are sealed under: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretKeySource {
    /// In a file that its owner alone may read. It is made with the first secret.
    File(PathBuf),
    /// A command for `sh -c` prints it.
    Command(String),
}

/// The file of the key in a data folder, where nothing else is said.
pub fn usual_secret_key(data_dir: &std::path::Path) -> SecretKeySource {
    SecretKeySource::File(data_dir.join("secret.key"))
}

impl Config {
    /// The usual settings for a store and a data folder.
    pub fn new(store: StoreUrl, data_dir: impl Into<PathBuf>) -> Config {
        let data_dir = data_dir.into();
        Config {
            store,
            broker: None,
            secret_key: usual_secret_key(&data_dir),
            data_dir,
            task_defaults: Settings::default(),
            caps: Caps::default(),
            compiler: CompilerLimits::default(),
            serve: Serve::default(),
            auto_migrate: false,
            require_approval: false,
            trusted_keys: None,
        }
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
    /// Captured log of all attempts at a job, in bytes.
    pub job_log_bytes: usize,
    /// Captured log of all attempts at a job, in lines.
    pub job_log_lines: usize,
    /// Files and folders that one attempt may have open.
    pub open_files: usize,
    /// Connections of HTTP that one attempt may have open.
    pub http_connections: usize,
    /// Size of the body of an HTTP request or response, in bytes.
    pub http_body_bytes: u64,
    /// Size of a bucket of keys and values, in bytes.
    pub kv_bucket_bytes: u64,
    /// What authors may declare for their tasks.
    pub declared: DeclaredCaps,
}

/// What an author may declare for a task. An operator may give it more.
///
/// Settings of this kind cost others something: a task of high priority lets all others wait, and one that is tried a thousand times and
/// kept for years fills the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclaredCaps {
    /// Priority.
    pub priority: i32,
    /// Attempts.
    pub max_attempts: u32,
    /// The longest pause between two attempts.
    pub backoff: Duration,
    /// How long results are kept.
    pub result_ttl: Duration,
}

impl Default for DeclaredCaps {
    /// The priority of everybody else, ten attempts, a day between two of them, results for a week.
    fn default() -> DeclaredCaps {
        DeclaredCaps {
            priority: 0,
            max_attempts: 10,
            backoff: Duration::from_secs(24 * 60 * 60),
            result_ttl: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

impl DeclaredCaps {
    /// What is left of an author's settings, and a sentence for each that was cut.
    pub fn cut(&self, settings: &mut Settings) -> Vec<String> {
        let mut cut = Vec::new();
        if let Some(priority) = &mut settings.priority
            && *priority > self.priority
        {
            cut.push(format!("it declares a priority of {priority} and gets {}", self.priority));
            *priority = self.priority;
        }
        if let Some(attempts) = &mut settings.max_attempts
            && *attempts > self.max_attempts
        {
            cut.push(format!("it declares {attempts} attempts and gets {}", self.max_attempts));
            *attempts = self.max_attempts;
        }
        if let Some(backoff) = &mut settings.backoff
            && backoff.max > self.backoff
        {
            let (asked, given) = (units::format_duration(backoff.max), units::format_duration(self.backoff));
            cut.push(format!("it declares pauses of up to {asked} and gets {given}"));
            backoff.max = self.backoff;
            backoff.initial = backoff.initial.min(self.backoff);
        }
        if let Some(ttl) = &mut settings.result_ttl
            && *ttl > self.result_ttl
        {
            let (asked, given) = (units::format_duration(*ttl), units::format_duration(self.result_ttl));
            cut.push(format!("it declares that results are kept for {asked} and gets {given}"));
            *ttl = self.result_ttl;
        }
        cut
    }
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
            job_log_bytes: limits::JOB_LOG_BYTES_MAX,
            job_log_lines: limits::JOB_LOG_LINES_MAX,
            open_files: limits::OPEN_FILES_MAX,
            http_connections: limits::HTTP_CONNECTIONS_MAX,
            http_body_bytes: limits::HTTP_BODY_BYTES_MAX,
            kv_bucket_bytes: limits::KV_BUCKET_BYTES_MAX,
            declared: DeclaredCaps::default(),
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
    /// How many more jobs run, of tasks that others keep from starting; `None`: none, and tasks are not looked for either.
    pub spare_slots: Option<usize>,
    /// Memory that all jobs of this process may have together, in bytes; `None`: three quarters of what the machine or the control group
    /// has.
    pub max_memory: Option<u64>,
    /// How long a claim on a schedule or job holds unless it is extended.
    pub lease_duration: Duration,
    /// How often expired results and the like are removed.
    pub cleanup_interval: Duration,
    /// How long running jobs may go on after the process was asked to stop.
    pub drain_timeout: Duration,
    /// Most jobs that one missed stretch of a schedule may create under `coalesce: all`.
    pub catch_up_max: usize,
    /// For how long the lines of a schedule's history are kept.
    pub history_ttl: Duration,
    /// Most lines of a schedule's history that are kept.
    pub history_max: usize,
    /// The queues whose jobs it runs.
    pub queues: Vec<QueueLimit>,
}

/// A queue that a process serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLimit {
    /// The queue.
    pub queue: QueueName,
    /// Most jobs of it that run at once in this process; `None`: as many as there is room for.
    pub max_concurrent_jobs: Option<NonZeroUsize>,
}

impl QueueLimit {
    /// That queue without a limit of its own.
    pub fn new(queue: QueueName) -> QueueLimit {
        QueueLimit { queue, max_concurrent_jobs: None }
    }
}

impl std::str::FromStr for QueueLimit {
    type Err = String;

    /// `NAME` or `NAME=N`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, limit) = text.split_once('=').map_or((text, None), |(name, limit)| (name, Some(limit)));
        let queue = QueueName::new(name).map_err(|error| error.to_string())?;
        let limit = limit.map(|limit| limit.parse().map_err(|_| format!("`{limit}` is no number from 1")));
        Ok(QueueLimit { queue, max_concurrent_jobs: limit.transpose()? })
    }
}

impl Serve {
    /// How many more jobs than [`Serve::max_concurrent_jobs`] run at once, of tasks that others keep from starting.
    pub fn spare_slots(&self) -> usize {
        self.spare_slots.unwrap_or(0)
    }
}

impl Default for Serve {
    fn default() -> Serve {
        Serve {
            role: Role::Both,
            identity: None,
            max_concurrent_jobs: 100,
            spare_slots: None,
            max_memory: None,
            lease_duration: Duration::from_secs(15),
            cleanup_interval: Duration::from_secs(15 * 60),
            // With the grace of interrupted jobs (5 s), what is left to write, and closing a store that does not answer, it stays below the
            // 30 s that container runtimes give.
            drain_timeout: Duration::from_secs(15),
            catch_up_max: limits::CATCH_UP_MAX,
            history_ttl: limits::HISTORY_TTL,
            history_max: limits::HISTORY_MAX,
            queues: vec![QueueLimit::new(QueueName::default())],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Backoff;

    #[test]
    fn what_an_author_declares_beyond_the_caps_is_cut_and_told() {
        let caps = DeclaredCaps::default();
        let week = Duration::from_secs(7 * 24 * 60 * 60);
        let mut settings = Settings {
            priority: Some(i32::MAX),
            max_attempts: Some(1000),
            backoff: Some(Backoff { initial: week, max: week, ..Backoff::default() }),
            result_ttl: Some(week * 520),
            ..Settings::default()
        };
        assert_eq!(caps.cut(&mut settings).len(), 4);
        assert_eq!((settings.priority, settings.max_attempts, settings.result_ttl), (Some(0), Some(10), Some(week)));
        assert_eq!(settings.backoff.map(|backoff| (backoff.initial, backoff.max)), Some((caps.backoff, caps.backoff)));
        let within = Settings { priority: Some(-5), max_attempts: Some(3), ..Settings::default() };
        let mut kept = within.clone();
        assert_eq!((caps.cut(&mut kept), kept), (Vec::new(), within));
    }
}
