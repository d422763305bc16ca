//! Where settings come from: flags over environment over a file. (Clap lays flags over the environment; this file lays both over the file.)

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

#[cfg(feature = "api")]
use super::api_settings::ApiArgs;
use super::exit::{Failure, Outcomes};
use super::settings_file::{File, Parsed, Positive, ServeFile, parse_positive, parse_span};
#[cfg(feature = "api")]
use crate::api::ApiOptions;
use crate::app::{AppError, check_new_id, check_settings};
use crate::config::units::{parse_duration, parse_size};
use crate::config::{Caps, Config, QueueLimit, Role, SecretKeySource, Serve, StoreUrl, UrlError, usual_secret_key};
use crate::model::SchedulerId;
use crate::model::limits::QUEUES_SERVED_MAX;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    // Without words of their own: clap gives all options more room where the values of one are explained.
    Text,
    Json,
}

/// What every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct GlobalArgs {
    /// Data store: `sqlite:///path/to.db`, `postgres://…`, `mysql://…` or `memory` [default: host.db in the data folder]
    #[arg(long, global = true, env = "HOST_STORE", value_name = "URL", hide_env_values = true)]
    store: Option<String>,
    /// Event broker: `local`, or the URL of one: `sqlite://…`, `postgres://…`, `redis://…`, `mqtt://…`, `nats://…` [default: the one of the store]
    #[arg(long, global = true, env = "HOST_BROKER", value_name = "URL", hide_env_values = true)]
    broker: Option<String>,
    /// Folder for the database and compiled plugins [default: $XDG_DATA_HOME/host]
    #[arg(long, global = true, env = "HOST_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
    /// Settings file (TOML); flags and environment win over it
    #[arg(long, global = true, env = "HOST_CONFIG", value_name = "FILE", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Bring the schema of a database server up to date where it is older (SQLite's always is)
    #[arg(long, global = true, env = "HOST_AUTO_MIGRATE", hide_env_values = true, value_parser = BoolishValueParser::new())]
    auto_migrate: bool,
    /// Register plugins only with `--approval`: what nobody has approved is refused
    #[arg(long, global = true, env = "HOST_REQUIRE_APPROVAL", hide_env_values = true, value_parser = BoolishValueParser::new())]
    require_approval: bool,
    /// File with public keys of minisign: plugins that none of them has signed are neither registered nor run
    #[arg(long, global = true, env = "HOST_TRUSTED_KEYS", value_name = "FILE", hide_env_values = true)]
    trusted_keys: Option<PathBuf>,
    /// File with the key that secrets are sealed under; made with the first secret [default: secret.key in the data folder]
    #[arg(long, global = true, env = "HOST_SECRET_KEY_FILE", value_name = "FILE", hide_env_values = true)]
    secret_key_file: Option<PathBuf>,
    /// Command, for `sh -c`, that prints this key instead: 64 hexadecimal digits
    #[arg(
        long,
        global = true,
        env = "HOST_SECRET_KEY_COMMAND",
        value_name = "COMMAND",
        hide_env_values = true,
        conflicts_with = "secret_key_file"
    )]
    secret_key_command: Option<String>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Log more; may be repeated
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// How log lines are written to standard error; `json`: an object a line [default: text]
    #[arg(long, global = true, env = "HOST_LOG_FORMAT", value_name = "F", value_enum, hide_env_values = true)]
    pub(super) log_format: Option<LogFormat>,
    /// Log errors only, and print no notes
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
}

/// How `serve` works, where flags or the environment say so.
#[derive(Debug, Default, Args)]
pub(super) struct ServeArgs {
    /// What it takes upon itself: `both`, `scheduler` (only fires schedules) or `worker` (only runs jobs) [default: both]
    #[arg(long, env = "HOST_ROLE", value_name = "R", hide_env_values = true)]
    role: Option<Role>,
    /// Its identity; one that keeps it over restarts takes back its own jobs at once [default: host-pid-random]
    #[arg(long, env = "HOST_IDENTITY", value_name = "ID", hide_env_values = true)]
    identity: Option<SchedulerId>,
    /// Most jobs that run at once in this process [default: 100]
    #[arg(long, env = "HOST_MAX_CONCURRENT_JOBS", value_name = "N", value_parser = parse_positive, hide_env_values = true)]
    max_concurrent_jobs: Option<usize>,
    /// How many more jobs run, of tasks that others keep from starting [default: 0, which looks for none]
    #[arg(long, env = "HOST_SPARE_SLOTS", value_name = "N", hide_env_values = true)]
    spare_slots: Option<usize>,
    /// A queue whose jobs it runs, with a limit of its own after `=`; may be repeated [default: default]
    #[arg(long = "queue", env = "HOST_QUEUES", value_name = "NAME[=N]", value_delimiter = ',', hide_env_values = true)]
    queues: Vec<QueueLimit>,
    /// Memory that all jobs of this process may have together, such as `4GiB` [default: three quarters of what there is]
    #[arg(long, env = "HOST_MAX_MEMORY", value_name = "SIZE", value_parser = parse_size, hide_env_values = true)]
    max_memory: Option<u64>,
    /// How long a claim on a job holds unless it is extended [default: 15s]
    #[arg(long, env = "HOST_LEASE_DURATION", value_name = "D", value_parser = parse_span, hide_env_values = true)]
    lease_duration: Option<Duration>,
    /// How often expired results are removed [default: 15m]
    #[arg(long, env = "HOST_CLEANUP_INTERVAL", value_name = "D", value_parser = parse_span, hide_env_values = true)]
    cleanup_interval: Option<Duration>,
    /// How long running jobs may go on once the process is asked to stop [default: 15s]
    #[arg(long, env = "HOST_DRAIN_TIMEOUT", value_name = "D", value_parser = parse_duration, hide_env_values = true)]
    drain_timeout: Option<Duration>,
    /// Most jobs that one missed stretch of a schedule makes under `--coalesce all` [default: 1000]
    #[arg(long, env = "HOST_MAX_CATCH_UP", value_name = "N", value_parser = parse_positive, hide_env_values = true)]
    max_catch_up: Option<usize>,
    /// A file that is there while the server works: written once it is ready, removed when it begins to stop
    #[arg(long, env = "HOST_READY_FILE", value_name = "FILE", hide_env_values = true)]
    pub(super) ready_file: Option<PathBuf>,
    /// For how long it is kept what became of the fire times of schedules [default: 30d]
    #[arg(long, env = "HOST_HISTORY_TTL", value_name = "D", value_parser = parse_duration, hide_env_values = true)]
    history_ttl: Option<Duration>,
    /// Most lines of that which are kept of a schedule [default: 1000]
    #[arg(long, env = "HOST_HISTORY_MAX", value_name = "N", value_parser = parse_positive, hide_env_values = true)]
    history_max: Option<usize>,
    #[cfg(feature = "api")]
    #[command(flatten)]
    api: ApiArgs,
}

#[cfg(feature = "api")]
impl ServeArgs {
    /// What `host api` says of a server that has no scheduler.
    pub(super) fn without_scheduler(
        api: ApiArgs,
        drain_timeout: Option<Duration>,
        ready_file: Option<PathBuf>,
    ) -> ServeArgs {
        ServeArgs { api, drain_timeout, ready_file, ..ServeArgs::default() }
    }
}

impl GlobalArgs {
    fn file(&self) -> Outcomes<File> {
        Ok(self.config.as_deref().map(File::read).transpose()?.unwrap_or_default())
    }

    /// The settings of the HTTP interface that hold, but for the folder of data.
    #[cfg(feature = "api")]
    pub(super) fn api_options(&self, serve: &ServeArgs) -> Outcomes<ApiOptions> {
        serve.api.over(self.file()?.api)
    }

    /// The settings that hold.
    pub(super) fn config(&self, serve: &ServeArgs) -> Outcomes<Config> {
        let file = self.file()?;
        let data_dir = match self.data_dir.clone().or(file.data_dir) {
            Some(dir) => dir,
            None => default_data_dir()?,
        };
        let data_dir = std::path::absolute(&data_dir)
            .map_err(|error| Failure::usage(format!("--data-dir: {error}"), "name a folder"))?;
        let serve = serve_settings(serve, file.serve)?;
        if let Some(identity) = &serve.identity {
            check_new_id("identity", identity.as_str())?;
        }
        let caps = file.caps.over(Caps::default());
        let task_defaults = file.task_defaults.settings()?;
        check_settings(&task_defaults, &caps)?;
        let store = match self.store.as_deref().or(file.store.as_deref()) {
            Some(url) => url.parse().map_err(AppError::from)?,
            None => store_in(&data_dir)?,
        };
        let broker = self.broker.as_deref().or(file.broker.as_deref()).map(str::parse).transpose();
        let secret_key = match (self.secret_key_file.clone(), self.secret_key_command.clone()) {
            (Some(file), _) => SecretKeySource::File(file),
            (None, Some(command)) => SecretKeySource::Command(command),
            (None, None) => match (file.secret_key_file, file.secret_key_command) {
                (Some(file), None) => SecretKeySource::File(file),
                (None, Some(command)) => SecretKeySource::Command(command),
                (None, None) => usual_secret_key(&data_dir),
                (Some(_), Some(_)) => {
                    let what = "the settings file has both secret_key_file and secret_key_command";
                    return Err(Failure::App(AppError::invalid(what).with_hint("leave one of them out")));
                }
            },
        };
        Ok(Config {
            secret_key,
            store,
            broker: broker.map_err(|error: UrlError| AppError::from(error))?,
            data_dir,
            task_defaults,
            caps,
            compiler: file.compiler.limits(),
            serve,
            auto_migrate: self.auto_migrate || file.auto_migrate.unwrap_or(false),
            require_approval: self.require_approval || file.require_approval.unwrap_or(false),
            trusted_keys: self.trusted_keys.clone().or(file.trusted_keys),
        })
    }
}

fn serve_settings(flags: &ServeArgs, file: ServeFile) -> Outcomes<Serve> {
    let usual = Serve::default();
    let span = |flag: Option<Duration>, file: Option<Parsed<Duration>>, usual| {
        flag.or_else(|| file.map(|span| span.0)).unwrap_or(usual)
    };
    let count = |flag: Option<usize>, file: Option<Positive>, usual| {
        flag.or_else(|| file.map(|count| count.0)).unwrap_or(usual)
    };
    Ok(Serve {
        role: flags.role.or_else(|| file.role.map(|role| role.0)).unwrap_or(usual.role),
        identity: flags.identity.clone().or_else(|| file.identity.map(|identity| identity.0)),
        max_concurrent_jobs: count(flags.max_concurrent_jobs, file.max_concurrent_jobs, usual.max_concurrent_jobs),
        spare_slots: flags.spare_slots.or(file.spare_slots),
        max_memory: flags.max_memory.or_else(|| file.max_memory.map(|size| size.0)),
        lease_duration: span(flags.lease_duration, file.lease_duration, usual.lease_duration),
        cleanup_interval: span(flags.cleanup_interval, file.cleanup_interval, usual.cleanup_interval),
        drain_timeout: flags
            .drain_timeout
            .or_else(|| file.drain_timeout.map(|span| span.0))
            .unwrap_or(usual.drain_timeout),
        queues: served(flags.queues.clone(), file.queues, usual.queues)?,
        catch_up_max: count(flags.max_catch_up, file.max_catch_up, usual.catch_up_max),
        history_ttl: flags.history_ttl.or_else(|| file.history_ttl.map(|span| span.0)).unwrap_or(usual.history_ttl),
        history_max: count(flags.history_max, file.history_max, usual.history_max),
    })
}

/// The queues to serve, each once; what is said last of one holds.
fn served(
    flags: Vec<QueueLimit>,
    file: Option<Vec<Parsed<QueueLimit>>>,
    usual: Vec<QueueLimit>,
) -> Outcomes<Vec<QueueLimit>> {
    let file = file.map(|file| file.into_iter().map(|limit| limit.0).collect());
    let said = if flags.is_empty() { file.unwrap_or(usual) } else { flags };
    let mut served: Vec<QueueLimit> = Vec::new();
    for limit in said {
        match served.iter_mut().find(|known| known.queue == limit.queue) {
            Some(known) => *known = limit,
            None => served.push(limit),
        }
    }
    match served.len() {
        1..=QUEUES_SERVED_MAX => Ok(served),
        count => {
            let what = format!("a server serves 1 to {QUEUES_SERVED_MAX} queues, not {count}");
            Err(Failure::usage(
                what,
                "start several servers, each for some of them, or one with `--role scheduler` for none",
            ))
        }
    }
}

/// The database in a data folder. One that SQLite cannot have there is refused before the folder is made.
fn store_in(data_dir: &Path) -> Outcomes<StoreUrl> {
    match data_dir.to_str() {
        Some(_) => Ok(StoreUrl::in_data_dir(data_dir)),
        None => Err(Failure::usage(
            format!("the data folder `{}` cannot hold the database: its name is not UTF-8", data_dir.display()),
            "name another one with --data-dir, or a database with --store",
        )),
    }
}

/// `$XDG_DATA_HOME/host`, by the rules of the XDG base directory specification.
fn default_data_dir() -> Outcomes<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join("host")).ok_or_else(|| {
        Failure::usage("there is no folder for data: neither XDG_DATA_HOME nor HOME is set", "name one with --data-dir")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Overlap;

    fn read(text: &str) -> Result<File, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_settings_file_can_say_everything() {
        let file = read(
            r#"
            store = "sqlite:///srv/host.db"
            broker = "sqlite:///srv/host.db"
            data_dir = "/srv"
            auto_migrate = true
            require_approval = true

            [serve]
            role = "worker"
            identity = "worker-1"
            max_concurrent_jobs = 8
            spare_slots = 0
            max_memory = "2GiB"
            lease_duration = "20s"
            cleanup_interval = "1h"
            drain_timeout = "0s"
            max_catch_up = 10
            history_ttl = "7d"
            history_max = 50

            [task_defaults]
            max_running_jobs = "none"
            misfire_grace_time = "30s"
            overlap = "skip"
            pause_after = 5
            timeout = "1m"
            memory = "64MiB"
            backoff = "5s"
            metadata = { team = "ops" }

            [caps]
            timeout = "1h"
            memory = 1073741824
            args = "64KiB"
            log_lines = 100
            open_files = 16
            http_connections = 2
            http_body = "1MiB"
            kv_bucket = "2MiB"

            [caps.declared]
            priority = 5
            max_attempts = 3
            backoff = "1h"
            result_ttl = "2d"

            [compiler]
            memory = "1GiB"
            timeout = "30s"
            "#,
        )
        .expect("valid");
        let caps = file.caps.over(Caps::default());
        assert_eq!((caps.memory_bytes, caps.args_bytes, caps.log_lines), (1 << 30, 65_536, 100));
        assert_eq!((caps.open_files, caps.declared.priority, caps.declared.max_attempts), (16, 5, 3));
        assert_eq!((caps.http_connections, caps.http_body_bytes), (2, 1 << 20));
        assert_eq!(caps.kv_bucket_bytes, 2 << 20);
        let compiler = file.compiler.limits();
        assert_eq!((compiler.memory_bytes, compiler.timeout), (1 << 30, Duration::from_secs(30)));
        let Ok(defaults) = file.task_defaults.settings() else { panic!("valid") };
        assert_eq!((defaults.memory_bytes, defaults.overlap), (Some(64 << 20), Some(Overlap::Skip)));
        assert_eq!(defaults.metadata.to_json(), r#"{"team":"ops"}"#);
        let Ok(serve) = serve_settings(&ServeArgs::default(), file.serve) else { panic!("valid") };
        assert_eq!((serve.role, serve.max_concurrent_jobs, serve.catch_up_max), (Role::Worker, 8, 10));
        assert_eq!(serve.spare_slots(), 0);
        assert_eq!((serve.history_ttl, serve.history_max), (Duration::from_secs(7 * 86_400), 50));
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let file = read("[serve]\nrole = \"worker\"\nmax_concurrent_jobs = 8").expect("valid");
        let flags = ServeArgs { max_concurrent_jobs: Some(3), ..ServeArgs::default() };
        let Ok(serve) = serve_settings(&flags, file.serve) else { panic!("valid") };
        assert_eq!((serve.role, serve.max_concurrent_jobs), (Role::Worker, 3));
        assert_eq!(serve.lease_duration, Serve::default().lease_duration);
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused_with_their_place() {
        for (text, mention) in [
            ("stroe = \"x\"", "unknown field `stroe`"),
            ("[caps]\nmemroy = 1", "unknown field `memroy`"),
            ("[serve]\nrole = \"boss\"", "`both`, `scheduler` or `worker`"),
            ("[serve]\nmax_concurrent_jobs = 0", "a number from 1"),
            ("[caps]\ntimeout = \"10\"", "10s or 10ms"),
            ("[serve]\nlease_duration = \"-5s\"", "\n`-5s` is not a duration: it is negative"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(mention), "{text}: {error}");
        }
    }
}
