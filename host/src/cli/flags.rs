//! Flags that several commands share, and what they mean.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::exit::{Failure, Outcomes};
use crate::app::{
    App, AppError, AppResult, Arguments, grant_http, grant_secret, read_dir_grant, read_env_grant, read_kv_grant,
};
use crate::config::units::{parse_duration, parse_size};
use crate::config::words::{parse_backoff, parse_count, parse_max_fires, parse_pause_after};
use crate::model::{
    Backoff, ConcurrencyKey, ConflictPolicy, Digest, ExecutorName, Grant, Hook, HookSettings, Metadata, PauseAfter,
    QueueName, Settings, json,
};

/// Settings of a job, over those of its task.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings (unset: inherited)")]
pub(super) struct SettingsArgs {
    #[command(flatten)]
    limits: LimitArgs,
    /// How often a job is tried in all
    #[arg(long, value_name = "N", value_parser = parse_attempts)]
    max_attempts: Option<u32>,
    /// Pauses between attempts: `5s`, or `initial=1s,max=10m,factor=2,jitter=10%`
    #[arg(long, value_name = "SPEC", value_parser = parse_backoff)]
    backoff: Option<Backoff>,
    /// Jobs of higher priority start first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// How long results are kept; `0s` keeps none
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    result_ttl: Option<Duration>,
    /// What runs the job: `wasm`, or another executor that the servers have
    #[arg(long, value_name = "NAME")]
    executor: Option<ExecutorName>,
    /// The queue that the job waits in; a worker serves queues [default: default]
    #[arg(long, value_name = "NAME")]
    queue: Option<QueueName>,
    /// What jobs of the task share that may not run together: `args:/customer` or `metadata:/team` for a value, else the key itself
    #[arg(long, value_name = "KEY")]
    concurrency_key: Option<ConcurrencyKey>,
    /// A key of the metadata, with JSON or a text as its value; may be repeated
    #[arg(long, value_name = "K=JSON")]
    metadata: Vec<String>,
}

impl SettingsArgs {
    pub(super) fn settings(&self) -> Outcomes<Settings> {
        Ok(Settings {
            executor: self.executor.clone(),
            queue: self.queue.clone(),
            concurrency_key: self.concurrency_key.clone(),
            max_attempts: self.max_attempts,
            backoff: self.backoff,
            priority: self.priority,
            result_ttl: self.result_ttl,
            metadata: metadata(&self.metadata)?,
            ..self.limits.settings()
        })
    }
}

/// Limits of one attempt.
#[derive(Debug, Default, Args)]
pub(super) struct LimitArgs {
    /// Wall-clock limit of one attempt, such as `30s` or `5m`
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Fuel of one attempt; one unit is about one instruction
    #[arg(long, value_name = "N", value_parser = parse_count)]
    fuel: Option<u64>,
    /// Memory of one attempt, such as `256MiB`
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
}

impl LimitArgs {
    pub(super) fn settings(&self) -> Settings {
        Settings { timeout: self.timeout, fuel: self.fuel, memory_bytes: self.memory, ..Settings::default() }
    }
}

fn parse_attempts(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "it is a number from 1".to_owned())
}

/// The arguments of a job.
#[derive(Debug, Default, PartialEq, Args)]
pub(super) struct ArgumentArgs {
    /// Arguments: a JSON object (named) or array (positional), `@FILE` or `-` for standard input
    #[arg(long, value_name = "JSON", conflicts_with = "arg", allow_hyphen_values = true)]
    args: Option<String>,
    /// A named argument, its value being JSON or a text; may be repeated
    #[arg(long, value_name = "K=V")]
    arg: Vec<String>,
    /// Hand the arguments to the task as they are, also where they do not fit its schema
    #[arg(long)]
    pub(super) unchecked: bool,
}

/// Most bytes of arguments that are read: far above every cap, far below what would hurt.
const ARGS_READ_MAX: u64 = 64 * 1024 * 1024;

impl ArgumentArgs {
    pub(super) fn arguments(&self) -> Outcomes<Arguments> {
        if let Some(text) = &self.args {
            return Ok(Arguments::Json(read_json(&text_of(text)?)?));
        }
        if self.arg.is_empty() {
            return Ok(Arguments::Absent);
        }
        let pairs = self.arg.iter().map(|pair| split_pair("--arg", pair)).collect::<Outcomes<_>>()?;
        Ok(Arguments::Typed(pairs))
    }
}

/// The text itself, or what the file or standard input that it names holds.
fn text_of(text: &str) -> Outcomes<String> {
    let read = |mut from: Box<dyn std::io::Read>| {
        let mut content = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(&mut from, ARGS_READ_MAX), &mut content)?;
        Ok(content)
    };
    let (name, content) = match text.strip_prefix('@') {
        Some(path) => (path, std::fs::File::open(path).and_then(|file| read(Box::new(file)))),
        None if text == "-" => ("standard input", read(Box::new(std::io::stdin()))),
        None => return Ok(text.to_owned()),
    };
    content.map_err(|error: std::io::Error| {
        Failure::App(AppError::Invalid {
            what: format!("the arguments cannot be read from {name}"),
            causes: vec![error.to_string()],
            hint: None,
        })
    })
}

/// Reads JSON; the error says where the fault is, by its path inside the value and its place in the text.
fn read_json(text: &str) -> Outcomes<Value> {
    json::read(text).map_err(|fault| {
        if fault.is_syntax() {
            let hint = r#"named arguments look like '{"name": "Ada"}', positional ones like '["Ada"]'; mind the shell's quotes"#;
            return Failure::usage(format!("--args is not valid JSON {fault}"), hint);
        }
        Failure::App(AppError::invalid(format!("--args cannot be taken as it is {fault}")))
    })
}

/// Rights for a plugin.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Rights (default: none)")]
pub(super) struct GrantArgs {
    /// Show a folder to the plugin under a name of its own, to read (`:ro`, the default) or to write (`:rw`, with what one attempt may write: `:rw,max=1GiB,files=1000`); may be repeated
    #[arg(long, value_name = "HOST::GUEST[:ro|rw]")]
    allow_dir: Vec<String>,
    /// Show an environment variable, with a value given here or the one the host has when a job runs; may be repeated
    #[arg(long, value_name = "NAME[=VALUE]")]
    allow_env: Vec<String>,
    /// Allow HTTP requests by scheme, host, port and beginning of the path, of any method or of those named in front: `https://api.example.com`, `GET,HEAD https://*.example.com:8443/v1`; private addresses only by the very address; may be repeated
    #[arg(long, value_name = "[METHODS ]URL-PATTERN")]
    allow_http: Vec<String>,
    /// Let the plugin keep values between jobs, in a bucket that other plugins may be granted as well: to read (`:ro`, the default) or also to write (`:rw`); may be repeated
    #[arg(long, value_name = "BUCKET[:ro|rw]")]
    allow_kv: Vec<String>,
    /// Let the plugin use a secret in headers of its requests, without reading it: over HTTPS to every server that it may speak to, or with certain requests only (`'NAME https://api.example.com'`); with `:reveal` its code may read the value; may be repeated
    #[arg(long, value_name = "NAME[:reveal][ URL-PATTERN]")]
    allow_secret: Vec<String>,
    /// Not available yet, and refused rather than ignored
    #[arg(long, hide = true, value_name = "GLOB")]
    allow_schedule: Vec<String>,
}

impl GrantArgs {
    pub(super) fn grants(&self) -> Outcomes<Vec<Grant>> {
        if !self.allow_schedule.is_empty() {
            let what = "--allow-schedule is not available yet in this version";
            return Err(Failure::usage(what, "leave it out; the plugin's calls that need it are denied"));
        }
        let dirs = self.allow_dir.iter().map(|text| read_dir_grant(text));
        let variables = self.allow_env.iter().map(|text| read_env_grant(text));
        let requests = self.allow_http.iter().map(|text| grant_http(text));
        let buckets = self.allow_kv.iter().map(|text| read_kv_grant(text));
        let secrets = self.allow_secret.iter().map(|text| grant_secret(text));
        Ok(dirs.chain(variables).chain(requests).chain(buckets).chain(secrets).collect::<AppResult<_>>()?)
    }
}

/// Metadata from `K=JSON` pairs; a value that is not JSON is a text.
fn metadata(pairs: &[String]) -> Outcomes<Metadata> {
    let mut object = Map::new();
    for pair in pairs {
        let (name, value) = split_pair("--metadata", pair)?;
        let value = match json::read(&value) {
            Ok(value) => value,
            Err(fault) if fault.is_syntax() => Value::String(value),
            Err(fault) => {
                let what = format!("the metadata of the key `{name}` cannot be taken as it is {fault}");
                return Err(Failure::App(AppError::invalid(what)));
            }
        };
        if object.insert(name.clone(), value).is_some() {
            return Err(Failure::usage(format!("the metadata key `{name}` is given twice"), "give it once"));
        }
    }
    Ok(Metadata(object))
}

fn split_pair(flag: &str, pair: &str) -> Outcomes<(String, String)> {
    match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Failure::usage(format!("`{pair}` is no pair of name and value"), format!("write {flag} name=value"))),
    }
}

/// When a schedule stops by itself, and what the ends of its jobs call.
#[derive(Debug, Default, PartialEq, Args)]
pub(super) struct StopArgs {
    /// Pause it when so many of its jobs have failed one after the other, or `none` for never [default: the task's]
    #[arg(long, value_name = "N", value_parser = parse_pause_after)]
    pause_after: Option<PauseAfter>,
    /// Finish it with the first of its jobs that succeeds
    #[arg(long)]
    until_success: bool,
    /// Finish it when it has fired so often; a fire that makes no job does not count
    #[arg(long, value_name = "N", value_parser = parse_max_fires)]
    max_fires: Option<NonZeroU32>,
    #[command(flatten)]
    hooks: HookArgs,
}

impl StopArgs {
    /// The settings with these in them.
    pub(super) fn put_into(&self, settings: Settings) -> Settings {
        Settings {
            pause_after: self.pause_after,
            until_success: self.until_success.then_some(true),
            max_fires: self.max_fires,
            hooks: self.hooks.hooks(),
            ..settings
        }
    }
}

/// What runs when a job has ended.
#[derive(Debug, Default, PartialEq, Args)]
pub(super) struct HookArgs {
    /// Run this task when a job has failed and no attempt is left, with what is known of the job as its argument `job`; `none` for none
    #[arg(long, value_name = "TASK")]
    on_failure: Option<Hook>,
    /// Run this task when a job has succeeded
    #[arg(long, value_name = "TASK")]
    on_success: Option<Hook>,
    /// Run this task when a job has missed its start deadline
    #[arg(long, value_name = "TASK")]
    on_missed: Option<Hook>,
}

impl HookArgs {
    pub(super) fn hooks(&self) -> HookSettings {
        let HookArgs { on_failure, on_success, on_missed } = self;
        HookSettings { on_failure: on_failure.clone(), on_success: on_success.clone(), on_missed: on_missed.clone() }
    }
}

/// What to do about something that is there already.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum ConflictArg {
    /// Refuse, change nothing
    #[default]
    Error,
    /// Put the new one in the old one's place
    Replace,
    /// Keep the old one
    Skip,
}

impl From<ConflictArg> for ConflictPolicy {
    fn from(policy: ConflictArg) -> ConflictPolicy {
        match policy {
            ConflictArg::Error => ConflictPolicy::Error,
            ConflictArg::Replace => ConflictPolicy::Replace,
            ConflictArg::Skip => ConflictPolicy::Skip,
        }
    }
}

/// The version of the task's plugin that jobs are to be pinned to, where one was named.
pub(super) async fn pinned(app: &App, task: &str, version: Option<String>) -> Outcomes<Option<Digest>> {
    match version {
        Some(beginning) => Ok(Some(app.task_version(task, &beginning).await?)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_and_metadata_that_would_be_changed_are_refused_with_their_place() {
        let said = |failure: Failure| {
            let mut text = Vec::new();
            failure.print(&mut text).expect("a vector takes everything");
            String::from_utf8(text).expect("UTF-8")
        };
        let Err(failure) = read_json(r#"{"a": 1, "a": 2}"#) else { panic!("the key comes twice") };
        assert_eq!(
            said(failure),
            "error: --args cannot be taken as it is at `a`: the key comes twice, at line 1 column 12\n"
        );
        let Err(failure) = metadata(&["n=[1, 18446744073709551616]".to_owned()]) else { panic!("65 bits") };
        assert!(said(failure).contains("the metadata of the key `n` cannot be taken as it is at `[1]`: the integer"));
        let Ok(Metadata(kept)) = metadata(&["n=[1,".to_owned(), "m=7".to_owned()]) else {
            panic!("a text and a number")
        };
        assert_eq!(Value::Object(kept), serde_json::json!({"n": "[1,", "m": 7}));
    }

    #[test]
    fn malformed_json_is_reported_with_the_path_of_the_fault() {
        let Err(failure) = read_json(r#"{"people": [{"name": "Ada"}, {"name": Bob}]}"#) else {
            panic!("it is not JSON")
        };
        let mut text = Vec::new();
        failure.print(&mut text).expect("a vector takes everything");
        let text = String::from_utf8(text).expect("UTF-8");
        assert!(text.contains("at `people[1].name`"), "{text}");
        assert!(text.contains("line 1 column 39"), "{text}");
    }
}
