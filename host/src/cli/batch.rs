//! `host submit --batch`: a job for each line of a file of JSON lines.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::input::read_text;
use super::output::plural;
use super::when::TimeArg;
use crate::app::{App, AppError, AppResult, Arguments, JobStart, NewBatchJob, NewJob, Submitted, Unique};
use crate::config::units::{parse_duration, parse_size};
use crate::config::words::parse_backoff;
use crate::model::{Digest, Metadata, Settings, json as strict};
use crate::trigger::DstPolicy;

/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Most lines of a file.
const LINES_MAX: usize = 100_000;
/// Most lines at fault that are told one by one.
const FAULTS_SHOWN_MAX: usize = 20;

/// The keys of a line: the flags of `host submit`, with `_` in their names.
const KEYS: &[&str] = &[
    "task",
    "args",
    "unchecked",
    "version",
    "at",
    "in",
    "timezone",
    "unique_key",
    "unique_for",
    "group",
    "timeout",
    "fuel",
    "memory",
    "max_attempts",
    "backoff",
    "priority",
    "result_ttl",
    "executor",
    "queue",
    "concurrency_key",
    "metadata",
];

/// A line of the file, read.
#[derive(Debug, Default)]
struct Line {
    task: Option<String>,
    args: Option<Value>,
    unchecked: bool,
    version: Option<String>,
    at: Option<TimeArg>,
    delay: Option<Duration>,
    timezone: Option<String>,
    unique_key: Option<String>,
    unique_for: Option<Duration>,
    group: Option<String>,
    settings: Settings,
}

/// What is wrong with a line.
struct Fault {
    line: usize,
    error: AppError,
}

pub(super) async fn run(context: &mut Context, file: &Path, partial: bool) -> Outcomes {
    let text = read_text(file, FILE_BYTES_MAX).await?;
    let app = context.app().await?;
    let (mut numbers, mut jobs, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let mut versions = HashMap::new();
    for (at, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        if at >= LINES_MAX {
            return Err(Failure::usage(format!("the file has more than {LINES_MAX} lines"), "split it"));
        }
        match job_of(&app, &mut versions, text).await {
            Ok(job) => {
                numbers.push(at + 1);
                jobs.push(job);
            }
            Err(error @ (AppError::Unreachable { .. } | AppError::Unexpected { .. })) => return Err(error.into()),
            Err(error) => faults.push(Fault { line: at + 1, error }),
        }
    }
    let mut ready = Vec::with_capacity(jobs.len());
    for (line, checked) in numbers.into_iter().zip(app.jobs_check(jobs).await?) {
        match checked {
            Ok(job) => ready.push((line, job)),
            Err(error) => faults.push(Fault { line, error }),
        }
    }
    faults.sort_by_key(|fault| fault.line);
    let all = ready.len() + faults.len();
    if !faults.is_empty() && !partial {
        return Err(Failure::App(AppError::Invalid {
            what: format!("{} of {} cannot be queued, so none was", faults.len(), plural(all, "line")),
            causes: shown(&faults),
            hint: Some("mend them, or queue the others with --partial".to_owned()),
        }));
    }
    let (lines, jobs): (Vec<usize>, Vec<_>) = ready.into_iter().unzip();
    let submitted = app.jobs_submit(jobs).await;
    print(context, &lines, &submitted.jobs, &faults)?;
    match submitted.failure {
        None => Ok(()),
        Some(error) => {
            let queued = submitted.jobs.len();
            let next = lines.get(queued).copied().unwrap_or_default();
            context.out.note(&format!("the jobs of {} are queued; go on from line {next}", plural(queued, "line")))?;
            Err(error.into())
        }
    }
}

/// What is wrong with the lines, as far as it is told.
fn shown(faults: &[Fault]) -> Vec<String> {
    let mut shown: Vec<String> = faults.iter().take(FAULTS_SHOWN_MAX).map(Fault::text).collect();
    if faults.len() > FAULTS_SHOWN_MAX {
        shown.push(format!("and {} more", faults.len() - FAULTS_SHOWN_MAX));
    }
    shown
}

fn print(context: &mut Context, lines: &[usize], submitted: &[Submitted], faults: &[Fault]) -> Outcomes {
    if context.out.json {
        let queued = lines.iter().zip(submitted).map(|(line, submitted)| {
            (*line, json!({"line": line, "job_id": submitted.id.to_string(), "new": submitted.is_new}))
        });
        let refused = faults.iter().map(|fault| {
            (fault.line, json!({"line": fault.line, "error": fault.reason(), "hint": fault.error.hint()}))
        });
        let mut answers: Vec<(usize, Value)> = queued.chain(refused).collect();
        answers.sort_by_key(|(line, _)| *line);
        return Ok(context.out.json(&answers.into_iter().map(|(_, answer)| answer).collect::<Vec<_>>())?);
    }
    for submitted in submitted {
        context.out.line(&submitted.id.to_string())?;
    }
    for line in shown(faults) {
        context.out.note(&line)?;
    }
    let old = submitted.iter().filter(|submitted| !submitted.is_new).count();
    if old > 0 {
        context.out.note(&format!("{} had a job with their key already", plural(old, "line")))?;
    }
    if !faults.is_empty() {
        let all = lines.len() + faults.len();
        context.out.note(&format!("{} of {} cannot be queued; the others are", faults.len(), plural(all, "line")))?;
    }
    Ok(())
}

/// The job of a line. Versions are looked up once for each task.
async fn job_of(app: &App, versions: &mut HashMap<(String, String), Digest>, text: &str) -> AppResult<NewBatchJob> {
    let mut line = Line::read(text)?;
    let task = line.task.take().ok_or_else(|| {
        AppError::invalid("the key `task` is missing").with_hint(r#"a line looks like {"task": "greet", "args": {}}"#)
    })?;
    if let Some(beginning) = line.version.take() {
        let key = (task.clone(), beginning);
        let digest = match versions.get(&key) {
            Some(digest) => *digest,
            None => app.task_version(&key.0, &key.1).await?,
        };
        versions.insert(key, digest);
        line.settings.version = Some(digest);
    }
    let start = line.start()?;
    let unique = match (line.unique_key, line.unique_for) {
        (Some(key), within) => Some(Unique { key, within }),
        (None, None) => None,
        (None, Some(_)) => return Err(AppError::invalid("`unique_for` has no meaning without `unique_key`")),
    };
    let args = line.args.map_or(Arguments::Absent, Arguments::Json);
    let Line { unchecked, group, settings, .. } = line;
    Ok(NewBatchJob { job: NewJob { task, args, settings, unchecked, start, group }, unique })
}

impl Line {
    fn read(text: &str) -> AppResult<Line> {
        let value = strict::read(text).map_err(|fault| {
            let what = if fault.is_syntax() { "it is not valid JSON" } else { "it cannot be taken as it is" };
            AppError::invalid(format!("{what} {fault}"))
        })?;
        let Value::Object(fields) = value else {
            return Err(AppError::invalid("it is no JSON object")
                .with_hint(r#"a line looks like {"task": "greet", "args": {"name": "Ada"}}"#));
        };
        let mut line = Line::default();
        for (key, value) in fields {
            line.take(&key, value)
                .map_err(|problem| AppError::invalid(format!("`{key}` {problem}")).with_hint(hint_of(&key)))?;
        }
        Ok(line)
    }

    /// Takes the value of a key. What is wrong with it is said to follow the key.
    fn take(&mut self, key: &str, value: Value) -> Result<(), String> {
        let settings = &mut self.settings;
        match key {
            "task" => self.task = Some(text(value)?),
            "args" => self.args = Some(value),
            "unchecked" => self.unchecked = value.as_bool().ok_or("is neither true nor false")?,
            "version" => self.version = Some(text(value)?),
            "at" => self.at = Some(parsed(value, str::parse)?),
            "in" => self.delay = Some(parsed(value, parse_duration)?),
            "timezone" => self.timezone = Some(text(value)?),
            "unique_key" => self.unique_key = Some(text(value)?),
            "unique_for" => self.unique_for = Some(parsed(value, parse_duration)?),
            "group" => self.group = Some(text(value)?),
            "timeout" => settings.timeout = Some(parsed(value, parse_duration)?),
            "fuel" => settings.fuel = Some(value.as_u64().ok_or("is no whole number")?),
            "memory" => {
                let size = if value.is_u64() { Value::String(value.to_string()) } else { value };
                settings.memory_bytes = Some(parsed(size, parse_size)?);
            }
            "max_attempts" => {
                let count = value.as_u64().and_then(|count| u32::try_from(count).ok());
                settings.max_attempts = Some(count.ok_or("is no number from 1")?);
            }
            "backoff" => settings.backoff = Some(parsed(value, parse_backoff)?),
            "priority" => {
                let priority = value.as_i64().and_then(|priority| i32::try_from(priority).ok());
                settings.priority = Some(priority.ok_or("is no whole number")?);
            }
            "result_ttl" => settings.result_ttl = Some(parsed(value, parse_duration)?),
            "executor" => settings.executor = Some(parsed(value, str::parse)?),
            "queue" => settings.queue = Some(parsed(value, str::parse)?),
            "concurrency_key" => settings.concurrency_key = Some(parsed(value, str::parse)?),
            "metadata" => settings.metadata = Metadata(object(value)?),
            _ => return Err("is no key of a line".to_owned()),
        }
        Ok(())
    }

    fn start(&self) -> AppResult<JobStart> {
        let refused = |what: &str| AppError::invalid(what.to_owned()).with_hint("leave one of the two out");
        match (self.at, self.delay, self.timezone.as_deref()) {
            (Some(_), Some(_), _) => Err(refused("`at` and `in` both say when it may start")),
            (Some(TimeArg::Instant(_)), None, Some(_)) => {
                Err(refused("`timezone` has no meaning beside a time that names its offset"))
            }
            (Some(at), None, zone) => match at.instant("at", zone, DstPolicy::default()) {
                Ok(fire) => Ok(JobStart::At(fire.at)),
                Err(Failure::App(error)) => Err(error),
                Err(_) => Err(AppError::invalid("`at` is no time")),
            },
            (None, _, Some(_)) => Err(AppError::invalid("`timezone` has no meaning without `at`")),
            (None, Some(delay), None) => Ok(JobStart::In(delay)),
            (None, None, None) => Ok(JobStart::Now),
        }
    }
}

fn hint_of(key: &str) -> String {
    if KEYS.contains(&key) {
        "it is written as the flag of `host submit` with that name".to_owned()
    } else {
        format!("the keys are {}", KEYS.join(", "))
    }
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err("is no text".to_owned()),
    }
}

fn parsed<T, E: std::fmt::Display>(value: Value, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, String> {
    parse(&text(value)?).map_err(|error| format!("is not valid: {error}"))
}

fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err("is no JSON object".to_owned()),
    }
}

impl Fault {
    fn text(&self) -> String {
        format!("line {}: {}", self.line, self.reason())
    }

    fn reason(&self) -> String {
        match &self.error {
            AppError::Invalid { causes, .. } if !causes.is_empty() => format!("{}: {}", self.error, causes.join("; ")),
            error => error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_the_flags_say() {
        let line = Line::read(
            r#"{"task":"greet","args":["Ada"],"in":"5m","memory":"64MiB","fuel":7,"priority":-3,"metadata":{"a":1},"group":"g"}"#,
        );
        let line = line.expect("it is valid");
        assert_eq!((line.task.as_deref(), line.args.clone()), (Some("greet"), Some(json!(["Ada"]))));
        assert_eq!(line.start().expect("a time"), JobStart::In(Duration::from_secs(300)));
        let Settings { memory_bytes, fuel, priority, .. } = line.settings;
        assert_eq!((memory_bytes, fuel, priority), (Some(64 << 20), Some(7), Some(-3)));
        assert_eq!(line.group.as_deref(), Some("g"));
    }

    #[test]
    fn each_key_is_known_and_what_is_wrong_is_said_with_its_key() {
        for key in KEYS {
            let said = Line::default().take(key, Value::Null);
            assert!(*key == "args" || said.is_err_and(|problem| !problem.contains("no key")), "{key}");
        }
        for (line, said) in [
            (r#"{"task":"t","prio":1}"#, "`prio` is no key of a line"),
            (r#"{"task":"t","timeout":"soon"}"#, "`timeout` is not valid: "),
            (r#"{"task":"t","max_attempts":-1}"#, "`max_attempts` is no number from 1"),
            (r#"{"task":"t","task":"u"}"#, "it cannot be taken as it is at `task`: the key comes twice"),
            (r#"{"task":"#, "it is not valid JSON"),
            ("[]", "it is no JSON object"),
        ] {
            let error = Line::read(line).expect_err(line).to_string();
            assert!(error.starts_with(said), "{line}: {error}");
        }
    }
}
